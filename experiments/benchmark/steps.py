"""Training steps for the benchmark, on noise: their time does not depend on their images."""
import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import numpy as np

from experiments.engine.configs import changed, network_of
from experiments.engine.system import System
from experiments.regda.presets import PRESETS, Config
from experiments.regda.variants import build_regda, build_supervised, setup_of
from kpjax import Example, Method, Skeleton, Start
from kpjax.input.stream import read_ahead

DEMO = PRESETS["demo"]
LAPTOP = changed(PRESETS["rhd_h3d"], depth=18, image_size=64, heatmap_size=16, sigma=1.0, batch_size=8,
                 augmentation="none")


def cases(system: System, preset: str, name: str) -> dict[str, Any]:
    """Returns the config of a system's demo and, where there is an accelerator, a large preset in bfloat16, by name."""
    large = {} if jax.devices()[0].platform == "cpu" else {name: changed(system.presets[preset], dtype="bfloat16")}
    return {"demo": system.presets["demo"]} | large


def skeleton(count: int) -> Skeleton:
    """Returns keypoints without meaning."""
    return Skeleton(tuple(f"point{number}" for number in range(count)))


def noise_batch(rows: int, side: int, keypoints: int, *, seed: int = 0) -> Example:
    """Makes a batch of noise on the device."""
    rng = np.random.default_rng(seed)
    return jax.device_put(Example(
        image=rng.integers(0, 256, (rows, side, side, 3), np.uint8),
        keypoints=rng.uniform(0, side - 1, (rows, keypoints, 2)).astype(np.float32),
        visible=np.ones((rows, keypoints), np.float32),
        scale=np.full(rows, side, np.float32),
        crop=np.tile(np.eye(3, dtype=np.float32), (rows, 1, 1)),
        index=np.arange(rows, dtype=np.int32)))


def noise_streams(method: Method, rows: int, side: int) -> dict[str, Example]:
    """Makes a batch of noise for each stream of a method."""
    return {name: noise_batch(rows, side, len(method.skeleton.names), seed=seed)
            for seed, name in enumerate(method.streams)}


def read_batches(streams: Sequence[Sequence[Example]]) -> Iterator[list[Example]]:
    """Reads batches ahead as `fit` does, and waits until they are on the device."""
    return read_ahead(lambda step: jax.block_until_ready(jax.device_put([batches[step] for batches in streams])),
                      itertools.count())


class Step:
    """A compiled training step of a method on noise of so many images a stream; a call returns when it is done."""

    def __init__(self, method: Method, rows: int, side: int, start: Start | None = None):
        self.streams, self.key = noise_streams(method, rows, side), jax.random.key(0)
        self.state = jax.jit(method.init)(self.key, self.streams, start or {})
        self.update = jax.jit(method.update, donate_argnums=0).lower(self.state, self.streams, self.key).compile()

    def __call__(self) -> None:
        self.state, metrics = self.update(self.state, self.streams, self.key)
        jax.block_until_ready(metrics)

    @property
    def temporary_bytes(self) -> int:
        """Memory that the step needs beside its arguments and results."""
        return self.update.memory_analysis().temp_size_in_bytes


def supervised_step(config: Config, keypoints: int = 10) -> Step:
    """Compiles a step of supervised training with the head, batch and optimizer of RegDA."""
    setup = setup_of(config, skeleton(keypoints))._replace(model=network_of(config, keypoints))
    method = build_supervised(config, setup, steps=config.steps, stream="source")
    return Step(method, config.batch_size, config.data.image_size)


def regda_step(config: Config, keypoints: int = 10) -> Step:
    """Compiles a step of RegDA."""
    return Step(build_regda(config, setup_of(config, skeleton(keypoints))), config.batch_size, config.data.image_size)
