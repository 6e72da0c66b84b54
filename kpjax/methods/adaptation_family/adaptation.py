"""Landmarks of a new category without labels, by adapting a network trained on another category
(the core).

"Object landmark discovery through unsupervised adaptation" (NeurIPS 2019). A landmark network Psi
reads points from a target view y by a soft-argmax of its heatmaps. Rendered as small Gaussians,
they are a generator's only information about the geometry of y, which it reconstructs from another
view y'. A `Parametrisation` says which weights of Psi are trained and how they depend on the core:
in the paper's proposal a matrix for each frozen kernel, in its baselines all weights.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn

from kpjax import geometry
from kpjax.errors import InputError
from kpjax.evaluation.degeneracy import point_spread, varying_points
from kpjax.heatmaps import decode_soft_argmax, gaussian_bumps, image_to_heatmap
from kpjax.losses.objective import Objective, Term, total
from kpjax.losses.reconstruction import (
    balanced_distances,
    feature_distances,
    feature_sizes,
    pixel_mse,
)
from kpjax.methods.adaptation_family.parameter_paths import grouped_kernels
from kpjax.methods.adaptation_family.parametrisation import Parametrisation, adapted, mean_scales
from kpjax.methods.adaptation_family.view_pairs import ViewPair, similarity_views
from kpjax.methods.forward import (
    Normalise,
    checked_views,
    named_streams,
    prepare_streams,
    train_pass,
    unit_range,
)
from kpjax.methods.gradient_step import gradient_steps
from kpjax.methods.perceptual import PERCEPTUAL, check_network
from kpjax.methods.setup import Setup, of_same_shapes, require
from kpjax.models.residual_generator import residual_generator_for
from kpjax.optimization import group_rates
from kpjax.structures import (
    Example,
    Method,
    Metrics,
    Prediction,
    Start,
    Streams,
    Trained,
    Variables,
    named_key,
)

STREAM = "target"
RECONSTRUCTION = "reconstruction"  # read by terms
HEAD = "head"  # the part of the network that is always new
# Of the rendered points, in heatmap pixels: exp(-d² / 0.5) in the authors' code. The paper prints
# exp(-sigma^-2 d²) with sigma 0.5, that is exp(-d² / 0.25).
RELEASED_SIGMA, PRINTED_SIGMA = 0.5, 0.5 / 2**0.5
TEMPERATURE = 0.1  # temperature of the soft-argmax


class State(NamedTuple):
    """The state of `adaptation`."""

    step: jax.Array
    variables: Variables  # params: `projections` (if there are any), `free` and `head`; batch_stats
    generator: Variables
    optimizer_state: Mapping[str, optax.OptState]  # landmarks, generator
    frozen: Mapping[str, Any]  # core: the frozen weights, if any; perceptual, if a term reads it


class Reconstruction(NamedTuple):
    """The generator's images and their targets."""

    images: jax.Array  # (B, h, w, 3) float32 between 0 and 1
    targets: jax.Array  # (B, h, w, 3) float32 in [0, 1]
    features: tuple[jax.Array, ...]  # features of `images`; () if no term reads them
    target_features: tuple[jax.Array, ...]  # target features of `targets`, without a gradient


def adaptation_objective(
    *,
    perceptual: bool = False,
    form: Literal["squared", "absolute"] = "squared",
    features: float = 1.0,
    balanced: bool = False,
) -> Objective:
    """Builds `pixels`, the mean squared difference of pixels, and `features`, the sum of feature
    maps' differences.

    Args:
        perceptual: whether there is the term `features`.
        form: of the differences of features: "squared" in the authors' code, "absolute" in the
            paper's text (an l1-norm). Both are means over batch, space and channels; the text
            writes a norm and gives no reduction.
        features: weight of `features`. All weights are 1 in both.
        balanced: whether each layer's difference is divided by the size of its target features, see
            `feature_sizes`. Layers of VGG differ little in scale, those of other backbones a
            thousandfold.
    """

    def compare_pixels(outputs, streams):
        del streams
        found = outputs[RECONSTRUCTION]
        return pixel_mse(found.images, found.targets)

    def compare_features(outputs, streams):
        del streams
        found = outputs[RECONSTRUCTION]
        distances = feature_distances(found.features, found.target_features, form=form)
        if balanced:
            return balanced_distances(distances, feature_sizes(found.target_features, form=form))
        return distances.sum()

    objective = {"pixels": Term(1.0, compare_pixels, reads=(RECONSTRUCTION,))}
    if perceptual:
        objective["features"] = Term(features, compare_features, reads=(RECONSTRUCTION, PERCEPTUAL))
    return objective


