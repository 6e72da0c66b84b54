"""The network of PermaKey (Gopalakrishnan et al., ICLR 2021): keypoints where features of an image
cannot be predicted from their surroundings.

An autoencoder learns features, predictors guess the features of a cell from the eight cells around
it, and a keypoint encoder ("PointNet") reads maps of their errors. Sizes are those of the authors'
code. Three things differ from it: convolutions have odd kernels, or even ones where they halve the
side, so that all cells are centred (`kpjax.models.pyramid`); images end in a sigmoid without a
normalisation; and error maps have the size of the finest, where the authors repeat its cells to the
size of the image and halve them again.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from kpjax.errors import InputError
from kpjax.models.feature_pyramid import ConvolutionStack, Normalization
from kpjax.models.image_generation import small_normal
from kpjax.models.layers import BatchNorm, Convolution, upsample_nearest
from kpjax.models.pyramid import SMALL_NORM, KeypointEncoder, KeypointLevels

CELL = 2  # pixels of a feature map a side, which are predicted together
LEAST_MEAN = 1e-3  # is added to the mean feature that errors are divided by
LEAST_DEVIATION = 1e-6  # is added to a deviation, whose logarithm is taken
STRIDES = (1, 2, 2, 1)  # strides of the encoder's layers


def cells_and_surroundings(features: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Returns the features of each cell of 2 x 2 pixels, and those of the eight cells around it.

    features (B, h, w, C) to (B, h / 2, w / 2, 4 C), row by row, and (B, h / 2, w / 2, 32 C). There
    are zeros beyond the border. Raises InputError for sides that are not even.
    """
    batch, height, width, channels = features.shape
    if height % CELL or width % CELL:
        raise InputError(
            "image_size",
            f"feature maps of {height} x {width} (height x width) do not fall into cells of {CELL} x "
            f"{CELL}; choose sides of images that 4 divides",
        )
    rows = height // CELL
    columns = width // CELL
    cells = features.reshape(batch, rows, CELL, columns, CELL, channels)
    cells = cells.transpose(0, 1, 3, 2, 4, 5)
    cells = cells.reshape(batch, rows, columns, -1)
    padded = jnp.pad(cells, ((0, 0), (1, 1), (1, 1), (0, 0)))
    around = []
    for down in range(3):
        for right in range(3):
            if (down, right) != (1, 1):
                around.append(padded[:, down : down + rows, right : right + columns])
    return cells, jnp.concatenate(around, axis=-1)


def error_map(cells: jax.Array, squares: jax.Array) -> jax.Array:
    """Returns the relative error of each cell, (B, h, w, 1): the root of the mean of its squares
    over the mean of its features, both (B, h, w, F).
    """
    root = jnp.sqrt(squares.mean(-1, keepdims=True))
    mean = cells.mean(-1, keepdims=True) + LEAST_MEAN
    return root / mean


def from_0_to_1(maps: jax.Array) -> jax.Array:
    """Scales each channel of each image of maps (B, h, w, C) to run from 0 to 1; a constant one is
    0.
    """
    low = maps.min((1, 2), keepdims=True)
    high = maps.max((1, 2), keepdims=True)
    return (maps - low) / jnp.maximum(high - low, 1e-6)


class Encoder(nn.Module):
    """Images (B, H, W, 3) to the features of each of four convolutions, the last (B, H / 4, W / 4,
    widths[-1]). Parameters: `layer1`, `layer2`, ...
    """

    widths: Sequence[int] = (32, 64, 64, 128)
    normalization: Normalization = BatchNorm
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, images: jax.Array, train: bool) -> tuple[jax.Array, ...]:
        x = images
        layers = []
        for number, (width, stride) in enumerate(zip(self.widths, STRIDES, strict=True), start=1):
            layer = ConvolutionStack(
                (width,),
                strides=(stride,),
                normalization=self.normalization,
                dtype=self.dtype,
                name=f"layer{number}",
            )
            x = layer(x, train)
            layers.append(x)
        return tuple(layers)


