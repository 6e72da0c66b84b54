"""Published check cases of frozen-core adaptation: regressors, forward and backward errors,
consistency, PCKh.

X holds two discovered landmarks of each image, Y three annotated ones, in cells of a 32-grid; eyes
are the first two.
"""

import functools

import numpy as np
import pytest

from kpjax.evaluation.metrics import head_size, pck, pckh
from kpjax.evaluation.probes import landmarks as probes
from kpjax.evaluation.probes.linear import fit_linear
from kpjax.structures import Skeleton

X_TRAIN = np.array(
    [
        [10, 12, 20, 11],
        [11, 12, 21, 13],
        [9, 14, 19, 12],
        [12, 10, 23, 10],
        [10, 11, 22, 14],
        [13, 13, 24, 12],
    ],
    np.float64,
)
Y_TRAIN = np.array(
    [
        [9, 11, 21, 11, 15, 18],
        [10, 12, 22, 12, 16, 20],
        [8, 13, 20, 12, 15, 19],
        [12, 9, 24, 10, 18, 17],
        [10, 11, 23, 13, 16, 19],
        [13, 12, 25, 12, 19, 20],
    ],
    np.float64,
)
X_TEST = np.array([[11, 13, 21, 12], [12, 11, 22, 12]], np.float64)
Y_TEST = np.array([[10, 12, 22, 12, 16, 20], [11, 10, 23, 11, 17, 18]], np.float64)
FACE = Skeleton(("left_eye", "right_eye", "chin"))
EYES = probes.between(FACE, "left_eye", "right_eye")
EVERY_IMAGE = np.arange(6)[None]


def landmarks(x, y):
    return probes.Landmarks(x.reshape(-1, 2, 2), y.reshape(-1, 3, 2), np.ones((len(x), 3)))


TRAIN, TEST = landmarks(X_TRAIN, Y_TRAIN), landmarks(X_TEST, Y_TEST)
# its regressor, least squares through the top-left pixel's centre
IMM = functools.partial(fit_linear, intercept=False)
RESTING = np.tile([10.0, 12, 20, 11], (6, 1))


def ridge(penalty=1e-4):
    return probes.scaled_ridge(32, penalty)


def distances(predicted, true):
    """Mean distance (N,) in units of the eyes' distance of Y_TEST."""
    return np.linalg.norm((predicted - true).reshape(2, -1, 2), axis=-1).mean(1) / np.array(
        [12, np.hypot(12, 1)]
    )


def test_t8_the_length_of_a_test_image_is_that_of_its_own_eyes():
    np.testing.assert_allclose(EYES(TEST.annotated, TEST.visible), [12, 12.041595], rtol=1e-6)


def test_t8_forward():
    fitted = ridge()(X_TRAIN, Y_TRAIN)
    predicted = fitted(X_TEST)
    np.testing.assert_allclose(
        predicted[0], [10.135774, 12.276596, 22.000433, 11.723222, 16.390948, 19.569776], atol=1e-6
    )
    np.testing.assert_allclose(
        fitted.slope[:, 0], [0.462794, 0.051501, 0.652385, -0.106205], atol=1e-6
    )
    np.testing.assert_allclose(distances(predicted, Y_TEST), [0.032395, 0.065788], atol=1e-6)
    errors = probes.forward_errors(TRAIN, TEST, EYES, EVERY_IMAGE, ridge())
    assert errors.mean == pytest.approx(4.909173, abs=1e-6)
    assert errors.deviation == 0
    assert errors.per_landmark.mean() == pytest.approx(errors.mean)


@pytest.mark.parametrize(
    ("penalty", "percent"), [(1e-4, 4.909173), (1e-5, 4.911992), (0.0, 4.912307)]
)
def test_t8_penalties(penalty, percent):
    assert probes.forward_errors(
        TRAIN, TEST, EYES, EVERY_IMAGE, ridge(penalty)
    ).mean == pytest.approx(percent, abs=1e-6)


def test_t8_the_regressor_of_imm():
    predicted = IMM(X_TRAIN, Y_TRAIN)(X_TEST)
    np.testing.assert_allclose(
        predicted[0], [10.185552, 12.273993, 21.993816, 11.732191, 16.408909, 19.534944], atol=1e-6
    )
    errors = probes.forward_errors(TRAIN, TEST, EYES, EVERY_IMAGE, IMM)
    assert errors.mean == pytest.approx(4.856150, abs=1e-6)


@pytest.mark.parametrize(
    ("of_cells", "of_pixels"), [(probes.scaled_ridge(32), probes.scaled_ridge(128)), [IMM] * 2]
)
def test_t8_errors_do_not_depend_on_the_unit_of_coordinates(of_cells, of_pixels):
    pixels = [
        probes.Landmarks(4 * part.discovered, 4 * part.annotated, part.visible)
        for part in (TRAIN, TEST)
    ]
    for direction in (probes.forward_errors, probes.backward_errors):
        np.testing.assert_allclose(
            direction(*pixels, EYES, EVERY_IMAGE, of_pixels).mean,
            direction(TRAIN, TEST, EYES, EVERY_IMAGE, of_cells).mean,
            rtol=1e-9,
        )


