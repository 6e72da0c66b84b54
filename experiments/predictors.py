"""A finished run, or a predictor exported from one, as a function from pictures to points. Knows no method by name."""
import importlib
import pkgutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import jax
import numpy as np

import experiments
from kpjax.errors import InputError
from kpjax.evaluation.calibration import DEFAULT_CUTOFF
from kpjax.evaluation.calibration import FILE as SCORE_TABLE
from kpjax.export.placement import described_place, whole_or_box
from kpjax.export.reading import description_of, exported_trained, is_exported, open_exported, write_run_files
from kpjax.export.writing import plain_predict, plain_weights
from kpjax.files import read_json
from kpjax.images.transforms import Place, letterbox
from kpjax.reports.finished_runs import FinishedRun, read_run
from kpjax.structures import Method, Skeleton, Trained
from kpjax.training.trees import load_trained

RUN_FILES = ("results.json", "config.json", "skeleton.json", SCORE_TABLE)


class Predictor(NamedTuple):
    """Points on pictures, whatever learnt to find them."""

    skeleton: Skeleton
    side: int  # S, of the square pictures that `predict` takes
    place: Place  # a picture of any size, or the box of it that is given -> a square one
    predict: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
    # (B, S, S, 3) uint8 -> (keypoints (B, K, 2), scores (B, K)), both float32; (x, y) in pixels of the square pictures,
    # the centre of the top-left pixel at (0, 0). Compiled once for every B that it is given.
    score_kind: str  # what the scores are, such as mse_peak or softmax_peak: those of two kinds do not compare
    cutoff: float  # the score from which a point is shown
    title: str  # letters, digits and underscores, for file names and names of scorers
    result: Mapping[str, Any]  # experiment, preset, variant, seed, and the digest of what was learnt


class OpenedRun(NamedTuple):
    """What a finished run, or a folder exported from one, holds for predictions."""

    run: FinishedRun
    method: Method
    trained: Trained  # of an exported folder with zeros for what `method.predict` does not read
    side: int
    place: Place
    score: Mapping[str, Any]  # kind, cutoff, and what else score_table.json tells
    result: Mapping[str, Any]  # as in `Predictor`
    files: Mapping[str, Any]  # the JSON files of the run's folder by name, from which all but `trained` is made


def open_predictor(folder: Path) -> Predictor:
    """The predictor of a finished run or an exported folder.

    Raises InputError for a folder that does not exist, is neither, or whose run is not finished, and for an exported
    one that is damaged or made by a jax too far from this one; RunError for a run's file that is damaged.
    """
    folder = Path(folder)
    if is_exported(folder):
        exported = open_exported(folder)
        told = exported.description
        return Predictor(exported.skeleton, exported.side, described_place(told["input"]), exported.predict,
                         told["score"]["kind"], float(told["score"]["cutoff"]), title_of(told["run"]), told["run"])
    opened = open_run(folder)
    return Predictor(opened.method.skeleton, opened.side, opened.place, as_function(opened.method, opened.trained),
                     opened.score["kind"], float(opened.score["cutoff"]), title_of(opened.result), opened.result)


def open_run(folder: Path) -> OpenedRun:
    """A finished run, or the run that an exported folder comes from: its method and what it learnt.

    Raises InputError for a folder that does not exist, is neither, or whose run is not finished.
    """
    if is_exported(folder):
        told = description_of(folder)
        with tempfile.TemporaryDirectory() as place:
            write_run_files(told, Path(place))
            return _opened(Path(place), exported_trained(folder, told), told["run"]["digest"])
    finished_run(folder)
    return _opened(folder, load_trained(folder / "model"), read_json(folder / "model" / "trained.json")["digest"])


def _opened(folder: Path, trained: Trained, digest: str) -> OpenedRun:
    run = read_run(folder)
    module = experiment_of(run.experiment, folder / "results.json")
    method, side, place = module.predictor(folder)
    files = {name: read_json(folder / name) for name in RUN_FILES if (folder / name).is_file()}
    declared = getattr(module, "score_kind", None)
    score = {"kind": declared(folder) if declared else "peak", "cutoff": DEFAULT_CUTOFF} | files.get(SCORE_TABLE, {})
    result = {"experiment": run.experiment, "preset": run.preset, "variant": run.variant, "seed": run.seed,
              "digest": digest}
    return OpenedRun(run, method, trained, side, whole_or_box(place or letterbox(side), side), score, result, files)


def finished_run(folder: Path) -> FinishedRun:
    """What a finished run's folder says that it is. Raises InputError as `open_run` does."""
    if not folder.is_dir():
        raise InputError(f"RUN: {folder} does not exist; give runs/<experiment>/<preset>/<variant>/seed-<n> or "
                         "an exported folder")
    if not (folder / "results.json").is_file():
        below = sorted(path.parent for path in folder.glob("*/results.json")) or sorted(
            path.parent for path in folder.glob("*/*/results.json"))
        if below:
            raise InputError(f"RUN: {folder} holds several runs; give one of them, for example {below[0]}")
        if (folder / "config.json").is_file():
            raise InputError(f"RUN: {folder} is not finished (no results.json); the command that began it resumes it")
        raise InputError(f"RUN: {folder} is no run's folder (no results.json in it), and no exported predictor")
    run = read_run(folder)
    if not (folder / "model").is_dir():
        raise InputError(f"RUN: {folder} has no model/; the variant trains nothing, or the folder was not copied whole")
    return run


def experiment_of(name: str, told_by: Path) -> ModuleType:
    """The package of an experiment, which has `predictor(folder) -> (Method, side, Place | None)`, and perhaps
    `score_kind(folder) -> str`. Raises InputError, naming the file `told_by`, if there is none of that name."""
    known = sorted(module.name for module in pkgutil.iter_modules(experiments.__path__))
    if name not in known:
        raise InputError(f"{told_by}: experiment {name!r} is unknown here; there are {', '.join(known)}")
    module = importlib.import_module(f"experiments.{name}")
    if not hasattr(module, "predictor"):
        raise InputError(f"{told_by}: experiment {name!r} offers no predictor")
    return module


def as_function(method: Method, trained: Trained) -> Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """`Predictor.predict` of a method and what it learnt."""
    compiled, weights = jax.jit(plain_predict(method, trained)), jax.device_put(plain_weights(trained))

    def predict(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        found = compiled(weights, images)
        return np.asarray(found["keypoints"]), np.asarray(found["scores"])

    return predict


def title_of(result: Mapping[str, Any]) -> str:
    """Such as semi_supervised_own_ours_0, of a `Predictor.result`."""
    text = "_".join(str(result[name]) for name in ("experiment", "preset", "variant", "seed"))
    return "".join(letter if letter.isascii() and letter.isalnum() else "_" for letter in text)
