"""Files and folders, local (`pathlib.Path`) or in a bucket (`etils.epath.Path`), written whole or not at all."""
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
    """Turns an OSError (disc full, read-only, no permission) into one InputError that names the path."""
    try:
        yield
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror or error}; free some space or choose another "
                         "folder; what was complete before is still good") from error


def make_folder(folder: Path) -> None:
    """Creates a folder and its parents. Raises InputError if the disc refuses."""
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)


def remove(path: Path) -> None:
    """Removes a file or a folder with all that it holds, if it is there. Raises InputError if the disc refuses."""
    with writing(path):
        if not path.is_dir():
            path.unlink(missing_ok=True)
        elif isinstance(path, Path):
            shutil.rmtree(path)
        else:
            path.rmtree()


def partial_path(path: Path) -> Path:
    """Returns a hidden path beside a file or folder, of this process only, with the same suffix."""
    return path.with_name(f".{path.stem}.{os.getpid()}.partial{path.suffix}")


@contextlib.contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yields a path to write a file or a folder at, and puts it in place of `path` once the block ends.

    A reader, or a crash at any moment, finds the old or the new content whole. If the block raises, nothing is left
    behind. Parents are created. In a bucket the path itself is yielded: an object appears whole, and cannot be renamed.
    Raises InputError if the disc refuses.
    """
    if "://" in os.fspath(path):
        with writing(path):
            yield path
        return
    path = Path(path)
    partial = partial_path(path)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield partial
            for file in (partial, *partial.rglob("*")):
                _flush(file)
            if partial.is_dir():
                remove(path)
            partial.replace(path)
        except BaseException:
            with contextlib.suppress(InputError):
                remove(partial)
            raise


def _flush(path: Path) -> None:
    """Returns once a file, or a folder's list of files, is on the disc."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text(path: Path, text: str) -> Path:
    """Writes a text file whole or not at all, and returns its path."""
    with atomic(path) as partial:
        partial.write_text(text, encoding="utf-8")
    return path


def write_json(path: Path, value) -> Path:
    """Writes strict JSON: numbers that are not finite become the strings nan, inf and -inf."""
    return write_text(path, json.dumps(strict(value), indent=1, allow_nan=False) + "\n")


def strict(value):
    """Converts a value to strict JSON: tuples to lists, other objects (paths, enums) to text, nan to a string."""
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
    """Reads a JSON file. Raises InputError that names it if it is missing or broken."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: not found") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({error}); start over with fresh=True") from None
