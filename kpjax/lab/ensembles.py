"""Several seeds of one variant as one predictor: the medians of their points, and what its scores mean."""
import hashlib
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kpjax.files import read_json
from kpjax.lab.animals.calibration import FILE as SCORES
from kpjax.lab.animals.conformal import FILE as RADII
from kpjax.lab.out.reports.pixel_errors import HELD_OUT, read_errors
from kpjax.lab.own.pixel_errors import OF_PART, write_meaning_of_scores
from kpjax.systems.system import PREDICTIONS, read_predictions
from kpjax.training.evaluation import Gathered


def seeds_below(folder: Path) -> list[Path]:
    """Returns the finished seeds of a variant's folder, by number; none if it is not one."""
    found = [path.parent for path in folder.glob("seed-*/results.json") if path.parent.name[5:].isdecimal()]
    return [] if (folder / "config.json").exists() else sorted(found, key=lambda path: int(path.name[5:]))


def digest_of(digests: Sequence[str]) -> str:
    """Returns the digest of what several runs have learnt."""
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()


def meaning_of_scores(folders: Sequence[Path], kind: str) -> dict[str, Any]:
    """Returns score_table.json and radius_table.json of an ensemble, from what its members said of held-out animals.

    Nothing if a member kept none of that, or if other animals were held out from another one.
    """
    if not all((folder / PREDICTIONS).is_file() for folder in folders):
        return {}
    found = [read_predictions(folder).get(OF_PART + HELD_OUT) for folder in folders]
    first = found[0]
    if any(one is None or not np.array_equal(one.true_keypoints, first.true_keypoints) for one in found):
        return {}
    joint = first._replace(keypoints=np.median([one.keypoints for one in found], axis=0),
                           scores=np.mean([one.scores for one in found], axis=0))
    with tempfile.TemporaryDirectory() as written:
        write_meaning_of_scores(Path(written), joint, _recordings(folders[0], joint), kind)
        return {name: read_json(Path(written) / name) for name in (SCORES, RADII)}


def _recordings(folder: Path, found: Gathered) -> list[str]:
    animals = read_errors(folder)
    held = None if animals is None else animals.by_part().get(HELD_OUT)
    # Animals without a label have no row in errors.csv.
    return held.recordings if held and len(held.parts) == len(found.index) else [""] * len(found.index)
