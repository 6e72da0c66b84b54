import numpy as np
import pytest
from PIL import Image

from kpjax.errors import InputError
from kpjax.images import boxes


def bump(width, height, x, y, sigma=4.0):
    rows, columns = np.mgrid[:height, :width]
    return Image.fromarray(np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * sigma**2)).astype(np.float32))


def centroid(image):
    values = np.asarray(image, np.float64)
    rows, columns = np.mgrid[: values.shape[0], : values.shape[1]]
    return np.array([[(values * columns).sum(), (values * rows).sum()]]) / values.sum()


def test_letterbox_says_where_pillow_puts_a_point():
    fit = boxes.letterbox_fit(161, 100, 64)
    assert fit == (64, 40, 0, 12)
    square = Image.new("F", (64, 64))
    square.paste(bump(161, 100, 100, 40).resize((fit.width, fit.height), Image.Resampling.BILINEAR),
                 (fit.left, fit.upper))
    moved = boxes.move_points(boxes.letterbox_map(161, 100, 64), np.array([[100, 40]]))
    np.testing.assert_allclose(centroid(square), moved, atol=0.02)
    np.testing.assert_allclose(moved, [[64 / 161 * 100.5 - 0.5, 0.4 * 40.5 - 0.5 + 12]], atol=1e-5)


def test_letterbox_rounds_and_keeps_thin_images():
    assert boxes.letterbox_fit(640, 480, 256) == (256, 192, 0, 32)
    assert boxes.letterbox_fit(110, 182, 256) == (155, 256, 50, 0)
    assert boxes.letterbox_fit(1000, 1, 32) == (32, 1, 0, 15)
    moved = boxes.move_points(boxes.letterbox_map(640, 480, 256), np.array([(0, 0), (639, 479), (100, 50)]))
    np.testing.assert_allclose(moved, [(-0.3, 31.7), (255.3, 223.3), (39.7, 51.7)], atol=1e-4)
    np.testing.assert_allclose(boxes.move_points(boxes.letterbox_map(640, 427, 256), np.zeros((1, 2))),
                               [(-0.3, 41.7002)], atol=1e-4)  # 427 px are rounded to 171


def test_stretch_says_where_pillow_puts_a_point():
    placed = bump(90, 60, 50, 20).resize((48, 48), Image.Resampling.BILINEAR)
    moved = boxes.move_points(boxes.stretch_map(90, 60, 48), np.array([[50, 20]]))
    np.testing.assert_allclose(centroid(placed), moved, atol=0.02)


def test_crop_says_where_pillow_puts_a_point_and_back():
    box = (20, 10, 80, 60)
    placed = bump(120, 90, 52, 33).crop(box).resize((48, 48), Image.Resampling.BILINEAR)
    map_ = boxes.crop_map(box, 48)
    moved = boxes.move_points(map_, np.array([[52, 33]]))
    np.testing.assert_allclose(centroid(placed), moved, atol=0.02)
    np.testing.assert_allclose(boxes.move_points(boxes.invert(map_), moved), [[52, 33]], atol=1e-4)
    assert map_.dtype == boxes.invert(map_).dtype == moved.dtype == np.float32
    np.testing.assert_allclose(boxes.move_points(boxes.crop_map(box, 48, grid="index"), np.array([[52, 33]])),
                               [[(52 - 20) * 48 / 60, (33 - 10) * 48 / 50]], atol=1e-5)


def test_tight_boxes():
    points = np.array([[3, 9], [7, 2], [-50, 99]], np.float32)
    np.testing.assert_array_equal(boxes.tight_box(points), [-50, 2, 7, 99])
    np.testing.assert_array_equal(boxes.tight_box(points, np.array([1, 1, 0])), [3, 2, 7, 9])
    with pytest.raises(InputError, match="none is visible"):
        boxes.tight_box(points, np.zeros(3))


def test_areas_of_inclusive_boxes():
    assert boxes.box_area(np.array([2, 3, 5, 3])) == 4
    np.testing.assert_array_equal(boxes.box_intersection([0, 0, 10, 10], [5, 6, 20, 8]), [5, 6, 10, 8])
    assert boxes.box_area(boxes.box_intersection([0, 0, 10, 10], [5, 6, 20, 8])) == 18
    assert boxes.box_area(boxes.box_intersection([0, 0, 3, 3], [5, 0, 9, 3])) == 0
