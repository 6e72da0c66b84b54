"""Easy and hard views: which images the network sees, which points are hidden, and what no gradient reaches."""
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import tiny_parts
from tiny_parts import CODEC, MODEL, assert_near, batch, centred

from kpjax import geometry
from kpjax.augment.augmentations import no_augmentation
from kpjax.losses.heatmap import heatmap_mse
from kpjax.losses.objective import Term
from kpjax.methods.semi_supervised_family import easy_hard as module
from kpjax.methods.semi_supervised_family.easy_hard import ANSWER, HARD, easy_hard, easy_hard_objective

KEY, STREAMS = jax.random.key(1), {name: batch(name) for name in ("labelled", "unlabelled")}
OBJECTIVE = easy_hard_objective(CODEC)
SHIFT = geometry.translation(4.0, 0.0)  # one cell to the right
EASY = jnp.asarray(STREAMS["unlabelled"].image, jnp.float32) / 255


def darken_left(key, images, points, weights):
    """A hiding that shows which points it was given: their mean x is written into the first pixel."""
    del key
    return images.at[:, :, :2].set(0.0).at[:, 0, 0, 0].set((points[..., 0] * weights).mean(1))


@pytest.fixture(autouse=True)
def one_cell_to_the_right(monkeypatch):
    monkeypatch.setattr(module, "HARDER", lambda key, size: SHIFT)


def built(objective=OBJECTIVE):
    return tiny_parts.build(easy_hard, objective=objective, optimizer=optax.trace(0.0),
                            learning_rate=lambda step: 0.5, augment=no_augmentation(), hide=darken_left)


@functools.cache
def first():
    return tiny_parts.drawn_state(built())


def both_images():
    """The labelled images and the hard views, in turn."""
    labelled, (hard, _) = centred(jnp.asarray(STREAMS["labelled"].image, jnp.float32) / 255), expected()
    return jnp.stack([labelled, hard], 1).reshape(-1, *hard.shape[1:])


@functools.cache
def stepped():
    """The state after a step, and its metrics. A term of no weight compares what it reads with `expected`."""
    _, moved = expected()
    hard = np.asarray(passed(first().variables, both_images())[0])[1::2]

    def differs(outputs, streams):
        del streams
        return jnp.abs(outputs[HARD] - hard).max() + jnp.abs(outputs[ANSWER] - moved).max()

    method = built(OBJECTIVE | {"probe": Term(0.0, differs, reads=(HARD, ANSWER))})
    return jax.tree.map(np.asarray, jax.jit(method.update)(first(), STREAMS, KEY))


@jax.jit
def passed(variables, images):
    return MODEL.apply(variables, images, train=True, mutable=["batch_stats"])


@functools.cache
def expected():
    """The hard images, and the easy view's answer moved by g, whose first column shows the outside, which is 0."""
    answer = np.asarray(passed(first().variables, centred(EASY))[0])
    columns = answer.reshape(8, -1, 3).argmax(1) % 4
    holed = np.array(EASY)
    holed[:, :, :2] = 0
    holed[:, 0, 0, 0] = 4.0 * columns.mean(1)
    moved = np.zeros_like(answer)
    moved[:, :, 1:] = answer[:, :, :-1]
    return jax.jit(lambda images: centred(geometry.warp(images, SHIFT)))(holed), moved


def test_the_answer_moves_with_the_image_and_its_points_are_hidden():
    _, metrics = stepped()
    assert metrics["loss/probe"] < 1e-4


def test_a_step_goes_down_half_squared_errors_on_the_statistics_of_all_images():
    """Answers are constants."""
    state, metrics = stepped()
    _, moved = expected()
    labels, before = jax.tree.map(jnp.asarray, STREAMS["labelled"]), first().variables

    @jax.jit
    @functools.partial(jax.grad, has_aux=True)
    def gradient(params):
        heatmaps, after = passed(before | {"params": params}, both_images())
        supervised = heatmap_mse(heatmaps[::2], *CODEC.encode(labels))
        consistency = 0.5 * jnp.square(heatmaps[1::2] - moved).mean()
        return supervised + consistency, (supervised, consistency, supervised + consistency, after)

    found, (*losses, after) = gradient(before["params"])
    np.testing.assert_allclose([metrics["loss/supervised"], metrics["loss/consistency"], metrics["loss/total"]],
                               losses, rtol=1e-4)
    wanted = jax.tree.map(lambda p, g: p - 0.5 * g, before["params"], found)
    assert_near(state.variables["params"], wanted, atol=1e-5)
    assert_near(state.variables["batch_stats"], after["batch_stats"], atol=1e-5)
