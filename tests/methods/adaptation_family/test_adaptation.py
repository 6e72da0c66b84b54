"""What is trained, what is frozen and what reaches what, on networks that know nothing of projections."""
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import tiny_parts
from flax import linen as nn
from flax.traverse_util import flatten_dict
from tiny_parts import MODEL, SIDE, SKELETON, batch, centred, endless

from kpjax.augment.augmentations import no_augmentation
from kpjax.errors import InputError
from kpjax.evaluation.degeneracy import median_spread, point_spread, varying_points
from kpjax.losses.objective import Term
from kpjax.methods.adaptation_family.adaptation import (
    adaptation,
    adaptation_objective,
    network_params,
    plain_variables,
    released_optimizer,
)
from kpjax.methods.adaptation_family.parameter_paths import convolutions, split
from kpjax.methods.adaptation_family.parametrisation import (
    adapted,
    adapted_w_and_head_only,
    finetuned,
    finetuned_last,
    finetuned_where,
    fold,
    lora,
    scratch,
)
from kpjax.methods.adaptation_family.view_pairs import Views
from kpjax.models.high_resolution import hrnet
from kpjax.models.hourglass_network import hourglass
from kpjax.models.layers import Convolution
from kpjax.models.network import HeatmapHead, KeypointNetwork
from kpjax.models.residual_generator import ResidualGenerator
from kpjax.models.resnet import pose_resnet
from kpjax.models.unet import small_unet
from kpjax.models.vgg import RandomFeatures
from kpjax.structures import Trained
from kpjax.training.fit import FitOptions, fit
from kpjax.training.trees import core_fingerprint

KEYPOINTS = len(SKELETON.names)
PERCEPTUAL = RandomFeatures((2, 3))
# Each with the rule for what is frozen, the side of its images, and the number of kernels that the rule chooses.
NETWORKS = {
    "hourglass": (hourglass(KEYPOINTS, width=16, depth=1), convolutions(3), 8, 24),
    "pose_resnet": (pose_resnet(18, KEYPOINTS, upsampling_width=8), convolutions(3, 4), 32, 19),
    "hrnet": (hrnet(KEYPOINTS, width=4, modules=(1, 1, 1), blocks=1, stem_width=4),
              convolutions(3, within="^backbone/(layer|stage)"), 32, 27),
    "unet": (small_unet(KEYPOINTS, widths=(4, 4, 8)), convolutions(3), 8, 4),
}


def build(model=MODEL, objective=None, **changes):
    settings = {"optimizer": optax.trace(0.9), "learning_rate": lambda step: 0.05, "augment": no_augmentation(),
                "generator": ResidualGenerator(2, blocks=1)}
    objective = adaptation_objective() if objective is None else objective
    return tiny_parts.build(adaptation, model=model, objective=objective, **settings | changes)


@functools.cache
def variables_of(model, side):
    """A network that stands for a trained one, its BatchNorm moved away from its start."""
    shapes = jax.eval_shape(lambda key: model.init(key, jnp.zeros((1, side, side, 3)), train=False), jax.random.key(0))
    random = np.random.default_rng(3)
    return jax.tree.map(
        lambda leaf: jnp.asarray(random.normal(size=leaf.shape) * np.sqrt(2 / np.prod(leaf.shape[:-1]))
                                 if leaf.ndim == 4 else random.uniform(0.7, 1.3, leaf.shape), jnp.float32), shapes)


def core_of(model=MODEL, side=SIDE):
    return variables_of(model, side)


def images(side=SIDE, count=4):
    return {"target": jax.tree.map(lambda leaf: leaf[:count], batch("target"))._replace(
        image=np.random.default_rng(1).integers(0, 256, (count, side, side, 3), np.uint8))}


def init(method, start, streams=None):
    return jax.jit(method.init)(jax.random.key(0), images() if streams is None else streams, start)


def after(method, state, steps=2, streams=None):
    update = jax.jit(method.update)
    for step in range(steps):
        state, metrics = update(state, images() if streams is None else streams, jax.random.key(step))
    return state, metrics


def equal(tree, other):
    jax.tree.map(np.testing.assert_array_equal, tree, other)


def body(tree):
    return {name: part for name, part in tree.items() if name != "head"}


# Networks that know nothing of it


@pytest.fixture(scope="module", params=sorted(NETWORKS))
def adapted_network(request):
    """(model, core, method, rule, first state, state after some updates) of a network."""
    model, rule, side, kernels = NETWORKS[request.param]
    core, method, streams = core_of(model, side), build(model, trained=adapted(rule)), images(side, 2)
    first = init(method, {"core": core}, streams)
    assert len(jax.tree.leaves(first.frozen["core"])) == kernels
    return model, core, method, rule, first, after(method, first, 2, streams)[0], streams


