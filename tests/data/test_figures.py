"""Synthetic people: repeatable, labelled on the body, all joints inside, left and right distinct."""
import sys
from functools import partial

import numpy as np
import pytest
from PIL import Image

from data.figure_looks import PHOTO_LIKE, background, finish
from data.figure_poses import JOINTS, NUMBERS, joints
from data.figures import ALL_JOINTS, SOURCE, TEN_POINTS, Domain, figures, named, target
from data.prepared import open_source, prepare, rendered
from kpjax.errors import InputError
from kpjax.images.transforms import Letterbox


@pytest.fixture(scope="module")
def plain():
    return figures(24, SOURCE, 0, 64, skeleton=ALL_JOINTS)


def test_a_figure_depends_on_seed_domain_and_number_only(plain):
    part = figures(5, SOURCE, 0, 64, first=7, skeleton=ALL_JOINTS)
    for number in range(5):
        np.testing.assert_array_equal(part[number].image, plain[7 + number].image)
        np.testing.assert_array_equal(part[number].keypoints, plain[7 + number].keypoints)
    for other in (figures(5, SOURCE, 1, 64), figures(5, target(), 0, 64)):
        assert (other[0].image != plain[0].image).any()
    easy, hard = figures(3, target(0), 0, 64), figures(3, target(1), 0, 64)
    np.testing.assert_array_equal(easy.examples.keypoints, hard.examples.keypoints)
    assert easy.digest != hard.digest


def test_labels_lie_on_the_body(plain):
    corner = plain.examples.image[:, :3, :3].reshape(len(plain), -1).max(axis=1)
    for number in range(len(plain)):
        example = plain[number]
        cells = np.rint(example.keypoints).astype(int)
        assert (example.image[cells[:, 1], cells[:, 0]].max(axis=-1) > corner[number] + 30).all()


@pytest.mark.parametrize("side", [32, 64, 128])
def test_all_joints_are_inside_and_bones_keep_their_length(side):
    pose = np.random.default_rng(0).random((500, NUMBERS))
    points = joints(pose, side)
    assert points.min() > 0
    assert points.max() < side - 1
    at = {name: points[:, k] for k, name in enumerate(JOINTS)}
    torso = np.linalg.norm(at["neck"] - at["pelvis"], axis=1)
    for name, longest in (("hand", 0.16), ("foot", 0.215)):
        for which in ("left", "right"):
            middle = at[f"{which}_{'elbow' if name == 'hand' else 'knee'}"]
            ratio = np.linalg.norm(at[f"{which}_{name}"] - middle, axis=1) / torso
            assert ratio.max() <= longest / 0.29 + 1e-3
            assert ratio.min() >= 0.7 * longest / 0.29 - 1e-3


def test_backgrounds_and_noise_keep_to_their_amplitudes():
    generator = np.random.default_rng(0)
    for domain in (SOURCE, target(0), target(1), PHOTO_LIKE):
        behind = background(domain, generator, 64)
        assert behind.shape == (64, 64, 3)
        assert 0 <= behind.min() <= behind.max() <= domain.background_amplitude
    empty = Image.new("RGBX", (256, 256))
    grey = finish(empty, np.full((64, 64, 3), 0.5), 0.06, generator) / 255
    assert abs(grey.std() - 0.06) < 0.003
    full = Image.new("RGBX", (256, 256), (200, 100, 50, 255))
    np.testing.assert_array_equal(finish(full, np.ones((64, 64, 3)), 0.0, generator)[5, 5], [200, 100, 50])


def test_hidden_joints_are_covered_and_not_labelled():
    shown = figures(40, SOURCE, 0, 64, skeleton=ALL_JOINTS)
    hidden = figures(40, Domain("source", hidden=0.2), 0, 64, skeleton=ALL_JOINTS)
    visible = hidden.examples.visible
    assert 0.1 < 1 - visible.mean() < 0.3
    assert not hidden.examples.keypoints[visible == 0].any()
    np.testing.assert_array_equal(hidden.examples.keypoints[visible > 0], shown.examples.keypoints[visible > 0])


def test_figures_can_be_prepared_and_opened(tmp_path):
    small = rendered("figures", TEN_POINTS, {"target_train": partial(named, target(), range(4)),
                                             "source_test": partial(named, SOURCE, range(4, 6))})
    prepare(small, data_dir=tmp_path)
    source = open_source("figures", "target_train[:3]+source_test", data_dir=tmp_path, transform=Letterbox(64))
    assert len(source) == 5
    assert source.skeleton == TEN_POINTS
    shown = {f"target_{n:05d}": example for n, example in enumerate(figures(4, target(), 0, 64))}
    for index in range(3):
        np.testing.assert_array_equal(source[index].image, shown[source.identity(index)].image)
        np.testing.assert_allclose(source[index].keypoints, shown[source.identity(index)].keypoints, atol=1e-4)
    with pytest.raises(InputError, match="split 'validation'"):
        open_source("figures", "validation", data_dir=tmp_path, transform=Letterbox(64))
    with pytest.raises(InputError, match=r"nothing prepared at .* run python -m data figures"):
        open_source("figures", "source_train", data_dir=tmp_path / "other", transform=Letterbox(64))
    with pytest.raises(InputError, match="'portraits' is unknown; choose among "):
        open_source("portraits", "train", data_dir=tmp_path, transform=Letterbox(64))
    assert "tensorflow" not in sys.modules  # neither writing nor reading needs it
