"""What the tables of an input depend on: kept beside them, so that `--resume` knows them again."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from kpjax.errors import InputError
from kpjax.files import read_json, strict
from kpjax.images.contents import contents
from kpjax.images.inputs import ImageSequence
from kpjax.lab.commands import Predict
from kpjax.lab.predictors import Predictor
from kpjax.training.identity import changed_programs, programs
from kpjax.training.trees import json_digest

ENDING = "_depends_on.json"
# flags of which the record has the content, and those that change no cell of a table: whether there
# are drawings is seen from their files
OTHER_FLAGS = (
    *("run", "inputs", "boxes", "frames"),
    *("out", "overwrite", "resume", "on_bad_frame", "batch_size", "overlay", "no_overlay"),
)
WORDS = {
    "run": "another run",
    "input": "another content of it",
    "frames": "other frames",
    "boxes": "other boxes",
    "flags": "other flags",
}


def depends_on(
    sequence: ImageSequence,
    boxes: np.ndarray | None,
    instances: Sequence[str],
    predictor: Predictor,
    asked: Predict,
) -> dict[str, Any]:
    """Returns what the tables and drawings of an input depend on, by its content; what computes
    them stands beside it."""
    named = {f"{number} {path.name}": path for number, path in enumerate(sequence.files)}
    files = contents(named or {"video": sequence.path})
    flags = asdict(asked)
    return strict(
        {
            "run": json_digest(
                {
                    "learnt": predictor.result["digest"],
                    "cutoffs": strict(predictor.cutoffs.tolist()),
                }
            ),
            "input": json_digest(files),
            "frames": json_digest({"numbers": sequence.numbers.tolist()}),
            "boxes": ""
            if boxes is None
            else json_digest({"boxes": strict(boxes.tolist()), "animals": list(instances)}),
            "flags": {name: flags[name] for name in sorted(flags) if name not in OTHER_FLAGS},
            "programs": programs(),
        }
    )


def difference(folder: Path, stem: str, now: Mapping[str, Any]) -> tuple[str, str]:
    """Returns of what else the tables of an input are, in words, and which other programs made them;
    "" where they are of the same, and made by the same."""
    try:
        before = read_json(folder / (stem + ENDING))
    except InputError:
        return "what they depend on was not kept", ""
    others = [words for name, words in WORDS.items() if before.get(name) != now[name]]
    changed = changed_programs(before.get("programs") or {}, now["programs"])
    return (f"they are of {' and '.join(others)}" if others else ""), changed
