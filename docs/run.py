"""Runs every command of the pages on small projects with few steps, and makes their images.

python docs/run.py [PAGE...]                       small: all pages with commands, some minutes on two cores
python docs/run.py --list [PAGE...]                says what would run, and runs nothing
python docs/run.py --outputs [PAGE...]             the same, and keeps what the pages show of the commands' words
python docs/run.py --images [PAGE...]            as they are shown, and keeps the images of the pages
python docs/run.py --images --folder F PAGE      in a folder that stays: finished runs are not trained again

Lines in blocks `sh` run in their order. Commands that train get few steps of a tiny network, by
flags in place of those that are shown, unless images are made. Pages on tools have synthetic people
in the format of their tool, tutorials what `python -m experiments render` makes. Needs the extras
dlc and sleap.
"""

import argparse
import contextlib
import itertools
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageSequence

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "docs"), str(ROOT / "tests" / "lab")]

from own_projects import synthetic_project

from data.figures import DOMAINS, figures
from experiments.render import TUTORIALS
from kpjax.files import write_text
from kpjax.formats.project import Project
from kpjax.formats.tables import Table, table_text
from kpjax.formats.writing import write_project
from kpjax.images.video import write_video
from kpjax.lab.commands.train import system_and_flags

PAIRS = "pairs"  # a project of SLEAP with two people in every image
PREDICTED = "predicted"  # a csv project, and what DeepLabCut would write of some of its keypoints
PAGES = {
    "start": "csv",
    "own/deeplabcut": "deeplabcut",
    "own/sleap": "sleap",
    "own/lightning_pose": "lightning_pose",
    "own/coco": "coco",
    "own/csv": "csv",
    "own/two_flies": PAIRS,
    "own/old_model": PREDICTED,
    **dict.fromkeys((f"tutorials/{name}" for name in TUTORIALS), ""),
}
# with the format of its project; tutorials have their own
IMAGES = {  # of a page: what a command wrote, and its name in docs/images
    "start": {
        "runs/my_project_labels.png": "labels.png",
        "errors/worst.png": "worst.jpg",
        "points/session_sheet.jpg": "start_sheet.jpg",
    },
    "tutorials/regda": {"domains.jpg": "regda.jpg"},
    "tutorials/semi_supervised": {"errors/worst.png": "semi_supervised.jpg"},
    "tutorials/incremental": {
        "forgotten/points_sheet.jpg": "incremental_finetune.jpg",
        "points/points_sheet.jpg": "incremental_kamp.jpg",
    },
    "tutorials/pyramids": {"points/athlete_0_overlay.gif": "pyramids.gif"},
    "tutorials/adaptation": {"points/points_sheet.jpg": "adaptation.jpg"},
}
# of a page: the picture of before and after, and which rows of what commands wrote stand above and below
PAIRS_SHOWN = {
    "tutorials/regda": ("camera_pair.jpg", ("domains.jpg", 0, 1 / 3), ("domains.jpg", 2 / 3, 1)),
    "tutorials/semi_supervised": (
        "labels_pair.jpg",
        ("before/points_sheet.jpg", 0, 0.283),
        ("points/points_sheet.jpg", 0, 0.3),
    ),
    "tutorials/incremental": (
        "points_pair.jpg",
        ("forgotten/points_sheet.jpg", 0, 1 / 2),
        ("points/points_sheet.jpg", 0, 1 / 2),
    ),
}
PAIR_SIDE = 640  # px of its longer side
SIDE = 128
NETWORK = "--image-size 32 --heatmap-size 8 --widths 4 4 8 --head-width 4"
SMALL = {  # flags in place of those of a page, by system
    "semi_supervised": "--batch-size 8 --feature-width 8 --evaluations 1 --steps 2 --warm-start-steps 1",
    "regda": "--batch-size 8 --augmentation none --evaluations 1 --steps 1 --pretraining-steps 1",
    "incremental": "--batch-size 8 --steps 2 --augmentation none",
    "pyramids": "--image-size 32 --level-sizes 2 4 --batch-size 8 --steps 3 --window 5",
    "adaptation": "--batch-size 8 --steps 1 --landmarks 3 --generator-width 4 --repeats 1",
}
ONE_VARIANT = {  # where a page names none
    "semi_supervised": "supervised_warped",
    "regda": "adapted",
    "incremental": "ksd_only",
    "pyramids": "pyramids",
    "adaptation": "adapted",
}
# a file for each command whose words a page shows: PAGE_COMMAND.txt
OUTPUTS = ROOT / "docs" / "outputs"
ALL_PAGES = "".join(page.read_text(encoding="utf-8") for page in (ROOT / "docs").rglob("*.md"))
# characters that a code box shows at 1280 px; first and last lines of an output that stay
WIDTH, KEPT = 88, (12, 6)
KEPT_OF = {"train": (16, 36), "evaluate": (16, 13), "check": (9, 15)}  # of a command
ROW = re.compile(r"\S.*?(?: +(?:[\d.,]+|–|none|\d+ of \d+)){3,}$")  # of a table of keypoints
# of a page that says so, where images are made
SHOWN = {"start": "--image-size 64 --warm-start-steps 60 --steps 240"}
# bytes of an image; of a tutorial's images, where commands run small
LARGEST, LEAST_SHARE = 150_000, 0.1
PROGRAMS = ("kpjax", "python")  # what a line begins with; others install


