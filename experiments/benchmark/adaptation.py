"""Rows about frozen-core adaptation: what a step keeps beside the weights, and how long it takes, over finetuning's."""
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import jax
import jax.numpy as jnp

from experiments.adaptation.config import PRESETS, Config
from experiments.adaptation.parts import build, network, perceptual_network
from experiments.adaptation.pictures import CATEGORIES
from experiments.benchmark.row import Effort, Row, milliseconds
from experiments.benchmark.steps import made_batch
from experiments.benchmark.timing import Spread, interleaved, processor_ratio, ratio
from kpjax.structures import Example, Start

DEMO = PRESETS["demo"]
PAPER = PRESETS["mpii_mafl"]
LARGE = replace(PAPER, dtype="bfloat16")
LABELS = len(CATEGORIES["faces"].skeleton.names)  # of the batches, which no step reads


def adaptation_rows(effort: Effort) -> Iterator[Row]:
    """The adapted row and LoRA over finetuning."""
    yield from size_rows("paper's setting", PAPER)
    yield from size_rows("demo", DEMO, bar=None)
    cases = {"demo": DEMO}
    if jax.devices()[0].platform != "cpu":
        cases["hourglass, 128 px, bfloat16"] = LARGE
    for name, config in cases.items():
        yield from step_rows(effort, name, config)


def size_rows(
    name: str, config: Config, bar: float | None = 0.4, variants: Sequence[str] = ("adapted", "lora")
) -> Iterator[Row]:
    """Bytes of gradients and optimizer states, the generator's included, of rows over finetuning's."""
    start = jax.eval_shape(lambda: start_of(config))
    sizes = {variant: kept_bytes(config, variant, start) for variant in (*variants, "finetuned")}
    for variant in variants:
        share = sizes[variant] / sizes["finetuned"]
        yield Row(f"bytes of {variant} / finetuned, {name}", Spread(share, share, share),
                  bar=bar if variant == "adapted" else None, note=(
                      f"gradients and optimizer states of {sizes[variant] / 1e6:.1f} and "
                      f"{sizes['finetuned'] / 1e6:.1f} MB, the generator's included"))


def kept_bytes(config: Config, variant: str, start: Start) -> int:
    """Bytes of the gradients and the optimizer states of both networks. start: arrays, or their shapes."""
    state = jax.eval_shape(build(config, variant).init, jax.random.key(0), {"target": batch_of(config)}, start)
    trees = (state.variables["params"], state.generator["params"], state.optimizer_state)  # a gradient is like its tree
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(trees))


def step_rows(
    effort: Effort, name: str, config: Config, variants: Sequence[str] = ("adapted", "lora")
) -> Iterator[Row]:
    """A step of the adapted row, which projects its kernels anew each time, and of LoRA over one of finetuning."""
    start = start_of(config)
    times = interleaved({variant: step_of(config, variant, start) for variant in (*variants, "finetuned")},
                        rounds=effort.rounds, seconds=effort.seconds)
    for variant in variants:
        yield Row(f"{variant} / finetuned, {name}", ratio(times[variant], times["finetuned"]),
                  bar=1.1 if variant == "adapted" else None, note=(
                      f"{milliseconds(times[variant])} and {milliseconds(times['finetuned'])}; processor time "
                      f"{processor_ratio(times[variant], times['finetuned']):.2f}; {config.batch_size} images"))


def batch_of(config: Config) -> Example:
    """Noise in the shape of the pictures that views are drawn from."""
    return made_batch(replace(config, image_size=config.target_side), LABELS, 0)


def start_of(config: Config) -> Start:
    """An untrained core, and untrained features to compare pictures by."""
    images = jnp.zeros((1, config.image_size, config.image_size, 3))
    core = jax.jit(lambda key: network(config, config.landmarks).init(key, images, train=False))(jax.random.key(0))
    return {"core": core, "perceptual": jax.jit(perceptual_network(config).init)(jax.random.key(1), images)}


def step_of(config: Config, variant: str, start: Start) -> Callable[[], None]:
    """One compiled step of a row on made batches, as a call that returns when it is done."""
    streams, key, method = {"target": batch_of(config)}, jax.random.key(0), build(config, variant)
    state = jax.jit(method.init)(key, streams, start)
    update = jax.jit(method.update, donate_argnums=0)

    def step():
        nonlocal state
        state, metrics = update(state, streams, key)
        jax.block_until_ready(metrics)

    return step
