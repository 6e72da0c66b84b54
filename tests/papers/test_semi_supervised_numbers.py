"""Semi-supervised keypoint localization (Moskvyak et al. 2021): numbers of an independent float64
program.

Maps are indexed [row, column], points are (x, y).
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from untrained import count, shapes

from kpjax import geometry, heatmaps
from kpjax.evaluation.metrics import head_size, pckh
from kpjax.images import boxes
from kpjax.input.source import arrays, labelled_subset
from kpjax.losses.consistency import (
    semantic_representation,
    transformation_equivariance,
    transformation_invariance,
)
from kpjax.losses.heatmap import heatmap_mse
from kpjax.losses.objective import replaced, total
from kpjax.methods.semi_supervised_family.objectives import EQUATION_5, semi_supervised_objective
from kpjax.methods.semi_supervised_family.semantic_features import initial_semantic
from kpjax.models.high_resolution import hrnet
from kpjax.papers.reports.report import Summary
from kpjax.structures import Skeleton

OFFICIAL = heatmaps.codec(image_size=256, heatmap_size=64, sigma=2.0, keep="window")


def target(*points):
    """(maps (64, 64, K), weights (K,)) of joints in a 256 px image."""
    maps, weights = heatmaps.gaussian_targets(
        jnp.array([points], jnp.float32),
        jnp.ones((1, len(points))),
        image_size=(256, 256),
        heatmap_size=(64, 64),
        sigma=2.0,
        keep="window",
    )
    return maps[0], weights[0]


def one_map(rows):
    return jnp.asarray(rows, jnp.float32)[None, :, :, None]


# Targets


def test_n1_target(close):
    maps, weights = target((101.3, 57.8))
    close(weights, [1])
    maps = maps[..., 0]
    close(
        [maps[14, 25], maps[14, 26], maps[20, 31], maps[20, 25], maps[14, 32]],
        [1, 0.882497, 0.000123410, 0.011109, 0],
    )
    close([maps.sum(), (maps**2).sum()], [25.081291, 12.566301])
    close(
        heatmap_mse(jnp.zeros((1, 64, 64, 1)), one_map(maps), jnp.ones((1, 1)), half=False),
        0.00306794,
    )
    # N2 target at the border
    maps, weights = target((2, 255))
    maps = maps[..., 0]
    close(weights, [1])
    close(jnp.count_nonzero(maps), 48)
    close(
        [maps.sum(), maps[63, 1], maps[63, 0], maps.max()], [7.788901, 0.882497, 0.778801, 0.882497]
    )
    # N3 joints outside
    maps, weights = target(*((x, 100) for x in (-26, -30, -34, 277.9, 278)))
    close(weights, [1, 1, 0, 1, 0])
    close(maps.sum((0, 1)), [0.055635, 0, 0, 0.055635, 0])


# Decoding


def decoded(decoder, *cells, size=8, background=0.0):
    maps = np.full((1, size, size, 1), background, np.float32)
    for row, column, value in cells:
        maps[0, row, column, 0] = value
    points, scores = decoder(jnp.asarray(maps), strict_positive=True)
    return jnp.append(points[0, 0], scores[0, 0])


def test_n4_decoding(close):
    plain, quarter = (
        heatmaps.decode_argmax,
        functools.partial(heatmaps.decode_quarter_offset, official=True),
    )
    first = [(3, 4, 0.9), (3, 5, 0.5), (3, 3, 0.2), (2, 4, 0.6), (4, 4, 0.1)]
    close(decoded(plain, *first), [4, 3, 0.9])
    close(decoded(quarter, *first), [4.25, 2.75, 0.9])
    for decoder in (plain, quarter):
        close(decoded(decoder, (1, 4, 0.7), (1, 5, 0.4))[:2], [4, 1])
        close(decoded(decoder, background=-1.0), [0, 0, -1])
    close(decoded(plain, (2, 6, 0.5), (5, 2, 0.5))[:2], [6, 2])
    # N18 soft argmax
    points, _ = heatmaps.decode_soft_argmax(one_map([[0, 1], [2, 3]]))
    close(points[0, 0], [0.731059, 0.880797])
    # N19 dark
    bump = heatmaps.gaussian_bumps(jnp.array([[[10.3, 7.6]]]), (20, 20), 2.0, window=None)
    close(heatmaps.decode_argmax(bump)[0][0, 0], [10, 8])
    close(heatmaps.decode_dark(bump, blur=False)[0][0, 0], [10.3, 7.6], atol=1e-4)
    close(heatmaps.decode_quarter_offset(bump)[0][0, 0], [10.25, 7.75])


# Geometry


def test_n5_crop_of_a_person(close):
    crop = boxes.person_map((300, 200), 200 * 1.6, 256, degrees=30)
    close(crop[:2], [[0.692820, 0.4, -159.846097], [-0.4, 0.692820, 109.435935]], atol=1e-5)
    close(boxes.move_points(crop, np.array([[340, 150]]))[0], [135.712813, 77.358984])
    to_map = boxes.person_map((300, 200), 200 * 1.6, 64)
    close(boxes.move_points(np.linalg.inv(to_map), np.array([[20.25, 33.75]]))[0], [241.25, 208.75])


def test_n9_bilinear_warp(close):
    images = one_map(np.arange(16).reshape(4, 4))
    moved = jax.jit(geometry.warp)(images, geometry.translation(0.5, -1))
    close(
        moved[0, ..., 0],
        [[2, 4.5, 5.5, 6.5], [4, 8.5, 9.5, 10.5], [6, 12.5, 13.5, 14.5], [0, 0, 0, 0]],
    )
    # N12 homography
    side = 256
    corners = np.array([(0, 0), (0, side), (side, side), (side, 0)], np.float32)
    moved = np.array([(10, 20), (-5, side - 15), (side - 30, side + 8), (side - 12, 4)], np.float32)
    maps = geometry.homography(corners, moved)
    close(
        maps,
        [[0.770985, -0.058619, 10], [-0.064846, 0.864495, 20], [-0.000586, 0.000005, 1]],
        atol=2e-5,
    )
    close(geometry.move_points(maps, jnp.array([[101.3, 57.8]]))[0], [90.034491, 67.381890])
    small = geometry.conjugate(maps, OFFICIAL.to_heatmap)
    close(
        small,
        [[0.770985, -0.058619, 2.5], [-0.064846, 0.864495, 5], [-0.002346, 0.000020, 1]],
        atol=2e-5,
    )
    close(geometry.move_points(small, jnp.array([[25.325, 14.45]]))[0], [22.508623, 16.845472])


# The terms


def test_n6_supervised(close):
    predicted = np.array(
        [[[0.1, 0.2, 0.3, 0.4], [0, 0.5, 0.5, 0]], [[0.2, 0.2, 0.2, 0.2], [1, 0, 0, 0]]], np.float32
    )
    true = np.array([[[0, 0, 0, 1], [0, 1, 0, 0]], [[0, 0, 1, 0], [0.5, 0, 0.5, 0]]], np.float32)
    predicted, true = (
        jnp.asarray(maps.transpose(0, 2, 1).reshape(2, 2, 2, 2)) for maps in (predicted, true)
    )
    weights = jnp.array([[1.0, 1], [0, 1]])
    close(heatmap_mse(predicted, true, weights, half=False), 0.093750)
    close(heatmap_mse(predicted, true, weights), 0.046875)
    # N7 representation
    features = np.array(
        [[1, -2, 3, 0.5], [-1, -4, -0.5, -2], [0.2, 0.4, 0.6, 0.8]], np.float32
    ).T.reshape(1, 2, 2, 3)
    masks = np.array([[0.1, 0.9, 0, 0.2], [0.5, 0.25, 1, 0]], np.float32).T.reshape(1, 2, 2, 2)
    close(
        semantic_representation(jnp.asarray(features), jnp.asarray(masks))[0],
        [[0.1, 0, 0.36], [3, 0, 0.6]],
    )


@pytest.mark.parametrize(
    ("maps", "of_heatmaps", "loss"),
    [
        (geometry.translation(2, 0), geometry.translation(1, 0), 0),
        (geometry.translation(1, 0), geometry.translation(0.5, 0), 0.028711),
        (
            np.array([[1.02, 0.05, 0.3], [-0.03, 0.97, 0.4], [0.004, -0.003, 1]]),
            np.array([[1.02, 0.05, 0.15], [-0.03, 0.97, 0.2], [0.008, -0.006, 1]]),
            0.00803293,
        ),
    ],
)
def test_n11_equivariance_of_pooling(close, maps, of_heatmaps, loss):
    image = one_map(((7 * np.arange(64)) % 11 / 10).reshape(8, 8))

    def pooled(image):
        return image.reshape(1, 4, 2, 4, 2, 1).mean((2, 4))

    maps, grid = jnp.asarray(maps, jnp.float32), geometry.index_grid(2)
    close(geometry.conjugate(maps, grid), of_heatmaps)

    @jax.jit
    def equivariance(image, maps):
        moved = geometry.warp_heatmaps(pooled(image), maps, grid)
        return transformation_equivariance(
            pooled(geometry.warp(image, maps)), moved, jnp.ones((1, 1))
        )

    close(equivariance(image, maps), loss)
    # N13 invariance
    z, moved = (
        jnp.array([[[0.9, 0, 0.18], [3, 0, 0.6]]]),
        jnp.array([[[0.7, 0.1, 0.18], [2.5, 0, 0.5]]]),
    )
    close(transformation_invariance(z, moved, jnp.ones((1, 2))), 0.31)
    close(transformation_invariance(z, moved, jnp.ones((1, 2)), reduction="mean"), 0.0516667)


def test_n16_total(close):
    values = {"supervised": 0.002, "semantic": 2.5, "equivariance": 0.001, "invariance": 0.01}
    fixed = {
        name: lambda outputs, examples, value=value: jnp.float32(value)
        for name, value in values.items()
    }
    close(
        total(replaced(semi_supervised_objective(OFFICIAL, **EQUATION_5), **fixed), {}, {})[0], 4.35
    )


# Measures and subsets


def test_n15_pckh(close):
    head = head_size(np.array([(100, 100, 160, 180), (50, 60, 80, 100)], np.float64))
    close(head, [60, 30])
    true, away = np.zeros((2, 3, 2)), np.array([[20, 31, 29.9], [15, 16, 3]])
    found = pckh(np.stack([away, np.zeros((2, 3))], -1), true, np.ones((2, 3)), head)
    close(100 * found.pooled, 66.666667)
    close(found.per_keypoint, [1, 0, 1])


def test_n17_spread(close):
    """Tables divide by n - 1; the paper's deviations are smaller by sqrt(2 / 3) if they divide by
    n.
    """
    summary = Summary((66.0, 67.5, 68.1))
    close(
        [summary.mean, summary.deviation, summary.deviation * (2 / 3) ** 0.5],
        [67.2, 1.081665, 0.883176],
    )


def test_n20_labelled_subset():
    source = arrays(
        np.zeros((20, 4, 4, 3), np.uint8),
        np.zeros((20, 1, 2), np.float32),
        np.ones((20, 1), np.float32),
        Skeleton(("point",)),
        "twenty",
    )
    chosen = [list(labelled_subset(source, count=4, seed=seed).labelled) for seed in range(3)]
    assert chosen == [[4, 19, 6, 2], [1, 10, 18, 16], [6, 18, 7, 10]]
    assert list(labelled_subset(source, share=0.2, seed=0).labelled) == chosen[0]


# Networks


def test_n21_counts():
    """F reads 352 channels of HRNet-W32, however deep, and 22,592 parameters turn them into 64.

    HRNet's own 28,536,080 in 878 tensors are counted in tests/models.
    """
    model = hrnet(16, width=32, modules=(1, 1, 1), blocks=1)
    beside = jax.eval_shape(
        lambda given: initial_semantic(
            model, jax.random.key(0), given, jnp.zeros((1, 32, 32, 3)), 64
        ),
        shapes(model),
    )
    assert beside["features"]["kernel"].shape == (352, 64)
    assert {name: count(tree) for name, tree in beside.items()} == {
        "features": 22_592,
        "classifier": 65 * 16,
    }
