"""The card of an exported model: what it finds, what it learnt from, and how it is used.

It is README.md of the folder, in the form that hubs of models show.
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kpjax import Method
from kpjax.errors import printable
from kpjax.lab.animals.calibration import cutoffs_text
from kpjax.models.weights.pretrained import KNOWN_WEIGHTS, plain_name

NOT_STATED = "not stated; ask its maker before you build on it"
ERRORS = {
    "held_out/px": "held out: mean error, px of the original images",
    "target/px": "labels of the target: mean error, px of the original images",
    "test/pck": "held out: PCK",
}


def card_of(
    method: Method,
    description: Mapping[str, Any],
    results: Mapping[str, Any],
    config: Mapping[str, Any],
    licence: str,
) -> str:
    """Returns the card, as Markdown with a head that hubs read.

    Args:
        description: predictor.json.
        results, config: results.json of the run and the config in it; empty of an ensemble.
        licence: of the data and of what was learnt from them, as whoever exports it says; "" if
            nobody does.
    """
    run, points = description["run"], method.skeleton.names
    title = " ".join(str(run[name]) for name in ("experiment", "preset", "variant"))
    metrics, cutoffs = results.get("metrics", {}), description["score"]["cutoffs"]
    rows = {
        "learnt from": config.get("summary") or f"{run['experiment']}, preset {run['preset']}",
        "training": f"{results['steps']:,} steps, {results['images']:,} images"
        if {"steps", "images"} <= set(results)
        else "see the runs that it joins",
        "began with": origin_of(config),
        "licence": licence or NOT_STATED,
        "keypoints": ", ".join(points),
        "lines between": ", ".join(
            f"{points[first]} - {points[second]}" for first, second in method.skeleton.edges
        )
        or "none",
        "input": f"{description['input']['made_by']}, {description['input']['shape'][1]} px, "
        f"{description['input']['layout']}",
        **{
            words: f"{float(metrics[name]):.3g}"
            for name, words in ERRORS.items()
            if math.isfinite(float(metrics.get(name, "nan")))
        },
        "scores": f"{description['score']['kind']}, drawn from {cutoffs_text(cutoffs) or 'any'} on",
        "made by": f"kpjax {description['versions']['kpjax']}, jax {description['versions']['jax']}",
        "differs from the run": f"by at most {description['largest_difference_px']:.2g} px",
    }
    head = {
        "library_name": "kpjax",
        "pipeline_tag": "keypoint-detection",
        "tags": ["keypoints", "pose-estimation"],
        "license": "other",
        "license_name": licence or "not stated",
    }
    return "\n".join(
        [
            "---",
            *(f"{name}: {json.dumps(value, ensure_ascii=False)}" for name, value in head.items()),
            "---",
            "",
            f"# {len(points)} keypoints: {_plain(title)}",
            "",
            "| | |",
            "|---|---|",
            *(f"| {name} | {_plain(value)} |" for name, value in rows.items()),
            "",
            "```python",
            "import onnxruntime",
            'session = onnxruntime.InferenceSession("predict.onnx")',
            'keypoints, scores = session.run(None, {"images": images})  # (B, S, S, 3) uint8',
            "```",
            "",
            "Points are (x, y) in pixels of the input, the centre of its top-left pixel at "
            "(0, 0). A score ranks the points of this predictor; it is no probability.",
            "",
        ]
    )


def origin_of(config: Mapping[str, Any]) -> str:
    """Returns what a network began with, by the config of its run; that of an ensemble is empty."""
    if not config:
        return "see the runs that it joins"
    backbone = config.get("backbone", {})
    old, core = config.get("data", {}).get("old"), config.get("core", {}).get("core")
    if earlier := backbone.get("start") or old or core:
        # a path says nothing to others, and perhaps too much
        is_name = not {"/", "\\"} & {*earlier}
        return f"an earlier network, {earlier}" if is_name else "an earlier run"
    if not (weights := backbone.get("weights", "")):
        return "random numbers"
    known = KNOWN_WEIGHTS.get(plain_name(weights))
    return (
        f"{known.name}, {known.licence}"
        if known
        else f"weights {Path(weights).name}, licence not known here"
    )


def _plain(text: object) -> str:
    """Returns text that a cell of a table can hold."""
    return printable(str(text)).replace("|", "\\|")
