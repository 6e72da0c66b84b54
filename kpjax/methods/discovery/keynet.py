"""KeyNet, or IMM (Jakab et al. 2018): keypoints as an image generator's only information about geometry.

x is a frame and r another of the same video. A generator renders x from features of r and from x's keypoints.
"""
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn

from kpjax.augment.augmentations import Augment
from kpjax.errors import InputError
from kpjax.losses.objective import Objective, Term, views
from kpjax.losses.reconstruction import balanced_distances, feature_distances, moved_averages
from kpjax.methods.discovery.discovery import (
    FRAME,
    POINTS,
    STREAMS,
    Comparison,
    Outputs,
    State,
    check_views,
    discovery_functions,
    level_skeleton,
    painting_term,
)
from kpjax.methods.discovery.objectives import RECONSTRUCTION, Reduction
from kpjax.methods.forward import Normalise, imagenet_normalise
from kpjax.models.pyramid import FLAT_SIZE, small_keypoint_pyramid
from kpjax.models.pyramid_baselines import KeyNet, as_keynet
from kpjax.optimization import LearningRate
from kpjax.structures import Method, Start, Streams

RECONSTRUCTION_WIDTH = 0.2  # of the small network's blobs
PERCEPTUAL = "perceptual"  # read by terms that compare features; also the name of the trained network in the start


def keynet_objective(
    *, reconstruction: float = 1.0, perceptual: bool = False, reduction: Reduction = "mean"
) -> Objective:
    """Builds an objective of one term, `reconstruction`, which compares the rendered image with the frame.

    Args:
        reconstruction: weight of the term.
        perceptual: whether to compare features as published, by 1000 times their `balanced_distances`; else squared
            differences of pixels, equation 1 of Keypoint Pyramids.
        reduction: of the squared differences of pixels.
    """
    if not perceptual:
        return {RECONSTRUCTION: painting_term(RECONSTRUCTION, reconstruction, reduction)}

    def compare_features(outputs, streams):
        del streams
        return 1000 * outputs[PERCEPTUAL]

    return {RECONSTRUCTION: Term(reconstruction, compare_features, reads=(RECONSTRUCTION, PERCEPTUAL))}


def keynet(
    *, objective: Objective, optimizer: optax.GradientTransformation, learning_rate: LearningRate, normalise: Normalise,
    augment: Augment | None = None, network: KeyNet | None = None, perceptual: nn.Module | None = None,
    perceptual_normalise: Normalise = imagenet_normalise, first_averages: Sequence[float] | None = None
) -> Method:
    """Builds the method; it reads the streams `frame` and `reference`, example i of both from one video, unlabelled.

    Args:
        network: `published_keynet`, or `as_keynet` of a feature pyramid, as in Keypoint Pyramids. None is a small one
            of these with 30 keypoints. All its keypoints are predicted, without groups.
        perceptual: `apply(variables, images)` -> feature maps, for example `kpjax.models.vgg.VGG`. Its trained
            variables are `start['perceptual']` and never change. The distances are those of the pixels and of each
            feature map.
        perceptual_normalise: images in [0, 1] -> the input of `perceptual`.
        first_averages: initial running averages of the distances, pixels (in [0, 1]) first; None takes the distances of
            the first batch.
        The others are as in `pyramids`.

    Returns:
        The method. start and metrics are as in `pyramids`; start has `perceptual` too, if the objective reads it.
        `error/reconstruction` is of pixels also where the loss compares features.

    Raises:
        ValueError: a term reads an unknown output, or features without `perceptual`.
        InputError: from `init`, as in `pyramids`, or if `start['perceptual']` is missing.
    """
    sizes = (FLAT_SIZE,) if network is None else network.keypoints.sizes
    check_views(objective, (POINTS, RECONSTRUCTION, PERCEPTUAL), "keynet")
    read = views(objective)
    if PERCEPTUAL in read and perceptual is None:
        raise ValueError("keynet: perceptual is None, but the objective compares features; give the network")
    comparison = _perceptual_comparison(perceptual, perceptual_normalise, first_averages) if (
        PERCEPTUAL in read) else None

    def forward(network: KeyNet, frame: jax.Array, reference: jax.Array, train: bool) -> Outputs:
        found = network.keypoints(frame, train)
        return {POINTS: found.points, RECONSTRUCTION: network.generator(reference, found.points[0], train)}

    def network_for(side: int) -> KeyNet:
        if network is not None:
            return network
        return as_keynet(small_keypoint_pyramid((FLAT_SIZE,), side=side), blob_width=RECONSTRUCTION_WIDTH)

    functions = discovery_functions(
        network_for, forward, tuple(name for name in (RECONSTRUCTION,) if name in read), objective=objective,
        optimizer=optimizer, learning_rate=learning_rate, augment=augment, normalise=normalise, comparison=comparison)
    return Method(*functions, STREAMS, level_skeleton(sizes))


def _perceptual_comparison(
    perceptual: nn.Module, prepare: Normalise, first_averages: Sequence[float] | None
) -> Comparison:
    """Builds the comparison that stores the balanced sum of distances under `perceptual`."""

    def init(images: jax.Array, start: Start):
        if PERCEPTUAL not in start:
            raise InputError("keynet: start has no 'perceptual', the variables of the perceptual network; load them, "
                             "or compare pixels")
        layers = 1 + len(jax.eval_shape(perceptual.apply, start[PERCEPTUAL], images))
        averages = jnp.zeros(layers, jnp.float32) if first_averages is None else jnp.array(first_averages, jnp.float32)
        if averages.shape != (layers,):
            raise ValueError(f"keynet: first_averages has {averages.size} values; give {layers}")
        return averages, {PERCEPTUAL: start[PERCEPTUAL]}

    def run(state: State, outputs: Outputs, streams: Streams):
        def layers(images):
            return (images, *perceptual.apply(state.frozen[PERCEPTUAL], prepare(images)))

        distances = feature_distances(
            layers(outputs[RECONSTRUCTION]), jax.lax.stop_gradient(layers(streams[FRAME].image)))
        averages = moved_averages(state.averages, distances)
        if first_averages is None:
            averages = jnp.where(state.step == 0, jax.lax.stop_gradient(distances), averages)
        return {**outputs, PERCEPTUAL: balanced_distances(distances, averages)}, averages

    return Comparison(init, run)
