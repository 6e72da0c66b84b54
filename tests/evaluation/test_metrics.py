"""Metrics of gathered points and of contours: published numbers, closed forms, masks, and what is
refused.
"""

import numpy as np
import pytest

from kpjax.evaluation import metrics
from kpjax.evaluation.contours import along, contour_distance, contour_errors
from kpjax.evaluation.incremental import incremental_summary
from kpjax.structures import Skeleton

close = np.testing.assert_allclose


def away(distances):
    """Predictions that lie the given distances (N, K) from true points, in turning directions."""
    distances = np.asarray(distances, np.float64)
    true = 100 * np.random.default_rng(0).uniform(size=(*distances.shape, 2))
    angle = np.arange(distances.size).reshape(distances.shape)
    return true + distances[..., None] * np.stack([np.cos(angle), np.sin(angle)], -1), true


def on_a_line(distances):
    """The same along x from (0, 0), so that distances are exact."""
    distances = np.asarray(distances, np.float64)
    return np.stack([distances, np.zeros_like(distances)], -1), np.zeros((*distances.shape, 2))


ERRORS = [[14.9, 15.0, 20.0], [29.9, 30.1, 10.0]]
VISIBLE = np.array([[1, 1, 1], [1, 1, 0]], np.float32)


def test_pck_counts_the_limit_only_if_not_strict():
    points = on_a_line([[5.0, 4.99]])
    strict = metrics.pck(*points, np.ones((1, 2)), np.array([100.0]), threshold=0.05)
    inclusive = metrics.pck(
        *points, np.ones((1, 2)), np.array([100.0]), threshold=0.05, strict=False
    )
    close(strict.per_keypoint, [0, 1])
    close(inclusive.per_keypoint, [1, 1])


def test_points_that_do_not_count_are_never_read():
    predicted, true = on_a_line(ERRORS)
    true[1, 2] = np.nan
    predicted[1, 2] = np.inf
    found = metrics.pck(predicted, true, VISIBLE, np.array([100.0, 100.0]), threshold=0.16)
    close(found.per_keypoint, [0.5, 0.5, 0])
    lengths = np.array([100.0, 0.0])  # nor is the length of an image without any keypoint
    nothing = np.array([[1, 0, 1], [0, 0, 0]])
    found = metrics.nme(predicted, true, nothing, lengths)
    close(found.per_keypoint, [0.149, np.nan, 0.2])
    close([found.overall, found.pooled], 0.1745)


def test_where_nothing_counts_every_value_is_nan():
    points, nothing, lengths = on_a_line(ERRORS), np.zeros((2, 3)), np.ones(2)
    for found in (
        metrics.pck(*points, nothing, lengths),
        metrics.nme(*points, nothing, lengths),
        *metrics.mae(*points, nothing, 1.0),
        metrics.pck_global(np.zeros((2, 3, 2)), np.zeros((2, 3, 2)), map_size=64),
    ):
        assert np.isnan([found.overall, found.pooled, *found.per_keypoint]).all()
        close(found.count, 0)


def test_nme_over_images_and_over_keypoints():
    predicted, true = away([[1.0, 2.0], [3.0, 6.0]])
    found = metrics.nme(predicted, true, np.ones((2, 2)), np.array([10.0, 30.0]))
    close(found.per_keypoint, [0.1, 0.2])
    close([found.overall, found.pooled], 0.15)


def test_distance_between_keypoints():
    close(metrics.distance_between(np.array([[(0, 0), (1, 1), (3, 4.0)]]), 0, 2), [5])


# Contours


def test_points_lie_at_equal_distances_on_the_line():
    found = along([[0, 0], [3, 0], [3, 1]], 9)
    np.testing.assert_allclose(np.linalg.norm(np.diff(found, axis=0), axis=1), 0.5)
    np.testing.assert_allclose(found[[0, 6, 8]], [[0, 0], [3, 0], [3, 1]])


@pytest.mark.parametrize(
    ("one", "other", "distance"),
    [
        ([[0, 0], [4, 0], [10, 0]], [[0, 2.5], [4, 2.5], [10, 2.5]], 2.5),
        # where points lie along it costs nothing
        ([[0, 0], [10, 5]], [[0, 0], [2, 1], [3, 1.5], [10, 5]], 0),
        # points beyond an early end are 1 / 2 away on average, the others 0
        ([[0, 0], [1, 0]], [[0, 0], [2, 0]], 0.125),
    ],
)
def test_distances_of_contours(one, other, distance):
    assert contour_distance(one, other, samples=501) == pytest.approx(distance, rel=1e-2, abs=1e-12)


