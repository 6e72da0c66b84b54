"""Layers of all networks: normalisation in float32, and convolutions in the forms that every
backend runs well.

Flax's own normalisation raises for bfloat16 under strict dtype promotion. Batch statistics follow
PyTorch's rule, with which published keypoint networks were trained. Parameters of convolutions have
Flax's layout (kh, kw, in, out).
"""

import functools
import math
import operator
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from kpjax.platforms import by_platform

MOMENTUM = 0.9  # new statistics = MOMENTUM * old + (1 - MOMENTUM) * those of the batch
EPSILON = 1e-5
# A context for tracing: groups of equal numbers of successive images into which BatchNorm cuts a
# training batch. With one for each device no statistics cross between devices.
batch_norm_groups = jax.make_user_context(1)


class BatchNorm(nn.Module):
    """Batch normalisation over all axes but the last (Ioffe and Szegedy 2015).

    A batch is normalised by its own biased variance; the running variance moves towards the
    unbiased one, as in PyTorch. Parameters `scale`, `bias` and statistics `mean`, `var`, all (C,)
    float32. The result has the dtype of the input. Under `jax.jit` with a batch that is sharded
    over devices the statistics are those of the global batch, or `with batch_norm_groups(n)` of
    each group; the running ones then move towards their mean over groups.
    """

    scale_init: nn.initializers.Initializer = nn.initializers.ones

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """Normalises x (..., C) by the batch if `train`, moving the statistics; otherwise by the
        statistics.
        """
        width = x.shape[-1]
        mean = self.variable("batch_stats", "mean", jnp.zeros, (width,), jnp.float32)
        var = self.variable("batch_stats", "var", jnp.ones, (width,), jnp.float32)
        scale = self.param("scale", self.scale_init, (width,), jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, (width,), jnp.float32)
        values = x.astype(jnp.float32)
        groups = batch_norm_groups.value if train else 1
        if groups > 1:
            values = values.reshape(groups, -1, *x.shape[1:])
        if train:
            axes = tuple(range(int(groups > 1), values.ndim - 1))
            count = x.size // (groups * width)
            # One pass over the data; both moments are then reduced together across devices.
            batch_mean = values.mean(axes)
            mean_square = jnp.square(values).mean(axes)
            batch_var = jnp.maximum(mean_square - jnp.square(batch_mean), 0)
            if not self.is_initializing():
                unbiased = batch_var * (count / max(count - 1, 1))
                mean.value = MOMENTUM * mean.value + (1 - MOMENTUM) * _over_groups(batch_mean)
                var.value = MOMENTUM * var.value + (1 - MOMENTUM) * _over_groups(unbiased)
        else:
            batch_mean = mean.value
            batch_var = var.value
        normalise = functools.partial(_normalise, scale, bias)
        if groups > 1:
            by_group = jax.vmap(normalise)(batch_mean, batch_var, values)
            normalised = by_group.reshape(x.shape)
        else:
            normalised = normalise(batch_mean, batch_var, values)
        return normalised.astype(x.dtype)


def _normalise(
    scale: jax.Array, bias: jax.Array, mean: jax.Array, var: jax.Array, x: jax.Array
) -> jax.Array:
    factor = scale * jax.lax.rsqrt(var + EPSILON)
    shift = bias - mean * factor
    return _affine(x, factor, shift)


def _over_groups(moment: jax.Array) -> jax.Array:
    """Returns the mean over groups of a moment (groups, C); one (C,) as it is."""
    if moment.ndim == 1:
        return moment
    return moment.mean(0)


class GroupNorm(nn.Module):
    """Group normalisation (Wu and He 2018): per image, over space and the channels of a group,
    without statistics.

    Parameters `scale`, `bias`, (C,) float32. The result has the dtype of the input. C must be a
    multiple of `groups`. `train` changes nothing; it lets the layer replace BatchNorm.
    """

    groups: int = 8

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        width = x.shape[-1]
        scale = self.param("scale", nn.initializers.ones, (width,), jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, (width,), jnp.float32)
        values = x.astype(jnp.float32)
        group_width = width // self.groups
        values = values.reshape(x.shape[0], -1, self.groups, group_width)
        mean = values.mean((1, 3), keepdims=True)
        centred = values - mean
        var = jnp.square(centred).mean((1, 3), keepdims=True)
        normalised = centred * jax.lax.rsqrt(var + EPSILON)
        scaled = _affine(normalised.reshape(x.shape), scale, bias)
        return scaled.astype(x.dtype)


