"""The animals that were found on frames, told apart: each has its place on all frames of a video."""
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from kpjax.lab.animals.tracking import UNTRACKED, Doubt, Found, Tracks, follow, merged
from kpjax.lab.commands.predict.pipeline import Seen
from kpjax.lab.formats.predictions import PredictionTable

NAME = "animal{}"
DOUBTS = ("frame", "first", "second", "why")  # columns


def tracked(seen: Iterable[Seen], doubts: list[Doubt], *, animals: int | None = None) -> Iterator[Seen]:
    """Passes the frames of a video on with the animals in the places of their tracks; those without one are left out.

    There are as many places as `animals`, where it is known, else one for each track so far. Doubts are appended, with
    rows of the sequence as frames.
    """
    tracks = Tracks()
    for one in seen:
        numbers = np.zeros(0, int)
        if one.fault is None:
            found = Found(one.keypoints, one.scores, one.radii, one.boxes[:, 2:].max(1),
                          one.boxes[:, :2] - 0.5 + one.boxes[:, 2:] / 2)
            tracks, numbers, more = follow(tracks, one.row, found, animals=animals)
            doubts += more
            if one.more and animals is not None:
                doubts.append(Doubt(one.row, UNTRACKED, UNTRACKED, f"{one.more} more than there are, left out"))
        yield in_places(one, numbers, tracks.count if animals is None else animals)


def from_left(seen: Iterable[Seen]) -> Iterator[Seen]:
    """Passes images on with their animals in order from left to right: nothing tells those of two images apart."""
    for one in seen:
        if one.boxes is not None:
            middle = one.boxes[:, 0] + one.boxes[:, 2] / 2
            one = in_places(one, np.argsort(np.argsort(middle, kind="stable"), kind="stable"), len(one.boxes))
        yield one


def in_places(one: Seen, numbers: np.ndarray, count: int) -> Seen:
    """Returns a frame whose animals stand in `count` places, each in that of its number; UNTRACKED ones have none."""
    kept = np.flatnonzero(numbers != UNTRACKED)

    def placed(values: np.ndarray, empty: float | bool) -> np.ndarray:
        made = np.full((count, *values.shape[1:]), empty, values.dtype)
        made[numbers[kept]] = values[kept]
        return made

    boxes = np.zeros((0, 4)) if one.boxes is None else one.boxes
    return one._replace(keypoints=placed(one.keypoints, np.nan), scores=placed(one.scores, 0.0),
                        present=placed(one.present, False), radii=placed(one.radii, np.nan),
                        boxes=placed(boxes, np.nan),
                        members=None if one.members is None else placed(one.members, np.nan))


def names_of(count: int) -> tuple[str, ...]:
    """Returns the names of so many animals, from 1."""
    return tuple(NAME.format(number + 1) for number in range(count))


def box_rows(table: PredictionTable) -> list[tuple]:
    """Returns the boxes of all animals that were found, and the names of their columns, as `--boxes` reads them."""
    rows: list[tuple] = [("video", "frame", "instance", "x", "y", "w", "h") if table.is_video else
                         ("image", "instance", "x", "y", "w", "h")]
    for row, animal in np.argwhere(np.isfinite(table.boxes).all(-1)).tolist():
        place = (table.names[row], int(table.numbers[row])) if table.is_video else (table.names[row],)
        rows.append((*place, table.instances[animal], *(f"{side:.2f}" for side in table.boxes[row, animal])))
    return rows


def doubt_rows(doubts: Sequence[Doubt], numbers: np.ndarray) -> list[tuple[int, str, str, str]]:
    """Returns frame, names of one or two animals and the reason of each doubt; one of neighbouring frames is one.

    numbers: of the frames by row.
    """
    def name(number: int) -> str:
        return "" if number == UNTRACKED else NAME.format(number + 1)

    return [(int(numbers[doubt.frame]), name(doubt.first), name(doubt.second), doubt.why) for doubt in merged(doubts)]
