"""Runs every command of the pages on small projects with few steps, and makes their pictures.

python docs/run.py [PAGE...]        (all pages with commands: some minutes on two cores; needs the extras dlc and sleap)

The projects are synthetic people in the format that a page is about. Lines in blocks marked `sh` run in their order.
"""
import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "experiments")]

from own_projects import synthetic_project

from data.figures import DOMAINS, figures
from kpjax.annotations.writing import write_project
from kpjax.images.video import write_video

PAGES = {"start": "csv", "own/deeplabcut": "deeplabcut", "own/sleap": "sleap", "own/lightning_pose": "lightning_pose",
         "own/coco": "coco"}  # with the format of its project
SIDE = 128
NETWORK = "--size 32 --widths 4 4 8 --head-width 4"
SMALL = "--batch-size 8 --feature-width 8 --evaluations 1 --steps 2 --warm-start-steps 1 --no-control"


def commands(page: str) -> list[list[str]]:
    """Returns the command lines in the blocks `sh` of a page, without those that install."""
    blocks = (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8").split("```sh\n")[1:]
    lines = [line for block in blocks for line in block.split("```")[0].splitlines()]
    return [words for line in lines if (words := shlex.split(line, comments=True)) and words[0] == "kpjax"]


def made_smaller(words: list[str]) -> list[str]:
    """Returns a command with few steps, if it trains; the run at --start decides the network."""
    if words[1] != "train":
        return words
    return [*words, *shlex.split(SMALL if "--start" in words else f"{NETWORK} {SMALL}")]


def make_inputs(folder: Path, form: str) -> None:
    """Writes my_project, another_project and session.mp4."""
    for number, name in enumerate(("my_project", "another_project")):
        made = synthetic_project(folder / "rendered" / name, labelled=4, unlabelled=2, side=SIDE, keypoints=10,
                                 first=100 * number)
        write_project(made, form, folder / name)
    people = figures(12, first=300, domain=DOMAINS["source"], seed=0, side=SIDE)
    write_video(folder / "session.mp4", (np.asarray(people[n].image) for n in range(12)), rate=10.0)


def run_page(page: str, form: str) -> None:
    """Runs the commands of a page; the sheet of labels of the first one is its picture."""
    with tempfile.TemporaryDirectory() as folder:
        make_inputs(Path(folder), form)
        for words in commands(page):
            print("$", *words, flush=True)
            subprocess.run([sys.executable, "-m", *made_smaller(words)], cwd=folder, check=True,
                           env=os.environ | {"PYTHONPATH": str(ROOT)})
            if page == "start" and words[1] == "check":
                keep_picture(Path(folder, "labels.png"))


def keep_picture(path: Path) -> None:
    """Writes a picture into the folder of the pages, small."""
    kept = ROOT / "docs" / "pictures" / path.name
    kept.parent.mkdir(exist_ok=True)
    with Image.open(path) as picture:
        picture.thumbnail((1000, 1000))
        picture.convert("P", palette=Image.Palette.ADAPTIVE).save(kept, optimize=True)


if __name__ == "__main__":
    for chosen in sys.argv[1:] or PAGES:
        run_page(chosen, PAGES[chosen])
