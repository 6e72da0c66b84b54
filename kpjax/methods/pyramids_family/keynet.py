"""KeyNet, or IMM (Jakab et al. 2018): keypoints as an image generator's only information about
geometry.

x is a frame and r another of the same video. A generator renders x from features of r and from x's
keypoints.
"""

import jax
import optax
from flax import linen as nn

from kpjax.augment.augmentations import Augment
from kpjax.losses.objective import Objective, Term
from kpjax.losses.reconstruction import balanced_distances
from kpjax.methods.forward import Normalise, checked_views, imagenet_normalise
from kpjax.methods.perceptual import PERCEPTUAL, PerceptualComparison, check_network
from kpjax.methods.pyramids_family import discovery
from kpjax.methods.pyramids_family.objectives import RECONSTRUCTION
from kpjax.models.pyramid import FLAT_SIZE, small_keypoint_pyramid
from kpjax.models.pyramid_baselines import KeyNet, as_keynet
from kpjax.optimization import LearningRate
from kpjax.structures import Method, Streams

RECONSTRUCTION_WIDTH = 0.2  # reconstruction width of the small network's blobs


def keynet_objective(*, perceptual: bool = False) -> Objective:
    """Builds an objective of one term, `reconstruction`, which compares the rendered image with the
    frame.

    perceptual: whether to compare features as published, by 1000 times their `balanced_distances`;
    else squared differences of pixels, equation 1 of Keypoint Pyramids.
    """
    if not perceptual:
        return {RECONSTRUCTION: discovery.painting_term(RECONSTRUCTION, 1.0)}

    def compare_features(outputs, streams):
        del streams
        return 1000 * outputs[PERCEPTUAL]

    return {RECONSTRUCTION: Term(1.0, compare_features, reads=(RECONSTRUCTION, PERCEPTUAL))}


def keynet(
    *,
    objective: Objective,
    optimizer: optax.GradientTransformation,
    learning_rate: LearningRate,
    normalise: Normalise,
    augment: Augment | None = None,
    network: KeyNet | None = None,
    perceptual: nn.Module | None = None,
    perceptual_normalise: Normalise = imagenet_normalise,
    still: discovery.StillCamera | None = None,
) -> Method:
    """Builds the method; it reads the streams `frame` and `reference`, example i of both from one
    video, unlabelled.

    Start and metrics are as in `pyramids`; the start has `perceptual` too, if the objective reads
    it. `error/reconstruction` is of pixels also where the loss compares features.

    Args:
        network: `as_keynet` of a feature pyramid, as in Keypoint Pyramids. None is a small one
            of these with 30 keypoints. All its keypoints are predicted, without groups.
        perceptual, perceptual_normalise: see `PerceptualComparison`.
        The others are as in `pyramids`.

    Raises:
        ValueError: a term reads an unknown output, or features without `perceptual`.
        InputError: from `init`, as in `pyramids`, or if `start['perceptual']` is missing.
    """
    sizes = (FLAT_SIZE,) if network is None else network.keypoints.sizes
    read = checked_views(objective, (discovery.POINTS, RECONSTRUCTION, PERCEPTUAL), "keynet")
    check_network(perceptual, read, "keynet")
    of_features = PerceptualComparison(perceptual, perceptual_normalise)
    comparison = _balanced_comparison(of_features) if PERCEPTUAL in read else None

    def forward(
        network: KeyNet, frame: jax.Array, reference: jax.Array, train: bool
    ) -> discovery.Outputs:
        found = network.keypoints(frame, train)
        return {
            discovery.POINTS: found.points,
            RECONSTRUCTION: network.generator(reference, found.points[0], train),
        }

    def network_for(side: int) -> KeyNet:
        if network is not None:
            return network
        return as_keynet(
            small_keypoint_pyramid((FLAT_SIZE,), side=side), blob_width=RECONSTRUCTION_WIDTH
        )

    return discovery.discovery_method(
        network_for,
        forward,
        tuple(name for name in (RECONSTRUCTION,) if name in read),
        sizes,
        objective=objective,
        optimizer=optimizer,
        learning_rate=learning_rate,
        augment=augment,
        normalise=normalise,
        comparison=comparison,
        still=still,
    )


def _balanced_comparison(of_features: PerceptualComparison) -> discovery.Comparison:
    """Builds the comparison that stores the balanced sum of distances under `perceptual`."""

    def run(state: discovery.State, outputs: discovery.Outputs, streams: Streams):
        distances, averages = of_features.run(
            state, outputs[RECONSTRUCTION], streams[discovery.FRAME].image
        )
        return {**outputs, PERCEPTUAL: balanced_distances(distances, averages)}, averages

    return discovery.Comparison(of_features.init, run)
