"""Windows of videos, and a recurrent network that classifies actions by motion."""

import jax
import numpy as np
import pytest

from kpjax.evaluation.probes.actions import SequenceClassifier, action_probe, recognition, windows
from kpjax.evaluation.probes.splits import halves_by

LENGTH = 8


@pytest.fixture(scope="module")
def motions():
    """Points (N, 2, 2) on a circle of 5 pixels, either way from any phase; the position alone is
    uninformative.
    """
    generator = np.random.default_rng(0)
    sequences, actions = [], []
    for number in range(64):
        turn = 1 if number % 2 else -1
        phase = generator.uniform(0, 2 * np.pi) + turn * np.arange(2 * LENGTH) * 0.7
        circle = 30 + 5 * np.stack([np.cos(phase), np.sin(phase)], -1)
        sequences.append(np.stack([circle, np.full_like(circle, 7)], 1))  # the second point is dead
        actions.append("left" if turn > 0 else "right")
    video = np.repeat(np.arange(64), 2 * LENGTH)
    found = windows(video, length=LENGTH, every=LENGTH)
    return np.concatenate(sequences).astype(np.float32), found, np.array(actions)[found.video]


def test_windows_stay_within_runs():
    video = np.array([0] * 7 + [1] * 3 + [2] * 5)
    found = windows(video, length=4, every=2)
    assert found.rows.tolist() == [[0, 1, 2, 3], [2, 3, 4, 5], [10, 11, 12, 13]]
    assert found.video.tolist() == [0, 0, 2]
    # one is missing in video 0
    frame = np.array([0, 5, 10, 20, 25, 30, 35, 0, 5, 10, 100, 105, 110, 115, 120])
    assert windows(video, frame=frame, length=4, every=1).rows[:, 0].tolist() == [3, 10, 11]


def test_motion_is_recognised_where_single_frames_tell_nothing(motions):
    features, found, actions = motions
    split = halves_by(found.video, 0, kinds=actions)
    options = {"width": 16, "steps": 150, "batch_size": 32, "learning_rate": 1e-2}
    moving = action_probe(features, found.rows, actions, split, seed=1, **options)
    assert moving.actions == ("left", "right")
    assert moving.accuracy > 0.95
    assert moving.majority == 0.5
    assert moving.confusion.sum() == len(split.test)
    # the first frame, held
    still = np.repeat(features[found.rows[:, :1]], LENGTH, axis=1).reshape(-1, 4)
    held = np.arange(len(still)).reshape(found.rows.shape)
    assert action_probe(still, held, actions, split, seed=1, **options).accuracy < 0.8


def test_the_recurrent_network_is_a_gated_recurrent_unit():
    """Against the equations of a GRU, with the reset gate inside the product with the state."""
    network = SequenceClassifier(3, width=5)
    sequences = jax.random.normal(jax.random.key(0), (2, 4, 6))
    variables = jax.jit(network.init)(jax.random.key(1), sequences)
    params = jax.tree.map(np.asarray, variables["params"])
    cells, scores = params["recurrent"], params["scores"]

    def dense(name, x):
        return x @ cells[name]["kernel"] + cells[name].get("bias", 0)

    def sigmoid(x):
        return 1 / (1 + np.exp(-x))

    state = np.zeros((2, 5))
    for x in np.asarray(sequences).transpose(1, 0, 2):
        reset, update = (sigmoid(dense("i" + gate, x) + dense("h" + gate, state)) for gate in "rz")
        candidate = np.tanh(dense("in", x) + reset * dense("hn", state))
        state = (1 - update) * candidate + update * state
    expected = state @ scores["kernel"] + scores["bias"]
    np.testing.assert_allclose(jax.jit(network.apply)(variables, sequences), expected, atol=1e-5)


def test_measures_of_recognition():
    found = recognition(np.array([0, 1, 1, 0]), np.array([0, 1, 0, 0]), ("a", "b", "c"), 1)
    assert found.accuracy == 0.75
    assert found.majority == 0.25
    np.testing.assert_allclose(found.per_action, [2 / 3, 1, np.nan])
    assert found.confusion.tolist() == [[2, 1, 0], [0, 1, 0], [0, 0, 0]]
