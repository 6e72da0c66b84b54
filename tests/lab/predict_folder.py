"""Prediction of a folder of images, as the command line asks for it, and tables as they are read back."""
import contextlib
import csv
import io
from collections.abc import Callable
from pathlib import Path

from kpjax.lab.commands import Predict
from kpjax.lab.commands.predict import predict


def predict_folder(run: Path, images: Path, out: Path, *, overlays: bool = True,
                   tell: Callable[[str], None] = print, **options) -> Path:
    """Predicts all images in a folder and returns the path of points.csv. tell: gets what is printed."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said):
            return predict(Predict(run=run, inputs=(images,), out=out, no_overlay=not overlays, **options))[0]
    finally:
        for line in said.getvalue().splitlines():
            tell(line)


def rows_of(table: Path) -> list[dict[str, str]]:
    """Returns the rows of a csv by the names of its columns."""
    with table.open() as file:
        return list(csv.DictReader(file))
