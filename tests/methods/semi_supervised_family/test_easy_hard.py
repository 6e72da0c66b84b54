"""Easy and hard views: which images the network sees, which points are hidden, and what no gradient reaches."""
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import tiny_parts
from tiny_parts import CODEC, MODEL, batch, centred

from kpjax import geometry
from kpjax.augment.augmentations import no_augmentation
from kpjax.losses.heatmap import heatmap_mse
from kpjax.losses.objective import Term, without
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
    return jax.tree.map(np.asarray, jax.jit(built().init)(KEY, STREAMS, {}))


def step(method):
    return jax.tree.map(np.asarray, jax.jit(method.update)(first(), STREAMS, KEY))


@jax.jit
def passed(variables, images):
    return MODEL.apply(variables, images, train=True, mutable=["batch_stats"])


@functools.cache
def expected():
    """The hard images, and the easy view's answer moved by g, whose first column shows the outside, which is 0."""
    answer = np.asarray(passed(first().variables, centred(EASY))[0])
    columns = answer.reshape(8, -1, 3).argmax(1) % 4
    holed = EASY.at[:, :, :2].set(0.0).at[:, 0, 0, 0].set(4.0 * columns.mean(1))
    moved = np.zeros_like(answer)
    moved[:, :, 1:] = answer[:, :, :-1]
    return centred(geometry.warp(holed, SHIFT)), moved


def test_the_answer_moves_with_the_image_and_its_points_are_hidden():
    """A term that compares what it reads with what the network is worth by hand."""
    images, moved = expected()
    hard = np.asarray(passed(first().variables, images)[0])

    def differs(outputs, streams):
        del streams
        return jnp.abs(outputs[HARD] - hard).max() + jnp.abs(outputs[ANSWER] - moved).max()

    _, metrics = step(built({"probe": Term(1.0, differs, reads=(HARD, ANSWER))}))
    assert metrics["loss/probe"] < 1e-4


def test_answers_are_constants():
    """With the consistency alone, the step is down its gradient against the answer as it is."""
    state, metrics = step(built(without(OBJECTIVE, "supervised")))
    images, moved = expected()
    before = first().variables

    def loss(params):
        maps, _ = MODEL.apply(before | {"params": params}, images, train=True, mutable=["batch_stats"])
        return 0.5 * jnp.square(maps - moved).mean()

    wanted = jax.tree.map(lambda p, g: p - 0.5 * g, before["params"], jax.jit(jax.grad(loss))(before["params"]))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), state.variables["params"], wanted)
    assert set(metrics) == {"loss/total", "loss/consistency", "gradient_norm/model"}


def test_labels_and_hard_views_share_a_pass():
    """Of the whole objective both terms are half mean squared errors, on the statistics of all images."""
    state, metrics = step(built())
    images, moved = expected()
    labelled = centred(jnp.asarray(STREAMS["labelled"].image, jnp.float32) / 255)
    heatmaps, after = passed(
        first().variables, jnp.stack([labelled, images], 1).reshape(-1, *images.shape[1:]))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), state.variables["batch_stats"],
                 after["batch_stats"])
    supervised = heatmap_mse(jnp.asarray(heatmaps[::2]), *CODEC.encode(jax.tree.map(jnp.asarray, STREAMS["labelled"])))
    consistency = 0.5 * np.square(heatmaps[1::2] - moved).mean()
    np.testing.assert_allclose([metrics["loss/supervised"], metrics["loss/consistency"], metrics["loss/total"]],
                               [supervised, consistency, supervised + consistency], rtol=1e-4)
