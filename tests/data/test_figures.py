"""Synthetic people: repeatable, labelled on the body, all joints inside, left and right distinct."""

import numpy as np
import pytest
from PIL import Image

from data.figure_looks import PHOTO_LIKE, background, finish
from data.figure_poses import JOINTS, NUMBERS, joints
from data.figures import ALL_JOINTS, SOURCE, Domain, figures, target


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
