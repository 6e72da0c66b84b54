"""Adaptation without the source: which points teach, in whose coordinates, and what moves."""
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import tiny_parts
from tiny_parts import CODEC, KEYPOINTS, MODEL, assert_identical, assert_near, batch, centred, forward

from kpjax import geometry
from kpjax.augment.augmentations import no_augmentation, random_warp
from kpjax.losses.heatmap import heatmap_mse
from kpjax.losses.objective import Term
from kpjax.methods.regda_family import source_free as module
from kpjax.methods.regda_family.source_free import (
    ANSWER,
    STUDENT,
    source_free,
    source_free_objective,
    sure_and_plausible,
)
from kpjax.methods.regda_family.teacher_adaptation import networks

KEY, STREAMS = jax.random.key(1), {"target": batch("target")}
OBJECTIVE = source_free_objective(CODEC)
PLAIN = STREAMS["target"].image / np.float32(255)


def down(key, size):
    return geometry.translation(0.0, 4.0)


@pytest.fixture(autouse=True)
def nothing_hidden(monkeypatch):
    monkeypatch.setattr(module, "hide_one_box", lambda side: lambda key, images, points, weights: images)


def built(objective=OBJECTIVE, **changes):
    settings = {"optimizer": optax.trace(0.0), "learning_rate": lambda step: 0.5, "decay": 0.9, "left_out": 0.5,
                "augment": no_augmentation(), "view": random_warp(down)} | changes
    return tiny_parts.build(source_free, objective=objective, **settings)


@functools.cache
def distinct_start(kept=()):
    """A state whose student and teacher differ. kept: names of what a run keeps of its labels."""
    given = {name: tiny_parts.start()[name] for name in kept}
    one, other = (tiny_parts.drawn_state(built(), given, seed) for seed in (3, 4))
    return one._replace(other=other.variables)


@jax.jit
def passed(variables, images):
    return MODEL.apply(variables, centred(images), train=True, mutable=["batch_stats"])


# Which points teach


def test_the_surer_part_of_every_keypoint_teaches_where_a_pose_is_plausible():
    """Two keypoints that always lie 6 px apart, one to the right of the other: of four images two are surer."""
    points = np.float32([[[0, 0], [6, 0]], [[9, 9], [15, 9]], [[0, 0], [0, 6]], [[2, 2], [8, 2]]])
    span = np.linalg.qr(np.float32([[1, 0, 0], [0, 1, 0], [1, 0, 1], [0, 1, 0]]))[0]
    scores = np.float32([[-1, -40], [-2, -10], [0, -20], [-3, -30]])
    weights, implausible = sure_and_plausible(jnp.asarray(points), jnp.asarray(scores), {}, left_out=0.5, slack=0.1)
    np.testing.assert_array_equal(weights, [[1, 0], [0, 1], [1, 1], [0, 0]])
    assert implausible == 0
    weights, implausible = sure_and_plausible(
        jnp.asarray(points), jnp.asarray(scores), {"span": span, "epsilon": np.float32(0.05)}, left_out=0.5, slack=0.1)
    # Of the image whose points lie below each other, neither does; alone a point is plausible anywhere.
    np.testing.assert_array_equal(weights, [[1, 0], [0, 1], [0, 0], [0, 0]])
    assert implausible == pytest.approx(0.5)


# A step


def test_the_teachers_points_are_the_students_labels_and_no_label_is_read():
    """A term of no weight compares what it reads with what the networks are worth by hand; views are one cell further
    down. The student goes down its loss."""
    student, teacher = networks(distinct_start())
    seen = np.concatenate([np.zeros_like(PLAIN[:, :4]), PLAIN[:, :-4]], 1)
    heatmaps, mutated = passed(teacher, seen)
    own, _ = passed(student, seen)
    expected, scores = jax.jit(CODEC.decode)(heatmaps)

    def differs(outputs, streams):
        answer = outputs[ANSWER]
        assert set(streams) == {"target"}
        off = jnp.abs(answer.points - (expected - jnp.float32([0, 4])[None, None])).max()
        moved = jnp.abs(answer.labels.keypoints - expected).max() + jnp.abs(answer.scores - scores).max()
        taught = jnp.abs(answer.labels.visible - answer.weights).max()
        return off + moved + jnp.abs(outputs[STUDENT] - own).max() + taught

    update = jax.jit(built(OBJECTIVE | {"probe": Term(0.0, differs, reads=(STUDENT, ANSWER))}).update)
    state, metrics = update(distinct_start(), STREAMS, KEY)
    assert metrics["loss/probe"] < 1e-4
    surer = np.asarray(scores) > np.sort(scores, 0)[3]
    labels = STREAMS["target"]._replace(keypoints=expected, visible=jnp.asarray(surer, jnp.float32))

    @jax.jit
    @jax.value_and_grad
    def by_hand(params):
        return heatmap_mse(passed({**student, "params": params}, seen)[0], *CODEC.encode(labels))

    loss, gradient = by_hand(student["params"])
    assert metrics["loss/pseudo_labels"] == pytest.approx(float(loss), rel=1e-4)
    assert metrics["teacher/taught"] == pytest.approx(float(labels.visible.mean()))
    new_student, new_teacher = networks(state)
    assert_near(new_teacher["batch_stats"], mutated["batch_stats"], atol=1e-5)
    jax.tree.map(lambda new, old, now: np.testing.assert_allclose(new, 0.9 * old + 0.1 * now, atol=1e-6),
                 new_teacher["params"], teacher["params"], new_student["params"])
    jax.tree.map(lambda new, p, g: np.testing.assert_allclose(new, p - 0.5 * g, atol=1e-5), new_student["params"],
                 student["params"], gradient)
    lied = {"target": STREAMS["target"]._replace(keypoints=STREAMS["target"].keypoints * 0.5)}
    assert_identical(update(distinct_start(), lied, KEY)[0], state)


def test_what_a_run_keeps_of_its_labels_is_frozen_and_used():
    state, update = distinct_start(("poses",)), forward(built(slack=0.0))
    assert set(state.frozen) == {"poses"}
    span = np.eye(2 * KEYPOINTS, 2, dtype=np.float32)
    free, bound = (update(state._replace(frozen={"poses": {"span": span, "epsilon": np.float32(epsilon)}}), STREAMS,
                          KEY)[0] for epsilon in (1e6, 0))
    assert free["teacher/implausible"] == 0 < bound["teacher/implausible"]
    assert bound["teacher/taught"] < free["teacher/taught"]
