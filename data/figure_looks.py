"""The appearance of the figures: colours, backgrounds, noise, and the renderer."""

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import Image, ImageDraw

from data.figure_poses import HEAD_RADIUS, JOINTS, TORSO
from kpjax.errors import InputError

FINER = 4  # supersampling: images are rendered this much larger and averaged
# Parts from back to front: (name, joints, radius as a fraction of the body's height).
PARTS = (
    ("right_leg", ("right_hip", "right_knee", "right_foot"), 0.036),
    ("left_leg", ("left_hip", "left_knee", "left_foot"), 0.036),
    ("torso", ("right_shoulder", "left_shoulder", "left_hip", "right_hip"), 0.044),
    ("head", ("neck", "head"), 0.03),
    ("right_arm", ("right_shoulder", "right_elbow", "right_hand"), 0.029),
    ("left_arm", ("left_shoulder", "left_elbow", "left_hand"), 0.029),
)
ENDS = {"right_hand": 0.038, "left_hand": 0.038, "right_foot": 0.044, "left_foot": 0.044}
LIMBS = 10  # with colours of their own: two halves of each arm and leg, the torso, the head


@dataclass(frozen=True)
class Domain:
    """A visual domain. Colours and amplitudes are fractions of white."""

    name: str
    #: for the whole figure, "per_limb", or "clothed" for skin, shirt and trousers
    limb_colours: str = "one"
    # One dark grey, "smooth" (a random 8 x 8 grid of colours, enlarged by cubic interpolation) or
    # "photo-like" (several such grids, and shapes with edges).
    background: str = "plain"
    background_amplitude: float = 0.12  # its largest brightness
    colour_low: float = 0.5  # smallest value of a channel of a limb's colour
    noise: float = 0.0  # standard deviation of each pixel
    outline: float = 0.6  # brightness of a limb's border relative to its inside
    hidden: float = 0.0  # fraction of joints that are covered and not labelled
    #: share of a limb's own colour where limbs have colours, the rest being the torso's
    own_colour: float = 1.0

    def __post_init__(self):
        if self.limb_colours not in ("one", "per_limb", "clothed"):
            raise InputError(
                f"domain {self.name}: limb_colours is {self.limb_colours!r}; "
                "choose one, per_limb or clothed"
            )
        if self.background not in ("plain", "smooth", "photo-like"):
            raise InputError(
                f"domain {self.name}: background is {self.background!r}; "
                "choose plain, smooth or photo-like"
            )


SOURCE = Domain("source")


def target(difficulty: float = 0.5) -> Domain:
    """Returns the target domain of the adaptation demo: a colour per limb, a coloured background,
    noise.

    difficulty: From 0, where BatchNorm statistics of the target close most of the gap, to 1, which
    is out of reach. Poses do not depend on it.
    """
    return Domain(
        "target",
        "per_limb",
        "smooth",
        background_amplitude=0.35 + 0.4 * difficulty,
        colour_low=0.45 - 0.25 * difficulty,
        noise=0.06 + 0.02 * difficulty,
    )


PHOTO_LIKE = Domain(
    "photo", "clothed", "photo-like", background_amplitude=0.7, colour_low=0.25, noise=0.03
)
# Six tenths of what makes the target differ from the source: its limbs' colours, the amplitude of its
# background, its noise. On tuning seed 100 the source alone finds 61 % of its points, as in the
# trials of the papers.
NEARER = Domain(
    "nearer",
    "per_limb",
    "smooth",
    background_amplitude=0.38,
    colour_low=0.4,
    noise=0.042,
    own_colour=0.6,
)
DOMAINS = {domain.name: domain for domain in (SOURCE, NEARER, target(), PHOTO_LIKE)}


