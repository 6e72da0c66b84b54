"""Frames as `suggest` sees them: predictions and thumbnails of all of them, and those that have labels already."""
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from kpjax.annotations.project import Frame, Project
from kpjax.annotations.project_source import read_frame
from kpjax.errors import InputError
from kpjax.images.transforms import Transform
from kpjax.images.video import open_video
from kpjax.structures import Skeleton
from kpjax.suggest.selection import THUMBNAIL, thumbnail

Predict = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
# images (B, S, S, 3) uint8 -> keypoints (B, K, 2) float32 in their pixels, scores (B, K) float32


class Network(NamedTuple):
    """A predictor of keypoints on square images, and the transform to them."""

    predict: Predict
    transform: Transform


class FrameScores(NamedTuple):
    """Predictions on N frames, coordinates in pixels of the frames."""

    frames: tuple[Frame, ...]
    keypoints: np.ndarray  # (N, K, 2) float64
    scores: np.ndarray  # (N, K) float64
    features: np.ndarray  # (N, F) float32, see `thumbnail`
    unreadable: tuple[str, ...]  # the frames that do not decode


class LabelledFrames(NamedTuple):
    """The frames of a project that have labels."""

    features: np.ndarray  # (L, F) float32, thumbnails of those that can be read
    frames: tuple[Frame, ...]
    notes: tuple[str, ...]  # those that cannot


NO_LABELS = LabelledFrames(np.zeros((0, THUMBNAIL**2), np.float32), (), ())


def score_frames(
    frames: Sequence[Frame], network: Network, *, every: int = 1, batch_size: int = 16,
    tick: Callable[[int], object] = lambda count: None,
) -> FrameScores:
    """Predicts all images and frames 0, every, 2 every ... of each video, in one pass; keeps thumbnails alone.

    Frames that do not decode are named and left out.

    Args:
        frames: images and all frames of videos, as `frames_at` returns them.
        network: the predictor. Every batch has one shape, so that it is compiled once.
        tick: called with the number of frames passed.

    Raises:
        InputError: if no frame can be read.
    """
    scored: list[tuple[Frame, np.ndarray, np.ndarray, np.ndarray]] = []
    unreadable: list[str] = []
    batch: list[tuple[Frame, np.ndarray]] = []
    for frame, image in _images(frames):
        tick(1)
        if frame.number is not None and frame.number % every:
            continue
        if image is None:
            unreadable.append(frame.name)
            continue
        batch.append((frame, image))
        if len(batch) == batch_size:
            scored += _scored(batch, network, batch_size)
            batch = []
    if batch:
        scored += _scored(batch, network, batch_size)
    if not scored:
        raise InputError("inputs", f"none of the {len(frames)} frames can be read; fetch the images or videos again")
    kept, *arrays = zip(*scored, strict=True)
    return FrameScores(kept, *map(np.stack, arrays), tuple(unreadable))


def in_frame_pixels(crop: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Returns points (..., K, 2) of a square in pixels of its frame, float64, by the (3, 3) map `crop`."""
    crop = np.asarray(crop, np.float64)
    moved = np.asarray(points, np.float64) @ crop[:, :2].T + crop[:, 2]
    return moved[..., :2] / moved[..., 2:]


def _images(frames: Sequence[Frame]) -> Iterator[tuple[Frame, np.ndarray | None]]:
    """Yields every frame with its image, None if it does not decode; each video in one pass."""
    of_video: dict[Path, dict[int, Frame]] = {}
    for frame in frames:
        if frame.number is not None:
            of_video.setdefault(frame.path, {})[frame.number] = frame
            continue
        try:
            yield frame, read_frame(frame)
        except InputError:
            yield frame, None
    for path, named in of_video.items():
        for number, image in open_video(path):
            if number in named:
                yield named[number], image


def _scored(batch: Sequence[tuple[Frame, np.ndarray]], network: Network, size: int):
    """Returns (frame, keypoints, scores, thumbnail) of each; the batch is filled up to `size` with its first image."""
    none, unseen = np.zeros((0, 2), np.float32), np.zeros(0, np.float32)
    transformed = [network.transform(image, none, unseen, np.float32(1)) for _, image in batch]
    transformed += transformed[:1] * (size - len(transformed))
    found, scores = network.predict(np.stack([one[0] for one in transformed]))
    return [(frame, in_frame_pixels(transformed[number][4], found[number]), np.asarray(scores[number], np.float64),
             thumbnail(image)) for number, (frame, image) in enumerate(batch)]


# Frames with labels


def labelled_frames(project: Project, skeleton: Skeleton) -> LabelledFrames:
    """Reads the labelled frames of a project. Raises InputError without any, or without a keypoint of `skeleton`."""
    if not set(skeleton.names) & set(project.skeleton.names):
        raise InputError("labelled", f"{project.root} labels {', '.join(project.skeleton.names)}, the run predicts "
                         f"{', '.join(skeleton.names)}; give the project that the run was trained on")
    if not project.instances:
        raise InputError("labelled", f"{project.root} has no labelled frame; leave it out")
    frames = tuple(project.frames[number] for number in sorted({one.frame for one in project.instances}))
    notes, features = [], []
    for frame in frames:
        try:
            features.append(thumbnail(read_frame(frame)))
        except InputError as error:
            notes.append(str(error))
    return LabelledFrames(np.stack(features) if features else NO_LABELS.features, frames, tuple(notes))


def has_label(frames: Sequence[Frame], labelled: Sequence[Frame], apart: int) -> np.ndarray:
    """Returns (N,) bool: frames that are labelled, or closer than `apart` frames to a labelled one of their video.

    Frames are compared by their files. Those that a tool extracted from a video are compared by its name and the
    number at the end of theirs: `labeled-data/<video>/img0123.png` is frame 123 of `<video>.mp4`.
    """
    files = {frame.path.resolve() for frame in labelled if frame.number is None}
    taken: dict[str, list[int]] = {}
    for frame in labelled:
        number = _trailing_number(frame.path.stem) if frame.number is None else frame.number
        if number is not None:
            names = {frame.session, frame.path.parent.name} if frame.number is None else {frame.path.stem}
            for name in names - {""}:
                taken.setdefault(_stem(name), []).append(number)
    return np.array([
        frame.path.resolve() in files if frame.number is None else
        any(abs(frame.number - other) < max(apart, 1) for other in taken.get(frame.path.stem, ()))
        for frame in frames], bool)


def _trailing_number(stem: str) -> int | None:
    found = re.search(r"(\d+)$", stem)
    return int(found[1]) if found else None


def _stem(name: str) -> str:
    """Returns a video's name without its folder and ending."""
    last = name.replace("\\", "/").rsplit("/", 1)[-1]
    return re.sub(r"\.(mp4|avi|mov|mkv|webm|m4v|mpg|mpeg|wmv|ogv)$", "", last, flags=re.IGNORECASE)
