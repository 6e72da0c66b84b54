"""Published weights of all layers of MoveNet Lightning, and networks that start from them."""

from collections.abc import Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from kpjax.errors import InputError
from kpjax.models.movenet import SIDE, movenet_lightning
from kpjax.models.weights import pretrained
from kpjax.models.weights.torch_names import Imported, from_torch
from kpjax.structures import Variables


def load_movenet(
    variables: Variables, weights: str | Path, *, folder: Path = pretrained.WEIGHTS_FOLDER
) -> Imported:
    """Fills all variables of a `kpjax.models.movenet_lightning` from a file, and reports the
    tensors read.

    weights: the path of a safetensors file, or a name, as for `find_weights`; with the errors of
    `load_backbone`. A file without all layers is refused, too.
    """
    path = pretrained.find_weights(weights, folder)
    tensors = pretrained.read_weights(path)
    read, report = from_torch(tensors, variables, source=str(path))
    if report.missing:
        raise InputError(
            f"{path}: holds no whole MoveNet, since {report.missing[0]} is absent; give the weights of "
            "MoveNet Lightning"
        )
    return Imported(read, report)


def load_movenet_heatmaps(
    variables: Variables,
    weights: str | Path,
    *,
    channels: Sequence[int] = (),
    folder: Path = pretrained.WEIGHTS_FOLDER,
) -> Imported:
    """Fills a network of `kpjax.models.MoveNet` from a file of all layers; heatmaps of new
    keypoints stay as they are.

    Another head than that network's keeps its variables.

    Args:
        weights: as for `load_movenet`, with the same errors.
        channels: of each keypoint the number of MoveNet's own, -1 for a new one. All are new
            without it.
    """
    network = movenet_lightning()
    fresh = jax.eval_shape(
        lambda: network.init(jax.random.key(0), jnp.zeros((1, SIDE, SIDE, 3)), False)
    )
    whole, report = load_movenet(fresh, weights, folder=folder)
    head = variables["params"]["head"]
    if "heatmaps" not in head:
        missing = tuple(f"params/head/{name}" for name in head)
        return Imported(
            {**variables, **whole, "params": {**whole["params"], "head": head}},
            report._replace(missing=missing),
        )
    own = head["heatmaps"]["output"]
    theirs = whole["params"]["head"]["heatmaps"]
    unknown = own["bias"].shape[0] - len(channels)
    known = np.array([*channels, *[-1] * unknown])
    output = {
        name: np.where(known >= 0, np.asarray(theirs["output"][name])[..., known], leaf)
        for name, leaf in own.items()
    }
    params = {**whole["params"], "head": {"heatmaps": {**theirs, "output": output}}}
    missing = (
        tuple(f"params/head/heatmaps/output/{name}" for name in own) if (known < 0).any() else ()
    )
    return Imported({**whole, "params": params}, report._replace(missing=missing))
