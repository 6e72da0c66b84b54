"""Neck and head top for a published network of people that does not know them: what is learnt, and what is lost.

Command   python -m experiments.incremental.neck_and_head write OUT --seed 0
          kpjax train incremental --old movenet --project OUT --workdir OUT/runs --variants combination finetune ...
          python -m experiments.incremental.neck_and_head score OUT

LSP Extended must have been prepared (`python -m data lspet`). The project labels neck and head top of the people of
`experiments.semi_supervised lspet --labelled 50` of the same seed, and nothing else of them. Its test images are held
out and have all 14 joints; from seed 100 on they are the images for tuning. `score` measures PCK at a tenth of the
box's longer side, as on the page of semi-supervised learning, and writes `results.csv` of this room. Beside the runs
it measures the control `by_hand`, which needs no label: MoveNet's rules for these two points, from what it finds.
"""
import csv
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import jax.numpy as jnp
import numpy as np
from etils import epath
from PIL import Image
from tyro.conf import Positional, arg

from experiments import semi_supervised
from experiments.engine.configs import Checked, Count, CountOrZero, Positive, changed, settings_text
from experiments.engine.parsing import exit_code_of, run_named
from experiments.engine.published import HEAD_TOP, NECK, with_neck_and_head
from experiments.engine.results import Result, merged, read_results, write_results
from experiments.engine.system import Job, read_predictions
from kpjax import InputError, geometry
from kpjax.annotations.skeleton_file import FILE, skeleton_text
from kpjax.files import read_json
from kpjax.input.source import Source
from kpjax.models.movenet import KEYPOINTS
from kpjax.training.evaluation import Gathered, labels_of

ROOM = Path(__file__).parent
PRESET, TRUTH, TENTH = "neck_and_head", "truth.npz", 0.1
STAGES = {"before": "step_0", "after": "step_1"}  # of the predictions of a run
BY_HAND = "by_hand"  # the variant without a label


