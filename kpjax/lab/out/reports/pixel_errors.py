"""Errors in pixels of the original images: of animals that were learnt from, of those held out, and
of any others; and what the scores of a run mean.

Each is given twice: over all labelled keypoints, and over those whose score reaches the cutoff,
beside the number of keypoints that the cutoff hides.
"""

import csv
import io
import itertools
import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from kpjax import geometry
from kpjax.errors import counted
from kpjax.files import foreign, read_content, write_text
from kpjax.formats.tables import rows_text
from kpjax.images.transforms import growth_of
from kpjax.input.source import Source, identities
from kpjax.lab.animals.calibration import FILE as SCORES, ScoreTable, score_table, table_as_json
from kpjax.lab.animals.conformal import FILE as RADII, LEVELS, needed, radius_table
from kpjax.training.evaluation import Gathered

FILE, BY_KEYPOINT_FILE = "errors.csv", "errors_by_keypoint.csv"
TRAINED, HELD_OUT, OTHER = "trained on", "held out", "other labels"
TARGET = "target"  # images of the kind that a run is for, where other images taught it
ALL = "all keypoints"
NEAR = 0.1  # of an animal's length, within which a keypoint counts as found (PCK)
LINE = 110  # letters of a line on a screen
HEADER = (
    "part",
    "image",
    "video",
    "frame",
    "instance",
    "keypoint",
    "x",
    "y",
    "true_x",
    "true_y",
    "error",
    "score",
    "length",
)
OF_PART = "px of "  # before the names of parts, among a run's predictions


class Animals(NamedTuple):
    """Predictions on N labelled animals; coordinates and lengths are in pixels of their original
    images.
    """

    names: tuple[str, ...]  # K, of the keypoints
    parts: tuple[str, ...]  # N: TRAINED, HELD_OUT, or what else they are
    images: tuple[Path, ...]  # N: the image, or the video
    frames: tuple[int | None, ...]  # N: the number in the video
    instances: tuple[str, ...]  # N: which animal of its frame
    lengths: np.ndarray  # (N,) the diagonal of the box, else of the labelled points
    true: np.ndarray  # (N, K, 2)
    visible: np.ndarray  # (N, K), 0 where nothing is labelled
    predicted: np.ndarray  # (N, K, 2)
    scores: np.ndarray  # (N, K)

    @property
    def distances(self) -> np.ndarray:
        """(N, K) px, nan where nothing is labelled."""
        return np.where(
            self.visible > 0, np.linalg.norm(self.predicted - self.true, axis=-1), np.nan
        )

    @property
    def frame_count(self) -> int:
        """How many frames they are on."""
        return len(set(zip(self.images, self.frames, strict=True)))

    @property
    def recordings(self) -> list[str]:
        """The folder of each animal's image, or its video."""
        return [
            str(path if frame is not None else path.parent)
            for path, frame in zip(self.images, self.frames, strict=True)
        ]

    def only(self, numbers: Sequence[int]) -> "Animals":
        """Returns some of the animals, by number."""
        kept = [int(number) for number in numbers]
        return Animals(
            self.names,
            *(
                tuple(field[n] for n in kept) if isinstance(field, tuple) else field[kept]
                for field in self[1:]
            ),
        )

    def by_part(self) -> dict[str, "Animals"]:
        """Returns the animals of each part, those of the target first, those held out, then those
        learnt from.
        """
        order = sorted(
            dict.fromkeys(self.parts),
            key=lambda part: (part != TARGET, part != HELD_OUT, part != TRAINED),
        )
        return {part: self.only(np.flatnonzero(np.array(self.parts) == part)) for part in order}

    def worst_first(self) -> list[int]:
        """Returns the numbers of the animals, those with the largest mean error over their length
        first.
        """
        return np.argsort(
            -np.nanmean(self.distances, axis=1) / self.lengths, kind="stable"
        ).tolist()

    def title(self, number: int) -> str:
        """Returns the whole name of an animal's frame, with the folder of an image, and which
        animal it is.
        """
        path, frame = self.images[number], self.frames[number]
        name = "/".join(path.parts[-2:] if frame is None else path.parts[-1:])
        return " ".join(
            filter(None, (name, "" if frame is None else f"frame {frame}", self.instances[number]))
        )


