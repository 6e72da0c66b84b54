"""Semantic representations: a network's features at its keypoints (Moskvyak et al. 2021)."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from kpjax.errors import InputError
from kpjax.losses.consistency import semantic_representation
from kpjax.methods.forward import Normalise, unit_range
from kpjax.models.keypoint_classification import KeypointClassifier, KeypointFeatures
from kpjax.models.network import KeypointNetwork
from kpjax.structures import Example, Variables, named_key


class Semantic(NamedTuple):
    """Representations of images at their keypoints."""

    representations: jax.Array  # z, (B, K, C) float32
    logits: jax.Array  # phi(z) before its softmax, (B, K, K) float32


def feature_inputs(
    backbone_maps: tuple[jax.Array, ...], upsampled: jax.Array, head_map: bool = True
) -> Sequence[jax.Array]:
    """Selects all feature maps of a network, each once (an HRNet's upsampling returns one of its
    backbone's).

    Maps finer than the heatmaps are left out: the paper enlarges maps and shrinks none.

    head_map: whether the map from which the head makes its heatmaps is among them. Where heatmap k
    is high, this map is what makes channel k high, so phi can read k from it at a wrong place, too.

    Raises InputError where no map is left.
    """
    maps = tuple(each for each in backbone_maps if each.shape[1] <= upsampled.shape[1])
    others = tuple(each for each in maps if each is not upsampled)
    if not (head_map or others):
        raise InputError(
            "head_map", "the head's map is this network's only one as coarse as heatmaps"
        )
    if not head_map:
        return others
    if len(others) < len(maps):
        return maps
    return (*maps, upsampled)


def heatmaps_and_features(network: KeypointNetwork, images: jax.Array, train: bool):
    """Computes (heatmaps, (feature maps of the backbone, their upsampling)); used like
    `KeypointNetwork`'s methods.
    """
    backbone_maps = network.backbone_features(images, train)
    upsampled = network.upsample(backbone_maps, train)
    return network.regress(upsampled, train), (backbone_maps, upsampled)


def classify_features(
    parameters: Mapping[str, Any],
    feature_maps: Sequence[jax.Array],
    masks: jax.Array,
    one_scale: bool,
) -> Semantic:
    """Computes F of some feature maps, z under masks (B, h, w, K), and phi(z), by those of
    `initial_semantic`.

    one_scale: see `KeypointFeatures`.
    """
    width = parameters["features"]["bias"].shape[0]
    keypoints = masks.shape[-1]
    features = KeypointFeatures(width, one_scale).apply(
        {"params": parameters["features"]}, feature_maps, masks.shape[1:3]
    )
    z = semantic_representation(features, masks)
    return Semantic(z, KeypointClassifier(keypoints).apply({"params": parameters["classifier"]}, z))


def initial_semantic(
    model: KeypointNetwork,
    key: jax.Array,
    variables: Variables,
    images: jax.Array,
    width: int,
    head_map: bool = True,
) -> dict[str, Any]:
    """Initialises F, of `width` channels, and phi for a model and images of some shape.

    Returns parameters, of F under `features` and of phi under `classifier`. Of `images` only the
    shape counts.
    head_map: see `feature_inputs`.
    """

    def inputs():
        heatmaps, feature_maps = model.apply(
            variables, images, train=False, method=heatmaps_and_features
        )
        return heatmaps, feature_inputs(*feature_maps, head_map)

    heatmaps, feature_maps = jax.tree.map(
        lambda shape: jnp.zeros(shape.shape, shape.dtype), jax.eval_shape(inputs)
    )
    keypoints = heatmaps.shape[-1]
    features = KeypointFeatures(width).init(
        named_key(key, "features"), feature_maps, heatmaps.shape[1:3]
    )
    classifier = KeypointClassifier(keypoints).init(
        named_key(key, "classifier"), jnp.zeros((1, keypoints, width), jnp.float32)
    )
    return {"features": features["params"], "classifier": classifier["params"]}


def representations(
    model: KeypointNetwork,
    normalise: Normalise,
    variables: Variables,
    example: Example,
    *,
    one_scale: bool = False,
    head_map: bool = True,
) -> Semantic:
    """Computes z and phi(z) of a batch by a trained network in evaluation mode, for inspection.

    variables: of `semi_supervised` with a semantic term. The masks are the network's own heatmaps,
    which need no label.
    one_scale: see `KeypointFeatures`.
    head_map: see `feature_inputs`.
    """
    heatmaps, feature_maps = model.apply(
        variables, normalise(unit_range(example).image), train=False, method=heatmaps_and_features
    )
    maps = feature_inputs(*feature_maps, head_map)
    return classify_features(variables["semantic"], maps, heatmaps, one_scale)
