"""What a tree holds, as names, descriptions and sha256 digests of its leaves."""
import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np


def named_leaves(tree, is_leaf: Callable[[Any], bool] | None = None) -> dict[str, Any]:
    """All leaves by path, such as `variables/params/conv1/kernel`. A slash inside a key is written as ~1, a ~ as ~0."""
    return {_path(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(tree, is_leaf)}


def _path(entries) -> str:
    names = (jax.tree_util.keystr((entry,), simple=True) for entry in entries)
    return "/".join(name.replace("~", "~0").replace("/", "~1") for name in names)


def on_host(leaf) -> np.ndarray:
    """A leaf as numpy; of a typed random key its words."""
    if isinstance(leaf, jax.Array) and jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        leaf = jax.random.key_data(leaf)
    return np.asarray(leaf)


def describe(tree) -> dict[str, str]:
    """Dtype and shape of every leaf by path, such as `float32[3,3,64,64]`. Works on abstract leaves too."""
    return {path: f"{leaf.dtype}[{','.join(map(str, leaf.shape))}]" for path, leaf in named_leaves(tree).items()}


def leaf_digests(tree) -> dict[str, str]:
    """The sha256 of every leaf (dtype, shape and bytes) by path."""
    return {path: _array_digest(on_host(leaf)) for path, leaf in named_leaves(tree).items()}


def _array_digest(array: np.ndarray) -> str:
    found = hashlib.sha256(f"{array.dtype}{array.shape}".encode())
    found.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return found.hexdigest()


def tree_digest(tree) -> str:
    """One sha256 for a whole tree: equal if and only if paths, dtypes, shapes and bytes are."""
    return json_digest(leaf_digests(tree))


def json_digest(value: Mapping) -> str:
    """The sha256 of a JSON value, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
