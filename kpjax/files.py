"""Files and folders on the disc, written whole or not at all."""
import contextlib
import json
import math
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from kpjax.errors import InputError


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turns a failure of the disc (full, read-only, no permission) into one InputError that names the path."""
    try:
        yield
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror or error}; free some space or choose another "
                         "--workdir; what was complete before is still good") from error


def make_folder(folder: Path) -> None:
    """Creates a folder and its parents. Raises InputError if the disc refuses."""
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)


def start_over(folder: Path) -> None:
    """Removes everything in a run's or a stage's folder (`--fresh`)."""
    with writing(folder):
        if folder.exists():
            shutil.rmtree(folder)


def write_text(path: Path, text: str) -> None:
    """Writes a file so that a reader, or a crash at any moment, finds the old or the new content whole."""
    temporary = path.with_name(f".{path.name}.tmp")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)


def write_json(path: Path, value) -> None:
    """Writes strict JSON: numbers that are not finite become the strings nan, inf and -inf."""
    write_text(path, json.dumps(strict(value), indent=1, allow_nan=False) + "\n")


def strict(value):
    """A value as strict JSON can hold it: tuples as lists, other objects (paths, enums) as text, nan as a string."""
    if isinstance(value, Mapping):
        return {str(key): strict(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [strict(item) for item in value]
    if value is None or isinstance(value, bool | int | str):
        return value
    if hasattr(value, "item") and getattr(value, "ndim", 0) == 0:
        return strict(value.item())
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    return str(value)


def read_json(path: Path) -> dict:
    """The content of a JSON file. Raises InputError that names it if it is missing or broken."""
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        raise InputError(f"{path}: not found") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({error}); start over with --fresh") from None
