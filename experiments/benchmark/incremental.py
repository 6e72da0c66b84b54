"""Rows about incremental learning: steps of baselines and of KAMP's second stage, and a pass over importances."""
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from experiments.benchmark.row import Effort, Row, compared
from experiments.benchmark.steps import Step, cases, noise_batch, skeleton
from experiments.configs import changed, flat
from experiments.incremental import VARIANTS
from experiments.incremental_methods import build_step, importance_of, setting_of
from experiments.incremental_presets import PRESETS, Config
from kpjax import Example, Start, Trained
from kpjax.methods import increment

DEMO = PRESETS["demo"]
LARGE = changed(PRESETS["mpii"], dtype="bfloat16")
BARS = {"ewc": 1.3, "mas": None, "rw": None, "lwf": None, "ksd_only": None, "kamp": 1.8, "kamp_rerendered": 1.8}


def incremental_rows(effort: Effort) -> Iterator[Row]:
    """Steps of several variants over one of finetuning, and the pass after a step that measures importances."""
    for name, (config, keypoints) in cases((DEMO, 10), **{"HRNet-W32, 256 px, bfloat16": (LARGE, 16)}).items():
        yield from step_rows(effort, name, config, keypoints)
        yield importance_row(effort, name, config, keypoints)


def step_rows(effort: Effort, name: str, config: Config, keypoints: int,
              variants: Sequence[str] = tuple(BARS)) -> Iterator[Row]:
    """A step of each variant over one of plain finetuning with the same network, batch and optimizer.

    Forward passes are a third of a step. KAMP's second stage adds one, the teacher's, and KA-Net's.
    """
    times = effort.times({variant: _step(config, variant, keypoints) for variant in ("finetune", *variants)})
    for variant in variants:
        yield compared(f"{variant} / finetune, {name}", times, variant, "finetune", bar=BARS[variant])


def importance_row(effort: Effort, name: str, config: Config, keypoints: int) -> Row:
    """Fisher information of a batch, with a gradient for each image, over a step of finetuning on as many."""
    start, batch = start_of(config, "finetune", keypoints), _batch(config, keypoints)
    trained = Trained(start["teacher"], {"increment": start["increment"]})
    measure = jax.jit(importance_of(setting_of(config, skeleton(keypoints)), "fisher"))
    weights = jnp.ones(config.batch_size, jnp.float32)
    times = effort.times({"fisher": lambda: jax.block_until_ready(measure(trained, batch, weights)),
                          "finetune": _step(config, "finetune", keypoints)})
    return compared(f"fisher of a batch / finetune, {name}", times, "fisher", "finetune",
                    note="once for each image of a step")


def _batch(config: Config, keypoints: int) -> Example:
    return noise_batch(config.batch_size, config.data.image_size, keypoints)


def _step(config: Config, variant: str, keypoints: int) -> Step:
    method = build_step(setting_of(config, skeleton(keypoints)), VARIANTS[variant].recipe)
    return Step(method, {"labelled": _batch(config, keypoints)}, start_of(config, variant, keypoints))


def start_of(config: Config, variant: str, keypoints: int) -> Start:
    """Returns untrained networks, to which the second half of the keypoints is added, and importances of 1."""
    old, new = range(keypoints // 2), range(keypoints // 2, keypoints)
    network = setting_of(config, skeleton(keypoints)).network
    images = jnp.zeros((1, config.data.image_size, config.data.image_size, 3), jnp.float32)
    teacher: Mapping[str, Any] = jax.jit(lambda key: network.init(key, images, train=False))(jax.random.key(0))
    step = increment(keypoints, old=old, new=new, triples=[(0, *new[:2])], slots=flat(config)["triples"],
                     weights=VARIANTS[variant].recipe.weights_of(config, len(old)))
    return {"teacher": teacher, "increment": step, "anchor": teacher["params"],
            "importance": jax.tree.map(jnp.ones_like, teacher["params"]),
            # A tree without KA-Nets has them initialised afresh.
            "association": teacher}
