"""Rows about incremental learning: steps of rivals and of KAMP's second stage, and a pass that measures importances."""
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp

from experiments.benchmark.rows import Effort, Row, milliseconds
from experiments.benchmark.steps import made_batch, skeleton
from experiments.benchmark.timing import interleaved, processor_ratio, ratio
from experiments.incremental.config import PRESETS, Config
from experiments.incremental.methods import build, importance_of
from experiments.incremental.parts import Setting
from experiments.incremental.variants import weights_of
from kpjax.methods.incremental_learning.step_spec import increment
from kpjax.structures import Method, Start, Trained

DEMO = PRESETS["demo"]
LARGE = replace(PRESETS["mpii"], dtype="bfloat16")
BARS = {"ewc": 1.3, "mas": None, "rw": None, "lwf": None, "ksd_only": None, "kamp": 1.8, "kamp_rerendered": 1.8}


def incremental_rows(effort: Effort) -> Iterator[Row]:
    """Steps of several rows over one of finetuning, and the pass after a step that measures importances."""
    cases: dict[str, tuple[Config, int]] = {"demo": (DEMO, 10)}
    if jax.devices()[0].platform != "cpu":
        cases["HRNet-W32, 256 px, bfloat16"] = (LARGE, 16)
    for name, (config, keypoints) in cases.items():
        yield from step_rows(effort, name, config, keypoints)
        yield importance_row(effort, name, config, keypoints)


def step_rows(
    effort: Effort, name: str, config: Config, keypoints: int, variants: Sequence[str] = tuple(BARS)
) -> Iterator[Row]:
    """A step of each variant over one of plain finetuning with the same network, batch and optimizer.

    Forward passes are a third of a step. KAMP's second stage adds one, the teacher's, and KA-Net's.
    """
    setting = Setting(config, skeleton(keypoints), mirrored=False)
    built = {variant: build(setting, variant) for variant in ("finetune", *variants)}
    steps = {variant: step_of(method, config, start_of(setting, variant)) for variant, method in built.items()}
    times = interleaved(steps, rounds=effort.rounds, seconds=effort.seconds)
    for variant in variants:
        yield Row(f"{variant} / finetune, {name}", ratio(times[variant], times["finetune"]), bar=BARS[variant], note=(
            f"{milliseconds(times[variant])} and {milliseconds(times['finetune'])}; processor time "
            f"{processor_ratio(times[variant], times['finetune']):.2f}"))


def importance_row(effort: Effort, name: str, config: Config, keypoints: int) -> Row:
    """Fisher information of a batch, with a gradient for each image, over a step of finetuning on as many."""
    setting = Setting(config, skeleton(keypoints), mirrored=False)
    start = start_of(setting, "finetune")
    trained = Trained(start["teacher"], {"increment": start["increment"]})
    batch = made_batch(config, keypoints, 0)
    measure = jax.jit(importance_of(setting, "fisher"))
    weights = jnp.ones(config.batch_size, jnp.float32)
    times = interleaved({
        "fisher": lambda: jax.block_until_ready(measure(trained, batch, weights)),
        "finetune": step_of(build(setting, "finetune"), config, start)}, rounds=effort.rounds, seconds=effort.seconds)
    return Row(f"fisher of a batch / finetune, {name}", ratio(times["fisher"], times["finetune"]), note=(
        f"{milliseconds(times['fisher'])} and {milliseconds(times['finetune'])}; once for each image of a step"))


def start_of(setting: Setting, variant: str) -> Start:
    """What the second half of the keypoints is added to: untrained networks, and importances of 1."""
    config, keypoints = setting.config, len(setting.skeleton.names)
    old, new = range(keypoints // 2), range(keypoints // 2, keypoints)
    images = jnp.zeros((1, config.image_size, config.image_size, 3), jnp.float32)
    network = setting.parts.network
    teacher: Mapping[str, Any] = jax.jit(lambda key: network.init(key, images, train=False))(jax.random.key(0))
    step = increment(keypoints, old=old, new=new, triples=[(0, *new[:2])], slots=config.triples,
                     weights=weights_of(config, variant, len(old)))
    return {"teacher": teacher, "increment": step, "anchor": teacher["params"],
            "importance": jax.tree.map(jnp.ones_like, teacher["params"]),
            # A tree without KA-Nets has them drawn afresh.
            "association": teacher}


def step_of(method: Method, config: Config, start: Start) -> Callable[[], None]:
    """One compiled step of a method on made batches, as a call that returns when it is done."""
    streams = {"labelled": made_batch(config, len(method.skeleton.names), 0)}
    key = jax.random.key(0)
    state = jax.jit(method.init)(key, streams, start)
    update = jax.jit(method.update, donate_argnums=0)

    def step():
        nonlocal state
        state, metrics = update(state, streams, key)
        jax.block_until_ready(metrics)

    return step
