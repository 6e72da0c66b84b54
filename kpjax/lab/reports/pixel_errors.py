"""Errors in pixels of the original images: of animals that were learnt from, of those held out, and
of any others; and what the scores of a run mean.

Each is given twice: over all labelled keypoints, and over those whose score reaches the cutoff of
their keypoint, beside the number of keypoints that cutoffs hide, and the number of empty cells
that are drawn all the same.
"""

import csv
import io
import itertools
import math
import textwrap
from collections import Counter, defaultdict
from collections.abc import Container, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from kpjax import geometry
from kpjax.errors import count_text
from kpjax.evaluation.coincidence import (
    LabelDistances,
    label_distances,
)
from kpjax.evaluation.cutoffs import HIDDEN, keypoint_cutoffs
from kpjax.files import foreign, read_content
from kpjax.formats.tables import write_rows
from kpjax.images.reading import spread
from kpjax.images.transforms import growth_of
from kpjax.input.source import Source, identities, subset
from kpjax.lab.animals.calibration import (
    FILE as SCORES,
    Empty,
    ScoreTable,
    cutoffs_text,
    table_as_json,
)
from kpjax.lab.animals.conformal import FILE as RADII, radius_table
from kpjax.training.evaluation import Gathered, labels_of

FILE, BY_KEYPOINT_FILE = "errors.csv", "errors_by_keypoint.csv"
TRAINED, HELD_OUT, OTHER = "trained on", "held out", "other labels"
TARGET = "target"  # images of the kind that a run is for, where other images taught it
ALL = "all keypoints"
NEAR = 0.1  # share of an animal's length, within which a keypoint counts as found (PCK)
HIDDEN_WHERE_ABSENT = (
    0.15  # share of right points that a cutoff may hide, of keypoints taught as absent
)
LEARNT = 0.5  # weight of a frame that trained, of one that did not, where cutoffs are chosen
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
    "area",
)
SAMPLE = 500  # animals of what was learnt from, spread evenly, on which its errors are measured
OF_PART = "px of "  # before the names of parts, among a run's predictions


def wrap_lines(text: str, *, indent: str = "    ") -> str:
    """Breaks a line into those of a screen, the others indented; never within a word, which may be a
    flag or a path.
    """
    return textwrap.fill(
        text, LINE, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )


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
    predicted: np.ndarray  # (N, K, 2), nan of animals beyond a sample
    scores: np.ndarray  # (N, K), likewise
    #: (N, K) bool: empty in the labels, of a keypoint that other frames have a label of
    empty: np.ndarray
    areas: np.ndarray  # (N,) square pixels, nan where neither a box nor a file says it

    @property
    def places(self) -> list[tuple[Path, int | None]]:
        """The frame of each animal."""
        return list(zip(self.images, self.frames, strict=True))

    @property
    def distances(self) -> np.ndarray:
        """(N, K) px, nan where nothing is labelled."""
        return np.where(
            self.visible > 0, np.linalg.norm(self.predicted - self.true, axis=-1), np.nan
        )

    @property
    def frame_count(self) -> int:
        """How many frames they are on."""
        return len(set(self.places))

    @property
    def recordings(self) -> list[str]:
        """The folder of each animal's image, or its video."""
        return [str(path if frame is not None else path.parent) for path, frame in self.places]

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
        """Returns the numbers of the animals with a label, those with the largest mean error over
        their length first.
        """
        labelled = np.flatnonzero((self.visible > 0).any(1))
        means = np.nanmean(self.distances[labelled], axis=1) / self.lengths[labelled]
        return labelled[np.argsort(-means, kind="stable")].tolist()

    def title(self, number: int) -> str:
        """Returns the whole name of an animal's frame, with the folder of an image, and which
        animal it is.
        """
        path, frame = self.images[number], self.frames[number]
        name = "/".join(path.parts[-2:] if frame is None else path.parts[-1:])
        return " ".join(
            filter(None, (name, "" if frame is None else f"frame {frame}", self.instances[number]))
        )


def join_animals(animals: Sequence[Animals]) -> Animals:
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
    empty: int  # cells without a label
    drawn: int  # those of them whose score reaches the cutoff
    found: float  # share of them within `near` of the animal's length, 0 to 1
    relative: float  # mean error over the animal's length


