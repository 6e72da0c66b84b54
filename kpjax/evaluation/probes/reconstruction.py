"""The part of an image that its keypoints determine: a network reconstructs images from coordinates alone.

The keypoints are fixed numbers here and no appearance is given, so the result is the average image of that pose.
Compare it with the mean image, which needs no keypoints. Keypoint Pyramids (Qian et al. 2022, supplement A.4) shows
such images and gives neither the network nor a number; both are our choice.
"""
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn
from numpy.typing import ArrayLike

from kpjax.errors import InputError
from kpjax.evaluation.probes.splits import Split, minibatches, standardised
from kpjax.models.image_generation import Renderer
from kpjax.models.layers import GroupNorm
from kpjax.optimization import descend
from kpjax.structures import Variables

SMALLEST_SIDE = 4  # least cells a side of the map that coordinates are first turned into
LEAST_ERROR = 1e-10  # mean squared; an exact image counts as 100 dB
group_norm = partial(GroupNorm, groups=8)


class CoordinatePainter(nn.Module):
    """Coordinates (B, F) float32 to images (B, *size, 3) float32, not bounded, in [0, 1] where they were trained so.

    Two hidden layers, a map of at least 4 x 4, then a `Renderer` that doubles it up to `size` (height, width). widths:
    its channels, coarse to fine.
    """

    size: tuple[int, int]
    hidden: int = 256
    widths: Sequence[int] | None = None  # by default half as many at every scale, from 128 down to 16

    @nn.compact
    def __call__(self, coordinates: jax.Array) -> jax.Array:
        doublings = doublings_to(self.size)
        widths = self.widths or tuple(max(128 >> scale, 16) for scale in range(doublings + 1))
        height, width = (side >> doublings for side in self.size)
        x = coordinates
        for number in (1, 2):
            x = nn.relu(nn.Dense(self.hidden, name=f"hidden{number}")(x))
        x = nn.relu(nn.Dense(height * width * widths[0], name="map")(x))
        x = x.reshape(-1, height, width, widths[0])
        return Renderer(widths, normalization=group_norm, name="renderer")(x, True)


