"""Labelled points outside the crop: what training shows of them, and how they count."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kpjax import geometry
from kpjax.augment import move_example
from kpjax.heatmaps import codec
from kpjax.images import boxes
from kpjax.images.transforms import PersonCrop, Stretch
from kpjax.input.source import stack_examples
from kpjax.papers.keypoint_errors import keypoint_errors
from kpjax.structures import Example, Skeleton
from kpjax.training.evaluation import Gathered

# (x, y) in an image of 256 px -> sum of RegDA's target of 64 px, 0 where the point does not train
REGDA = {
    (100, 50): 25.081291,
    (-1.9, 10): 14.472790,
    (-2.1, 10): 14.472790,
    (-5.9, 10): 14.472790,
    (-6.1, 10): 0,
    (253.9, 3): 11.675459,
    (254, 3): 0,
}
# (x, y) -> weight and sum of HRNet's target: it trains what its window of 13 cells shows of it
HRNET = {
    (-26, 100): (1, 0.055635),
    (-30, 100): (1, 0),
    (-34, 100): (0, 0),
    (277.9, 100): (1, 0.055635),
    (278, 100): (0, 0),
}
regda_codec = codec(image_size=256, heatmap_size=64, sigma=2.0)
hrnet_codec = codec(image_size=256, heatmap_size=64, sigma=2.0, keep="window")


def placed(points, transform, to_image, box=None) -> Example:
    """A batch of one image whose square shows `points` (K, 2); to_image: pixels of the square -> of
    the image.
    """
    there = boxes.move_points(to_image, np.asarray(points, np.float32))
    made = transform(
        np.zeros((600, 600, 3), np.uint8),
        there,
        np.ones(len(there), np.float32),
        np.float32(100),
        box,
    )
    example = stack_examples([Example(*made, np.int32(0))])
    return jax.tree.map(jnp.asarray, example._replace(image=example.image.astype(np.float32)))


def stretched(points) -> Example:
    scale = 600 / 256
    return placed(
        points,
        Stretch(256),
        np.array([[scale, 0, scale / 2 - 0.5], [0, scale, scale / 2 - 0.5], [0, 0, 1]]),
    )


def around_person(points) -> Example:
    # a square of 256 px
    return placed(
        points,
        PersonCrop(256),
        np.array([[1, 0, 172], [0, 1, 172], [0, 0, 1]]),
        np.array([300 - 102.4, 300 - 102.4, 204.8, 204.8]),
    )


def test_what_is_trained_of_points_outside(close):
    """Of an example that an augmentation by a shift brings there."""
    for place, shift, codec_, table in (
        (
            stretched,
            (-10, 4),
            regda_codec,
            {point: (total > 0, total) for point, total in REGDA.items()},
        ),
        (around_person, (-4, 4), hrnet_codec, HRNET),
    ):
        points = np.array(list(table), np.float32)
        example = place(points - shift)
        example = move_example(
            example, geometry.translation(*map(float, shift))[None], example.image
        )
        close(example.keypoints[0], points, atol=1e-3)
        targets, weights = codec_.encode(example)
        close(weights[0], [weight for weight, _ in table.values()])
        close(targets.sum((1, 2))[0], [total for _, total in table.values()], rtol=1e-5, atol=1e-7)


def test_a_joint_outside_the_crop_is_a_miss():
    """The official script counts it, whatever is predicted inside the crop."""
    example = around_person([(128, 128), (200, 60), (128, 300)])
    assert example.visible.all()
    assert example.keypoints[0, 2, 1] > 255.5
    example = jax.tree.map(np.asarray, example)
    best = np.clip(example.keypoints, 0, 255)  # what a network can predict at best
    found = Gathered(
        best,
        np.ones((1, 3)),
        np.zeros(1, np.int32),
        example.keypoints,
        example.visible,
        np.array([60.0]),
        example.crop,
    )
    values = keypoint_errors(
        found, Skeleton(("a", "b", "c")), "test", threshold=0.5, pooled=True, details=True
    )
    assert values["test/pck"] == pytest.approx(2 / 3)
    assert values["test/pck/c"] == 0
    assert values["test/distance"] == pytest.approx(45 / 3, abs=1e-3)
