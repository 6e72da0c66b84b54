"""New keypoints as fixed combinations of known ones."""
import jax
import jax.numpy as jnp
import numpy as np

from kpjax.methods.incremental_family.combination import RIDGES, combined_predict, fit_combination, with_combinations
from kpjax.structures import Example, Prediction, Trained

WEIGHTS = np.array([0.5, 0.5, -0.9, 0.9, 0.0])  # a middle, and a part of the way along a line


def people(images, noise=0.0, seed=0):
    """What a network finds in images of 100 px, and labels that it determines."""
    draw = np.random.default_rng(seed)
    known = draw.uniform(0, 100, (images, len(WEIGHTS), 2))
    return known, np.einsum("p,npd->nd", WEIGHTS, known) + noise * draw.normal(size=(images, 2))


def test_weights_that_labels_determine_are_found():
    found = fit_combination(*people(60))
    np.testing.assert_allclose(found.weights, WEIGHTS, atol=0.01)
    np.testing.assert_allclose(found.weights.sum(), 1)
    assert found.ridge == RIDGES[0]
    assert found.missed < 0.02


def test_the_ridge_pulls_to_the_mean_of_all(monkeypatch):
    """Two points h = 1/2 of their extent from the middle, a label z beside it: w = 1/2 (1, 1) + d (-1, 1) minimises
    (2 d h - z)² + 2 ridge d², so d = h z / (2 h² + ridge). The label is so near that its trust is 1."""
    half, beside, ridge = 0.5, 0.001, 0.5
    known = np.array([[[0.0, 0], [1.0, 0]]])
    assert fit_combination(known, np.array([[half + beside, 0.0]])).ridge == RIDGES[-1]  # of one label
    monkeypatch.setattr("kpjax.methods.incremental_family.combination.RIDGES", (ridge,))
    found = fit_combination(known, np.array([[half + beside, 0.0]]))
    change = half * beside / (2 * half**2 + ridge)
    np.testing.assert_allclose(found.weights, [0.5 - change, 0.5 + change], rtol=1e-5)


def test_places_and_sizes_do_not_matter():
    known, labels = people(12, noise=3.0)
    one = fit_combination(known, labels)
    other = fit_combination(7 * known + [300.0, -50.0], 7 * labels + [300.0, -50.0])
    np.testing.assert_allclose(other.weights, one.weights, atol=1e-9)


def test_images_on_which_the_network_is_wrong_count_little():
    known, labels = people(40, noise=0.5)
    right = fit_combination(known, labels)
    known[::8] = known[::8, ::-1]
    np.testing.assert_allclose(fit_combination(known, labels).weights, right.weights, atol=0.05)


def test_labels_that_known_points_do_not_determine_are_missed():
    known, _ = people(60)
    labels = np.random.default_rng(1).uniform(0, 100, (60, 2))
    assert fit_combination(known, labels).missed > 0.9


def test_combinations_of_combinations():
    """Keypoint 2 lies midway between 0 and 1; later 3 is as far from 2 as 1 is, on the other side: 2 y2 - y1 = y0."""
    labels = [np.array([weights]) for weights in ([0.5, 0.5], [0.0, -1.0, 2.0])]
    matrix = np.eye(4, dtype=np.float32)
    for step, (weights, old, new) in enumerate(zip(labels, ((0, 1), (0, 1, 2)), (2, 3), strict=True)):
        made = fit_combination(*people(9))._replace(weights=weights[0])
        matrix = with_combinations(matrix, [made], known=old, new=[new])
        assert (matrix[:2] == np.eye(4)[:2]).all(), step
    np.testing.assert_allclose(matrix[2:], [[0.5, 0.5, 0, 0], [1, 0, 0, 0]], atol=1e-7)


def test_predictions_are_combined_and_own_ones_stay():
    keypoints = jnp.float32([[[1, 2], [5, 10], [9, 9]]])
    heatmaps = jnp.ones((1, 2, 2, 3))

    def predict(state, example):
        del state, example
        return Prediction(keypoints, jnp.float32([[0.5, 1.0, 0.1]]), (heatmaps,))

    example = Example(*[None] * len(Example._fields))
    plain = combined_predict(predict)(Trained({}, {}), example)
    np.testing.assert_array_equal(plain.keypoints, keypoints)
    matrix = np.float32([[1, 0, 0], [0, 1, 0], [1.5, -0.5, 0]])
    found = jax.jit(combined_predict(predict))(Trained({}, {"combination": matrix}), example)
    np.testing.assert_allclose(found.keypoints, [[[1, 2], [5, 10], [-1, -2]]])
    np.testing.assert_allclose(found.scores, [[0.5, 1.0, (1.5 * 0.5 + 0.5) / 2]])
    np.testing.assert_array_equal(found.heatmaps[0][0, 0, 0], [1, 1, 0])
