"""Heatmaps without a fault decode to the labels, in every preset that learns heatmaps from
labels."""

import importlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from data.dsprites import FACTORS
from experiments.images import open_domain
from kpjax import Example, Skeleton
from kpjax.heatmaps import keypoint_cells, named_decoder, score_kind, spatial_softmax
from kpjax.papers.regda.adversary import AREA
from kpjax.papers.regda.stages import setup_of

ONE = Skeleton(("point",), flip=(0,))
# The largest error of a coordinate in cells: half a cell of arg-max, a quarter after its offset;
# the rest interpolate.
LARGEST = {"argmax": 0.5, "quarter": 0.5, "dark": 0.06}
PRESETS = [
    (name, preset)
    for name in ("regda", "semi_supervised", "incremental")
    for preset in importlib.import_module(f"experiments.{name}").EXPERIMENT.presets
]


PROGRAMS = {}  # presets of equal heatmaps share one


def both_ways(logits, config):
    """(B, 1, 2) -> the targets of keypoints, their weights, what they decode to; logits are the
    targets' logarithms.
    """
    codec = setup_of(config, ONE).codec if logits else config.heatmaps.codec(config.data.image_size)
    side = config.data.image_size

    @jax.jit
    def program(keypoints):
        count = len(keypoints)
        maps, weights = codec.encode(
            Example(
                jnp.zeros((count, side, side, 3), jnp.uint8),
                keypoints,
                jnp.ones((count, 1)),
                jnp.ones(count),
                jnp.zeros((count, 3, 3)),
                jnp.arange(count),
            )
        )
        if logits and config.heatmaps.decoder == "dark":
            maps = jnp.log(maps + 1e-12)
        return maps, weights, codec.decode(maps)[0]

    return program


def decoded(name, config, keypoints):
    """Returns what the targets of keypoints (B, 1, 2) decode to."""
    logits = name == "regda"
    alike = logits, config.heatmaps, config.data.image_size
    if alike not in PROGRAMS:
        PROGRAMS[alike] = both_ways(logits, config)
    maps, weights, found = PROGRAMS[alike](jnp.asarray(keypoints, jnp.float32))
    assert np.asarray(weights).all()
    if logits and config.heatmaps.decoder == "dark":
        np.testing.assert_allclose(spatial_softmax(maps).sum((1, 2)), 1, rtol=1e-5)
    return np.asarray(found)


@pytest.mark.parametrize(("name", "preset"), PRESETS)
def test_perfect_heatmaps_decode_to_the_labels(name, preset):
    config = importlib.import_module(f"experiments.{name}").EXPERIMENT.presets[preset]
    side, stride = config.data.image_size, config.data.image_size / config.heatmaps.heatmap_size
    points = (
        np.random.default_rng(0).uniform(0.25 * side, 0.75 * side, (256, 1, 2)).astype(np.float32)
    )
    error = decoded(name, config, points) - points
    assert abs(error).max() <= LARGEST[config.heatmaps.decoder] * stride + 1e-3
    # no shift: deviation of a mean of 256 is 0.02
    assert abs(error.mean((0, 1))).max() <= 0.06 * stride


@pytest.mark.parametrize(
    ("preset", "largest"), [("dsprites_noisy_scream", 0.0), ("dsprites_small_noisy_scream", 0.5)]
)
def test_perfect_heatmaps_of_sprites_leave_their_quantisation(preset, largest):
    """At the paper's size every position has a cell of its own; at the small one every second
    has."""
    config = importlib.import_module("experiments.regda").PRESETS[preset]
    source = open_domain(
        config.data.target, side=config.data.image_size, seed=0, data_dir=None, train=1, test=200
    )
    points = np.stack([source.test[number].keypoints for number in range(200)])
    error = abs(decoded("regda", config, points) - points)
    np.testing.assert_allclose(error, largest, atol=1e-4)
    cells = keypoint_cells(
        jnp.asarray(points),
        image_size=(config.data.image_size,) * 2,
        heatmap_size=(config.heatmaps.heatmap_size,) * 2,
        grid=config.heatmaps.grid,
    )
    low, high = (cell * config.heatmaps.heatmap_size / 64 for cell in AREA)
    assert cells.min() >= low
    assert cells.max() < high
    assert error.mean((0, 1)).sum() / config.mae_unit == pytest.approx(2 * largest / 31, abs=1e-5)


def test_sprites_are_tested_on_all_shapes_and_scales_and_domains_share_no_order():
    noisy, scream, other = (
        open_domain(f"sprites:{which}", side=64, seed=seed, data_dir=None, train=400, test=400)
        for which, seed in (("noisy", 0), ("scream", 0), ("noisy", 1))
    )
    for images in (noisy.train, noisy.test, scream.train, scream.test):
        shape, scale, turn, x, y = np.unravel_index(images.source.numbers[images.numbers], FACTORS)
        assert np.bincount(shape, minlength=3).min() > 90
        assert np.bincount(scale, minlength=6).min() > 35
        assert len(np.unique(turn)) == 40
        assert len(np.unique(x)) == len(np.unique(y)) == 32
    for one, two in (
        (noisy.train, scream.train),
        (noisy.test, scream.test),
        (noisy.test, other.test),
    ):
        assert (
            np.mean([np.array_equal(one[n].keypoints, two[n].keypoints) for n in range(100)]) < 0.05
        )


@pytest.mark.parametrize(
    ("name", "logits", "expected"),
    [
        ("dark", True, "softmax_peak"),
        ("dark", False, "mse_peak"),
        ("argmax", True, "logit_peak"),
        ("quarter", False, "mse_peak"),
        ("quarter", True, "softmax_peak"),
    ],
)
def test_scores_are_what_their_kind_says(name, logits, expected):
    """Of a map with one sharp peak of height 8: its probability, its height, or the logit as it
    is."""
    heatmaps = jnp.zeros((1, 9, 9, 1)).at[0, 4, 5, 0].set(8.0)
    assert score_kind(name, logits=logits) == expected
    found = float(jax.jit(named_decoder(name, sigma=1.0, logits=logits))(heatmaps)[1][0, 0])
    # DARK blurs the map before it looks, and gives the height of the map as it was.
    assert (found < 1) == (expected == "softmax_peak")