def test_it_starts_at_the_core_with_a_new_head(adapted_network):
    _, core, _, rule, first, *_ = adapted_network
    params = plain_variables(first, adapted(rule))["params"]
    equal(body(params), body(core["params"]))
    equal(first.variables["batch_stats"], core["batch_stats"])
    assert not np.array_equal(params["head"]["output"]["kernel"], core["params"]["head"]["output"]["kernel"])


def test_frozen_kernels_stay_and_the_rest_moves(adapted_network):
    _, core, _, _, first, last, _ = adapted_network
    equal(first.frozen, last.frozen)
    kernels = flatten_dict(last.frozen["core"])
    equal(kernels, {path: flatten_dict(core["params"])[path] for path in kernels})
    assert not set(kernels) & set(flatten_dict(last.variables["params"]["free"]))
    before, after = (flatten_dict(state.variables["params"]["projections"]) for state in (first, last))
    assert all(not np.array_equal(before[path], after[path]) for path in before)
    statistics = zip(jax.tree.leaves(first.variables["batch_stats"]), jax.tree.leaves(last.variables["batch_stats"]),
                     strict=True)
    assert all(not np.array_equal(old, new) for old, new in statistics)


def test_frozen_kernels_are_bit_identical_after_100_steps():
    """Under the published optimizer, whose weight decay would reach whatever it is given."""
    method = build(optimizer=released_optimizer(), learning_rate=lambda step: 1e-3)
    first = init(method, {"core": core_of()})
    last, metrics = after(method, first, 100)
    equal(first.frozen, last.frozen)
    assert np.isfinite(metrics["loss/total"])
    projections = flatten_dict(last.variables["params"]["projections"])
    assert all(np.abs(matrix - np.eye(len(matrix))).max() > 1e-3 for matrix in projections.values())
    # Every step takes the learning rate from what decays faster than it is moved: the published optimizer's doing.
    assert metrics["mean/projection_diagonal"] < 0.99


def test_a_folded_network_is_the_unfolded_one(adapted_network):
    model, _, method, rule, _, last, streams = adapted_network
    plain = plain_variables(last, adapted(rule))
    by_hand = fold(last.frozen["core"], last.variables["params"]["projections"])
    for path, kernel in flatten_dict(by_hand).items():
        np.testing.assert_allclose(kernel, flatten_dict(plain["params"])[path], rtol=1e-5, atol=1e-6)
    found = jax.jit(method.predict)(last, streams["target"])
    heatmaps = jax.jit(lambda variables, x: model.apply(variables, centred(x), train=False))(
        plain, streams["target"].image.astype(np.float32) / 255)
    np.testing.assert_allclose(found.heatmaps[0], heatmaps, rtol=1e-5, atol=1e-5 * np.abs(heatmaps).max())


def test_the_hourglass_equals_its_core_up_to_the_head():
    model, rule, side, _ = NETWORKS["hourglass"]
    core = core_of(model, side)
    method = build(model, trained=adapted(rule))
    first = init(method, {"core": core}, images(side, 2))
    noise = jax.random.uniform(jax.random.key(0), (2, side, side, 3))
    features = jax.jit(lambda variables: model.apply(variables, noise, train=False, method="features"))
    np.testing.assert_array_equal(features(plain_variables(first, adapted(rule))), features(core))


# Parametrisations


@pytest.mark.parametrize(("trained", "moves", "frozen_parts"), [
    (adapted_w_and_head_only(), {"projections", "head"}, {"backbone", "upsampling"}),
    (lora(), {"low_rank", "free", "head"}, {"backbone"}),
    (finetuned(), {"free", "head"}, set()),
    (finetuned_last(), {"free", "head"}, {"backbone"}),
], ids=["w_and_head", "lora", "finetuned", "finetuned_last"])
def test_parametrisations_train_what_they_say(trained, moves, frozen_parts):
    method = build(trained=trained, optimizer=optax.identity())
    first = init(method, {"core": core_of()})
    assert set(first.variables["params"]) == moves
    assert set(first.frozen.get("core", {})) == frozen_parts
    params = plain_variables(first, trained)["params"]
    assert jax.tree.structure(params) == jax.tree.structure(core_of()["params"])
    equal(body(params), body(core_of()["params"]))
    last, metrics = after(method, first, 2)
    equal(first.frozen, last.frozen)
    still = [path for path, leaf in flatten_dict(first.variables["params"]).items()
             if np.array_equal(leaf, flatten_dict(last.variables["params"])[path])]
    # A bias of the head moves all cells of a map alike, which no softmax sees; the first factor of an update begins to
    # move with the second step, while the other one is still tiny.
    assert {path for path in still if path[-1] != "down"} <= {("head", "output", "bias")}
    assert set(metrics) == {"loss/pixels", "loss/total", "varying_points", "point_spread", "gradient_norm/landmarks",
                            "gradient_norm/generator", *({"mean/projection_diagonal"} if "projections" in moves else
                                                         {"mean/normalisation_scale"})}


