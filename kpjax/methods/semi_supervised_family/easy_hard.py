"""Easy and hard views (Xie et al. 2021; MultiAugs 2024): a network's answer teaches it, or another, on harder views.

e is an unlabelled image as its base augmentation left it, g a random map, c a hiding of boxes, f the network, x_l and t
labelled images and their heatmaps, sg a constant:

    single   M(f(x_l), t) + sum_c M(f(g c(e)), sg g f(e))
    dual     1/2 M(f1(x_l), t) + 1/2 M(f2(x_l), t) + M(f1(g c2(e)), sg g f2(e)) + M(f2(g c1(e)), sg g f1(e))

M is the half mean squared error of heatmaps. c1 and c2 hide boxes around the answers of f1 and f2, so that each student
is masked by its teacher. MultiAugs is the single form with several c and one g for all. There is no threshold, no ramp
and no average of parameters.

Labelled images and hard views of one network share a pass, interleaved. The easy view has a pass of its own on the
statistics of its batch, which leaves the running ones as they are; in the official code all passes move them.
"""
from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import linen as nn

from kpjax import geometry
from kpjax.augment.augmentations import random_warp
from kpjax.augment.occlusion import Hide, hide_boxes
from kpjax.augment.random_maps import DrawMap, draw_scale_rotation
from kpjax.heatmaps import Codec, decode_argmax
from kpjax.losses.heatmap import heatmap_mse
from kpjax.losses.objective import Objective, Term, total
from kpjax.methods.forward import (
    Normalise,
    augmented,
    check_equal_batches,
    checked_views,
    deinterleave,
    empty_images,
    initial_variables,
    interleave,
    train_pass,
    unit_range,
)
from kpjax.methods.gradient_step import State, gradient_steps
from kpjax.methods.setup import Setup, heatmap_predict
from kpjax.methods.supervised_learning import HeatmapLoss
from kpjax.structures import (
    Example,
    Method,
    Metrics,
    Prediction,
    Start,
    Streams,
    Trained,
    Variables,
    named_key,
)

STREAMS = LABELLED, UNLABELLED = "labelled", "unlabelled"
HARDER = draw_scale_rotation(rotated=0.8, middle=True)  # g of Xie et al. 2021


def labelled_by(network: int) -> str:
    """Returns the name of a network's heatmaps of labelled images; networks count from 0."""
    return f"labelled/{network}"


def hard_view(network: int, view: int) -> str:
    """Returns the name of a network's heatmaps of a hard view."""
    return f"hard/{network}/{view}"


def moved_answer(network: int) -> str:
    """Returns the name of a network's heatmaps of the easy view, moved by g; they teach the other one, or itself."""
    return f"answer/{network}"


def networks_of(variables: Variables) -> tuple[Variables, ...]:
    """Returns the variables of each network."""
    first = {"params": variables["params"], "batch_stats": variables["batch_stats"]}
    return (first, variables["second"]) if "second" in variables else (first,)


def easy_hard_objective(
    codec: Codec, *, views: int = 1, networks: int = 1, loss: HeatmapLoss = heatmap_mse,
    supervised_weight: float = 1.0, consistency: float = 1.0
) -> Objective:
    """Builds `supervised`, the mean over networks, and `consistency`, the sum over networks and hard views.

    Args:
        views, networks: as many as the method has.
        loss: `(heatmaps, targets, weights) -> scalar`, of both terms.
        supervised_weight, consistency: weights of the two.
    """
    def fit_labels(outputs, streams):
        return sum(loss(outputs[labelled_by(n)], *codec.encode(streams[LABELLED])) for n in range(networks)) / networks

    def follow(outputs, streams):
        del streams
        value = jnp.float32(0)
        for network in range(networks):
            answer = outputs[moved_answer(networks - 1 - network)]
            everything = jnp.ones((answer.shape[0], answer.shape[-1]), jnp.float32)
            for view in range(views):
                pair = outputs[hard_view(network, view)], jax.lax.stop_gradient(answer)
                value += loss(*pair, everything)
        return value

    hard = [hard_view(network, view) for network in range(networks) for view in range(views)]
    reads = (*hard, *map(moved_answer, range(networks)))
    return {"supervised": Term(supervised_weight, fit_labels, tuple(map(labelled_by, range(networks)))),
            "consistency": Term(consistency, follow, reads)}


