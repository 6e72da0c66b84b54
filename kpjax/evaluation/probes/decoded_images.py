"""Images decoded from keypoints alone: how much of a frame a level of keypoints describes.

Keypoint Pyramids (Qian et al. 2022, section 4.3, "Keypoint Visualizations") trains separate decoders
from the coordinates of discovered keypoints to images, and shows that their images become better
from level 1 to level 2 to both. It leaves the decoders to its supplement. Their layers, Adam at
1e-3, batches of 32 and squared differences of pixels are our choice. No decoder sees another frame:
what keypoints do not tell is decoded as its mean.
"""

from collections.abc import Mapping
from functools import partial
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn

from kpjax.errors import InputError, summarise
from kpjax.evaluation.probes.splits import minibatches
from kpjax.input.source import Source, stack_examples
from kpjax.models.image_generation import small_normal, upsample_bilinear
from kpjax.models.layers import Convolution, GroupNorm
from kpjax.models.pyramid import Decoder, blobs_of_points
from kpjax.optimization import descend
from kpjax.structures import Variables, named_key

DecoderKind = Literal["coordinates", "blobs"]
NORM = partial(GroupNorm, groups=8)
SMALLEST = 4  # cells a side of the map that coordinates become
DECODED_AT_ONCE = 64


class CoordinateDecoder(nn.Module):
    """Normalised points (B, K, 2) to images (B, side, side, 3) float32, not bounded.

    A linear layer and ReLU to a map of at least 4 x 4 cells, then for each doubling of the
    resolution (bilinear) a 3x3 convolution, GroupNorm and ReLU, and a last 3x3 convolution to the
    colours. Channels halve with each doubling, down to 16.
    Parameters: `map`, `conv1`, `norm1`, ..., `output`.
    """

    side: int
    width: int = 128

    @nn.compact
    def __call__(self, points: jax.Array) -> jax.Array:
        cells = self.side
        doublings = 0
        while cells % 2 == 0 and cells >= 2 * SMALLEST:
            cells //= 2
            doublings += 1
        flat = points.reshape(points.shape[0], -1)
        x = nn.relu(nn.Dense(cells * cells * self.width, name="map")(flat))
        x = x.reshape(-1, cells, cells, self.width)
        for number in range(1, doublings + 1):
            width = max(self.width >> number, 16)
            x = Convolution(width, name=f"conv{number}")(upsample_bilinear(x))
            x = nn.relu(NORM(name=f"norm{number}")(x, False))
        return Convolution(3, use_bias=True, kernel_init=small_normal, name="output")(x)


class BlobDecoder(nn.Module):
    """Normalised points (B, K, 2), drawn as blobs exp(-d² / blob_width²) on a map of a quarter of
    the side, to images (B, side, side, 3) float32, not bounded.

    The decoder is that of Keypoint Pyramids' reconstruction, `kpjax.models.pyramid.Decoder`, with
    GroupNorm.
    """

    side: int
    widths: tuple[int, ...] = (64, 32, 16)
    blob_width: float = 0.1

    @nn.compact
    def __call__(self, points: jax.Array) -> jax.Array:
        cells = self.side // 4
        blobs = blobs_of_points(points, (cells, cells), self.blob_width)
        return Decoder(self.widths, normalization=NORM, name="decoder")(blobs, False)


def image_decoder(kind: DecoderKind, side: int) -> nn.Module:
    """Builds a decoder of square images of that side, px.

    Raises InputError for blobs of images whose side is no multiple of 4.
    """
    if kind == "coordinates":
        return CoordinateDecoder(side)
    if side % 4:
        raise InputError("image_decoder", f"blobs need a side that 4 divides, found {side}")
    return BlobDecoder(side)


class DecodedImages(NamedTuple):
    """Trained decoders of one kind, by level of keypoints, and the image that needs no keypoint."""

    network: nn.Module
    variables: Mapping[str, Variables]
    mean_image: np.ndarray  # (side, side, 3) float32 in [0, 1], of the frames that were learnt from

    def __call__(self, level: str, points: np.ndarray) -> np.ndarray:
        """Decodes normalised points (N, K, 2) of a level to images (N, side, side, 3) float32."""
        return np.asarray(
            _decode(self.network, self.variables[level], jnp.asarray(points, jnp.float32))
        )