def test_scratch_reads_no_core():
    method = build(trained=scratch())
    equal(init(method, {}), init(method, {"core": core_of()}))


def test_no_optimizer_state_belongs_to_a_frozen_kernel():
    """The state of the published optimizer is one number for each trained weight, and two counters."""
    method = build(optimizer=released_optimizer())
    state = jax.eval_shape(method.init, jax.random.key(0), images(), {"core": core_of()})

    def count(tree):
        return sum(leaf.size for leaf in jax.tree.leaves(tree))

    assert count(state.optimizer_state["landmarks"]) == count(state.variables["params"]) + 1
    assert count(state.optimizer_state["generator"]) == count(state.generator["params"]) + 1


def test_the_head_is_new_whatever_the_core_has_there():
    heads = []
    for keypoints in (KEYPOINTS, 5):
        other = KeypointNetwork(MODEL.backbone, MODEL.upsampling, HeatmapHead(keypoints, 2, 4))
        heads.append(init(build(), {"core": core_of(other)}).variables["params"]["head"])
    equal(*heads)


# The loss


def test_terms_reach_what_they_should():
    """Of features, nothing but their differences; without the term no features are computed."""
    start = {"core": core_of(), "perceptual": jax.jit(PERCEPTUAL.init)(jax.random.key(1), jnp.zeros((1, 8, 8, 3)))}
    method = build(objective=adaptation_objective(perceptual=True, features=2.0), perceptual=PERCEPTUAL)
    first = init(method, start)
    last, metrics = after(method, first, 1)
    equal(last.frozen["perceptual"], start["perceptual"])
    np.testing.assert_allclose(metrics["loss/total"], metrics["loss/pixels"] + 2 * metrics["loss/features"], rtol=1e-6)
    plain = init(build(perceptual=PERCEPTUAL), start)
    assert set(plain.frozen) == {"core"}
    equal(plain.variables, first.variables)


