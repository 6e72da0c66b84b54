"""Predicted points in the files that people's tools read."""
import importlib.util
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from kpjax.errors import InputError
from kpjax.projects.prediction_coco import coco_images, coco_results
from kpjax.projects.prediction_csv import csv_text
from kpjax.projects.prediction_deeplabcut import deeplabcut_text, scorer, write_deeplabcut_h5
from kpjax.projects.prediction_sleap import write_sleap
from kpjax.projects.predictions import PredictionTable


class File(NamedTuple):
    """One kind of file that is written."""

    ending: Callable[[str], str]  # title of the run -> what follows the stem of the input
    write: Callable[[PredictionTable, Path], Path]


def _text(text_of: Callable[[PredictionTable], str]) -> Callable[[PredictionTable, Path], Path]:
    def write(table: PredictionTable, path: Path) -> Path:
        partial = path.with_name(f".{path.name}.partial")
        partial.write_text(text_of(table), encoding="utf-8")
        return partial.replace(path)
    return write


def _json(content_of: Callable[[PredictionTable], object]) -> Callable[[PredictionTable, Path], Path]:
    return _text(lambda table: json.dumps(content_of(table), allow_nan=False) + "\n")


FORMATS: dict[str, tuple[File, ...]] = {
    "csv": (File(lambda title: ".csv", _text(csv_text)),),
    "dlc": (File(lambda title: f"{scorer(title)}.csv", _text(deeplabcut_text)),
            File(lambda title: f"{scorer(title)}.h5", write_deeplabcut_h5)),
    "slp": (File(lambda title: ".slp", write_sleap),),
    "coco": (File(lambda title: ".coco.json", _json(coco_results)),
             File(lambda title: ".images.json", _json(coco_images))),
}
NEEDED = {"dlc": (("pandas", "tables"), "kpjax[dlc]"), "slp": (("sleap_io",), "kpjax[sleap]")}


def check_formats(formats: Sequence[str]) -> tuple[str, ...]:
    """The formats to write, csv always and first. Raises InputError for one that is unknown or lacks a package."""
    for name in formats:
        if name not in FORMATS:
            raise InputError(f"--formats: {name!r} is unknown; there are {', '.join(FORMATS)}")
        modules, extra = NEEDED.get(name, ((), ""))
        if missing := [module for module in modules if importlib.util.find_spec(module) is None]:
            raise InputError(f'--formats {name}: needs {missing[0]}; pip install "{extra}"')
    return tuple(dict.fromkeys(("csv", *formats)))


def prediction_files(formats: Sequence[str], title: str, out: Path, stem: str) -> list[Path]:
    """The files that `write_predictions` would write."""
    return [_path(out, stem, file.ending(title)) for name in formats for file in FORMATS[name]]


def write_predictions(table: PredictionTable, formats: Sequence[str], out: Path, stem: str) -> list[Path]:
    """Writes a table in some formats, each file whole or not at all, and returns the paths.

    stem: of the files, below `out`, perhaps with folders. Raises OSError if the disc refuses.
    """
    written = []
    for name in formats:
        for file in FORMATS[name]:
            path = _path(out, stem, file.ending(table.title))
            path.parent.mkdir(parents=True, exist_ok=True)
            written.append(file.write(table, path))
    return written


def _path(out: Path, stem: str, ending: str) -> Path:
    return out / f"{stem}{ending}"
