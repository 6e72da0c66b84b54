"""Stages that several variants share: trained once, kept, and reused."""
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax

from kpjax.errors import InputError, RunError
from kpjax.files import make_folder, read_json, start_over, strict, write_json
from kpjax.structures import Trained
from kpjax.training.checkpoints import check_identity, load_trained, save_trained
from kpjax.training.fit import Fitted
from kpjax.training.run_folder import write_config
from kpjax.training.trees import tree_digest

FORMAT = 1


class Stage(NamedTuple):
    """A finished stage. `digest` identifies its result; stages that start from it name it as a parent."""

    trained: Trained
    digest: str
    step: int  # of `trained`
    metrics: Mapping[str, float]
    images_per_second: float
    wall_seconds: float


def stage(
    folder: Path, name: str, seed: int, run: Callable[[Path], Fitted], *, config: Mapping[str, Any],
    parents: Mapping[str, str] | None = None, fresh: bool = False,
) -> Stage:
    """The result of a stage: restored if it is finished, otherwise trained by `run(stage's folder)`, which resumes.

    folder: of the preset; the stage lies in `stages/<name>/seed-<seed>/` below it. config: all that its result depends
    on (JSON). parents: digests of the stages that it starts from. fresh: start over. Raises InputError that names the
    first field in which a finished stage's config or parents differ.
    """
    place = Path(folder).absolute() / "stages" / name / f"seed-{seed}"
    if fresh and jax.process_index() == 0:
        start_over(place)
    identity = strict({"format": FORMAT, "name": name, "seed": seed, "config": config, "parents": dict(parents or {})})
    if (place / "stage.json").exists():
        record = read_json(place / "stage.json")
        check_identity(record, identity, place / "stage.json")
        try:
            return _finished(record, load_trained(place / "result", record["result"]["digest"]))
        except (RunError, InputError) as error:
            print(f"{error}; the result of stage {name} is taken from its checkpoints again", file=sys.stderr)
    make_folder(place)
    if jax.process_index() == 0:
        write_config(place, config)
    fitted = run(place)
    result = {"kind": "last" if fitted.step == fitted.steps else "best", "step": fitted.step, "steps": fitted.steps}
    record = identity | {"metrics": dict(fitted.metrics), "images_per_second": fitted.images_per_second,
                         "wall_seconds": fitted.wall_seconds, "result": result}
    if jax.process_index() == 0:
        result["digest"] = save_trained(place / "result", fitted.trained)
        write_json(place / "stage.json", record)
    else:
        result["digest"] = tree_digest({"variables": fitted.trained.variables, "frozen": fitted.trained.frozen})
    return _finished(record, fitted.trained)


def _finished(record: Mapping[str, Any], trained: Trained) -> Stage:
    metrics = {name: float(value) for name, value in record["metrics"].items()}
    return Stage(trained, record["result"]["digest"], record["result"]["step"], metrics,
                 record["images_per_second"], record["wall_seconds"])
