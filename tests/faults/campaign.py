"""Damages projects, images and boxes by chance: PYTHONPATH=. python tests/faults/campaign.py [TRIES] [SEED]

Each try is read, and converted for another tool, or refused in one line. A traceback, a hang, a file written elsewhere
and labels that mean nothing are printed with the seed that makes the try again.
"""
import contextlib
import io
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1] / name) for name in ("faults", "lab/formats")]

import numpy as np
from damaging import PROJECTS
from hostile import NAMES, changed_bytes, changed_json, changed_table, put, text_of
from PIL import Image

from kpjax.errors import InputError
from kpjax.images.reading import read_image
from kpjax.images.video import open_video
from kpjax.lab.formats.boxes_file import read_boxes
from kpjax.lab.formats.reading import read_project
from kpjax.lab.formats.writing import write_project

TABLE = "labeled-data/vid 1/CollectedData_Ann.csv"
DAMAGED = (("coco", "labels.json"), ("table", "labels.csv"), ("video table", "labels.csv"),
           ("video table", "a day.mp4"), ("deeplabcut", "config.yaml"), ("deeplabcut", TABLE),
           ("lightning pose", "CollectedData.csv"), ("lightning pose", "bbox.csv"), ("coco", "images/0.png"))
SECONDS = 25  # of a try
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


def damage(path: Path, chance: random.Random) -> None:
    """Changes a file by its kind, its bytes in one of four tries, and a name of COCO's images in another."""
    content, deed = path.read_bytes(), chance.random()
    if path.suffix == ".json" and deed < 0.25:
        path.write_bytes(text_of(put(json.loads(content), "images/0/file_name", chance.choice(NAMES))))
    elif path.suffix == ".json" and deed < 0.75:
        path.write_bytes(text_of(changed_json(json.loads(content), chance)))
    elif path.suffix == ".csv" and deed < 0.75:
        path.write_bytes(changed_table(content.decode(), chance))
    else:
        path.write_bytes(changed_bytes(content, chance))


def use(kind: str, file: Path, folder: Path, chance: random.Random) -> None:
    """Reads what was damaged, and writes it for another tool.

    Raises:
        AssertionError: labels that no file can mean were taken.
    """
    if file.suffix == ".png":
        read_image(file)
    elif file.suffix == ".mp4":
        for _ in open_video(file):
            pass
    elif kind == "coco" and chance.random() < 0.3:
        boxes = [box for of_frame in read_boxes(file).of.values() for box in of_frame.values()]
        assert all((np.abs(box) <= 1e6).all() and (box[2:] > 0).all() for box in boxes), "a box that is none"
    else:
        project = read_project(folder / "p")
        for one in project.instances:
            seen = one.keypoints[one.visible > 0]
            assert len(seen), "an instance without labels"
            assert (np.abs(seen) <= 1e6).all(), "a label that is none"
        labels = write_project(project, chance.choice(("coco", "csv", "deeplabcut")), folder / "out")
        assert all(path.resolve().is_relative_to(folder / "out") for path in labels), "labels elsewhere"


def tried(number: int, seed: int, samples: dict[str, Path], root: Path, written: list[str]) -> tuple[str, str]:
    """Makes one try; returns its outcome (refused, accepted or wrong) and what was said."""
    chance = random.Random(1_000_003 * seed + number)
    kind, name = DAMAGED[number % len(DAMAGED)]
    folder = root / "try"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(samples[kind], folder / "p")
    damage(folder / "p" / name, chance)
    written.clear()
    signal.alarm(SECONDS)
    try:
        with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
            use(kind, folder / "p" / name, folder, chance)
        found = "accepted", ""
    except InputError as error:
        found = ("refused" if str(error).strip() else "wrong"), str(error)
    except BaseException:
        found = "wrong", traceback.format_exc(limit=-3)
    signal.alarm(0)
    elsewhere = [path for path in written if not path.startswith((str(folder / "out"), str(folder / ".out.")))]
    return ("wrong", f"written: {elsewhere[:3]}") if elsewhere else found


def run(tries: int, seed: int = 0, say: Callable[[str], None] = print) -> Counter:
    """Makes tries of all kinds in turn; returns the number of each outcome."""
    counts, written = Counter(), []

    def watch(event: str, of: tuple) -> None:
        if event == "open" and isinstance(of[0], str | bytes) and of[2] & WRITING:
            path = os.path.realpath(os.fsdecode(of[0]))
            if not path.startswith("/dev/") and "__pycache__" not in path:
                written.append(path)

    def hangs(*_) -> None:
        raise TimeoutError(f"more than {SECONDS} s")

    signal.signal(signal.SIGALRM, hangs)
    with tempfile.TemporaryDirectory() as name:
        root = Path(name).resolve()
        samples = {kind: root / kind for kind, _ in DAMAGED}
        for kind, sample in samples.items():
            PROJECTS[kind](sample)
        Image.new("RGB", (4, 4)).save(root / "victim.png")
        sys.addaudithook(watch)
        for number in range(tries):
            outcome, said = tried(number, seed, samples, root, written)
            counts[outcome] += 1
            if outcome == "wrong":
                say(f"try {number} of seed {seed}, {DAMAGED[number % len(DAMAGED)]}: {said}")
    return counts


if __name__ == "__main__":
    found = run(*map(int, sys.argv[1:3] or ["3000"]))
    print(dict(found))
    raise SystemExit(bool(found["wrong"]))
