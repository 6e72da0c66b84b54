"""What another tool predicts, on the frames and for the animals of a project."""

import math
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import NamedTuple

import numpy as np

from kpjax.errors import InputError, summarise
from kpjax.formats.names import forward
from kpjax.formats.predictions import PredictionTable
from kpjax.formats.project import Frame, Project, place_in_recording
from kpjax.formats.project_source import has_own_box

UNLIKELY = 0.5  # share of the median score of a keypoint, below which a point is hardly one


class Answers(NamedTuple):
    """What another tool says of the I animals of a project, of its own K keypoints."""

    names: tuple[str, ...]  # K
    points: np.ndarray  # (I, K, 2) px of the frames, nan where it says nothing
    scores: np.ndarray  # (I, K), nan likewise
    #: (A, K, 3) x, y and score of all its animals on each frame; None of one that it has not seen
    on_frames: tuple[np.ndarray | None, ...]


def answers_of(project: Project, tables: Sequence[PredictionTable]) -> Answers:
    """Returns what tables say of a project's animals.

    Of several animals on a frame, each has the prediction that is nearest to its labels, so that the
    sum of distances is least, and none that lies further away than an animal is long. Distances are
    those of keypoints that both name, else of the middles. Raises InputError for tables of other
    keypoints than the first, and where they predict no frame of the project.
    """
    names = tables[0].skeleton.names
    other = [one for one in tables if {*one.skeleton.names} != {*names}]
    if other:
        raise InputError(
            f"{other[0].source}: predictions of {summarise(list(other[0].skeleton.names))}, where others are of "
            f"{summarise(list(names))}; give those of one network"
        )
    on_frames = predicted_on(tables, project.frames)
    if all(one is None for one in on_frames):
        known = [name for one in tables for name in dict.fromkeys(one.names)]
        raise InputError(
            f"the predictions are of {summarise(known, 4)}; {project.root} has "
            f"{summarise([frame.name for frame in project.frames], 4)}: no frame is in both, so call the file after "
            "its video, or predict these images"
        )
    shape = (len(project.instances), len(names))
    points, scores = np.full((*shape, 2), np.nan), np.full(shape, np.nan)
    of_frame: dict[int, list[int]] = {}
    for number, one in enumerate(project.instances):
        if one.seen.any():
            of_frame.setdefault(one.frame, []).append(number)
    own = np.array(
        [project.skeleton.names.index(n) if n in project.skeleton.names else -1 for n in names]
    )
    for frame, numbers in of_frame.items():
        animals = on_frames[frame]
        if animals is None:
            continue
        labels = [project.instances[number].keypoints for number in numbers]
        for number, animal in zip(numbers, _matched(labels, animals, own), strict=True):
            if animal is not None:
                points[number], scores[number] = animal[:, :2], animal[:, 2]
    return Answers(names, points, scores, on_frames)


def _matched(
    labels: Sequence[np.ndarray], animals: np.ndarray, own: np.ndarray
) -> list[np.ndarray | None]:
    """Returns the predicted animal (K, 3) of each labelled one (K', 2), None without one.

    own: (K,) the number of each predicted keypoint among those of the labels, -1 without one.
    """
    if len(labels) == len(animals) == 1:
        return [animals[0]]
    # a third of a second, which help need not wait
    from scipy.optimize import linear_sum_assignment

    shared = np.flatnonzero(own >= 0)
    cost = np.full((len(labels), len(animals)), np.inf)
    for row, label in enumerate(labels):
        for column, animal in enumerate(animals):
            away = np.linalg.norm(label[own[shared]] - animal[shared, :2], axis=-1)
            if np.isfinite(away).any():
                cost[row, column] = np.nanmean(away)
            else:
                middles = np.nanmean(label, axis=0) - np.nanmean(animal[:, :2], axis=0)
                cost[row, column] = np.linalg.norm(middles)
    longest = max(math.hypot(*np.ptp(one[np.isfinite(one[:, 0]), :2], axis=0)) for one in animals)
    possible = cost <= max(longest, 1.0)
    found: list[np.ndarray | None] = [None] * len(labels)
    for row, column in zip(*linear_sum_assignment(np.where(possible, cost, 1e9)), strict=True):
        if possible[row, column]:
            found[row] = animals[column]
    return found


def predicted_on(
    tables: Sequence[PredictionTable], frames: Sequence[Frame]
) -> tuple[np.ndarray | None, ...]:
    """Returns the predicted animals (A, K, 3) of each frame, of the first table's keypoints; None of
    a frame without any point.

    An image is the one of a table with the same name, and if there is one also the same folder; or
    the frame of a video that is called
    like its recording or folder: by the number at the end of its name, as tools name images that
    they take from a video.
    """
    names = tables[0].skeleton.names
    places: dict[tuple[str, ...], tuple[int, int]] = {}  # table and row by last parts of the path
    videos: dict[str, int] = {}
    for number, table in enumerate(tables):
        if table.is_video:
            videos[PurePosixPath(forward(table.names[0])).stem] = number
            continue
        for row, name in enumerate(table.names):
            parts = PurePosixPath(forward(name)).parts
            places[parts[-1:]] = places[parts[-2:]] = number, row

    def place_of(frame: Frame) -> tuple[int, int] | None:
        """Returns the table and the row of a frame."""
        parts = frame.path.parts
        stems = [frame.path.stem]
        if frame.number is None:
            for last in (parts[-2:], parts[-1:]):
                if last in places:
                    return places[last]
            stems = [PurePosixPath(frame.session).stem, frame.path.parent.name]
        of = next((videos[stem] for stem in stems if stem in videos), None)
        if of is None:
            return None
        rows = np.flatnonzero(tables[of].numbers == place_in_recording(frame)[1])
        return (of, int(rows[0])) if len(rows) else None

    found: list[np.ndarray | None] = []
    for place in map(place_of, frames):
        if place is None:
            found.append(None)
            continue
        table, row = tables[place[0]], place[1]
        order = [table.skeleton.names.index(name) for name in names]
        animals = np.concatenate([table.keypoints[row], table.scores[row][..., None]], -1)
        animals = animals[:, order]
        animals = animals[np.isfinite(animals).all(-1).any(1)]
        found.append(animals if len(animals) else None)
    return tuple(found)


def usual_scores(answers: Answers) -> np.ndarray:
    """Returns (K,) the median score of each keypoint on the project's frames; 1 without any."""
    seen = [animals[..., 2] for animals in answers.on_frames if animals is not None]
    scores = np.concatenate(seen)
    known = np.isfinite(scores).any(0)
    usual = np.ones(scores.shape[1])
    usual[known] = np.nanmedian(scores[:, known], axis=0)
    return usual


def with_answered_boxes(project: Project, answers: Answers, box_side: float) -> Project:
    """Returns a project in which animals without a box have that of their labels and the likely
    predicted points together: labels of some keypoints alone do not show whole animals.

    box_side: as of `has_own_box`.
    """
    likely = answers.scores >= UNLIKELY * usual_scores(answers)
    instances = []
    for one, points, there in zip(project.instances, answers.points, likely, strict=True):
        both = np.concatenate([one.keypoints[one.seen], points[there]])
        if not has_own_box(one, box_side) and there.any() and np.ptp(both, axis=0).any():
            box = np.concatenate([both.min(0) + 0.5, np.ptp(both, axis=0)])
            one = one._replace(box=box)
        instances.append(one)
    return project._replace(instances=tuple(instances))
