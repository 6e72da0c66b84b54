"""Sheets of test pictures, from the one whose annotation a row's points explain best to the one they explain worst."""
from pathlib import Path

import jax
import numpy as np

from experiments.adaptation.config import Config
from experiments.adaptation.measures import Found, consistency_of_pictures, errors_of_pictures
from experiments.adaptation.pictures import Pictures
from kpjax.drawing.overlays import prediction_sheet, write_png
from kpjax.structures import Skeleton

SHOWN, COLUMNS = 16, 8
SIDE = 128  # px, to which small pictures are enlarged


def draw_sheets(found: Found, pictures: Pictures, config: Config, skeleton: Skeleton, folder: Path) -> None:
    """Writes points.png, the discovered points, and landmarks_from_points.png, the annotation as all labelled pictures
    regress it from them, true places as rings. Of several processes the first writes.

    Sixteen pictures at equal steps of their rank by forward error, with rank, forward and backward error; without
    annotation by consistency, and no second sheet.
    """
    if jax.process_index() != 0:
        return
    annotation = pictures.test.skeleton
    if config.annotated:
        forward = errors_of_pictures(found, config, annotation)
        backward = errors_of_pictures(found, config, annotation, forward=False)
        numbers, errors = forward.rows, forward.errors
        captions = [f"{one:.0f} %, back {other:.0f} %" for one, other in zip(errors, backward.errors, strict=True)]
    else:
        errors = consistency_of_pictures(found)
        numbers = np.arange(len(errors))
        captions = [f"{error:.1f} px" for error in errors]
    ranked = np.argsort(errors, kind="stable")
    ranks = np.unique(np.linspace(0, len(ranked) - 1, SHOWN).round().astype(int))
    chosen = ranked[ranks]
    images = [pictures.test[int(number)].image for number in numbers[chosen]]
    titles = [f"{rank + 1}: {captions[place]}" for rank, place in zip(ranks, chosen, strict=True)]
    discovered = np.asarray(found.test.discovered)[numbers[chosen]]
    write_png(folder / "points.png", prediction_sheet(images, discovered, None, skeleton, captions=titles,
                                                      columns=COLUMNS, minimum_side=SIDE))
    if config.annotated and forward.regressed.shape[1] == len(annotation.names):
        rows = numbers[chosen]
        write_png(folder / "landmarks_from_points.png", prediction_sheet(
            images, forward.regressed[chosen], None, annotation, true=np.asarray(found.test.annotated)[rows],
            visible=np.asarray(found.test.visible)[rows], captions=titles, columns=COLUMNS,
            minimum_side=SIDE))
