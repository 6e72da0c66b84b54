"""Stage II of KAMP: what is trained, what is read, what is computed, and that one program serves
all steps.
"""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn
from flax.traverse_util import flatten_dict
from tiny_parts import BATCH, CODEC, KEYPOINTS, MODEL, PAIRED_CODEC, SIDE, batch, build, start

from kpjax.augment.augmentations import no_augmentation
from kpjax.losses.heatmap import coarse_to_fine_targets
from kpjax.losses.objective import without
from kpjax.methods.incremental_family import objectives as terms
from kpjax.methods.incremental_family.association_forward import (
    frozen_forward,
    rerender,
    teacher_answer,
)
from kpjax.methods.incremental_family.incremental import incremental
from kpjax.methods.incremental_family.step_spec import (
    NEW_CHANNEL_DEVIATION,
    head_channels,
    increment,
)
from kpjax.methods.supervised_learning import supervised
from kpjax.models import layers, rsn, small_unet
from kpjax.models.layers import Convolution
from kpjax.models.movenet import MoveNetHeatmaps
from kpjax.models.network import KeypointNetwork
from kpjax.structures import Trained

KEY = jax.random.key(0)
STREAMS = {"labelled": jax.tree.map(jnp.asarray, batch("labelled"))}
OBJECTIVE = terms.incremental_objective(CODEC)
WEIGHTS = {"distillation": 1.0}
# keypoint 2 is not known yet
FIRST = increment(KEYPOINTS, old=[0], new=[1], triples=[(0, 1)], weights=WEIGHTS)
SECOND = increment(KEYPOINTS, old=[1, 0], new=[2], triples=[(1, 2)], weights=WEIGHTS)
# It moves whatever it can: parameters without a gradient decay, and keep moving along old moments.
RESTLESS = optax.chain(
    optax.clip_by_global_norm(1.0), optax.add_decayed_weights(0.1), optax.scale_by_adam()
)
OPTIONS = {"optimizer": RESTLESS, "augment": no_augmentation()}


def method_of(objective=OBJECTIVE, **options):
    return build(incremental, objective=objective, **OPTIONS, **options)


@functools.cache
def kamp():
    """KAMP's method, and its programs, each compiled once for all tests; an update that is traced
    again fails.
    """
    method = method_of()
    chex.clear_trace_counter()
    return method, jax.jit(method.init), jax.jit(chex.assert_max_traces(method.update, n=1))


def state_of(step=FIRST):
    """KAMP's first state, whose variables are those of any objective."""
    return kamp()[1](KEY, STREAMS, start() | {"increment": step})


# Heads


@pytest.mark.parametrize(
    ("model", "last", "leaves"),
    [
        (
            small_unet(KEYPOINTS, widths=(8, 8, 8), head_layers=2, head_width=KEYPOINTS),
            "head/output/",
            2,
        ),
        (
            small_unet(KEYPOINTS, widths=(8, 8, 3)).clone(head=MoveNetHeatmaps(KEYPOINTS)),
            "head/heatmaps/output/",
            2,
        ),
        (rsn(KEYPOINTS, width=3, unit_width=KEYPOINTS), "head/stage0_up4/res_conv2/", 4),
    ],
    ids=["unet", "movenet", "rsn"],
)
def test_hidden_layers_of_a_head_as_wide_as_there_are_keypoints_are_shared(model, last, leaves):
    params = jax.eval_shape(
        functools.partial(model.init, train=False), KEY, jnp.zeros((1, 32, 32, 3))
    )["params"]
    kept = flatten_dict(head_channels(params, jnp.zeros(KEYPOINTS)), sep="/")
    assert [bool(leaf.any()) for path, leaf in kept.items() if path.startswith(last)] == [
        False
    ] * leaves
    assert all(
        leaf.all()
        for path, leaf in kept.items()
        if "output/" not in path and "res_conv2/" not in path
    )


