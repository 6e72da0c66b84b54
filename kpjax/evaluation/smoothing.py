"""The ensemble Kalman smoother for one camera: keypoints of a video from several networks, smoothed over time.

Networks that were trained alike but from other seeds agree where an image is clear. Where they do not, the smoother
relies on the neighbouring frames instead. Source: Biderman et al., "Lightning Pose: improved animal pose estimation via
semi-supervised learning, Bayesian ensembling and cloud-native open-source tools", Nature Methods 2024.

The model of each keypoint, with points in pixels less their mean over the video:

    x_0 ~ N(0, V)                   V: the variance over time of the observations, of each coordinate
    x_t = x_{t-1} + N(0, s I)       s: the smoothing parameter, in square pixels; smaller is smoother
    y_t = x_t + N(0, R_t)           y_t: the median of the networks; R_t: their variance, of each coordinate

V, the covariance of steps, the divisor of the variance and the fit of s follow version 4.6.2 of the authors' package
`ensemble-kalman-smoother` with `var_mode="var"`. All covariances are diagonal, so that x and y are smoothed as two
sequences of numbers. Frames without an observation are bridged here; the package has no gaps.
"""
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from kpjax.errors import InputError

FLOOR = 1e-12  # square pixels, the smallest variance of an observation, as in the package
FIT_FLOOR = 1e-4  # the same while s is fitted
LARGEST = 8  # of |log s|, as in the package


class Smoothed(NamedTuple):
    """Keypoints of a video after smoothing; nan for a keypoint that was never observed."""

    points: np.ndarray  # (T, K, 2) float64, the posterior mean, (x, y) in the pixels of the given points
    variances: np.ndarray  # (T, K, 2) float64, posterior, along x and y in square pixels; their covariance is 0
    s: np.ndarray  # (K,) float64, in square pixels


class Observations(NamedTuple):
    """What an ensemble says of a video; nan in frames with fewer than two networks."""

    points: np.ndarray  # (T, K, 2) float64, medians
    variances: np.ndarray  # (T, K, 2) float64, population variances in square pixels


def ensemble_smoother(points: np.ndarray, *, s: float | np.ndarray | None = None) -> Smoothed:
    """Smooths the keypoints of one video that several networks found.

    Frames in which fewer than two networks have a keypoint are bridged: their variance would be unknown.

    Args:
        points: (M, T, K, 2), (x, y) in pixels of M networks in T consecutive frames; nan where one found nothing.
        s: the smoothing parameter, one for all keypoints or (K,); None fits it (`fit_smoothing`).

    Raises:
        InputError: for fewer than two networks, no frame, another shape, or an `s` that is not positive.
    """
    seen = ensemble_observations(points)
    count = seen.points.shape[1]
    if s is not None:
        s = np.asarray(s, np.float32)
        if s.shape not in ((), (count,)) or not (np.isfinite(s) & (s > 0)).all():
            raise InputError("s", f"must be above 0, one number or one for each of the {count} keypoints")
        s = np.broadcast_to(s, count)
    known = np.isfinite(seen.points)
    number = known.sum(0)
    mean = np.where(known, seen.points, 0).sum(0) / np.maximum(number, 1)
    centred = np.where(known, seen.points - mean, np.nan)
    spread = (np.where(known, centred, 0) ** 2).sum(0) / np.maximum(number, 1)
    typical = _middle(np.sort(seen.variances, axis=0), number)
    moved, variances, s = jax.device_get(_smooth(
        *(np.asarray(value, np.float32) for value in (centred, seen.variances, spread, typical)), s))
    never = number == 0
    return Smoothed(np.where(never, np.nan, mean + moved), np.where(never, np.nan, variances.astype(np.float64)),
                    np.where(never[:, 0], np.nan, s.astype(np.float64)))


def ensemble_observations(points: np.ndarray) -> Observations:
    """Computes the median and the population variance of networks at each point. Arguments as of `ensemble_smoother`.

    A network counts at a point where both its coordinates are finite.
    """
    points = np.asarray(points, np.float64)
    if points.ndim != 4 or points.shape[-1] != 2 or not points.shape[1]:
        raise InputError("points", "must have the shape (networks, frames, keypoints, 2) with at least 1 frame, got "
                                   f"{points.shape}")
    if len(points) < 2:
        raise InputError("points", f"come from {len(points)} network; the smoother takes its noise from their "
                                   "differences and needs at least 2")
    known = np.isfinite(points).all(-1, keepdims=True)
    number = known.sum(0)
    mean = np.where(known, points, 0).sum(0) / np.maximum(number, 1)
    variances = (np.where(known, points - mean, 0) ** 2).sum(0) / np.maximum(number, 1)
    medians = _middle(np.sort(np.where(known, points, np.nan), axis=0), np.broadcast_to(number, mean.shape))
    return Observations(np.where(number < 2, np.nan, medians), np.where(number < 2, np.nan, variances))


