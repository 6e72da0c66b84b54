"""Backgrounds of synthetic objects: those of the synthetic people, and two busier ones.

A network trained with one kind of background learns to separate objects from that kind, and must
adapt to another one. So backgrounds are chosen independently of the object.
"""

from functools import cache

import numpy as np
from PIL import Image, ImageDraw

from data.figure_looks import FINER, Domain, background
from kpjax.errors import InputError

OF_PEOPLE = ("plain", "smooth", "photo-like")  # see `figure_looks.Domain`
BACKGROUNDS = (*OF_PEOPLE, "clutter", "patches")
GREY = np.array([0.45, 0.42, 0.38])  # the mean colour of patches, close to that of photographs


def backdrop(kind: str, generator: np.random.Generator, side: int, amplitude: float) -> np.ndarray:
    """Renders a background, (side, side, 3) float64 in [0, amplitude]. Raises InputError for an
    unknown kind.

    kind: "plain", "smooth" or "photo-like", as behind the synthetic people; "clutter", uniformly
    coloured discs, bars and triangles on one colour; or "patches", regions of noise, stripes and
    fibres with edges and shading, as in patches of photographs.
    """
    if kind in OF_PEOPLE:
        return background(
            Domain("backdrop", background=kind, background_amplitude=amplitude), generator, side
        )
    if kind not in BACKGROUNDS:
        raise InputError(f"background {kind!r} is unknown; choose among {', '.join(BACKGROUNDS)}")
    return amplitude * (_clutter if kind == "clutter" else _patches)(generator, side)


def _clutter(generator: np.random.Generator, side: int) -> np.ndarray:
    fine = side * FINER
    image = Image.new("RGB", (fine, fine), _random_colour(generator))
    pen = ImageDraw.Draw(image)
    for _ in range(generator.integers(12, 25)):
        x, y = fine * generator.random(2)
        reach = fine * generator.uniform(0.02, 0.11)
        colour, turn = _random_colour(generator), 2 * np.pi * generator.random()
        kind = generator.integers(3)
        if kind == 0:
            pen.ellipse((x - reach, y - reach, x + reach, y + reach), fill=colour)
        elif kind == 1:
            dx, dy = 2 * reach * np.cos(turn), 2 * reach * np.sin(turn)
            pen.line((x - dx, y - dy, x + dx, y + dy), fill=colour, width=max(int(0.4 * reach), 1))
        else:
            angles = turn + 2 * np.pi * np.arange(3) / 3
            pen.polygon(
                [(x + 1.3 * reach * np.cos(a), y + 1.3 * reach * np.sin(a)) for a in angles],
                fill=colour,
            )
    return np.asarray(image.reduce(FINER), np.float64) / 255


def _random_colour(generator: np.random.Generator) -> tuple[int, int, int]:
    red, green, blue = (256 * generator.random(3)).astype(int).tolist()
    return red, green, blue


def _patches(generator: np.random.Generator, side: int) -> np.ndarray:
    y, x = np.mgrid[:side, :side] / side
    image = _texture(generator, x, y)
    for _ in range(generator.integers(1, 4)):
        turn, bent, frequency = (
            2 * np.pi * generator.random(),
            0.1 * generator.random(),
            1 + 2 * generator.random(),
        )
        across = (x - 0.5) * np.cos(turn) + (y - 0.5) * np.sin(turn)
        along = (y - 0.5) * np.cos(turn) - (x - 0.5) * np.sin(turn)
        edge = (
            across + bent * np.sin(2 * np.pi * frequency * along) - 0.35 * generator.uniform(-1, 1)
        )
        beyond = np.clip(0.5 + edge * side, 0, 1)[..., None]  # one pixel wide
        image = beyond * _texture(generator, x, y) + (1 - beyond) * image
    turn = 2 * np.pi * generator.random()
    light = 1 + 0.5 * generator.random() * ((x - 0.5) * np.cos(turn) + (y - 0.5) * np.sin(turn))
    return np.clip(image * light[..., None], 0, 1)


def _texture(generator: np.random.Generator, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Renders two colours mixed by noise of all sizes, by stripes or by fibres: (side, side, 3)."""
    side, turn = len(x), np.pi * generator.random()
    kind = generator.integers(3)
    if kind == 0:
        mixed = sum(
            _draw_grid(generator, points, points, side) / points for points in (4, 8, 16, 32)
        )
        mixed = mixed / sum(1 / points for points in (4, 8, 16, 32))
    elif kind == 1:
        wave = (x * np.cos(turn) + y * np.sin(turn)) * generator.uniform(3, 14)
        mixed = 0.5 + 0.5 * np.sin(2 * np.pi * (wave + 0.6 * _draw_grid(generator, 5, 5, side)))
    else:
        mixed = _draw_grid(generator, *((4, 40) if generator.random() < 0.5 else (40, 4)), side)
    strength = generator.uniform(0.15, 0.5)
    colours = GREY * generator.uniform(0.5, 1.5) + 0.12 * generator.standard_normal((2, 3))
    colours += strength * np.array([[-0.5], [0.5]])
    return colours[0] + mixed[..., None] * (colours[1] - colours[0])


def _draw_grid(generator: np.random.Generator, down: int, across: int, side: int) -> np.ndarray:
    """Draws a grid (down, across) and enlarges it by linear interpolation: (side, side) in [0,
    1]."""
    return _linear(down, side) @ generator.random((down, across)) @ _linear(across, side).T


@cache
def _linear(points: int, side: int) -> np.ndarray:
    """Returns weights (side, points) of linear interpolation along one axis, the grid's ends at the
    image's ends.
    """
    return np.maximum(1 - np.abs(np.linspace(0, points - 1, side)[:, None] - np.arange(points)), 0)
