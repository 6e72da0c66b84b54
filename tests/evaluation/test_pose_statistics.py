"""Statistics of poses: closed forms of the nearest plausible pose, whatever the camera, and the
file of them.
"""

import jax
import numpy as np
import pytest

from kpjax.evaluation import pose_statistics
from kpjax.files import read_json
from kpjax.losses.pose_subspace import fit_pose_subspace

NAMES = ("nose", "neck", "tail", "left", "right")
nearest_poses = jax.jit(pose_statistics.plausible_poses)
RANDOM = np.random.default_rng(0)
MEAN, ACROSS = RANDOM.normal(size=(5, 2)), RANDOM.normal(size=(2, 5, 2))


def poses(count, seed=1, scale=1.0):
    """Poses of two degrees of freedom, at any place and of any size."""
    random = np.random.default_rng(seed)
    shapes = MEAN + 0.2 * np.einsum("na,akx->nkx", random.normal(size=(count, 2)), ACROSS)
    return scale * random.uniform(5, 40, (count, 1, 1)) * shapes + random.uniform(
        -300, 300, (count, 1, 2)
    )


@pytest.fixture(scope="module")
def statistics():
    return pose_statistics.pose_statistics(poses(200), np.ones((200, 5)), NAMES, share=1 - 1e-6)


def test_poses_of_another_camera_are_plausible_and_others_are_not(statistics):
    points, ones = poses(20, seed=2, scale=3.0), np.ones((20, 5), np.float32)
    nearest, distances = nearest_poses(points.astype(np.float32), ones, statistics.span())
    assert np.max(distances) < 0.02
    np.testing.assert_allclose(nearest, points, atol=1.0)
    _, distances = nearest_poses(
        RANDOM.normal(size=(20, 5, 2)).astype(np.float32), ones, statistics.span()
    )
    assert np.min(distances.max(1)) > 0.05


def test_the_nearest_pose_is_that_of_weighted_least_squares(statistics):
    points, weights = RANDOM.uniform(0, 60, (4, 5, 2)), RANDOM.uniform(0.5, 2, (4, 5))
    span = statistics.span().astype(np.float64)
    found, distances = nearest_poses(
        points.astype(np.float32), weights.astype(np.float32), statistics.span()
    )
    for one, by, nearest, apart in zip(points, weights, found, distances, strict=True):
        roots = np.sqrt(np.repeat(by, 2))
        expected = (
            span @ np.linalg.lstsq(roots[:, None] * span, roots * one.ravel(), rcond=None)[0]
        ).reshape(5, 2)
        np.testing.assert_allclose(nearest, expected, atol=0.05)
        centre = np.average(one, 0, by)
        size = np.sqrt(
            max(
                np.square(expected - expected.mean(0)).sum(1).mean(),
                np.average(np.square(one - centre).sum(1), 0, by),
            )
        )
        np.testing.assert_allclose(
            apart, np.linalg.norm(one - expected, axis=1) / size, rtol=0.01, atol=0.01
        )


def test_the_statistics_are_kept_in_a_file(statistics, tmp_path):
    path = pose_statistics.write_pose_statistics(tmp_path, statistics)
    again = pose_statistics.pose_statistics_from(read_json(path), "a.json")
    assert (again.names, again.poses, again.epsilon) == (
        NAMES,
        200,
        pytest.approx(statistics.epsilon),
    )
    np.testing.assert_allclose(
        again.span() @ again.span().T, statistics.span() @ statistics.span().T, atol=1e-5
    )
    assert again.basis.shape == (10, 3)  # of poses of one size they would be two


def test_missing_labels_leave_the_subspace_where_it_is():
    random = np.random.default_rng(0)
    labelled = random.normal(size=(30, 2)) @ random.normal(size=(2, 6)) * 10 + 50
    whole, with_gaps = fit_pose_subspace(labelled, components=2), labelled.copy()
    with_gaps[::5, 2:4] = np.nan
    found = fit_pose_subspace(with_gaps, components=2)
    np.testing.assert_allclose(found.basis @ found.basis.T, whole.basis @ whole.basis.T, atol=0.2)
    assert fit_pose_subspace(labelled).basis.shape == (6, 2)
    assert fit_pose_subspace(labelled, share=1e-6).basis.shape == (6, 1)