def joined(animals: Sequence[Animals]) -> Animals:
    """Returns all animals of several tables with the same keypoints."""
    return Animals(
        animals[0].names,
        *(
            sum(column, ()) if isinstance(column[0], tuple) else np.concatenate(column)
            for column in zip(*(one[1:] for one in animals), strict=True)
        ),
    )


class Errors(NamedTuple):
    """Errors of one keypoint, or of all together, in pixels; nan where there is nothing to
    average."""

    labels: int
    median: float
    mean: float
    shown: float  # the mean of those whose score reaches the cutoff
    hidden: int  # labelled keypoints whose score does not
    found: float  # share of them within `near` of the animal's length, 0 to 1
    relative: float  # mean error over the animal's length


def errors_of(animals: Animals, cutoff: float, near: float = NEAR) -> dict[str, Errors]:
    """Computes the errors of each keypoint by its name, and of all of them, each point weighing the
    same, as ALL.
    """
    distances, labelled = animals.distances, animals.visible > 0
    relative = distances / animals.lengths[:, None]

    def mean(values: np.ndarray) -> float:
        return float(values.mean()) if values.size else math.nan

    def of(chosen: np.ndarray) -> Errors:
        chosen = chosen & labelled
        shown = chosen & (animals.scores >= cutoff)
        median = float(np.median(distances[chosen])) if chosen.any() else math.nan
        return Errors(
            int(chosen.sum()),
            median,
            mean(distances[chosen]),
            mean(distances[shown]),
            int(chosen.sum() - shown.sum()),
            mean(relative[chosen] < near),
            mean(relative[chosen]),
        )

    numbers = np.arange(len(animals.names))
    return {name: of(numbers == k) for k, name in enumerate(animals.names)} | {
        ALL: of(numbers >= 0)
    }


def metrics_of(animals: Animals, cutoff: float) -> dict[str, float]:
    """Returns the errors of each part as metrics: `held_out/px` and so on, and
    `held_out/px/<keypoint>`.
    """
    found = {}
    for part, some in animals.by_part().items():
        prefix = part.replace(" ", "_")
        every = errors_of(some, cutoff)
        whole = every.pop(ALL)
        found |= {
            f"{prefix}/px": whole.mean,
            f"{prefix}/px_median": whole.median,
            f"{prefix}/px_shown": whole.shown,
            f"{prefix}/hidden": float(whole.hidden),
            f"{prefix}/labels": float(whole.labels),
        }
        found |= {f"{prefix}/px/{name}": one.mean for name, one in every.items() if one.labels}
    return found


COLUMNS = (
    ("labels", 7),
    ("median, px", 12),
    ("mean, px", 10),
    ("shown, px", 11),
    ("hidden", 8),
    ("PCK, %", 8),
)


def cells_of(one: Errors) -> list[str]:
    """Returns errors as texts below `COLUMNS`."""
    return [
        str(one.labels),
        *map(pixels, (one.median, one.mean, one.shown)),
        str(one.hidden),
        "–" if math.isnan(one.found) else f"{100 * one.found:.1f}",
    ]


