"""The command `export`: a finished run as an ONNX model, with its card."""

import json
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from kpjax import InputError, RunError
from kpjax.files import absolute, atomic, check_new, strict
from kpjax.images.transforms import AroundBox, Letterbox, Transform
from kpjax.lab.animals.calibration import table_as_json
from kpjax.lab.commands import Export
from kpjax.lab.onnx.card import card_of
from kpjax.lab.onnx.model import OPSET, difference_from, onnx_model
from kpjax.lab.own.animals import FOLDER
from kpjax.lab.own.places import BoxOrWhole
from kpjax.lab.predictors import open_runs, seeds_below
from kpjax.training.identity import versions

TOLERANCE = (
    0.01  # px between the points of the run and of the model: sums in other orders, of flat maps
)
MODEL, DESCRIPTION, CARD = "predict.onnx", "predictor.json", "README.md"


def export(asked: Export) -> Path:
    """Writes a finished run, or the ensemble of a variant's seeds, as a folder with predict.onnx,
    predictor.json and the card README.md; returns the folder.

    Raises InputError for a run that `open_runs` refuses, a transform that the description cannot
    say, an `out` that is not empty, and without the converter; RunError if the model does not find
    the same points.
    """
    source, out = absolute(asked.run), asked.out
    check_new(out)
    opened = open_runs(Path(source))
    given = input_of(opened.transform)
    model = onnx_model(opened.method, opened.trained, opened.side)
    difference = difference_from(model, opened.method, opened.trained, opened.side)
    if not difference <= TOLERANCE:
        raise RunError(
            f"the model's points lie up to {difference:.3g} px from the run's; at most {TOLERANCE:g} is "
            "right, so nothing was written"
        )
    description = strict(
        {
            "versions": versions() | {"jax2onnx": version("jax2onnx"), "opset": OPSET},
            "run": opened.result,
            "skeleton": asdict(opened.method.skeleton),
            "input": given,
            "output": {
                "keypoints": "(batch, K, 2) float32, (x, y) in pixels of the input, the centre of its "
                "top-left pixel at (0, 0)",
                "scores": "(batch, K) float32, the higher the surer, no probability",
            },
            "score": table_as_json(opened.score),
            "largest_difference_px": difference,
        }
    )
    card = card_of(
        opened.method,
        description,
        opened.files.get("results.json", {}),
        opened.files.get("config.json", {}).get("config", {}),
        asked.licence,
    )
    with atomic(out) as partial:
        partial.mkdir()
        (partial / MODEL).write_bytes(model)
        (partial / DESCRIPTION).write_text(json.dumps(description, indent=1), encoding="utf-8")
        (partial / CARD).write_text(card, encoding="utf-8")
    print(
        f"{out / MODEL}: {len(model):,} B, {len(opened.method.skeleton.names)} points on images of "
        f"{opened.side} px; at most {difference:.2g} px from the run's points"
    )
    if any((Path(run) / FOLDER).is_dir() for run in (source, *seeds_below(Path(source)))):
        print("the network that finds several animals stays with the run: the model needs boxes")
    print(f"{out / CARD}: read it before you give the folder away")
    if not asked.licence:
        print("it states no licence (--licence)")
    return out


def input_of(transform: Transform) -> dict[str, Any]:
    """Returns `input` of predictor.json: the images that the model takes.

    Raises InputError for a transform that is no letterbox and no crop around a box.
    """
    if not isinstance(transform, Letterbox | BoxOrWhole | AroundBox):
        raise InputError(
            "run", f"a model cannot be given images by {transform}; predict with the run itself"
        )
    return {
        "shape": ["batch", transform.side, transform.side, 3],
        "dtype": "uint8",
        "layout": "NHWC, RGB, 0 to 255",
        "made_by": _made_by(transform),
    }


def _made_by(transform: Letterbox | BoxOrWhole | AroundBox) -> str:
    if isinstance(transform, AroundBox):
        return f"a square around the animal's box, {transform.margin:g} times its longer side"
    if place := getattr(transform, "place", ()):
        return (
            f"one square of every frame, by --place {' '.join(f'{number:g}' for number in place)}"
        )
    return "shown whole, letterboxed by black"
