"""AAA, AT, MT and A-MRE from the matrix of accuracy by step and keypoint."""
import numpy as np

from kpjax.evaluation.incremental import incremental_summary

NAN = np.nan
INTRODUCED = np.array([0, 0, 0, 1, 2])
MATRIX = np.array([
    [80.0, 70, 60, NAN, NAN],
    [85, 60, 60, 50, NAN],
    [83, 64, 57, 54, 90],
])


def measures(*arguments):
    return incremental_summary(*arguments)[:3]


def test_by_hand():
    np.testing.assert_allclose(measures(MATRIX, INTRODUCED), [348 / 5, (3 - 6 - 3 + 4) / 4, 4])
    np.testing.assert_allclose(incremental_summary(MATRIX, INTRODUCED).transfer, [3, -6, -3, 4, NAN])
    np.testing.assert_allclose(measures(MATRIX[:2], INTRODUCED), [255 / 4, (5 - 10 + 0) / 3, 5])


def test_errors_are_accuracies_of_the_other_sign():
    of_accuracies, of_errors = incremental_summary(MATRIX, INTRODUCED), incremental_summary(
        -MATRIX, INTRODUCED, errors=True)
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
