"""Baselines that keep statistics while they train: the Riemannian walk and AFEC, by hand and inside
the method.
"""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny_parts import CODEC, KEYPOINTS, batch, build, start

from kpjax.augment.augmentations import no_augmentation
from kpjax.methods.incremental_family import memories
from kpjax.methods.incremental_family.incremental import State, Tracker, incremental
from kpjax.methods.incremental_family.objectives import new_keypoints_term, penalty_term
from kpjax.methods.incremental_family.step_spec import increment

STEP = increment(KEYPOINTS, old=[0], new=[1, 2])
NEW = {"new_keypoints": new_keypoints_term(CODEC)}
KEY = jax.random.key(3)


def method_of(objective, track=None):
    return build(incremental, objective=objective, track=track, augment=no_augmentation())


def starting(**trees):
    return {"teacher": start()["teacher"], "increment": STEP, **trees}


def test_the_next_step_of_a_walk_goes_on_from_the_last_also_from_the_plain_mapping_of_a_file():
    walk, first, moved = memories.walk_by_updates(), jnp.float32(1.0), jnp.float32(0.9)
    walked = walk.tracker.after_update(
        walk.tracker.init(first, {}), gradient=jnp.float32(0.4), old=first, new=moved
    )
    assert float(walked.score) == pytest.approx(3.731343, abs=2e-5)  # and so on, see tests/papers
    carried, _ = walk.end_of_step(walked)
    again = walk.tracker.init(first, {"tracked": carried._asdict()})
    assert type(again) is type(carried)
    assert again == carried


def test_a_walk_inside_the_method_sees_the_applied_gradient():
    """One update with momentum's first step: d = -rate g, with the penalty's pull in g."""
    anchor = jax.tree.map(lambda leaf: leaf + 0.01, start()["teacher"]["params"])
    importance = jax.tree.map(jnp.ones_like, anchor)
    walk = memories.walk_by_updates().tracker
    tracker = Tracker(
        lambda params, start: {"walk": walk.init(params, start)},
        lambda tree, **step: {"walk": walk.after_update(tree["walk"], **step), "step": step},
    )
    method = method_of(NEW | {"penalty": penalty_term(half=False)}, tracker)
    streams, given = {"labelled": batch("labelled")}, starting(anchor=anchor, importance=importance)
    before = jax.jit(method.init)(KEY, streams, given)
    state, _ = jax.jit(method.update)(before, streams, KEY)
    step, rate = jax.device_get(state.tracked["step"]), 1e-2
    chex.assert_trees_all_equal(step["old"], before.variables["params"], strict=True)
    chex.assert_trees_all_equal(step["new"], state.variables["params"], strict=True)
    pulled = jax.tree.map(np.subtract, step["old"]["backbone"], step["new"]["backbone"])
    wanted = jax.tree.map(lambda gradient: rate * gradient, step["gradient"]["backbone"])
    chex.assert_trees_all_close(pulled, wanted, rtol=2e-3, atol=1e-6)

    # F = 0.9 g² with g the applied gradient, which is the movement over the rate
    walked = state.tracked["walk"]
    wanted = jax.tree.map(lambda moved: 0.9 * np.square(moved / rate), pulled)
    chex.assert_trees_all_close(walked.fisher["backbone"], wanted, rtol=2e-3, atol=1e-6)
    for tree in walked:
        assert not jax.tree.leaves(tree["head"]["output"]["kernel"])[0][..., 0].any()


def test_the_expanded_copy_trains_by_epochs_and_only_there():
    """A copy that adds the numbers of its updates, two an epoch; its importance is measured now and
    then.
    """

    def copy_of(weight):
        variables = {"params": {"w": jnp.float32(weight)}, "batch_stats": {}}
        return State(jnp.int32(0), variables, {}, {}, {})

    def update(copy, number):
        params = {"w": copy.variables["params"]["w"] + number}
        return copy._replace(step=copy.step + 1, variables=copy.variables | {"params": params}), {}

    measured = []

    def importance_of(trained):
        measured.append(trained.variables["params"]["w"])
        return jax.tree.map(jnp.square, trained.variables["params"])

    state = copy_of(7)._replace(tracked=memories.expanded_copy(copy_of(1)))
    assert state.tracked["importance"] == {"w": 0}
    function = memories.train_expanded(update, importance_of, epoch_steps=2)
    trained = function(state, 0)
    assert trained.variables == state.variables
    assert memories.expanded_variables(trained.tracked) == copy_of(1 + 0 + 1).variables
    assert (trained.tracked["copy"].step, trained.tracked["importance"]) == (2, {"w": 4})
    later = function(trained, 2)
    assert (later.tracked["anchor"], later.tracked["importance"], len(measured)) == (
        {"w": 2 + 2 + 3},
        {"w": 4},
        1,
    )
    function(later, 2 * memories.FISHER_EVERY)
    assert measured == [2, 7 + 10 + 11]


def test_a_term_reads_what_is_tracked():
    method = method_of(
        NEW | {"expanded": penalty_term(tracked=True)}, memories.adaptive_consolidation()
    )
    params, streams = start()["teacher"]["params"], {"labelled": batch("labelled")}
    given = starting(expanded={"anchor": params, "importance": params})
    state = jax.eval_shape(method.init, KEY, streams, given)
    assert "loss/expanded" in jax.eval_shape(method.update, state, streams, KEY)[1]
