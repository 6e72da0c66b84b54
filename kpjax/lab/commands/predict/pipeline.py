"""Prediction on sequences of images: reading, transforming, the network and its reader work at the same time.

A thread reads frames and hands them to a few others that transform them. Batches are put together here, and the network
runs on two threads, so that one batch travels while the other is computed. Everything in between is bounded: a video of
any length needs the memory of a few batches.
"""
import itertools
import os
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass, replace
from functools import partial
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
from kpjax.lab.own.animals import Finder
from kpjax.lab.predictors import Predictor

AT_ONCE = 2  # batches in the network
FRAMES = 8  # on which animals are found at a time


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
    boxes: np.ndarray | None = None  # (I, 4) x, y, width, height of animals that were found on the frame
    more: int = 0  # animals that were found beyond their known number, and left out
    members: np.ndarray | None = None  # (I, M, K, 2) float64, the points of an ensemble's M networks, as `keypoints`


@dataclass
class _Pending:
    """A frame on its way through the network, whose results are written into the arrays of `seen`."""

    seen: Seen
    crops: list[tuple[int, np.ndarray, np.ndarray]]  # animal, square image, its map to the frame
    due: int = 0  # results that are not there yet


def predicted(predictor: Predictor, sequence: ImageSequence, *, batch_size: int, boxes: np.ndarray | None = None,
              shown: Collection[int] = (), side: int | None = None, level: float | None = None, find: bool = False,
              animals: int | None = None) -> Iterator[Seen]:
    """Predicts each frame, in order. Close the iterator to stop early.

    batch_size: squares at a time; the first is repeated to fill the last batch. boxes: (N, I, 4) x, y, width, height of
    the animals on each frame, nan where one is not there; None for one animal somewhere on the frame. shown: the rows
    whose images come along. side: the greatest length of these images in pixels. level: of the radii, one of those of
    the predictor's table; None gives none. find: whether `predictor.finder` finds the boxes, of at most `animals`.
    Raises InputError for a frame that cannot be transformed, or of another size than its video; RunError for a point
    that is not finite.
    """
    waiting: deque[_Pending] = deque()
    keypoints, network = len(predictor.skeleton.names), predictor.with_members or predictor.predict
    frames = _frames(sequence, predictor.transform, keypoints, boxes=boxes, finder=predictor.finder if find else None,
                     animals=animals, shown=shown, side=side, depth=2 * batch_size)
    radii_of = partial(radii, predictor.radii, level=level) if predictor.radii and level is not None else None
    compiling, compiled = Lock(), []

    def batches() -> Iterator[list]:
        batch: list[tuple[_Pending, int, np.ndarray, np.ndarray]] = []
        for frame in frames:
            waiting.append(frame)
            batch += [(frame, *crop) for crop in frame.crops]
            frame.due, frame.crops = len(frame.crops), []
            while len(batch) >= batch_size:
                yield batch[:batch_size]
                batch = batch[batch_size:]
            if len(waiting) > 2 * batch_size and not waiting[0].due:  # frames without an animal are not kept
                yield []
        yield batch

    def run(batch: list) -> tuple[list, Any]:
        images = [image for _, _, image, _ in batch]
        if not batch:
            return batch, None
        # The first call compiles, and a second one beside it would compile the same again.
        with nullcontext() if compiled else compiling:
            found = network(np.stack(images + images[:1] * (batch_size - len(images))))
            compiled.append(True)
        return batch, found

    with closing(frames), closing(read_ahead(run, batches(), threads=AT_ONCE, depth=AT_ONCE + 1)) as done:
        for batch, found in done:
            if batch:
                _finish(found, batch, sequence, radii_of)
            while waiting and not waiting[0].due:
                yield waiting.popleft().seen


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
    keypoints, box = len(predictor.skeleton.names), None
    transform = replace(predictor.transform, margin=1.0)

    with closing(in_background(read_ahead(_read, enumerate(sequence), threads=1, depth=4), 4)) as frames:
        for row, image in frames:
            if isinstance(image, InputError):
                yield _unseen(row, (0, 0), 1, keypoints, fault=image)
                continue
            size = (image.shape[1], image.shape[0])
            square, crop = square_of(image, transform, box)
            found, scores = (np.float64(array[0]) for array in predictor.predict(square[None]))
            points = in_original_pixels(crop, found)
            if not np.isfinite(points).all():
                raise RunError(f"{sequence.names[row]}, frame {sequence.numbers[row]}: the network gives a point that "
                               "is not finite")
            box = predictor.follow(points, scores, size)
            yield _unseen(row, size, 1, keypoints, image=shrunk(image, side) if row in shown else None)._replace(
                keypoints=points[None], scores=scores[None], present=np.ones(1, bool))


