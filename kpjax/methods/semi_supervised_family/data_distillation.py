"""Data distillation (Radosavovic et al. 2018): pseudo-labels from one network's predictions under
several transforms.

1. A network trained on the labelled images predicts every unlabelled one under flips and zooms. The
heatmaps are transformed back and averaged.
2. A threshold on their peaks decides which keypoints become labels.
3. A new network is trained on both sets.

The first two are here; the third is supervised training on a source of other labels.
"""

import itertools
import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from kpjax import geometry
from kpjax.errors import InputError
from kpjax.heatmaps import Codec
from kpjax.methods.forward import Normalise, unit_range
from kpjax.structures import Example, Prediction, Skeleton, Trained

SCALES = (0.75, 1.0, 1.25)  # zooms about the centre of the image, of `distilled_predict`
# the views of `agreed_predict`; a zoom above 1 enlarges the image
TURNS = 6
ZOOMS = (0.8, 1.0, 1.25)
NEAR = 0.08  # share of the image's side: the distance from which two answers count as different
OTHER_VIEW = np.pi / 6, 0.8  # turn and zoom of `turned_predict`


def distilled_predict(
    model: nn.Module, codec: Codec, normalise: Normalise, skeleton: Skeleton, *, flip: bool = True
) -> Callable[[Trained, Example], Prediction]:
    """Builds a `predict` that averages the heatmaps of every image under all SCALES, each plain and
    mirrored.

    Every transform is undone on the heatmaps by the map that moved the image, whatever the grid of
    the codec. A cell that a transform pushed out of the frame is averaged over the others. Each
    transform costs one pass of the network in evaluation mode, one after the other.

    Args:
        model: `apply(variables, images (B, H, W, 3), train=...)` -> heatmaps (B, h, w, K).
        codec: decodes the average.
        normalise: images in [0, 1] -> the model's input.
        skeleton: its `flip` exchanges left and right keypoints of mirrored images.
        flip: whether to mirror too; without effect if the skeleton has no flip permutation.
    """
    mirrors = (False, True) if flip and skeleton.flip else (False,)
    partners = np.array(skeleton.flip or range(len(skeleton.names)))

    def predict(state: Trained, example: Example) -> Prediction:
        images = unit_range(example).image
        _, height, width, _ = images.shape
        middle = ((width - 1) / 2, (height - 1) / 2)
        summed = 0.0
        covered = 0.0
        for scale, mirrored in itertools.product(SCALES, mirrors):
            scale_x = -scale if mirrored else scale
            there = geometry.affine(scale_x, 0, 0, scale, centre=middle)
            back = geometry.invert(there)
            inputs = normalise(geometry.warp(images, there))
            heatmaps = model.apply(state.variables, inputs, train=False)
            if mirrored:
                heatmaps = heatmaps[..., partners]
            rows, columns = heatmaps.shape[1:3]
            frame = jnp.ones((1, rows, columns, 1), jnp.float32)
            summed += geometry.warp_heatmaps(heatmaps, back, codec.to_heatmap)
            covered += geometry.warp_heatmaps(frame, back, codec.to_heatmap)
        # A cell that no transform shows has a sum of 0 too.
        average = summed / jnp.maximum(covered, 1e-3)
        keypoints, scores = codec.decode(average)
        return Prediction(keypoints, scores, (average,))

    return predict


def agreed(keypoints: jax.Array, scores: jax.Array, reach: float) -> tuple[jax.Array, jax.Array]:
    """Chooses of several answers to one image, keypoint by keypoint, the one that most of the
    others are close to.

    An answer (of a transform that is undone, or of a network) weighs its score times the cube of
    its image's mean score, so that a view in which the whole object is recognised counts most:

        w_v = s_v mean_k(s_v)³ / sum over views,    c_v = sum_u w_u min(|p_v - p_u| / reach, 1)

    The result is p_v with the least c_v, of equals the first; its score is (1 - c_v) sum_u w_u s_u.

    Unlike a mean it never lies between two answers, and unlike the surest answer alone it needs
    others beside it.

    Args:
        keypoints: (V, B, K, 2) float, one frame for all views, px.
        scores: (V, B, K) float, at least 0.
        reach: px from which two answers count as different.

    Returns: keypoints (B, K, 2) and scores (B, K).
    """
    weights = scores * scores.mean(-1, keepdims=True) ** 3
    weights = weights / jnp.maximum(weights.sum(0, keepdims=True), 1e-12)

    def cost(one: jax.Array) -> jax.Array:
        distances = jnp.linalg.norm(keypoints - one[None], axis=-1)
        return (weights * jnp.minimum(distances / reach, 1)).sum(0)

    costs = jax.lax.map(cost, keypoints)
    least = costs.argmin(0)
    chosen = jnp.take_along_axis(keypoints, least[None, ..., None], 0)[0]
    agreement = 1 - costs.min(0)
    return chosen, agreement * (weights * scores).sum(0)


