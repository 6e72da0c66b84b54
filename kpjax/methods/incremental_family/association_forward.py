"""Forward passes of KA-Nets for both stages of KAMP: conditioning on labelled new keypoints, and
reading their maps.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from kpjax import geometry
from kpjax.heatmaps import Codec, Decoder
from kpjax.methods.forward import train_pass
from kpjax.methods.incremental_family.step_spec import Increment
from kpjax.methods.setup import of_same_shapes
from kpjax.models.association import AssociationInputs
from kpjax.models.network import KeypointNetwork
from kpjax.structures import Example, Prediction, Variables, named_key


def features_and_heatmaps(
    network: KeypointNetwork, images: jax.Array, train: bool
) -> tuple[jax.Array, jax.Array]:
    """Computes features (B, h, w, C) and heatmaps (B, h, w, K); used like `KeypointNetwork`'s
    methods.
    """
    features = network.features(images, train)
    return features, network.regress(features, train)


def frozen_forward(
    model: KeypointNetwork, variables: Variables, images: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Computes features (B, h, w, C) and heatmaps (B, h, w, K) of a frozen network, without a
    gradient.

    It runs on its stored statistics. Images are normalised.
    """
    return jax.lax.stop_gradient(
        model.apply(variables, images, train=False, method=features_and_heatmaps)
    )


