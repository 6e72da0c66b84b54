"""Draws the real animals of the pages: points of two flies over a part of their video, and labels
beside points.

python docs/flies.py points/clip.csv clip.mp4 docs/images/flies.gif
python docs/flies.py points/clip.csv clip.mp4 docs/images/flies.jpg clip.slp

The video and its labels are `tests/data/tracks` of the repository talmolab/sleap (Clear BSD License). A
project of 26 frames from the first half of the video, of which 21 train, and boxes of the animals
were given to these commands, by the choices of that time:

kpjax train semi_supervised --project flies --weights FILE --network mobilenet_v2 --image-size 128
--heatmap-size 64 \
    --labelled 0.95 --variants supervised_warped
kpjax predict runs/semi_supervised/own/supervised_warped/seed-0 clip.mp4 --boxes boxes.csv --frames
900:1020 \
    --out points

The still was made with --image-size 96 --heatmap-size 48 --batch-size 8 --warm-start-steps 80 --steps
140.
"""

import csv
import sys
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

sys.path[:0] = [str(Path(__file__).resolve().parents[1])]

from kpjax.formats.project import Project
from kpjax.formats.reading import read_project
from kpjax.images.video import frames_of_one_size, open_video

EDGES = (
    ("head", "eyeL"),
    ("head", "eyeR"),
    ("head", "thorax"),
    ("thorax", "abdomen"),
    ("abdomen", "wingL"),
    ("abdomen", "wingR"),
    ("thorax", "forelegL4"),
    ("thorax", "forelegR4"),
    ("thorax", "midlegL4"),
    ("thorax", "midlegR4"),
    ("thorax", "hindlegL4"),
    ("thorax", "hindlegR4"),
)
COLOURS = ("#ffb000", "#40b0ff")  # one for each animal
# px about the animals; image pixels for one of the video; frames between two
MARGIN, ZOOM, EVERY = 20, 1.5, 6
GAP = 8  # px between two images of the still


Points = dict[str, dict[str, tuple[float, float]]]  # animal -> keypoint -> place


def main(table: Path, video: Path, out: Path, labels: Path | None = None) -> None:
    """Writes the moving image; with labels, a still of them beside the points."""
    points: dict[int, Points] = defaultdict(lambda: defaultdict(dict))
    with table.open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row["status"] != "no_box":
                points[int(row["frame"])][row["instance"]][row["keypoint"]] = (
                    float(row["x"]),
                    float(row["y"]),
                )
    names = sorted({name for of in points.values() for name in of})
    points = {number: {name: of.get(name, {}) for name in names} for number, of in points.items()}
    everything = np.array(
        [point for frame in points.values() for one in frame.values() for point in one.values()]
    )
    low, high = (
        everything.min(0).round().astype(int) - MARGIN,
        everything.max(0).round().astype(int) + MARGIN,
    )
    shown = {number for number in points if number % EVERY == 0}
    frames = frames_of_one_size(open_video(video), shown)
    if labels is not None:
        write_still(read_project(labels), points, frames, out)
        return
    drawn = [
        drawn_on(frame, points[number], low, high, ZOOM).quantize(24, dither=Image.Dither.NONE)
        for number, frame in frames
    ]
    drawn[0].save(out, save_all=True, append_images=drawn[1:], duration=200, loop=0, optimize=True)
    print(
        f"{out}: {len(drawn)} frames of {drawn[0].width}x{drawn[0].height} px, {out.stat().st_size / 1000:.0f} kB"
    )


def write_still(
    project: Project,
    points: dict[int, Points],
    frames: Iterable[tuple[int, np.ndarray]],
    out: Path,
) -> None:
    """Writes the first frame twice, with its labels and with the points."""
    number, frame = next(iter(frames))
    names, labelled = project.skeleton.names, {}
    for one in project.instances:
        if project.frames[one.frame].number == number:
            labelled[one.track] = {
                name: tuple(point)
                for name, point, seen in zip(
                    names, one.keypoints.tolist(), one.visible, strict=True
                )
                if seen
            }
    places = np.array(
        [
            place
            for of in (labelled, points[number])
            for one in of.values()
            for place in one.values()
        ]
    )
    low, high = (
        places.min(0).round().astype(int) - MARGIN,
        places.max(0).round().astype(int) + MARGIN,
    )
    both = [
        drawn_on(frame, {name: of[name] for name in labelled}, low, high, 2 * ZOOM)
        for of in (labelled, points[number])
    ]
    sheet = Image.new("RGB", (both[0].width + both[1].width + GAP, both[0].height), "white")
    for place, image in zip((0, both[0].width + GAP), both, strict=True):
        sheet.paste(image, (place, 0))
    sheet.save(out, quality=85)
    print(
        f"{out}: frame {number}, {sheet.width}x{sheet.height} px, {out.stat().st_size / 1000:.0f} kB"
    )


def drawn_on(
    frame: np.ndarray, animals: Points, low: np.ndarray, high: np.ndarray, zoom: float
) -> Image.Image:
    """Returns a part of a frame, brighter and enlarged, with animals and their lines."""
    image = Image.fromarray(frame).crop((*low.tolist(), *high.tolist()))
    image = Image.eval(
        image.resize([round(zoom * side) for side in image.size], Image.Resampling.BICUBIC),
        lambda value: min(255, int(1.6 * value)),
    )
    pen = ImageDraw.Draw(image)
    for colour, one in zip(COLOURS, animals.values(), strict=True):
        placed = {
            name: tuple(((np.array(point) - low + 0.5) * zoom).tolist())
            for name, point in one.items()
        }
        for start, end in EDGES:
            if start in placed and end in placed:
                pen.line([placed[start], placed[end]], fill=colour, width=2)
        for x, y in placed.values():
            pen.ellipse([x - 3, y - 3, x + 3, y + 3], fill=colour)
    return image


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
