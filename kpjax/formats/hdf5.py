"""What an HDF5 file of another tool may not hold: pickles that name code, and links."""

import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np

from kpjax.errors import InputError

_SIGNATURE = b"\x89HDF\r\n\x1a\n"


def names_in(path: Path) -> set[str]:
    """Returns the names at the top of an HDF5 file; none of another, a damaged one, or without
    h5py.
    """
    try:
        with path.open("rb") as file:
            if file.read(8) != _SIGNATURE:
                return set()
        import h5py

        with h5py.File(path) as file:
            return {*file, *file.attrs}
    except Exception:  # h5py raises many kinds on a damaged file; a reader names the damage
        return set()


def check_hdf5(path: Path, *, code: bool = False) -> None:
    """Raises InputError if a file links to another file.

    code: also if it links within itself, as NWB does, or if a pickle in it names a class or
    function. PyTables loads each pickle that it meets: texts in attributes, and rows of bytes. They
    are loaded here before, where no name leads to anything.
    """
    import h5py

    links = (h5py.HardLink,) if code else (h5py.HardLink, h5py.SoftLink)

    def visit(_: str, node: Any) -> None:
        for name in node if isinstance(node, h5py.Group) else ():
            if not isinstance(node.get(name, getlink=True), links):
                raise InputError(f"{path.name}: it links to another file or place; save it again")
        if code:
            _refuse_code(path, node)

    with h5py.File(path) as file:
        visit("/", file)
        file.visititems(visit)


class _Plain(pickle.Unpickler):
    """Loads lists, numbers and texts."""

    def find_class(self, module: str, name: str) -> None:
        raise InputError(
            f"it holds a pickle that names {module}.{name}, which could run code; nothing of it was run"
        )


def _refuse_code(path: Path, node: Any) -> None:
    import h5py

    texts = []
    if isinstance(node, h5py.Dataset) and h5py.check_vlen_dtype(node.dtype) is not None:
        texts += [("", np.asarray(row).tobytes()) for row in node[()].ravel()]
    for name, value in node.attrs.items():
        for one in np.ravel(np.asarray(value, object)):
            if isinstance(one, str):
                one = one.encode("utf-8", "surrogateescape")
            if isinstance(one, bytes):
                texts.append((name, one))
    for name, content in texts:
        for encoding in ("ASCII", "latin1", "bytes"):  # in turn, as PyTables does
            try:
                _Plain(io.BytesIO(content), encoding=encoding).load()
            except InputError as error:
                raise InputError(f"{path.name}: {error}") from None
            except Exception:  # no pickle, or a damaged one, which fails alike in PyTables
                continue
        if name == "FILTERS":  # of PyTables 1, which changes such a text before it loads it
            raise InputError(f"{path.name}: it was written by PyTables 1; save the labels as csv")