def test_a_step_begins_as_its_teacher_with_new_channels_in_the_head():
    variables, teacher = state_of(SECOND).variables, start()["teacher"]
    for part in ("backbone", "upsampling"):
        chex.assert_trees_all_equal(variables["params"][part], teacher["params"][part], strict=True)
    chex.assert_trees_all_equal(variables["batch_stats"], teacher["batch_stats"], strict=True)
    output, old = variables["params"]["head"]["output"], teacher["params"]["head"]["output"]
    np.testing.assert_array_equal(output["kernel"][..., :2], old["kernel"][..., :2])
    np.testing.assert_array_equal(output["bias"][:2], old["bias"][:2])
    drawn = np.asarray(output["kernel"][..., 2])
    assert 0 < np.abs(drawn).max() < 5 * NEW_CHANNEL_DEVIATION
    assert output["bias"][2] == 0


def test_channels_that_are_not_trained_stay_bit_identical():
    first = last = state_of()
    for _ in range(2):
        last, _ = kamp()[2](last, STREAMS, KEY)
    kernels = [
        np.asarray(each.variables["params"]["head"]["output"]["kernel"]) for each in (first, last)
    ]
    assert [np.array_equal(kernels[0][..., k], kernels[1][..., k]) for k in range(KEYPOINTS)] == [
        True,
        False,
        True,
    ]
    assert not np.array_equal(
        *(each.variables["params"]["backbone"]["conv1"]["kernel"] for each in (first, last))
    )


def test_unknown_keypoints_have_empty_maps():
    state = state_of()
    found = jax.jit(kamp()[0].predict)(Trained(state.variables, state.frozen), STREAMS["labelled"])
    heatmaps = np.asarray(found.heatmaps[0])
    assert not heatmaps[..., 2].any()
    assert not found.scores[:, 2].any()
    assert heatmaps[..., :2].any((0, 1, 2)).all()


# Terms


def outputs(**more):
    rng = np.random.default_rng(0)
    maps = {
        name: jnp.asarray(rng.normal(size=(BATCH, 4, 4, KEYPOINTS)).astype(np.float32))
        for name in ("heatmaps", "teacher")
    }
    return (
        maps
        | {
            "increment": jax.tree.map(jnp.asarray, SECOND),
            "believed": jnp.ones((BATCH, KEYPOINTS)),
            "labelled_triples": jnp.ones((BATCH, 1)),
            "association": jnp.asarray(rng.normal(size=(BATCH, 4, 4, 1)).astype(np.float32)),
        }
        | more
    )


