"""Semi-supervised keypoint localization (Moskvyak et al., ICLR 2021): few labelled images beside many without labels.

A network f draws heatmaps. g is a random perspective map, a new one for each image and step. Four terms:

    L_sup  f(x) = t                     on labelled images, whose true heatmaps are t
    L_sc   phi(z_k(x)) = k              z_k = max over pixels of F * m_k: features tell the keypoint    (equation 1)
    L_te   f(g(x)) = g(f(x))            heatmaps move as the image does                                 (equation 2)
    L_ti   z(g(x)) = z(x)               what is seen at the keypoints stays                     (equations 3 and 4)

    L = 1e3 L_sup + 0.5 L_sc + 1e2 L_te + 1e2 L_ti                                              (equation 5)

F is one map of 64 channels made of all of f's feature maps, phi one dense layer; prediction needs neither. The masks
m_k are f's heatmaps. On labelled images the true heatmaps stand in for f's in the last three terms, g(t) for g(f(x)):
so half of every batch is right from the first step on, and no term needs a ramp.

Rivals that compare heatmaps of the same images are this method with another objective: ELT (Honari et al. 2018) and
training on pseudo-labels.
"""
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax

from kpjax import geometry
from kpjax.augment import Augment, random_warp
from kpjax.heatmaps import Codec, decode_soft_argmax
from kpjax.losses.consistency import (
    coordinate_equivariance,
    semantic_consistency,
    transformation_equivariance,
    transformation_invariance,
)
from kpjax.losses.heatmap import heatmap_mse
from kpjax.losses.objective import Objective, Term, total, views
from kpjax.methods.passes import (
    Normalise,
    augmented,
    check_equal_batches,
    deinterleave,
    heatmap_predict,
    initial_variables,
    interleave,
    train_pass,
)
from kpjax.methods.semantic_pass import (
    FeatureMaps,
    Semantic,
    classified,
    every_map,
    heatmaps_and_features,
    initial_semantic,
)
from kpjax.methods.supervised import supervised_objective
from kpjax.models.network import KeypointNetwork
from kpjax.optimization import LearningRate, descend
from kpjax.random_maps import DrawMap, draw_homography
from kpjax.structures import Example, Method, Metrics, Skeleton, Start, Streams, Variables, named_key

LABELLED, UNLABELLED = STREAMS = ("labelled", "unlabelled")
EQUATION_5 = {"supervised_weight": 1e3, "semantic": 0.5, "equivariance": 1e2, "invariance": 1e2}
PERSPECTIVE = draw_homography(0.15)


class State(NamedTuple):
    """Of `semi_supervised`. The parameters of F and phi are `variables["semantic"]`, if a term reads them."""

    step: jax.Array
    variables: Variables
    optimizer_state: optax.OptState
    frozen: Mapping[str, Any]  # empty


# Views: names of what a term reads. f's heatmaps are called after the images they are of.


def warped(stream: str) -> str:
    """The images of a stream under g."""
    return f"{stream}/warped"


def semantic_of(view: str, ground_truth: bool) -> str:
    """z and phi(z) of a view; ground_truth: under true heatmaps as masks where there are labels, else under f's."""
    return f"semantic/{view}" + ("/by_label" if ground_truth and view.startswith(LABELLED) else "")


IMAGES = (*STREAMS, *map(warped, STREAMS))
SEMANTIC = {semantic_of(view, truth): view for view in IMAGES for truth in (False, True)}  # and the images it is of


# Terms: functions of what was read and of the examples by view. `semi_supervised` says what is there.


def semantic_term(
    codec: Codec, weight: float = 5e-4, streams: Sequence[str] = STREAMS, *, ground_truth: bool = True,
    on_warped: bool = False,
) -> Term:
    """L_sc, the mean over all keypoints of all streams but those without a label. on_warped: of g(x), too."""
    images = (*streams, *(map(warped, streams) if on_warped else ()))
    reads = tuple(semantic_of(view, ground_truth) for view in images)

    def loss(outputs, examples):
        logits = interleave(*(outputs[name].logits for name in reads))
        return semantic_consistency(
            logits, interleave(*(_weights(codec, examples, view, ground_truth) for view in images)))

    return Term(weight, loss, reads)


def equivariance_term(
    codec: Codec, weight: float = 0.1, streams: Sequence[str] = STREAMS, *, ground_truth: bool = True
) -> Term:
    """L_te: f(g(x)) against g(f(x)); with ground_truth, against g(t) on labelled images."""
    true = [stream for stream in streams if ground_truth and stream == LABELLED]

    def of(stream, outputs, examples):
        heatmaps = codec.encode(examples[stream])[0] if stream in true else outputs[stream]
        moved = geometry.warp_heatmaps(heatmaps, outputs[f"maps/{stream}"], codec.to_heatmap)
        return transformation_equivariance(
            outputs[warped(stream)], moved, _weights(codec, examples, stream, ground_truth))

    predicted = [stream for stream in streams if stream not in true]
    return Term(weight, _mean_over(streams, of), (*predicted, *map(warped, streams)))


