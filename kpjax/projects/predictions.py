"""Predicted points as one table, whatever file they are written to: a row for every frame, readable or not."""
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from kpjax.structures import Skeleton

OK, UNREADABLE, NO_BOX = "ok", "unreadable", "no_box"


class PredictionTable(NamedTuple):
    """Points on N frames of a video, or on N pictures, of I animals.

    Coordinates are (x, y) in pixels of the frame as it is shown, the centre of its top-left pixel at (0, 0).
    """

    source: Path  # the video, or the first folder or picture that was named
    is_video: bool
    names: tuple[str, ...]  # (N,) the pictures' names, or that of the video for each frame
    files: tuple[Path, ...]  # (N,) where the pictures are; none for a video
    numbers: np.ndarray  # (N,) int64, of the frames in their video, counted from 0
    times: np.ndarray | None  # (N,) float64 s, when each frame is shown; None for pictures
    sizes: np.ndarray  # (N, 2) int64, width and height; 0 where unreadable
    instances: tuple[str, ...]  # (I,) what the animals are called; ("0",) where there is but one
    boxes: np.ndarray  # (N, I, 4) float64: x, y, width, height of the edges; nan where the whole frame was looked at
    keypoints: np.ndarray  # (N, I, K, 2) float64; nan where the status is not ok
    scores: np.ndarray  # (N, I, K) float64; 0 where the status is not ok
    status: np.ndarray  # (N, I) of ok, unreadable (the frame does not decode) and no_box (nobody is said to be there)
    outside: np.ndarray  # (N, I, K) bool: the point lies beyond the frame's edge
    skeleton: Skeleton
    title: str  # of the run, in letters, digits and underscores


def empty_table(
    source: Path, names: Sequence[str], numbers: np.ndarray, skeleton: Skeleton, title: str, *,
    files: Sequence[Path] = (), times: np.ndarray | None = None, instances: Sequence[str] = ("0",),
    boxes: np.ndarray | None = None,
) -> PredictionTable:
    """A table whose frames are all `unreadable` until `fill` says otherwise. Pictures have `files`, videos have none.

    boxes: (N, I, 4), nan where an animal is not on a frame; None if there is but one and the whole frame is looked at.
    """
    shape = len(names), len(instances), len(skeleton.names)
    return PredictionTable(
        source, not files, tuple(names), tuple(files), np.asarray(numbers, np.int64), times,
        np.zeros((shape[0], 2), np.int64), tuple(instances),
        np.full((*shape[:2], 4), np.nan) if boxes is None else boxes,
        np.full((*shape, 2), np.nan), np.zeros(shape), np.full(shape[:2], UNREADABLE, "<U10"), np.zeros(shape, bool),
        skeleton, title)


def fill(table: PredictionTable, row: int, size: tuple[int, int], keypoints: np.ndarray, scores: np.ndarray,
         present: np.ndarray) -> None:
    """Writes a frame that was read into the arrays of a table.

    size: width and height. keypoints (I, K, 2) in pixels of the frame, scores (I, K); present (I,) bool: those of the
    animals that were looked at, the others are `no_box`.
    """
    table.sizes[row] = size
    table.status[row] = np.where(present, OK, NO_BOX)
    table.keypoints[row] = np.where(present[:, None, None], keypoints, np.nan)
    table.scores[row] = np.where(present[:, None], scores, 0.0)
    inside = ((keypoints >= -0.5) & (keypoints <= np.asarray(size) - 0.5)).all(-1)
    table.outside[row] = present[:, None] & ~inside


def point_status(table: PredictionTable, row: int, instance: int) -> tuple[str, ...]:
    """The status of each keypoint: ok or outside, or that of the whole frame or animal."""
    status = str(table.status[row, instance])
    if status != OK:
        return (status,) * len(table.skeleton.names)
    return tuple("outside" if beyond else OK for beyond in table.outside[row, instance])


def rows_to_write(table: PredictionTable, row: int) -> list[int]:
    """The animals of a frame that tables of animals have a row for: those that are not `no_box`, and the first one if
    there is none, so that every frame has a row."""
    return [int(number) for number in np.flatnonzero(table.status[row] != NO_BOX)] or [0]


def extent(table: PredictionTable, row: int, instance: int) -> np.ndarray:
    """(4,) float64 x, y, width, height: the given box, or the pixels that the points span; zeros without points."""
    box, points = table.boxes[row, instance], table.keypoints[row, instance]
    if np.isfinite(box).all():
        return box
    if not points.size or not np.isfinite(points).all():
        return np.zeros(4)
    return np.concatenate([points.min(0), np.ptp(points, axis=0) + 1])