def errors_of(animals: Animals, cutoffs: np.ndarray, near: float = NEAR) -> dict[str, Errors]:
    """Computes the errors of each keypoint by its name, and of all of them, each point weighing the
    same, as ALL.

    cutoffs: (K,), the score from which each keypoint is shown.
    """
    distances, seen = animals.distances, np.isfinite(animals.scores)
    labelled = (animals.visible > 0) & seen
    relative = distances / animals.lengths[:, None]

    def mean(values: np.ndarray) -> float:
        return float(values.mean()) if values.size else math.nan

    def of(chosen: np.ndarray) -> Errors:
        empty, chosen = animals.empty & chosen & seen, chosen & labelled
        above = animals.scores >= cutoffs
        shown = chosen & above
        median = float(np.median(distances[chosen])) if chosen.any() else math.nan
        return Errors(
            int(chosen.sum()),
            median,
            mean(distances[chosen]),
            mean(distances[shown]),
            int(chosen.sum() - shown.sum()),
            int(empty.sum()),
            int((empty & above).sum()),
            mean(relative[chosen] < near),
            mean(relative[chosen]),
        )

    numbers = np.arange(len(animals.names))
    return {name: of(numbers == k) for k, name in enumerate(animals.names)} | {
        ALL: of(numbers >= 0)
    }


def metrics_of(animals: Animals, cutoffs: np.ndarray) -> dict[str, float]:
    """Returns the errors of each part as metrics: `held_out/px` and so on, and
    `held_out/px/<keypoint>`.
    """
    found = {}
    for part, some in animals.by_part().items():
        prefix = part.replace(" ", "_")
        every = errors_of(some, cutoffs)
        whole = every.pop(ALL)
        found |= {
            f"{prefix}/px": whole.mean,
            f"{prefix}/px_median": whole.median,
            f"{prefix}/px_shown": whole.shown,
            f"{prefix}/hidden": float(whole.hidden),
            f"{prefix}/labels": float(whole.labels),
            f"{prefix}/empty": float(whole.empty),
            f"{prefix}/empty_drawn": float(whole.drawn),
        }
        found |= {f"{prefix}/px/{name}": one.mean for name, one in every.items() if one.labels}
    return found


EMPTY = "empty, drawn"
COLUMNS = (
    ("labels", 7),
    ("median, px", 12),
    ("mean, px", 10),
    ("shown, px", 11),
    ("hidden", 8),
    (EMPTY, 14),
    ("PCK, %", 8),
)


def columns_of(part: Animals) -> list[int]:
    """Returns which of `COLUMNS` have numbers: that of empty cells only where there are some."""
    return [n for n, (title, _) in enumerate(COLUMNS) if title != EMPTY or part.empty.any()]


def cells_of(one: Errors) -> list[str]:
    """Returns errors as texts below `COLUMNS`."""
    return [
        str(one.labels),
        *map(pixels, (one.median, one.mean, one.shown)),
        str(one.hidden),
        f"{one.drawn} of {one.empty}" if one.empty else "–",
        "–" if math.isnan(one.found) else f"{100 * one.found:.1f}",
    ]


def table_lines(animals: Animals, cutoffs: np.ndarray, near: float = NEAR) -> list[str]:
    """Lays out the errors by keypoint, one part below the other, in lines for a screen.

    cutoffs: (K,), the score from which each keypoint is shown; -inf where none is known.
    """
    first, said = max(map(len, (*animals.names, ALL))), cutoffs_text(cutoffs)
    lines = []
    for some in animals.by_part().values():
        chosen = columns_of(some)
        rows = [
            ("keypoint", [title for title, _ in COLUMNS]),
            *(
                (name, cells_of(one))
                for name, one in errors_of(some, cutoffs, near).items()
                if one.labels
            ),
        ]
        lines += [
            frames_text(some),
            *(
                name.ljust(first)[:first] + "".join(cells[n].rjust(COLUMNS[n][1]) for n in chosen)
                for name, cells in rows
            ),
            "",
        ]
    if OTHER in animals.parts:
        lines.append(
            f"{OTHER}: of frames that the run has neither learnt from with their labels nor held out"
        )
    lines.append("median, mean, shown: distances to the labels in px of the original images")
    if said:
        lines.append(
            f"shown: points at or above their keypoint's cutoff ({said}); hidden: labelled points below it, not drawn"
        )
    else:
        lines.append("no cutoff is known: drawings show all points")
    if animals.empty.any():
        lines.append(
            "empty, drawn: cells that the labeller left empty, where drawings show a point all the same"
        )
    lines.append(
        f"PCK: share of points nearer than {100 * near:g} % of the animal's length (the diagonal of its box, else "
        "of its labels)"
    )
    return lines


