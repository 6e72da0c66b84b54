"""Several copies of a method predict as one: medians of coordinates, means of scores and maps."""

import jax.numpy as jnp
import numpy as np
import pytest

from kpjax.methods import ensemble, members_of_ensemble
from kpjax.methods.ensembles import joint_prediction
from kpjax.structures import Prediction, Trained


def test_an_ensemble_has_the_medians_and_the_means_of_its_members():
    random = np.random.default_rng(0)
    found = [
        Prediction(
            jnp.array(random.normal(size=(2, 3, 2))),
            jnp.array(random.random((2, 3))),
            (jnp.array(random.random((2, 4, 4, 3))),),
        )
        for _ in range(3)
    ]
    joint = joint_prediction(found)
    np.testing.assert_allclose(joint.keypoints, np.median([f.keypoints for f in found], 0))
    np.testing.assert_allclose(joint.scores, np.mean([f.scores for f in found], 0), rtol=1e-6)
    np.testing.assert_allclose(
        joint.heatmaps[0], np.mean([f.heatmaps[0] for f in found], 0), rtol=1e-6
    )


def test_members_are_kept_by_name_and_one_is_no_ensemble():
    members = [Trained({"params": {"a": np.full(2, n)}}, {}) for n in range(2)]
    joined = members_of_ensemble(members)
    assert [*joined.variables] == ["member_0", "member_1"]
    with pytest.raises(ValueError, match="at least 2 members"):
        ensemble(None, 1)
