"""Baselines that keep statistics while they train: the Riemannian walk and AFEC, by hand and inside the method."""
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny_parts import BATCH, CODEC, KEYPOINTS, MODEL, batch, build, centred, endless, start

from kpjax.augment.augmentations import no_augmentation
from kpjax.losses.continual import quadratic_penalty
from kpjax.methods.incremental_family.importance import finished, fisher
from kpjax.methods.incremental_family.incremental import Tracker, incremental
from kpjax.methods.incremental_family.memories import (
    FISHER_EVERY,
    adaptive_consolidation,
    expanded_copy,
    expanded_variables,
    train_expanded,
    walk_by_updates,
)
from kpjax.methods.incremental_family.objectives import new_keypoints_term, penalty_term
from kpjax.methods.incremental_family.step_spec import increment

STEP = increment(KEYPOINTS, old=[0], new=[1, 2])
NEW = {"new_keypoints": new_keypoints_term(CODEC)}
KEY = jax.random.key(3)


def method_of(objective, track=None):
    return build(incremental, objective=objective, track=track, augment=no_augmentation())


@functools.cache
def teacher():
    return start()["teacher"]


def starting(**trees):
    return {"teacher": teacher(), "increment": STEP, **trees}


def test_the_walk_by_updates_equals_the_published_steps():
    walk = walk_by_updates()
    tracked = walk.tracker.init(jnp.float32(1.0), {})
    path = jnp.float32([1.0, 0.9, 0.95, 0.93])
    for n, gradient in enumerate(jnp.float32([0.4, -0.2, 0.1])):
        tracked = walk.tracker.after_update(tracked, gradient=gradient, old=path[n], new=path[n + 1])
    assert float(tracked.score) == pytest.approx(4.925027, abs=2e-5)
    carried, importance = walk.end_of_step(tracked)
    assert float(carried.score) == pytest.approx(2.462513, abs=1e-5)
    term = penalty_term(half=False)
    outputs = {"parameters": jnp.float32(0.96), "anchor": jnp.float32(0.93), "importance": importance}
    assert float(term.function(outputs, {})) == pytest.approx(0.00222890, abs=1e-7)
    # The next step goes on from there, also when a file has made a plain mapping of it.
    again = walk.tracker.init(jnp.float32(1.0), {"tracked": carried._asdict()})
    assert type(again) is type(carried)
    assert again == carried


def test_a_walk_inside_the_method_sees_the_applied_gradient():
    """One update with momentum's first step: d = -rate g, with the penalty's pull in g."""
    anchor = jax.tree.map(lambda leaf: leaf + 0.01, teacher()["params"])
    importance = jax.tree.map(jnp.ones_like, anchor)
    walk = walk_by_updates().tracker
    tracker = Tracker(lambda params, start: {"walk": walk.init(params, start)}, lambda tree, **step: {
        "walk": walk.after_update(tree["walk"], **step), "step": step})
    method = method_of(NEW | {"penalty": penalty_term(half=False)}, tracker)
    streams, given = {"labelled": batch("labelled")}, starting(anchor=anchor, importance=importance)
    before = jax.jit(method.init)(KEY, streams, given)
    state, _ = jax.jit(method.update)(before, streams, KEY)
    step, rate = jax.device_get(state.tracked["step"]), 1e-2
    jax.tree.map(np.testing.assert_array_equal, step["old"], before.variables["params"])
    jax.tree.map(np.testing.assert_array_equal, step["new"], state.variables["params"])
    pulled = jax.tree.map(np.subtract, step["old"]["backbone"], step["new"]["backbone"])
    jax.tree.map(lambda gradient, moved: np.testing.assert_allclose(moved, rate * gradient, rtol=2e-3, atol=1e-6),
                 step["gradient"]["backbone"], pulled)

    # F = 0.9 g² with g the applied gradient, which is the movement over the rate
    walked = state.tracked["walk"]
    jax.tree.map(lambda leaf, moved: np.testing.assert_allclose(leaf, 0.9 * np.square(moved / rate), rtol=2e-3,
                                                                atol=1e-6), walked.fisher["backbone"], pulled)
    for tree in walked:
        assert not jax.tree.leaves(tree["head"]["output"]["kernel"])[0][..., 0].any()


@functools.cache
def afec():
    """(the expanded copy's method, the main method, its importance)"""
    plain = method_of(NEW)
    objective = NEW | {"penalty": penalty_term(), "expanded": penalty_term(tracked=True)}
    measure = jax.jit(fisher(MODEL, CODEC, centred))
    weights = jnp.ones(BATCH, jnp.float32)

    def importance_of(trained):
        return finished(measure(jax.device_get(trained), jax.device_get(batch("labelled")), weights))

    return plain, jax.jit(plain.update, donate_argnums=0), method_of(objective, adaptive_consolidation()), importance_of


def afec_start():
    plain, *_ = afec()
    copy = jax.jit(plain.init)(jax.random.key(11), {"labelled": batch("labelled")}, starting())
    params = teacher()["params"]
    return starting(anchor=params, importance=jax.tree.map(jnp.zeros_like, params), expanded=expanded_copy(copy))


def between(calls):
    _, update, _, importance_of = afec()
    stream = endless("labelled")

    def measured(trained):
        calls.append(len(calls))
        return importance_of(trained)

    return train_expanded(lambda state, number: update(state, {"labelled": stream[number]}, KEY), measured,
                          epoch_steps=2)


@pytest.mark.slow
def test_the_expanded_copy_trains_by_epochs_and_only_there():
    _, update, main, _ = afec()
    streams = {"labelled": batch("labelled")}
    state = jax.jit(main.init)(KEY, streams, afec_start())
    assert not any(leaf.any() for leaf in jax.tree.leaves(state.tracked["importance"]))
    calls, stream = [], endless("labelled")
    function = between(calls)
    trained = function(state, 0)
    # The state that was given is still there, and the main network has not moved.
    jax.tree.map(np.testing.assert_array_equal, state.variables, trained.variables)
    expected = jax.tree.map(jnp.copy, state.tracked["copy"]._replace(variables=expanded_variables(state.tracked)))
    for number in range(2):
        expected, _ = update(expected, {"labelled": stream[number]}, KEY)
    jax.tree.map(np.testing.assert_array_equal, expanded_variables(trained.tracked), expected.variables)
    assert int(trained.tracked["copy"].step) == 2
    assert jax.tree.leaves(trained.tracked["importance"]["backbone"])[0].any()
    assert not any(leaf.any() for leaf in jax.tree.leaves(trained.tracked["importance"]["head"]["output"]))
    later = function(trained, 2)
    assert len(calls) == 1
    jax.tree.map(np.testing.assert_array_equal, later.tracked["importance"], trained.tracked["importance"])
    function(later, 2 * FISHER_EVERY)
    assert len(calls) == 2

    moved, metrics = jax.jit(main.update)(trained, streams, KEY)
    jax.tree.map(np.testing.assert_array_equal, moved.tracked, trained.tracked)
    penalty = quadratic_penalty(trained.variables["params"], trained.tracked["anchor"], trained.tracked["importance"])
    assert float(metrics["loss/expanded"]) == pytest.approx(float(penalty), rel=1e-5)
    assert float(penalty) > 0
