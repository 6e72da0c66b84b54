"""Training steps for the benchmark: of any method, and of PyTorch for the same network."""
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from experiments.configs import changed, flat
from experiments.regda import build_regda, build_supervised, parts_of
from experiments.regda_presets import PRESETS, Config
from kpjax import Example, Method, Skeleton, Start
from kpjax.models import HRNet, PoseResNet, SmallUNet

DEMO = PRESETS["demo"]
LARGE = changed(PRESETS["rhd_h3d"], summary="PoseResNet-101", augmentation="none", dtype="bfloat16")
LAPTOP = changed(PRESETS["rhd_h3d"], summary="PoseResNet-18", depth=18, image_size=64, heatmap_size=16, sigma=1.0,
                 batch_size=8, augmentation="none")
LARGE_HRNET = changed(LARGE, summary="HRNet-W32", network=HRNet(dtype="bfloat16", head_layers=1), learning_rate=1e-3)


def cases(demo: Any, **large: Any) -> dict[str, Any]:
    """Returns configs by name: the demo's, and large ones where there is an accelerator."""
    return {"demo": demo} | (large if jax.devices()[0].platform != "cpu" else {})


def skeleton(count: int) -> Skeleton:
    """Returns keypoints without meaning."""
    return Skeleton(tuple(f"point{number}" for number in range(count)))


def noise_batch(rows: int, side: int, keypoints: int, *, seed: int = 0) -> Example:
    """Makes a batch of noise on the device: the time of a step does not depend on its images."""
    rng = np.random.default_rng(seed)
    return jax.device_put(Example(
        image=rng.integers(0, 256, (rows, side, side, 3), np.uint8),
        keypoints=rng.uniform(0, side - 1, (rows, keypoints, 2)).astype(np.float32),
        visible=np.ones((rows, keypoints), np.float32),
        scale=np.full(rows, side, np.float32),
        crop=np.tile(np.eye(3, dtype=np.float32), (rows, 1, 1)),
        index=np.arange(rows, dtype=np.int32)))


def noise_streams(method: Method, config: Any) -> dict[str, Example]:
    """Makes a batch for each stream of a method, in the shapes of a config."""
    return {name: noise_batch(config.batch_size, flat(config)["image_size"], len(method.skeleton.names), seed=seed)
            for seed, name in enumerate(method.streams)}


class Step:
    """A compiled training step of a method; a call returns when it is done."""

    def __init__(self, method: Method, streams: Mapping[str, Example], start: Start | None = None):
        self.streams, self.key = streams, jax.random.key(0)
        self.state = jax.jit(method.init)(self.key, streams, start or {})
        self.update = jax.jit(method.update, donate_argnums=0).lower(self.state, streams, self.key).compile()

    def __call__(self) -> None:
        self.state, metrics = self.update(self.state, self.streams, self.key)
        jax.block_until_ready(metrics)

    @property
    def temporary_bytes(self) -> int:
        """Memory that the step needs beside its arguments and results."""
        return self.update.memory_analysis().temp_size_in_bytes


def supervised_step(config: Config, keypoints: int = 10) -> Step:
    """Compiles a step of supervised training with the head, batch and optimizer of RegDA."""
    parts = parts_of(config, skeleton(keypoints))
    method = build_supervised(parts._replace(one_head=parts.two_heads), steps=config.steps, stream="source")
    return Step(method, noise_streams(method, config))


def regda_step(config: Config, keypoints: int = 10) -> Step:
    """Compiles a step of RegDA."""
    method = build_regda(parts_of(config, skeleton(keypoints)))
    return Step(method, noise_streams(method, config))


def pytorch_pair(config: Config, keypoints: int, device: str, **options) -> tuple[Callable[..., None], int]:
    """Returns PyTorch's training step for the network of a config, a call that may be given a number of threads, and
    its number of parameters."""
    import torch

    from experiments.benchmark import pytorch_networks as networks

    match config.network:
        case PoseResNet() as given:
            network = networks.PoseResNet(given.depth, keypoints, given.head_layers)
        case SmallUNet() as given:
            network = networks.SmallUnet(keypoints, given.widths, given.head_layers, given.head_width)
        case HRNet():
            network = networks.HRNet(keypoints)
    batch = noise_batch(config.batch_size, config.data.image_size, keypoints)
    targets, _ = parts_of(config, skeleton(keypoints)).codec.encode(batch)
    arrays = (np.asarray(batch.image, np.float32) / 255, np.asarray(targets))
    images, targets = (torch.from_numpy(np.ascontiguousarray(array.transpose(0, 3, 1, 2))).to(device)
                       for array in arrays)
    return networks.training_step(network, images, targets, **options), sum(p.numel() for p in network.parameters())
