"""Parts of prepared sets that a run reads: a tuning seed no test image, and none twice; domains in
other colours.
"""

import numpy as np
import pytest

from data import prepared
from data.other_colours import LIGHT, in_other_colours
from experiments import adaptation, images, incremental, pyramids, regda, semi_supervised
from experiments.adaptation.images import open_core_images, open_images as open_landmarks
from experiments.images import open_images
from kpjax import InputError, Skeleton, arrays
from kpjax.input.source import check_disjoint
from kpjax.papers.configs import TUNING_SEEDS, ImageSet, replace_fields
from kpjax.papers.engine import Job

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


@pytest.mark.parametrize(
    ("preset", "source", "target", "labelled"),
    [
        ("rhd_h3d", "rhd/train", "h3d/train+tune", "h3d/train"),
        ("rhd_freihand", "rhd/train", "freihand/train+tune", "freihand/train"),
        ("freihand_rhd", "freihand/train", "rhd/train+tune", "rhd/train"),
        ("surreal_h36m", "surreal/train", "human36m/train+tune", "human36m/train"),
        ("surreal_lsp", "surreal/train", "lsp/train", "lsp/train[:95%]"),
    ],
)
def test_regda_adapts_to_all_training_images_of_the_target(
    preset, source, target, labelled, opened, tmp_path
):
    """Images for tuning choose the first stage's step on the source, and nothing on the target."""
    config = regda.PRESETS[preset]
    job = Job(regda.EXPERIMENT, config, preset, "regda", 0, tmp_path, tmp_path)
    data = regda.open_data(job)
    assert (data.source.train.name, data.target.train.name) == (source, target)
    assert data.target.as_evaluated.name == target
    assert data.target.labelled.name == labelled  # the oracle's, whose validation is apart
    assert data.target.validation.name not in (target, labelled)
    if "lsp" not in preset:
        tuned = regda.open_data(job._replace(seed=100))
        assert tuned.target.train.name == labelled
        assert tuned.target.test.name == data.target.validation.name


def test_domains_of_measured_presets_and_published_validation_images_stay_apart(opened, tmp_path):
    for name in ("recoloured:deeplabcut", "plain:deeplabcut", "surreal"):
        images.open_domain(name, side=8, seed=0, data_dir=tmp_path, unlabelled=True)
    assert not [name for name in opened if "+" in name]


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
        opened.clear()
        assert open_landmarks(data, 100, tmp_path).test.name == tune
        assert data.test not in opened
        assert not [name for name in opened if "tune" in name and name != tune]
        found = open_landmarks(data, 0, tmp_path)
        assert found.test.name == data.test
        assert found.target.name == f"{data.target} without labels"
        assert found.fit.name == (data.fit or data.target)
    config = replace_fields(adaptation.EXPERIMENT.presets["mpii_mafl"], core_unused_keypoints=())
    assert [part.name for part in open_core_images(config, 100, tmp_path)] == [
        "mpii/train+rest",
        "mpii/validation",
    ]
    assert [part.name for part in open_core_images(config, 0, tmp_path)] == [
        config.core.core,
        config.core.core_test,
    ]


# Sets of which a share of the published training images is for tuning.
SHARED_OUT = ("celeba", "aflw", "w300_lp", "cats", "ut_zappos50k")


def test_presets_of_published_sets_leave_out_no_training_image():
    read = {
        name: {config.data.target, config.data.fit}
        for name, config in adaptation.PRESETS.items()
        if name.startswith("mpii")
    }
    shared = [one for of in read.values() for one in of if one.partition("/")[0] in SHARED_OUT]
    assert {one.partition("/")[0] for one in shared} == set(SHARED_OUT)
    assert all("tune" in one for one in shared)
    assert incremental.PRESETS["cephalometric"].data.train == "cephalometric/train+tune"


def test_seeds_that_do_not_tune_train_on_all_recordings_of_human36m(monkeypatch, tmp_path):
    """Subjects 1, 5, 6, 7 and 8."""
    monkeypatch.setattr(pyramids.videos, "human36m_videos", lambda split, *given, **more: split)
    monkeypatch.setattr(pyramids.videos, "of_eleven_actions", lambda videos: videos)
    videos = pyramids.PRESETS["h36m"].data
    assert pyramids.videos.open_videos(videos, 3, tmp_path) == ("train+tune", "test")
    assert pyramids.videos.open_videos(videos, 101, tmp_path) == ("train", "tune")


@pytest.fixture(autouse=True)
def nothing_kept():
    yield
    for kept in (images._open, images.open_domain, adaptation.images._open, pyramids.videos._open):
        kept.cache_clear()
