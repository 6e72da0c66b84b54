"""Easy and hard views (Xie et al. 2021, the single form): a network's answer teaches it on harder
views.

e is an unlabelled image as its base augmentation left it, g a random map, c a hiding of boxes
around the answer's points, f the network, x_l and t labelled images and their heatmaps, sg a
constant:

    M(f(x_l), t) + M(f(g c(e)), sg g f(e))

M is the half mean squared error of heatmaps. There is no threshold, no ramp and no average of
parameters.

Labelled images and hard views share a pass, interleaved. The easy view has a pass of its own on the
statistics of its batch, which leaves the running ones as they are; in the official code all passes
move them.
"""

import jax
import jax.numpy as jnp

from kpjax import geometry
from kpjax.augment.augmentations import random_warp
from kpjax.augment.occlusion import Hide, hide_boxes
from kpjax.augment.random_maps import draw_scale_rotation
from kpjax.heatmaps import Codec, decode_argmax
from kpjax.losses.heatmap import heatmap_mse
from kpjax.losses.objective import Objective, Term, total
from kpjax.methods import forward
from kpjax.methods.gradient_step import State, gradient_step
from kpjax.methods.semi_supervised_family.objectives import LABELLED, STREAMS, UNLABELLED
from kpjax.methods.setup import Setup, heatmap_predict, initial_variables
from kpjax.methods.supervised_learning import supervised_objective
from kpjax.optimization import group_rates
from kpjax.structures import Method, Metrics, Start, Streams, named_key

HARD, ANSWER = "hard", "answer"  # heatmaps of the hard view, and of the easy one, moved by g
HARDER = draw_scale_rotation(rotated=0.8, middle=True)  # g of Xie et al. 2021


def easy_hard_objective(
    codec: Codec, *, supervised_weight: float = 1.0, consistency: float = 1.0
) -> Objective:
    """Builds `supervised` and `consistency`, half mean squared errors of heatmaps, with these
    weights.
    """

    def follow(outputs, streams):
        del streams
        answer = outputs[ANSWER]
        all_visible = jnp.ones((answer.shape[0], answer.shape[-1]), jnp.float32)
        return heatmap_mse(outputs[HARD], jax.lax.stop_gradient(answer), all_visible)

    return {
        **supervised_objective(codec, heatmap_mse, weight=supervised_weight),
        "consistency": Term(consistency, follow, (HARD, ANSWER)),
    }


def easy_hard(setup: Setup, *, objective: Objective, hide: Hide | None = None) -> Method:
    """Builds the method; it reads the streams `labelled` and `unlabelled`, of equal batch sizes.

    The start may have `variables`.

    Args:
        setup: its augmentation is that of x_l and e.
        objective: of `easy_hard_objective`. Terms read the heatmaps `labelled`, HARD and ANSWER; a
            hard view that no term reads is not made.
        hide: c; the points that it hides are the cells of the answer's maxima, in px of the image.
            None is `hide_boxes()`.

    Raises:
        ValueError: a term reads an unknown output.
        InputError: from `init`, if the streams' batches have different sizes.
    """
    model = setup.model
    codec = setup.codec
    normalise = setup.normalise
    read = forward.checked_views(objective, (LABELLED, HARD, ANSWER), "easy_hard")
    seen = [name for name in (LABELLED, HARD) if name in read]
    to_image = geometry.invert(codec.to_heatmap)
    boxes = hide or hide_boxes()

    def init(key: jax.Array, streams: Streams, start: Start) -> State:
        forward.check_equal_batches(forward.named_streams(streams, STREAMS))
        images = forward.empty_images(setup.augment, streams, LABELLED)
        variables = initial_variables(setup, named_key(key, "model"), images, start)
        optimizer_state = setup.optimizer.init(variables["params"])
        return State(jnp.int32(0), variables, optimizer_state, {})

    def update(state: State, streams: Streams, key: jax.Array) -> tuple[State, Metrics]:
        params = state.variables["params"]
        statistics = state.variables["batch_stats"]
        examples = forward.prepare_streams(
            setup.augment, forward.named_streams(streams, STREAMS), key
        )
        easy = examples[UNLABELLED]
        _, maps = random_warp(HARDER)(named_key(key, "hard"), easy)
        inputs = normalise(easy.image)
        answer, _ = forward.train_pass(model, params, statistics, inputs)
        outputs = {ANSWER: geometry.warp_heatmaps(answer, maps, codec.to_heatmap)}
        images = {LABELLED: examples[LABELLED].image}
        if HARD in read:
            points = geometry.move_points(to_image, decode_argmax(answer)[0])
            holed = boxes(
                named_key(key, "hard/0/0"), easy.image, points, jnp.ones_like(easy.visible)
            )
            images[HARD] = geometry.warp(holed, maps)

        def objective_of(params):
            interleaved = forward.interleave(*(images[name] for name in seen))
            together = normalise(interleaved)
            heatmaps, after = forward.train_pass(model, params, statistics, together)
            each = forward.deinterleave(heatmaps, len(seen))
            found = dict(zip(seen, each, strict=True))
            value, parts = total(objective, outputs | found, examples)
            return value, (parts, after)

        params, optimizer_state, statistics, metrics = gradient_step(
            objective_of, params, state, setup.optimizer, setup.learning_rate
        )
        return State(
            state.step + 1,
            {"params": params, "batch_stats": statistics},
            optimizer_state,
            state.frozen,
        ), metrics

    return Method(
        init,
        update,
        heatmap_predict(setup),
        STREAMS,
        setup.skeleton,
        group_rates(setup.optimizer, setup.learning_rate),
    )
