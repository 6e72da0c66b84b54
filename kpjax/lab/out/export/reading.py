"""Exported folders as predictors, and as the parts from which their methods are rebuilt."""
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file

from kpjax.errors import InputError
from kpjax.file_names import inside
from kpjax.files import foreign
from kpjax.lab.out.export import standalone
from kpjax.structures import Trained
from kpjax.training.trees import arrays_by_path

# from which a method is rebuilt, and what its scores mean
RUN_FILES = ("results.json", "config.json", "skeleton.json", "score_table.json", "radius_table.json",
             "pose_statistics.json")
LARGEST = 2 ** 34  # bytes of one array that is not stored


def is_exported(folder: Path) -> bool:
    """Returns whether a folder is, or was, an exported predictor."""
    return (Path(folder) / standalone.DESCRIPTION).is_file()


def write_run_files(description: Mapping[str, Any], folder: Path) -> None:
    """Writes the JSON files of the run that a predictor came from, which describe its method."""
    if "rebuild" not in description:
        raise InputError("run", f"the predictor is an ONNX model ({standalone.ONNX}), which predicts and nothing else; "
                         "name the run that it was exported from")
    with foreign(standalone.DESCRIPTION, "export the run again"):
        files = dict(description["rebuild"]["files"])
    if other := sorted(set(files) - set(RUN_FILES)):
        raise InputError(f"{standalone.DESCRIPTION}: rebuild: files: {other[0]!r:.100} is not a file of a run; export "
                         "the run again")
    if "results.json" not in files:
        raise InputError("run", "the predictor is an ensemble of several runs, which predicts and nothing else; name "
                         "one of the runs that it was exported from")
    for name, content in files.items():
        inside(Path(folder), name, standalone.DESCRIPTION).write_text(json.dumps(content, indent=1), encoding="utf-8")


def exported_trained(folder: Path, description: Mapping[str, Any]) -> Trained:
    """Reads the weights as `load_trained` does, with zeros for arrays that `predict` does not read."""
    with foreign(Path(folder) / standalone.WEIGHTS, "export the run again"):
        unread, empty = (description["rebuild"][name] for name in ("unread", "empty"))
        arrays = load_file(Path(folder) / standalone.WEIGHTS)
        for name, like in unread.items():
            if math.prod(like["shape"]) * np.dtype(like["dtype"]).itemsize > LARGEST:
                raise ValueError(f"{name} is of {like['shape']}")
            arrays[name] = np.zeros(like["shape"], like["dtype"])
        tree: dict[str, Any] = {"variables": {}, "frozen": {}} | arrays_by_path(arrays)
        for names in empty:
            node = tree
            for name in names:
                node = node.setdefault(name, {})
        return Trained(tree["variables"], tree["frozen"])
