"""AAA, AT, MT and A-MRE from the matrix of accuracy by step and keypoint."""
import numpy as np
import pytest

from kpjax.evaluation.incremental import incremental_summary

NAN = np.nan
INTRODUCED = np.array([0, 0, 0, 1, 2])
MATRIX = np.array([
    [80.0, 70, 60, NAN, NAN],
    [85, 60, 60, 50, NAN],
    [83, 64, 57, 54, 90],
])


def measures(*arguments, **options):
    return incremental_summary(*arguments, **options)[:3]


def test_keypoint_level():
    np.testing.assert_allclose(measures(MATRIX, INTRODUCED), [348 / 5, (3 - 6 - 3 + 4) / 4, 4])
    np.testing.assert_allclose(incremental_summary(MATRIX, INTRODUCED).transfer, [3, -6, -3, 4, NAN])
    np.testing.assert_allclose(measures(MATRIX, INTRODUCED, step=1), [255 / 4, (5 - 10 + 0) / 3, 5])


def test_group_level_weighs_every_step_the_same():
    np.testing.assert_allclose(measures(MATRIX, INTRODUCED, level="group"), [(68 + 54 + 90) / 3, (-2 + 4) / 2, 4])


def test_from_the_best_earlier_value_nothing_looks_like_a_gain_that_was_lost_again():
    found = incremental_summary(MATRIX, INTRODUCED, reference="best")
    np.testing.assert_allclose(found.transfer, [-2, -6, -3, 4, NAN])
    assert (found.average_transfer, found.maximal_transfer) == (-7 / 4, 4)


@pytest.mark.parametrize("level", ["keypoint", "group"])
@pytest.mark.parametrize("reference", ["introduced", "best"])
def test_errors_are_accuracies_of_the_other_sign(level, reference):
    options = {"level": level, "reference": reference}
    of_accuracies = incremental_summary(MATRIX, INTRODUCED, **options)
    of_errors = incremental_summary(-MATRIX, INTRODUCED, errors=True, **options)
    assert of_errors.average == -of_accuracies.average
    np.testing.assert_array_equal(of_errors[1:3], of_accuracies[1:3])
    np.testing.assert_array_equal(of_errors.transfer, of_accuracies.transfer)


def test_after_the_base_step_nothing_is_old():
    found = incremental_summary(MATRIX, INTRODUCED, step=0)
    assert found.average == 70
    assert np.isnan([found.average_transfer, found.maximal_transfer, *found.transfer]).all()


def test_what_is_not_known_or_never_visible_is_left_out():
    matrix = MATRIX.copy()
    matrix[:, 1] = NAN  # on no test image
    matrix[0, 3:] = 99  # channels that nothing has trained yet
    found = incremental_summary(matrix, INTRODUCED)
    np.testing.assert_allclose(found.transfer, [3, NAN, -3, 4, NAN])
    assert incremental_summary(matrix, INTRODUCED, step=0).average == 70
    assert incremental_summary(matrix, [0, 0, 0, 5, 5]).average == 70  # never introduced
    best = incremental_summary(matrix, INTRODUCED, reference="best")
    np.testing.assert_allclose(best.transfer, [-2, NAN, -3, 4, NAN])
