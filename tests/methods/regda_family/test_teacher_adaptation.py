"""Adaptation by a teacher, with the source and without it, each a step against the same written
out.
"""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import tiny_parts
from tiny_parts import BATCH, CODEC, KEYPOINTS, MODEL, batch, centred, forward

from kpjax import geometry
from kpjax.augment.augmentations import no_augmentation, random_warp
from kpjax.augment.restyling import exchanged_moments
from kpjax.losses.heatmap import heatmap_mse
from kpjax.methods.regda_family import (
    source_free as without_source,
    teacher_adaptation as with_source,
)
from kpjax.methods.regda_family.source_free import (
    source_free,
    source_free_objective,
    sure_and_plausible,
)
from kpjax.methods.regda_family.teacher_adaptation import (
    networks,
    teacher_adaptation,
    teacher_adaptation_objective,
)
from kpjax.structures import named_key

KEY, STREAMS = jax.random.key(1), {name: batch(name) for name in ("source", "target")}
PLAIN = {name: stream.image / np.float32(255) for name, stream in STREAMS.items()}
SETTINGS = {
    "optimizer": optax.trace(0.0),
    "learning_rate": lambda step: 0.5,
    "decay": 0.9,
    "augment": no_augmentation(),
    "view": random_warp(lambda key, size: geometry.translation(0.0, 4.0)),
}


def built(factory, objective, **changes):
    return tiny_parts.build(factory, objective=objective(CODEC), **SETTINGS | changes)


def first_state(method, kept=()):
    """A state whose student and teacher differ. kept: names of what a run keeps of its labels."""
    given = {name: tiny_parts.start()[name] for name in kept}
    one, other = (tiny_parts.drawn_state(method, given, seed) for seed in (3, 4))
    return one._replace(other=other.variables)


def moved_down(images):
    """By one cell, as the view moves them."""
    return np.concatenate([np.zeros_like(images[:, :4]), images[:, :-4]], 1)


def passed(variables, images):
    heatmaps, after = MODEL.apply(variables, centred(images), train=True, mutable=["batch_stats"])
    return heatmaps, after["batch_stats"]


def mark(key, images, points, weights):
    """In a hidden box's place: writes which points it was given into the images."""
    return images.at[:, 0, 0, 0].set((points[..., 1] * weights).sum(1)).at[:, 1:].set(0.0)


def assert_stepped(state, student, teacher, gradient, statistics):
    """The student went down a gradient, the teacher's parameters follow, and each keeps statistics
    of its own.
    """
    expected = jax.tree.map(lambda p, g: p - 0.5 * g, student["params"], gradient)
    average = jax.tree.map(lambda old, new: 0.9 * old + 0.1 * new, teacher["params"], expected)
    found = networks(state)
    chex.assert_trees_all_close(
        [each["params"] for each in found], [expected, average], atol=1e-5, rtol=1e-7
    )
    chex.assert_trees_all_close(
        [each["batch_stats"] for each in found], list(statistics), rtol=1e-4, atol=1e-5
    )


