"""What `kpjax train` does by default, measured on test frames that it never sees.

Command   python -m experiments.own.default reaching=P mirror_mouse=P flies=P openfield=P --seeds 5
          python -m experiments results render

P are the projects: DeepLabCut's reaching mouse and open field, Lightning Pose's mouse in a mirror, and
SLEAP's two flies, each cropped, of which every fifth frame is taken. The first fifth of each recording
tests (`python -m experiments.measure.peers prepare`), and the seed draws which other frames have labels.
What is measured goes into results.csv run by run, so that the same command goes on where it stopped.
"""

import csv
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from importlib.metadata import version
from itertools import product
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from tyro.conf import Positional, arg

from experiments.measure.peers.__main__ import SPLIT, TRUTH, Prepare, Truth, measure, results_of
from experiments.measure.rows import EXPERIMENTS, merge_rows, read_results, write_results
from experiments.own.results import COUNTS, DEFAULT_METRICS, NETWORKS, PROJECTS
from kpjax import InputError
from kpjax.files import read_json, write_json
from kpjax.papers.configs import Checked, Count
from kpjax.papers.parsing import exit_code_of, parse

ROOM = EXPERIMENTS / "own"
EVERY = {"flies": 5}  # of the frames of a video that is labelled throughout


@dataclass(frozen=True)
class Default(Checked):
    """Trains kpjax by default on some frames of projects, and measures it on others."""

    #: a name of the table and the project's folder, each
    projects: Annotated[Positional[tuple[str, ...]], arg(metavar="NAME=PROJECT ...")]
    labelled: tuple[int, ...] = COUNTS  # frames with labels, 0 for all
    networks: tuple[str, ...] = tuple(NETWORKS)
    seeds: Count = 5
    workdir: Path = Path("runs/own")

    def __call__(self) -> None:
        given = dict(one.partition("=")[::2] for one in self.projects)
        if unknown := given.keys() - PROJECTS.keys():
            raise InputError("projects", f"{min(unknown)!r} is none of {', '.join(PROJECTS)}")
        for seed, name, count, network in product(
            range(self.seeds), given, self.labelled, self.networks
        ):
            folder = self.workdir / f"{name}-{count or 'all'}-{seed}"
            if not folder.exists():
                Prepare(Path(given[name]), folder, name, count, seed, every=EVERY.get(name, 1))()
            path, split = folder / f"predictions_{network}.json", read_json(folder / SPLIT)
            if not path.exists():
                write_json(path, trained(folder, network, split))
            predicted = read_json(path)
            with np.load(folder / TRUTH) as stored:
                found = measure(predicted, split, Truth(**stored), path)
            every = results_of(predicted, split, found)
            rows = [one for one in every if one.metric in DEFAULT_METRICS]
            write_results(ROOM, merge_rows(read_results(ROOM), rows))
            print(folder.name, network, *(f"{one.metric} {one.value:.4g}" for one in rows))


def kpjax(*arguments: str | Path) -> None:
    """Runs the program `kpjax`. Raises CalledProcessError where it fails."""
    subprocess.run([sys.executable, "-m", "kpjax", *map(str, arguments)], check=True)


def trained(folder: Path, network: str, split: dict[str, Any]) -> dict[str, Any]:
    """Trains kpjax on a folder of `prepare`, and returns its predictions of the images that test, as
    `score` reads them, with the seconds and the CPU seconds of training."""
    runs, points = folder / f"{network}_runs", folder / f"{network}_points"
    shutil.rmtree(runs, ignore_errors=True)
    began, before = time.monotonic(), os.times()
    flags = "--first-seed", split["subset"], *NETWORKS[network][1]
    kpjax("train", "--project", folder / "csv", "--workdir", runs, *flags)
    seconds, after = time.monotonic() - began, os.times()
    run = next(runs.rglob("results.json")).parent
    kpjax("predict", run, folder / "test", "--out", points, "--no-overlay", "--overwrite")
    found: dict[str, dict[str, list[float]]] = {}
    with (points / "points.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            values = [float(row[name] or "nan") for name in ("x", "y", "score")]
            found.setdefault(Path(row["image"]).name, {})[row["keypoint"]] = values
    return {
        "tool": network,
        "version": version("kpjax"),
        "cut": False,
        "seconds": seconds,
        "cpu": sum(after[2:4]) - sum(before[2:4]),
        "cutoffs": read_json(run / "score_table.json")["cutoffs"],
        "keypoints": {name: [of[k] for k in split["keypoints"]] for name, of in found.items()},
    }


def main(arguments: list[str]) -> None:
    """Runs the command."""
    parse(Default, arguments, prog="python -m experiments.own.default", description=__doc__)()


if __name__ == "__main__":
    raise SystemExit(exit_code_of(lambda: main(sys.argv[1:])))
