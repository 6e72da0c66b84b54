"""Heatmaps: rendering against a plain numpy renderer, decoders against their theory, codecs against
themselves.
"""

import functools

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest

from kpjax import heatmaps
from kpjax.errors import InputError
from kpjax.structures import Example

close = np.testing.assert_allclose
dark = jax.jit(heatmaps.decode_dark, static_argnames="blur")
bumps = jax.jit(heatmaps.gaussian_bumps, static_argnums=(1, 2), static_argnames="window")
targets_of = jax.jit(
    heatmaps.gaussian_targets, static_argnames=("image_size", "heatmap_size", "sigma", "keep")
)


def rendered(centres, size, sigma, reach):
    """A renderer with loops: exp(-r^2 / 2 sigma^2) where both distances to the nearest cell are
    within reach.
    """
    height, width = size
    out = np.zeros((height, width, len(centres)))
    for k, (x, y) in enumerate(centres):
        near_x, near_y = np.floor(x + 0.5), np.floor(y + 0.5)
        for j in range(height):
            for i in range(width):
                if abs(i - near_x) <= reach and abs(j - near_y) <= reach:
                    out[j, i, k] = np.exp(-((i - x) ** 2 + (j - y) ** 2) / (2 * sigma**2))
    return out


def examples(keypoints, visible=None, side=64):
    """A batch of one."""
    keypoints = jnp.asarray(keypoints, jnp.float32)[None]
    visible = (
        jnp.ones(keypoints.shape[:-1])
        if visible is None
        else jnp.asarray(visible, jnp.float32)[None]
    )
    return Example(
        jnp.zeros((1, side, side, 3)),
        keypoints,
        visible,
        jnp.ones(1),
        jnp.eye(3)[None],
        jnp.zeros(1, int),
    )


def one_map(rows):
    return jnp.asarray(np.asarray(rows, np.float32)[None, :, :, None])


# Rendering


@pytest.mark.parametrize("window", [3.0, None])
def test_bumps_equal_a_plain_renderer(window):
    centres = np.array([(3.0, 4.0), (5.3, 2.6), (0.0, 9.0), (-2.0, 3.0), (40.0, 40.0)], np.float32)
    drawn = bumps(centres, (10, 12), 1.0, window=window)
    assert (drawn.shape, drawn.dtype) == ((10, 12, 5), jnp.float32)
    close(drawn, rendered(centres, (10, 12), 1.0, np.inf if window is None else 3.0), atol=1e-6)


def test_targets_are_empty_and_weightless_where_nothing_is_labelled():
    keypoints = jnp.array([(20.0, 20.0), (jnp.nan, jnp.inf), (-30.0, 5.0), (500.0, 5.0)])
    visible = jnp.array([1.0, 0.0, 1.0, 1.0])
    targets, weights = targets_of(
        keypoints, visible, image_size=(64, 64), heatmap_size=(16, 16), sigma=1.0
    )
    close(weights, [1, 0, 0, 0])
    assert not np.any(targets[..., 1:])
    assert targets[5, 5, 0] == 1


# Decoding


# of a frame of 13 cells
PLACES = np.stack(np.meshgrid(*[np.arange(-0.5, 12.51, 0.25)] * 2), -1).reshape(1, -1, 2)


@pytest.mark.parametrize(
    ("decode", "largest"),
    [
        (heatmaps.decode_dark, 0.01),
        (functools.partial(heatmaps.decode_dark, blur=False), 1e-3),
        (functools.partial(heatmaps.decode_dark, sigma=1.0), 0.02),
        (functools.partial(heatmaps.decode_dark, sigma=2.5), 0.02),
        (heatmaps.decode_quarter_offset, 0.251),
    ],
)
def test_every_place_of_the_frame_is_found(decode, largest):
    """Also within half a cell of the border, and for maps of another sigma than DARK is told."""
    drawn = bumps(jnp.asarray(PLACES, jnp.float32), (13, 13), 1.5, window=None)
    assert np.abs(jax.jit(decode)(drawn)[0] - PLACES).max() <= largest


def test_the_official_quarter_offset_takes_no_step_at_the_border():
    drawn = bumps(
        jnp.array([[[1.2, 5.3], [2.2, 5.3], [5.3, 11.8], [5.3, 12.1]]]), (13, 13), 1.5, window=None
    )
    found, _ = heatmaps.decode_quarter_offset(drawn, official=True)
    close(found[0], [(1, 5), (2.25, 5.25), (5, 12), (5, 12)])
    # values are compared as they are
    close(heatmaps.decode_quarter_offset(drawn - 2, official=True)[0], found)


def test_decoders_stay_at_the_maximum_where_a_step_has_no_meaning():
    flat = np.ones((1, 20, 20, 1), np.float32)
    for drawn in (flat, -flat, 0.3 * flat):
        close(dark(jnp.asarray(drawn), blur=True)[0][0, 0], (0, 0))
        close(jax.jit(heatmaps.decode_quarter_offset)(drawn)[0][0, 0], (0, 0))
    flat[0, 19, 19] = 2
    assert np.abs(dark(flat, blur=True)[0] - 19).max() <= 0.5  # a spike in the corner


def test_the_step_of_dark_is_bounded():
    """A slope across the maximum with hardly a curvature: the step of the official code leaves the
    map.
    """
    along = np.full(20, 0.5)
    along[7:12] = 0.9995, 0.9, 1.0, 0.999, 0.9995
    across = np.exp(-np.square(np.arange(20) - 9.0) / 8)
    flat = one_map(across[:, None] * along)
    close(dark(flat, blur=False)[0][0, 0], (10, 9), atol=1e-5)


