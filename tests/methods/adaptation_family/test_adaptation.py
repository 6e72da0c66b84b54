"""What is trained, what is frozen and what reaches what, on networks that know nothing of
projections.
"""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import tiny_parts
from flax import linen as nn
from flax.traverse_util import flatten_dict
from tiny_parts import MODEL, SIDE, SKELETON, batch, body, centred, forward
from untrained import count

from kpjax.augment.augmentations import no_augmentation
from kpjax.errors import InputError
from kpjax.evaluation.degeneracy import median_spread, point_spread, varying_points
from kpjax.methods.adaptation_family import adaptation, released_training
from kpjax.methods.adaptation_family.parametrisation import (
    adapted,
    finetuned,
    finetuned_last,
    scratch,
)
from kpjax.methods.adaptation_family.view_pairs import Views
from kpjax.models.high_resolution import hrnet
from kpjax.models.hourglass_network import hourglass
from kpjax.models.network import HeatmapHead
from kpjax.models.residual_generator import ResidualGenerator
from kpjax.models.resnet import Deconvolutions, pose_resnet
from kpjax.models.unet import small_unet
from kpjax.models.vgg import RandomFeatures

KEYPOINTS = len(SKELETON.names)
PERCEPTUAL = RandomFeatures((2, 3))
UNET = small_unet(KEYPOINTS, widths=(4, 4, 8))
# Each with the side of its images, and the number of kernels that are frozen.
NETWORKS = [
    pytest.param(UNET, 8, 4, id="unet"),
    pytest.param(
        hourglass(KEYPOINTS, width=16, depth=1), 8, 24, id="hourglass", marks=pytest.mark.slow
    ),
    pytest.param(
        pose_resnet(18, KEYPOINTS).clone(
            upsampling=Deconvolutions(width=8), head=HeatmapHead(KEYPOINTS)
        ),
        32,
        16,
        id="pose_resnet",
        marks=pytest.mark.slow,
    ),
    pytest.param(
        hrnet(KEYPOINTS, width=4, modules=(1, 1, 1), blocks=1, stem_width=4),
        32,
        33,
        id="hrnet",
        marks=pytest.mark.slow,
    ),
]

PARAMETRISATIONS = {
    "adapted": (adapted(), {"projections", "free", "head"}, {"backbone"}),
    "adapted_every": (
        adapted(every=True),
        {"projections", "free", "head"},
        {"backbone", "upsampling"},
    ),
    "finetuned": (finetuned(), {"free", "head"}, set()),
    "finetuned_last": (finetuned_last(), {"free", "head"}, {"backbone"}),
    "scratch": (scratch(), {"free", "head"}, set()),
}


def build(model=MODEL, objective=None, **changes):
    settings = {
        "optimizer": optax.trace(0.9),
        "learning_rate": lambda step: 0.05,
        "augment": no_augmentation(),
        "generator": ResidualGenerator(2, blocks=1),
    }
    objective = adaptation.adaptation_objective() if objective is None else objective
    return tiny_parts.build(
        adaptation.adaptation, model=model, objective=objective, **settings | changes
    )


@functools.cache
def core_of(model=MODEL, side=SIDE):
    """A network that stands for a trained one, its BatchNorm moved away from its start."""
    return tiny_parts.drawn(
        jax.eval_shape(
            lambda: model.init(jax.random.key(0), jnp.zeros((1, side, side, 3)), train=False)
        )
    )


def images(side=SIDE, count=4):
    return {
        "target": jax.tree.map(lambda leaf: leaf[:count], batch("target"))._replace(
            image=np.random.default_rng(1).integers(0, 256, (count, side, side, 3), np.uint8)
        )
    }


def init(method, start, streams=None):
    """A first state with the landmark network that the method makes of the core, and a drawn
    generator.
    """
    streams = images() if streams is None else streams

    @jax.jit
    def from_core(start):
        state = method.init(jax.random.key(0), streams, start)
        return {"variables": state.variables, "frozen": state.frozen}

    return tiny_parts.drawn_state(method, start, streams=streams)._replace(**from_core(start))


