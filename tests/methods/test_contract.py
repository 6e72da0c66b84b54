"""What every method must pass, whatever it is. A new method is found by itself."""
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from tiny_parts import BATCH, KEYPOINTS, batch, build, factories, start, streams_of

from kpjax.structures import Trained

FACTORIES = factories()
STEPS = 3


def place(tree, spec, devices=1):
    """The tree on the first devices, replicated or split by rows."""
    mesh = jax.make_mesh((devices,), ("data",), axis_types=(AxisType.Auto,), devices=jax.devices()[:devices])
    return jax.device_put(tree, NamedSharding(mesh, spec))


@functools.cache
def method_of(name):
    return build(FACTORIES[name])


@functools.cache
def updated(name):
    """The compiled update of a method, which counts how often it is traced."""
    traces = []

    def counted(*arguments):
        traces.append(1)
        return method_of(name).update(*arguments)

    return jax.jit(counted, donate_argnums=0), traces


@functools.cache
def run(name, seed=0, steps=STEPS, devices=1):
    """(first state, last state, all metrics, method); on several devices the state is replicated, batches sharded."""
    method, (update, _) = method_of(name), updated(name)
    key, streams = jax.random.key(seed), streams_of(method)
    state = place(jax.jit(method.init)(key, streams, start()), PartitionSpec(), devices)
    first = jax.tree.map(np.array, state)
    history = []
    for step in range(steps):
        state, metrics = update(state, place(streams, PartitionSpec("data"), devices), jax.random.fold_in(key, step))
        history.append(jax.tree.map(np.array, metrics))
    return first, jax.tree.map(np.array, state), history


def assert_close(tree, other):
    for (path, a), b in zip(jax.tree_util.tree_leaves_with_path(tree), jax.tree.leaves(other), strict=True):
        limit = 1e-4 * np.linalg.norm(a) + 1e-6
        assert np.linalg.norm(np.subtract(a, b)) <= limit, jax.tree_util.keystr(path)


@pytest.fixture(params=sorted(FACTORIES))
def name(request):
    return request.param


def test_state_has_its_fields_and_counts_steps(name):
    first, last, _ = run(name)
    assert {"step", "variables", "frozen"} <= set(first._fields)
    assert first.step.dtype == np.int32
    assert (first.step, last.step) == (0, STEPS)
    assert set(last.variables) >= {"params"}


def test_everything_stays_finite_and_metrics_are_scalars(name):
    _, last, history = run(name)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(last) if np.issubdtype(leaf.dtype, np.floating))
    assert "loss/total" in history[0]
    for metrics in history:
        for key, value in metrics.items():
            assert value.shape == (), key
            assert value.dtype == np.float32, key
            assert np.isfinite(value), key


def test_an_update_keeps_shapes_and_dtypes_and_moves_something(name):
    first, last, _ = run(name)
    assert jax.tree.structure(first) == jax.tree.structure(last)
    for before, after in zip(jax.tree.leaves(first), jax.tree.leaves(last), strict=True):
        assert (before.shape, before.dtype) == (after.shape, after.dtype)
    moved = [not np.array_equal(a, b) for a, b in
             zip(jax.tree.leaves(first.variables), jax.tree.leaves(last.variables), strict=True)]
    assert any(moved)


def test_frozen_trees_come_out_bit_identical(name):
    first, last, _ = run(name)
    for before, after in zip(jax.tree.leaves(first.frozen), jax.tree.leaves(last.frozen), strict=True):
        np.testing.assert_array_equal(before, after)


def test_it_compiles_once_for_one_placement(name):
    run(name)
    run(name, seed=1, steps=1)
    assert len(updated(name)[1]) <= 2  # one trace, and one more where 8 devices were used before


def test_inputs_of_init_stay_readable_after_an_update(name):
    method, (update, _) = method_of(name), updated(name)
    given, streams, key = start(), streams_of(method), jax.random.key(0)
    state = jax.jit(method.init)(key, streams, given)
    update(place(state, PartitionSpec()), place(streams, PartitionSpec("data")), key)
    jax.tree.map(np.asarray, given)


def test_the_same_seed_gives_the_same_run(name):
    once, again = run(name)[1], run.__wrapped__(name)[1]
    for a, b in zip(jax.tree.leaves(once), jax.tree.leaves(again), strict=True):
        np.testing.assert_array_equal(a, b)


def test_eight_devices_equal_one(name):
    assert_close(run(name)[1].variables, run(name, devices=8)[1].variables)


def test_vmap_over_two_seeds_equals_two_runs(name):
    method, streams, seeds = method_of(name), streams_of(method_of(name)), (0, 5)
    keys = jnp.stack([jax.random.key(seed) for seed in seeds])
    states = jax.jit(jax.vmap(method.init, (0, None, None)))(keys, streams, start())
    states, _ = jax.jit(jax.vmap(method.update, (0, None, 0)))(
        states, streams, jax.vmap(jax.random.fold_in, (0, None))(keys, 0))
    for position, seed in enumerate(seeds):
        assert_close(run(name, seed=seed, steps=1)[1].variables,
                     jax.tree.map(lambda leaf, position=position: leaf[position], states.variables))


def test_predict_reads_a_finished_result_and_no_labels(name):
    method, last = method_of(name), run(name)[1]
    example = batch("labelled")
    blind = example._replace(keypoints=np.zeros_like(example.keypoints), visible=np.zeros_like(example.visible))
    predict = jax.jit(method.predict)
    prediction = predict(Trained(last.variables, last.frozen), blind)
    count = len(method.points.names)
    assert prediction.keypoints.shape == (BATCH, count, 2)
    assert prediction.scores.shape == (BATCH, count)
    assert prediction.keypoints.dtype == prediction.scores.dtype == jnp.float32
    seeing = predict(Trained(last.variables, last.frozen), example)
    np.testing.assert_array_equal(prediction.keypoints, seeing.keypoints)
    assert isinstance(prediction.heatmaps, tuple)


def test_the_contract_found_the_methods():
    assert {"regda.regda", "supervised.supervised"} <= set(FACTORIES)
    assert len(method_of("regda.regda").points.names) == KEYPOINTS
