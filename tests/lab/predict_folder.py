"""Prediction of a folder of images, as the command line asks for it, and tables as they are read
back.
"""

import csv
from pathlib import Path

from kpjax.lab.commands import Predict
from kpjax.lab.commands.predict import predict


def predict_folder(run: Path, images: Path, out: Path, **options) -> Path:
    """Predicts all images in a folder and returns the path of points.csv."""
    return predict(Predict(run=run, inputs=(images,), out=out, **options))[0]


def rows_of(table: Path) -> list[dict[str, str]]:
    """Returns the rows of a csv by the names of its columns."""
    with table.open() as file:
        return list(csv.DictReader(file))
