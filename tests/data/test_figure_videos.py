"""Videos of synthetic people: repeatable, labelled on the body, each with an action, actions that differ."""
import numpy as np
import pytest

from data.figure_actions import ACTIONS, SEVENTEEN, perform, seventeen
from data.figure_looks import SOURCE
from data.figure_poses import JOINTS, NUMBERS, joints
from data.figure_videos import figure_videos


@pytest.fixture(scope="module")
def videos():
    return figure_videos(len(ACTIONS) + 2, 12, 32)


def test_a_video_depends_on_its_number_only(videos):
    part = figure_videos(2, 12, 32, first=3)
    assert part.titles == videos.titles[3:5]
    assert part.facts["action"] == videos.facts["action"][3:5]
    for index in range(24):
        np.testing.assert_array_equal(part[index].image, videos[36 + index].image)
        np.testing.assert_array_equal(part[index].keypoints, videos[36 + index].keypoints)
    other = figure_videos(1, 12, 32, first=3, seed=1)
    assert (other[0].image != part[0].image).any()
    assert len(part) == 24
    assert part.facts["action"] == tuple(list(ACTIONS)[3:5])


def test_seventeen_joints_lie_on_the_body():
    videos = figure_videos(len(ACTIONS), 6, 64, domain=SOURCE)
    assert videos.skeleton == SEVENTEEN
    assert sorted(k for members in SEVENTEEN.groups.values() for k in members) == list(range(17))
    crown = SEVENTEEN.index("head_top")  # on the outline
    for index in range(0, len(videos), 3):
        example = videos[index]
        assert example.visible.all()
        cells = np.rint(np.delete(example.keypoints, crown, axis=0)).astype(int)
        corner = int(example.image[:3, :3].max())
        assert (example.image[cells[:, 1], cells[:, 0]].max(axis=-1) > corner + 30).all()
    points = joints(np.random.default_rng(0).random((5, NUMBERS)), 64)
    more = seventeen(points)
    for name in set(JOINTS):
        np.testing.assert_array_equal(more[:, SEVENTEEN.index(name)], points[:, JOINTS.index(name)])
    at = {name: more[:, k] for k, name in enumerate(SEVENTEEN.names)}
    np.testing.assert_allclose(at["spine"], (at["neck"] + at["pelvis"]) / 2, atol=1e-4)
    assert (np.linalg.norm(at["head_top"] - at["neck"], axis=1) > np.linalg.norm(at["head"] - at["neck"], axis=1)).all()


def test_actions_differ():
    """The nearest mean spectrum identifies most actions; chance is 1 in 8."""
    def spectra(seed):
        poses = [perform(action, np.random.default_rng([seed, take]), 64) for action in ACTIONS for take in range(6)]
        assert all((pose >= 0).all() and (pose <= 1).all() for pose in poses)
        whole = np.abs(np.fft.rfft(np.stack(poses), axis=1))[:, :9]
        return (whole / 64).reshape(len(ACTIONS), 6, -1)
    means, new = spectra(0).mean(1), spectra(1)
    nearest = np.linalg.norm(new[:, :, None] - means, axis=-1).argmin(-1)
    assert (nearest == np.arange(len(ACTIONS))[:, None]).mean() > 0.6
