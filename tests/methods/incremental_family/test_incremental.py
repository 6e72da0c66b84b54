"""Stage II of KAMP: what is trained, what is read, what is computed, and that one program serves all steps."""
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn
from tiny_parts import BATCH, CODEC, KEYPOINTS, MODEL, PARTS, SIDE, batch, build, start

from kpjax.augment.augmentations import no_augmentation
from kpjax.errors import InputError
from kpjax.heatmaps import gaussian_bumps
from kpjax.losses.objective import Term, without
from kpjax.methods.incremental_family.association_forward import checked_association, rerendered
from kpjax.methods.incremental_family.incremental import Tracker, incremental
from kpjax.methods.incremental_family.objectives import (
    association_term,
    channel_distillation_term,
    coarse_term,
    entropy_term,
    incremental_objective,
    new_keypoints_term,
    penalty_term,
    self_training_term,
    spatial_distillation_term,
)
from kpjax.methods.incremental_family.pseudo_label_confidence import hard, low_peak
from kpjax.methods.incremental_family.step_spec import NEW_CHANNEL_DEVIATION, head_channels, increment, increment_of
from kpjax.methods.supervised_learning import supervised
from kpjax.models import layers
from kpjax.models.layers import Convolution
from kpjax.models.network import KeypointNetwork
from kpjax.structures import Trained

KEY = jax.random.key(0)
STREAMS = {"labelled": jax.tree.map(jnp.asarray, batch("labelled"))}
OBJECTIVE = incremental_objective(CODEC)
FIRST = increment(KEYPOINTS, old=[0], new=[1], triples=[(0, 1)])  # keypoint 2 is not known yet
SECOND = increment(KEYPOINTS, old=[1, 0], new=[2], triples=[(1, 2)])
# It moves whatever it can: parameters without a gradient decay, and keep moving along old moments.
RESTLESS = optax.chain(optax.clip_by_global_norm(1.0), optax.add_decayed_weights(0.1), optax.scale_by_adam())


def state_of(method, step=FIRST, **more):
    return jax.jit(method.init)(KEY, STREAMS, start() | {"increment": step} | more)


def method_of(objective=OBJECTIVE, **options):
    return build(incremental, objective=objective, **options)


def updated(method, state, times=1, options=None):
    update = jax.jit(method.update, compiler_options=options)
    for _ in range(times):
        state, metrics = update(state, STREAMS, KEY)
    return state, metrics


@pytest.fixture(scope="module")
def kamp():
    return method_of()


# Heads


def test_a_step_begins_as_its_teacher_with_new_channels_in_the_head(kamp):
    variables, teacher = state_of(kamp, SECOND).variables, start()["teacher"]
    for part in ("backbone", "upsampling"):
        jax.tree.map(np.testing.assert_array_equal, variables["params"][part], teacher["params"][part])
    jax.tree.map(np.testing.assert_array_equal, variables["batch_stats"], teacher["batch_stats"])
    output, old = variables["params"]["head"]["output"], teacher["params"]["head"]["output"]
    np.testing.assert_array_equal(output["kernel"][..., :2], old["kernel"][..., :2])
    np.testing.assert_array_equal(output["bias"][:2], old["bias"][:2])
    drawn = np.asarray(output["kernel"][..., 2])
    assert 0 < np.abs(drawn).max() < 5 * NEW_CHANNEL_DEVIATION
    assert output["bias"][2] == 0


@pytest.mark.parametrize(("frozen", "moving"), [(True, [1]), (False, [0, 1])])
def test_channels_that_are_not_trained_stay_bit_identical(frozen, moving):
    method = method_of(optimizer=RESTLESS, freeze_old_heads=frozen)
    first = state_of(method)
    last, _ = updated(method, first, times=2)
    kernels = [np.asarray(each.variables["params"]["head"]["output"]["kernel"]) for each in (first, last)]
    changed = [k for k in range(KEYPOINTS) if not np.array_equal(kernels[0][..., k], kernels[1][..., k])]
    assert changed == moving
    conv = [each.variables["params"]["backbone"]["conv1"]["kernel"] for each in (first, last)]
    assert not np.array_equal(*conv)


