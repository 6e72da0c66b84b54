"""Rivals of KAMP that hold on to the old network by its maps (LWF) or by its parameters (EWC, online
EWC, MAS, RW, AFEC, CPR).

Those that hold on to parameters measure after each step how much each one matters. They keep this
importance and the parameters for the penalty of the next steps.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any, Literal

import jax

from kpjax import Method, Trained, losses, methods, named_key
from kpjax.input.source import subset
from kpjax.input.stream import SourceStream, stream
from kpjax.methods.incremental_family import memories
from kpjax.methods.incremental_family.importance import Measure, mean_importance
from kpjax.papers.engine import Variant
from kpjax.papers.incremental.config import Weights
from kpjax.papers.incremental.runs import Known, Run, Setting
from kpjax.papers.incremental.stages import (
    Build,
    Factors,
    Training,
    build_base,
    build_finetuning,
    build_once,
    build_student,
    evaluate_step,
    fit_student,
    increment_at,
    labels_alone,
    learn_base,
    learn_student,
    lengths,
    objective_of,
    variant,
)
from kpjax.papers.incremental.without_association import learn_without_association
from kpjax.platforms import run_once
from kpjax.training.evaluation import reduce
from kpjax.training.fit import Fitted, compiled_update, no_training
from kpjax.training.mesh import data_mesh, replicate, shard

IMPORTANCE_BATCH = 16  # images, of the passes that measure importances
WALK = methods.walk_by_updates()

# Methods


def build_lwf(setting: Setting, steps: int) -> Method:
    """Builds LWF: distillation across channels."""
    objective = losses.without(objective_of(setting), "association")
    across = methods.channel_distillation_term()
    return build_student(setting, steps, {**objective, "distillation": across})


def build_penalised(setting: Setting, steps: int) -> Method:
    """Builds the labels beside a quadratic penalty: EWC's and MAS's."""
    return build_student(
        setting, steps, {**labels_alone(setting), "penalty": methods.penalty_term()}
    )


def build_walk(setting: Setting, steps: int) -> Method:
    """Builds the Riemannian walk, whose penalty has no factor 1/2."""
    objective = {**labels_alone(setting), "penalty": methods.penalty_term(half=False)}
    return build_student(setting, steps, objective, track=WALK.tracker)


def build_afec(setting: Setting, steps: int) -> Method:
    """Builds AFEC: EWC, and a pull to a network that learnt the new keypoints alone."""
    objective = {
        **labels_alone(setting),
        "penalty": methods.penalty_term(),
        "expanded": methods.penalty_term(tracked=True),
    }
    return build_student(setting, steps, objective, track=methods.adaptive_consolidation())


def build_cpr(setting: Setting, steps: int) -> Method:
    """Builds CPR: EWC, and broad answers."""
    objective = {
        **labels_alone(setting),
        "penalty": methods.penalty_term(),
        "entropy": methods.entropy_term(),
    }
    return build_student(setting, steps, objective)


def build_cpr_base(setting: Setting, steps: int) -> Method:
    """Builds CPR's step 0: the labels, and broad answers."""
    return build_base(setting, steps, more={"entropy": methods.entropy_term()})


def build_walk_base(setting: Setting, steps: int) -> Method:
    """Builds step 0 with the walk of its parameters."""
    return build_base(setting, steps, track=WALK.tracker)


# Stages


# (run, known, step) -> entries of the next step's start, beside the anchor
Remember = Callable[[Run, Known, int], Mapping[str, Any]]


def learn_with_memory(
    run: Run,
    *,
    build: Build,
    factors: Factors,
    remember: Remember,
    first: Callable[[Run], Known] = learn_base,
    training: Training = fit_student,
) -> Known:
    """Learns step 0, and each later step under a penalty; after each but the last, measures the
    importances of the parameters.

    build: of the student. factors: the weights of its terms. first: learns step 0. training: of the
    student, see `Training`.
    """
    steps = run.config.steps
    known = first(run)
    for step in run.later_steps:
        known = evaluate_step(run, known, step - 1)
        known = _with_memory(run, known, step - 1, remember)
        planned = increment_at(run, step, factors)
        source, method = run.training_images(step), build_once(build, run.setting, steps)
        known = learn_student(run, known, step, planned, source, method, steps, training=training)
    return known


