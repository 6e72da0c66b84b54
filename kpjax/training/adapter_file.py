"""What an adapted network has of its own, in one safetensors file without the core that it hangs on.

The file holds the trained parameters (projections, BatchNorm, stem, 1x1 convolutions, head) and BatchNorm's statistics.
Its header names the frozen kernels that it was trained beside and the sha256 over them: with any other core the numbers
mean nothing, and nothing would show it.
"""
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from kpjax.errors import InputError
from kpjax.structures import Trained, Variables
from kpjax.training.digests import named_leaves, on_host, tree_digest
from kpjax.training.run_folder import make_folder, writing
from kpjax.training.tree_files import arrays_by_path

KIND, FORMAT = "kpjax adapter", "1"


def core_fingerprint(frozen: Mapping[str, Any]) -> str:
    """The sha256 over all frozen weights of a core (`State.frozen['core']`): their paths, dtypes, shapes and bytes."""
    return tree_digest(frozen)


def save_adapter(path: Path, trained: Trained) -> str:
    """Writes the adapter of a State or a Trained of `adaptation`, whole or not at all; returns the core's fingerprint.

    Raises InputError if the disc refuses, or nothing of the network is frozen: it is a whole network then.
    """
    frozen = trained.frozen.get("core", {})
    if not frozen:
        raise InputError(f"{path}: nothing of this network is frozen, so there is no adapter; save it as a whole")
    arrays = {name: np.array(on_host(leaf), order="C") for name, leaf in named_leaves(trained.variables).items()}
    header = {"kind": KIND, "format": FORMAT, "core": core_fingerprint(frozen), "content": tree_digest(arrays),
              "frozen": json.dumps(sorted("/".join(place) for place in flatten_dict(frozen)))}
    make_folder(path.parent)
    temporary = path.with_name(f".{path.name}.tmp")
    with writing(path):
        temporary.write_bytes(save(arrays, metadata=header))
        temporary.replace(path)
    return header["core"]


def load_adapter(path: Path, core: Variables) -> Trained:
    """What `save_adapter` wrote, with the frozen kernels taken from `core`: what `predict` of the same method reads.

    core: variables of the core, `params` at least, or of any network that has the frozen kernels in their places.
    Raises InputError if there is no such file, it is damaged or of another kind, or the core is another one.
    """
    header, arrays = _read(path)
    if header.get("kind") != KIND or header.get("format") != FORMAT:
        raise InputError(f"{path}: is no adapter of format {FORMAT}; give a file that save_adapter wrote")
    if tree_digest(arrays) != header["content"]:
        raise InputError(f"{path}: damaged: its content is not what was written; copy it again")
    leaves, frozen = flatten_dict(core["params"]), {}
    for name in json.loads(header["frozen"]):
        place = tuple(name.split("/"))
        if place not in leaves:
            raise InputError(f"{path}: belongs to a core that has {name}, and the given one has not; give the core "
                             "that it was trained on")
        frozen[place] = leaves[place]
    kernels = unflatten_dict(frozen)
    if (found := core_fingerprint(kernels)) != header["core"]:
        raise InputError(f"{path}: belongs to a core with fingerprint {header['core'][:12]}, and the given one has "
                         f"{found[:12]}; give the core that it was trained on")
    return Trained({"params": {}, "batch_stats": {}} | arrays_by_path(arrays), {"core": kernels})


def _read(path: Path) -> tuple[dict[str, str], dict[str, np.ndarray]]:
    try:
        with safe_open(path, "numpy") as file:
            return file.metadata() or {}, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except OSError as error:
        reason = error.strerror or str(error).splitlines()[0]
        raise InputError(f"{path}: cannot be read ({reason}); give the file of an adapter") from error
    except SafetensorError as error:
        raise InputError(f"{path}: is not a whole safetensors file ({error}); copy it again") from error
