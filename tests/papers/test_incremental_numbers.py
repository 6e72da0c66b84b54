"""Incremental keypoint learning (KAMP) and its baselines: numbers of an independent float64
program.

Maps are indexed [row, column], points are (x, y).
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from kpjax import heatmaps
from kpjax.evaluation.metrics import head_size, pckh
from kpjax.losses.continual import (
    fused_importance,
    quadratic_penalty,
    start_walk,
    walk_importance,
    walk_on,
)
from kpjax.losses.distillation import (
    line_entropy,
    mse_distillation,
    spatial_distillation,
)
from kpjax.losses.learning_without_forgetting import channel_distillation
from kpjax.losses.objective import replaced, total
from kpjax.methods.incremental_family.objectives import (
    incremental_objective,
    new_keypoints_term,
    penalty_term,
)
from kpjax.methods.incremental_family.step_spec import increment
from kpjax.models.association import products
from kpjax.structures import Example

TOLERANCE = {"rtol": 1e-5, "atol": 2e-6}


def normal(shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def one_map(rows):
    return jnp.asarray(rows, jnp.float32)[None, :, :, None]


TEACHER, STUDENT = one_map([[1, 2], [3, 4]]), one_map([[0.5, 1], [2, 1]])
TEACHER_2 = jnp.array([[[[0, 0.5], [1, 0], [0, 0.2]], [[0.2, 1], [0.4, 0.3], [0.1, 0]]]])
STUDENT_2 = jnp.array([[[[0.1, 0.4], [0.7, 0.1], [0, 0.3]], [[0.3, 0.6], [0.2, 0.5], [0, 0.1]]]])
PIXELS, OTHER_PIXELS = (
    jnp.array([[[[2.0, 0, 1], [0, 1, 0]]]]),
    jnp.array([[[[1, 1, 0], [0.5, 0.5, 0]]]]),
)
ALL = jnp.ones(3)


# Spatial distillation


def centred_distillation(teacher, student, **options):
    """The distillation less its minimum, the teacher's entropy."""
    return spatial_distillation(teacher, student, **options) - spatial_distillation(
        teacher, teacher, **options
    )


def test_distillation(close):
    close(spatial_distillation(TEACHER, STUDENT, reduction="line_sum"), 0.681558)
    close(spatial_distillation(TEACHER, STUDENT), 0.340779)
    close(centred_distillation(TEACHER, STUDENT, reduction="line_sum"), 0.207790)
    # T2 channels and unequal sides
    close(spatial_distillation(TEACHER_2, STUDENT_2), 0.345653)
    close(spatial_distillation(TEACHER_2, STUDENT_2, reduction="line_sum"), 0.867058)
    close(centred_distillation(TEACHER_2, STUDENT_2), 0.003442)
    # T3 other readings
    options = {"reduction": "line_sum"}
    close(spatial_distillation(TEACHER, STUDENT, mode="joint", **options), 1.451524)
    close(centred_distillation(TEACHER, STUDENT, mode="joint", **options), 0.503987)
    close(spatial_distillation(TEACHER, STUDENT, mode="marginal", **options), 0.571434)
    close(spatial_distillation(TEACHER, STUDENT, temperature=2.0, **options), 0.684339)
    # T4 gradient
    loss = functools.partial(spatial_distillation, reduction="line_sum")
    by_teacher, by_student = jax.grad(loss, (0, 1))(TEACHER, STUDENT)
    close(by_student[0, ..., 0], [[0.042955, 0.068049], [0.099724, -0.210729]])
    close(by_student.sum(), 0)
    close(by_teacher, 0, rtol=0, atol=0)
    # T5 channel distillation
    for temperature, pixels, loss in (
        (1.0, (1.106723, 1.063991), 1.085357),
        (2.0, (1.111618, 1.090537), 1.101077),
    ):
        distilled = functools.partial(channel_distillation, temperature=temperature)
        close(distilled(PIXELS, OTHER_PIXELS, ALL), loss)
        close(
            [
                distilled(PIXELS[:, :, x : x + 1], OTHER_PIXELS[:, :, x : x + 1], ALL)
                for x in (0, 1)
            ],
            pixels,
        )


# The terms of the method


FEATURES = jnp.array([[[[1, 2], [0, -1]], [[3, 0.5], [2, 2]]]], jnp.float32)
NEW_MAPS = jnp.stack([one_map([[1, 0.5], [0.5, 0.25]]), one_map([[0, 0.5], [0.5, 1]])], -1)[
    ..., 0, :
]


