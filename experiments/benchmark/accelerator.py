"""Rows that need an accelerator: published networks at their full size, in bfloat16, beside PyTorch."""
from collections.abc import Iterator

import jax

from experiments.benchmark.multiply_adds import head_share, multiply_adds, regda_bound
from experiments.benchmark.row import Effort, Row, Spread, compared, pytorch_missing, ratio, spread
from experiments.benchmark.steps import LARGE, LARGE_HRNET, pytorch_pair, regda_step, skeleton, supervised_step
from experiments.configs import changed
from experiments.regda import parts_of
from experiments.regda_presets import Config

# Dense bfloat16 FLOP/s of one device, from the vendors' data sheets, by the device kind that JAX reports.
PEAK_FLOPS = {
    "NVIDIA A100-SXM4-40GB": 312e12, "NVIDIA A100-SXM4-80GB": 312e12, "NVIDIA A100-PCIE-40GB": 312e12,
    "NVIDIA A100 80GB PCIe": 312e12, "NVIDIA H100 80GB HBM3": 989e12, "NVIDIA H100 PCIe": 756e12,
    "NVIDIA H200": 989e12, "NVIDIA B200": 2250e12, "NVIDIA L4": 121e12, "NVIDIA L40S": 362e12, "NVIDIA A10G": 70e12,
    "NVIDIA GeForce RTX 3090": 71e12, "NVIDIA GeForce RTX 4090": 165e12,
    "TPU v4": 275e12, "TPU v5 lite": 197e12, "TPU v5": 459e12, "TPU v6 lite": 918e12,
}


def accelerator_rows(effort: Effort) -> Iterator[Row]:
    """PoseResNet-101 at 256 px, batch 32, in bfloat16, trained with labels and by RegDA; nothing on a CPU."""
    config = changed(LARGE, head_layers=2, learning_rate=1e-3)
    yield from training_rows(effort, "PoseResNet-101", config, 21, eager_bar=1.3, with_regda=True)


def hrnet_rows(effort: Effort) -> Iterator[Row]:
    """HRNet-W32 at 256 px, batch 32, in bfloat16, trained with labels; nothing on a CPU."""
    yield from training_rows(effort, "HRNet-W32", LARGE_HRNET, 16, eager_bar=1.5)


def training_rows(effort: Effort, name: str, config: Config, keypoints: int, *, eager_bar: float,
                  with_regda: bool = False) -> Iterator[Row]:
    """The rate of training a config's network on this accelerator, over PyTorch's (bar: without compilation) and over
    the peak."""
    device = jax.devices()[0]
    title = f"{name}, {config.data.image_size} px, {config.network.dtype}"
    if device.platform == "cpu":
        yield Row(title, note="needs an accelerator; this is a CPU")
        return
    candidates = {"kpjax": supervised_step(config, keypoints)}
    if with_regda:
        candidates["regda"] = regda_step(config, keypoints)
    missing = pytorch_missing(f"PyTorch / kpjax, {name}")
    if missing is None:
        import torch

        if torch.cuda.is_available():
            torch.backends.cudnn.benchmark = True  # PyTorch, too, may look for the fastest convolutions
            half = {"half_precision": True}
            candidates["eager"], _ = pytorch_pair(config, keypoints, "cuda", **half)
            candidates["compiled"], _ = pytorch_pair(config, keypoints, "cuda", compiled=True, **half)
        else:
            missing = Row(f"PyTorch / kpjax, {name}", note="PyTorch sees no CUDA device")
    times = effort.times(candidates, warm_up=5)
    rates = Spread(*(config.batch_size / spread(times["kpjax"].wall)[n] for n in (0, 2, 1)))
    yield Row(f"images/s, {title}", rates, "images/s", note=device.device_kind)
    if missing is not None:
        yield missing
    else:
        yield Row(f"PyTorch eager / kpjax, {name}", ratio(times["eager"], times["kpjax"]), bar=eager_bar,
                  at_most=False, note="mixed precision in bfloat16, channels last")
        yield Row(f"torch.compile / kpjax, {name}", ratio(times["compiled"], times["kpjax"]), bar=1.0, at_most=False)
    counts = multiply_adds(parts_of(config, skeleton(keypoints)).two_heads, config.data.image_size)
    if with_regda:
        bound = regda_bound(head_share(counts))
        yield compared(f"regda / supervised, {name}", times, "regda", "kpjax", bar=1.10 * bound,
                       note=f"1.10 x bound {bound:.2f}")
    if device.device_kind not in PEAK_FLOPS:
        yield Row(f"model FLOPs utilisation, {name}",
                  note=f"the peak of {device.device_kind!r} is unknown to this file")
        return
    flops = 3 * 2 * sum(counts.values())  # a backward pass costs two forward ones
    share = [100 * rate * flops / PEAK_FLOPS[device.device_kind] for rate in rates]
    yield Row(f"model FLOPs utilisation, {name}", Spread(*share), "%",
              note=f"{flops / 1e9:.0f} GFLOP per image and step")
