"""Prediction on sequences of images: reading, transforming, the network and its reader work at the
same time.

A thread reads frames and hands them to a few others that transform them. The network runs on two
threads, so that one batch travels while the other is computed. Everything in between is bounded: a
video of any length needs the memory of a few batches.
"""

import itertools
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import closing, nullcontext
from dataclasses import replace
from threading import Lock
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from kpjax import InputError
from kpjax.cores import usable_cores
from kpjax.formats.predictions import PredictionTable
from kpjax.images.boxes import in_original_pixels
from kpjax.images.inputs import ImageSequence
from kpjax.images.transforms import Letterbox, Transform, growth_of
from kpjax.input.stream import in_background, read_ahead
from kpjax.lab.animals.conformal import radii
from kpjax.lab.animals.tracking import LEVEL, UNTRACKED, Doubt, Found, Tracks, follow, merge_doubts
from kpjax.lab.own.places import BoxOrWhole, places_by_size
from kpjax.lab.predictors import Predictor
from kpjax.training.evaluation import in_batches

AT_ONCE = 2  # batches in the network
FRAMES = 8  # on which animals are found at a time
NAME = "animal{}"
DOUBTS = ("frame", "first", "second", "why")  # columns


class Seen(NamedTuple):
    """Predictions on one frame."""

    row: int  # row of the sequence
    size: tuple[int, int]  # width and height; 0, 0 if it does not decode
    keypoints: np.ndarray  # (I, K, 2) float64, pixels of the frame; nan where `present` is False
    #: (I, K) float64; where `present` is False 0, or nan if the network gave what is no number
    scores: np.ndarray
    present: np.ndarray  # (I,) bool: the animals that were looked at
    fault: InputError | None  # fault of a frame that does not decode
    #: (h, w, 3) uint8, if it was asked for and decodes; perhaps smaller than the frame
    image: np.ndarray | None
    #: (I, K) float64 px, within which the truth lies; nan where unknown
    radii: np.ndarray | None = None
    #: (I, 4) x, y, width, height of animals that were found or named; None of none
    boxes: np.ndarray | None = None
    more: int = 0  # animals that were found beyond their known number, and left out
    #: (I,) px, the usual size of a labelled animal as large as this one is seen; nan where unknown
    sizes: np.ndarray | None = None
    #: (I, K) float64 px, as `radii`, but at the level at which animals are told apart; nan where unknown
    reach: np.ndarray | None = None
    #: (I,) int64, the place of each animal among all that were told apart; None where each has its own
    numbers: np.ndarray | None = None

    @property
    def places(self) -> int:
        """The least number of places in which its animals stand."""
        if self.numbers is None:
            return len(self.present)
        return int(self.numbers.max(initial=-1)) + 1


class Crop(NamedTuple):
    """The columns and rows of an image that are looked at, in pixels from 0, the ends not included."""

    left: int
    right: int
    top: int
    bottom: int


class _Frame(NamedTuple):
    """A frame before the network, and what the network is to see of it."""

    seen: Seen
    crops: list[tuple[int, np.ndarray, np.ndarray]]  # animal, square image, its map to the frame


