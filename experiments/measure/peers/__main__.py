"""The commands `prepare` and `score`; see the package."""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
from etils import epath
from PIL import Image
from tyro.conf import Positional, arg

from experiments.measure.rows import Result, merge_rows, read_results, write_results
from experiments.semi_supervised import EXPERIMENT, PRESETS
from kpjax import InputError, Skeleton
from kpjax.files import make_folder, read_json, write_json
from kpjax.formats.project import Frame, Instance, Project
from kpjax.formats.writing import write_project
from kpjax.papers.configs import (
    Checked,
    Count,
    CountOrZero,
    Positive,
    replace_fields,
    settings_text,
)
from kpjax.papers.engine import Job
from kpjax.papers.parsing import exit_code_of, run_named
from kpjax.training.evaluation import Gathered, labels_of, read_predictions
from kpjax.training.identity import commit
from kpjax.training.keypoint_errors import keypoint_errors

SPLIT, TRUTH = "split.json", "truth.npz"
PEERS = ("deeplabcut", "lightning_pose")
SESSION = "images"


@dataclass(frozen=True)
class Prepare(Checked):
    """Writes one labelled subset and the test images of a preset as a DeepLabCut and as a Lightning
    Pose project.
    """

    #: preset of semi_supervised: openfield, faces
    preset: Annotated[Positional[str], arg(metavar="PRESET")]
    out: Path  # a new folder
    #: images: below 1 a share, above it a count; 1 for all, also those that kpjax validates on
    labelled: Positive = 10
    subset: CountOrZero = 0  # the seed that draws them
    #: px of the square images that the peers are given; of a mouse in 640 x 480 its own pixels
    side: Count = 640
    data_dir: Path = Path("~/kpjax_data")  # folder of prepared datasets

    def __call__(self) -> None:
        if self.preset not in PRESETS:
            raise InputError(
                "preset", f"{self.preset!r} is unknown; there are {', '.join(PRESETS)}"
            )
        if self.out.exists():
            raise InputError("out", f"{self.out} is there already; name a new folder")
        config = replace_fields(
            PRESETS[self.preset],
            labelled=self.labelled,
            image_size=self.side,
            heatmap_size=self.side // 4,
        )
        data = EXPERIMENT.open(
            Job(
                EXPERIMENT,
                config,
                self.preset,
                "supervised",
                self.subset,
                epath.Path(),
                epath.Path(self.data_dir).expanduser(),
            )
        )
        images = self.out / SESSION
        make_folder(images)
        frames, instances, split = [], [], {}
        validating = [data.validation] if config.data.all_labelled and data.validation else []
        for part, sources in (("train", [data.labelled, *validating]), ("test", [data.test])):
            split[part] = []
            for example in (source[number] for source in sources for number in range(len(source))):
                name = f"{part}{len(split[part]):04d}.png"
                split[part].append(name)
                Image.fromarray(example.image).save(images / name)
                instances.append(
                    Instance(
                        len(frames),
                        np.asarray(example.keypoints, np.float64),
                        example.visible,
                        np.zeros(len(example.visible), bool),
                        np.full(4, np.nan),
                    )
                )
                frames.append(
                    Frame(f"{SESSION}/{name}", images / name, None, (self.side, self.side), SESSION)
                )
        project = Project(self.out, "csv", data.skeleton, tuple(frames), tuple(instances))
        for form in ("deeplabcut", "lightning_pose"):
            write_project(project, form, self.out / form)
        write_json(
            self.out / SPLIT,
            split
            | {
                "preset": self.preset,
                "side": self.side,
                "labelled": self.labelled,
                "subset": self.subset,
                "keypoints": list(data.skeleton.names),
                "groups": {name: list(group) for name, group in data.skeleton.groups.items()},
            },
        )
        np.savez(self.out / TRUTH, **labels_of(data.test)._asdict())
        print(f"{self.out}: {len(split['train'])} labelled images, {len(split['test'])} that test")


class Line(NamedTuple):
    """A row of the table."""

    name: str
    program: str  # as `results.csv` has it
    pck: float  # share
    nme: float  # mean error, as a share of the reference length
    distance: float  # px of the original images
    seconds: float
    #: error of contours, as a share of the reference length; nan where a preset has none
    contour: float


