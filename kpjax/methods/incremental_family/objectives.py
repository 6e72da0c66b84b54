"""Terms and objectives of `incremental`: KAMP's (arXiv 2503.20248, equation 4), its baselines' and
its controls'.

A variant is a mapping of a few of these terms. Each is named after its symbol in the formulas.
Weights are 1 here and stand in `Increment.weights` by name, so that one compiled program serves all
weights:

    KAMP               new_keypoints + alpha (distillation + association)
    LWF                new_keypoints + lambda distillation         (across channels)
    EWC, MAS, RW       new_keypoints + lambda penalty
    CPR                new_keypoints + lambda penalty + beta entropy
"""

import jax
import jax.numpy as jnp

from kpjax.heatmaps import Codec, Grid
from kpjax.losses.continual import quadratic_penalty
from kpjax.losses.distillation import (
    Reduction,
    line_entropy,
    spatial_distillation,
)
from kpjax.losses.heatmap import coarse_to_fine, coarse_to_fine_targets, heatmap_mse
from kpjax.losses.learning_without_forgetting import channel_distillation
from kpjax.losses.objective import Objective, Term
from kpjax.methods.incremental_family.association_forward import channels, placed_maps, rerender

NEW_KEYPOINTS = "new_keypoints"  # the term of the labels, in every objective
DISTILLATION = "distillation"  # the term that holds old keypoints where the teacher has them


def incremental_objective(codec: Codec, *, reduction: Reduction = "element_mean") -> Objective:
    """Builds KAMP: `new_keypoints`, `distillation`, `association`. Its ablations are `without` one
    of the last two.

    reduction: see `spatial_distillation`.
    """
    return {
        NEW_KEYPOINTS: new_keypoints_term(codec),
        DISTILLATION: spatial_distillation_term(reduction=reduction),
        "association": association_term(reduction=reduction),
    }


def new_keypoints_term(codec: Codec, half: bool = True) -> Term:
    """Builds l_GT: the mean over new keypoints, images and cells of (1/2) (w (y - t))², unlabelled
    ones included.
    """

    def loss(outputs, streams):
        targets, weights = codec.encode(streams["labelled"])
        new = outputs["increment"].new
        of_all = heatmap_mse(outputs["heatmaps"], targets, weights * new[None], half=half)
        factor = new.shape[0] / jnp.maximum(new.sum(), 1.0)
        return of_all * factor

    return Term(1.0, loss, reads=("heatmaps",))


def coarse_term(
    *, image_size: tuple[int, int], heatmap_size: tuple[int, int], grid: Grid = "index"
) -> Term:
    """Builds l_GT of every level of a network that predicts several (RSN), in the place of
    `new_keypoints_term`.

    It is 1/2 of `coarse_to_fine`, over new keypoints only and without `hardest`: the finest level
    weighs against the other terms as with HRNet, and RSN's coarse ones a quarter of it each. Coarse
    levels of old keypoints have no teacher. The arguments are those of `coarse_to_fine_targets`.
    """

    def loss(outputs, streams):
        seen = streams["labelled"]
        new = outputs["increment"].new
        targets, weights = coarse_to_fine_targets(
            seen.keypoints,
            seen.visible,
            image_size=image_size,
            heatmap_size=heatmap_size,
            grid=grid,
        )
        of_all = coarse_to_fine(outputs["coarse"], targets, weights * new[None], hardest=None)
        factor = 0.5 * new.shape[0] / jnp.maximum(new.sum(), 1.0)
        return of_all * factor

    return Term(1.0, loss, reads=("heatmaps", "coarse"))


def spatial_distillation_term(*, reduction: Reduction = "element_mean") -> Term:
    """Builds l_KSD (equation 5) of all old channels, by `spatial_distillation`."""

    def loss(outputs, streams):
        del streams
        return spatial_distillation(
            outputs["teacher"],
            outputs["heatmaps"],
            outputs["increment"].old,
            outputs["believed"],
            reduction=reduction,
        )

    return Term(1.0, loss, reads=("heatmaps", "teacher"))


def channel_distillation_term() -> Term:
    """Builds l_LWF: across the old channels at every cell.

    With a single old keypoint it teaches nothing.
    """

    def loss(outputs, streams):
        del streams
        return channel_distillation(
            outputs["teacher"],
            outputs["heatmaps"],
            outputs["increment"].old,
            outputs["believed"],
        )

    return Term(1.0, loss, reads=("heatmaps", "teacher"))


