"""Image generation: labels for a few images and reconstruction of all, the baseline Gen of Moskvyak
et al. 2021 (Table 1).

It puts the model of Jakab et al. 2018 (IMM) beside a supervised loss. An image x is moved by a
random map g. The heatmap network reads x' = g(x), and its heatmaps become points. A generator
renders x' from x and those points; nothing else of x' is kept. The generator serves training only.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn

from kpjax.augment.augmentations import random_warp
from kpjax.augment.random_maps import PERSPECTIVE, DrawMap
from kpjax.errors import InputError
from kpjax.heatmaps import Codec
from kpjax.losses.objective import Objective, Term, total
from kpjax.losses.reconstruction import balanced_distances, pixel_mse
from kpjax.methods.forward import (
    Normalise,
    check_equal_batches,
    checked_views,
    empty_images,
    imagenet_normalise,
    interleave,
    joint_pass,
    named_streams,
    prepare_streams,
)
from kpjax.methods.gradient_step import gradient_step
from kpjax.methods.perceptual import PERCEPTUAL, PerceptualComparison, check_network
from kpjax.methods.semi_supervised_family.objectives import SQUARES, STREAMS, warped_name
from kpjax.methods.setup import Setup, heatmap_predict, initial_variables
from kpjax.methods.supervised_learning import supervised_objective
from kpjax.models.image_generation import image_generator_for, normalised_points
from kpjax.optimization import group_rates
from kpjax.structures import Method, Metrics, Start, Streams, Variables, named_key

MOVED = {warped_name(stream): stream for stream in STREAMS}  # view of x' -> stream of its x
VIEWS = ("labelled", *MOVED)

# Of the softmax over a whole map that reads its point. IMM's softmax by axis is too flat on
# heatmaps fitted to Gaussians of peak 1: sharpened by 10, a peak on 64 x 64 cells then moves its
# point by 8 % of its distance from the centre, and by 94 % with one softmax.
SHARPNESS = 10.0


class State(NamedTuple):
    """The state of `image_generation`. Fields that the objective does not need are empty."""

    step: jax.Array
    variables: Variables
    generator: Variables
    #: (layers,) float32, running averages of the distances between features
    averages: jax.Array | tuple[()]
    optimizer_state: optax.OptState
    frozen: Mapping[str, Any]  # perceptual


class Reconstruction(NamedTuple):
    """The generator's output for the images of all reconstructed streams."""

    images: jax.Array  # (N, h, w, 3) float32, not bounded
    targets: jax.Array  # (N, h, w, 3) float32 in [0, 1]
    distances: jax.Array | tuple[()]  # (layers,) float32, of pixels and of each feature map
    averages: jax.Array | tuple[()]  # (layers,) float32, with this batch in them


def image_generation_objective(
    codec: Codec,
    *,
    perceptual: bool = False,
    supervised_weight: float = 1.0,
    reconstruction: float = 1e-6,
) -> Objective:
    """Builds an objective of two terms: `supervised` fits the labels of `labelled`,
    `reconstruction` compares images.

    Args:
        perceptual: whether to compare features, not pixels.
        supervised_weight: of `supervised`.
        reconstruction: weight of a term that has IMM's own factors: 1000 times the
            `balanced_distances` of features, or 1000 / 255 times the mean squared difference of
            pixels up to 255. By default both are about as large as the supervised term at its
            start. Both weights are 1e-3 times those to use beside the weights of Moskvyak et al.,
            1e3 and 1e-3; only their ratio matters to Adam.
    """

    def compare_pixels(outputs, streams):
        del streams
        return (
            1000
            * 255
            * pixel_mse(outputs["reconstruction"].images, outputs["reconstruction"].targets)
        )

    def compare_features(outputs, streams):
        del streams
        return 1000 * balanced_distances(
            outputs["reconstruction"].distances, outputs["reconstruction"].averages
        )

    rebuild = (
        Term(reconstruction, compare_features, reads=(*MOVED, PERCEPTUAL))
        if perceptual
        else Term(reconstruction, compare_pixels, reads=tuple(MOVED))
    )
    fit_labels = supervised_objective(codec, SQUARES, weight=supervised_weight)
    return {**fit_labels, "reconstruction": rebuild}