def _affine(x: jax.Array, scale: jax.Array, bias: jax.Array) -> jax.Array:
    channels = (1,) * (x.ndim - 1) + (-1,)
    return x * scale.reshape(channels) + bias.reshape(channels)


# Convolution

# Weights with the variance that keeps a ReLU network's activations steady (He et al. 2015), by
# fan-out as torchvision.
he_normal_fan_out = nn.initializers.variance_scaling(2.0, "fan_out", "normal")
he_normal = nn.initializers.variance_scaling(2.0, "fan_in", "normal")
# PyTorch's default: U(-b, b) with b = 1 / sqrt(fan_in); its transposed layers use the fan-out
# instead.
uniform_fan_in = nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")
uniform_fan_out = nn.initializers.variance_scaling(1 / 3, "fan_out", "uniform")
# a kernel of this size works on blocks of pixels up to this number of channels
LARGE = 7
NARROW = 16


class Convolution(nn.Module):
    """A square two-dimensional convolution with PyTorch's padding: the same number of zeros on
    every side.

    Parameters `kernel` (k, k, in, out) and, if `use_bias`, `bias` (out,), float32. Input (B, H, W,
    in), result (B, H', W', out) in `dtype`. `padding` defaults to k // 2, so that stride 1 keeps
    the size and stride 2 halves it.
    """

    width: int
    kernel_size: int = 3
    stride: int = 1
    padding: int | None = None
    use_bias: bool = False
    kernel_init: nn.initializers.Initializer = he_normal
    bias_init: nn.initializers.Initializer = nn.initializers.zeros
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        k = self.kernel_size
        stride = self.stride
        padding = k // 2 if self.padding is None else self.padding
        kernel = self.param(
            "kernel", self.kernel_init, (k, k, x.shape[-1], self.width), jnp.float32
        )
        x = x.astype(self.dtype)
        kernel = kernel.astype(self.dtype)
        plain = functools.partial(convolve, stride=stride, padding=padding)
        fastest = _fastest_on_cpu(kernel, x.shape[1:3], stride, padding)
        on_cpu = None
        if fastest is not convolve:
            on_cpu = functools.partial(fastest, stride=stride, padding=padding)
        y = by_platform(x, kernel, cpu=on_cpu, default=plain)
        if self.use_bias:
            bias = self.param("bias", self.bias_init, (self.width,), jnp.float32)
            bias = bias.astype(self.dtype)
            y = y + bias.reshape(1, 1, 1, -1)
        return y


class TransposedConvolution(nn.Module):
    """A transposed convolution that doubles the resolution exactly: (B, H, W, in) -> (B, 2H, 2W,
    out), no bias.

    kernel_size is 4, 3 or 2: PyTorch's (padding, output padding) (1, 0), (1, 1) and (0, 0). The
        parameter `kernel` (k, k, in, out) float32 is that of `flax.linen.ConvTranspose`; PyTorch's
        is mirrored in both axes.
    """

    width: int
    kernel_size: int = 4
    kernel_init: nn.initializers.Initializer = he_normal
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        k = self.kernel_size
        kernel = self.param(
            "kernel", self.kernel_init, (k, k, x.shape[-1], self.width), jnp.float32
        )
        return transposed_convolution(x.astype(self.dtype), kernel.astype(self.dtype))


def rematerialised(layer: type[nn.Module], again: bool) -> Any:
    """Returns a layer `(x, train)` that keeps its input only and is computed again in the backward
    pass, if `again`.
    """
    if not again:
        return layer
    return nn.remat(layer, static_argnums=(2,))


