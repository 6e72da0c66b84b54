"""An exported folder read back: as a predictor, and as what is needed to build its method again."""
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from safetensors.numpy import load_file

from kpjax.errors import InputError
from kpjax.export import standalone
from kpjax.structures import Skeleton, Trained, skeleton_from_json
from kpjax.training.trees import arrays_by_path


class Exported(NamedTuple):
    """An exported folder, opened."""

    predict: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]  # as `Predictor.predict` of run.py
    skeleton: Skeleton
    description: Mapping[str, Any]  # what predictor.json says

    @property
    def side(self) -> int:
        """Of the square images that `predict` takes."""
        return int(self.description["input"]["shape"][1])


def is_exported(folder: Path) -> bool:
    """Whether a folder is, or was, an exported predictor."""
    return (Path(folder) / standalone.DESCRIPTION).is_file()


def description_of(folder: Path) -> dict[str, Any]:
    """What predictor.json says, after the sha256 of every file. Raises InputError."""
    try:
        return standalone.checked_description(Path(folder))
    except standalone.PredictorError as error:
        raise InputError(str(error)) from None


def open_exported(folder: Path) -> Exported:
    """A verified folder as a predictor. Raises InputError for damage, another format, and a jax that cannot load it;
    `predict` raises it for images of another size or dtype."""
    try:
        description, predict = standalone.open_predictor(Path(folder))
    except standalone.PredictorError as error:
        raise InputError(str(error)) from error

    def predict_or_tell(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        try:
            return predict(images)
        except standalone.PredictorError as error:
            raise InputError(str(error)) from None

    return Exported(predict_or_tell, skeleton_from_json(description["skeleton"]), description)


def write_run_files(description: Mapping[str, Any], folder: Path) -> None:
    """Writes the JSON files of the run that a predictor came from, which say what its method was."""
    for name, content in description["rebuild"]["files"].items():
        (Path(folder) / name).write_text(json.dumps(content, indent=1), encoding="utf-8")


def exported_trained(folder: Path, description: Mapping[str, Any]) -> Trained:
    """What was learnt, as `load_trained` gives it, with zeros for arrays that `predict` does not read."""
    arrays = load_file(Path(folder) / standalone.WEIGHTS)
    for name, told in description["rebuild"]["unread"].items():
        arrays[name] = np.zeros(told["shape"], told["dtype"])
    tree: dict[str, Any] = {"variables": {}, "frozen": {}} | arrays_by_path(arrays)
    for names in description["rebuild"]["empty"]:
        node = tree
        for name in names:
            node = node.setdefault(name, {})
    return Trained(tree["variables"], tree["frozen"])