def invariance_term(
    codec: Codec, weight: float = 0.1, streams: Sequence[str] = STREAMS, *, ground_truth: bool = True,
    reduction: Literal["mean", "sum"] = "mean",
) -> Term:
    """L_ti: z(x) against z(g(x)); with ground_truth, of labelled keypoints that g leaves in the frame."""

    def of(stream, outputs, examples):
        pair = stream, warped(stream)
        z, z_of_warped = (outputs[semantic_of(view, ground_truth)].representations for view in pair)
        labelled, inside = (_weights(codec, examples, view, ground_truth) for view in pair)
        return transformation_invariance(z, z_of_warped, labelled * inside, reduction=reduction)

    images = (*streams, *map(warped, streams))
    return Term(weight, _mean_over(streams, of), tuple(semantic_of(view, ground_truth) for view in images))


def inverse_equivariance_term(codec: Codec, weight: float = 0.1, streams: Sequence[str] = STREAMS) -> Term:
    """ELT on heatmaps: those of g(x), moved back by g, against f(x). What g pushes out of the frame is lost to it."""

    def of(stream, outputs, examples):
        back = geometry.invert(outputs[f"maps/{stream}"])
        returned = geometry.warp_heatmaps(outputs[warped(stream)], back, codec.to_heatmap)
        return transformation_equivariance(returned, outputs[stream], _every_keypoint(examples[stream]))

    return Term(weight, _mean_over(streams, of), (*streams, *map(warped, streams)))


def coordinate_equivariance_term(
    codec: Codec, weight: float = 1e-3, streams: Sequence[str] = STREAMS, *, sharpness: float = 100.0
) -> Term:
    """ELT on keypoints, read by a soft-argmax of sharpness * heatmaps: maps that peak near 1 are flat without it."""

    def of(stream, outputs, examples):
        del examples
        heatmaps = outputs[stream], outputs[warped(stream)]
        points, points_of_warped = (decode_soft_argmax(each, temperature=1 / sharpness)[0] for each in heatmaps)
        maps = geometry.conjugate(outputs[f"maps/{stream}"], codec.to_heatmap)
        return coordinate_equivariance(points, points_of_warped, maps, heatmaps[0].shape[1:3])

    return Term(weight, _mean_over(streams, of), (*streams, *map(warped, streams)))


def _mean_over(streams: Sequence[str], of: Callable) -> Callable:
    """The batches of all streams have one size, so the mean over their images is the mean of the streams' means."""
    return lambda outputs, examples: sum(of(stream, outputs, examples) for stream in streams) / len(streams)


def _every_keypoint(example: Example) -> jax.Array:
    return jnp.ones(example.visible.shape, jnp.float32)


def _weights(codec: Codec, examples: Streams, view: str, ground_truth: bool) -> jax.Array:
    """(B, K): where true heatmaps are used, 1 if there is one; 1 elsewhere."""
    true = ground_truth and view.startswith(LABELLED)
    return codec.encode(examples[view])[1] if true else _every_keypoint(examples[view])


# Objectives


def semi_supervised_objective(
    codec: Codec, *, streams: Sequence[str] = STREAMS, supervised_weight: float = 1.0, semantic: float = 5e-4,
    equivariance: float = 0.1, invariance: float = 0.1, ground_truth: bool = True,
    ground_truth_in_equivariance: bool | None = None, equivariance_on: Sequence[str] | None = None,
    semantic_on_warped: bool = False, ti_reduction: Literal["mean", "sum"] = "mean", half: bool = False,
) -> Objective:
    """Equation 5: `supervised`, `semantic`, `equivariance`, `invariance`. The rows of Table 2 are `without` some.

    The default weights are equation 5's over 1e3: Adam hardly tells them from the paper's, which are
    `semi_supervised_objective(codec, **EQUATION_5)`, and plain descent gets along with the same rates as elsewhere.
    codec: draws t and says how heatmaps lie in images. streams: ("labelled",) if all images have labels.
    ground_truth: False for Table 4's second row, f's own heatmaps in all terms but the supervised one.
    ground_truth_in_equivariance, equivariance_on: other choices for L_te than for the rest; None for the same.
    semantic_on_warped: L_sc of g(x), too. ti_reduction: see `transformation_invariance`.
    half: the official code's factor 1/2 in L_sup.
    """
    in_equivariance = ground_truth if ground_truth_in_equivariance is None else ground_truth_in_equivariance
    return _supervised(codec, supervised_weight, half) | {
        "semantic": semantic_term(codec, semantic, streams, ground_truth=ground_truth, on_warped=semantic_on_warped),
        "equivariance": equivariance_term(
            codec, equivariance, equivariance_on or streams, ground_truth=in_equivariance),
        "invariance": invariance_term(codec, invariance, streams, ground_truth=ground_truth, reduction=ti_reduction),
    }


