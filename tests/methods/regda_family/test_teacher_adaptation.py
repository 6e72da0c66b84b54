"""Adaptation by a teacher: what each network sees, in whose coordinates they are compared, and what moves."""
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import tiny_parts
from tiny_parts import CODEC, MODEL, assert_identical, assert_near, batch, centred

from kpjax import geometry
from kpjax.augment.augmentations import no_augmentation, random_warp
from kpjax.augment.restyling import exchanged_moments
from kpjax.losses.objective import Term, replaced, without
from kpjax.methods.regda_family import teacher_adaptation as module
from kpjax.methods.regda_family.teacher_adaptation import (
    ANSWER,
    TARGET,
    networks,
    teacher_adaptation,
    teacher_adaptation_objective,
)
from kpjax.structures import named_key

KEY, STREAMS = jax.random.key(1), {name: batch(name) for name in ("source", "target")}
OBJECTIVE = teacher_adaptation_objective(CODEC)
PLAIN = {name: stream.image / np.float32(255) for name, stream in STREAMS.items()}


def down(key, size):
    return geometry.translation(0.0, 4.0)


def moved_down(images):
    return np.concatenate([np.zeros_like(images[:, :4]), images[:, :-4]], 1)


@pytest.fixture(autouse=True)
def nothing_hidden(monkeypatch):
    monkeypatch.setattr(module, "hide_one_box", lambda side: lambda key, images, points, weights: images)


def built(objective=OBJECTIVE, **changes):
    settings = {"optimizer": optax.trace(0.0), "learning_rate": lambda step: 0.5, "decay": 0.9,
                "augment": no_augmentation(), "view": random_warp(down), "restyled": 0.0, "sigma": 1.0} | changes
    return tiny_parts.build(teacher_adaptation, objective=objective, **settings)


@functools.cache
def distinct_start():
    """A state whose student and teacher differ."""
    one, other = (tiny_parts.drawn_state(built(), seed=seed) for seed in (3, 4))
    return one._replace(other=other.variables)


def step(method, streams=STREAMS, read=lambda state, metrics: (state, metrics)):
    """What `read` takes of an update of the first state; nothing else is computed."""
    found = jax.jit(lambda state, streams: read(*method.update(state, streams, KEY)))(distinct_start(), streams)
    return jax.tree.map(np.asarray, found)


def statistics(state, metrics, predicts="teacher"):
    return [network["batch_stats"] for network in networks(state, predicts)]


@jax.jit
def train_pass(variables, images):
    return MODEL.apply(variables, centred(images), train=True, mutable=["batch_stats"])


def test_both_views_are_moved_back_and_the_teacher_keeps_statistics_of_its_own():
    """A term that compares what it reads with what the networks are worth by hand: views are one cell further down."""
    student, teacher = networks(distinct_start())
    seen = moved_down(PLAIN["target"])

    def moved_back(heatmaps):
        return np.concatenate([heatmaps[:, 1:], np.zeros_like(heatmaps[:, :1])], 1)

    answer, mutated = train_pass(teacher, seen)
    expected, own = moved_back(answer), moved_back(train_pass(student, seen)[0])

    def differs(outputs, streams):
        found = outputs[ANSWER]
        assert set(streams) == {"source", "target"}
        peaks = jnp.abs(found.bumps.max((1, 2)) - 1).max() + jnp.abs(found.scores - expected.max((1, 2))).max()
        return jnp.abs(found.heatmaps - expected).max() + jnp.abs(outputs[TARGET] - own).max() + peaks

    state, metrics = step(built(OBJECTIVE | {"probe": Term(1.0, differs, reads=(TARGET, ANSWER))}))
    assert metrics["loss/probe"] < 1e-4
    new_student, new_teacher = networks(state)
    assert_near(new_teacher["batch_stats"], mutated["batch_stats"], atol=1e-5)
    jax.tree.map(lambda new, old, now: np.testing.assert_allclose(new, 0.9 * old + 0.1 * now, atol=1e-6),
                 new_teacher["params"], teacher["params"], new_student["params"])


