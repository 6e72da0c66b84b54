"""A source with some of its keypoints only."""
import numpy as np
import pytest

from kpjax.input.source import arrays, identities, without_keypoints
from kpjax.structures import Skeleton

SKELETON = Skeleton(("left", "pelvis", "right", "head"), edges=((0, 1), (1, 2), (2, 3)), flip=(2, 1, 0, 3),
                    groups={"hips": (0, 1, 2), "middle": (1,)})


@pytest.fixture
def source():
    points = np.arange(16, dtype=np.float32).reshape(2, 4, 2)
    return arrays(np.zeros((2, 8, 8, 3), np.uint8), points, np.ones((2, 4)), SKELETON, "made up")


def test_points_edges_mirror_images_and_groups_follow(source):
    chosen = without_keypoints(source, ["pelvis"])
    assert chosen.skeleton == Skeleton(("left", "right", "head"), ((1, 2),), (1, 0, 2), {"hips": (0, 1)})
    np.testing.assert_array_equal(chosen[1].keypoints, source[1].keypoints[[0, 2, 3]])
    assert chosen[1].visible.shape == (3,)
    assert len(chosen) == 2
    assert chosen.digest != source.digest
    assert identities(chosen) is None
    assert without_keypoints(source, []) is source