def test_marks_of_channels():
    marks = head_channels(start()["variables"]["params"], jnp.array([0.0, 1.0, 0.0]))
    assert marks["head"]["output"]["kernel"][0, 0].all(0).tolist() == [False, True, False]
    assert marks["head"]["output"]["bias"].tolist() == [False, True, False]
    assert marks["head"]["conv1"]["bias"].all()
    assert marks["backbone"]["conv1"]["kernel"].all()


def test_unknown_keypoints_have_empty_maps(kamp):
    state = state_of(kamp)
    found = jax.jit(kamp.predict)(Trained(state.variables, state.frozen), STREAMS["labelled"])
    heatmaps = np.asarray(found.heatmaps[0])
    assert not heatmaps[..., 2].any()
    assert not found.scores[:, 2].any()
    assert heatmaps[..., :2].any((0, 1, 2)).all()


def test_parts_may_be_hidden_from_the_student_alone():
    """A term that compares what it reads with both networks by hand: the student sees black images."""
    def blacken(key, example):
        return example._replace(image=jnp.zeros_like(example.image)), jnp.zeros((BATCH, 3, 3))

    def differs(outputs, streams):
        assert set(streams) == {"labelled"}
        return (jnp.abs(outputs["teacher"] - whole).max() + jnp.abs(outputs["heatmaps"] - hidden).max()
                + jnp.abs(streams["labelled"].image - image).max())

    image = jnp.asarray(STREAMS["labelled"].image, jnp.float32) / 255
    options = {"augment": no_augmentation(), "freeze_statistics": True, "student_view": blacken}
    first = state_of(method_of(**options))
    answer = jax.jit(lambda variables, images: MODEL.apply(variables, images, train=False))
    whole = answer(first.frozen["teacher"], PARTS["normalise"](image))
    hidden = answer(first.variables, PARTS["normalise"](jnp.zeros_like(image)))
    probe = {"probe": Term(1.0, differs, reads=("heatmaps", "teacher"))}
    _, metrics = updated(method_of(OBJECTIVE | probe, **options), first)
    assert metrics["loss/probe"] < 1e-4


# Gradients


def test_no_gradient_reaches_teacher_or_ka_net(kamp):
    state = state_of(kamp)

    def loss(frozen, variables):
        changed = state._replace(frozen=state.frozen | frozen, variables=variables)
        return kamp.update(changed, STREAMS, KEY)[1]["loss/total"]

    networks = {name: state.frozen[name] for name in ("teacher", "association")}
    of_frozen, of_student = jax.jit(jax.grad(loss, (0, 1)))(networks, state.variables)
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(of_frozen))
    assert np.any(of_student["params"]["backbone"]["conv1"]["kernel"])
    # Through the old channels of the head, which are not trained, gradients reach the trunk.
    assert np.any(of_student["params"]["head"]["output"]["kernel"][..., 0])


def outputs(rng, **more):
    maps = {name: jnp.asarray(rng.normal(size=(BATCH, 4, 4, KEYPOINTS)).astype(np.float32))
            for name in ("heatmaps", "teacher")}
    return maps | {
        "increment": jax.tree.map(jnp.asarray, SECOND), "labelled_triples": jnp.ones((BATCH, 1)),
        "confidence": jnp.ones((BATCH, KEYPOINTS)),
        "association": jnp.asarray(rng.normal(size=(BATCH, 4, 4, 1)).astype(np.float32))} | more


