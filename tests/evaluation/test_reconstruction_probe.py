"""Images from coordinates alone."""
import jax
import numpy as np
import pytest

from kpjax.evaluation.probes.reconstruction import (
    CoordinatePainter,
    doublings_to,
    psnr,
    reconstruction_errors,
    train_painter,
)
from kpjax.evaluation.probes.splits import minibatches, random_halves, standardised


@pytest.fixture(scope="module")
def dots():
    """128 images of 16 px with one dot, and where it is."""
    generator = np.random.default_rng(0)
    points = generator.uniform(2, 13, (128, 1, 2))
    grid = np.arange(16)
    down, across = (np.exp(-np.square(grid - points[:, :, axis]) / 8) for axis in (1, 0))
    images = (255 * down[:, :, None, None] * across[:, None, :, None] * [1.0, 0.5, 0.2]).astype(np.uint8)
    return points, images


@pytest.fixture(scope="module")
def painted(dots):
    points, images = dots
    split = random_halves(128, 0)
    painter = train_painter(points, images, split.fit, hidden=32, widths=(16, 16, 8), steps=150, batch_size=16,
                            learning_rate=3e-3)
    return painter, split


def test_coordinates_paint_far_better_than_the_mean_image(dots, painted):
    points, images = dots
    painter, split = painted
    found = reconstruction_errors(painter, points, images, split)
    assert found.mse < 0.4 * found.mean_image_mse
    assert found.psnr > found.mean_image_psnr + 3
    mean = images[split.fit].mean(0) / 255
    assert found.mean_image_mse == pytest.approx(np.square(mean - images[split.test] / 255).mean(), rel=1e-4)
    moved = reconstruction_errors(painter, np.roll(points, 1, axis=0), images, split)
    assert moved.mse > found.mean_image_mse


def test_images_come_in_parts_and_in_order(dots, painted):
    points, _ = dots
    painter, _ = painted
    parts = list(painter(points[:10], at_once=4))
    assert [len(part) for part in parts] == [4, 4, 2]
    whole = next(painter(points[:10], at_once=10))
    np.testing.assert_allclose(np.concatenate(parts), whole, atol=1e-5)
    assert whole.min() >= 0
    assert whole.max() <= 1


@pytest.mark.parametrize(("size", "doublings"), [((64, 64), 4), ((96, 64), 4), ((96, 96), 4), ((128, 128), 5),
                                                  ((4, 8), 0)])
def test_a_painter_fits_the_size_of_its_images(size, doublings):
    assert doublings_to(size) == doublings
    network = CoordinatePainter(size, hidden=8, widths=(8,) * (doublings + 1))
    shape = jax.eval_shape(lambda key: network.init_with_output(key, np.zeros((2, 6), np.float32))[0],
                           jax.random.key(0))
    assert shape.shape == (2, *size, 3)
    assert shape.dtype == np.float32


def test_signal_to_noise():
    np.testing.assert_allclose(psnr([1, 0.01, 0]), [0, 20, 100], atol=1e-9)


def test_minibatches_read_every_example_once_a_pass():
    order = minibatches(10, 4, 5, 0)
    assert order.shape == (5, 4)
    for start in (0, 10):
        assert sorted(order.reshape(-1)[start:start + 10]) == list(range(10))
    assert minibatches(3, 8, 1, 0).shape == (1, 8)
    centre, spread = standardised(np.array([[0.0, 5, 1], [2, 5, 1 + 1e-9]]))
    np.testing.assert_allclose(centre, [1, 5, 1])
    np.testing.assert_allclose(spread, [1, 1e-3, 1e-3])