def _with_memory(run: Run, known: Known, step: int, remember: Remember) -> Known:
    params = known.trained.variables["params"]
    found = {"importance": params} if run.job.plan else remember(run, known, step)
    return known._replace(memory={**found, "anchor": params})


# Memories


@functools.lru_cache(maxsize=8)
def importance_of(setting: Setting, kind: Literal["fisher", "mas"]) -> Measure:
    """Builds the sum over a step's images, after the step, that weighs the penalties of the next
    ones.
    """
    setup = setting.setup
    if kind == "mas":
        return methods.memory_aware_synapses(setup.model, setup.normalise)
    return methods.fisher(setup.model, setup.codec, setup.normalise)


def importance_after(
    run: Run,
    known: Known,
    step: int,
    *,
    kind: Literal["fisher", "mas"] = "fisher",
    fuse: Literal["running_mean", "sum", "decayed_sum"] = "running_mean",
    own_base: bool = False,
) -> Mapping[str, Any]:
    """Measures the importances on a step's images, and fuses them with those of the steps before.

    own_base: whether step 0 belongs to the variant; else variants share the measure after it.
    """

    def train(*_: Any) -> Fitted:  # a pass over the step's images resumes nothing
        sums = reduce(
            importance_of(run.setting, kind),
            known.trained,
            run.plain_images(step),
            batch_size=IMPORTANCE_BATCH,
            mesh=run.job.options.mesh,
        )
        return no_training(Trained({"importance": jax.device_get(mean_importance(sums))}, {}))

    shared = step == 0 and not own_base
    name = f"{kind}_step_0" if shared else f"{run.job.variant}_importance_{step}"
    stage = run.stage(name, train, {"after": known.network.digest}, of_base=shared)
    importance = _scale(run, stage.trained.variables["importance"])
    if known.memory:
        before = known.memory["importance"]
        fused = losses.fused_importance(before, importance, rule=fuse, step=step)
        importance = jax.device_get(fused)
    return {"importance": importance}


def _scale(run: Run, importance: Any) -> Any:
    if not run.config.normalise_importance:
        return importance
    return jax.device_get(losses.normalised_importance(importance))


def walk_after(run: Run, known: Known, step: int) -> Mapping[str, Any]:
    """Returns the walk that goes on, and the importances that it has measured in training."""
    del step
    tracked, importance = jax.device_get(WALK.end_of_step(known.trained.frozen["tracked"]))
    return {"tracked": tracked, "importance": _scale(run, importance)}


def expanded_after(run: Run, known: Known, step: int) -> Mapping[str, Any]:
    """Returns EWC's importances, and AFEC's second network, which each later step goes on from."""
    found = importance_after(run, known, step)
    if step == 0:
        return found
    return {**found, "expanded_variables": known.trained.frozen["tracked"]}


# The walk, and AFEC's second network


def whole(tracked: Any) -> Any:
    """Returns all that a method has tracked."""
    return tracked


def learn_walk_base(run: Run) -> Known:
    """Learns step 0, and keeps the walk of its parameters."""
    return learn_base(run, name="base_rw", build=build_walk_base, keep=whole)


def train_with_walk(
    run: Run, step: int, fit: Callable[..., Fitted], start: Mapping[str, Any]
) -> Fitted:
    """Trains a student, and keeps the walk of its parameters."""
    del run, step
    return fit(start, whole)


def train_beside_second(
    run: Run, step: int, fit: Callable[..., Fitted], start: Mapping[str, Any]
) -> Fitted:
    """Trains a student beside AFEC's second network, which is kept."""
    copy, between = _second_network(run, step, start)
    return fit({**start, "expanded": copy}, memories.expanded_variables, between)


