"""What is left of an image when only its local contrast is kept."""
import numpy as np

from kpjax.images.transforms import Letterbox, LocalContrast, local_contrast
from kpjax.input.source import arrays, with_local_contrast
from kpjax.structures import Skeleton


def stripes(side=32, brightness=1.0):
    """Fine stripes of weak contrast on the left and strong contrast on the right, darker towards the bottom."""
    y, x = np.mgrid[:side, :side]
    pattern = np.where(x // 2 % 2 == 0, 1, -1) * np.where(x < side // 2, 0.1, 0.3)
    grey = brightness * (0.5 + pattern) * (1 - 0.5 * y / side)
    return np.repeat((255 * np.clip(grey, 0, 1)).astype(np.uint8)[..., None], 3, axis=-1)


def test_light_and_strength_of_contrast_are_gone():
    plain, darker = local_contrast(stripes()), local_contrast(stripes(brightness=0.5))
    assert plain.shape == (32, 32, 3)
    assert plain.dtype == np.uint8
    assert np.abs(plain.astype(int) - darker).max() <= 3
    image = plain[..., 0].astype(float)
    assert abs(image[:16].mean() - image[16:].mean()) < 4
    weak, strong = image[4:-4, 2:10].std(), image[4:-4, 22:30].std()
    original = stripes()[..., 0].astype(float)
    assert strong / weak < 0.85 * original[4:-4, 22:30].std() / original[4:-4, 2:10].std()


def test_colour_is_gone_and_an_even_image_is_grey():
    assert (local_contrast(np.full((8, 8, 3), (200, 30, 90), np.uint8)) == 127).all()
    coloured = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    assert np.ptp(local_contrast(coloured).astype(int), axis=-1).max() == 0


def test_a_transform_and_a_source_keep_their_points():
    points, visible = np.array([[3.0, 5.0]], np.float32), np.ones(1, np.float32)
    plain = Letterbox(16)(stripes(), points, visible, np.float32(4))
    changed = LocalContrast(Letterbox(16))(stripes(), points, visible, np.float32(4))
    np.testing.assert_array_equal(changed[0], local_contrast(plain[0]))
    for before, after in zip(plain[1:], changed[1:], strict=True):
        np.testing.assert_array_equal(before, after)
    source = arrays(np.stack([stripes(), stripes(brightness=0.7)]), np.tile(points, (2, 1, 1)), np.ones((2, 1)),
                    Skeleton(("nose",)), "stripes")
    found = with_local_contrast(source)
    np.testing.assert_array_equal(found[1].image, local_contrast(source[1].image))
    np.testing.assert_array_equal(found[1].keypoints, source[1].keypoints)
    assert found.digest != source.digest