def after(method, state, steps=2, streams=None):
    update = jax.jit(method.update)
    for step in range(steps):
        state, metrics = update(
            state, images() if streams is None else streams, jax.random.key(step)
        )
    return state, metrics


@functools.cache
def run(name, model, side):
    """The method of a parametrisation, its first state, what two steps make of it, the metrics of
    the last, and `plain_variables` in one program."""
    trained, streams = PARAMETRISATIONS[name][0], images(side, 2)
    method = build(model, trained=trained)
    first = init(method, {"core": core_of(model, side)}, streams)
    plain = jax.jit(lambda state: adaptation.plain_variables(state, trained))
    return method, first, *after(method, first, 2, streams), plain


@pytest.mark.parametrize(("model", "side", "kernels"), NETWORKS)
def test_kernels_are_frozen_and_the_rest_moves_from_the_core(model, side, kernels):
    core, streams, (method, first, last, _, plain) = (
        core_of(model, side),
        images(side, 2),
        run("adapted", model, side),
    )
    assert len(jax.tree.leaves(first.frozen["core"])) == kernels
    params = plain(first)["params"]
    chex.assert_trees_all_equal(body(params), body(core["params"]), strict=True)
    chex.assert_trees_all_equal(first.variables["batch_stats"], core["batch_stats"], strict=True)
    assert not np.array_equal(
        *(tree["head"]["output"]["kernel"] for tree in (params, core["params"]))
    )
    chex.assert_trees_all_equal(first.frozen, last.frozen, strict=True)
    frozen = flatten_dict(last.frozen["core"])
    chex.assert_trees_all_equal(
        frozen, {path: flatten_dict(core["params"])[path] for path in frozen}, strict=True
    )
    assert not set(frozen) & set(flatten_dict(last.variables["params"]["free"]))
    for part in ("projections", "batch_stats"):
        moved = zip(
            *(
                jax.tree.leaves((state.variables | state.variables["params"])[part])
                for state in (first, last)
            ),
            strict=True,
        )
        assert all(not np.array_equal(old, new) for old, new in moved)

    # A plain network, its kernels projected once and for all, predicts the same.
    found = jax.jit(method.predict)(last, streams["target"])
    heatmaps = jax.jit(lambda variables, x: model.apply(variables, centred(x), train=False))(
        plain(last), streams["target"].image.astype(np.float32) / 255
    )
    np.testing.assert_allclose(
        found.heatmaps[0], heatmaps, rtol=1e-5, atol=1e-5 * np.abs(heatmaps).max()
    )


# Parametrisations


@pytest.mark.parametrize("name", PARAMETRISATIONS)
def test_parametrisations_have_their_parts(name):
    """From scratch no core is read."""
    trained, moves, frozen_parts = PARAMETRISATIONS[name]
    start = {"core": None if name == "scratch" else core_of()}
    method = build(trained=trained)
    first = jax.eval_shape(lambda key: method.init(key, images(), start), jax.random.key(0))
    assert set(first.variables["params"]) == moves
    assert set(first.frozen.get("core", {})) == frozen_parts


@pytest.mark.parametrize(
    "name",
    [
        "adapted",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("adapted_every", "finetuned")),
    ],
)
def test_parametrisations_train_what_they_say(name):
    core, (_, first, last, metrics, plain) = core_of(UNET, 8)["params"], run(name, UNET, 8)
    params = plain(first)["params"]
    assert jax.tree.structure(params) == jax.tree.structure(core)
    chex.assert_trees_all_equal(body(params), body(core), strict=True)
    chex.assert_trees_all_equal(first.frozen, last.frozen, strict=True)
    still = [
        path
        for path, leaf in flatten_dict(first.variables["params"]).items()
        if np.array_equal(leaf, flatten_dict(last.variables["params"])[path])
    ]
    # A bias of the head moves all cells of a map alike, which no softmax sees.
    assert set(still) <= {("head", "output", "bias")}
    assert set(metrics) == {
        "loss/pixels",
        "loss/total",
        "varying_points",
        "point_spread",
        "gradient_norm/landmarks",
        "gradient_norm/generator",
        "mean/normalisation_scale",
        *({"mean/projection_diagonal"} if name.startswith("adapted") else ()),
    }


