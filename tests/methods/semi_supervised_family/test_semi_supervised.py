"""The semi-supervised method against the paper's equations by hand, and what each of its terms
reads and reaches.

Every test shares the tiny network; the optimizer keeps the gradient that it was given and moves
nothing.
"""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import tiny_parts
from tiny_parts import BATCH, CODEC, KEYPOINTS, MODEL, SIDE, batch, centred, forward, streams_of

from kpjax import InputError, geometry
from kpjax.augment.augmentations import no_augmentation, random_warp
from kpjax.augment.random_maps import PERSPECTIVE
from kpjax.heatmaps import codec
from kpjax.losses.heatmap import heatmap_mse
from kpjax.losses.objective import without
from kpjax.methods.forward import deinterleave, interleave, unit_range
from kpjax.methods.gradient_step import State
from kpjax.methods.semi_supervised_family import objectives
from kpjax.methods.semi_supervised_family.semantic_features import feature_inputs, representations
from kpjax.methods.semi_supervised_family.semi_supervised import semi_supervised
from kpjax.methods.supervised_learning import supervised
from kpjax.structures import named_key

LABELLED = ("labelled",)
close = functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-6)


def keeper():
    """Keeps the last gradient as its state and moves nothing."""
    return optax.GradientTransformation(
        lambda params: jax.tree.map(jnp.zeros_like, params),
        lambda gradient, state, params=None: (jax.tree.map(jnp.zeros_like, gradient), gradient),
    )


def build(objective, **changes):
    settings = {
        "optimizer": keeper(),
        "learning_rate": lambda step: 0.0,
        "augment": no_augmentation(),
    }
    return tiny_parts.build(semi_supervised, objective=objective, **settings | changes)


@functools.cache
def variables():
    """Of the whole method, with biases, scales and statistics that are not all equal."""
    method = build(objectives.semi_supervised_objective(CODEC))
    first = jax.eval_shape(method.init, jax.random.key(0), streams_of(method), {})
    random = np.random.default_rng(0)
    lowest = {"params": -0.3, "batch_stats": 0.1, "semantic": -0.3}
    return {
        name: jax.tree.map(
            lambda leaf, low=lowest[name]: random.uniform(low, 0.5, leaf.shape).astype(np.float32),
            tree,
        )
        for name, tree in first.variables.items()
    }


def first_state(method):
    first = jax.eval_shape(method.init, jax.random.key(0), streams_of(method), {})
    empty = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), first.optimizer_state)
    return State(jnp.int32(0), {name: variables()[name] for name in first.variables}, empty, {})


def stepped(method, streams=None):
    """(metrics, gradient by part, variables afterwards) of one update."""
    streams = streams_of(method) if streams is None else streams
    state, metrics = updating(method)(first_state(method), streams, jax.random.key(0))
    return jax.tree.map(np.asarray, (metrics, state.optimizer_state, state.variables))


@functools.cache
def updating(method):
    return jax.jit(method.update)


def losses(method):
    return forward(method)(first_state(method), streams_of(method), jax.random.key(0))[0]


def reached(gradient):
    """The parts of the model, and of F and phi, with a gradient that is not zero."""
    parts = {name: tree for name, tree in gradient.items() if name != "semantic"} | gradient.get(
        "semantic", {}
    )
    return {
        name for name, tree in parts.items() if any(np.any(leaf) for leaf in jax.tree.leaves(tree))
    }


@pytest.fixture(scope="module")
def sskl():
    return build(objectives.semi_supervised_objective(CODEC, **objectives.EQUATION_5))


@pytest.fixture(scope="module")
def step_of_sskl(sskl):
    return stepped(sskl)


def highest(maps):
    """The maximum over the cells of maps (B, h, w, K, C), whose gradient looks for no entry that
    equals it.
    """
    cells = maps.reshape(maps.shape[0], -1, *maps.shape[3:])
    return jnp.take_along_axis(cells, jax.lax.stop_gradient(cells).argmax(1, keepdims=True), 1)[
        :, 0
    ]


