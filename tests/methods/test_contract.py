"""The contract of every method. New methods are found without an edit."""
import functools
import json
import subprocess
import sys

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import resumed_in_a_new_process
from resumed_in_a_new_process import CUT, WHOLE, one_device, train
from tiny_parts import BATCH, KEYPOINTS, batch, build, endless, factories, start, streams_of

from kpjax.errors import InputError
from kpjax.structures import Trained
from kpjax.training.fit import compiled_init, compiled_update
from kpjax.training.mesh import data_mesh, replicate, shard

FACTORIES = factories()
STEPS = 3


@functools.cache
def method_of(name):
    """The method, and what tracing its update saw: the abstract metrics, once for each trace."""
    method, traces = build(FACTORIES[name]), []

    def watched(*arguments):
        state, metrics = method.update(*arguments)
        traces.append({key: (value.shape, value.dtype) for key, value in metrics.items()})
        return state, metrics

    return method._replace(update=watched), traces


def placed_init(method):
    """The program by which `fit` makes a first state on one device: compiled once for all tests."""
    return compiled_init(method.init, one_device())


@functools.cache
def started(name, seed):
    """The first state, in numpy."""
    method, _ = method_of(name)
    mesh = one_device()
    state = placed_init(method)(jax.random.key(seed), shard(streams_of(method), mesh), replicate(start(), mesh))
    return jax.tree.map(np.array, state)


@functools.cache
def run(name, seed=0, steps=STEPS, devices=1):
    """(first state, last state, all metrics); on several devices the state is replicated, batches are sharded."""
    method, _ = method_of(name)
    mesh = one_device() if devices == 1 else data_mesh()
    update, names = compiled_update(method.update, mesh)
    state, key, history = replicate(started(name, seed), mesh), replicate(jax.random.key(seed), mesh), []
    for _ in range(steps):
        state, values = update(state, shard(streams_of(method), mesh), key)
        history.append(dict(zip(names, np.array(values), strict=True)))
    return started(name, seed), jax.tree.map(np.array, state), history


def assert_close(tree, other):
    for (path, a), b in zip(jax.tree_util.tree_leaves_with_path(tree), jax.tree.leaves(other), strict=True):
        a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)  # squares of thresholds overflow float32
        limit = 1e-4 * np.linalg.norm(a) + 1e-6
        assert np.linalg.norm(np.subtract(a, b)) <= limit, jax.tree_util.keystr(path)


@pytest.fixture(params=sorted(FACTORIES), scope="module")
def name(request):
    """All tests of one method run after another, while its compiled step is remembered."""
    return request.param


def test_state_has_its_fields_and_counts_steps(name):
    first, last, _ = run(name)
    assert {"step", "variables", "frozen"} <= set(first._fields)
    assert first.step.dtype == np.int32
    assert (first.step, last.step) == (0, STEPS)
    assert set(last.variables) >= {"params"}


def test_everything_stays_finite_and_metrics_are_scalars(name):
    _, last, history = run(name)
    chex.assert_tree_all_finite(last)
    assert all(np.isfinite(list(metrics.values())).all() for metrics in history)
    _, traces = method_of(name)
    assert "loss/total" in traces[0]
    assert set(traces[0].values()) == {((), np.dtype("float32"))}


def test_an_update_keeps_shapes_and_dtypes_and_moves_something(name):
    first, last, _ = run(name)
    chex.assert_trees_all_equal_shapes_and_dtypes(first, last)
    moved = [not np.array_equal(a, b) for a, b in
             zip(jax.tree.leaves(first.variables), jax.tree.leaves(last.variables), strict=True)]
    assert any(moved)


def test_frozen_trees_come_out_bit_identical(name):
    first, last, _ = run(name)
    chex.assert_trees_all_equal(first.frozen, last.frozen)


def test_it_compiles_once_for_one_placement(name):
    _, traces = method_of(name)
    run(name)
    before = len(traces)
    run(name, seed=1, steps=1)
    assert len(traces) == before


def test_inputs_of_init_stay_readable_after_an_update(name):
    method, _ = method_of(name)
    mesh, key = one_device(), jax.random.key(0)
    given, streams = replicate(start(), mesh), shard(streams_of(method), mesh)
    state = placed_init(method)(key, streams, given)
    compiled_update(method.update, mesh)[0](state, streams, replicate(key, mesh))
    jax.tree.map(np.asarray, (given, streams))


def test_the_same_seed_gives_the_same_run(name):
    once, again = run(name)[1], run.__wrapped__(name)[1]
    chex.assert_trees_all_equal(once, again)


def test_eight_devices_equal_one(name):
    assert_close(run(name)[1].variables, run(name, devices=8)[1].variables)


@pytest.fixture(scope="module")
def goes_on():
    """`goes_on(name, folder)` lets one other process train a method up to WHOLE in a folder where it has begun."""
    child = subprocess.Popen([sys.executable, resumed_in_a_new_process.__file__], stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE, text=True)

    def goes_on(name, folder):
        print(name, folder, sep="\t", file=child.stdin, flush=True)
        return child.stdout.readline().strip()

    with child:
        yield goes_on


def test_a_run_that_a_new_process_resumes_ends_bit_identical(name, goes_on, tmp_path):
    method, resumed, whole = method_of(name)[0], tmp_path / "resumed", tmp_path / "whole"
    train(method, resumed, CUT)
    assert goes_on(name, resumed) == "done"
    train(method, whole, WHOLE)

    def digests(folder, step):
        return json.loads((folder / "checkpoints" / str(step) / "record" / "metadata").read_text())["record"]["digests"]

    assert digests(resumed, WHOLE) == digests(whole, WHOLE)
    assert digests(resumed, CUT) != digests(whole, WHOLE)


def test_a_missing_stream_is_refused_by_its_name(name, tmp_path):
    method, traces = method_of(name)
    before = len(traces)
    for missing in method.streams:
        with pytest.raises(InputError, match=f"stream '{missing}' is missing"):
            train(method, tmp_path, WHOLE, {other: endless(other) for other in method.streams if other != missing})
    assert len(traces) == before
    assert not any(tmp_path.iterdir())


def test_predict_reads_a_finished_result_and_no_labels(name):
    (method, _), last = method_of(name), run(name)[1]
    example = batch("labelled")
    blind = example._replace(keypoints=np.zeros_like(example.keypoints), visible=np.zeros_like(example.visible))
    predict = jax.jit(method.predict)
    prediction = predict(Trained(last.variables, last.frozen), blind)
    count = len(method.skeleton.names)
    assert prediction.keypoints.shape == (BATCH, count, 2)
    assert prediction.scores.shape == (BATCH, count)
    assert prediction.keypoints.dtype == prediction.scores.dtype == jnp.float32
    seeing = predict(Trained(last.variables, last.frozen), example)
    np.testing.assert_array_equal(prediction.keypoints, seeing.keypoints)
    assert isinstance(prediction.heatmaps, tuple)


def test_the_contract_found_the_methods():
    assert {"regda.regda", "supervised_learning.supervised", "keynet.keynet"} <= set(FACTORIES)
    assert len(method_of("regda.regda")[0].skeleton.names) == KEYPOINTS