def follow_heatmaps(outputs, streams):
    """The consistency of a plain mean teacher."""
    return jnp.square(outputs[TARGET] - outputs[ANSWER].heatmaps).mean()


def test_no_gradient_reaches_the_teacher_and_no_label_of_the_target_is_read():
    """With the consistency alone, the student's step is down its gradient against constants."""
    objective = without(replaced(OBJECTIVE, consistency=follow_heatmaps), "supervised")
    lied = STREAMS["target"]._replace(keypoints=STREAMS["source"].keypoints * 0.5)
    state, _ = step(built(objective, view=no_augmentation()), streams=STREAMS | {"target": lied})
    student, teacher = networks(distinct_start())
    target, _ = train_pass(teacher, PLAIN["target"])
    _, after_source = train_pass(student, PLAIN["source"])

    def loss(params):
        heatmaps, _ = MODEL.apply({**after_source, "params": params}, centred(PLAIN["target"]), train=True,
                                  mutable=["batch_stats"])
        return jnp.square(heatmaps - target).mean()

    expected = jax.tree.map(lambda p, g: p - 0.5 * g, student["params"], jax.jit(jax.grad(loss))(student["params"]))
    assert_near(networks(state)[0]["params"], expected, atol=1e-5)


def test_source_images_take_the_colours_of_target_images():
    """The student's pass over the restyled source is all that moves: by its statistics."""
    method = built(without(OBJECTIVE, "consistency"), restyled=1.0, view=no_augmentation(), predicts="student")
    names = []

    def read(state, metrics):
        names.extend(metrics)
        return statistics(state, metrics, "student")

    found, of_teacher = step(method, read=read)
    assert "loss/supervised" in names
    assert "teacher/mean_peak" not in names
    student, teacher = networks(distinct_start(), "student")
    assert_identical(of_teacher, teacher["batch_stats"])
    alpha = jax.random.uniform(jax.random.split(named_key(KEY, "source style"))[1], (), jnp.float32)
    changed = np.clip(jax.jit(exchanged_moments)(PLAIN["source"], PLAIN["target"], alpha), 0, 1)
    _, expected = train_pass(student, changed)
    assert_near(found, expected["batch_stats"], atol=1e-5)


def test_sure_keypoints_are_hidden_where_the_student_sees_them(monkeypatch):
    def mark(key, images, points, weights):
        """Writes which points it was given into the images."""
        return images.at[:, 0, 0, 0].set((points[..., 1] * weights).sum(1)).at[:, 1:].set(0.0)

    def read(outputs, streams):
        return outputs[TARGET].sum() * 0 + outputs[ANSWER].scores.sum() * 0

    _, teacher = networks(distinct_start())
    seen = moved_down(PLAIN["target"])
    heatmaps = np.asarray(train_pass(teacher, seen)[0])
    back = np.concatenate([heatmaps[:, 1:], np.zeros_like(heatmaps[:, :1])], 1).reshape(8, 16, 3)
    limit = float(np.median(back.max(1)))
    rows = np.where(back.max(1) > 0, back.argmax(1) // 4, 0)
    marked = np.zeros_like(seen)
    marked[:, 0, 0, 0] = ((4.0 * rows + 4.0) * (back.max(1) >= limit)).sum(1)
    monkeypatch.setattr(module, "hide_one_box", lambda side: mark)
    monkeypatch.setattr(module, "HIDDEN_FROM", limit)
    found, _ = step(built({"probe": Term(1.0, read, reads=(TARGET, ANSWER))}), read=statistics)
    student, _ = networks(distinct_start())
    _, after = train_pass(student, moved_down(PLAIN["source"]))
    _, expected = train_pass({**after, "params": student["params"]}, marked)
    assert_near(found, expected["batch_stats"], rtol=1e-4, atol=1e-5)