def by_hand(given, streams, key):
    """The four terms and the total of equation 5, each as it is written, on one pass over all
    images.
    """
    examples = {name: unit_range(example) for name, example in streams.items()}
    maps = {}
    for name in ("labelled", "unlabelled"):
        warp = random_warp(PERSPECTIVE)
        examples[f"{name}/warped"], maps[name] = warp(
            named_key(key, f"{name}/warped"), examples[name]
        )
    order = ("labelled", "unlabelled", "labelled/warped", "unlabelled/warped")

    def losses(params):
        images = centred(
            jnp.stack([examples[name].image for name in order], 1).reshape(-1, SIDE, SIDE, 3)
        )
        model = {
            "params": {name: params[name] for name in params if name != "semantic"},
            "batch_stats": given["batch_stats"],
        }
        together = functools.partial(MODEL.apply, model, train=True, mutable=["batch_stats"])
        (fine, coarse), _ = together(images, method="backbone_features")
        upsampled, _ = together(images, method="features")
        heatmaps, after = together(images)
        size = heatmaps.shape[1:3]
        stacked = jnp.concatenate(
            [
                jax.image.resize(each, (each.shape[0], *size, each.shape[-1]), "bilinear")
                for each in (fine, coarse, upsampled)
            ],
            -1,
        )
        features = params["semantic"]["features"]
        features = stacked @ features["kernel"] + features["bias"].reshape(1, 1, 1, -1)
        h = dict(zip(order, deinterleave(heatmaps, 4), strict=True))
        f = dict(zip(order, deinterleave(features, 4), strict=True))

        def moved(name, heatmaps):
            return geometry.warp_heatmaps(heatmaps, maps[name], geometry.index_grid(4))

        t, v = CODEC.encode(examples["labelled"])
        stays = CODEC.encode(examples["labelled/warped"])[1]
        masks = {"labelled": t, "labelled/warped": moved("labelled", t)}
        z = {
            name: highest(f[name][:, :, :, None] * masks.get(name, h[name])[..., None])
            for name in order
        }
        dense = params["semantic"]["classifier"]["dense"]
        logs = {
            name: jax.nn.log_softmax(z[name] @ dense["kernel"] + dense["bias"].reshape(1, 1, -1))
            for name in z
        }
        correct = {
            name: jnp.stack([logs[name][:, k, k] for k in range(KEYPOINTS)], 1) for name in logs
        }
        cells = size[0] * size[1]
        supervised = (v[:, None, None] * (h["labelled"] - t) ** 2).sum() / (
            BATCH * KEYPOINTS * cells
        )
        consistency = -((v * correct["labelled"]).sum() + correct["unlabelled"].sum()) / (
            v.sum() + BATCH * KEYPOINTS
        )
        equivariance = (
            (v[:, None, None] * (h["labelled/warped"] - moved("labelled", t)) ** 2).sum()
            + ((h["unlabelled/warped"] - moved("unlabelled", h["unlabelled"])) ** 2).sum()
        ) / (2 * BATCH * KEYPOINTS * cells)
        invariance = (
            ((v * stays)[..., None] * (z["labelled"] - z["labelled/warped"]) ** 2).sum()
            + ((z["unlabelled"] - z["unlabelled/warped"]) ** 2).sum()
        ) / (2 * BATCH)
        value = 1e3 * supervised + 0.5 * consistency + 1e2 * equivariance + 1e2 * invariance
        found = {
            "supervised": supervised,
            "semantic": consistency,
            "equivariance": equivariance,
            "invariance": invariance,
            "total": value,
        }
        return value, (found, after["batch_stats"])

    params = {**given["params"], "semantic": given["semantic"]}
    gradient, (found, statistics) = jax.grad(losses, has_aux=True)(params)
    return found, gradient, statistics


def test_a_step_is_equation_5(sskl, step_of_sskl):
    metrics, gradient, after = step_of_sskl
    found, expected, statistics = jax.jit(by_hand)(variables(), streams_of(sskl), jax.random.key(0))
    for name, value in found.items():
        close(metrics[f"loss/{name}"], value, err_msg=name)
    jax.tree.map(functools.partial(close, atol=1e-3), gradient, expected)
    jax.tree.map(functools.partial(close, atol=1e-5), after["batch_stats"], statistics)
    assert reached(gradient) == {"backbone", "upsampling", "head", "features", "classifier"}


