"""Faces cut into two projects that name different points, to measure what one network for both is worth.

Commands   python -m experiments.semi_supervised.two_projects write FACES OUT --seed 0
           kpjax train supervised --project OUT/first --project OUT/second --workdir OUT/runs
           kpjax train supervised --project OUT/all --workdir OUT/runs_all
           python -m experiments.semi_supervised.two_projects measure OUT RUN_OF_ALL RUN RUN --room FOLDER

FACES is the folder of `data/youtube_faces.py`. The project `first` names the jaw, the nose and the inner lips, and
`second` the brows, the eyes and the outer lips: 34 points each, none in both. Half of the training persons, drawn by
the seed, are in either. `all` has the same images with all 68 points. What tests is marked as held out and is of other
persons: those for tuning where the seed is 100 or more. `judge` has these alone, with all points.
"""
import csv
import random
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from tyro.conf import Positional

from data.annotations import Annotation
from data.youtube_faces import person, read
from experiments.commands import Evaluate
from experiments.commands.evaluate import evaluate
from experiments.engine.image_sets import TUNING_SEEDS
from experiments.engine.parsing import exit_code_of, run_named
from experiments.engine.results import Result, merged, read_results, write_results
from kpjax import InputError
from kpjax.annotations.face_points import FACE, RUNS
from kpjax.annotations.skeleton_file import FILE, skeleton_text
from kpjax.annotations.uniting import united_skeleton
from kpjax.evaluation.probes.landmarks import between_eyes
from kpjax.files import read_json
from kpjax.structures import Skeleton

PRESET, ALL_LABELS = "faces_in_halves", "all_labels"
FIRST = ("jaw", "bridge", "nostrils", "inner_lip")


@dataclass(frozen=True)
class Write:
    """Writes faces as two projects of 34 points each, as one of all points, and those that test."""

    faces: Annotated[Positional[Path], None]
    out: Annotated[Positional[Path], None]
    seed: int = 0  # draws the persons of each project; from 100 on, persons for tuning test

    def __call__(self) -> None:
        parts = _faces(self.faces)
        if self.out.exists():
            raise InputError("out", f"{self.out} exists already; name another folder")
        judged = parts["tune" if self.seed in TUNING_SEEDS else "test"]
        persons = sorted({person(face) for face in parts["train"]})
        random.Random(self.seed).shuffle(persons)
        judges = sorted({person(face) for face in judged})
        halves = [({*persons[n::2]}, {*judges[n::2]}) for n in range(2)]
        skeletons = [chosen(FIRST), chosen([run for run in RUNS if run not in FIRST])]
        for name, skeleton, (train, test) in zip(("first", "second"), skeletons, halves, strict=True):
            write(self.out / name, skeleton, [(face, "train") for face in parts["train"] if person(face) in train] + [
                (face, "test") for face in judged if person(face) in test])
        every = united_skeleton({"first": skeletons[0], "second": skeletons[1]})
        write(self.out / "all", every, [(face, "train") for face in parts["train"]] + [
            (face, "test") for face in judged])
        write(self.out / "judge", every, [(face, "test") for face in judged])
        print(f"{self.out}: {len(parts['train'])} faces train, {len(judged)} test")


@dataclass(frozen=True)
class Measure:
    """Measures the network that has all labels, and networks of the two projects beside it, on the faces that test."""

    out: Annotated[Positional[Path], None]  # of `write`
    runs: Annotated[Positional[tuple[Path, ...]], None]  # .../<variant>/seed-<n>; the first has all labels
    room: Path | None = None  # folder whose results.csv gets the numbers; none by default

    def __call__(self) -> None:
        found: list[Result] = []
        reference = float("nan")
        for number, run in enumerate(self.runs):
            stored, variant = read_json(run / "results.json"), ALL_LABELS
            with tempfile.TemporaryDirectory() as folder:
                asked = Evaluate(run=str(run), project=self.out / "judge", out=Path(folder) / "errors")
                values = errors_of(evaluate(asked, tell=lambda line: None))
            if number:
                variant = stored["variant"]
                values["test/over_all_labels"] = values["test/nme"] / reference - 1
            else:
                reference = values["test/nme"]
            numbers = ", ".join(f"{name} {one:.4g}" for name, one in values.items())
            print(f"{variant}, seed {stored['seed']}: {numbers}")
            found += [Result(PRESET, _settings(stored), variant, str(stored["seed"]), name, value,
                             steps=stored["steps"], seconds=round(stored["wall_seconds"], 1), device="1 cpu",
                             date=datetime.now(UTC).date().isoformat(), commit=stored["commit"])
                      for name, value in values.items()]
        if self.room:
            write_results(self.room, merged(read_results(self.room), found))


def _settings(stored: Mapping[str, Any]) -> str:
    """Returns the settings of a run without its project."""
    return " ".join(part for part in stored["settings"].split() if not part.startswith("project="))


def errors_of(path: Path) -> dict[str, float]:
    """Computes mean errors as shares of the distance between the eyes' outer corners, and PCK at a tenth of it, from
    the errors.csv of all 68 points of some faces."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    names = list(dict.fromkeys(row["keypoint"] for row in rows))
    errors = np.array([float(row["error"]) for row in rows]).reshape(-1, len(names))
    true = np.array([[float(row["true_x"]), float(row["true_y"])] for row in rows]).reshape(*errors.shape, 2)
    shares = errors / between_eyes(Skeleton(tuple(names)))(true, np.ones(errors.shape))[:, None]
    half = np.isin(names, chosen(FIRST).names)
    return {"test/nme": float(shares.mean()), "test/nme_first": float(shares[:, half].mean()),
            "test/nme_second": float(shares[:, ~half].mean()), "test/pck": float((shares <= 0.1).mean()),
            "test/points": float(shares.size)}


def chosen(runs: Sequence[str]) -> Skeleton:
    """Returns some runs of the 68 points as a skeleton."""
    kept = [k for run in runs for k in range(*RUNS[run])]
    at = {k: n for n, k in enumerate(kept)}
    return Skeleton(tuple(FACE.names[k] for k in kept), tuple((at[a], at[b]) for a, b in FACE.edges if {a, b} <= {*at}),
                    tuple(at[FACE.flip[k]] for k in kept))


def write(folder: Path, skeleton: Skeleton, faces: Sequence[tuple[Annotation, str]]) -> None:
    """Writes a project with copies of its images. faces: each with the split that it is in."""
    folder.mkdir(parents=True)
    (folder / FILE).write_text(skeleton_text(skeleton), encoding="utf-8")
    with (folder / "labels.csv").open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["image", "keypoint", "x", "y", "split"])
        for face, split in faces:
            image = folder / "images" / face.name
            image.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(face.image, image)
            rows.writerows([f"images/{face.name}", name, *(f"{value:.6g}" for value in face.keypoints[k]), split]
                           for name in skeleton.names for k in [FACE.names.index(name)])


def _faces(folder: Path) -> dict[str, list[Annotation]]:
    faults: list[str] = []
    parts = read(folder, faults)
    if faults:
        raise InputError("faces", f"{folder}: {faults[0]}")
    return parts


COMMANDS = {"write": Write, "measure": Measure}


def main(arguments: Sequence[str]) -> None:
    """Runs a command. Raises InputError for faults of the faces, or a folder that is there already."""
    run_named(COMMANDS, arguments, prog="python -m experiments.semi_supervised.two_projects")


if __name__ == "__main__":
    raise SystemExit(exit_code_of(lambda: main(sys.argv[1:])))
