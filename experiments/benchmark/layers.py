"""Rows of every kind of convolution in three networks: forward and in both gradients, beside PyTorch on this CPU."""
import functools
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from experiments.benchmark.pytorch import NETWORKS, pytorch_missing
from experiments.benchmark.row import Effort, Row, spread
from experiments.engine.configs import network_of
from kpjax.models import KeypointNetwork
from kpjax.models.layers import Convolution, DepthwiseConvolution, TransposedConvolution

PASSES = ("forward", "input gradient", "kernel gradient")
ROUNDS, SHORTER = 5, 5  # turns at the most, and how much shorter than those of whole steps


class Layer(NamedTuple):
    """A convolution by itself, and what it reads."""

    module: Convolution | DepthwiseConvolution | TransposedConvolution
    shape: tuple[int, int, int, int]  # (B, H, W, C)

    @property
    def text(self) -> str:
        """A name such as "3x3, 32 to 64 channels, 16x16 px, stride 2"."""
        k, (_, height, width, channels) = self.module.kernel_size, self.shape
        kind = {DepthwiseConvolution: "depthwise ", TransposedConvolution: "transposed "}.get(type(self.module), "")
        stride = getattr(self.module, "stride", 2)
        return (f"{kind}{k}x{k}, {channels} to {getattr(self.module, 'width', channels)} channels, {width}x{height} px"
                + (f", stride {stride}" if stride > 1 else ""))


def layers_of(network: KeypointNetwork, batch: int, side: int) -> Counter[Layer]:
    """Counts the convolutions of a network by what they read, for a batch of images of `side` px."""
    found: Counter[Layer] = Counter()

    def note(run, arguments, options, context):
        if context.method_name == "__call__" and isinstance(
                context.module, (Convolution, DepthwiseConvolution, TransposedConvolution)):
            alone = context.module.clone(parent=None, name=None)
            alone = alone.clone(use_bias=False) if isinstance(alone, Convolution) else alone
            found[Layer(alone, arguments[0].shape)] += 1
        return run(*arguments, **options)

    with nn.intercept_methods(note):
        images = jax.ShapeDtypeStruct((batch, side, side, 3), jnp.float32)
        jax.eval_shape(functools.partial(network.init, train=False), jax.random.key(0), images)
    return found


def our_passes(layer: Layer, arrays: dict[str, np.ndarray]) -> dict[str, Callable[[], object]]:
    """Returns the three passes of a layer as calls. arrays: x, kernel, pull (the gradient of the result)."""
    def forward(kernel, x):
        return layer.module.apply({"params": {"kernel": kernel}}, x)

    def pulled(number):
        return lambda kernel, x, pull: jax.vjp(forward, kernel, x)[1](pull)[number]

    kernel, x, pull = (jnp.asarray(arrays[name]) for name in ("kernel", "x", "pull"))
    programs = {"forward": (jax.jit(forward), (kernel, x)), "input gradient": (jax.jit(pulled(1)), (kernel, x, pull)),
                "kernel gradient": (jax.jit(pulled(0)), (kernel, x, pull))}
    return {name: functools.partial(lambda run, given: jax.block_until_ready(run(*given)), *program)
            for name, program in programs.items()}


def pytorch_passes(layer: Layer, arrays: dict[str, np.ndarray]) -> dict[str, Callable[[], object]]:
    """Returns the same passes in PyTorch, on images (B, C, H, W)."""
    import torch

    module, transposed = layer.module, isinstance(layer.module, TransposedConvolution)
    k, stride = module.kernel_size, 2 if transposed else module.stride
    padding = {4: 1, 3: 1, 2: 0}[k] if transposed else module.padding if isinstance(
        getattr(module, "padding", None), int) else k // 2
    groups = layer.shape[-1] if isinstance(module, DepthwiseConvolution) else 1
    # A transposed kernel is mirrored, and its channels are in the other order.
    kernel = arrays["kernel"]
    kernel = kernel[::-1, ::-1].transpose(2, 3, 0, 1) if transposed else kernel.transpose(3, 2, 0, 1)
    x, kernel, pull = (torch.from_numpy(np.ascontiguousarray(array)) for array in (
        arrays["x"].transpose(0, 3, 1, 2), kernel, arrays["pull"].transpose(0, 3, 1, 2)))
    settings = ((stride,) * 2, (padding,) * 2, (1, 1), transposed, (int(transposed and k == 3),) * 2, groups)

    def backward(of_input: bool, of_kernel: bool):
        return torch.ops.aten.convolution_backward(
            pull, x, kernel, None, *settings, (of_input, of_kernel, False))

    return {"forward": lambda: torch.ops.aten.convolution(x, kernel, None, *settings),
            "input gradient": lambda: backward(True, False)[0], "kernel gradient": lambda: backward(False, True)[1]}


def arrays_of(layer: Layer) -> dict[str, np.ndarray]:
    """Draws what the passes of a layer read."""
    random, channels = np.random.default_rng(0), layer.shape[-1]
    k, depthwise = layer.module.kernel_size, isinstance(layer.module, DepthwiseConvolution)
    kernel = random.normal(size=(k, k, 1 if depthwise else channels, channels if depthwise else layer.module.width))
    x = random.normal(size=layer.shape)
    result = jax.eval_shape(layer.module.apply, {"params": {"kernel": jax.ShapeDtypeStruct(kernel.shape, jnp.float32)}},
                            jax.ShapeDtypeStruct(layer.shape, jnp.float32))
    return {"kernel": kernel.astype(np.float32), "x": x.astype(np.float32),
            "pull": random.normal(size=result.shape).astype(np.float32)}


def layers_rows(effort: Effort) -> Iterator[Row]:
    """PyTorch's processor time over ours for every kind of convolution, all three passes together, and of their sum."""
    if missing := pytorch_missing("cpu"):
        yield Row("PyTorch / kpjax, layers on this CPU", note=missing)
        return
    effort = replace(effort, seconds=effort.seconds / SHORTER)
    for name, config in NETWORKS.items():
        network = network_of(config, 10)
        sums = np.zeros((2, min(effort.rounds, ROUNDS)))
        for layer, count in layers_of(network, config.batch_size, config.data.image_size).items():
            arrays = arrays_of(layer)
            mine, theirs = our_passes(layer, arrays), pytorch_passes(layer, arrays)
            times = effort.times({f"our {kind}": run for kind, run in mine.items()} | theirs, most=ROUNDS)
            spent = np.array([[times[before + kind].processor for kind in PASSES] for before in ("our ", "")])
            sums += count * spent.sum(1)
            parts = ", ".join(f"{kind} {1e3 * theirs:.2f} and {1e3 * ours:.2f} ms"
                              for kind, ours, theirs in zip(PASSES, *np.median(spent, -1), strict=True))
            yield Row(f"{name}, {count} x {layer.text}", spread(spent[1].sum(0) / spent[0].sum(0)), note=parts)
        yield Row(f"{name}, all convolutions", spread(sums[1] / sums[0]),
                  note="{:.0f} and {:.0f} ms of processor time".format(*1e3 * np.median(sums, -1)[::-1]))
