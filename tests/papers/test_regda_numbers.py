"""RegDA (Jiang et al.

2021): numbers of an independent float64 program. Maps are indexed [row, column].
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from kpjax import geometry, losses
from kpjax.evaluation.metrics import cell_accuracy, mae, pck_batchwise, pck_global
from kpjax.heatmaps import (
    codec,
    decode_argmax,
    gaussian_bumps,
    gaussian_targets,
    keypoint_cells,
    spatial_softmax,
)
from kpjax.images import boxes
from kpjax.losses import adversarial, domain_distances
from kpjax.losses.heatmap import heatmap_kl, heatmap_kl_per_keypoint, heatmap_mse
from kpjax.optimization import descend

bumps = jax.jit(gaussian_bumps, static_argnums=(1, 2), static_argnames=("window", "cutoff"))
kl = jax.jit(heatmap_kl, static_argnames="epsilon")
kl_per_keypoint = jax.jit(heatmap_kl_per_keypoint, static_argnames="epsilon")
by_others = jax.jit(
    adversarial.ground_false_by_others, static_argnames=("sigma", "strict_positive", "clip")
)
by_area = jax.jit(adversarial.ground_false_by_area, static_argnames=("sigma", "low", "high"))
to_truth, to_false = jax.jit(adversarial.minimum_disparity), jax.jit(adversarial.maximum_disparity)
# what float32 holds as it is; other numbers are told to six digits
EXACT = {"rtol": 1e-7, "atol": 0}


def one_map(rows):
    """A single map (1, h, w, 1) from nested lists."""
    return jnp.asarray(rows, jnp.float32)[None, :, :, None]


def bump(size, x, y, sigma, **options):
    return bumps(np.array([[x, y]], np.float32), (size, size), sigma, **options)[..., 0]


def peaks(size, *points):
    """Logits (1, size, size, K) that are zero but for `value` at (x, y), one (x, y, value) per
    channel.
    """
    logits = np.zeros((1, size, size, len(points)), np.float32)
    for channel, (x, y, value) in enumerate(points):
        logits[0, y, x, channel] = value
    return jnp.asarray(logits)


# Labels


def test_label_gaussian(close):
    labels = bump(64, 20, 30, 2.0)
    half = [0.011109, 0.043937, 0.135335, 0.324652, 0.606531, 0.882497, 1.0]
    close(labels[30, 14:27], half + half[-2::-1])
    close(labels[30, jnp.array([13, 27])], 0, atol=0)
    close(labels[24, 14], 0.000123410)


@pytest.mark.parametrize(
    ("x", "y", "total", "cells"),
    [(20, 30, 25.081291, 169), (0, 0, 9.024384, 49), (63, 5, 15.011335, 84)],
)
def test_label_gaussian_at_the_border(close, x, y, total, cells):
    labels = bump(64, x, y, 2.0)
    close(labels.sum(), total)
    close(jnp.count_nonzero(labels), cells)
    # Label gaussian of the fast generator
    labels = bump(64, 20, 30, 2.0, window=None, cutoff=0.01)
    close(labels.sum(), 24.848388)
    close(jnp.count_nonzero(labels), 113)


def test_encoder(close):
    points = jnp.array(
        [
            (100, 50),
            (101.9, 50),
            (102, 50),
            (-1.9, 10),
            (-2.1, 10),
            (-6.1, 10),
            (253.9, 3),
            (254, 3),
        ],
        jnp.float32,
    )
    sizes = {"image_size": (256, 256), "heatmap_size": (64, 64)}
    cells = keypoint_cells(points, **sizes)
    close(cells, [(25, 13), (25, 13), (26, 13), (0, 3), (0, 3), (-1, 3), (63, 1), (64, 1)], **EXACT)
    targets, weights = jax.jit(lambda p, v: gaussian_targets(p, v, sigma=2.0, **sizes))(
        points, jnp.ones(8)
    )
    close(weights, [1, 1, 1, 1, 1, 0, 1, 0], **EXACT)
    close(
        targets.sum((0, 1)),
        [25.081291, 25.081291, 25.081291, 14.472790, 14.472790, 0, 11.675459, 0],
    )


# The spatial KL loss


@pytest.mark.parametrize(
    ("logits", "target", "epsilon", "value"),
    [
        ([[0, 0], [0, 0]], [[1, 0], [0, 0]], 0.0, 1.386294),
        ([[0, 0], [0, 0]], [[1, 0], [0, 0]], 1e-7, 1.386289),
        ([[1, 2], [3, 4]], [[0.1, 0.2], [0.3, 0.4]], 0.0, 0.160335),
        ([[1, 2], [3, 4]], [[0.2, 0.4], [0.6, 0.8]], 0.0, 0.160335),
        ([[1, 2], [3, 4]], [[0, 0], [0, 0]], 1e-7, 0.553895),
    ],
)
def test_kl_of_four_cells(close, logits, target, epsilon, value):
    loss = kl(one_map(logits), one_map(target), jnp.ones((1, 1)), epsilon=epsilon)
    close(loss, value)
    # Kl gradient is softmax less target
    target = one_map([[0.1, 0.2], [0.3, 0.4]])
    gradient = jax.jit(jax.grad(heatmap_kl))(one_map([[1, 2], [3, 4]]), target, jnp.ones((1, 1)))
    close(gradient.ravel(), [-0.067941, -0.112856, -0.063117, 0.243914])
    close(
        spatial_softmax(one_map([[1, 2], [3, 4]])).ravel(), [0.032059, 0.087144, 0.236883, 0.643914]
    )
    # Kl of an empty target is exactly zero
    logits, empty = one_map([[1, 2], [3, 4]]), one_map([[0, 0], [0, 0]])
    value_and_gradient = jax.jit(jax.value_and_grad(heatmap_kl))
    for weight in (0.0, 1.0):
        value, gradient = value_and_gradient(logits, empty, jnp.full((1, 1), weight))
        close(value, 0, atol=0)
        close(gradient, 0, atol=0)


@pytest.mark.parametrize(
    ("scale", "epsilon", "value"),
    [(0.0, 0.0, 4.107828), (0.0, 1e-7, 4.107574), (10.0, 0.0, 1.890302), (1.0, 0.0, 3.614847)],
)
def test_kl_of_a_full_map(close, scale, epsilon, value):
    target = one_map(bump(64, 20, 30, 2.0))
    close(kl(scale * target, target, jnp.ones((1, 1)), epsilon=epsilon), value)


# Pseudo maps


@pytest.fixture(scope="module")
def small():
    main = peaks(16, (4, 5, 1.0), (6, 5, 2.0), (12, 12, 0.5))
    return main, by_others(main, sigma=1.0)


def test_pseudo_maps_small(close, small):
    main, maps = small
    close(maps.truth.sum((1, 2))[0], [6.279785] * 3)
    close(maps.false.sum((1, 2))[0], [12.559570, 12.559570, 12.075838])
    close(maps.false.max((1, 2))[0], [1, 1, 1], **EXACT)
    # Not zero at keypoint 0 itself, whose neighbour's Gaussian reaches it.
    close(
        maps.false[0, 5, 3:10, 0], [0.011109, 0.135335, 0.606531, 1, 0.606531, 0.135335, 0.011109]
    )
    close(
        maps.false[0, 5, 1:10, 2],
        [0.011109, 0.135335, 0.617640, 1, 1, 1, 0.617640, 0.135335, 0.011109],
    )
    unclipped = by_others(main, sigma=1.0, clip=False)
    close(unclipped.false[0, 5, 5, 2], 1.213061)


def test_disparities_small(close, small):
    main, maps = small
    uniform, weights = jnp.zeros_like(main), jnp.ones((1, 3))
    divergence = kl_per_keypoint(uniform, maps.false, weights, epsilon=adversarial.EPSILON)
    close(divergence[0], [2.018760, 2.018760, 2.344597])
    close(to_false(uniform, maps, weights), 2.127372)
    close(to_truth(uniform, maps, weights), 2.711874)


def test_pseudo_maps_full_size(close):
    main = peaks(64, (10, 10, 1.0), (14, 10, 1.0), (40, 20, 1.0), (63, 63, 1.0))
    maps, weights = by_others(main), jnp.ones((1, 4))
    close(maps.truth.sum((1, 2))[0], [25.081291, 25.081291, 25.081291, 9.024384])
    close(maps.false.sum((1, 2))[0], [59.186966, 59.186966, 57.878947, 73.935854])

    def divergence(logits, target):
        return kl_per_keypoint(logits, target, weights, epsilon=adversarial.EPSILON)[0]

    uniform, sharp = jnp.zeros_like(main), 8 * maps.truth
    close(divergence(uniform, maps.false), [3.274215, 3.274215, 3.556994, 3.230104])
    close(divergence(uniform, maps.truth), [4.107574, 4.107574, 4.107574, 5.293702])
    close(divergence(sharp, maps.false), [3.955253, 3.955253, 4.862155, 4.160851])
    close(divergence(sharp, maps.truth), [1.404617, 1.404617, 1.404617, 1.646815])
    # Ground false of a single keypoint is uniform
    maps, weights = by_others(peaks(16, (4, 5, 1.0)), sigma=1.0), jnp.ones((1, 1))
    close(maps.false, 0, atol=0)
    close(to_false(jnp.zeros((1, 16, 16, 1)), maps, weights), 0, atol=1e-6)
    close(to_false(5 * maps.truth, maps, weights), 0.571415)


def test_ground_false_by_area(close):
    maps = by_area(peaks(64, (30, 20, 1.0)), sigma=2.0, low=16, high=47)
    false = maps.false[0, :, :, 0]
    close(false.sum(), 25658.160525)
    close(
        [false[20, 30], false[20, 31], false[40, 40], false[16, 16]],
        [23.805614, 23.923117, 25.081291, 9.024384],
    )
    normalised = false / false.sum()
    close([normalised[20, 30], normalised[40, 40]], [9.277989e-4, 9.775171e-4], rtol=1e-5, atol=0)
    close(false[9, 30], 0, atol=0)
    close(to_false(jnp.zeros((1, 64, 64, 1)), maps, jnp.ones((1, 1))), 1.164390)


# Decoding and metrics


@pytest.mark.parametrize(
    ("rows", "strict_positive", "point", "score"),
    [
        ([[0, 3, 1], [3, 2, 0]], True, (1, 0), 3),
        ([[0, 0], [0, -1]], True, (0, 0), 0),
        ([[-3, -1], [-2, -5]], True, (0, 0), -1),
        ([[-3, -1], [-2, -5]], False, (1, 0), -1),
    ],
)
def test_decode(close, rows, strict_positive, point, score):
    points, scores = decode_argmax(one_map(rows), strict_positive=strict_positive)
    close(points[0, 0], point, **EXACT)
    close(scores[0, 0], score, **EXACT)
    # Pseudo map of a map without a positive logit stands at the origin
    maps = by_others(one_map([[-3, -1], [-2, -5]]), sigma=1.0)
    close(maps.truth[0, 0, 0, 0], 1, **EXACT)
    maps = by_others(one_map([[-3, -1], [-2, -5]]), sigma=1.0, strict_positive=False)
    close(maps.truth[0, 0, 1, 0], 1, **EXACT)


def test_pck(close):
    true = np.array([[(30, 30), (30, 30), (1, 40)], [(30, 30), (30, 30), (40, 1)]], np.float32)
    predicted = np.array([[(33, 30), (32, 33), (1, 40)], [(33, 31), (30, 30), (40, 1)]], np.float32)
    close(
        np.linalg.norm(predicted - true, axis=-1)[:, :2] / 6.4,
        [(0.468750, 0.563367), (0.494106, 0)],
        rtol=1e-7,
        atol=1e-6,
    )
    close(cell_accuracy(predicted, true, map_size=64), [1, 0.5, -1], **EXACT)
    together = pck_global(predicted, true, map_size=64)
    assert together.overall == 0.75
    close(together.per_keypoint, [1, 0.5, np.nan], **EXACT)
    close(together.count, [2, 2, 0], **EXACT)
    grouped = pck_batchwise(
        predicted, true, map_size=64, groups={"all": (0, 1, 2), "first": (0,)}, batch_size=2
    )
    close([grouped["all"], grouped["first"]], [0.166667, 1], rtol=1e-7, atol=1e-6)

    blank = true.copy()
    blank[0, 1] = 0
    close(cell_accuracy(predicted, blank, map_size=64), [1, 1, -1], **EXACT)
    beyond = true.copy()
    beyond[1, 0] = (64, 40)  # no cell of the map
    close(cell_accuracy(beyond, beyond, map_size=64), [1, 1, -1], **EXACT)
    beyond[0, 0] = (64, 40)
    close(cell_accuracy(beyond, beyond, map_size=64), [-1, 1, -1], **EXACT)
    four_away = true + np.array([4, 0], np.float32)
    close(cell_accuracy(four_away, true, map_size=64), [0, 0, -1], **EXACT)


def test_pck_batchwise_weighs_batches_by_their_size(close):
    true = np.full((3, 1, 2), 30, np.float32)
    predicted = true + np.array([0, 0, 9], np.float32)[:, None, None]
    grouped = pck_batchwise(predicted, true, map_size=64, groups={"all": (0,)}, batch_size=2)
    close(grouped["all"], (1.0 * 2 + 0.0 * 1) / 3, **EXACT)


def test_mae(close):
    predicted = np.array([[(20, 31)], [(47, 16)]], np.float32)
    true = np.array([[(18, 31)], [(46, 20)]], np.float32)
    errors = mae(predicted, true, np.ones((2, 1), np.float32), unit=31.0)
    close(
        [error.overall for error in errors],
        [0.048387, 0.064516, 0.056452, 0.112903],
        rtol=1e-7,
        atol=1e-6,
    )


# Coefficients and the optimizer


def test_warm_start(close):
    steps = jnp.array([0, 1, 100, 500, 1000, 5000, 15000], jnp.float32)
    values = jax.vmap(losses.warm_start)(steps)
    close(
        values,
        [0, 0.000050, 0.004996, 0.024492, 0.046212, 0.098661, 0.100000],
        rtol=1e-7,
        atol=6e-7,
    )
    close(values[0], 0, atol=0)
    reversal = jax.vmap(lambda step: losses.warm_start(step, high=1.0))(steps[3:6])
    close(reversal, [0.244919, 0.462117, 0.986614], rtol=1e-7, atol=1e-6)


def test_learning_rates_of_the_published_setting(close):
    from experiments.regda import PRESETS  # only here: the other cases need no experiment

    config = PRESETS["rhd_h3d"]
    steps = jnp.array([0, 500, 4999, 14999], jnp.float32)
    rates = config.optimizer.adaptation_rates(config.steps)
    close(
        jax.vmap(rates["features"])(steps),
        [0.010000, 0.009641, 0.007378, 0.005030],
        rtol=1e-7,
        atol=1e-6,
    )
    for head in ("head", "adversary"):
        close(
            jax.vmap(rates[head])(steps), [0.10000, 0.09641, 0.07378, 0.05030], rtol=1e-7, atol=1e-5
        )

    pretraining = config.optimizer.supervised_rates(70 * 500)
    epochs = 500 * jnp.array([0, 43, 44, 58, 59, 69], jnp.float32)
    for name, factor in [("upsampling", 1.0), ("head", 1.0), ("backbone", 0.1)]:
        rates = jnp.array([pretraining[name](epoch) for epoch in epochs])
        close(rates, factor * np.array([0.1, 0.1, 0.01, 0.01, 0.001, 0.001]), rtol=1e-5, atol=0)
    assert config.pretraining_steps == 70 * 500


def test_sgd_and_baselines(close):
    optimizer = optax.chain(optax.add_decayed_weights(1e-4), optax.trace(0.9, nesterov=True))
    params = {"theta": jnp.float32(1)}
    state = optimizer.init(params)
    for step, (theta, buffer) in enumerate([(0.904981, 0.500100), (0.769456, 0.950180)]):
        params, state = descend(
            optimizer, {"theta": jnp.float32(0.5)}, state, params, lambda _: 0.1, jnp.int32(step)
        )
        close(params["theta"], theta)
        close(state[1].trace["theta"], buffer, rtol=1e-7, atol=2e-6)
    # Baselines
    close(
        heatmap_mse(one_map([[0.5, 0], [0, 0.25]]), one_map([[1, 0], [0, 0]]), jnp.ones((1, 1))),
        0.0390625,
        **EXACT,
    )
    close(domain_distances.domain_confusion(jnp.array([0.8, 0.6]), jnp.array([0.3, 0.5])), 0.445948)
    close(
        domain_distances.softmax_discrepancy(one_map([[0, 0], [0, 0]]), one_map([[1, 2], [3, 4]])),
        0.196957,
    )
    # The codec of the paper reads its own labels
    paper = codec(image_size=256, heatmap_size=64, sigma=2.0)
    cells = peaks(64, (25, 13, 1.0))
    close(paper.decode(cells)[0][0, 0], (100, 52), **EXACT)  # cell * 4, without half a cell


# The geometry of the official code


@pytest.mark.parametrize(
    ("size", "resized", "corner", "moved"),
    [
        ((110, 182), (154, 256), (51, 0), (121.329670, 84.395604)),
        ((182, 110), (256, 154), (0, 51), (70.329670, 135.395604)),
    ],
)
def test_lsp_is_padded_to_a_square(size, resized, corner, moved):
    assert boxes.pad_to_square_fit(*size, 256) == boxes.Fit(*resized, *corner)
    point = boxes.move_points(boxes.pad_to_square_map(*size, 256), np.array([[50, 60]]))
    np.testing.assert_allclose(point, [moved], atol=2e-5)


@pytest.mark.parametrize(
    ("degrees", "moved"),
    [(30, (176.353829, 67.751289)), (90, (100, 56)), (-45, (198.710678, 159.112698))],
)
def test_rotation_about_the_middle(degrees, moved):
    """Positive angles turn counter-clockwise on the screen; y points down."""
    turned = jax.jit(
        lambda angle: geometry.move_points(
            geometry.rotation(angle, (128, 128)), np.float32([[200, 100]])
        )
    )
    np.testing.assert_allclose(turned(-np.radians(degrees, dtype=np.float32)), [moved], atol=5e-5)


@pytest.mark.parametrize(
    ("box", "size", "square"),
    [
        (
            (40, 50, 60, 80),
            (320, 320),
            (28, 42, 72, 86),
        ),  # side 45; 27.5 and 42.5 go to the even side
        ((40, 50, 60, 79), (320, 320), (28, 42, 71, 85)),  # side 43.5 goes to 44
        ((0, 0, 20, 10), (320, 240), (0, 0, 29, 29)),
        ((300, 200, 319, 239), (320, 240), (262, 182, 319, 239)),  # side 58.5 goes to 58
        ((0, 0, 300, 200), (320, 240), (30, 0, 269, 239)),
    ],
)
def test_square_boxes(box, size, square):
    """1.5 times the longer side, halves to even, shifted inside the image, never larger than it."""
    np.testing.assert_array_equal(boxes.square_box(box, *size), square)
