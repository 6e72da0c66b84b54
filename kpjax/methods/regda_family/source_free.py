"""Adaptation to images without labels, and without the data of the source: a mean teacher on the
target alone.

Student and teacher begin as a trained network. The teacher, a moving average of the student's
parameters, sees one random view of a target image, the student another. The teacher's sure and
plausible points are the student's labels:

    p, s = A_teacher⁻¹ points(teacher(x_teacher)) and their scores
    m = 1 for the surer part of a keypoint's points in the batch, where their scores reach the
    keypoint's cutoff and they lie near the nearest of the source's poses
    L = loss(student(x_student), targets of A_student p with weights m)

A cutoff is the score from which the source's run shows a keypoint, where it knows one. Without it the
surer part of a keypoint that most images do not show is of points where nothing is.

p, s, m and the targets are constants. Views change colours, too, those of the student more, and a
keypoint that teaches is hidden from the student now and then.

A pose of the source is a point of a subspace, at any place and of any size
(`kpjax.evaluation.pose_statistics`): the numbers that a run keeps of its labels. Surer is of the
higher score. The calibrated radius of a point (`kpjax.lab.animals.conformal`) never grows with the
score, so it would order a keypoint's points alike. But it is one value for all scores below those
of the source's held-out images, which is where a shift may put the whole target.

From where. A mean teacher between two views, the surer part of its answers and hidden keypoints are
UDAPE's (Kim et al., ECCV 2022), which POST (Raychaudhuri et al., ICCV 2023) follows on the target
alone. POST adds a prior of poses, the distance field of a network that learnt the directions of
bones, as a term of the loss, and decorrelated features; it keeps the head's weights. SFDAHPE (Peng
et al., ICCV 2023) has a third network between source and target, contrast between keypoints and
information maximisation; none of these terms is used. Ours are: the surer part of each keypoint;
the prior as a subspace with a closed form, which takes labels away and adds no gradient; labels
that the codec renders from coordinates, so that both kinds of heatmaps learn from them.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from kpjax import geometry
from kpjax.augment.augmentations import Augment
from kpjax.evaluation.pose_statistics import plausible_poses
from kpjax.heatmaps import Codec
from kpjax.losses.consistency import surest
from kpjax.losses.heatmap import heatmap_mse
from kpjax.losses.objective import Objective, Term, total
from kpjax.methods.forward import (
    checked_views,
    empty_images,
    named_streams,
    prepare_streams,
    train_pass,
)
from kpjax.methods.gradient_step import gradient_step
from kpjax.methods.regda_family.teacher_adaptation import State, hide_one_box, networks, target_view
from kpjax.methods.setup import Setup, heatmap_predict, initial_variables
from kpjax.methods.supervised_learning import HeatmapLoss
from kpjax.optimization import ema, group_rates
from kpjax.structures import Example, Method, Metrics, Start, Streams, named_key

STUDENT = "student"
ANSWER = "answer"


class Answer(NamedTuple):
    """The teacher's points of target images."""

    points: jax.Array  # (B, K, 2), px of the image
    scores: jax.Array  # (B, K)
    weights: jax.Array  # (B, K), 1 where it teaches
    labels: Example  # the same points in the student's view, visible where they teach


def source_free_objective(codec: Codec, *, loss: HeatmapLoss = heatmap_mse) -> Objective:
    """Builds one term, `pseudo_labels`: between the student's heatmaps and those of the teacher's
    points.

    loss: `heatmap_mse`, or `heatmap_kl` for a network whose heatmaps go through a softmax.
    """

    def follow(outputs, streams):
        del streams
        targets, weights = codec.encode(outputs[ANSWER].labels)
        return loss(outputs[STUDENT], targets, weights)

    return {"pseudo_labels": Term(1.0, follow, reads=(STUDENT, ANSWER))}


def sure_and_plausible(
    points: jax.Array,
    scores: jax.Array,
    poses: Mapping[str, jax.Array],
    *,
    left_out: float,
    slack: float,
    cutoffs: jax.Array | None = None,
) -> tuple[jax.Array, jax.Array]:
    """Returns 1 for points that may teach, and the share of sure points that no plausible pose has.

    Args:
        points: (B, K, 2).
        scores: (B, K), higher where surer.
        poses: {} or the `span` and `epsilon` of `PoseStatistics`.
        left_out: share of each keypoint's points in the batch, the least sure ones. By keypoint,
            since no label of a source teaches those that are unsure on all images.
        slack: sizes of a pose by which a point may lie further from it than labels do.
        cutoffs: (K,), the score that a point needs at least; None of none.
    """

    def surest_of_keypoint(scores):
        return surest(scores[:, None], left_out)[:, 0]

    sure = jax.vmap(surest_of_keypoint, 1, 1)(scores)
    if cutoffs is not None:
        sure = jnp.where(scores >= cutoffs[None], sure, 0.0)
    if not poses:
        return sure, jnp.float32(0)
    _, distances = plausible_poses(points, sure, poses["span"])
    near = (distances <= poses["epsilon"] + slack).astype(jnp.float32)
    plausible = sure * near
    count = (sure * near).sum()
    left_out_share = 1 - count / jnp.maximum(sure.sum(), 1)
    return plausible, left_out_share


