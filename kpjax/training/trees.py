"""Trees of arrays: their leaves by path, sha256 digests, and files of whole trees and of
results."""

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file, save

from kpjax.errors import InputError, RunError
from kpjax.files import atomic, check_file, local_copy, read_json, remove, write_json
from kpjax.structures import Trained

MOST_LEAVES, DEEPEST = 20_000, 64  # of a file that a run is read from

# Leaves and digests


def named_leaves(tree, is_leaf: Callable[[Any], bool] | None = None) -> dict[str, Any]:
    """Returns all leaves by path, such as `variables/params/conv1/kernel`.

    In a key, / becomes ~1 and ~ becomes ~0.
    """
    leaves = jax.tree_util.tree_leaves_with_path(tree, is_leaf)
    return {_path(path): leaf for path, leaf in leaves}


def _path(entries) -> str:
    names = (jax.tree_util.keystr((entry,), simple=True) for entry in entries)
    return "/".join(name.replace("~", "~0").replace("/", "~1") for name in names)


def arrays_by_path(arrays: Mapping[str, np.ndarray]) -> dict:
    """Builds nested dictionaries from leaves by path. Raises ValueError for a path in which a leaf
    lies."""
    tree: dict[str, Any] = {}
    # Files list their arrays in any order; sorted, a leaf comes before what would lie in it.
    for path in sorted(arrays):
        _put(tree, path, arrays[path])
    return tree


def _put(tree: dict, path: str, value) -> None:
    parts = path.split("/")
    *parents, name = (part.replace("~1", "/").replace("~0", "~") for part in parts)
    for parent in parents:
        tree = tree.setdefault(parent, {})
        if not isinstance(tree, dict):
            raise ValueError(f"{path} lies in {parent}, which is an array")
    if name in tree:
        raise ValueError(f"{path} is an array, and holds others")
    tree[name] = value


def on_host(leaf) -> np.ndarray:
    """Returns a leaf as numpy; for a typed random key, its words."""
    if isinstance(leaf, jax.Array) and jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        leaf = jax.random.key_data(leaf)
    return np.asarray(leaf)


def describe(tree) -> dict[str, str]:
    """Returns dtype and shape of every leaf by path, such as `float32[3,3,64,64]`.

    Leaves may be abstract.
    """
    found = {}
    for path, leaf in named_leaves(tree).items():
        shape = ",".join(map(str, leaf.shape))
        found[path] = f"{leaf.dtype}[{shape}]"
    return found


def leaf_digests(tree) -> dict[str, str]:
    """Returns the sha256 of every leaf (dtype, shape and bytes) by path."""
    leaves = named_leaves(tree)
    return {path: _array_digest(on_host(leaf)) for path, leaf in leaves.items()}


def _array_digest(array: np.ndarray) -> str:
    found = hashlib.sha256(f"{array.dtype}{array.shape}".encode())
    numbers = np.ascontiguousarray(array).reshape(-1)
    found.update(numbers.view(np.uint8).data)
    return found.hexdigest()


def tree_digest(tree) -> str:
    """Returns one sha256 for a whole tree: equal if and only if paths, dtypes, shapes and bytes
    are.
    """
    return json_digest(leaf_digests(tree))


