"""Selection of images by value, spread over their appearance and over time."""
import numpy as np
from PIL import Image

THUMBNAIL = 16  # px
APART = 10  # frames between two of one video
WIDENING = 4  # candidates for each image selected


def thumbnail(image: np.ndarray, side: int = THUMBNAIL) -> np.ndarray:
    """Returns (side * side,) float32 grey values in [0, 1] of an image (H, W, 3) uint8, to compare appearances."""
    small = Image.fromarray(image).convert("L").resize((side, side), Image.Resampling.BOX)
    return np.asarray(small, np.float32).reshape(-1) / np.float32(255)


def k_centre(
    features: np.ndarray, count: int, *, first: int | None = None, taken: np.ndarray | None = None
) -> np.ndarray:
    """Selects images one by one, each the farthest from all selected before (Gonzalez 1985).

    Returns (count,) int64 numbers of images in order of selection, at most N; the first of equally far ones.

    Args:
        features: (N, F).
        first: the image to begin with. If None, without `taken`, the one nearest to the mean.
        taken: (L, F), features of images to keep away from, such as labelled ones.
    """
    features = np.asarray(features, np.float64)
    if not len(features):
        return np.zeros(0, np.int64)
    nearest = np.full(len(features), np.inf)
    for other in np.zeros((0, features.shape[1])) if taken is None else np.asarray(taken, np.float64):
        nearest = np.minimum(nearest, np.linalg.norm(features - other, axis=1))
    if first is None and np.isinf(nearest).all():
        first = int(np.linalg.norm(features - features.mean(0), axis=1).argmin())
    chosen: list[int] = []
    while len(chosen) < min(count, len(features)):
        number = first if first is not None and not chosen else int(nearest.argmax())
        chosen.append(number)
        nearest = np.minimum(nearest, np.linalg.norm(features - features[number], axis=1))
        nearest[chosen] = -1
    return np.array(chosen, np.int64)


def best_apart(
    values: np.ndarray, count: int | None = None, *, videos: np.ndarray | None = None,
    frames: np.ndarray | None = None, apart: int = APART,
) -> np.ndarray:
    """Selects the highest values, no two of one video closer than `apart` frames.

    Returns (count,) int64 numbers of images, from the highest value down; all that are far enough apart if `count` is
    None.

    Args:
        values: (N,); nan comes last.
        videos: (N,), the number of each video, below 0 for single images, to which no distance applies.
        frames: (N,), the number of each frame in its video.
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
    """Selects at most `count` images to label next: (n,) int64 numbers, in the order in which to label them.

    Args:
        values: (N,), the higher the better; None to select by appearance alone.
        features: (N, F), of `thumbnail`.
        diverse: selects from the 4 * count best by `k_centre`, starting at the best; else simply the best.
        taken: (L, F), features of labelled images.
        videos, frames, apart: see `best_apart`.
    """
    apart_by = {"videos": videos, "frames": frames, "apart": apart}
    if values is None:
        candidates = best_apart(np.zeros(len(features)), **apart_by)
        return candidates[k_centre(features[candidates], count, taken=taken)]
    if not diverse:
        return best_apart(values, count, **apart_by)
    candidates = best_apart(values, WIDENING * count, **apart_by)
    return candidates[k_centre(features[candidates], count, first=0, taken=taken)]
