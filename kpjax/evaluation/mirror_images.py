"""Whether the mirror image of a labelled animal looks like another one, by its pose and by the colours of
its sides: training on mirrored images teaches what a network will see, or else a left and a right that it
never does.
"""

import chex
import numpy as np

from kpjax.evaluation.metrics import Points, Visible

MOST = 200  # animals that are compared, evenly spread: the cost is that of all pairs
# Share of the other animals, the nearest: one alone may be the next frame of a video, or a wrong label.
NEAREST = 0.1
LEAST = 3  # animals, below which nothing is known
LEAST_COLOURS = 10  # animals, below which three channels may differ by chance
NOISE = 1.0  # grey level, below which the deviation of a difference is not believed


def mirrored_distance(
    points: Points, visible: Visible, flip: tuple[int, ...], degrees: float
) -> float:
    """Computes how far the mirror images of animals lie from animals, over how far these lie from each
    other: 1 if a mirror image cannot be told from an animal, many times more if all face one way.

    A distance is that of two poses about their means, each divided by its size, after the turn of at
    most `degrees` that brings them nearest. Of each animal, and of its mirror image, it is the tenth
    percentile of those to all other animals; the result is the ratio of the medians of both. So it is
    near 1, too, where a fifth of the animals faces the other way.

    Args:
        points: (N, K, 2), (x, y) in pixels; not read where `visible` is 0.
        visible: (N, K), above 0 where a keypoint is labelled.
        flip: (K,) the keypoints of a mirror image, as in `Skeleton`.
        degrees: by which training turns images either way.

    Returns:
        The ratio; nan for fewer than three animals of which others have two keypoints in common.
    """
    chex.assert_shape(points, (None, len(flip), 2))
    chex.assert_shape(visible, points.shape[:2])
    last = max(len(points) - 1, 0)
    spread = np.linspace(0, last, MOST).astype(int)
    some = np.unique(spread)[: len(points)]
    known = np.asarray(visible)[some] > 0
    points = np.asarray(points, np.float64)[some]
    points = np.where(known[..., None], points, 0.0)
    poses = points[..., 0] + 1j * points[..., 1]
    animals = (poses, known)
    order = np.array(flip, int)
    mirrored_poses = -np.conj(poses)[:, order]
    mirrored = (mirrored_poses, known[:, order])
    most = np.deg2rad(degrees)
    usual = _near(_distances(animals, animals, most))
    other = _near(_distances(mirrored, animals, most))
    there = np.isfinite(usual) & np.isfinite(other)
    if there.sum() < LEAST:
        return float("nan")
    # poses that are alike to a thousandth of their size are the same
    between_animals = max(np.median(usual[there]), 1e-3)
    return float(np.median(other[there]) / between_animals)


def side_contrast(
    images: np.ndarray, points: Points, visible: Visible, flip: tuple[int, ...]
) -> float:
    """Computes how much the colours at left and right keypoints differ: the mean difference of a pair
    over its deviation from animal to animal, of the pair with the largest.

    Where one side is marked, or is of another colour, a mirror image shows the mark on the wrong side.
    The difference is taken along its own mean over the three channels; a colour is that of 3 x 3 pixels.

    Args:
        images: (N, H, W, 3) uint8.
        points: (N, K, 2), (x, y) in their pixels; not read where `visible` is 0.
        visible: (N, K), above 0 where a keypoint is labelled.
        flip: (K,) the keypoints of a mirror image, as in `Skeleton`.

    Returns:
        The contrast; nan where fewer than ten animals have both keypoints of any pair.
    """
    chex.assert_shape(points, (len(images), len(flip), 2))
    chex.assert_shape(visible, points.shape[:2])
    height, width = images.shape[1:3]
    points = np.where(visible[..., None] > 0, points, 0.0)
    cells = np.round(points).astype(int)
    beyond = (width - 1, height - 1)
    on_image = ((cells >= 1) & (cells < beyond)).all(-1)
    inside = (np.asarray(visible) > 0) & on_image
    contrasts = []
    for one, other in enumerate(flip):
        both = np.flatnonzero(inside[:, one] & inside[:, other])
        if one >= other or len(both) < LEAST_COLOURS:
            continue
        left = np.array([_colour(images[n], cells[n, one]) for n in both])
        right = np.array([_colour(images[n], cells[n, other]) for n in both])
        difference = left - right
        mean = difference.mean(0)
        direction = mean / max(np.linalg.norm(mean), 1e-9)
        along = difference @ direction
        deviation = max(along.std(ddof=1), NOISE)
        contrasts.append(along.mean() / deviation)
    return float(max(contrasts, default=np.nan))


def _colour(image: np.ndarray, cell: np.ndarray) -> np.ndarray:
    """Returns the mean (3,) float64 of the 3 x 3 pixels about a cell (x, y)."""
    x, y = cell
    pixels = image[y - 1 : y + 2, x - 1 : x + 2]
    return pixels.reshape(-1, 3).mean(0)


def _distances(some, others, most: float) -> np.ndarray:
    """Returns the distances (I, J) of poses, nan where two have fewer than two keypoints in common."""
    poses, known = some
    other_poses, other_known = others
    both = known[:, None] & other_known[None]
    count = np.maximum(both.sum(-1, keepdims=True), 1)

    def of_size_one(poses):
        poses = np.where(both, poses, 0)
        mean = poses.sum(-1, keepdims=True) / count
        centred = np.where(both, poses - mean, 0)
        size = np.linalg.norm(centred, axis=-1, keepdims=True)
        return np.divide(centred, size, out=np.full_like(centred, np.nan), where=size > 0)

    products = np.conj(of_size_one(poses[:, None])) * of_size_one(other_poses[None])
    product = products.sum(-1)
    turned = np.clip(np.angle(product), -most, most)
    likeness = (product * np.exp(-1j * turned)).real
    return np.sqrt(np.maximum(2 - 2 * likeness, 0))


def _near(distances: np.ndarray) -> np.ndarray:
    """Returns the tenth percentile of each animal's distances to the others, nan where there is none."""
    itself = np.eye(len(distances), dtype=bool)
    distances = np.where(itself, np.nan, distances)
    known = np.isfinite(distances).any(1)
    found = np.full(len(distances), np.nan)
    if known.any():
        found[known] = np.nanquantile(distances[known], NEAREST, axis=1)
    return found
