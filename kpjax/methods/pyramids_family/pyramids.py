"""Keypoint Pyramids (Qian, Panagopoulos and Jayaraman, ECCV 2022): a hierarchy of keypoints from
video, without labels.

x is a frame and r another of the same video. Networks find keypoints of two levels, K_1 few and K_2
many; Psi are blobs around them. x is rendered three times, each time from the little that the
keypoints let through:

    reconstruction   D(Psi(x), Phi(r))                          all keypoints, and r's appearance   (equation 1)
    transport        D_l(m_l Phi_l(r) + (1 - m_l) Phi_l(x))     features around keypoints of level l (equations 2, 3)
    spring           |k_2 - parent of k_2|²                     children stay with their parents     (equation 4)

    L = reconstruction + 0.1 transport_1 + 1 transport_2 + spring                                    (equation 5)

m_l is 1 except around the keypoints of r and x. Level 2 reads the keypoints of level 1. Once
trained, keypoints need neither Phi nor D. The paper leaves open sizes and reductions, and whether
transport has a gradient of r, which are arguments. Nor does it say how the blobs of many keypoints
make one mask, see `transport_features`.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import optax

from kpjax.augment.augmentations import Augment
from kpjax.losses.objective import Objective
from kpjax.losses.pyramids import transport_features
from kpjax.methods.forward import Normalise, checked_views
from kpjax.methods.pyramids_family import discovery
from kpjax.methods.pyramids_family.objectives import (
    RECONSTRUCTION,
    TRANSPORT_FLAT,
    reconstruction_level,
    transport_level,
)
from kpjax.models.pyramid import (
    LEVEL_SIZES,
    KeypointPyramid,
    blobs_of_points,
    small_keypoint_pyramid,
)
from kpjax.optimization import LearningRate
from kpjax.structures import Method

RECONSTRUCTION_WIDTH = 0.2
TRANSPORT_WIDTHS = (0.2, 0.1)  # for maps of 8 x 8 and 16 x 16 cells


def pyramids(
    *,
    objective: Objective,
    optimizer: optax.GradientTransformation,
    learning_rate: LearningRate,
    normalise: Normalise,
    augment: Augment | None = None,
    network: KeypointPyramid | None = None,
    reconstruction_width: float = RECONSTRUCTION_WIDTH,
    transport_widths: Sequence[float] = TRANSPORT_WIDTHS,
    reference_gradient: bool = False,
    reference_pass: discovery.ReferencePass = "joint",
    still: discovery.StillCamera | None = None,
) -> Method:
    """Builds the method; it reads the streams `frame` and `reference`, example i of both from one
    video, unlabelled.

    Terms find the points of every level under `points`, and images by the names of `objectives`.
    Images that no term reads are not rendered, and parts that only they need have no parameters:
    without transport, the reference passes through the appearance encoder only. Predictions have
    all levels in one array, as groups `level1`, `level2`, ... of `Method.skeleton`, whose edges
    join parents and children. The start may have `network`, see `discovery_method`.

    Metrics besides the losses: `error/<image>` and `baseline/<what>` (mean squared differences of
    images in [0, 1]), `spread/coordinates`, `spread/points` and `live_points` (a count), see
    `kpjax.evaluation.degeneracy`.

    Args:
        objective: of `pyramids_objective`.
        optimizer: without its learning rate.
        learning_rate: of the step, one for all or one for each part of the network.
        normalise: images in [0, 1] -> the network's input.
        augment: applied to both frames under one key.
        network: its sizes give the number of keypoints of each level; by default
            `small_keypoint_pyramid`, which suits any images.
        reconstruction_width: of the blobs, normalised. The defaults of both widths suit maps of 8 x
            8 and 16 x 16 cells; the published code of KeyNet and Transporter has 0.1 everywhere.
        transport_widths: one for each level. Wide blobs of many keypoints cover all that moves, and
            transport then copies the frame. The finest level's width is also that of
            "transport_flat".
        reference_gradient: whether transport has a gradient of the reference's features and
            keypoints. The paper is silent; Transporter, whose loss it follows, stops the gradient.
            The reference's appearance always has one.
        reference_pass: "separate" saves the reference's backward pass where it has no gradient;
            "joint" shares BatchNorm statistics between both frames. With GroupNorm both give the
            same.
        still: for videos from a still camera; the start then has `still`, see `still_videos`.

    Raises:
        ValueError: a term reads an unknown output, or widths and levels differ in number.
        InputError: here, if the keypoints of a level cannot be divided evenly among those above;
            from `init`, for images that the strides do not divide.
    """
    sizes = LEVEL_SIZES if network is None else network.keypoints.sizes
    if len(transport_widths) != len(sizes):
        raise ValueError(
            f"pyramids: transport_widths has {len(transport_widths)} values; give {len(sizes)}, one per "
            "level"
        )
    levels = range(1, len(sizes) + 1)
    known = (
        RECONSTRUCTION,
        TRANSPORT_FLAT,
        *map(transport_level, levels),
        *map(reconstruction_level, levels),
    )
    read = checked_views(objective, (discovery.POINTS, discovery.HEATMAPS, *known), "pyramids")
    paintings = tuple(name for name in known if name in read)
    forward = painting_pass(
        paintings,
        len(sizes),
        reconstruction_width=reconstruction_width,
        transport_widths=transport_widths,
        reference_gradient=reference_gradient,
        reference_pass=reference_pass,
    )

    def network_for(side: int) -> KeypointPyramid:
        if network is not None:
            return network
        return small_keypoint_pyramid(side=side)

    return discovery.discovery_method(
        network_for,
        forward,
        paintings,
        sizes,
        objective=objective,
        optimizer=optimizer,
        learning_rate=learning_rate,
        augment=augment,
        normalise=normalise,
        still=still,
    )


def painting_pass(
    paintings: Sequence[str],
    levels: int,
    *,
    reconstruction_width: float = RECONSTRUCTION_WIDTH,
    transport_widths: Sequence[float] = TRANSPORT_WIDTHS,
    reference_gradient: bool = False,
    reference_pass: discovery.ReferencePass = "joint",
) -> discovery.Forward:
    """Builds the forward pass for `network.apply(variables, frame, reference, train=...,
    method=painting_pass(...))`.

    It reads two batches of normalised images. Its outputs are `points`, those of the frame at each
    level, and each of `paintings`, the names of the images to render. The other arguments are as in
    `pyramids`.
    """
    transports = {transport_level(level): level - 1 for level in range(1, levels + 1)}
    level_reconstructions = {
        reconstruction_level(level): level - 1 for level in range(1, levels + 1)
    }
    needs_reference_points = any(
        painting in transports or painting == TRANSPORT_FLAT for painting in paintings
    )

    def forward(
        network: KeypointPyramid, frame: jax.Array, reference: jax.Array, train: bool
    ) -> discovery.Outputs:
        if needs_reference_points:
            found, of_reference = discovery.both_frames(
                network.keypoints, frame, reference, train, reference_pass
            )
        else:
            found = network.keypoints(frame, train)
        outputs: discovery.Outputs = {
            discovery.POINTS: found.points,
            discovery.HEATMAPS: found.heatmaps,
        }

        def render_transported(encoder, decoder, level, points, reference_points):
            features, reference_features = discovery.both_frames(
                encoder, found.features[level], of_reference.features[level], train, reference_pass
            )
            size = features.shape[1:3]
            width = transport_widths[level]
            maps = blobs_of_points(points, size, width)
            reference_maps = blobs_of_points(reference_points, size, width)
            mixed = transport_features(
                reference_features,
                features,
                reference_maps,
                maps,
                stop_reference=not reference_gradient,
            )
            return decoder(mixed, train)

        def render_reconstructed(decoder, points):
            blobs = blobs_of_points(points, appearance.shape[1:3], reconstruction_width)
            return decoder(
                jnp.concatenate([blobs.astype(appearance.dtype), appearance], axis=-1), train
            )

        if any(
            painting == RECONSTRUCTION or painting in level_reconstructions
            for painting in paintings
        ):
            appearance = network.appearance(reference, train)
        for painting in paintings:
            if painting == RECONSTRUCTION:
                outputs[painting] = render_reconstructed(
                    network.decoder, jnp.concatenate(found.points, axis=1)
                )
            elif painting in level_reconstructions:
                level = level_reconstructions[painting]
                outputs[painting] = render_reconstructed(
                    network.level_decoders[level], found.points[level]
                )
            elif painting in transports:
                level = transports[painting]
                outputs[painting] = render_transported(
                    network.transports[level],
                    network.transport_decoders[level],
                    level,
                    found.points[level],
                    of_reference.points[level],
                )
            else:
                outputs[painting] = render_transported(
                    network.flat_transport,
                    network.flat_decoder,
                    levels - 1,
                    jnp.concatenate(found.points, axis=1),
                    jnp.concatenate(of_reference.points, axis=1),
                )
        return outputs

    return forward
