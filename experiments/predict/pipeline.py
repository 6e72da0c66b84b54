"""Frames go in, points come out: reading, placing, the network and whoever takes the results work at the same time.

A thread reads frames and hands them to a few others that place them; batches are put together here, and the network
runs on two threads, so that one batch travels while the other is computed. Everything in between is bounded: a video
of any length needs the memory of a few batches.
"""
import os
from collections import deque
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

import numpy as np
from PIL import Image

from experiments.predictors import Predictor
from kpjax.errors import InputError, RunError
from kpjax.images.inputs import Footage
from kpjax.images.transforms import Place
from kpjax.input.prefetch import in_background, read_ahead

AT_ONCE = 2  # batches in the network


class Seen(NamedTuple):
    """One frame and what was found on it."""

    row: int  # of the footage
    size: tuple[int, int]  # width and height; 0, 0 if it does not decode
    keypoints: np.ndarray  # (I, K, 2) float64, pixels of the frame; nan where `present` is False
    scores: np.ndarray  # (I, K) float64; 0 where `present` is False
    present: np.ndarray  # (I,) bool: the animals that were looked at
    fault: InputError | None  # why there is nothing
    picture: np.ndarray | None  # (h, w, 3) uint8, if it was asked for and decodes; perhaps smaller than the frame


@dataclass
class _Frame:
    """A frame on its way. `crops` are taken away by the network, its results come instead."""

    row: int
    size: tuple[int, int] = (0, 0)
    crops: list[tuple[int, np.ndarray, np.ndarray]] = field(default_factory=list)  # animal, square picture, its map
    fault: InputError | None = None
    picture: np.ndarray | None = None
    due: int = 0  # results that are not there yet
    results: list[tuple[int, np.ndarray, np.ndarray]] = field(default_factory=list)  # animal, keypoints, scores


def predicted(
    predictor: Predictor, footage: Footage, *, batch_size: int, boxes: np.ndarray | None = None,
    shown: Collection[int] = (), side: int | None = None,
) -> Iterator[Seen]:
    """What is found on each frame, in order; close it to stop early.

    boxes: (N, I, 4) x, y, width, height of the animals on each frame, nan where one is not there; None for one animal
    that is looked for on the whole frame. shown: the rows whose pictures come along, at most `side` pixels long.
    The predictor is called with `batch_size` squares every time, the last ones repeated. Raises RunError for a point
    that is not finite, and InputError for a frame that cannot be placed, or of another size than its video.
    """
    animals, keypoints = 1 if boxes is None else boxes.shape[1], len(predictor.skeleton.names)
    waiting: deque[_Frame] = deque()
    batch: list[tuple[_Frame, int, np.ndarray, np.ndarray]] = []
    running: deque[tuple[Future, list]] = deque()
    frames = prepared(footage, predictor.place, keypoints, boxes=boxes, shown=shown, side=side, depth=2 * batch_size)
    network = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="network")
    compiled = False
    try:
        for frame in frames:
            waiting.append(frame)
            batch += [(frame, *crop) for crop in frame.crops]
            frame.due, frame.crops = len(frame.crops), []
            while len(batch) >= batch_size:
                full, batch = batch[:batch_size], batch[batch_size:]
                running.append(_started(network, predictor, full, batch_size))
                # The first call compiles, and a second one beside it would compile the same again.
                while len(running) > AT_ONCE or (running and not compiled):
                    _settle(*running.popleft())
                    compiled = True
            yield from _finished(waiting, footage, animals, keypoints)
        if batch:
            running.append(_started(network, predictor, batch, batch_size))
        while running:
            _settle(*running.popleft())
            yield from _finished(waiting, footage, animals, keypoints)
    finally:
        frames.close()
        network.shutdown(cancel_futures=True)


def prepared(
    footage: Footage, place: Place, keypoints: int, *, boxes: np.ndarray | None = None, shown: Collection[int] = (),
    side: int | None = None, depth: int = 32,
) -> Iterator[_Frame]:
    """Frames read and placed as the network wants them, up to `depth` ahead of whoever takes them."""
    threads = min(4, os.cpu_count() or 1)
    place_one = partial(_prepared, place=place, keypoints=keypoints, boxes=boxes, shown=shown, side=side)
    return in_background(read_ahead(place_one, enumerate(footage), threads=threads, depth=2 * threads), depth)


def _prepared(job: tuple[int, Callable[[], np.ndarray]], place: Place, keypoints: int, boxes, shown, side) -> _Frame:
    row, read = job
    try:
        picture = read()
    except InputError as error:
        return _Frame(row, fault=error)
    size = picture.shape[1], picture.shape[0]
    crops = []
    for animal, box in enumerate([None] if boxes is None else boxes[row]):
        if box is None or np.isfinite(box).all():
            image, _, _, _, crop = place(picture, np.zeros((keypoints, 2), np.float32), np.zeros(keypoints, np.float32),
                                         np.float32(max(size)), box)
            crops.append((animal, image, crop))
    return _Frame(row, size, crops, picture=shrunk(picture, side) if row in shown else None)


def shrunk(picture: np.ndarray, side: int | None) -> np.ndarray:
    """A picture (H, W, 3) uint8 made at most `side` pixels long, as it is if it is not longer."""
    height, width = picture.shape[:2]
    if side is None or max(height, width) <= side:
        return picture
    factor = side / max(height, width)
    size = max(round(width * factor), 1), max(round(height * factor), 1)
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BILINEAR))


def _started(network: ThreadPoolExecutor, predictor: Predictor, batch: list, batch_size: int) -> tuple[Future, list]:
    images = [image for _, _, image, _ in batch]
    images += images[:1] * (batch_size - len(images))
    return network.submit(predictor.predict, np.stack(images)), batch


def _settle(found: Future, batch: list) -> None:
    """Waits for a batch and gives its results to the frames."""
    keypoints, scores = found.result()
    for place, (frame, animal, _, crop) in enumerate(batch):
        frame.results.append((animal, in_original_pixels(crop, keypoints[place].astype(np.float64)),
                              scores[place].astype(np.float64)))
        frame.due -= 1


def _finished(waiting: deque[_Frame], footage: Footage, animals: int, count: int) -> Iterator[Seen]:
    """The frames at the head of the queue of which everything is there."""
    while waiting and not waiting[0].due:
        frame = waiting.popleft()
        keypoints, scores = np.full((animals, count, 2), np.nan), np.zeros((animals, count))
        present = np.zeros(animals, bool)
        for animal, points, certain in frame.results:
            if not np.isfinite(points).all():
                name, number = footage.names[frame.row], footage.numbers[frame.row]
                raise RunError(f"{name}{f', frame {number}' if footage.video else ''}: the run's network gives a point "
                               "that is not finite")
            keypoints[animal], scores[animal], present[animal] = points, certain, True
        yield Seen(frame.row, frame.size, keypoints, scores, present, frame.fault, frame.picture)


def in_original_pixels(crop: np.ndarray, keypoints: np.ndarray) -> np.ndarray:
    """Points (K, 2) of a placed image in pixels of the original, float64, by the (3, 3) map `crop`."""
    moved = np.concatenate([keypoints, np.ones((len(keypoints), 1))], -1) @ np.asarray(crop, np.float64).T
    return moved[:, :2] / moved[:, 2:]
