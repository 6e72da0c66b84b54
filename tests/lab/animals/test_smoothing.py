"""The ensemble Kalman smoother against recursions of one number, and where its answer is known;
medians and gaps.
"""

import numpy as np
import pytest

from kpjax.lab.animals import smoothing


def sequential(y, noise, initial, step):
    """The Kalman filter and the Rauch-Tung-Striebel smoother of one sequence, frame by frame in
    float64.
    """
    forward, loss, mean, variance = [], 0.0, 0.0, initial
    for t, (seen, r) in enumerate(zip(y, noise, strict=True)):
        variance = variance + step * (t > 0)
        if np.isfinite(seen):
            total = variance + r
            loss += 0.5 * (np.log(2 * np.pi * total) + (seen - mean) ** 2 / total)
            mean, variance = mean + variance / total * (seen - mean), variance * r / total
        forward.append((mean, variance))
    smoothed = [forward[-1]]
    for mean, variance in forward[-2::-1]:
        gain = variance / (variance + step)
        later, later_variance = smoothed[-1]
        smoothed.append(
            (mean + gain * (later - mean), variance + gain**2 * (later_variance - variance - step))
        )
    return np.array(forward), np.array(smoothed[::-1]), loss


def walks(seed, frames=150, count=6, gaps=0.2, spread=20.0):
    """Returns y, noise (T, N), initial and step (N,), some frames without an observation, one of
    them the first.
    """
    generator = np.random.default_rng(seed)
    step, initial = np.exp(generator.uniform(-6, 4, count)), np.full(count, spread**2)
    y = generator.normal(size=count) * spread + np.cumsum(
        generator.normal(size=(frames, count)) * np.sqrt(step), 0
    )
    noise = np.exp(generator.uniform(-8, 4, (frames, count)))
    y = y + generator.normal(size=y.shape) * np.sqrt(noise)
    y[generator.random(y.shape) < gaps] = np.nan
    y[0, 0] = y[-1, 1] = y[40:90, 2] = np.nan
    return y, noise, initial, step


@pytest.mark.parametrize("seed", range(3))
def test_many_walks_at_once_are_each_filtered_and_smoothed(seed):
    given = walks(seed)
    forwards, smoothed = list(smoothing.filtered(*given)), smoothing.smooth_random_walk(*given)
    forwards = np.stack([one[2] for one in forwards]), np.stack([one[3] for one in forwards])
    losses = smoothing.negative_log_likelihood(*given)
    for column in range(given[0].shape[1]):
        expected_filter, expected, loss = sequential(*(value[..., column] for value in given))
        for found, wanted in ((forwards, expected_filter), (smoothed, expected)):
            np.testing.assert_allclose(found[0][:, column], wanted[:, 0], atol=1e-9)
            np.testing.assert_allclose(found[1][:, column], wanted[:, 1], rtol=1e-9)
        assert losses[column] == pytest.approx(loss, rel=1e-9)


def ensemble(seed=0, members=5, frames=120, keypoints=3):
    """Points (M, T, K, 2) in an image of 300 pixels: random walks seen with noise that differs
    between frames.
    """
    generator = np.random.default_rng(seed)
    truth = 150 + np.cumsum(generator.normal(size=(frames, keypoints, 2)), 0)
    noise = np.exp(generator.normal(size=(frames, keypoints, 1)))
    return truth + generator.normal(size=(members, frames, keypoints, 2)) * noise


def test_the_ensemble_is_smoothed_as_the_model_says():
    points = ensemble()
    points[:, 30:40, 1] = np.nan
    points[0, 50, 2] = np.nan
    found = smoothing.ensemble_smoother(points)
    for keypoint, step in enumerate(found.s):
        for axis in range(2):
            seen = points[:, :, keypoint, axis]
            gone = np.isnan(seen).all(0)
            bridged = np.where(gone, 0, seen)
            y = np.where(gone, np.nan, np.nanmedian(bridged, 0))
            noise = np.nanvar(bridged, 0)
            middle, spread = np.nanmean(y), np.nanvar(y)
            _, expected, _ = sequential(y - middle, noise, spread, step)
            np.testing.assert_allclose(
                found.points[:, keypoint, axis], middle + expected[:, 0], atol=1e-9
            )
            np.testing.assert_allclose(
                found.variances[:, keypoint, axis], expected[:, 1], rtol=1e-9
            )
    gap = found.variances[30:40, 1, 0]
    assert gap[[0, -1]].max() < gap[5]  # grows towards the middle