def test_dark_blurs_as_opencv():
    """The kernel of 11 cells for sigma 2 that OpenCV derives, on a map that is no Gaussian."""
    rows, columns = np.mgrid[:16, :16]
    map_ = np.exp(-((columns - 8.0) ** 2 + 0.5 * (rows - 8.0) ** 2) / 9) + 0.02 * np.cos(
        rows * columns
    )
    kernel = np.exp(-(np.arange(-5, 6) ** 2) / 8)
    kernel /= kernel.sum()
    blurred = map_
    for axis in (0, 1):
        blurred = np.apply_along_axis(np.convolve, axis, blurred, kernel, "same")
    assert blurred.argmax() == map_.argmax()
    expected, _ = dark(one_map(blurred), blur=False)
    found, scores = dark(one_map(map_), blur=True)
    close(found, expected, atol=1e-4)
    close(scores[0, 0], map_.max(), atol=1e-6)
    assert np.abs(found - dark(one_map(map_), blur=False)[0]).max() > 0.01


DECODERS = [
    heatmaps.decode_argmax,
    heatmaps.decode_quarter_offset,
    heatmaps.decode_dark,
    heatmaps.decode_soft_argmax,
]


@pytest.mark.parametrize("decode", DECODERS)
def test_decoders_work_on_each_map_alone_and_in_float32(decode):
    points = jnp.array([[(3.0, 5.0), (7.0, 4.0)], [(6.0, 2.0), (2.0, 8.0)]])
    drawn = 20 * bumps(points, (11, 9), 1.0)
    found, scores = jax.jit(decode)(drawn.astype(jnp.bfloat16))
    assert found.dtype == scores.dtype == jnp.float32
    assert (found.shape, scores.shape) == ((2, 2, 2), (2, 2))
    alone, _ = jax.jit(decode)(drawn[1:, :, :, :1].astype(jnp.bfloat16))
    close(found[1, 0], alone[0, 0], atol=1e-5)
    close(found, points, atol=0.3)


# Round trips


KEYPOINTS = np.random.default_rng(0).uniform(-0.5, 61.5, (40, 2))  # those that both grids have


@pytest.mark.parametrize("grid", ["index", "half_pixel"])
@pytest.mark.parametrize(
    ("decoder", "rounded", "bound"),
    [
        (heatmaps.decode_argmax, True, 2.0),  # half a cell of 4 pixels
        (heatmaps.decode_argmax, False, 2.0),
        # within half a cell, the quarter leaves a quarter
        (heatmaps.decode_quarter_offset, False, 1.0),
        (functools.partial(heatmaps.decode_dark, blur=False), False, 1e-2),
        (functools.partial(heatmaps.decode_soft_argmax, temperature=0.02), False, 2.0),
    ],
)
def test_round_trip_within_the_theoretical_error(grid, decoder, rounded, bound):
    made = heatmaps.codec(
        image_size=64, heatmap_size=16, sigma=1.0, grid=grid, decoder=decoder, rounded=rounded
    )

    @jax.jit
    def round_trip(example):
        targets, weights = made.encode(example)
        return made.decode(targets)[0], weights

    found, weights = round_trip(examples(KEYPOINTS))
    assert (weights == 1).all()
    assert np.abs(found[0] - KEYPOINTS).max() <= bound * (1 + 1e-5)


def test_the_two_grids_differ_by_what_they_say():
    index = heatmaps.codec(image_size=64, heatmap_size=16, sigma=1.0)
    half_pixel = heatmaps.codec(image_size=64, heatmap_size=16, sigma=1.0, grid="half_pixel")
    cell = jnp.zeros((1, 16, 16, 1)).at[0, 5, 3, 0].set(1.0)
    close(index.decode(cell)[0][0, 0], (12, 20))
    close(half_pixel.decode(cell)[0][0, 0], (13.5, 21.5), rtol=1e-6)


@pytest.mark.parametrize(
    ("sizes", "words"),
    [
        (
            {"image_size": 32, "heatmap_size": 5},
            r"heatmap_size: \(5, 5\) does not divide an image of \(32, 32\)",
        ),
        ({"image_size": 16, "heatmap_size": 0}, "heatmap_size"),
        ({"image_size": (32, 32), "heatmap_size": (8, 16)}, "strides 4 and 2"),
        (
            {"image_size": 32, "heatmap_size": 8, "sigma": 0.0},
            r"sigma: 0\.0; give a positive number",
        ),
    ],
)
def test_impossible_sizes_and_unknown_names_are_refused(sizes, words, monkeypatch):
    # refuses them before, in tests
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(InputError, match=words):
        heatmaps.codec(**{"sigma": 1.0} | sizes).encode(examples(KEYPOINTS))


def test_a_keypoint_that_is_absent_has_an_empty_map_that_counts():
    targets, weights = heatmaps.gaussian_targets(
        jnp.full((3, 2), 8.0),
        jnp.array([1.0, 0.0, -1.0]),
        image_size=(32, 32),
        heatmap_size=(8, 8),
        sigma=1.0,
    )
    np.testing.assert_array_equal(weights, [1, 0, 1])
    np.testing.assert_array_equal(np.asarray(targets).max((0, 1)), [1, 0, 0])
