"""The stages of a run: the base, then KA-Net and the method for each later step, and what is kept between steps.

Nothing but arrays of parameters goes from one step to the next: the variables of the network, and for some rivals
importances and anchors of the same shapes.
"""
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import numpy as np

from experiments.command_line import Job, preset_folder
from experiments.incremental.config import AFTER_BASE, WEIGHTS, Config
from experiments.incremental.expanding import expanding
from experiments.incremental.material import Material, all_pictures, pictures_of
from experiments.incremental.memory import Memory, remembered
from experiments.incremental.methods import build_base
from experiments.incremental.old_model import expanded, old_model
from experiments.incremental.parts import Setting
from experiments.incremental.variants import RECIPES, steps_of, weights_of
from experiments.networks import imagenet_start
from experiments.own_project import is_own
from kpjax.files import strict
from kpjax.input.source import Source
from kpjax.input.stream import BatchStream, stream
from kpjax.methods.incremental_learning.memories import expanded_variables
from kpjax.methods.incremental_learning.step_spec import Increment, increment
from kpjax.structures import Method, Trained
from kpjax.training.fit import Fitted, fit
from kpjax.training.stages import Stage, stage
from kpjax.training.trees import load_trained, save_trained

NAME = "incremental"
BaseKind = Literal["base", "base_cpr", "base_rw", "joint"]


class Run(NamedTuple):
    """One variant of one seed."""

    job: Job
    material: Material
    setting: Setting

    @property
    def config(self) -> Config:
        return self.job.config

    @property
    def judge(self) -> Method:
        """Whose `predict` judges every row: all rows are the same network, read in the same way."""
        return build_base(self.setting, "base", self.config.base_steps)


class Known(NamedTuple):
    """What is left of a step: arrays of parameters, and no picture."""

    trained: Trained  # frozen: the increment, and what a row tracked
    digest: str  # of the stage, for those that start from it
    memory: Memory
    images_per_second: float
    wall_seconds: float


def open_run(job: Job, material: Material) -> Run:
    """Weights are arrays in `Increment`, so runs that differ in them share what is compiled."""
    compiled = replace(job.config, summary="", **dict.fromkeys(WEIGHTS, 1.0))
    return Run(job, material, Setting(compiled, material.skeleton, material.protocol.mirrored))


def batches_of(run: Run, source: Source) -> BatchStream:
    """The batches that every stage on a step's pictures reads."""
    return stream(source, batch_size=run.config.batch_size, seed=run.job.seed, repeats=True,
                  process_index=jax.process_index(), process_count=jax.process_count())


def train(
    run: Run, method: Method, source: Source, steps: int, place: Path, key_name: str, start: Mapping[str, Any], *,
    base: bool = False, keep: Callable[[Any], Any] | None = None, between=None,
) -> Fitted:
    """`fit` with this experiment's batches; the result is the last step, and keeps its increment only.

    key_name: rows with the same one draw the same random numbers. base: see `identity`. keep: of what the method has
    tracked in the end, the tree to keep as frozen["tracked"].
    """
    def save(state) -> dict[str, float]:
        # `fit` returns variables and frozen trees only. It calls this before it saves its last step, so that a run
        # which is stopped in between comes here again.
        if jax.process_index() == 0:
            save_trained(place / "tracked", Trained({"tracked": keep(state.tracked)}, {}))
        return {}

    fitted = fit(method, {"labelled": batches_of(run, source)}, steps=steps, key=jax.random.key(run.job.seed),
                 stage=key_name, folder=place, start=start, evaluate=save if keep else None, between=between,
                 config=identity(run, base) | {"seed": run.job.seed})
    frozen = {"increment": fitted.trained.frozen["increment"]}
    if keep:
        frozen["tracked"] = load_trained(place / "tracked").variables["tracked"]
    return fitted._replace(trained=Trained(fitted.trained.variables, frozen))


def identity(run: Run, base: bool) -> dict[str, Any]:
    """What must be the same for a stage to be used. base: it does not depend on what later steps alone read."""
    config = strict(asdict(run.config))
    if base:
        config = {field: value for field, value in config.items() if field not in (*WEIGHTS, *AFTER_BASE)}
    return config | {"protocol_digest": run.material.protocol.digest}


def stage_of(run: Run, name: str, train_in, parents: Mapping[str, str] | None = None, *, base: bool = False) -> Stage:
    """A stage of this run, in the folder of its preset; with `base` in that of the preset of which this one is a
    variation, the name before a hyphen."""
    folder = run.job.preset.partition("-")[0] if base else run.job.preset
    return stage(preset_folder(run.job.workdir, NAME, folder), name, run.job.seed, train_in, parents=parents,
                 config=identity(run, base))


# Step 0, and the bound


def base_kind(variant: str) -> BaseKind:
    """Which base a row starts from: CPR's wants broad answers, and the Riemannian walk is walked from the beginning."""
    return {"cpr": "base_cpr", "rw": "base_rw"}.get(variant, "base")