@pytest.mark.parametrize("step", [0.05, 1.0, 20.0])
def test_the_fit_finds_the_step_that_made_the_walk(step):
    generator = np.random.default_rng(4)
    truth = np.cumsum(generator.normal(size=(2000, 2, 2)) * np.sqrt(step), 0)
    noise = np.ones((2, 2))
    y = truth + generator.normal(size=truth.shape)
    y[generator.random(2000) < 0.1] = np.nan
    found = smoothing.fit_smoothing(y - np.nanmean(y, 0), noise, np.nanvar(y, 0))
    assert (np.abs(np.log(found / step)) < np.log(1.3)).all()


def test_medians_and_variances_of_those_that_see_a_point():
    points = np.full((4, 1, 4, 2), np.nan)
    points[:, 0, 0, 0], points[:, 0, 0, 1] = [4, 1, 3, 8], [0, 0, 0, 2]
    points[1:, 0, 1] = [[1, 1], [2, 2], [9, 3]]
    points[2, 0, 2] = 5
    found = smoothing.ensemble_observations(points)
    np.testing.assert_allclose(found[0][0], [[3.5, 0], [2, 2], [np.nan, np.nan], [np.nan, np.nan]])
    np.testing.assert_allclose(found[1][0, :2], [[6.5, 0.75], [38 / 3, 2 / 3]])
    assert np.isnan(found[1][0, 2:]).all()


def test_far_from_the_ends_variances_are_in_balance():
    """The filter's p is (p + 1) / (p + 2), and the smoother's p (p + 1) / (2 p + 1)."""
    y = np.random.default_rng(8).normal(size=(200, 2))
    _, variance = smoothing.smooth_random_walk(y, np.ones_like(y), np.ones(2), np.ones(2))
    assert variance[100] == pytest.approx(1 / np.sqrt(5), rel=1e-9)


# One network


def wandering(frames, step, noise, seed=0):
    """A random walk of two keypoints and its noisy observations, (T, 2, 2) each."""
    random = np.random.default_rng(seed)
    truth = 100 + np.cumsum(random.normal(0, step, (frames, 2, 2)), 0)
    return truth, truth + random.normal(0, noise, truth.shape)


@pytest.mark.parametrize(("step", "noise"), [(0.5, 3.0), (2.0, 2.0), (3.0, 0.1)])
def test_one_network_is_smoothed_as_far_as_it_shakes(step, noise):
    """The optimal smoother knows both variances; the fitted one is nearly as good, and its bands
    hold the truth.
    """
    truth, seen = wandering(600, step, noise)
    found = smoothing.single_smoother(seen)
    best, variances = smoothing.smooth_random_walk(
        seen - seen.mean(0),
        np.full(seen.shape, noise**2),
        np.full((2, 2), 1e6),
        np.full((2, 1), step**2),
    )
    error, least = (
        np.sqrt(((one - truth) ** 2).mean()) for one in (found.points, best + seen.mean(0))
    )
    assert error < 1.05 * least + 0.02
    if noise >= step:  # else the noise hardly shows
        assert found.variances[5:-5].mean() == pytest.approx(variances[5:-5].mean(), rel=0.4)
    if noise > step:
        assert error < 0.6 * noise


def test_one_network_with_gaps_a_still_point_and_one_never_seen():
    truth, seen = wandering(200, 0.5, 1.0)
    seen[50:60, 0], seen[:, 1] = np.nan, [7.0, 8.0]
    found = smoothing.single_smoother(np.concatenate([seen, np.full((200, 1, 2), np.nan)], 1))
    np.testing.assert_allclose(found.points[:, 1], np.broadcast_to([7.0, 8.0], (200, 2)), atol=1e-4)
    assert np.abs(found.points[50:60, 0] - truth[50:60, 0]).max() < 5
    assert (found.variances[55, 0] > found.variances[30, 0]).all()
    assert np.isnan(found.points[:, 2]).all()
    assert np.isnan(found.s[2])


