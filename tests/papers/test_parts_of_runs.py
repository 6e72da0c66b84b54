"""Parts of prepared sets that a run reads: a tuning seed no test image, and none twice; domains in
other colours.
"""

import numpy as np
import pytest

from data import prepared
from data.other_colours import LIGHT, in_other_colours
from experiments import adaptation, images, incremental, pyramids, semi_supervised
from experiments.adaptation.images import open_core_images, open_images as open_landmarks
from experiments.images import open_images
from kpjax import InputError, Skeleton, arrays
from kpjax.input.source import check_disjoint
from kpjax.papers.configs import TUNING_SEEDS, ImageSet, replace_fields

ASKED_FOR = ("data.prepared.open_source", "experiments.adaptation.images.open_source")


@pytest.fixture
def opened(monkeypatch):
    """The names of the splits that are opened, each with ten images of its own."""
    found = []

    def open_source(name, split, *, data_dir=None, transform=None):
        found.append(f"{name}/{split}")
        random = np.random.default_rng(list(found[-1].encode()))
        return arrays(
            random.integers(0, 256, (10, 8, 8, 3), np.uint8),
            random.uniform(0, 7, (10, 2, 2)),
            np.ones((10, 2)),
            Skeleton(("nose", "tail")),
            found[-1],
        )

    for place in ASKED_FOR:
        monkeypatch.setattr(place, open_source)
    return found


PREPARED = [
    (system, name)
    for system in (semi_supervised, incremental)
    for name, config in system.EXPERIMENT.presets.items()
    if not config.data.rendered
]


@pytest.mark.parametrize(
    ("system", "preset"), PREPARED, ids=lambda one: getattr(one, "__name__", one).split(".")[-1]
)
def test_a_tuning_seed_is_tested_on_the_validation_images_and_opens_no_others(
    system, preset, opened, tmp_path
):
    data = replace_fields(system.EXPERIMENT.presets[preset], unused_keypoints=()).data
    assert data.validation  # no preset leaves it to a share of the training images
    tuning = open_images(data, TUNING_SEEDS[0], tmp_path)
    assert tuning.test is tuning.validation
    assert data.test not in opened
    split = data.validation.partition("/")[2]
    assert all(
        split not in name.partition("/")[2].split("+") for name in opened if name != data.validation
    )
    reported = open_images(data, 99, tmp_path)
    assert reported.test.name == data.test
    assert reported.train.name == data.train


def test_a_tuning_seed_of_a_domain_opens_no_test_images(opened, tmp_path):
    for name in ("recoloured:deeplabcut", "plain:deeplabcut", "lspet", "surreal"):
        found = images.open_domain(name, side=8, seed=100, data_dir=tmp_path)
        assert found.test.digest == found.validation.digest
    assert set(opened) == {
        "deeplabcut/train",
        "deeplabcut/tune",
        "lspet/train",
        "lspet/tune",
        "surreal/train",
        "surreal/validation",
    }
    with pytest.raises(InputError, match="100; lsp has no images for tuning"):
        images.open_domain("lsp", side=8, seed=100, data_dir=tmp_path)
    assert len(images.open_domain("lsp", side=8, seed=0, data_dir=tmp_path).test) == 10


def test_a_share_of_the_training_images_is_for_tuning_where_no_split_is(opened, tmp_path):
    data = ImageSet("mine/train", test="mine/test", validation_share=0.2)
    splits = open_images(data, 100, tmp_path)
    assert (len(splits.train), len(splits.test)) == (8, 2)
    assert opened == ["mine/train"]


def test_white_turns_dark_black_takes_the_colour_and_labels_stay():
    pixels = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3), np.uint8)
    pixels[0, :4, :4], pixels[0, 8:, 8:] = 255, 0
    plain = arrays(pixels, np.full((3, 1, 2), 5.0), np.ones((3, 1)), Skeleton(("nose",)), "made")
    shown, again = (in_other_colours(plain, noise=noise) for noise in (0.0, 0.06))
    np.testing.assert_array_equal(shown[0].image[:4, :4], 0)
    np.testing.assert_allclose(
        shown[0].image[8:, 8:], np.broadcast_to(255 * LIGHT, (8, 8, 3)), atol=1
    )
    np.testing.assert_array_equal(shown[2].keypoints, plain[2].keypoints)
    np.testing.assert_array_equal(again[1].image, in_other_colours(plain)[1].image)
    assert not np.array_equal(again[1].image, shown[1].image)
    assert len({shown.digest, again.digest, plain.digest}) == 3


def test_domains_of_one_set_share_no_training_image_and_test_the_same_animals(opened, tmp_path):
    first, second = (
        images.open_domain(f"{kind}:deeplabcut", side=8, seed=0, data_dir=tmp_path)
        for kind in ("recoloured", "plain")
    )
    labels = [
        {domain.train[number].keypoints.tobytes() for number in range(5)}
        for domain in (first, second)
    ]
    assert not labels[0] & labels[1]
    for one in (first, second):
        assert [len(part) for part in one[:3]] == [5, 10, 10]
        check_disjoint(one.train, one.test, by_name=False)
    np.testing.assert_array_equal(first.test[3].keypoints, second.test[3].keypoints)
    np.testing.assert_array_equal(
        second.test[3].image, prepared.open_source("deeplabcut", "test")[3].image
    )
    assert not np.array_equal(first.test[3].image, second.test[3].image)


def test_landmarks_are_tested_on_the_set_whose_labels_are_fitted(opened, monkeypatch, tmp_path):
    monkeypatch.setattr("kpjax.input.source.turned_originals", lambda source, degrees: source)
    for preset, tune in (
        ("lspet_faces", "youtube_faces/tune"),
        ("mpii_mafl", "celeba/mafl_tune"),
        ("mpii_ls3d", "w300_lp/tune"),
        ("mpii_bbc", "bbc_pose/validation"),
    ):
        data = adaptation.EXPERIMENT.presets[preset].data
        assert open_landmarks(data, 100, tmp_path, None).test.name == tune
        assert data.test not in opened
        assert open_landmarks(data, 0, tmp_path, None).test.name == data.test
    config = replace_fields(adaptation.EXPERIMENT.presets["mpii_mafl"], core_unused_keypoints=())
    assert [part.name for part in open_core_images(config, 100, tmp_path)] == [
        "mpii/train+rest",
        "mpii/validation",
    ]
    assert [part.name for part in open_core_images(config, 0, tmp_path)] == [
        config.core.core,
        config.core.core_test,
    ]


@pytest.fixture(autouse=True)
def nothing_kept():
    yield
    for kept in (images._open, images.open_domain, adaptation.images._open, pyramids.videos._open):
        kept.cache_clear()
