"""Terms and objectives of `semi_supervised`: the method's own (Moskvyak et al. 2021), ELT's,
pseudo-labels'.

A term reads views by name; `semi_supervised` runs the passes that the terms of its objective read,
and no others.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp

from kpjax import geometry
from kpjax.heatmaps import Codec
from kpjax.losses.consistency import (
    semantic_consistency,
    transformation_equivariance,
    transformation_invariance,
    unit_representation,
)
from kpjax.losses.heatmap import heatmap_mse
from kpjax.losses.objective import Objective, Term
from kpjax.methods.forward import interleave
from kpjax.methods.supervised_learning import HeatmapLoss, supervised_objective
from kpjax.structures import Example, Streams

LABELLED, UNLABELLED = STREAMS = ("labelled", "unlabelled")
SQUARES: HeatmapLoss = partial(heatmap_mse, half=False)  # L_sup
EQUATION_5 = {"supervised_weight": 1e3, "semantic": 0.5, "equivariance": 1e2, "invariance": 1e2}


def balanced_weights(
    *,
    heatmap_size: int,
    sigma: float,
    keypoints: int,
    feature_width: int = 64,
    supervised_weight: float = 1e3,
    semantic: float = 0.5,
    equivariance: float = 1e2,
    invariance: float = 1e2,
) -> dict[str, float]:
    """Returns weights, by term, that keep the shares which those of equation 5 have in the paper.

    The given weights are for the paper's maps: 64 cells, sigma 2, 15 keypoints, F of 64 channels.
    There the loss of empty heatmaps, which is pi sigma^2 / heatmap_size^2 for L_sup, outweighs that
    of a classifier at chance, ln K, by 2.3 to 1. L_te is counted in the same unit as L_sup; L_sc
    and L_ti are not, and their weights follow that loss. The squares of unit representations have a
    mean of 2 / feature_width at most: the weight of L_ti is for that form, `unit` and "mean".

    heatmap_size, sigma: cells of the heatmaps.
    """
    emptiness = (sigma / heatmap_size) ** 2 / (2 / 64) ** 2
    return {
        "supervised_weight": supervised_weight,
        "semantic": semantic * emptiness * math.log(15) / math.log(max(keypoints, 2)),
        "equivariance": equivariance,
        "invariance": invariance * emptiness * feature_width / 64,
    }


# Views: the names that terms read. f's heatmaps are named after their images.


def warped_name(stream: str) -> str:
    """Returns the name of a stream's images under g."""
    return f"{stream}/warped"


def semantic_of(view: str, ground_truth: bool) -> str:
    """Returns the name of z and phi(z) of a view.

    ground_truth: whether true heatmaps are the masks where there are labels; else f's heatmaps are.
    """
    return f"semantic/{view}" + ("/by_label" if ground_truth and view.startswith(LABELLED) else "")


IMAGES = (*STREAMS, *map(warped_name, STREAMS))
# name -> its images
SEMANTIC = {semantic_of(view, truth): view for view in IMAGES for truth in (False, True)}


# Terms: functions of the outputs that they read and of the examples by view, see `semi_supervised`.
# `codec` says how heatmaps lie in images, which keypoints have true heatmaps, and renders them;
# `streams` are those that a term reads.


def semantic_term(
    codec: Codec, weight: float, streams: Sequence[str] = STREAMS, *, ground_truth: bool = True
) -> Term:
    """Builds L_sc, the mean over keypoints of all streams, except unlabelled ones where true
    heatmaps are the masks.

    ground_truth: see `semantic_of`.
    """
    reads = tuple(semantic_of(view, ground_truth) for view in streams)

    def loss(outputs, examples):
        logits = interleave(*(outputs[name].logits for name in reads))
        return semantic_consistency(
            logits,
            interleave(
                *(_present_weights(codec, examples, view, ground_truth) for view in streams)
            ),
        )

    return Term(weight, loss, reads)


def equivariance_term(
    codec: Codec,
    weight: float = 0.1,
    streams: Sequence[str] = STREAMS,
    *,
    ground_truth: bool = True,
    inverse: bool = False,
) -> Term:
    """Builds L_te: f(g(x)) against g(f(x)), or with `ground_truth` against g(t) on labelled images.

    inverse: ELT's form on heatmaps, f(g(x)) moved back by g against f(x) or t. Keypoints that g
    pushes out of the frame are lost to it.
    """
    true = [stream for stream in streams if ground_truth and stream == LABELLED]

    def of(stream, outputs, examples):
        if stream in true:
            plain, _ = codec.encode(examples[stream])
        else:
            plain = outputs[stream]
        of_warped = outputs[warped_name(stream)]
        maps = outputs[f"maps/{stream}"]
        still, moving = (plain, of_warped) if inverse else (of_warped, plain)
        maps = geometry.invert(maps) if inverse else maps
        moved = geometry.warp_heatmaps(moving, maps, codec.to_heatmap)
        return transformation_equivariance(
            still, moved, _weights(codec, examples, stream, ground_truth)
        )

    predicted = [stream for stream in streams if stream not in true]
    return Term(weight, _mean_over(streams, of), (*predicted, *map(warped_name, streams)))


