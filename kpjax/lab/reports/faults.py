"""What is wrong with a run's points on labelled animals, worst first: one list, which the report,
the console, `kpjax predict` and `kpjax evaluate` show.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from kpjax import Skeleton
from kpjax.evaluation.coincidence import LabelDistances, coinciding, one_point, sentences
from kpjax.files import read_json, write_json
from kpjax.lab.reports.pixel_errors import HELD_OUT, TRAINED, Animals, count_text, pixels

FILE = "faults.json"
DRAWN = 0.1  # share of a keypoint's empty cells, above which drawing there is a fault
LEAST = 3  # labels of a keypoint, or animals, below which nothing is said of it
WORSE = 2.0  # times the error of the typical keypoint
ALIKE = 0.02  # share of an animal's length, within which labels of all frames lie
OFTEN = 0.1  # share of animals
HEAP = 0.3  # spread of an animal's points over that of its labels


class Fault(NamedTuple):
    """One thing that is wrong."""

    text: str
    animals: tuple[int, ...] = ()  # numbers of those that show it, the clearest first
    command: str = ""  # that may mend it, or shows more of it


def faults_of(
    animals: Animals, cutoffs: np.ndarray, known: LabelDistances, skeleton: Skeleton
) -> list[Fault]:
    """Returns what is wrong with points on labelled animals, worst first.

    cutoffs: (K,), the score from which each keypoint is shown. known: of all labels of the run.
    """
    return [
        *drawn_where_empty(animals, cutoffs),
        *coincident(animals, cutoffs, known),
        *much_worse(animals),
        *alike(animals),
        *exchanged(animals, skeleton),
        *in_heaps(animals),
    ]


def _first(values: np.ndarray, chosen: np.ndarray) -> tuple[int, ...]:
    """Returns the numbers of the chosen animals, those of the largest values first."""
    order = np.argsort(-np.where(chosen, values, -np.inf), kind="stable")
    return tuple(order[: int(chosen.sum())].tolist())


def drawn_where_empty(animals: Animals, cutoffs: np.ndarray) -> list[Fault]:
    """Names keypoints that are shown where their label is empty."""
    shown = animals.empty & (animals.scores >= cutoffs)
    asked = animals.empty & np.isfinite(animals.scores)
    found = []
    for k in np.argsort(-shown.sum(0), kind="stable"):
        drawn, empty = int(shown[:, k].sum()), int(asked[:, k].sum())
        if drawn > DRAWN * empty and empty >= LEAST:
            text = f"{animals.names[k]} is drawn on {drawn} of {empty} animals where its label is empty."
            found.append(Fault(text, _first(animals.scores[:, k], shown[:, k])))
    return found


def coincident(animals: Animals, cutoffs: np.ndarray, known: LabelDistances) -> list[Fault]:
    """Names pairs of keypoints that are one point, and are not in labels."""
    found = coinciding(
        animals.predicted, animals.lengths, known, scores=animals.scores, cutoff=cutoffs
    )
    kind = {HELD_OUT: "held-out animal", TRAINED: "training animal"}
    of = kind.get(animals.parts[0], "labelled animal")
    texts = sentences(found, animals.names, length=float(np.median(animals.lengths)), of=of)
    together = one_point(animals.predicted, animals.lengths, animals.scores >= cutoffs)
    faults = [Fault(text) for text in texts]
    for number, pair in enumerate(found[: len(faults)]):
        chosen = together[:, pair.first, pair.second]
        faults[number] = faults[number]._replace(animals=_first(animals.lengths, chosen))
    return faults


def much_worse(animals: Animals) -> list[Fault]:
    """Names the keypoint that is much further off than the typical one."""
    labels = np.isfinite(animals.distances).sum(0)
    enough = labels >= LEAST
    if enough.sum() < 3:
        return []
    means = np.where(enough, np.nansum(animals.distances, 0) / np.maximum(labels, 1), np.nan)
    k, usual = int(np.nanargmax(means)), float(np.nanmedian(means))
    if means[k] < WORSE * usual:
        return []
    of_animals = animals.distances[:, k]
    return [
        Fault(
            f"{animals.names[k]} is {pixels(float(means[k]))} px off, the typical keypoint "
            f"{pixels(usual)} px.",
            _first(of_animals, np.isfinite(of_animals)),
        )
    ]


def alike(animals: Animals) -> list[Fault]:
    """Says that all labels lie where those of the first animal do, so that errors tell little."""
    seen = animals.visible > 0
    both = seen & seen[:1]
    if len(seen) < LEAST or not both[1:].any():
        return []
    moved = np.linalg.norm(animals.true - animals.true[:1], axis=-1) / animals.lengths[:, None]
    if moved[both].max() > ALIKE:
        return []
    frames = count_text(animals.frame_count, "frame")
    return [Fault(f"All {frames} show nearly the same pose, so errors tell little of others.")]


def exchanged(animals: Animals, skeleton: Skeleton) -> list[Fault]:
    """Says on how many animals points of the left lie at labels of the right."""
    if not skeleton.flip:
        return []
    flip = np.asarray(skeleton.flip)
    paired = (animals.visible > 0) & (animals.visible[:, flip] > 0) & (flip != np.arange(len(flip)))
    there = np.linalg.norm(animals.predicted - animals.true[:, flip], axis=-1)
    nearer = np.where(paired, animals.distances - there, 0.0)
    wrong = (nearer > 0).sum(1) > paired.sum(1) / 2
    return _of_many(animals, wrong, nearer.sum(1), "left and right are exchanged")


def in_heaps(animals: Animals) -> list[Fault]:
    """Says on how many animals all points lie in a heap."""
    seen = (animals.visible > 0) & np.isfinite(animals.predicted).all(-1)
    several = seen.sum(1) > 2

    def spread(points: np.ndarray) -> np.ndarray:
        kept = np.where(seen[..., None], points, 0.0)
        count = np.maximum(seen.sum(1), 1)[:, None]
        centre = kept.sum(1) / count
        away = np.linalg.norm(points - centre[:, None], axis=-1)
        return np.where(seen, away, 0.0).sum(1) / count[:, 0]

    share = spread(animals.predicted) / np.maximum(spread(animals.true), 1e-9)
    return _of_many(animals, several & (share < HEAP), -share, "the points lie in a heap")


def _of_many(animals: Animals, wrong: np.ndarray, how: np.ndarray, what: str) -> list[Fault]:
    count = int(wrong.sum())
    if count < LEAST or count < OFTEN * len(wrong):
        return []
    text = f"On {count} of {len(wrong)} animals {what}."
    return [Fault(text, _first(how, wrong))]


def write_faults(folder: Path, faults: Sequence[Fault]) -> None:
    """Writes what is wrong into a run's folder."""
    told = [{"text": one.text, "command": one.command} for one in faults]
    write_json(folder / FILE, {"faults": told})


def read_worst(folder: Path) -> str:
    """Returns what is worst about a run's points, "" where nothing is known to be wrong."""
    path = Path(folder) / FILE
    found = read_json(path)["faults"] if path.is_file() else []
    return found[0]["text"] if found else ""
