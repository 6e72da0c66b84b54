"""Frames as `suggest` sees them: thumbnails and predictions, those with labels, and a choice of
unlike ones.
"""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from kpjax import InputError, Skeleton
from kpjax.formats.names import recording
from kpjax.formats.project import Frame, Project
from kpjax.formats.project_source import images_of
from kpjax.lab.reports.pixel_errors import read_errors

THUMBNAIL = 16  # px


class SeenFrames(NamedTuple):
    """Frames of which some may be suggested, N of them."""

    rows: np.ndarray  # (N,) int64, numbers of the frames among those that were looked at
    features: np.ndarray  # (N, F) float32, see `thumbnail`
    unreadable: tuple[str, ...]  # the frames that do not decode
    without_box: int  # frames that are left out, since no animal is on them


class LabelledFrames(NamedTuple):
    """Frames that have labels: those of a project, or those that a run has read."""

    #: (L, F), thumbnails of those that can be read
    features: np.ndarray = np.zeros((0, THUMBNAIL**2), np.float32)
    frames: tuple[Frame, ...] = ()
    notes: tuple[str, ...] = ()  # those that cannot


def look_at(
    frames: Sequence[Frame],
    *,
    every: int = 1,
    boxes: np.ndarray | None = None,
    tick: Callable[[int], object] = lambda count: None,
    each: Callable[[int, np.ndarray], object] = lambda row, image: None,
) -> SeenFrames:
    """Makes thumbnails of all images and of frames 0, every, 2 every ... of each video, in one
    pass.

    Frames that do not decode are named and left out, those without a box are counted and left out.

    frames: images and all frames of videos, as `frames_at` returns them. boxes: (N, I, 4) x, y,
    width, height of the animals on the frames, nan where one is not there; None for one animal
    somewhere on each. tick: called with the number of frames passed. each: called with
    the row and the image (H, W, 3) uint8 of every frame that is kept.
    """
    kept: dict[int, np.ndarray] = {}
    unreadable, without_box = [], 0
    rows = [row for row, frame in enumerate(frames) if not (frame.number or 0) % every]
    tick(len(frames) - len(rows))
    for place, image in images_of([frames[row] for row in rows]):
        tick(1)
        row = rows[place]
        if isinstance(image, InputError):
            unreadable.append(frames[row].name)
        elif boxes is not None and not np.isfinite(boxes[row]).all(-1).any():
            without_box += 1
        else:
            kept[row] = thumbnail(image)
            each(row, image)
    if not kept:
        why = "has a box" if without_box else "can be read"
        raise InputError(
            "inputs",
            f"none of the {len(frames)} frames {why}; "
            + (
                "give boxes of these images or videos"
                if without_box
                else "fetch the images or videos again"
            ),
        )
    return SeenFrames(
        np.array(list(kept)), np.stack(list(kept.values())), tuple(unreadable), without_box
    )


def labelled_frames(project: Project, skeleton: Skeleton) -> LabelledFrames:
    """Reads the labelled frames of a project.

    Raises InputError for one without a keypoint of `skeleton`.
    """
    if not set(skeleton.names) & set(project.skeleton.names):
        raise InputError(
            "labelled",
            f"{project.root} labels {', '.join(project.skeleton.names)}, the run predicts "
            f"{', '.join(skeleton.names)}; give the project that the run was trained on",
        )
    return with_features(
        tuple(project.frames[number] for number in sorted({one.frame for one in project.instances}))
    )


def frames_of_run(folder: Path) -> LabelledFrames:
    """Reads the labelled frames that a run has learnt from or held out, as its errors.csv lists
    them; none of a run without that list."""
    kept = read_errors(folder)
    if kept is None:
        return LabelledFrames()
    places = dict.fromkeys(zip(kept.images, kept.frames, strict=True))
    return with_features(
        tuple(
            Frame(path.as_posix(), path, number, session=path.parent.name)
            for path, number in places
        )
    )


