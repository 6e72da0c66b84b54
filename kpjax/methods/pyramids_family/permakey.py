"""PermaKey (Gopalakrishnan et al., ICLR 2021): keypoints where an image cannot be predicted from
its surroundings.

x is a frame. An autoencoder with a normal latent distribution learns features of x; a predictor for
each of its first layers guesses the features c of every cell from those around it; and K keypoints
are chosen so that the sum of their Gaussians G is like the maps E of the predictors' errors:

    reconstruction   mean (x' - x)² / (2 * 0.1)      the autoencoder's image
    latent           KL(N(mean, deviation) || N(0, 1))
    prediction       mean (c' - c)², over layers     no gradient to the features
    error_maps       mean (sum_k G_k - E)²           no gradient to the errors

Each part has its own loss, and no other reaches it: the terms' weights are 1. Unlike its neighbours
here PermaKey needs no second frame. Keypoint Pyramids compares with it in its supplement (A.3), of
which we know no setting: it stands here as its authors describe it, with keypoints that are means
of a softmax over the whole map, as the other baselines'.
"""

import jax
import jax.numpy as jnp
import optax

from kpjax.augment.augmentations import Augment
from kpjax.losses.objective import Objective, Term
from kpjax.losses.reconstruction import pixel_mse
from kpjax.methods.forward import Normalise, checked_views
from kpjax.methods.pyramids_family import discovery
from kpjax.methods.pyramids_family.objectives import RECONSTRUCTION
from kpjax.models.permakey import PermaKey, permakey_network
from kpjax.models.pyramid import FLAT_SIZE, blobs_of_points
from kpjax.optimization import LearningRate
from kpjax.structures import Method

LATENT = "latent"
PREDICTION = "prediction"
ERROR_MAPS = "error_maps"
VARIANCE = 0.1  # variance of pixels in [0, 1], about the autoencoder's image


def latent_divergence(mean: jax.Array, deviation: jax.Array) -> jax.Array:
    """Computes KL(N(mean, deviation²) || N(0, 1)) of (B, size), the sum over a latent and the mean
    over the batch.
    """
    squares = jnp.square(mean) + jnp.square(deviation)
    each = 0.5 * (squares - 1) - jnp.log(deviation)
    return each.sum(-1).mean()


def permakey_objective() -> Objective:
    """Builds PermaKey's objective of the terms `reconstruction`, `latent`, `prediction` and
    `error_maps`.
    """

    def reconstruction(outputs, streams):
        return pixel_mse(outputs[RECONSTRUCTION], streams[discovery.TARGET]) / (2 * VARIANCE)

    def latent(outputs, streams):
        return latent_divergence(*outputs[LATENT])

    def prediction(outputs, streams):
        return sum(squares.mean() for squares in outputs[PREDICTION])

    def error_maps(outputs, streams):
        blobs, maps = outputs[ERROR_MAPS]
        difference = blobs.sum(-1, keepdims=True) - maps
        return jnp.square(difference).mean()

    terms = {
        RECONSTRUCTION: reconstruction,
        LATENT: latent,
        PREDICTION: prediction,
        ERROR_MAPS: error_maps,
    }
    return {name: Term(1.0, function, reads=(name,)) for name, function in terms.items()}


def permakey(
    *,
    objective: Objective,
    optimizer: optax.GradientTransformation,
    learning_rate: LearningRate,
    normalise: Normalise,
    augment: Augment | None = None,
    network: PermaKey | None = None,
    blob_width: float = 0.1,
) -> Method:
    """Builds the method; it learns from the unlabelled stream `frame`. It also reads `reference`,
    another frame of the same video, for its metrics alone.

    Start, metrics and errors are as in `pyramids`. All images have the size of the first; keypoints
    are found in images of any size whose sides 4 divides.

    Args:
        objective: of `permakey_objective`.
        network: `permakey_network`; None is a small one with 30 keypoints.
        blob_width: of the Gaussians that are like the error maps, normalised, as published.
        The others are as in `pyramids`.
    """
    sizes = (FLAT_SIZE,) if network is None else network.keypoints.sizes
    known = (RECONSTRUCTION, LATENT, PREDICTION, ERROR_MAPS)
    checked_views(objective, (discovery.POINTS, *known), "permakey")

    def forward(
        network: PermaKey, frame: jax.Array, reference: jax.Array, train: bool
    ) -> discovery.Outputs:
        found = network.keypoints(frame, train)
        deepest, *squares, maps = found.features
        mean, deviation = network.latent(deepest)
        drawn = mean
        if train:
            noise = jax.random.normal(network.make_rng(discovery.NOISE_STREAM), mean.shape)
            drawn = mean + deviation * noise
        return {
            discovery.POINTS: found.points,
            RECONSTRUCTION: network.decoder(drawn, deepest.shape[1:3], train),
            LATENT: (mean, deviation),
            PREDICTION: squares,
            ERROR_MAPS: (blobs_of_points(found.points[0], maps.shape[1:3], blob_width), maps),
        }

    def network_for(side: int) -> PermaKey:
        if network is not None:
            return network
        return permakey_network(FLAT_SIZE, small=True)

    return discovery.discovery_method(
        network_for,
        forward,
        (),  # its images are of no keypoints, and say nothing about their collapse
        sizes,
        objective=objective,
        optimizer=optimizer,
        learning_rate=learning_rate,
        augment=augment,
        normalise=normalise,
        noise=True,
    )
