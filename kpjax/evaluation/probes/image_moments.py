"""Nine moments of the moving part of an image: the baseline of a linear probe without any learning.

They are the centre, the spread and the skewness of a mask of the differences from the video's
background. They find no part of a body. Yet for one body before a still background a linear probe
predicts much of the pose from them.
"""

from collections.abc import Iterable

import chex
import numpy as np

from kpjax.errors import InputError

# powers of x and y, in the order of the features
POWERS = ((2, 0), (1, 1), (0, 2), (3, 0), (2, 1), (1, 2), (0, 3))
NAMES = ("x", "y", *("x" * across + "y" * down for across, down in POWERS))
BACKGROUND_FRAMES = 100  # evenly spaced ones are enough for a median
NOISE = 0.1  # share of the full range: a smaller difference is none


def image_moments(videos: Iterable[np.ndarray]) -> np.ndarray:
    """Computes moments up to the third order of the moving mask of every frame: (N, 9) float64,
    video after video.

    The features have the order of `NAMES`: the mask's centre, then its central moments of second
    and third order, each divided by the mask's sum, in normalised coordinates (the centres of outer
    pixels at -1 and 1). A frame in which nothing moves has zeros.

    videos: the frames (T, H, W, C) uint8 of each; one at a time is read. Raises InputError for no
    video, and as `moving_masks` does.
    """
    moments = [mask_moments(moving_masks(frames)) for frames in videos]
    if not moments:
        raise InputError("image moments: there is no video; give at least one")
    return np.concatenate(moments)


def moving_masks(frames: np.ndarray) -> np.ndarray:
    """Computes how much each pixel of one video differs from the video's background: (T, H, W)
    float32 in [0, 1].

    The difference is the mean over channels of absolute differences from the median frame, as a
    fraction of the full range, 0 below `NOISE`. Whatever stays in one place for half of the video
    belongs to the background.

    frames: (T, H, W, C) uint8. Raises InputError for a single frame, which differs from itself in
    nothing.
    """
    if len(frames) < 2:
        raise InputError(
            f"image moments: a video of {len(frames)} frame has no background to differ from; leave it "
            "out"
        )
    frames = np.asarray(frames)
    chex.assert_rank(frames, 4)
    spread = np.linspace(0, len(frames) - 1, BACKGROUND_FRAMES).round().astype(int)
    drawn = frames[np.unique(spread)]
    still = np.median(drawn, axis=0).astype(np.float32)
    differences = [np.abs(frame.astype(np.float32) - still).mean(-1) for frame in frames]
    difference = np.stack(differences) / 255
    return np.where(difference >= NOISE, difference, np.float32(0))


def mask_moments(masks: np.ndarray) -> np.ndarray:
    """Computes the nine features of `image_moments` (T, 9) float64 of masks (T, H, W) that are not
    negative.
    """
    masks = np.asarray(masks, np.float64)
    chex.assert_rank(masks, 3)
    height, width = masks.shape[1:]
    down = np.linspace(-1, 1, height)
    across = np.linspace(-1, 1, width)
    mass = masks.sum((1, 2))
    divisor = np.where(mass > 0, mass, 1)
    weight = np.where(mass > 0, 1 / divisor, 0.0)
    # Profiles are enough for the centre, and the centre for centred powers: one product per moment,
    # no (T, H, W) copy.
    x = (masks.sum(1) @ across) * weight
    y = (masks.sum(2) @ down) * weight
    from_x = across - x[:, None]
    from_y = down - y[:, None]
    central = []
    for i, j in POWERS:
        moment = np.einsum("th,thw,tw->t", from_y**j, masks, from_x**i, optimize=True)
        central.append(moment * weight)
    return np.stack([x, y, *central], axis=1)