def predict_frames(
    predictor: Predictor,
    sequence: ImageSequence,
    *,
    batch_size: int,
    boxes: np.ndarray | None = None,
    shown: Collection[int] = (),
    side: int | None = None,
    level: float | None = None,
    find: bool = False,
    animals: int | None = None,
    within: Crop | None = None,
) -> Iterator[Seen]:
    """Predicts each frame, in order. Close the iterator to stop early.

    batch_size: squares at a time. boxes: (N, I, 4) x, y, width, height of the animals on each
    frame, nan where one is not there; None for one animal somewhere on the frame. shown: the rows
    whose images come along. side: the greatest length of these images in pixels. level: of
    `Seen.radii`, one of those of the predictor's table; None gives none. find: whether
    `predictor.finder` finds the boxes, of at most `animals`, none longer than its frame. within:
    the part that is looked at where no box says so.
    Raises InputError for a frame that cannot be transformed, or of another size than its video.
    """
    threads, compiling, compiled = min(4, usable_cores()), Lock(), []
    finder = predictor.finder if find else None

    def cut(row: int, image: Any, places: Any, there: int = 0) -> _Frame:
        """A box of nan is an animal that is not there, None the whole frame."""
        if isinstance(image, InputError):
            return _Frame(
                _unseen(predictor, row, (0, 0), 0 if finder else len(places), fault=image), []
            )
        crops = [
            (animal, *square_of(image, predictor.transform, box, within))
            for animal, box in enumerate(places)
            if box is None or np.isfinite(box).all()
        ]
        seen = _unseen(
            predictor,
            row,
            (image.shape[1], image.shape[0]),
            len(places),
            image=shrunk(image, side) if row in shown else None,
        )
        if finder:
            reach = np.full(seen.scores.shape, np.nan)
            seen = seen._replace(more=max(there - len(places), 0), reach=reach)
        known = finder is not None or boxes is not None
        return _Frame(seen._replace(boxes=places if known else None), crops)

    def read(job: tuple[int, Callable[[], np.ndarray]]) -> Any:
        row, image = _read(job)
        if finder is None:
            return cut(row, image, [None] if boxes is None else boxes[row])
        nothing = np.zeros((finder.side, finder.side, 3), np.uint8), np.eye(3, dtype=np.float32)
        return (
            row,
            image,
            *(
                nothing
                if isinstance(image, InputError)
                else square_of(image, Letterbox(finder.side), within=within)
            ),
        )

    def run(part: list) -> list[Seen]:
        # The first call compiles, and a second one beside it would compile the same again.
        with nullcontext() if compiled else compiling:
            if finder:
                found = finder.on(np.stack([square for _, _, square, _ in part]))
                part = [
                    cut(row, image, *finder.boxes(found, number, crop, animals))
                    for number, (row, image, _, crop) in enumerate(part)
                ]
            squares = [square for frame in part for _, square, _ in frame.crops]
            results = (
                in_batches(predictor.predict, np.stack(squares), batch_size) if squares else ()
            )
            compiled.append(True)
        ends = np.cumsum([0, *(len(frame.crops) for frame in part)])
        return [
            _place(frame, [result[first:last] for result in results], predictor, sequence, level)
            for frame, (first, last) in zip(part, itertools.pairwise(ends.tolist()), strict=True)
        ]

    count = FRAMES if finder else batch_size  # whole frames are large
    with closing(
        in_background(
            read_ahead(read, enumerate(sequence), threads=threads, depth=2 * threads),
            1 if finder else 2 * batch_size,
        )
    ) as frames:
        parts = iter(lambda: list(itertools.islice(frames, count)), [])
        with closing(read_ahead(run, parts, threads=AT_ONCE, depth=AT_ONCE + 1)) as done:
            yield from itertools.chain.from_iterable(done)


def _read(job: tuple[int, Callable[[], np.ndarray]]) -> tuple[int, np.ndarray | InputError]:
    """Returns a row with its image, or with why it does not decode."""
    try:
        return job[0], job[1]()
    except InputError as error:
        return job[0], error


def with_images(seen: Iterable[Seen], sequence: ImageSequence, side: int | None) -> Iterator[Seen]:
    """Yields the frames of a sequence with their images, which are read again. Close the iterator to
    stop early.

    side: the greatest length of these images in pixels.
    """

    def read(job: tuple[int, Callable[[], np.ndarray]]) -> np.ndarray | None:
        _, image = _read(job)
        return None if isinstance(image, InputError) else shrunk(image, side)

    threads = min(4, usable_cores())
    images = read_ahead(read, enumerate(sequence), threads=threads, depth=2 * threads)
    with closing(in_background(images, 4)) as images:
        for one, image in zip(seen, images, strict=True):
            yield one._replace(image=image)


def follow_animal(
    predictor: Predictor,
    sequence: ImageSequence,
    *,
    shown: Collection[int] = (),
    side: int | None = None,
    within: Crop | None = None,
) -> Iterator[Seen]:
    """Predicts a video's frames one after the other, each around the animal that was found on the
    one before.

    The first is seen as a whole, and so is each after one where `predictor.follow` finds no square.
    A frame that does not decode leaves the square where it is. The others are as in `predict_frames`.
    """
    transform, box = replace(predictor.transform, margin=1.0), None
    with closing(
        in_background(read_ahead(_read, enumerate(sequence), threads=1, depth=4), 4)
    ) as frames:
        for row, image in frames:
            if isinstance(image, InputError):
                yield _unseen(predictor, row, (0, 0), 1, fault=image)
                continue
            size = (image.shape[1], image.shape[0])
            part, moved = (
                (image, np.eye(3, dtype=np.float32)) if within is None else _cut(image, within)
            )
            square, crop = square_of(part, transform, box)
            found, scores = (np.float64(array[0]) for array in predictor.predict(square[None]))
            seen = _unseen(
                predictor, row, size, 1, image=shrunk(image, side) if row in shown else None
            )
            _enter(seen, 0, moved @ crop, found, scores)
            box = None
            if seen.present[0]:
                points = seen.keypoints[0] - moved[:2, 2]
                box = predictor.follow(points, scores, part.shape[1::-1])
            yield seen


