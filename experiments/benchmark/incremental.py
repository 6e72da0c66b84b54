"""Rows about incremental learning: steps of baselines and of KAMP's second stage, and a pass over importances."""
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from experiments.benchmark.row import Effort, Row, compared
from experiments.benchmark.steps import Step, noise_batch, skeleton
from experiments.configs import changed, flat
from experiments.incremental.config import PRESETS, Config
from experiments.incremental.methods import build, importance_of
from experiments.incremental.parts import Setting
from experiments.incremental.variants import weights_of
from kpjax.methods.incremental_learning.step_spec import increment
from kpjax.structures import Start, Trained

DEMO = PRESETS["demo"]
LARGE = changed(PRESETS["mpii"], dtype="bfloat16")
BARS = {"ewc": 1.3, "mas": None, "rw": None, "lwf": None, "ksd_only": None, "kamp": 1.8, "kamp_rerendered": 1.8}


def incremental_rows(effort: Effort) -> Iterator[Row]:
    """Steps of several variants over one of finetuning, and the pass after a step that measures importances."""
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
    times = effort.times({variant: _step(setting, variant) for variant in ("finetune", *variants)})
    for variant in variants:
        yield compared(f"{variant} / finetune, {name}", times, variant, "finetune", bar=BARS[variant])


def importance_row(effort: Effort, name: str, config: Config, keypoints: int) -> Row:
    """Fisher information of a batch, with a gradient for each image, over a step of finetuning on as many."""
    setting = Setting(config, skeleton(keypoints), mirrored=False)
    start, batch = start_of(setting, "finetune"), _batch(setting)
    trained = Trained(start["teacher"], {"increment": start["increment"]})
    measure = jax.jit(importance_of(setting, "fisher"))
    weights = jnp.ones(config.batch_size, jnp.float32)
    times = effort.times({"fisher": lambda: jax.block_until_ready(measure(trained, batch, weights)),
                          "finetune": _step(setting, "finetune")})
    return compared(f"fisher of a batch / finetune, {name}", times, "fisher", "finetune",
                    note="once for each image of a step")


def _batch(setting: Setting):
    return noise_batch(setting.config.batch_size, flat(setting.config)["image_size"], len(setting.skeleton.names))


def _step(setting: Setting, variant: str) -> Step:
    return Step(build(setting, variant), {"labelled": _batch(setting)}, start_of(setting, variant))


def start_of(setting: Setting, variant: str) -> Start:
    """Returns untrained networks, to which the second half of the keypoints is added, and importances of 1."""
    config, keypoints = setting.config, len(setting.skeleton.names)
    old, new = range(keypoints // 2), range(keypoints // 2, keypoints)
    side = flat(config)["image_size"]
    images, network = jnp.zeros((1, side, side, 3), jnp.float32), setting.parts.network
    teacher: Mapping[str, Any] = jax.jit(lambda key: network.init(key, images, train=False))(jax.random.key(0))
    step = increment(keypoints, old=old, new=new, triples=[(0, *new[:2])], slots=config.triples,
                     weights=weights_of(config, variant, len(old)))
    return {"teacher": teacher, "increment": step, "anchor": teacher["params"],
            "importance": jax.tree.map(jnp.ones_like, teacher["params"]),
            # A tree without KA-Nets has them initialised afresh.
            "association": teacher}
