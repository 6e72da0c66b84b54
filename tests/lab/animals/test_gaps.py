"""Medians over frames and gaps between sure points, against closed forms."""
import numpy as np

from kpjax.lab.animals.gaps import ENDLESS, filled, gap_lengths, median_filtered

NAN = np.nan


def track(*values):
    """Points that move along x, with y = 2 x."""
    return np.array([[value, 2 * value] for value in values], float)


def test_an_outlier_goes_and_a_gap_stays():
    found = median_filtered(track(1, 2, 90, 4, 5, NAN, 7), 3)
    np.testing.assert_array_equal(found[:, 0], [1, 2, 4, 5, 4.5, NAN, 7])
    np.testing.assert_array_equal(found[:, 1], 2 * found[:, 0])
    np.testing.assert_array_equal(median_filtered(track(3, 1, 2), 1), track(3, 1, 2))
    np.testing.assert_array_equal(median_filtered(track(0, 9, 1, 9, 2), 5)[:, 0], [0, 1, 2, 2, 2])
    np.testing.assert_array_equal(median_filtered(track(5, 1, 3, 9), 7)[:, 0], [5, 3, 3, 9])  # shorter than the window


def test_short_gaps_are_filled_and_long_ones_and_ends_are_not():
    points = track(NAN, 1, NAN, NAN, 4, NAN, NAN, NAN, 8, NAN)
    np.testing.assert_array_equal(filled(points, 2)[:, 0], [NAN, 1, 2, 3, 4, NAN, NAN, NAN, 8, NAN])
    np.testing.assert_array_equal(filled(points, 3), track(NAN, *range(1, 9), NAN))
    np.testing.assert_array_equal(filled(points, 0), points)
    np.testing.assert_array_equal(filled(track(NAN, NAN), 5), track(NAN, NAN))
    assert gap_lengths(np.isfinite(points[:, 0])).tolist() == [ENDLESS, 0, 2, 2, 0, 3, 3, 3, 0, ENDLESS]
    assert filled(np.stack([points, points + 1], 1), 3).shape == (10, 2, 2)