def fit_decoders(
    points: Mapping[str, np.ndarray],
    source: Source,
    *,
    kind: DecoderKind = "coordinates",
    steps: int = 10_000,
    batch_size: int = 32,
    learning_rate: float = 1e-3,
    seed: int = 0,
) -> DecodedImages:
    """Trains a decoder for each level by the squared differences of its images from the frames.

    All levels see the same batches. The keypoints are constants: nothing else is trained.

    Args:
        points: by level, normalised (N, K, 2), of all N frames of the source.
        source: square frames of one side.
        kind, batch_size, learning_rate: of the decoders; not stated by the paper, nor are the steps.

    Raises:
        InputError: for points that are not finite, or not of as many frames as the source has.
    """
    for level, of_level in points.items():
        if len(of_level) != len(source):
            raise InputError(
                f"decoded images: {level} has points of {len(of_level)} frames, and there are "
                f"{len(source)}; give those of every frame"
            )
        finite = np.isfinite(of_level)
        finite = finite.reshape(len(of_level), -1).all(1)
        if not finite.all():
            wrong = [f"frame {number}" for number in np.flatnonzero(~finite)]
            raise InputError(
                f"decoded images: the points of {level} are not finite in {len(wrong)} frames "
                f"({summarise(wrong)}); leave these frames out"
            )
    network = image_decoder(kind, source[0].image.shape[0])
    optimizer = optax.scale_by_adam()
    order = minibatches(len(source), batch_size, steps, seed)
    key = jax.random.key(seed)
    params = {}
    moments = {}
    for level, of_level in points.items():
        first = jnp.asarray(of_level[order[0]], jnp.float32)
        params[level] = jax.jit(network.init)(named_key(key, level), first)["params"]
        moments[level] = optimizer.init(params[level])
    total = np.zeros(source[0].image.shape, np.float64)
    for step, rows in enumerate(order):
        images = stack_examples([source[row] for row in rows]).image
        total += images.mean(0, dtype=np.float64)
        for level, of_level in points.items():
            params[level], moments[level] = _step(
                network,
                learning_rate,
                params[level],
                moments[level],
                jnp.int32(step),
                jnp.asarray(of_level[rows], jnp.float32),
                images,
            )
    mean_image = (total / len(order) / 255).astype(np.float32)
    return DecodedImages(network, {name: {"params": of} for name, of in params.items()}, mean_image)


def decoding_errors(
    decoders: DecodedImages, points: Mapping[str, np.ndarray], source: Source
) -> dict[str, float]:
    """Computes the root mean squared error of pixels, 0 to 1, of images that are decoded from
    points (N, K, 2) by level, over all N frames of a source.

    `mean_image` is that of the mean of the frames that were learnt from, which no keypoint moves.
    """
    squares = dict.fromkeys((*points, "mean_image"), 0.0)
    count = 0
    for start in range(0, len(source), DECODED_AT_ONCE):
        rows = range(start, min(start + DECODED_AT_ONCE, len(source)))
        examples = stack_examples([source[row] for row in rows])
        frames = examples.image.astype(np.float64) / 255
        count += frames.size
        difference = frames - decoders.mean_image
        squares["mean_image"] += float(np.square(difference).sum())
        for level, of_level in points.items():
            decoded = decoders(level, of_level[rows.start : rows.stop])
            difference = frames - decoded
            squares[level] += float(np.square(difference).sum())
    return {level: (total / count) ** 0.5 for level, total in squares.items()}


@partial(jax.jit, static_argnums=(0, 1))
def _step(
    network: nn.Module,
    learning_rate: float,
    params: Variables,
    moments: optax.OptState,
    step: jax.Array,
    points: jax.Array,
    images: jax.Array,
) -> tuple[Variables, optax.OptState]:
    """Returns parameters and moments after one step on images (B, side, side, 3) uint8."""
    targets = images.astype(jnp.float32) / 255

    def loss(params: Variables) -> jax.Array:
        decoded = network.apply({"params": params}, points)
        return jnp.square(decoded - targets).mean()

    return descend(
        optax.scale_by_adam(),
        jax.grad(loss)(params),
        moments,
        params,
        lambda _: learning_rate,
        step,
    )


@partial(jax.jit, static_argnums=0)
def _decode(network: nn.Module, variables: Variables, points: jax.Array) -> jax.Array:
    return network.apply(variables, points)
