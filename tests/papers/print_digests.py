"""Prints sha256 digests of what every variant of every system learns and predicts in a few steps.

Command   python tests/papers/print_digests.py WORKDIR [SYSTEM ...] > digests.txt

Run it on checkouts of before and after a change of structure, on the same machine, each from its
own root, and compare the two files: where no number moves, they are equal. Every stage of a run has
three optimizer steps (a few more where a stage is a share of another) at the sizes of the demo,
seed 0. A line gives the run, the digest of its parameters, the digest of its predictions on eight
fixed images, and the digest of its metrics.
"""

import contextlib
import hashlib
import io
import json
import os
import sys
from pathlib import Path

sys.path.insert(0, os.getcwd())

import numpy as np
from safetensors.numpy import load_file

from experiments import experiment_of
from kpjax.lab.predictors import open_predictor
from kpjax.papers.command_line import run

SMALL = [
    "--steps",
    "3",
    "--evaluations",
    "1",
    "--training-examples",
    "200",
    "--test-examples",
    "32",
]
RUNS = {
    "regda": [
        ["demo", "--variants", "all", *SMALL, "--pretraining-steps", "3"],
        [
            "dsprites_small_colour_noisy",
            "--variants",
            "dd",
            "regda",
            *SMALL,
            "--pretraining-steps",
            "3",
        ],
    ],
    "semi_supervised": [["demo", "--variants", "all", *SMALL, "--warm-start-steps", "3"]],
    "incremental": [
        [
            "demo",
            "--variants",
            "all",
            "--steps",
            "15",
            "--base-steps",
            "3",
            "--test-examples",
            "32",
            "--afec-images",
            "8",
        ]
    ],
    "pyramids": [
        [
            "demo",
            "--variants",
            "all",
            "--steps",
            "3",
            "--evaluations",
            "1",
            "--training-videos",
            "8",
            "--test-videos",
            "4",
            "--action-training-videos",
            "6",
            "--action-steps",
            "3",
        ]
    ],
    "adaptation": [
        [
            "demo",
            "--variants",
            "all",
            "--steps",
            "3",
            "--core-epochs",
            "5",
            "--core-epoch-steps",
            "1",
            "--core-images",
            "64",
            "--core-test-images",
            "32",
            "--training-images",
            "64",
            "--test-images",
            "48",
            "--labelled-images",
            "10",
            "--repeats",
            "2",
        ]
    ],
}


def digest(arrays: dict[str, np.ndarray]) -> str:
    """Returns the sha256 of arrays by name, in the order of their names."""
    found = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        found.update(f"{name} {array.dtype} {array.shape}".encode())
        found.update(array.tobytes())
    return found.hexdigest()[:16]


def line_of(folder: Path, workdir: Path) -> str:
    """Returns the digests of a finished run in one line."""
    shown = [f"{folder.relative_to(workdir)}"]
    if (folder / "model" / "trained.safetensors").exists():
        arrays = load_file(folder / "model" / "trained.safetensors")
        shown.append(f"parameters {digest(arrays) if arrays else '-'}")
        try:
            predictor = open_predictor(folder)
            images = np.random.default_rng(0).integers(
                0, 256, (8, predictor.side, predictor.side, 3), dtype=np.uint8
            )
            keypoints, scores = predictor.predict(images)
            shown.append(f"predictions {digest({'keypoints': keypoints, 'scores': scores})}")
        except Exception as error:
            shown.append(f"predictions {type(error).__name__}")
    numbers = json.dumps(
        json.loads((folder / "results.json").read_text())["metrics"], sort_keys=True
    )
    return "  ".join([*shown, f"metrics {hashlib.sha256(numbers.encode()).hexdigest()[:16]}"])


if __name__ == "__main__":
    workdir = Path(sys.argv[1]).absolute()
    for system in sys.argv[2:] or RUNS:
        for arguments in RUNS[system]:
            with contextlib.redirect_stdout(io.StringIO()):
                run(experiment_of(system), [*arguments, "--workdir", str(workdir)])
        for results in sorted((workdir / system).glob("*/*/seed-0/results.json")):
            print(line_of(results.parent, workdir), flush=True)
