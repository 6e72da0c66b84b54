"""Selection of images that look unlike each other and unlike those with labels, spread over time."""
import numpy as np
from PIL import Image

THUMBNAIL = 16  # px


def thumbnail(image: np.ndarray, side: int = THUMBNAIL) -> np.ndarray:
    """Returns (side * side,) float32 grey values in [0, 1] of an image (H, W, 3) uint8, to compare appearances."""
    small = Image.fromarray(image).convert("L").resize((side, side), Image.Resampling.BOX)
    return np.asarray(small, np.float32).reshape(-1) / np.float32(255)


def k_centre(features: np.ndarray, count: int, *, taken: np.ndarray | None = None) -> np.ndarray:
    """Selects images one by one, each the farthest from all selected before (Gonzalez 1985).

    Returns (count,) int64 numbers of images in order of selection, at most N; the first of equally far ones.

    Args:
        features: (N, F).
        taken: (L, F), features of images to keep away from, such as labelled ones. Without any, the image nearest to
            the mean comes first.
    """
    features = np.asarray(features, np.float64)
    if not len(features):
        return np.zeros(0, np.int64)
    nearest = np.full(len(features), np.inf)
    for other in () if taken is None else np.asarray(taken, np.float64):
        nearest = np.minimum(nearest, np.linalg.norm(features - other, axis=1))
    chosen: list[int] = []
    while len(chosen) < min(count, len(features)):
        number = int(nearest.argmax() if np.isfinite(nearest).all() else
                     np.linalg.norm(features - features.mean(0), axis=1).argmin())
        chosen.append(number)
        nearest = np.minimum(nearest, np.linalg.norm(features - features[number], axis=1))
        nearest[chosen] = -1
    return np.array(chosen, np.int64)


def apart_in_time(videos: np.ndarray, frames: np.ndarray, apart: int) -> np.ndarray:
    """Returns the numbers of images of which no two of one video are closer than `apart` frames, the earliest first.

    Args:
        videos: (N,), the number of each video, below 0 for single images, to which no distance applies.
        frames: (N,), the number of each frame in its video, rising in each.
    """
    kept, last = [], {}
    for number, (video, frame) in enumerate(zip(videos.tolist(), frames.tolist(), strict=True)):
        if video < 0 or frame - last.get(video, -apart) >= apart:
            kept.append(number)
            last[video] = frame
    return np.array(kept, np.int64)