def source_free(
    setup: Setup,
    *,
    objective: Objective,
    view: Augment | None = None,
    decay: float = 0.999,
    left_out: float = 0.5,
    slack: float = 0.1,
) -> Method:
    """Builds the method; it reads the stream `target`, whose labels it does not read, and results
    in the teacher.

    The start has `variables`, of the trained network that both begin as. It may have `poses`
    and `cutoffs`, as in `sure_and_plausible`. `hide_one_box` hides keypoints that teach from the student.

    Args:
        objective: of `source_free_objective`. Terms read STUDENT, the student's heatmaps of its
            view, and ANSWER.
        view: applied after the setup's augmentation, once for each network; None is
            `target_view()`.
        decay: of the average of parameters.
        left_out, slack: as in `sure_and_plausible`.

    Raises ValueError for a term that reads an unknown output.
    """
    model = setup.model
    codec = setup.codec
    normalise = setup.normalise
    checked_views(objective, (STUDENT, ANSWER), "source_free")
    change = target_view() if view is None else view

    def init(key: jax.Array, streams: Streams, start: Start) -> State:
        images = empty_images(setup.augment, streams, "target")
        variables = initial_variables(setup, named_key(key, "model"), images, start)
        kept: dict[str, Any] = {"poses": dict(start["poses"])} if start.get("poses") else {}
        if "cutoffs" in start:
            kept["cutoffs"] = start["cutoffs"]
        return State(
            jnp.int32(0), variables, variables, setup.optimizer.init(variables["params"]), kept
        )

    def passed(params, statistics, images):
        return train_pass(model, params, statistics, normalise(images))

    def answered(state: State, teacher, plain: Example, seen: Example, maps, to_student):
        heatmaps, statistics = passed(teacher["params"], teacher["batch_stats"], seen.image)
        points, scores = codec.decode(heatmaps)
        points = geometry.move_points(geometry.invert(maps), points)
        weights, implausible = sure_and_plausible(
            points,
            scores,
            state.frozen.get("poses", {}),
            left_out=left_out,
            slack=slack,
            cutoffs=state.frozen.get("cutoffs"),
        )
        labels = plain._replace(keypoints=geometry.move_points(to_student, points), visible=weights)
        return Answer(points, scores, weights, labels), implausible, statistics

    def update(state: State, streams: Streams, key: jax.Array) -> tuple[State, Metrics]:
        student, teacher = networks(state)
        plain = prepare_streams(setup.augment, named_streams(streams, ("target",)), key)["target"]
        seen, to_student = change(named_key(key, "student view"), plain)
        shown, to_teacher = change(named_key(key, "teacher view"), plain)
        answer, implausible, teacher_statistics = answered(
            state, teacher, plain, shown, to_teacher, to_student
        )
        boxes = hide_one_box(plain.image.shape[1])
        hidden_key = named_key(key, "hidden")
        image = boxes(hidden_key, seen.image, answer.labels.keypoints, answer.weights)

        def objective_of(params):
            heatmaps, statistics = passed(params, student["batch_stats"], image)
            value, parts = total(objective, {STUDENT: heatmaps, ANSWER: answer}, {"target": plain})
            return value, (parts, statistics)

        params, optimizer_state, statistics, metrics = gradient_step(
            objective_of,
            student["params"],
            state,
            setup.optimizer,
            setup.learning_rate,
            norms=lambda gradient: {"student": gradient},
        )
        metrics |= {
            "teacher/mean_score": answer.scores.mean(),
            "teacher/taught": answer.weights.mean(),
            "teacher/implausible": implausible,
        }
        student = {"params": params, "batch_stats": statistics}
        teacher = {
            "params": ema(teacher["params"], params, decay),
            "batch_stats": teacher_statistics,
        }
        return State(state.step + 1, teacher, student, optimizer_state, state.frozen), metrics

    return Method(
        init,
        update,
        heatmap_predict(setup),
        ("target",),
        setup.skeleton,
        group_rates(setup.optimizer, setup.learning_rate),
    )