def test_points_and_generator_see_only_their_own_view():
    """The landmark network reads the target, and the generator the appearance and the points."""
    def pair(key, batch):
        return Views(batch, jnp.full_like(batch, 0.5), jnp.full((*batch.shape[:3], 1), weight))

    weight, seen = 0.25, {}

    class Painter(nn.Module):
        @nn.compact
        def __call__(self, batch, maps, train):
            seen.update(batch=batch.shape, maps=maps.shape)
            colour = self.param("colour", nn.initializers.zeros, (3,), jnp.float32)
            return batch + colour.reshape(1, 1, 1, 3) + 0 * maps.mean()

    method = build(generator=Painter(), view_pair=pair)
    first = init(method, {"core": core_of()})
    last, metrics = after(method, first, 1)
    assert seen == {"batch": (4, SIDE, SIDE, 3), "maps": (4, SIDE // 4, SIDE // 4, KEYPOINTS)}
    target = images()["target"].image / np.float32(255)
    np.testing.assert_allclose(metrics["loss/pixels"], weight * np.square(target - 0.5).mean(), rtol=1e-5)
    np.testing.assert_allclose(last.generator["params"]["colour"],
                               weight * 0.05 * 2 / 3 * (target - 0.5).mean((0, 1, 2)), atol=1e-6)
    np.testing.assert_allclose(metrics["gradient_norm/landmarks"], 0, atol=1e-8)


def test_prediction_by_the_statistics_of_the_batch():
    running, of_batch = build(), build(statistics="batch")
    first = init(running, {"core": core_of()})
    example = images()["target"]
    found, other = (jax.jit(method.predict)(Trained(first.variables, first.frozen), example)
                    for method in (running, of_batch))
    assert not np.allclose(found.heatmaps[0], other.heatmaps[0], atol=1e-3)
    params = network_params(adapted(), first.variables["params"], first.frozen["core"])
    expected, _ = MODEL.apply({"params": params, "batch_stats": first.variables["batch_stats"]},
                              centred(example.image.astype(np.float32) / 255), train=True, mutable=["batch_stats"])
    np.testing.assert_allclose(other.heatmaps[0], expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_less(found.keypoints, SIDE)


def test_diagnostics_of_points():
    points = np.zeros((4, 3, 2), np.float32)
    points[:, 1] = 3, 4
    points[:, 2, 0] = [0, 2, 0, 2]
    distances = [5, (5 + np.hypot(1, 4)) / 2, 1]  # of the pairs 0-1, 1-2 and 0-2, over images of two kinds
    np.testing.assert_allclose(point_spread(jnp.asarray(points)), np.mean(distances), rtol=1e-6)
    assert float(varying_points(jnp.asarray(points), (32, 64))) == 1
    assert float(varying_points(jnp.asarray(points), (32, 65))) == 0
    assert float(point_spread(jnp.ones((2, 1, 2)))) == float(median_spread(jnp.ones((2, 1, 2)))) == 0
    heap_and_wanderer = jnp.concatenate([jnp.zeros((2, 4, 2)), jnp.full((2, 1, 2), 30.0)], axis=1)
    assert float(point_spread(heap_and_wanderer)) > 15
    assert float(median_spread(heap_and_wanderer)) == 0
    np.testing.assert_allclose(median_spread(jnp.array([[[0.0, 0], [3, 4], [0, 10]]])), 3 * 5**0.5, rtol=1e-6)


# Input that cannot be used


class Grouped(nn.Module):
    @nn.compact
    def __call__(self, images, train: bool):
        x = Convolution(4, stride=4, name="conv")(images)
        return (nn.Conv(4, (3, 3), feature_group_count=2, name="grouped")(x),)


class Last(nn.Module):
    @nn.compact
    def __call__(self, features, train: bool):
        return features[-1]


def test_what_cannot_be_adapted_is_refused_in_one_line():
    with pytest.raises(InputError, match="start has no 'core'"):
        init(build(), {})
    wider = core_of(hourglass(KEYPOINTS, width=16, depth=1), 8)
    with pytest.raises(InputError, match=r"^core: backbone/block1/bn1/bias is absent in the core and \(8,\) in"):
        init(build(small_unet(KEYPOINTS, widths=(4, 4, 8))), {"core": wider})
    with pytest.raises(InputError, match=r"^core: backbone/bn1/bias is \(4,\) in the core and \(8,\) in the model"):
        init(build(hourglass(KEYPOINTS, width=32, depth=1)), {"core": wider})
    with pytest.raises(InputError, match="the rule for frozen kernels chooses none"):
        init(build(trained=adapted(convolutions(9))), {"core": core_of()})
    grouped = KeypointNetwork(Grouped(), Last(), MODEL.head)
    for trained in (adapted(), lora()):
        with pytest.raises(InputError, match=r"^backbone/grouped/kernel: a grouped convolution"):
            init(build(grouped, trained=trained), {"core": core_of(grouped)})
    init(build(grouped, trained=finetuned_where(lambda path, leaf: path[1] == "grouped")), {"core": core_of(grouped)})
    with pytest.raises(InputError, match="start has no 'perceptual'"):
        init(build(objective=adaptation_objective(perceptual=True), perceptual=PERCEPTUAL), {"core": core_of()})
    with pytest.raises(ValueError, match="perceptual is None"):
        build(objective=adaptation_objective(perceptual=True))
    with pytest.raises(ValueError, match="a term reads 'depth'"):
        build(objective={"depth": Term(1.0, lambda outputs, streams: outputs, reads=("depth",))})
    with pytest.raises(ValueError, match="model has 5 heatmaps, but the skeleton has 3"):
        init(build(small_unet(5)), {"core": core_of()})


def test_a_run_is_not_resumed_on_another_core(tmp_path):
    """The fingerprint of the core belongs in the run's configuration."""
    method = build()

    def run(core, steps):
        frozen, _ = split(body(core["params"]), convolutions(3))
        return fit(method, {"target": endless("target")}, steps=steps, key=jax.random.key(0), stage="adaptation",
                   folder=tmp_path, start={"core": core}, config={"core": core_fingerprint(frozen)},
                   options=FitOptions(quiet=True))

    run(core_of(), 1)
    other = jax.tree.map(lambda leaf: leaf + 1, core_of())
    with pytest.raises(InputError, match=r"of another configuration: config\.core is"):
        run(other, 2)
