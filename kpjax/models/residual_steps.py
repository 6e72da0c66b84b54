"""RSN, the Residual Steps Network: hourglasses of residual steps blocks, each predicting heatmaps
at all its levels.

"Learning Delicate Local Representations for Multi-Person Pose Estimation" (Cai et al. 2020). Layer
names are the official ones, so that published weights fit (`kpjax.models.weights`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Literal

import jax
import jax.numpy as jnp
from flax import linen as nn

from kpjax.errors import InputError
from kpjax.models.high_resolution import FirstMap
from kpjax.models.layers import (
    BatchNorm,
    Convolution,
    compute_once,
    he_normal_fan_out,
    rematerialised,
    resize_bilinear,
)
from kpjax.models.network import KeypointNetwork, StrideFourOptions, check_options, small_normal
from kpjax.models.resnet import max_pool

MeasuredBy = Literal["input", "level"]
BLOCKS = {18: (2, 2, 2, 2), 50: (3, 4, 6, 3)}
EXPANSION = {18: 1, 50: 4}
MEASURED_BY: dict[int, MeasuredBy] = {18: "input", 50: "level"}
LEVELS = 4  # strides 4, 8, 16 and 32
GROUPS = 4  # groups of channels in a block; the first takes one step, the last four
GROUP_SHARE = (26, 64)  # channels of a group over those that it is measured by
SMALLEST_WIDTH = 3  # with less, a group of a block would have no channel
# The official training scales its targets to a peak of 255. Ours peak at 1, so predictions start
# that much lower.
INITIAL_SCALE = 1 / 255


# Residual steps blocks


class NormalisedConvolution(nn.Module):
    """A convolution with bias, BatchNorm and, if `relu`, ReLU: (B, H, W, C) -> (B, H', W', width).

    size: to which the convolution's result is resized before it is normalised.
    """

    width: int
    kernel_size: int = 1
    stride: int = 1
    relu: bool = True
    kernel_init: nn.initializers.Initializer = he_normal_fan_out
    scale_init: nn.initializers.Initializer = nn.initializers.ones
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, train: bool, size: tuple[int, int] | None = None) -> jax.Array:
        x = Convolution(
            self.width,
            self.kernel_size,
            self.stride,
            use_bias=True,
            kernel_init=self.kernel_init,
            dtype=self.dtype,
            name="conv",
        )(x)
        x = x if size is None else resize_bilinear(x, size)
        x = BatchNorm(scale_init=self.scale_init, name="bn")(x, train)
        return nn.relu(x) if self.relu else x


class ResidualStepsBlock(nn.Module):
    """Four groups of `group_width` channels, which take one, two, three and four steps, beside a
    shortcut.

    A step is a 3x3 convolution. It reads the group's previous step, or the group itself at first,
    plus the same step of the previous group if there is one. The last steps of all groups are
    concatenated. The stride is that of the first 1x1 convolution.
    """

    width: int
    group_width: int
    stride: int
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        layer = partial(NormalisedConvolution, dtype=self.dtype)
        first = layer(GROUPS * self.group_width, 1, self.stride, name="conv_bn_relu1")
        y = first(x, train)
        last = []
        above = []
        for number, group in enumerate(jnp.split(y, GROUPS, axis=-1), start=1):
            taken = []
            for step in range(1, number + 1):
                y = group if step == 1 else taken[-1]
                y = y + above[step - 1] if step < number else y
                taken.append(
                    layer(self.group_width, 3, name=f"conv_bn_relu2_{number}_{step}")(y, train)
                )
            above = taken
            last.append(taken[-1])
        y = layer(self.width, relu=False, name="conv_bn_relu3")(
            jnp.concatenate(last, axis=-1), train
        )
        if y.shape != x.shape:
            x = layer(self.width, 1, self.stride, relu=False, name="downsample")(x, train)
        return compute_once(nn.relu(y + x))


# The trunk: hourglasses in a row


class DownPath(nn.Module):
    """Residual steps blocks at strides 4, 8, 16 and 32. Returns the maps of the four levels, from
    fine to coarse.

    skips: for each level the map that the previous stage adds to it; () in the first stage.
    """

    blocks: Sequence[int]
    expansion: int
    width: int
    measured_by: MeasuredBy
    rematerialise: bool
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x: jax.Array, skips: Sequence[jax.Array], train: bool) -> list[jax.Array]:
        block = rematerialised(ResidualStepsBlock, self.rematerialise)
        maps = []
        for level, count in enumerate(self.blocks):
            width = self.width * 2**level
            for number in range(count):
                measure = x.shape[-1] if self.measured_by == "input" else width
                group_width = measure * GROUP_SHARE[0] // GROUP_SHARE[1]
                stride = 2 if level > 0 and number == 0 else 1
                x = block(
                    self.expansion * width,
                    group_width,
                    stride,
                    self.dtype,
                    name=f"layer{level + 1}_{number}",
                )(x, train)
            x = x + skips[level] if skips else x
            maps.append(x)
        return maps


class UpUnit(nn.Module):
    """One level of the way up: its map by a 1x1 convolution, plus the coarser unit's features. (B,
    h, w, width).

    goes_on: whether another stage follows. The unit then also returns the map that this stage adds
        to its own level; else None. cross_width: channels of the map that the next stage starts
        from, which is returned last; with 0 it is None.
    """

    width: int
    goes_on: bool
    cross_width: int
    dtype: jnp.dtype

    @nn.compact
    def __call__(
        self, x: jax.Array, coarser: jax.Array | None, train: bool
    ) -> tuple[jax.Array, jax.Array | None, jax.Array | None]:
        layer = partial(NormalisedConvolution, dtype=self.dtype)
        y = layer(self.width, relu=False, name="u_skip")(x, train)
        if coarser is not None:
            # The official code resizes first. A 1x1 convolution and resizing commute; this is a
            # quarter of the work.
            up_conv = layer(self.width, relu=False, name="up_conv")
            y = y + up_conv(coarser, train, size=x.shape[1:3])
        y = nn.relu(y)
        skip = cross = None
        if self.goes_on:
            channels = x.shape[-1]
            of_x = layer(channels, name="skip1")(x, train)
            of_y = layer(channels, name="skip2")(y, train)
            skip = of_x + of_y
        if self.cross_width:
            cross = layer(self.cross_width, name="cross_conv")(y, train)
        return y, skip, cross


class UpPath(nn.Module):
    """The units up1 (stride 32) to up4 (stride 4), each of which reads the one before.

    next_width: channels that the next stage starts from; 0 without one. Returns the features of the
        units from fine to coarse, the maps that the next stage adds to its levels from fine to
        coarse, and its first map. The last two are () and None without a next stage.
    """

    unit_width: int
    next_width: int
    dtype: jnp.dtype

    @nn.compact
    def __call__(
        self, maps: Sequence[jax.Array], train: bool
    ) -> tuple[list[jax.Array], list[jax.Array], jax.Array | None]:
        features = []
        skips = []
        y = None
        goes_on = self.next_width > 0
        for unit, x in enumerate(reversed(maps), start=1):
            cross_width = self.next_width if unit == len(maps) else 0
            y, skip, cross = UpUnit(
                self.unit_width, goes_on, cross_width, self.dtype, name=f"up{unit}"
            )(x, y, train)
            features.insert(0, y)
            skips.insert(0, skip)
        return features, skips if goes_on else [], cross


class Stage(nn.Module):
    """One hourglass."""

    downsample: DownPath
    upsample: UpPath

    def __call__(
        self, x: jax.Array, skips: Sequence[jax.Array], train: bool
    ) -> tuple[list[jax.Array], list[jax.Array], jax.Array | None]:
        return self.upsample(self.downsample(x, skips, train), train)


class Top(nn.Module):
    """A 7x7 convolution and a maximum, both of stride 2."""

    width: int
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, images: jax.Array, train: bool) -> jax.Array:
        return max_pool(
            NormalisedConvolution(self.width, 7, 2, dtype=self.dtype, name="conv")(images, train)
        )


class ResidualStepsNetwork(nn.Module):
    """The trunk of RSN: normalised images (B, H, W, 3), H and W multiples of 32, to the features of
    all its units.

    blocks: number at each of the strides 4, 8, 16 and 32 of every stage.
    expansion: channels of those levels are 1, 2, 4 and 8 times `width` times this.
    stages: number of successive hourglasses.
    unit_width: channels of the features.
    measured_by: whose channels a block's groups have a share of, those of its input or of its
    level, see `rsn`.
    rematerialise: each block keeps its input only and is computed again in the backward pass.

    Returns maps (B, H / s, W / s, unit_width) in `dtype` from fine to coarse, s 4 to 32, and of
    each size the later stage first: with two stages stride 4 of stage 1, of stage 0, stride 8 of
    stage 1, ... Convolutions start at He's normal by fan-out.
    """

    blocks: Sequence[int]
    expansion: int
    stages: int = 1
    width: int = 64
    unit_width: int = 256
    measured_by: MeasuredBy = "input"
    rematerialise: bool = False
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, images: jax.Array, train: bool) -> tuple[jax.Array, ...]:
        x = Top(self.width, self.dtype, name="top")(images, train)
        skips = []
        by_stage = []
        for number in range(self.stages):
            down = DownPath(
                self.blocks,
                self.expansion,
                self.width,
                self.measured_by,
                self.rematerialise,
                self.dtype,
                parent=None,
            )
            next_width = self.width if number < self.stages - 1 else 0
            up = UpPath(self.unit_width, next_width, self.dtype, parent=None)
            features, skips, x = Stage(down, up, name=f"stage{number}")(x, skips, train)
            by_stage.append(features)
        return tuple(map_ for level in zip(*reversed(by_stage), strict=True) for map_ in level)


# Heads


class UnitHead(nn.Module):
    """The prediction of one unit: a 1x1 and a 3x3 convolution, resized. (B, h, w, C) -> (B, *size,
    keypoints) float32.

    The last convolution and the layers after it compute in float32 whatever `dtype` is.
    """

    keypoints: int
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, features: jax.Array, train: bool, size: tuple[int, int]) -> jax.Array:
        x = NormalisedConvolution(features.shape[-1], dtype=self.dtype, name="res_conv1")(
            features, train
        )
        x = NormalisedConvolution(
            self.keypoints,
            3,
            relu=False,
            kernel_init=small_normal,
            scale_init=nn.initializers.constant(INITIAL_SCALE),
            name="res_conv2",
        )(x, train)
        return resize_bilinear(x, size)


class UnitHeads(nn.Module):
    """The predictions of all units of RSN; that of the finest unit of the last stage is the result.

    Parameters: `stage0_up1` (the coarsest of the first stage), ... Those of the other units exist
    only after `coarse` has been called, as `KeypointNetwork` does at initialisation.
    """

    keypoints: int
    stages: int
    dtype: jnp.dtype = jnp.float32

    def setup(self):
        self.order = [
            (stage, unit) for stage in range(self.stages) for unit in range(1, LEVELS + 1)
        ]
        for stage, unit in self.order:
            head = UnitHead(self.keypoints, self.dtype)
            setattr(self, f"stage{stage}_up{unit}", head)

    def __call__(self, features: jax.Array, train: bool) -> jax.Array:
        """Maps features (B, h, w, C) of the finest unit to heatmaps (B, h, w, keypoints)
        float32."""
        return self._of(*self.order[-1])(features, train, features.shape[1:3])

    def coarse(
        self, backbone_features: tuple[jax.Array, ...], train: bool
    ) -> tuple[jax.Array, ...]:
        """Returns the heatmaps of all other units, of the same size: stage by stage, in each from
        coarse to fine.
        """
        size = backbone_features[0].shape[1:3]
        return tuple(
            self._of(stage, unit)(
                backbone_features[(LEVELS - unit) * self.stages + self.stages - 1 - stage],
                train,
                size,
            )
            for stage, unit in self.order[:-1]
        )

    def _of(self, stage: int, unit: int) -> UnitHead:
        return getattr(self, f"stage{stage}_up{unit}")


# The network


def rsn(
    keypoints: int,
    *,
    depth: int = 18,
    stages: int = 1,
    width: int = 64,
    unit_width: int = 256,
    rematerialise: bool = False,
    dtype: jnp.dtype = jnp.float32,
) -> KeypointNetwork:
    """Builds RSN: images (B, H, W, 3), H and W multiples of 32, to heatmaps (B, H / 4, W / 4,
    keypoints) float32.

    `apply(variables, images, train, method="all_heatmaps")` also returns those of the other 4 *
    stages - 1 units, for `kpjax.losses.heatmap`. The head reads `unit_width` channels. A laptop
    trains `rsn(16, width=16, unit_width=32)`.

    A group in a block has 26/64 of the channels of the block's input at depth 18, so that published
    weights fit (9.2 M parameters), and of its level at depth 50 (38.4 M): 6.8 G multiply-adds at
    256x192, about the published 6.4, where the input, as in the published code, would make 48.

    Args:
        depth: 18 or 50.
        stages: 1 for RSN-18 and RSN-50, 4 for the published 4xRSN-50.
        rematerialise: each block keeps its input only and is computed again in the backward pass.
    """
    return KeypointNetwork(
        backbone=ResidualStepsNetwork(
            BLOCKS[depth],
            EXPANSION[depth],
            stages,
            width,
            unit_width,
            MEASURED_BY[depth],
            rematerialise,
            dtype,
        ),
        upsampling=FirstMap(),
        head=UnitHeads(keypoints, stages, dtype),
    )


@dataclass(frozen=True)
class RSN(StrideFourOptions):
    """The options of `rsn`."""

    name: ClassVar[str] = "rsn"

    depth: Literal[18, 50] = 50  # depth of each stage
    stages: int = 1  # hourglasses in a row; labels count at every level of each
    stem_width: int = 64  # channels of the finest level at depth 18
    unit_width: int = 256  # channels of the features
    #: computes activations again in the backward pass: slower, with less memory
    rematerialise: bool = False
    #: dtype of the computation; parameters are float32
    dtype: Literal["float32", "bfloat16"] = "float32"

    def __post_init__(self):
        """Raises InputError for options that no network has."""
        if self.depth not in BLOCKS:
            raise InputError(
                "depth", f"{self.depth}; rsn has depth {' or '.join(map(str, BLOCKS))}"
            )
        if self.stem_width < SMALLEST_WIDTH:
            raise InputError("stem_width", f"{self.stem_width}; give {SMALLEST_WIDTH} or more")
        check_options(self, "stages", "unit_width")

    def _network(self, keypoints: int) -> KeypointNetwork:
        return rsn(
            keypoints,
            depth=self.depth,
            stages=self.stages,
            width=self.stem_width,
            unit_width=self.unit_width,
            rematerialise=self.rematerialise,
            dtype=jnp.dtype(self.dtype),
        )
