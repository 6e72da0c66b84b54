"""Numbers of the keypoint regression of Keypoint Pyramids (Qian et al. 2022), computed by hand."""
import numpy as np
import pytest

from kpjax.evaluation.probes.linear import fit_linear
from kpjax.evaluation.probes.regression_errors import regression_errors


def test_an_intercept_decides_how_well_a_line_fits():
    x, y = np.array([[0.0], [1], [2]]), np.array([[1.0], [3], [5]])
    line = fit_linear(x, y)
    np.testing.assert_allclose(line.slope, [[2]], atol=1e-12)
    np.testing.assert_allclose(line(x), y, atol=1e-12)
    through_zero = fit_linear(x, y, intercept=False)
    np.testing.assert_allclose(through_zero.slope, [[2.6]], atol=1e-12)
    assert np.sqrt(np.square(through_zero(x) - y).mean()) == pytest.approx(0.632456, abs=1e-6)


def test_one_set_of_errors_in_every_reading():
    errors = np.array([[(0, 0), (3, 4)], [(0, 0), (0, 0)]], np.float64)
    found = regression_errors(errors, np.zeros_like(errors), np.ones((2, 2)))
    assert found.per_coordinate == pytest.approx(1.767767, abs=1e-6)
    assert found.per_point == pytest.approx(2.5)
    assert found.per_image == pytest.approx(3.535534, abs=1e-6)
    assert found.mean_distance == pytest.approx(1.25)
    np.testing.assert_allclose(found.per_joint, [0, 2.5])
