"""Left and right that change places, in a made-up track."""

import numpy as np
import pytest

from kpjax.evaluation.side_swaps import side_swaps


def track(frames=60):
    """Two ears and a nose that move slowly and apart."""
    way = np.cumsum(np.random.default_rng(0).normal(size=(frames, 1, 2)), axis=0)
    return way + np.array([[0, 0], [0, 30], [40, 15]])


def test_moments_and_the_frames_between_them_are_found():
    points = track()
    numbers = np.arange(60) * 2
    assert side_swaps(points, numbers, (1, 0, 2)) == []
    for first, until in ((5, 9), (20, 21), (50, 60)):
        points[first:until, [0, 1]] = points[first:until, [1, 0]]
    found = side_swaps(points, numbers, (1, 0, 2))
    assert [(one.row, one.until) for one in found] == [(5, 9), (20, 21), (50, 60)]
    assert {one.pair for one in found} == {(0, 1)}
    assert side_swaps(points, numbers, ()) == []


@pytest.mark.parametrize("why", ["unknown", "between frames that are missing", "near"])
def test_nothing_is_said_where_nothing_shows_it(why):
    points, numbers = track(), np.arange(60)
    if why == "near":
        points[:, 1] = points[:, 0] + 1
    points[30:, [0, 1]] = points[30:, [1, 0]]
    if why == "unknown":
        points[30, 0] = np.nan
    if why == "between frames that are missing":
        numbers[30:] += 7
    assert side_swaps(points, numbers, (1, 0, 2)) == []
