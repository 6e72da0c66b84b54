"""Which images to take when each has a value: the best ones, spread over what they look like and over time."""
import numpy as np
from PIL import Image

THUMBNAIL = 16  # px
APART = 10  # frames between two of one video
WIDENING = 4  # how many times more of the best stand for choice than are taken


def thumbnail(image: np.ndarray, side: int = THUMBNAIL) -> np.ndarray:
    """An image (H, W, 3) uint8 as (side * side,) float32 grey values in [0, 1], by which images are told apart."""
    small = Image.fromarray(image).convert("L").resize((side, side), Image.Resampling.BOX)
    return np.asarray(small, np.float32).reshape(-1) / np.float32(255)


def k_centre(
    features: np.ndarray, count: int, *, first: int | None = None, taken: np.ndarray | None = None
) -> np.ndarray:
    """Numbers of `count` rows, each the farthest from all that were taken before it: (count,) int64, in that order.

    features: (N, F). first: the row to begin with. taken: (L, F), rows from which to keep away, too, such as those of
    images that have labels. With neither, it begins at the row nearest to the mean. Of equally far rows the first is
    taken; fewer than `count` rows are all returned. Gonzalez, Theoretical Computer Science 1985.
    """
    features = np.asarray(features, np.float64)
    if not len(features):
        return np.zeros(0, np.int64)
    nearest = np.full(len(features), np.inf)
    for row in np.zeros((0, features.shape[1])) if taken is None else np.asarray(taken, np.float64):
        nearest = np.minimum(nearest, np.linalg.norm(features - row, axis=1))
    if first is None and np.isinf(nearest).all():
        first = int(np.linalg.norm(features - features.mean(0), axis=1).argmin())
    chosen: list[int] = []
    while len(chosen) < min(count, len(features)):
        row = first if first is not None and not chosen else int(nearest.argmax())
        chosen.append(row)
        nearest = np.minimum(nearest, np.linalg.norm(features - features[row], axis=1))
        nearest[chosen] = -1
    return np.array(chosen, np.int64)


def best_apart(
    values: np.ndarray, count: int | None = None, *, videos: np.ndarray | None = None,
    frames: np.ndarray | None = None, apart: int = APART,
) -> np.ndarray:
    """Numbers of the `count` highest values, from the highest down, no two of one video closer than `apart` frames.

    values: (N,); nan comes last. videos, frames: (N,), the number of the video and the frame's number in it, below 0
    for single images, to which no distance applies. count: all that are far enough apart if None.
    """
    order = np.argsort(-np.where(np.isnan(values), -np.inf, values), kind="stable")
    if videos is None or frames is None:
        return order[:count]
    chosen: list[int] = []
    taken: dict[int, list[int]] = {}
    for number in order:
        if count is not None and len(chosen) == count:
            break
        video, frame = int(videos[number]), int(frames[number])
        near = taken.setdefault(video, [])
        if video >= 0 and any(abs(frame - other) < apart for other in near):
            continue
        near.append(frame)
        chosen.append(int(number))
    return np.array(chosen, np.int64)


def choose(
    values: np.ndarray | None, features: np.ndarray, count: int, *, diverse: bool = True,
    taken: np.ndarray | None = None, videos: np.ndarray | None = None, frames: np.ndarray | None = None,
    apart: int = APART,
) -> np.ndarray:
    """Numbers of at most `count` images to label next, in the order in which to label them.

    values: (N,), the higher the better; None goes by how images look alone. features: (N, F), of `thumbnail`.
    diverse: of the 4 * count best it begins with the best and goes on with the one that looks least like all that are
    taken; else the best are taken as they come. taken: (L, F), features of images with labels. videos, frames,
    apart: see `best_apart`.
    """
    apart_by = {"videos": videos, "frames": frames, "apart": apart}
    if values is None:
        candidates = best_apart(np.zeros(len(features)), **apart_by)
        return candidates[k_centre(features[candidates], count, taken=taken)]
    if not diverse:
        return best_apart(values, count, **apart_by)
    candidates = best_apart(values, WIDENING * count, **apart_by)
    return candidates[k_centre(features[candidates], count, first=0, taken=taken)]
