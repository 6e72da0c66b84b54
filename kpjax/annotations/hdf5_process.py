"""HDF5 files of others, read in a process of their own: damage can crash the HDF5 library, and a pickle can run code.

The process runs `python -m kpjax.annotations.hdf5_process table FILE KEY` or `... walk FILE` and prints JSON.
"""
import json
import math
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kpjax.errors import InputError

SECONDS = 120.0  # in which a file must be read
_LARGE = 2 ** 28  # bytes of a data set that is not walked: embedded images
_HEADER = ("scorer", "individuals", "bodyparts", "coords")
_TOUCHES = ("os.", "subprocess.", "shutil.", "socket.", "pty.", "ctypes.dlopen", "webbrowser.")


def read_table(path: Path, key: str) -> list[list[str]]:
    """Reads a DataFrame with DeepLabCut's header as the rows that its csv would have.

    Raises ImportError without pandas and tables, and InputError for a file that cannot be read or that holds pickled
    objects beyond plain lists, numbers and texts.
    """
    import pandas  # noqa: F401  named here, since the other process cannot raise it
    import tables  # noqa: F401

    return _answer(path, "table", str(path), key)


def check_readable(path: Path) -> None:
    """Reads all of an HDF5 file but large data sets. Raises InputError if that fails or crashes the library."""
    _answer(path, "walk", str(path))


def _answer(path: Path, *arguments: str) -> Any:
    if not path.is_file():
        raise InputError(f"{path}: is not a file; name a file")  # a pipe would be waited for
    package = str(Path(__file__).parents[2])
    paths = [package, *filter(None, [os.environ.get("PYTHONPATH")])]
    try:  # -P: no module of the folder that somebody works in
        done = subprocess.run([sys.executable, "-P", "-m", __name__, *arguments], capture_output=True, timeout=SECONDS,
                              env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)}, check=False)
    except subprocess.TimeoutExpired:
        raise InputError(f"{path}: not read after {SECONDS:g} s; save it again") from None
    if done.returncode < 0:
        raise InputError(f"{path}: damaged, it crashes the HDF5 library (signal {-done.returncode}); save it again")
    try:
        found = json.loads(done.stdout.splitlines()[-1])
    except (ValueError, IndexError):
        last = done.stderr.decode(errors="replace").splitlines()[-1:] or [f"exit code {done.returncode}"]
        raise InputError(f"{path}: cannot be read ({last[0][:200]}); save it again") from None
    if "fault" in found:
        raise InputError(f"{path}: {found['fault']}")
    return found["rows"]


# The other process


def _table(path: str, key: str) -> list[list[str]]:
    import numpy as np
    import pandas

    frame = pandas.read_hdf(path, key)
    if not isinstance(frame, pandas.DataFrame) or not set(frame.columns.names) <= set(_HEADER):
        raise ValueError(f"{key} is not a table with the header {', '.join(_HEADER)}")
    values = frame.to_numpy(np.float64)
    keys = [list(key) if isinstance(key, tuple) else [key] for key in frame.index]
    margin = [""] * (len(keys[0]) - 1 if keys else 0)
    rows = [[level, *margin, *map(str, frame.columns.get_level_values(level))] for level in frame.columns.names]
    return rows + [[*map(str, key), *("" if math.isnan(value) else repr(value) for value in row)]
                   for key, row in zip(keys, values.tolist(), strict=True)]


def _walk(path: str) -> list[list[str]]:
    import h5py

    def read(_: str, node: Any) -> None:
        dict(node.attrs)
        if isinstance(node, h5py.Dataset) and node.size is not None and node.nbytes <= _LARGE:
            node[()]

    with h5py.File(path) as file:
        file.visititems(read)
    return []


def main(arguments: Sequence[str]) -> None:
    """Prints {"rows": ...} or {"fault": ...}."""
    import importlib

    kind, *given = arguments
    for name in ("numpy", "h5py") if kind == "walk" else ("numpy", "pandas", "pandas.io.pytables", "tables"):
        importlib.import_module(name)
    refused: list[str] = []

    def refuse(event: str, of: tuple) -> None:
        # Python reports every class and function that a pickle names, and what would be done with it. A table needs
        # none: its pickles hold lists and texts.
        if event == "pickle.find_class":
            refused.append(".".join(map(str, of)))
            raise PermissionError(f"a pickle names {refused[-1]}")
        if event.startswith(_TOUCHES) and event not in ("os.listdir", "os.scandir"):
            raise PermissionError(f"{event} while a table is read")

    try:
        sys.addaudithook(refuse)
        rows = _table(*given) if kind == "table" else _walk(*given)
        found: dict[str, Any] = {"rows": rows}
    except Exception as error:  # HDF5, PyTables and pandas raise many kinds on a damaged file, or one of another tool
        found = {"fault": f"cannot be read: {' '.join(str(error).split())[:200] or type(error).__name__}"}
    if refused:  # also where the library went on without it
        found = {"fault": f"it holds a pickle that names {refused[0]}, which could run code; nothing of it was run"}
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1:])
