"""Pictures of what a run predicts."""
from pathlib import Path

import jax
import numpy as np

from kpjax.drawing.overlays import prediction_sheet, write_png
from kpjax.input.source import Source, subset
from kpjax.structures import Method, Trained
from kpjax.training.evaluation import predict_source


def draw_predictions(
    method: Method, trained: Trained, source: Source, path: Path, *, first: int = 16, minimum_side: int = 192
) -> None:
    """A sheet of predictions on the first examples of a source, true positions as rings.

    minimum_side: smaller pictures are enlarged to it. Of several processes all must call it, and the first writes.
    """
    some = subset(source, np.arange(min(first, len(source))))
    found = predict_source(method, trained, some, batch_size=len(some))
    if jax.process_index() != 0:
        return
    images = [some[number].image for number in range(len(some))]
    write_png(path, prediction_sheet(images, found.keypoints, found.scores, method.skeleton, true=found.true_keypoints,
                                     visible=found.visible, columns=4, minimum_side=minimum_side))