def equivariant_landmark_objective(
    codec: Codec, form: Literal["inverse_heatmap", "forward_heatmap", "coordinates"] = "inverse_heatmap", *,
    streams: Sequence[str] = STREAMS, supervised_weight: float = 1.0, equivariance: float | None = None,
    sharpness: float = 100.0, half: bool = False,
) -> Objective:
    """ELT (Honari et al. 2018): `supervised` and `equivariance`, without ground truth in the latter.

    form: "inverse_heatmap" moves the heatmaps of g(x) back, "forward_heatmap" is L_te, "coordinates" compares points,
        as the original. equivariance: the weight; None is 0.1 for heatmaps and 1e-3 for coordinates.
    """
    terms = {"inverse_heatmap": inverse_equivariance_term,
             "forward_heatmap": partial(equivariance_term, ground_truth=False),
             "coordinates": partial(coordinate_equivariance_term, sharpness=sharpness)}
    weight = (1e-3 if form == "coordinates" else 0.1) if equivariance is None else equivariance
    return _supervised(codec, supervised_weight, half) | {"equivariance": terms[form](codec, weight, streams)}


def pseudo_label_objective(codec: Codec, *, supervised_weight: float = 1.0, half: bool = False) -> Objective:
    """L_sup of the whole batch, where `unlabelled` carries labels that a teacher gave (Radosavovic et al. 2018).

    `supervised` and `pseudo_labels`, each of half the weight: together the mean over both halves of the batch.
    """
    taught = _supervised(codec, supervised_weight / 2, half, UNLABELLED)["supervised"]
    return _supervised(codec, supervised_weight / 2, half) | {"pseudo_labels": taught}


def _supervised(codec: Codec, weight: float, half: bool, stream: str = LABELLED) -> dict[str, Term]:
    return dict(supervised_objective(codec, partial(heatmap_mse, half=half), stream, weight))


# The method


