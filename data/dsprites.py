"""dSprites (Matthey et al. 2017) with coloured, noisy and photographic backgrounds, rendered on
access.

One keypoint, the sprite's centre. Each variant has 737,280 images: 3 shapes x 6 scales x 40
orientations x 32 x 32 positions, the last fastest. Masks come from the published file where it lies
in the folder of data, or are rendered from its description. The variants are those of
disentanglement_lib (Locatello et al. 2019).
"""

import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property, partial
from pathlib import Path

import numpy as np
from PIL import Image

from kpjax.errors import InputError
from kpjax.input.source import digest_of
from kpjax.structures import Example, Skeleton

FACTORS = (3, 6, 40, 32, 32)  # shape (square, ellipse, heart), scale, orientation, x, y
COUNT = int(np.prod(FACTORS))
VARIANTS = ("colour", "noisy", "scream")
FILE = "dsprites_ndarray_co1sh3sc6or40x32y32_64x64.npz"
SKELETON = Skeleton(("centre",), flip=(0,))
POSITIONS = 32 * 32
PAINTING = "scream.jpg"

Mask = Callable[[int], np.ndarray]  # number -> (64, 64) bool


def factors_of(number: int) -> tuple[int, ...]:
    """Returns (shape, scale, orientation, x, y) of an image, indices from 0."""
    return tuple(int(factor) for factor in np.unravel_index(number, FACTORS))


def colour(mask: np.ndarray, tint: np.ndarray) -> np.ndarray:
    """Renders a sprite of one colour (3,) on black.

    mask: (H, W) bool. Returns (H, W, 3) in [0, 1].
    """
    return mask[..., None] * tint


