"""Mean teacher for heatmaps (Tarvainen and Valpola 2017): labels for some images, a moving average for the others.

The teacher is the exponential moving average of the student, BatchNorm statistics included. It sees an unlabelled image
as its base augmentation left it. The student sees the same image under a map g, and should predict the teacher's
heatmaps moved by g. Labelled and unlabelled images of the student share one forward pass, interleaved.

No gradient reaches the teacher. Its predictions use the statistics of the batch, like the student's. With running ones
the two predict on different scales, and a student that follows a larger scale drags its teacher further up.
"""
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax

from kpjax import geometry
from kpjax.augment.augmentations import random_warp
from kpjax.augment.random_maps import PERSPECTIVE, DrawMap
from kpjax.heatmaps import Codec
from kpjax.losses.objective import Objective, Term, total
from kpjax.methods.forward import (
    augmented,
    check_equal_batches,
    checked_views,
    empty_images,
    initial_variables,
    joint_pass,
    train_pass,
)
from kpjax.methods.gradient_step import gradient_step
from kpjax.methods.semi_supervised_family.objectives import LABELLED, SQUARES, UNLABELLED, warped
from kpjax.methods.setup import Setup, heatmap_predict
from kpjax.methods.supervised_learning import supervised_objective
from kpjax.optimization import ema
from kpjax.structures import Example, Method, Metrics, Start, Streams, Variables, named_key

Network = Literal["teacher", "student"]
WARPED = warped(UNLABELLED)
PASSES = {LABELLED: LABELLED, WARPED: UNLABELLED, "teacher": UNLABELLED}  # view -> the stream that it reads


class State(NamedTuple):
    """The state of `mean_teacher`. `networks` returns student and teacher."""

    step: jax.Array
    variables: Variables  # the network that `predict` reads
    other: Variables  # the other one of student and teacher
    optimizer_state: optax.OptState
    frozen: Mapping[str, Any]  # empty


def mean_teacher_objective(
    codec: Codec, *, supervised_weight: float = 1.0, consistency: float = 0.1
) -> Objective:
    """Builds the labels' term and the teacher's: mean squared differences of heatmaps over all elements.

    Args:
        supervised_weight: of `supervised`. The default weights have the ratio of the supervised and the equivariance
            term of Moskvyak et al. 2021, 1e3 to 1e2, for which this is a baseline. Under Adam only the ratio counts;
            plain descent with those would need a learning rate a thousand times smaller.
        consistency: weight of `consistency`, the teacher's term.
    """

    def follow_teacher(outputs, streams):
        del streams
        heatmaps = outputs[WARPED]
        everything = jnp.ones((heatmaps.shape[0], heatmaps.shape[-1]), jnp.float32)
        return SQUARES(heatmaps, jax.lax.stop_gradient(outputs["teacher"]), everything)

    return {**supervised_objective(codec, SQUARES, weight=supervised_weight),
            "consistency": Term(consistency, follow_teacher, reads=(WARPED, "teacher"))}


def decay_at(step: jax.Array) -> jax.Array:
    """Computes min(0.999, (1 + step) / (10 + step)), a float32: a young average forgets its starting point quickly."""
    step = step.astype(jnp.float32)
    return jnp.minimum(jnp.float32(0.999), (1 + step) / (10 + step))


def networks(state: State, predicts: Network = "teacher") -> tuple[Variables, Variables]:
    """Returns (student, teacher) of a state whose method was built with that `predicts`."""
    return (state.other, state.variables) if predicts == "teacher" else (state.variables, state.other)


def mean_teacher(setup: Setup, *, objective: Objective, draw_map: DrawMap = PERSPECTIVE) -> Method:
    """Builds the method; it reads the streams `labelled` and `unlabelled`, of equal batch sizes.

    The start may have `variables` of an earlier stage; both networks begin there, or at the same random point.

    Args:
        objective: of `mean_teacher_objective`. Terms read the views `labelled` (the student's heatmaps),
            `unlabelled/warped` (the student's, of the moved image) and `teacher` (the teacher's, moved like the image).
            Passes that no term reads are not run, and their streams not requested.
        draw_map: g, one for each unlabelled image.

    Raises:
        ValueError: a term reads an unknown view.
        InputError: from `init`, if the streams' batches have different sizes.
    """
    model, normalise = setup.model, setup.normalise
    read = checked_views(objective, PASSES, "mean_teacher")
    streams_read = tuple(dict.fromkeys(PASSES[view] for view in PASSES if view in read))
    seen = [view for view in ("labelled", WARPED) if view in read]  # by the student

    def init(key: jax.Array, streams: Streams, start: Start) -> State:
        check_equal_batches({name: streams[name] for name in streams_read})
        images = empty_images(setup.augment, streams, streams_read[0])
        variables = initial_variables(model, named_key(key, "model"), images, start)
        return State(jnp.int32(0), variables, variables, setup.optimizer.init(variables["params"]), {})

    def update(state: State, streams: Streams, key: jax.Array) -> tuple[State, Metrics]:
        student, teacher = networks(state)
        examples: dict[str, Example] = augmented(setup.augment, {name: streams[name] for name in streams_read}, key)
        outputs: dict[str, jax.Array] = {}
        if "unlabelled" in examples:
            plain = examples["unlabelled"]
            examples[WARPED], maps = random_warp(draw_map)(named_key(key, WARPED), plain)
        if "teacher" in read:
            answer, _ = train_pass(model, teacher["params"], teacher["batch_stats"], normalise(plain.image))
            outputs["teacher"] = geometry.warp_heatmaps(answer, maps, setup.codec.to_heatmap)

        def objective_of(params):
            images = {view: normalise(examples[view].image) for view in seen}
            answers, statistics = joint_pass(model, params, student["batch_stats"], images)
            value, parts = total(objective, outputs | answers, examples)
            return value, (parts, statistics)

        params, optimizer_state, statistics, metrics = gradient_step(
            objective_of, student["params"], state, setup.optimizer, setup.learning_rate,
            norms=lambda gradient: {"student": gradient})
        student = {"params": params, "batch_stats": statistics}
        teacher = ema(teacher, student, decay_at(state.step))
        return State(state.step + 1, teacher, student, optimizer_state, state.frozen), metrics

    return Method(init, update, heatmap_predict(setup), streams_read, setup.skeleton)