def table_lines(animals: Animals, cutoff: float, near: float = NEAR) -> list[str]:
    """Lays out the errors by keypoint, one part below the other, in lines for a screen.

    cutoff: the score from which points are shown; -inf where none is known.
    """
    first = max(map(len, (*animals.names, ALL)))
    lines = []
    for some in animals.by_part().values():
        rows = [
            ("keypoint", [title for title, _ in COLUMNS]),
            *(
                (name, cells_of(one))
                for name, one in errors_of(some, cutoff, near).items()
                if one.labels
            ),
        ]
        lines += [
            frames_text(some),
            *(
                name.ljust(first)[:first]
                + "".join(text.rjust(size) for text, (_, size) in zip(cells, COLUMNS, strict=True))
                for name, cells in rows
            ),
            "",
        ]
    if OTHER in animals.parts:
        lines.append(
            f"{OTHER}: of frames that the run has neither learnt from with their labels nor held out"
        )
    return [
        *lines,
        "median, mean, shown: distances to the labels in px of the original images",
        f"shown: points with a score from {cutoff:.3g} on (the cutoff); hidden: those below it, not drawn"
        if math.isfinite(cutoff)
        else "no cutoff is known: drawings show all points",
        f"PCK: share of points nearer than {100 * near:g} % of the animal's length (the diagonal of its box, else "
        "of its labels)",
    ]


def frames_text(part: Animals) -> str:
    """Describes a part in words: "held out: 11 frames"."""
    frames, animals = part.frame_count, len(part.parts)
    return f"{part.parts[0]}: {counted(frames, 'frame')}" + f", {counted(animals, 'animal')}" * (
        animals > frames
    )


def pixels(value: float) -> str:
    """Returns a length with a decimal below 100, "–" for nan."""
    return "–" if math.isnan(value) else f"{value:.1f}" if value < 100 else f"{value:,.0f}"


def write_errors(folder: Path, animals: Animals, cutoff: float) -> Path:
    """Writes errors.csv, a row for every labelled keypoint, and errors_by_keypoint.csv; returns the
    first path.
    """
    rows: list[Sequence[object]] = [HEADER]
    distances = animals.distances
    for n, k in np.argwhere(animals.visible > 0).tolist():
        frame, path = animals.frames[n], animals.images[n]
        where = [path, "", ""] if frame is None else ["", path, frame]
        cells = (
            *animals.predicted[n, k],
            *animals.true[n, k],
            distances[n, k],
            animals.scores[n, k],
            animals.lengths[n],
        )
        rows.append(
            [
                animals.parts[n],
                *where,
                animals.instances[n],
                animals.names[k],
                *(f"{cell:.9g}" for cell in cells),
            ]
        )  # a cutoff is the score of one
    table: list[Sequence[object]] = [
        (
            "part",
            "keypoint",
            "labels",
            "median_px",
            "mean_px",
            "mean_px_from_cutoff",
            "hidden_by_cutoff",
            "cutoff",
            f"pck_{100 * NEAR:g}_percent",
        )
    ]
    for part, some in animals.by_part().items():
        table += [
            (
                part,
                name,
                one.labels,
                *(f"{value:.6g}" for value in (one.median, one.mean, one.shown)),
                one.hidden,
                f"{cutoff:.6g}",
                f"{100 * one.found:.6g}",
            )
            for name, one in errors_of(some, cutoff).items()
            if one.labels
        ]
    write_text(Path(folder) / BY_KEYPOINT_FILE, rows_text(table))
    return write_text(Path(folder) / FILE, rows_text(rows))


def read_errors(folder: Path, names: Sequence[str] = ()) -> Animals | None:
    """Reads the errors.csv of a run's folder; None without one. What is not labelled has the score
    0.

    names: of the keypoints, in their order; those with a label if not given.
    """
    path, keys = Path(folder) / FILE, ("part", "image", "video", "frame", "instance", "length")
    if not path.is_file():
        return None
    with foreign(path, "train the run again, or delete the file"):
        rows = list(csv.DictReader(io.StringIO(read_content(path).decode(errors="replace"))))
        if not rows or set(HEADER) - set(rows[0]):
            raise ValueError("not what a run writes")
        names = tuple(names) or tuple(dict.fromkeys(row["keypoint"] for row in rows))
        animals = {
            key: n
            for n, key in enumerate(
                dict.fromkeys(tuple(row[name] for name in keys) for row in rows)
            )
        }
        shape = (len(animals), len(names))
        true, predicted = np.full((2, *shape, 2), np.nan)
        scores = np.zeros(shape, np.float32)
        for row in rows:
            at = animals[tuple(row[name] for name in keys)], names.index(row["keypoint"])
            predicted[at], true[at] = (
                (float(row["x"]), float(row["y"])),
                (float(row["true_x"]), float(row["true_y"])),
            )
            scores[at] = float(row["score"])
        parts, images, videos, frames, instances, lengths = zip(*animals, strict=True)
        return Animals(
            names,
            parts,
            tuple(Path(image or video) for image, video in zip(images, videos, strict=True)),
            tuple(int(frame) if frame else None for frame in frames),
            instances,
            np.array([float(length) for length in lengths]),
            true,
            np.isfinite(true).all(-1).astype(np.float32),
            predicted,
            scores,
        )


