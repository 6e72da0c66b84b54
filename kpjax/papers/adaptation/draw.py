"""Pictures of a run: the discovered points, and the annotation that is regressed from them."""

from collections.abc import Mapping

import jax
import numpy as np

from kpjax.drawing.overlays import prediction_sheet, write_png
from kpjax.evaluation.probes import landmarks as probes
from kpjax.evaluation.probes.landmarks import ALL
from kpjax.papers import engine
from kpjax.papers.adaptation.measures import found_in, regressor_errors
from kpjax.papers.adaptation.stages import Data
from kpjax.papers.engine import Job, Outcome
from kpjax.training.evaluation import Gathered

SHOWN, COLUMNS = 16, 8  # images of a sheet
SHOWN_SIDE = 128  # px, to which small images are enlarged


def draw(job: Job, data: Data, outcome: Outcome, predictions: Mapping[str, Gathered]) -> None:
    """Draws points.png, the discovered points, and landmarks_from_points.png, the annotation that
    all labelled images regress from them, true places as rings. They show sixteen images at equal
    steps of their rank by forward error, with rank and both errors; without annotation by
    consistency, and no second sheet."""
    if jax.process_index():
        return
    config, folder, skeleton = job.config, job.folder / engine.IMAGES, outcome.method.skeleton
    found = found_in(predictions, config.data.image_size)
    annotation, annotated = data.test.skeleton, config.evaluation.annotated
    if annotated:
        forward, backward = regressor_errors(found, config, annotation, (ALL,)).values()
        numbers, errors = probes.complete(found.test, "test"), forward.per_image
        captions = [
            f"{one:.0f} %, back {other:.0f} %"
            for one, other in zip(errors, backward.per_image, strict=True)
        ]
    else:
        errors = probes.consistency(found.once, found.twice, found.turns).per_image
        numbers, captions = np.arange(len(errors)), [f"{error:.1f} px" for error in errors]
    ranked = np.argsort(errors, kind="stable")
    ranks = np.unique(np.linspace(0, len(ranked) - 1, SHOWN).round().astype(int))
    shown = numbers[chosen := ranked[ranks]]
    images = [data.test[int(number)].image for number in shown]
    options = {
        "captions": [
            f"{rank + 1}: {captions[place]}" for rank, place in zip(ranks, chosen, strict=True)
        ],
        "columns": COLUMNS,
        "minimum_side": SHOWN_SIDE,
    }
    write_png(
        folder / "points.png",
        prediction_sheet(
            images, np.asarray(found.test.discovered)[shown], None, skeleton, **options
        ),
    )
    if annotated and forward.regressed.shape[1] == len(annotation.names):
        write_png(
            folder / "landmarks_from_points.png",
            prediction_sheet(
                images,
                forward.regressed[chosen],
                None,
                annotation,
                true=np.asarray(found.test.annotated)[shown],
                visible=np.asarray(found.test.visible)[shown],
                **options,
            ),
        )