def adaptation(
    setup: Setup,
    *,
    objective: Objective,
    trained: Parametrisation | None = None,
    generator: nn.Module | None = None,
    perceptual: nn.Module | None = None,
    perceptual_normalise: Normalise = lambda images: images,
    view_pair: ViewPair | None = None,
    sigma: float = RELEASED_SIGMA,
) -> Method:
    """Builds the method; it reads the stream `target`, images without labels.

    Terms find a `Reconstruction` under `reconstruction`; the view `perceptual` asks for the
    features. Its start has `core`, variables of the same architecture but for the number of
    keypoints, unless `trained` needs none; `perceptual`, if the objective reads it. A random core
    is a fresh network's variables. The generator is always new.

    Args:
        setup: its skeleton has the keypoints to discover; the codec is not used. Images are
            augmented before the views are made, and normalised for the core; the generator sees [0,
            1]. Each of the two networks has an optimizer state of its own, so that a clipped norm
            is that of one network. Learning rates, if there are several, are those of `projections`
            (if `trained` has any), `free`, `head` and `generator`.
        objective: of `adaptation_objective`.
        trained: by default `parametrisation.adapted()`. The head is always trained, and new unless
            `trained.keeps_head`; then the core has as many keypoints.
        generator: `apply(variables, images (B, h, w, 3), maps (B, h / s, w / s, K), train=...)` ->
            images (B, h, w, 3) in [0, 1], with s the stride of the model; by default
            `residual_generator_for` the views.
        perceptual: `apply(variables, images)` -> feature maps, for example `kpjax.models.vgg.VGG`;
            its variables are `start['perceptual']`.
        perceptual_normalise: images in [0, 1] -> the input of `perceptual`: unchanged, as in the
            released code, or `imagenet_normalise`.
        view_pair: makes the `Views` of images, by default `similarity_views()`.
        sigma: standard deviation of the rendered points, in heatmap pixels: RELEASED_SIGMA of the
            authors' code, or PRINTED_SIGMA.

    Raises:
        ValueError: a term reads an unknown output, or features without `perceptual`; from `init`,
            if model and skeleton differ in the number of keypoints.
        InputError: from `init`, if a tree of the start is missing, the core has another
            architecture, a kernel cannot be projected, or the generator's strides do not divide the
            views.
    """
    model, skeleton, normalise = setup.model, setup.skeleton, setup.normalise
    read = checked_views(objective, (RECONSTRUCTION, PERCEPTUAL), "adaptation")
    check_network(perceptual, read, "adaptation")
    parametrisation = adapted() if trained is None else trained
    make_views = similarity_views() if view_pair is None else view_pair
    find = partial(decode_soft_argmax, temperature=TEMPERATURE)

    def generator_of(images: jax.Array) -> nn.Module:
        return residual_generator_for(max(images.shape[1:3])) if generator is None else generator

    def network(params, frozen: Mapping[str, Any]) -> dict:
        return network_params(parametrisation, params, frozen.get("core", {}))

    def init(key: jax.Array, streams: Streams, start: Start) -> State:
        batch = jax.eval_shape(lambda example: unit_range(example).image, streams[STREAM])
        view = jax.eval_shape(make_views, key, batch).target
        images = jnp.zeros((1, *view.shape[1:]), jnp.float32)
        heatmaps, fresh = model.init_with_output(named_key(key, "model"), images, train=False)
        if heatmaps.shape[-1] != len(skeleton.names):
            raise ValueError(
                f"adaptation: the model has {heatmaps.shape[-1]} heatmaps, but the skeleton has "
                f"{len(skeleton.names)} keypoints"
            )
        variables = {"params": fresh["params"], "batch_stats": fresh.get("batch_stats", {})}
        if parametrisation.starts_from_core:
            new = () if parametrisation.keeps_head else (HEAD,)
            variables = _with_core(variables, start, new=new)
        body = {name: tree for name, tree in variables["params"].items() if name != HEAD}
        grouped = grouped_kernels(model, images, train=False)
        core, params = parametrisation.init(body, grouped)
        params = params | {HEAD: variables["params"][HEAD]}
        generated, fresh_generator = generator_of(images).init_with_output(
            named_key(key, "generator"), images, heatmaps, train=False
        )
        if generated.shape != images.shape:
            raise InputError(
                "adaptation",
                f"the generator turns views of {images.shape[1]} x {images.shape[2]} into "
                f"{generated.shape[1]} x {generated.shape[2]}; choose a size that its strides divide",
            )
        frozen = {"core": core} if core else {}
        if PERCEPTUAL in read:
            frozen[PERCEPTUAL] = require(start, PERCEPTUAL)
        groups = {"landmarks": params, "generator": {"generator": fresh_generator["params"]}}
        optimizer_state = {name: setup.optimizer.init(group) for name, group in groups.items()}
        return State(
            jnp.int32(0),
            {"params": params, "batch_stats": variables["batch_stats"]},
            {
                "params": fresh_generator["params"],
                "batch_stats": fresh_generator.get("batch_stats", {}),
            },
            optimizer_state,
            frozen,
        )

    def update(state: State, streams: Streams, key: jax.Array) -> tuple[State, Metrics]:
        examples = prepare_streams(setup.augment, named_streams(streams, (STREAM,)), key)
        target, appearance = make_views(named_key(key, "views"), examples[STREAM].image)

        def features(batch: jax.Array) -> tuple[jax.Array, ...]:
            return perceptual.apply(state.frozen[PERCEPTUAL], perceptual_normalise(batch))

        def objective_of(params):
            heatmaps, statistics = train_pass(
                model,
                network(params["landmarks"], state.frozen),
                state.variables["batch_stats"],
                normalise(target),
            )
            found, _ = find(heatmaps)
            maps = gaussian_bumps(found, heatmaps.shape[1:3], sigma, window=None)
            images, generator_statistics = _generate(
                generator_of(appearance),
                params["generator"]["generator"],
                state.generator["batch_stats"],
                appearance,
                maps,
            )
            reconstruction = Reconstruction(images, target, (), ())
            if PERCEPTUAL in read:
                reconstruction = reconstruction._replace(
                    features=features(images),
                    target_features=jax.lax.stop_gradient(features(target)),
                )
            value, parts = total(objective, {RECONSTRUCTION: reconstruction}, examples)
            return value, (
                parts,
                (statistics, generator_statistics, _in_image(found, target, heatmaps)),
            )

        params = {
            "landmarks": state.variables["params"],
            "generator": {"generator": state.generator["params"]},
        }
        params, optimizer_state, (statistics, generator_statistics, found), metrics = (
            gradient_steps(objective_of, params, state, setup.optimizer, setup.learning_rate)
        )
        metrics = (
            metrics
            | {
                "varying_points": varying_points(found, target.shape[1:3]),
                "point_spread": point_spread(found),
            }
            | mean_scales(params["landmarks"])
        )
        return State(
            state.step + 1,
            {"params": params["landmarks"], "batch_stats": statistics},
            {"params": params["generator"]["generator"], "batch_stats": generator_statistics},
            optimizer_state,
            state.frozen,
        ), metrics

    def predict(state: Trained, example: Example) -> Prediction:
        images = unit_range(example).image
        params, stored = (
            network(state.variables["params"], state.frozen),
            state.variables["batch_stats"],
        )
        heatmaps = model.apply(
            {"params": params, "batch_stats": stored}, normalise(images), train=False
        )
        found, scores = find(heatmaps)
        return Prediction(_in_image(found, images, heatmaps), scores, (heatmaps,))

    return Method(
        init,
        update,
        predict,
        (STREAM,),
        skeleton,
        group_rates(setup.optimizer, setup.learning_rate),
    )


