"""Networks beside PyTorch: functions there of the tensors of a file, by their official names, give
the same maps.

PyTorch computes in float64: with the statistics of few pixels its float32 is off by 1e-3 itself.
"""

import operator
from functools import reduce

import chex
import jax
import numpy as np
import pytest
from untrained import drawn, small_rsn, zeros

from kpjax.models.high_resolution import hrnet
from kpjax.models.inverted_residuals import MobileNetV2Trunk
from kpjax.models.residual_steps import rsn
from kpjax.models.resnet import pose_resnet
from kpjax.models.vgg import VGG
from kpjax.models.weights.torch_names import from_torch, to_torch

torch = pytest.importorskip("torch", reason="compares with PyTorch")
torchvision = pytest.importorskip("torchvision", reason="compares with PyTorch")
from experiments.measure.benchmark.pytorch_networks import PoseResNet  # noqa: E402

F = torch.nn.functional
relu = torch.relu


class Tensors(dict):
    """The tensors of a file by name.

    Remembers which were read, and whether BatchNorm measures its batch.
    """

    def __init__(self, arrays, train, device="cpu"):
        super().__init__(
            {
                name: torch.tensor(array, device=device)
                if array.dtype == np.int64
                else torch.tensor(array, device=device, dtype=torch.float64)
                for name, array in arrays.items()
            }
        )
        self.training, self.read = train, set()

    def __getitem__(self, name):
        self.read.add(name)
        return super().__getitem__(name)


# HRNet, by its official names. `t` has the tensors of a file, and says by `t.training` whether BatchNorm
# measures its batch.


def numbered(t, name, within):
    """Yields the names `name`.0, `name`.1, ... below which there is a tensor `within`."""
    number = 0
    while f"{name}.{number}.{within}" in t:
        yield f"{name}.{number}"
        number += 1


def convolved(t, name, x, stride=1):
    """Computes a convolution, padded where its kernel is odd."""
    kernel, *bias = (t[f"{name}.{leaf}"] for leaf in ("weight", "bias") if f"{name}.{leaf}" in t)
    padding = kernel.shape[-1] // 2 if kernel.shape[-1] % 2 else 0
    return F.conv2d(x, kernel, *bias, stride=stride, padding=padding)


def layer(t, name, x, stride=1, parts=(".0", ".1")):
    """Computes a convolution and its BatchNorm."""
    statistics = (
        t[f"{name}{parts[1]}.{leaf}"] for leaf in ("running_mean", "running_var", "weight", "bias")
    )
    return F.batch_norm(convolved(t, name + parts[0], x, stride), *statistics, training=t.training)


def _blocks(t, name, x):
    for each in numbered(t, name, "conv1.weight"):
        y, count = x, 3 if f"{each}.conv3.weight" in t else 2
        for number in range(1, count + 1):
            y = layer(t, each, y, 1, (f".conv{number}", f".bn{number}"))
            y = torch.relu_(y) if number < count else y
        shortcut = layer(t, f"{each}.downsample", x) if f"{each}.downsample.0.weight" in t else x
        x = torch.relu_(y + shortcut)
    return x


def _exchanged(t, name, x, up):
    """Brings one branch to the size of another, `up` steps finer."""
    if up > 0:
        return F.interpolate(layer(t, name, x), scale_factor=2.0**up)
    for step in range(-up):
        x = layer(t, f"{name}.{step}", x, 2)
        x = torch.relu_(x) if step < -up - 1 else x
    return x


def hrnet_maps(t, x):
    """Computes the heatmaps of `kpjax.models.high_resolution.hrnet`."""
    for number in (1, 2):
        x = torch.relu_(layer(t, "", x, 2, (f"conv{number}", f"bn{number}")))
    branches = [_blocks(t, "layer1", x)]
    for stage in (2, 3, 4):
        first = f"transition{stage - 1}.0"
        last = torch.relu_(layer(t, f"transition{stage - 1}.{stage - 1}.0", branches[-1], 2))
        branches = [
            torch.relu_(layer(t, first, branches[0])) if stage == 2 else branches[0],
            *branches[1:],
            last,
        ]
        for module in numbered(t, f"stage{stage}", "branches.0.0.conv1.weight"):
            branches = [
                _blocks(t, f"{module}.branches.{number}", x) for number, x in enumerate(branches)
            ]
            targets = [
                n for n in range(stage) if n == 0 or f"{module}.fuse_layers.{n}.0.0.0.weight" in t
            ]
            branches = [
                torch.relu_(
                    reduce(
                        operator.add,
                        [
                            _exchanged(
                                t, f"{module}.fuse_layers.{target}.{source}", x, source - target
                            )
                            for source, x in enumerate(branches)
                        ],
                    )
                )
                for target in targets
            ]
    return convolved(t, "final_layer", branches[0])


