"""What rivals keep of earlier steps: importances of parameters, and the parameters that they hold on to."""
from collections.abc import Callable, Mapping
from typing import Any

import jax

from experiments.incremental.config import Config
from experiments.incremental.methods import importance_of, walk
from experiments.incremental.parts import Setting
from experiments.incremental.variants import RECIPES
from kpjax.input.source import Source
from kpjax.losses.continual import Walk, fused_importance, normalised_importance
from kpjax.methods.incremental_learning.importance import finished
from kpjax.methods.incremental_learning.memories import PathIntegral
from kpjax.structures import Trained
from kpjax.training.evaluation import reduce

Memory = Mapping[str, Any]  # entries of the next step's start: `anchor`, `importance`, and what a row goes on tracking
Importances = Callable[[str, Callable[[Trained, Source], Any]], Any]  # (name, measure) -> importances, made once

FUSING = {"ewc": "running_mean", "cpr": "running_mean", "afec": "running_mean", "online_ewc": "decay", "mas": "sum"}


def remembered(
    setting: Setting, config: Config, variant: str, memory: Memory, trained: Trained, step: int,
    importances: Importances,
) -> Memory:
    """What the next step starts from, beside the network.

    memory: what this step started from, {} for step 0. importances: measures on the pictures of this step.
    """
    params, kind = trained.variables["params"], RECIPES[variant].memory

    def measured(name: str) -> Any:
        return importances(name, lambda network, source: jax.device_get(finished(reduce(
            importance_of(setting, name), network, source, batch_size=config.importance_batch))))

    def scaled(importance) -> Any:
        return jax.device_get(normalised_importance(importance)) if config.normalise_importance else importance

    if kind == "walk":
        form = walk(setting.config)
        found = form.end_of_step(
            tracked_of(config, trained.frozen["tracked"]), params=params,
            fisher=measured("fisher") if form.needs_fisher else None)
        tracked, importance = jax.device_get(found)
        return {"tracked": tracked, "importance": scaled(importance), "anchor": params}
    found = scaled(measured("mas" if kind == "mas" else "fisher"))
    if memory:
        rule = FUSING[variant] if config.fuse == "default" else config.fuse
        found = jax.device_get(fused_importance(memory["importance"], found, rule=rule, step=step, decay=config.gamma))
    beside = {"expanded_variables": trained.frozen["tracked"]} if kind == "afec" and memory else {}
    return {"importance": found, "anchor": params, **beside}


def tracked_of(config: Config, tree: Any) -> Any:
    """What a walk tracks, which comes back from a file as a plain mapping."""
    if not isinstance(tree, Mapping):
        return tree
    return Walk(**tree) if config.rw_form == "cpr" else PathIntegral(**tree)
