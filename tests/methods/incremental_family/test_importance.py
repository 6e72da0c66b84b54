"""Importances: the published numbers, a loop over images on eight devices, padding, and what is not
shared.
"""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from tiny_parts import CODEC, KEYPOINTS, MODEL, SKELETON, batch, centred, one_device, start

from kpjax.heatmaps import Codec
from kpjax.input.source import arrays
from kpjax.losses.continual import quadratic_penalty
from kpjax.methods.incremental_family.importance import (
    fisher,
    mean_importance,
    memory_aware_synapses,
    sum_over_samples,
)
from kpjax.methods.incremental_family.objectives import new_keypoints_term
from kpjax.methods.incremental_family.step_spec import increment
from kpjax.models.layers import DepthwiseConvolution, TransposedConvolution
from kpjax.platforms import known_platform
from kpjax.structures import Example, Trained
from kpjax.training.evaluation import reduce
from kpjax.training.mesh import by_examples, data_mesh, replicated_sharding

IMAGES = 11  # so that the last batch is padded


class Proportional(nn.Module):
    """Every pixel times one number."""

    @nn.compact
    def __call__(self, images, train: bool):
        return self.param("w", nn.initializers.constant(0.5), ()) * images


def two_pixels():
    """Two images of two pixels, x = (1, 2) and (0, 1), whose targets are (1, 1) and (1, 2)."""
    pixels = np.zeros((2, 1, 2, 3), np.uint8)
    pixels[..., 0] = [[[1, 2]], [[0, 1]]]
    targets = jnp.array([[[1.0, 1.0]], [[1.0, 2.0]]])[..., None]
    encode = Codec(
        lambda example: (targets[example.index], jnp.ones((example.index.size, 1))),
        None,
        None,
        None,
    )
    example = Example(
        pixels,
        np.zeros((2, 1, 2), np.float32),
        np.ones((2, 1), np.float32),
        np.ones(2, np.float32),
        np.tile(np.eye(3, dtype=np.float32), (2, 1, 1)),
        np.arange(2, dtype=np.int32),
    )
    return example, encode, lambda images: images[..., :1] * 255


def number(measure, example) -> float:
    state = Trained({"params": {"w": jnp.float32(0.5)}, "batch_stats": {}}, {})
    with jax.set_mesh(one_device()):
        return float(mean_importance(jax.jit(measure)(state, example, jnp.ones(2)))["w"])


def test_fisher_of_two_images_by_hand():
    example, codec, normalise = two_pixels()
    assert number(fisher(Proportional(), codec, normalise), example) == pytest.approx(
        0.3125, abs=1e-6
    )
    approximation = fisher(Proportional(), codec, normalise, batch_approximation=True)
    # The squared mean gradient is 0.25; times two images, over two images.
    assert number(approximation, example) == pytest.approx(0.25, abs=1e-6)


def test_memory_aware_synapses_of_two_images_by_hand():
    example, _, normalise = two_pixels()
    assert number(memory_aware_synapses(Proportional(), normalise), example) == pytest.approx(
        1.618034
    )
    squared = number(memory_aware_synapses(Proportional(), normalise, norm="l2sq"), example)
    assert squared == pytest.approx(3.0, abs=1e-5)
    penalty = quadratic_penalty(jnp.float32(0.7), jnp.float32(0.5), jnp.float32(squared))
    assert float(penalty) == pytest.approx(0.06, abs=1e-6)


def test_an_answer_of_zeros_is_sensitive_to_nothing():
    example, _, normalise = two_pixels()
    measure = memory_aware_synapses(Proportional(), lambda images: 0 * normalise(images))
    assert number(measure, example) == 0


def state_with(old, new) -> Trained:
    """The tiny network with statistics that are not those of the batch, and an increment."""
    variables = start()["variables"]
    statistics = jax.tree.map(lambda leaf: leaf + 0.1, variables["batch_stats"])
    return Trained(
        {"params": variables["params"], "batch_stats": statistics},
        {"increment": increment(KEYPOINTS, old=old, new=new)},
    )


def source():
    labelled, more = batch("labelled"), batch("more labelled")
    image, keypoints, visible = (
        np.concatenate([a, b])[:IMAGES] for a, b in zip(labelled[:3], more[:3], strict=True)
    )
    visible[2:5, 1:] = 0
    return arrays(image, keypoints, visible, SKELETON, "tiny")


def loop(state, of_image, function):
    """mean over images of function(gradient), one image at a time."""
    gradient = jax.jit(jax.grad(of_image))
    images, total = source(), None
    for n in range(IMAGES):
        example = jax.tree.map(lambda leaf: np.asarray(leaf)[None], images[n])
        value = jax.tree.map(
            lambda leaf: function(np.asarray(leaf, np.float64)),
            gradient(state.variables["params"], example),
        )
        total = value if total is None else jax.tree.map(np.add, total, value)
    return jax.tree.map(lambda leaf: leaf / IMAGES, total)


