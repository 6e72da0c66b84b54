"""Labelled points outside the crop: what training shows of them, and how they count."""
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kpjax import geometry
from kpjax.augment import move_example
from kpjax.heatmaps import codec
from kpjax.images.transforms import PersonCrop, Stretch
from kpjax.input.source import stacked
from kpjax.structures import Example, Skeleton
from kpjax.systems.keypoint_errors import keypoint_errors
from kpjax.training.evaluation import Gathered

# (x, y) in an image of 256 px -> sum of RegDA's target of 64 px, 0 where the point does not train
REGDA = {(100, 50): 25.081291, (-1.9, 10): 14.472790, (-2.1, 10): 14.472790, (-5.9, 10): 14.472790, (-6.1, 10): 0,
         (253.9, 3): 11.675459, (254, 3): 0}
# (x, y) -> weight and sum of HRNet's target: it trains what its window of 13 cells shows of it
HRNET = {(-26, 100): (1, 0.055635), (-30, 100): (1, 0), (-34, 100): (0, 0), (277.9, 100): (1, 0.055635),
         (278, 100): (0, 0)}
regda_codec = codec(image_size=256, heatmap_size=64, sigma=2.0)
hrnet_codec = codec(image_size=256, heatmap_size=64, sigma=2.0, keep="window")


def placed(points, transform, to_image, box=None) -> Example:
    """A batch of one image whose square shows `points` (K, 2); to_image: pixels of the square -> of the image."""
    there = np.asarray(geometry.move_points(to_image, jnp.asarray(points, jnp.float32)))
    made = transform(np.zeros((600, 600, 3), np.uint8), there, np.ones(len(there), np.float32), np.float32(100), box)
    example = stacked([Example(*made, np.int32(0))])
    return jax.tree.map(jnp.asarray, example._replace(image=example.image.astype(np.float32)))


def stretched(points) -> Example:
    return placed(points, Stretch(256), geometry.invert(geometry.half_pixel_grid(600 / 256)))


def around_person(points) -> Example:
    return placed(points, PersonCrop(256), geometry.affine(1, 0, 0, 1, shift=(172, 172)),  # a square of 256 px
                  np.array([300 - 102.4, 300 - 102.4, 204.8, 204.8]))


def shifted(place, points, shift):
    """The example whose augmentation by a shift brings its points to these places."""
    example = place(geometry.move_points(geometry.invert(shift[0]), points))
    return jax.jit(lambda one: move_example(one, shift, one.image))(example)  # the image itself is not looked at


def test_what_regda_trains_of_points_outside():
    points = np.array(list(REGDA), np.float32)
    example = shifted(stretched, points, geometry.translation(-10.0, 4.0)[None])
    np.testing.assert_allclose(example.keypoints[0], points, atol=1e-3)
    targets, weights = regda_codec.encode(example)
    np.testing.assert_allclose(targets.sum((1, 2))[0], list(REGDA.values()), rtol=1e-5)
    np.testing.assert_array_equal(weights[0], np.array(list(REGDA.values())) > 0)


def test_what_hrnet_trains_of_points_outside():
    points = np.array(list(HRNET), np.float32)
    example = shifted(around_person, points, geometry.translation(-4.0, 4.0)[None])
    np.testing.assert_allclose(example.keypoints[0], points, atol=1e-3)
    targets, weights = hrnet_codec.encode(example)
    np.testing.assert_array_equal(weights[0], [weight for weight, _ in HRNET.values()])
    np.testing.assert_allclose(targets.sum((1, 2))[0], [total for _, total in HRNET.values()], rtol=1e-4, atol=1e-7)


def test_a_joint_outside_the_crop_is_a_miss():
    """The official script counts it, whatever is predicted inside the crop."""
    example = around_person([(128, 128), (200, 60), (128, 300)])
    assert example.visible.all()
    assert not geometry.in_frame(example.keypoints, (256, 256))[0, 2]
    example = jax.tree.map(np.asarray, example)
    best = np.clip(example.keypoints, 0, 255)  # what a network can predict at best
    found = Gathered(best, np.ones((1, 3)), np.zeros(1, np.int32), example.keypoints, example.visible,
                     np.array([60.0]), example.crop)
    values = keypoint_errors(found, Skeleton(("a", "b", "c")), "test", threshold=0.5, strict=False, pooled=True,
                             details=True)
    assert values["test/pck"] == pytest.approx(2 / 3)
    assert values["test/pck/c"] == 0
    assert values["test/distance"] == pytest.approx(45 / 3, abs=1e-3)