def test_images_without_both_new_keypoints_are_left_out():
    given, term = outputs(), jax.jit(lambda outputs: terms.association_term().function(outputs, {}))
    half = jnp.concatenate([jnp.ones((BATCH // 2, 1)), jnp.zeros((BATCH // 2, 1))])
    first = {
        name: given[name][: BATCH // 2] for name in ("heatmaps", "association", "labelled_triples")
    }
    np.testing.assert_allclose(
        term(given | {"labelled_triples": half}), term(given | first), rtol=1e-6
    )
    assert term(given | {"labelled_triples": 0 * half}) == 0


def test_self_training_follows_the_teachers_own_arg_max():
    given, draw = outputs(), jax.jit(functools.partial(rerender, CODEC))
    own = given | {"association": draw(given["teacher"][..., 1:2])}
    found, of_pairs, expected = jax.jit(
        lambda given, own: (
            terms.self_training_term(CODEC).function(given, {}),
            terms.self_training_term(PAIRED_CODEC).function(given, {}),
            terms.association_term().function(own, {}),
        )
    )(given, own)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert of_pairs == found  # one map has no partner beside it
    again = draw(own["association"])
    np.testing.assert_array_equal(own["association"], again)
    assert again.max() == 1


def labelled_batch(points, visible):
    """The streams of a batch whose labels are points (K, 2) and flags (K,) in every image."""
    shown = STREAMS["labelled"]
    return {
        "labelled": shown._replace(
            keypoints=jnp.broadcast_to(jnp.asarray(points, jnp.float32), shown.keypoints.shape),
            visible=jnp.broadcast_to(jnp.asarray(visible, jnp.float32), shown.visible.shape),
        )
    }


def test_the_ceiling_follows_the_true_old_point_where_it_has_a_label():
    """Its map is the label's Gaussian of the triple's old keypoint, 1."""
    given = outputs()
    streams = labelled_batch([[2, 2], [SIDE / 2, SIDE / 4], [5, 5]], [1, 1, 1])
    truth, _ = CODEC.encode(streams["labelled"])
    own = given | {"association": truth[..., 1:2]}
    term = terms.true_points_term(CODEC)
    expected = terms.association_term().function(own, {})
    np.testing.assert_allclose(term.function(given, streams), expected, rtol=1e-6)
    unlabelled = labelled_batch([[2, 2], [0, 0], [5, 5]], [1, 0, 1])
    assert term.function(given, unlabelled) == 0
    absent = labelled_batch([[2, 2], [0, 0], [5, 5]], [1, -1, 1])
    assert term.function(given, absent) == 0


def test_memory_replay_takes_the_old_models_sure_points_for_labels():
    """Half the mean squared error over cells, images and old keypoints, 0 and 1; 2 is new."""
    given = outputs()
    student, teacher = (np.asarray(given[name], np.float64) for name in ("heatmaps", "teacher"))
    targets = np.asarray(rerender(CODEC, given["teacher"]), np.float64)
    squares = 0.5 * np.square(student - targets).mean((1, 2))[:, :2]
    _, scores = CODEC.decode(given["teacher"])
    peaks = np.asarray(scores)[:, :2]
    np.testing.assert_allclose(peaks, teacher.max((1, 2))[:, :2], rtol=1e-6)
    for above in (-10.0, float(np.median(peaks)), 10.0):
        expected = np.where(peaks > above, squares, 0).mean()
        found = terms.memory_replay_term(CODEC, above=above).function(given, {})
        np.testing.assert_allclose(found, expected, rtol=1e-5)


# What is computed


def flops(method, state):
    return jax.jit(method.update).lower(state, STREAMS, KEY).cost_analysis()["flops"]


@pytest.mark.slow
def test_passes_that_no_term_reads_are_not_run(monkeypatch):
    # Forms for CPUs spend more on maps of a few pixels.
    monkeypatch.setattr(layers, "by_platform", lambda *arrays, default, **forms: default(*arrays))
    whole = flops(kamp()[0], state_of())
    ksd_only, finetune = (
        method_of(without(OBJECTIVE, *names))
        for names in (["association"], ["association", "distillation"])
    )
    assert flops(ksd_only, state_of()) < 0.99 * whole
    plain = build(supervised, **OPTIONS)
    reference = flops(plain, jax.eval_shape(plain.init, KEY, STREAMS, start()))
    assert flops(finetune, state_of()) < 1.05 * reference < 0.9 * whole
    assert set(jax.eval_shape(finetune.init, KEY, STREAMS, start()).frozen) == {"increment"}


def test_two_steps_of_a_protocol_share_one_program_and_weights_are_arrays():
    _, _, update = kamp()
    for step in (FIRST, SECOND):
        update(state_of(step), STREAMS, KEY)
    state = state_of()
    metrics = [
        update(
            state._replace(
                frozen=state.frozen
                | {
                    "increment": jax.tree.map(
                        jnp.asarray, FIRST._replace(weights={"distillation": np.float32(weight)})
                    )
                }
            ),
            STREAMS,
            KEY,
        )[1]
        for weight in (1.0, 3.0)
    ]
    np.testing.assert_allclose(
        metrics[1]["loss/total"] - metrics[0]["loss/total"],
        2 * metrics[0]["loss/distillation"],
        rtol=1e-5,
    )
    assert 0 < metrics[0]["loss/centred_distillation"] < metrics[0]["loss/distillation"]


def test_the_finest_of_several_levels_weighs_as_the_only_one_of_a_network():
    """Coarse levels, a quarter of it each, add to it. So alpha means the same with RSN as with
    HRNet.
    """
    size = {"image_size": (SIDE, SIDE), "heatmap_size": (SIDE // 4, SIDE // 4)}
    shown = labelled_batch([[2, 2], [SIDE / 2, SIDE / 4], [5, 5]], [1, 0, 1])
    targets, weights = coarse_to_fine_targets(
        shown["labelled"].keypoints, shown["labelled"].visible, **size
    )
    levels = targets[1:]  # of the only stage, which is the last
    rng = np.random.default_rng(0)
    maps = [jnp.asarray(rng.normal(size=levels[0].shape), jnp.float32) for _ in levels]
    step = increment(KEYPOINTS, old=[0], new=[1, 2])  # the first of the new ones has no label

    def of_levels(answers):
        given = outputs(increment=jax.tree.map(jnp.asarray, step), coarse=answers)
        return terms.coarse_term(**size).function(given, shown)

    errors = [
        np.square(np.asarray(one, np.float64) - two)[..., 2].mean() / 2
        for one, two in zip(maps, levels, strict=True)
    ]
    expected = (0.25 * sum(errors[:3]) + errors[3]) / 2
    np.testing.assert_allclose(of_levels(maps), expected, rtol=1e-5)

    codec = CODEC._replace(encode=lambda example: (levels[3], weights))
    given = outputs(increment=jax.tree.map(jnp.asarray, step), heatmaps=maps[3])
    alone = terms.new_keypoints_term(codec).function(given, shown)
    np.testing.assert_allclose(of_levels([*levels[:3], maps[3]]), alone, rtol=1e-5)


class FourLevels(nn.Module):
    """A head that answers four times."""

    def setup(self):
        self.output = Convolution(KEYPOINTS, kernel_size=1, use_bias=True)
        self.early = [Convolution(KEYPOINTS, kernel_size=1, use_bias=True) for _ in range(3)]

    def __call__(self, features, train: bool):
        return self.output(features)

    def coarse(self, backbone_features, train: bool):
        return tuple(level(backbone_features[0]) for level in self.early)


def test_all_levels_of_a_network_learn_the_new_keypoints():
    model = KeypointNetwork(MODEL.backbone, MODEL.upsampling, FourLevels())
    size = {"image_size": (SIDE, SIDE), "heatmap_size": (SIDE // 4, SIDE // 4)}
    method = method_of(
        {
            "new_keypoints": terms.coarse_term(**size),
            "distillation": terms.spatial_distillation_term(),
        },
        model=model,
    )
    rng = np.random.default_rng(0)
    shapes = jax.eval_shape(lambda: model.init(KEY, jnp.zeros((1, SIDE, SIDE, 3)), train=False))
    drawn = jax.tree.map(
        lambda leaf: jnp.asarray(rng.uniform(0.1, 0.5, leaf.shape), jnp.float32), shapes
    )
    first = state_of()._replace(variables=drawn, optimizer_state=RESTLESS.init(drawn["params"]))
    first = first._replace(frozen=first.frozen | {"teacher": drawn})
    last, _ = jax.jit(method.update)(first, STREAMS, KEY)
    for level in ("early_0", "early_2", "output"):
        kernels = [
            np.asarray(each.variables["params"]["head"][level]["kernel"]) for each in (first, last)
        ]
        assert [np.array_equal(kernels[0][..., k], kernels[1][..., k]) for k in range(3)] == [
            True,
            False,
            True,
        ]


def test_points_of_another_tool_are_maps_of_their_weight_and_teach_nothing_where_there_are_none():
    """Of old keypoints 0 and 1 the first has a point, on the first image; the network tells the
    second."""
    step = jax.tree.map(jnp.asarray, SECOND._replace(by_points=np.array([1, 0, 0], np.float32)))
    view = STREAMS["labelled"]
    weights = jnp.zeros((BATCH, KEYPOINTS)).at[0, 0].set(0.75)
    view = view._replace(image=view.image.astype(jnp.float32), visible=weights)
    view = view._replace(keypoints=jnp.full_like(view.keypoints, SIDE / 2))
    variables = start()["teacher"]
    _, told, believed = teacher_answer(MODEL, variables, CODEC, view.image, view, step)
    _, maps = frozen_forward(MODEL, variables, view.image)
    rendered, _ = CODEC.encode(view)
    np.testing.assert_array_equal(told[..., 0], rendered[..., 0])
    np.testing.assert_array_equal(told[..., 1:], maps[..., 1:])
    np.testing.assert_array_equal(believed[:, 0], weights[:, 0])
    np.testing.assert_array_equal(believed[:, 1:], 1)
    given = outputs(increment=step, believed=believed)
    for term in (
        terms.spatial_distillation_term(),
        terms.channel_distillation_term(),
        terms.memory_replay_term(CODEC, above=-10.0),
    ):
        gradient = jax.grad(lambda maps, term=term: term.function(given | {"heatmaps": maps}, {}))(
            given["heatmaps"]
        )
        taught = np.asarray(gradient != 0).any((1, 2))
        assert taught[0, :2].all()
        assert not taught[1:, 0].any()
        assert not taught[:, 2].any()
