"""Records in a run's folder, and the lock on it.

runs/<experiment>/<preset>/<variant>/seed-<n>/   config.json, metrics.jsonl, tensorboard/, checkpoints/, results.json
runs/<experiment>/<preset>/stages/<name>/seed-<n>/   the same for a shared stage, with stage.json
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import jax
import numpy as np
from etils import epath

from kpjax.errors import InputError, say_once
from kpjax.files import (
    atomic,
    in_bucket,
    make_folder,
    read_json,
    remove_partials,
    strict,
    write_json,
    writing,
)
from kpjax.training.hosts import agreed
from kpjax.training.identity import programs, with_programs
from kpjax.training.mesh import data_mesh
from kpjax.training.trees import json_digest

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

# beside results.json and the model
SMALL_FILES = (
    "config.json",
    "skeleton.json",
    "score_table.json",
    "radius_table.json",
    "label_distances.json",
)


class InUse(InputError):
    """Another process holds a folder."""


def write_config(folder: epath.Path, config: Mapping) -> None:
    """Writes `config.json`, the record of what a run or a stage depends on."""
    write_json(folder / "config.json", config)


def write_results(
    folder: epath.Path,
    *,
    experiment: str,
    preset: str,
    variant: str,
    seed: int,
    steps: int,
    metrics: Mapping[str, float],
    images: int,
    images_per_second: float,
    wall_seconds: float,
    config: Mapping,
    settings: str = "",
) -> None:
    """Writes `results.json`, whose presence says that the run is complete.

    settings: those that were asked for and differ from the preset's, in a line. `went_on_under`
    has all programs of a run that did not compute all of it by the same ones. The file has the
    digests of the folder's small files, from which the run is read again, and one of itself.
    """
    devices = {
        "backend": jax.default_backend(),
        "kind": jax.devices()[0].device_kind,
        "count": data_mesh().size,
    }
    results = strict(
        {
            "experiment": experiment,
            "preset": preset,
            "variant": variant,
            "seed": seed,
            "steps": steps,
            "metrics": {name: float(value) for name, value in metrics.items()},
            "images": images,
            "images_per_second": images_per_second,
            "wall_seconds": wall_seconds,
            "devices": devices,
            **programs(),
            "went_on_under": went_on_under(folder),
            "settings": settings,
            "config": config,
            "files": {
                name: json_digest(read_json(folder / name))
                for name in SMALL_FILES
                if (folder / name).exists()
            },
        }
    )
    write_json(folder / "results.json", results | {"digest": json_digest(results)})


def note_programs(folder: epath.Path, under: Iterable[Mapping[str, Any]]) -> None:
    """Notes in a run's record the programs that computed a part of it."""
    with_more = with_programs(_noted(folder), under)
    if with_more != _noted(folder):
        path = folder / "config.json"
        record = read_json(path) if path.exists() else {}
        write_config(folder, record | {"programs": with_more})


def went_on_under(folder: epath.Path) -> list[Mapping[str, Any]]:
    """Returns the programs that computed parts of a run, the present ones last; none where these
    computed all of it."""
    found = with_programs(_noted(folder), [programs()])
    return found if len(found) > 1 else []


def _noted(folder: epath.Path) -> list[Mapping[str, Any]]:
    path = folder / "config.json"
    return read_json(path).get("programs", []) if path.exists() else []


def check_small_files(folder: epath.Path, results: Mapping[str, Any]) -> None:
    """Raises InputError if a small file of a finished run is not what was written with it.

    results: of results.json. Says in a line on stderr where it was edited; results without digests
    are believed.
    """
    if "digest" not in results:
        return
    files = results.get("files", {})
    for name in SMALL_FILES:
        if name in files and (
            not (folder / name).exists() or json_digest(read_json(folder / name)) != files[name]
        ):
            raise InputError(
                f"{folder / name}: not what was written with the run; restore the file, or train again "
                "with `fresh`"
            )
    if (
        json_digest({name: value for name, value in results.items() if name != "digest"})
        != results["digest"]
    ):
        say_once(f"{folder / 'results.json'}: edited since the run wrote it")


@contextlib.contextmanager
def hold_folder(folder: epath.Path) -> Iterator[None]:
    """Locks a folder against other processes while a run writes to it; the lock ends with the
    process, even by kill -9.

    Raises InUse if another process holds it. A bucket and some file systems have no locks, and
    nothing is locked there: whoever starts several processes on a bucket gives each runs of its own.
    """
    make_folder(folder)
    if in_bucket(folder):
        yield
        return
    if fcntl is None:
        raise InputError(
            "kpjax trains on Linux and macOS; on Windows run it in WSL, the Windows Subsystem for Linux"
        )
    with writing(folder / ".lock"):
        file = (folder / ".lock").open("a")
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InUse(
                f"{folder}: another process is training here; wait for it, or choose another "
                "`workdir`"
            ) from None
        except OSError:
            pass
        remove_partials(folder, alone=True)
        yield


def kept_arrays(
    path: epath.Path, make: Callable[[], Mapping[str, np.ndarray]]
) -> dict[str, np.ndarray]:
    """Returns named arrays, made once and kept in a file, so that a resumed run reads the same
    ones.
    """
    if not agreed(path.name, path.exists):
        made = make()

        def write() -> None:
            with atomic(path) as temporary, temporary.open("wb") as file:
                np.savez(file, **made)

        agreed(f"keeping {path.name}", write)
        return dict(made)
    with path.open("rb") as file, np.load(file) as stored:
        return dict(stored)
