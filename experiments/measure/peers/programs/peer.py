"""What the scripts of both peers share. Imports nothing of kpjax, nor of a peer."""

import argparse
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any


def flags_of(description: str, *, batch_size: int) -> argparse.ArgumentParser:
    """Builds the flags of a peer. batch_size: its default."""
    flags = argparse.ArgumentParser(description=description)
    flags.add_argument("folder", type=Path, help="of `prepare`")
    flags.add_argument("--seconds", type=float, required=True, help="of training")
    flags.add_argument(
        "--epochs", type=int, help="in place of as many as seem to fit into the seconds"
    )
    flags.add_argument(
        "--weights", type=Path, required=True, help="a file of MobileNetV2, see the package"
    )
    flags.add_argument("--batch-size", type=int, default=batch_size)
    return flags


def split_of(folder: Path) -> dict[str, Any]:
    """Reads which images train and which test, and the names of keypoints."""
    return json.loads((folder / "split.json").read_text())


def epochs_within(asked: argparse.Namespace, train: Callable[[int], float]) -> int:
    """Returns the epochs asked for, or how many fit into the seconds.

    train: for so many; returns what that took.
    """
    if asked.epochs:
        return asked.epochs
    one, four = train(1), train(4)  # what starting costs is not counted
    per_epoch = max((four - one) / 3, 1e-3)
    epochs = max(int(asked.seconds / per_epoch), 1)
    print(f"{per_epoch:.2f} s an epoch: {epochs} epochs in {asked.seconds:.0f} s")
    return epochs


def write_predictions(
    asked: argparse.Namespace,
    peer: str,
    version: str,
    *,
    epochs: int,
    seconds: float,
    keypoints: Mapping[str, list],
) -> None:
    """Writes predictions of the test images for `score`."""
    network = asked.weights.stem
    path = asked.folder / f"predictions_{peer.lower().replace(' ', '_')}_{network}.json"
    path.write_text(
        json.dumps(
            {
                "name": f"{peer} {version}, {network}, {epochs} epochs",
                "seconds": seconds,
                "keypoints": dict(keypoints),
            }
        )
    )