def _frames(sequence: ImageSequence, transform: Transform, keypoints: int, *, boxes: np.ndarray | None,
            finder: Finder | None, animals: int | None, shown: Collection[int], side: int | None, depth: int
            ) -> Iterator[_Pending]:
    """Reads frames and crops them as the network takes them, up to `depth` frames ahead of their reader.

    boxes: as of `predicted`. finder: finds the animals on a few frames at a time, if it is given. animals: their
    number, where it is known.
    """
    threads = min(4, os.cpu_count() or 1)

    def look(job: tuple[int, Callable[[], np.ndarray]]) -> tuple[int, Any, np.ndarray, np.ndarray]:
        row, image = _read(job)
        if isinstance(image, InputError):
            return row, image, np.zeros((finder.side, finder.side, 3), np.uint8), np.eye(3, dtype=np.float32)
        return row, image, *square_of(image, Letterbox(finder.side))

    def find(looked: list) -> list[tuple[int, Any, np.ndarray, int]]:
        squares = [square for _, _, square, _ in looked]
        found = finder.find(np.stack(squares + squares[:1] * (FRAMES - len(squares))))
        return [(row, image, *finder.boxes(found, number, crop, animals))
                for number, (row, image, _, crop) in enumerate(looked)]

    def cut(row: int, image: Any, places: Sequence[np.ndarray | None], there: int = 0) -> _Pending:
        """A box of nan is an animal that is not there, None the whole frame."""
        if isinstance(image, InputError):
            return _Pending(_unseen(row, (0, 0), 0 if finder else len(places), keypoints, fault=image), [])
        crops = [(animal, *square_of(image, transform, box)) for animal, box in enumerate(places)
                 if box is None or np.isfinite(box).all()]
        seen = _unseen(row, (image.shape[1], image.shape[0]), len(places), keypoints,
                       image=shrunk(image, side) if row in shown else None)
        return _Pending(seen._replace(boxes=places, more=max(there - len(places), 0)) if finder else seen, crops)

    def read(job: tuple[int, Callable[[], np.ndarray]]) -> _Pending:
        row, image = _read(job)
        return cut(row, image, [None] if boxes is None else boxes[row])

    def chain() -> Iterator[_Pending]:
        with closing(read_ahead(look, enumerate(sequence), threads=threads, depth=FRAMES + threads)) as looked, closing(
                read_ahead(find, iter(lambda: list(itertools.islice(looked, FRAMES)), []), threads=1, depth=2)
        ) as found, closing(read_ahead(lambda one: cut(*one), itertools.chain.from_iterable(found), threads=threads,
                                       depth=2 * threads)) as frames:
            yield from frames

    return in_background(chain() if finder else read_ahead(
        read, enumerate(sequence), threads=threads, depth=2 * threads), depth)


def square_of(image: np.ndarray, transform: Transform, box: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Returns the square (S, S, 3) uint8 that a network takes, and its map (3, 3) to the image."""
    square, *_, crop = transform(image, np.zeros((0, 2), np.float32), np.zeros(0, np.float32),
                                 np.float32(max(image.shape[:2])), box)
    return square, crop


def _unseen(row: int, size: tuple[int, int], animals: int, keypoints: int, *, fault: InputError | None = None,
            image: np.ndarray | None = None) -> Seen:
    """Returns a frame before the network has seen it: nothing is known of its animals."""
    shape = animals, keypoints
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


def _finish(found: tuple[np.ndarray, ...], batch: list[tuple[_Pending, int, np.ndarray, np.ndarray]],
            sequence: ImageSequence, radii_of: Callable[[np.ndarray], np.ndarray] | None) -> None:
    """Hands the results of a batch to its frames."""
    keypoints, scores, *members = found
    for number, (frame, animal, _, crop) in enumerate(batch):
        seen, points = frame.seen, in_original_pixels(crop, keypoints[number].astype(np.float64))
        if not np.isfinite(points).all():
            place = f", frame {sequence.numbers[seen.row]}" if sequence.video else ""
            raise RunError(f"{sequence.names[seen.row]}{place}: the run's network gives a point that is not finite")
        seen.keypoints[animal], seen.scores[animal], seen.present[animal] = points, scores[number], True
        if members:
            of_animal = members[0][number].astype(np.float64)
            if seen.members is None:
                frame.seen = seen = seen._replace(members=np.full((len(seen.present), *of_animal.shape), np.nan))
            seen.members[animal] = in_original_pixels(crop, of_animal.reshape(-1, 2)).reshape(of_animal.shape)
        if radii_of:  # of the square image, which shows a part of the frame at another size
            found_radii = radii_of(scores[number]) * growth_of(crop)
            seen.radii[animal] = np.where(np.isfinite(found_radii), found_radii, np.nan)
        frame.due -= 1
