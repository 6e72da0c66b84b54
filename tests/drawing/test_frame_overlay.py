"""Points drawn fast land where they belong, and points that are not there leave no trace."""
import numpy as np

from kpjax.drawing.overlays import draw_on_frame, keypoint_colours
from kpjax.structures import Skeleton

SKELETON = Skeleton(("a", "b", "c"), ((0, 1), (1, 2)))


def test_points_lines_and_opacity():
    image = np.full((60, 80, 3), 128, np.uint8)
    points = np.array([[[10, 20], [60, 20], [30, 50]], [[40, 5], [np.nan, np.nan], [1e9, 3]]])
    drawn = draw_on_frame(image, points, np.array([[1, 1, 0], [1, 1, 1.0]]), SKELETON)
    assert drawn.shape == image.shape
    assert drawn.dtype == np.uint8
    colours = keypoint_colours(3)
    for x, y, k in ((10, 20, 0), (60, 20, 1), (40, 5, 0)):
        np.testing.assert_array_equal(drawn[y, x], colours[k])
    assert (drawn[20, 35] != 128).any()  # the line from a to b
    assert (drawn[50, 30] == 128).all()
    marked = np.argwhere((drawn[:, :8] != 128).any(-1) | (drawn[:, 72:] != 128).any(-1))
    assert (abs(marked[:, 0] - 20) < 8).all()
    nothing = draw_on_frame(image, points, np.zeros((2, 3)), SKELETON)
    np.testing.assert_array_equal(nothing, image)
    assert (draw_on_frame(image, points, np.zeros((2, 3)), SKELETON, caption="17") != image).any()


def test_a_disc_is_centred_on_its_point():
    image = np.zeros((41, 41, 3), np.uint8)
    drawn = draw_on_frame(image, np.array([[[20, 12]]]), np.ones((1, 1)), Skeleton(("a",)))
    y, x = np.argwhere(drawn.sum(-1) > 0).T
    assert (x.min() + x.max(), y.min() + y.max()) == (40, 24)
