"""Rendered Handpose (RHD): synthetic hands with exact points, the usual source domain for hands.

The selection of hands and their crop are RegDA's (Jiang et al., CVPR 2021). Each hand of an image
is an example of its own, cropped and, if it is a right hand, mirrored. The prepared set holds the
crops, encoded losslessly. `scale` is the diagonal of the visible points' box in pixels of the crop.
"""

from functools import partial
from pathlib import Path

import numpy as np

from data.annotations import Annotation
from data.checking import downloaded_dataset, numbers, read_pickle
from data.hands import HAND, cut_hand
from data.parts import with_tune
from data.prepared import Card
from kpjax.images.boxes import box_area, box_intersection, square_box, tight_box

FOLDER = "RHD_published_v2"
PARTS = {"train": "training", "test": "evaluation"}
SIDE = 320
TIP_TO_BASE = np.array([0, 4, 3, 2, 1, 8, 7, 6, 5, 12, 11, 10, 9, 16, 15, 14, 13, 20, 19, 18, 17])
SMALLEST, FEWEST_VISIBLE, MOST_OVERLAP = 64, 16, 0.3


def read(folder: Path, faults: list[str]) -> dict[str, list[Annotation]]:
    """Reads the hands of both splits that are large enough, visible enough and not covered by the
    other hand.
    """
    root = folder / FOLDER if (folder / FOLDER).is_dir() else folder
    return {split: _hands(root / part, part, faults) for split, part in PARTS.items()}


def _hands(root: Path, part: str, faults: list[str]) -> list[Annotation]:
    kept = []
    content = read_pickle(root / f"anno_{part}.pickle", faults)
    if content is not None and not isinstance(content, dict):
        faults.append(
            f"anno_{part}.pickle: expected a mapping from image number to labels, found a "
            f"{type(content).__name__}; download it again"
        )
        return []
    for number, entry in (content or {}).items():
        if (
            not isinstance(number, int | np.integer)
            or not isinstance(entry, dict)
            or "uv_vis" not in entry
        ):
            faults.append(f"anno_{part}.pickle entry {number!r}: field uv_vis is missing")
            continue
        table = numbers(
            entry["uv_vis"], (42, 3), f"anno_{part}.pickle entry {number} uv_vis", faults
        )
        if table is None:
            continue
        hands = table[TIP_TO_BASE], table[21 + TIP_TO_BASE]
        for side, hand, other in zip(("left", "right"), hands, hands[::-1], strict=True):
            if _usable(hand, other):
                kept.append(
                    Annotation(
                        f"{part}/{number:05d}-{side}",
                        root / "color" / f"{number:05d}.png",
                        hand[:, :2],
                        hand[:, 2] > 0,
                        (SIDE, SIDE),
                        partial(cut_hand, mirror=side == "right"),
                    )
                )
    return kept


def _usable(hand: np.ndarray, other: np.ndarray) -> bool:
    """Returns whether RegDA selects a hand. hand, other: (21, 3) rows of u, v, visible."""
    square, beside = square_box(tight_box(hand[:, :2]), SIDE, SIDE), tight_box(other[:, :2])
    left, upper, right, lower = square
    if max(right - left, lower - upper) <= SMALLEST or hand[:, 2].sum() <= FEWEST_VISIBLE:
        return False
    return box_area(box_intersection(square, beside)) / box_area(square) < MOST_OVERLAP


DATASET = downloaded_dataset(
    "rhd",
    read,
    HAND,
    Card(
        __doc__,
        where="unpack RHD_v1-1.zip from lmb.informatik.uni-freiburg.de (RenderedHandposeDataset)",
        licence="research use only",
        homepage="https://lmb.informatik.uni-freiburg.de/resources/datasets/RenderedHandposeDataset.en.html",
        citation=(
            "Zimmermann and Brox, Learning to Estimate 3D Hand Pose from Single RGB Images, ICCV "
            "2017."
        ),
    ),
    parts=partial(with_tune, unit=lambda hand: hand.name.partition("-")[0]),
    encoding="png",
)
