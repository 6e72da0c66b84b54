"""What the programs of all tools share. Imports nothing of kpjax, nor of another tool."""

import argparse
import json
import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

TIMED = 100  # images, over which the rate of prediction is measured
Points = Mapping[str, Sequence[Sequence[float]]]  # x, y and score of each keypoint, by image


def flags_of(description: str) -> argparse.ArgumentParser:
    """Builds the flags of a tool's program."""
    flags = argparse.ArgumentParser(description=description)
    flags.add_argument("folder", type=Path, help="of `prepare`")
    flags.add_argument(
        "--seconds", type=float, default=900, help="of training, at most: shorter than that stays"
    )
    flags.add_argument("--weights", type=Path, help="a file of MobileNetV2, see the package")
    return flags


def split_of(folder: Path) -> dict[str, Any]:
    """Reads which images train and which test, and the names of keypoints."""
    return json.loads((folder / "split.json").read_text())


def epochs_within(seconds: float, usual: int, train: Callable[[int], float]) -> int:
    """Returns a tool's usual epochs, or how many fit into the seconds.

    train: for so many; returns what that took.
    """
    train(1)  # imports, and fills caches
    one, four = train(1), train(4)  # what starting costs is not counted
    per_epoch = max((four - one) / 3, 1e-3)
    epochs = min(max(int(seconds / per_epoch), 1), usual)
    print(f"{per_epoch:.2f} s an epoch: {epochs} of {usual} epochs in {seconds:.0f} s", flush=True)
    return epochs


def predict_timed(
    folder: Path, predict: Callable[[list[Path]], Points], *, timed: int = TIMED
) -> tuple[Points, float]:
    """Predicts the test images; returns their points, and frames a second.

    What starting costs is left out: that of a few images is subtracted from that of many, which are
    the same files under further names.

    timed: images, more where each prediction starts a program anew, so that starts do not decide.
    """
    images = sorted((folder / "test").glob("*.png"))
    many = folder / "many"
    shutil.rmtree(many, ignore_errors=True)
    many.mkdir()
    for number in range(len(images) + timed):
        os.link(images[number % len(images)], many / f"{number:05d}.png")
    found = predict(images)  # imports and compiles
    taken = []
    for asked in (images, sorted(many.glob("*.png"))):
        began = time.monotonic()
        predict(asked)
        taken.append(time.monotonic() - began)
    shutil.rmtree(many)
    return found, timed / max(taken[1] - taken[0], 1e-3)


def write_predictions(
    asked: argparse.Namespace,
    tool: str,
    version: str,
    *,
    length: str,
    cut: bool,
    seconds: float,
    rate: float,
    cutoffs: float | Sequence[float],
    keypoints: Points,
) -> None:
    """Writes predictions of the test images for `score`.

    length: of training, in words. cut: whether the cap of seconds made it shorter. rate: frames a
    second. cutoffs: from which score the tool shows a point, of all or of each keypoint.
    """
    weights = asked.weights.stem if asked.weights else ""
    content = {
        "tool": tool,
        "version": version,
        "weights": weights,
        "length": length,
        "cap": asked.seconds,
        "cut": cut,
        "seconds": seconds,
        "rate": rate,
        "cutoffs": cutoffs,
        "keypoints": dict(keypoints),
    }
    (asked.folder / f"predictions_{tool}.json").write_text(json.dumps(content))
    print(f"{tool} {version}: {length}, {seconds:.0f} s, {rate:.1f} frames a second")