def frames_text(part: Animals) -> str:
    """Describes a part in words: "held out: 11 frames"."""
    frames, animals = part.frame_count, len(part.parts)
    seen = int(np.isfinite(part.predicted).all(-1).any(1).sum())
    said = f"{part.parts[0]}: {count_text(frames, 'frame')}"
    if animals > frames:
        said += f", {count_text(animals, 'animal')}"
    if seen < animals:
        said += f"; errors are of {seen} of them"
    return said


def pixels(value: float) -> str:
    """Returns a length with a decimal below 100, "–" for nan."""
    return "–" if math.isnan(value) else f"{value:.1f}" if value < 100 else f"{value:,.0f}"


def write_errors(folder: Path, animals: Animals, cutoffs: np.ndarray) -> Path:
    """Writes errors.csv, a row for every labelled keypoint and every empty cell, which has no true
    place and no error, and errors_by_keypoint.csv; returns the first path.
    """
    rows: list[Sequence[object]] = [HEADER]
    distances = animals.distances
    for n, k in np.argwhere((animals.visible > 0) | animals.empty).tolist():
        frame, path = animals.frames[n], animals.images[n]
        where = [path, "", ""] if frame is None else ["", path, frame]
        cells = (
            *animals.predicted[n, k],
            *(animals.true[n, k] if animals.visible[n, k] > 0 else ("", "")),
            distances[n, k] if animals.visible[n, k] > 0 else "",
            animals.scores[n, k],
            animals.lengths[n],
            animals.areas[n],
        )
        rows.append(
            [
                animals.parts[n],
                *where,
                animals.instances[n],
                animals.names[k],
                *(cell if isinstance(cell, str) else f"{cell:.9g}" for cell in cells),
            ]
        )  # a cutoff may be the score of one
    table: list[Sequence[object]] = [
        (
            "part",
            "keypoint",
            "labels",
            "median_px",
            "mean_px",
            "mean_px_from_cutoff",
            "hidden_by_cutoff",
            "empty",
            "empty_drawn",
            "cutoff",
            f"pck_{100 * NEAR:g}_percent",
        )
    ]
    cutoff_of = dict(zip(animals.names, cutoffs.tolist(), strict=True))
    for part, some in animals.by_part().items():
        table += [
            (
                part,
                name,
                one.labels,
                *(f"{value:.6g}" for value in (one.median, one.mean, one.shown)),
                one.hidden,
                one.empty,
                one.drawn,
                f"{cutoff_of[name]:.6g}" if name in cutoff_of else "",
                f"{100 * one.found:.6g}",
            )
            for name, one in errors_of(some, cutoffs).items()
            if one.labels or one.empty
        ]
    write_rows(folder / BY_KEYPOINT_FILE, table)
    return write_rows(folder / FILE, rows)


def read_errors(folder: Path, names: Sequence[str] = ()) -> Animals | None:
    """Reads the errors.csv of a run's folder; None without one. What is neither labelled nor empty
    has the score 0.

    names: of the keypoints, in their order; those with a label if not given.
    """
    path = folder / FILE
    keys = ("part", "image", "video", "frame", "instance", "length", "area")
    if not path.is_file():
        return None
    with foreign(path, "train the run again, or delete the file"):
        rows = list(csv.DictReader(io.StringIO(read_content(path).decode(errors="replace"))))
        rows = [{"area": "nan", **row} for row in rows]  # which older runs have not
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
        scores, empty = np.zeros(shape, np.float32), np.zeros(shape, bool)
        for row in rows:
            at = animals[tuple(row[name] for name in keys)], names.index(row["keypoint"])
            predicted[at], scores[at] = (float(row["x"]), float(row["y"])), float(row["score"])
            empty[at] = row["true_x"] == "" == row["true_y"]
            if not empty[at]:
                true[at] = float(row["true_x"]), float(row["true_y"])
        parts, images, videos, frames, instances, lengths, areas = zip(*animals, strict=True)
        return Animals(
            names,
            parts,
            tuple(Path(image or video) for image, video in zip(images, videos, strict=True)),
            tuple(int(frame) if frame else None for frame in frames),
            instances,
            np.array(lengths, np.float64),
            true,
            np.isfinite(true).all(-1).astype(np.float32),
            predicted,
            scores,
            empty,
            np.array(areas, np.float64),
        )