def teacher_answer(
    model: KeypointNetwork,
    variables: Variables,
    codec: Codec,
    images: jax.Array,
    view: Example,
    step: Increment,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Computes what a teacher says, whoever it is: features (B, h, w, C) of the frozen network;
    heatmaps (B, h, w, K) of it, and of keypoints `by_points` the codec's Gaussians at the view's
    labels; and how much they count, (B, K) float32: 1 of the network's, else as the labels do, 0
    where there is none.

    images: those of the view, normalised.
    """
    features, heatmaps = frozen_forward(model, variables, images)
    rendered, weights = placed_maps(codec, view)
    by_points = step.by_points > 0
    heatmaps = jnp.where(by_points, rendered, heatmaps)
    return features, heatmaps, jnp.where(by_points, weights, 1.0)


def predicted(codec: Codec, heatmaps: jax.Array, known: jax.Array) -> Prediction:
    """Decodes heatmaps (B, h, w, K); those of keypoints that are not known (K,) are set to 0."""
    heatmaps = jnp.where(known[None, None, None] > 0, heatmaps, 0.0)
    return Prediction(*codec.decode(heatmaps), (heatmaps,))


def channels(maps: jax.Array, numbers: jax.Array) -> jax.Array:
    """Selects the maps (..., K) or weights (B, K) of some keypoints, numbers (n,) int32: (...,
    n)."""
    return jnp.take(maps, numbers, axis=-1)


def labelled_triples(codec: Codec, example: Example, triples: jax.Array) -> jax.Array:
    """Computes the mask (B, T) float32 of triples (T, 3) whose new keypoints both have a heatmap by
    the codec, and lie somewhere: one that is taught as absent has a weight, and no place.
    """
    _, weights = placed_maps(codec, example)
    both = jnp.minimum(channels(weights, triples[:, 1]), channels(weights, triples[:, 2]))
    return (both > 0).astype(jnp.float32)


def placed_maps(codec: Codec, example: Example) -> tuple[jax.Array, jax.Array]:
    """Returns the codec's maps, and their weights; 0 also for a keypoint that is taught as absent."""
    maps, weights = codec.encode(example)
    return maps, jnp.where(example.visible > 0, weights, 0.0)


def association_inputs(
    codec: Codec, features: jax.Array, example: Example, triple: jax.Array
) -> AssociationInputs:
    """Builds KA-Net's inputs for one triple (3,), from the labels of its two new keypoints.

    features: (B, h, w, C) of the frozen extractor. Where a keypoint has no label, or is absent, its
    map is empty.
    """
    maps, weights = placed_maps(codec, example)
    known = weights[..., None] > 0
    points = geometry.move_points(codec.to_heatmap, jnp.where(known, example.keypoints, 0.0))
    new = triple[1:]
    return AssociationInputs(features, channels(maps, new), jnp.take(points, new, axis=1))


def slot(number: int) -> str:
    """Returns the name of a triple's KA-Net among the variables."""
    return f"triple_{number}"


def association_pass(
    network: nn.Module,
    variables: Variables,
    codec: Codec,
    features: jax.Array,
    example: Example,
    triples: jax.Array,
    *,
    train: bool = False,
) -> tuple[jax.Array, Any]:
    """Runs all KA-Nets. Returns the maps (B, h, w, T) float32, and the BatchNorm statistics
    afterwards.

    Args:
        variables: {'params': {'triple_0': ...}, 'batch_stats': {'triple_0': ...}}.
        codec: renders the labels.
        features: (B, h, w, C) of the frozen extractor for the example's images.
        example: augmented, with labels of the new keypoints.
        triples: (T, 3) int32.
    """
    maps = []
    statistics = {}
    for number in range(triples.shape[0]):
        name = slot(number)
        params = variables["params"][name]
        before = variables["batch_stats"].get(name, {})
        inputs = association_inputs(codec, features, example, triples[number])
        if train:
            answer, statistics[name] = train_pass(network, params, before, inputs)
        else:
            answer = network.apply({"params": params, "batch_stats": before}, inputs, False)
            statistics[name] = before
        maps.append(answer)
    return jnp.concatenate(maps, axis=-1), statistics


def initial_association(
    network: nn.Module,
    key: jax.Array,
    model: KeypointNetwork,
    images: jax.Array,
    teacher: Variables,
    slots: int,
) -> Variables:
    """Initialises one KA-Net for each slot, on features of `model`, whose variables are `teacher`.

    images: (1, H, W, 3), only their shape counts.
    """
    features = jax.eval_shape(lambda: model.apply(teacher, images, train=False, method="features"))
    size = features.shape[:3]
    inputs = AssociationInputs(
        jnp.zeros(features.shape, features.dtype),
        jnp.zeros((*size, 2), jnp.float32),
        jnp.zeros((1, 2, 2)),
    )
    fresh = {
        slot(number): network.init(named_key(key, slot(number)), inputs, train=False)
        for number in range(slots)
    }
    return {
        "params": {name: tree["params"] for name, tree in fresh.items()},
        "batch_stats": {name: tree.get("batch_stats", {}) for name, tree in fresh.items()},
    }


def checked_association(fresh: Variables, given: Mapping[str, Any]) -> Variables:
    """Replaces fresh KA-Nets by trained ones of the same shapes.

    A tree without any `triple_<n>` holds no KA-Net, and the fresh ones are used: a method can thus
    be tried without a first stage. Raises InputError for KA-Nets of another number or shape.
    """
    if not any(name.startswith("triple_") for name in given["params"]):
        return fresh
    return of_same_shapes(fresh, {name: given[name] for name in fresh}, "start", "'association'")


def rerender(codec: Codec, heatmaps: jax.Array, decode: Decoder | None = None) -> jax.Array:
    """Renders the codec's Gaussians where heatmaps (B, h, w, n) are decoded: the same places at
    full contrast.

    decode: None is `codec.decode_each`; maps of all keypoints may have `codec.decode`.
    """
    points, _ = (decode or codec.decode_each)(heatmaps)
    # A decoder that refines a peak at the border may leave the map, where a codec draws nothing.
    _, height, width, _ = heatmaps.shape
    last = jnp.array([width - 1, height - 1], jnp.float32)[None, None]
    cells = jnp.clip(geometry.move_points(codec.to_heatmap, points), 0.0, last)
    points = geometry.move_points(geometry.invert(codec.to_heatmap), cells)
    # The codec reads keypoints and visibility only; the other fields are placeholders.
    rendered, _ = codec.encode(
        Example(heatmaps, points, jnp.ones(points.shape[:2], jnp.float32), *[points] * 3)
    )
    return rendered
