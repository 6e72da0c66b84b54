"""Trees of arrays in one file each, read back without a template and verified against their digest."""
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from kpjax.errors import InputError, RunError
from kpjax.structures import Trained
from kpjax.training.digests import json_digest, leaf_digests, named_leaves, on_host, tree_digest
from kpjax.training.run_folder import make_folder, read_json, write_json, writing

FORMAT = 1


def write_tree(path: Path, tree) -> str:
    """Writes all leaves to a safetensors file, whole or not at all, and returns the tree's digest."""
    # safetensors writes the buffer as it lies: an array that is not contiguous would come out permuted.
    arrays = {name: np.array(on_host(leaf), order="C") for name, leaf in named_leaves(tree).items()}
    temporary = path.with_name(f".{path.name}.tmp")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(save(arrays))
        temporary.replace(path)
    return tree_digest(tree)


def read_leaves(path: Path, digest: str) -> dict[str, np.ndarray]:
    """All leaves by path. Raises RunError if the file is missing, or does not hold what `digest` says."""
    try:
        arrays = load_file(path)
    except (OSError, SafetensorError, ValueError, KeyError) as error:
        raise RunError(f"{path}: cannot be read: {error}") from error
    if json_digest(leaf_digests(arrays_by_path(arrays))) != digest:
        raise RunError(f"{path}: damaged: its content is not what was written")
    return arrays


def arrays_by_path(arrays: Mapping[str, np.ndarray]) -> dict:
    """Nested dictionaries from leaves by path."""
    tree: dict[str, Any] = {}
    for path, array in arrays.items():
        _put(tree, path, array)
    return tree


def _put(tree: dict, path: str, value) -> None:
    *parents, name = (part.replace("~1", "/").replace("~0", "~") for part in path.split("/"))
    for parent in parents:
        tree = tree.setdefault(parent, {})
    tree[name] = value


def read_tree_like(path: Path, template, digest: str):
    """The tree that `write_tree` wrote, in the containers of `template`, as numpy (random keys typed again)."""
    arrays = read_leaves(path, digest)
    wanted = named_leaves(template)
    if different := sorted(set(wanted) ^ set(arrays)):
        raise RunError(f"{path}: holds other arrays than this model has: {different[0]}")
    leaves = []
    for name, leaf in wanted.items():
        typed = jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        leaves.append(jax.random.wrap_key_data(arrays[name]) if typed else arrays[name])
    return jax.tree.unflatten(jax.tree.structure(template), leaves)


def save_trained(folder: Path, trained: Trained) -> str:
    """Writes the result of a run (`variables` and `frozen` of a State or a Trained); returns its digest.

    The folder is self-contained: `trained.safetensors` and `trained.json`, which is written last.
    """
    make_folder(folder)
    with writing(folder):
        (folder / "trained.json").unlink(missing_ok=True)
    tree = {"variables": trained.variables, "frozen": trained.frozen}
    # A mapping without arrays, such as the statistics of a network that has none, is no leaf.
    nodes = named_leaves(tree, is_leaf=lambda node: isinstance(node, Mapping) and not node)
    empty = [path for path, node in nodes.items() if isinstance(node, Mapping)]
    digest = write_tree(folder / "trained.safetensors", tree)
    body = {"format": FORMAT, "digest": digest, "empty": empty}
    write_json(folder / "trained.json", body | {"checksum": json_digest(body)})
    return digest


def load_trained(folder: Path, digest: str | None = None) -> Trained:
    """Reads what `save_trained` wrote: numpy arrays in nested dictionaries (a tuple has its indices as keys).

    digest: what the result must be, where the caller knows it. Raises InputError if there is no result, or one of
    another format, and RunError if a file is damaged.
    """
    found = read_json(folder / "trained.json")
    body = {name: value for name, value in found.items() if name != "checksum"}
    if json_digest(body) != found.get("checksum") or (digest is not None and digest != found["digest"]):
        raise RunError(f"{folder / 'trained.json'}: damaged: its content is not what was written")
    if found["format"] != FORMAT:
        raise InputError(f"{folder / 'trained.json'}: format {found['format']}, this version reads {FORMAT}; "
                         "train again with --fresh")
    tree = arrays_by_path(read_leaves(folder / "trained.safetensors", found["digest"]))
    for path in found["empty"]:
        _put(tree, path, {})
    return Trained(tree["variables"], tree["frozen"])
