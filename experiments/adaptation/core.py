"""The core: a supervised network for another category, a stage that all rows of a seed share."""
from pathlib import Path
from typing import NamedTuple

import jax

from experiments.adaptation.config import OF_CORE, Config, fields_of
from experiments.adaptation.parts import build_core, random_core
from experiments.adaptation.pictures import DRAWN, open_core_pictures
from experiments.command_line import Job, preset_folder
from experiments.keypoint_errors import keypoint_errors
from kpjax.files import read_json, strict, write_json
from kpjax.input.source import Source
from kpjax.input.stream import stream
from kpjax.structures import Method, Trained, Variables
from kpjax.training.evaluation import predict_source
from kpjax.training.fit import Fitted, fit
from kpjax.training.stages import stage
from kpjax.training.trees import load_trained, save_trained, tree_digest

NAME = "adaptation"


class Core(NamedTuple):
    """What a row starts from."""

    variables: Variables
    digest: str  # of the variables: a run is not resumed on another core
    accuracy: float | None  # PCK on the core's own test pictures, a fraction; None where it was not measured


def base_preset(preset: str) -> str:
    """The preset that a study's name, "<preset>-<field>-<value>", begins with."""
    return preset.partition("-")[0]


def core_name(config: Config) -> str:
    """What a core's stage is called: by its data, so that one folder can hold several."""
    data = f"{config.core.removeprefix(DRAWN)}_{config.core_background}" if config.core.startswith(DRAWN) else (
        config.core.partition("/")[0])
    return f"core_{data}" + ("_local_contrast" if config.pictures == "local_contrast" else "")


def trained_core(job: Job) -> Core:
    """The core of a seed, trained if it has not been, at the epoch that the config names.

    Raises InputError if its folder holds another core of the same name.
    """
    config = job.config
    folder = preset_folder(job.workdir, NAME, config.core_kept_by or base_preset(job.preset))

    def train(place: Path) -> Fitted:
        return _train(job, place)

    found = stage(folder, core_name(config), job.seed, train, config=strict(fields_of(config, OF_CORE)))
    trained, accuracy = found.trained, found.metrics.get("core/pck")
    if config.core_epoch not in (0, config.core_epochs):
        kept = folder / "stages" / core_name(config) / f"seed-{job.seed}" / f"epoch-{config.core_epoch}"
        trained, accuracy = load_trained(kept), read_json(kept / "metrics.json").get("core/pck")
    return Core(trained.variables, tree_digest(trained.variables), accuracy)


def untrained_core(config: Config, seed: int) -> Core:
    """Random kernels in the place of learnt ones."""
    variables = random_core(config, seed)
    return Core(variables, tree_digest(variables), None)


def _train(job: Job, folder: Path) -> Fitted:
    config = job.config
    pictures, test = open_core_pictures(config, job.seed, job.data_dir)
    method = build_core(config, pictures.skeleton)
    batches = stream(pictures, batch_size=config.core_batch_size, seed=job.seed, repeats=True,
                     process_index=jax.process_index(), process_count=jax.process_count())

    def evaluate(state) -> dict[str, float]:
        metrics = {} if test is None else _accuracy(method, state, test, config)
        epoch = int(state.step) // config.core_epoch_steps
        if epoch in config.core_kept and jax.process_index() == 0:
            kept = folder / f"epoch-{epoch}"
            save_trained(kept, Trained(state.variables, state.frozen))
            write_json(kept / "metrics.json", metrics)
        return metrics

    return fit(method, {"labelled": batches}, steps=config.core_steps, key=jax.random.key(job.seed), stage="core",
               folder=folder, evaluate=evaluate, evaluate_every=config.core_epoch_steps,
               config=fields_of(config, OF_CORE) | {"seed": job.seed})


def _accuracy(method: Method, state, test: Source, config: Config) -> dict[str, float]:
    found = predict_source(method, state, test, batch_size=2 * config.core_batch_size)
    errors = keypoint_errors(found, method.skeleton, "core", threshold=config.core_pck_threshold, strict=False,
                             uncounted=config.core_uncounted_keypoints)
    return {name: errors[name] for name in ("core/pck", "core/nme")}