def _second_network(
    run: Run, step: int, start: Mapping[str, Any]
) -> tuple[Any, tuple[int, Callable[[Any, int], Any]]]:
    """Returns AFEC's second network, which learns the new keypoints alone, and `fit`'s `between`
    that trains it.

    It trains on the mesh, and in the groups of BatchNorm, of the main one. It has an epoch before
    each of the main one's, and goes on from that of the step before, at first from `teacher`.
    """
    config, options = run.config, run.job.options
    mesh = options.mesh or data_mesh()
    plain = build_once(build_finetuning, run.setting, config.steps)
    key = replicate(named_key(jax.random.key(run.job.seed), "expanded copy"), mesh)
    update, _ = compiled_update(plain.update, mesh, options.batch_norm_groups)
    source, measured = run.training_images(step), run.plain_images(step)
    some = subset(measured, range(min(config.afec_images, len(measured))))
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
        sums = reduce(
            importance_of(run.setting, "fisher"),
            trained,
            some,
            batch_size=IMPORTANCE_BATCH,
            mesh=mesh,
        )
        found = mean_importance(sums)
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


def entropy_of_base(weights: Weights, old: int) -> Mapping[str, float]:
    """Returns the weight of CPR's entropy in step 0."""
    del old
    return {"entropy": weights.cpr_entropy}


def learn_cpr_base(run: Run) -> Known:
    """Learns step 0 with broad answers."""
    return learn_base(run, name="base_cpr", build=build_cpr_base, factors=entropy_of_base)


# The rivals' lines of the table


def held_by_importance(
    line: str, factors: Callable[[Weights, int], Mapping[str, float]], **measured: Any
) -> Variant:
    """Returns a rival that holds parameters by their importances. factors: of `learn_with_memory`.
    measured: of `importance_after`."""
    return variant(
        "baseline",
        line,
        functools.partial(
            learn_with_memory,
            build=build_penalised,
            factors=factors,
            remember=functools.partial(importance_after, **measured),
        ),
    )


RIVALS: dict[str, Variant] = {
    "lwf": variant(
        "baseline",
        "distillation across channels",
        functools.partial(
            learn_without_association,
            build=build_lwf,
            factors=lambda weights, old: {"distillation": weights.lwf},
        ),
        label="LWF",
    ),
    "ewc": held_by_importance(
        "elastic weight consolidation",
        lambda weights, old: {"penalty": weights.ewc},
    ),
    "online_ewc": held_by_importance(
        "EWC whose importances decay and add up, at EWC's weight",
        lambda weights, old: {"penalty": weights.ewc},
        fuse="decayed_sum",
    ),
    "mas": held_by_importance(
        "memory aware synapses",
        lambda weights, old: {"penalty": weights.mas},
        kind="mas",
        fuse="sum",
    ),
    "rw": variant(
        "baseline",
        "Riemannian walk",
        functools.partial(
            learn_with_memory,
            build=build_walk,
            factors=lambda weights, old: {"penalty": weights.rw},
            remember=walk_after,
            first=learn_walk_base,
            training=train_with_walk,
        ),
        lengths=functools.partial(lengths, base="base_rw"),
    ),
    "afec": variant(
        "baseline",
        "EWC, and a pull to a network that learnt the new keypoints alone",
        functools.partial(
            learn_with_memory,
            build=build_afec,
            factors=lambda weights, old: {
                "penalty": weights.afec,
                "expanded": weights.afec_expanded,
            },
            remember=expanded_after,
            training=train_beside_second,
        ),
    ),
    "cpr": variant(
        "baseline",
        "EWC, and broad answers",
        functools.partial(
            learn_with_memory,
            build=build_cpr,
            factors=lambda weights, old: {
                "penalty": weights.cpr,
                "entropy": weights.cpr_entropy,
            },
            remember=functools.partial(importance_after, own_base=True),
            first=learn_cpr_base,
        ),
        label="CPR",
        lengths=functools.partial(lengths, base="base_cpr"),
    ),
}