def test_last_layers_alone_change():
    """After five steps every weight below them has the core's bits, and every one of theirs has
    moved. Running statistics follow everywhere.
    """
    trained, core = finetuned_last(), core_of()
    method = build(trained=trained)
    first = init(method, {"core": core})
    last, _ = after(method, first, 5)
    plain = adaptation.plain_variables(last, trained)["params"]
    chex.assert_trees_all_equal(plain["backbone"], core["params"]["backbone"], strict=True)
    for path, leaf in flatten_dict(plain["upsampling"]).items():
        assert not np.array_equal(leaf, flatten_dict(core["params"]["upsampling"])[path]), path
    moved = zip(
        jax.tree.leaves(core["batch_stats"]),
        jax.tree.leaves(last.variables["batch_stats"]),
        strict=True,
    )
    assert all(not np.array_equal(old, new) for old, new in moved)
    assert count(first.optimizer_state["landmarks"]) == count(last.variables["params"])
    with pytest.raises(InputError, match="no last layers"):
        trained.init({"backbone": core["params"]["backbone"]}, frozenset())


@pytest.mark.parametrize("name", ["adapted", pytest.param("adapted_every", marks=pytest.mark.slow)])
def test_finetuning_goes_on_where_projections_ended(name):
    """Folded in, they give the same heatmaps at step 0, the learnt head's; from a core the head is
    new.
    """
    trained = PARAMETRISATIONS[name][0]
    method = build(trained=trained)
    adapted_one, _ = after(method, init(method, {"core": core_of()}), 3)
    folded = adaptation.plain_variables(adapted_one, trained)
    goes_on = build(trained=finetuned(keeps_head=True))
    first = init(goes_on, {"core": folded})
    assert first.frozen == {}
    chex.assert_trees_all_equal(
        adaptation.plain_variables(first, finetuned())["params"], folded["params"], strict=True
    )
    found, before = (
        jax.jit(one.predict)(state, images()["target"])
        for one, state in ((goes_on, first), (method, adapted_one))
    )
    scale = np.abs(before.heatmaps[0]).max()
    np.testing.assert_allclose(found.heatmaps[0], before.heatmaps[0], rtol=1e-5, atol=1e-5 * scale)
    np.testing.assert_allclose(found.keypoints, before.keypoints, atol=1e-3)
    new = init(build(trained=finetuned()), {"core": folded})
    assert not np.array_equal(
        new.variables["params"]["head"]["output"]["kernel"],
        folded["params"]["head"]["output"]["kernel"],
    )


@pytest.mark.slow
def test_points_are_drawn_as_wide_as_asked_for():
    """The generator sees exp(-d^2 / 0.5), or exp(-d^2 / 0.25) as printed, about the same points."""
    seen = {}

    class Reader(nn.Module):
        @nn.compact
        def __call__(self, batch, maps, train):
            jax.debug.callback(lambda found: seen.update({len(seen): np.asarray(found)}), maps)
            return (
                batch + 0 * maps.mean() + self.param("one", nn.initializers.zeros, (), jnp.float32)
            )

    for sigma in (adaptation.RELEASED_SIGMA, adaptation.PRINTED_SIGMA):
        method = build(generator=Reader(), sigma=sigma)
        first = tiny_parts.drawn_state(method, {"core": core_of()}, streams=images())
        jax.jit(method.update)(first, images(), jax.random.key(0))
        jax.effects_barrier()
    released, printed = seen.values()
    close_to_points = released > 1e-4
    assert close_to_points.sum() > 4
    np.testing.assert_allclose(
        printed[close_to_points], np.square(released[close_to_points]), rtol=1e-4
    )


def test_no_optimizer_state_belongs_to_a_frozen_kernel():
    """The state of the published optimizer is one number for each trained weight, and two
    counters."""
    method = build(optimizer=released_training.released_optimizer())
    state = jax.eval_shape(method.init, jax.random.key(0), images(), {"core": core_of()})
    assert count(state.optimizer_state["landmarks"]) == count(state.variables["params"]) + 1
    assert count(state.optimizer_state["generator"]) == count(state.generator["params"]) + 1