def limb_colours(domain: Domain, generator: np.random.Generator) -> np.ndarray:
    """Draws colours (LIMBS, 3) in [0, 1]: right leg (2), left leg (2), torso, head, right arm (2),
    left arm (2).
    """
    drawn = domain.colour_low + (1 - domain.colour_low) * generator.random((LIMBS, 3))
    if domain.limb_colours == "one":
        return np.repeat(drawn[:1], LIMBS, axis=0)
    if domain.limb_colours == "clothed":
        trousers, shirt, skin = (
            drawn[0],
            drawn[1],
            np.array([0.95, 0.75, 0.6]) * (0.45 + 0.55 * generator.random()),
        )
        return np.stack([trousers] * 4 + [shirt, skin, shirt, skin, shirt, skin])
    if domain.own_colour == 1:
        return drawn
    return domain.own_colour * drawn + (1 - domain.own_colour) * drawn[4]


@cache
def _cubic(points: int, side: int) -> np.ndarray:
    """Returns weights (side, points) that interpolate along one axis, the grid's ends at the
    image's ends.
    """
    at = np.linspace(0, points - 1, side)
    distance = np.abs(at[:, None] - np.arange(points))
    near = 1.5 * distance**3 - 2.5 * distance**2 + 1
    far = -0.5 * distance**3 + 2.5 * distance**2 - 4 * distance + 2
    weight = np.where(distance < 1, near, np.where(distance < 2, far, 0))
    return weight / weight.sum(axis=1, keepdims=True)


def _smooth(generator: np.random.Generator, points: int, side: int) -> np.ndarray:
    """Renders a random grid of colours, enlarged: (side, side, 3) in [0, 1]."""
    enlarge, grid = _cubic(points, side), generator.random((points, points * 3))
    rows = (enlarge @ grid).reshape(side, points, 3)
    return np.clip(np.matmul(enlarge, rows), 0, 1)


