"""Prediction of a video as it is written by hand: PyAV, PyTorch, and DARK as published. Importing this
needs PyTorch.
"""

import csv
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.nn import functional

from kpjax.input.stream import in_background
from kpjax.models.weights.torch_names import LEAF_NAMES, to_torch
from kpjax.structures import Variables

IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # mean and deviation, of RGB
# a frame (H, W, 3) uint8 -> a square image, pixels of the frame for each of its own, its left and upper edge
Resize = Callable[[np.ndarray], tuple[np.ndarray, float, tuple[int, int]]]


def tensors_of(variables: Variables) -> dict[str, torch.Tensor]:
    """Returns the weights of our MobileNetV2 by the names of its twin."""
    trunk = {kind: {"backbone": tree["backbone"]} for kind, tree in variables.items()}
    tensors = {
        f"backbone.{name.removeprefix('backbone.')}": array
        for name, array in to_torch(trunk).items()
    }
    for tree in variables.values():
        for layer, leaves in tree.get("upsampling", {}).items():
            tensors |= {f"upsampling.{layer}.{LEAF_NAMES[leaf]}": a for leaf, a in leaves.items()}
    tensors |= {
        f"head.{LEAF_NAMES[leaf]}": a for leaf, a in variables["params"]["head"]["output"].items()
    }
    return {
        name: torch.tensor(
            np.asarray(array).transpose(3, 2, 0, 1)
            if np.ndim(array) == 4 and not name.startswith("backbone")
            else np.asarray(array)
        )
        for name, array in tensors.items()
    }


def _fit(frame: np.ndarray, side: int) -> tuple[float, tuple[int, int], tuple[int, int]]:
    """Returns pixels of a frame for each of a square that holds it, its size there, and its place."""
    height, width = frame.shape[:2]
    step = max(height, width) / side
    size = round(width / step), round(height / step)
    return step, size, ((side - size[0]) // 2, (side - size[1]) // 2)


def by_pillow(frame: np.ndarray, *, side: int) -> tuple[np.ndarray, float, tuple[int, int]]:
    """Fits a frame into a square by Pillow's means over pixels."""
    step, size, place = _fit(frame, side)
    square = Image.new("RGB", (side, side))
    square.paste(Image.fromarray(frame).resize(size, Image.Resampling.BILINEAR), place)
    return np.asarray(square), step, place


def by_opencv(frame: np.ndarray, *, side: int) -> tuple[np.ndarray, float, tuple[int, int]]:
    """Fits a frame into a square by OpenCV's means over pixels."""
    import cv2

    step, size, (left, upper) = _fit(frame, side)
    square = np.zeros((side, side, 3), np.uint8)
    square[upper : upper + size[1], left : left + size[0]] = cv2.resize(
        frame, size, interpolation=cv2.INTER_AREA
    )
    return square, step, (left, upper)


def predict_video(
    network: nn.Module,
    video: Path,
    table: Path,
    *,
    resize: Resize,
    batch_size: int,
    stride: int,
    sigma: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Writes the points of a video as a table; returns them (N, K, 2) in pixels of its frames, and
    whether each is off the border of its map (N, K).

    The next batches are read while the network computes.
    """
    mean, deviation = (torch.tensor(values).reshape(1, 3, 1, 1) for values in IMAGENET)

    def frames() -> Iterator[tuple[np.ndarray, float, tuple[int, int]]]:
        with av.open(video) as container:
            container.streams.video[0].thread_type = "AUTO"
            for frame in container.decode(video=0):
                yield resize(frame.to_ndarray(format="rgb24"))

    read, found = frames(), []
    batches = iter(lambda: list(itertools.islice(read, batch_size)), [])
    for batch in in_background(batches, 2):
        squares, steps, places = zip(*batch, strict=True)
        images = torch.from_numpy(np.stack(squares)).permute(0, 3, 1, 2)  # channels last as it is
        with torch.inference_mode():
            heatmaps = network((images.float() / 255 - mean) / deviation)
            points, scores, inside = decode_dark(heatmaps.contiguous(), sigma)
        pixels = points.numpy() * stride + (stride - 1) / 2
        # to pixels of the frame, whose edges meet those of its part of the square
        step, place = np.array(steps)[:, None, None], np.array(places)[:, None]
        found.append(((pixels - place + 0.5) * step - 0.5, scores.numpy(), inside.numpy()))
    keypoints, scores, inside = (np.concatenate(parts) for parts in zip(*found, strict=True))
    with table.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("frame", "keypoint", "x", "y", "score"))
        for frame, keypoint in np.ndindex(*scores.shape):
            x, y = keypoints[frame, keypoint]
            writer.writerow(
                (frame, keypoint, f"{x:.4f}", f"{y:.4f}", f"{scores[frame, keypoint]:.4f}")
            )
    return keypoints, inside


def decode_dark(
    heatmaps: torch.Tensor, sigma: float
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Returns points (B, K, 2) in heatmap pixels by DARK (Zhang et al. 2020), scores, and whether
    nothing beyond the border plays a part; heatmaps (B, K, h, w)."""
    height, width = heatmaps.shape[2:]
    scores, index = heatmaps.flatten(2).max(2)
    radius = max(1, round((sigma - 0.8) / 0.3 + 1))
    kernel = torch.exp(
        -torch.arange(-radius, radius + 1.0).square() / (2 * (0.3 * (radius - 1) + 0.8) ** 2)
    )
    kernel = (kernel / kernel.sum()).reshape(1, 1, 1, -1)
    maps = heatmaps.reshape(-1, 1, height, width).clamp(min=1e-10)
    maps = functional.conv2d(maps, kernel, padding=(0, radius))
    maps = functional.conv2d(maps, kernel.transpose(2, 3), padding=(radius, 0))
    maps = maps.reshape(heatmaps.shape).flatten(2)
    logs = (maps * (scores / maps.amax(2))[..., None]).clamp(min=1e-10).log()
    x, y = index % width, index // width

    def at(dx: int, dy: int) -> torch.Tensor:
        place = (y + dy).clamp(0, height - 1) * width + (x + dx).clamp(0, width - 1)
        return logs.gather(2, place[..., None])[..., 0]

    dx, dy = 0.5 * (at(1, 0) - at(-1, 0)), 0.5 * (at(0, 1) - at(0, -1))
    dxx = 0.25 * (at(2, 0) - 2 * at(0, 0) + at(-2, 0))
    dyy = 0.25 * (at(0, 2) - 2 * at(0, 0) + at(0, -2))
    dxy = 0.25 * (at(1, 1) - at(1, -1) - at(-1, 1) + at(-1, -1))
    determinant = dxx * dyy - dxy * dxy
    steady = (dxx < 0) & (determinant > 0)
    divisor = torch.where(steady, determinant, 1.0)
    step = torch.stack((dxy * dy - dyy * dx, dxy * dx - dxx * dy), -1) / divisor[..., None]
    points = torch.stack((x, y), -1) + torch.where(steady[..., None], step.clamp(-1, 1), 0.0)
    reach = radius + 2
    inside = (x >= reach) & (x < width - reach) & (y >= reach) & (y < height - reach)
    return points, scores, inside
