"""Linear probes, the splits they are fitted on, and the units of their errors."""

import numpy as np
import pytest

from kpjax.evaluation.probes.linear import best_ridge, fit_linear, linear_probe, mean_pose
from kpjax.evaluation.probes.regression_errors import (
    errors_in_units,
    normalised_from_pixels,
    regression_errors,
)
from kpjax.evaluation.probes.splits import Split, halves_by, random_halves

EVERYTHING = Split(np.arange(40), np.arange(40))


@pytest.fixture(scope="module")
def poses():
    """Discovered points (40, 3, 2) float32 in pixels and joints (40, 4, 2) that are linear in
    them."""
    generator = np.random.default_rng(0)
    points = generator.uniform(0, 63, (40, 3, 2)).astype(np.float32)
    joints = (points.reshape(40, 6).astype(np.float64) @ generator.normal(size=(6, 8)) + 7).reshape(
        40, 4, 2
    )
    return points, joints


def test_joints_that_are_linear_in_the_points_are_found_exactly(poses):
    points, joints = poses
    split = random_halves(40, 0)
    found = linear_probe(points, joints, np.ones((40, 4)), split)
    np.testing.assert_allclose(found, joints, atol=1e-9)
    # An intercept makes the origin and the unit of the points irrelevant; without one they decide.
    noisy = joints + np.random.default_rng(1).normal(size=joints.shape)
    for intercept in (True, False):
        pixels, normalised = (
            linear_probe(given, noisy, np.ones((40, 4)), split, intercept=intercept)
            for given in (points, normalised_from_pixels(points, (64, 64)))
        )
        assert np.allclose(pixels, normalised, atol=1e-6) == intercept


@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("ridge", [0.0, 3.0])
def test_it_is_the_regression_of_scikit_learn(poses, intercept, ridge):
    linear_model = pytest.importorskip("sklearn.linear_model")
    points, joints = poses
    x, y = points.reshape(40, 6).astype(np.float64), np.square(joints.reshape(40, 8))
    theirs = (
        linear_model.Ridge(ridge, fit_intercept=intercept)
        if ridge
        else linear_model.LinearRegression(fit_intercept=intercept)
    ).fit(x, y)
    ours = fit_linear(x, y, intercept=intercept, ridge=ridge)
    np.testing.assert_allclose(ours(x), theirs.predict(x), rtol=1e-8, atol=1e-6)


def test_points_that_do_not_move_get_no_slope(poses):
    """Rounding noise of a dead point would otherwise be scaled up to fit the targets."""
    points, joints = poses
    generator = np.random.default_rng(2)
    dead = (20 + 1e-6 * generator.normal(size=(40, 2, 2))).astype(np.float32)
    noisy = joints + generator.normal(size=joints.shape)
    alone = linear_probe(points, noisy, np.ones((40, 4)), random_halves(40, 0))
    beside = linear_probe(
        np.concatenate([points, dead], 1), noisy, np.ones((40, 4)), random_halves(40, 0)
    )
    np.testing.assert_allclose(beside, alone, atol=1e-3)


def test_the_ridge_is_chosen_by_groups_left_out():
    """Many features of few groups: least squares follow each group's own noise.

    The tested side is not read.
    """
    generator = np.random.default_rng(0)
    groups = np.repeat(np.arange(8), 5)
    own = generator.normal(size=(8, 20))[groups]  # tells the group, and nothing of others
    signal = generator.normal(size=(40, 1))
    features = np.concatenate([signal, own], axis=1)
    true = np.stack([signal + generator.normal(size=(8, 1))[groups], signal], axis=-1)
    fit, ridges = np.arange(20), (0.0, 1.0, 100.0)
    chosen = best_ridge(features, true, np.ones((40, 1)), fit, groups, ridges)

    def missed(ridge):
        return sum(
            np.square(
                (
                    linear_probe(
                        features,
                        true,
                        np.ones((40, 1)),
                        Split(fit[groups[fit] != name], fit[groups[fit] == name]),
                        ridge=ridge,
                    )
                    - true
                )[fit[groups[fit] == name]]
            ).sum()
            for name in range(4)
        )

    assert chosen == min(ridges, key=missed) > 0
    spoilt = np.where(np.arange(40)[:, None, None] < 20, true, np.nan)
    assert best_ridge(features, spoilt, np.ones((40, 1)), fit, groups, ridges) == chosen


def test_the_ridge_is_chosen_where_one_group_alone_shows_a_joint():
    """That joint tells nothing of a ridge: the choice is that by the other joints."""
    generator = np.random.default_rng(0)
    groups = np.repeat(np.arange(8), 5)
    features = generator.normal(size=(40, 12))
    true = features[:, :6].reshape(40, 3, 2) + 2 * generator.normal(size=(40, 3, 2))
    visible = np.ones((40, 3))
    visible[:, 2] = np.isin(groups, [1, 6])
    fit, ridges = np.arange(20), (0.0, 3.0, 30.0)
    chosen = best_ridge(features, true, visible, fit, groups, ridges)
    assert chosen == best_ridge(features, true[:, :2], visible[:, :2], fit, groups, ridges) > 0
    linear_probe(features, true, visible, Split(fit, np.arange(20, 40)), ridge=chosen)


def test_each_joint_is_fitted_where_it_shows(poses):
    points, joints = poses
    visible = np.ones((40, 4))
    visible[:25, 1] = 0
    hidden = np.where(visible[..., None] > 0, joints, np.nan)
    found = linear_probe(points, hidden, visible, EVERYTHING)
    np.testing.assert_allclose(found, joints, atol=1e-8)
    errors = regression_errors(found, hidden, visible)
    assert errors.per_image < 1e-8
    assert np.isfinite(errors.per_joint).all()
    assert np.isnan(regression_errors(found, hidden, 0 * visible).per_point)


def test_the_mean_pose_is_the_probe_without_features(poses):
    _, joints = poses
    visible = np.ones((40, 4))
    visible[::2, 2] = 0
    split = random_halves(40, 3)
    found = mean_pose(joints, visible, split)
    for joint in range(4):
        shown = split.fit[visible[split.fit, joint] > 0]
        np.testing.assert_allclose(found[:, joint], np.tile(joints[shown, joint].mean(0), (40, 1)))


def test_units_of_errors():
    """A crop that enlarges x by 2 and y by 3: the same errors in three units."""
    true = np.full((5, 2, 2), 10.0)
    predicted = true + np.array([3.0, 0.0])
    crop = np.tile(np.array([[2.0, 0, 5], [0, 3, 7], [0, 0, 1]]), (5, 1, 1))
    found = errors_in_units(predicted, true, np.ones((5, 2)), size=(32, 64), crop=crop)
    assert found["pixels"].per_point == pytest.approx(3)
    assert found["normalised"].per_point == pytest.approx(3 * 2 / 64)
    assert found["original"].per_point == pytest.approx(6)


def test_halves_keep_groups_together_and_deal_out_kinds():
    video = np.repeat(np.arange(12), 5)
    action = np.repeat(["wave", "walk", "jump"] * 4, 5)
    split = halves_by(video, 1, kinds=action)
    assert sorted([*split.fit, *split.test]) == list(range(60))
    assert not set(video[split.fit]) & set(video[split.test])
    for side in split:
        assert {name: int((action[side] == name).sum()) for name in set(action)} == {
            "wave": 10,
            "walk": 10,
            "jump": 10,
        }
    assert not np.array_equal(halves_by(video, 2).fit, halves_by(video, 3).fit)
    odd = random_halves(7, 0)
    assert (len(odd.fit), len(odd.test)) == (4, 3)
