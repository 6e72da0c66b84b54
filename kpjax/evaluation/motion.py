"""What moves before a still camera, and whether keypoints lie on it.

Images are (N, H, W, 3) uint8, frames of one video from one place. Backgrounds, differences and
variances are of images in [0, 1]. Points are (N, K, 2), (x, y) in pixels, and arrays are NumPy's.
"""

import chex
import numpy as np

from kpjax.input.video_source import VideoSource

# share of the full range: a pixel whose largest channel differs more from the background moves
DIFFERENT = 0.1
FRAMES_SEEN = 400  # approximate number of frames, all videos together
STIRRED = 1e-3  # share of moving pixels below which nothing moves in a frame


def median_background(images: np.ndarray) -> np.ndarray:
    """Returns the median over time of each pixel's channels, (H, W, 3) float32 in [0, 1]."""
    chex.assert_rank(images, 4)
    median = np.median(images, axis=0)
    return (median / 255).astype(np.float32)


def temporal_variance(images: np.ndarray) -> np.ndarray:
    """Returns the variance over time of each pixel, the mean of its channels: (H, W) float32."""
    chex.assert_rank(images, 4)
    variances = [(channel / 255).var(0) for channel in np.moveaxis(images, -1, 0)]
    return np.stack(variances).mean(0).astype(np.float32)


def motion_weight(variance: np.ndarray, share: float = 1.0) -> np.ndarray:
    """Returns weights of pixels of mean 1: `share` of them proportional to the variance, the rest
    alike everywhere.

    A squared difference so weighted is about what moves, as is BKinD's reconstruction of the
    difference of two frames (Sun et al. 2022). variance: (..., H, W). A video in which nothing
    moves has the weight 1 everywhere.
    """
    mean = variance.mean((-2, -1), keepdims=True)
    divisor = np.where(mean > 0, mean, 1)
    proportional = np.where(mean > 0, variance / divisor, 1)
    weights = 1 - share + share * proportional
    return weights.astype(np.float32)


def motion_box(variance: np.ndarray, *, share: float = 0.98) -> np.ndarray:
    """Returns the box x, y, width, height (4,) float64 in pixels that holds most of what moves, in
    edges (0 to W).

    Along each axis it leaves out (1 - share) / 2 of the variance on either side.
    """
    chex.assert_rank(variance, 2)
    edges = []
    for profile in (variance.sum(0), variance.sum(1)):
        cumulative = np.cumsum(profile, dtype=np.float64)
        before = np.concatenate([[0.0], cumulative])
        total = before[-1]
        if total > 0:
            shares = np.array([1 - share, 1 + share]) / 2
            edges.append(np.interp(shares * total, before, np.arange(len(before))))
        else:
            edges.append([0, len(profile)])
    (left, right), (upper, lower) = edges
    return np.array([left, upper, right - left, lower - upper])


def moving_pixels(images: np.ndarray, background: np.ndarray) -> np.ndarray:
    """Returns which pixels differ from the background by more than `DIFFERENT` in some channel: (N,
    H, W) bool.
    """
    chex.assert_rank(images, 4)
    chex.assert_shape(background, images.shape[1:])
    difference = np.abs(images / np.float32(255) - background)
    return difference.max(-1) > DIFFERENT


def points_on_motion(points: np.ndarray, moving: np.ndarray, *, radius: float) -> np.ndarray:
    """Computes in which share of frames each point has a moving pixel's centre within `radius` px:
    (K,).

    Frames with a smaller share of moving pixels than `STIRRED` are left out; NaN if all are.
    points: (N, K, 2). moving: (N, H, W) bool.
    """
    chex.assert_shape(points, (None, None, 2))
    chex.assert_shape(moving, (len(points), None, None))
    size = moving.shape[1:]
    stirred = moving.mean((1, 2)) >= STIRRED
    if not stirred.any():
        return np.full(points.shape[1], np.nan)
    on = []
    for row in np.flatnonzero(stirred):
        moves_nearby = _near(points[row], size, radius) & moving[row]
        on.append(moves_nearby.any((1, 2)))
    return np.mean(on, axis=0)


