"""Losses, codecs and metrics refuse arrays of wrong shapes, which would be broadcast and give a
number.
"""

import inspect
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kpjax import centres, heatmaps, losses
from kpjax.evaluation import (
    contours,
    degeneracy,
    incremental,
    matching,
    metrics,
    motion,
    pose_statistics as poses,
)
from kpjax.evaluation.probes import (
    actions,
    image_moments,
    landmarks,
    linear,
    regression_errors,
    splits,
)
from kpjax.losses.objective import Term
from kpjax.structures import Example, Skeleton

IMAGES, SIDE, KEYPOINTS, CHANNELS = 4, 8, 3, 5
MAPS, WEIGHTS = (IMAGES, SIDE, SIDE, KEYPOINTS), (IMAGES, KEYPOINTS)
POINTS, PICTURES = (IMAGES, KEYPOINTS, 2), (IMAGES, SIDE, SIDE, 3)
FEATURES, VECTORS = (IMAGES, SIDE, SIDE, CHANNELS), (IMAGES, KEYPOINTS, CHANNELS)
ONE_KEYPOINT, ONE_IMAGE = (IMAGES, SIDE, SIDE, 1), (1, SIDE, SIDE, KEYPOINTS)
SPLIT = splits.Split(np.arange(2), np.arange(2, 4))
FACE = Skeleton(("eye", "nose", "mouth"))
SIZES = {"image_size": (16, 16), "heatmap_size": (SIDE, SIDE)}
LANDMARKS = landmarks.Landmarks


def example_of(keypoints, visible):
    frame = jnp.zeros((len(keypoints), SIDE, SIDE, 3), jnp.uint8)
    turned = jnp.tile(jnp.eye(3), (len(keypoints), 1, 1))
    numbers = jnp.arange(len(keypoints))
    return Example(frame, keypoints, visible, jnp.ones(len(keypoints)), turned, numbers)


def coded(keypoints, visible):
    codec = heatmaps.codec(image_size=16, heatmap_size=SIDE, sigma=1.0)
    return codec.encode(example_of(keypoints, visible))


def decoded(maps):
    return heatmaps.codec(image_size=16, heatmap_size=SIDE, sigma=1.0).decode(maps)


def centres_of(keypoints, visible):
    codec = centres.centre_codec(image_size=16, heatmap_size=SIDE, points=1, most=1)
    return codec.encode(example_of(keypoints, visible))


def summed(loss, scale):
    objective = {"one": Term(1.0, lambda outputs, streams: loss)}
    return losses.total(objective, {}, {}, {"one": scale})


def disparity(of):
    return lambda logits, truth, false, weights: of(
        logits, losses.PseudoMaps(truth, false), weights
    )


def walked(fisher, score, gradient, before, after):
    return losses.walk_on(losses.Walk([fisher], [score]), [gradient], [before], [after])


def summary(matrix, introduced):
    return incremental.incremental_summary(matrix, introduced.astype(int))


def points_on(points, moving):
    return motion.points_on_motion(points, moving > 0.9, radius=1.0)


def actions_right(predicted, true):
    names = ("walks", "rests")
    return actions.recognition(predicted.astype(int), true.astype(int), names, 0)


def forward(discovered, annotated, visible):
    found = LANDMARKS(discovered, annotated, visible)
    return landmarks.forward_errors(
        found, found, landmarks.constant(1.0), np.arange(IMAGES)[None], linear.fit_linear
    )