def json_digest(value: Mapping) -> str:
    """Returns the sha256 of a JSON value, whatever the order of its keys."""
    text = json.dumps(value, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


# A tree in one safetensors file, verified against its digest when it is read


def write_tree(path: Path, tree) -> str:
    """Writes all leaves to a safetensors file, whole or not at all, and returns the tree's
    digest."""
    # safetensors writes the buffer as it lies: an array that is not contiguous would come out
    # permuted.
    arrays = {}
    for name, leaf in named_leaves(tree).items():
        arrays[name] = np.array(on_host(leaf), order="C")
    with atomic(path) as partial:
        partial.write_bytes(save(arrays))
    return tree_digest(tree)


def read_leaves(path: Path, digest: str) -> dict[str, np.ndarray]:
    """Reads all leaves by path.

    Raises RunError if the file is missing, no file, holds more than a network does, or its content
    differs from `digest`.
    """
    try:
        with local_copy(path) as local:
            check_file(local)
            with safe_open(local, framework="numpy") as file:
                names = list(file.keys())
            deepest = max((name.count("/") for name in names), default=0)
            if len(names) > MOST_LEAVES or deepest > DEEPEST:
                raise ValueError(
                    f"{len(names)} arrays, up to {deepest} levels deep; a run has at most "
                    f"{MOST_LEAVES}, and {DEEPEST} levels"
                )
            arrays = load_file(local)
        found = json_digest(leaf_digests(arrays_by_path(arrays)))
    except (OSError, InputError, SafetensorError, ValueError, KeyError) as error:
        raise RunError(f"{path}: cannot be read: {error}") from error
    if found != digest:
        raise RunError(f"{path}: damaged: its content is not what was written")
    return arrays


def read_tree_like(path: Path, template, digest: str):
    """Reads the tree that `write_tree` wrote, in the containers of `template`, as numpy (random
    keys typed again).
    """
    arrays = read_leaves(path, digest)
    wanted = named_leaves(template)
    different = sorted(set(wanted) ^ set(arrays))
    if different:
        raise RunError(f"{path}: holds other arrays than this model has: {different[0]}")
    leaves = []
    for name, leaf in wanted.items():
        typed = jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        array = arrays[name]
        leaves.append(jax.random.wrap_key_data(array) if typed else array)
    return jax.tree.unflatten(jax.tree.structure(template), leaves)


# The result of a run in a folder of its own

RESULT_FORMAT = 1


def save_trained(folder: Path, trained: Trained) -> str:
    """Writes a self-contained `trained.safetensors`, then `trained.json`, of a State or Trained;
    returns its digest.
    """
    remove(folder / "trained.json")
    tree = {"variables": trained.variables, "frozen": trained.frozen}
    # A mapping without arrays, such as the statistics of a network that has none, is no leaf.
    nodes = named_leaves(tree, is_leaf=lambda node: isinstance(node, Mapping) and not node)
    empty = [path for path, node in nodes.items() if isinstance(node, Mapping)]
    digest = write_tree(folder / "trained.safetensors", tree)
    body = {"format": RESULT_FORMAT, "digest": digest, "empty": empty}
    write_json(folder / "trained.json", body | {"checksum": json_digest(body)})
    return digest


def load_trained(folder: Path, digest: str | None = None) -> Trained:
    """Reads what `save_trained` wrote: numpy arrays in nested dictionaries (a tuple has its indices
    as keys).

    digest: the expected one, if the caller knows it. Raises InputError if there is no result, or
    one of another format, and RunError if a file is damaged or holds what is no number.
    """
    found = read_json(folder / "trained.json")
    body = {name: value for name, value in found.items() if name != "checksum"}
    if json_digest(body) != found.get("checksum") or (
        digest is not None and digest != found.get("digest")
    ):
        raise RunError(f"{folder / 'trained.json'}: damaged: its content is not what was written")
    if found.get("format") != RESULT_FORMAT:
        raise InputError(
            f"{folder / 'trained.json'}: format {found.get('format')}, this version reads "
            f"{RESULT_FORMAT}; train again with `fresh`"
        )
    arrays = read_leaves(folder / "trained.safetensors", found["digest"])
    for path, array in arrays.items():
        if jax.numpy.issubdtype(array.dtype, np.inexact) and not np.isfinite(array).all():
            raise RunError(
                f"{folder / 'trained.safetensors'}: {path} holds what is no number; train again "
                "with `fresh`"
            )
    tree = arrays_by_path(arrays)
    try:
        for path in found["empty"]:
            _put(tree, path, {})
        return Trained(tree["variables"], tree["frozen"])
    except (KeyError, ValueError) as error:
        raise RunError(
            f"{folder}: trained.json and trained.safetensors do not belong together ({error})"
        ) from None
