"""Synthetic objects of several categories, with keypoints: people, faces and four-legged animals.

They stand in for the target data of work that transfers a network from one category to another.
Annotations are exact, and there is nothing to download. Image n of a category depends on the seed
and n alone; its background can be chosen without changing the object.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from data.figure_backgrounds import backdrop
from data.figure_looks import FINER, Domain, finish, limb_colours, render_body
from data.figure_poses import ALL_JOINTS, NUMBERS, TEN_POINTS, between, joints
from data.figures import generator_of, many_rendered
from data.prepared import Dataset
from kpjax.errors import InputError
from kpjax.input.source import ArraySource, arrays
from kpjax.structures import Skeleton

AMPLITUDE = 0.8  # largest brightness of a background
NOISE = 0.02  # standard deviation of each pixel, as a fraction of white
# the object alone at FINER times the size, its points (K, 2) px
Rendered = tuple[Image.Image, np.ndarray]


class Category(NamedTuple):
    """A category: its skeleton, its renderer, and the two points whose distance is the reference
    length.
    """

    name: str
    skeleton: Skeleton
    #: (pose, look, side of the image, px)
    render: Callable[[np.random.Generator, np.random.Generator, int], Rendered]
    ends: tuple[str, str]


def render_category(
    category: Category,
    count: int,
    seed: int,
    side: int,
    *,
    background: str = "clutter",
    first: int = 0,
) -> ArraySource:
    """Renders images of a category, numbers `first` to `first + count - 1`, into memory: 2 ms each
    at 64 px.

    Object and points do not depend on background and noise. All points are visible and inside.
    `scale` is the distance between the category's two end points, such as the eyes of a face.

    seed: selects the endless set. side: of the images, px. background: as of
    `figure_backgrounds.backdrop`. Raises InputError for an unknown background, and for a count that
    is not positive.
    """
    if count < 1:
        raise InputError(f"{category.name}: expected a positive count of images, found {count}")
    images, points = np.empty((count, side, side, 3), np.uint8), []
    for index, number in enumerate(range(first, first + count)):
        pose, look, behind = _generators(category, seed, number)
        canvas, spots = category.render(pose, look, side)
        images[index] = finish(canvas, backdrop(background, behind, side, AMPLITUDE), NOISE, look)
        points.append(spots)
    keypoints = np.stack(points)
    start, end = (category.skeleton.index(name) for name in category.ends)
    scale = np.linalg.norm(keypoints[:, start] - keypoints[:, end], axis=-1)
    return arrays(
        images,
        keypoints,
        np.ones(keypoints.shape[:2]),
        category.skeleton,
        f"{category.name}/{background}/{seed}",
        scale=scale,
    )


def _generators(category: Category, seed: int, number: int) -> list[np.random.Generator]:
    """Returns what draws an image's pose, its look and what lies behind."""
    home = Domain(f"category-{category.name}")
    return [generator_of(seed, home, number, purpose) for purpose in ("pose", "look", "behind")]


def render_masks(
    category: Category, count: int, seed: int, side: int, *, first: int = 0
) -> np.ndarray:
    """Returns which pixels of `render_category`'s images the object covers by half or more:
    (count, side, side) bool.
    """
    masks = np.empty((count, side, side), bool)
    for index, number in enumerate(range(first, first + count)):
        pose, look, _ = _generators(category, seed, number)
        canvas, _ = category.render(pose, look, side)
        masks[index] = np.asarray(canvas.reduce(FINER))[..., 3] >= 128
    return masks


def _render_person(pose: np.random.Generator, look: np.random.Generator, side: int) -> Rendered:
    """Renders a clothed person as in `figures`."""
    points = joints(pose.random((1, NUMBERS)), side)[0]
    keep = [ALL_JOINTS.index(name) for name in TEN_POINTS.names]
    clothed = Domain("people", "clothed", colour_low=0.25)
    return render_body(points, limb_colours(clothed, look), clothed.outline, side), points[keep]


PEOPLE = Category("figure_people", TEN_POINTS, _render_person, ("head", "neck"))


class Pen:
    """A transparent canvas, FINER times the finished image, for filled shapes in pixels of the
    finished image.

    The fourth band is the covered fraction of a pixel, as `figure_looks.finish` expects.
    """

    def __init__(self, side: int):
        self.canvas = Image.new("RGBX", (side * FINER, side * FINER))
        self._draw = ImageDraw.Draw(self.canvas)

    def shape(self, outline: np.ndarray, colour: np.ndarray) -> None:
        """Adds a polygon (P, 2). colour: (3,) in [0, 1]."""
        corners = (np.asarray(outline) * FINER + (FINER - 1) / 2).ravel().tolist()
        red, green, blue = (255 * np.clip(colour, 0, 1)).astype(int).tolist()
        self._draw.polygon(corners, fill=(red, green, blue, 255))

    def disc(self, centre: np.ndarray, radius: float, colour: np.ndarray) -> None:
        self.shape(ellipse(centre, (radius, radius)), colour)

    def limb(self, points: np.ndarray, radii: np.ndarray, colour: np.ndarray) -> None:
        """Adds a line through points (P, 2) with round ends and joints, and a radius (P,) at each
        point.
        """
        for start, end, narrow, wide in zip(points, points[1:], radii, radii[1:], strict=False):
            along = (end - start) / max(np.linalg.norm(end - start), 1e-9)
            across = np.array([-along[1], along[0]])
            self.shape(
                np.stack(
                    [
                        start + narrow * across,
                        end + wide * across,
                        end - wide * across,
                        start - narrow * across,
                    ]
                ),
                colour,
            )
        for point, radius in zip(points, radii, strict=True):
            self.disc(point, radius, colour)


def ellipse(centre: np.ndarray, radii: tuple[float, float]) -> np.ndarray:
    """Returns an ellipse about a centre (2,) as a polygon (28, 2). radii: along x and y."""
    around = 2 * np.pi * np.arange(28) / 28
    return np.asarray(centre) + np.stack([radii[0] * np.cos(around), radii[1] * np.sin(around)], -1)


def closed_curve(points: np.ndarray) -> np.ndarray:
    """Returns a smooth closed line (6 P, 2) through points (P, 2) in order."""
    places = (np.roll(points, shift, axis=0)[:, None] for shift in (1, 0, -1, -2))
    return between(*places, np.arange(6)[:, None] / 6).reshape(-1, 2)


def dataset_of(category: Category, about: str) -> Dataset:
    """Returns the dataset of a category, for each of two backgrounds. about: of its card."""
    return many_rendered(
        category.name,
        category.skeleton,
        about,
        {
            background: partial(render_category, category, seed=0, side=64, background=background)
            for background in ("clutter", "patches")
        },
    )
