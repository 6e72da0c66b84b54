"""CelebA, aligned and cropped faces with five points, and MAFL, its subset for evaluating
landmarks.

MAFL is two lists of image names. Every image is in one split: `mafl_train`, `mafl_test`, or
CelebA's own `train`, `validation` and `test` without both; a twentieth of the first is `mafl_tune`.
Frozen-core adaptation trains on all but `mafl_test`, as in the paper; IMM on "train" and most of
"mafl_train". Coordinates and images are stored unchanged. `scale` is the distance between the eyes
in pixels.
"""

from pathlib import Path

import numpy as np

from data.annotations import Annotation
from data.checking import Splits, downloaded_dataset, exists, first_of, row
from data.faces import FIVE_POINTS, between_eyes, listed_names
from data.parts import with_tune
from data.prepared import Card
from kpjax.errors import summarise

LANDMARKS = "Anno/list_landmarks_align_celeba.txt"
PARTITION = "Eval/list_eval_partition.txt"
MAFL = {"mafl_train": "MAFL/training.txt", "mafl_test": "MAFL/testing.txt"}
IMAGES = ("img_align_celeba_hq", "img_align_celeba")  # the first is that of IMM's archive
PARTS = {"0": "train", "1": "validation", "2": "test"}
SIZE = (178, 218)  # width and height of every aligned image


def read(folder: Path, faults: list[str]) -> dict[str, list[Annotation]]:
    """Reads the faces of each split.

    `folder` holds Anno, Eval, Img and MAFL, or has a folder `celeba` that does.
    """
    root = folder / "celeba" if (folder / "celeba").is_dir() else folder
    rows, parts = _landmarks(root, faults), _parts(root, faults)
    images = first_of(root / "Img", IMAGES, "")
    subset: dict[str, str] = {}
    for split, path in MAFL.items():
        for name in listed_names(root / path, faults):
            if name in subset:
                faults.append(
                    f"{path}: {name} is already in {MAFL[subset[name]]}; delete one of the entries"
                )
            elif rows and name not in rows:
                faults.append(
                    f"{path}: {name} has no row in {LANDMARKS}; download lists of one release"
                )
            subset[name] = split
    if rows and (unnamed := sorted(_images(images) - rows.keys())):
        faults.append(
            f"{LANDMARKS}: no row for {len(unnamed)} of the images in Img/{images.name} "
            f"({summarise(unnamed)}); download lists of the same release"
        )
    faces: dict[str, list[Annotation]] = {split: [] for split in (*PARTS.values(), *MAFL)}
    for name, points in rows.items():
        if parts and name not in parts:
            faults.append(
                f"{PARTITION}: {name} is missing, but it has a row in {LANDMARKS}; download both again"
            )
            continue
        split = subset.get(name) or parts.get(name, "train")
        faces[split].append(
            Annotation(name.rpartition(".")[0], images / name, points, np.ones(5, bool), SIZE)
        )
    return faces


def _landmarks(root: Path, faults: list[str]) -> dict[str, np.ndarray]:
    """Reads the five points (5, 2) of each image name."""
    path = root / LANDMARKS
    if not exists(path, faults, LANDMARKS):
        return {}
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    rows: dict[str, np.ndarray] = {}
    for line, text in enumerate(lines[2:], start=3):
        name, *cells = text.split() or [""]
        where = f"{LANDMARKS} line {line} ({name})"
        if not name:
            continue
        if len(cells) != 10:
            faults.append(f"{where}: expected 10 coordinates, found {len(cells)}")
            continue
        if name in rows:
            faults.append(f"{where}: the image has a row already; keep one")
        if (points := row(cells, where, faults)) is not None:
            rows[name] = points.reshape(5, 2)
    promised = lines[0].strip() if lines else ""
    found = sum(bool(text.strip()) for text in lines[2:])
    if promised != str(found):
        faults.append(
            f"{LANDMARKS}: the first line announces {promised or 'nothing'}, found {found} rows; "
            "download it again"
        )
    return rows


def _parts(root: Path, faults: list[str]) -> dict[str, str]:
    """Reads the split of each image name in CelebA's own partition."""
    parts = {}
    for line, text in enumerate(listed_names(root / PARTITION, faults), start=1):
        name, _, part = text.partition(" ")
        if part.strip() not in PARTS:
            faults.append(
                f"{PARTITION} line {line} ({name}): expected part 0, 1 or 2, found "
                f"{part.strip() or 'nothing'}"
            )
        parts[name] = PARTS.get(part.strip(), "train")
    return parts


def _images(folder: Path) -> set[str]:
    return (
        {file.name for file in folder.iterdir() if file.suffix == ".jpg"}
        if folder.is_dir()
        else set()
    )


def with_tuning_of_mafl(splits: Splits) -> Splits:
    """Returns the splits with a share of MAFL's training faces as "mafl_tune"."""
    mafl = with_tune({"train": splits["mafl_train"]})
    return {**splits, **{f"mafl_{part}": faces for part, faces in mafl.items()}}


DATASET = downloaded_dataset(
    "celeba",
    read,
    FIVE_POINTS,
    Card(
        __doc__,
        where=(
            "Anno, Eval and Img of the aligned release "
            "(mmlab.ie.cuhk.edu.hk/projects/CelebA.html), MAFL/ from zhzhanp/TCDCN-face-alignment "
            "(GitHub)"
        ),
        licence="non-commercial research",
        homepage="https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html",
        citation=(
            "Liu et al., Deep Learning Face Attributes in the Wild, ICCV 2015; Zhang et al., "
            "Facial Landmark Detection by Deep Multi-task Learning, ECCV 2014."
        ),
    ),
    parts=with_tuning_of_mafl,
    reference=between_eyes,
    tune="mafl_tune",
)
