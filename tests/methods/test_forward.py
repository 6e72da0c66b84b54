"""What forward passes share."""
import jax.numpy as jnp
import numpy as np
import pytest

from kpjax.errors import InputError
from kpjax.methods.forward import deinterleave, imagenet_normalise, interleave, symmetric_normalise


def test_imagenet_statistics():
    images = jnp.asarray([[[[0.485, 0.456, 0.406], [0.714, 0.68, 0.631]]]])
    np.testing.assert_allclose(imagenet_normalise(images)[0, 0], [[0, 0, 0], [1, 1, 1]], atol=1e-6)


@pytest.mark.parametrize("normalise", [imagenet_normalise, symmetric_normalise])
def test_whole_numbers_are_not_normalised(normalise):
    with pytest.raises(InputError, match=r"images are uint8; .* divide by 255"):
        normalise(jnp.zeros((1, 4, 4, 3), jnp.uint8))


def test_interleaving_takes_rows_in_turn_and_is_undone():
    first, second = jnp.arange(6.0).reshape(3, 2), -jnp.arange(6.0).reshape(3, 2)
    both = interleave(first, second)
    np.testing.assert_array_equal(both[:2], [first[0], second[0]])
    for one, back in zip((first, second), deinterleave(both, 2), strict=True):
        np.testing.assert_array_equal(one, back)
