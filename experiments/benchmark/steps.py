"""The training steps that `experiments.benchmark` times: of any method, and of PyTorch for the same network."""
from collections.abc import Callable
from dataclasses import replace

import jax
import numpy as np

from experiments.regda.config import PRESETS, Config
from experiments.regda.variants import build_regda, build_supervised, parts_of
from kpjax.structures import Example, Method, Skeleton

DEMO = PRESETS["demo"]
LAPTOP = replace(PRESETS["rhd_h3d"], summary="PoseResNet-18", depth=18, image_size=64, heatmap_size=16, sigma=1.0,
                 batch_size=8, augmentation="none")
LARGE = replace(PRESETS["rhd_h3d"], summary="PoseResNet-101", augmentation="none", dtype="bfloat16")
LARGE_HRNET = replace(LARGE, summary="HRNet-W32", network="hrnet", head_layers=1, learning_rate=1e-3)


def skeleton(count: int) -> Skeleton:
    """Keypoints without meaning."""
    return Skeleton(tuple(f"point{number}" for number in range(count)))


def made_batch(config: Config, keypoints: int, seed: int) -> Example:
    """A batch of noise in the shapes of a config, on the device: the time of a step does not depend on its pictures."""
    rng, rows, side = np.random.default_rng(seed), config.batch_size, config.image_size
    return jax.device_put(Example(
        image=rng.integers(0, 256, (rows, side, side, 3), np.uint8),
        keypoints=rng.uniform(0, side - 1, (rows, keypoints, 2)).astype(np.float32),
        visible=np.ones((rows, keypoints), np.float32),
        scale=np.full(rows, side, np.float32),
        crop=np.tile(np.eye(3, dtype=np.float32), (rows, 1, 1)),
        index=np.arange(rows, dtype=np.int32)))


def step_of(method: Method, config: Config) -> Callable[[], None]:
    """One compiled step of a method on made batches, as a call that returns when it is done."""
    streams = {name: made_batch(config, len(method.skeleton.names), n) for n, name in enumerate(method.streams)}
    key = jax.random.key(0)
    state = jax.jit(method.init)(key, streams, {})
    update = jax.jit(method.update, donate_argnums=0)

    def step():
        nonlocal state
        state, metrics = update(state, streams, key)
        jax.block_until_ready(metrics)

    return step


def supervised_step(config: Config, keypoints: int = 10) -> Callable[[], None]:
    """A step of supervised training with the head, batch and optimizer of RegDA."""
    parts = parts_of(config, skeleton(keypoints))
    method = build_supervised(parts._replace(one_head=parts.two_heads), steps=config.steps, stream="source")
    return step_of(method, config)


def regda_step(config: Config, keypoints: int = 10) -> Callable[[], None]:
    """A step of RegDA."""
    return step_of(build_regda(parts_of(config, skeleton(keypoints))), config)


def pytorch_pair(config: Config, keypoints: int, device: str, **options) -> tuple[Callable[[], None], int]:
    """PyTorch's training step for the network of a config, and its number of parameters."""
    import torch

    from experiments.benchmark.pytorch_hrnet import HRNet
    from experiments.benchmark.pytorch_networks import SmallUnet, parameter_count, pose_resnet, training_step

    network = {
        "pose_resnet": lambda: pose_resnet(config.depth, keypoints, config.head_layers),
        "hrnet": lambda: HRNet(keypoints),
        "small_unet": lambda: SmallUnet(keypoints, config.widths, config.head_layers, config.head_width),
    }[config.network]()
    batch = made_batch(config, keypoints, 0)
    targets, _ = parts_of(config, skeleton(keypoints)).codec.encode(batch)
    arrays = (np.asarray(batch.image, np.float32) / 255, np.asarray(targets))
    images, targets = (torch.from_numpy(np.ascontiguousarray(array.transpose(0, 3, 1, 2))).to(device)
                       for array in arrays)
    return training_step(network, images, targets, **options), parameter_count(network)


def with_threads(step: Callable[[], None], count: int) -> Callable[[], None]:
    """A PyTorch step that runs on `count` threads."""
    import torch

    def run():
        torch.set_num_threads(count)
        step()

    return run
