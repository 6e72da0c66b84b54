"""The commands `prepare` and `score`; see the package."""

import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
from PIL import Image
from tyro.conf import Positional, arg

from experiments.measure.rows import Result, merge_rows, read_results, write_results
from kpjax import InputError
from kpjax.evaluation.coincidence import label_distances, one_point
from kpjax.files import make_folder, read_json, write_json
from kpjax.formats.project import Frame, Instance, Project, labelled_frames
from kpjax.formats.project_source import box_of, crowd_of, read_frame, reference_lengths
from kpjax.formats.reading import read_project
from kpjax.formats.writing import write_project
from kpjax.papers.configs import Checked, Count, CountOrZero, settings_text
from kpjax.papers.parsing import exit_code_of, run_named
from kpjax.training.identity import commit

SPLIT, TRUTH = "split.json", "truth.npz"
FORMATS = ("csv", "deeplabcut", "lightning_pose", "sleap")  # that of kpjax, and the peers' own
SESSION = "images"
MARGIN = 1.25  # sides of crops over the longest side of an animal
GOOD = 0.1  # share of the animal's size, up to which a point is found
TESTS = 0.2  # share of a recording's labelled frames that test


@dataclass(frozen=True)
class Prepare(Checked):
    """Writes a few labelled frames of a project as a project of each tool, and frames that test.

    The first part of each recording tests, and no tool sees its labels: `kpjax train` holds the last
    part out, on which its choices were developed. What a tool keeps of the others to choose a
    snapshot by is its own affair. Where several animals are on a frame all tools get the same crops
    about given boxes: Lightning Pose knows but one animal.
    """

    #: a labelled project of any format
    project: Annotated[Positional[Path], arg(metavar="PROJECT")]
    out: Path  # a new folder, which stays where it is: SLEAP's labels name whole paths
    name: str = ""  # of the project in tables; that of its folder by default
    labelled: CountOrZero = 10  # frames with labels, 0 for all
    subset: CountOrZero = 0  # the seed that draws them, and of the training
    #: whether freely moving animals are seen from above, which Lightning Pose and sleap-nn ask
    top_view: bool = False
    every: Count = 1  # takes every Nth labelled frame, where neighbours are nearly identical

    def __call__(self) -> None:
        if self.out.exists():
            raise InputError("out", f"{self.out} is there already; name a new folder")
        project = thinned(read_project(self.project), self.every)
        testing = first_part(project)
        training = [number for number in labelled_frames(project) if number not in testing]
        if self.labelled > len(training):
            raise InputError(
                "labelled",
                f"{self.labelled} of {len(training)} frames that do not test; ask for fewer",
            )
        drawn = np.random.default_rng(self.subset).permutation(training)
        kept = {*drawn[: self.labelled or None].tolist()}
        numbers = {
            part: [number for number, one in enumerate(project.instances) if one.frame in frames]
            for part, frames in (("train", kept), ("test", testing))
        }
        lengths = reference_lengths(project)
        names: dict[str, list[str]] = {"train": [], "test": []}
        frames, instances, truth = [], [], []
        for part, folder in (("train", self.out / SESSION), ("test", self.out / "test")):
            make_folder(folder)
            for image, one in in_pictures(project, numbers[part]):
                name = f"{part}{len(names[part]):04d}.png"
                names[part].append(name)
                picture = Image.fromarray(image)
                picture.save(folder / name)
                if part == "test":
                    truth.append(one)
                    continue
                instances.append(one._replace(frame=len(frames), box=np.full(4, np.nan), track=""))
                frames.append(
                    Frame(f"{SESSION}/{name}", folder / name, None, picture.size, SESSION)
                )
        few = Project(self.out, "csv", project.skeleton, tuple(frames), tuple(instances))
        for form in FORMATS:
            write_project(few, form, self.out / form)
        write_json(
            self.out / SPLIT,
            {
                "name": self.name or self.project.resolve().name,
                "labelled": self.labelled or "all",
                "subset": self.subset,
                "top_view": self.top_view,
                "keypoints": list(project.skeleton.names),
                "train": names["train"],
                "test": names["test"],
            },
        )
        known = label_distances(
            np.stack([one.keypoints for one in project.instances]),
            np.stack([one.visible for one in project.instances]),
            lengths,
            project.skeleton.names,
        )
        np.savez(
            self.out / TRUTH,
            keypoints=np.stack([one.keypoints for one in truth]),
            labelled=np.stack([one.visible > 0 for one in truth]),
            sizes=lengths[numbers["test"]],
            never_one=np.triu((known.animals > 0) & (known.one_point == 0), 1),
        )
        print(f"{self.out}: {len(names['train'])} labelled images, {len(names['test'])} that test")


def thinned(project: Project, every: int) -> Project:
    """Returns a project of which every Nth labelled frame has labels, in the order of time."""
    frames = {*labelled_frames(project)[::every]}
    found = tuple(
        one for one in project.instances if one.frame in frames and (one.visible > 0).any()
    )
    return project._replace(instances=found)


def first_part(project: Project) -> set[int]:
    """Returns the labelled frames at the beginning of each recording, `TESTS` of them."""
    of_session: dict[str, list[int]] = {}
    for number in labelled_frames(project):  # in the order of time
        of_session.setdefault(project.frames[number].session, []).append(number)
    return {
        number
        for numbers in of_session.values()
        for number in numbers[: max(round(TESTS * len(numbers)), 1)]
    }


