"""Adaptation by a teacher's surer answers (UDAPE, Kim et al., ECCV 2022): a mean teacher across two
domains.

The teacher, a moving average of the student's parameters, sees one random view of a target image,
the student another. Both answers are moved back to the image, where the teacher's maxima are
rendered as Gaussians:

    L_s = 1/2 mean w (f(x_s) - t)²                                           source, t from labels
    H = A_teacher⁻¹ teacher(x_teacher),  c = max H,  m = 1 for the surer part of c in the batch
    L_c = mean over batch, cells and keypoints of m (A_student⁻¹ f(x_student) - bump(argmax H))²
    L = L_s + L_c

Source images are sometimes restyled as target images, the teacher's views as source images, the
student's views never. Some of the student's images have a keypoint hidden that the teacher is sure
of.

H, m and the bumps are constants. All passes are in training mode. The teacher's batch statistics
are thus the target's, an AdaBN inside, and its running ones come from its own passes. The student's
passes over source and target are separate, so that the domains do not share batch statistics.
"""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax

from kpjax import geometry
from kpjax.augment.augmentations import Augment, colour_jitter, compose_augmentations, random_warp
from kpjax.augment.occlusion import Hide, hide_boxes
from kpjax.augment.random_maps import draw_affine
from kpjax.augment.restyling import exchanged_moments
from kpjax.heatmaps import Codec, decode_argmax, gaussian_bumps
from kpjax.losses.consistency import surest, transformation_equivariance
from kpjax.losses.heatmap import heatmap_mse
from kpjax.losses.objective import Objective, Term, total
from kpjax.methods.forward import (
    check_equal_batches,
    checked_views,
    empty_images,
    named_streams,
    prepare_streams,
    train_pass,
)
from kpjax.methods.gradient_step import gradient_step
from kpjax.methods.setup import Setup, heatmap_predict, initial_variables
from kpjax.methods.supervised_learning import supervised_objective
from kpjax.optimization import ema, group_rates
from kpjax.structures import Method, Metrics, Start, Streams, Variables, named_key

# the student's heatmaps, its target's moved back; the teacher's
SOURCE = "source"
TARGET = "target"
ANSWER = "answer"

HIDDEN_FROM = 0.9  # the teacher's score from which a keypoint may be hidden from the student


Network = Literal["teacher", "student"]


class State(NamedTuple):
    """The state of a mean teacher. `networks` returns student and teacher."""

    step: jax.Array
    variables: Variables  # the network that `predict` reads
    other: Variables  # the other one of student and teacher
    optimizer_state: optax.OptState
    frozen: Mapping[str, Any]


def networks(state: State, predicts: Network = "teacher") -> tuple[Variables, Variables]:
    """Returns (student, teacher) of a state whose method was built with that `predicts`."""
    if predicts == "teacher":
        return (state.other, state.variables)
    return (state.variables, state.other)


class Answer(NamedTuple):
    """The teacher's answer in coordinates of the target image."""

    heatmaps: jax.Array  # H, (B, h, w, K)
    scores: jax.Array  # c, (B, K)
    bumps: jax.Array  # (B, h, w, K)


def target_view(
    degrees: float = 60.0, *, shear_degrees: float = 30.0, zoom: tuple[float, float] = (0.6, 1.3)
) -> Augment:
    """Builds the random view of the official code; `degrees` is 180 for hands."""
    moved = draw_affine(degrees=degrees, scale=zoom, shift=0.05, shear_degrees=shear_degrees)
    return compose_augmentations(random_warp(moved), colour_jitter(0.25))


def hide_one_box(side: int) -> Hide:
    """Builds the hiding of a keypoint in half of the images, of `side` px, by what another part of
    the image shows.

    The box has 10 px of 256 on each side of the keypoint.
    """
    return hide_boxes(
        1, shows="elsewhere", noise=0.0, half_sides=(10.0, 10.0), probability=0.5, unit=side / 256
    )


def teacher_adaptation_objective(codec: Codec) -> Objective:
    """Builds `supervised`, L_s, and `consistency`, L_c, in which the less sure half of the answers
    teaches nothing.
    """

    def follow(outputs, streams):
        del streams
        answer: Answer = outputs[ANSWER]
        return transformation_equivariance(
            outputs[TARGET], answer.bumps, surest(answer.scores, 0.5)
        )

    return {
        **supervised_objective(codec, heatmap_mse, SOURCE),
        "consistency": Term(1.0, follow, reads=(TARGET, ANSWER)),
    }


