"""Drawn objects of several categories, with points: people, faces (`figure_faces`) and four-legged animals.

They stand in for the targets of work that carries a network from one category to another, with annotation that is exact
and nothing to fetch. Image number n of a category depends on the seed and n alone, and its background can be chosen
without a change to the object.
"""
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from data.figure_backgrounds import backdrop
from data.figure_looks import FINER, Domain, draw_body, finish, limb_colours
from data.figure_poses import ALL_JOINTS, NUMBERS, TEN_POINTS, joints
from data.figures import drawn_numbers
from data.prepared import Dataset, KeypointBuilder, Record, record
from kpjax.errors import InputError
from kpjax.input.source import ArraySource, arrays
from kpjax.structures import Skeleton

Drawn = tuple[Image.Image, np.ndarray]  # the object alone at FINER times the size, its points (K, 2) px
BOTH = ("clutter", "patches")  # the backgrounds that prepared sets have


class Category(NamedTuple):
    """A kind of object: how one is drawn, its points, and which two of them are its reference length apart."""

    name: str
    skeleton: Skeleton
    draw: Callable[[np.random.Generator, np.random.Generator, int], Drawn]  # (pose, look, side)
    ends: tuple[str, str]


def draw_category(
    category: Category, count: int, seed: int, side: int, *, background: str = "clutter", amplitude: float = 0.8,
    noise: float = 0.02, first: int = 0,
) -> ArraySource:
    """`count` images of a category, numbers `first` to `first + count - 1`, drawn now and kept in memory.

    background: see `figure_backgrounds.backdrop`; amplitude: the brightest that it can be. noise: standard deviation of
    each pixel, as a fraction of white. Object and points depend on neither. All points are visible and inside.
    `scale` is the distance of the category's two end points: the eyes of a face. About 2 ms an image at 64 px.
    Raises InputError for a background that is unknown, and for no image.
    """
    if count < 1:
        raise InputError(f"{category.name}: {count} images are asked for; ask for at least 1")
    home = Domain(f"category-{category.name}")
    images, points = np.empty((count, side, side, 3), np.uint8), []
    for row, number in enumerate(range(first, first + count)):
        pose, look, behind = (drawn_numbers(seed, home, number, purpose) for purpose in ("pose", "look", "behind"))
        drawn, spots = category.draw(pose, look, side)
        images[row] = finish(drawn, backdrop(background, behind, side, amplitude), noise, look)
        points.append(spots)
    keypoints = np.stack(points)
    start, end = (category.skeleton.index(name) for name in category.ends)
    scale = np.linalg.norm(keypoints[:, start] - keypoints[:, end], axis=-1)
    return arrays(images, keypoints, np.ones(keypoints.shape[:2]), category.skeleton,
                  f"{category.name}/{background}/{seed}", scale=scale)


def _draw_person(pose: np.random.Generator, look: np.random.Generator, side: int) -> Drawn:
    """A person as the domains of `figures` draw them, clothed."""
    points = joints(pose.random((1, NUMBERS)), side)[0]
    keep = [ALL_JOINTS.index(name) for name in TEN_POINTS.names]
    clothed = Domain("people", "clothed", colour_low=0.25)
    return draw_body(points, limb_colours(clothed, look), clothed.outline, side), points[keep]


PEOPLE = Category("figure_people", TEN_POINTS, _draw_person, ("head", "neck"))


class Pen:
    """Draws filled shapes given in pixels of the finished image on a transparent canvas FINER times its size.

    The fourth band is the share of a pixel that is covered, as `figure_looks.finish` reads it.
    """

    def __init__(self, side: int):
        self.canvas = Image.new("RGBX", (side * FINER, side * FINER))
        self._draw = ImageDraw.Draw(self.canvas)

    def shape(self, outline: np.ndarray, colour: np.ndarray) -> None:
        """A polygon (P, 2). colour: (3,) in [0, 1]."""
        corners = (np.asarray(outline) * FINER + (FINER - 1) / 2).ravel().tolist()
        red, green, blue = (255 * np.clip(colour, 0, 1)).astype(int).tolist()
        self._draw.polygon(corners, fill=(red, green, blue, 255))

    def disc(self, centre: np.ndarray, radius: float, colour: np.ndarray) -> None:
        self.shape(ellipse(centre, (radius, radius)), colour)

    def limb(self, points: np.ndarray, radii: np.ndarray, colour: np.ndarray) -> None:
        """A line through points (P, 2) with round ends and joints, of a radius (P,) at each point."""
        for start, end, narrow, wide in zip(points, points[1:], radii, radii[1:], strict=False):
            along = (end - start) / max(np.linalg.norm(end - start), 1e-9)
            across = np.array([-along[1], along[0]])
            self.shape(np.stack([start + narrow * across, end + wide * across, end - wide * across,
                                 start - narrow * across]), colour)
        for point, radius in zip(points, radii, strict=True):
            self.disc(point, radius, colour)


def ellipse(centre: np.ndarray, radii: tuple[float, float], degrees: float = 0.0, *, corners: int = 28) -> np.ndarray:
    """(corners, 2): an ellipse about a centre, its first radius turned by `degrees` from the x axis towards y."""
    around, turn = 2 * np.pi * np.arange(corners) / corners, np.deg2rad(degrees)
    across, down = radii[0] * np.cos(around), radii[1] * np.sin(around)
    turned = np.stack([across * np.cos(turn) - down * np.sin(turn), across * np.sin(turn) + down * np.cos(turn)], -1)
    return np.asarray(centre) + turned


def closed_curve(points: np.ndarray, steps: int = 6) -> np.ndarray:
    """(P * steps, 2): a smooth closed line through points (P, 2) in order (Catmull-Rom)."""
    before, after, beyond = (np.roll(points, shift, axis=0)[:, None] for shift in (1, -1, -2))
    here, t = points[:, None], (np.arange(steps) / steps)[None, :, None]
    curve = here + 0.5 * t * (after - before + t * (2 * before - 5 * here + 4 * after - beyond + t * (
        3 * (here - after) + beyond - before)))
    return curve.reshape(-1, 2)


class CategoryBuilder(KeypointBuilder):
    """1,000 images of 64 px for training and 200 for testing before each of two backgrounds, as files.

    `draw_category` draws any number at any size without files; this is for programs that read prepared sets only.
    """

    MANUAL_DOWNLOAD_INSTRUCTIONS = None
    encoding = "png"
    category: Category
    images: Mapping[str, range] = {"train": range(1000), "test": range(1000, 1200)}

    def splits(self, folder: Path | None) -> Mapping[str, Iterator[Record]]:
        return {f"{background}_{part}": self._records(background, numbers)
                for background in BOTH for part, numbers in self.images.items()}

    def _records(self, background: str, numbers: range) -> Iterator[Record]:
        drawn = draw_category(self.category, len(numbers), 0, 64, background=background, first=numbers.start)
        for number, example in zip(numbers, drawn, strict=True):
            yield record(example.image, example.keypoints, example.visible, float(example.scale),
                         f"{background}_{number:05d}")


def dataset_of(builder: type[CategoryBuilder]) -> Dataset:
    """The prepared set of a category."""
    return Dataset(builder.name, builder, lambda folder: builder.category.skeleton,
                   "drawn by kpjax, nothing to fetch", lambda folder: [], needs_folder=False)
