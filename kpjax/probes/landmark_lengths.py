"""What errors of landmarks are measured in: the distance of the eyes or of two other landmarks, or the object's size.

A face that is nearly in profile has eyes that nearly coincide, and one such image can outweigh hundreds of others;
`median` gives every image the set's median length instead.
"""
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from kpjax.errors import InputError, summarise
from kpjax.metrics import distance_between
from kpjax.structures import Skeleton

Normaliser = Callable[[ArrayLike, ArrayLike], np.ndarray]  # annotated (N, M, 2) px, visible (N, M) -> (N,) px

EYES = (("left_eye", "right_eye"), ("right_eye_0", "left_eye_3"))  # centres of five points, outer corners of 68


def between(skeleton: Skeleton, first: str, second: str, *, median: bool = False) -> Normaliser:
    """The distance between two named landmarks of each image, or its median over the images.

    Raises InputError if the skeleton has them not; the normaliser does if an image does not show both, or, with
    `median`, if none does.
    """
    ends = [skeleton.index(name) for name in (first, second)]

    def lengths(annotated: ArrayLike, visible: ArrayLike) -> np.ndarray:
        shown = (np.asarray(visible)[:, ends] > 0.5).all(1)
        if not shown.any() or not (median or shown.all()):
            without = [f"number {number}" for number in np.flatnonzero(~shown)]
            raise InputError(f"lengths: {len(without)} of {len(shown)} images have no annotation of {first} and "
                             f"{second}, whose distance errors are measured in ({summarise(without)}); annotate them, "
                             "leave these images out or choose another length")
        return _by_set(np.where(shown, distance_between(annotated, *ends), np.nan), median)

    return lengths


def between_eyes(skeleton: Skeleton, *, median: bool = False) -> Normaliser:
    """The distance between the eyes, those of faces of 68 points between the outer corners.

    Raises InputError for a skeleton without eyes, and as `between` does.
    """
    known = [pair for pair in EYES if set(pair) <= set(skeleton.names)]
    if not known:
        raise InputError(f"lengths: errors are to be measured in distances between eyes, and the landmarks are "
                         f"{summarise(list(skeleton.names), shown=20) or 'none'}; name two of them, or choose the "
                         "object's size")
    return between(skeleton, *known[0], median=median)


def object_size(*, median: bool = False) -> Normaliser:
    """The root of the area of the box around the landmarks that an image shows.

    The normaliser raises InputError for an image that shows fewer than two.
    """
    def lengths(annotated: ArrayLike, visible: ArrayLike) -> np.ndarray:
        shown = np.asarray(visible) > 0.5
        if few := [f"number {number}" for number in np.flatnonzero(shown.sum(1) < 2)]:
            raise InputError(f"lengths: {len(few)} of {len(shown)} images show fewer than two landmarks, whose box "
                             f"errors are measured in ({summarise(few)}); leave them out")
        points, hidden = np.asarray(annotated, np.float64), ~shown[..., None]
        extent = np.where(hidden, -np.inf, points).max(1) - np.where(hidden, np.inf, points).min(1)
        return _by_set(np.sqrt(extent.prod(1)), median)

    return lengths


def constant(length: float) -> Normaliser:
    """The same length in pixels for all images, for example their side."""
    return lambda annotated, visible: np.full(len(np.asarray(annotated)), float(length))


def _by_set(lengths: np.ndarray, median: bool) -> np.ndarray:
    return np.full(len(lengths), np.nanmedian(lengths)) if median else lengths