class Part(NamedTuple):
    """Labelled animals of a project, and the folder below which their names are paths."""

    #: `visible` is nan where labels say nothing of a keypoint, neither where it is nor that it is empty
    source: Source
    root: Path
    areas: np.ndarray | None = None  # (N,) of `Animals`


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


def known_by(predictions: Container[str]) -> str:
    """Returns the part that says what scores mean, "" if there is none. predictions: by name."""
    return next((part for part in (HELD_OUT, TARGET) if OF_PART + part in predictions), "")


def meaning_of_scores(
    predictions: Mapping[str, Gathered],
    part: str,
    held: Animals | None,
    kind: str,
    *,
    empty: Empty = "often",
    kept: Mapping[int, float] | None = None,
) -> dict[str, Any]:
    """Returns what score_table.json and radius_table.json say of the animals of a part, by these
    names.

    Radii are in pixels of the network's images. They hold for new recordings where enough
    recordings are held out, and else they are those of images, stretched as recordings differ.

    held: these animals, None if their frames are not known. The others are as of `scores_of`.
    """
    found = predictions[OF_PART + part]
    errors = np.linalg.norm(found.keypoints - found.true_keypoints, axis=-1)
    images = held and [
        f"{path} {number}" for path, number in zip(held.images, held.frames, strict=True)
    ]
    recordings = held and held.recordings
    radii = radius_table(errors, found.scores, found.visible, recordings=recordings, images=images)
    scores = scores_of(predictions, part, kind, empty=empty, kept=kept)
    return {SCORES: table_as_json(scores), RADII: table_as_json(radii)}


def scores_of(
    predictions: Mapping[str, Gathered],
    part: str,
    kind: str = "peak",
    *,
    empty: Empty = "often",
    kept: Mapping[int, float] | None = None,
) -> ScoreTable:
    """Chooses from which score on each keypoint is shown, by the animals of one part.

    predictions: of all parts, by `OF_PART` and their names, on animals whose `scale` is the
    diagonal of the labelled body. part: what the run has not learnt from. Cells that its frames
    have empty are wrong to show, and so are those of frames that it has learnt from, as long as
    nothing was taught there. Of keypoints that were taught as absent all frames tell: those that
    trained weigh `LEARNT` of the others, since their scores are surer than on new ones. kept:
    cutoffs that are known already, by the numbers of keypoints, for those without a label there.
    """
    cells = empty_cells(predictions, empty)
    found = predictions[OF_PART + part]
    labelled, near = found.visible > 0, _near(found)
    scores, right, wrong = [found.scores], [labelled & near], [labelled & ~near]
    weights, hidden = [np.ones(len(labelled))], HIDDEN
    for name, there in cells.items():
        if name == part:
            wrong[0] = wrong[0] | there
        elif name == TRAINED and empty != "unlabelled":
            learnt = predictions[OF_PART + name]
            taught = (learnt.visible < -0.5).any(0)
            seen = np.isfinite(learnt.scores).all(1)
            untaught = there if empty == "often" else np.zeros_like(there)
            scores.append(learnt.scores[seen])
            right.append(((learnt.visible > 0) & _near(learnt) & taught)[seen])
            wrong.append(np.where(taught, there, untaught)[seen])
            weights.append(np.full(int(seen.sum()), LEARNT))
            hidden = np.where(taught, HIDDEN_WHERE_ABSENT, HIDDEN)
    cutoffs = keypoint_cutoffs(
        *map(np.concatenate, (scores, right, wrong)),
        hidden=hidden,
        weights=np.concatenate(weights),
    )
    for number, cutoff in (kept or {}).items():
        if not labelled[:, number].any():
            cutoffs[number] = cutoff
    known = found.scores[labelled]
    deciles = np.quantile(known, np.linspace(0, 1, 11)) if known.size else np.zeros(0)
    return ScoreTable(kind, cutoffs, deciles.astype(np.float64), empty)