class Predictor(nn.Module):
    """Features around cells (B, h, w, F) to those of the cells (B, h, w, F / 8) float32, each cell by
    itself: a layer of F units, hidden ones, and a linear one, which computes in float32.
    """

    hidden: Sequence[int] = (512, 256)
    normalization: Normalization = BatchNorm
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, around: jax.Array, train: bool) -> jax.Array:
        width = around.shape[-1]
        widths = (width, *self.hidden)
        hidden = ConvolutionStack(
            widths,
            (1,) * len(widths),
            normalization=self.normalization,
            dtype=self.dtype,
            name="hidden",
        )
        x = hidden(around, train)
        return Convolution(width // 8, kernel_size=1, use_bias=True, name="output")(x)


class ErrorMaps(nn.Module):
    """Normalised images (B, H, W, 3) to what `KeypointLevels` hands on and, as the last, what its
    encoder reads.

    First the encoder's last features, in its dtype, then the squared errors of the features of each
    cell (B, h, w, F) float32 for each predictor, of the encoder's first layers in turn. Last the
    error maps of all these layers, from 0 to 1, one channel each, (B, H / 2, W / 2, layers) float32.
    No gradient leads from a predictor to the encoder, or from keypoints to either.
    """

    encoder: nn.Module
    predictors: Sequence[nn.Module]

    def __call__(self, images: jax.Array, train: bool) -> tuple[jax.Array, ...]:
        layers = self.encoder(images, train)
        squares = []
        maps = []
        for predictor, features in zip(self.predictors, layers, strict=False):
            cells, around = cells_and_surroundings(jax.lax.stop_gradient(features))
            predicted = predictor(around, train)
            cells = cells.astype(jnp.float32)
            square = jnp.square(predicted - cells)
            squares.append(square)
            found = jax.lax.stop_gradient(error_map(cells, square))
            while maps and found.shape[1] < maps[0].shape[1]:
                found = upsample_nearest(found)
            maps.append(found)
        error_maps = from_0_to_1(jnp.concatenate(maps, axis=-1))
        return layers[-1], *squares, error_maps


class Latent(nn.Module):
    """Features (B, h, w, C) to the means and deviations of a normal distribution, (B, size) float32
    each.
    """

    size: int = 32

    @nn.compact
    def __call__(self, features: jax.Array) -> tuple[jax.Array, jax.Array]:
        flat = features.reshape(features.shape[0], -1).astype(jnp.float32)
        both = nn.Dense(2 * self.size, name="normal")(flat)
        mean, deviation = jnp.split(both, 2, axis=-1)
        deviation = nn.softplus(deviation) + LEAST_DEVIATION
        return mean, deviation


class ImageDecoder(nn.Module):
    """Latent numbers (B, size) to images (B, 4 h, 4 w, 3) float32 in [0, 1], of a map of `size` (h, w).

    The last convolution computes in float32.
    """

    widths: Sequence[Sequence[int]] = ((128,), (64,), (64, 32, 16))
    normalization: Normalization = BatchNorm
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, latent: jax.Array, size: tuple[int, int], train: bool) -> jax.Array:
        height, width = size
        x = nn.relu(nn.Dense(height * width, name="map")(latent))
        x = x.reshape(-1, height, width, 1)
        for number, widths in enumerate(self.widths, start=1):
            if number > 1:
                x = upsample_nearest(x)
            scale = ConvolutionStack(
                tuple(widths),
                normalization=self.normalization,
                dtype=self.dtype,
                name=f"scale{number}",
            )
            x = scale(x, train)
        x = Convolution(3, use_bias=True, kernel_init=small_normal, name="output")(x)
        return nn.sigmoid(x)


class PermaKey(nn.Module):
    """All parts that are trained together; `kpjax.methods.pyramids_family.permakey` combines
    them.
    """

    keypoints: KeypointLevels  # keypoints of `ErrorMaps`: the only part that a trained model uses
    latent: nn.Module
    decoder: nn.Module


def permakey_network(
    keypoints: int,
    *,
    small: bool = False,
    sharpness: float = 1.0,
    dtype: jnp.dtype = jnp.float32,
) -> PermaKey:
    """Builds PermaKey's network, whose errors are of the encoder's first two layers.

    small: a quarter of the widths and GroupNorm, for images of 64 on two cores. sharpness: of the
    softmax (`KeypointLevels`). dtype: of all convolutions but those that end a part.
    """
    share, normalization = (4, SMALL_NORM) if small else (1, BatchNorm)
    shared: dict[str, Any] = {"normalization": normalization, "dtype": dtype}

    def narrowed(*widths: int) -> tuple[int, ...]:
        return tuple(max(width // share, 8) for width in widths)

    predictors = tuple(Predictor(narrowed(512, 256), **shared) for _ in range(2))
    features = ErrorMaps(Encoder(narrowed(32, 64, 64, 128), **shared), predictors)
    encoder = KeypointEncoder(keypoints, narrowed(32, 64, 64, 128), **shared)
    scales = (narrowed(128), narrowed(64), narrowed(64, 32, 16))
    return PermaKey(
        KeypointLevels(features, (encoder,), conditioned=False, sharpness=sharpness),
        Latent(),
        ImageDecoder(scales, **shared),
    )
