"""Springs between the keypoints of neighbouring levels of a hierarchy."""
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from kpjax.errors import InputError


def parent_of_child(parents: int, children: int) -> Int[np.ndarray, "children"]:
    """The number of each child's parent: with m children a parent, parent n has the children m n ... m n + m - 1.

    Keypoint Pyramids prints other indices, by which children would be left out; these are the disjoint sets that its
    text and figures describe. Raises InputError if the children cannot be shared out evenly.
    """
    if parents < 1 or children < parents or children % parents:
        below = max(children // max(parents, 1), 1) * parents
        raise InputError(f"level sizes: {children} keypoints cannot be shared out evenly among the {parents} of the "
                         f"level above; take a multiple of {parents}, for example {below}")
    return np.arange(children) // (children // parents)


def spring(
    parents: Float[Array, "batch parents 2"],
    children: Float[Array, "batch children 2"],
    *,
    reduction: Literal["mean", "sum", "coordinate_mean"] = "mean",
    unit: Literal["normalised", "pixels"] = "normalised",
    size: tuple[int, int] | None = None,
) -> Float[Array, ""]:
    """The squared distances between children and their parents (`parent_of_child`), float32. Both get a gradient.

    parents, children: normalised (x, y), the centres of an image's first and last pixel at -1 and 1.
    unit: in which distances are measured; "pixels" are those of an image of `size` (height, width).
    reduction: of an image, "mean" over its children, "sum" over them, or "coordinate_mean", half the first; then the
    mean over the batch. Source: Keypoint Pyramids (Qian et al. 2022), equation 4, which is a sum and names no unit.
    Raises InputError if the children cannot be shared out evenly, ValueError for pixels without a size.
    """
    batch, parent_count, _ = parents.shape
    each = parent_of_child(parent_count, children.shape[1]).size // parent_count
    away = children.astype(jnp.float32).reshape(batch, parent_count, each, 2) - parents.astype(jnp.float32)[:, :, None]
    if unit == "pixels":
        if size is None:
            raise ValueError("spring: distances in pixels need the size of the image")
        away = away * jnp.array([(size[1] - 1) / 2, (size[0] - 1) / 2], jnp.float32).reshape(1, 1, 1, 2)
    squared = jnp.square(away)
    if reduction == "coordinate_mean":
        return squared.mean()
    distances = squared.sum(-1)
    return distances.mean() if reduction == "mean" else distances.sum((1, 2)).mean()


# Feature transport: what is kept of a reference frame's features, and what is taken from the frame to be painted


Features = Float[Array, "batch height width channels"]
Maps = Float[Array, "batch height width keypoints"]
Combine = Literal["product", "sum", "clamped_sum", "max"]


def kept(
    maps_reference: Maps, maps: Maps, *, combine: Combine = "product"
) -> Float[Array, "batch height width 1"]:
    """The weight of the reference's features in `transported`: 1 far from all keypoints of both frames. Float32.

    combine: how the keypoints of one frame become one mask u, of which 1 - u is kept. "product": 1 - prod (1 - p), what
    treating one keypoint after the other amounts to, in any order; "sum", which exceeds 1 where blobs overlap;
    "clamped_sum", at most 1; "max".
    """

    def outside(maps):
        maps = maps.astype(jnp.float32)
        if combine == "product":
            return jnp.prod(1 - maps, axis=-1, keepdims=True)
        if combine == "max":
            return 1 - maps.max(-1, keepdims=True)
        summed = maps.sum(-1, keepdims=True)
        return 1 - (jnp.minimum(summed, 1) if combine == "clamped_sum" else summed)

    return outside(maps_reference) * outside(maps)


def transported(
    features_reference: Features,
    features: Features,
    maps_reference: Maps,
    maps: Maps,
    *,
    combine: Combine = "product",
    stop_reference: bool = True,
) -> Features:
    """The reference's features with those of the frame wherever a keypoint of either lies, float32.

    m * features_reference + (1 - m) * features, where m is `kept`: the place that a keypoint has left and the one where
    it has arrived are both taken from the frame. stop_reference: the reference's features and maps are constants to the
    gradient, as in Transporter.
    Source: Keypoint Pyramids (Qian et al. 2022), equation 2; the paper leaves `combine` and `stop_reference` open.
    """
    if stop_reference:
        features_reference, maps_reference = jax.lax.stop_gradient((features_reference, maps_reference))
    keep = kept(maps_reference, maps, combine=combine)
    return keep * features_reference.astype(jnp.float32) + (1 - keep) * features.astype(jnp.float32)


def transporter_transported(
    features_reference: Features,
    features: Features,
    maps_reference: Maps,
    maps: Maps,
    *,
    stop_reference: bool = True,
) -> Features:
    """Transporter's own rule (Kulkarni et al. 2019), float32: places that a keypoint has left stay empty.

    One keypoint after the other, y <- (1 - s_k) (1 - t_k) y + t_k * features, from y = features_reference, where s are
    the reference's maps and t the frame's. In closed form the weight of the frame is sum_k t_k prod_{j>k} (1 - s_j)
    (1 - t_j); the order of the keypoints matters, a little.
    """
    if stop_reference:
        features_reference, maps_reference = jax.lax.stop_gradient((features_reference, maps_reference))
    reference, frame = maps_reference.astype(jnp.float32), maps.astype(jnp.float32)
    keep, take = _all_steps((1 - reference) * (1 - frame), frame)
    return keep * features_reference.astype(jnp.float32) + take * features.astype(jnp.float32)


def _all_steps(factors: jax.Array, gains: jax.Array) -> tuple[jax.Array, jax.Array]:
    """(a, b) of y -> a y + b, which is y -> factor * y + gain for every keypoint in turn; one channel each.

    Two neighbouring steps are one step again, so that pairs are merged until one is left.
    """
    while (count := factors.shape[-1]) > 1:
        odd = count % 2
        first, then = factors[..., 0:count - odd:2], factors[..., 1::2]
        merged_gains = then * gains[..., 0:count - odd:2] + gains[..., 1::2]
        factors = jnp.concatenate([first * then, factors[..., count - odd:]], axis=-1)
        gains = jnp.concatenate([merged_gains, gains[..., count - odd:]], axis=-1)
    return factors, gains