def noisy(mask: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Renders a white sprite on noise (H, W, 3)."""
    return np.minimum(mask[..., None] + noise, 1)


def scream(mask: np.ndarray, patch: np.ndarray, tint: np.ndarray) -> np.ndarray:
    """Renders a sprite that inverts its background, a painting's patch (H, W, 3) mixed with a tint
    (3,), in [0, 1].
    """
    behind = (patch + tint) / 2
    return np.where(mask[..., None], 1 - behind, behind)


@cache
def _stamp(shape: int, scale: int, orientation: int) -> np.ndarray:
    """Renders a sprite alone: (33, 33) bool, its centre in the middle.

    At scale 1 each shape covers about 300 pixels; the published outlines may differ by a pixel or
    two.
    """
    down, across = np.mgrid[-16:17, -16:17].astype(np.float64) / (0.5 + 0.1 * scale)
    angle = 2 * np.pi * orientation / (FACTORS[2] - 1)
    x = np.cos(angle) * across + np.sin(angle) * down
    y = np.cos(angle) * down - np.sin(angle) * across
    if shape == 0:
        return np.maximum(abs(x), abs(y)) <= 8.7
    if shape == 1:
        return (x / 7) ** 2 + (y / 13.7) ** 2 <= 1
    x, y = x / 9.1, 0.29 - y / 9.1  # relative to its centre of mass
    return (x**2 + y**2 - 1) ** 3 <= x**2 * y**3


def rendered_mask(number: int) -> np.ndarray:
    """Renders the mask of an image from the published description, (64, 64) bool."""
    *sprite, x, y = factors_of(number)
    mask = np.zeros((64, 64), bool)
    mask[y : y + 33, x : x + 33] = _stamp(*sprite)[: 64 - y, : 64 - x]
    return mask


def _unpack(packed: np.ndarray, number: int) -> np.ndarray:
    return (
        np.unpackbits(packed[number // POSITIONS, number % POSITIONS]).reshape(64, 64).astype(bool)
    )


@cache
def published_mask(file: Path) -> Mask:
    """Reads the masks of the published file, 3 GB, of which a byte holds eight pixels.

    Raises InputError if they are no masks, or those of one ellipse are not where the file's own
    positions say.
    """
    try:
        packed = np.stack(
            [
                np.packbits(masks.reshape(POSITIONS, -1), axis=1)
                for masks in _published_sprites(file)
            ]
        )
    except (zipfile.BadZipFile, zlib.error, KeyError, EOFError, ValueError, OSError) as error:
        raise InputError(
            f"{file}: cannot be used: {error}; download it again from "
            "github.com/google-deepmind/dsprites-dataset"
        ) from error

    mask = partial(_unpack, packed)  # processes that read take it, too
    for x, y in ((0, 0), (31, 0), (0, 31), (16, 9)):
        found = np.argwhere(mask(FACTORS[1] * FACTORS[2] * POSITIONS + 32 * x + y))
        if not len(found) or abs((found.min(0) + found.max(0)) / 2 - (16 + y, 16 + x)).max() > 1:
            raise InputError(
                f"{file}: imgs: the ellipse at position ({x}, {y}) is not there; download it again"
            )
    return mask


def painting(file: Path | None = None) -> np.ndarray:
    """Returns the background of the scream variant, (h, w, 3) float32 in [0, 1].

    file: A photograph of Munch's The Scream, shrunk to fit 350 x 274 pixels. Without one a stand-in
    of similar size is
    rendered: bands of orange over swirls of blue. Results on the stand-in should be marked S*.
    """
    if file is not None:
        try:
            with Image.open(file) as image:
                shrunk = image.convert("RGB")
        except OSError as error:
            raise InputError(
                f"{file}: the painting cannot be read: {error}; give an image file"
            ) from error
        shrunk.thumbnail((350, 274))
        if min(shrunk.size) <= 64:
            raise InputError(
                f"{file}: expected a painting larger than 64 x 64 after shrinking, found "
                f"{shrunk.width} x {shrunk.height}"
            )
        return np.asarray(shrunk, np.float32) / 255
    y, x = np.mgrid[:274, :217] / 274
    bent = y + 0.05 * np.sin(9 * x + 2) + 0.03 * np.sin(23 * x + 5 * y)
    swirl = (
        np.hypot(x - 0.5, y - 0.68)
        + np.arctan2(y - 0.68, x - 0.5) / 25
        + 0.04 * np.sin(14 * x + 9 * y)
    )
    sky, sea = 0.5 + 0.5 * np.sin(55 * bent), 0.5 + 0.5 * np.sin(50 * swirl)
    share = 1 / (1 + np.exp(-40 * (bent - 0.42)))[..., None]
    above = np.array([0.93, 0.55, 0.2]) * (0.6 + 0.4 * sky[..., None]) + np.array([0, 0.1, 0.2]) * (
        1 - sky[..., None]
    )
    below = np.array([0.16, 0.25, 0.42]) + np.array([0.3, 0.22, 0.1]) * sea[..., None]
    grain = np.random.Generator(np.random.Philox(0)).normal(0, 0.035, (274, 217, 1))
    return np.clip((1 - share) * above + share * below + grain, 0, 1).astype(np.float32)


def split_numbers(split: str) -> np.ndarray:
    """Returns the image numbers of "train" (99 of 100) or "test", chosen by a hash of the number
    (SplitMix64).
    """
    if split not in ("train", "test"):
        raise InputError(f"dsprites: split {split!r} is unknown; choose train or test")
    mixed = np.arange(COUNT, dtype=np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    in_test = (mixed ^ (mixed >> np.uint64(31))) % np.uint64(100) == 0
    return np.flatnonzero(in_test if split == "test" else ~in_test)


@dataclass(frozen=True, eq=False)
class Sprites:
    """A data source of sprites of one variant.

    An image depends on (variant, number, seed) alone.
    """

    variant: str
    numbers: np.ndarray
    side: int
    seed: int
    mask: Mask
    behind: np.ndarray  # the painting
    name: str
    skeleton: Skeleton = SKELETON

    @cached_property
    def digest(self) -> str:
        some = np.stack([self.mask(int(number)) for number in self.numbers[:100]])
        return digest_of(self.variant, self.numbers, f"{self.side} {self.seed}", some, self.behind)

    def __len__(self) -> int:
        return len(self.numbers)

    def sprite(self, number: int) -> np.ndarray:
        """Renders an image at its published size, (64, 64, 3) uint8."""
        mask = self.mask(number)
        key = np.array([self.seed, zlib.crc32(self.variant.encode())], np.uint64)
        draw = np.random.Generator(
            np.random.Philox(key=key, counter=np.array([0, 0, 0, number], np.uint64))
        )
        if self.variant == "colour":
            shown = colour(mask, 0.5 + 0.5 * draw.random(3, np.float32))
        elif self.variant == "noisy":
            shown = noisy(mask, draw.random((64, 64, 3), np.float32))
        else:
            height, width = self.behind.shape[:2]
            upper, left = draw.integers(0, [height - 64, width - 64])
            shown = scream(
                mask, self.behind[upper : upper + 64, left : left + 64], draw.random(3, np.float32)
            )
        return (shown * np.float32(255) + np.float32(0.5)).astype(np.uint8)

    def __getitem__(self, index: int) -> Example:
        if not 0 <= index < len(self):
            raise IndexError(f"{self.name}: expected an index below {len(self)}, found {index}")
        number, stretch = int(self.numbers[index]), self.side / 64
        image = self.sprite(number)
        if self.side != 64:
            image = np.asarray(
                Image.fromarray(image).resize((self.side, self.side), Image.Resampling.BILINEAR)
            )
        *_, x, y = factors_of(number)
        # Resampling maps edges to edges: the centre of pixel p lands at (p + 0.5) * stretch - 0.5.
        centre = np.array([[16.5 + x, 16.5 + y]], np.float32) * np.float32(stretch) - np.float32(
            0.5
        )
        crop = np.eye(3, dtype=np.float32)
        crop[:2] = [[1 / stretch, 0, 0.5 / stretch - 0.5], [0, 1 / stretch, 0.5 / stretch - 0.5]]
        return Example(
            image, centre, np.ones(1, np.float32), np.float32(31 * stretch), crop, np.int32(index)
        )


def dsprites(
    variant: str, split: str, *, side: int = 64, seed: int = 0, data_dir: Path | None = None
) -> Sprites:
    """Returns the sprites of a variant and of "train" or "test". Raises InputError for another one
    of either, and for a file that cannot be used.

    Their `scale` is the number of pixels that positions 0 to 1 span, so error / scale is in units
    of the published positions.

    side: of the images, px: 64 as published, or larger by bilinear resampling. The label then lands
    on the same cell of a 64 x 64 heatmap, whichever grid convention relates cells and pixels. seed:
    selects colours, noise and patches.
    data_dir: where the published masks and a photograph of the painting, `scream.jpg`, may lie;
    what is not there is rendered. The name is marked with * where the painting is. None renders
    both.
    """
    if variant not in VARIANTS:
        raise InputError(
            f"dsprites: variant {variant!r} is unknown; choose among {', '.join(VARIANTS)}"
        )
    photograph, masks = (
        (None, None)
        if data_dir is None
        else (
            path if path.is_file() else None
            for path in (Path(data_dir).expanduser() / name for name in (PAINTING, FILE))
        )
    )
    stand_in = "*" if variant == "scream" and photograph is None else ""
    behind = painting(photograph) if variant == "scream" else np.zeros((0, 0, 3), np.float32)
    mask = published_mask(masks) if masks else rendered_mask
    return Sprites(
        variant,
        split_numbers(split),
        side,
        seed,
        mask,
        behind,
        f"dsprites/{variant}{stand_in}/{split}",
    )


def _published_sprites(file: Path) -> Iterator[np.ndarray]:
    """Yields the masks (1024, 64, 64) of one shape, scale and orientation at all positions; in
    total they are 3 GB.

    Raises ValueError if the file holds anything else.
    """
    with zipfile.ZipFile(file) as archive, archive.open("imgs.npy") as stored:
        version = np.lib.format.read_magic(stored)
        read = (
            np.lib.format.read_array_header_1_0
            if version == (1, 0)
            else np.lib.format.read_array_header_2_0
        )
        shape, _, dtype = read(stored)
        if (shape, dtype) != ((COUNT, 64, 64), np.uint8):
            raise ValueError(f"expected imgs {(COUNT, 64, 64)} uint8, found {shape} {dtype}")
        for _ in range(COUNT // POSITIONS):
            masks = np.frombuffer(stored.read(POSITIONS * 64 * 64), np.uint8).reshape(
                POSITIONS, 64, 64
            )
            if masks.max() > 1:
                raise ValueError(f"expected imgs of 0 and 1, found {masks.max()}")
            yield masks
