"""Losses on videos: what counts, gradients where nothing moves, missing labels."""
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kpjax.errors import InputError
from kpjax.losses.pose_subspace import fit_pose_subspace, onto_subspace, pose_subspace_loss, subspace_distances
from kpjax.losses.video import temporal_difference

RNG = np.random.default_rng(0)
POSES = RNG.normal(size=(30, 2)) @ RNG.normal(size=(2, 6)) * 10 + 50


def test_resting_and_doubtful_keypoints_have_no_gradient():
    points = jnp.zeros((4, 3, 2)).at[2:, 1].set(50.0).at[2:, 2].set(50.0)
    confidences = jnp.ones((4, 3)).at[2, 2].set(0.01)
    value, slope = jax.jit(jax.value_and_grad(lambda *of: temporal_difference(*of, 5.0)))(points, confidences)
    np.testing.assert_allclose(value, (np.sqrt(5000) - 5) / 9, rtol=1e-5)
    assert not slope[:, [0, 2]].any()
    assert slope[1:3, 1].all()


def test_missing_labels_leave_the_subspace_where_it_is():
    whole = fit_pose_subspace(POSES, components=2)
    with_gaps = POSES.copy()
    with_gaps[::5, 2:4] = np.nan
    found = fit_pose_subspace(with_gaps, components=2)
    np.testing.assert_allclose(found.basis @ found.basis.T, whole.basis @ whole.basis.T, atol=0.2)
    assert fit_pose_subspace(POSES).basis.shape == (6, 2)
    assert fit_pose_subspace(POSES, share=1e-6).basis.shape == (6, 1)


def test_projections_stay_and_lie_nearest():
    subspace = fit_pose_subspace(POSES, components=2)
    rows = jnp.asarray(POSES[:4] + RNG.normal(size=(4, 6)), jnp.float32)
    inside = onto_subspace(rows, subspace)
    np.testing.assert_allclose(onto_subspace(inside, subspace), inside, atol=1e-4)
    assert subspace_distances(rows, subspace).shape == (4, 3)
    gradient = jax.jit(jax.grad(lambda rows: pose_subspace_loss(rows, subspace)))(inside)
    assert np.isfinite(gradient).all()
    down = jax.jit(jax.grad(lambda rows: pose_subspace_loss(rows, subspace)))(rows)
    assert pose_subspace_loss(rows - down, subspace) < pose_subspace_loss(rows, subspace)


def test_too_few_labels_are_refused():
    with pytest.raises(InputError, match="5 labelled poses of 6 coordinates"):
        fit_pose_subspace(POSES[:5])
    hidden = POSES.copy()
    hidden[:, 0] = np.nan
    with pytest.raises(InputError, match="0 poses have all keypoints"):
        fit_pose_subspace(hidden)