@dataclass(frozen=True)
class Write(Checked):
    """Writes the project."""

    out: Annotated[Positional[Path], arg(metavar="OUT")]  # a new folder
    labelled: Positive = 50  # people
    seed: CountOrZero = 0  # draws them; from 100 on, images for tuning test
    side: Count = 288  # px of the square images
    data_dir: Path = Path("~/kpjax_data")  # folder of prepared datasets

    def __call__(self) -> None:
        if self.out.exists():
            raise InputError("out", f"{self.out} exists already; name another folder")
        config = changed(semi_supervised.PRESETS["lspet"], labelled=self.labelled, image_size=self.side,
                         heatmap_size=self.side // 4, augmentation="none")
        data = semi_supervised.open_data(Job("semi_supervised", config, "lspet", "supervised", self.seed,
                                             epath.Path(), epath.Path(self.data_dir).expanduser()))
        (self.out / "images").mkdir(parents=True)
        (self.out / FILE).write_text(skeleton_text(data.skeleton), encoding="utf-8")
        with (self.out / "labels.csv").open("w", encoding="utf-8", newline="") as file:
            rows = csv.writer(file, lineterminator="\n")
            rows.writerow(["image", "keypoint", "x", "y", "split"])
            for part, people, names in (("train", data.labelled, (NECK, HEAD_TOP)),
                                        ("test", data.test, data.skeleton.names)):
                rows.writerows(_labels(self.out, part, people, names))
        np.savez(self.out / TRUTH, seed=self.seed, labelled=self.labelled, names=data.skeleton.names,
                 **labels_of(data.test)._asdict())
        print(f"{self.out}: {len(data.labelled)} people with neck and head top, {len(data.test)} that test")


def _labels(folder: Path, part: str, people: Source, names: Sequence[str]) -> list[list[str]]:
    rows = []
    for number in range(len(people)):
        example, image = people[number], f"images/{part}{number:04d}.png"
        Image.fromarray(example.image).save(folder / image)
        rows += [[image, name, *(f"{value:.6g}" for value in example.keypoints[k]), part]
                 for k, name in enumerate(people.skeleton.names) if name in names and example.visible[k]]
    return rows


@dataclass(frozen=True)
class Score(Checked):
    """Measures all finished runs of the project."""

    folder: Annotated[Positional[Path], arg(metavar="OUT")]
    room: Path = ROOM  # folder of results.csv

    def __call__(self) -> None:
        if not (self.folder / TRUTH).exists():
            raise InputError("folder", f"{self.folder} has no {TRUTH}; make it with the command write")
        with np.load(self.folder / TRUTH) as stored:
            found = dict(stored)
        truth = Gathered(*(found[name] for name in Gathered._fields))
        names, labelled, seed = [str(name) for name in found["names"]], int(found["labelled"]), str(found["seed"])
        runs = sorted(path.parent for path in (self.folder / "runs").glob("**/results.json"))
        if not runs:
            raise InputError("folder", f"{self.folder}/runs has no finished run; train with it as --workdir")
        rows = []
        for run in runs:
            result = read_json(run / "results.json")
            settings = settings_text({"labelled": labelled} | _asked(result["settings"]))
            cost = {"steps": result["steps"], "seconds": round(result["wall_seconds"], 1)}
            stages, known = read_predictions(run), read_json(run / "skeleton.json")["names"]
            measured = [(result["variant"], settings, when, stages[stage], cost) for when, stage in STAGES.items()]
            if not any(row.variant == BY_HAND for row in rows) and {*KEYPOINTS, NECK, HEAD_TOP} <= {*known}:
                measured.append((BY_HAND, settings_text({"labelled": 0}), "after",
                                 by_hand(stages[STAGES["before"]], known), {"steps": 0}))
            for variant, chosen, when, found_points, spent in measured:
                for which, share in _shares(found_points, known, truth, names).items():
                    if when == "before" and which != "old":
                        continue  # the network has no such point yet
                    rows.append(Result(
                        PRESET, chosen, variant, seed, f"{when}/{which}", share, **spent,
                        date=datetime.now(UTC).date().isoformat(),
                        device=f"{result['devices']['count']} {result['devices']['backend']}",
                        commit=result.get("commit") or "unknown"))
                    print(f"{variant:20} {when} {which:10} {100 * share:6.1f}  {chosen}")
        write_results(self.room, merged(read_results(self.room), rows))


def by_hand(found: Gathered, known: Sequence[str]) -> Gathered:
    """Returns predictions whose neck and head top are worked out from MoveNet's 17 points, see `with_neck_and_head`.

    found: (N, K, 2) keypoints in any frame; known: names of the K, with all of MoveNet's, neck and head top.
    """
    own = [known.index(name) for name in KEYPOINTS]
    points, scores = with_neck_and_head(jnp.asarray(found.keypoints[:, own]), jnp.asarray(found.scores[:, own]))
    new = [known.index(name) for name in (NECK, HEAD_TOP)]
    keypoints, sure = found.keypoints.copy(), found.scores.copy()
    keypoints[:, new], sure[:, new] = points[:, len(KEYPOINTS):], scores[:, len(KEYPOINTS):]
    return found._replace(keypoints=keypoints, scores=sure)


def _asked(settings: str) -> dict[str, str]:
    """Returns the settings that were typed, but for the network's and the project's place."""
    named = dict(one.split("=", 1) for one in settings.split())
    return {name: value for name, value in named.items() if name not in ("old", "project")}


def _shares(found: Gathered, known: Sequence[str], truth: Gathered, names: Sequence[str]) -> dict[str, float]:
    """Returns PCK of neck, of head top, of both, of the twelve joints that the network knew, and of all 14.

    found: of the run, in the order of the test images. truth: in pixels of the project's images, as are `crop`'s.
    """
    points = np.asarray(geometry.move_points(found.crop, found.keypoints))[:, [known.index(name) for name in names]]
    right = np.linalg.norm(points - truth.keypoints, axis=-1) <= TENTH * truth.scale[:, None]
    groups = {NECK: [NECK], HEAD_TOP: [HEAD_TOP], "new": [NECK, HEAD_TOP], "all": list(names),
              "old": [name for name in names if name not in (NECK, HEAD_TOP)]}
    return {which: float(right[:, chosen][truth.visible[:, chosen] > 0].mean())
            for which, group in groups.items() for chosen in [[names.index(name) for name in group]]}


COMMANDS = {"write": Write, "score": Score}


def main(arguments: Sequence[str]) -> None:
    """Runs a command."""
    run_named(COMMANDS, arguments, prog="python -m experiments.incremental.neck_and_head")


if __name__ == "__main__":
    raise SystemExit(exit_code_of(lambda: main(sys.argv[1:])))
