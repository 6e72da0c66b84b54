"""Stages of incremental learning: the base, the later steps, and what variants keep between steps.

Only arrays of parameters go from one step to the next: the variables of the network, and for some
baselines importances and anchors of the same shapes.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from etils import epath

from kpjax import Method, Skeleton, Trained, Variables, losses, named_key
from kpjax.evaluation import metrics
from kpjax.input.protocols import Protocol, introduced_in, step_source
from kpjax.input.source import Source, labelled_only, subset
from kpjax.input.stream import SourceStream, stream
from kpjax.methods.incremental_family import memories
from kpjax.methods.incremental_family.importance import finished
from kpjax.methods.incremental_family.step_spec import Increment, increment
from kpjax.papers.configs import config_as_json
from kpjax.papers.engine import Job, first_variables, fit_sources
from kpjax.papers.incremental.config import Config
from kpjax.papers.incremental.variants import (
    PLAIN,
    WALK,
    Recipe,
    Setting,
    build_base,
    build_step,
    importance_of,
)
from kpjax.platforms import run_once
from kpjax.training.evaluation import Gathered, predict_source, reduce
from kpjax.training.fit import Fitted, compiled_update, no_training
from kpjax.training.mesh import data_mesh, replicate, shard
from kpjax.training.stages import Stage
from kpjax.training.trees import load_trained, save_trained, tree_digest

# Data


class Data(NamedTuple):
    """Images and protocol of one seed."""

    train: Source  # with all labels; steps see their part of it, by `Run.training_images`
    evaluation: Source
    protocol: Protocol
    #: with labels of all keypoints; nothing reads them but `old_label_gate`
    validation: Source | None = None
    #: of a network that knows the keypoints of step 0; it is not trained then
    base: Variables | None = None
    poses: Source | None = None  # the labelled images whose poses a run keeps

    @property
    def skeleton(self) -> Skeleton:
        """All keypoints of the dataset; the network has a channel for each."""
        return self.train.skeleton

    @property
    def introduced(self) -> np.ndarray:
        """(K,) the step that brings each keypoint; the number of steps for one that never comes."""
        found = introduced_in(self.protocol, self.skeleton)
        return np.where(found < 0, len(self.protocol.steps), found)

    @property
    def identity(self) -> Mapping[str, Any]:
        return {"protocol_digest": self.protocol.digest}

    @property
    def summary(self) -> str:
        return f"{len(self.protocol.steps)} steps, {len(self.evaluation)} images for evaluation"


def accuracies(found: Gathered, threshold: float) -> np.ndarray:
    """Computes (K,) PCK; a distance of exactly the threshold is a hit."""
    return metrics.pck(
        found.keypoints,
        found.true_keypoints,
        found.visible,
        found.scale,
        threshold=threshold,
        strict=False,
    ).per_keypoint


# A run and its stages

# entries of the next step's start: `anchor`, `importance`, and what a variant tracks
Memory = Mapping[str, Any]
NOTHING: Memory = {}


class Run(NamedTuple):
    """One variant of one seed."""

    job: Job
    data: Data
    setting: Setting
    recipe: Recipe

    @property
    def config(self) -> Config:
        return self.job.config

    @property
    def evaluation_method(self) -> Method:
        """Predicts for every variant: all are the same network, read in the same way."""
        return build_base(self.setting, "base", self.config.base_steps)

    def predicted(self, known: Stage, source: Source) -> Gathered:
        """Predicts a source."""
        return predict_source(
            self.evaluation_method, known.trained, source, batch_size=2 * self.config.batch_size
        )

    def training_images(self, step: int) -> Source:
        """Returns the images of a step, labelled with its own keypoints only."""
        return step_source(self.data.protocol, step, self.data.train)

    def images_with_old_labels(self, step: int, increment: Increment) -> Source:
        """Returns the images of a step, labelled with its own keypoints and the old ones of its
        triples: of an upper bound, for the setting has no such labels.
        """
        chosen, names = self.data.protocol.steps[step], self.data.skeleton.names
        used = increment.triples[increment.triple_weights > 0]
        old = [names[number] for number in used[:, 0]]
        name = f"{self.data.train.name}, {self.data.protocol.name} step {step} with old labels"
        return labelled_only(
            subset(self.data.train, chosen.images, name), (*chosen.keypoints, *old), name
        )

    def stage(
        self,
        name: str,
        train: Callable[[epath.Path, Mapping[str, Any]], Fitted],
        parents: Mapping[str, str] | None = None,
        *,
        of_base: bool = False,
        reads: Mapping[str, Any] | None = None,
    ) -> Stage:
        """Returns a stage, which `train(folder, identity)` trains: the identity must be the same
        for it to be used.

        reads: the fields that it depends on; None for all. of_base: it reads only `Config.of_base`,
        and lies in the folder of the preset varied.
        """
        reads = (
            self.config.of_base()
            if of_base
            else config_as_json(self.config)
            if reads is None
            else reads
        )
        identity = {**reads, **self.data.identity}
        return self.job.stage(
            name,
            lambda folder: train(folder, identity),
            config=identity,
            parents=parents,
            preset=self.job.base_preset if of_base else "",
        )

    def fit(
        self,
        method: Method,
        source: Source,
        steps: int,
        folder: epath.Path,
        identity: Mapping[str, Any],
        key_name: str,
        start: Mapping[str, Any],
        keep: Callable[[Any], Any] | None = None,
        between: Any = None,
    ) -> Fitted:
        """Fits a method on a step's images; the result is the last step, of which only the
        increment is kept frozen.

        key_name: variants with the same one draw the same random numbers. keep: of what the method
        has tracked in the end, the tree to keep as frozen["tracked"]. Others are those of `stage`
        and of `fit`.
        """

        def save(state) -> dict[str, float]:
            # `fit` returns no tracked tree. It calls this before it saves its last step: a run
            # stopped in between comes here again.
            if jax.process_index() == 0:
                save_trained(folder / "tracked", Trained({"tracked": keep(state.tracked)}, {}))
            return {}

        fitted = fit_sources(
            self.job,
            method,
            {"labelled": source},
            batch_size=self.config.batch_size,
            steps=steps,
            stage=key_name,
            folder=folder,
            start=start,
            evaluate=(0, save) if keep else None,
            between=between,
            config={**identity, "seed": self.job.seed},
        )
        frozen = {"increment": fitted.trained.frozen["increment"]}
        if keep and not self.job.plan:
            frozen["tracked"] = load_trained(folder / "tracked").variables["tracked"]
        return fitted._replace(trained=Trained(fitted.trained.variables, frozen))


# Step 0, and the oracle


def learn_first(run: Run) -> tuple[Stage, Memory]:
    """Returns the network that knows the keypoints of step 0, trained unless the data bring one,
    and its memory.

    The oracle learns those of all steps at once: from all images with all labels, for as many steps
    as all of the protocol's together.
    """
    config, kind, data = run.config, run.recipe.base, run.data
    numbers = range(len(data.protocol.steps)) if kind == "joint" else range(1)
    new = np.flatnonzero(np.isin(data.introduced, numbers))
    first = increment(
        len(data.introduced),
        old=(),
        new=new,
        slots=config.association.triples,
        weights={"entropy": config.weights.cpr_entropy} if kind == "base_cpr" else {},
    )
    if data.base is not None and kind != "joint":
        trained = Trained(data.base, {"increment": first})
        return Stage(
            trained, "" if run.job.plan else tree_digest(data.base), 0, {}, 0.0, 0.0, 0
        ), NOTHING
    source, steps = run.training_images(0), config.base_steps + numbers[-1] * config.steps
    if kind == "joint":
        source = all_images(data)
    shared, keep = (
        kind in ("base", "base_rw"),
        (lambda tracked: tracked) if kind == "base_rw" else None,
    )

    def train(folder: epath.Path, identity: Mapping[str, Any]) -> Fitted:
        start = {"increment": first} | first_variables(
            run.job, run.setting.setup.model, data.skeleton.names
        )
        return run.fit(
            build_base(run.setting, kind, steps),
            source,
            steps,
            folder,
            identity,
            "step 0",
            start,
            keep,
        )

    found = run.stage(kind, train, of_base=shared)
    return found, _remembered(run, found, numbers[-1], NOTHING, source)


def all_images(data: Data) -> Source:
    """Returns the images of all steps with the labels of all keypoints of the protocol."""
    steps = data.protocol.steps
    numbers = [number for step in steps for number in step.images]
    names = [name for step in steps for name in step.keypoints]
    return labelled_only(
        subset(data.train, numbers, f"{data.train.name}, {data.protocol.name}"), names
    )


# Later steps


def increment_at(run: Run, step: int, triples: Sequence[Sequence[int]] = ()) -> Increment:
    """Returns the increment of a later step. triples: (old, new, new) numbers of keypoints."""
    introduced = run.data.introduced
    old, new = np.flatnonzero(introduced < step), np.flatnonzero(introduced == step)
    return increment(
        len(introduced),
        old=old,
        new=new,
        triples=triples,
        slots=run.config.association.triples,
        weights=run.recipe.weights_of(run.config, len(old)),
    )


class Prepared(NamedTuple):
    """The start of a later step's training."""

    increment: Increment
    method: Method
    start: Mapping[str, Any] = NOTHING  # KA-Net's variables, where there is one
    parents: Mapping[str, str] = NOTHING
    metrics: Mapping[str, float] = NOTHING
    wall_seconds: float = 0.0
    images: int = 0


