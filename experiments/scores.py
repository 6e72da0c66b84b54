"""What the scores of a run are worth, from labels that it did not learn."""
from pathlib import Path

import jax
import numpy as np

from kpjax.evaluation.calibration import score_table, write_score_table
from kpjax.files import make_folder
from kpjax.input.source import Source
from kpjax.structures import Method, Trained
from kpjax.training.evaluation import predict_source


def write_scores(folder: Path, method: Method, trained: Trained, source: Source, *, batch_size: int, kind: str
                 ) -> None:
    """Writes score_table.json into a run's folder. source: held-out pictures, `scale` the diagonal of what is shown.

    kind: what the scores are. Of several processes all must call it, and the first writes.
    """
    found = predict_source(method, trained, source, batch_size=batch_size)
    distances = np.linalg.norm(found.keypoints - found.true_keypoints, axis=-1) / found.scale[:, None]
    if jax.process_index() == 0:
        make_folder(folder)
        write_score_table(folder, score_table(found.scores, distances, found.visible, kind=kind))