def of_module(t, module):
    """The module with these tensors; its statistics are those of `t`."""
    module.double().train(t.training).load_state_dict(t, strict=False, assign=True)
    t.read.update(set(module.state_dict()) & set(t))
    return module


def pose_resnet_twin(t, x):
    counts = [
        len(list(numbered(t, f"backbone.layer{number}", "conv1.weight"))) for number in (1, 2, 3, 4)
    ]
    depth = 2 + sum(counts) * (3 if "backbone.layer1.0.conv3.weight" in t else 2)
    return [of_module(t, PoseResNet(depth, len(t["head.3.bias"]), 2))(x)]


def mobilenet_v2_twin(t, x):
    maps = []
    for each in of_module(t, torchvision.models.mobilenet_v2(weights=None)).features[:18]:
        maps.append(each(x))
        x = maps[-1]
    return [maps[place] for place in (1, 3, 6, 13, 17)]


def vgg_twin(t, x):
    """The maps of all ReLUs; where the list has no convolution, it has a pool."""
    maps, place = [], 0
    while place <= max(int(name.split(".")[1]) for name in t):
        if f"features.{place}.weight" in t:
            x = relu(convolved(t, f"features.{place}", x))
            maps.append(x)
            place += 2
        else:
            x, place = F.max_pool2d(x, 2), place + 1
    return maps


def hrnet_twin(t, x):
    return [hrnet_maps(t, x)]


# RSN


def resized(x, size):
    return F.interpolate(x, size=size, mode="bilinear", align_corners=True)


def rsn_layer(t, name, x, stride=1):
    return layer(t, name, x, stride, (".conv", ".bn"))


def steps_block(t, name, x, stride):
    """The ten steps are written out; `kpjax.models.residual_steps` has them as a rule."""

    def step(number, x):
        return relu(rsn_layer(t, f"{name}.conv_bn_relu2_{number}", x))

    first, second, third, fourth = torch.chunk(
        relu(rsn_layer(t, f"{name}.conv_bn_relu1", x, stride)), 4, 1
    )
    a1 = step("1_1", first)
    b1 = step("2_1", second + a1)
    b2 = step("2_2", b1)
    c1 = step("3_1", third + b1)
    c2 = step("3_2", c1 + b2)
    c3 = step("3_3", c2)
    d1 = step("4_1", fourth + c1)
    d2 = step("4_2", d1 + c2)
    d3 = step("4_3", d2 + c3)
    d4 = step("4_4", d3)
    y = rsn_layer(t, f"{name}.conv_bn_relu3", torch.cat([a1, b2, c3, d4], 1))
    return relu(
        y
        + (
            rsn_layer(t, f"{name}.downsample", x, stride)
            if f"{name}.downsample.conv.weight" in t
            else x
        )
    )


