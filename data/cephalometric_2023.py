"""Lateral head X-rays with 38 landmarks: the training images of the CL-Detection 2023 challenge
(MICCAI).

The 400 public images, from three centres, are one stack of 2,880 x 2,400 pixels
(`train_stack.mha`). Its black padding on the right and below is cut off here. `train-gt.json` has
the landmarks by image and number, and the pixel spacing of each image in millimetres. The files do
not name the landmarks.

300 images train, 50 validate and 50 test, in the order of Python's `random.Random(2023)`, as in the
challenge's baseline. `scale` is the number of pixels per millimetre. An error divided by it is in
millimetres, exactly so after transforms that keep the aspect ratio. There is no valid mirror image,
and the skeleton has no edges.
"""

import json
import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from data.checking import entries, faults_of, numbers, read_json, read_whole
from data.metaimage import Stack, images, read_stack
from data.prepared import Card, Dataset, Record, record
from kpjax.structures import Skeleton

LANDMARKS = 38
HEAD = Skeleton(
    tuple(f"landmark_{number}" for number in range(1, LANDMARKS + 1)),
    groups={"all": tuple(range(LANDMARKS))},
)
STACK, TRUTH = "train_stack.mha", "train-gt.json"
SPLITS = {"train": 300, "validation": 50, "test": 50}
SEED = 2023


class Marked(NamedTuple):
    """The landmarks of one image."""

    keypoints: np.ndarray  # (38, 2) float64, px
    spacing: float  # millimetres per pixel


def read(folder: Path, faults: list[str]) -> tuple[Stack | None, list[Marked]]:
    """Reads the stack and the landmarks of its images, in the order of the stack."""
    stack = read_stack(folder / STACK, faults)
    if stack is not None and stack.channels not in (1, 3):
        faults.append(f"{STACK}: expected 1 or 3 channels, found {stack.channels}")
        stack = None
    content = read_json(folder / TRUTH, faults)
    if content is None or stack is None:
        return stack, []
    points = content.get("points") if isinstance(content, dict) else content
    of_image: dict[int, dict[str, tuple[np.ndarray, float]]] = defaultdict(dict)
    for number, entry in entries(points, ("name", "point"), f"{TRUTH} points", faults):
        where = f"{TRUTH} points entry {number} (landmark {entry['name']})"
        place = numbers(entry["point"], (3,), f"{where} point", faults)
        if place is None:
            continue
        spacing = _spacing(entry.get("scale"))
        if spacing is None:
            faults.append(
                f"{where}: expected a positive scale, the pixel spacing of image "
                f"{place[2]:g} in millimetres, found {json.dumps(entry.get('scale'))}"
            )
        elif str(entry["name"]) in of_image[int(place[2])]:
            faults.append(
                f"{where}: image {place[2]:g} has this landmark twice; keep one of the entries"
            )
        else:
            of_image[int(place[2])][str(entry["name"])] = place[:2], spacing
    return stack, [
        _read_marks(of_image.get(number, {}), number, stack, faults)
        for number in range(1, stack.count + 1)
    ]


def _spacing(value) -> float | None:
    """Converts a number or its text to millimetres per pixel, None if it is not a positive
    number."""
    try:
        spacing = float(value)
    except (TypeError, ValueError):
        return None
    return spacing if np.isfinite(spacing) and spacing > 0 else None


def _read_marks(
    landmarks: dict[str, tuple[np.ndarray, float]], image: int, stack: Stack, faults: list[str]
) -> Marked:
    names = [str(number) for number in range(1, LANDMARKS + 1)]
    where = f"{TRUTH}: image {image}"
    nothing = Marked(np.zeros((LANDMARKS, 2)), 1.0)
    if absent := [name for name in names if name not in landmarks]:
        faults.append(
            f"{where} lacks {len(absent)} of {LANDMARKS} landmarks, first {absent[0]}; download it again"
        )
        return nothing
    spacings = {landmarks[name][1] for name in names}
    if len(spacings) > 1:
        faults.append(
            f"{where} has the scales {min(spacings):g} and {max(spacings):g}; an image has one pixel spacing"
        )
    points = np.stack([landmarks[name][0] for name in names])
    outside = ((points < -0.5) | (points > np.array([stack.width, stack.height]) - 0.5)).any(1)
    if outside.any():
        x, y = points[outside][0]
        faults.append(
            f"{where}: landmark {names[int(outside.argmax())]} is at ({x:g}, {y:g}), outside the "
            f"{stack.width}x{stack.height} pixels of the stack"
        )
    return Marked(points, spacings.pop())


def random_split(count: int) -> dict[str, list[int]]:
    """Returns the image numbers of each split, from 0: 300, 50 and 50 of 400, other counts in
    proportion.
    """
    order = list(range(count))
    random.Random(SEED).shuffle(order)
    ends = np.cumsum(list(SPLITS.values())) * count // sum(SPLITS.values())
    return dict(
        zip(
            SPLITS,
            (part.tolist() for part in np.split(np.array(order, int), ends[:-1])),
            strict=True,
        )
    )


def without_padding(image: np.ndarray) -> np.ndarray:
    """Crops an image (H, W, C) to end at its last row and column that are not black."""
    lit = image.any(axis=2)
    if not lit.any():
        return image
    height, width = (int(np.flatnonzero(lit.any(axis=axis))[-1]) + 1 for axis in (1, 0))
    return image[:height, :width]


def _records(stack: Stack, marked: Sequence[Marked], chosen: Sequence[int]) -> Iterator[Record]:
    for number, grey in images(stack, set(chosen)):
        shown = without_padding(grey)
        image = np.ascontiguousarray(np.broadcast_to(shown, (*shown.shape[:2], 3)))
        points = marked[number].keypoints
        yield record(
            image, points, np.ones(len(points)), 1 / marked[number].spacing, f"{number + 1:03d}"
        )


def splits(folder: Path) -> dict[str, Iterator[Record]]:
    """Returns the X-rays of the three splits. Raises InputError if a file has any fault."""
    stack, marked = read_whole(read, folder, "cephalometric_2023")
    return {
        split: _records(stack, marked, chosen)
        for split, chosen in random_split(stack.count).items()
        if chosen
    }


DATASET = Dataset(
    "cephalometric_2023",
    HEAD,
    Card(
        __doc__,
        where=(
            "train_stack.mha and train-gt.json of cl-detection2023.grand-challenge.org (register "
            "first)"
        ),
        licence="research use",
        homepage="https://cl-detection2023.grand-challenge.org",
        citation=(
            "Zhang et al., Deep Learning Techniques for Automatic Lateral X-ray Cephalometric "
            "Landmark Detection: Is the Problem Solved?, 2024."
        ),
    ),
    splits,
    partial(faults_of, read),
    "png",
    tune="validation",
)