def heatmaps_of(state, params, example):
    images = centred(example.image.astype(jnp.float32) / 255)
    return MODEL.apply(
        {"params": params, "batch_stats": state.variables["batch_stats"]}, images, train=False
    )


def without_heads(tree):
    """No later step shares the channels of a head."""
    return tree | {
        "head": tree["head"] | {"output": jax.tree.map(np.zeros_like, tree["head"]["output"])}
    }


def assert_equal_trees(found, expected):
    """Equal but for 1e-5 of each leaf's norm."""

    def near(leaf, wanted):
        error = np.linalg.norm(leaf - wanted)
        return leaf.shape == wanted.shape and error <= 1e-5 * np.linalg.norm(wanted)

    chex.assert_trees_all_equal_comparator(
        near, lambda one, other: f"{one} {other}", found, expected
    )


def test_fisher_on_eight_devices_equals_a_loop_over_images():
    state = state_with(old=[0], new=[1, 2])
    found = mean_importance(reduce(fisher(MODEL, CODEC, centred), state, source(), batch_size=8))
    term = new_keypoints_term(CODEC)
    step = jax.tree.map(jnp.asarray, state.frozen["increment"])

    def loss(params, example):
        outputs = {"heatmaps": heatmaps_of(state, params, example), "increment": step}
        return term.function(outputs, {"labelled": example})

    assert_equal_trees(found, without_heads(loop(state, loss, np.square)))


def test_synapses_equal_a_loop_and_see_known_keypoints_only():
    state = state_with(old=[0], new=[1])
    found = mean_importance(
        reduce(
            memory_aware_synapses(MODEL, centred), state, source(), batch_size=8, mesh=one_device()
        )
    )
    assert_equal_trees(
        found,
        without_heads(
            loop(
                state,
                lambda params, example: jnp.linalg.norm(
                    heatmaps_of(state, params, example)[..., :2].ravel()
                ),
                np.abs,
            )
        ),
    )


def test_the_approximation_by_batches_on_eight_devices_leaves_padding_out():
    state, mesh, example = state_with(old=[], new=[0, 1, 2]), data_mesh(), batch("labelled")
    measure = jax.jit(
        fisher(MODEL, CODEC, centred, batch_approximation=True),
        in_shardings=(replicated_sharding(mesh), by_examples(mesh), by_examples(mesh)),
    )
    sums = measure(state, example, np.float32([1, 1, 1, 1, 1, 1, 0, 0]))

    def mean_loss(params, kept):
        targets, visible = CODEC.encode(kept)
        return (
            0.5
            * (jnp.square(heatmaps_of(state, params, kept) - targets).mean((1, 2)) * visible).mean()
        )

    gradient = jax.jit(jax.grad(mean_loss))(
        state.variables["params"], jax.tree.map(lambda leaf: leaf[:6], example)
    )
    assert_equal_trees(
        sums.importance, without_heads(jax.tree.map(lambda leaf: 6 * np.square(leaf), gradient))
    )
    assert np.linalg.norm(sums.importance["backbone"]["conv1"]["kernel"]) > 0
    assert float(sums.count) == 6


class WithGradientsOfTheirOwn(nn.Module):
    """Layers whose gradients are rules of their own, on CPUs and on accelerators."""

    @nn.compact
    def __call__(self, images, train: bool):
        return TransposedConvolution(2)(DepthwiseConvolution()(images))


@pytest.mark.parametrize("platform", ["cpu", "cuda"])
def test_layers_with_gradients_of_their_own_on_eight_devices_equal_a_loop_over_images(platform):
    """Those of MobileNetV2, MoveNet and PoseResNet."""
    network = WithGradientsOfTheirOwn()
    images = np.random.default_rng(0).normal(size=(8, 4, 4, 3)).astype(np.float32)
    params = jax.jit(lambda key: network.init(key, images[:1], False))(jax.random.key(0))["params"]

    def loss(params, image):
        return jnp.square(network.apply({"params": params}, image, False)).sum()

    def summed(params, images):
        return sum_over_samples(jnp.square, loss, params, images, jnp.ones(8))

    with known_platform(platform):
        found = jax.jit(summed)(params, images)
        gradient = jax.jit(jax.grad(loss))
        squares = [jax.tree.map(np.square, gradient(params, one[None])) for one in images]
    assert_equal_trees(found, jax.tree.map(lambda *leaves: sum(leaves), *squares))
