"""ViT: its maps for images of any size, and its position embeddings."""
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from untrained import drawn, shapes

from kpjax.models.vision_transformer import resize_positions, vit

FULL = {"width": 8, "depth": 2, "heads": 2, "upsampling_width": 4, "registers": 4, "layer_scale": True}


@pytest.fixture(scope="module")
def variables():
    return drawn(shapes(vit(3, **FULL)))


@pytest.fixture(scope="module")
def images():
    """Of another grid than that of `variables`."""
    return np.random.default_rng(1).normal(size=(2, 32, 64, 3)).astype(np.float32)


def test_images_of_any_size_and_any_precision(variables, images):
    """Position embeddings are resized inside, training changes nothing in the trunk, bfloat16 stays near float32."""
    exact, rounded = vit(3, **FULL), vit(3, **FULL, dtype=jnp.bfloat16)
    assert jax.tree.map(jnp.shape, shapes(rounded)) == jax.tree.map(jnp.shape, variables)
    # Of square images, embeddings that were resized before give what the network resizes itself.
    square = np.concatenate([images, images], axis=1)
    larger = jax.tree.map(lambda leaf: leaf, variables)
    larger["params"]["backbone"]["pos_embed"] = resize_positions(
        jnp.asarray(variables["params"]["backbone"]["pos_embed"]), (4, 4), before=0)

    @jax.jit
    def run(variables, larger):
        def maps(model, variables, images, train=False):
            return model.apply(variables, images, train, method="backbone_features")

        return ([maps(exact, variables, images), maps(exact, variables, images, True), maps(rounded, variables, images),
                 maps(exact, variables, square), maps(exact, larger, square)],
                [network.apply(variables, images, False) for network in (exact, rounded)])

    (found, trained, low, resized, resized_before), heatmaps = run(variables, larger)
    assert [map_.shape for map_ in found] == 2 * [(2, 2, 4, 8)]
    for one, other in zip(found + resized, trained + resized_before, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)
    for one, other in zip(found, low, strict=True):
        assert other.dtype == jnp.bfloat16
        assert 0 < np.abs(one - other.astype(jnp.float32)).max() < 0.05 * np.abs(one).max()
    assert [(each.shape, each.dtype) for each in heatmaps] == 2 * [((2, 8, 16, 3), jnp.float32)]
    assert np.abs(heatmaps[0] - heatmaps[1]).max() < 0.1 * np.abs(heatmaps[0]).max()


def test_it_starts_near_zero():
    """A fresh network's heatmaps are small, and its blocks nearly pass their input on. It has no statistics."""
    network = vit(3, **FULL)
    heatmaps, fresh = jax.jit(
        lambda key: network.init_with_output(key, jnp.ones((2, 32, 32, 3)), False))(jax.random.key(0))
    assert np.abs(heatmaps).max() < 1e-2
    assert float(fresh["params"]["backbone"]["blocks_1"]["ls2"]["gamma"][0]) == pytest.approx(1e-5)
    assert "batch_stats" not in shapes(network.backbone)


# Position embeddings

@pytest.mark.parametrize("grid", [(7, 7), (3, 9), (2, 2), (1, 12)])
def test_resizing_keeps_constants_order_and_what_comes_before(grid):
    """Channel 0 is constant, and 1 and 2 grow along the rows and the columns of a grid of 4 x 4."""
    rows, columns = np.mgrid[:4, :4].reshape(2, 1, 16, 1)
    patches = np.concatenate([np.full((1, 16, 1), 0.7), rows, columns], -1)
    embeddings = np.concatenate([np.full((1, 1, 3), 9.0), patches], 1).astype(np.float32)
    resized = resize_positions(embeddings, grid, before=1)
    np.testing.assert_array_equal(resized[:, :1], embeddings[:, :1])
    constant, down, right = np.moveaxis(np.asarray(resized[0, 1:]).reshape(*grid, 3), -1, 0)
    np.testing.assert_allclose(constant, 0.7, rtol=1e-6)
    for ramp in (down, right.T):
        assert np.all(np.diff(ramp, axis=0) > 0)
        np.testing.assert_allclose(ramp[0] + ramp[-1], 3, atol=1e-5)
        np.testing.assert_allclose(ramp, ramp[:, :1] + np.zeros_like(ramp), atol=1e-5)
