"""dSprites: numbers, variants and labels, and the split."""
import numpy as np
import pytest

from data.dsprites import (
    COUNT,
    FACTORS,
    VARIANTS,
    colour,
    dsprites,
    factors_of,
    noisy,
    rendered_mask,
    scream,
    split_numbers,
)


def number_of(shape, scale, orientation, x, y):
    """Returns the number of an image as published: the last factor varies fastest."""
    return (((shape * 6 + scale) * 40 + orientation) * 32 + x) * 32 + y


def test_the_last_factor_varies_fastest():
    assert number_of(2, 5, 39, 31, 31) == COUNT - 1
    for factors in ((2, 5, 39, 20, 21), (0, 0, 0, 0, 1), (1, 0, 0, 0, 0)):
        assert factors_of(number_of(*factors)) == factors


def test_the_variants_have_the_published_arithmetic():
    mask = np.array([[True, False]])
    np.testing.assert_allclose(noisy(mask, np.array([[[0.3], [0.7]]])), [[[1], [0.7]]])
    patch = np.broadcast_to([0.2, 0.6, 0.4], (1, 2, 3))
    np.testing.assert_allclose(scream(mask, patch, np.array([0.5, 0.1, 0.9])),
                               [[[0.65, 0.65, 0.35], [0.35, 0.35, 0.65]]])
    np.testing.assert_allclose(colour(mask, np.array([0.5, 0.6, 1])), [[[0.5, 0.6, 1], [0, 0, 0]]])


@pytest.mark.parametrize("shape", range(3))
@pytest.mark.parametrize("scale", [0, 5])
def test_rendered_sprites_are_centred_and_equally_large(shape, scale):
    areas = []
    for orientation in range(0, 40, 3):
        for x, y in ((0, 0), (31, 5), (12, 31)):
            mask = rendered_mask(number_of(shape, scale, orientation, x, y))
            down, across = np.nonzero(mask)
            np.testing.assert_allclose([across.mean(), down.mean()], [16 + x, 16 + y], atol=0.3)
            areas.append(mask.sum())
    assert len(set(areas[:3])) == 1  # none is cut off by the border
    assert np.mean(areas) == pytest.approx(302 * (0.5 + 0.1 * scale) ** 2, rel=0.05)


def test_an_image_depends_on_variant_number_and_seed_alone():
    images = {}
    for variant in VARIANTS:
        one, again, other = dsprites(variant, "test"), dsprites(variant, "test"), dsprites(variant, "test", seed=1)
        np.testing.assert_array_equal(one[17].image, again[17].image)
        assert (one[17].image != other[17].image).any()
        assert (one[17].image != one[18].image).any()
        images[variant] = one[17].image
    mask = rendered_mask(int(split_numbers("test")[17]))
    assert not images["colour"][~mask].any()
    assert images["colour"][mask].min() >= 127
    assert (images["noisy"][mask] == 255).all()
    assert images["noisy"][~mask].std() == pytest.approx(255 / np.sqrt(12), rel=0.05)
    assert dsprites("scream", "test").name == "dsprites/scream*/test"


def test_the_split_is_one_in_a_hundred_and_disjoint():
    train, test = split_numbers("train"), split_numbers("test")
    assert len(train) + len(test) == COUNT
    assert not np.isin(test, train).any()
    assert 7_100 < len(test) < 7_650
    for factor, count in zip(np.unravel_index(test, FACTORS), FACTORS, strict=True):
        assert len(np.unique(factor)) == count
        assert np.bincount(factor).max() < 1.4 * len(test) / count


@pytest.mark.parametrize("side", [64, 256])
def test_the_label_lands_on_its_cell(side):
    source, stretch = dsprites("colour", "test", side=side), side // 64
    for index in (0, 2_000, 7_000):
        example = source[index]
        assert example.image.shape == (side, side, 3)
        *_, x, y = factors_of(int(source.numbers[index]))
        cell = np.array([16 + x, 16 + y])
        np.testing.assert_allclose((example.keypoints[0] + 0.5) / stretch - 0.5, cell, atol=1e-5)  # half-pixel grid
        np.testing.assert_array_equal(np.trunc(example.keypoints[0] / stretch + 0.5), cell)  # index grid, as RegDA
        np.testing.assert_allclose(example.crop @ [*example.keypoints[0], 1], [*cell, 1], atol=1e-5)
        assert example.scale == 31 * stretch
        weight = example.image.sum(axis=-1).astype(np.float64)
        down, across = np.mgrid[:side, :side]
        middle = np.array([(across * weight).sum(), (down * weight).sum()]) / weight.sum()
        np.testing.assert_allclose(middle, example.keypoints[0], atol=0.3 * stretch)