def smooth_random_walk(y: Array, noise: Array, initial: Array, step: Array) -> tuple[Array, Array]:
    """Returns means and variances of independent Gaussian random walks given all noisy observations of them.

    The Rauch-Tung-Striebel smoother as a parallel scan, whose depth is logarithmic in the number of frames (Särkkä and
    García-Fernández 2021, "Temporal parallelization of Bayesian smoothers").

    Args:
        y: (T, ...) float32 observations, nan where there is none.
        noise: (T, ...) positive variances of the observations; anything where y is nan.
        initial: (...) variances at frame 0, where the mean is 0.
        step: (...) positive variances of a step.

    Returns:
        Means and variances, (T, ...) each.
    """
    mean, variance = filter_random_walk(y, noise, initial, step)
    # x_t given x_{t+1} and the past is N(gain x_{t+1} + rest, left); the last frame has no next one.
    step = jnp.asarray(step)[None]
    gain = (variance / (variance + step)).at[-1].set(0)
    rest, left = (1 - gain) * mean, (gain * step).at[-1].set(variance[-1])

    def combine(later, earlier):
        gain_later, rest_later, left_later = later
        gain_earlier, rest_earlier, left_earlier = earlier
        return (gain_earlier * gain_later, gain_earlier * rest_later + rest_earlier,
                gain_earlier ** 2 * left_later + left_earlier)

    _, mean, variance = _prefixes(combine, [value[::-1] for value in (gain, rest, left)], (1, 0, 0))
    return mean[::-1], variance[::-1]


def filter_random_walk(y: Array, noise: Array, initial: Array, step: Array) -> tuple[Array, Array]:
    """Returns means and variances of random walks given the observations up to each frame, by a parallel scan.

    Särkkä and García-Fernández 2021, for a state of one number. Arguments and results as of `smooth_random_walk`.
    """
    seen = ~jnp.isnan(y)
    y = jnp.where(seen, y, 0)
    before = jnp.broadcast_to(step, y.shape).at[0].set(initial)  # the variance before each frame's observation
    total = jnp.where(seen, before + noise, 1)
    kept = jnp.where(seen, noise / total, 1)
    first = (jnp.arange(len(y)) == 0).reshape(-1, *(1,) * (y.ndim - 1))
    elements = (jnp.where(first, 0, kept),
                jnp.where(seen, before / total, 0) * y,
                before * kept,
                jnp.where(seen & ~first, y / total, 0),
                jnp.where(seen & ~first, 1 / total, 0))

    def combine(earlier, later):
        a, b, c, eta, j = earlier
        a_later, b_later, c_later, eta_later, j_later = later
        shrink = 1 / (1 + c * j_later)
        return (a_later * a * shrink,
                a_later * shrink * (b + c * eta_later) + b_later,
                a_later ** 2 * shrink * c + c_later,
                a * shrink * (eta_later - j_later * b) + eta,
                a ** 2 * shrink * j_later + j)

    _, mean, variance, _, _ = _prefixes(combine, elements, (1, 0, 0, 0, 0))
    return mean, variance


def _prefixes(combine, elements, neutral) -> list[Array]:
    """Combines each element with all before it, by doubling (Hillis and Steele 1986): depth log T, work T log T.

    `jax.lax.associative_scan` does less work, but it unrolls its levels. For 10,000 frames of 20 points XLA took twenty
    times as long to compile it for a CPU, and the program was no faster.
    """
    frames = jnp.arange(len(elements[0])).reshape(-1, *(1,) * (elements[0].ndim - 1))

    def double(level, found):
        reach = 1 << level
        before = [jnp.where(frames >= reach, jnp.roll(value, reach, 0), alone)
                  for value, alone in zip(found, neutral, strict=True)]
        return list(combine(before, found))

    return jax.lax.fori_loop(0, (len(frames) - 1).bit_length(), double, list(elements))


def negative_log_likelihood(y: Array, noise: Array, initial: Array, step: Array) -> Array:
    """Returns -log p(y), summed over frames: (...). Arguments as of `smooth_random_walk`."""
    mean, variance = filter_random_walk(y, noise, initial, step)
    step = jnp.asarray(step)[None]
    expected = jnp.concatenate([jnp.zeros_like(mean[:1]), mean[:-1]])
    spread = jnp.concatenate([jnp.broadcast_to(initial, mean[:1].shape), variance[:-1] + step]) + noise
    terms = 0.5 * (jnp.log(2 * jnp.pi * spread) + (y - expected) ** 2 / spread)
    return jnp.where(jnp.isnan(y), 0, terms).sum(0)