def in_pictures(project: Project, numbers: Sequence[int]) -> Iterator[tuple[np.ndarray, Instance]]:
    """Yields a picture of each animal and its labels there: its frame, or a square about its box
    where a frame has several animals, black beyond the frame."""
    boxes = [box_of(one) for one in project.instances]
    longest = max(box[2:].max() for box in boxes if box is not None)
    side = 2 * math.ceil(MARGIN * longest / 2)
    several = crowd_of(project).most > 1
    for number in numbers:
        one, box = project.instances[number], boxes[number]
        image = read_frame(project.frames[one.frame])
        if several and box is not None:
            corner = np.round(box[:2] + box[2:] / 2 - side / 2).astype(int)
            image = np.asarray(Image.fromarray(image).crop((*corner, *(corner + side))))
            one = one._replace(keypoints=one.keypoints - corner)
        yield image, one


class Truth(NamedTuple):
    """Labels of the T pictures that test, of K keypoints."""

    keypoints: np.ndarray  # (T, K, 2) px
    labelled: np.ndarray  # (T, K) bool
    sizes: np.ndarray  # (T,) px, of the animals
    never_one: np.ndarray  # (K, K) bool, pairs that no label of the project shows as one point


@dataclass(frozen=True)
class Score(Checked):
    """Measures the predictions in folders of `prepare`, of all tools alike."""

    folders: Annotated[Positional[tuple[Path, ...]], arg(metavar="FOLDER ...")]
    #: folder whose results.csv gets the numbers, such as experiments/measure/peers; none by default
    room: Path | None = None

    def __call__(self) -> None:
        rows = []
        for folder in self.folders:
            if not (folder / SPLIT).exists():
                raise InputError(
                    "folders", f"{folder} has no {SPLIT}; make it with the command prepare"
                )
            split = read_json(folder / SPLIT)
            with np.load(folder / TRUTH) as stored:
                truth = Truth(**stored)
            paths = sorted(folder.glob("predictions_*.json"))
            if not paths:
                raise InputError("folders", f"{folder} has no predictions; run a tool's program")
            print(
                f"{folder}\n{'':40} median px  PCK, %  one point, %  hidden, %  seconds  frames/s"
            )
            for path in paths:
                given = read_json(path)
                found = measure(given, split, truth, path)
                rows += results_of(given, split, found)
                shares = (f"test/{name}" for name in ("pck", "one_point", "hidden"))
                print(
                    f"{given['tool'] + ' ' + given['version']:40} {found['test/median']:9.2f} "
                    + " ".join(f"{100 * found[name]:10.1f}" for name in shares)
                    + f" {given['seconds']:8.0f}{'*' if given['cut'] else ''} {found['predict/rate']:9.1f}"
                )
        if self.room:
            write_results(self.room, merge_rows(read_results(self.room), rows))


def measure(
    given: Mapping[str, Any], split: Mapping[str, Any], truth: Truth, path: Path
) -> dict[str, float]:
    """Measures a tool's predictions.

    All of its points count, however low their scores; a point that it did not give is infinitely
    far away. Raises InputError, which names `path`, for predictions that are not of these pictures.
    """
    if missing := [name for name in split["test"] if name not in given["keypoints"]]:
        raise InputError(
            f"{path}: {len(missing)} test images have no prediction, such as {missing[0]}; run it again"
        )
    points = np.array([given["keypoints"][name] for name in split["test"]], np.float64)
    if points.shape != (*truth.labelled.shape, 3):
        raise InputError(
            f"{path}: points are {points.shape[:2]}, the labels {truth.labelled.shape}; run it again"
        )
    away = np.linalg.norm(points[..., :2] - truth.keypoints, axis=-1)
    errors = np.where(np.isfinite(away), away, np.inf)
    good = truth.labelled & (errors <= GOOD * truth.sizes[:, None])
    shown = np.nan_to_num(points[..., 2], nan=-np.inf) >= np.array(given["cutoffs"])
    # Of an animal whose both keypoints are there; a tool may put what is absent anywhere.
    # The share is of all pictures, also of those on which a label of the pair is missing.
    together = one_point(points[..., :2], truth.sizes, truth.labelled) & truth.never_one
    absent = ~truth.labelled & truth.labelled.any(0)
    return {
        "test/median": float(np.median(errors[truth.labelled])),
        "test/distance": float(errors[truth.labelled].mean()),
        "test/absent_drawn": float(
            (shown & absent).sum() / absent.sum() if absent.any() else np.nan
        ),
        "test/pck": float(good.sum() / truth.labelled.sum()),
        "test/one_point": float(together.mean(0).max()),
        "test/hidden": float((good & ~shown).sum() / max(good.sum(), 1)),
        "predict/rate": given.get("rate", np.nan),
        "train/cut": float(given["cut"]),
        "train/cpu": given.get("cpu", np.nan),
    }


def results_of(
    given: Mapping[str, Any], split: Mapping[str, Any], found: Mapping[str, float]
) -> list[Result]:
    """Returns a tool's numbers, of the checkout that measures; the subset stands for the seed."""
    cap = {"seconds": round(given["cap"])} if "cap" in given else {}
    return [
        Result(
            split["name"],
            settings_text({"labelled": split["labelled"]} | cap),
            given["tool"],
            str(split["subset"]),
            metric,
            value,
            seconds=round(given["seconds"], 1),
            device="1 cpu",
            date=datetime.now(UTC).date().isoformat(),
            commit=commit(),
        )
        for metric, value in found.items()
        if np.isfinite(value)
    ]


COMMANDS = {"prepare": Prepare, "score": Score}


def main(arguments: Sequence[str]) -> None:
    """Runs a command."""
    run_named(COMMANDS, arguments, prog="python -m experiments.measure.peers")


if __name__ == "__main__":
    raise SystemExit(exit_code_of(lambda: main(sys.argv[1:])))
