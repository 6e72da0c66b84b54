"""Draws the moving image of the start page: points of two flies over a part of their video.

python docs/flies.py points/clip.csv clip.mp4 docs/images/flies.gif

The video and its labels are `tests/data/tracks` of the repository talmolab/sleap (BSD-3-Clause). A project of 26 frames
from the first half of the video, of which 21 train, and boxes of the animals were given to

kpjax train semi_supervised --project flies --weights FILE --network mobilenet_v2 --size 128 --heatmap-size 64 \
    --labelled 0.95 --variants supervised_warped
kpjax predict runs/semi_supervised/own/supervised_warped/seed-0 clip.mp4 --boxes boxes.csv --frames 900:1020 \
    --out points
"""
import csv
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

sys.path[:0] = [str(Path(__file__).resolve().parents[1])]

from kpjax.images.video import frames_of_one_size, open_video

EDGES = (("head", "eyeL"), ("head", "eyeR"), ("head", "thorax"), ("thorax", "abdomen"), ("abdomen", "wingL"),
         ("abdomen", "wingR"), ("thorax", "forelegL4"), ("thorax", "forelegR4"), ("thorax", "midlegL4"),
         ("thorax", "midlegR4"), ("thorax", "hindlegL4"), ("thorax", "hindlegR4"))
COLOURS = ("#ffb000", "#40b0ff")  # one for each animal
MARGIN, ZOOM, EVERY = 20, 1.5, 6  # px about the animals; image pixels for one of the video; frames between two


def main(table: Path, video: Path, out: Path) -> None:
    """Writes the moving image."""
    points: dict[int, dict[str, dict[str, tuple[float, float]]]] = defaultdict(lambda: defaultdict(dict))
    with table.open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            points[int(row["frame"])][row["instance"]][row["keypoint"]] = float(row["x"]), float(row["y"])
    everything = np.array([point for frame in points.values() for one in frame.values() for point in one.values()])
    low, high = everything.min(0).round().astype(int) - MARGIN, everything.max(0).round().astype(int) + MARGIN
    drawn = []
    for number, frame in frames_of_one_size(open_video(video)):
        if number not in points or number % EVERY:
            continue
        image = Image.fromarray(frame).crop((*low.tolist(), *high.tolist()))
        image = Image.eval(image.resize([round(ZOOM * side) for side in image.size], Image.Resampling.BICUBIC),
                           lambda value: min(255, int(1.6 * value)))
        pen = ImageDraw.Draw(image)
        for colour, one in zip(COLOURS, points[number].values(), strict=True):
            placed = {name: tuple(((np.array(point) - low + 0.5) * ZOOM).tolist()) for name, point in one.items()}
            for start, end in EDGES:
                pen.line([placed[start], placed[end]], fill=colour, width=2)
            for x, y in placed.values():
                pen.ellipse([x - 3, y - 3, x + 3, y + 3], fill=colour)
        drawn.append(image.quantize(24, dither=Image.Dither.NONE))
    drawn[0].save(out, save_all=True, append_images=drawn[1:], duration=200, loop=0, optimize=True)
    print(f"{out}: {len(drawn)} frames of {drawn[0].width}x{drawn[0].height} px, {out.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
