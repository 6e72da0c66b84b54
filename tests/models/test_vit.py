"""ViT: maps for images of any size, names of timm and DINOv2, files of other grids and patches,
PyTorch's same maps.
"""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from untrained import drawn, shapes, zeros

from kpjax.models.vision_transformer import LayerScale, VisionTransformer, resize_positions, vit
from kpjax.models.weights.torch_names import from_torch, to_torch
from kpjax.models.weights.vision_transformer import resize_patches

TRUNK = {"width": 8, "depth": 2, "heads": 2}
FULL = TRUNK | {"registers": 4, "layer_scale": True}


def test_position_embeddings_are_resized_inside():
    """Of square images, embeddings that were resized before give what the network resizes
    itself."""
    network = vit(3, upsampling_width=4, **FULL)
    variables = drawn(shapes(network))
    images = np.random.default_rng(1).normal(size=(2, 32, 64, 3)).astype(np.float32)
    square = np.concatenate([images, images], axis=1)
    larger = jax.tree.map(lambda leaf: leaf, variables)
    larger["params"]["backbone"]["pos_embed"] = np.asarray(
        resize_positions(
            jnp.asarray(variables["params"]["backbone"]["pos_embed"]), (4, 4), before=0
        )
    )

    @jax.jit
    def run(variables, larger):
        def maps(variables, images):
            return network.apply(variables, images, False, method="backbone_features")

        return maps(variables, images), maps(variables, square), maps(larger, square)

    found, resized, resized_before = run(variables, larger)
    assert [map_.shape for map_ in found] == 2 * [(2, 2, 4, 8)]
    for one, other in zip(resized, resized_before, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_it_starts_near_zero():
    """A fresh network's heatmaps are small, and its blocks nearly pass their input on.

    It has no statistics.
    """
    network = vit(3, upsampling_width=4, **FULL)
    heatmaps, _ = jax.jit(
        lambda key: network.head.init_with_output(key, jnp.ones((2, 8, 8, 4)), False)
    )(jax.random.key(0))
    assert np.abs(heatmaps).max() < 1e-2
    assert LayerScale().init(jax.random.key(0), jnp.ones((1, 1, 2)))["params"]["gamma"][
        0
    ] == pytest.approx(1e-5)
    assert "batch_stats" not in shapes(network.backbone)


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


@pytest.fixture(scope="module")
def trunk():
    """Variables of a trunk with all parts but a position embedding of the class token."""
    return drawn(shapes(VisionTransformer(**FULL)))


@pytest.fixture(scope="module")
def file(trunk):
    """As timm publishes it: the trunk, a classifier, and parts of other heads."""
    return to_torch(trunk) | {
        name: np.zeros(3, np.float32)
        for name in (
            "head.weight",
            "head.bias",
            "fc_norm.weight",
            "attn_pool.q.weight",
            "pre_logits.fc.bias",
        )
    }


@pytest.mark.parametrize("grid", [2, 3])
def test_a_class_token_carries_its_position_along(trunk, file, grid):
    """DINOv2's files with registers have one, networks with registers have none, and the reverse
    without registers.
    """
    network = VisionTransformer(**FULL)
    own = np.arange(8, dtype=np.float32).reshape(1, 1, 8)
    without = {name: tensor for name, tensor in file.items() if name != "reg_token"}
    official = without | {
        "register_tokens": file["reg_token"],
        "mask_token": np.zeros((1, 8)),
        "pos_embed": np.concatenate([own, file["pos_embed"]], 1),
    }
    plain, _ = from_torch(file, zeros(network, 16 * grid))
    read, report = from_torch(official, zeros(network, 16 * grid))
    np.testing.assert_allclose(
        read["params"].pop("cls_token"), plain["params"].pop("cls_token") + own
    )
    chex.assert_trees_all_equal(read, plain, strict=True)
    assert "mask_token" in report.skipped
    to_place, _ = from_torch(
        without, zeros(VisionTransformer(**TRUNK, layer_scale=True), 16 * grid)
    )
    np.testing.assert_array_equal(to_place["params"]["pos_embed"][:, :1], 0)
    np.testing.assert_array_equal(
        to_place["params"]["pos_embed"][:, 1:], plain["params"]["pos_embed"]
    )
    # also for images of another size
    assert plain["params"]["pos_embed"].shape == (1, grid * grid, 8)


@pytest.mark.parametrize("size", [(16, 16), (15, 20)])
def test_larger_patches_are_embedded_as_the_smaller_ones(size):
    generator = np.random.default_rng(0)
    kernel, patches = generator.normal(size=(4, 3, 14, 14)), generator.normal(size=(5, 3, 14, 14))
    larger = jax.image.resize(jnp.asarray(patches, jnp.float32), (5, 3, *size), "bicubic")
    np.testing.assert_allclose(
        np.einsum("oihw,bihw->bo", resize_patches(kernel, size), larger),
        np.einsum("oihw,bihw->bo", kernel, patches),
        atol=1e-3,
    )
    assert resize_patches(kernel, (14, 14)) is kernel


def test_files_of_smaller_patches_are_read(trunk, file):
    kernel = np.random.default_rng(0).normal(size=(8, 3, 14, 14)).astype(np.float32)
    read, _ = from_torch(
        file | {"patch_embed.proj.weight": kernel}, zeros(VisionTransformer(**FULL))
    )
    np.testing.assert_array_equal(
        read["params"]["patch_embed"]["proj"]["kernel"],
        resize_patches(kernel, (16, 16)).transpose(2, 3, 1, 0),
    )