def test_backward_is_the_closed_form_the_other_way_round():
    """No published number: R = B'A (A'A + penalty (its largest entry + 1e-12) I)^-1 in the
    published coordinates.
    """
    a, b, a_test, x_test = (part / 32 - 0.5 for part in (Y_TRAIN, X_TRAIN, Y_TEST, X_TEST))
    rows, goals = a - a.mean(0), b - b.mean(0)
    scatter = rows.T @ rows
    r = goals.T @ rows @ np.linalg.inv(scatter + 1e-4 * (scatter.max() + 1e-12) * np.eye(6))
    expected = 32 * 100 * distances((a_test - a.mean(0)) @ r.T + b.mean(0), x_test).mean()
    assert probes.backward_errors(TRAIN, TEST, EYES, EVERY_IMAGE, ridge()).mean == pytest.approx(
        expected, rel=1e-9
    )


def test_t10_landmarks_that_rest():
    resting = landmarks(RESTING, Y_TRAIN), landmarks(RESTING[:2], Y_TEST)
    fitted = ridge()(RESTING, Y_TRAIN)
    np.testing.assert_array_equal(fitted.slope, 0)
    np.testing.assert_allclose(
        fitted(RESTING[:1])[0], [10.333333, 11.333333, 22.5, 11.666667, 16.5, 18.833333], atol=1e-6
    )
    assert probes.forward_errors(*resting, EYES, EVERY_IMAGE, ridge()).mean == pytest.approx(
        8.194531, abs=1e-6
    )
    assert probes.backward_errors(*resting, EYES, EVERY_IMAGE, ridge()).mean == pytest.approx(
        0, abs=1e-12
    )
    # Coordinates come as float32, whose rounding is far below a thousandth of a cell.
    noisy = RESTING + 1e-7 * np.random.default_rng(0).normal(size=RESTING.shape)
    np.testing.assert_array_equal(ridge()(noisy, Y_TRAIN).slope, 0)


def test_t11_one_image_more_than_said():
    fitted = ridge()(X_TRAIN[:2], Y_TRAIN[:2])
    np.testing.assert_allclose(
        fitted(X_TEST)[0],
        [9.666656, 11.666656, 21.666656, 11.666656, 15.666656, 19.333311],
        atol=1e-6,
    )
    np.testing.assert_allclose(distances(fitted(X_TEST), Y_TEST), [0.046895, 0.162943], atol=1e-6)
    errors = probes.forward_errors(TRAIN, TEST, EYES, np.arange(2)[None], ridge())
    assert errors.mean == pytest.approx(10.491915, abs=1e-6)
    assert probes.labelled_subsets(6, 1, extra=1).shape == (10, 2)
    # With one image exactly, the regressor is a constant.
    np.testing.assert_array_equal(ridge()(X_TRAIN[:1], Y_TRAIN[:1]).slope, 0)
    found = probes.both_errors(
        TRAIN, TEST, normaliser=EYES, regressor=ridge(), images=(1, None), extra=1
    )
    assert found["forward/1"].per_subset.shape == (10,)
    assert found["forward/all"].mean == pytest.approx(4.909173, abs=1e-6)


def test_t13_pckh():
    np.testing.assert_allclose(head_size(np.array([[0.0, 0, 6, 8]])), [6.0])
    predicted, true = (
        np.array([[[0.0, 0], [3, 4], [10, 0]]]),
        np.array([[[0.0, 1], [0, 0], [0, 0]]]),
    )
    head, shown = np.array([6.0]), np.ones((1, 3))
    assert pckh(predicted, true, shown, head).pooled == pytest.approx(1 / 3)
    for limit, hits in (
        (0.16666, [0, 0, 0]),
        (0.16667, [1, 0, 0]),
        (0.83334, [1, 1, 0]),
        (1.66667, [1, 1, 1]),
    ):
        assert pck(predicted, true, shown, head, threshold=limit).per_keypoint.tolist() == hits


def test_t6_the_turn_of_the_consistency_measure():
    np.testing.assert_allclose(
        probes.turn_map(15, 128)[:2],
        [[0.792555, -0.212364, 26.867829], [0.212364, 0.792555, -0.314808]],
        atol=1e-6,
    )


def test_consistency_is_the_distance_from_the_moved_landmark():
    turns = probes.draw_turns(200)
    assert np.abs(turns.first).max() <= 40
    assert 12 < turns.second.std() < 18
    np.testing.assert_array_equal(probes.draw_turns(5).second, turns.second[:5])
    maps = np.stack([probes.turn_map(angle, 128) for angle in turns.second])
    points = np.random.default_rng(0).uniform(20, 100, (200, 4, 2))
    following = np.einsum("nij,nkj->nki", maps, np.concatenate([points, np.ones((200, 4, 1))], -1))[
        ..., :2
    ]
    assert probes.consistency(points, following, maps).mean == pytest.approx(0, abs=1e-9)
    off = following + np.array([[3.0, 0], [0, 1], [0, 0], [0, 2]])
    found = probes.consistency(points, off, maps)
    np.testing.assert_allclose(found.per_landmark, [3, 1, 0, 2], atol=1e-9)
    np.testing.assert_allclose(found.ascending, [0, 1, 2, 3], atol=1e-9)
    assert found.mean == pytest.approx(1.5)
    # Resting in the middle is what fools it.
    middle = np.full((200, 1, 2), 64.0)
    assert probes.consistency(middle, middle, maps).mean < 1.5
