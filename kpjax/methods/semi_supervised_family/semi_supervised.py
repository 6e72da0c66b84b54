"""Semi-supervised keypoint localization (Moskvyak et al., ICLR 2021): few labelled images beside
many without labels.

A network f predicts heatmaps. g is a random perspective map, a new one for each image and step.
Four terms:

    L_sup  f(x) = t                     on labelled images, whose true heatmaps are t
    L_sc   phi(z_k(x)) = k              z_k = max over pixels of F * m_k: features identify the keypoint (equation 1)
    L_te   f(g(x)) = g(f(x))            heatmaps move as the image does                                 (equation 2)
    L_ti   z(g(x)) = z(x)               features at the keypoints stay the same                 (equations 3 and 4)

    L = 1e3 L_sup + 0.5 L_sc + 1e2 L_te + 1e2 L_ti                                              (equation 5)

F is one map of 64 channels made of all of f's feature maps, phi one dense layer; prediction needs
neither. The masks m_k are f's heatmaps. On labelled images the true heatmaps replace f's in the
last three terms, and g(t) replaces g(f(x)). Half of every batch is thus right from the first step
on, and no term needs a ramp.

Baselines that compare heatmaps of the same images are this method with another objective: ELT
(Honari et al. 2018) and training on pseudo-labels.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp

from kpjax import geometry
from kpjax.augment.augmentations import random_warp
from kpjax.augment.random_maps import PERSPECTIVE, DrawMap
from kpjax.losses.objective import Objective, constant, total
from kpjax.methods import forward
from kpjax.methods.gradient_step import State, gradient_step
from kpjax.methods.semi_supervised_family.objectives import (
    IMAGES,
    LABELLED,
    SEMANTIC,
    STREAMS,
    semantic_of,
    warped_name,
)
from kpjax.methods.semi_supervised_family.semantic_features import (
    Semantic,
    classify_features,
    feature_inputs,
    heatmaps_and_features,
    initial_semantic,
)
from kpjax.methods.setup import Setup, heatmap_predict, initial_variables
from kpjax.optimization import group_rates
from kpjax.structures import Example, Method, Metrics, Start, Streams, Variables, named_key


def semi_supervised(
    setup: Setup,
    *,
    objective: Objective,
    draw_map: DrawMap = PERSPECTIVE,
    feature_width: int = 64,
    one_scale: bool = False,
    head_map: bool = True,
    warped_pass: Literal["joint", "separate"] = "joint",
    scales: Callable[[jax.Array], Mapping[str, jax.Array]] = constant,
) -> Method:
    """Builds the method; it reads those of the streams `labelled` and `unlabelled` that a term
    reads.

    The start may have `variables` (a warm start, ImageNet weights). The parameters of F and phi, if
    a term reads them, are `semantic` in the state's variables, and are carried over too.

    Args:
        setup: learning rates, if there are several, are by top-level name of the model's parameters
            and for `semantic`.
        objective: its terms get (outputs, examples). Outputs are computed only if a term reads
            them: heatmaps (B, h, w, K) of "labelled", "unlabelled", "labelled/warped" and
            "unlabelled/warped", and the `Semantic` of `semantic_of(view, ground_truth)`. Besides,
            "maps/labelled" and "maps/unlabelled" are g in image pixels, (B, 3, 3). Examples are the
            augmented images of all views.
        draw_map: g, applied after the augmentation.
        feature_width: the channels of F.
        one_scale: whether feature maps are brought to one scale before F, see `KeypointFeatures`.
        head_map: whether F reads the map from which the head makes its heatmaps, see
            `feature_inputs`.
        warped_pass: "joint" is one interleaved pass over all images, which share BatchNorm
            statistics. In "separate" the warped ones have a pass and statistics of their own, and
            the running statistics follow the first.
        scales: step (float32) -> factors of terms' weights, as in `total`.

    Raises:
        ValueError: a term reads an unknown view.
        InputError: the streams' batches have different sizes.
    """
    model = setup.model
    codec = setup.codec
    normalise = setup.normalise
    read = forward.checked_views(objective, (*IMAGES, *SEMANTIC), "semi_supervised")
    described = {name: view for name, view in SEMANTIC.items() if name in read}
    run = [view for view in IMAGES if view in read or view in described.values()]
    passes = (
        [run]
        if warped_pass == "joint"
        else [[view for view in run if (view in STREAMS) == unmoved] for unmoved in (True, False)]
    )
    passes = [images for images in passes if images]
    streams_read = tuple(
        stream for stream in STREAMS if stream in run or warped_name(stream) in run
    )

    def init(key: jax.Array, streams: Streams, start: Start) -> State:
        images = forward.empty_images(setup.augment, streams, streams_read[0])
        variables = initial_variables(setup, named_key(key, "model"), images, start)
        if described:
            fresh = initial_semantic(
                model, named_key(key, "semantic"), variables, images, feature_width, head_map
            )
            variables = {**variables, "semantic": start.get("variables", {}).get("semantic", fresh)}
        optimizer_state = setup.optimizer.init(_trained_tree(variables))
        return State(jnp.int32(0), variables, optimizer_state, {})

    def view_examples(
        streams: Streams, key: jax.Array
    ) -> tuple[dict[str, Example], dict[str, jax.Array]]:
        """Returns x and g(x) with their labels, and g."""
        forward.check_equal_batches(forward.named_streams(streams, streams_read))
        examples = forward.prepare_streams(
            setup.augment, forward.named_streams(streams, streams_read), key
        )
        maps = {}
        for stream in streams_read:
            if (view := warped_name(stream)) in run:
                moved = random_warp(draw_map)(named_key(key, view), examples[stream])
                examples[view], maps[f"maps/{stream}"] = moved
        return examples, maps

    def masks_of(name: str, outputs, examples) -> jax.Array:
        """Returns f's heatmaps, or the true ones: t, and g(t) moved by the operator that moves
        predictions.
        """
        view = described[name]
        if name == semantic_of(view, ground_truth=False):
            return outputs[view]
        targets, _ = codec.encode(examples[LABELLED])
        if view == LABELLED:
            return targets
        return geometry.warp_heatmaps(targets, outputs[f"maps/{LABELLED}"], codec.to_heatmap)

    def outputs_of(params, statistics, examples, given):
        """Returns the outputs that the terms read, with those given, and the running statistics
        afterwards.
        """
        outputs = dict(given)
        afterwards = []
        for images in passes:
            interleaved = forward.interleave(*(examples[view].image for view in images))
            together = normalise(interleaved)
            (heatmaps, feature_maps), after = forward.train_pass(
                model, _of_model(params), statistics, together, method=heatmaps_and_features
            )
            afterwards.append(after)
            each = forward.deinterleave(heatmaps, len(images))
            outputs |= dict(zip(images, each, strict=True))
            names = [name for name, view in described.items() if view in images]
            if names:
                chosen = [images.index(described[name]) for name in names]
                inputs = [
                    _some_of(each, len(images), chosen)
                    for each in feature_inputs(*feature_maps, head_map)
                ]
                masks = forward.interleave(*(masks_of(name, outputs, examples) for name in names))
                z, logits = classify_features(params["semantic"], inputs, masks, one_scale)
                each_z = forward.deinterleave(z, len(names))
                each_logits = forward.deinterleave(logits, len(names))
                for name, of_z, of_logits in zip(names, each_z, each_logits, strict=True):
                    outputs[name] = Semantic(of_z, of_logits)
        return outputs, afterwards[0]

    def update(state: State, streams: Streams, key: jax.Array) -> tuple[State, Metrics]:
        examples, maps = view_examples(streams, key)

        def objective_of(params):
            outputs, statistics = outputs_of(params, state.variables["batch_stats"], examples, maps)
            value, parts = total(
                objective, outputs, examples, scales(state.step.astype(jnp.float32))
            )
            return value, (parts, statistics)

        params, optimizer_state, statistics, metrics = gradient_step(
            objective_of,
            _trained_tree(state.variables),
            state,
            setup.optimizer,
            setup.learning_rate,
            norms=lambda gradient: {"model": _of_model(gradient), **_of_semantic(gradient)},
        )
        variables = {"params": _of_model(params), "batch_stats": statistics} | _of_semantic(params)
        return State(state.step + 1, variables, optimizer_state, state.frozen), metrics

    return Method(
        init,
        update,
        heatmap_predict(setup),
        streams_read,
        setup.skeleton,
        group_rates(setup.optimizer, setup.learning_rate),
    )


def _trained_tree(variables: Variables) -> dict[str, Any]:
    """Returns the optimizer's tree: the model's parameters by part, and those of F and phi as one
    more part.
    """
    return {**variables["params"], **_of_semantic(variables)}


def _of_model(tree: Mapping[str, Any]) -> dict[str, Any]:
    return {name: part for name, part in tree.items() if name != "semantic"}


def _of_semantic(tree: Mapping[str, Any]) -> dict[str, Any]:
    return {name: part for name, part in tree.items() if name == "semantic"}


def _some_of(array: jax.Array, count: int, chosen: Sequence[int]) -> jax.Array:
    """Selects some of `count` interleaved arrays, interleaved again."""
    if list(chosen) == list(range(count)):
        return array
    arrays = forward.deinterleave(array, count)
    return forward.interleave(*(arrays[number] for number in chosen))
