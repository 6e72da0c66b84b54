"""A finished run as the old model of an incremental one, whatever experiment trained it."""
import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.networks import SIZES
from experiments.predictors import OpenedRun, open_run
from kpjax.errors import InputError
from kpjax.models.network import KeypointNetwork
from kpjax.structures import Variables
from kpjax.training.trees import tree_digest

# What the new network takes over from the old one's config, as far as that has it, besides the network's sizes.
TAKEN_OVER = ("image_size", "heatmap_size", "sigma", "grid", "decoder", "network", "dtype")
NEEDED = ("network", "image_size", "heatmap_size", "sigma")
MAPS = "mse_peak"  # the scores of networks whose maps are Gaussians of height 1
PARTS = ("backbone", "upsampling", "head")


class OldModel(NamedTuple):
    """What an incremental run starts from."""

    opened: OpenedRun
    names: tuple[str, ...]
    taken_over: Mapping[str, Any]  # fields of the config


@functools.lru_cache(maxsize=2)
def old_model(folder: str) -> OldModel:
    """The old model in a run's folder or in one that was exported.

    Raises InputError as `open_run` does, and for a run whose network is not one of those that experiments choose by
    name, or whose heatmaps are logits.
    """
    if not folder:
        raise InputError("--old: name a finished run's folder, .../<variant>/seed-<n>, or an exported one")
    opened = open_run(Path(folder).expanduser())
    config = opened.files["config.json"]
    if missing := [name for name in NEEDED if name not in config]:
        raise InputError(f"--old: {folder} ({opened.run.experiment}) has a network of another kind (its config has no "
                         f"{missing[0]}); give a run that learnt named keypoints from labels")
    if opened.score["kind"] != MAPS:
        raise InputError(f"--old: the heatmaps of {folder} are no Gaussians of height 1 but for a softmax (scores are "
                         f"{opened.score['kind']}); give a run of "
                         "semi_supervised or incremental, or supervised_mse")
    names = (*TAKEN_OVER, *SIZES.get(config["network"], ()))
    taken = {name: tuple(config[name]) if isinstance(config[name], list) else config[name] for name in names
             if name in config}
    return OldModel(opened, opened.method.skeleton.names, taken)


def expanded(old: OldModel, network: KeypointNetwork, keypoints: int, image_size: int) -> tuple[Variables, str]:
    """(variables of `network`, which has a channel for each of so many keypoints, their digest): the old ones, whose
    channels come first, and channels that nothing has learnt yet for the others.

    Raises InputError where the two networks are not of the same layers.
    """
    images = jnp.zeros((1, image_size, image_size, 3))
    fresh = jax.jit(functools.partial(network.init, train=False))(jax.random.key(0), images)
    known = old.opened.trained.variables
    count = len(old.names)

    def grown(path, leaf):
        name = "/".join(str(key.key) for key in path)
        node: Any = known
        for key in path:
            node = node.get(key.key) if isinstance(node, Mapping) else None
        if node is None:
            raise InputError(f"--old: its network has no {name}; it is not of the layers that its config tells")
        given = np.asarray(node)
        if given.shape == leaf.shape:
            return given
        if "head" in name.split("/") and given.shape == (*leaf.shape[:-1], count) and leaf.shape[-1] == keypoints:
            return np.concatenate([given, np.asarray(leaf)[..., count:]], -1)
        raise InputError(f"--old: {name} of its network is {given.shape} where {leaf.shape} is needed; it is not of "
                         "the layers that its config tells")

    variables = jax.tree_util.tree_map_with_path(
        grown, {collection: {part: tree for part, tree in parts.items() if part in PARTS}
                for collection, parts in fresh.items() if collection in ("params", "batch_stats")})
    return variables, tree_digest(variables)
