"""Springs between the keypoints of neighbouring levels of a hierarchy."""
from typing import Literal

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
