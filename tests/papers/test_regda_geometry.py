"""RegDA (Jiang et al. 2021): the geometry of its official code, in numbers."""
import jax
import numpy as np
import pytest

from kpjax import geometry
from kpjax.images import boxes


@pytest.mark.parametrize(("size", "resized", "corner", "moved"), [
    ((110, 182), (154, 256), (51, 0), (121.329670, 84.395604)),
    ((182, 110), (256, 154), (0, 51), (70.329670, 135.395604))])
def test_lsp_is_padded_to_a_square(size, resized, corner, moved):
    assert boxes.pad_to_square_fit(*size, 256) == boxes.Fit(*resized, *corner)
    point = boxes.move_points(boxes.pad_to_square_map(*size, 256), np.array([[50, 60]]))
    np.testing.assert_allclose(point, [moved], atol=2e-5)


@pytest.mark.parametrize(("degrees", "moved"), [
    (30, (176.353829, 67.751289)), (90, (100, 56)), (-45, (198.710678, 159.112698))])
def test_rotation_about_the_middle(degrees, moved):
    """Positive angles turn counter-clockwise on the screen; y points down."""
    turned = jax.jit(lambda angle: geometry.move_points(geometry.rotation(angle, (128, 128)), np.float32([[200, 100]])))
    np.testing.assert_allclose(turned(-np.radians(degrees, dtype=np.float32)), [moved], atol=5e-5)


@pytest.mark.parametrize(("box", "size", "square"), [
    ((40, 50, 60, 80), (320, 320), (28, 42, 72, 86)),  # side 45; 27.5 and 42.5 go to the even side
    ((40, 50, 60, 79), (320, 320), (28, 42, 71, 85)),  # side 43.5 goes to 44
    ((0, 0, 20, 10), (320, 240), (0, 0, 29, 29)),
    ((300, 200, 319, 239), (320, 240), (262, 182, 319, 239)),  # side 58.5 goes to 58
    ((0, 0, 300, 200), (320, 240), (30, 0, 269, 239))])
def test_square_boxes(box, size, square):
    """1.5 times the longer side, halves to even, shifted inside the image, never larger than it."""
    np.testing.assert_array_equal(boxes.square_box(box, *size), square)