def agreed_predict(
    predict: Callable[[Trained, Example], Prediction], skeleton: Skeleton
) -> Callable[[Trained, Example], Prediction]:
    """Builds a `predict` that takes of each keypoint the answer on which most views of the image
    agree.

    The image is seen in TURNS equal turns about its middle, each at all ZOOMS, plain and, where the
    skeleton has mirror images, mirrored; points are moved back, and `agreed` chooses. Heatmaps are
    those of the image as it is. One pass of the network a view, one view after the other.

    Args:
        predict: finds these keypoints in images of numbers in [0, 255].
        skeleton: its `flip` exchanges left and right keypoints of mirrored images.
    """
    mirrors = (1.0, -1.0) if skeleton.flip else (1.0,)
    partners = np.array(skeleton.flip or range(len(skeleton.names)))
    turns = 2 * np.pi / TURNS * np.arange(TURNS)
    views = itertools.product(turns, mirrors, ZOOMS)
    turn_mirror_zoom = tuple(np.float32(values) for values in zip(*views, strict=True))

    def of_all(state: Trained, example: Example) -> Prediction:
        def of_view(view):
            return _seen(predict, state, example, view, partners)

        points, scores = jax.lax.map(of_view, jax.tree.map(jnp.asarray, turn_mirror_zoom))
        side = max(example.image.shape[1:3])
        chosen, agreement = agreed(points, scores, NEAR * side)
        return Prediction(chosen, agreement, predict(state, example).heatmaps)

    return of_all


def turned_predict(
    predict: Callable[[Trained, Example], Prediction], skeleton: Skeleton
) -> Callable[[Trained, Example], Prediction]:
    """Builds a `predict` that sees every image turned and smaller, mirrored if the skeleton has
    mirror images, and moves its points back. Its heatmaps are those of the image as it is.
    """
    partners = np.array(skeleton.flip or range(len(skeleton.names)))
    angle, zoom = OTHER_VIEW
    mirror = -1.0 if skeleton.flip else 1.0

    def of_view(state: Trained, example: Example) -> Prediction:
        view = (jnp.float32(angle), jnp.float32(mirror), jnp.float32(zoom))
        points, scores = _seen(predict, state, example, view, partners)
        return Prediction(points, scores, predict(state, example).heatmaps)

    return of_view


def _seen(predict, state: Trained, example: Example, view, partners: np.ndarray):
    """Returns keypoints and scores of images seen under (turn in radians, -1 if mirrored, zoom)
    about their middle, in the frame of the images as they are.
    """
    angle, mirror, zoom = view
    pixels = example.image.astype(jnp.float32)
    height, width = pixels.shape[1:3]
    middle = ((width - 1) / 2, (height - 1) / 2)
    turned = geometry.rotation(angle, centre=middle)
    zoomed = geometry.affine(mirror * zoom, 0, 0, zoom, centre=middle)
    there = geometry.compose(turned, zoomed)
    found = predict(state, example._replace(image=geometry.warp(pixels, there)))
    keypoints = geometry.move_points(geometry.invert(there), found.keypoints)
    keypoints = jnp.where(mirror < 0, keypoints[:, partners], keypoints)
    scores = jnp.where(mirror < 0, found.scores[:, partners], found.scores)
    return keypoints, scores


def matching_threshold(peaks: np.ndarray, labelled_visible: np.ndarray) -> float:
    """Computes the threshold at which an unlabelled image keeps, on average, as many keypoints as a
    labelled one has.

    peaks: (U, K), the height of each keypoint's averaged heatmap. labelled_visible: (N, K) in {0,
    1}. The threshold is the n-th largest of all peaks, with n = U times the mean number of visible
    keypoints per labelled image, rounded. A peak is kept if it is at least that. Infinite if n is
    0. Raises InputError if either is empty.
    """
    peaks = np.asarray(peaks)
    labelled_visible = np.asarray(labelled_visible) > 0
    if not peaks.size or not labelled_visible.size:
        raise InputError(
            f"pseudo-labels: there are {len(peaks)} unlabelled and {len(labelled_visible)} labelled "
            "images; both are needed"
        )
    wanted = len(peaks) * labelled_visible.sum() / len(labelled_visible)
    kept = math.floor(wanted + 0.5)
    if not kept:
        return math.inf
    ascending = np.sort(peaks, axis=None)
    return float(ascending[-kept])


class PseudoLabels(NamedTuple):
    """Labels of U images made by a network; `visible` selects those to train on."""

    keypoints: np.ndarray  # (U, K, 2) float32 px, 0 where not kept
    visible: np.ndarray  # (U, K) float32 in {0, 1}
    threshold: float


def pseudo_labels(
    keypoints: np.ndarray, peaks: np.ndarray, labelled_visible: np.ndarray
) -> PseudoLabels:
    """Selects hard labels: predictions whose peaks reach `matching_threshold`, which has the same
    arguments.

    keypoints: (U, K, 2), predicted.
    """
    threshold = matching_threshold(peaks, labelled_visible)
    visible = (np.asarray(peaks) >= threshold).astype(np.float32)
    kept = np.where(visible[..., None] > 0, keypoints, 0)
    return PseudoLabels(kept.astype(np.float32), visible, threshold)


def where_views_agree(
    labels: PseudoLabels, one: np.ndarray, other: np.ndarray, *, side: int
) -> PseudoLabels:
    """Keeps those labels on which two views agree: their points (U, K, 2) lie less than NEAR of the
    image's side apart.
    """
    difference = np.asarray(one) - np.asarray(other)
    apart = np.linalg.norm(difference, axis=-1)
    near = apart < NEAR * side
    visible = labels.visible * near.astype(np.float32)
    keypoints = labels.keypoints * visible[..., None]
    return labels._replace(keypoints=keypoints, visible=visible)