def learn_step(
    run: Run, known: tuple[Stage, Memory], step: int, first: Prepared
) -> tuple[Stage, Memory]:
    """Trains the network of a later step from that of the step before."""
    before, memory = known
    source = (
        run.images_with_old_labels(step, first.increment)
        if run.recipe.old_labels
        else run.training_images(step)
    )
    steps = run.recipe.increment_steps(run.config)
    start = {
        "teacher": before.trained.variables,
        "increment": first.increment,
        **memory,
        **first.start,
    }

    def train(folder: epath.Path, identity: Mapping[str, Any]) -> Fitted:
        fit = functools.partial(
            run.fit, first.method, source, steps, folder, identity, f"step {step}"
        )
        if run.recipe.memory == "afec":
            copy, between = _expanding(run, source, start)
            return fit(start | {"expanded": copy}, memories.expanded_variables, between)
        return fit(start, (lambda tracked: tracked) if run.recipe.memory == "walk" else None)

    found = run.stage(
        f"{run.job.variant}_step_{step}", train, {"before": before.digest, **first.parents}
    )
    return found, _remembered(run, found, step, memory, source)


def _expanding(
    run: Run, source: Source, start: Mapping[str, Any]
) -> tuple[Any, tuple[int, Callable[[Any, int], Any]]]:
    """Returns AFEC's second network, which learns the new keypoints alone, and `fit`'s `between`
    that trains it.

    It has an epoch before each of the main one's, and goes on from that of the step before, at
    first from `teacher`.
    """
    config, mesh, plain = run.config, data_mesh(), build_step(run.setting, PLAIN)
    key = replicate(named_key(jax.random.key(run.job.seed), "expanded copy"), mesh)
    update, _ = compiled_update(plain.update, mesh)
    some = subset(source, range(min(config.afec_images, len(source))))
    batches: SourceStream = stream(
        source,
        batch_size=config.batch_size,
        seed=run.job.seed,
        repeats=True,
        process_index=jax.process_index(),
        process_count=jax.process_count(),
    )

    def batch_at(step: int):
        return shard({"labelled": batches[step]}, mesh)

    def importance(trained: Trained) -> Any:
        found = finished(
            reduce(importance_of(run.setting, "fisher"), trained, some, batch_size=IMPORTANCE_BATCH)
        )
        return losses.normalised_importance(found) if config.normalise_importance else found

    begin = {
        "teacher": start.get("expanded_variables", start["teacher"]),
        "increment": start["increment"],
    }
    if run.job.plan:
        state = jax.eval_shape(plain.init, key, {"labelled": batches[0]}, begin)
        return jax.eval_shape(memories.expanded_copy, state), (1, lambda state, number: state)
    copy = run_once(plain.init)(key, batch_at(0), replicate(begin, mesh))
    epoch_steps = max(1, len(source) // config.batch_size)
    return memories.expanded_copy(copy), (
        epoch_steps,
        memories.train_expanded(
            lambda state, number: update(state, batch_at(number), key),
            importance,
            epoch_steps=epoch_steps,
        ),
    )


# Memories

IMPORTANCE_BATCH = 16  # images, of the passes that measure importances
FUSING = {"fisher": "running_mean", "afec": "running_mean", "mas": "sum"}


def _remembered(run: Run, found: Stage, step: int, memory: Memory, source: Source) -> Memory:
    """Returns importances and parameters to hold on to in the next step, if there is one and a
    baseline needs them.

    memory: those that this step started from.
    """
    if not run.recipe.memory or step + 1 == len(run.data.protocol.steps):
        return memory
    kind, trained = run.recipe.memory, found.trained
    params = trained.variables["params"]
    if run.job.plan:
        return {"importance": params, "anchor": params}

    def measured(name: str) -> Any:
        def train(*_: Any) -> Fitted:  # a pass over the step's images resumes nothing
            sums = reduce(
                importance_of(run.setting, name), trained, source, batch_size=IMPORTANCE_BATCH
            )
            return no_training(Trained({"importance": jax.device_get(finished(sums))}, {}))

        shared = step == 0 and run.recipe.base == "base"
        kept = run.stage(
            f"{name}_step_0" if shared else f"{run.job.variant}_importance_{step}",
            train,
            {"after": found.digest},
            of_base=shared,
        )
        return kept.trained.variables["importance"]

    def scaled(found: Any) -> Any:
        return (
            jax.device_get(losses.normalised_importance(found))
            if run.config.normalise_importance
            else found
        )

    if kind == "walk":
        tracked, importance = jax.device_get(WALK.end_of_step(trained.frozen["tracked"]))
        return {"tracked": tracked, "importance": scaled(importance), "anchor": params}
    importance = scaled(measured("mas" if kind == "mas" else "fisher"))
    if memory:
        importance = jax.device_get(
            losses.fused_importance(memory["importance"], importance, rule=FUSING[kind], step=step)
        )
    beside = {"expanded_variables": trained.frozen["tracked"]} if kind == "afec" and memory else {}
    return {"importance": importance, "anchor": params, **beside}
