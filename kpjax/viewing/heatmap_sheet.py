"""Heatmaps shown over their picture, one panel per keypoint."""
import numpy as np
from PIL import Image

from kpjax.structures import Skeleton
from kpjax.viewing.overlays import contact_sheet, enlarged, enlargement

# Anchors of a map that grows evenly in lightness (matplotlib's inferno at equal steps), dark = nothing.
ANCHORS = np.asarray([
    [0, 0, 4], [31, 12, 72], [85, 15, 109], [136, 34, 106], [186, 54, 85], [227, 89, 51], [249, 140, 10],
    [249, 201, 50], [252, 255, 164]], np.float64)


def colour_of(values: np.ndarray) -> np.ndarray:
    """Colours (..., 3) float64 in [0, 255] of values in [0, 1], dark to light."""
    position = np.clip(values, 0, 1) * (len(ANCHORS) - 1)
    return np.stack([np.interp(position, np.arange(len(ANCHORS)), ANCHORS[:, c]) for c in range(3)], -1)


def heatmap_sheet(
    image: np.ndarray, heatmaps: np.ndarray, skeleton: Skeleton, *, image_to_heatmap: np.ndarray | None = None,
    columns: int | None = None, minimum_side: int = 192,
) -> np.ndarray:
    """A contact sheet with one panel per keypoint: the picture in grey under its heatmap, (h, w, 3) uint8.

    image: (H, W, 3) uint8. heatmaps: (h, w, K), any range: each map is coloured from its own minimum to its own
    maximum, and the caption gives the keypoint's name and both ends. A constant map is shown dark.
    image_to_heatmap: (3, 3), pixels of the image to cells of the heatmap, for example `geometry.index_grid(4)`; without
    it the map is taken to cover the picture exactly, as `geometry.half_pixel_grid` does.
    Raises ValueError if the number of maps is not the skeleton's.
    """
    heatmaps = np.asarray(heatmaps, np.float32)
    if heatmaps.shape[-1] != len(skeleton.names):
        raise ValueError(f"{heatmaps.shape[-1]} heatmaps for {len(skeleton.names)} keypoints")
    height, width = image.shape[:2]
    factor = enlargement(height, width, minimum_side)
    grey = np.asarray(Image.fromarray(enlarged(image, minimum_side)).convert("L"), np.float64)[..., None]
    if image_to_heatmap is None:
        image_to_heatmap = _covering(heatmaps.shape[1] / width, heatmaps.shape[0] / height)
    coefficients = _pillow_coefficients(np.asarray(image_to_heatmap, np.float64), factor)

    panels, captions = [], []
    for name, values in zip(skeleton.names, np.moveaxis(heatmaps, -1, 0), strict=True):
        low, high = float(values.min()), float(values.max())
        relative = (values - low) / (high - low) if high > low else np.zeros_like(values)
        large = np.asarray(Image.fromarray(relative.astype(np.float32)).transform(
            (width * factor, height * factor), Image.Transform.AFFINE, coefficients, Image.Resampling.BILINEAR))
        covered = np.clip(large, 0, 1)[..., None]
        opacity = 0.15 + 0.75 * covered  # the picture stays visible where the map says nothing
        panels.append(np.round((1 - opacity) * 0.75 * grey + opacity * colour_of(covered[..., 0])).astype(np.uint8))
        captions.append(f"{name}  {low:.2g} to {high:.2g}")
    return contact_sheet(panels, columns, captions=captions)


def _covering(scale_x: float, scale_y: float) -> np.ndarray:
    """The map between two arrays that cover the same area, in pixels whose centres are whole numbers."""
    return np.asarray([[scale_x, 0, 0.5 * scale_x - 0.5], [0, scale_y, 0.5 * scale_y - 0.5], [0, 0, 1]], np.float64)


def _pillow_coefficients(image_to_heatmap: np.ndarray, factor: int) -> tuple[float, ...]:
    """The six numbers of Pillow's affine transform, which counts from the corner of the top-left pixel."""
    to_centres = np.asarray([[1, 0, -0.5], [0, 1, -0.5], [0, 0, 1]])
    shrink = np.diag([1 / factor, 1 / factor, 1.0])
    whole = np.linalg.inv(to_centres) @ image_to_heatmap @ to_centres @ shrink
    return tuple(whole[:2].ravel())
