"""Whether discovered points say anything: errors of points that nobody named are fooled by points that stand still or
lie on one spot, so these numbers stand beside them.
"""
import jax
import jax.numpy as jnp
import numpy as np

STILL = 1 / 64  # of an image's longer side: a point whose deviation over images is less does not look at them


def point_spread(points: jax.Array) -> jax.Array:
    """The mean distance between two different points of an image, over all pairs and images: () float32 in the unit of
    `points` (N, K, 2); 0 for K = 1.
    """
    count = points.shape[1]
    differences = points[:, :, None].astype(jnp.float32) - points[:, None].astype(jnp.float32)
    squared = jnp.square(differences).sum(-1)
    distances = jnp.where(squared > 0, jnp.sqrt(jnp.where(squared > 0, squared, 1.0)), 0.0)
    return distances.sum((1, 2)).mean() / max(count * (count - 1), 1)


def median_spread(points: jax.Array) -> jax.Array:
    """The median distance between two different points of an image, over all pairs and images: () float32 in the unit
    of `points` (N, K, 2); 0 for K = 1.

    A few points that wander far from a heap raise the mean of `point_spread`, and not this.
    """
    first, second = np.triu_indices(points.shape[1], 1)
    if not len(first):
        return jnp.float32(0)
    return jnp.median(jnp.linalg.norm(points[:, first].astype(jnp.float32) - points[:, second], axis=-1))


def live_points(points: jax.Array, size: tuple[int, int], *, still: float = STILL) -> jax.Array:
    """How many of the K points (N, K, 2), in pixels of images of `size` (height, width), differ from image to image:
    () float32.

    Those whose standard deviation over the images, both coordinates together, is at least `still` times the longer
    side. A point that jumps about without a reason counts as live; the consistency of points tells those.
    """
    deviation = jnp.sqrt(jnp.var(points.astype(jnp.float32), axis=0).sum(-1))
    return (deviation >= still * max(size)).sum().astype(jnp.float32)
