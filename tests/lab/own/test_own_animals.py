"""The network that finds several animals: its examples, its size, its boxes."""
import numpy as np
import pytest
from own_projects import synthetic_project

from kpjax.input.source import arrays
from kpjax.lab.formats.several_animals import whole_frames
from kpjax.lab.own import animals
from kpjax.structures import Skeleton


@pytest.fixture(scope="module")
def crowd(tmp_path_factory):
    """Frames of 32 px with two animals, the second of which has a box; on one frame only one has labels."""
    project = synthetic_project(tmp_path_factory.mktemp("crowd"), unlabelled=0)
    beside = [one._replace(keypoints=one.keypoints * 0.5 + 2, box=np.array([2, 3, 10, 20.0]))
              for one in project.instances[1:]]
    return project._replace(instances=(*project.instances, *beside))


def test_a_frame_has_the_points_of_all_its_animals(crowd):
    whole, points = whole_frames(crowd)
    assert points == 8  # of the ellipse in a box, of which four keypoints are fewer
    assert len(whole.instances) == 12
    first, second = whole.instances[:2]
    assert first.visible.reshape(2, 8).sum(1).tolist() == [4, 0]
    assert second.visible.reshape(2, 8).sum(1).tolist() == [4, 8]
    np.testing.assert_array_equal(first.keypoints[:4], crowd.instances[0].keypoints)
    ellipse = second.keypoints[8:]
    np.testing.assert_allclose(np.concatenate([ellipse.min(0) + 0.5, np.ptp(ellipse, axis=0)]), [2, 3, 10, 20])


@pytest.mark.parametrize(("extent", "apart", "side"), [(200, np.inf, 128), (80, np.inf, 256), (200, 67, 256),
                                                      (np.nan, np.inf, 128), (1, 1, 512)])
def test_frames_are_as_large_as_their_animals_need(extent, apart, side):
    assert animals.frame_size(animals.Crowd(9, 2, 0, extent, apart), 1024) == side


def test_extents_are_enlarged_by_what_they_lack_on_frames_that_train():
    """Three frames of two animals of three points; half and four fifths of an extent are found, and nothing on one."""
    corners = np.array([[0.0, 0], [8, 4], [3, 2], [0, 0], [20, 5], [9, 9]]) + np.repeat([[2, 2], [8, 20]], 3, 0)
    source = arrays(np.zeros((3, 32, 32, 3), np.uint8), np.stack([corners] * 3), np.ones((3, 6)), Skeleton(
        tuple("abcdef")), "frames")
    centres = np.array([[6.0, 4.0], [18.0, 24.5]])

    def finder_of(shares, scores):
        def find(images):
            extents = np.array(shares) * [8, 20]
            return animals.Animals(*(np.stack([one] * len(images)) for one in (centres, extents, np.array(scores))))
        return animals.Finder(32, 2, True, find)

    assert animals.found_too_small(finder_of([0.8, 0.8], [0.9, 0.9]), source, 3) == pytest.approx(1.25)
    assert animals.found_too_small(finder_of([0.5, 0.8], [0.9, 0.1]), source, 3) == pytest.approx(2.0)
    assert animals.found_too_small(finder_of([0.5, 0.8], [0.1, 0.1]), source, 3) == 1.0


def test_boxes_are_those_of_sure_animals_or_of_the_known_number():
    found = animals.Animals(np.array([[[10.0, 20.0], [30.0, 8.0], [1.0, 1.0]]]), np.array([[8.0, 4.0, 2.0]]),
                            np.array([[0.9, 0.2, 0.05]]))
    finder = animals.Finder(32, 2, True, None)
    crop = np.array([[2.0, 0, 0.5], [0, 2.0, 0.5], [0, 0, 1]], np.float32)
    boxes, there = finder.boxes(found, 0, crop, None)
    assert there == 1
    np.testing.assert_allclose(boxes, [[13, 33, 16, 16]])
    assert len(finder.boxes(found, 0, crop, 3)[0]) == 2
    assert len(finder.boxes(found, 0, crop, 1)[0]) == 1