# Three networks, eight frames, two keypoints, and what version 4.6.2 of the authors' package makes
# of them.
OF_NETWORKS = np.array(
    [
        49.95,
        51.74,
        48.83,
        49.59,
        50.3,
        48.95,
        49.01,
        49.93,
        51.17,
        52.41,
        48.99,
        51.67,
        49.45,
        50.42,
        48.49,
        51.6,
        50.26,
        49.14,
        46.89,
        51.68,
        50.19,
        52.43,
        45.76,
        51.57,
        48.81,
        51.88,
        44.78,
        49.32,
        50.26,
        51.52,
        44.86,
        49.19,
        50.74,
        51.53,
        50.95,
        49.75,
        47.84,
        49.61,
        46.95,
        52.28,
        47.73,
        51.18,
        49.3,
        51.09,
        49.17,
        49.55,
        48.74,
        50.91,
        48.3,
        50.35,
        44.72,
        52.5,
        50.33,
        51.51,
        45.45,
        50.7,
        48.9,
        51.06,
        44.81,
        50.1,
        49.69,
        51.47,
        46.86,
        50.81,
        50.11,
        51.53,
        50.14,
        49.06,
        50.25,
        49.8,
        49.28,
        51.59,
        49.16,
        50.34,
        47.67,
        52.22,
        48.99,
        46.99,
        45.93,
        51.38,
        49.54,
        48.16,
        47.09,
        51.97,
        47.36,
        53.13,
        46.2,
        49.55,
        50.84,
        52.36,
        46.26,
        50.43,
        50.81,
        50.59,
        46.77,
        52.22,
    ]
).reshape(3, 8, 2, 2)
PUBLISHED = {
    # the smoothing parameters: given, and fitted by the package; its points
    (1.0330093, 0.4047741): np.array(
        [
            49.98070,
            51.50985,
            49.16770,
            49.93221,
            49.86660,
            49.89835,
            48.86661,
            50.82112,
            49.45201,
            50.53170,
            48.51192,
            51.39007,
            49.18894,
            50.23826,
            47.76982,
            51.42674,
            49.47196,
            50.28026,
            46.84692,
            51.69185,
            49.64772,
            51.79044,
            45.90888,
            50.98017,
            49.52426,
            51.79942,
            45.60730,
            50.43418,
            50.13615,
            51.51944,
            45.98217,
            50.51270,
        ]
    ),
    (0.8206899, 0.8593075): np.array(
        [
            49.97644,
            51.50659,
            49.37911,
            49.86275,
            49.84336,
            49.95132,
            49.03980,
            50.96407,
            49.45709,
            50.50713,
            48.72413,
            51.51243,
            49.19328,
            50.29873,
            47.95107,
            51.42471,
            49.46286,
            50.38024,
            46.89081,
            51.80081,
            49.63583,
            51.73044,
            45.83115,
            50.91558,
            49.56587,
            51.77608,
            45.41723,
            50.30100,
            50.11906,
            51.52566,
            46.09703,
            50.48386,
        ]
    ),
}


@pytest.mark.parametrize("s", PUBLISHED)
def test_points_are_those_of_the_authors_package(s):
    seen, spreads = smoothing.ensemble_observations(OF_NETWORKS)
    y, mean, spread = smoothing.centred_points(seen)
    found, _ = smoothing.smooth_random_walk(y, spreads, spread, np.array(s)[:, None])
    np.testing.assert_allclose(mean + found, PUBLISHED[s].reshape(8, 2, 2), atol=1e-4)


# Medians over frames and gaps between sure points


def track(*values):
    """Points that move along x, with y = 2 x."""
    return np.array([[value, 2 * value] for value in values], float)


def test_an_outlier_goes_and_a_gap_stays():
    found = smoothing.median_filtered(track(1, 2, 90, 4, 5, np.nan, 7), 3)
    np.testing.assert_array_equal(found[:, 0], [1, 2, 4, 5, 5, np.nan, 7])
    np.testing.assert_array_equal(found[:, 1], 2 * found[:, 0])
    np.testing.assert_array_equal(smoothing.median_filtered(track(3, 1, 2), 1), track(3, 1, 2))
    np.testing.assert_array_equal(
        smoothing.median_filtered(track(0, 9, 1, 9, 2), 5)[:, 0], [0, 1, 2, 2, 2]
    )
    np.testing.assert_array_equal(
        smoothing.median_filtered(track(5, 1, 3, 9), 7)[:, 0], [5, 3, 3, 9]
    )  # shorter than the window


def test_short_gaps_are_filled_and_long_ones_and_ends_are_not():
    points = track(np.nan, 1, np.nan, np.nan, 4, np.nan, np.nan, np.nan, 8, np.nan)
    np.testing.assert_array_equal(
        smoothing.filled(points, 2)[:, 0], [np.nan, 1, 2, 3, 4, np.nan, np.nan, np.nan, 8, np.nan]
    )
    np.testing.assert_array_equal(smoothing.filled(points, 3), track(np.nan, *range(1, 9), np.nan))
    np.testing.assert_array_equal(smoothing.filled(points, 0), points)
    np.testing.assert_array_equal(smoothing.filled(track(np.nan, np.nan), 5), track(np.nan, np.nan))
    assert smoothing.gap_lengths(np.isfinite(points[:, 0])).tolist() == [
        smoothing.ENDLESS,
        0,
        2,
        2,
        0,
        3,
        3,
        3,
        0,
        smoothing.ENDLESS,
    ]
    assert smoothing.filled(np.stack([points, points + 1], 1), 3).shape == (10, 2, 2)