# (function, right shapes, argument, its wrong shape, what the error says is right), by module
LOSSES = [
    (losses.heatmap_mse, (MAPS, MAPS, WEIGHTS), 1, ONE_KEYPOINT, MAPS),
    (losses.heatmap_mse, (MAPS, MAPS, WEIGHTS), 1, ONE_IMAGE, MAPS),
    (losses.heatmap_mse, (MAPS, MAPS, WEIGHTS), 2, (IMAGES, 1), WEIGHTS),
    (losses.heatmap_mse, (MAPS, MAPS, WEIGHTS), 2, (KEYPOINTS,), WEIGHTS),
    (losses.heatmap_kl, (MAPS, MAPS, WEIGHTS), 1, ONE_KEYPOINT, MAPS),
    (losses.heatmap_kl, (MAPS, MAPS, WEIGHTS), 1, ONE_IMAGE, MAPS),
    (losses.heatmap_kl, (MAPS, MAPS, WEIGHTS), 2, (IMAGES, 1), WEIGHTS),
    (losses.heatmap_kl, (MAPS, MAPS, WEIGHTS), 2, (KEYPOINTS,), WEIGHTS),
    (losses.heatmap_kl_per_keypoint, (MAPS, MAPS, WEIGHTS), 1, ONE_IMAGE, MAPS),
    (losses.heatmap_kl_per_keypoint, (MAPS, MAPS, WEIGHTS), 2, (1, KEYPOINTS), WEIGHTS),
    (losses.hardest_keypoints_mse, (MAPS, MAPS, WEIGHTS), 1, ONE_IMAGE, MAPS),
    (
        lambda maps, targets, weights: losses.coarse_to_fine([maps], [targets], weights, levels=1),
        (MAPS, MAPS, WEIGHTS),
        1,
        ONE_KEYPOINT,
        MAPS,
    ),
    (
        lambda points, visible: losses.coarse_to_fine_targets(points, visible, **SIZES),
        (POINTS, WEIGHTS),
        1,
        (KEYPOINTS,),
        WEIGHTS,
    ),
    (losses.ground_false_by_others, (MAPS,), 0, MAPS[1:], 4),
    (losses.ground_false_uniform, (MAPS,), 0, MAPS[1:], 4),
    (
        lambda maps: losses.ground_false_by_area(maps, sigma=1.0, low=1, high=6),
        (MAPS,),
        0,
        MAPS[1:],
        4,
    ),
    (disparity(losses.minimum_disparity), (MAPS, MAPS, MAPS, WEIGHTS), 1, ONE_IMAGE, MAPS),
    (disparity(losses.minimum_disparity), (MAPS, MAPS, MAPS, WEIGHTS), 3, (IMAGES, 1), WEIGHTS),
    (disparity(losses.maximum_disparity), (MAPS, MAPS, MAPS, WEIGHTS), 2, ONE_KEYPOINT, MAPS),
    (disparity(losses.maximum_disparity), (MAPS, MAPS, MAPS, WEIGHTS), 3, (KEYPOINTS,), WEIGHTS),
    (losses.warm_start, ((),), 0, (1,), 0),
    (losses.scale_gradient, (MAPS, ()), 1, (KEYPOINTS,), 0),
    (losses.softmax_discrepancy, (MAPS, MAPS), 1, ONE_IMAGE, MAPS),
    (losses.domain_confusion, ((IMAGES,), (IMAGES,)), 1, (IMAGES, 1), 1),
    (losses.multi_kernel_mmd, ((4, 5), (4, 5)), 1, (1, 5), (4, 5)),
    (losses.semantic_representation, (FEATURES, MAPS), 1, ONE_IMAGE, (4, 8, 8, None)),
    (losses.semantic_consistency, ((4, 3, 3), WEIGHTS), 0, (4, 3, 5), (4, 3, 3)),
    (losses.semantic_consistency, ((4, 3, 3), WEIGHTS), 1, (IMAGES, 1), WEIGHTS),
    (losses.transformation_equivariance, (MAPS, MAPS, WEIGHTS), 1, ONE_KEYPOINT, MAPS),
    (losses.transformation_equivariance, (MAPS, MAPS, WEIGHTS), 2, (IMAGES, 1), WEIGHTS),
    (losses.transformation_invariance, (VECTORS, VECTORS, WEIGHTS), 1, (1, 3, 5), VECTORS),
    (losses.transformation_invariance, (VECTORS, VECTORS, WEIGHTS), 2, (IMAGES, 1), WEIGHTS),
    (losses.unit_representation, (VECTORS,), 0, VECTORS[1:], 3),
    (lambda scores: losses.surest(scores, 0.5), (WEIGHTS,), 0, (KEYPOINTS,), 2),
    (losses.spatial_distillation, (MAPS, MAPS), 0, ONE_KEYPOINT, MAPS),
    (losses.spatial_distillation, (MAPS, MAPS, (3,)), 2, (1,), (3,)),
    (losses.spatial_distillation, (MAPS, MAPS, (3,), (4,)), 3, (1,), (4,)),
    (losses.spatial_distillation, (MAPS, MAPS, (3,), WEIGHTS), 3, (IMAGES, 1), WEIGHTS),
    (losses.channel_distillation, (MAPS, MAPS, (3,)), 0, ONE_IMAGE, MAPS),
    (losses.channel_distillation, (MAPS, MAPS, (3,)), 2, (1,), (3,)),
    (losses.channel_distillation, (MAPS, MAPS, (3,), (4,)), 3, (1,), (4,)),
    (losses.mse_distillation, (MAPS, MAPS), 0, ONE_IMAGE, MAPS),
    (losses.mse_distillation, (MAPS, MAPS, (3,), WEIGHTS), 3, (1, KEYPOINTS), WEIGHTS),
    (losses.line_entropy, (MAPS,), 0, MAPS[1:], 4),
    (losses.line_entropy, (MAPS, (3,)), 1, (1,), (3,)),
    (losses.quadratic_penalty, ((3, 5), (3, 5), (3, 5)), 2, (5,), (3, 5)),
    (losses.fused_importance, ((3, 5), (3, 5)), 1, (1, 5), (3, 5)),
    (walked, ((3, 5),) * 5, 2, (5,), (3, 5)),
    (
        lambda fisher, score: losses.walk_importance(losses.Walk(fisher, score)),
        ((3, 5), (3, 5)),
        1,
        (5,),
        (3, 5),
    ),
    (losses.spring, ((4, 2, 2), (4, 6, 2)), 1, (1, 6, 2), (4, None, 2)),
    (losses.still_mass, (MAPS, (4, 16, 16, 1)), 1, (1, 16, 16, 1), (4, None, None, 1)),
    (losses.still_mass, (MAPS, (4, 16, 16, 1)), 1, (4, 12, 12, 1), MAPS),
    (losses.transport_features, (FEATURES, FEATURES, MAPS, MAPS), 3, ONE_KEYPOINT, MAPS),
    (losses.transport_features, (FEATURES, FEATURES, MAPS, MAPS), 0, (1, 8, 8, 5), FEATURES),
    (losses.transporter_transported, (FEATURES, FEATURES, MAPS, MAPS), 2, ONE_IMAGE, MAPS),
    (losses.pixel_mse, (PICTURES, PICTURES), 1, (1, 8, 8, 3), PICTURES),
    (
        lambda images, targets, weight: losses.pixel_mse(images, targets, weight=weight),
        (PICTURES, PICTURES, (4, 8, 8, 1)),
        2,
        (1, 8, 8, 1),
        (4, 8, 8, 1),
    ),
    (
        lambda found, target: losses.feature_distances([found], [target]),
        (FEATURES, FEATURES),
        1,
        (1, 8, 8, 5),
        FEATURES,
    ),
    (
        lambda found, weight: losses.feature_distances([found], [found], weight=weight),
        (FEATURES, (4, 16, 16, 1)),
        1,
        (1, 16, 16, 1),
        (4, None, None, 1),
    ),
    (lambda found: losses.feature_sizes([found]), (FEATURES,), 0, FEATURES[1:], 4),
    (losses.moved_averages, ((2,), (2,)), 1, (1,), (2,)),
    (losses.balanced_distances, ((2,), (2,)), 1, (1,), (2,)),
    (summed, ((), ()), 0, (4,), ()),
    (summed, ((), ()), 1, (1,), ()),
    (centres.centre_loss, ((4, 8, 8, 2), (4, 8, 8, 2), (4, 8, 8)), 1, ONE_KEYPOINT, (4, 8, 8, 2)),
    (centres.centre_loss, ((4, 8, 8, 2), (4, 8, 8, 2), (4, 8, 8)), 2, (8, 8), (4, 8, 8)),
]
BUMPS = "(..., None, 2)"
CODECS = [
    (lambda one: heatmaps.gaussian_profile(one, 8, 1.0), (WEIGHTS,), 0, (), "(..., None)"),
    (lambda one: heatmaps.gaussian_bumps(one, (8, 8), 1.0), (POINTS,), 0, (4, 3, 3), BUMPS),
    (lambda one: heatmaps.keypoint_cells(one, **SIZES), (POINTS,), 0, (4, 3, 3), BUMPS),
    (
        lambda points, visible: heatmaps.gaussian_targets(points, visible, sigma=1.0, **SIZES),
        (POINTS, WEIGHTS),
        1,
        (IMAGES, 1),
        WEIGHTS,
    ),
    (heatmaps.spatial_softmax, (MAPS,), 0, MAPS[1:], 4),
    (heatmaps.extend_maps, (MAPS,), 0, MAPS[1:], 4),
    (
        lambda maps: heatmaps.separated(maps, ((0, 1),), sigma=1.0),
        (MAPS,),
        0,
        MAPS[1:],
        4,
    ),
    (heatmaps.decode_argmax, (MAPS,), 0, MAPS[1:], 4),
    (heatmaps.decode_quarter_offset, (MAPS,), 0, MAPS[1:], 4),
    (heatmaps.decode_dark, (MAPS,), 0, (1, *MAPS), 4),
    (heatmaps.decode_soft_argmax, (MAPS,), 0, MAPS[1:], 4),
    (coded, (POINTS, WEIGHTS), 1, (1, KEYPOINTS), WEIGHTS),
    (decoded, (MAPS,), 0, MAPS[1:], 4),
    (centres_of, (POINTS, WEIGHTS), 0, (4, 1, 2), POINTS),
    (
        lambda maps: centres.find_centres(maps, image_size=16, most=1),
        ((4, 8, 8, 2),),
        0,
        (4, 8, 8, 1),
        (None, None, None, 2),
    ),
]
PAIRS = (POINTS, POINTS, WEIGHTS, (IMAGES,))
CELLS = {"map_size": SIDE}
HOST = [
    (losses.fit_pose_subspace, ((9, 4),), 0, (9, 3), 2),
    (losses.fit_pose_subspace, ((9, 4),), 0, (9, 2, 2), 2),
    (metrics.pck, PAIRS, 0, (1, 3, 2), POINTS),
    (metrics.pck, PAIRS, 1, (4, 3, 3), (None, None, 2)),
    (metrics.pck, PAIRS, 2, (IMAGES, 1), WEIGHTS),
    (metrics.pck, PAIRS, 3, (1,), (IMAGES,)),
    (metrics.head_size, ((4, 4),), 0, (4, 5), (None, 4)),
    (metrics.pckh, PAIRS, 3, (1,), (IMAGES,)),
    (
        lambda found, true: metrics.cell_accuracy(found, true, **CELLS),
        (POINTS, POINTS),
        0,
        (4, 1, 2),
        POINTS,
    ),
    (
        lambda found, true: metrics.pck_batchwise(found, true, groups={"all": [0]}, **CELLS),
        (POINTS, POINTS),
        1,
        (5, 3, 2),
        POINTS,
    ),
    (
        lambda found, true: metrics.pck_global(found, true, **CELLS),
        (POINTS, POINTS),
        0,
        (1, 3, 2),
        POINTS,
    ),
    (metrics.nme, PAIRS, 0, (4, 1, 2), POINTS),
    (
        lambda points: metrics.distance_between(points, 0, 1),
        (POINTS,),
        0,
        (4, 3, 3),
        (None, None, 2),
    ),
    (
        lambda found, true, visible: metrics.mae(found, true, visible, 1.0),
        (POINTS, POINTS, WEIGHTS),
        2,
        (KEYPOINTS,),
        WEIGHTS,
    ),
    (lambda values: metrics.by_keypoint("pck", values, FACE), ((3,),), 0, (4,), (3,)),
    (summary, ((2, 3), (3,)), 1, (1,), (3,)),
    (lambda points: contours.along(points, 5), ((3, 2),), 0, (3, 3), (None, 2)),
    (contours.contour_distance, ((3, 2), (4, 2)), 1, (4, 3), (None, 2)),
    (
        lambda *given: contours.contour_errors(*given, [[0, 1]]),
        PAIRS,
        3,
        (1,),
        (IMAGES,),
    ),
    (matching.middles_of, (POINTS,), 0, (4, 3, 3), BUMPS),
    (matching.match_by_centre, ((2, 2), (2,), (3, 2), (2, 3)), 1, (1,), (2,)),
    (matching.match_by_centre, ((2, 2), (2,), (3, 2), (2, 3)), 3, (1, 3), (2, 3)),
    (matching.animals_over_time, ((5, 2, 3, 2), (5, 1, 3, 2)), 1, (1, 1, 3, 2), (5, None, 3, 2)),
    (degeneracy.live_keypoints, (POINTS,), 0, (3, 2), (None, None, 2)),
    (
        lambda points: degeneracy.varying_points(points, (8, 8)),
        (POINTS,),
        0,
        (3, 2),
        (None, None, 2),
    ),
    (degeneracy.spread_of, (POINTS,), 0, (3, 2), (None, None, 2)),
    (degeneracy.point_spread, (POINTS,), 0, (3, 2), (None, None, 2)),
    (degeneracy.median_spread, (POINTS,), 0, (3, 2), (None, None, 2)),
    (degeneracy.baseline_errors, (PICTURES, PICTURES), 1, (1, 8, 8, 3), PICTURES),
    (motion.median_background, (PICTURES,), 0, PICTURES[1:], 4),
    (motion.temporal_variance, (PICTURES,), 0, PICTURES[1:], 4),
    (motion.motion_box, ((8, 8),), 0, (1, 8, 8), 2),
    (actions_right, ((5,), (5,)), 0, (1,), (5,)),
    (motion.moving_pixels, (PICTURES, (8, 8, 3)), 1, (3,), (8, 8, 3)),
    (points_on, (POINTS, (4, 8, 8)), 1, (1, 8, 8), (4, None, None)),
    (
        lambda points, energy: motion.motion_coverage(points, energy, radius=1.0),
        (POINTS, (4, 8, 8)),
        1,
        (5, 8, 8),
        (4, None, None),
    ),
    (
        lambda points: motion.coincident_points(points, near=1.0),
        (POINTS,),
        0,
        (3, 2),
        (None, None, 2),
    ),
    (
        lambda points, visible: poses.pose_statistics(points, visible, FACE.names),
        ((9, 3, 2), (9, 3)),
        1,
        (9, 1),
        (9, 3),
    ),
    (poses.plausible_poses, (POINTS, WEIGHTS, (6, 4)), 1, (1, 3), WEIGHTS),
    (poses.plausible_poses, (POINTS, WEIGHTS, (6, 4)), 2, (4, 4), (6, None)),
    (regression_errors.regression_errors, (POINTS, POINTS, WEIGHTS), 0, (4, 1, 2), POINTS),
    (
        lambda *given: regression_errors.errors_in_units(*given[:3], size=(8, 8), crop=given[3]),
        (POINTS, POINTS, WEIGHTS, (4, 3, 3)),
        3,
        (1, 3, 3),
        (4, 3, 3),
    ),
    (forward, (POINTS, POINTS, WEIGHTS), 1, (4, 1, 2), POINTS),
    (landmarks.consistency, (POINTS, POINTS, (4, 3, 3)), 2, (1, 3, 3), (4, 3, 3)),
    (linear.fit_linear, ((4, 2), (4, 2)), 1, (4,), 2),
    (
        lambda features, true, visible: linear.linear_probe(features, true, visible, SPLIT),
        ((4, 2), POINTS, WEIGHTS),
        2,
        (IMAGES, 1),
        WEIGHTS,
    ),
    (
        lambda *given: linear.best_ridge(*given[:3], np.arange(4), given[3], [1.0]),
        ((4, 2), POINTS, WEIGHTS, (4,)),
        3,
        (5,),
        (4,),
    ),
    (image_moments.moving_masks, (PICTURES,), 0, (4, 8, 8), 4),
    (image_moments.mask_moments, ((4, 8, 8),), 0, (8, 8), 3),
]
# functions without a wrong shape: of no array, or of any tree; `Setup` and methods have tests
WITHOUT = {
    "add_to_counts",
    "codec",
    "first_counts",
    "image_to_heatmap",
    "named_decoder",
    "normalised_importance",
    "parent_of_child",
    "replaced",
    "reweighted",
    "score_kind",
    "start_walk",
    "stop_if_collapsed",
    "views",
    "without",
}


