"""ATRW: Amur tigers in zoos, 15 points, each image cropped to one tiger.

The folder holds the published archives, or the layout of MMPose (`annotations/`, `images/train/`
and so on). Image names are under `filename` in the first and `file_name` in the second. The labels
of the test images come from the challenge's evaluation script. Training images without a labelled
point, 1,416 of 3,609, are the split "unlabelled"; in the other lists such images are left out, since
nothing can be measured on them. Images are stored unchanged. `box` is annotated, and is the whole
image in every published entry. `scale` is its longer side in pixels, the reference length of PCK.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from data.annotations import Annotation
from data.checking import downloaded_dataset, entries, first_of, numbers, read_json
from data.prepared import Card
from kpjax.structures import Skeleton

TIGER = Skeleton(
    names=(
        "left_ear",
        "right_ear",
        "nose",
        "right_shoulder",
        "right_front_paw",
        "left_shoulder",
        "left_front_paw",
        "right_hip",
        "right_knee",
        "right_back_paw",
        "left_hip",
        "left_knee",
        "left_back_paw",
        "tail",
        "center",
    ),
    edges=(
        (0, 2),
        (1, 2),
        (2, 14),
        (5, 6),
        (5, 14),
        (3, 4),
        (3, 14),
        (13, 14),
        (9, 8),
        (8, 7),
        (7, 13),
        (12, 11),
        (11, 10),
        (10, 13),
    ),
    flip=(1, 0, 2, 5, 6, 3, 4, 10, 11, 12, 7, 8, 9, 13, 14),
    groups={
        "ear": (0, 1),
        "shoulder": (3, 5),
        "front_paw": (4, 6),
        "hip": (7, 10),
        "knee": (8, 11),
        "back_paw": (9, 12),
        "all": tuple(range(15)),
    },
)
CATEGORY = 1
FILES = {
    "train": "keypoint_train.json",
    "validation": "keypoint_val.json",
    "test": "pose_tiger02_test.json",
}
IMAGES = {"train": "train", "validation": "val", "test": "test"}
ANNOTATION_FOLDERS = ("", "annotations", "atrw_anno_pose_train")
IMAGE_FOLDERS = ("", "images")


def read(folder: Path, faults: list[str]) -> dict[str, list[Annotation]]:
    """Reads the tigers of the three lists, the training images without a label as "unlabelled"."""
    before = len(faults)
    tigers = {split: _tigers(folder, split, faults) for split in FILES}
    labelled = {
        split: [tiger for tiger in found if tiger.visible.any()] for split, found in tigers.items()
    }
    if not labelled["test"] and len(faults) == before:
        faults.append(
            f"{FILES['test']}: no image has a labelled point; this is the list without labels, download "
            "the one in ATRWEvalScript"
        )
    unlabelled = [tiger for tiger in tigers["train"] if not tiger.visible.any()]
    return {**labelled, "unlabelled": unlabelled}


def _tigers(folder: Path, split: str, faults: list[str]) -> list[Annotation]:
    path = first_of(folder, ANNOTATION_FOLDERS, FILES[split])
    content = read_json(path, faults)
    if not _is_of_tigers(content, path.name, faults):
        return []
    images = _images(content, path.name, faults)
    image_folder = first_of(folder, IMAGE_FOLDERS, IMAGES[split])
    tigers = []
    fields = ("image_id", "category_id", "bbox", "keypoints")
    for number, entry in entries(
        content.get("annotations", []), fields, f"{path.name} annotations", faults
    ):
        where = f"{path.name} annotations entry {number} (image {entry['image_id']})"
        if entry["category_id"] != CATEGORY:
            faults.append(
                f"{where}: expected category {CATEGORY} (tiger), found {entry['category_id']}; this is not a "
                "pose file of ATRW"
            )
            continue
        if str(entry["image_id"]) not in images:
            faults.append(f"{where}: the image is not listed in images; download the file again")
            continue
        box = numbers(entry["bbox"], (4,), f"{where} bbox", faults)
        labels = numbers(entry["keypoints"], (3 * len(TIGER.names),), f"{where} keypoints", faults)
        if box is None or labels is None:
            continue
        labels = labels.reshape(-1, 3)
        if not (box[2:] > 0).all():
            faults.append(
                f"{where} bbox: expected a positive width and height, found {box[2]:g} and {box[3]:g}"
            )
        elif (strange := ~np.isin(labels[:, 2], (0, 1, 2))).any():
            faults.append(
                f"{where} keypoints: expected flag 0, 1 or 2, found {labels[strange][0, 2]:g}"
            )
        else:
            name, size = images[str(entry["image_id"])]
            tigers.append(
                Annotation(
                    Path(name).stem,
                    image_folder / name,
                    labels[:, :2],
                    labels[:, 2] > 0,
                    size,
                    box=box,
                    scale=float(box[2:].max()),
                )
            )
    return tigers


def _is_of_tigers(content: Any, file: str, faults: list[str]) -> bool:
    """Returns whether a file is a mapping whose category, if any, is ATRW's tiger; adds a fault if
    not.
    """
    if content is None:
        return False
    if not isinstance(content, dict):
        faults.append(
            f"{file}: expected a mapping of images and annotations, found a {type(content).__name__}"
        )
        return False
    for number, category in entries(
        content.get("categories", []), ("id",), f"{file} categories", faults
    ):
        names = tuple(category.get("keypoints") or TIGER.names)
        if category["id"] != CATEGORY or names != TIGER.names:
            faults.append(
                f"{file} categories entry {number}: expected category {CATEGORY} (tiger) with "
                f"{len(TIGER.names)} points ({', '.join(TIGER.names[:3])}, ...), found {category['id']} "
                f"({category.get('name')}) with {len(names)} ({', '.join(map(str, names[:3]))}, ...)"
            )
            return False
    return True


def _images(
    content: Mapping[str, Any], file: str, faults: list[str]
) -> dict[str, tuple[str, tuple[int, int]]]:
    """Returns the name and size of each image by its id."""
    images = {}
    for number, entry in entries(
        content.get("images", []), ("id", "width", "height"), f"{file} images", faults
    ):
        name = entry.get("filename", entry.get("file_name"))
        if name is None:
            faults.append(f"{file} images entry {number}: field filename (or file_name) is missing")
        else:
            images[str(entry["id"])] = str(name), (entry["width"], entry["height"])
    return images


DATASET = downloaded_dataset(
    "atrw",
    read,
    TIGER,
    Card(
        __doc__,
        where=(
            "unpack the four atrw_pose archives of cvwc2019.github.io; pose_tiger02_test.json is "
            "in annotations/ of cvwc2019/ATRWEvalScript (GitHub)"
        ),
        licence="CC BY-NC-SA 4.0",
        homepage="https://cvwc2019.github.io",
        citation=(
            "Li et al., ATRW: A Benchmark for Amur Tiger Re-identification in the Wild, ACM "
            "Multimedia 2020."
        ),
    ),
    boxed=True,
    tune="validation",
)
