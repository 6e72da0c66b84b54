"""Another tool's predictions as the old model: its points are old keypoints, on the frames that train
and on those that are held out."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from kpjax import Skeleton
from kpjax.errors import count_text
from kpjax.evaluation.cutoffs import keypoint_cutoffs
from kpjax.formats.answers import (
    UNLIKELY,
    Answers,
    answers_of,
    predicted_on,
    usual_scores,
)
from kpjax.formats.names import derived_flip
from kpjax.formats.project import Frame, Project, instance_of
from kpjax.formats.project_source import reference_lengths
from kpjax.images.reading import spread
from kpjax.lab.animals.calibration import cutoffs_text
from kpjax.lab.own.project import hold_out, read_points, renamed_to, unlabelled_frames
from kpjax.lab.reports.pixel_errors import NEAR

# labels of old keypoints from which on they say which scores are worth something
LEAST_LABELS = 20
MOST_FRAMES = 600  # without labels, of those that the tool has predicted
LEAST_WEIGHT = 0.5  # of a point at its cutoff; labels that weigh no more are none


class OldPoints(NamedTuple):
    """What another tool says of a project, with I animals, and of frames without labels."""

    skeleton: Skeleton  # its K keypoints
    answers: Answers  # of the project's animals
    cutoffs: np.ndarray  # (K,) the score from which on a point teaches
    usual: np.ndarray  # (K,) the median score of points that do
    words: str  # where the cutoffs come from
    bare: tuple[Frame, ...]  # frames without labels that it has predicted and that may teach
    on_bare: tuple[np.ndarray, ...]  # (A, K, 3) of each

    def weights(self, scores: np.ndarray) -> np.ndarray:
        """Computes how much points of these scores (..., K) count: 0 below the cutoff, then rising
        to 1 at the usual score of their keypoint."""
        above = np.maximum(self.usual - self.cutoffs, 1e-9)
        share = np.clip((np.nan_to_num(scores, nan=-np.inf) - self.cutoffs) / above, 1e-3, 1)
        sure = np.isfinite(scores) & (scores >= self.cutoffs)
        return np.where(sure, LEAST_WEIGHT + (1 - LEAST_WEIGHT) * share, 0).astype(np.float32)


def old_points(project: Project, data: Any) -> OldPoints:
    """Reads what another tool says of a project and of frames without labels, of its images and of
    its videos. Frames in held-out parts are left out.

    data: of a config. Raises InputError as `answers_of` does.
    """
    tables = read_points(data.old, data.project)
    held = hold_out(project, data.own.validation)
    answers = answers_of(project, tables)
    others = unlabelled_frames(project, held, ()).taken(1, project.root)
    seen = [
        (frame, animals)
        for frame, animals in zip(others, predicted_on(tables, others), strict=True)
        if animals is not None
    ]
    seen = spread(seen, MOST_FRAMES)
    usual = usual_scores(answers)
    cutoffs, words = _cutoffs(project, held.train, answers, usual)
    names = answers.names
    skeleton = Skeleton(names, tables[0].skeleton.edges, derived_flip(names) or ())
    return OldPoints(
        skeleton,
        answers,
        cutoffs,
        usual,
        words,
        tuple(frame for frame, _ in seen),
        tuple(animals for _, animals in seen),
    )


def _cutoffs(
    project: Project, train: Sequence[int], answers: Answers, usual: np.ndarray
) -> tuple[np.ndarray, str]:
    """Returns the score from which each keypoint's points teach, and where that comes from: from
    labels of the same keypoints, as far as there are enough, else from the scores themselves.

    train: numbers of the animals that are not held out.
    """
    cutoffs = UNLIKELY * usual
    words = "half of each keypoint's median score, as no label of an old keypoint says better"
    shared = [k for k, name in enumerate(answers.names) if name in project.skeleton.names]
    own = [project.skeleton.names.index(answers.names[k]) for k in shared]
    labels = np.stack([project.instances[number].keypoints[own] for number in train])
    rows = np.ix_(train, shared)
    away = np.linalg.norm(answers.points[rows] - labels, axis=-1)
    known = np.isfinite(away)
    if known.sum() >= LEAST_LABELS:
        near = away <= NEAR * reference_lengths(project)[list(train), None]
        found = keypoint_cutoffs(answers.scores[rows], known & near, known & ~near)
        cutoffs[shared] = np.where(np.isfinite(found), found, cutoffs[shared])
        words = f"chosen by {count_text(int(known.sum()), 'label')} of {', '.join(answers.names[k] for k in shared)}"
        if len(shared) < len(answers.names):
            words += "; of the others half of the median score"
    return cutoffs, words


def described(old: OldPoints, title: str) -> str:
    """Says in a line what the old tool's points are and which of them teach."""
    seen = sum(animals is not None for animals in old.answers.on_frames)
    return (
        f"{title}: points of {count_text(len(old.skeleton.names), 'keypoint')} on {count_text(seen, 'frame')} of the "
        f"project; {len(old.bare)} frames without labels teach them, too. Points teach from a score of "
        f"{cutoffs_text(old.cutoffs)} on ({old.words})"
    )


def teaching_project(
    project: Project, old: OldPoints, skeleton: Skeleton
) -> tuple[Project, np.ndarray]:
    """Returns the project with the old tool's points as labels of the old keypoints, and (I', K')
    how much each label counts: 1 of a person's.

    Old keypoints are the first of the skeleton, and labels of a person for them teach nothing.
    Frames without labels follow, with an instance for each animal that the tool has found. Of these
    nothing says that a new keypoint is absent.
    """
    count, known = len(skeleton.names), len(old.skeleton.names)
    labels = renamed_to(project, skeleton).instances
    answers = [*zip(old.answers.points, old.answers.scores, strict=True)]
    for number, animals in enumerate(old.on_bare):
        nothing = instance_of(len(project.frames) + number, np.full((count, 2), np.nan))
        labels += (nothing,) * len(animals)
        answers += [(animal[:, :2], animal[:, 2]) for animal in animals]
    instances, weights = [], np.ones((len(labels), count), np.float32)
    for number, (one, (points, scores)) in enumerate(zip(labels, answers, strict=True)):
        weights[number, :known] = old.weights(scores)
        sure = weights[number, :known, None] > 0
        keypoints = np.concatenate([np.where(sure, points, np.nan), one.keypoints[known:]])
        occluded = one.occluded & (np.arange(count) >= known)
        made = instance_of(one.frame, keypoints, occluded=occluded, box=one.box, track=one.track)
        labelled = number < len(project.instances)
        instances.append(made._replace(named=(np.arange(count) >= known) & labelled))
    made = project._replace(
        skeleton=skeleton, frames=(*project.frames, *old.bare), instances=tuple(instances)
    )
    return made, weights
