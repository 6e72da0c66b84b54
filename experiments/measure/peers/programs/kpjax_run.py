"""Trains kpjax by its own choices on a folder of `prepare`, and predicts the test images.

Runs the program `kpjax` as a person would. Without --weights it trains its small U-net from random
weights, as the tool `kpjax_small_unet`.
"""

import csv
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

from peer import flags_of, predict_timed, split_of, write_predictions

TIMED = 3000  # images, of programs that start in about as long as they take for some hundred


def kpjax(*arguments: str | Path) -> float:
    """Runs a command of kpjax, and returns what it took."""
    began = time.monotonic()
    subprocess.run([sys.executable, "-m", "kpjax", *map(str, arguments)], check=True)
    return time.monotonic() - began


def main():
    asked = flags_of(__doc__).parse_args()
    split = split_of(asked.folder)
    tool = "kpjax" if asked.weights else "kpjax_small_unet"
    runs, points = asked.folder / f"{tool}_runs", asked.folder / f"{tool}_points"
    network = ["--weights", asked.weights] if asked.weights else ["--network", "small_unet"]

    def train(*more: str | Path) -> tuple[float, Path]:
        shutil.rmtree(runs, ignore_errors=True)
        taken = kpjax(
            *("train", "--project", asked.folder / "csv", "--workdir", runs),
            *("--first-seed", split["subset"], *network, *more),
        )
        (result,) = runs.rglob("results.json")
        return taken, result

    seconds, result = train()
    trained = json.loads(result.read_text())
    if cut := seconds > asked.seconds:
        # The warm start is scaled with the steps that are typed.
        stages = trained["config"]["steps"], trained["config"]["warm_start_steps"]
        steps = trained["steps"] * asked.seconds / seconds * stages[0] / sum(stages)
        seconds, result = train("--steps", f"{steps:.0f}")
        trained = json.loads(result.read_text())

    def predict(images: list[Path]) -> dict[str, list]:
        kpjax(
            *("predict", result.parent, images[0].parent, "--out", points),
            *("--no-overlay", "--overwrite"),
        )
        found: dict[str, dict[str, list[float]]] = {}
        with (points / "points.csv").open(newline="") as file:
            for row in csv.DictReader(file):
                values = [float(row[name] or "nan") for name in ("x", "y", "score")]
                found.setdefault(Path(row["image"]).name, {})[row["keypoint"]] = values
        return {image: [of[name] for name in split["keypoints"]] for image, of in found.items()}

    keypoints, rate = predict_timed(asked.folder, predict, timed=TIMED)
    write_predictions(
        asked,
        tool,
        trained["versions"]["kpjax"],
        length=f"{trained['steps']} steps",
        cut=cut,
        seconds=seconds,
        rate=rate,
        cutoffs=json.loads((result.parent / "score_table.json").read_text())["cutoffs"],
        keypoints=keypoints,
    )


if __name__ == "__main__":
    main()
