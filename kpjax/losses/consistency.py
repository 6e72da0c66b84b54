"""Consistency losses on images without labels: between two views of an image, and between images of
a keypoint.

Source: Moskvyak et al. 2021 (Semi-supervised Keypoint Localization), equations 1 to 4, Honari et
al. 2018 (ELT), and Kim et al. 2022 (UDAPE).
"""

import functools
import math
from typing import Literal

import chex
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from kpjax.platforms import by_platform

Maps = Float[Array, "batch height width keypoints"]
Weights = Float[Array, "batch keypoints"]
Scalar = Float[Array, ""]  # float32


def semantic_representation(
    features: Float[Array, "batch height width channels"], masks: Maps
) -> Float[Array, "batch keypoints channels"]:
    """Computes z[b, k, c], the maximum over pixels of features[b, y, x, c] * masks[b, y, x, k].

    masks: heatmaps, predicted or rendered from labels, used as they are, also where negative; a
    mask of zeros gives zeros. The result is float32. The gradient of a maximum goes to the pixel
    that attained it; among equal ones, to the first in reading order.

    The product over all five axes is never held in memory, neither here nor in the gradient.
    """
    chex.assert_rank(features, 4)
    chex.assert_shape(masks, (*features.shape[:3], None))
    return _masked_maximum(features.astype(jnp.float32), masks.astype(jnp.float32))


def _row_maxima(features, masks):
    """Computes the maximum along each row, (B, h, K, C), a reduction into which XLA fuses the
    product.

    Without the barrier, XLA would merge this maximum with the following one over rows, compute the
    product for both, and keep it in memory.
    """
    products = features[:, :, :, None, :] * masks[..., None]
    return jax.lax.optimization_barrier(products.max(2))


@jax.custom_vjp
def _masked_maximum(features, masks):
    return by_platform(
        features,
        masks,
        tpu=lambda features, masks: _largest_pixels(features, masks)[0],
        default=lambda features, masks: _row_maxima(features, masks).max(1),
    )


def _masked_maximum_forward(features, masks):
    def of_rows(features, masks):
        rows = _row_maxima(features, masks)
        return rows.max(1), rows.argmax(1)

    features, masks = jax.lax.optimization_barrier((features, masks))
    largest, found = by_platform(features, masks, tpu=_largest_pixels, default=of_rows)
    return largest, (features, masks, found)


def _masked_maximum_backward(kept, slope):
    return by_platform(*kept, slope, tpu=_pulled_by_products, default=_pulled_by_places)


def _pulled_by_places(features, masks, rows, slope):
    """Searches each maximum in its row only; a comparison with all pixels would cost many times the
    rest.
    """
    _, keypoints, channels = slope.shape
    of_keypoint = jnp.broadcast_to(jnp.arange(keypoints)[:, None], (keypoints, channels))
    of_channel = jnp.broadcast_to(jnp.arange(channels)[None], (keypoints, channels))

    def of_image(features, masks, row, slope):
        def taken(array, *index):
            return array.at[index].get(mode="promise_in_bounds")

        feature_rows = taken(features.swapaxes(1, 2), row, of_channel)
        mask_rows = taken(masks.swapaxes(1, 2), row, of_keypoint)
        column = (feature_rows * mask_rows).argmax(-1)
        of_feature = (row, column, of_channel)
        of_mask = (row, column, of_keypoint)
        to_features = (
            jnp.zeros_like(features)
            .at[of_feature]
            .add(slope * taken(masks, *of_mask), mode="promise_in_bounds")
        )
        to_masks = (
            jnp.zeros_like(masks)
            .at[of_mask]
            .add(slope * taken(features, *of_feature), mode="promise_in_bounds")
        )
        return to_features, to_masks

    return jax.vmap(of_image)(features, masks, rows, slope)


def _largest_pixels(features, masks):
    """Finds each maximum and its pixel at once, (B, K, C), with pixels along the last axis, as TPUs
    do best.
    """
    features, masks = jax.lax.optimization_barrier(
        tuple(
            array.reshape(array.shape[0], -1, array.shape[3]).swapaxes(1, 2)
            for array in (features, masks)
        )
    )
    products = features[:, None] * masks[:, :, None]
    return products.max(3), products.argmax(3)


def _pulled_by_products(features, masks, pixels, slope):
    """Reads and adds by products with ones at the maxima: TPUs fetch and store numbers one by one
    slowly.
    """
    product = functools.partial(jnp.einsum, precision=jax.lax.Precision.HIGHEST)
    height, width = features.shape[1:3]

    def ones_at(places, side):
        return (places[..., None] == jnp.arange(side)[None, None, None]).astype(jnp.float32)

    row_numbers = pixels // width
    column_numbers = pixels % width
    row = ones_at(row_numbers, height)
    column = ones_at(column_numbers, width)
    of_features = (product("bkcy,byxc->bkcx", row, features) * column).sum(3)
    of_masks = (product("bkcy,byxk->bkcx", row, masks) * column).sum(3)
    feature_slope = slope * of_masks
    to_features = product("bkcy,bkcx->byxc", row * feature_slope[..., None], column)
    mask_slope = slope * of_features
    to_masks = product("bkcy,bkcx->byxk", row * mask_slope[..., None], column)
    return to_features, to_masks


