"""Distillation of heatmaps and their entropies: a plain float64 oracle, weights, and what gets a
gradient.
"""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kpjax import losses
from kpjax.losses import distillation

close = np.testing.assert_allclose
channel_distillation, mse_distillation, spatial_distillation = map(
    jax.jit,
    (
        losses.channel_distillation,
        distillation.mse_distillation,
        distillation.spatial_distillation,
    ),
)
line_entropy = jax.jit(distillation.line_entropy, static_argnames=("mode", "normalised"))
SHAPE = 3, 4, 5, 6  # batch, height, width, keypoints
OPTIONS = [
    {"mode": mode, "reduction": reduction, "temperature": temperature}
    for mode, reduction, temperature in itertools.product(
        ("lines", "joint", "marginal"), ("element_mean", "line_sum"), (1.0, 0.5)
    )
]
CHANNELS = np.float32([1, 1, 0, 1, 0, 1])
OF_MAP = np.float32([[1, 0.5, 1, 0, 1, 2], [1, 1, 1, 1, 1, 1], [0, 0, 0, 0, 0, 0]])
TOGETHER, FIRST_TWO = OF_MAP * CHANNELS, np.float32([1, 1, 0])


@functools.cache
def maps():
    return tuple(np.float32(2 * np.random.default_rng(seed).normal(size=SHAPE)) for seed in (0, 1))


def poisoned(maps, last=np.nan):
    """Without numbers in a channel and an image that do not count."""
    maps = maps.copy()
    maps[..., 2], maps[2] = np.nan, last
    return maps


def softmax(logits):
    powers = np.exp(logits - logits.max())
    return powers / powers.sum()


def lines_of(image, mode):
    if mode == "joint":
        return [[image.ravel()]]
    if mode == "marginal":
        return [[image.sum(1)], [image.sum(0)]]
    return [list(image.T), list(image)]


def plain(teacher, student, weights, mode="lines", reduction="element_mean", temperature=1.0):
    """Map by map and line by line, in float64."""
    found = np.zeros(np.shape(weights))
    for b, k in np.ndindex(found.shape):
        pair = (
            np.asarray(array[b, :, :, k], np.float64) / temperature for array in (teacher, student)
        )
        axes = [
            [-softmax(t) * np.log(softmax(s)) for t, s in zip(*lines, strict=True)]
            for lines in zip(*(lines_of(image, mode) for image in pair), strict=True)
        ]
        found[b, k] = np.mean(
            [np.mean(np.sum(lines, 1) if reduction == "line_sum" else lines) for lines in axes]
        )
    return (found * weights).sum() / np.sum(weights)


@functools.partial(jax.jit, static_argnames=("mode", "reduction", "temperature"))
def distilled(teacher, student, mode, reduction, temperature):
    """Of all maps and of weighted ones, in one program."""
    options = {"mode": mode, "reduction": reduction, "temperature": temperature}
    return (
        distillation.spatial_distillation(teacher, student, **options),
        distillation.spatial_distillation(
            teacher, student, jnp.asarray(CHANNELS), jnp.asarray(OF_MAP), **options
        ),
    )


@pytest.mark.parametrize(
    "options", OPTIONS, ids=lambda options: "-".join(map(str, options.values()))
)
def test_spatial_distillation_equals_a_plain_one(options):
    teacher, student = maps()
    everywhere, weighted = distilled(teacher, student, **options)
    close(everywhere, plain(teacher, student, np.ones((SHAPE[0], SHAPE[3])), **options), rtol=1e-5)
    close(weighted, plain(teacher, student, TOGETHER, **options), rtol=1e-5)


@pytest.mark.parametrize("loss", [spatial_distillation, mse_distillation])
def test_means_are_over_the_weighted_maps_only(loss):
    teacher, student = maps()
    chosen = [0, 1, 3, 5]
    expected = loss(teacher[:2, ..., chosen], student[:2, ..., chosen])
    close(loss(teacher, student, CHANNELS, FIRST_TWO), expected, rtol=1e-6)
    assert loss(teacher, student, 0 * CHANNELS) == 0


@pytest.mark.parametrize("loss", [spatial_distillation, mse_distillation])
def test_a_map_of_weight_zero_is_not_read_and_the_teacher_gets_no_gradient(loss):
    teacher, student = (poisoned(array, np.inf) for array in maps())
    value, (by_teacher, by_student) = jax.jit(jax.value_and_grad(loss, (0, 1)))(
        teacher, student, CHANNELS, OF_MAP
    )
    assert np.isfinite(value)
    np.testing.assert_array_equal(by_teacher, 0)
    moved = np.asarray(by_student).any((1, 2))
    np.testing.assert_array_equal(moved, TOGETHER > 0)
    assert np.isfinite(by_student).all()


def test_channel_distillation_is_that_of_the_chosen_channels():
    teacher, student = maps()
    chosen = [0, 1, 3, 5]
    loss = jax.jit(jax.value_and_grad(losses.channel_distillation, (0, 1)))
    expected = channel_distillation(
        teacher[..., chosen], student[..., chosen], np.ones(4, np.float32)
    )
    value, (by_teacher, by_student) = loss(teacher, student, CHANNELS)
    close(value, expected, rtol=1e-6)
    np.testing.assert_array_equal(by_teacher, 0)
    np.testing.assert_array_equal(np.asarray(by_student).any((0, 1, 2)), CHANNELS > 0)
    some, (_, by_student) = jax.jit(jax.value_and_grad(losses.channel_distillation, (0, 1)))(
        teacher, poisoned(student), CHANNELS, FIRST_TWO
    )
    close(some, channel_distillation(teacher[:2], student[:2], CHANNELS), rtol=1e-6)
    assert np.isfinite(by_student).all()
    # one has nothing to distil, and none neither
    for channels in (np.eye(6, dtype=np.float32)[4], 0 * CHANNELS):
        value, gradients = loss(teacher, student, channels)
        assert value == 0
        np.testing.assert_array_equal(gradients, 0)


@pytest.mark.parametrize("mode", ["lines", "joint"])
def test_entropy_is_1_of_flat_maps_and_reads_no_more_than_it_should(mode):
    entropy = jax.jit(jax.value_and_grad(functools.partial(distillation.line_entropy, mode=mode)))
    flat, every = np.zeros(SHAPE, np.float32), np.ones(3, np.float32)
    close(entropy(flat, CHANNELS, every)[0], 1, rtol=1e-6)
    assert 0 < entropy(maps()[0], CHANNELS, every)[0] < 1
    assert entropy(flat, 0 * CHANNELS, every)[0] == 0
    value, gradient = entropy(poisoned(maps()[0]), CHANNELS, FIRST_TWO)
    assert np.isfinite(value)
    np.testing.assert_array_equal(np.asarray(gradient[:2]).any((0, 1, 2)), CHANNELS > 0)
    np.testing.assert_array_equal(gradient[2], 0)


def test_entropy_of_a_single_choice_is_zero():
    diagonal = 1e3 * jnp.eye(5)[None, :, :, None]  # one cell in every row and column
    close(line_entropy(diagonal), 0, atol=1e-6)
    close(line_entropy(diagonal, mode="joint", normalised=False), np.log(5), rtol=1e-5)
    single = jnp.zeros((2, 1, 1, 3))
    assert line_entropy(single) == 0