def invariance_term(
    codec: Codec,
    weight: float,
    streams: Sequence[str] = STREAMS,
    *,
    ground_truth: bool = True,
    unit: bool = False,
    reduction: Literal["sum", "mean"] = "sum",
) -> Term:
    """Builds L_ti: z(x) against z(g(x)); by default as printed.

    unit: whether representations are scaled to length 1 first, see `unit_representation`.
    reduction: see `transformation_invariance`.
    ground_truth: whether true heatmaps are the masks; then only labelled keypoints count that both
    images show.
    """

    def of(stream, outputs, examples):
        warped = warped_name(stream)
        z = outputs[semantic_of(stream, ground_truth)].representations
        z_of_warped = outputs[semantic_of(warped, ground_truth)].representations
        if unit:
            z = unit_representation(z)
            z_of_warped = unit_representation(z_of_warped)

        def weights_of(view):
            known = _present_weights(codec, examples, view, ground_truth)
            return known * _in_frame(examples, view, ground_truth)

        weights = weights_of(stream)
        weights_of_warped = weights_of(warped)
        return transformation_invariance(
            z, z_of_warped, weights * weights_of_warped, reduction=reduction
        )

    images = (*streams, *map(warped_name, streams))
    return Term(
        weight, _mean_over(streams, of), tuple(semantic_of(view, ground_truth) for view in images)
    )


def _mean_over(streams: Sequence[str], of: Callable) -> Callable:
    """Averages over streams: their batches have one size, so this is the mean over all images."""

    def mean(outputs, examples):
        return sum(of(stream, outputs, examples) for stream in streams) / len(streams)

    return mean


def _every_keypoint(example: Example) -> jax.Array:
    return jnp.ones(example.visible.shape, jnp.float32)


def _weights(codec: Codec, examples: Streams, view: str, ground_truth: bool) -> jax.Array:
    """Returns weights (B, K): where true heatmaps are used, 1 if there is one and 0 otherwise; 1
    elsewhere.
    """
    true = ground_truth and view.startswith(LABELLED)
    if not true:
        return _every_keypoint(examples[view])
    _, weights = codec.encode(examples[view])
    return weights


def _present_weights(codec: Codec, examples: Streams, view: str, ground_truth: bool) -> jax.Array:
    """Returns `_weights` of terms that read z: 0, too, of keypoints that are known to be absent.
    Their heatmaps are empty, and z is what a heatmap selects.
    """
    weights = _weights(codec, examples, view, ground_truth)
    if not (ground_truth and view.startswith(LABELLED)):
        return weights
    return jnp.where(examples[view].visible < -0.5, 0.0, weights)


def _in_frame(examples: Streams, view: str, ground_truth: bool) -> jax.Array:
    """Returns (B, K): where true heatmaps are used, 1 for keypoints that the image shows; 1
    elsewhere.
    """
    example = examples[view]
    if not (ground_truth and view.startswith(LABELLED)):
        return _every_keypoint(example)
    inside = geometry.in_frame(example.keypoints, example.image.shape[1:3])
    return inside.astype(jnp.float32)


# Objectives


def semi_supervised_objective(
    codec: Codec,
    *,
    streams: Sequence[str] = STREAMS,
    supervised_weight: float = 1.0,
    semantic: float = 5e-4,
    equivariance: float = 0.1,
    invariance: float = 0.1,
    ground_truth: bool = True,
    unit: bool = False,
    reduction: Literal["sum", "mean"] = "sum",
) -> Objective:
    """Builds equation 5: `supervised`, `semantic`, `equivariance`, `invariance`. Table 2 is
    `without` some.

    Args:
        streams: ("labelled",) if all images have labels.
        supervised_weight, semantic, equivariance, invariance: weights of L_sup, L_sc, L_te and
            L_ti. The defaults are equation 5's over 1e3. Adam hardly distinguishes them from the
            paper's, `semi_supervised_objective(codec, **EQUATION_5)`, and plain descent works with
            its usual learning rates.
        ground_truth: False for Table 4's second line, f's own heatmaps in all terms but the
            supervised one.
        unit, reduction: of L_ti, see `invariance_term`.
    """
    return _supervised_terms(codec, supervised_weight) | {
        "semantic": semantic_term(codec, semantic, streams, ground_truth=ground_truth),
        "equivariance": equivariance_term(codec, equivariance, streams, ground_truth=ground_truth),
        "invariance": invariance_term(
            codec,
            invariance,
            streams,
            ground_truth=ground_truth,
            unit=unit,
            reduction=reduction,
        ),
    }


def equivariant_landmark_objective(
    codec: Codec,
    *,
    streams: Sequence[str] = STREAMS,
    supervised_weight: float = 1.0,
    equivariance: float = 0.1,
) -> Objective:
    """Builds ELT (Honari et al. 2018): `supervised` and `equivariance`, which moves the heatmaps of
    g(x) back.

    The latter reads no ground truth. streams: those that it reads. equivariance: its weight.
    """
    return _supervised_terms(codec, supervised_weight) | {
        "equivariance": equivariance_term(
            codec, equivariance, streams, ground_truth=False, inverse=True
        )
    }


def pseudo_label_objective(
    codec: Codec, *, supervised_weight: float = 1.0, labelled_share: float = 0.5
) -> Objective:
    """Builds L_sup of the whole batch, where `unlabelled` carries a teacher's labels (Radosavovic
    et al. 2018).

    Args:
        supervised_weight: of `supervised` and `pseudo_labels` together.
        labelled_share: the part of it that `supervised` has. At 0.5 they are the mean over both
            halves of the batch. At another share the batch keeps its halves, and the gradient is on
            average that of a batch of which this share is labelled.
    """
    pseudo = _supervised_terms(codec, supervised_weight * (1 - labelled_share), UNLABELLED)[
        "supervised"
    ]
    return _supervised_terms(codec, supervised_weight * labelled_share) | {"pseudo_labels": pseudo}


def _supervised_terms(codec: Codec, weight: float, stream: str = LABELLED) -> dict[str, Term]:
    return dict(supervised_objective(codec, SQUARES, stream, weight))