def test_t6_products_of_features_and_new_keypoints(close):
    z = products(FEATURES, NEW_MAPS)
    close(
        z.reshape(4, 4),
        [[1, 2, 0, 0], [0, -0.5, 0, -0.5], [1.5, 0.25, 1.5, 0.25], [0.5, 0.5, 2, 2]],
    )
    answer = z @ jnp.array([[0.1], [-0.2], [0.3], [0.4]]) + 0.05
    close(answer.ravel(), [-0.25, -0.05, 0.70, 1.40])
    target = one_map([[0.2, 0.3], [0.4, 0.9]])
    close(mse_distillation(target, answer, half=False), 0.166250)
    close(mse_distillation(target, answer), 0.083125)
    close(
        products(FEATURES, NEW_MAPS[..., :1]).reshape(4, 2),
        [[1, 2], [0, -0.5], [1.5, 0.25], [0.5, 0.5]],
    )


LABELS = jnp.array([[[[1, 0], [0, 1]]], [[[0, 0.5], [1, 0]]]])
ANSWERS = jnp.array([[[[0.8, 0.1], [0.1, 0.6]]], [[[0.3, 0.5], [0.4, 0.2]]]])
LABELLED = jnp.array([[1.0, 1], [1, 0]])
# draws these whatever the example is
CODEC = heatmaps.Codec(lambda example: (LABELS, LABELLED), None, None, None)
STREAMS = {"labelled": Example(*[jnp.zeros(1)] * 6)}
BOTH_NEW = {"heatmaps": ANSWERS, "increment": increment(2, old=(), new=(0, 1))}


def test_t7_loss_of_new_keypoints(close):
    per_keypoint = [BOTH_NEW | {"increment": increment(2, old=(), new=(k,))} for k in (0, 1)]
    close(
        [
            new_keypoints_term(CODEC, half=False).function(outputs, STREAMS)
            for outputs in per_keypoint
        ],
        [0.125, 0.0425],
    )
    close(new_keypoints_term(CODEC).function(BOTH_NEW, STREAMS), 0.041875)
    close(new_keypoints_term(CODEC, half=False).function(BOTH_NEW, STREAMS), 0.083750)


def test_t8_total(close):
    """Each term has inputs of its own here, and those of the old keypoints come without a new
    channel.
    """
    step = jax.tree.map(jnp.asarray, increment(3, old=(0, 1), new=(2,), triples=[(0, 2)]))._replace(
        old=jnp.ones(2)
    )
    triple = TEACHER_2[..., :1] * 0.9
    old = {
        "heatmaps": STUDENT_2,
        "teacher": TEACHER_2,
        "believed": jnp.ones((1, 2)),
        "association": triple,
        "labelled_triples": jnp.ones((1, 1)),
        "increment": step,
    }
    inputs = {"new_keypoints": BOTH_NEW, "distillation": old, "association": old}
    objective = incremental_objective(CODEC)
    objective = replaced(
        objective,
        **{
            name: lambda outputs, streams, name=name, term=term: term.function(
                outputs[name], streams
            )
            for name, term in objective.items()
        },
    )
    alpha = {"distillation": jnp.float32(100), "association": jnp.float32(100)}
    value, parts = total(objective, inputs, STREAMS, alpha)
    close(parts["loss/association"], 0.345592)
    close(value, 69.166403)
    divergences = (
        centred_distillation(TEACHER_2, STUDENT_2),
        centred_distillation(triple, STUDENT_2[..., :1]),
    )
    close(divergences, [0.003442, 0.001419])
    close(parts["loss/new_keypoints"] + 100 * sum(divergences), 0.528005)


# Penalties and importances


VALUES, ANCHOR, IMPORTANCE = (
    jnp.array([1.2, -0.5, 0.3]),
    jnp.array([1, -0.4, 0]),
    jnp.array([2, 1, 0.5]),
)


