"""Rows beside PyTorch: the same network, batch and loss on this CPU, or at full size in bfloat16 on
a GPU.
"""

import functools
import importlib.util
from collections.abc import Callable, Iterator

import jax
import numpy as np

from experiments.measure.benchmark.steps import (
    DEMO,
    LAPTOP,
    LARGE,
    noise_batch,
    skeleton,
    supervised_step,
)
from experiments.measure.benchmark.timing import Effort, Row, compare, spread
from kpjax.cores import usable_cores
from kpjax.models import PoseResNet
from kpjax.papers.configs import network_of, replace_fields
from kpjax.papers.regda.config import Config
from kpjax.papers.regda.stages import setup_of

KEYPOINTS = 10
SGD = {"optimizer": "sgd", "learning_rate": 1e-3}
CPU, GPU = (
    {name: replace_fields(config, **SGD) for name, config in networks.items()}
    for networks in (
        {"demo network": DEMO, "PoseResNet-18, 64 px": LAPTOP},
        {"PoseResNet-101, 256 px, bfloat16": LARGE},
    )
)


def rows(effort: Effort) -> Iterator[Row]:
    """PyTorch's time over ours, for a supervised step and for a pass of the same network and batch.

    Our step also normalises images and renders targets, which PyTorch gets ready-made.
    """
    device = "cpu" if jax.devices()[0].platform == "cpu" else "cuda"
    if importlib.util.find_spec("torchvision") is None:
        yield Row("PyTorch / kpjax", note="PyTorch is not installed: pip install torch torchvision")
        return
    cores = usable_cores()
    for name, config in (CPU if device == "cpu" else GPU).items():
        ours, (step, forward, parameters) = (
            supervised_step(config, KEYPOINTS),
            pytorch_pair(config, device),
        )
        expected = sum(leaf.size for leaf in jax.tree.leaves(ours.state.variables["params"]))
        if parameters != expected:
            raise RuntimeError(
                f"the twin of {name} has {parameters} parameters, ours {expected}: no comparison"
            )
        for kind, mine, theirs in (
            ("training", ours, step),
            ("prediction", our_forward_pass(config), forward),
        ):
            # On a busy machine PyTorch's threads wait for each other, and one alone may be faster:
            # the better counts.
            candidates = {
                str(threads): functools.partial(theirs, threads) for threads in sorted({1, cores})
            }
            times = effort.times(candidates | {"kpjax": mine})
            best = min(candidates, key=lambda threads: spread(times[threads].wall).median)
            yield compare(
                f"PyTorch / kpjax, {kind}, {name}, batch {config.batch_size}",
                times[best],
                times["kpjax"],
                note=f"on {best} thread(s); {parameters:,} parameters",
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


def pytorch_pair(
    config: Config, device: str
) -> tuple[Callable[..., None], Callable[..., None], int]:
    """Returns PyTorch's training step and pass for the network of a config, calls that may be given
    a number of threads, and its number of parameters."""
    import torch

    from experiments.measure.benchmark import pytorch_networks as networks

    torch.backends.cudnn.benchmark = True  # PyTorch, too, may look for the fastest convolutions
    given = config.network
    network = (
        networks.PoseResNet(given.depth, KEYPOINTS, given.head_layers)
        if isinstance(given, PoseResNet)
        else networks.SmallUnet(KEYPOINTS, given.widths, given.head_layers, given.head_width)
    )
    batch = noise_batch(config.batch_size, config.data.image_size, KEYPOINTS)
    targets, _ = setup_of(config, skeleton(KEYPOINTS)).codec.encode(batch)
    images, targets = (
        torch.from_numpy(np.ascontiguousarray(array.transpose(0, 3, 1, 2))).to(device)
        for array in (np.asarray(batch.image, np.float32) / 255, np.asarray(targets))
    )
    step = networks.training_step(network, images, targets)
    return (
        step,
        networks.forward_pass(network, images),
        sum(leaf.numel() for leaf in network.parameters()),
    )