def semi_supervised(
    model: KeypointNetwork,
    points: Skeleton,
    *,
    objective: Objective,
    codec: Codec,
    optimizer: optax.GradientTransformation,
    learning_rate: LearningRate,
    augment: Augment | Mapping[str, Augment],
    normalise: Normalise,
    draw_map: DrawMap = PERSPECTIVE,
    semantic_inputs: FeatureMaps = every_map,
    feature_width: int = 64,
    detach_masks: bool = False,
    warped_pass: Literal["joint", "separate"] = "joint",
) -> Method:
    """Builds the method; it reads those of the streams `labelled` and `unlabelled` that a term reads.

    objective: what its terms read is computed, and nothing else. A term gets (outputs, examples). In outputs are, by
        the names that it reads, heatmaps (B, h, w, K) of "labelled", "unlabelled", "labelled/warped" and
        "unlabelled/warped" and the `Semantic` of `semantic_of(view, ground_truth)`; besides, g in image pixels,
        (B, 3, 3), as "maps/labelled" and "maps/unlabelled". In examples are the augmented images of all views.
    learning_rate: of the step, one for all or one for each top-level name of the model's parameters and `semantic`.
    augment: of x, one for both streams or one for each. draw_map: g, which comes on top of it.
    semantic_inputs: (the backbone's feature maps, their upsampling) -> those that F is made of.
    feature_width: the channels of F. detach_masks: predicted masks are constants to the gradient.
    warped_pass: "joint" is one interleaved pass over all images, whose BatchNorm statistics they share; in "separate"
        the warped ones have a pass and statistics of their own, and the running statistics follow the first.

    start: `variables`, optional (a warm start, ImageNet weights); `semantic` in them is carried over, too.
    Raises ValueError for a view that does not exist, InputError if the streams' batches have different sizes.
    """
    read = views(objective)
    if unknown := sorted(read - set(IMAGES) - set(SEMANTIC)):
        raise ValueError(f"a term reads {unknown[0]!r}; there are {', '.join((*IMAGES, *SEMANTIC))}")
    described = {name: view for name, view in SEMANTIC.items() if name in read}
    run = [view for view in IMAGES if view in read or view in described.values()]
    passes = [run] if warped_pass == "joint" else [
        [view for view in run if (view in STREAMS) == unmoved] for unmoved in (True, False)]
    passes = [images for images in passes if images]
    streams_read = tuple(stream for stream in STREAMS if stream in run or warped(stream) in run)

    def init(key: jax.Array, streams: Streams, start: Start) -> State:
        images = jnp.zeros((1, *streams[streams_read[0]].image.shape[1:]), jnp.float32)
        variables = initial_variables(model, named_key(key, "model"), images, start)
        if described:
            fresh = initial_semantic(
                model, named_key(key, "semantic"), variables, images, semantic_inputs, feature_width)
            variables = {**variables, "semantic": start.get("variables", {}).get("semantic", fresh)}
        return State(jnp.int32(0), variables, optimizer.init(_trained(variables)), {})

    def view_examples(streams: Streams, key: jax.Array) -> tuple[dict[str, Example], dict[str, jax.Array]]:
        """x and g(x) with their labels, and g."""
        check_equal_batches({stream: streams[stream] for stream in streams_read})
        examples, maps = augmented(augment, {stream: streams[stream] for stream in streams_read}, key), {}
        for stream in streams_read:
            if (view := warped(stream)) in run:
                moved = random_warp(draw_map)(named_key(key, view), examples[stream])
                examples[view], maps[f"maps/{stream}"] = moved
        return examples, maps

    def masks_of(name: str, outputs, examples) -> jax.Array:
        """f's heatmaps, or the true ones: t, and g(t) moved by the same operator as predictions are."""
        view = described[name]
        if name == semantic_of(view, ground_truth=False):
            return jax.lax.stop_gradient(outputs[view]) if detach_masks else outputs[view]
        targets, _ = codec.encode(examples[LABELLED])
        return targets if view == LABELLED else geometry.warp_heatmaps(
            targets, outputs[f"maps/{LABELLED}"], codec.to_heatmap)

    def forward(params, statistics, examples, maps):
        """What the terms read, and the running statistics afterwards."""
        outputs, afterwards = dict(maps), []
        for images in passes:
            together = normalise(interleave(*(examples[view].image for view in images)))
            (heatmaps, feature_maps), after = train_pass(
                model, _of_model(params), statistics, together, method=heatmaps_and_features)
            afterwards.append(after)
            outputs |= dict(zip(images, deinterleave(heatmaps, len(images)), strict=True))
            if names := [name for name, view in described.items() if view in images]:
                rows = [images.index(described[name]) for name in names]
                inputs = [_some_of(each, len(images), rows) for each in semantic_inputs(*feature_maps)]
                masks = interleave(*(masks_of(name, outputs, examples) for name in names))
                z, logits = (deinterleave(each, len(names)) for each in classified(params["semantic"], inputs, masks))
                outputs |= {name: Semantic(*parts) for name, *parts in zip(names, z, logits, strict=True)}
        return outputs, afterwards[0]

    def update(state: State, streams: Streams, key: jax.Array) -> tuple[State, Metrics]:
        examples, maps = view_examples(streams, key)

        def objective_of(params):
            outputs, statistics = forward(params, state.variables["batch_stats"], examples, maps)
            value, parts = total(objective, outputs, examples)
            return value, (parts, statistics)

        params = _trained(state.variables)
        (value, (metrics, statistics)), gradient = jax.value_and_grad(objective_of, has_aux=True)(params)
        params, optimizer_state = descend(optimizer, gradient, state.optimizer_state, params, learning_rate, state.step)
        metrics |= {"loss/total": value, "gradient_norm/model": optax.tree.norm(_of_model(gradient))}
        metrics |= {f"gradient_norm/{name}": optax.tree.norm(tree) for name, tree in _of_semantic(gradient).items()}
        variables = {"params": _of_model(params), "batch_stats": statistics} | _of_semantic(params)
        return State(state.step + 1, variables, optimizer_state, state.frozen), metrics

    return Method(init, update, heatmap_predict(model, codec, normalise), streams_read, points)


def _trained(variables: Variables) -> dict[str, Any]:
    """What the optimizer moves: the model's parameters by part, and those of F and phi as one part more."""
    return {**variables["params"], **_of_semantic(variables)}


def _of_model(tree: Mapping[str, Any]) -> dict[str, Any]:
    return {name: part for name, part in tree.items() if name != "semantic"}


def _of_semantic(tree: Mapping[str, Any]) -> dict[str, Any]:
    return {name: part for name, part in tree.items() if name == "semantic"}


def _some_of(array: jax.Array, count: int, chosen: Sequence[int]) -> jax.Array:
    """Of `count` interleaved arrays the chosen ones, interleaved."""
    if list(chosen) == list(range(count)):
        return array
    arrays = deinterleave(array, count)
    return interleave(*(arrays[number] for number in chosen))
