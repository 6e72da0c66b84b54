"""Landmarks without training: the places of an image whose features of a trained trunk are nearest
to the centres of clusters.

A control for methods that learn landmarks of a new category from a trained network. Features of
images of the category are clustered by k-means, and a landmark is where an image's features are
most like a centre. Nothing is random, and nothing of the network changes.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from kpjax import geometry
from kpjax.heatmaps import decode_soft_argmax, image_to_heatmap
from kpjax.methods.forward import Normalise, unit_range
from kpjax.models import KeypointNetwork
from kpjax.structures import Example, Prediction, Trained, Variables

CLUSTERS = "clusters"  # clusters of a result's variables, beside the trunk's
COARSEST = 4  # cells of the heatmaps, side of a cell of the coarsest map that is read
# temperature of the softmax over cosines: a difference of 0.1 weighs 150 times as much
TEMPERATURE = 0.02
SMALLEST = 1e-12  # norms below it divide as it does


def trunk_features(
    model: KeypointNetwork, variables: Variables, images: jax.Array, *, size: int
) -> jax.Array:
    """Computes unit vectors (B, size, size, C) float32 of the trunk's features at each cell.

    Each map of the trunk is resized to the cells and scaled to length 1 there; they are then
    concatenated. Maps of cells more than COARSEST cells wide are left out, unless there are no
    others.

    Args:
        model: its backbone is read alone.
        variables: params and batch_stats, each with `backbone`.
        images: normalised, (B, H, W, 3), square.
        size: cells along each side.
    """
    trunk = {name: variables[name] for name in ("params", "batch_stats") if name in variables}
    maps = model.apply(trunk, images, False, method="backbone_features")
    fine = [one for one in maps if one.shape[1] * COARSEST >= size]
    if not fine:
        fine = list(maps[-1:])
    parts = []
    for one in fine:
        shape = (one.shape[0], size, size, one.shape[-1])
        resized = jax.image.resize(one.astype(jnp.float32), shape, "linear")
        parts.append(_unit(resized))
    return jnp.concatenate(parts, -1) / len(parts) ** 0.5


def k_means(vectors: jax.Array, clusters: int, *, rounds: int = 50) -> jax.Array:
    """Computes centres (clusters, C) float32 of vectors (N, C) float32 by Lloyd's rounds.

    The first centre is the vector nearest to the mean, each next one the vector farthest from all
    before it. A centre without vectors stays where it is.
    """

    def squared_distances(centre: jax.Array) -> jax.Array:
        return jnp.square(vectors - centre[None]).sum(-1)

    to_mean = squared_distances(vectors.mean(0))
    first = vectors[to_mean.argmin()]
    centres = jnp.zeros((clusters, vectors.shape[1]), jnp.float32)
    centres = centres.at[0].set(first)

    def add(number, chosen):
        centres, nearest = chosen
        centre = vectors[nearest.argmax()]
        centres = centres.at[number].set(centre)
        nearest = jnp.minimum(nearest, squared_distances(centre))
        return centres, nearest

    to_first = squared_distances(first)
    centres, _ = jax.lax.fori_loop(1, clusters, add, (centres, to_first))

    def move(_, centres):
        squares = jnp.square(centres).sum(-1)
        # squared distances, less the squares of the vectors
        comparable = squares[None] - 2 * vectors @ centres.T
        nearest = comparable.argmin(-1)
        belongs = jax.nn.one_hot(nearest, clusters, dtype=jnp.float32)
        counts = belongs.sum(0)[:, None]
        means = belongs.T @ vectors / jnp.maximum(counts, 1.0)
        return jnp.where(counts > 0, means, centres)

    return jax.lax.fori_loop(0, rounds, move, centres)


def cluster_trunk(
    model: KeypointNetwork,
    normalise: Normalise,
    core: Variables,
    images: jax.Array,
    *,
    landmarks: int,
    size: int,
) -> Variables:
    """Returns the variables that `trunk_clusters_predict` reads: the trunk's, and the centres.

    images: (N, H, W, 3) in [0, 1], all clustered at once. size: cells along each side.
    """
    trunk = {
        name: {"backbone": core[name]["backbone"]}
        for name in ("params", "batch_stats")
        if "backbone" in core.get(name, {})
    }
    features = trunk_features(model, trunk, normalise(images), size=size)
    vectors = features.reshape(-1, features.shape[-1])
    centres = k_means(vectors, landmarks)
    return trunk | {CLUSTERS: {"centres": _unit(centres)}}


def trunk_clusters_predict(
    model: KeypointNetwork, normalise: Normalise, *, size: int
) -> Callable[[Trained, Example], Prediction]:
    """Builds a prediction: the soft-argmax of the cosines between cells and centres.

    Its heatmaps (B, size, size, K) are these cosines, its scores the largest probability of each.
    """

    def predict(state: Trained, example: Example) -> Prediction:
        images = unit_range(example).image
        features = trunk_features(model, state.variables, normalise(images), size=size)
        cosines = features @ state.variables[CLUSTERS]["centres"].T
        found, scores = decode_soft_argmax(cosines, temperature=TEMPERATURE)
        to_heatmap = image_to_heatmap(images.shape[1:3], cosines.shape[1:3], "index")
        return Prediction(
            geometry.move_points(geometry.invert(to_heatmap), found), scores, (cosines,)
        )

    return predict


def _unit(vectors: jax.Array) -> jax.Array:
    norms = jnp.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / jnp.maximum(norms, SMALLEST)