def cases(of):
    """Numbers the cases; a failure names the function, too."""
    return [
        pytest.param(function, *case, id=f"{function.__name__.strip('<>')}-{number}")
        for number, (function, *case) in enumerate(of)
    ]


def arrays(shapes):
    """Random numbers in [0.6, 1], as weights of visible keypoints or whatever else is asked for."""
    random = np.random.default_rng(0)
    return [random.uniform(0.6, 1.0, shape).astype(np.float32) for shape in shapes]


def refused(function, shapes, argument, wrong, right):
    """Calls a function with the right shapes, and with a wrong one, which is named."""
    function(*arrays(shapes))
    with pytest.raises(AssertionError) as caught:
        function(*arrays((*shapes[:argument], wrong, *shapes[argument + 1 :])))
    words = str(caught.value)
    assert str(wrong) in words
    # chex writes an expected (3,) as (3)
    assert str(right) in words or str(right).replace(",)", ")") in words


@pytest.mark.usefixtures("signatures_unchecked")
@pytest.mark.parametrize(
    ("function", "shapes", "argument", "wrong", "right"), cases(LOSSES + CODECS)
)
def test_losses_and_codecs_refuse_a_wrong_shape_when_they_are_traced(
    function, shapes, argument, wrong, right
):
    def traced(*given):
        jax.eval_shape(lambda *arrays: function(*arrays), *given)

    refused(traced, shapes, argument, wrong, right)


@pytest.mark.usefixtures("signatures_unchecked")
@pytest.mark.parametrize(("function", "shapes", "argument", "wrong", "right"), cases(HOST))
def test_metrics_refuse_a_wrong_shape(function, shapes, argument, wrong, right):
    refused(function, shapes, argument, wrong, right)


def test_every_public_loss_codec_and_metric_has_a_case():
    """A case names its function, itself or in a lambda or helper of this file."""
    here = Path(__file__).read_text("utf-8")
    public = {
        f"{module.__name__.rpartition('.')[2]}.{name}"
        for module in (losses, heatmaps, metrics, incremental, contours, degeneracy)
        for name, member in inspect.getmembers(module, inspect.isfunction)
        if not name.startswith("_") and member.__module__.startswith(module.__name__)
    }
    assert len(public) > 60
    without = {name for name in public if name.rpartition(".")[2] in WITHOUT}
    assert not {name for name in public - without if name not in here}
    assert {name.rpartition(".")[2] for name in without} == WITHOUT