def doublings_to(size: tuple[int, int]) -> int:
    """Returns how often a map of at least 4 cells a side doubles to reach an image of `size` (height, width).

    Raises InputError for a smaller image, or one that is no such map doubled.
    """
    doublings = max(0, (min(size) // SMALLEST_SIDE).bit_length() - 1)
    if min(size) < SMALLEST_SIDE or any(side % (1 << doublings) for side in size):
        raise InputError(f"reconstruction probe: images of {size[1]}x{size[0]} are not a small map doubled; bring "
                         "their "
                         f"sides to multiples of {max(1 << doublings, SMALLEST_SIDE)}")
    return doublings


@dataclass(frozen=True, eq=False)
class Painter:
    """A trained painter."""

    network: CoordinatePainter
    variables: Variables
    centre: np.ndarray  # (F,), the mean of the coordinates it was trained on
    spread: np.ndarray  # (F,), their deviation

    def __call__(self, points: ArrayLike, *, at_once: int = 64) -> Iterator[np.ndarray]:
        """Yields images (at most `at_once`, H, W, 3) float32 in [0, 1] of points (N, K, 2) or features (N, F)."""
        coordinates = self._coordinates(points)
        for begin in range(0, len(coordinates), at_once):
            part = coordinates[begin:begin + at_once]
            filled = np.concatenate([part, np.zeros((at_once - len(part), part.shape[1]), np.float32)])
            yield np.asarray(_painted(self.network, self.variables, filled))[:len(part)]

    def _coordinates(self, points: ArrayLike) -> np.ndarray:
        return _scaled(_flat(points), self.centre, self.spread)


def train_painter(
    points: ArrayLike, images: np.ndarray, fit: np.ndarray, *, seed: int = 0, hidden: int = 256,
    widths: Sequence[int] | None = None, steps: int = 2000, batch_size: int = 32, learning_rate: float = 1e-3,
) -> Painter:
    """Trains a painter of images from points.

    The loss is the mean squared error of minibatches; the learning rate falls to 0 along a cosine.

    Args:
        points: (N, K, 2), in any unit, or features (N, F).
        images: (N, H, W, 3) uint8.
        fit: numbers of the examples to train on.
        hidden, widths: see `CoordinatePainter`.
        learning_rate: Adam's first.

    Raises:
        InputError: for no example, coordinates that are not finite, a size of images that is no small map doubled, and
            another number of widths than of scales.
    """
    coordinates = _flat(points)
    if len(fit) == 0 or not np.isfinite(coordinates).all():
        raise InputError("reconstruction probe: " + ("there is no example to fit" if len(fit) == 0 else
                                                     "some coordinates are not finite; leave these examples out"))
    network = CoordinatePainter(tuple(images.shape[1:3]), hidden, None if widths is None else tuple(widths))
    scales = doublings_to(network.size) + 1
    if network.widths is not None and len(network.widths) != scales:
        raise InputError(f"reconstruction probe: widths {network.widths} for images that take {scales} scales; give "
                         "one for each")
    centre, spread = standardised(coordinates[fit])
    inputs = _scaled(coordinates, centre, spread)
    params = _initial(network, jax.random.key(seed), inputs[fit[:1]])
    optimizer = optax.scale_by_adam()
    optimizer_state = optimizer.init(params)
    # A loop over a compiled step: XLA runs convolutions inside loops of its own far slower on CPUs.
    for step, chosen in enumerate(fit[minibatches(len(fit), batch_size, steps, seed)]):
        params, optimizer_state = _step(network, steps, learning_rate, params, optimizer_state, jnp.int32(step),
                                        inputs[chosen], images[chosen])
    return Painter(network, {"params": params}, centre, spread)


class ReconstructionErrors(NamedTuple):
    """Errors of images in [0, 1]."""

    mse: float  # mean over images, pixels and channels
    psnr: float  # dB, the mean over images of each image's 10 log10(1 / mse)
    mean_image_mse: float  # of the mean fitted image, whatever the keypoints
    mean_image_psnr: float


def reconstruction_errors(
    painter: Painter, points: ArrayLike, images: np.ndarray, split: Split
) -> ReconstructionErrors:
    """Computes errors of reconstructed images on the tested side of a split, and of the fitted side's mean image.

    Raises InputError where a side has no example.
    """
    if not len(split.fit) or not len(split.test):
        raise InputError("reconstruction probe: one side of the split has no example")
    mean = _mean_image(images, split.fit)
    painted, still, begin = [], [], 0
    for part in painter(_flat(points)[split.test]):
        true = _as_float(images[split.test[begin:begin + len(part)]])
        painted.append(np.square(part - true).mean((1, 2, 3), dtype=np.float64))
        still.append(np.square(mean - true).mean((1, 2, 3), dtype=np.float64))
        begin += len(part)
    painted, still = np.concatenate(painted), np.concatenate(still)
    return ReconstructionErrors(float(painted.mean()), float(psnr(painted).mean()), float(still.mean()),
                                float(psnr(still).mean()))


def psnr(mse: ArrayLike) -> np.ndarray:
    """Computes the peak signal to noise ratio in dB of mean squared errors of images in [0, 1]; at most 100."""
    return -10 * np.log10(np.maximum(np.asarray(mse, np.float64), LEAST_ERROR))


def _flat(points: ArrayLike) -> np.ndarray:
    points = np.asarray(points, np.float64)
    return points.reshape(len(points), -1)


def _scaled(coordinates: np.ndarray, centre: np.ndarray, spread: np.ndarray) -> np.ndarray:
    return ((coordinates - centre) / spread).astype(np.float32)


def _as_float(images: np.ndarray) -> np.ndarray:
    return images.astype(np.float32) / np.float32(255)


def _mean_image(images: np.ndarray, fit: np.ndarray) -> np.ndarray:
    """Computes the mean image (H, W, 3) float32 in [0, 1], without a copy of all of them."""
    total = np.zeros(images.shape[1:], np.float64)
    for number in fit:
        total += images[number]
    return (total / (255 * len(fit))).astype(np.float32)


@partial(jax.jit, static_argnums=0)
def _initial(network: CoordinatePainter, key: jax.Array, coordinates: jax.Array) -> Variables:
    return network.init(key, coordinates)["params"]


@partial(jax.jit, static_argnums=(0, 1, 2), donate_argnums=(3, 4))
def _step(network, steps: int, peak: float, params, optimizer_state, step, coordinates, images):
    """Takes one step of Adam on a batch of coordinates (B, F) and images (B, H, W, 3) uint8."""

    def loss(params):
        painted = network.apply({"params": params}, coordinates)
        return jnp.square(painted - images.astype(jnp.float32) / 255).mean()

    def rate(step):
        return peak * 0.5 * (1 + jnp.cos(jnp.pi * step / steps))

    return descend(optax.scale_by_adam(), jax.grad(loss)(params), optimizer_state, params, rate, step)


@partial(jax.jit, static_argnums=0)
def _painted(network: CoordinatePainter, variables: Variables, coordinates: jax.Array) -> jax.Array:
    return jnp.clip(network.apply(variables, coordinates), 0, 1)