def motion_coverage(points: np.ndarray, energy: np.ndarray, *, radius: float) -> float:
    """Computes the share of motion that is within `radius` px of some point.

    energy: (N, H, W), of each pixel, for example its squared difference from the background; frames
    count by theirs. Returns NaN if there is none.
    """
    chex.assert_shape(points, (None, None, 2))
    chex.assert_shape(energy, (len(points), None, None))
    if not energy.any():
        return float("nan")
    size = energy.shape[1:]
    covered = 0.0
    for row in range(len(points)):
        near_some = _near(points[row], size, radius).any(0)
        covered += float(energy[row][near_some].sum())
    return covered / float(energy.sum())


def coincident_points(points: np.ndarray, *, near: float) -> float:
    """Computes the mean number of pairs of points of a frame that are nearer to each other than
    `near` px.
    """
    chex.assert_shape(points, (None, None, 2))
    first, second = np.triu_indices(points.shape[1], 1)
    differences = points[:, first] - points[:, second]
    distances = np.linalg.norm(differences, axis=-1)
    pairs = (distances < near).sum(1)
    return float(pairs.mean())


def heaps_of(points: np.ndarray, *, near: float) -> np.ndarray:
    """Returns the heap (K,) int that each point belongs to, numbered from 0; most have their own.

    Points that are nearer to each other than `near` px on at least half of the frames are of one
    heap, and so are those that share a third such point.
    """
    from scipy.sparse.csgraph import connected_components  # which help need not wait for

    chex.assert_shape(points, (None, None, 2))
    differences = points[:, :, None] - points[:, None]
    apart = np.linalg.norm(differences, axis=-1)
    together = np.median(apart, axis=0) < near
    _, heaps = connected_components(together, directed=False)
    return heaps


def _near(points: np.ndarray, size: tuple[int, int], radius: float) -> np.ndarray:
    """Returns which pixels' centres lie within a radius of each point (K, 2): (K, H, W) bool."""
    height, width = size
    down = np.arange(height) - points[:, 1, None]
    across = np.arange(width) - points[:, 0, None]
    squares = np.square(down)[:, :, None] + np.square(across)[:, None]
    return squares <= radius**2


def motion_in_videos(source: VideoSource, keypoints: np.ndarray) -> dict[str, float]:
    """Computes whether keypoints (N, K, 2) lie on what moves before a still camera; {} if
    frames are cropped anew.

    What moves differs from the median of its video. `points_on_motion` is the share of points with
    a moving pixel within 1/32 of the image's side, in frames in which something moves;
    `motion_coverage` the share of the squared difference that is so near to some point;
    `coincident_points` the number of pairs nearer than 1/64 of the side. `following_points` counts
    those that are so near to a moving pixel in most of these frames and move themselves, by 1/64 of
    the side (root mean square), `heaped_points` those that
    share a heap (`heaps_of`) within 1/64 of the side, and `heaps` how many such heaps there are.
    About 400 frames are looked at.
    """
    if source.cropped_anew:
        return {}
    side = source[0].image.shape[1]
    count = max(FRAMES_SEEN // len(source.titles), 8)
    moving = []
    energy = []
    rows = []
    for first, end in source.bounds:
        spread = np.linspace(first, end - 1, count).round().astype(int)
        chosen = np.unique(spread)
        images = np.stack([source[row].image for row in chosen])
        background = median_background(images)
        moving.append(moving_pixels(images, background))
        difference = images / np.float32(255) - background
        energy.append(np.square(difference).mean(-1))
        rows.append(chosen)
    points = keypoints[np.concatenate(rows)]
    each = points_on_motion(points, np.concatenate(moving), radius=side / 32)
    spread = np.sqrt(points.var(0).sum(-1))  # px, root mean square
    follow = (each > 0.5) & (spread >= side / 64)
    sizes = np.bincount(heaps_of(points, near=side / 64))
    found = {
        "points_on_motion": float(each.mean()),
        "following_points": float(follow.sum()) if np.isfinite(each).all() else np.nan,
        "heaped_points": float(sizes[sizes > 1].sum()),
        "heaps": float((sizes > 1).sum()),
        "motion_coverage": motion_coverage(points, np.concatenate(energy), radius=side / 32),
        "coincident_points": coincident_points(points, near=side / 64),
    }
    return {name: value for name, value in found.items() if np.isfinite(value)}
