"""What is wrong with points, each fault planted in predictions that have no other."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from test_pixel_errors import CUTOFFS, NAMES, made

from kpjax.lab.reports import faults
from kpjax.lab.reports.pixel_errors import TRAINED, distances_in_labels, join_animals
from kpjax.structures import Skeleton

SKELETON = Skeleton(NAMES)


def poses(count=12):
    """Animals of 100 px in different places, whose points lie a pixel beside their labels."""
    animals = made(np.ones((count, 3)), scores=np.full((count, 3), 0.9))
    moved = np.random.default_rng(0).uniform(0, 200, (count, 1, 2))
    shape = np.array([[0.0, 0.0], [60.0, 0.0], [0.0, 80.0]])
    true = shape + moved
    return animals._replace(true=true, predicted=true + [1.0, 0.0])


def found(animals, skeleton=SKELETON, cutoffs=CUTOFFS):
    return faults.faults_of(animals, cutoffs, distances_in_labels(animals), skeleton)


def test_good_points_have_no_fault():
    assert found(poses()) == []


def test_a_keypoint_that_is_drawn_where_its_label_is_empty_comes_first_with_its_surest_frames():
    animals = poses()
    animals.visible[4:, 2], animals.empty[4:, 2] = 0, True
    animals.scores[4:, 2] = [0.1, 0.1, 0.1, 0.5, 0.1, 0.8, 0.1, 0.6]
    animals.predicted[:4, 0] += 40.0  # worse than the others, too
    first, *rest = found(animals)
    assert first.text == "tail is drawn on 3 of 8 animals where its label is empty."
    assert first.animals == (9, 11, 7)
    assert rest
    assert_array_equal([one.text for one in found(animals, cutoffs=CUTOFFS + 0.6)], [rest[0].text])


def test_keypoints_that_are_one_point_are_named_for_the_part_in_which_they_are():
    """The labels of the ears are 10 px from the snout, on animals of 100 px."""
    learnt = made([[0.0, 0, 0]] * 20, part=TRAINED, first=5)
    held = made([[10.0, 0, np.nan], [10, 0, 0], [0, 0, 0]])
    labels = distances_in_labels(join_animals([held, learnt]))
    assert_array_equal(labels.animals[0], [0, 23, 22])
    assert labels.closest[0, 1] == pytest.approx(0.1)
    (said,) = faults.coincident(held, CUTOFFS - 1, labels)
    assert said.text == (
        "snout and left ear are one point on 2 of 3 held-out animals; in labels they are never closer "
        "than 10 px."
    )
    assert said.animals == (0, 1)
    assert faults.coincident(learnt, CUTOFFS - 1, labels) == []


def test_a_keypoint_far_worse_than_the_typical_one_is_named():
    animals = poses()
    animals.predicted[:, 1] += [0.0, 3.0]
    (said,) = found(animals)
    assert said.text == "left ear is 3.2 px off, the typical keypoint 1.0 px."
    animals.visible[2:, 1] = 0  # two labels tell nothing
    assert found(animals) == []


def test_frames_of_one_pose_are_called_so():
    animals = poses()
    still = animals._replace(
        true=np.repeat(animals.true[:1], 12, 0), predicted=np.repeat(animals.predicted[:1], 12, 0)
    )
    (said,) = found(still)
    assert "nearly the same pose" in said.text


def test_left_and_right_that_are_exchanged_are_seen_where_keypoints_have_sides():
    animals = poses()
    wrong = animals.predicted[:5].copy()
    animals.predicted[:5] = wrong[:, [1, 0, 2]]
    sides = Skeleton(NAMES, flip=(1, 0, 2))
    assert "On 5 of 12 animals left and right are exchanged." in [
        one.text for one in found(animals, sides)
    ]
    assert not any("exchanged" in one.text for one in found(animals))


def test_points_in_a_heap_are_seen():
    animals = poses()
    animals.predicted[:6] = animals.predicted[:6, :1] + [[0.0, 0.0], [6.0, 0.0], [0.0, 9.0]]
    heap = found(animals)[-1]
    assert heap.text == "On 6 of 12 animals the points lie in a heap."
    assert set(heap.animals) == set(range(6))


def test_the_worst_is_read_from_a_runs_folder(tmp_path):
    assert faults.read_worst(tmp_path) == ""
    faults.write_faults(tmp_path, [faults.Fault("one", (1,), "kpjax check P"), faults.Fault("two")])
    assert faults.read_worst(tmp_path) == "one"
    faults.write_faults(tmp_path, [])
    assert faults.read_worst(tmp_path) == ""