def association_term(*, reduction: Reduction = "element_mean") -> Term:
    """Builds l_KA: the student's channel of each triple's old keypoint follows KA-Net's map.

    Several triples share the weight: the term is the mean over images and triples. Images without
    both new keypoints and empty slots are left out of the mean; 0 if none remains. reduction: that
    of `spatial_distillation`.
    """

    def loss(outputs, streams):
        del streams
        return _distance(outputs, outputs["association"], reduction)

    return Term(1.0, loss, reads=("heatmaps", "association"))


def self_training_term(codec: Codec, *, reduction: Reduction = "element_mean") -> Term:
    """Builds the control of l_KA: the same term with Gaussians at the teacher's own point in place
    of KA-Net's maps.

    codec: renders the Gaussians. The others are as in `association_term`.
    """

    def loss(outputs, streams):
        del streams
        own = channels(outputs["teacher"], outputs["increment"].triples[:, 0])
        return _distance(outputs, rerender(codec, own), reduction)

    return Term(1.0, loss, reads=("heatmaps", "teacher"))


def true_points_term(codec: Codec, *, reduction: Reduction = "element_mean") -> Term:
    """Builds the ceiling of l_KA: the same term with Gaussians at the TRUE points of the triples'
    old keypoints in place of KA-Net's maps.

    The stream must have labels of these old keypoints, which the setting does not; images without
    one, or where it is marked as absent, are left out, too. codec: renders the Gaussians. The
    others are as in `association_term`.
    """

    def loss(outputs, streams):
        targets, weights = placed_maps(codec, streams["labelled"])
        old = outputs["increment"].triples[:, 0]
        labelled = (channels(weights, old) > 0).astype(jnp.float32)
        return _distance(outputs, channels(targets, old), reduction, labelled)

    return Term(1.0, loss, reads=("heatmaps",))


def memory_replay_term(codec: Codec, *, above: float) -> Term:
    """Builds pseudo-labels of all old keypoints: the squared error of `new_keypoints_term`, with
    Gaussians where the codec decodes the teacher's maps, as labels of the old ones.

    Points whose score is not above `above` have no label. This is what laboratories run (memory
    replay of DeepLabCut's SuperAnimal, Ye et al. 2024), with the old channels of the head frozen.
    """

    def loss(outputs, streams):
        del streams
        old = outputs["increment"].old
        _, scores = codec.decode(outputs["teacher"])
        believed = jnp.where(scores > above, outputs["believed"], 0.0) * old[None]
        targets = rerender(codec, outputs["teacher"], codec.decode)
        of_all = heatmap_mse(outputs["heatmaps"], targets, believed)
        factor = old.shape[0] / jnp.maximum(old.sum(), 1.0)
        return of_all * factor

    return Term(1.0, loss, reads=("heatmaps", "teacher"))


def _distance(
    outputs, maps: jax.Array, reduction: Reduction, labelled: jax.Array | float = 1.0
) -> jax.Array:
    """Computes the distance of the triples' old channels from maps (B, h, w, T): the mean over
    images and triples, those without a label of `labelled` (B, T) left out.
    """
    step = outputs["increment"]
    student = channels(outputs["heatmaps"], step.triples[:, 0])
    read = outputs["labelled_triples"] * labelled
    return spatial_distillation(maps, student, step.triple_weights, read, reduction=reduction)


def penalty_term(half: bool = True, tracked: bool = False) -> Term:
    """Builds (1/2) sum F (theta - theta*)²: parameters stay near those of an earlier network,
    weighted by importance.

    half: False leaves the factor out (Riemannian walk). theta* and F are `anchor` and `importance`
    of the start. With `tracked` they are entries of those names in the Tracker's tree, which change
    during the step (AFEC).
    """

    def loss(outputs, streams):
        del streams
        pair = outputs["tracked"] if tracked else outputs
        return quadratic_penalty(
            outputs["parameters"], pair["anchor"], pair["importance"], half=half
        )

    return Term(
        1.0, loss, reads=("parameters", *(("tracked",) if tracked else ("anchor", "importance")))
    )


def entropy_term() -> Term:
    """Builds -H of the new channels, in [-1, 0]: predictions stay broad (CPR, Cha et al.

    2021). beta is its weight.
    """

    def loss(outputs, streams):
        del streams
        return -line_entropy(outputs["heatmaps"], outputs["increment"].new)

    return Term(1.0, loss, reads=("heatmaps",))
