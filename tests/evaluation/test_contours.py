"""The distance of contours against closed forms."""
import numpy as np
import pytest

from kpjax.evaluation.contours import along, contour_distance, contour_errors


def test_points_lie_at_equal_distances_on_the_line():
    found = along([[0, 0], [3, 0], [3, 1]], 9)
    np.testing.assert_allclose(np.linalg.norm(np.diff(found, axis=0), axis=1), 0.5)
    np.testing.assert_allclose(found[[0, 6, 8]], [[0, 0], [3, 0], [3, 1]])


def test_parallel_lines_are_as_far_apart_as_they_are():
    line = np.array([[0.0, 0.0], [4.0, 0.0], [10.0, 0.0]])
    assert contour_distance(line, line + [0, 2.5]) == pytest.approx(2.5)


def test_where_points_lie_along_a_contour_costs_nothing():
    few, many = [[0, 0], [10, 5]], [[0, 0], [2, 1], [3, 1.5], [10, 5]]
    assert contour_distance(few, many) == pytest.approx(0, abs=1e-12)


def test_a_contour_that_ends_early_costs_what_lacks():
    """From [0, 1] to [0, 2]: points beyond the end are 1 / 2 away on average, the others 0."""
    found = contour_distance([[0, 0], [1, 0]], [[0, 0], [2, 0]], samples=501)
    assert found == pytest.approx((0 + 0.25) / 2, rel=1e-2)


def test_errors_are_relative_over_labelled_points_and_mean_of_contours():
    true = np.zeros((3, 5, 2))
    true[..., 0] = np.arange(5)
    predicted = true + [0, 1]
    predicted[:, 4] = 1e9  # is never labelled
    visible = np.array([[1, 1, 1, 1, 0], [1, 1, 1, 0, 0], [1, 0, 1, 0, 0]])
    found = contour_errors(predicted, true, visible, [1.0, 2.0, 1.0], [(0, 1), (2, 3, 4)])
    np.testing.assert_allclose(found, [1.0, 0.5, np.nan])