def name_of(words: list[str]) -> str:
    """Returns the name of a command: behind `kpjax`, or behind `python -m experiments`."""
    return words[3 if words[0] == "python" else 1]


def commands(page: str) -> list[list[str]]:
    """Returns the command lines in the blocks `sh` of a page, without those that install."""
    blocks = (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8").split("```sh\n")[1:]
    lines = [
        line for block in blocks for line in block.split("```")[0].replace("\\\n", " ").splitlines()
    ]
    return [
        words
        for line in lines
        if (words := shlex.split(line, comments=True)) and words[0] in PROGRAMS
    ]


def made_smaller(words: list[str]) -> list[str]:
    """Returns a command with few steps, if it trains; a run that it goes on from decides the
    network.
    """
    if words[0] == "python":
        return words if words[3] != "render" else [*words, "--share", str(LEAST_SHARE)]
    if words[:2] != ["kpjax", "train"]:
        return words
    system, _ = system_and_flags(words[2:])
    fresh = system in ("semi_supervised", "regda") and "--start" not in words
    fresh |= "predictions.csv" in words
    small = shlex.split(f"{NETWORK if fresh else ''} {SMALL[system]}")
    if "--variants" not in words:
        small += ["--variants", ONE_VARIANT[system]]
    return [*without_flags(words, [word for word in small if word.startswith("--")]), *small]


def without_flags(words: list[str], flags: list[str]) -> list[str]:
    """Returns a command without some flags and their values."""
    kept, leaving_out = [], False
    for word in words:
        leaving_out = word in flags if word.startswith("--") else leaving_out
        kept += [] if leaving_out else [word]
    return kept


def make_inputs(folder: Path, form: str) -> None:
    """Writes my_project, another_project and session.mp4."""
    for number, name in enumerate(("my_project", "another_project")):
        made = synthetic_project(
            folder / "rendered" / name,
            labelled=4,
            unlabelled=2,
            side=SIDE,
            keypoints=10,
            first=100 * number,
        )
        if form == PAIRS:
            made = in_pairs(made)
        write_project(made, {PAIRS: "sleap", PREDICTED: "csv"}.get(form, form), folder / name)
        if form == PREDICTED and not number:
            write_text(folder / "predictions.csv", predictions_of(made))
    people = figures(12, first=300, domain=DOMAINS["source"], seed=0, side=SIDE)
    frames = (np.asarray(people[n].image) for n in range(12))
    write_video(
        folder / "session.mp4",
        (
            np.concatenate([frame, frame[:, ::-1]], 1) if form == PAIRS else frame
            for frame in frames
        ),
        rate=10.0,
    )


