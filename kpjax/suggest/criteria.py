"""How much an image would teach if it were labelled, judged without its labels. The higher a value, the more.

Every function takes predictions of N images in pixels of one frame of reference and returns one float64 per image,
nan where it cannot judge. `diagonal` is the usual size of what is shown, in the same pixels: values that are divided
by it compare between videos.
"""
from typing import NamedTuple

import numpy as np


def low_score(scores: np.ndarray) -> np.ndarray:
    """How unsure the network is: minus the mean score of an image's keypoints. scores: (N, K). Returns (N,).

    It costs nothing, and says most where heatmaps were fitted by their squared error: their peaks sink with doubt,
    while the peaks of a softmax also sink with the width of the target.
    """
    return -np.asarray(scores, np.float64).mean(-1)


def equivariance_error(
    keypoints: np.ndarray, moved_back: np.ndarray, counted: np.ndarray, diagonal: float
) -> np.ndarray:
    """How far points are from where they should be when the image is turned and scaled: (N,), in diagonals.

    keypoints: (N, K, 2) on the images as they are. moved_back: (M, N, K, 2), on the images under M maps, taken
    back by the inverse maps. counted: (M, N, K) bool, False where a map takes a point out of the image. The mean over
    maps and keypoints; nan where nothing counts.
    """
    distances = np.linalg.norm(np.asarray(moved_back, np.float64) - keypoints, axis=-1)
    count = counted.sum((0, 2))
    total = np.where(counted, distances, 0.0).sum((0, 2))
    return np.where(count > 0, total / np.maximum(count, 1), np.nan) / diagonal


def jump(keypoints: np.ndarray, before: np.ndarray, diagonal: float) -> np.ndarray:
    """The longest way that any keypoint went since the frame before, in diagonals: (N,).

    keypoints, before: (N, K, 2); before is nan for images without a frame before them, and so is the value.
    DeepLabCut (Mathis et al. 2018) calls a frame an outlier where this exceeds 20 px.
    """
    return np.linalg.norm(np.asarray(keypoints, np.float64) - before, axis=-1).max(-1) / diagonal


def disagreement(keypoints: np.ndarray, diagonal: float) -> np.ndarray:
    """How far several networks differ: (N,), in diagonals. keypoints: (R, N, K, 2), those of R networks.

    The mean over keypoints of the root of the mean squared distance from the networks' mean.
    """
    keypoints = np.asarray(keypoints, np.float64)
    squared = ((keypoints - keypoints.mean(0)) ** 2).sum(-1)
    return np.sqrt(squared.mean(0)).mean(-1) / diagonal


class UsualPoses(NamedTuple):
    """What labelled poses have in common: the plane on which nearly all of their variance lies."""

    mean: np.ndarray  # (2K,) float64 px
    components: np.ndarray  # (C, 2K) float64, orthonormal
    limit: float  # px, how far labelled points are off the plane at most, but for one in a hundred


def usual_poses(keypoints: np.ndarray, visible: np.ndarray, *, variance: float = 0.99) -> UsualPoses | None:
    """The principal components of labelled poses that hold a share `variance` of their variance.

    keypoints: (L, K, 2) px. visible: (L, K). Only poses with every keypoint labelled are used; None with fewer than 3.
    After the pose-PCA loss of Lightning Pose (Biderman et al., Nature Methods 2024).
    """
    poses = np.asarray(keypoints, np.float64)[(np.asarray(visible) > 0).all(-1)].reshape(-1, 2 * keypoints.shape[1])
    if len(poses) < 3:
        return None
    mean = poses.mean(0)
    _, strengths, axes = np.linalg.svd(poses - mean, full_matrices=False)
    share = np.cumsum(strengths**2) / max(float((strengths**2).sum()), np.finfo(float).tiny)
    components = axes[:int(np.searchsorted(share, variance)) + 1]
    return UsualPoses(mean, components, float(np.percentile(_off_plane(poses, mean, components), 99)))


def unusual_pose(keypoints: np.ndarray, poses: UsualPoses, diagonal: float) -> np.ndarray:
    """By how much points lie further off the plane of usual poses than labelled ones do: (N,), in diagonals.

    keypoints: (N, K, 2) px, in the frame of reference of the labels. The mean over keypoints, 0 within the limit.
    """
    flat = np.asarray(keypoints, np.float64).reshape(len(keypoints), -1)
    off = _off_plane(flat, poses.mean, poses.components)
    return np.maximum(off - poses.limit, 0).mean(-1) / diagonal


def _off_plane(flat: np.ndarray, mean: np.ndarray, components: np.ndarray) -> np.ndarray:
    """(N, K): the distance of each keypoint from where its pose's projection has it."""
    centred = flat - mean
    off = centred - centred @ components.T @ components
    return np.linalg.norm(off.reshape(len(flat), -1, 2), axis=-1)
