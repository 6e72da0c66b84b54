"""Prediction of a folder of images, as the command line asks for it."""
from collections.abc import Callable
from pathlib import Path

from kpjax.lab.commands import Predict
from kpjax.lab.commands.predict import predict


def predict_folder(run: Path, images: Path, out: Path, *, overlays: bool = True,
                   tell: Callable[[str], None] = print, **options) -> Path:
    """Predicts all images in a folder and returns the path of points.csv."""
    return predict(Predict(run=run, inputs=(images,), out=out, no_overlay=not overlays, **options), tell=tell)[0]
