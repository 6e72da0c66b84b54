"""The ensemble Kalman smoother for one camera: keypoints of a video, smoothed over time.

Networks that were trained alike but from other seeds agree where an image is clear. Where they do
not, the smoother relies on the neighbouring frames instead. Source: Biderman et al., "Lightning
Pose: improved animal pose estimation via semi-supervised learning, Bayesian ensembling and
cloud-native open-source tools", Nature Methods 2024.

The model of each keypoint, with points in pixels less their mean over the video:

    x_0 ~ N(0, V)                   V: the variance over time of the observations, of each coordinate
    x_t = x_{t-1} + N(0, s I)       s: the smoothing parameter, in square pixels; smaller is smoother
    y_t = x_t + N(0, R_t)           y_t: the median of the networks; R_t: their variance, of each coordinate

V, the covariance of steps, the divisor of the variance and the fit of s follow version 4.6.2 of the
authors' package `ensemble-kalman-smoother` with `var_mode="var"`. All covariances are diagonal, so
that x and y are smoothed as two sequences of numbers. Frames without an observation are bridged
here; the package has no gaps.
"""

import warnings
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

FLOOR = 1e-12  # square pixels, the smallest variance of an observation, as in the package
FIT_FLOOR = 1e-4  # the same while s is fitted
LARGEST = 8  # of |log s|, as in the package
UNSEEN = 1e300  # the variance of an observation that is not there
ENDLESS = 2**31  # frames, longer than any gap between two known points
# the variance before the first observation, over that of an observation: nothing is known there
DIFFUSE = 1e7


class Smoothed(NamedTuple):
    """Keypoints of a video after smoothing; nan for a keypoint that was never observed."""

    #: (T, K, 2) float64, the posterior mean, (x, y) in the pixels of the given points
    points: np.ndarray
    #: (T, K, 2) float64, posterior, along x and y in square pixels; their covariance is 0
    variances: np.ndarray
    s: np.ndarray  # (K,) float64, in square pixels


def ensemble_smoother(points: np.ndarray) -> Smoothed:
    """Smooths the keypoints of one video that several networks found.

    Frames in which fewer than two networks have a keypoint are bridged: their variance would be
    unknown.

    points: (M, T, K, 2), (x, y) in pixels of M networks in T consecutive frames; nan where one
    found nothing.
    """
    seen, spreads = ensemble_observations(points)
    centred, mean, spread = centred_points(seen)
    s = fit_smoothing(centred, known_median(spreads), spread)
    moved, variances = smooth_random_walk(centred, np.maximum(spreads, FLOOR), spread, s[:, None])
    return _observed(seen, mean + moved, variances, s)


