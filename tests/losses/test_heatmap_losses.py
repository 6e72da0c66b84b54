"""Heatmap losses and that of several levels: rules written out, missing labels, shifts, the kernels
of targets.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kpjax.losses import heatmap

close = np.testing.assert_allclose
kl = jax.jit(heatmap.heatmap_kl, static_argnames="epsilon")


@pytest.fixture(scope="module")
def batch():
    keys = jax.random.split(jax.random.key(0), 2)
    logits = 3 * jax.random.normal(keys[0], (2, 5, 4, 3))
    targets = jnp.maximum(jax.random.normal(keys[1], (2, 5, 4, 3)), 0.0)
    weights = jnp.array([[1.0, 0.0, 0.5], [1.0, 1.0, 1.0]])
    return logits, targets.at[1, :, :, 2].set(0.0), weights


def plain_kl(logits, targets, weights, epsilon):
    """Keypoint by keypoint, in float64."""
    logits, targets = np.asarray(logits, np.float64), np.asarray(targets, np.float64)
    out = np.zeros(weights.shape)
    for b in range(out.shape[0]):
        for k in range(out.shape[1]):
            mass = targets[b, :, :, k] + epsilon
            if weights[b, k] == 0 or mass.sum() == 0:
                continue
            q = np.exp(logits[b, :, :, k]) / np.exp(logits[b, :, :, k]).sum()
            p = mass / mass.sum()
            out[b, k] = weights[b, k] * (p[p > 0] * np.log(p[p > 0] / q[p > 0])).sum()
    return out


@pytest.mark.parametrize("epsilon", [0.0, 1e-7, 0.1])
def test_kl_equals_a_plain_one(batch, epsilon):
    found = jax.jit(heatmap.heatmap_kl_per_keypoint, static_argnames="epsilon")(
        *batch, epsilon=epsilon
    )
    expected = plain_kl(*batch, epsilon)
    close(found, expected, rtol=1e-5, atol=1e-6)
    close(kl(*batch, epsilon=epsilon), expected.mean(), rtol=1e-5)


def test_kl_is_shift_invariant_and_finite_for_extreme_logits(batch):
    logits, targets, weights = batch
    close(kl(logits + 100, targets, weights), kl(logits, targets, weights), rtol=1e-5)
    value, gradient = jax.jit(jax.value_and_grad(heatmap.heatmap_kl))(
        1e4 * logits, targets, weights
    )
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()


# Several levels

loss = jax.jit(heatmap.coarse_to_fine, static_argnames=("levels", "hardest"))


@pytest.fixture(scope="module")
def levels_of_maps():
    """Heatmaps of two stages of two levels, three targets, and two images with a label missing in
    one.
    """
    generator = np.random.default_rng(0)
    maps = generator.normal(size=(7, 2, 5, 4, 3)).astype(np.float32)
    weights = np.array([[1, 0, 1], [1, 1, 1]], np.float32)
    targets = maps[4:] * weights[None, :, None, None]
    return tuple(map(jnp.asarray, maps[:4])), tuple(map(jnp.asarray, targets)), jnp.asarray(weights)


def plain(heatmaps, targets, weights, hardest):
    """The rule, image by image, for two stages of two levels."""
    total = 0.0
    for number, (map_, target) in enumerate(
        zip(heatmaps, [targets[i] for i in (0, 1, 1, 2)], strict=True)
    ):
        for image in range(len(map_)):
            errors = np.array(
                [np.mean((map_[image, ..., k] - target[image, ..., k]) ** 2) for k in range(3)]
            )
            if number % 2 == 0:
                total += (errors * weights[image]).mean() / 4 / len(map_)
            else:
                total += np.sort(errors * weights[image])[-hardest:].mean() / len(map_)
    return total


@pytest.mark.parametrize("hardest", [1, 2, 3])
def test_it_is_the_rule(levels_of_maps, hardest):
    found = loss(*levels_of_maps, levels=2, hardest=hardest)
    np.testing.assert_allclose(found, plain(*levels_of_maps, hardest), rtol=1e-5)
    np.testing.assert_allclose(
        loss(*levels_of_maps, levels=2, hardest=8), plain(*levels_of_maps, 3), rtol=1e-5
    )


def test_targets_are_the_kernels_of_opencv():
    """Their sigmas; small kernels there have rounded tables.

    The last cell inside of each kernel is not empty.
    """
    np.testing.assert_allclose(
        [heatmap.kernel_sigma(kernel) for kernel in heatmap.KERNELS],
        [2.6, 2.0, 1.7, 1.4, 1.1],
        rtol=1e-12,
    )
    keypoints = np.array([[[80, 81], [500, 4]]], np.float32)
    targets, weights = jax.jit(
        lambda points: heatmap.coarse_to_fine_targets(
            points, jnp.ones((1, 2)), image_size=(160, 160), heatmap_size=(40, 40)
        )
    )(keypoints)
    assert [map_.shape for map_ in targets] == 5 * [(1, 40, 40, 2)]
    np.testing.assert_array_equal(weights, [[1, 0]])
    for kernel, map_ in zip(heatmap.KERNELS, np.asarray(targets), strict=True):
        assert np.all(map_[..., 1] == 0)
        row = map_[0, 20, :, 0]
        assert np.flatnonzero(row).tolist() == list(range(20 - kernel // 2, 21 + kernel // 2))
        offsets = np.arange(kernel) - kernel // 2
        np.testing.assert_allclose(
            row[row > 0], np.exp(-(offsets**2) / (2 * heatmap.kernel_sigma(kernel) ** 2)), rtol=1e-5
        )
    tables = {5: np.array([1, 4, 6, 4, 1]) / 6, 7: np.array([2, 7, 14, 18, 14, 7, 2]) / 18}
    for kernel, map_ in zip((7, 5), np.asarray(targets[-2:]), strict=True):
        row = map_[0, 20, :, 0]
        np.testing.assert_allclose(row[row > 0], tables[kernel], atol=0.031)


def test_levels_and_stages(levels_of_maps):
    """A plain network is one stage of one level; whatever makes no whole stages is refused."""
    heatmaps, targets, weights = levels_of_maps
    finest = loss(heatmaps[-1:], targets[-1:], weights, levels=1)
    np.testing.assert_allclose(
        finest, heatmap.hardest_keypoints_mse(heatmaps[-1], targets[-1], weights), rtol=1e-6
    )
    alike = loss(heatmaps, targets[1:], weights, levels=2, hardest=None)
    coarse, _, last_coarse, _ = squares = [
        (((heatmaps[i] - targets[1 + i % 2]) ** 2).mean((1, 2)) * weights).mean() for i in range(4)
    ]
    np.testing.assert_allclose(
        alike, squares[1] + squares[3] + (coarse + last_coarse) / 4, rtol=1e-5
    )
    for maps, wanted in ((heatmaps[:3], targets), (heatmaps, targets[:1]), ((), targets)):
        with pytest.raises(
            ValueError,
            match=f"{len(maps)} heatmaps and {len(wanted)} targets do not make stages of 2",
        ):
            heatmap.coarse_to_fine(maps, wanted, weights, levels=2)