@jax.jit
def fit_smoothing(y: Array, typical: Array, initial: Array) -> Array:
    """Returns the smoothing parameter (K,) that minimises the negative log likelihood over log s in [-8, 8].

    As in the authors' package, the noise is taken as constant, the median over time of the networks' variance and at
    least 1e-4, so that frames in which the networks agree by chance do not decide. The package descends by Adam from a
    guess and stops early; here three grids, with steps of 1, 1/8 and 1/64 in log s, each lie about the best of the one
    before.

    Args:
        y: (T, K, 2) float32, centred observations, nan where there is none.
        typical: (K, 2), the median of the variances.
        initial: (K, 2), variances at frame 0.
    """
    noise = jnp.broadcast_to(jnp.maximum(typical, FIT_FLOOR), y.shape)

    def loss(log_s):
        return negative_log_likelihood(y, noise, initial, jnp.exp(log_s)[:, None]).sum(-1)

    return jnp.exp(_least(loss, y.shape[1]))


def _least(loss, count: int) -> Array:
    """Returns (count,) logarithms in [-8, 8] at which a loss is least: three grids, each about the last best."""
    def refine(best, step):
        tried = best[None] + step * jnp.arange(-LARGEST, LARGEST + 1, dtype=jnp.float32)[:, None]
        tried = jnp.clip(tried, -LARGEST, LARGEST)
        return jnp.take_along_axis(tried, jax.lax.map(loss, tried).argmin(0)[None], 0)[0], None

    return jax.lax.scan(refine, jnp.zeros(count, jnp.float32), jnp.asarray([1, 1 / 8, 1 / 64], jnp.float32))[0]


# One network

DIFFUSE = 1e7  # the variance before the first observation, over that of an observation: nothing is known there


def single_smoother(points: np.ndarray) -> Smoothed:
    """Smooths the keypoints that one network found on consecutive frames, by the model of `ensemble_smoother`.

    There is no spread of networks that tells how sure a frame is, so that the variance of an observation is one number
    for all frames of a keypoint. It and the variance of a step maximise the likelihood together; nothing is known of
    the first place. Points that wander as far as a step are hardly smoothed, points that shake about a place are.

    Args:
        points: (T, K, 2) in pixels; nan where nothing was found, which is bridged.

    Raises InputError for another shape.
    """
    points = np.asarray(points, np.float64)
    if points.ndim != 3 or points.shape[-1] != 2 or not len(points):
        raise InputError("points", f"must have the shape (frames, keypoints, 2) with at least 1 frame, got "
                                   f"{points.shape}")
    known = np.isfinite(points).all(-1, keepdims=True)
    number = known.sum(0)
    mean = np.where(known, points, 0).sum(0) / np.maximum(number, 1)
    moved, variances, s = jax.device_get(_smooth_alone(np.where(known, points - mean, np.nan).astype(np.float32)))
    never = number == 0
    return Smoothed(np.where(never, np.nan, mean + moved), np.where(never, np.nan, variances.astype(np.float64)),
                    np.where(never[:, 0], np.nan, s.astype(np.float64)))


@jax.jit
def _smooth_alone(y):
    noise, initial = jnp.ones_like(y), jnp.full(y.shape[1:], DIFFUSE, y.dtype)

    def concentrated(log_s):
        """Returns the loss (K,) at the best variance of an observation, and that variance. log_s: in units of it."""
        step = jnp.exp(log_s)[:, None]
        mean, variance = filter_random_walk(y, noise, initial, step)
        expected = jnp.concatenate([jnp.zeros_like(mean[:1]), mean[:-1]])
        spread = jnp.concatenate([initial[None], variance[:-1] + step[None]]) + noise
        counts = ~jnp.isnan(y) & (spread < DIFFUSE / 10)  # the first observation says nothing
        total = jnp.maximum(counts.sum((0, 2)), 1).astype(y.dtype)
        scale = jnp.where(counts, (y - expected) ** 2 / spread, 0).sum((0, 2)) / total
        scale = jnp.maximum(scale, FLOOR)
        return 0.5 * (jnp.where(counts, jnp.log(spread), 0).sum((0, 2)) + total * jnp.log(scale)), scale

    log_s = _least(lambda tried: concentrated(tried)[0], y.shape[1])
    step, scale = jnp.exp(log_s), concentrated(log_s)[1]
    mean, variance = smooth_random_walk(y, noise, initial, step[:, None])
    return mean, variance * scale[None, :, None], step * scale


@jax.jit
def _smooth(y, variances, initial, typical, s):
    if s is None:
        s = fit_smoothing(y, typical, initial)
    mean, variance = smooth_random_walk(y, jnp.maximum(variances, FLOOR), initial, s[:, None])
    return mean, variance, s


def _middle(ordered: np.ndarray, number: np.ndarray) -> np.ndarray:
    """Returns the median of the first `number` entries along axis 0 of what is sorted with nan last; nan for none."""
    lower = np.take_along_axis(ordered, np.maximum(number - 1, 0)[None] // 2, 0)[0]
    upper = np.take_along_axis(ordered, np.minimum(number // 2, len(ordered) - 1)[None], 0)[0]
    return (lower + upper) / 2
