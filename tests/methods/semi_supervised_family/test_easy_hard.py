"""Easy and hard views: who teaches whom, which images they see, and what no gradient reaches."""
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
from kpjax.errors import InputError
from kpjax.losses.objective import Term, without
from kpjax.methods.semi_supervised_family.easy_hard import (
    easy_hard,
    easy_hard_objective,
    hard_view,
    mean_predict,
    moved_answer,
    networks_of,
)
from kpjax.structures import Trained

KEY, STREAMS = jax.random.key(1), {name: batch(name) for name in ("labelled", "unlabelled")}
SHIFT = geometry.translation(4.0, 0.0)  # one cell to the right
EASY = jnp.asarray(STREAMS["unlabelled"].image, jnp.float32) / 255


def darken_left(key, images, points, weights):
    """A hiding that shows which points it was given: their mean x is written into the first pixel."""
    del key
    return images.at[:, :, :2].set(0.0).at[:, 0, 0, 0].set((points[..., 0] * weights).mean(1))


def built(networks=2, objective=None, **changes):
    settings = {"optimizer": optax.trace(0.0), "learning_rate": lambda step: 0.5,
                "augment": no_augmentation(), "draw_map": lambda key, size: SHIFT,
                "views": (darken_left,)} | changes
    return tiny_parts.build(
        easy_hard, objective=objective or easy_hard_objective(CODEC, networks=networks), networks=networks, **settings)


@functools.cache
def pair():
    """A state of two networks that differ."""
    return jax.tree.map(np.asarray, jax.jit(built().init)(KEY, STREAMS, {}))


def step(method, state=None):
    return jax.tree.map(np.asarray, jax.jit(method.update)(state or pair(), STREAMS, KEY))


@functools.cache
def answers():
    """What the two networks answer on the easy view, in training mode."""
    passes = jax.jit(lambda net: MODEL.apply(net, centred(EASY), train=True, mutable=["batch_stats"])[0])
    return [passes(net) for net in networks_of(pair().variables)]


def hard_view_of(student):
    """What a network sees: the hidden left, and where its teacher found the keypoints, all moved."""
    cells = np.asarray(answers()[1 - student]).reshape(8, -1, 3).argmax(1) % 4
    return centred(geometry.warp(EASY.at[:, :, :2].set(0.0).at[:, 0, 0, 0].set(4.0 * cells.mean(1)), SHIFT))


def test_each_network_is_taught_and_masked_by_the_other():
    """A term that compares what it reads with what the two networks are worth by hand."""
    apply = jax.jit(lambda net, images: MODEL.apply(net, images, train=True, mutable=["batch_stats"])[0])
    expected = {}
    for network, net in enumerate(networks_of(pair().variables)):
        moved = np.zeros_like(answers()[network])
        moved[:, :, 1:] = answers()[network][:, :, :-1]
        expected |= {moved_answer(network): moved, hard_view(network, 0): apply(net, hard_view_of(network))}

    def differs(outputs, streams):
        del streams
        return sum(jnp.abs(outputs[name] - value.astype(np.float32)).max() for name, value in expected.items())

    _, metrics = step(built(objective={"probe": Term(1.0, differs, reads=tuple(expected))}))
    assert metrics["loss/probe"] < 1e-4


def test_answers_are_constants_and_both_networks_learn():
    """With the consistency alone, the first network's step is down its gradient against the second one's answer."""
    state, metrics = step(built(objective=without(easy_hard_objective(CODEC, networks=2), "supervised")))
    first, second = networks_of(pair().variables)

    def loss(params):
        maps, _ = MODEL.apply(first | {"params": params}, hard_view_of(0), train=True, mutable=["batch_stats"])
        # The first of four columns shows the outside, which is 0.
        moved = jnp.pad(answers()[1][:, :, :-1], ((0, 0), (0, 0), (1, 0), (0, 0)))
        return 0.5 * jnp.square(maps - moved).mean()

    expected = jax.tree.map(lambda p, g: p - 0.5 * g, first["params"], jax.jit(jax.grad(loss))(first["params"]))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), state.variables["params"], expected)
    assert not np.array_equal(state.variables["second"]["params"]["head"]["output"]["bias"],
                              second["params"]["head"]["output"]["bias"])
    assert metrics["gradient_norm/network_1"] > 0
    assert set(metrics) == {"loss/total", "loss/consistency", "gradient_norm/network_0", "gradient_norm/network_1"}


def test_starts_and_predictions_of_a_pair():
    first, second = networks_of(pair().variables)
    given = jax.eval_shape(built().init, KEY, STREAMS, {"variables": first})
    assert jax.tree.structure(given) == jax.tree.structure(pair())
    begun = jax.jit(built().init)(KEY, STREAMS, {"variables": second, "second": first}).variables
    jax.tree.map(np.testing.assert_array_equal, networks_of(begun), (second, first))
    trained, example = Trained(pair().variables, {}), STREAMS["labelled"]
    mean = jax.jit(mean_predict(MODEL, CODEC, centred))(trained, example).heatmaps[0]
    predict = jax.jit(built().predict)
    each = [predict(Trained(net, {}), example).heatmaps[0] for net in (trained.variables, second)]
    np.testing.assert_allclose(mean, sum(each) / 2, atol=1e-5)


def test_views_add_up_and_cost_a_pass_each():
    def operations(views):
        method = built(1, easy_hard_objective(CODEC, views=views), views=(darken_left,) * views)
        state = jax.eval_shape(method.init, KEY, STREAMS, {})
        return jax.jit(method.update).lower(state, STREAMS, KEY).cost_analysis()["flops"]

    one, two = operations(1), operations(2)
    assert 1.2 < two / one < 1.7  # a forward pass is a third of a step: 10 over 7


def test_what_cannot_be_built():
    with pytest.raises(ValueError, match="networks is 3"):
        built(3)
    with pytest.raises(ValueError, match="a term reads 'hard/0/1'"):
        built(1, easy_hard_objective(CODEC, views=2))
    fewer = jax.tree.map(lambda each: each[:4], STREAMS["unlabelled"])
    with pytest.raises(InputError, match="8 of labelled, 4 of unlabelled"):
        jax.eval_shape(built().init, KEY, STREAMS | {"unlabelled": fewer}, {})