def _cut(image: np.ndarray, within: Crop) -> tuple[np.ndarray, np.ndarray]:
    """Returns a part of an image, and its map (3, 3) to the image. Raises InputError for one beyond it."""
    height, width = image.shape[:2]
    if within.right > width or within.bottom > height:
        raise InputError(
            "crop",
            f"it ends at column {within.right} and row {within.bottom}, and an image is {width}x{height}; give a "
            "part of it",
        )
    part = image[within.top : within.bottom, within.left : within.right]
    return part, np.array([[1, 0, within.left], [0, 1, within.top], [0, 0, 1]], np.float32)


def square_of(
    image: np.ndarray,
    transform: Transform,
    box: np.ndarray | None = None,
    within: Crop | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the square (S, S, 3) uint8 that a network takes, and its map (3, 3) to the image.

    within: the part of the image that it shows where there is no box. Raises InputError for one
    beyond the image.
    """
    if within is not None and box is None:
        part, moved = _cut(image, within)
        if isinstance(transform, BoxOrWhole) and part.shape[1::-1] not in places_by_size(
            transform.place
        ):
            transform = replace(transform, place=())  # the part that was typed
        square, crop = square_of(part, transform)
        return square, moved @ crop
    square, *_, crop = transform(
        image,
        np.zeros((0, 2), np.float32),
        np.zeros(0, np.float32),
        np.float32(max(image.shape[:2])),
        box,
    )
    return square, crop


def _unseen(
    predictor: Predictor,
    row: int,
    size: tuple[int, int],
    animals: int,
    *,
    fault: InputError | None = None,
    image: np.ndarray | None = None,
) -> Seen:
    """Returns a frame before the network has seen it: nothing is known of its animals."""
    shape = animals, len(predictor.skeleton.names)
    return Seen(
        row,
        size,
        np.full((*shape, 2), np.nan),
        np.zeros(shape),
        np.zeros(animals, bool),
        fault,
        image,
        np.full(shape, np.nan),
        sizes=np.full(animals, np.nan),
    )


def shrunk(image: np.ndarray, side: int | None) -> np.ndarray:
    """Resizes an image (H, W, 3) uint8 to at most `side` pixels; a smaller one stays as it is."""
    height, width = image.shape[:2]
    if side is None or max(height, width) <= side:
        return image
    factor = side / max(height, width)
    size = max(round(width * factor), 1), max(round(height * factor), 1)
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR))


def _place(
    frame: _Frame,
    found: Sequence[np.ndarray],
    predictor: Predictor,
    sequence: ImageSequence,
    level: float | None,
) -> Seen:
    """Returns a frame with what the network found on its crops."""
    seen = frame.seen
    for number, (animal, _, crop) in enumerate(frame.crops):
        keypoints, scores = (result[number] for result in found)
        _enter(seen, animal, crop, keypoints, scores)
        if predictor.labels:
            seen.sizes[animal] = predictor.labels.size * growth_of(crop)
        # radii are those of the square image, which shows a part of the frame otherwise
        if predictor.radii and seen.present[animal]:
            for of_points, wanted in ((seen.radii, level), (seen.reach, LEVEL)):
                if of_points is not None and wanted is not None:
                    within = radii(predictor.radii, scores, level=wanted) * growth_of(crop)
                    of_points[animal] = np.where(np.isfinite(within), within, np.nan)
    return seen


def _enter(
    seen: Seen, animal: int, crop: np.ndarray, keypoints: np.ndarray, scores: np.ndarray
) -> None:
    """Enters what the network found of an animal on its crop, or that it is no number: then none of
    it counts, for a score of nan lies below no cutoff."""
    if np.isfinite(keypoints).all() and np.isfinite(scores).all():
        seen.keypoints[animal] = in_original_pixels(crop, keypoints.astype(np.float64))
        seen.scores[animal], seen.present[animal] = scores, True
    else:
        seen.scores[animal] = np.nan


# The animals that were found on frames, told apart: each has its place on all frames of a video. A
# frame that is kept has the animals that are on it and no others: a long video on which animals come
# and go has hundreds of places, and a few animals on each frame.

# what stands in the place of an animal that is not on a frame
ABSENT = {
    "keypoints": np.nan,
    "scores": 0.0,
    "present": False,
    "radii": np.nan,
    "boxes": np.nan,
    "sizes": np.nan,
}


def track_animals(
    seen: Iterable[Seen], doubts: list[Doubt], *, animals: int | None = None
) -> Iterator[Seen]:
    """Passes the frames of a video on with the places of their animals, which are the numbers of
    their tracks; those without one are left out.

    Of a known number of `animals`, places are below it. `reach` is used up. Doubts are appended, with
    rows of the sequence as frames.
    """
    tracks = Tracks()
    for one in seen:
        numbers = np.full(len(one.present), UNTRACKED)
        if one.fault is None:
            there = one.present
            found = Found(
                one.keypoints[there],
                one.scores[there],
                one.reach[there],
                one.boxes[there, 2:].max(1),
                one.boxes[there, :2] - 0.5 + one.boxes[there, 2:] / 2,
            )
            tracks, numbers[there], more = follow(tracks, one.row, found, animals=animals)
            doubts += more
            if one.more and animals is not None:
                doubts.append(
                    Doubt(one.row, UNTRACKED, UNTRACKED, f"{one.more} more than expected, left out")
                )
        yield _tracked(one, numbers)


def _tracked(one: Seen, numbers: np.ndarray) -> Seen:
    """Returns a frame with those of its animals that have a track. numbers: (I,) of the tracks."""
    kept = numbers != UNTRACKED
    return _rearranged(one, lambda values, _: values[kept])._replace(numbers=numbers[kept])


def from_left(seen: Iterable[Seen]) -> Iterator[Seen]:
    """Passes images on with the places of their animals, from left to right: nothing tells those of
    two images apart.
    """
    for one in seen:
        middle = np.zeros(0) if one.boxes is None else one.boxes[:, 0] + one.boxes[:, 2] / 2
        order = np.argsort(middle, kind="stable")
        yield one._replace(numbers=np.argsort(order, kind="stable"), reach=None)


def in_places(one: Seen, count: int) -> Seen:
    """Returns a frame whose animals stand in `count` places, each in that of its number."""
    numbers = np.arange(len(one.present)) if one.numbers is None else one.numbers

    def placed(values: np.ndarray, absent: float | bool) -> np.ndarray:
        made = np.full((count, *values.shape[1:]), absent, values.dtype)
        made[numbers] = values
        return made

    return _rearranged(one, placed)


def _rearranged(one: Seen, arranged: Callable[[np.ndarray, float | bool], np.ndarray]) -> Seen:
    """Returns a frame with other animals, or in another order. arranged: (an array of the animals,
    what stands for one that is not there) -> the same of the others."""
    given = {name: getattr(one, name) for name in ABSENT}
    known = {name: values for name, values in given.items() if values is not None}
    changed = {name: arranged(values, ABSENT[name]) for name, values in known.items()}
    return one._replace(**changed, reach=None, numbers=None)


def names_of(count: int) -> tuple[str, ...]:
    """Returns the names of so many animals, from 1."""
    return tuple(NAME.format(number + 1) for number in range(count))


def box_rows(table: PredictionTable) -> list[tuple]:
    """Returns the boxes of all animals that were found, and the names of their columns, as
    `--boxes` reads them.
    """
    rows: list[tuple] = [
        ("video", "frame", "instance", "x", "y", "w", "h")
        if table.is_video
        else ("image", "instance", "x", "y", "w", "h")
    ]
    for row, animal in np.argwhere(np.isfinite(table.boxes).all(-1)).tolist():
        place = (
            (table.names[row], int(table.numbers[row])) if table.is_video else (table.names[row],)
        )
        rows.append(
            (*place, table.instances[animal], *(f"{side:.2f}" for side in table.boxes[row, animal]))
        )
    return rows


def doubt_rows(doubts: Sequence[Doubt], numbers: np.ndarray) -> list[tuple[int, str, str, str]]:
    """Returns frame, names of one or two animals and the reason of each doubt; one of neighbouring
    frames is one.

    numbers: of the frames by row.
    """

    def name(number: int) -> str:
        return "" if number == UNTRACKED else NAME.format(number + 1)

    return [
        (int(numbers[doubt.frame]), name(doubt.first), name(doubt.second), doubt.why)
        for doubt in merge_doubts(doubts)
    ]
