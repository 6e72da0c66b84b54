"""BKinD (Sun et al. 2022): keypoints of what moves before a still camera, without labels.

x is a frame and r another of the same video. Where nothing moves, both are alike. So in place of x the difference of
both is rendered, from the deepest features of r and the keypoints of both:

    reconstruction   D(features(r), k(r), k(x)) against the difference, of pixels and, as published, of features
    rotation         maps of k(x), turned, against those of the turned x; of 90, 180 and 270 degrees
    separation       pairs of keypoints that coincide, of x and of the turned x

    L = reconstruction + rotation + 0.05 separation

The last two terms begin later. Of a moving camera everything differs, and this method fails. Noise on an even surface
is a difference of structure, too. Formulas are those of the official code.
"""
from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn

from kpjax.augment.augmentations import Augment
from kpjax.errors import InputError
from kpjax.losses.differences import rotation_equivariance, separation as separation_loss, structural_difference
from kpjax.losses.objective import Objective, Term
from kpjax.losses.reconstruction import bounded_distances
from kpjax.methods.forward import Normalise, checked_views, deinterleave, interleave
from kpjax.methods.perceptual import PERCEPTUAL, PerceptualComparison, check_network
from kpjax.methods.pyramids_family.discovery import (
    FRAME,
    POINTS,
    STREAMS,
    TARGET,
    Comparison,
    Forward,
    Outputs,
    State,
    discovery_functions,
    level_skeleton,
    painting_term,
)
from kpjax.methods.pyramids_family.objectives import RECONSTRUCTION
from kpjax.models.bkind_network import VARIANCES, BKinD, as_bkind, gaussian_densities
from kpjax.models.pyramid import small_keypoint_pyramid
from kpjax.optimization import LearningRate
from kpjax.structures import Method, Streams

KEYPOINTS = 10
ROTATION, SEPARATION = LATER = ("rotation", "separation")
TURNED = "turned"  # read by terms that need the points of turned frames, one (B, K, 2) for each of QUARTERS
QUARTERS = (1, 2, 3)  # quarter turns, counter-clockwise
SCALES = (100.0, 1.6, 2.3, 1.8, 2.8, 100.0)  # of the distances of pixels, and of VGG-19's `IMM_TAPS`


