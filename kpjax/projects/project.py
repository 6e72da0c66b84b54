"""What an annotation project holds, whatever tool wrote it: frames, and the labelled animals on them."""
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from kpjax.structures import Skeleton


class Frame(NamedTuple):
    """A picture, or one frame of a video."""

    name: str  # unique in its project: a picture's path below the root with forward slashes, or "<video>/<number>"
    path: Path  # the picture, or the video file (or folder of frames) that it is taken from
    number: int | None  # of the frame in its video, counted from 0 as `kpjax.input.video` does; None for a picture
    size: tuple[int, int]  # width and height in pixels; (0, 0) where neither project nor file tells
    session: str  # the video or recording that it belongs to, "" if nothing tells: frames of one are never split
    split: str = ""  # train, validation or test where the project says so


class Instance(NamedTuple):
    """One animal, person or thing on a frame, as a person labelled it.

    Coordinates are (x, y) in pixels of the frame, the centre of the top-left pixel at (0, 0).
    """

    frame: int  # the number of its frame in the project
    keypoints: np.ndarray  # (K, 2) float64, nan exactly where `visible` is 0
    visible: np.ndarray  # (K,) float32, 1 where a keypoint is labelled
    occluded: np.ndarray  # (K,) bool, labelled, but hidden behind something
    box: np.ndarray  # (4,) float64: x, y, width, height of its edges, a pixel at 0 spanning 0 to 1; nan without one
    track: str = ""  # the name of the individual, "" if there is but one


class Project(NamedTuple):
    """An annotation project. Frames without an instance stay: they are pictures without labels."""

    root: Path
    format: str  # coco, deeplabcut, sleap, lightning_pose or csv
    skeleton: Skeleton  # keypoints in the project's own order
    frames: tuple[Frame, ...]
    instances: tuple[Instance, ...]
    notes: tuple[str, ...] = ()  # a line for everything that was derived, dropped or read in one of several ways
    details: Mapping[str, Any] = {}  # what only a writer of the same format needs: ids, scorer, category