def joined(one: LabelledFrames, other: LabelledFrames) -> LabelledFrames:
    """Returns the frames of both."""
    return LabelledFrames(
        np.concatenate([one.features, other.features]),
        one.frames + other.frames,
        one.notes + other.notes,
    )


def with_features(frames: tuple[Frame, ...]) -> LabelledFrames:
    """Reads frames, and notes those that cannot be read."""
    notes, features = [], []
    for _, image in images_of(frames):
        if isinstance(image, InputError):
            notes.append(str(image))
        else:
            features.append(thumbnail(image))
    return LabelledFrames(
        np.stack(features) if features else LabelledFrames().features, frames, tuple(notes)
    )


def has_label(frames: Sequence[Frame], labelled: Sequence[Frame], apart: int) -> np.ndarray:
    """Returns (N,) bool: frames that are labelled, or closer than `apart` frames to a labelled one
    of their video.

    Frames are compared by their files. Those that a tool extracted from a video are compared by its
    name and the number at the end of theirs: `labeled-data/<video>/img0123.png` is frame 123 of
    `<video>.mp4`.
    """
    place = {path: path.resolve() for path in {frame.path for frame in (*frames, *labelled)}}
    files = {place[frame.path] for frame in labelled if frame.number is None}
    taken: dict[str | Path, list[int]] = {}
    for frame in labelled:
        trailing = re.search(r"(\d+)$", frame.path.stem)
        number = int(trailing[1]) if frame.number is None and trailing else frame.number
        if number is not None:
            if frame.number is None:
                names = {recording(one) for one in {frame.session, frame.path.parent.name} - {""}}
            elif frame.path.exists():  # another video may have its name
                names = {place[frame.path]}
            else:
                names = {recording(frame.path.stem)}
            for name in names:
                taken.setdefault(name, []).append(number)
    return np.array(
        [
            place[frame.path] in files
            if frame.number is None
            else any(
                abs(frame.number - other) < max(apart, 1)
                for name in (frame.path.stem, place[frame.path])
                for other in taken.get(name, ())
            )
            for frame in frames
        ],
        bool,
    )


def thumbnail(image: np.ndarray) -> np.ndarray:
    """Returns (THUMBNAIL**2,) float32 grey values in [0, 1] of an image (H, W, 3) uint8, to compare
    appearances.
    """
    small = Image.fromarray(image).convert("L").resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX)
    return np.asarray(small, np.float32).reshape(-1) / np.float32(255)


def k_centre(features: np.ndarray, count: int, *, taken: np.ndarray | None = None) -> np.ndarray:
    """Selects images one by one, each the farthest from all selected before (Gonzalez 1985).

    Returns (count,) int64 numbers of images in order of selection, at most N; the first of equally
    far ones.

    features: (N, F). taken: (L, F), features of images to keep away from, such as labelled ones.
    Without any, the image nearest to the mean comes first.
    """
    features = np.asarray(features, np.float64)
    nearest, chosen = np.full(len(features), np.inf), []
    for other in () if taken is None else np.asarray(taken, np.float64):
        nearest = np.minimum(nearest, np.linalg.norm(features - other, axis=1))
    while len(chosen) < min(count, len(features)):
        chosen.append(
            int(
                nearest.argmax()
                if np.isfinite(nearest).all()
                else np.linalg.norm(features - features.mean(0), axis=1).argmin()
            )
        )
        nearest = np.minimum(nearest, np.linalg.norm(features - features[chosen[-1]], axis=1))
        nearest[chosen[-1]] = -1
    return np.array(chosen, np.int64)


def apart_in_time(frames: Sequence[Frame], apart: int) -> np.ndarray:
    """Returns the numbers of frames of which no two of one video are closer than `apart`, the
    earliest first.

    frames: rising in each video. No distance applies to images.
    """
    kept, last = [], {}
    for number, frame in enumerate(frames):
        if frame.number is None or frame.number - last.get(frame.path, -apart) >= apart:
            kept.append(number)
            last[frame.path] = frame.number
    return np.array(kept, np.int64)
