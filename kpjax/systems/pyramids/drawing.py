"""Images of discovered keypoints on test videos: moving, and as the masks that features pass through."""
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from kpjax import Method, Skeleton, Trained
from kpjax.drawing.overlays import contact_sheet, draw_keypoints, enlarged, write_png
from kpjax.evaluation.probes.regression_errors import normalised_from_pixels
from kpjax.files import atomic
from kpjax.input.source import stacked, strip_labels
from kpjax.input.video_source import VideoSource
from kpjax.models import blobs_of_points

SHOWN_VIDEOS, SHOWN_FRAMES, SHOWN_PAIRS = 3, 16, 4
FRAME_MILLISECONDS = 120
SIDE = 144  # px, to which small images are enlarged
Render = Callable[[Mapping, np.ndarray, np.ndarray], Mapping[str, np.ndarray]]
# (variables, frames and their references (B, H, W, 3) uint8) -> rendered images in [0, 1] by name


def draw_keypoints_moving(path: Path, source: VideoSource, keypoints: np.ndarray, skeleton: Skeleton) -> None:
    """Draws keypoints (N, K, 2) of all frames on the start of some videos, side by side, as an endless animated PNG."""
    videos = np.unique(np.linspace(0, len(source.titles) - 1, SHOWN_VIDEOS).round().astype(int))
    columns = [[draw_keypoints(source[number].image, keypoints[number], None, skeleton, minimum_side=SIDE)
                for number in range(*source.bounds[video])[:SHOWN_FRAMES]] for video in videos]
    # Colours lose four bits: files of noisy images are then less than half as large.
    images = [Image.fromarray(contact_sheet(shown, len(columns)) & 0xF0) for shown in zip(*columns, strict=False)]
    with atomic(path) as file:
        images[0].save(file, format="PNG", save_all=True, append_images=images[1:], duration=FRAME_MILLISECONDS, loop=0)


def draw_masks(path: Path, source: VideoSource, keypoints: np.ndarray, method: Method, trained: Trained, *,
               widths: Sequence[float], render: Render | None,
               finished: Callable[[list[int], np.ndarray], np.ndarray] | None = None) -> None:
    """Draws pairs of a frame and its reference, and for each level the features that are taken at its keypoints.

    keypoints: (N, K, 2), of all frames. method: has a heatmap for each of its levels. widths: of the blobs of each
    level. render: reconstructs frames, whose images are drawn beside; None if the method has no such images.
    finished: (numbers of the frames, what is rendered of them) -> images, where they differ.
    """
    pairs = []  # a frame in the middle of a video, and one a third of the video before it
    for video in np.linspace(0, len(source.titles) - 1, SHOWN_PAIRS).round().astype(int):
        first, end = source.bounds[video]
        middle = (first + end) // 2
        pairs.append((middle, max(first, middle - max(1, (end - first) // 3))))
    frames, references = map(list, zip(*pairs, strict=True))
    frame, reference = (strip_labels(stacked([source[row] for row in rows])) for rows in (frames, references))
    on_host = jax.tree.map(np.asarray, Trained(trained.variables, trained.frozen))
    heatmaps = jax.eval_shape(method.predict, on_host, frame).heatmaps
    columns = {"reference": reference.image, "frame": frame.image}
    groups = method.skeleton.groups or {"": tuple(range(len(method.skeleton.names)))}
    size = frame.image.shape[1:3]
    for (level, members), maps, width in zip(groups.items(), heatmaps, widths, strict=True):
        keep = 1.0
        for rows in (frames, references):
            points = jnp.asarray(normalised_from_pixels(keypoints[np.ix_(rows, members)], size), jnp.float32)
            keep = keep * np.prod(1 - np.asarray(blobs_of_points(points, maps.shape[1:3], width)), axis=-1)
        # 1 - m_l of equation 2, at the size of its feature map, and enlarged
        masks = [np.asarray(Image.fromarray(1 - mask.astype(np.float32)).resize(size[::-1], Image.Resampling.NEAREST))
                 for mask in np.asarray(keep)]
        columns[f"seen {level}".strip()] = [(image * (0.2 + 0.8 * mask[..., None])).astype(np.uint8)
                                            for image, mask in zip(frame.image, masks, strict=True)]
    if render:
        for name, images in render(on_host.variables, frame.image, reference.image).items():
            images = finished(frames, images) if finished else images
            columns[name.replace("_", " ")] = np.asarray((255 * images).clip(0, 255), np.uint8)
    images = [enlarged(np.asarray(column[row]), SIDE) for row in range(len(pairs)) for column in columns.values()]
    write_png(path, contact_sheet(images, len(columns), captions=[*columns] * len(pairs)))