def background(domain: Domain, generator: np.random.Generator, side: int) -> np.ndarray:
    """Renders the background of a domain, (side, side, 3) in [0, background_amplitude]."""
    if domain.background == "plain":
        return np.full((side, side, 3), domain.background_amplitude * generator.random())
    if domain.background == "smooth":
        return domain.background_amplitude * _smooth(generator, 8, side)
    layers = [(points, _smooth(generator, points, side)) for points in (4, 8, 16, 32)]
    mixed = sum(layer / points for points, layer in layers) / sum(
        1 / points for points, _ in layers
    )
    image = Image.fromarray((255 * mixed).astype(np.uint8))
    pen = ImageDraw.Draw(image)
    for _ in range(generator.integers(4, 10)):
        centre, size, turn = (
            generator.random(2) * side,
            (0.05 + 0.3 * generator.random(2)) * side,
            generator.random(),
        )
        angles = 2 * np.pi * (np.arange(generator.integers(2, 7)) + turn) / 4
        corners = centre + size * np.stack([np.cos(angles), np.sin(angles)], axis=-1)
        colour = tuple(int(255 * channel) for channel in generator.random(3))
        if len(corners) > 2:
            pen.polygon([tuple(corner) for corner in corners], fill=colour)
        else:
            pen.line([tuple(corner) for corner in corners], fill=colour, width=max(1, side // 32))
    return domain.background_amplitude * np.asarray(image, np.float64) / 255


class _Pen:
    """A canvas for limbs and filled shapes in pixels of the finished image, on transparent black.

    The fourth band is the covered fraction of a pixel. Pillow would divide by it if it were called
    alpha.
    """

    def __init__(self, side: int):
        self.canvas = Image.new("RGBX", (side * FINER, side * FINER))
        self.draw = ImageDraw.Draw(self.canvas)

    def disc(self, point, radius: float, colour) -> None:
        x, y = (FINER * float(coordinate) + (FINER - 1) / 2 for coordinate in point)
        reach = FINER * radius
        self.draw.ellipse((x - reach, y - reach, x + reach, y + reach), fill=colour)

    def limb(self, points, radius: float, colours) -> None:
        """Adds lines with round ends from each point to the next, each line in its own colour."""
        for start, end, colour in zip(points, points[1:], colours, strict=False):
            (x, y), (to_x, to_y) = start.tolist(), end.tolist()
            length = math.hypot(to_x - x, to_y - y)
            if length > 0:
                across, down = (y - to_y) * radius / length, (to_x - x) * radius / length
                corners = (
                    x + across,
                    y + down,
                    to_x + across,
                    to_y + down,
                    to_x - across,
                    to_y - down,
                    x - across,
                    y - down,
                )
                self.draw.polygon(
                    [FINER * corner + (FINER - 1) / 2 for corner in corners], fill=colour
                )
            self.disc((x, y), radius, colour)
            self.disc((to_x, to_y), radius, colour)

    def shape(self, points, radius: float, colour) -> None:
        """Adds a polygon with a rounded border of `radius`."""
        self.draw.polygon(
            (np.asarray(points) * FINER + (FINER - 1) / 2).ravel().tolist(), fill=colour
        )
        self.limb([*points, points[0]], radius, [colour] * len(points))


def _bytes(colour: np.ndarray, brightness: float = 1.0) -> tuple[int, int, int, int]:
    red, green, blue = (255 * brightness * colour).astype(int).tolist()
    return red, green, blue, 255


def render_body(points: np.ndarray, colours: np.ndarray, outline: float, side: int) -> Image.Image:
    """Renders the figure alone at FINER times the size: red, green, blue and coverage.

    points: (15, 2) px, in the order of JOINTS. colours: (LIMBS, 3) in [0, 1]. outline: brightness
    of borders relative to the inside. side: of the finished image, px.
    """
    at = dict(zip(JOINTS, points, strict=True))
    # From the torso and the thighs, which are least foreshortened.
    height = np.linalg.norm(at["neck"] - at["pelvis"]) / TORSO
    pen = _Pen(side)
    border = 0.012 * height
    limbs = iter(range(LIMBS))
    for name, joints, radius in PARTS:
        radius = radius * height
        spots = [at[joint] for joint in joints]
        if name == "torso":
            limb = next(limbs)
            pen.shape(spots, radius, _bytes(colours[limb], outline))
            pen.shape(spots, radius - border, _bytes(colours[limb]))
        elif name == "head":
            limb = next(limbs)
            pen.limb(spots, radius, [_bytes(colours[limb], 0.85)])
            pen.disc(at["head"], HEAD_RADIUS * height, _bytes(colours[limb], outline))
            pen.disc(at["head"], HEAD_RADIUS * height - border, _bytes(colours[limb]))
            up = (at["head"] - at["neck"]) / np.linalg.norm(at["head"] - at["neck"])
            for sign in (-1, 1):
                eye = at["head"] + height * (0.012 * up + sign * 0.03 * np.array([-up[1], up[0]]))
                pen.disc(eye, 0.012 * height, _bytes(colours[limb], 0.25))
        else:
            halves = colours[[next(limbs), next(limbs)]]
            last = ENDS[joints[-1]] * height
            # The whole limb's border first, so that its two halves join without a line between
            # them.
            for grown, brightness in ((0.0, outline), (-border, 1.0)):
                shades = [_bytes(colour, brightness) for colour in halves]
                pen.limb(spots, radius + grown, shades)
                pen.disc(spots[-1], last + grown, shades[-1])
    return pen.canvas


def cover(body: Image.Image, points: np.ndarray, radius: float) -> None:
    """Removes discs from what `render_body` returned, in place, so that the background shows in
    place of joints.

    points, radius: (N, 2), and of the discs, px of the finished image.
    """
    pen = ImageDraw.Draw(body)
    reach = radius * FINER
    for x, y in (np.asarray(points) * FINER + (FINER - 1) / 2).tolist():
        pen.ellipse((x - reach, y - reach, x + reach, y + reach), fill=(0, 0, 0, 0))


def finish(
    body: Image.Image, behind: np.ndarray, noise: float, generator: np.random.Generator
) -> np.ndarray:
    """Averages a body of `render_body` down to its final size, lays it over a background and adds
    noise.

    Returns (side, side, 3) uint8. behind: (side, side, 3) in [0, 1]. noise: standard deviation of
    each pixel, as a fraction of white.
    """
    averaged = np.asarray(body.reduce(FINER), np.float32) / np.float32(255)
    image = averaged[..., :3] + behind.astype(np.float32) * (1 - averaged[..., 3:])
    if noise > 0:
        image += np.float32(noise) * generator.standard_normal(image.shape, dtype=np.float32)
    return (np.clip(image, 0, 1) * np.float32(255) + np.float32(0.5)).astype(np.uint8)
