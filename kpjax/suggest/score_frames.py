"""One pass over images and videos that gathers what criteria read. No image is kept, only its thumbnail."""
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from kpjax.annotations.project import Frame
from kpjax.annotations.project_source import read_frame
from kpjax.errors import InputError
from kpjax.images.transforms import Place
from kpjax.images.video import open_video
from kpjax.suggest import arima as fitting
from kpjax.suggest import criteria
from kpjax.suggest.equivariance import Predict, predicted_under, turns
from kpjax.suggest.selection import thumbnail


class Network(NamedTuple):
    """What finds points on square images, and how images get there."""

    predict: Predict
    place: Place


class Looked(NamedTuple):
    """What is known of N frames; coordinates and distances in pixels of the frames."""

    frames: tuple[Frame, ...]
    sizes: np.ndarray  # (N, 2) int64, width and height
    keypoints: np.ndarray  # (N, K, 2) float64
    scores: np.ndarray  # (N, K) float64
    before: np.ndarray  # (N, K, 2) float64, on the frame before in the video; nan where there is none
    turned: np.ndarray  # (N,) float64, the mean distance under turning and scaling
    others: np.ndarray  # (R, N, K, 2) float64, what the other networks find
    surprise: np.ndarray  # (N,) float64, see `fitting.surprise`; nan unless every frame of the video was looked at
    features: np.ndarray  # (N, F) float32, see `thumbnail`
    unreadable: tuple[str, ...]  # the frames that do not decode


class _Waiting(NamedTuple):
    """A frame in a batch."""

    frame: Frame
    image: np.ndarray
    wanted: bool  # whether it is looked at; else only its points are needed, for the frame behind it


class _Row(NamedTuple):
    size: tuple[int, int]
    scores: np.ndarray
    turned: float
    others: np.ndarray
    feature: np.ndarray


def look(
    frames: Sequence[Frame], network: Network, *, others: Sequence[Network] = (), every: int = 1, batch_size: int = 16,
    tick: Callable[[int], object] = lambda count: None,
) -> Looked:
    """Looks at all images and at frames 0, every, 2 every ... of each video.

    frames: as `frames_at` gives them. others: networks for the same keypoints in the same order, to compare with.
    tick: called with the number of frames that were passed. Every batch has one shape, so each network is compiled
    once. A frame that does not decode is left out and named.
    """
    points: dict[tuple[Path, int | None], np.ndarray] = {}
    rows: dict[Frame, _Row] = {}
    unreadable: list[str] = []
    batch: list[_Waiting] = []
    for frame, image in _images(frames):
        tick(1)
        wanted = frame.number is None or frame.number % every == 0
        if image is None:
            unreadable += [frame.name] if wanted else []
            continue
        if wanted or (frame.number + 1) % every == 0:
            batch.append(_Waiting(frame, image, wanted))
        if len(batch) == batch_size:
            _judge(batch, network, others, batch_size, points, rows)
            batch = []
    _judge(batch, network, others, batch_size, points, rows)
    if not rows:
        raise InputError(f"IN: none of the {len(frames)} frames can be read; fetch the images or videos again")
    kept = tuple(rows)
    return Looked(
        kept, np.array([rows[frame].size for frame in kept]), np.stack([points[_place(frame)] for frame in kept]),
        np.stack([rows[frame].scores for frame in kept]), _before(kept, points),
        np.array([rows[frame].turned for frame in kept]), np.stack([rows[frame].others for frame in kept], 1),
        _surprises(kept, rows, points) if every == 1 else np.full(len(kept), np.nan),
        np.stack([rows[frame].feature for frame in kept]), tuple(unreadable))


def in_frame_pixels(crop: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Points (..., K, 2) of a placed image in pixels of its frame, float64, by the (3, 3) map `crop`."""
    crop = np.asarray(crop, np.float64)
    moved = np.asarray(points, np.float64) @ crop[:, :2].T + crop[:, 2]
    return moved[..., :2] / moved[..., 2:]


def _place(frame: Frame) -> tuple[Path, int | None]:
    return frame.path, frame.number


def _images(frames: Sequence[Frame]) -> Iterator[tuple[Frame, np.ndarray | None]]:
    """Every frame with its image, None if it does not decode; each video in one pass."""
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


def _judge(batch: list[_Waiting], network: Network, others: Sequence[Network], size: int, points, rows) -> None:
    """Adds what is found on a batch to `points` and `rows`."""
    if not batch:
        return
    found, scores, images, crops = _predicted(network, [one.image for one in batch], size)
    for number, one in enumerate(batch):
        points[_place(one.frame)] = in_frame_pixels(crops[number], found[number])
    wanted = [number for number, one in enumerate(batch) if one.wanted]
    if not wanted:
        return
    fill = [*wanted, *([wanted[0]] * (size - len(wanted)))]
    back, counted = predicted_under(network.predict, images[fill], found[fill], turns(images.shape[1]))
    compared = [_predicted(other, [batch[number].image for number in wanted], size) for other in others]
    for row, number in enumerate(wanted):
        one, keypoints = batch[number], points[_place(batch[number].frame)]
        turned = criteria.equivariance_error(
            keypoints[None], in_frame_pixels(crops[number], back[:, row])[:, None], counted[:, row, None], 1.0)
        theirs = [in_frame_pixels(other_crops[row], other_points[row]) for other_points, _, _, other_crops in compared]
        rows[one.frame] = _Row(one.image.shape[1::-1], np.asarray(scores[number], np.float64), float(turned[0]),
                               np.reshape(theirs, (-1, *keypoints.shape)), thumbnail(one.image))


def _predicted(network: Network, frames: Sequence[np.ndarray], size: int):
    """(points, scores, placed images, crops) of a batch that is filled up to `size` with its first image."""
    none, unseen = np.zeros((0, 2), np.float32), np.zeros(0, np.float32)
    placed = [network.place(frame, none, unseen, np.float32(1)) for frame in frames]
    placed += [placed[0]] * (size - len(placed))
    images = np.stack([one[0] for one in placed])
    found, scores = network.predict(images)
    return found, scores, images, [one[4] for one in placed]


def _before(frames: Sequence[Frame], points) -> np.ndarray:
    unknown = np.full_like(next(iter(points.values())), np.nan)
    return np.stack([unknown if frame.number is None else points.get((frame.path, frame.number - 1), unknown)
                     for frame in frames])


def _surprises(frames: Sequence[Frame], rows, points) -> np.ndarray:
    """`fitting.surprise` of each video whose frames were all read; nan elsewhere."""
    found = np.full(len(frames), np.nan)
    of_video: dict[Path, list[int]] = {}
    for row, frame in enumerate(frames):
        if frame.number is not None:
            of_video.setdefault(frame.path, []).append(row)
    for own in of_video.values():
        if [frames[row].number for row in own] == list(range(len(own))):
            found[own] = fitting.surprise(np.stack([points[_place(frames[row])] for row in own]),
                                          np.stack([rows[frames[row]].scores for row in own]))
    return found
