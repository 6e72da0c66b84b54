"""Runs side by side: each has the numbers that it has alone, resumes, and ends alone."""

import os
import re
import signal

import chex
import jax
import numpy as np
import pytest
from tiny import METHOD, Batches, bits, error_of, tiny

from kpjax.errors import InputError, RunError
from kpjax.training.fit import FitOptions, Select, compiled_update, fit
from kpjax.training.mesh import DATA, data_mesh, mesh_of, own_mesh
from kpjax.training.process import Interrupted
from kpjax.training.side_by_side import side_by_side

RUNS = 2


def train(folder, seed, steps, streams=None, method=METHOD, evaluate=(3, error_of)):
    return fit(
        method,
        streams or {"labelled": Batches()},
        steps=steps,
        key=jax.random.key(seed),
        stage="main",
        folder=folder / f"seed-{seed}",
        config={},
        evaluate=evaluate,
        select=evaluate and Select("val/error", "min"),
        options=FitOptions(save_every=4, quiet=True),
    )


def together(folder, steps, devices=None):
    return side_by_side(
        [lambda seed=seed: train(folder, seed, steps) for seed in range(RUNS)], devices
    )


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    folder = tmp_path_factory.mktemp("alone")
    own_mesh.set(mesh_of(np.array(jax.devices()[:1]), DATA))
    found = [train(folder, seed, 7) for seed in range(RUNS)]
    own_mesh.set(None)
    return found


def assert_equal(one, other):
    assert bits(one.last) == bits(other.last)
    assert bits(one.trained) == bits(other.trained)
    assert (one.step, one.metrics) == (other.step, other.metrics)


@pytest.mark.slow
@pytest.mark.parametrize("devices", [2, 4])
def test_runs_are_equal_to_those_alone_and_resume(alone, tmp_path, devices):
    together(tmp_path, 5, jax.devices()[:devices])
    for one, other in zip(together(tmp_path, 7, jax.devices()[:devices]), alone, strict=True):
        if devices == RUNS:
            assert_equal(one, other)
        else:  # sums over two devices round differently
            chex.assert_trees_all_close(one.last, other.last, rtol=1e-4, atol=1e-6)


class Changed(Batches):
    """Batches of which that of one step is changed."""

    def __init__(self, at, change):
        super().__init__()
        self.at, self.change = at, change

    def __getitem__(self, step):
        batch = super().__getitem__(step)
        return self.change(batch) if step == self.at else batch


@pytest.mark.slow
def test_a_run_that_fails_ends_alone(alone, tmp_path):
    broken = Changed(3, lambda batch: batch._replace(keypoints=batch.keypoints * np.nan))
    found = side_by_side(
        [
            lambda seed=seed: train(tmp_path, seed, 7, {"labelled": broken} if seed == 1 else None)
            for seed in range(RUNS)
        ],
        jax.devices()[:RUNS],
    )
    assert isinstance(found[1], RunError)
    assert str(found[1]).startswith("step 4: loss/fit is nan")
    assert_equal(found[0], alone[0])


@pytest.mark.parametrize(
    ("number", "raised"), [(signal.SIGTERM, Interrupted), (signal.SIGINT, KeyboardInterrupt)]
)
def test_all_runs_save_the_same_step_when_they_are_stopped(tmp_path, request, number, raised):
    def stop(batch):
        os.kill(os.getpid(), number)
        return batch

    saved, stopping = [], Changed(3, stop)

    def work(seed):
        try:
            train(tmp_path, seed, 300, {"labelled": stopping} if seed == 1 else None, evaluate=None)
        finally:
            saved.append(
                max(int(path.name) for path in tmp_path.glob(f"seed-{seed}/checkpoints/*"))
            )

    # a process in the background ignores it
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))
    with pytest.raises(raised):
        side_by_side([lambda seed=seed: work(seed) for seed in range(RUNS)], jax.devices()[:RUNS])
    assert saved[0] == saved[1] < 300


@pytest.mark.slow
def test_runs_of_programs_of_their_own_go_on(alone, tmp_path):
    """Such as those whose methods were built apart."""

    def work(seed):
        return train(tmp_path, seed, 7, method=METHOD if seed % 2 else apart)

    apart = tiny()
    for one, other in zip(
        side_by_side([lambda seed=seed: work(seed) for seed in range(RUNS)], jax.devices()[:RUNS]),
        alone,
        strict=True,
    ):
        assert_equal(one, other)


def test_outside_of_runs_nothing_changes():
    assert data_mesh().axis_names == (DATA,)
    assert data_mesh().size == 8
    seen = side_by_side([lambda: [device.id for device in data_mesh().devices.flat]] * 2)
    assert seen == [[0, 1, 2, 3], [4, 5, 6, 7]]
    with pytest.raises(InputError, match="9 runs for 8 devices"):
        side_by_side([data_mesh] * 9)


def test_a_step_of_all_runs_has_no_collective():
    def text():
        images = jax.eval_shape(lambda: Batches()[0])
        key = jax.eval_shape(lambda: jax.random.key(0))
        state = jax.eval_shape(METHOD.init, key, {"labelled": images}, {})
        update, _ = compiled_update(METHOD.update, data_mesh())
        return update.lower(state, {"labelled": images}, key).compile().as_text()

    found = side_by_side([text, *[data_mesh] * 7])[0]
    assert "num_partitions=8" in found
    assert not re.search("all-reduce|all-gather|all-to-all|collective", found)
