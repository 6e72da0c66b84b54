"""Animals found, found twice and swapped, against counts by hand."""

import numpy as np
import pytest

from kpjax.evaluation.matching import animals_over_time, match_by_centre, middles_of

BODY = np.array([[-10.0, 0.0], [10.0, 0.0], [0.0, 4.0]])


def at(*places):
    """Animals (A, 3, 2) about places; None is one that is not there."""
    return np.stack(
        [np.full_like(BODY, np.nan) if place is None else BODY + place for place in places]
    )


def test_a_frame_counts_found_twice_and_others():
    true = middles_of(at((0, 0), (100, 0)))[0]
    guesses = np.array([[101.0, 2], [3, 2], [300, 0], [96, 2], [np.nan, np.nan]])
    found = match_by_centre(true, np.array([20.0, 20.0]), guesses)
    assert (found.predicted.tolist(), found.twice, found.others) == ([1, 0], 1, 1)


def test_points_decide_between_animals_that_lie_on_one_another():
    """One looks left, the other right, and only one of them was found."""
    true = np.stack([np.stack([BODY, BODY[[1, 0, 2]]])] * 2)
    predicted = np.full_like(true, np.nan)
    predicted[0] = true[0]
    predicted[1, 1] = true[1, 1] - [3, 0]  # its centre is that of neither
    measured = animals_over_time(true, predicted)
    assert measured.matched.tolist() == [[0, 1], [-1, 1]]
    assert measured.swaps == 0


def exchanged(points, frames=8):
    """Two animals of so many points, and their tracks, which are exchanged once: (T, 2, K, 2)."""
    true = np.stack([at((0, 0), (100, 0))[:, :points]] * frames)
    predicted = true + np.random.default_rng(0).normal(scale=0.5, size=true.shape)
    half = frames // 2
    predicted[half:] = predicted[half:, ::-1]
    return true, predicted


def test_an_animal_with_one_known_point_is_as_large_as_the_others():
    true, predicted = exchanged(3)
    # Extents are those of the first two frames.
    true[2:, :, :2] = np.nan
    measured = animals_over_time(true, predicted)
    assert (measured.matched >= 0).all()
    assert (measured.swaps, measured.fragments) == (1, 0)
    extents = np.array([0.0, 20.0])
    found = match_by_centre(np.array([[0.0, 0], [100, 0]]), extents, np.array([[6.0, 0], [88, 0]]))
    assert found.predicted.tolist() == [0, -1]


def test_animals_of_one_point_are_followed_by_the_extents_of_their_boxes_alone():
    """Without any extent nothing is near or far: no swaps are not 0 swaps."""
    true, predicted = exchanged(1)
    assert animals_over_time(true, predicted) is None
    measured = animals_over_time(true, predicted, np.full(true.shape[:2], 20.0))
    assert (measured.matched >= 0).all()
    assert measured.swaps == 1
    found = match_by_centre(true[0, :, 0], np.zeros(2), predicted[0, :, 0])
    assert found.predicted.tolist() == [-1, -1]


@pytest.mark.parametrize(
    ("tracks", "swaps", "fragments"),
    [
        ([[0, 1], [0, 1], [0, 1]], 0, 0),
        ([[0, 1], [1, 0], [1, 0]], 1, 0),  # exchanged once
        ([[0, 1], [1, 0], [0, 1]], 2, 0),  # and back
        ([[0, 1], [2, 1], [2, 1]], 0, 1),  # goes on with a new track
        ([[0, 1], [-1, 1], [0, 1]], 0, 0),  # not found, and found again
        ([[0, 1], [-1, 0], [-1, 0]], 1, 0),
    ],
)  # one goes on with the other's
def test_swaps_and_fragments(tracks, swaps, fragments):
    places = np.array([[0.0, 0.0], [100.0, 0.0]])
    true = np.stack([at(*places)] * 3)
    predicted = np.full((3, 3, 3, 2), np.nan)
    for row, of_frame in enumerate(tracks):
        for animal, track in enumerate(of_frame):
            if track >= 0:
                predicted[row, track] = true[row, animal]
    measured = animals_over_time(true, predicted)
    assert (measured.swaps, measured.fragments) == (swaps, fragments)
    np.testing.assert_array_equal(measured.matched, tracks)
