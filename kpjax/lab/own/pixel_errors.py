"""Errors in pixels of the original images that every run on a person's own labels keeps, and its table of scores."""
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from kpjax import geometry
from kpjax.files import make_folder
from kpjax.images.transforms import growth_of
from kpjax.input.source import Source, identities
from kpjax.lab.animals.calibration import ScoreTable, drawn_from, score_table, write_score_table
from kpjax.lab.animals.conformal import LEVELS, needed, radius_table, write_radius_table
from kpjax.lab.out.reports.pixel_errors import HELD_OUT, Animals, joined, metrics_of, write_errors
from kpjax.systems.system import Job, Outcome, StoredRun, System
from kpjax.training.evaluation import Gathered

OF_PART = "px of "  # before the names of parts, among a run's predictions


class Part(NamedTuple):
    """Labelled animals of a project, and the folder below which their names are paths."""

    source: Source
    root: Path


def with_pixel_errors(system: System, parts: Callable[[Job, Any], Mapping[str, Part]]) -> System:
    """Returns a system whose runs also keep errors.csv and errors_by_keypoint.csv, and metrics such as `held_out/px`.

    Scores get a meaning, too, from the animals held out: score_table.json has the cutoff, radius_table.json the radii
    within which the truth lies.

    parts: (job, data) -> the labelled animals by what they are for the run; one part is HELD_OUT, whose `scale` is the
    diagonal of the labelled body. None of these is kept where there are no parts.
    """
    def evaluated(job: Job, data: Any) -> dict[str, Source]:
        return dict(system.evaluated(job, data)) | {
            OF_PART + name: part.source for name, part in parts(job, data).items()}

    def measure(job: Job, data: Any, outcome: Outcome, predictions: Mapping[str, Gathered]) -> dict[str, float]:
        values = dict(system.measure(job, data, outcome, _without_parts(predictions)))
        if OF_PART + HELD_OUT not in predictions:  # measured again: a run made before these were kept
            return values
        animals = animals_of(parts(job, data), predictions)
        return values | metrics_of(animals, drawn_from(_scores_of(predictions[OF_PART + HELD_OUT]).cutoff))

    def draw(job: Job, data: Any, outcome: Outcome, predictions: Mapping[str, Gathered]) -> None:
        system.draw(job, data, outcome, _without_parts(predictions))
        if jax.process_index() == 0 and OF_PART + HELD_OUT in predictions:
            kind = system.predicting(StoredRun(job.config, job.variant, outcome.method.skeleton)).score_kind
            make_folder(job.folder)
            animals, found = animals_of(parts(job, data), predictions), predictions[OF_PART + HELD_OUT]
            table = write_meaning_of_scores(job.folder, found, animals.by_part()[HELD_OUT].recordings, kind)
            write_errors(job.folder, animals, drawn_from(table.cutoff))

    return system._replace(evaluated=evaluated, measure=measure, draw=draw)


def _without_parts(predictions: Mapping[str, Gathered]) -> dict[str, Gathered]:
    return {name: found for name, found in predictions.items() if not name.startswith(OF_PART)}


def write_meaning_of_scores(folder: Path, found: Gathered, recordings: Sequence[str], kind: str) -> ScoreTable:
    """Writes score_table.json and radius_table.json of the animals held out, and returns the first.

    Radii are in pixels of the network's images. They hold for new recordings where enough recordings are held out, and
    else for new images of these recordings.

    found: predictions on animals whose `scale` is the diagonal of the labelled body. recordings: those of the animals.
    """
    table = _scores_of(found, kind)
    write_score_table(folder, table)
    errors = np.linalg.norm(found.keypoints - found.true_keypoints, axis=-1)
    several = len(set(recordings)) >= needed(max(LEVELS))
    write_radius_table(folder, radius_table(errors, found.scores, found.visible,
                                            recordings=recordings if several else None))
    return table


def _scores_of(found: Gathered, kind: str = "peak") -> ScoreTable:
    distances = np.linalg.norm(found.keypoints - found.true_keypoints, axis=-1) / found.scale[:, None]
    return score_table(found.scores, distances, found.visible, kind=kind)


def animals_of(parts: Mapping[str, Part], predictions: Mapping[str, Gathered]) -> Animals:
    """Returns the predictions of all parts in pixels of the original images."""
    return joined([_animals(name, part, predictions[OF_PART + name]) for name, part in parts.items()])


def _animals(name: str, part: Part, found: Gathered) -> Animals:
    source, count = part.source, len(found.index)
    named = [identity.rpartition("#") for identity in identities(source)]
    # Only frames of videos have a number behind a "#"; images may have one in their names.
    split = [(title, int(number)) if title and len(number) >= 6 and number.isdigit() else (title + mark + number, None)
             for title, mark, number in named]
    images, frames = zip(*split, strict=True)
    animals_on, seen = Counter(split), Counter()
    instances = []
    for one in split:
        instances.append(f"animal {seen[one]}" if animals_on[one] > 1 else "")
        seen[one] += 1
    predicted, true = (np.asarray(geometry.move_points(found.crop, points), np.float64)
                       for points in (found.keypoints, found.true_keypoints))
    growth = growth_of(found.crop)
    paths = tuple(part.root.absolute() / image for image in images)
    return Animals(source.skeleton.names, (name,) * count, paths, frames, tuple(instances), found.scale * growth, true,
                   found.visible, predicted, found.scores)