def convolve(x: jax.Array, kernel: jax.Array, stride: int, padding: int) -> jax.Array:
    """Computes the cross-correlation of images (B, H, W, in) with a kernel (k, k, in, out), zeros
    on every side.
    """
    return jax.lax.conv_general_dilated(
        x,
        kernel,
        (stride, stride),
        [(padding, padding)] * 2,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )


def _fastest_on_cpu(
    kernel: jax.Array, size: tuple[int, int], stride: int, padding: int
) -> Callable[..., jax.Array]:
    """Returns the form of a convolution that is the fastest on CPUs; `convolve` is on
    accelerators."""
    k = kernel.shape[0]
    # A dot is about three times as fast as the equal 1x1 convolution. A convolution of a map that
    # is smaller than the kernel is about a hundred times as slow as the dot of its patches, and the
    # gradient of one to such a map eighteen times.
    if k == 1 or min(size) // stride < k:
        return convolve_by_dot
    # The gradient of many pixels of few channels under a large kernel takes 2.5 to 5 times as long
    # as that of blocks.
    few_channels = max(kernel.shape[2:]) <= NARROW
    if k >= LARGE and few_channels and _fits_blocks(k, size, stride, padding):
        return convolve_in_blocks
    return convolve


def _fits_blocks(k: int, size: tuple[int, int], stride: int, padding: int) -> bool:
    """Returns whether a kernel of odd side is about its middle at stride 1, and both sides are even."""
    about_middle = stride == 1 and k % 2 == 1 and padding == k // 2
    even_sides = not any(side % 2 for side in size)
    return about_middle and even_sides


