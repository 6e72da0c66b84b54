"""The subspace of labelled poses: missing labels, and too few of them."""
import numpy as np
import pytest

from kpjax.errors import InputError
from kpjax.losses.pose_subspace import fit_pose_subspace

RNG = np.random.default_rng(0)
POSES = RNG.normal(size=(30, 2)) @ RNG.normal(size=(2, 6)) * 10 + 50


def test_missing_labels_leave_the_subspace_where_it_is():
    whole = fit_pose_subspace(POSES, components=2)
    with_gaps = POSES.copy()
    with_gaps[::5, 2:4] = np.nan
    found = fit_pose_subspace(with_gaps, components=2)
    np.testing.assert_allclose(found.basis @ found.basis.T, whole.basis @ whole.basis.T, atol=0.2)
    assert fit_pose_subspace(POSES).basis.shape == (6, 2)
    assert fit_pose_subspace(POSES, share=1e-6).basis.shape == (6, 1)


def test_too_few_labels_are_refused():
    with pytest.raises(InputError, match="5 labelled poses of 6 coordinates"):
        fit_pose_subspace(POSES[:5])
    hidden = POSES.copy()
    hidden[:, 0] = np.nan
    with pytest.raises(InputError, match="0 poses have all keypoints"):
        fit_pose_subspace(hidden)