@dataclass(frozen=True)
class Score(Checked):
    """Measures predictions of the peers, and of finished runs of kpjax on the same test images."""

    folder: Annotated[Positional[Path], arg(metavar="FOLDER")]
    runs: tuple[Path, ...] = ()  # folders, .../<variant>/seed-<n>
    #: folder whose results.csv gets the numbers, such as experiments/measure/peers; none by default
    room: Path | None = None
    #: setting of the peers' rows, such as `full` for all epochs of a peer's defaults
    schedule: str = ""

    def __call__(self) -> None:
        if not (self.folder / SPLIT).exists():
            raise InputError(
                "folder", f"{self.folder} has no {SPLIT}; make it with the command prepare"
            )
        split = read_json(self.folder / SPLIT)
        groups = {name: tuple(group) for name, group in split.get("groups", {}).items()}
        skeleton = Skeleton(tuple(split["keypoints"]), groups=groups)
        with np.load(self.folder / TRUTH) as stored:
            truth = Gathered(**stored)
        lines = [
            measure(self.folder, path, split, truth, skeleton)
            for path in sorted(self.folder.glob("predictions_*.json"))
        ]
        for run in self.runs:
            found, result = read_predictions(run)["test"], read_json(run / "results.json")
            if not np.array_equal(found.visible, truth.visible):
                raise InputError("runs", f"{run} was tested on other images than {self.folder}")
            name = f"kpjax {result['variant']}, {result['config']['network']['name']}"
            lines.append(
                line_of(
                    name,
                    result["variant"],
                    found,
                    skeleton,
                    split["preset"],
                    result["wall_seconds"],
                )
            )
        if not lines:
            raise InputError(
                "folder", f"{self.folder} has no predictions; run a peer, or name --runs"
            )
        width = max(len(line.name) for line in lines)
        print(f"{'':{width}}    PCK, %    NME, %  mean px  contours, %  seconds")
        for line in sorted(lines, key=lambda line: -line.pck):
            print(
                f"{line.name:{width}} {100 * line.pck:9.1f} {100 * line.nme:9.1f} {line.distance:8.1f} "
                f"{100 * line.contour:12.2f} {line.seconds:8.0f}"
            )
        if self.room:
            points = int((truth.visible > 0).sum())
            write_results(
                self.room,
                merge_rows(
                    read_results(self.room),
                    [
                        one
                        for line in lines
                        for one in results_of(line, split, points, self.schedule)
                    ],
                ),
            )


def measure(folder: Path, path: Path, split: dict, truth: Gathered, skeleton: Skeleton) -> Line:
    """Reads a peer's predictions and measures them as kpjax's are."""
    given = json.loads(path.read_text())
    if missing := [name for name in split["test"] if name not in given["keypoints"]]:
        raise InputError(
            f"{path}: {len(missing)} test images have no prediction, such as {missing[0]}; run it again"
        )
    keypoints = np.array([given["keypoints"][name] for name in split["test"]], np.float32)
    if keypoints.shape != truth.keypoints.shape:
        raise InputError(
            f"{path}: keypoints are {keypoints.shape}, the labels {truth.keypoints.shape}"
        )
    program = next(peer for peer in PEERS if path.name.startswith(f"predictions_{peer}_"))
    return line_of(
        given["name"],
        program,
        truth._replace(keypoints=keypoints),
        skeleton,
        split["preset"],
        given["seconds"],
    )


def results_of(
    line: Line, split: Mapping[str, Any], points: int, schedule: str = ""
) -> list[Result]:
    """Returns the numbers of a row, of the checkout that measures; the subset stands for the
    seed."""
    named = {"schedule": schedule} if schedule and line.program in PEERS else {}
    settings = settings_text({name: split[name] for name in ("labelled", "side")} | named)
    values = {
        "test/pck": line.pck,
        "test/nme": line.nme,
        "test/distance": line.distance,
        "test/contour": line.contour,
        "test/points": points,
    }
    return [
        Result(
            split["preset"],
            settings,
            line.program,
            str(split["subset"]),
            metric,
            value,
            seconds=round(line.seconds, 1),
            device="1 cpu",
            date=datetime.now(UTC).date().isoformat(),
            commit=commit(),
        )
        for metric, value in values.items()
        if np.isfinite(value)
    ]


def line_of(
    name: str, program: str, found: Gathered, skeleton: Skeleton, preset: str, seconds: float
) -> Line:
    """Measures predictions by the threshold of a preset."""
    config = PRESETS[preset]
    values = keypoint_errors(
        found,
        skeleton,
        "test",
        threshold=config.pck_threshold,
        pooled=True,
        contours=config.data.contours,
    )
    return Line(
        name,
        program,
        values["test/pck"],
        values["test/nme"],
        values["test/distance"],
        seconds,
        values.get("test/contour", np.nan),
    )


COMMANDS = {"prepare": Prepare, "score": Score}


def main(arguments: Sequence[str]) -> None:
    """Runs a command."""
    run_named(COMMANDS, arguments, prog="python -m experiments.measure.peers")


if __name__ == "__main__":
    raise SystemExit(exit_code_of(lambda: main(sys.argv[1:])))