def easy_hard(
    setup: Setup, *, objective: Objective, draw_map: DrawMap = HARDER, views: tuple[Hide, ...] = (hide_boxes(),),
    networks: int = 1
) -> Method:
    """Builds the method; it reads the streams `labelled` and `unlabelled`, of equal batch sizes.

    The start may have `variables`, and `second` for the second network, which otherwise begins where the first does, or
    at a random point of its own. `predict` reads the first one; the second is `second` in the state's variables. Terms
    read the outputs that `labelled_by`, `hard_view` and `moved_answer` name; hard views that no term reads
    are not made.

    Args:
        setup: its augmentation is that of x_l and e. Each network has an optimizer state of its own.
        objective: of `easy_hard_objective`.
        draw_map: g, one for each unlabelled image.
        views: c; the points that they hide are the cells of the teaching answer's maxima, in px of the image.
        networks: 1, or 2 that teach each other.

    Raises:
        ValueError: a term reads an unknown output, or there are not one or two networks.
        InputError: from `init`, if the streams' batches have different sizes.
    """
    if networks not in (1, 2):
        raise ValueError(f"easy_hard: networks is {networks}; give 1 or 2")
    model, codec, normalise = setup.model, setup.codec, setup.normalise
    numbers = range(networks)
    known = [name for n in numbers for name in (
        labelled_by(n), moved_answer(n), *(hard_view(n, view) for view in range(len(views))))]
    read = checked_views(objective, known, "easy_hard")
    seen = [[name for name in known if name in read and name != moved_answer(n) and name.split("/")[1] == str(n)]
            for n in numbers]
    to_image = geometry.invert(codec.to_heatmap)

    def init(key: jax.Array, streams: Streams, start: Start) -> State:
        check_equal_batches({name: streams[name] for name in STREAMS})
        images = empty_images(setup.augment, streams, LABELLED)
        starts = (start, {"variables": start["second"]} if "second" in start else start)
        found = [initial_variables(model, named_key(key, name), images, begin)
                 for name, begin in zip(("model", "second"), starts, strict=True)][:networks]
        states = {f"network_{n}": setup.optimizer.init(one["params"]) for n, one in enumerate(found)}
        return State(jnp.int32(0), _joined(found), states, {})

    def update(state: State, streams: Streams, key: jax.Array) -> tuple[State, Metrics]:
        nets = networks_of(state.variables)
        examples = augmented(setup.augment, {name: streams[name] for name in STREAMS}, key)
        easy = examples[UNLABELLED]
        _, maps = random_warp(draw_map)(named_key(key, "hard"), easy)
        answers = [train_pass(model, net["params"], net["batch_stats"], normalise(easy.image))[0] for net in nets]
        outputs = {moved_answer(n): geometry.warp_heatmaps(answers[n], maps, codec.to_heatmap) for n in numbers}
        images = {labelled_by(n): examples[LABELLED].image for n in numbers}
        for n in numbers:
            points = geometry.move_points(to_image, decode_argmax(answers[networks - 1 - n])[0])
            for view, hide in enumerate(views):
                if (name := hard_view(n, view)) in read:
                    hard = hide(named_key(key, name), easy.image, points, jnp.ones_like(easy.visible))
                    images[name] = geometry.warp(hard, maps)

        def objective_of(params):
            answered, statistics = dict(outputs), []
            for n in numbers:
                together = normalise(interleave(*(images[name] for name in seen[n])))
                heatmaps, after = train_pass(model, params[f"network_{n}"], nets[n]["batch_stats"], together)
                answered |= dict(zip(seen[n], deinterleave(heatmaps, len(seen[n])), strict=True))
                statistics.append(after)
            value, parts = total(objective, answered, examples)
            return value, (parts, statistics)

        params = {f"network_{n}": net["params"] for n, net in enumerate(nets)}
        params, states, statistics, metrics = gradient_steps(
            objective_of, params, state, setup.optimizer, dict.fromkeys(params, setup.learning_rate))
        found = [{"params": params[f"network_{n}"], "batch_stats": statistics[n]} for n in numbers]
        return State(state.step + 1, _joined(found), states, state.frozen), metrics

    return Method(init, update, heatmap_predict(setup), STREAMS, setup.skeleton)


def mean_predict(model: nn.Module, codec: Codec, normalise: Normalise) -> Callable[[Trained, Example], Prediction]:
    """Builds a `predict` that decodes the mean heatmaps of both networks. The arguments are as in `supervised`."""

    def predict(state: Trained, example: Example) -> Prediction:
        images = normalise(unit_range(example).image)
        maps = [model.apply(net, images, train=False) for net in networks_of(state.variables)]
        average = sum(maps) / len(maps)
        return Prediction(*codec.decode(average), (average,))

    return predict


def _joined(found: list[Variables]) -> Variables:
    return {**found[0], **({"second": found[1]} if len(found) == 2 else {})}
