"""Stages that several variants share, trained once and kept."""

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
from etils import epath

from kpjax.errors import InputError, RunError
from kpjax.files import absolute, read_json, strict, write_json
from kpjax.structures import Trained
from kpjax.training.fit import Fitted
from kpjax.training.hosts import agreed
from kpjax.training.identity import check_identity
from kpjax.training.run_folder import write_config
from kpjax.training.trees import load_trained, save_trained

FORMAT = 1


class Stage(NamedTuple):
    """A finished stage.

    `digest` identifies its result; stages that start from it name it as a parent.
    """

    trained: Trained
    digest: str
    step: int  # step of `trained`
    metrics: Mapping[str, float]
    images_per_second: float
    wall_seconds: float
    images: int  # that it has read
    under: Sequence[Mapping[str, Any]] = ()  # the programs that have trained it


def stage(
    folder: epath.PathLike,
    name: str,
    seed: int,
    run: Callable[[epath.Path], Fitted],
    *,
    config: Mapping[str, Any],
    parents: Mapping[str, str] | None = None,
) -> Stage:
    """Returns the result of a stage: restored if it is finished, otherwise trained.

    Args:
        folder: of the preset; the stage lies in `stages/<name>/seed-<seed>/` below it.
        run: trains the stage in the given folder, or resumes it.
        config: all that the result depends on (JSON).
        parents: digests of the stages that it starts from.

    Raises:
        InputError: the stage was finished, or begun, with another config or other parents; names
            the first field that differs.
    """
    home = absolute(folder) / "stages" / name / f"seed-{seed}"
    identity = strict(
        {
            "format": FORMAT,
            "name": name,
            "seed": seed,
            "config": config,
            "parents": dict(parents or {}),
        }
    )
    if agreed(f"stage {name}", (home / "stage.json").exists):
        record = read_json(home / "stage.json")
        check_identity(record, identity, home / "stage.json")
        try:
            trained = load_trained(home / "result", record["result"]["digest"])
            fault = None
        except (RunError, InputError) as error:
            trained = None
            fault = error
        # All read the result, and process 0 decides whether it is damaged.
        if agreed(f"the result of stage {name}", lambda: fault is None):
            if fault is not None:
                raise fault
            return _finished_stage(record, trained)
        if jax.process_index() == 0:
            print(
                f"{fault}; the result of stage {name} is taken from its checkpoints again",
                file=sys.stderr,
            )
    agreed(f"beginning stage {name}", lambda: _begin(home, identity))
    fitted = run(home)
    result = {
        "kind": "last" if fitted.step == fitted.steps else "best",
        "step": fitted.step,
        "steps": fitted.steps,
    }
    record = identity | {
        "metrics": dict(fitted.metrics),
        "images_per_second": fitted.images_per_second,
        "wall_seconds": fitted.wall_seconds,
        "images": fitted.images,
        "under": list(fitted.under),
        "result": result,
    }

    def save() -> str:
        result["digest"] = save_trained(home / "result", fitted.trained)
        write_json(home / "stage.json", record)
        return result["digest"]

    result["digest"] = agreed(f"saving stage {name}", save)
    return _finished_stage(record, fitted.trained)


def _begin(home: epath.Path, identity: Mapping[str, Any]) -> None:
    """Writes what a stage depends on.

    Raises InputError where its checkpoints are of another config, or begun from other parents.
    """
    path = home / "config.json"
    if path.exists() and any(home.glob("checkpoints/*")):
        check_identity(read_json(path), identity, path)
    write_config(home, identity)


def _finished_stage(record: Mapping[str, Any], trained: Trained) -> Stage:
    metrics = {name: float(value) for name, value in record["metrics"].items()}
    return Stage(
        trained,
        record["result"]["digest"],
        record["result"]["step"],
        metrics,
        record["images_per_second"],
        record["wall_seconds"],
        record["images"],
        record["under"],
    )