def test_errors_are_relative_over_labelled_points_and_mean_of_contours():
    true = np.zeros((3, 5, 2))
    true[..., 0] = np.arange(5)
    predicted = true + [0, 1]
    predicted[:, 4] = 1e9  # is never labelled
    visible = np.array([[1, 1, 1, 1, 0], [1, 1, 1, 0, 0], [1, 0, 1, 0, 0]])
    found = contour_errors(predicted, true, visible, [1.0, 2.0, 1.0], [(0, 1), (2, 3, 4)])
    np.testing.assert_allclose(found, [1.0, 0.5, np.nan])


# AAA, AT, MT and A-MRE from the matrix of accuracy by step and keypoint

NAN = np.nan
INTRODUCED = np.array([0, 0, 0, 1, 2])
MATRIX = np.array([[80.0, 70, 60, NAN, NAN], [85, 60, 60, 50, NAN], [83, 64, 57, 54, 90]])


def measures(*arguments):
    return incremental_summary(*arguments)[:3]


def test_by_hand():
    np.testing.assert_allclose(measures(MATRIX, INTRODUCED), [348 / 5, (3 - 6 - 3 + 4) / 4, 4])
    np.testing.assert_allclose(
        incremental_summary(MATRIX, INTRODUCED).transfer, [3, -6, -3, 4, NAN]
    )
    np.testing.assert_allclose(measures(MATRIX[:2], INTRODUCED), [255 / 4, (5 - 10 + 0) / 3, 5])


def test_errors_are_accuracies_of_the_other_sign():
    of_accuracies = incremental_summary(MATRIX, INTRODUCED)
    of_errors = incremental_summary(-MATRIX, INTRODUCED, errors=True)
    assert of_errors.average == -of_accuracies.average
    np.testing.assert_array_equal(of_errors[1:3], of_accuracies[1:3])
    np.testing.assert_array_equal(of_errors.transfer, of_accuracies.transfer)


def test_after_the_base_step_nothing_is_old():
    found = incremental_summary(MATRIX[:1], INTRODUCED)
    assert found.average == 70
    assert np.isnan([found.average_transfer, found.maximal_transfer, *found.transfer]).all()


def test_what_is_not_known_or_never_visible_is_left_out():
    matrix = MATRIX.copy()
    matrix[:, 1] = NAN  # on no test image
    matrix[0, 3:] = 99  # channels that nothing has trained yet
    found = incremental_summary(matrix, INTRODUCED)
    np.testing.assert_allclose(found.transfer, [3, NAN, -3, 4, NAN])
    assert incremental_summary(matrix[:1], INTRODUCED).average == 70
    assert incremental_summary(matrix, [0, 0, 0, 5, 5]).average == 70  # never introduced
    filled = np.nan_to_num(MATRIX, nan=7.0)
    by_last, by_sign = (incremental_summary(filled, [0, 0, 0, never, never]) for never in (5, -1))
    assert by_sign.average == by_last.average
    np.testing.assert_array_equal(by_sign.transfer, by_last.transfer)


def test_pck_batchwise_is_pck_global_when_everything_is_valid_in_equal_batches():
    generator = np.random.default_rng(1)
    true = generator.integers(2, 64, (64, 3, 2)).astype(np.float32)
    predicted = true + generator.integers(-4, 5, true.shape).astype(np.float32)
    batchwise = metrics.pck_batchwise(
        predicted, true, map_size=64, groups={"all": range(3), "some": [0, 2]}
    )
    together = metrics.pck_global(predicted, true, map_size=64)
    close(batchwise["all"], together.overall)
    close(batchwise["some"], together.per_keypoint[[0, 2]].mean())
    assert 0.2 < together.overall < 0.8


def test_reports_by_keypoint():
    skeleton = Skeleton(("nose", "tail", "paw"))
    values = np.array([0.5, 1.0, np.nan])
    assert metrics.by_keypoint("target/pck", values, skeleton) == {
        "target/pck/nose": 0.5,
        "target/pck/tail": 1.0,
    }
