"""One step of a protocol that adds keypoints to a network, as arrays: one compiled program serves
every step.

The network has a channel for each keypoint of the whole protocol from the start. Old, new and
unknown keypoints of a step are masks over channels. A head grows by redrawing the channels of the
new keypoints.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from kpjax.errors import InputError

# layers of HeatmapHead, RSN's head and MoveNet's
HIDDEN = re.compile(r"(conv|bn)\d+|res_conv1|depthwise|pointwise")
# standard deviation of the weights that a new keypoint's channel starts with
NEW_CHANNEL_DEVIATION = 1e-3


class Increment(NamedTuple):
    """One step of a protocol: K keypoints in the whole protocol; T triples, the same number in
    every step.
    """

    old: jax.Array  # (K,) float32 in {0, 1}, keypoints of earlier steps
    new: jax.Array  # (K,) float32 in {0, 1}, keypoints that are labelled in this step
    triples: jax.Array  # (T, 3) int32, each (old, new, new); a single new keypoint stands twice
    triple_weights: jax.Array  # (T,) float32 in {0, 1}; 0 for a slot without a triple
    weights: Mapping[str, jax.Array]  # () float32, factors of the objective's terms by name
    #: (K,) float32 in {0, 1}, old keypoints whose teacher is not the network: their labels in the
    #: stream are points of another tool, with weights in (0.5, 1] as `visible`
    by_points: jax.Array


def increment(
    keypoints: int,
    *,
    old: Sequence[int],
    new: Sequence[int],
    triples: Sequence[Sequence[int]] = (),
    slots: int = 1,
    weights: Mapping[str, float] | None = None,
    by_points: Sequence[int] = (),
) -> Increment:
    """Builds an Increment in numpy from indices of keypoints.

    Args:
        keypoints: K.
        old: keypoints of earlier steps.
        new: keypoints that are labelled in this step.
        triples: (old, new, new), or (old, new) for a single new keypoint.
        slots: T, at least the number of triples. Those left over have weight 0, so that steps with
            few and many triples share a program.
        weights: by name of term, 1 where absent. Steps that share a program must name the same
            ones.
        by_points: old keypoints that another tool's points teach.

    Raises:
        InputError: an index is out of range, a keypoint is both old and new, none is new, there are
            more triples than slots, or a triple is not one old keypoint and one or two new ones.
    """
    old = [int(k) for k in old]
    new = [int(k) for k in new]
    wrong = [k for k in (*old, *new) if not 0 <= k < keypoints]
    if wrong:
        raise InputError(
            "increment", f"keypoint {wrong[0]} is not among the {keypoints}; count from 0"
        )
    if both := sorted(set(old) & set(new)):
        raise InputError(
            "increment", f"keypoint {both[0]} is both old and new; a keypoint is introduced once"
        )
    if not new:
        raise InputError("increment", "no keypoint is new; a step introduces at least one")
    if len(triples) > slots:
        raise InputError(
            "increment", f"{len(triples)} triples for {slots} slots; give as many slots as triples"
        )
    stacked = np.zeros((slots, 3), np.int32)
    for slot, triple in enumerate(triples):
        if len(triple) not in (2, 3) or triple[0] not in old or not set(triple[1:]) <= set(new):
            raise InputError(
                "increment",
                f"triple {tuple(triple)} is not an old keypoint and one or two new ones; "
                f"old are {old}, new are {new}",
            )
        stacked[slot] = (*triple, triple[-1])[:3]
    indices = np.arange(keypoints)
    return Increment(
        old=np.isin(indices, old).astype(np.float32),
        new=np.isin(indices, new).astype(np.float32),
        triples=stacked,
        triple_weights=(np.arange(slots) < len(triples)).astype(np.float32),
        weights={name: np.float32(weight) for name, weight in (weights or {}).items()},
        by_points=np.isin(indices, by_points).astype(np.float32),
    )


def increment_of(tree: Mapping[str, Any], keypoints: int, slots: int = 1) -> Increment:
    """Returns the `increment` of a start or of a state's `frozen`, which may have become a plain
    mapping in a file.

    Without one, the first half of the keypoints is old and the rest new; the only triple, in
    `slots`, is the first old keypoint with the first two new ones. Raises InputError if it is for
    another number of keypoints.
    """
    found = tree.get("increment")
    if found is None:
        half = keypoints // 2
        new = range(half, keypoints)
        return increment(
            keypoints,
            old=range(half),
            new=new,
            triples=[(0, *new[:2])] if half else (),
            slots=slots,
        )
    if isinstance(found, Mapping):
        found = Increment(**{"weights": {}, "by_points": np.zeros(keypoints, np.float32), **found})
    if found.old.shape != (keypoints,):
        raise InputError(
            "increment", f"made for {found.old.shape[0]} keypoints, but the network has {keypoints}"
        )
    return found


# The head


def head_channels(params: Mapping[str, Any], chosen: jax.Array) -> dict[str, Any]:
    """Marks parameters of the chosen keypoints' head channels, and shared parameters, in a tree of
    bools.

    A leaf of `has_channels` is marked by channel, its last axis. Every other leaf is shared and
    marked True: the trunk, and the hidden layers of a head. params: of a KeypointNetwork. chosen:
    (K,), above 0 where chosen.
    """
    return jax.tree.map_with_path(
        lambda path, leaf: jnp.broadcast_to(
            chosen > 0 if has_channels(path, leaf, chosen.shape[0]) else True, leaf.shape
        ),
        params,
    )


def has_channels(path: Sequence[Any], leaf: jax.Array, keypoints: int) -> bool:
    """Tells whether a leaf of a head has a channel for each keypoint: by its last axis, and no
    hidden layer's name.
    """
    names = [entry.key for entry in path]
    return (
        "head" in names
        and leaf.shape[-1:] == (keypoints,)
        and not any(map(HIDDEN.fullmatch, names))
    )


def with_new_channels(
    key: jax.Array, variables: Mapping[str, Any], fresh: Mapping[str, Any], new: jax.Array
):
    """Redraws the head channels of the new keypoints (new: (K,), above 0); all other entries are
    those of `variables`.

    Weights are N(0, 0.001²). Biases, and whatever else a channel has (of a normalisation, its
    statistics too), come from `fresh`, the model's own initial variables.
    """

    def redrawn(collection):
        keep = head_channels(variables[collection], 1 - new)
        flat, tree = jax.tree.flatten(fresh[collection])
        keys = jax.random.split(key, max(len(flat), 1))
        values = [
            NEW_CHANNEL_DEVIATION * jax.random.normal(one, leaf.shape, leaf.dtype)
            if leaf.ndim > 1
            else leaf
            for one, leaf in zip(keys, flat, strict=False)
        ]
        return jax.tree.map(
            jnp.where, keep, variables[collection], jax.tree.unflatten(tree, values)
        )

    return {collection: redrawn(collection) for collection in ("params", "batch_stats")}