def teacher_adaptation(
    setup: Setup,
    *,
    objective: Objective,
    view: Augment | None = None,
    decay: float = 0.999,
    sigma: float = 2.0,
    restyled: float = 0.5,
    predicts: Network = "teacher",
) -> Method:
    """Builds the method; it reads the streams `source` (labelled) and `target` (no labels needed).

    The start may have `variables`, where both networks begin. Of the student's target images
    `hide_one_box` hides keypoints whose score is HIDDEN_FROM or more. Images are restyled by
    exchanging the moments of their colours.

    Args:
        objective: of `teacher_adaptation_objective`. Terms read SOURCE, TARGET and ANSWER; passes
            that no term reads are not run.
        view: applied after the setup's augmentation, once to source images, once for the student
            and once for the teacher; None is `target_view()`.
        decay: of the average of parameters.
        sigma: of the bumps, heatmap px; their window ends at three of it.
        restyled: probability of a batch of source images, or of the teacher's, to be restyled, each
            image by one of the other stream; 0 restyles none.
        predicts: the network that is the result.

    Raises:
        ValueError: a term reads an unknown output.
        InputError: restyled images, and batches of different sizes.
    """
    model = setup.model
    codec = setup.codec
    normalise = setup.normalise
    read = checked_views(objective, (SOURCE, TARGET, ANSWER), "teacher_adaptation")
    change = target_view() if view is None else view
    to_image = geometry.invert(codec.to_heatmap)

    def init(key: jax.Array, streams: Streams, start: Start) -> State:
        if restyled > 0:
            check_equal_batches(named_streams(streams, ("source", "target")))
        images = empty_images(setup.augment, streams, "source")
        variables = initial_variables(setup, named_key(key, "model"), images, start)
        return State(
            jnp.int32(0), variables, variables, setup.optimizer.init(variables["params"]), {}
        )

    def restyle(key, content, style):
        """Returns images in the style of others, by a coin and a strength for all of them."""
        if restyled == 0:
            return content
        coin_key, strength_key, order_key = jax.random.split(key, 3)
        alpha = jax.random.uniform(strength_key, (), jnp.float32)
        # Streams of equally many images have one order: without another an image would meet one
        # style alone.
        changed = exchanged_moments(content, jax.random.permutation(order_key, style), alpha)
        is_restyled = jax.random.bernoulli(coin_key, restyled)
        return jnp.where(is_restyled, jnp.clip(changed, 0, 1), content)

    def answered(teacher, image, to_teacher):
        """Returns the teacher's answer, and its statistics afterwards."""
        heatmaps, statistics = train_pass(
            model, teacher["params"], teacher["batch_stats"], normalise(image)
        )
        heatmaps = geometry.warp_heatmaps(heatmaps, geometry.invert(to_teacher), codec.to_heatmap)
        cells, scores = decode_argmax(heatmaps, strict_positive=True)
        return (
            cells,
            Answer(heatmaps, scores, gaussian_bumps(cells, heatmaps.shape[1:3], sigma)),
            statistics,
        )

    def update(state: State, streams: Streams, key: jax.Array) -> tuple[State, Metrics]:
        student, teacher = networks(state, predicts)
        plain = prepare_streams(setup.augment, named_streams(streams, ("source", "target")), key)
        source, _ = change(named_key(key, "source view"), plain["source"])
        images = {
            SOURCE: restyle(named_key(key, "source style"), source.image, plain["target"].image)
        }
        outputs = {}
        teacher_statistics = teacher["batch_stats"]
        if read & {TARGET, ANSWER}:
            seen, to_student = change(named_key(key, "student view"), plain["target"])
            shown, to_teacher = change(named_key(key, "teacher view"), plain["target"])
            shown = restyle(named_key(key, "teacher style"), shown.image, plain["source"].image)
            cells, outputs[ANSWER], teacher_statistics = answered(teacher, shown, to_teacher)
            points = geometry.move_points(geometry.compose(to_student, to_image), cells)
            sure = (outputs[ANSWER].scores >= HIDDEN_FROM).astype(jnp.float32)
            boxes = hide_one_box(seen.image.shape[1])
            images[TARGET] = boxes(named_key(key, "hidden"), seen.image, points, sure)

        def objective_of(params):
            found = dict(outputs)
            statistics = student["batch_stats"]
            for name, image in images.items():
                found[name], statistics = train_pass(model, params, statistics, normalise(image))
            if TARGET in found:
                found[TARGET] = geometry.warp_heatmaps(
                    found[TARGET], geometry.invert(to_student), codec.to_heatmap
                )
            value, parts = total(objective, found, {"source": source, "target": plain["target"]})
            return value, (parts, statistics)

        params, optimizer_state, statistics, metrics = gradient_step(
            objective_of,
            student["params"],
            state,
            setup.optimizer,
            setup.learning_rate,
            norms=lambda gradient: {"student": gradient},
        )
        if ANSWER in outputs:
            metrics["teacher/mean_peak"] = outputs[ANSWER].scores.mean()
        student = {"params": params, "batch_stats": statistics}
        teacher = {
            "params": ema(teacher["params"], params, decay),
            "batch_stats": teacher_statistics,
        }
        variables, other = (teacher, student) if predicts == "teacher" else (student, teacher)
        return State(state.step + 1, variables, other, optimizer_state, state.frozen), metrics

    return Method(
        init,
        update,
        heatmap_predict(setup),
        ("source", "target"),
        setup.skeleton,
        group_rates(setup.optimizer, setup.learning_rate),
    )
