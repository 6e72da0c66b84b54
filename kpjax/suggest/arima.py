"""Points that leave the path on which they were: what an ARMA(3, 1) model of each coordinate did not foresee.

The criterion `fitting` of DeepLabCut (Mathis et al. 2018). There the model is fitted by maximum likelihood; here by the
two regressions of Hannan and Rissanen (Biometrika 1982), which iterate nothing and take milliseconds for a video.
"""
import numpy as np

ORDER = 3  # of the autoregressive part
LONG_ORDER = 10  # of the first regression, whose residuals stand in for the shocks
SHORTEST = 4 * LONG_ORDER  # frames
SURE_ENOUGH = 0.01  # points with a lower score are gaps


def surprise(keypoints: np.ndarray, scores: np.ndarray, *, sure: float = SURE_ENOUGH) -> np.ndarray:
    """The distance between each frame's points and what the frames before let expect, mean over keypoints: (T,) px.

    keypoints: (T, K, 2) px of consecutive frames of one video. scores: (T, K); a point with a score below `sure` is a
    gap: it is compared with, but nothing is learnt from it. Nan for a video of fewer than 40 frames, and a keypoint of
    which fewer than 40 points are sure counts nowhere.
    """
    frames, count = keypoints.shape[:2]
    series = np.asarray(keypoints, np.float64).reshape(frames, -1)
    known = np.repeat(np.asarray(scores) >= sure, 2, axis=1) & np.isfinite(series)
    off = np.full((frames, 2 * count), np.nan)
    for column in np.flatnonzero(known.sum(0) >= SHORTEST):
        centre = series[known[:, column], column].mean()
        gapped = np.where(known[:, column], series[:, column] - centre, np.nan)
        off[:, column] = series[:, column] - centre - foreseen(gapped, *coefficients(gapped))
    distances = np.linalg.norm(off.reshape(frames, count, 2), axis=-1)
    counted = np.isfinite(distances)
    return np.where(counted.any(1), np.where(counted, distances, 0).sum(1) / np.maximum(counted.sum(1), 1), np.nan)


def coefficients(series: np.ndarray) -> tuple[np.ndarray, float]:
    """phi (3,) and theta of x_t = phi_1 x_(t-1) + phi_2 x_(t-2) + phi_3 x_(t-3) + e_t + theta e_(t-1).

    series: (T,) of mean 0, nan for gaps; rows with a gap among what they need are left out of both regressions.
    """
    before = _lagged(series, LONG_ORDER)
    shocks = series - before @ _regression(before, series)
    features = np.concatenate([before[:, :ORDER], _lagged(shocks, 1)], 1)
    *phi, theta = _regression(features, series)
    return np.array(phi), float(np.clip(theta, -0.99, 0.99))


def _lagged(series: np.ndarray, order: int) -> np.ndarray:
    """(T, order): in column j the series j + 1 steps earlier, nan before its begin."""
    return np.stack([np.concatenate([np.full(step, np.nan), series[:-step]]) for step in range(1, order + 1)], 1)


def _regression(features: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Least squares on the rows that are complete; zeros if there are too few of them."""
    complete = np.isfinite(features).all(1) & np.isfinite(values)
    if complete.sum() < 2 * features.shape[1]:
        return np.zeros(features.shape[1])
    return np.linalg.lstsq(features[complete], values[complete], rcond=None)[0]


def foreseen(series: np.ndarray, phi: np.ndarray, theta: float) -> np.ndarray:
    """(T,): the Kalman filter's expectation of each value from those before it, over gaps as well.

    The state is Harvey's (Forecasting, Structural Time Series Models and the Kalman Filter, 1989), its first value
    unknown: a variance much larger than that of the series.
    """
    transition = np.zeros((ORDER, ORDER))
    transition[:, 0] = phi
    transition[:-1, 1:] = np.eye(ORDER - 1)
    enters = np.array([1.0, theta, 0.0])
    state, covariance = np.zeros(ORDER), np.eye(ORDER) * 1e6 * max(float(np.nanvar(series)), 1e-12)
    noise = np.outer(enters, enters) * max(float(np.nanvar(np.diff(series))), 1e-12)
    expected = np.empty(len(series))
    for time, value in enumerate(series):
        expected[time] = state[0]
        if np.isfinite(value):
            gain = covariance[:, 0] / max(covariance[0, 0], 1e-300)
            state = state + gain * (value - state[0])
            covariance = covariance - np.outer(gain, covariance[0])
        state = transition @ state
        covariance = transition @ covariance @ transition.T + noise
    expected[0] = series[0] if np.isfinite(series[0]) else 0.0  # nothing comes before it
    return expected
