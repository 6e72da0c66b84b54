"""Rivals of KAMP that hold on to the old network by its maps (LWF) or by its parameters (EWC, online
EWC, MAS, RW, AFEC, CPR).

Those that hold on to parameters measure after each step how much each one matters. They keep this
importance and the parameters for the penalty of the next steps.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any, Literal

import jax
from etils import epath

from kpjax import Method, Trained, losses, methods, named_key
from kpjax.input.source import subset
from kpjax.methods.incremental_family import memories
from kpjax.methods.incremental_family.importance import Measure, mean_importance
from kpjax.papers.engine import Outcome, Stages, Variant, Work, batches, built
from kpjax.papers.incremental.config import Weights
from kpjax.papers.incremental.runs import Beside, Run, Setting
from kpjax.papers.incremental.stages import (
    Build,
    Factors,
    build_base,
    build_finetuning,
    build_student,
    increment_at,
    labels_alone,
    learn_base,
    objective_of,
    student,
    variant,
    with_predictions,
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


# What is kept of a step for the next one: (run, outcome, what was kept before, step) -> entries of
# its start, beside the anchor
Remember = Callable[[Run, Outcome, Mapping[str, Any], int], Mapping[str, Any]]


def learn_with_memory(
    run: Run,
    *,
    build: Build,
    factors: Factors,
    remember: Remember,
    first: Callable[[Run], Stages] = learn_base,
    beside: Callable[[Run, int, Mapping[str, Any]], Beside] | None = None,
) -> Stages:
    """Learns step 0, and each later step under a penalty; after each but the last, measures the
    importances of the parameters.

    build: of the student. factors: the weights of its terms. first: learns step 0. beside: what a
    student is trained with.
    """
    steps = run.config.steps
    memory: Mapping[str, Any] = {}
    known = yield from first(run)
    for step in run.later_steps:
        known = yield from with_predictions(run, known, step - 1)
        params = known.trained.variables.get("params")
        found = yield Work(
            functools.partial(remember, run, known, memory, step - 1), {"importance": params}
        )
        memory = {**found, "anchor": params}
        taught = yield increment_at(run, step, factors)
        start = {"teacher": known.trained.variables, "increment": taught, **memory}
        known = yield student(
            run,
            known,
            step,
            taught,
            lambda: built(build, run.setting, steps),
            steps,
            start=memory,
            beside=beside and functools.partial(beside, run, step, start),
        )
    return known


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
    known: Outcome,
    memory: Mapping[str, Any],
    step: int,
    *,
    kind: Literal["fisher", "mas"] = "fisher",
    fuse: Literal["running_mean", "sum", "decayed_sum"] = "running_mean",
    own_base: bool = False,
) -> Mapping[str, Any]:
    """Measures the importances on a step's images, and fuses them with those of the steps before.

    own_base: whether step 0 belongs to the variant; else variants share the measure after it.
    """

    def measured(folder: epath.Path) -> Fitted:  # a pass over the step's images resumes nothing
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
    stage = run.job.stage(measured, run.kept(name, {"after": known.digest}, of_base=shared))
    importance = _scale(run, stage.trained.variables["importance"])
    if memory:
        before = memory["importance"]
        fused = losses.fused_importance(before, importance, rule=fuse, step=step)
        importance = jax.device_get(fused)
    return {"importance": importance}


def _scale(run: Run, importance: Any) -> Any:
    if not run.config.normalise_importance:
        return importance
    return jax.device_get(losses.normalised_importance(importance))


def walk_after(run: Run, known: Outcome, memory: Mapping[str, Any], step: int) -> Mapping[str, Any]:
    """Returns the walk that goes on, and the importances that it has measured in training."""
    del memory, step
    tracked, importance = jax.device_get(WALK.end_of_step(known.trained.frozen["tracked"]))
    return {"tracked": tracked, "importance": _scale(run, importance)}


def expanded_after(
    run: Run, known: Outcome, memory: Mapping[str, Any], step: int
) -> Mapping[str, Any]:
    """Returns EWC's importances, and AFEC's second network, which each later step goes on from."""
    found = importance_after(run, known, memory, step)
    if step == 0:
        return found
    return {**found, "expanded_variables": known.trained.frozen["tracked"]}


# The walk, and AFEC's second network


def whole(tracked: Any) -> Any:
    """Returns all that a method has tracked."""
    return tracked


def learn_walk_base(run: Run) -> Stages:
    """Learns step 0, and keeps the walk of its parameters."""
    return learn_base(run, name="base_rw", build=build_walk_base, beside=with_walk)


def with_walk(*of: Any) -> Beside:
    """Keeps the walk of the parameters."""
    return Beside(keep=whole)


def with_second(run: Run, step: int, start: Mapping[str, Any]) -> Beside:
    """Trains a student beside AFEC's second network, which is kept. It learns the new keypoints
    alone, on the mesh, and in the groups of BatchNorm, of the main one: an epoch before each of the
    main one's. It goes on from that of the step before, at first from `teacher`.
    """
    begin = {
        "teacher": start.get("expanded_variables", start["teacher"]),
        "increment": start["increment"],
    }
    config, options = run.config, run.job.options
    mesh = options.mesh or data_mesh()
    plain = built(build_finetuning, run.setting, config.steps)
    key = replicate(named_key(jax.random.key(run.job.seed), "expanded copy"), mesh)
    update, _ = compiled_update(plain.update, mesh, options.batch_norm_groups)
    source, measured = run.training_images(step), run.plain_images(step)
    some = subset(measured, range(min(config.afec_images, len(measured))))
    stream = batches(run.job, plain, {"labelled": source}, batch_size=config.batch_size)["labelled"]

    def batch_at(step: int):
        return shard({"labelled": stream[step]}, mesh)

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

    first = Work(
        lambda: memories.expanded_copy(
            run_once(plain.init)(key, batch_at(0), replicate(begin, mesh))
        ),
        lambda: jax.eval_shape(
            lambda *of: memories.expanded_copy(plain.init(*of)), key, {"labelled": stream[0]}, begin
        ),
    )
    epoch_steps = max(1, len(source) // config.batch_size)
    train = memories.train_expanded(
        lambda state, number: update(state, batch_at(number), key),
        importance,
        epoch_steps=epoch_steps,
    )
    return Beside({"expanded": first}, memories.expanded_variables, (epoch_steps, train))


def entropy_of_base(weights: Weights, old: int) -> Mapping[str, float]:
    """Returns the weight of CPR's entropy in step 0."""
    del old
    return {"entropy": weights.cpr_entropy}


def learn_cpr_base(run: Run) -> Stages:
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
            beside=with_walk,
        ),
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
            beside=with_second,
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
    ),
}
