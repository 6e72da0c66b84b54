"""Adaptation of a finished network to images without labels, as systems run it: settings, the
start, and the check.

The check never sees a label. On target images that are held out of the adaptation it asks at every
evaluation whether the surer half of the start's points stay where they were, and whether teacher
and student find the same points. Where one of the two fails, the adaptation stops, and the start is
the result.

Beforehand `familiar` compares scores: a start that is as sure of the target as of its own held-out
images has nothing to gain.
"""

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import optax

from kpjax import InputError, Method, Trained, losses, methods
from kpjax.augment import Augment
from kpjax.evaluation.pose_statistics import PoseStatistics, pose_statistics
from kpjax.input.source import Source, subset
from kpjax.methods import Setup
from kpjax.papers.configs import Checked, Positive, Share
from kpjax.training.evaluation import Gathered, predict_source

TEACHER_DECAY = 0.99  # decay of the teacher's average
# share of a keypoint's points in a batch, the least sure ones, which teach nothing
UNSURE_SHARE = 0.2
NO_CUTOFF = -1e30  # of keypoints without one: what is learnt holds finite numbers alone
SLACK = 0.05  # sizes of a pose by which points may lie further from plausible ones than labels do
MOST_POSES = 1000
# share and largest number of the target's images that are held for the check
HELD_SHARE, HELD_MOST = (0.1, 500)
NEAR = 0.1  # share of the median diagonal of the start's poses: points within it are the same
AGREEMENTS = {
    "agreement/start": "sure points of the start stay where they were",
    "agreement/networks": "points of teacher and student are the same",
}


@dataclass(frozen=True)
class SourceFree(Checked):
    """Settings of `source_free`."""

    adapted_rate: Positive = 4e-3  # Adam's, down to zero along a cosine
    #: share of points on which both agree, below which the adaptation stops and the start is kept
    least_agreement: Share = 0.8

    def build(self, setup: Setup, steps: int, *, view: Augment, logits: bool = False) -> Method:
        """Builds the method of so many steps.

        logits: whether the network's maps go through a softmax.
        """
        loss = losses.heatmap_kl if logits else losses.heatmap_mse
        return methods.source_free(
            setup._replace(learning_rate=optax.cosine_decay_schedule(self.adapted_rate, steps)),
            objective=methods.source_free_objective(setup.codec, loss=loss),
            view=view,
            decay=TEACHER_DECAY,
            left_out=UNSURE_SHARE,
            slack=SLACK,
        )


def start_of(
    variables: Mapping[str, Any], poses: PoseStatistics | None, cutoffs: np.ndarray | None = None
) -> dict[str, Any]:
    """Returns the start of `source_free`: the trained variables, and what the run keeps of its
    labels, if anything.

    cutoffs: (K,), the score from which each keypoint is shown, -inf where none is known.
    """
    start: dict[str, Any] = {"variables": variables}
    if poses is not None:
        start["poses"] = {"span": poses.span(), "epsilon": np.float32(poses.epsilon)}
    if cutoffs is not None and np.isfinite(cutoffs).any():
        start["cutoffs"] = np.maximum(cutoffs, NO_CUTOFF).astype(np.float32)
    return start


def spread_out(source: Source, most: int) -> Source:
    """Returns at most so many examples of a source, at even distances."""
    return subset(
        source,
        np.unique(np.linspace(0, len(source) - 1, min(len(source), most)).astype(int)),
        source.name,
    )


def poses_of(source: Source) -> PoseStatistics | None:
    """Returns the statistics of a source's labelled poses, of at most 1,000; None where too few
    have all keypoints.
    """
    some = spread_out(source, MOST_POSES)
    examples = [some[number] for number in range(len(some))]
    try:
        return pose_statistics(
            np.stack([one.keypoints for one in examples]),
            np.stack([one.visible for one in examples]),
            source.skeleton.names,
        )
    except InputError:
        return None