def learn_base(run: Run) -> Known:
    """The network that knows the keypoints of step 0. A person's own old model is one already."""
    if is_own(run.config):
        points = run.material.skeleton
        variables, digest = expanded(old_model(run.config.old), run.setting.parts.network, len(points.names),
                                     run.config.image_size)
        known = increment(len(points.names), old=(), new=np.flatnonzero(run.material.introduced == 0),
                          slots=run.config.triples)
        return Known(Trained(variables, {"increment": known}), digest, {}, 0.0, 0.0)
    kind = base_kind(run.job.variant)
    source = pictures_of(run.material, 0, run.config.held_out).training
    weights = {"entropy": run.config.cpr_entropy} if kind == "base_cpr" else {}
    found = _first(run, kind, source, run.config.base_steps, [0], weights)
    return _known(run, found, 0, {}, source)


def learn_jointly(run: Run) -> Known:
    """The bound: all pictures with all labels, for as many steps as all of the protocol's together."""
    count = len(run.material.protocol.steps)
    steps = run.config.base_steps + (count - 1) * steps_of(run.config, "joint").later
    found = _first(run, "joint", all_pictures(run.material), steps, range(count), {})
    return Known(found.trained, found.digest, {}, found.images_per_second, found.wall_seconds)


def _first(run: Run, kind: BaseKind, source: Source, steps: int, of_steps, weights: Mapping[str, float]) -> Stage:
    new = np.flatnonzero(np.isin(run.material.introduced, list(of_steps)))
    step = increment(len(run.material.skeleton.names), old=(), new=new, slots=run.config.triples, weights=weights)
    method = build_base(run.setting, kind, steps)

    def train_in(place: Path) -> Fitted:
        start = imagenet_start(run.setting.parts.network, run.config.imagenet, image_size=run.config.image_size,
                               seed=run.job.seed)
        return train(run, method, source, steps, place, "step 0", start | {"increment": step}, base=shared,
                     keep=whole if kind == "base_rw" else None)

    shared = kind in ("base", "base_rw")
    return stage_of(run, kind, train_in, base=shared)


# Later steps


def increment_at(run: Run, step: int, triples=(), **more: Any) -> Increment:
    """The increment of a later step. triples: (old, new, new) numbers of keypoints."""
    introduced = run.material.introduced
    old, new = np.flatnonzero(introduced < step), np.flatnonzero(introduced == step)
    weights = weights_of(run.config, run.job.variant, len(old))
    return increment(len(introduced), old=old, new=new, triples=triples, slots=run.config.triples, weights=weights,
                     **more)


def learn_step(
    run: Run, known: Known, step: int, planned: Increment, method: Method, start: Mapping[str, Any],
    parents: Mapping[str, str],
) -> Known:
    """The network after a later step. planned, method, start, parents: with those of KA-Net, where a row has one."""
    variant = run.job.variant
    source = pictures_of(run.material, step, run.config.held_out).training
    steps = steps_of(run.config, variant).increment
    begin = {"teacher": known.trained.variables, "increment": planned, **known.memory, **start}

    def train_in(place: Path) -> Fitted:
        if RECIPES[variant].memory == "afec":
            beside = expanding(run.setting, run.config, run.job.seed, source, batches_of(run, source), begin)
            return train(run, method, source, steps, place, f"step {step}", begin | {"expanded": beside.copy},
                         keep=expanded_variables, between=beside.between)
        return train(run, method, source, steps, place, f"step {step}", begin,
                     keep=whole if RECIPES[variant].memory == "walk" else None)

    found = stage_of(run, f"{variant}_step_{step}", train_in, {"before": known.digest, **parents})
    return _known(run, found, step, known.memory, source)


def whole(tracked: Any) -> Any:
    """All that a method tracks is kept."""
    return tracked


def _known(run: Run, found: Stage, step: int, memory: Memory, source: Source) -> Known:
    """With what a rival wants to remember, unless this was the last step."""
    if RECIPES[run.job.variant].memory and step + 1 < len(run.material.protocol.steps):
        def importances(name: str, measure) -> Any:
            def measured(place: Path) -> Fitted:
                del place  # a pass over the step's pictures, of which nothing has to be resumed
                kept = Trained({"importance": measure(found.trained, source)}, {})
                return Fitted(kept, kept, 0, {}, 0.0, 0.0, 0)

            shared = step == 0 and base_kind(run.job.variant) == "base"
            stage_name = f"{name}_step_0" if shared else f"{run.job.variant}_importance_{step}"
            kept = stage_of(run, stage_name, measured, {"after": found.digest}, base=shared)
            return kept.trained.variables["importance"]

        memory = remembered(run.setting, run.config, run.job.variant, memory, found.trained, step, importances)
    return Known(found.trained, found.digest, memory, found.images_per_second, found.wall_seconds)