def image_generation(
    setup: Setup,
    *,
    objective: Objective,
    generator: nn.Module | None = None,
    perceptual: nn.Module | None = None,
    perceptual_normalise: Normalise = imagenet_normalise,
    draw_map: DrawMap = PERSPECTIVE,
    size: int = 128,
) -> Method:
    """Builds the method; it reads those of the streams `labelled` and `unlabelled` that the
    objective needs.

    Terms find heatmaps (B, h, w, K) under the names of their views, `labelled`, `labelled/warped`
    and `unlabelled/warped`, and a `Reconstruction` under `reconstruction`. The view `perceptual`
    asks for the features. All streams have the same batch size: their views pass through the
    network together, interleaved. The start may have `variables`, and has `perceptual` if the
    objective reads it.

    Args:
        setup: g moves the augmented view. Learning rates, if there are several, are those of each
            part of the model and of `generator`.
        objective: of `image_generation_objective`.
        generator: `apply(variables, images (N, h, w, 3), points (N, K, 2), train=...)` -> images of
            the same size, from images in [0, 1]. By default IMM's, in float32, with the scales that
            suit the images (`image_generator_for`).
        perceptual, perceptual_normalise: see `PerceptualComparison`, whose averages begin at the
            first batch's.
        draw_map: g, one for each image.
        size: the longer side of the reconstructed images; larger ones are shrunk to it.

    Raises:
        ValueError: a term reads an unknown view, or features without `perceptual`.
        InputError: from `init`, if `start['perceptual']` is missing, batch sizes differ, or the
            generator's strides do not divide `size`.
    """
    model = setup.model
    read = checked_views(objective, (*VIEWS, PERCEPTUAL), "image_generation")
    check_network(perceptual, read, "image_generation")
    comparison = PerceptualComparison(perceptual, perceptual_normalise)
    passes = tuple(view for view in VIEWS if view in read)
    rebuilt = {view: stream for view, stream in MOVED.items() if view in read}
    needed = tuple(stream for stream in STREAMS if stream in {*passes, *rebuilt.values()})

    def generator_of(images: jax.Array) -> nn.Module:
        if generator is not None:
            return generator
        return image_generator_for(max(images.shape[1:3]))

    def init(key: jax.Array, streams: Streams, start: Start) -> State:
        check_equal_batches(named_streams(streams, needed))
        images = empty_images(setup.augment, streams, needed[0])
        variables = initial_variables(setup, named_key(key, "model"), images, start)
        params = variables["params"]
        generator_variables = {}
        averages = ()
        frozen = {}
        if rebuilt:
            generator_variables = initial_generator(named_key(key, "generator"), images)
            params = params | {"generator": generator_variables["params"]}
        if PERCEPTUAL in read:
            averages, frozen = comparison.init(_shrunk(images, size), start)
        return State(
            jnp.int32(0),
            variables,
            generator_variables,
            averages,
            setup.optimizer.init(params),
            frozen,
        )

    def initial_generator(key: jax.Array, images: jax.Array) -> Variables:
        images = _shrunk(images, size)
        middle = jnp.zeros((1, len(setup.skeleton.names), 2), jnp.float32)
        generated, fresh = generator_of(images).init_with_output(key, images, middle, train=False)
        if generated.shape != images.shape:
            raise InputError(
                f"image generation: the generator turns images of {images.shape[1]} x {images.shape[2]} "
                f"into {generated.shape[1]} x {generated.shape[2]}; choose a size that its strides divide"
            )
        return {"params": fresh["params"], "batch_stats": fresh.get("batch_stats", {})}

    def reconstruct(
        params, state: State, by_view: Mapping[str, jax.Array], outputs: Mapping[str, jax.Array]
    ):
        """Returns the generator's images beside their targets, and its BatchNorm statistics."""
        sources = interleave(*(_shrunk(by_view[stream], size) for stream in rebuilt.values()))
        targets = interleave(*(_shrunk(by_view[view], size) for view in rebuilt))
        read_at = normalised_points(
            interleave(*(outputs[view] for view in rebuilt)), sharpness=SHARPNESS
        )
        images, mutated = generator_of(sources).apply(
            {"params": params, "batch_stats": state.generator["batch_stats"]},
            sources,
            read_at,
            train=True,
            mutable=["batch_stats"],
        )
        distances, averages = (
            comparison.run(state, images, targets) if PERCEPTUAL in read else ((), ())
        )
        return Reconstruction(images, targets, distances, averages), mutated.get("batch_stats", {})

    def update(state: State, streams: Streams, key: jax.Array) -> tuple[State, Metrics]:
        examples = prepare_streams(setup.augment, named_streams(streams, needed), key)
        for view, stream in rebuilt.items():
            examples[view], _ = random_warp(draw_map)(named_key(key, view), examples[stream])
        by_view = {view: example.image for view, example in examples.items()}

        def objective_of(params):
            images = {view: setup.normalise(by_view[view]) for view in passes}
            outputs, statistics = joint_pass(
                model, _by_network(params)["model"], state.variables["batch_stats"], images
            )
            generator_statistics = {}
            if rebuilt:
                outputs["reconstruction"], generator_statistics = reconstruct(
                    params["generator"], state, by_view, outputs
                )
            value, parts = total(objective, outputs, examples)
            averages = outputs["reconstruction"].averages if rebuilt else ()
            return value, (parts, (statistics, generator_statistics, averages))

        params = dict(state.variables["params"])
        if rebuilt:
            params["generator"] = state.generator["params"]
        params, optimizer_state, (statistics, generator_statistics, averages), metrics = (
            gradient_step(
                objective_of, params, state, setup.optimizer, setup.learning_rate, norms=_by_network
            )
        )
        generator_variables = {}
        if rebuilt:
            generator_variables = {
                "params": params.pop("generator"),
                "batch_stats": generator_statistics,
            }
        variables = {"params": params, "batch_stats": statistics}
        return State(
            state.step + 1, variables, generator_variables, averages, optimizer_state, state.frozen
        ), metrics

    return Method(
        init,
        update,
        heatmap_predict(setup),
        needed,
        setup.skeleton,
        group_rates(setup.optimizer, setup.learning_rate),
    )


def _by_network(params: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the parameters of the model, and those of the generator if there are any."""
    model = {name: tree for name, tree in params.items() if name != "generator"}
    return {"model": model, **({"generator": params["generator"]} if "generator" in params else {})}


def _shrunk(images: jax.Array, size: int) -> jax.Array:
    """Shrinks images (B, H, W, 3) to at most `size` pixels on the longer side, with smoothing."""
    batch, height, width, channels = images.shape
    factor = size / max(height, width)
    if factor >= 1:
        return images
    shape = (batch, round(height * factor), round(width * factor), channels)
    return jax.image.resize(images, shape, "linear")
