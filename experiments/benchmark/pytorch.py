"""Rows beside PyTorch: on this CPU, and of published networks at their full size, in bfloat16, on an accelerator."""
import functools
import importlib.util
import os
from collections.abc import Callable, Iterator

import jax
import numpy as np

from experiments.benchmark.multiply_adds import multiply_adds
from experiments.benchmark.row import Effort, Row, compared, ratio, spread
from experiments.benchmark.rows import regda_row
from experiments.benchmark.steps import DEMO, LAPTOP, noise_batch, regda_step, skeleton, supervised_step
from experiments.engine.configs import changed, network_of
from experiments.regda.presets import PRESETS, Config
from experiments.regda.variants import setup_of
from kpjax.models import HRNet, MobileNetV2, PoseResNet, SmallUNet
from kpjax.training.profiling import peak_teraflops

NETWORKS: dict[str, Config] = {  # for a CPU
    "demo network": DEMO, "PoseResNet-18, 64 px": LAPTOP,
    **{f"MobileNetV2, {side} px": changed(DEMO, network=MobileNetV2(), image_size=side, heatmap_size=side // 4,
                                          batch_size=2048 // side) for side in (128, 256)}}


def pytorch_rows(effort: Effort) -> Iterator[Row]:
    """PyTorch's time on this CPU over ours, for a supervised step and for a pass of the same network and batch.

    Our step also normalises images and renders targets, which PyTorch gets ready-made.
    """
    if missing := pytorch_missing("cpu"):
        yield Row("PyTorch / kpjax on this CPU", note=missing)
        return
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    for name, config in NETWORKS.items():
        sgd = changed(config, optimizer="sgd", learning_rate=1e-3, weight_decay=0.0)
        ours, (step, forward, parameters) = supervised_step(sgd), pytorch_pair(sgd, 10, "cpu")
        expected = sum(leaf.size for leaf in jax.tree.leaves(ours.state.variables["params"]))
        if parameters != expected:
            raise RuntimeError(f"the twin of {name} has {parameters} parameters, ours {expected}: no comparison")
        for kind, mine, theirs in (("training", ours, step), ("prediction", our_forward_pass(sgd, 10), forward)):
            # On a busy machine PyTorch's threads wait for each other, and one alone may be faster: the better counts.
            candidates = {str(threads): functools.partial(theirs, threads) for threads in sorted({1, cores})}
            times = effort.times(candidates | {"kpjax": mine})
            best = min(candidates, key=lambda threads: spread(times[threads].wall).median)
            yield compared(f"PyTorch / kpjax, {kind}, {name}, batch {config.batch_size}", times, best, "kpjax",
                           note=f"on {best} thread(s); {parameters:,} parameters")


def our_forward_pass(config: Config, keypoints: int) -> Callable[[], object]:
    """Returns one evaluation of a config's network on a batch of normalised images."""
    network, side = network_of(config, keypoints), config.data.image_size
    images = jax.numpy.asarray(noise_batch(config.batch_size, side, keypoints).image, jax.numpy.float32) / 255
    variables = jax.jit(functools.partial(network.init, train=False))(jax.random.key(0), images)
    forward = jax.jit(functools.partial(network.apply, train=False))
    return lambda: jax.block_until_ready(forward(variables, images))


def accelerator_rows(effort: Effort) -> Iterator[Row]:
    """PoseResNet-101 at 256 px, batch 32, in bfloat16, trained with labels and by RegDA; nothing on a CPU."""
    config = changed(PRESETS["rhd_h3d"], augmentation="none", dtype="bfloat16", head_layers=2, learning_rate=1e-3)
    yield from training_rows(effort, "PoseResNet-101", config, 21, eager_bar=1.3, with_regda=True)


def hrnet_rows(effort: Effort) -> Iterator[Row]:
    """HRNet-W32 at 256 px, batch 32, in bfloat16, trained with labels; nothing on a CPU."""
    config = changed(PRESETS["rhd_h3d"], augmentation="none", network=HRNet(dtype="bfloat16", head_layers=1),
                     learning_rate=1e-3)
    yield from training_rows(effort, "HRNet-W32", config, 16, eager_bar=1.5)


def training_rows(effort: Effort, name: str, config: Config, keypoints: int, *, eager_bar: float,
                  with_regda: bool = False) -> Iterator[Row]:
    """The rate of training a config's network on this accelerator, over PyTorch's (bar: without compilation) and over
    the peak."""
    device = jax.devices()[0]
    title = f"{name}, {config.data.image_size} px, {config.network.dtype}"
    if device.platform == "cpu":
        yield Row(title, note="needs an accelerator; this is a CPU")
        return
    candidates = {"supervised": supervised_step(config, keypoints)}
    if with_regda:
        candidates["regda"] = regda_step(config, keypoints)
    missing = pytorch_missing("cuda")
    if not missing:
        for kind in ("eager", "compiled"):
            candidates[kind], *_ = pytorch_pair(config, keypoints, "cuda", compiled=kind == "compiled")
    times = effort.times(candidates, warm_up=5)
    rates = spread(config.batch_size / seconds for seconds in times["supervised"].wall)
    yield Row(f"images/s, {title}", rates, "images/s", note=device.device_kind)
    if missing:
        yield Row(f"PyTorch / kpjax, {name}", note=missing)
    else:
        for title, kind, bar in (("PyTorch eager", "eager", eager_bar), ("torch.compile", "compiled", 1.0)):
            yield Row(f"{title} / kpjax, {name}", ratio(times[kind], times["supervised"]), bar=bar, at_most=False,
                      note="mixed precision in bfloat16, channels last")
    if with_regda:
        yield regda_row(name, config, keypoints, times)
    counts = multiply_adds(network_of(config, keypoints), config.data.image_size)
    flops = 3 * 2 * sum(counts.values())  # a backward pass costs two forward ones
    peak, note = peak_teraflops(device.device_kind), f"{flops / 1e9:.0f} GFLOP per image and step"
    shares = spread(100 * rate * flops / (1e12 * peak) for rate in rates) if peak else None
    yield Row(f"model FLOPs utilisation, {name}", shares, "%",
              note=note if peak else f"{note}; the peak of {device.device_kind!r} is unknown to this file")


def pytorch_missing(device: str) -> str:
    """Returns why PyTorch cannot run on a device; nothing if it can."""
    if importlib.util.find_spec("torchvision") is None:
        return "PyTorch is not installed: pip install torch torchvision"
    import torch

    return "" if device == "cpu" or torch.cuda.is_available() else "PyTorch sees no CUDA device"


def pytorch_pair(config: Config, keypoints: int, device: str, *, compiled: bool = False
                 ) -> tuple[Callable[..., None], Callable[..., None], int]:
    """Returns PyTorch's training step and pass for the network of a config, calls that may be given a number of
    threads, and its number of parameters."""
    import torch

    from experiments.benchmark import pytorch_networks as networks

    torch.backends.cudnn.benchmark = True  # PyTorch, too, may look for the fastest convolutions
    match config.network:
        case PoseResNet() as given:
            network = networks.PoseResNet(given.depth, keypoints, given.head_layers)
        case SmallUNet() as given:
            network = networks.SmallUnet(keypoints, given.widths, given.head_layers, given.head_width)
        case MobileNetV2() as given:
            network = networks.MobileNetV2(keypoints, given.decoder_width, given.head_layers)
        case HRNet():
            network = networks.HRNet(keypoints)
    batch = noise_batch(config.batch_size, config.data.image_size, keypoints)
    targets, _ = setup_of(config, skeleton(keypoints)).codec.encode(batch)
    images, targets = (torch.from_numpy(np.ascontiguousarray(array.transpose(0, 3, 1, 2))).to(device)
                       for array in (np.asarray(batch.image, np.float32) / 255, np.asarray(targets)))
    step = networks.training_step(network, images, targets, compiled=compiled)
    return step, networks.forward_pass(network, images), sum(leaf.numel() for leaf in network.parameters())
