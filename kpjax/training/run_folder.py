"""Where a run's files lie, and how they are written: whole or not at all.

runs/<experiment>/<preset>/<variant>/seed-<n>/   config.json, metrics.jsonl, tensorboard/, checkpoints/, results.json
runs/<experiment>/<preset>/stages/<name>/seed-<n>/   the same of a stage that variants share, and stage.json
"""
import contextlib
import fcntl
import json
import math
import os
import platform
import shutil
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path

import jax

from kpjax.errors import InputError

PACKAGES = ("kpjax", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")


def run_folder(workdir: Path | str, experiment: str, preset: str, variant: str, seed: int) -> Path:
    """The folder of one run. Nothing is created."""
    return Path(workdir).absolute() / experiment / preset / variant / f"seed-{seed}"


def stage_folder(workdir: Path | str, experiment: str, preset: str, name: str, seed: int) -> Path:
    """The folder of a stage that the variants of a preset share. Nothing is created."""
    return Path(workdir).absolute() / experiment / preset / "stages" / name / f"seed-{seed}"


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


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that decide what a run computes."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def write_config(folder: Path, config: Mapping) -> None:
    """Writes `config.json`."""
    write_json(folder / "config.json", config)


def write_results(
    folder: Path, *, experiment: str, preset: str, variant: str, seed: int, steps: int, metrics: Mapping[str, float],
    images_per_second: float, wall_seconds: float, config: Mapping,
) -> None:
    """Writes `results.json`, whose presence says that the run is complete."""
    devices = {"backend": jax.default_backend(), "kind": jax.devices()[0].device_kind, "count": jax.device_count()}
    write_json(folder / "results.json", {
        "experiment": experiment, "preset": preset, "variant": variant, "seed": seed, "steps": steps,
        "metrics": {name: float(value) for name, value in metrics.items()},
        "images_per_second": images_per_second, "wall_seconds": wall_seconds, "devices": devices,
        "versions": versions(), "config": config})


class InUse(InputError):
    """Another process holds a folder."""


@contextlib.contextmanager
def held(folder: Path) -> Iterator[None]:
    """Keeps other processes out of a folder while a run writes to it; the system lets go even after kill -9.

    Raises InUse if another process holds it. File systems without locks are used without.
    """
    make_folder(folder)
    with writing(folder / ".lock"):
        file = (folder / ".lock").open("w")
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InUse(f"{folder}: another process is training here; wait for it, or give another --workdir"
                        ) from None
        except OSError:
            pass
        yield
