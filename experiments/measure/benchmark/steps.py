"""Training steps for the benchmark, on noise: their time does not depend on their images."""

import jax
import numpy as np

from experiments.regda import PRESETS
from kpjax import Example, Method, Skeleton, arrays
from kpjax.papers.configs import network_of, replace_fields
from kpjax.papers.regda.config import Config
from kpjax.papers.regda.labels_alone import build_supervised
from kpjax.papers.regda.stages import setup_of

LAPTOP = replace_fields(
    PRESETS["rhd_h3d"],
    depth=18,
    image_size=64,
    heatmap_size=16,
    sigma=1.0,
    batch_size=8,
    augmentation="none",
)
# for an accelerator
LARGE = replace_fields(PRESETS["rhd_h3d"], augmentation="none", dtype="bfloat16", head_layers=2)


def skeleton(count: int) -> Skeleton:
    """Returns keypoints without meaning."""
    return Skeleton(tuple(f"point{number}" for number in range(count)))


def noise_batch(rows: int, side: int, keypoints: int) -> Example:
    """Makes a batch of noise on the device."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (rows, side, side, 3), np.uint8)
    points = rng.uniform(0, side - 1, (rows, keypoints, 2))
    return jax.device_put(
        arrays(images, points, np.ones((rows, keypoints)), skeleton(keypoints), "noise").examples
    )


class Step:
    """A compiled training step of a method on noise of so many images a stream; a call returns when
    it is done.
    """

    def __init__(self, method: Method, rows: int, side: int):
        self.streams = dict.fromkeys(
            method.streams, noise_batch(rows, side, len(method.skeleton.names))
        )
        self.key = jax.random.key(0)
        self.state = jax.jit(method.init)(self.key, self.streams, {})
        self.update = (
            jax.jit(method.update, donate_argnums=0)
            .lower(self.state, self.streams, self.key)
            .compile()
        )

    def __call__(self) -> None:
        self.state, metrics = self.update(self.state, self.streams, self.key)
        jax.block_until_ready(metrics)


def supervised_step(config: Config, keypoints: int = 10) -> Step:
    """Compiles a step of supervised training with the head, batch and optimizer of RegDA."""
    setup = setup_of(config, skeleton(keypoints))._replace(model=network_of(config, keypoints))
    method = build_supervised(config, setup, length="steps", stream="source")
    return Step(method, config.batch_size, config.data.image_size)
