"""Prediction on sequences of images: reading, transforming, the network and its reader work at the same time.

A thread reads frames and hands them to a few others that transform them. The network runs on two threads, so that one
batch travels while the other is computed. Everything in between is bounded: a video of any length needs the memory of a
few batches.
"""
import itertools
import os
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import closing, nullcontext
from dataclasses import replace
from threading import Lock
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from kpjax import InputError, RunError
from kpjax.images.inputs import ImageSequence
from kpjax.images.transforms import Letterbox, Transform, growth_of
from kpjax.input.stream import in_background, read_ahead
from kpjax.lab.animals.conformal import radii
from kpjax.lab.out.export.standalone import in_original_pixels
from kpjax.lab.predictors import Predictor
from kpjax.training.evaluation import in_batches

AT_ONCE = 2  # batches in the network


class Seen(NamedTuple):
    """Predictions on one frame."""

    row: int  # of the sequence
    size: tuple[int, int]  # width and height; 0, 0 if it does not decode
    keypoints: np.ndarray  # (I, K, 2) float64, pixels of the frame; nan where `present` is False
    scores: np.ndarray  # (I, K) float64; 0 where `present` is False
    present: np.ndarray  # (I,) bool: the animals that were looked at
    fault: InputError | None  # of a frame that does not decode
    image: np.ndarray | None  # (h, w, 3) uint8, if it was asked for and decodes; perhaps smaller than the frame
    radii: np.ndarray | None = None  # (I, K) float64 px, within which the truth lies; nan where unknown
    boxes: np.ndarray | None = None  # (I, 4) x, y, width, height of animals that were found or named; None of none
    more: int = 0  # animals that were found beyond their known number, and left out
    members: np.ndarray | None = None  # (I, M, K, 2) float64, the points of an ensemble's M networks, as `keypoints`


class _Frame(NamedTuple):
    """A frame before the network, and what the network is to see of it."""

    seen: Seen
    crops: list[tuple[int, np.ndarray, np.ndarray]]  # animal, square image, its map to the frame


def predicted(predictor: Predictor, sequence: ImageSequence, *, batch_size: int, boxes: np.ndarray | None = None,
              shown: Collection[int] = (), side: int | None = None, level: float | None = None, find: bool = False,
              animals: int | None = None) -> Iterator[Seen]:
    """Predicts each frame, in order. Close the iterator to stop early.

    batch_size: frames and squares at a time. boxes: (N, I, 4) x, y, width, height of the animals on each frame, nan
    where one is not there; None for one animal somewhere on the frame. shown: the rows whose images come along. side:
    the greatest length of these images in pixels. level: of the radii, one of those of the predictor's table; None
    gives none. find: whether `predictor.finder` finds the boxes, of at most `animals`. Raises InputError for a frame
    that cannot be transformed, or of another size than its video; RunError for a point that is not finite.
    """
    threads, compiling, compiled = min(4, os.cpu_count() or 1), Lock(), []
    finder = predictor.finder if find else None

    def cut(row: int, image: Any, places: Any, there: int = 0) -> _Frame:
        """A box of nan is an animal that is not there, None the whole frame."""
        if isinstance(image, InputError):
            return _Frame(_unseen(predictor, row, (0, 0), 0 if finder else len(places), fault=image), [])
        crops = [(animal, *square_of(image, predictor.transform, box)) for animal, box in enumerate(places)
                 if box is None or np.isfinite(box).all()]
        seen = _unseen(predictor, row, (image.shape[1], image.shape[0]), len(places),
                       image=shrunk(image, side) if row in shown else None)
        known = finder is not None or boxes is not None
        return _Frame(seen._replace(boxes=places if known else None, more=max(there - len(places), 0)), crops)

    def read(job: tuple[int, Callable[[], np.ndarray]]) -> Any:
        row, image = _read(job)
        if finder is None:
            return cut(row, image, [None] if boxes is None else boxes[row])
        nothing = np.zeros((finder.side, finder.side, 3), np.uint8), np.eye(3, dtype=np.float32)
        return row, image, *(nothing if isinstance(image, InputError) else square_of(image, Letterbox(finder.side)))

    def run(part: list) -> list[Seen]:
        # The first call compiles, and a second one beside it would compile the same again.
        with nullcontext() if compiled else compiling:
            if finder:
                found = finder.on(np.stack([square for _, _, square, _ in part]))
                part = [cut(row, image, *finder.boxes(found, number, crop, animals))
                        for number, (row, image, _, crop) in enumerate(part)]
            squares = [square for frame in part for _, square, _ in frame.crops]
            results = in_batches(predictor.with_members or predictor.predict, np.stack(squares), batch_size
                                 ) if squares else ()
            compiled.append(True)
        ends = np.cumsum([0, *(len(frame.crops) for frame in part)])
        return [_placed(frame, [result[first:last] for result in results], predictor, sequence, level)
                for frame, (first, last) in zip(part, itertools.pairwise(ends.tolist()), strict=True)]

    with closing(in_background(read_ahead(read, enumerate(sequence), threads=threads, depth=2 * threads),
                               2 * batch_size)) as frames:
        parts = iter(lambda: list(itertools.islice(frames, batch_size)), [])
        with closing(read_ahead(run, parts, threads=AT_ONCE, depth=AT_ONCE + 1)) as done:
            yield from itertools.chain.from_iterable(done)