class Part(NamedTuple):
    """Labelled animals of a project, and the folder below which their names are paths."""

    source: Source
    root: Path


def places_of(part: Part) -> list[tuple[Path, int | None]]:
    """Returns the image of each animal, or its video and the frame's number there."""
    named = [identity.rpartition("#") for identity in identities(part.source)]
    # Only frames of videos have a number behind a "#"; images may have one in their names.
    return [
        (part.root.absolute() / title, int(number))
        if title and len(number) >= 6 and number.isdecimal()
        else (part.root.absolute() / (title + mark + number), None)
        for title, mark, number in named
    ]


def meaning_of_scores(found: Gathered, held: Animals | None, kind: str) -> dict[str, Any]:
    """Returns what score_table.json and radius_table.json say of the animals held out, by these
    names.

    Radii are in pixels of the network's images. They hold for new recordings where enough
    recordings are held out, and else for new images of these recordings.

    found: predictions on animals whose `scale` is the diagonal of the labelled body. held: these
    animals, None if their frames are not known.
    """
    errors = np.linalg.norm(found.keypoints - found.true_keypoints, axis=-1)
    images = held and [
        f"{path} {number}" for path, number in zip(held.images, held.frames, strict=True)
    ]
    recordings = (
        held.recordings if held and len(set(held.recordings)) >= needed(max(LEVELS)) else None
    )
    radii = radius_table(errors, found.scores, found.visible, recordings=recordings, images=images)
    return {SCORES: table_as_json(scores_of(found, kind)), RADII: table_as_json(radii)}


def scores_of(found: Gathered, kind: str = "peak") -> ScoreTable:
    """Computes what scores mean from animals whose `scale` is the diagonal of the labelled body."""
    distances = (
        np.linalg.norm(found.keypoints - found.true_keypoints, axis=-1) / found.scale[:, None]
    )
    return score_table(found.scores, distances, found.visible, kind=kind)


def animals_of(parts: Mapping[str, Part], predictions: Mapping[str, Gathered]) -> Animals:
    """Returns the predictions of all parts in pixels of the original images."""
    return joined(
        [_animals_of(name, part, predictions[OF_PART + name]) for name, part in parts.items()]
    )


def numbered(frames: Sequence[Any], names: Sequence[str] = ()) -> tuple[str, ...]:
    """Returns the name of each animal, "animal 0" and so on of those without one on a frame that
    has several.
    """
    animals_on, numbers = Counter(frames), defaultdict(itertools.count)
    return tuple(
        name or (f"animal {next(numbers[one])}" if animals_on[one] > 1 else "")
        for one, name in zip(frames, names or [""] * len(frames), strict=True)
    )


def _animals_of(name: str, part: Part, found: Gathered) -> Animals:
    source, count = part.source, len(found.index)
    places = places_of(part)
    images, frames = zip(*places, strict=True)
    instances = numbered(places)
    predicted, true = (
        np.asarray(geometry.move_points(found.crop, points), np.float64)
        for points in (found.keypoints, found.true_keypoints)
    )
    growth = growth_of(found.crop)
    return Animals(
        source.skeleton.names,
        (name,) * count,
        images,
        frames,
        instances,
        found.scale * growth,
        true,
        found.visible,
        predicted,
        found.scores,
    )