def _near(found: Gathered) -> np.ndarray:
    """Returns (N, K) which points lie near their labels."""
    distances = np.linalg.norm(found.keypoints - found.true_keypoints, axis=-1)
    return distances <= NEAR * found.scale[:, None]


def empty_cells(
    predictions: Mapping[str, Gathered], empty: Empty = "often"
) -> dict[str, np.ndarray]:
    """Returns which cells (N, K) of each part's animals have no label, of keypoints that have one
    elsewhere in the part; of the frames that train and those held out, in either. Cells of which
    labels say nothing are not empty. Where empty cells are unlabelled, only those of frames that are
    known to show no animal.
    """
    visible = {
        name.removeprefix(OF_PART): found.visible
        for name, found in predictions.items()
        if name.startswith(OF_PART)
    }
    ours = [(there > 0).any(0) for name, there in visible.items() if name != TARGET]
    cells = {}
    for name, there in visible.items():
        seen = there > 0
        elsewhere = seen.any(0) if name == TARGET else np.any(ours, axis=0)
        cells[name] = ~seen & np.isfinite(there) & elsewhere
        if empty == "unlabelled":
            cells[name] &= ~seen.any(1)[:, None]
    return cells


def distances_in_labels(
    animals: Animals, predictions: Mapping[str, Gathered] | None = None
) -> LabelDistances:
    """Measures how near labels of one animal come to each other, in lengths of the animal.

    predictions: of the parts of the animals, whose `scale` says how large they are in the network's
    images.
    """
    scales = [
        found.scale for name, found in (predictions or {}).items() if name.startswith(OF_PART)
    ]
    return label_distances(
        animals.true,
        animals.visible,
        animals.lengths,
        animals.names,
        size=float(np.median(np.concatenate(scales))) if scales else math.nan,
    )


def sample_of(part: str, source: Source) -> Source:
    """Returns the animals of a part on which errors are measured: all, but for a sample of many that
    were learnt from.
    """
    if part != TRAINED or len(source) <= SAMPLE:
        return source
    return subset(source, _sampled(len(source)), source.name)


def _sampled(count: int) -> list[int]:
    """Returns which animals of so many are in the sample."""
    return spread(range(count), SAMPLE)


def beyond_sample(
    parts: Mapping[str, Part], predictions: Mapping[str, Gathered]
) -> dict[str, Gathered]:
    """Returns predictions with the labels of all animals of the parts: points and scores of those that
    `sample_of` left out are nan. A run's errors.csv lists whatever it has learnt from.
    """
    found = dict(predictions)
    for name, part in parts.items():
        some, count = predictions[OF_PART + name], len(part.source)
        if len(some.index) < count:
            rows, whole = _sampled(count), labels_of(part.source)
            keypoints, scores = (
                np.full_like(one, np.nan) for one in (whole.keypoints, whole.scores)
            )
            keypoints[rows], scores[rows] = some.keypoints, some.scores
            found[OF_PART + name] = whole._replace(keypoints=keypoints, scores=scores)
    return found


def animals_of(
    parts: Mapping[str, Part], predictions: Mapping[str, Gathered], *, empty: Empty = "often"
) -> Animals:
    """Returns the predictions of all parts in pixels of the original images."""
    cells = empty_cells(predictions, empty)
    return join_animals(
        [
            _animals_of(name, part, predictions[OF_PART + name], cells[name])
            for name, part in parts.items()
        ]
    )


def animal_names(frames: Sequence[Any], names: Sequence[str] = ()) -> tuple[str, ...]:
    """Returns the name of each animal, "animal 0" and so on of those without one on a frame that
    has several.
    """
    animals_on, numbers = Counter(frames), defaultdict(itertools.count)
    return tuple(
        name or (f"animal {next(numbers[one])}" if animals_on[one] > 1 else "")
        for one, name in zip(frames, names or [""] * len(frames), strict=True)
    )


def _animals_of(name: str, part: Part, found: Gathered, empty: np.ndarray) -> Animals:
    source, count = part.source, len(found.index)
    places = places_of(part)
    images, frames = zip(*places, strict=True)
    instances = animal_names(places)
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
        np.nan_to_num(found.visible),
        predicted,
        found.scores,
        empty,
        np.full(count, np.nan) if part.areas is None else part.areas,
    )