# The loss


def test_terms_reach_what_they_should():
    """Of features, nothing but their differences; without the term no features are computed."""
    start = {
        "core": core_of(),
        "perceptual": tiny_parts.drawn(
            jax.eval_shape(PERCEPTUAL.init, jax.random.key(1), jnp.zeros((1, 8, 8, 3)))
        ),
    }
    method = build(
        objective=adaptation.adaptation_objective(perceptual=True, features=2.0),
        perceptual=PERCEPTUAL,
    )
    first = tiny_parts.drawn_state(method, start, streams=images())
    metrics, _, frozen = forward(method)(first, images(), jax.random.key(0))
    chex.assert_trees_all_equal(frozen["perceptual"], first.frozen["perceptual"], strict=True)
    np.testing.assert_allclose(
        metrics["loss/total"], metrics["loss/pixels"] + 2 * metrics["loss/features"], rtol=1e-6
    )
    plain = jax.eval_shape(build(perceptual=PERCEPTUAL).init, jax.random.key(0), images(), start)
    assert set(plain.frozen) == {"core"}


def test_points_and_generator_see_only_their_own_view():
    """The landmark network reads the target, and the generator the appearance and the points."""

    def pair(key, batch):
        return Views(batch, jnp.full_like(batch, 0.5))

    seen = {}

    class Painter(nn.Module):
        @nn.compact
        def __call__(self, batch, maps, train):
            seen.update(batch=batch.shape, maps=maps.shape)
            colour = self.param("colour", nn.initializers.zeros, (3,), jnp.float32)
            return batch + colour.reshape(1, 1, 1, 3) + 0 * maps.mean()

    method = build(generator=Painter(), view_pair=pair)
    first = tiny_parts.drawn_state(method, {"core": core_of()}, streams=images())
    first = first._replace(
        generator={"params": {"colour": np.zeros(3, np.float32)}}
        | {name: tree for name, tree in first.generator.items() if name != "params"}
    )
    last, metrics = after(method, first, 1)
    assert seen == {"batch": (4, SIDE, SIDE, 3), "maps": (4, SIDE // 4, SIDE // 4, KEYPOINTS)}
    target = images()["target"].image / np.float32(255)
    np.testing.assert_allclose(metrics["loss/pixels"], np.square(target - 0.5).mean(), rtol=1e-5)
    np.testing.assert_allclose(
        last.generator["params"]["colour"], 0.05 * 2 / 3 * (target - 0.5).mean((0, 1, 2)), atol=1e-6
    )
    np.testing.assert_allclose(metrics["gradient_norm/landmarks"], 0, atol=1e-8)


def test_diagnostics_of_points():
    points = np.zeros((4, 3, 2), np.float32)
    points[:, 1] = 3, 4
    points[:, 2, 0] = [0, 2, 0, 2]
    # of the pairs 0-1, 1-2 and 0-2, over images of two kinds
    distances = [5, (5 + np.hypot(1, 4)) / 2, 1]
    heap_and_wanderer = np.concatenate(
        [np.zeros((2, 4, 2)), np.full((2, 1, 2), 30.0)], axis=1
    ).astype(np.float32)
    triangle, single = np.float32([[[0, 0], [3, 4], [0, 10]]]), np.ones((2, 1, 2), np.float32)
    spreads, varying, medians = jax.jit(
        lambda *sets: (
            [point_spread(each) for each in (sets[0], sets[1], sets[3])],
            [varying_points(sets[0], size) for size in ((32, 64), (32, 65))],
            [median_spread(each) for each in sets[1:]],
        )
    )(points, heap_and_wanderer, triangle, single)
    np.testing.assert_allclose(spreads[::2], [np.mean(distances), 0], rtol=1e-6)
    assert spreads[1] > 15
    assert varying == [1, 0]
    np.testing.assert_allclose(medians, [0, 3 * 5**0.5, 0], rtol=1e-6)