def split_target(target: Source) -> tuple[Source, Source]:
    """Returns the images that are learnt from and, for the check, the last tenth, at most 500.

    Neighbours in a video look alike.
    """
    held = max(min(round(HELD_SHARE * len(target)), HELD_MOST), 1)
    numbers = np.arange(len(target))
    return subset(target, numbers[:-held], target.name), subset(
        target, numbers[-held:], f"{target.name}, held"
    )


def familiar(scores: np.ndarray, edges: np.ndarray, share: float) -> str:
    """Returns why nothing is to be gained where a start is as sure of target images as of its own
    held-out ones, or "".

    Where adaptation gained, the median of the scores on the target lay far below what most held-out
    points had; on the same camera it lay above that, and adaptation lost.

    scores: of the start's points on target images. edges: quantiles at equal shares, from 0 to 1,
    of its scores on labelled images that were held out; nan or none where nothing was, which says
    nothing. share: of the held-out scores; the target is familiar if its median has at least their
    quantile of this share.
    """
    if not len(edges):
        return ""
    median, usual = np.median(scores), np.interp(share, np.linspace(0, 1, len(edges)), edges)
    return (
        (
            f"half of the points on target images have a score of {median:.2g} or more, and {100 * (1 - share):.0f} of "
            f"100 on its own held-out images have {usual:.2g} or more"
        )
        if median >= usual
        else ""
    )


class Disagreement(Exception):
    """The check failed."""


def agreement(found: Gathered, other: Gathered, weights: np.ndarray, near: float) -> float:
    """Computes the weighted share of points of which two predictions lie within `near` px of each
    other.
    """
    same = np.linalg.norm(found.keypoints - other.keypoints, axis=-1) <= near
    return float((same * weights).sum() / weights.sum())


def check_of(
    method: Method, start: Trained, held: Source, *, batch_size: int, least: float
) -> Callable[[Any], dict[str, float]]:
    """Returns a function of the state that measures both agreements.

    It raises Disagreement below the least.
    """
    before = predict_source(method, start, held, batch_size=batch_size)
    extent = float(np.median(np.linalg.norm(np.ptp(before.keypoints, axis=1), axis=-1)))
    # one keypoint alone has no extent
    near = NEAR * (extent if extent >= 1 else held[0].image.shape[0] / 2)
    surer = (before.scores >= np.median(before.scores, axis=0)).astype(np.float64)

    def check(state: Any) -> dict[str, float]:
        teacher = predict_source(method, state, held, batch_size=batch_size)
        student = predict_source(
            method, Trained(state.other, state.frozen), held, batch_size=batch_size
        )
        found = dict(
            zip(
                AGREEMENTS,
                (
                    agreement(teacher, before, surer, near),
                    agreement(teacher, student, np.ones_like(surer), near),
                ),
                strict=True,
            )
        )
        for name, value in found.items():
            if value < least:
                raise Disagreement(
                    f"step {int(state.step)}: {100 * value:.0f} of 100 {AGREEMENTS[name]} on "
                    f"{len(held)} held-out target images, fewer than {100 * least:g}"
                )
        return found

    return check


def adapted_or_start(adaptation: Any, title: str) -> Generator[Any, Any, Any]:
    """Yields a stage with a check, an `engine.Stage`. Returns its outcome, and `kept_start` 0; where
    the check fails, what it starts from and 1, and says so and why.
    """
    try:
        found = yield adaptation
    except Disagreement as reason:
        print(f"{title}: the adaptation stopped, and the start is kept: {reason}")
        return adaptation.before._replace(metrics={"kept_start": 1.0})
    if not found.evaluations:
        return found._replace(metrics={"kept_start": 0.0})
    agreements = {name: found.evaluations[-1].metrics[name] for name in AGREEMENTS}
    stay, same = (f"{100 * value:.1f}" for value in agreements.values())
    print(
        f"{title}: on held-out target images {stay} of 100 sure points of the start stay, and {same} of 100 "
        "points of teacher and student are the same"
    )
    return found._replace(metrics={"kept_start": 0.0, **agreements})
