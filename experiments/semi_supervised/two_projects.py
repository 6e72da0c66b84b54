"""Faces cut into two projects that name different points, to measure what one network for both is worth.

Command   python -m experiments.semi_supervised.two_projects FACES OUT --seed 0
          kpjax train supervised --project OUT/first --project OUT/second --workdir OUT/runs
          kpjax train supervised --project OUT/all --workdir OUT/runs_all
          kpjax evaluate RUN OUT/judge --out OUT/errors

FACES is the folder of `data/youtube_faces.py`. The project `first` names the jaw, the nose and the inner lips, and
`second` the brows, the eyes and the outer lips: 34 points each, none in both. Half of the training persons, drawn by
the seed, are in either. `all` has the same images with all 68 points. What tests is marked as held out and is of other
persons: those for tuning where the seed is 100 or more. `judge` has these alone, with all points.
"""
import csv
import random
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional

from data.annotations import Annotation
from data.youtube_faces import person, read
from experiments.engine.image_sets import TUNING_SEEDS
from experiments.engine.parsing import exit_code_of, parse
from kpjax import InputError
from kpjax.annotations.face_points import FACE, RUNS
from kpjax.annotations.skeleton_file import FILE, skeleton_text
from kpjax.annotations.uniting import united_skeleton
from kpjax.structures import Skeleton

FIRST = ("jaw", "bridge", "nostrils", "inner_lip")


@dataclass(frozen=True)
class Halves:
    """Writes faces as two projects of 34 points each, as one of all points, and those that test."""

    faces: Annotated[Positional[Path], None]
    out: Annotated[Positional[Path], None]
    seed: int = 0  # draws the persons of each project; from 100 on, persons for tuning test


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


def main(arguments: Sequence[str]) -> None:
    """Writes the projects. Raises InputError for faults of the faces, or a folder that is there already."""
    asked, faults = parse(Halves, arguments, prog="python -m experiments.semi_supervised.two_projects",
                          description=__doc__), []
    parts = read(asked.faces, faults)
    if faults:
        raise InputError("faces", f"{asked.faces}: {faults[0]}")
    if asked.out.exists():
        raise InputError("out", f"{asked.out} exists already; name another folder")
    judged = parts["tune" if asked.seed in TUNING_SEEDS else "test"]
    persons = sorted({person(face) for face in parts["train"]})
    random.Random(asked.seed).shuffle(persons)
    judges = sorted({person(face) for face in judged})
    halves = [({*persons[n::2]}, {*judges[n::2]}) for n in range(2)]
    skeletons = [chosen(FIRST), chosen([run for run in RUNS if run not in FIRST])]
    for name, skeleton, (train, test) in zip(("first", "second"), skeletons, halves, strict=True):
        write(asked.out / name, skeleton, [(face, "train") for face in parts["train"] if person(face) in train] + [
            (face, "test") for face in judged if person(face) in test])
    every = united_skeleton({"first": skeletons[0], "second": skeletons[1]})
    write(asked.out / "all", every, [(face, "train") for face in parts["train"]] + [(face, "test") for face in judged])
    write(asked.out / "judge", every, [(face, "test") for face in judged])
    print(f"{asked.out}: {len(parts['train'])} faces train, {len(judged)} test")


if __name__ == "__main__":
    raise SystemExit(exit_code_of(lambda: main(sys.argv[1:])))