def test_penalties(close):
    close(quadratic_penalty(VALUES, ANCHOR, IMPORTANCE), 0.0675)
    scalar = jnp.float32
    close(
        quadratic_penalty(scalar(1.5), scalar(1), scalar(2))
        + quadratic_penalty(scalar(1.5), scalar(1.2), scalar(0.5)),
        0.2725,
    )
    online = fused_importance(scalar(2), scalar(0.5), rule="decayed_sum")
    close(online, 2.3)
    close(quadratic_penalty(scalar(1.5), scalar(1.2), online), 0.1035)
    close(fused_importance(scalar(2), scalar(0.5), step=2), 1.5)
    # T12 riemannian walk
    path = jnp.array([1, 0.9, 0.95, 0.93])
    walk, fishers, scores = start_walk(path[0]), [], []
    for gradient, before, after in zip(
        jnp.array([0.4, -0.2, 0.1]), path[:-1], path[1:], strict=True
    ):
        walk = walk_on(walk, gradient, before, after)
        fishers.append(walk.fisher)
        scores.append(walk.score)
    close(fishers, [0.144, 0.0504, 0.01404])
    close(jnp.diff(jnp.stack([0 * scores[0], *scores])), [3.731343, 0.993739, 0.199944])
    close(scores[-1], 4.925027)
    walk, importance = walk_importance(walk)
    close(walk.score, 2.462513)
    close(
        quadratic_penalty(path[-1] + 0.03, path[-1], importance, half=False), 0.00222890, rtol=2e-5
    )
    # T13 adaptive consolidation
    outputs = {
        "parameters": VALUES,
        "anchor": ANCHOR,
        "importance": IMPORTANCE,
        "tracked": {"anchor": jnp.array([0.8, -0.6, 0.4]), "importance": jnp.array([0.1, 3, 1])},
    }
    objective = {"penalty": penalty_term(), "expanded_penalty": penalty_term(tracked=True)}
    value, parts = total(
        objective, outputs, {}, {"penalty": jnp.float32(100), "expanded_penalty": jnp.float32(1)}
    )
    close([parts["loss/penalty"], parts["loss/expanded_penalty"]], [0.0675, 0.028])
    close(value, 6.778)
    # T13 entropies
    raw = functools.partial(line_entropy, normalised=False)
    close(raw(STUDENT), 0.603312)
    close(raw(STUDENT, mode="joint"), 1.218837)


def test_t16_gradient_beside_that_of_the_squared_error(close):
    y, x = np.mgrid[:64, :64]
    teacher = one_map(np.exp(-((x - 30) ** 2 + (y - 20) ** 2) / 8))
    student = teacher + 1e-3 * normal(teacher.shape)

    def norm(loss):
        return jnp.linalg.norm(jax.grad(loss, 1)(teacher, student))

    squared = norm(mse_distillation)
    for reduction, ratio in (("line_sum", 0.986), ("element_mean", 0.01541)):
        close(
            norm(functools.partial(spatial_distillation, reduction=reduction)) / squared,
            ratio,
            rtol=0.02,
        )
    flat = jnp.zeros_like(teacher)
    close(spatial_distillation(flat, flat, reduction="line_sum"), 4.158883)
    close(spatial_distillation(flat, flat), 0.0649825)


# Metrics, targets, invariances


def test_t17_pckh(close):
    head = head_size(np.array([[10, 10, 40, 50], [0, 0, 60, 80.0]]))
    close(head, [30, 60])
    errors, visible = (
        np.array([[14.9, 15.0, 20], [29.9, 30.1, 10]]),
        np.array([[1, 1, 1], [1, 1, 0]]),
    )
    found = pckh(np.stack([errors, 0 * errors], -1), np.zeros((2, 3, 2)), visible, head)
    close(found.per_keypoint, [1, 0.5, 0])
    close([found.pooled, found.overall], [0.6, 0.5])


def test_t18_target_map(close):
    targets, weights = heatmaps.gaussian_targets(
        jnp.array([[[3.0, 5]]]),
        jnp.ones((1, 1)),
        image_size=(64, 64),
        heatmap_size=(64, 64),
        sigma=2.0,
    )
    close(targets[0, [5, 5, 5, 7], [3, 4, 5, 5], 0], [1, 0.882497, 0.606531, 0.367879])
    close(weights, [[1]])


def test_t19_what_spatial_distillation_does_not_see(close):
    shape = 2, 5, 7, 3
    teacher, student = normal(shape), normal(shape, 1)
    loss = spatial_distillation
    value = loss(teacher, student)
    close(loss(teacher, student + 3), value)
    close(loss(teacher[::-1], student[::-1]), value)
    close(loss(teacher[..., [2, 0, 1]], student[..., [2, 0, 1]]), value)


def test_t19_another_association_network_changes_the_gradient_of_its_channel_only(close):
    step = jax.tree.map(jnp.asarray, increment(4, old=(0, 1), new=(2, 3), triples=[(1, 2, 3)]))
    shape = 2, 5, 7
    teacher, student = normal((*shape, 4)), normal((*shape, 4), 1)
    codec = heatmaps.Codec(
        lambda example: (jnp.zeros((*shape, 4)), jnp.ones((2, 4))), None, None, None
    )

    def gradient(association):
        def value(heatmaps):
            outputs = {
                "heatmaps": heatmaps,
                "teacher": teacher,
                "believed": jnp.ones((2, 4)),
                "association": association,
                "increment": step,
                "labelled_triples": jnp.ones((2, 1)),
            }
            return total(incremental_objective(codec), outputs, STREAMS)[0]

        return jax.grad(value)(student)

    first, second = (gradient(normal((*shape, 1), seed)) for seed in (2, 3))
    close((first != second).any((0, 1, 2)), [False, True, False, False])
