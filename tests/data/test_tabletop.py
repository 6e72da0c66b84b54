"""Tabletop videos: repeatable, links of constant length, bounded steps of the gripper, toys that move when pushed."""

import numpy as np
import pytest

from data.tabletop import ARM_AND_TOYS, GRIPPER_RADIUS, JOINTS, LINKS, RADII, REACH, motion, tabletop_videos
from kpjax.errors import InputError


@pytest.fixture(scope="module")
def paths():
    return np.stack([motion(np.random.default_rng(seed), 30) for seed in range(20)])


def test_links_keep_their_length_and_the_gripper_its_reach(paths):
    arm = paths[:, :, :len(JOINTS)]
    lengths = np.linalg.norm(np.diff(arm, axis=2), axis=-1)
    np.testing.assert_allclose(lengths, np.broadcast_to(LINKS, lengths.shape), rtol=1e-9)
    steps = np.linalg.norm(np.diff(arm[:, :, -1], axis=1), axis=-1)
    assert steps.max() < 1.3 * REACH
    assert steps.mean() > 0.3 * REACH
    assert (paths > 0.0).all()
    assert (paths < 1.0).all()


def test_toys_are_pushed(paths):
    toys = paths[:, :, len(JOINTS):]
    moved = np.linalg.norm(np.diff(toys, axis=1), axis=-1)
    assert (moved.sum(1) > 0.05).mean() > 0.5  # most toys, in 30 frames
    assert (moved == 0).mean() > 0.5  # and most of the time they lie still
    gripper = paths[:, :, len(JOINTS) - 1:len(JOINTS)]
    gap = np.linalg.norm(toys - gripper, axis=-1) - RADII - GRIPPER_RADIUS
    assert np.mean(gap < -0.03) < 0.02


def test_a_video_depends_on_its_number_only():
    videos, part = tabletop_videos(3, 5, 32), tabletop_videos(1, 5, 32, first=2)
    assert videos.skeleton == ARM_AND_TOYS
    assert videos.titles[2:] == part.titles
    for index in range(5):
        np.testing.assert_array_equal(videos[10 + index].image, part[index].image)
        np.testing.assert_array_equal(videos[10 + index].keypoints, part[index].keypoints)
        assert videos[index].visible.all()
    assert (tabletop_videos(1, 5, 32, seed=1)[0].image != videos[0].image).any()
    with pytest.raises(InputError, match="found 3 videos of 0 frames"):
        tabletop_videos(3, 0, 32)


def test_the_gripper_is_rendered_at_its_label():
    video = tabletop_videos(1, 6, 64, first=3)
    colours = []
    for index in range(6):
        x, y = video[index].keypoints[ARM_AND_TOYS.index("gripper")].round().astype(int)
        colours.append(video[index].image[y - 1:y + 2, x - 1:x + 2].astype(float).mean((0, 1)))
    assert np.ptp(colours, axis=0).max() < 40  # of one colour, but for noise
