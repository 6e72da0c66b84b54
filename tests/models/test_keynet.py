"""The bottleneck of keypoints and the generator around it.

Numbers are in tests/papers/test_pyramids_numbers.py.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kpjax.models import image_generation
from kpjax.models.layers import GroupNorm

close = functools.partial(np.testing.assert_allclose, atol=2e-6, rtol=2e-6)


def test_the_corners_of_a_map_that_is_not_square_are_at_one():
    heatmaps = jnp.zeros((1, 5, 9, 2)).at[0, 0, 0, 0].set(1e4).at[0, 4, 8, 1].set(1e4)
    close(image_generation.normalised_points(heatmaps)[0], [[-1, -1], [1, 1]])


def test_imm_has_its_sizes():
    generator = image_generation.image_generator()
    images, points = (
        jax.ShapeDtypeStruct((2, 128, 128, 3), jnp.float32),
        jax.ShapeDtypeStruct((2, 10, 2), jnp.float32),
    )
    painted, variables = jax.eval_shape(
        lambda x, p: generator.init_with_output(jax.random.key(0), x, p, train=False),
        images,
        points,
    )
    assert (painted.shape, painted.dtype) == ((2, 128, 128, 3), jnp.float32)
    kernels = {
        part: [
            layer["kernel"].shape
            for name, layer in sorted(layers.items(), key=lambda item: len(item[0]))
            if name.startswith("conv")
        ]
        for part, layers in variables["params"].items()
    }
    assert kernels["encoder"] == [
        (7, 7, 3, 32),
        (3, 3, 32, 32),
        (3, 3, 32, 64),
        (3, 3, 64, 64),
        (3, 3, 64, 128),
        (3, 3, 128, 128),
        (3, 3, 128, 256),
        (3, 3, 256, 256),
    ]
    assert kernels["renderer"] == [
        (3, 3, 266, 256),
        (3, 3, 256, 256),
        (3, 3, 256, 128),
        (3, 3, 128, 128),
        (3, 3, 128, 64),
        (3, 3, 64, 64),
        (3, 3, 64, 32),
    ]
    # The image encoder of Keypoint Pyramids is the same, one width shorter.
    features = jax.eval_shape(
        lambda x: image_generation.ImageEncoder((32, 64, 128)).init_with_output(
            jax.random.key(0), x, train=False
        )[0],
        images,
    )
    assert features.shape == (2, 32, 32, 128)


@pytest.mark.parametrize(
    ("side", "scales"), [(8, 1), (16, 1), (31, 1), (32, 2), (64, 3), (96, 3), (128, 4), (256, 4)]
)
def test_small_images_keep_enough_cells_for_the_blobs(side, scales):
    assert image_generation.image_generator_for(side).encoder.widths == (32, 64, 128, 256)[:scales]


def test_images_are_painted_in_float32_around_a_computation_in_bfloat16():
    generator = image_generation.image_generator(
        (4, 8), normalization=functools.partial(GroupNorm, groups=2), dtype=jnp.bfloat16
    )
    painted, variables = jax.eval_shape(
        lambda key: generator.init_with_output(
            key, jnp.zeros((2, 8, 12, 3)), jnp.zeros((2, 3, 2)), train=True
        ),
        jax.random.key(0),
    )
    assert painted.shape == (2, 8, 12, 3)
    assert {leaf.dtype for leaf in jax.tree.leaves((painted, variables))} == {
        jnp.dtype(jnp.float32)
    }