def test_another_ka_net_changes_the_gradient_of_its_channel_only():
    rng = np.random.default_rng(0)
    given, other = outputs(rng), jnp.asarray(rng.normal(size=(BATCH, 4, 4, 1)).astype(np.float32))
    term, distillation = association_term(), spatial_distillation_term()

    @jax.jit
    def gradient(association):
        def whole(heatmaps):
            seen = given | {"heatmaps": heatmaps, "association": association}
            return term.function(seen, {}) + distillation.function(seen, {})

        return jax.grad(whole)(given["heatmaps"])

    differs = np.asarray(gradient(given["association"]) != gradient(other)).any((0, 1, 2))
    assert differs.tolist() == [False, True, False]


def test_images_without_both_new_keypoints_are_left_out():
    rng = np.random.default_rng(0)
    given = outputs(rng)
    half = jnp.concatenate([jnp.ones((BATCH // 2, 1)), jnp.zeros((BATCH // 2, 1))])
    term = association_term()
    some = term.function(given | {"labelled_triples": half}, {})
    first = {name: given[name][:BATCH // 2] for name in ("heatmaps", "association", "confidence", "labelled_triples")}
    np.testing.assert_allclose(some, term.function(given | first, {}), rtol=1e-6)
    assert term.function(given | {"labelled_triples": 0 * half}, {}) == 0


def test_the_gate_leaves_out_a_ka_net_that_is_far_off_and_less_sure():
    rng = np.random.default_rng(0)
    given = outputs(rng)
    corners = gaussian_bumps(jnp.array([[[0.0, 0.0], [3.0, 3.0]]]), (4, 4), 1.0)
    corners = jnp.broadcast_to(corners, (BATCH, 4, 4, 2))
    given |= {"teacher": given["teacher"].at[..., 1].set(corners[..., 0]), "association": 0.5 * corners[..., 1:]}
    peaks = jnp.full((BATCH, 1), 0.5)
    apart = association_term(gate=2.0).function(given | {"association_peaks": peaks}, {})
    near = association_term(gate=5.0).function(given | {"association_peaks": peaks}, {})
    surer = association_term(gate=2.0).function(given | {"association_peaks": 3 * peaks}, {})
    assert apart == 0
    assert near == surer == association_term().function(given, {})


def test_self_training_follows_the_teachers_own_arg_max():
    given = outputs(np.random.default_rng(0))
    own = given | {"association": rerendered(CODEC, given["teacher"][..., 1:2])}
    assert self_training_term(CODEC).function(given, {}) == association_term().function(own, {})
    again = rerendered(CODEC, own["association"])
    np.testing.assert_array_equal(own["association"], again)
    assert again.max() == 1


# What is computed


def flops(method, state):
    return jax.jit(method.update).lower(state, STREAMS, KEY).compile().cost_analysis()["flops"]


def test_passes_that_no_term_reads_are_not_run(kamp, monkeypatch):
    # Forms for CPUs spend more on maps of a few pixels.
    monkeypatch.setattr(layers, "by_platform", lambda *arrays, default, **forms: default(*arrays))
    whole = flops(kamp, state_of(kamp))
    ksd_only, finetune = (method_of(without(OBJECTIVE, *names)) for names in (
        ["association"], ["association", "distillation"]))
    assert flops(ksd_only, state_of(ksd_only)) < 0.99 * whole
    alone = flops(finetune, state_of(finetune))
    plain = build(supervised)
    reference = flops(plain, jax.jit(plain.init)(KEY, STREAMS, start()))
    assert alone < 1.05 * reference < 0.9 * whole
    assert set(state_of(finetune).frozen) == {"increment"}


def test_two_steps_of_a_protocol_share_one_program(kamp):
    traces = []

    def watched(*arguments):
        traces.append(1)
        return kamp.update(*arguments)

    update = jax.jit(watched)
    weights = [increment(KEYPOINTS, old=[0], new=[1], triples=[(0, 1)], weights={"distillation": weight})
               for weight in (1.0, 3.0)]
    totals = []
    for step in (FIRST, SECOND):
        update(state_of(kamp, step), STREAMS, KEY)
    assert len(traces) == 1
    for step in weights:
        metrics = update(state_of(kamp, step), STREAMS, KEY)[1]
        totals.append(float(metrics["loss/total"]))
        assert metrics["loss/distillation"] > 0
    assert len(traces) == 2  # one more name among the weights is another program
    np.testing.assert_allclose(totals[1] - totals[0], 2 * metrics["loss/distillation"], rtol=1e-5)


def test_pseudo_labels_that_are_all_believed_change_no_bit(rounded_alike):
    method = method_of(confidence=hard(low_peak))
    plain = method_of()
    ours, theirs = (updated(each, state_of(each), 2, rounded_alike) for each in (method, plain))
    jax.tree.map(np.testing.assert_array_equal, ours, theirs)
    nothing = FIRST._replace(threshold=np.full(KEYPOINTS, -1e3, np.float32))
    _, metrics = updated(method, state_of(method, nothing))
    assert metrics["loss/association"] == 0


def test_distillation_is_centred_at_the_teacher():
    method = method_of(freeze_statistics=True, augment=no_augmentation())
    state = state_of(method)
    last, metrics = updated(method, state)
    np.testing.assert_allclose(metrics["loss/centred_distillation"], 0, atol=1e-7)
    assert metrics["loss/distillation"] > 0.1
    jax.tree.map(np.testing.assert_array_equal, last.variables["batch_stats"], state.variables["batch_stats"])


def test_balance_makes_the_gradients_equal_in_norm():
    objective = OBJECTIVE
    rest, plain = without(objective, "new_keypoints"), without(objective, "distillation", "association")
    norms = []
    for terms in (plain, rest):
        method = method_of(terms)
        norms.append(updated(method, state_of(method))[1]["gradient_norm/model"])
    balanced = method_of(objective, balance=2.0)
    _, metrics = updated(balanced, state_of(balanced))
    np.testing.assert_allclose(metrics["weight/balance"], 2 * norms[0] / norms[1], rtol=1e-4)


def test_a_tracker_sees_the_applied_gradient():
    def after_update(tree, *, gradient, old, new):
        return jax.tree.map(lambda _, *leaves: jnp.stack(leaves), tree, gradient, old, new)

    tracker = Tracker(lambda params, start: jax.tree.map(jnp.zeros_like, params), after_update)
    objective = without(OBJECTIVE, "association") | {"penalty": penalty_term()}
    trees = {"anchor": jax.tree.map(jnp.zeros_like, start()["variables"]["params"])}
    trees["importance"] = jax.tree.map(jnp.ones_like, trees["anchor"])
    first = state_of(method_of(objective, track=tracker), **trees)
    last, _ = updated(method_of(objective, track=tracker), first)
    conv = ("backbone", "conv1", "kernel")
    gradient, old, new = last.tracked[conv[0]][conv[1]][conv[2]]
    np.testing.assert_array_equal(old, first.variables["params"][conv[0]][conv[1]][conv[2]])
    np.testing.assert_array_equal(new, last.variables["params"][conv[0]][conv[1]][conv[2]])
    np.testing.assert_allclose(old - new, 1e-2 * gradient, rtol=2e-3, atol=1e-6)  # momentum's first step
    assert not np.any(last.tracked["head"]["output"]["bias"][:1, 0])


def test_baselines_terms_train_together(kamp):
    trees = {"anchor": start()["variables"]["params"]}
    trees["importance"] = jax.tree.map(jnp.ones_like, trees["anchor"])
    objective = {"new_keypoints": new_keypoints_term(CODEC), "distillation": channel_distillation_term(),
                 "penalty": penalty_term(), "entropy": entropy_term(), "self_training": self_training_term(CODEC)}
    method = method_of(objective)
    _, metrics = updated(method, state_of(method, SECOND, **trees))
    assert all(np.isfinite(value) for value in metrics.values())
    assert -1 <= metrics["loss/entropy"] <= 0
    with pytest.raises(InputError, match="'importance' is missing"):
        state_of(method, SECOND, anchor=trees["anchor"])


class TwoLevels(nn.Module):
    """A head that answers twice."""

    def setup(self):
        self.output = Convolution(KEYPOINTS, kernel_size=1, use_bias=True)
        self.early = Convolution(KEYPOINTS, kernel_size=1, use_bias=True)

    def __call__(self, features, train: bool):
        return self.output(features)

    def coarse(self, backbone_features, train: bool):
        return (self.early(backbone_features[0]),)


def test_all_levels_of_a_network_learn_the_new_keypoints():
    model = KeypointNetwork(MODEL.backbone, MODEL.upsampling, TwoLevels())
    size = {"image_size": (SIDE, SIDE), "heatmap_size": (SIDE // 4, SIDE // 4)}
    objective = {"new_keypoints": coarse_term(**size, levels=2), "distillation": spatial_distillation_term()}
    method = method_of(objective, model=model)
    teacher = model.init(KEY, jnp.zeros((1, SIDE, SIDE, 3)), train=False)
    state = state_of(method, teacher=teacher)
    last, metrics = updated(method, state)
    assert metrics["loss/new_keypoints"] > 0
    for level in ("early", "output"):
        kernels = [np.asarray(each.variables["params"]["head"][level]["kernel"]) for each in (state, last)]
        assert [np.array_equal(kernels[0][..., k], kernels[1][..., k]) for k in range(3)] == [True, False, True]


# Bad input


def test_increments_are_checked():
    for mistake, options in {
        "not among the 3": {"old": [0], "new": [3]}, "both old and new": {"old": [0], "new": [0]},
        "no keypoint is new": {"old": [0], "new": []},
        "slots": {"old": [0], "new": [1], "triples": [(0, 1), (0, 1)]},
        "is not an old keypoint": {"old": [0], "new": [1], "triples": [(1, 1)]},
        "triple_weights": {"old": [0], "new": [1], "triples": [(0, 1)], "triple_weights": [1, 1]},
    }.items():
        with pytest.raises(InputError, match=mistake):
            increment(3, **options)
    with pytest.raises(InputError, match="4 keypoints"):
        increment_of({"increment": increment(4, old=[0], new=[1])}, 3)
    stored = {name: value for name, value in FIRST._asdict().items() if name != "weights"}
    jax.tree.map(np.testing.assert_array_equal, increment_of({"increment": stored}, KEYPOINTS), FIRST)
    assert FIRST.triples.tolist() == [[0, 1, 1]]


def test_a_start_that_lacks_something_is_refused(kamp):
    for missing in ("teacher", "association"):
        given = {name: tree for name, tree in start().items() if name != missing}
        with pytest.raises(InputError, match=f"'{missing}' is missing"):
            kamp.init(KEY, STREAMS, given)
    with pytest.raises(ValueError, match="a term reads 'warped'"):
        method_of({"new_keypoints": Term(1.0, lambda outputs, streams: jnp.float32(0), ("warped",))})
    kept = state_of(kamp).frozen["association"]
    again = checked_association(kept, jax.tree.map(lambda leaf: leaf + 1, kept))
    assert jax.tree.leaves(again)[0] is not jax.tree.leaves(kept)[0]
    smaller = {name: {"triple_0": jax.tree.map(lambda leaf: leaf[:1], tree["triple_0"])} for name, tree in kept.items()}
    with pytest.raises(InputError, match="triple_0 of another shape"):
        checked_association(kept, smaller)
    assert jax.tree.leaves(checked_association(kept, start()["association"]))[0] is jax.tree.leaves(kept)[0]


def test_step_zero_needs_no_teacher():
    method = method_of(without(OBJECTIVE, "association", "distillation"))
    base = increment(KEYPOINTS, old=[], new=[0, 1])
    state = jax.jit(method.init)(KEY, STREAMS, {"increment": base, "variables": start()["variables"]})
    jax.tree.map(np.testing.assert_array_equal, state.variables, dict(start()["variables"]))
    assert set(state.frozen) == {"increment"}
