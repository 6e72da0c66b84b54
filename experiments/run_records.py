"""What every experiment writes beside a run and reads back: what the run is, its keypoints, whether it is finished."""
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, NamedTuple

import jax

from experiments.command_line import Job
from kpjax.files import read_json, strict, write_json
from kpjax.structures import Skeleton, skeleton_from_json
from kpjax.training.checkpoints import check_identity
from kpjax.training.run_folder import write_config


def identity_of(job: Job, **more: Any) -> dict[str, Any]:
    """What must be the same for a run to go on: its variant, its seed, its config, and whatever else is given."""
    return {"variant": job.variant, "seed": job.seed} | strict(asdict(job.config)) | strict(more)


def finished_before(folder: Path, job: Job) -> bool:
    """Whether a run has its results already, and says so. Raises InputError if they are of another configuration."""
    if not (folder / "results.json").exists():
        return False
    check_identity(read_json(folder / "config.json"), identity_of(job), folder / "config.json")
    print(f"{job.variant}, seed {job.seed}: finished before, in {folder}")
    return True


def begin(folder: Path, identity: Mapping[str, Any], skeleton: Skeleton) -> None:
    """Writes config.json and skeleton.json, which `stored_run` reads. Of several processes the first writes."""
    if jax.process_index() == 0:
        write_config(folder, identity)
        write_json(folder / "skeleton.json", asdict(skeleton))


class StoredRun(NamedTuple):
    """What a run's folder says that it is."""

    config: Any
    variant: str
    skeleton: Skeleton


def stored_run(folder: Path, *configs: type) -> StoredRun:
    """The config, variant and keypoints of a run that `begin` wrote.

    configs: the dataclass of its config, or several: the last of which every field is stored, or else the first.
    """
    stored = read_json(folder / "config.json")
    config = next((one for one in reversed(configs) if all(field.name in stored for field in fields(one))), configs[0])
    known = {field.name for field in fields(config)}
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in stored.items()
              if name in known}
    return StoredRun(config(**values), stored["variant"], skeleton_from_json(read_json(folder / "skeleton.json")))
