"""Rows about frozen-core adaptation: memory of a step beside the weights, and its time, over finetuning's."""
from collections.abc import Iterator, Sequence

import jax
import jax.numpy as jnp

from experiments.adaptation import build, network, perceptual_network
from experiments.adaptation_images import CATEGORIES
from experiments.adaptation_presets import PRESETS, Config
from experiments.benchmark.row import Effort, Row, compared, exact
from experiments.benchmark.steps import Step, cases, noise_batch
from experiments.configs import changed
from kpjax import Example, Start

DEMO = PRESETS["demo"]
PAPER = PRESETS["mpii_mafl"]
LARGE = changed(PAPER, dtype="bfloat16")
LABELS = len(CATEGORIES["faces"].skeleton.names)  # of the batches, which no step reads


def adaptation_rows(effort: Effort) -> Iterator[Row]:
    """The variants `adapted` and `lora` over `finetuned`."""
    yield from size_rows("paper's setting", PAPER)
    yield from size_rows("demo", DEMO, bar=None)
    for name, config in cases(DEMO, **{"hourglass, 128 px, bfloat16": LARGE}).items():
        yield from step_rows(effort, name, config)


def size_rows(name: str, config: Config, bar: float | None = 0.4,
              variants: Sequence[str] = ("adapted", "lora")) -> Iterator[Row]:
    """Bytes of gradients and optimizer states, the generator's included, of variants over finetuning's."""
    start = jax.eval_shape(lambda: start_of(config))
    sizes = {variant: kept_bytes(config, variant, start) for variant in (*variants, "finetuned")}
    for variant in variants:
        yield Row(f"bytes of {variant} / finetuned, {name}", exact(sizes[variant] / sizes["finetuned"]),
                  bar=bar if variant == "adapted" else None, note=(
                      f"gradients and optimizer states of {sizes[variant] / 1e6:.1f} and "
                      f"{sizes['finetuned'] / 1e6:.1f} MB, the generator's included"))


def kept_bytes(config: Config, variant: str, start: Start) -> int:
    """Counts the bytes of gradients and optimizer states of both networks. start: arrays, or their shapes."""
    state = jax.eval_shape(build(config, variant).init, jax.random.key(0), {"target": batch_of(config)}, start)
    trees = (state.variables["params"], state.generator["params"], state.optimizer_state)  # a gradient is like its tree
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(trees))


def step_rows(effort: Effort, name: str, config: Config,
              variants: Sequence[str] = ("adapted", "lora")) -> Iterator[Row]:
    """A step of `adapted`, which projects its kernels anew each time, and of LoRA over one of finetuning."""
    start = start_of(config)
    times = effort.times({variant: Step(build(config, variant), {"target": batch_of(config)}, start)
                          for variant in (*variants, "finetuned")})
    for variant in variants:
        yield compared(f"{variant} / finetuned, {name}", times, variant, "finetuned",
                       bar=1.1 if variant == "adapted" else None, note=f"{config.batch_size} images")


def batch_of(config: Config) -> Example:
    """Makes noise in the shape of the images that views are drawn from."""
    return noise_batch(config.batch_size, config.data.target_side, LABELS)


def start_of(config: Config) -> Start:
    """Returns an untrained core, and untrained features to compare images by."""
    side = config.data.image_size
    images = jnp.zeros((1, side, side, 3))
    core = jax.jit(lambda key: network(config, config.landmarks).init(key, images, train=False))(jax.random.key(0))
    return {"core": core, "perceptual": jax.jit(perceptual_network(config).init)(jax.random.key(1), images)}