def _read(job: tuple[int, Callable[[], np.ndarray]]) -> tuple[int, np.ndarray | InputError]:
    """Returns a row with its image, or with why it does not decode."""
    try:
        return job[0], job[1]()
    except InputError as error:
        return job[0], error


def followed(predictor: Predictor, sequence: ImageSequence, *, shown: Collection[int] = (), side: int | None = None
             ) -> Iterator[Seen]:
    """Predicts a video's frames one after the other, each around the animal that was found on the one before.

    The first is seen as a whole, and so is each after one where `predictor.follow` finds no square. A frame that does
    not decode leaves the square where it is. The others are as in `predicted`.
    """
    transform, box = replace(predictor.transform, margin=1.0), None
    with closing(in_background(read_ahead(_read, enumerate(sequence), threads=1, depth=4), 4)) as frames:
        for row, image in frames:
            if isinstance(image, InputError):
                yield _unseen(predictor, row, (0, 0), 1, fault=image)
                continue
            size = (image.shape[1], image.shape[0])
            square, crop = square_of(image, transform, box)
            found, scores = (np.float64(array[0]) for array in predictor.predict(square[None]))
            points = in_original_pixels(crop, found)
            if not np.isfinite(points).all():
                raise RunError(f"{sequence.names[row]}, frame {sequence.numbers[row]}: the network gives a point that "
                               "is not finite")
            box = predictor.follow(points, scores, size)
            yield _unseen(predictor, row, size, 1, image=shrunk(image, side) if row in shown else None)._replace(
                keypoints=points[None], scores=scores[None], present=np.ones(1, bool))


def square_of(image: np.ndarray, transform: Transform, box: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Returns the square (S, S, 3) uint8 that a network takes, and its map (3, 3) to the image."""
    square, *_, crop = transform(image, np.zeros((0, 2), np.float32), np.zeros(0, np.float32),
                                 np.float32(max(image.shape[:2])), box)
    return square, crop


def _unseen(predictor: Predictor, row: int, size: tuple[int, int], animals: int, *, fault: InputError | None = None,
            image: np.ndarray | None = None) -> Seen:
    """Returns a frame before the network has seen it: nothing is known of its animals."""
    shape = animals, len(predictor.skeleton.names)
    return Seen(row, size, np.full((*shape, 2), np.nan), np.zeros(shape), np.zeros(animals, bool), fault, image,
                np.full(shape, np.nan))


def shrunk(image: np.ndarray, side: int | None) -> np.ndarray:
    """Resizes an image (H, W, 3) uint8 to at most `side` pixels; a smaller one stays as it is."""
    height, width = image.shape[:2]
    if side is None or max(height, width) <= side:
        return image
    factor = side / max(height, width)
    size = max(round(width * factor), 1), max(round(height * factor), 1)
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR))


def _placed(frame: _Frame, found: Sequence[np.ndarray], predictor: Predictor, sequence: ImageSequence,
            level: float | None) -> Seen:
    """Returns a frame with what the network found on its crops."""
    seen = frame.seen
    if len(found) > 2:
        seen = seen._replace(members=np.full((len(seen.present), *found[2].shape[1:]), np.nan))
    for number, (animal, _, crop) in enumerate(frame.crops):
        keypoints, scores, *members = (result[number] for result in found)
        points = in_original_pixels(crop, keypoints.astype(np.float64))
        if not np.isfinite(points).all():
            place = f", frame {sequence.numbers[seen.row]}" if sequence.video else ""
            raise RunError(f"{sequence.names[seen.row]}{place}: the run's network gives a point that is not finite")
        seen.keypoints[animal], seen.scores[animal], seen.present[animal] = points, scores, True
        if members:
            seen.members[animal] = in_original_pixels(crop, members[0].astype(np.float64).reshape(-1, 2)).reshape(
                members[0].shape)
        if predictor.radii and level is not None:  # of the square image, which shows a part of the frame otherwise
            reach = radii(predictor.radii, scores, level=level) * growth_of(crop)
            seen.radii[animal] = np.where(np.isfinite(reach), reach, np.nan)
    return seen
