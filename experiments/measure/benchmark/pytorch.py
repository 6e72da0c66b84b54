"""Rows beside PyTorch: the same network, batch and loss on this CPU, or at full size in bfloat16 on
a GPU.
"""

import functools
import importlib.util
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np

from experiments.measure.benchmark.steps import (
    LAPTOP,
    LARGE,
    noise_batch,
    skeleton,
    supervised_step,
)
from experiments.measure.benchmark.timing import Effort, Row, compare, spread
from kpjax.cores import usable_cores
from kpjax.models import MobileNetV2, PoseResNet
from kpjax.papers.configs import network_of, replace_fields
from kpjax.papers.regda.config import Config
from kpjax.papers.regda.stages import setup_of

KEYPOINTS = 10
SGD = {"optimizer": "sgd", "learning_rate": 1e-3}
AT_128 = {"image_size": 128, "heatmap_size": 32, "sigma": 2.0}
CPU, GPU = (
    {name: replace_fields(config, **SGD) for name, config in networks.items()}
    for networks in (
        {
            "PoseResNet-18, 64 px": LAPTOP,
            # what `kpjax train` chooses on a CPU
            "MobileNetV2, 128 px": replace_fields(LAPTOP, network=MobileNetV2(), **AT_128),
        },
        {"PoseResNet-101, 256 px, bfloat16": LARGE},
    )
)


def rows(effort: Effort) -> Iterator[Row]:
    """PyTorch's time over ours, for a supervised step and for a pass of the same network and batch.

    Our step also normalises images and renders targets, which PyTorch gets ready-made.
    """
    device = "cpu" if jax.devices()[0].platform == "cpu" else "cuda"
    if importlib.util.find_spec("torchvision") is None:
        yield Row("beside PyTorch", note="it is not installed: pip install torch torchvision")
        return
    for name, config in (CPU if device == "cpu" else GPU).items():
        ours, (training, prediction, parameters) = (
            supervised_step(config, KEYPOINTS),
            pytorch_calls(config, device),
        )
        expected = sum(leaf.size for leaf in jax.tree.leaves(ours.state.variables["params"]))
        if parameters != expected:
            raise RuntimeError(
                f"the twin of {name} has {parameters} parameters, ours {expected}: no comparison"
            )
        for kind, mine, theirs in (
            ("training", ours, training),
            ("prediction", our_forward_pass(config), prediction),
        ):
            times = effort.times(theirs | {"kpjax": mine})
            best = min(theirs, key=lambda way: spread(times[way].wall).median)
            yield compare(
                f"beside PyTorch: {kind}, {name}, batch {config.batch_size}",
                times[best],
                times["kpjax"],
                note=f"{best}; {parameters:,} parameters",
            )


def our_forward_pass(config: Config) -> Callable[[], object]:
    """Returns one evaluation of a config's network on a batch of normalised images."""
    network, side = network_of(config, KEYPOINTS), config.data.image_size
    images = (
        jax.numpy.asarray(noise_batch(config.batch_size, side, KEYPOINTS).image, jax.numpy.float32)
        / 255
    )
    variables = jax.jit(functools.partial(network.init, train=False))(jax.random.key(0), images)
    forward = jax.jit(functools.partial(network.apply, train=False))
    return lambda: jax.block_until_ready(forward(variables, images))


def pytorch_calls(
    config: Config, device: str
) -> tuple[dict[str, Callable[[], None]], dict[str, Callable[[], None]], int]:
    """Returns PyTorch's training steps and its passes for the network of a config, and its number of
    parameters.

    They are calls by layout and number of threads, of which the fastest counts: on a busy machine
    threads wait for each other, and one alone may be faster.
    """
    import torch

    from experiments.measure.benchmark import pytorch_networks as networks

    torch.backends.cudnn.benchmark = True  # PyTorch, too, may look for the fastest convolutions
    batch = noise_batch(config.batch_size, config.data.image_size, KEYPOINTS)
    targets, _ = setup_of(config, skeleton(KEYPOINTS)).codec.encode(batch)
    images, targets = (
        torch.from_numpy(np.ascontiguousarray(array.transpose(0, 3, 1, 2))).to(device)
        for array in (np.asarray(batch.image, np.float32) / 255, np.asarray(targets))
    )
    network, training, prediction = pytorch_network(config), {}, {}
    threads = sorted({1, usable_cores()}) if device == "cpu" else [0]
    for layout in (torch.contiguous_format, torch.channels_last):
        placed = networks.in_layout(network, images, layout)
        step, forward = networks.training_step(*placed, targets), networks.forward_pass(*placed)
        for count in threads:
            way = f"{str(layout).removeprefix('torch.')}, {count} thread(s)"
            training[way] = functools.partial(step, count)
            prediction[way] = functools.partial(forward, count)
    return training, prediction, sum(leaf.numel() for leaf in network.parameters())


def pytorch_network(config: Config) -> Any:
    """Returns the network of a config in PyTorch."""
    from experiments.measure.benchmark import pytorch_networks as networks

    given = config.network
    if isinstance(given, PoseResNet):
        return networks.PoseResNet(given.depth, KEYPOINTS, given.head_layers)
    return networks.MobileNetV2(KEYPOINTS)