_masked_maximum.defvjp(_masked_maximum_forward, _masked_maximum_backward)


def semantic_consistency(
    logits: Float[Array, "batch keypoints classes"], weights: Weights
) -> Scalar:
    """Computes the cross-entropy of classifying each representation as its keypoint (equation 1);
    ln K at chance.

    logits: of the classifier, one class for each keypoint; the true class of representation k is k.
    weights: 0 or 1 for each keypoint. The mean is over the sum of the weights; 0 if that is 0.
    """
    chex.assert_rank(logits, 3)
    batch, keypoints, _ = logits.shape
    chex.assert_shape(logits, (batch, keypoints, keypoints))
    chex.assert_shape(weights, (batch, keypoints))
    log_softmax = jax.nn.log_softmax(logits.astype(jnp.float32), axis=-1)
    of_truth = jnp.diagonal(log_softmax, axis1=1, axis2=2)
    weights = weights.astype(jnp.float32)
    return -(weights * of_truth).sum() / jnp.maximum(weights.sum(), 1e-6)


def transformation_equivariance(
    warped_heatmaps: Maps, moved_heatmaps: Maps, weights: Weights
) -> Scalar:
    """Computes the distance between the heatmaps of a warped image and the warped heatmaps of the
    image (equation 2).

    Args:
        warped_heatmaps: f(g(x)).
        moved_heatmaps: g(f(x)), or g of the true heatmaps. Neither is held constant.
        weights: multiply the squares of each keypoint. The mean is over batch * height * width *
            keypoints, keypoints of weight 0 included. No factor 1/2. Equation 2 prints a squared
            norm, a sum; the mean is that of the authors' public code of this loss.
    """
    chex.assert_rank(warped_heatmaps, 4)
    chex.assert_equal_shape([warped_heatmaps, moved_heatmaps])
    chex.assert_shape(weights, (warped_heatmaps.shape[0], warped_heatmaps.shape[3]))
    squares = jnp.square(
        warped_heatmaps.astype(jnp.float32) - moved_heatmaps.astype(jnp.float32)
    ).mean((1, 2))
    return (weights.astype(jnp.float32) * squares).mean()


def surest(scores: Weights, left_out: float) -> Weights:
    """Returns 1 for scores above the n-th smallest of the batch, 0 for the others (UDAPE, Kim et
    al. 2022).

    n is the share `left_out` of all scores, rounded down. Of equal scores at the limit none is
    kept; n of 0 keeps all.
    """
    chex.assert_rank(scores, 2)
    scores = scores.astype(jnp.float32)
    number = math.floor(left_out * scores.size)
    if number == 0:
        return jnp.ones_like(scores)
    ascending = jnp.sort(scores.ravel())
    return (scores > ascending[number - 1]).astype(jnp.float32)


def unit_representation(
    representations: Float[Array, "batch keypoints channels"],
) -> Float[Array, "batch keypoints channels"]:
    """Scales representations to length 1, smoothly to 0 where they are shorter than 0.01. float32.

    Invariance of z itself is bought by making all of z small, which also takes the classifier's
    evidence away. Between unit vectors it can only be learnt.
    """
    chex.assert_rank(representations, 3)
    z = representations.astype(jnp.float32)
    squared_length = jnp.square(z).sum(-1, keepdims=True)
    return z * jax.lax.rsqrt(squared_length + 1e-4)


def transformation_invariance(
    representations: Float[Array, "batch keypoints channels"],
    warped_representations: Float[Array, "batch keypoints channels"],
    weights: Weights,
    *,
    reduction: Literal["mean", "sum"] = "sum",
) -> Scalar:
    """Computes the distance between the representations of an image and of its warped copy
    (equations 3 and 4).

    Args:
        weights: multiply the squares of each keypoint.
        reduction: of the weighted squares over keypoints and channels, those of weight 0 included;
            over images it is the mean. The "sum" is the squared norm of equation 4. The "mean"
            matches the reduction of the other terms.
    """
    chex.assert_rank(representations, 3)
    chex.assert_equal_shape([representations, warped_representations])
    chex.assert_shape(weights, representations.shape[:2])
    squares = jnp.square(
        representations.astype(jnp.float32) - warped_representations.astype(jnp.float32)
    )
    squares = weights.astype(jnp.float32)[..., None] * squares
    if reduction == "mean":
        return squares.mean()
    return squares.sum((1, 2)).mean()
