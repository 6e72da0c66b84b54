"""What a row's keypoints look like on test videos: moving, in a sheet, and as the masks that features pass through."""
from collections.abc import Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from experiments.pyramids.config import Config
from experiments.pyramids.variants import RECIPES, painter
from kpjax.drawing.overlays import contact_sheet, draw_keypoints, enlarged, prediction_sheet, write_png
from kpjax.evaluation.probes.regression_errors import normalised_from_pixels
from kpjax.files import atomic
from kpjax.input.source import stacked, strip_labels, subset
from kpjax.input.video_source import VideoSource
from kpjax.methods.discovery.discovery import level_skeleton
from kpjax.models.image_generation import draw_normalised_points
from kpjax.structures import Method, Trained
from kpjax.training.evaluation import predict_source

SHOWN_VIDEOS, SHOWN_FRAMES, SHOWN_PAIRS = 3, 16, 4
FRAME_MILLISECONDS = 120
SIDE = 144  # px, to which small pictures are enlarged


def draw_pictures(method: Method, trained: Trained, source: VideoSource, config: Config, variant: str, folder: Path
                  ) -> None:
    """Writes the row's pictures; of several processes all must call it, and the first writes.

    keypoints_moving.png is an animated PNG, which browsers play, also inside the report.
    """
    videos = np.unique(np.linspace(0, len(source.titles) - 1, SHOWN_VIDEOS).round().astype(int))
    strips = [np.arange(*source.bounds[video])[:SHOWN_FRAMES] for video in videos]
    labelled = method.skeleton == source.skeleton  # the bound predicts the joints themselves
    chosen = subset(source, np.concatenate(strips))
    found = predict_source(method, trained, chosen, batch_size=4 * config.batch_size)
    if jax.process_index() == 0:
        drawn = [draw_keypoints(chosen[number].image, found.keypoints[number], None, method.skeleton, minimum_side=SIDE)
                 for number in range(len(chosen))]
        ends = np.cumsum([len(strip) for strip in strips])
        columns = [drawn[end - len(strip):end] for strip, end in zip(strips, ends, strict=True)]
        length = min(len(column) for column in columns)
        write_animation(folder / "keypoints_moving.png",
                        [contact_sheet([column[frame] for column in columns], len(columns)) for frame in range(length)])
    spread = np.linspace(0, len(source) - 1, 16).round().astype(int)
    some = subset(source, spread)
    found = predict_source(method, trained, some, batch_size=4 * config.batch_size)
    if not labelled:
        masks = masks_sheet(method, trained, source, config, variant)
    if jax.process_index() == 0:
        true = {"true": found.true_keypoints, "visible": found.visible} if labelled else {}
        write_png(folder / "keypoints.png", prediction_sheet(
            [some[number].image for number in range(len(some))], found.keypoints, None, method.skeleton, columns=4,
            **true))
        if not labelled:
            write_png(folder / "masks.png", masks)


def write_animation(path: Path, frames: Sequence[np.ndarray], *, milliseconds: int = FRAME_MILLISECONDS) -> None:
    """Frames (h, w, 3) uint8 of one size as an endless animated PNG, whole or not at all.

    Colours lose four bits; of noisy pictures the file is then less than half as large.
    """
    images = [Image.fromarray(frame & 0xF0) for frame in frames]
    with atomic(path) as partial:
        images[0].save(partial, format="PNG", save_all=True, append_images=images[1:], duration=milliseconds, loop=0)


def masks_sheet(method: Method, trained: Trained, source: VideoSource, config: Config, variant: str) -> np.ndarray:
    """Some pairs of a frame and its reference: what of the features is taken from where either has a keypoint, level by
    level, and what a row of Keypoint Pyramids paints of it."""
    numbers = np.linspace(0, len(source.titles) - 1, SHOWN_PAIRS).round().astype(int)
    pairs = np.array([_two_frames(source, number) for number in numbers])
    chosen = subset(source, pairs.ravel())
    keypoints = predict_source(method, trained, chosen, batch_size=4 * config.batch_size).keypoints
    keypoints = keypoints.reshape(*pairs.shape, *keypoints.shape[1:])
    frame, reference = (strip_labels(stacked([source[row] for row in rows])) for rows in pairs.T)
    on_host = jax.tree.map(np.asarray, Trained(trained.variables, trained.frozen))
    heatmaps = jax.eval_shape(method.predict, on_host, frame).heatmaps
    columns = {"reference": reference.image, "frame": frame.image}
    groups = method.skeleton.groups or {"": tuple(range(len(method.skeleton.names)))}
    for place, ((level, members), maps) in enumerate(zip(groups.items(), heatmaps, strict=True)):
        width = config.transport_widths[place] if len(groups) > 1 else _flat_width(config, variant)
        masks = _masks(keypoints[:, 0, list(members)], keypoints[:, 1, list(members)], maps.shape[1:3], width,
                       frame.image.shape[1:3])
        columns[f"seen {level}".strip()] = [(image * (0.2 + 0.8 * mask[..., None])).astype(np.uint8)
                                            for image, mask in zip(frame.image, masks, strict=True)]
    if variant in RECIPES and method.skeleton == level_skeleton(config.level_sizes):
        # The parts that an untrained row's network has are those of the full method.
        _, paint = painter(config, variant)
        for picture, painted in paint(on_host.variables, frame.image, reference.image).items():
            columns[picture.replace("_", " ")] = np.asarray((255 * painted).clip(0, 255), np.uint8)
    images = [enlarged(np.asarray(column[row]), SIDE) for row in range(len(pairs)) for column in columns.values()]
    return contact_sheet(images, len(columns), captions=[*columns] * len(pairs))


def _flat_width(config: Config, variant: str) -> float:
    return config.keynet_width if variant == "keynet" else config.transporter_width


def _two_frames(source: VideoSource, video: int) -> tuple[int, int]:
    """The numbers of a frame in the middle of a video, and of one a third of the video before it."""
    first, end = source.bounds[video]
    middle = (first + end) // 2
    return middle, max(first, middle - max(1, (end - first) // 3))


def _masks(points, of_reference, cells: tuple[int, int], width: float, size: tuple[int, int]) -> np.ndarray:
    """(B, H, W) in [0, 1]: 1 - m_l of equation 2, drawn at the size of its feature map and enlarged to the picture."""
    keep = 1.0
    for found in (points, of_reference):
        normalised = jnp.asarray(normalised_from_pixels(np.asarray(found), size), jnp.float32)
        keep = keep * np.prod(1 - np.asarray(draw_normalised_points(normalised, cells, width)), axis=-1)
    return np.stack([np.asarray(Image.fromarray(1 - mask.astype(np.float32)).resize(
        size[::-1], Image.Resampling.NEAREST)) for mask in np.asarray(keep)])