def predictions_of(project: Project) -> str:
    """Returns a table of DeepLabCut: the first keypoints of a project, a pixel off their labels."""
    names = project.skeleton.names[:4]
    points = tuple(("", name) for name in names)
    keys = tuple(project.frames[one.frame].name for one in project.instances)
    found = np.stack([one.keypoints[: len(names)] + 1 for one in project.instances])
    values = np.concatenate([found, np.full((*found.shape[:2], 1), 0.9)], -1)
    return table_text(Table("DLC_made", points, ("x", "y", "likelihood"), keys, values))


def in_pairs(project: Project) -> Project:
    """Puts each image of a project beside the one before it, with the labels of both, as two
    animals with tracks.
    """
    images = [np.asarray(Image.open(frame.path)) for frame in project.frames]
    labels = {one.frame: one for one in project.instances}
    frames, instances = [], []
    for number in range(1, len(images)):
        frame, width = project.frames[number], images[number].shape[1]
        Image.fromarray(np.concatenate([images[number], images[number - 1]], 1)).save(frame.path)
        if number in labels and number - 1 in labels:
            for of, shift, name in ((number, 0, "ann"), (number - 1, width, "bob")):
                points = labels[of].keypoints + [shift, 0]
                instances.append(
                    labels[of]._replace(frame=len(frames), keypoints=points, track=name)
                )
        frames.append(frame._replace(size=(2 * width, images[number].shape[0])))
    return project._replace(frames=tuple(frames), instances=tuple(instances))


def run_page(page: str, form: str, folder: Path, *, as_shown: bool, outputs: bool) -> None:
    """Runs the commands of a page in a folder, and keeps its images if they run as they are shown.

    outputs: Whether what they print is kept, where the page shows it.

    What earlier commands wrote there is made again, but for finished runs and a tutorial's images.
    """
    if form and not (folder / "my_project").exists():
        make_inputs(folder, form)
    first = set()  # outputs of this page: a later command of the same name is not shown
    for words in commands(page):
        shown, made = words, words if as_shown else made_smaller(words)
        if as_shown and name_of(words) == "train" and "--start" not in words:
            made = [*made, *shlex.split(SHOWN.get(page, ""))]
        if "--out" in words and name_of(words) != "render":  # which replaces nothing
            shutil.rmtree(folder / words[words.index("--out") + 1], ignore_errors=True)
        if name_of(words) == "render" and any(folder.iterdir()):
            continue
        print("$", *shown, flush=True)
        program = [sys.executable] if made[0] == "python" else [sys.executable, "-m", "kpjax"]
        said = subprocess.run(
            [*program, *made[1:]],
            cwd=folder,
            check=True,
            text=True,
            encoding="utf-8",
            stdout=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        ).stdout
        print(said, flush=True)
        kept = OUTPUTS / f"{page.rpartition('/')[2]}_{name_of(words)}.txt"
        if outputs and kept.name in ALL_PAGES and kept not in first:
            first.add(kept)
            kept.write_text(
                shortened(said, folder, *KEPT_OF.get(name_of(words), KEPT)), encoding="utf-8"
            )
    for written, name in IMAGES.get(page, {}).items() if as_shown else ():
        keep_image(folder / written, ROOT / "docs" / "images" / name)
    if as_shown and page in PAIRS_SHOWN:
        name, *parts = PAIRS_SHOWN[page]
        keep_pair([(folder / path, *rows) for path, *rows in parts], ROOT / "docs/images" / name)


def keep_pair(parts: list[tuple[Path, float, float]], kept: Path) -> None:
    """Writes one image of rows of two others, one above the other.

    parts: of each its path, and where the rows begin and end as shares of its height.
    """
    rows = []
    for path, first, last in parts:
        with Image.open(path) as image:
            ends = round(first * image.height), round(last * image.height)
            rows.append(image.convert("RGB").crop((0, ends[0], image.width, ends[1])))
    made = Image.new("RGB", (rows[0].width, sum(row.height for row in rows)))
    made.paste(rows[0], (0, 0))
    made.paste(rows[1], (0, rows[0].height))
    made.thumbnail((PAIR_SIDE, PAIR_SIDE))
    made.save(kept, quality=80, optimize=True)


