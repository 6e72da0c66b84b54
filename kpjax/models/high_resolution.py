"""HRNet: parallel branches of four resolutions, which exchange their features again and again.

"Deep High-Resolution Representation Learning for Human Pose Estimation" (Sun et al. 2019): W32 and
W48 as published, and any narrower network. Layer names are the official ones, with
`stage2_0/branches_1_3` for `stage2.0.branches.1.3` and `fuse_layers_2_0_1_0` for
`fuse_layers.2.0.1.0`, so that published weights fit (`kpjax.models.weights`).
"""

import functools
import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

import jax
import jax.numpy as jnp
from flax import linen as nn

from kpjax.errors import InputError
from kpjax.models.layers import (
    BatchNorm,
    Convolution,
    compute_once,
    he_normal_fan_out,
    rematerialised,
    upsample_nearest,
)
from kpjax.models.network import HeatmapHead, KeypointNetwork, StrideFourOptions, check_options
from kpjax.models.resnet import BasicBlock, Bottleneck

Taps = Literal["stage_outputs", "highres"]
LAYER1_BLOCKS = 4


class HighResolutionModule(nn.Module):
    """Branches that refine their own maps, after which each of the first `outputs` receives the
    features of all.

    `blocks` basic blocks per branch. Output i is the ReLU of a sum over all branches j: a finer one
    comes through j -> i strided 3x3 convolutions, a coarser one through a 1x1 convolution and
    repeated pixels, its own unchanged. The branches are maps (B, H / 2^i, W / 2^i, C_i); those
    returned have the sizes of the first `outputs`.
    """

    blocks: int
    outputs: int
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, branches: tuple[jax.Array, ...], train: bool) -> tuple[jax.Array, ...]:
        widths = [x.shape[-1] for x in branches]
        refined = []
        for branch, x in enumerate(branches):
            for number in range(self.blocks):
                x = BasicBlock(widths[branch], 1, self.dtype, name=f"branches_{branch}_{number}")(
                    x, train
                )
            refined.append(x)

        def brought(x: jax.Array, source: int, target: int) -> jax.Array:
            """Brings branch `source` to the size and width of branch `target`."""
            name = f"fuse_layers_{target}_{source}"
            if source > target:
                x = _convolve_and_normalise(x, train, widths[target], 1, 1, name, self.dtype)
                for _ in range(source - target):
                    x = upsample_nearest(x)
            for step in range(target - source):
                last = step == target - source - 1
                x = _convolve_and_normalise(
                    x, train, widths[target if last else source], 3, 2, f"{name}_{step}", self.dtype
                )
                x = x if last else nn.relu(x)
            return x

        return tuple(
            compute_once(
                nn.relu(
                    functools.reduce(
                        operator.add,
                        (brought(x, source, target) for source, x in enumerate(refined)),
                    )
                )
            )
            for target in range(self.outputs)
        )


class HighResolutionNetwork(nn.Module):
    """The trunk of HRNet: normalised images (B, H, W, 3), H and W multiples of 32, to the feature
    maps of `taps`.

    width: channels of the finest branch, of stride 4; those of strides 8, 16 and 32 have two, four
        and eight times as many.
    modules: number of modules in the stages of two, three and four branches.
    blocks: of each branch in each module.
    stem_width: of the two strided convolutions before the branches; `layer1` is four times as wide.
    taps: the maps to return, with the one that heatmaps are read from (stage 4, stride 4) first:
        stage_outputs: all outputs of the stages with several branches, from fine to coarse and of
            each size the later stage first: stride 4 of stages 4, 3, 2, stride 8 of stages 3, 2,
            stride 16 of stage 3 (352 channels in all for width 32);
        highres: the stride-4 map of stages 4, 3 and 2, then `layer1`, which precedes them (also 352
        channels). An unused map costs nothing under `jax.jit`.
    rematerialise: each block of `layer1` and each module keeps its inputs only and is computed
        again in the backward pass. An accelerator's stored activations fall to about an eighth for
        a quarter more work, and no number changes.

    Convolutions start as torchvision's, He's normal by fan-out. The published pose networks without
    pretrained weights start at N(0, 0.001²), from which they learn slowly.
    """

    width: int = 32
    modules: Sequence[int] = (1, 4, 3)
    blocks: int = 4
    stem_width: int = 64
    taps: Taps = "stage_outputs"
    rematerialise: bool = False
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, images: jax.Array, train: bool) -> tuple[jax.Array, ...]:
        bottleneck = rematerialised(Bottleneck, self.rematerialise)
        module = rematerialised(HighResolutionModule, self.rematerialise)
        x = images
        for number in (1, 2):
            x = Convolution(
                self.stem_width,
                3,
                2,
                kernel_init=he_normal_fan_out,
                dtype=self.dtype,
                name=f"conv{number}",
            )(x)
            x = nn.relu(BatchNorm(name=f"bn{number}")(x, train))
        for number in range(LAYER1_BLOCKS):
            x = bottleneck(self.stem_width, 1, self.dtype, name=f"layer1_{number}")(x, train)
        layer1 = x
        branches = ()
        outputs = {}
        for stage, count in enumerate(self.modules, start=2):
            branches = self._with_one_more(branches or (layer1,), stage, train)
            for number in range(count):
                # Heatmaps are read from the finest branch only, so the last module leaves out the
                # others.
                needed = 1 if stage == 4 and number == count - 1 else len(branches)
                branches = module(self.blocks, needed, self.dtype, name=f"stage{stage}_{number}")(
                    branches, train
                )
            outputs[stage] = branches
        finest = [outputs[stage][0] for stage in (4, 3, 2)]
        if self.taps == "highres":
            return (*finest, layer1)
        return (*finest, outputs[3][1], outputs[2][1], outputs[3][2])

    def _with_one_more(
        self, branches: tuple[jax.Array, ...], stage: int, train: bool
    ) -> tuple[jax.Array, ...]:
        """Returns the branches before a stage and one more, made from the coarsest.

        Stage 2 makes both.
        """
        number = stage - 1
        name = f"transition{number}_{number}_0"
        finest = branches[0]
        if stage == 2:
            branches = (
                nn.relu(
                    _convolve_and_normalise(
                        finest, train, self.width, 3, 1, "transition1_0", self.dtype
                    )
                ),
            )
            coarsest = finest
        else:
            coarsest = branches[-1]
        width = self.width * 2**number
        return (
            *branches,
            nn.relu(_convolve_and_normalise(coarsest, train, width, 3, 2, name, self.dtype)),
        )