def network_params(
    parametrisation: Parametrisation, params: Mapping[str, Any], core: Mapping[str, Any]
) -> dict:
    """Assembles the whole network's parameters from `variables['params']` and `frozen['core']`, or
    {}, of a `State`.
    """
    body = {name: tree for name, tree in params.items() if name != HEAD}
    return parametrisation.assemble(core, body) | {HEAD: params[HEAD]}


def plain_variables(trained: Trained, parametrisation: Parametrisation) -> Variables:
    """Returns a finished run as a plain network, to be exported, evaluated or started from without
    its core.
    """
    params = network_params(
        parametrisation, trained.variables["params"], trained.frozen.get("core", {})
    )
    return {"params": params, "batch_stats": trained.variables["batch_stats"]}


def _with_core(fresh: Variables, start: Start, *, new: tuple[str, ...]) -> Variables:
    """Returns fresh variables with all parts but the new ones taken from `start['core']`."""
    wanted, given = (
        {
            collection: {
                name: part for name, part in tree.get(collection, {}).items() if name not in new
            }
            for collection in fresh
        }
        for tree in (fresh, require(start, "core"))
    )
    core = of_same_shapes(wanted, given, "core", "the core")
    return {collection: fresh[collection] | core[collection] for collection in fresh}


def _generate(generator: nn.Module, params, statistics, appearance: jax.Array, maps: jax.Array):
    """Returns the generator's images, and its BatchNorm statistics afterwards."""
    images, mutated = generator.apply(
        {"params": params, "batch_stats": statistics},
        appearance,
        maps,
        train=True,
        mutable=["batch_stats"],
    )
    return images, mutated.get("batch_stats", statistics)


def _in_image(found: jax.Array, images: jax.Array, heatmaps: jax.Array) -> jax.Array:
    """Maps points (B, K, 2) of heatmaps to pixels of the images: times the stride, as in the
    paper."""
    to_heatmap = image_to_heatmap(images.shape[1:3], heatmaps.shape[1:3], "index")
    return geometry.move_points(geometry.invert(to_heatmap), found)
