"""Records in a run's folder, and the lock on it.

runs/<experiment>/<preset>/<variant>/seed-<n>/   config.json, metrics.jsonl, tensorboard/, checkpoints/, results.json
runs/<experiment>/<preset>/stages/<name>/seed-<n>/   the same for a stage that variants share, and stage.json
"""
import contextlib
import fcntl
import platform
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path

import jax

from kpjax.errors import InputError
from kpjax.files import make_folder, write_json, writing

PACKAGES = ("kpjax", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")


def versions() -> dict[str, str]:
    """Returns the versions of Python and of the packages that decide what a run computes."""
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
    images: int, images_per_second: float, wall_seconds: float, config: Mapping,
) -> None:
    """Writes `results.json`, whose presence says that the run is complete."""
    devices = {"backend": jax.default_backend(), "kind": jax.devices()[0].device_kind, "count": jax.device_count()}
    write_json(folder / "results.json", {
        "experiment": experiment, "preset": preset, "variant": variant, "seed": seed, "steps": steps,
        "metrics": {name: float(value) for name, value in metrics.items()},
        "images": images, "images_per_second": images_per_second, "wall_seconds": wall_seconds, "devices": devices,
        "versions": versions(), "config": config})


class InUse(InputError):
    """Another process holds a folder."""


@contextlib.contextmanager
def held(folder: Path) -> Iterator[None]:
    """Locks a folder against other processes while a run writes to it; the lock ends with the process, even by kill -9.

    Raises InUse if another process holds it. On file systems without locks nothing is locked.
    """
    make_folder(folder)
    with writing(folder / ".lock"):
        file = (folder / ".lock").open("w")
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InUse(f"{folder}: another process is training here; wait for it, or choose another workdir") from None
        except OSError:
            pass
        yield
