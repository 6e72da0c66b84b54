"""Points over time before they are smoothed: medians of neighbouring frames, and gaps between sure points.

A point without coordinates is nan in both. Arrays are (T, ..., 2), of consecutive frames.
"""
import warnings

import numpy as np

ENDLESS = 2 ** 31  # frames, longer than any gap between two known points


def known_median(values: np.ndarray, axis: int = 0) -> np.ndarray:
    """Returns the median along an axis of the numbers that are known, nan where none is."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "All-NaN slice")
        return np.nanmedian(values, axis)


def median_filtered(points: np.ndarray, width: int) -> np.ndarray:
    """Replaces each coordinate by the median of those known in `width` frames about it; gaps stay.

    points: (T, ..., 2). width: odd; 1 changes nothing. At the ends fewer frames count, equally many on both sides.
    """
    points = np.asarray(points, np.float64)
    found, reach = points.copy(), width // 2
    if reach and len(points) >= width:
        found[reach:-reach] = known_median(np.lib.stride_tricks.sliding_window_view(points, width, axis=0), -1)
    for side in range(1, reach):  # towards the ends of the video
        for row in {side, len(points) - 1 - side}:
            if side <= min(row, len(points) - 1 - row):
                found[row] = known_median(points[row - side:row + side + 1])
    return np.where(np.isfinite(points), found, np.nan)


def gap_lengths(known: np.ndarray) -> np.ndarray:
    """Returns (T, ...) int: the number of frames of the gap that each frame lies in, 0 where something is known.

    known: (T, ...) bool. A gap at the start or at the end, which has no neighbour on one side, counts as ENDLESS.
    """
    known = np.asarray(known, bool)
    frames = np.arange(len(known)).reshape(-1, *(1,) * (known.ndim - 1))
    last = np.maximum.accumulate(np.where(known, frames, -1), axis=0)
    following = np.minimum.accumulate(np.where(known, frames, len(known))[::-1], axis=0)[::-1]
    lengths = np.where((last < 0) | (following == len(known)), ENDLESS, following - last - 1)
    return np.where(known, 0, lengths)


def filled(points: np.ndarray, most: int) -> np.ndarray:
    """Fills gaps of at most `most` frames along straight lines; longer ones, and those at the ends, stay nan.

    points: (T, ..., 2).
    """
    points = np.asarray(points, np.float64)
    flat = points.reshape(len(points), -1)
    found, frames = flat.copy(), np.arange(len(flat))
    lengths = gap_lengths(np.isfinite(flat))
    for column in range(flat.shape[1]):
        known, gap = np.isfinite(flat[:, column]), (lengths[:, column] > 0) & (lengths[:, column] <= most)
        if gap.any():
            found[gap, column] = np.interp(frames[gap], frames[known], flat[known, column])
    return found.reshape(points.shape)