def bkind_objective(*, reconstruction: float = 1.0, perceptual: bool = False) -> Objective:
    """Builds the terms `reconstruction`, `rotation` (`rotation_equivariance`) and `separation`, see `losses`.

    `without` leaves out either of the last two. Without rotation no frame is turned, and the separation is of the
    frames alone.

    Args:
        reconstruction: weight of the term.
        perceptual: whether to compare features as published, by their `bounded_distances`; else squared differences of
            pixels. Their mean is far below the published term, which then needs a larger weight beside the others.
    """

    def compare_features(outputs, streams):
        del streams
        return outputs[PERCEPTUAL]

    def turn(outputs, streams):
        size = tuple(side // 2 for side in streams[FRAME].image.shape[1:3])  # the finest maps of the decoder
        maps, *turned = (gaussian_densities(points, size, VARIANCES[-1])
                         for points in (*outputs[POINTS], *outputs[TURNED]))
        return rotation_equivariance(maps, turned)

    def separate(outputs, streams):
        del streams
        return sum(separation_loss(points) for points in (*outputs[POINTS], *outputs[TURNED]))

    return {
        RECONSTRUCTION: Term(reconstruction, compare_features, reads=(RECONSTRUCTION, PERCEPTUAL)) if perceptual
        else painting_term(RECONSTRUCTION, reconstruction),
        ROTATION: Term(1.0, turn, reads=(POINTS, TURNED)), SEPARATION: Term(0.05, separate, reads=(POINTS,))}


def bkind(
    *, objective: Objective, optimizer: optax.GradientTransformation, learning_rate: LearningRate, normalise: Normalise,
    augment: Augment | None = None, network: BKinD | None = None, later: int = 0, perceptual: nn.Module | None = None,
    perceptual_normalise: Normalise = lambda images: images, scales: Sequence[float] = SCALES
) -> Method:
    """Builds the method; it reads the streams `frame` and `reference`, example i of both from one video, unlabelled.

    Start, metrics and predictions are as in `keynet`, with the structural difference in place of the frame:
    `error/reconstruction` is of its pixels, `baseline/mean_image` its mean over the batch, and
    `baseline/copied_reference` that of a reference that has not changed, no difference at all. Frames, references and
    turned frames are one pass, so that BatchNorm mixes them.

    Args:
        network: `as_bkind` of a feature pyramid. None is a small one of 10 keypoints. All its
            keypoints are predicted, without groups.
        later: the step from which the terms `rotation` and `separation` count; published is the fifth epoch of 15 or
            30.
        perceptual: VGG-19 with `IMM_TAPS` as published; its variables are `start["perceptual"]`.
        perceptual_normalise: images in [0, 1] -> its input; as published they are left as they are.
        scales: of `bounded_distances`, pixels first.
        The others are as in `pyramids`.

    Raises:
        ValueError: a term reads an unknown output, or features without `perceptual`; scales and layers differ in
            number.
        InputError: from `init`, as in `keynet`, or for images to be turned that are not square.
    """
    sizes = (KEYPOINTS,) if network is None else network.keypoints.sizes
    read = checked_views(objective, (POINTS, TURNED, RECONSTRUCTION, PERCEPTUAL), "bkind")
    check_network(perceptual, read, "bkind")
    comparison = (_bounded(PerceptualComparison(perceptual, perceptual_normalise, scales)) if PERCEPTUAL in read
                  else None)

    def network_for(side: int) -> BKinD:
        return as_bkind(small_keypoint_pyramid((KEYPOINTS,), side=side)) if network is None else network

    def weights(step: jax.Array) -> Mapping[str, jax.Array]:
        return dict.fromkeys(LATER, step >= later)

    functions = discovery_functions(
        network_for, bkind_pass(turned=TURNED in read), tuple(name for name in (RECONSTRUCTION,) if name in read),
        objective=objective, optimizer=optimizer, learning_rate=learning_rate, augment=augment, normalise=normalise,
        comparison=comparison, target=structural_difference, scales=weights)
    return Method(*functions, STREAMS, level_skeleton(sizes))


def bkind_pass(*, turned: bool) -> Forward:
    """Builds the forward pass for `network.apply(variables, frame, reference, train=..., method=bkind_pass(...))`.

    It reads two batches of normalised images. Its outputs are `points` of the frame, those of the frame after each of
    QUARTERS if `turned`, and `reconstruction`.
    """

    def forward(network: BKinD, frame: jax.Array, reference: jax.Array, train: bool) -> Outputs:
        size, images = frame.shape[1:3], [frame, reference]
        if turned:
            if size[0] != size[1]:
                raise InputError("bkind", f"images of {size[0]} x {size[1]} (height x width) are turned by 90 degrees; "
                                 "make them square, or leave out the rotation")
            images += [jnp.rot90(frame, quarters, axes=(1, 2)) for quarters in QUARTERS]
        found = network.keypoints(interleave(*images), train)
        points, of_reference, *of_turned = deinterleave(found.points[0], len(images))
        features = deinterleave(found.features[0], len(images))[1]
        return {POINTS: (points,), TURNED: tuple(of_turned),
                RECONSTRUCTION: network.decoder(features, (points, of_reference), size, train)}

    return forward


def _bounded(of_features: PerceptualComparison) -> Comparison:
    """Builds the comparison that stores the bounded sum of distances under `perceptual`; its averages stay as given."""

    def run(state: State, outputs: Outputs, streams: Streams):
        distances, _ = of_features.run(state, outputs[RECONSTRUCTION], streams[TARGET])
        return {**outputs, PERCEPTUAL: bounded_distances(distances, state.averages)}, state.averages

    return Comparison(lambda images, start: of_features.init(images, start, "bkind"), run)
