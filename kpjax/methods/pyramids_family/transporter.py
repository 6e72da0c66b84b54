"""Transporter (Kulkarni et al. 2019): keypoints as the places where features of a video may be
replaced.

x is a frame and r another of the same video. A decoder renders x from features of r, in which the
surroundings of r's keypoints are blanked and those of x's keypoints are inserted. r gets no
gradient.
"""

import jax
import optax

from kpjax.augment.augmentations import Augment
from kpjax.losses.objective import Objective
from kpjax.losses.pyramids import transporter_transported
from kpjax.methods.forward import Normalise, checked_views
from kpjax.methods.pyramids_family import discovery
from kpjax.models.pyramid import FLAT_SIZE, blobs_of_points, small_keypoint_pyramid
from kpjax.models.pyramid_baselines import Transporter, as_transporter
from kpjax.optimization import LearningRate
from kpjax.structures import Method

TRANSPORT = "transport"


def transporter_objective() -> Objective:
    """Builds an objective of one term, `transport`: the squared difference of image and frame, a
    mean as published.
    """
    return {TRANSPORT: discovery.painting_term(TRANSPORT, 1.0)}


def transporter(
    *,
    objective: Objective,
    optimizer: optax.GradientTransformation,
    learning_rate: LearningRate,
    normalise: Normalise,
    augment: Augment | None = None,
    network: Transporter | None = None,
    blob_width: float = 0.1,
    reference_pass: discovery.ReferencePass = "joint",
    still: discovery.StillCamera | None = None,
) -> Method:
    """Builds the method; it reads the streams `frame` and `reference`, example i of both from one
    video, unlabelled.

    Start, metrics and errors are as in `pyramids`.

    Args:
        network: `as_transporter` of a feature pyramid, as in Keypoint Pyramids. None is a
            small one of these with 30 keypoints. All its keypoints are predicted, without groups.
        blob_width: normalised, as published.
        reference_pass: see `pyramids`. The official code is "separate": each frame has statistics
        of its own. The others are as in `pyramids`.
    """
    sizes = (FLAT_SIZE,) if network is None else network.keypoints.sizes
    read = checked_views(objective, (discovery.POINTS, TRANSPORT), "transporter")
    paintings = tuple(name for name in (TRANSPORT,) if name in read)

    def forward(
        network: Transporter, frame: jax.Array, reference: jax.Array, train: bool
    ) -> discovery.Outputs:
        found, of_reference = discovery.both_frames(
            network.keypoints, frame, reference, train, reference_pass
        )
        features, reference_features = discovery.both_frames(
            network.features, frame, reference, train, reference_pass
        )
        size = features.shape[1:3]
        maps = blobs_of_points(found.points[0], size, blob_width)
        reference_maps = blobs_of_points(of_reference.points[0], size, blob_width)
        mixed = transporter_transported(reference_features, features, reference_maps, maps)
        return {discovery.POINTS: found.points, TRANSPORT: network.decoder(mixed, train)}

    def network_for(side: int) -> Transporter:
        if network is not None:
            return network
        return as_transporter(small_keypoint_pyramid((FLAT_SIZE,), side=side))

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