def single_smoother(points: np.ndarray) -> Smoothed:
    """Smooths the keypoints that one network found on consecutive frames, by the model of
    `ensemble_smoother`.

    There is no spread of networks that tells how sure a frame is, so that the variance of an
    observation is one number for all frames of a keypoint. It and the variance of a step maximise
    the likelihood together; nothing is known of the first place. Points that wander as far as a
    step are hardly smoothed, points that shake about a place are.

    points: (T, K, 2) in pixels; nan where nothing was found, which is bridged.
    """
    centred, mean, _ = centred_points(points)
    noise, initial = np.ones_like(centred), np.full(centred.shape[1:], DIFFUSE)

    def scale_and_loss(log_s: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns the best variance of an observation (..., K), and the loss with it.

        log_s: in units of it.
        """
        squares, logarithms, count = 0.0, 0.0, 0.0
        walks = filtered(centred, noise, initial, np.exp(log_s)[..., None])
        for (expected, variance, *_), y in zip(walks, centred, strict=True):
            spread = variance + 1
            counts = ~np.isnan(y) & (spread < DIFFUSE / 10)  # the first observation says nothing
            squares = squares + np.where(counts, (y - expected) ** 2 / spread, 0).sum(-1)
            logarithms = logarithms + np.where(counts, np.log(spread), 0).sum(-1)
            count = count + counts.sum(-1)
        scale = np.maximum(squares / np.maximum(count, 1), FLOOR)
        return scale, 0.5 * (logarithms + np.maximum(count, 1) * np.log(scale))

    log_s = least(lambda tried: scale_and_loss(tried)[1], centred.shape[1])
    scale = scale_and_loss(log_s)[0]
    moved, variances = smooth_random_walk(centred, noise, initial, np.exp(log_s)[:, None])
    return _observed(centred, mean + moved, variances * scale[:, None], np.exp(log_s) * scale)


def ensemble_observations(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Computes the medians and the population variances (T, K, 2) of networks at each point, nan
    with fewer than two.

    A network counts at a point where both its coordinates are finite. points: as of
    `ensemble_smoother`.
    """
    points = np.where(np.isfinite(points).all(-1, keepdims=True), points, np.nan)
    centred, _, variances = centred_points(points)
    few = np.isfinite(centred).sum(0) < 2
    return np.where(few, np.nan, known_median(points)), np.where(few, np.nan, variances)


def centred_points(points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns points (T, K, 2) less their mean over time, the mean, and the variance over time (K,
    2).
    """
    points = np.asarray(points, np.float64)
    known = np.isfinite(points)
    number = np.maximum(known.sum(0), 1)
    mean = np.where(known, points, 0).sum(0) / number
    centred = np.where(known, points - mean, np.nan)
    return centred, mean, (np.where(known, centred, 0) ** 2).sum(0) / number


def _observed(
    seen: np.ndarray, points: np.ndarray, variances: np.ndarray, s: np.ndarray
) -> Smoothed:
    never = np.isnan(seen).all(0)
    return Smoothed(
        np.where(never, np.nan, points),
        np.where(never, np.nan, variances),
        np.where(never[:, 0], np.nan, s),
    )


# The filter, the smoother and the fit


def filtered(
    y: np.ndarray, noise: np.ndarray, initial: np.ndarray, step: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
    """Yields mean and variance of each frame of independent Gaussian random walks that are observed
    with noise, before its observation and given all up to it (Kalman 1960).

    y: (T, ...) observations, nan where there is none. noise: (T, ...) positive variances of the
    observations; anything where y is nan. initial: (...) variances at frame 0, where the mean is 0.
    step: (..., or more axes before them) positive variances of a step.
    """
    mean, variance = np.zeros(np.broadcast_shapes(initial.shape, np.shape(step))), initial
    there = ~np.isnan(y)
    for seen, of_frame in zip(np.where(there, y, 0), np.where(there, noise, UNSEEN), strict=True):
        gain = variance / (variance + of_frame)
        after = mean + gain * (seen - mean), gain * of_frame
        yield mean, variance, *after
        mean, variance = after[0], after[1] + step


def smooth_random_walk(
    y: np.ndarray, noise: np.ndarray, initial: np.ndarray, step: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Smooths random walks, given as to `filtered` (Rauch, Tung and Striebel 1965): means and
    variances (T, ...).
    """
    means, variances = map(np.stack, list(zip(*filtered(y, noise, initial, step), strict=True))[2:])
    for frame in range(len(means) - 2, -1, -1):
        gain = variances[frame] / (variances[frame] + step)
        means[frame] += gain * (means[frame + 1] - means[frame])
        variances[frame] += gain**2 * (variances[frame + 1] - variances[frame] - step)
    return means, variances


def negative_log_likelihood(
    y: np.ndarray, noise: np.ndarray, initial: np.ndarray, step: np.ndarray
) -> np.ndarray:
    """Returns -log p(y), summed over frames: (...). Arguments as of `filtered`."""
    loss = np.zeros(())
    for (expected, variance, *_), seen, of_frame in zip(
        filtered(y, noise, initial, step), y, noise, strict=True
    ):
        spread = variance + of_frame
        terms = 0.5 * (np.log(2 * np.pi * spread) + (seen - expected) ** 2 / spread)
        loss = loss + np.where(np.isnan(seen), 0, terms)
    return loss


def fit_smoothing(y: np.ndarray, typical: np.ndarray, initial: np.ndarray) -> np.ndarray:
    """Returns the smoothing parameter (K,) that minimises the negative log likelihood over log s in
    [-8, 8].

    As in the authors' package, the noise is taken as constant, the median over time of the
    networks' variance and at least 1e-4, so that frames in which the networks agree by chance do
    not decide. The package descends by Adam from a guess and stops early; here three grids are
    searched (`least`).

    y: (T, K, 2) centred observations, nan where there is none. typical: (K, 2), the median of the
    variances. initial: (K, 2), variances at frame 0.
    """
    noise = np.broadcast_to(np.fmax(typical, FIT_FLOOR), y.shape)
    return np.exp(
        least(
            lambda log_s: negative_log_likelihood(y, noise, initial, np.exp(log_s)[..., None]).sum(
                -1
            ),
            y.shape[1],
        )
    )


def least(loss: Callable[[np.ndarray], np.ndarray], count: int) -> np.ndarray:
    """Returns (count,) logarithms in [-8, 8] at which a loss is least.

    Three grids, with steps of 1, 1/8 and 1/64, each lie about the best of the one before. loss: of
    (G, count) numbers.
    """
    best = np.zeros(count)
    for step in (1, 1 / 8, 1 / 64):
        tried = np.clip(best + step * np.arange(-LARGEST, LARGEST + 1)[:, None], -LARGEST, LARGEST)
        best = np.take_along_axis(tried, loss(tried).argmin(0)[None], 0)[0]
    return best


# Before points are smoothed: medians of neighbouring frames, and gaps between sure points. A point
# without coordinates is nan in both.


def known_median(values: np.ndarray, axis: int = 0) -> np.ndarray:
    """Returns the median along an axis of the numbers that are known, nan where none is."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "All-NaN slice")
        return np.nanmedian(values, axis)


def median_filtered(points: np.ndarray, width: int) -> np.ndarray:
    """Replaces each coordinate by the median of those known in `width` frames about it; gaps stay.

    points: (T, ..., 2). width: odd; 1 changes nothing. A frame counts if the one opposite is known,
    too: beside gaps and at the ends, a median of one side would be that of another moment.
    """
    points = np.asarray(points, np.float64)
    beyond = np.full((width // 2, *points.shape[1:]), np.nan)
    windows = np.lib.stride_tricks.sliding_window_view(
        np.concatenate([beyond, points, beyond]), width, axis=0
    )
    found = known_median(np.where(np.isfinite(windows[..., ::-1]), windows, np.nan), -1)
    return np.where(np.isfinite(points), found, np.nan)


def gap_lengths(known: np.ndarray) -> np.ndarray:
    """Returns (T, ...) int: the number of frames of the gap that each frame lies in, 0 where
    something is known.

    known: (T, ...) bool. A gap at the start or at the end, which has no neighbour on one side,
    counts as ENDLESS.
    """
    known = np.asarray(known, bool)
    frames = np.arange(len(known)).reshape(-1, *(1,) * (known.ndim - 1))
    last = np.maximum.accumulate(np.where(known, frames, -1), axis=0)
    following = np.minimum.accumulate(np.where(known, frames, len(known))[::-1], axis=0)[::-1]
    lengths = np.where((last < 0) | (following == len(known)), ENDLESS, following - last - 1)
    return np.where(known, 0, lengths)


def filled(points: np.ndarray, most: int) -> np.ndarray:
    """Fills gaps of points (T, ..., 2) of at most `most` frames along straight lines; longer ones
    and ends stay nan.
    """
    points = np.asarray(points, np.float64)
    flat = points.reshape(len(points), -1)
    found, frames = flat.copy(), np.arange(len(flat))
    lengths = gap_lengths(np.isfinite(flat))
    for column in range(flat.shape[1]):
        known, gap = (
            np.isfinite(flat[:, column]),
            (lengths[:, column] > 0) & (lengths[:, column] <= most),
        )
        if gap.any():
            found[gap, column] = np.interp(frames[gap], frames[known], flat[known, column])
    return found.reshape(points.shape)
