"""Criteria for images to label: estimates, without labels, of the gain from labelling each one.

Every function takes predictions on N images in pixels of one frame of reference and returns one float64 per image, the
higher the better, nan where it says nothing. Values are divided by `diagonal`, the usual size of an animal in the same
pixels, so that they compare between videos.
"""
from typing import NamedTuple

import numpy as np


def low_score(scores: np.ndarray) -> np.ndarray:
    """Returns minus the mean score of each image's keypoints. scores: (N, K). Returns (N,).

    It costs nothing, and is most informative for heatmaps fitted by their squared error: their peaks sink with
    uncertainty, while the peaks of a softmax also sink with the width of the target.
    """
    return -np.asarray(scores, np.float64).mean(-1)


def equivariance_error(
    keypoints: np.ndarray, moved_back: np.ndarray, counted: np.ndarray, diagonal: float
) -> np.ndarray:
    """Returns the mean distance between predictions on an image and its moved copies, (N,), in diagonals.

    The copies are turned and scaled. The mean is over maps and keypoints; nan where nothing counts.

    Args:
        keypoints: (N, K, 2) on the original images.
        moved_back: (M, N, K, 2) on the images under M maps, moved back by the inverse maps.
        counted: (M, N, K) bool, False where a map moves a point out of the image.
        diagonal: px.
    """
    distances = np.linalg.norm(np.asarray(moved_back, np.float64) - keypoints, axis=-1)
    count = counted.sum((0, 2))
    total = np.where(counted, distances, 0.0).sum((0, 2))
    return np.where(count > 0, total / np.maximum(count, 1), np.nan) / diagonal


def disagreement(keypoints: np.ndarray, diagonal: float) -> np.ndarray:
    """Returns the spread of the keypoints (R, N, K, 2) of R networks: (N,), in diagonals.

    It is the mean over keypoints of the root of the mean squared distance from the networks' mean.
    """
    keypoints = np.asarray(keypoints, np.float64)
    squared = ((keypoints - keypoints.mean(0)) ** 2).sum(-1)
    return np.sqrt(squared.mean(0)).mean(-1) / diagonal


class UsualPoses(NamedTuple):
    """The plane that holds nearly all of the variance of labelled poses."""

    mean: np.ndarray  # (2K,) float64 px
    components: np.ndarray  # (C, 2K) float64, orthonormal
    limit: float  # px, the 99th percentile of labelled points' distances from the plane


def usual_poses(keypoints: np.ndarray, visible: np.ndarray, *, variance: float = 0.99) -> UsualPoses | None:
    """Fits the principal components of labelled poses that hold a share `variance` of their variance.

    keypoints: (L, K, 2) px. visible: (L, K). Uses only poses with every keypoint labelled; None with fewer than 3.
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
    """Returns the distance of keypoints (N, K, 2) from the plane of usual poses, beyond its limit: (N,), in diagonals.

    Keypoints are in the frame of reference of the labels. The mean over keypoints; 0 within the limit.
    """
    flat = np.asarray(keypoints, np.float64).reshape(len(keypoints), -1)
    off = _off_plane(flat, poses.mean, poses.components)
    return np.maximum(off - poses.limit, 0).mean(-1) / diagonal


def _off_plane(flat: np.ndarray, mean: np.ndarray, components: np.ndarray) -> np.ndarray:
    """Returns (N, K): the distance of each keypoint from that of its pose's projection."""
    centred = flat - mean
    off = centred - centred @ components.T @ components
    return np.linalg.norm(off.reshape(len(flat), -1, 2), axis=-1)