def shortened(said: str, folder: Path, first: int, last: int) -> str:
    """Returns the first and the last lines of an output, no wider than a code box, with paths below
    the folder.

    Versions and speeds, which are those of one machine, are left out.
    """
    said = re.sub(r" in [\d.]+ s \([\d.]+ a second[^)]*\)", " in ... s", said)
    said = (
        said.replace(f"{folder}/", "")
        .replace(str(folder), "/home/me/tutorial")
        .replace(str(Path.home()), "~")
    )
    whole, before = [], ""
    for line in said.rstrip().splitlines():
        goes_on = re.match(r" {2,4}([^ -]|--)", line) and not line.startswith("  kpjax")
        if len(before) > WIDTH + 10 and goes_on:  # a screen is wider than a box
            whole[-1] += " " + line.strip()
        elif not line.startswith(("python 3", "cpu: ")):
            whole.append(line)
        before = line
    lines = [
        part
        for line in whole
        for part in textwrap.wrap(
            line,
            WIDTH,
            subsequent_indent="  " if line.startswith("- ") else "    ",
            replace_whitespace=False,
            break_on_hyphens=False,
        )
        or [""]
    ]
    lines = without_rows(lines)
    if len(lines) > first + last + 1:
        goes_on = itertools.takewhile(lambda line: line.startswith("    "), lines[-last:])
        whole_from = len(list(goes_on))  # behind the end of a line that is left out
        lines = [*lines[:first], "...", *lines[-last:][whole_from:]]
    return "\n".join(lines) + "\n"


def without_rows(lines: list[str]) -> list[str]:
    """Returns lines without the middle rows of long tables."""
    kept = []
    for of_table, group in itertools.groupby(lines, lambda line: bool(ROW.match(line))):
        rows = list(group)
        kept += [*rows[:3], "...", rows[-1]] if of_table and len(rows) > 5 else rows
    return kept


def keep_image(path: Path, kept: Path) -> None:
    """Writes an image into the folder of the pages, below 150 kB: less fine, and a moving one with
    fewer frames.
    """
    kept.parent.mkdir(exist_ok=True)
    with Image.open(path) as image:
        if kept.suffix == ".gif":
            frames, duration = (
                [frame.copy() for frame in ImageSequence.Iterator(image)],
                image.info["duration"],
            )
            for step in range(1, len(frames)):
                frames[0].save(
                    kept,
                    save_all=True,
                    append_images=frames[step::step],
                    duration=step * duration,
                    loop=0,
                )
                if kept.stat().st_size < LARGEST:
                    return
        image.thumbnail((1000, 1000))
        if kept.suffix == ".png":
            image.convert("P", palette=Image.Palette.ADAPTIVE).save(kept, optimize=True)
            return
        for quality in range(88, 20, -6):
            image.convert("RGB").save(kept, quality=quality, optimize=True)
            if kept.stat().st_size < LARGEST:
                return


@contextlib.contextmanager
def working_folder(folder: Path | None) -> Iterator[Path]:
    """Gives a folder that stays, or a new one that does not."""
    if folder is None:
        with tempfile.TemporaryDirectory() as made:
            yield Path(made)
    else:
        folder.mkdir(parents=True, exist_ok=True)
        yield folder.resolve()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "pages", nargs="*", metavar="PAGE", help=f"of {', '.join(PAGES)} (default: all)"
    )
    parser.add_argument("--list", action="store_true", help="say what would run, and run nothing")
    parser.add_argument(
        "--images", action="store_true", help="run commands as they are shown, and keep the images"
    )
    parser.add_argument(
        "--outputs", action="store_true", help="keep what the commands print, where pages show it"
    )
    parser.add_argument(
        "--folder", type=Path, help="where they run (default: a folder that is removed)"
    )
    asked = parser.parse_args()
    for page in asked.pages or PAGES:
        if asked.list:
            print(*(shlex.join(made_smaller(words)) for words in commands(page)), sep="\n")
            continue
        with working_folder(asked.folder) as folder:
            run_page(page, PAGES[page], folder, as_shown=asked.images, outputs=asked.outputs)
