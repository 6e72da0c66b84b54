"""Errors of a run on a person's own labels in pixels of the original images, and what its scores mean."""
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from kpjax import geometry
from kpjax.images.transforms import growth_of
from kpjax.input.source import Source, identities
from kpjax.lab.animals.calibration import ScoreTable, score_table, write_score_table
from kpjax.lab.animals.conformal import LEVELS, needed, radius_table, write_radius_table
from kpjax.lab.out.reports.pixel_errors import Animals, joined
from kpjax.training.evaluation import Gathered

OF_PART = "px of "  # before the names of parts, among a run's predictions


class Part(NamedTuple):
    """Labelled animals of a project, and the folder below which their names are paths."""

    source: Source
    root: Path


def write_meaning_of_scores(folder: Path, found: Gathered, recordings: Sequence[str], kind: str) -> ScoreTable:
    """Writes score_table.json and radius_table.json of the animals held out, and returns the first.

    Radii are in pixels of the network's images. They hold for new recordings where enough recordings are held out, and
    else for new images of these recordings.

    found: predictions on animals whose `scale` is the diagonal of the labelled body. recordings: those of the animals.
    """
    table = scores_of(found, kind)
    write_score_table(folder, table)
    errors = np.linalg.norm(found.keypoints - found.true_keypoints, axis=-1)
    several = len(set(recordings)) >= needed(max(LEVELS))
    write_radius_table(folder, radius_table(errors, found.scores, found.visible,
                                            recordings=recordings if several else None))
    return table


def scores_of(found: Gathered, kind: str = "peak") -> ScoreTable:
    """Computes what scores mean from animals whose `scale` is the diagonal of the labelled body."""
    distances = np.linalg.norm(found.keypoints - found.true_keypoints, axis=-1) / found.scale[:, None]
    return score_table(found.scores, distances, found.visible, kind=kind)


def animals_of(parts: Mapping[str, Part], predictions: Mapping[str, Gathered]) -> Animals:
    """Returns the predictions of all parts in pixels of the original images."""
    return joined([_animals(name, part, predictions[OF_PART + name]) for name, part in parts.items()])


def _animals(name: str, part: Part, found: Gathered) -> Animals:
    source, count = part.source, len(found.index)
    named = [identity.rpartition("#") for identity in identities(source)]
    # Only frames of videos have a number behind a "#"; images may have one in their names.
    split = [(title, int(number)) if title and len(number) >= 6 and number.isdecimal() else
             (title + mark + number, None) for title, mark, number in named]
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