def rsn_twin(t, x):
    """The heatmaps of all units, in the official order."""
    size, heatmaps, skips = [side // 4 for side in x.shape[2:]], [], ()
    x, stage = F.max_pool2d(relu(rsn_layer(t, "top.conv", x, 2)), 3, 2, 1), 0
    while f"stage{stage}.upsample.up1.u_skip.conv.weight" in t:
        maps, y, one, two = [], None, [], []
        for level in range(4):
            for number, name in enumerate(
                numbered(
                    t, f"stage{stage}.downsample.layer{level + 1}", "conv_bn_relu1.conv.weight"
                )
            ):
                x = steps_block(t, name, x, 2 if level and not number else 1)
            x = x + sum(skip[level] for skip in skips)
            maps.append(x)
        for number, x in enumerate(reversed(maps), start=1):
            unit = f"stage{stage}.upsample.up{number}"
            coarser = 0 if y is None else rsn_layer(t, f"{unit}.up_conv", resized(y, x.shape[2:]))
            y = relu(rsn_layer(t, f"{unit}.u_skip", x) + coarser)
            hidden = relu(rsn_layer(t, f"{unit}.res_conv1", y))
            heatmaps.append(resized(rsn_layer(t, f"{unit}.res_conv2", hidden), size))
            if f"{unit}.skip1.conv.weight" in t:
                one.insert(0, relu(rsn_layer(t, f"{unit}.skip1", x)))
                two.insert(0, relu(rsn_layer(t, f"{unit}.skip2", y)))
        skips, stage = (one, two), stage + 1
        x = relu(rsn_layer(t, f"{unit}.cross_conv", y)) if one else x
    return heatmaps


ALL_RELUS = tuple(
    f"relu{stage}_{number}"
    for stage, count in enumerate((2, 2, 4, 4), 1)
    for number in range(1, count + 1)
)
TWINS = {  # network, twin, method
    "pose_resnet": (pose_resnet(18, 3, head_layers=2), pose_resnet_twin, None),
    "hrnet": (hrnet(3, width=4, modules=(1, 1, 2), blocks=1, stem_width=4), hrnet_twin, None),
    "rsn": (small_rsn(3, 2), rsn_twin, "all_heatmaps"),
    "mobilenet_v2": (MobileNetV2Trunk(), mobilenet_v2_twin, None),
    "vgg": (VGG(19, ALL_RELUS), vgg_twin, None),
}
PUBLISHED = [
    *(
        (pose_resnet(depth, 16, head_layers=2), pose_resnet_twin)
        for depth in (18, 34, 50, 101, 152)
    ),
    *((hrnet(16, width=width), hrnet_twin) for width in (32, 48)),
    *((rsn(16, depth=depth), rsn_twin) for depth in (18, 50)),
]


@pytest.mark.parametrize("train", [False, True], ids=["evaluation", "training"])
@pytest.mark.parametrize("name", TWINS)
def test_pytorch_gives_the_same_maps_and_statistics(name, train):
    network, twin, method = TWINS[name]
    mode = () if name == "vgg" else (train,)
    options = {} if method is None else {"method": method}
    variables = drawn(
        jax.eval_shape(
            lambda key: network.init(key, np.zeros((1, 64, 64, 3), np.float32), *mode),
            jax.random.key(0),
        )
    )
    images = np.random.default_rng(0).normal(size=(4, 64, 32, 3)).astype(np.float32)
    ours, mutated = jax.jit(
        lambda variables, images: network.apply(
            variables, images, *mode, mutable=["batch_stats"], **options
        )
    )(variables, images)
    tensors = Tensors(to_torch(variables), train)
    with torch.no_grad():
        theirs = twin(tensors, torch.tensor(images.transpose(0, 3, 1, 2)).double())
    for found, expected in zip(ours if isinstance(ours, tuple) else [ours], theirs, strict=True):
        expected = expected.numpy().transpose(0, 2, 3, 1)
        assert np.std(expected) > 0.02
        np.testing.assert_allclose(
            found, expected, atol=(5e-3 if train else 1e-5) * np.abs(expected).max()
        )
    moved = {name: tensor.numpy() for name, tensor in tensors.items()}
    if "batch_stats" in variables:
        chex.assert_trees_all_close(
            mutated["batch_stats"],
            from_torch(moved, variables).variables["batch_stats"],
            rtol=1e-3,
            atol=1e-3,
        )


@pytest.mark.parametrize(("network", "twin"), PUBLISHED)
def test_names_and_shapes_of_published_networks_are_complete(network, twin):
    """On PyTorch's device without memory: the twin reads every tensor, and each fits where it is
    read.
    """
    tensors = Tensors(to_torch(zeros(network, 64)), False, "meta")
    twin(tensors, torch.zeros((1, 3, 64, 64), dtype=torch.float64, device="meta"))
    assert {name for name in tensors if not name.endswith("num_batches_tracked")} <= tensors.read
