"""The conversion of annotations to stored records, which all datasets of downloaded files share."""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from data.prepared import Counted, Record, encode, record
from kpjax.images.boxes import tight_box
from kpjax.images.reading import BROKEN

Cut = Callable[[Image.Image, np.ndarray], tuple[Image.Image, np.ndarray]]
# (keypoints, visible) -> the set's reference length in pixels
Reference = Callable[[np.ndarray, np.ndarray], float]


class Annotation(NamedTuple):
    """One example as described by the files of a dataset. Its image is still on disk."""

    name: str  # unique within its split
    image: Path
    keypoints: np.ndarray  # (K, 2) float64, in pixels of the image on disk; finite where visible
    visible: np.ndarray  # (K,) bool
    size: tuple[int, int] | None = None  # width and height stated by the files
    #: crops image and keypoints before they are stored; None: the file is stored byte for byte
    cut: Cut | None = None
    #: (4,) x, y, width, height of the labelled object; for sets that store whole images
    box: np.ndarray | None = None
    scale: float | None = None  # the set's reference length in pixels, if the files state it


def diagonal(keypoints: np.ndarray, visible: np.ndarray) -> float:
    """Returns the diagonal of the tight box around the visible points, 0 with fewer than two."""
    seen = keypoints[visible]
    return float(np.linalg.norm(np.ptp(seen, axis=0))) if len(seen) > 1 else 0.0


def split_records(
    splits: Mapping[str, Sequence[Annotation]], reference: Reference = diagonal
) -> dict[str, Counted]:
    """Returns the records of each split, made one by one.

    Empty splits are left out, since tfds cannot write them. A point outside the stored image stays
    labelled, and an empty box becomes that of the whole image. An image that does not decode is
    passed on unchanged, for the builder to report or skip.

    reference: the reference length of annotations that do not state one. If it is not positive, as
    for a frame without labels, the median of the split takes its place.
    """
    return {
        split: Counted(len(annotations), partial(_records, annotations, reference))
        for split, annotations in splits.items()
        if annotations
    }


def _records(annotations: Sequence[Annotation], reference: Reference) -> Iterator[Record]:
    def length(one: Annotation, keypoints: np.ndarray) -> float:
        return reference(keypoints, one.visible) if one.scale is None else one.scale

    lengths = [length(one, one.keypoints) for one in annotations]
    usual = float(np.median([one for one in lengths if one > 0] or [1.0]))
    for one in annotations:
        image, keypoints, box = one.image, one.keypoints, one.box
        try:
            with Image.open(one.image) as pil_image:
                size = pil_image.size
                if one.cut is not None:
                    cut, keypoints = one.cut(pil_image, keypoints)
                    image, size = encode(cut, lossless=pil_image.format != "JPEG"), cut.size
            if box is not None and not box[2:].any():
                box = np.array([0, 0, *size])
        except BROKEN:
            image, box = one.image, None  # the builder stops or skips before it applies its schema
        yield record(image, keypoints, one.visible, length(one, keypoints) or usual, one.name, box)


def box_around(keypoints: np.ndarray, visible: np.ndarray) -> np.ndarray:
    """Returns the tight box (4,) x, y, width, height around the visible points, empty with fewer
    than two.
    """
    if not visible.any():
        return np.zeros(4)
    left, upper, right, lower = tight_box(keypoints, visible)
    return np.array([left, upper, right - left, lower - upper])


def fifth_held_out(samples: Sequence) -> tuple[list, list]:
    """Splits a set without a published split as RegDA does: (train, test).

    The samples are shuffled with seed 42; the first fifth, at most 3,200, are for testing. The
    authors seed the global generator; a private one gives the same order.
    """
    shuffled = list(samples)
    random.Random(42).shuffle(shuffled)
    held_out = min(int(0.2 * len(shuffled)), 3200)
    return shuffled[held_out:], shuffled[:held_out]
