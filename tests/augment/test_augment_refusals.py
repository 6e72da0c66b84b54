"""Settings and images that make no sense, in one line."""
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kpjax.augment import Loaded, augmentations, random_maps
from kpjax.augment.occlusion import hide_boxes
from kpjax.errors import InputError
from kpjax.images.transforms import Stretch, enlarged
from kpjax.structures import Example, Skeleton

PLAIN = Skeleton(("a", "b"))
MIRRORED = Skeleton(("a", "b"), flip=(1, 0))


def applied(augment, shape=(2, 32, 32, 3), dtype=jnp.float32):
    """Augments black images."""
    return augment(jax.random.key(0), Example(jnp.zeros(shape, dtype), jnp.zeros((2, 1, 2)), jnp.ones((2, 1)),
                                              jnp.ones(2), jnp.tile(jnp.eye(3), (2, 1, 1)), jnp.arange(2)))


@pytest.mark.parametrize(("call", "words"), [
    (lambda: augmentations.random_flip(PLAIN), "no flip permutation"),
    (lambda: augmentations.colour_jitter(1.5), "strength is 1.5"),
    (lambda: augmentations.random_blur((-1.0, 0.5)), "deviation"),
    (lambda: random_maps.draw_rotation(float("nan")), "degrees is nan"),
    (lambda: random_maps.draw_square_crop((1.3, 0.6)), "smaller first"),
    (lambda: random_maps.draw_affine(scale=(0.0, 1.0)), "more than 0"),
    (lambda: random_maps.draw_homography(0.5), "variation is 0.5"),
    (lambda: hide_boxes(0), "count is 0"), (lambda: hide_boxes(half_sides=(3.0, 2.0)), "half_sides"),
    (lambda: enlarged(Stretch(64), field=1.5), "cannot be enlarged"),
    (lambda: applied(augmentations.random_warp(random_maps.draw_square_crop()), (2, 16, 32, 3)), "32 x 16"),
    (lambda: applied(augmentations.random_warp(loaded=Loaded(96, np.eye(3), 64))), "images loaded at 96 px")])
def test_refused(call, words):
    with pytest.raises(InputError, match=words):
        call()
