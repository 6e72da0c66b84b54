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
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1] / name) for name in ("faults", "lab/formats")]

import numpy as np
from damaging import PROJECTS
from hostile import CELLS, NAMES, VALUES, put, text_of

from kpjax.errors import InputError
from kpjax.images.reading import read_image
from kpjax.images.video import open_video
from kpjax.lab.formats.boxes_file import read_boxes
from kpjax.lab.formats.reading import read_project
from kpjax.lab.formats.writing import write_project

DAMAGED = (("coco", "labels.json"), ("table", "labels.csv"), ("video table", "labels.csv"),
           ("video table", "a day.mp4"), ("deeplabcut", "config.yaml"),
           ("deeplabcut", "labeled-data/vid 1/CollectedData_Ann.csv"),
           ("lightning pose", "CollectedData.csv"), ("lightning pose", "bbox.csv"), ("coco", "images/0.png"))
SECONDS = 25  # of a try
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


def places(content, depth=0):
    """Yields (parent, key) of all nodes of JSON but those of the deepest nests."""
    items = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, value in list(items):
        yield content, key
        if depth < 20:
            yield from places(value, depth + 1)


def damage(path: Path, chance: random.Random) -> None:
    """Changes up to three values of a file by its kind, or its bytes in one of four tries."""
    content, deed = path.read_bytes(), chance.random()
    if path.suffix == ".json" and deed < 0.25:
        content = text_of(put(json.loads(content), "images/0/file_name", chance.choice(NAMES)))
    elif path.suffix == ".json" and deed < 0.75:
        found = json.loads(content)
        for _ in range(chance.choice((1, 1, 3))):
            parent, key = chance.choice(list(places(found)))
            parent[key] = chance.choice((*VALUES, [parent[key]], json.loads("[" * 300 + "]" * 300)))
        content = text_of(found)
    elif path.suffix == ".csv" and deed < 0.75:
        rows = [line.split(",") for line in content.decode().splitlines()]
        for _ in range(chance.choice((1, 1, 3))):
            at = chance.randrange(len(rows))
            column = chance.randrange(len(rows[at]))
            rows[at][column:] = chance.choice(([chance.choice(CELLS), *rows[at][column + 1:]],) * 6 + (["x"], rows[at]))
        content = ("\n".join(map(",".join, rows)) + "\n").encode("utf-8", "surrogatepass")
    else:
        at, length = chance.randrange(len(content)), chance.choice((1, 2, 8, 64))
        before, cut, after = content[:at], content[at:at + length], content[at + length:]
        flipped = bytes([cut[0] ^ 4]) + cut[1:]
        content = before + chance.choice((b"", cut * 3, bytes(length), b"9" * 5000, flipped)) + after
    path.write_bytes(content)


def use(kind: str, file: Path, folder: Path, chance: random.Random) -> None:
    """Reads what was damaged, and writes it for another tool. Raises AssertionError if nonsense is taken."""
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
        seen = [one.keypoints[one.visible > 0] for one in project.instances]
        assert all(len(points) and (np.abs(points) <= 1e6).all() for points in seen), "labels that are none"
        labels = write_project(project, chance.choice(("coco", "csv", "deeplabcut")), folder / "out")
        assert all(path.resolve().is_relative_to(folder / "out") for path in labels), "labels elsewhere"


def tried(number: int, seed: int, root: Path, written: list[str]) -> tuple[str, str]:
    """Makes one try; returns its outcome (refused, accepted or wrong) and what was said."""
    chance = random.Random(1_000_003 * seed + number)
    kind, name = DAMAGED[number % len(DAMAGED)]
    folder = root / "try"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(root / kind, folder / "p")
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


def run(tries: int, seed: int = 0) -> Counter:
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
        for kind in dict(DAMAGED):
            PROJECTS[kind](root / kind)
        (root / "victim.png").touch()
        sys.addaudithook(watch)
        for number in range(tries):
            outcome, said = tried(number, seed, root, written)
            counts[outcome] += 1
            if outcome == "wrong":
                print(f"try {number} of seed {seed}, {DAMAGED[number % len(DAMAGED)]}: {said}")
    return counts


if __name__ == "__main__":
    found = run(*map(int, sys.argv[1:3] or ["3000"]))
    print(dict(found))
    raise SystemExit(bool(found["wrong"]))
