"""Cutoffs by keypoint: how many right points they hide and how many wrong ones they show, on scores
whose distributions are known."""

import numpy as np
import pytest

from kpjax.evaluation.cutoffs import keypoint_cutoffs


def drawn(count, right_at, wrong_at, share, seed=0):
    """Scores (count, K) around two levels of each keypoint; a share of the cells is wrong."""
    random = np.random.default_rng(seed)
    wrong = random.random((count, len(right_at))) < np.array(share)
    levels = np.where(wrong, wrong_at, right_at)
    return levels + 0.05 * random.standard_normal(levels.shape), ~wrong, wrong


def test_two_levels_are_told_apart_half_way():
    scores = np.array([[0.9, 0.1], [0.8, 0.2]] * 5)
    right = np.tile([True, False], (10, 1))
    np.testing.assert_allclose(keypoint_cutoffs(scores, right, ~right), 0.5)


def test_each_keypoint_with_many_points_has_its_own():
    scores, right, wrong = drawn(400, [0.9, 0.4], [0.6, 0.1], [0.5, 0.5])
    cutoffs = keypoint_cutoffs(scores, right, wrong)
    assert 0.65 < cutoffs[0] < 0.85
    assert 0.15 < cutoffs[1] < 0.35
    shown = scores >= cutoffs
    assert (shown & wrong).sum() < 0.02 * wrong.sum()
    assert (~shown & right).sum() < 0.02 * right.sum()


def test_a_keypoint_with_few_points_has_that_of_all_and_a_lower_one_is_not_hidden():
    """Points at 0.3 were nearly all hidden by the cutoff of six other keypoints, at 0.9."""
    scores, right, wrong = drawn(45, [0.9] * 6 + [0.3], [0.4] * 6 + [0.1], [0.3] * 6 + [0.02])
    right[2:, 0] = wrong[2:, 0] = False  # two of the first are known
    right[20:, 6] = wrong[20:, 6] = False
    cutoffs = keypoint_cutoffs(scores, right, wrong)
    assert 0.45 < cutoffs[0] < 0.85
    hidden = (scores < cutoffs) & right
    assert (hidden.sum(0) <= 0.1 * right.sum(0)).all()
    assert cutoffs[6] < 0.3


@pytest.mark.parametrize("seed", range(5))
def test_no_cutoff_hides_more_than_a_tenth_of_the_right_points(seed):
    """Right and wrong points that scores do not tell apart: 41 % were hidden by one cutoff."""
    random = np.random.default_rng(seed)
    scores, right = random.random((30, 4)), random.random((30, 4)) < 0.5
    cutoffs = keypoint_cutoffs(scores, right, ~right)
    assert (((scores < cutoffs) & right).sum(0) <= 0.1 * right.sum(0)).all()


def test_nothing_is_shown_below_all_right_points():
    scores = np.linspace(0.5, 0.9, 10)[:, None]
    there, nowhere = np.ones((10, 1), bool), np.zeros((10, 1), bool)
    assert keypoint_cutoffs(scores, there, nowhere) == 0.5
    lower = np.concatenate([scores, [[0.1]]])
    wrong = np.concatenate([nowhere, [[True]]])
    assert keypoint_cutoffs(lower, ~wrong, wrong) == pytest.approx(0.3)


def test_too_few_points_and_scores_that_are_not_finite():
    scores, there = np.full((8, 1), 0.7), np.ones((8, 1), bool)
    assert keypoint_cutoffs(scores, there, ~there) == -np.inf
    lower = np.concatenate(
        [scores, [[0.1]]]
    )  # one wrong point below, and half-way is far from both
    right = np.arange(9)[:, None] < 8
    assert keypoint_cutoffs(lower, right, ~right) == pytest.approx(0.4)
    more = np.concatenate([scores, [[np.nan]], [[0.7]]])
    there = np.ones((10, 1), bool)
    assert keypoint_cutoffs(more, there, ~there) == 0.7
    assert keypoint_cutoffs(np.zeros((0, 3)), *np.zeros((2, 0, 3), bool)).tolist() == [-np.inf] * 3


def test_the_order_of_points_does_not_matter():
    scores, right, wrong = drawn(60, [0.8] * 3, [0.5] * 3, [0.3] * 3)
    order = np.random.default_rng(1).permutation(60)
    np.testing.assert_array_equal(
        keypoint_cutoffs(scores, right, wrong),
        keypoint_cutoffs(scores[order], right[order], wrong[order]),
    )


def test_animals_that_trained_count_less_and_a_keypoint_may_hide_more():
    """Two held-out points of a tongue, one of them far below all empty cells of other frames."""
    held, learnt = [[0.9], [0.04]], [[0.8]] * 13 + [[0.1]] * 30
    scores = np.array(held + learnt)
    right = np.array([True, True] + [True] * 13 + [False] * 30)[:, None]
    weights = np.array([1.0, 1.0] + [0.5] * 43)
    shown = keypoint_cutoffs(scores, right, ~right, weights=weights)
    assert shown < 0.05  # it hides no more than a tenth
    told = keypoint_cutoffs(scores, right, ~right, hidden=np.array([0.15]), weights=weights)
    assert 0.1 < told < 0.8


def test_equal_weights_change_nothing():
    scores, right, wrong = drawn(40, [0.9, 0.4], [0.6, 0.1], [0.5, 0.2])
    np.testing.assert_array_equal(
        keypoint_cutoffs(scores, right, wrong),
        keypoint_cutoffs(scores, right, wrong, weights=np.ones(40)),
    )