class FirstMap(nn.Module):
    """The first of several feature maps, unchanged. It has no parameters."""

    @nn.compact
    def __call__(self, features: tuple[jax.Array, ...], train: bool) -> jax.Array:
        return features[0]


def hrnet(
    keypoints: int,
    *,
    width: int = 32,
    modules: Sequence[int] = (1, 4, 3),
    blocks: int = 4,
    stem_width: int = 64,
    taps: Taps = "stage_outputs",
    rematerialise: bool = False,
    head_layers: int = 1,
    head_width: int = 256,
    dtype: jnp.dtype = jnp.float32,
) -> KeypointNetwork:
    """Builds HRNet: images (B, H, W, 3) to heatmaps (B, H / 4, W / 4, keypoints) float32.

    H and W are multiples of 32. Heatmaps are read from the finest branch, so the upsampling has no
    parameters. A laptop trains `hrnet(16, width=8, modules=(1, 1, 1), blocks=1, stem_width=16)`.
    See `HighResolutionNetwork` for the trunk.

    Args:
        width: 32 and 48 are published, 28,536,080 and 63,595,696 parameters for 16 keypoints.
        head_layers: 1 (as published: a 1x1 convolution with bias, officially `final_layer`) or 2.
    """
    return KeypointNetwork(
        backbone=HighResolutionNetwork(
            width, tuple(modules), blocks, stem_width, taps, rematerialise, dtype
        ),
        upsampling=FirstMap(),
        head=HeatmapHead(keypoints, head_layers, head_width, dtype=dtype),
    )


@dataclass(frozen=True)
class HRNet(StrideFourOptions):
    """The options of `hrnet`. A laptop trains width 8, modules 1 1 1, 1 block and a stem of 16."""

    name: ClassVar[str] = "hrnet"

    width: int = 32  # channels of the finest branch
    modules: tuple[int, int, int] = (1, 4, 3)  # modules of stages 2 to 4
    blocks: int = 4  # blocks of each branch in a module
    stem_width: int = 64  # channels before the branches
    taps: Taps = "stage_outputs"  # the maps that methods use as features
    #: computes activations again in the backward pass: slower, with less memory
    rematerialise: bool = False
    head_layers: int = 1  # convolutions of the head
    head_width: int = 64  # channels between two layers of the head
    #: dtype of the computation; parameters are float32
    dtype: Literal["float32", "bfloat16"] = "float32"

    def __post_init__(self):
        """Raises InputError for options that no network has."""
        if len(self.modules) != 3:
            raise InputError(
                "modules",
                f"{len(self.modules)} given; hrnet needs one count for each of stages 2, 3 and 4",
            )
        if self.taps not in get_args(Taps):
            raise InputError(
                "taps", f"{self.taps!r} is unknown; give {' or '.join(get_args(Taps))}"
            )
        check_options(self, "width", "modules", "blocks", "stem_width", "head_layers", "head_width")

    def _network(self, keypoints: int) -> KeypointNetwork:
        return hrnet(
            keypoints,
            width=self.width,
            modules=self.modules,
            blocks=self.blocks,
            stem_width=self.stem_width,
            taps=self.taps,
            rematerialise=self.rematerialise,
            head_layers=self.head_layers,
            head_width=self.head_width,
            dtype=jnp.dtype(self.dtype),
        )


def _convolve_and_normalise(
    x: jax.Array,
    train: bool,
    width: int,
    kernel_size: int,
    stride: int,
    name: str,
    dtype: jnp.dtype,
) -> jax.Array:
    """Applies a convolution and its BatchNorm, `<name>_0` and `<name>_1` of the module that calls
    this.
    """
    x = Convolution(
        width, kernel_size, stride, kernel_init=he_normal_fan_out, dtype=dtype, name=f"{name}_0"
    )(x)
    return BatchNorm(name=f"{name}_1")(x, train)
