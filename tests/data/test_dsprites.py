"""dSprites: numbers, variants and labels, for rendered masks and for the format of the published
file.
"""

import zipfile

import numpy as np
import pytest
from PIL import Image

from data import dsprites as module
from kpjax.errors import InputError


def number_of(shape, scale, orientation, x, y):
    """Returns the number of an image as published: the last factor varies fastest."""
    return (((shape * 6 + scale) * 40 + orientation) * 32 + x) * 32 + y


def test_the_last_factor_varies_fastest():
    assert number_of(2, 5, 39, 31, 31) == module.COUNT - 1
    for factors in ((2, 5, 39, 20, 21), (0, 0, 0, 0, 1), (1, 0, 0, 0, 0)):
        assert module.factors_of(number_of(*factors)) == factors


def test_the_variants_have_the_published_arithmetic():
    mask = np.array([[True, False]])
    np.testing.assert_allclose(module.noisy(mask, np.array([[[0.3], [0.7]]])), [[[1], [0.7]]])
    patch = np.broadcast_to([0.2, 0.6, 0.4], (1, 2, 3))
    np.testing.assert_allclose(
        module.scream(mask, patch, np.array([0.5, 0.1, 0.9])),
        [[[0.65, 0.65, 0.35], [0.35, 0.35, 0.65]]],
    )
    np.testing.assert_allclose(
        module.colour(mask, np.array([0.5, 0.6, 1])), [[[0.5, 0.6, 1], [0, 0, 0]]]
    )


@pytest.mark.parametrize("shape", range(3))
@pytest.mark.parametrize("scale", [0, 5])
def test_rendered_sprites_are_centred_and_equally_large(shape, scale):
    areas = []
    for orientation in range(0, 40, 3):
        for x, y in ((0, 0), (31, 5), (12, 31)):
            mask = module.rendered_mask(number_of(shape, scale, orientation, x, y))
            down, across = np.nonzero(mask)
            np.testing.assert_allclose([across.mean(), down.mean()], [16 + x, 16 + y], atol=0.3)
            areas.append(mask.sum())
    assert len(set(areas[:3])) == 1  # none is cut off by the border
    assert np.mean(areas) == pytest.approx(302 * (0.5 + 0.1 * scale) ** 2, rel=0.05)


def test_an_image_depends_on_variant_number_and_seed_alone():
    images = {}
    for variant in module.VARIANTS:
        one, again, other = (module.dsprites(variant, "test", seed=seed) for seed in (0, 0, 1))
        np.testing.assert_array_equal(one[17].image, again[17].image)
        assert (one[17].image != other[17].image).any()
        assert (one[17].image != one[18].image).any()
        images[variant] = one[17].image
    mask = module.rendered_mask(int(module.split_numbers("test")[17]))
    assert not images["colour"][~mask].any()
    assert images["colour"][mask].min() >= 127
    assert (images["noisy"][mask] == 255).all()
    assert images["noisy"][~mask].std() == pytest.approx(255 / np.sqrt(12), rel=0.05)
    assert module.dsprites("scream", "test").name == "dsprites/scream*/test"


def test_the_split_is_one_in_a_hundred_and_disjoint():
    train, test = module.split_numbers("train"), module.split_numbers("test")
    assert len(train) + len(test) == module.COUNT
    assert not np.isin(test, train).any()
    assert 7_100 < len(test) < 7_650
    for factor, count in zip(np.unravel_index(test, module.FACTORS), module.FACTORS, strict=True):
        assert len(np.unique(factor)) == count
        assert np.bincount(factor).max() < 1.4 * len(test) / count