def _pixels_of_taps(
    x: jax.Array, kernel_size: int, stride: int
) -> Iterator[tuple[int, int, jax.Array]]:
    """Yields row and column of each tap of a square kernel, row by row, and the pixels (B, H', W', C)
    that it reads of padded images (B, H, W, C).
    """
    height, width = ((side - kernel_size) // stride + 1 for side in x.shape[1:3])
    for row in range(kernel_size):
        rows = slice(row, row + (height - 1) * stride + 1, stride)
        for column in range(kernel_size):
            columns = slice(column, column + (width - 1) * stride + 1, stride)
            yield row, column, x[:, rows, columns]


def convolve_by_dot(x: jax.Array, kernel: jax.Array, stride: int, padding: int) -> jax.Array:
    """Computes `convolve` as one dot of all patches (B, H', W', k * k * in) with the kernel."""
    k, _, channels_in, channels_out = kernel.shape
    around = (padding, padding)
    x = jnp.pad(x, ((0, 0), around, around, (0, 0)))
    patches = [pixels for _, _, pixels in _pixels_of_taps(x, k, stride)]
    joined = jnp.concatenate(patches, axis=-1) if k > 1 else patches[0]
    # As matrices: of arrays with more axes XLA computes the kernel's gradient up to six times as
    # slowly on CPUs.
    length = k * k * channels_in  # of a patch
    y = joined.reshape(-1, length) @ kernel.reshape(length, channels_out)
    return y.reshape(*joined.shape[:-1], channels_out)


def convolve_in_blocks(x: jax.Array, kernel: jax.Array, stride: int, padding: int) -> jax.Array:
    """Computes `convolve` on blocks of 2 x 2 pixels, with stride 1, padding k // 2, odd k and even
    sides.

    Space-to-depth, a convolution with a kernel about half as large from 4 * in to 4 * out channels,
    depth-to-space. The sums are the same; the smaller kernel has zeros at its edges.
    """
    k, _, channels_in, channels_out = kernel.shape
    reach = padding
    near = (reach + 1) // 2  # blocks that a block's pixels see on each side
    # A block's pixel `out` reads pixel `into` of the block that is `blocks` further through one
    # tap.
    blocks, into, out = np.ogrid[-near : near + 1, :2, :2]
    tap = 2 * blocks + into - out + reach
    chosen = jnp.asarray(tap == np.arange(k).reshape(k, 1, 1, 1), kernel.dtype)
    small = jnp.einsum("uyip,vxjq,uvcd->yxijcpqd", chosen, chosen, kernel, precision="highest")
    small_k = 2 * near + 1
    small = small.reshape(small_k, small_k, 4 * channels_in, 4 * channels_out)
    batch, height, width, _ = x.shape
    down = height // 2  # blocks
    across = width // 2
    x = x.reshape(batch, down, 2, across, 2, channels_in)
    x = x.transpose(0, 1, 3, 2, 4, 5)
    x = x.reshape(batch, down, across, 4 * channels_in)
    y = convolve(x, small, 1, near)
    y = y.reshape(batch, down, across, 2, 2, channels_out)
    y = y.transpose(0, 1, 3, 2, 4, 5)
    return y.reshape(batch, height, width, channels_out)


def transposed_convolution(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Computes a transposed convolution of stride 2, (B, H, W, in) -> (B, 2H, 2W, out), for kernels
    (k, k, in, out).

    k is 4, 3 or 2.
    """
    return by_platform(x, kernel, cpu=transposed_in_phases, default=transposed_by_dilation)


@jax.custom_vjp
def transposed_by_dilation(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Computes `transposed_convolution` as accelerators do best: images with zeros between pixels
    are convolved.

    The kernel's gradient is that of the strided convolution whose transpose this is. In its own
    form XLA mirrors what it pulls, the largest maps of a network, in memory.
    """
    return _dilated_convolution(x, kernel)


def _dilated_convolution(x: jax.Array, kernel: jax.Array) -> jax.Array:
    k = kernel.shape[0]
    return jax.lax.conv_general_dilated(
        x,
        kernel,
        (1, 1),
        [(k // 2, (k + 1) // 2)] * 2,
        lhs_dilation=(2, 2),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )


def _dilated_forward(
    x: jax.Array, kernel: jax.Array
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return _dilated_convolution(x, kernel), (x, kernel)


def _dilated_gradients(
    inputs: tuple[jax.Array, jax.Array], pull: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Returns the gradients of `transposed_by_dilation` with respect to images and kernel."""
    x, kernel = inputs
    k, _, channels_in, channels_out = kernel.shape

    def dilated(x: jax.Array) -> jax.Array:
        return _dilated_convolution(x, kernel)

    (of_images,) = jax.linear_transpose(dilated, x)(pull)

    def strided(mirrored: jax.Array) -> jax.Array:
        return jax.lax.conv_general_dilated(
            pull,
            mirrored,
            (2, 2),
            [(k - 1 - k // 2, k // 2 - 1)] * 2,
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )

    mirrored = jax.ShapeDtypeStruct((k, k, channels_out, channels_in), kernel.dtype)
    (of_mirrored,) = jax.linear_transpose(strided, mirrored)(x)
    of_kernel = of_mirrored[::-1, ::-1].swapaxes(2, 3)
    return of_images, of_kernel


transposed_by_dilation.defvjp(_dilated_forward, _dilated_gradients)


def transposed_in_phases(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Computes `transposed_convolution` without multiplying zeros.

    An output pixel of one parity reads only the taps of one parity. So the kernel is cut into 2 x 2
    phases, one ordinary convolution computes the four phases as channels, and depth-to-space
    interleaves them. The sums are the same. On CPUs XLA needs ten times as long for the gradient of
    the built-in form, and likewise for a convolution with an even kernel: hence the dot.
    """
    k = kernel.shape[0]
    if k == 3:  # the kernel of size 4 whose first tap is zero
        kernel = jnp.pad(kernel, ((1, 0), (1, 0), (0, 0), (0, 0)))
    if k == 2:  # the only tap of an output pixel is the one of the other parity
        kernel = kernel[::-1, ::-1]
    taps = kernel.shape[0] // 2
    channels_in, channels_out = kernel.shape[2:]
    phases = kernel.reshape(taps, 2, taps, 2, channels_in, channels_out)
    phases = phases.transpose(0, 2, 4, 1, 3, 5)
    phases = phases.reshape(taps, taps, channels_in, 4 * channels_out)
    batch, height, width, _ = x.shape
    y = convolve_by_dot(x, phases, stride=1, padding=taps - 1)
    y = y.reshape(*y.shape[:3], 2, 2, channels_out)
    # With two taps, output pixel 2i reads inputs i - 1 and i, and 2i + 1 reads i and i + 1: a
    # window further.
    shift = taps - 1
    even_rows = y[:, :height, :, 0]
    odd_rows = y[:, shift : height + shift, :, 1]
    y = jnp.stack([even_rows, odd_rows], axis=2)
    even_columns = y[:, :, :, :width, 0]
    odd_columns = y[:, :, :, shift : width + shift, 1]
    y = jnp.stack([even_columns, odd_columns], axis=4)
    return y.reshape(batch, 2 * height, 2 * width, channels_out)


Padding = Literal["torch", "tensorflow"]


class DepthwiseConvolution(nn.Module):
    """A square convolution of each channel by itself, without bias: (B, H, W, C) -> (B, H', W', C)
    in `dtype`.

    Parameter `kernel` (k, k, 1, C) float32, k odd. `padding` is that of `spatial_padding`.
    """

    kernel_size: int = 3
    stride: int = 1
    padding: Padding = "torch"
    kernel_init: nn.initializers.Initializer = he_normal_fan_out
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        k = self.kernel_size
        channels = x.shape[-1]
        kernel = self.param("kernel", self.kernel_init, (k, k, 1, channels), jnp.float32)
        pads = spatial_padding(x.shape, k, self.stride, self.padding)
        x = x.astype(self.dtype)
        kernel = kernel.astype(self.dtype)

        def by_shifts(x, kernel):
            # takes no names
            return depthwise_by_shifts(jnp.pad(x, pads), kernel, self.stride)

        by_groups = functools.partial(
            depthwise_by_groups, stride=self.stride, padding=tuple(pads[1:3])
        )
        return by_platform(x, kernel, cpu=by_shifts, default=by_groups)


def spatial_padding(
    shape: Sequence[int], kernel_size: int, stride: int, padding: Padding
) -> list[tuple[int, int]]:
    """Returns the zeros before and after each axis of images of a shape (B, H, W, C), for a
    convolution with odd k.

    "torch" has k // 2 on every side; "tensorflow" is SAME: of an even side under stride 2, all of
    its one or more zeros that are left over stand after the image. The results are of equal size
    and differ by a shift of half a stride.
    """
    if padding == "torch":
        half = kernel_size // 2
        return [(0, 0), (half, half), (half, half), (0, 0)]
    along_axes = []
    for side in shape[1:3]:
        steps = math.ceil(side / stride) - 1
        total = max(steps * stride + kernel_size - side, 0)
        before = total // 2
        along_axes.append((before, total - before))
    return [(0, 0), *along_axes, (0, 0)]


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def depthwise_by_shifts(x: jax.Array, kernel: jax.Array, stride: int) -> jax.Array:
    """Computes a depthwise convolution of padded images (B, H, W, C) as a sum of shifted images,
    one for each tap.

    XLA fuses the sum into one loop. On CPUs its grouped convolution is many times slower, and so is
    its gradient. The gradient of the kernel is summed row by row: sums over whole images, one a
    tap, take up to three times as long.
    """
    return _shifted_sum(x, kernel, stride)


def _shifted_sum(x: jax.Array, kernel: jax.Array, stride: int) -> jax.Array:
    products = (
        pixels * kernel[row, column].reshape(1, 1, 1, -1)
        for row, column, pixels in _pixels_of_taps(x, kernel.shape[0], stride)
    )
    return functools.reduce(operator.add, products)


def _depthwise_forward(
    x: jax.Array, kernel: jax.Array, stride: int
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return _shifted_sum(x, kernel, stride), (x, kernel)


def _depthwise_gradients(stride: int, inputs: tuple[jax.Array, jax.Array], pull: jax.Array):
    """Returns the gradients of `depthwise_by_shifts` with respect to images and kernel."""
    x, kernel = inputs
    k = kernel.shape[0]
    width = pull.shape[2]

    def shifted_sum(x: jax.Array) -> jax.Array:
        return _shifted_sum(x, kernel, stride)

    (of_images,) = jax.linear_transpose(shifted_sum, x)(pull)

    def add_row(total: jax.Array, row: jax.Array) -> tuple[jax.Array, None]:
        pulled = jax.lax.dynamic_index_in_dim(pull, row, 1, keepdims=False).astype(jnp.float32)
        seen = jax.lax.dynamic_slice_in_dim(x, row * stride, k, 1)
        seen = seen.astype(jnp.float32)
        taps = []
        for tap in range(k):
            for column in range(k):
                pixels = seen[:, tap, column : column + (width - 1) * stride + 1 : stride]
                taps.append((pixels * pulled).sum(1))
        return total + jnp.stack(taps, axis=1), None

    # Sums stay apart by image until the end, so that devices with parts of a batch add up once.
    batch, _, _, channels = x.shape
    nothing = jnp.zeros((batch, k * k, channels), jnp.float32)
    total, _ = jax.lax.scan(add_row, nothing, jnp.arange(pull.shape[1]))
    of_kernel = total.sum(0).reshape(kernel.shape)
    return of_images, of_kernel.astype(kernel.dtype)


depthwise_by_shifts.defvjp(_depthwise_forward, _depthwise_gradients)


def depthwise_by_groups(
    x: jax.Array, kernel: jax.Array, stride: int, padding: Sequence[tuple[int, int]]
) -> jax.Array:
    """Computes a depthwise convolution of images (B, H, W, C) by one grouped convolution, as
    accelerators and ONNX Runtime do best.

    padding: zeros before and after the rows and the columns; `depthwise_by_shifts` takes images that
    have them.
    """
    return jax.lax.conv_general_dilated(
        x,
        kernel,
        (stride, stride),
        padding,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=x.shape[-1],
    )


def compute_once(x: jax.Array) -> jax.Array:
    """Returns a sum of branches as it is, and keeps a program for CPUs from computing it anew
    wherever it is read.

    XLA fuses such sums, on CPUs, into all that reads them. Along residual blocks of one size each
    sum would be computed from the first block on, and time grow with the square of their number:
    a step of HRNet-W32 takes 3.6 times as long. It works where
    `kpjax.allocator.set_compiler_flags` has been called, and changes nothing elsewhere.
    """
    return by_platform(x, cpu=jax.lax.optimization_barrier, default=_unchanged)


def _unchanged(x: jax.Array) -> jax.Array:
    return x


def upsample_nearest(x: jax.Array) -> jax.Array:
    """Repeats every pixel twice in both directions: (B, H, W, C) -> (B, 2H, 2W, C)."""
    batch, height, width, channels = x.shape
    x = jnp.broadcast_to(x[:, :, None, :, None], (batch, height, 2, width, 2, channels))
    return x.reshape(batch, 2 * height, 2 * width, channels)


def resize_bilinear(x: jax.Array, size: tuple[int, int]) -> jax.Array:
    """Resizes bilinearly, with corner pixels in the corners: (B, H, W, C) -> (B, *size, C) in the
    same dtype.

    It is PyTorch's `interpolate` with `align_corners=True`, as two constant matrices: a gather has
    a slow gradient.
    """
    for axis, length in enumerate(size, start=1):
        if x.shape[axis] != length:
            shares = _interpolation(x.shape[axis], length)
            weights = jnp.asarray(shares, x.dtype)
            spec = "nh,bhwc->bnwc" if axis == 1 else "nw,bhwc->bhnc"
            x = jnp.einsum(spec, weights, x, precision=jax.lax.Precision.HIGHEST)
    return x


def _interpolation(before: int, after: int) -> np.ndarray:
    """Returns the share of each old pixel in a new one, (after, before)."""
    places = np.linspace(0, before - 1, after)
    distances = np.abs(places[:, None] - np.arange(before))
    return np.maximum(1 - distances, 0)
