"""Terms on videos in the semi-supervised method: original pixels, the kept subspace, weights that rise."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import tiny_parts
from tiny_parts import BATCH, CODEC, MODEL, SIDE, batch, centred

from kpjax.augment.augmentations import alike, no_augmentation, random_warp
from kpjax.augment.random_maps import draw_affine, draw_stretch
from kpjax.heatmaps import decode_soft_argmax
from kpjax.losses.pose_subspace import fit_pose_subspace, pose_subspace_loss
from kpjax.losses.video import temporal_difference
from kpjax.methods.forward import unit_range
from kpjax.methods.semi_supervised_family.objectives import SHARPNESS, pose_subspace_term, temporal_term
from kpjax.methods.semi_supervised_family.pose_projection import projected_predict
from kpjax.methods.semi_supervised_family.semi_supervised import semi_supervised
from kpjax.structures import Prediction, Trained

SUBSPACE = fit_pose_subspace(np.random.default_rng(0).normal(20, 9, (12, 6)), components=2)
OBJECTIVE = {"temporal": temporal_term(CODEC, 2.0, epsilon=1.0), "pose_subspace": pose_subspace_term(CODEC, 3.0)}
CROP = np.tile(np.float32([[2, 0, 5], [0, 2, -3], [0, 0, 1]]), (BATCH, 1, 1))  # the original images are twice as large
VIDEO = batch("video")._replace(crop=CROP)


def test_losses_are_in_original_pixels_and_rise_with_the_step():
    method = tiny_parts.build(
        semi_supervised, objective=OBJECTIVE, optimizer=optax.trace(0.0), learning_rate=lambda step: 0.5,
        augment=no_augmentation(), scales=lambda step: {"temporal": step / 4, "odd": step})
    assert method.streams == ("video",)
    state = jax.jit(method.init)(jax.random.key(0), {"video": VIDEO}, {"subspace": SUBSPACE})
    jax.tree.map(np.testing.assert_array_equal, state.frozen["subspace"], SUBSPACE)
    after, metrics = jax.jit(method.update)(state._replace(step=jnp.int32(2)), {"video": VIDEO}, jax.random.key(0))
    jax.tree.map(np.testing.assert_array_equal, after.frozen, state.frozen)
    heatmaps, _ = jax.jit(lambda images: MODEL.apply(state.variables, images, train=True, mutable=["batch_stats"]))(
        centred(jnp.asarray(VIDEO.image, jnp.float32) / 255))
    points = 2 * 4 * decode_soft_argmax(heatmaps, temperature=1 / SHARPNESS)[0] + jnp.array([5.0, -3.0])[None, None]
    jumps = temporal_difference(points, jnp.ones(points.shape[:2]), 1.0)  # every point is sure: maps have 4 x 4 cells
    poses = pose_subspace_loss(points.reshape(BATCH, -1), SUBSPACE)
    np.testing.assert_allclose([metrics["loss/temporal"], metrics["loss/pose_subspace"]], [jumps, poses], rtol=1e-3)
    np.testing.assert_allclose(metrics["loss/total"], jumps + 3 * poses, rtol=1e-3)


def test_predictions_are_moved_in_original_pixels_and_from_a_file_too():
    rows = np.random.default_rng(1).normal(20, 9, (BATCH, 6)).astype(np.float32)
    points = jnp.asarray((rows.reshape(BATCH, 3, 2) - [5, -3]) / 2, jnp.float32)
    predict = projected_predict(lambda state, example: Prediction(points, jnp.ones((BATCH, 3)), ()))
    for kept in (SUBSPACE, SUBSPACE._asdict()):
        found = predict(Trained({}, {"subspace": kept}), VIDEO).keypoints
        moved = 2 * found + jnp.array([5.0, -3.0])[None, None]
        expected = SUBSPACE.mean + (rows - SUBSPACE.mean) @ SUBSPACE.basis @ SUBSPACE.basis.T
        np.testing.assert_allclose(moved.reshape(BATCH, 6), expected, atol=1e-3)


def test_frames_of_a_video_change_alike():
    example = unit_range(jax.tree.map(jnp.asarray, VIDEO))
    same = alike(random_warp(draw_affine(degrees=10.0), draw_stretch((0.8, 1.2))))
    moved, maps = jax.jit(same)(jax.random.key(3), example)
    np.testing.assert_array_equal(maps, np.broadcast_to(maps[:1], maps.shape))
    assert jax.tree.map(jnp.shape, moved) == jax.tree.map(jnp.shape, example)
    zooms = jax.vmap(lambda key: draw_stretch((0.8, 1.2))(key, (SIDE, SIDE)))(jax.random.split(jax.random.key(0), 50))
    across, down = np.asarray(zooms[:, 0, 0]), np.asarray(zooms[:, 1, 1])
    assert 0.8 <= min(across.min(), down.min()) < 0.85
    assert abs(np.corrcoef(across, down)[0, 1]) < 0.4
