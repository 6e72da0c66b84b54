"""One pass over images and videos that gathers the inputs of all criteria. Only thumbnails of images are kept."""
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from kpjax.annotations.project import Frame
from kpjax.annotations.project_source import read_frame
from kpjax.errors import InputError
from kpjax.images.transforms import Transform
from kpjax.images.video import open_video
from kpjax.suggest import criteria
from kpjax.suggest.equivariance import Predict, predicted_under, turns
from kpjax.suggest.selection import thumbnail


class Network(NamedTuple):
    """A predictor of keypoints on square images, and the transform to them."""

    predict: Predict
    transform: Transform


class FrameScores(NamedTuple):
    """Predictions on N frames, coordinates and distances in pixels of the frames."""

    frames: tuple[Frame, ...]
    sizes: np.ndarray  # (N, 2) int64, width and height
    keypoints: np.ndarray  # (N, K, 2) float64
    scores: np.ndarray  # (N, K) float64
    equivariance: np.ndarray  # (N,) float64, the mean distance under turning and scaling
    others: np.ndarray  # (R, N, K, 2) float64, keypoints of the other networks
    features: np.ndarray  # (N, F) float32, see `thumbnail`
    unreadable: tuple[str, ...]  # the frames that do not decode


class _Scored(NamedTuple):
    frame: Frame
    size: tuple[int, int]
    keypoints: np.ndarray
    scores: np.ndarray
    equivariance: float
    others: np.ndarray
    feature: np.ndarray


def score_frames(
    frames: Sequence[Frame], network: Network, *, others: Sequence[Network] = (), every: int = 1, batch_size: int = 16,
    tick: Callable[[int], object] = lambda count: None,
) -> FrameScores:
    """Predicts all images and frames 0, every, 2 every ... of each video; names and leaves out those that do not
    decode.

    Args:
        frames: images and all frames of videos, as `frames_at` returns them.
        network: the predictor. Every batch has one shape, so that it is compiled once.
        others: networks for the same keypoints in the same order, for comparison.
        tick: called with the number of frames passed.

    Raises:
        InputError: if no frame can be read.
    """
    scored: list[_Scored] = []
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
            scored += _scored(batch, network, others, batch_size)
            batch = []
    if batch:
        scored += _scored(batch, network, others, batch_size)
    if not scored:
        raise InputError(f"inputs: none of the {len(frames)} frames can be read; fetch the images or videos again")
    kept, sizes, keypoints, scores, equivariance, theirs, features = zip(*scored, strict=True)
    return FrameScores(kept, np.array(sizes), np.stack(keypoints), np.stack(scores), np.array(equivariance),
                       np.stack(theirs, 1), np.stack(features), tuple(unreadable))


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


def _scored(
    batch: Sequence[tuple[Frame, np.ndarray]], network: Network, others: Sequence[Network], size: int,
) -> list[_Scored]:
    images = [image for _, image in batch]
    found, scores, squares, crops = _predicted(network, images, size)
    back, counted = predicted_under(network.predict, squares, found, turns(squares.shape[1]))
    compared = [_predicted(other, images, size) for other in others]
    made = []
    for number, (frame, image) in enumerate(batch):
        keypoints = in_frame_pixels(crops[number], found[number])
        error, = criteria.equivariance_error(
            keypoints[None], in_frame_pixels(crops[number], back[:, number])[:, None], counted[:, number, None], 1.0)
        theirs = [in_frame_pixels(maps[number], points[number]) for points, _, _, maps in compared]
        made.append(_Scored(frame, image.shape[1::-1], keypoints, np.asarray(scores[number], np.float64), float(error),
                            np.reshape(theirs, (-1, *keypoints.shape)), thumbnail(image)))
    return made


def _predicted(network: Network, images: Sequence[np.ndarray], size: int):
    """Returns (keypoints, scores, squares, crops) of a batch filled up to `size` with its first image."""
    none, unseen = np.zeros((0, 2), np.float32), np.zeros(0, np.float32)
    transformed = [network.transform(image, none, unseen, np.float32(1)) for image in images]
    transformed += transformed[:1] * (size - len(transformed))
    squares = np.stack([one[0] for one in transformed])
    found, scores = network.predict(squares)
    return found, scores, squares, [one[4] for one in transformed]