@pytest.mark.parametrize("side", [64, 256])
def test_the_label_lands_on_its_cell(side):
    source, stretch = module.dsprites("colour", "test", side=side), side // 64
    for index in (0, 2_000, 7_000):
        example = source[index]
        assert example.image.shape == (side, side, 3)
        *_, x, y = module.factors_of(int(source.numbers[index]))
        cell = np.array([16 + x, 16 + y])
        # half-pixel grid
        np.testing.assert_allclose((example.keypoints[0] + 0.5) / stretch - 0.5, cell, atol=1e-5)
        # index grid, as RegDA
        np.testing.assert_array_equal(np.trunc(example.keypoints[0] / stretch + 0.5), cell)
        np.testing.assert_allclose(example.crop @ [*example.keypoints[0], 1], [*cell, 1], atol=1e-5)
        assert example.scale == 31 * stretch
        weight = example.image.sum(axis=-1).astype(np.float64)
        down, across = np.mgrid[:side, :side]
        middle = np.array([(across * weight).sum(), (down * weight).sum()]) / weight.sum()
        np.testing.assert_allclose(middle, example.keypoints[0], atol=0.3 * stretch)


def test_a_painting_is_used_where_one_is_given(tmp_path):
    Image.new("RGB", (500, 1000), (30, 60, 90)).save(tmp_path / "scream.jpg")
    given = module.painting(tmp_path / "scream.jpg")
    assert given.shape == (274, 137, 3)
    np.testing.assert_allclose(given[5, 5] * 255, [30, 60, 90], atol=3)
    assert module.dsprites("scream", "test", data_dir=tmp_path).name == "dsprites/scream/test"
    assert (
        module.dsprites("scream", "test", data_dir=tmp_path / "empty").name
        == "dsprites/scream*/test"
    )
    assert module.painting().shape == (274, 217, 3)
    for call, said in (
        (lambda: module.painting(tmp_path / "none.jpg"), r"none\.jpg: the painting cannot be read"),
        (lambda: module.dsprites("sepia", "train"), "variant 'sepia' is unknown"),
    ):
        with pytest.raises(InputError, match=said):
            call()


def publish(folder, masks, member="imgs.npy"):
    """Writes a small file in the published format: uint8 masks as the member imgs of a compressed
    npz.
    """
    with (
        zipfile.ZipFile(
            folder / module.FILE, "w", zipfile.ZIP_DEFLATED, compresslevel=1
        ) as archive,
        archive.open(member, "w") as stored,
    ):
        np.lib.format.write_array(stored, masks)


def test_published_masks_are_read_where_the_file_lies_and_another_file_is_named(
    tmp_path, monkeypatch
):
    """One scale and one orientation of each shape, at every position; each sprite lacks a pixel of
    the rendered one.
    """
    monkeypatch.setattr(module, "FACTORS", (3, 1, 1, 32, 32))
    monkeypatch.setattr(module, "COUNT", 3 * 1024)
    masks = np.zeros((3 * 1024, 64, 64), np.uint8)
    for number in range(len(masks)):
        _, x, y = number // 1024, number // 32 % 32, number % 32
        masks[number, y + 13 : y + 20, x + 11 : x + 22] = 1
        masks[number, y + 16, x + 16] = 0
    assert module.dsprites("colour", "test", data_dir=tmp_path).mask is module.rendered_mask
    publish(tmp_path, masks)
    mask = module.dsprites("colour", "test", data_dir=tmp_path).mask
    for number in (0, 1, 33, 2_000, 3_071):
        np.testing.assert_array_equal(mask(number), masks[number].astype(bool))
    for wrong, member, said in (
        (masks[:, :32], "imgs.npy", r"\(3072, 64, 64\) uint8"),
        (masks * 2 + 1, "imgs.npy", "imgs of 0 and 1, found 3"),
        (masks * 0 + 1, "imgs.npy", r"position \(0, 0\) is not there"),
        (masks, "latents.npy", "cannot be used"),
    ):
        (tmp_path / said[:9]).mkdir()
        publish(tmp_path / said[:9], wrong, member)
        with pytest.raises(InputError, match=f"{module.FILE}: .*{said}"):
            module.published_mask(tmp_path / said[:9] / module.FILE)