@pytest.mark.parametrize(
    ("size", "sigma", "keypoints"), [(16, 1.25, 10), (32, 1.0, 68), (64, 2.0, 15), (64, 3.0, 4)]
)
def test_balanced_weights_keep_their_shares_of_the_loss_of_empty_maps(size, sigma, keypoints):
    """In the paper a classifier at chance weighs 0.44 of empty heatmaps, which are counted as they
    are rendered.
    """
    weights = objectives.balanced_weights(heatmap_size=size, sigma=sigma, keypoints=keypoints)
    maps = codec(image_size=size, heatmap_size=size, sigma=sigma)
    middle, ones = (
        np.full((1, keypoints, 2), size // 2, np.float32),
        np.ones((1, keypoints), np.float32),
    )

    @jax.jit
    def loss_of_empty_maps(example):
        targets, seen = maps.encode(example)
        return heatmap_mse(jnp.zeros_like(targets), targets, seen, half=False)

    empty = weights["supervised_weight"] * float(
        loss_of_empty_maps(batch("labelled")._replace(keypoints=middle, visible=ones))
    )
    assert weights["semantic"] * np.log(keypoints) / empty == pytest.approx(0.441, rel=0.02)
    assert weights["equivariance"] / weights["supervised_weight"] == 0.1
    paper = objectives.balanced_weights(heatmap_size=64, sigma=2.0, keypoints=15)
    assert paper == objectives.EQUATION_5
    assert weights["invariance"] / empty == pytest.approx(paper["invariance"] / 3.068, rel=0.02)


def test_a_keypoint_without_a_label_does_not_matter_where_it_is(sskl, step_of_sskl):
    streams = streams_of(sskl)
    visible = streams["labelled"].visible.copy()
    visible[:, 1] = 0
    keypoints = streams["labelled"].keypoints.copy()
    absent = [
        streams | {"labelled": streams["labelled"]._replace(visible=visible, keypoints=here)}
        for here in (keypoints, keypoints + visible[..., None] * 0 + (1 - visible[..., None]) * 5)
    ]
    first, second = (stepped(sskl, given) for given in absent)
    chex.assert_trees_all_equal(first, second, strict=True)
    assert first[0]["loss/supervised"] < step_of_sskl[0]["loss/supervised"]


@pytest.mark.parametrize(
    ("term", "streams", "semantic"),
    [
        (objectives.semantic_term(CODEC, 1.0), ("labelled", "unlabelled"), True),
        (objectives.semantic_term(CODEC, 1.0, LABELLED), LABELLED, True),
        (objectives.equivariance_term(CODEC, 1.0), ("labelled", "unlabelled"), False),
        (objectives.equivariance_term(CODEC, 1.0, LABELLED, inverse=True), LABELLED, False),
        (objectives.invariance_term(CODEC, 1.0), ("labelled", "unlabelled"), True),
        (objectives.invariance_term(CODEC, 1.0, LABELLED), LABELLED, True),
    ],
)
def test_a_term_reads_no_more_than_it_should(term, streams, semantic):
    alone = build({"alone": term})
    assert alone.streams == streams
    made = jax.eval_shape(alone.init, jax.random.key(0), streams_of(alone), {})
    assert ("semantic" in made.variables) == semantic


def flops(method):
    streams = streams_of(method)
    state = jax.eval_shape(method.init, jax.random.key(0), streams, {})
    return jax.jit(method.update).lower(state, streams, jax.random.key(0)).cost_analysis()["flops"]


@pytest.mark.slow
def test_a_dropped_term_costs_nothing(sskl):
    """One after another: what remains in the end is supervised training."""
    objective, cost = objectives.semi_supervised_objective(CODEC), flops(sskl)
    for name in ("semantic", "invariance", "equivariance"):
        objective, dearer = without(objective, name), cost
        cost = flops(build(objective))
        assert cost < 0.999 * dearer, name
    reference = flops(
        tiny_parts.build(
            supervised,
            optimizer=keeper(),
            learning_rate=lambda step: 0.0,
            augment=no_augmentation(),
            loss=functools.partial(heatmap_mse, half=False),
        )
    )
    assert cost == pytest.approx(reference, rel=0.01)


def shifted(maps, cells):
    """Maps moved to the right by whole cells, zeros behind."""
    moved = np.zeros_like(maps)
    width = maps.shape[2]
    moved[:, :, max(cells, 0) : width + min(cells, 0)] = maps[
        :, :, max(-cells, 0) : width - max(cells, 0)
    ]
    return moved


@pytest.mark.parametrize(
    ("inverse", "names"),
    [
        (False, ("labelled", "unlabelled")),
        (True, ("labelled", "unlabelled")),
        (False, LABELLED),
        (True, LABELLED),
    ],
)
def test_equivariance_by_a_shift_of_one_cell(inverse, names):
    """Both directions by hand, labelled and unlabelled: one cell is four pixels."""
    rng, cells = np.random.default_rng(0), SIDE // 4
    outputs = {
        name: rng.uniform(0, 1, (BATCH, cells, cells, KEYPOINTS)).astype(np.float32)
        for name in ("unlabelled", "labelled/warped", "unlabelled/warped")
    }
    outputs |= {
        f"maps/{name}": np.tile(np.array(geometry.translation(4, 0)), (BATCH, 1, 1))
        for name in ("labelled", "unlabelled")
    }
    hidden = batch("labelled")
    hidden.visible[:, 1] = 0
    examples = {"labelled": hidden, "unlabelled": batch("unlabelled")}
    term = objectives.equivariance_term(CODEC, 1.0, names, inverse=inverse)
    assert "labelled" not in term.reads
    targets, weights = map(np.asarray, jax.jit(CODEC.encode)(examples["labelled"]))
    expected = 0
    for name, plain, weight in (
        ("labelled", targets, weights),
        ("unlabelled", outputs["unlabelled"], 1 + 0 * weights),
    ):
        of_warped = outputs[f"{name}/warped"]
        difference = shifted(of_warped, -1) - plain if inverse else of_warped - shifted(plain, 1)
        expected += (name in names) * (weight[:, None, None] * difference**2).mean() / len(names)
    close(jax.jit(term.function)(outputs, examples), expected)


def test_a_separate_pass_leaves_running_statistics_to_the_first(step_of_sskl):
    """Statistics are those of unmoved images alone; in a joint pass they are of all images."""
    method = build(
        without(objectives.semi_supervised_objective(CODEC), "semantic", "invariance"),
        warped_pass="separate",
    )
    separate = jax.jit(lambda *given: method.update(*given)[0].variables["batch_stats"])(
        first_state(method), streams_of(method), jax.random.key(0)
    )
    _, (_, first) = passed(method)
    jax.tree.map(close, separate, first["batch_stats"])
    with pytest.raises(AssertionError):
        jax.tree.map(close, step_of_sskl[2]["batch_stats"], first["batch_stats"])


def passed(method):
    """All unmoved images as one batch, and the model's answer to them in training mode."""
    both = jax.tree.map(interleave, *(unit_range(batch(name)) for name in method.streams))
    return both, jax.jit(
        lambda images: MODEL.apply(
            variables(), centred(images), train=True, mutable=["batch_stats"]
        )
    )(both.image)


def test_pseudo_labels_are_supervised_as_one_batch_with_the_labels():
    method = build(objectives.pseudo_label_objective(CODEC, supervised_weight=1e3))
    both, (heatmaps, _) = passed(method)
    expected = jax.jit(
        lambda heatmaps, both: 1e3 * heatmap_mse(heatmaps, *CODEC.encode(both), half=False)
    )
    close(losses(method)["loss/total"], expected(heatmaps, both))
    assert set(
        jax.eval_shape(method.init, jax.random.key(0), streams_of(method), {}).variables
    ) == {"params", "batch_stats"}
    shares = objectives.pseudo_label_objective(CODEC, supervised_weight=1e3, labelled_share=0.6)
    assert {name: term.weight for name, term in shares.items()} == pytest.approx(
        {"supervised": 600, "pseudo_labels": 400}
    )


def test_representations_of_a_trained_network():
    example = batch("labelled")
    found = jax.jit(functools.partial(representations, MODEL, centred))(variables(), example)
    assert found.representations.shape == (BATCH, KEYPOINTS, 64)
    assert found.logits.shape == (BATCH, KEYPOINTS, KEYPOINTS)
    dense = variables()["semantic"]["classifier"]["dense"]
    close(
        found.logits, np.asarray(found.representations) @ dense["kernel"] + dense["bias"], atol=1e-4
    )


def test_the_semantic_part_of_a_start_is_carried_over(sskl):
    taken = jax.jit(lambda start: sskl.init(jax.random.key(3), streams_of(sskl), start).variables)
    chex.assert_trees_all_equal(taken({"variables": variables()}), variables(), strict=True)


def test_every_map_counts_a_map_that_is_handed_through_once_and_shrinks_none():
    fine, *maps = (jnp.zeros((1, side, side, 2)) for side in (8, 4, 2))
    assert [each.shape[1] for each in feature_inputs((fine, *maps), maps[0], False)] == [2]
    assert len(feature_inputs((fine, *maps), jnp.zeros((1, 4, 4, 3)), head_map=False)) == len(maps)
    with pytest.raises(InputError, match="head_map: the head's map is this network's only one"):
        feature_inputs((fine, maps[0]), maps[0], head_map=False)
    assert [each.shape[1] for each in feature_inputs((fine, *maps), maps[0])] == [4, 2]
    assert [each.shape[1] for each in feature_inputs((fine, *maps), jnp.zeros((1, 4, 4, 3)))] == [
        4,
        2,
        4,
    ]


def test_a_keypoint_that_is_known_to_be_absent_has_no_representation(sskl):
    """Its true heatmap is empty, and so is what its representation is pooled by: `semantic` and
    `invariance` do not count it, as one without a label. Its heatmaps are taught to be empty.
    """
    streams = streams_of(sskl)

    def of(value):
        visible = np.array(streams["labelled"].visible)
        visible[:, 0] = value
        labelled = streams["labelled"]._replace(visible=visible)
        metrics, *_ = stepped(sskl, streams | {"labelled": labelled})
        return metrics

    absent, unlabelled = of(-1.0), of(0.0)
    for term in ("semantic", "invariance"):
        close(absent[f"loss/{term}"], unlabelled[f"loss/{term}"])
        assert absent[f"loss/{term}"] > 0
    assert absent["loss/supervised"] != unlabelled["loss/supervised"]