def test_a_step_with_the_source_by_hand(monkeypatch):
    """Views are one cell further down, both are restyled, and points whose score is at least the
    median are hidden.

    Of each keypoint's and image's answers half teach. The target's labels are not read: they lie.
    """
    method = built(teacher_adaptation, teacher_adaptation_objective, restyled=1.0, sigma=1.0)
    student, teacher = networks(first_state(method))

    def restyled(name, images, style):
        _, strength, order = jax.random.split(named_key(KEY, f"{name} style"), 3)
        # streams of equal length pair the same images in every epoch
        style = jax.random.permutation(order, style)
        alpha = jax.random.uniform(strength, (), jnp.float32)
        return np.clip(jax.jit(exchanged_moments)(images, style, alpha), 0, 1)

    source = restyled("source", moved_down(PLAIN["source"]), PLAIN["target"])
    shown = restyled("teacher", moved_down(PLAIN["target"]), PLAIN["source"])
    answer, of_teacher = jax.jit(passed)(teacher, shown)
    answer = np.concatenate([answer[:, 1:], np.zeros_like(answer[:, :1])], 1).reshape(
        BATCH, 16, KEYPOINTS
    )
    scores = answer.max(1)
    cells = np.where(scores > 0, answer.argmax(1), 0)
    rows, columns = np.mgrid[:4, :4].reshape(2, 1, 4, 4, 1)
    bumps = np.exp(
        -((rows - (cells // 4)[:, None, None]) ** 2 + (columns - (cells % 4)[:, None, None]) ** 2)
        / 2
    )
    weights = np.float32(scores >= np.sort(scores, None)[scores.size // 2])
    limit = float(np.median(scores))
    marked = np.zeros_like(shown)  # as is the first row of what is moved down
    marked[:, 0, 0, 0] = ((4.0 * (cells // 4) + 4.0) * (scores >= limit)).sum(1)
    labels = jax.tree.map(jnp.asarray, STREAMS["source"])
    labels = labels._replace(keypoints=labels.keypoints + jnp.float32([[[0, 4]]]))

    @jax.jit
    def by_hand(params):
        def loss(params):
            heatmaps, after = passed({**student, "params": params}, source)
            own, after = passed({"params": params, "batch_stats": after}, marked)
            own = jnp.concatenate([own[:, 1:], jnp.zeros_like(own[:, :1])], 1)
            supervised = heatmap_mse(heatmaps, *CODEC.encode(labels))
            consistency = (
                weights[:, None, None] * jnp.square(own - bumps.astype(np.float32))
            ).mean()
            return supervised + consistency, (supervised, consistency, after)

        return jax.grad(loss, has_aux=True)(params)

    gradient, (*losses, of_student) = by_hand(student["params"])
    monkeypatch.setattr(with_source, "hide_one_box", lambda side: mark)
    monkeypatch.setattr(with_source, "HIDDEN_FROM", limit)
    lied = STREAMS["target"]._replace(keypoints=STREAMS["source"].keypoints * 0.5)
    state, metrics = jax.jit(method.update)(first_state(method), STREAMS | {"target": lied}, KEY)
    np.testing.assert_allclose(
        [metrics["loss/supervised"], metrics["loss/consistency"], metrics["teacher/mean_peak"]],
        [*losses, scores.mean()],
        rtol=1e-4,
    )
    assert_stepped(state, student, teacher, gradient, (of_student, of_teacher))


def test_a_step_without_the_source_by_hand(monkeypatch):
    """The surer half of the teacher's points are the student's labels, and hidden.

    No label is read: they lie.
    """
    method = built(source_free, source_free_objective, left_out=0.5)
    student, teacher = networks(first_state(method))
    seen = moved_down(PLAIN["target"])
    heatmaps, of_teacher = jax.jit(passed)(teacher, seen)
    points, scores = jax.jit(CODEC.decode)(heatmaps)
    surer = (np.asarray(scores) > np.sort(scores, 0)[BATCH // 2 - 1]).astype(np.float32)
    labels = STREAMS["target"]._replace(keypoints=points, visible=jnp.asarray(surer))
    marked = np.zeros_like(seen)
    marked[:, 0, 0, 0] = (points[..., 1] * surer).sum(1)

    @jax.jit
    def by_hand(params):
        def loss(params):
            heatmaps, after = passed({**student, "params": params}, marked)
            value = heatmap_mse(heatmaps, *CODEC.encode(labels))
            return value, (value, after)

        return jax.grad(loss, has_aux=True)(params)

    gradient, (loss, of_student) = by_hand(student["params"])
    monkeypatch.setattr(without_source, "hide_one_box", lambda side: mark)
    lied = STREAMS["target"]._replace(keypoints=STREAMS["target"].keypoints * 0.5)
    state, metrics = jax.jit(method.update)(first_state(method), {"target": lied}, KEY)
    np.testing.assert_allclose(
        [metrics["loss/pseudo_labels"], metrics["teacher/taught"]], [loss, surer.mean()], rtol=1e-4
    )
    assert_stepped(state, student, teacher, gradient, (of_student, of_teacher))


def test_the_surer_part_of_every_keypoint_teaches_where_a_pose_is_plausible():
    """Two keypoints that always lie 6 px apart, one to the right of the other: of four images two
    are surer.
    """
    points = np.float32([[[0, 0], [6, 0]], [[9, 9], [15, 9]], [[0, 0], [0, 6]], [[2, 2], [8, 2]]])
    span = np.linalg.qr(np.float32([[1, 0, 0], [0, 1, 0], [1, 0, 1], [0, 1, 0]]))[0]
    scores = np.float32([[-1, -40], [-2, -10], [0, -20], [-3, -30]])

    @jax.jit
    def both(points, scores):
        return [
            sure_and_plausible(points, scores, poses, left_out=0.5, slack=0.1)
            for poses in ({}, {"span": span, "epsilon": np.float32(0.05)})
        ]

    (weights, implausible), (plausible, share) = both(points, scores)
    np.testing.assert_array_equal(weights, [[1, 0], [0, 1], [1, 1], [0, 0]])
    assert implausible == 0
    # Of the image whose points lie below each other, neither does; alone a point is plausible
    # anywhere.
    np.testing.assert_array_equal(plausible, [[1, 0], [0, 1], [0, 0], [0, 0]])
    assert share == pytest.approx(0.5)


def test_points_below_the_cutoff_of_their_keypoint_teach_nothing():
    """A keypoint that half of the images do not show: its maps there are low, and among the surest 80 %
    of that keypoint they taught full Gaussians.
    """
    scores = (
        np.float32([[0.9, 0.9]] * 5 + [[0.9, 0.02]] * 5) + np.float32(1e-3) * np.arange(10)[:, None]
    )
    points = np.zeros((10, 2, 2), np.float32)

    def weights(**cutoffs):
        return sure_and_plausible(points, scores, {}, left_out=0.2, slack=0.05, **cutoffs)[0]

    surest = weights()
    np.testing.assert_array_equal(surest[:, 1], [1] * 5 + [0, 0, 1, 1, 1])
    np.testing.assert_array_equal(weights(cutoffs=np.float32([-1e30, -1e30])), surest)
    taught = weights(cutoffs=np.float32([-1e30, 0.4]))
    np.testing.assert_array_equal(taught[:, 0], surest[:, 0])
    np.testing.assert_array_equal(taught[:, 1], [1] * 5 + [0] * 5)
    # a point with the very score of the cutoff is shown
    assert weights(cutoffs=np.float32([-1e30, scores[0, 1]]))[0, 1] == 1


def test_cutoffs_of_the_start_are_frozen_and_used():
    method = built(source_free, source_free_objective, left_out=0.0)
    cutoffs = np.float32([1e3, *[-1e30] * (KEYPOINTS - 1)])
    state = tiny_parts.drawn_state(method, {"cutoffs": cutoffs}, 3)
    assert set(state.frozen) == {"cutoffs"}
    state = state._replace(frozen={"cutoffs": cutoffs})  # the state draws all its numbers
    metrics = forward(method)(state, {"target": STREAMS["target"]}, KEY)[0]
    assert metrics["teacher/taught"] == pytest.approx(1 - 1 / KEYPOINTS)


def test_what_a_run_keeps_of_its_labels_is_frozen_and_used():
    method = built(source_free, source_free_objective, slack=0.0)
    state, update = first_state(method, ("poses",)), forward(method)
    assert set(state.frozen) == {"poses"}
    span = np.eye(2 * KEYPOINTS, 2, dtype=np.float32)
    free, bound = (
        update(
            state._replace(frozen={"poses": {"span": span, "epsilon": np.float32(epsilon)}}),
            {"target": STREAMS["target"]},
            KEY,
        )[0]
        for epsilon in (1e6, 0)
    )
    assert free["teacher/implausible"] == 0 < bound["teacher/implausible"]
    assert bound["teacher/taught"] < free["teacher/taught"]
