"""Drawn articulated people in several visual domains: the data that every demo has at hand, with nothing to fetch.

Figure number n of a domain depends on the seed and n alone, so that any part of an endless set can be drawn by itself.
"""
from collections.abc import Iterator, Mapping
from pathlib import Path
from zlib import crc32

import numpy as np
import tensorflow_datasets as tfds

from data.figure_looks import DOMAINS, SOURCE, Domain, background, cover, draw_body, finish, limb_colours, target
from data.figure_poses import ALL_JOINTS, JOINTS, NUMBERS, TEN_POINTS, joints, motion
from data.prepared import Dataset, KeypointBuilder, Record, record
from kpjax.input.source import ArraySource, arrays
from kpjax.structures import Skeleton

__all__ = ["ALL_JOINTS", "DATASET", "DOMAINS", "SOURCE", "TEN_POINTS", "Domain", "draw_video", "figures", "target"]


def drawn_numbers(seed: int, domain: Domain, index: int, purpose: str) -> np.random.Generator:
    """Random numbers of one figure: a counter-based generator with a place of its own for every (index, purpose)."""
    key = np.array([seed, crc32(domain.name.encode())], np.uint64)
    counter = np.array([0, 0, index, crc32(purpose.encode())], np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=counter))


def _columns(skeleton: Skeleton) -> list[int]:
    return [ALL_JOINTS.index(name) for name in skeleton.names]


def figures(
    count: int, domain: Domain, seed: int, side: int, *, first: int = 0, skeleton: Skeleton = TEN_POINTS
) -> ArraySource:
    """`count` figures of a domain, numbers `first` to `first + count - 1`, drawn now and kept in memory.

    skeleton: which joints are labelled, TEN_POINTS or ALL_JOINTS or `figure_poses.skeleton(names)`; it does not change
    the images. `scale` is the image's side. About 0.7 ms a figure at 64 px.
    """
    numbers = range(first, first + count)
    pose = np.stack([drawn_numbers(seed, domain, number, "pose").random(NUMBERS) for number in numbers])
    points = joints(pose, side)
    images = np.empty((count, side, side, 3), np.uint8)
    visible = np.ones((count, len(JOINTS)), np.float32)
    for row, number in enumerate(numbers):
        look = drawn_numbers(seed, domain, number, "look")
        body = draw_body(points[row], limb_colours(domain, look), domain.outline, side)
        behind = background(domain, look, side)
        if domain.hidden:
            visible[row] = look.random(len(JOINTS)) >= domain.hidden
            cover(body, points[row][visible[row] == 0], 0.05 * side)
        images[row] = finish(body, behind, domain.noise, look)
    keep = _columns(skeleton)
    shown = visible[:, keep]
    return arrays(images, points[:, keep] * shown[..., None], shown, skeleton, f"figures/{domain.name}/{seed}")


def draw_video(
    frames: int, domain: Domain, seed: int, number: int, side: int, *, skeleton: Skeleton = ALL_JOINTS,
    frames_per_pose: float = 8.0,
) -> ArraySource:
    """One video as a source of its frames in order: a figure of one look that moves before a still background.

    number: of the video in the endless set of (domain, seed). Noise differs from frame to frame.
    """
    moves = drawn_numbers(seed, domain, number, "motion")
    points = joints(motion(moves, frames, frames_per_pose=frames_per_pose), side, together=True)
    look = drawn_numbers(seed, domain, number, "video look")
    colours, behind = limb_colours(domain, look), background(domain, look, side)
    images = np.stack([finish(draw_body(spots, colours, domain.outline, side), behind, domain.noise, look)
                       for spots in points])
    keep = _columns(skeleton)
    return arrays(images, points[:, keep], np.ones((frames, len(keep))), skeleton,
                  f"figures/{domain.name}/{seed}/video-{number}")


class Figures(KeypointBuilder):
    """1,000 images of 64 px for training and 200 for testing of every domain, as files.

    `figures` draws any number at any size without files; this is for programs that read prepared sets only.
    """

    name = "figures"
    VERSION = tfds.core.Version("1.0.0")
    MANUAL_DOWNLOAD_INSTRUCTIONS = None
    keypoints = len(TEN_POINTS.names)
    encoding = "png"
    images: Mapping[str, range] = {"train": range(1000), "test": range(1000, 1200)}

    def splits(self, folder: Path | None) -> Mapping[str, Iterator[Record]]:
        return {f"{name}_{part}": _records(domain, numbers)
                for name, domain in DOMAINS.items() for part, numbers in self.images.items()}


def _records(domain: Domain, numbers: range) -> Iterator[Record]:
    drawn = figures(len(numbers), domain, 0, 64, first=numbers.start)
    for number, example in zip(numbers, drawn, strict=True):
        yield record(example.image, example.keypoints, example.visible, float(example.scale),
                     f"{domain.name}_{number:05d}")


DATASET = Dataset("figures", Figures, lambda folder: TEN_POINTS, "drawn by kpjax, nothing to fetch",
                  lambda folder: [], needs_folder=False)
