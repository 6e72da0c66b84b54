"""Frames to label, with predictions as proposals, as a project that the lab's own tool opens.

A prediction must never pass for a label. So no file here has a name or a column under which tools
look for labels: `machinelabels-iter0` for DeepLabCut, predicted instances for SLEAP, a results list
beside a list of images for COCO, `proposals.csv` with likelihoods for Lightning Pose and with
`score` and `status` for plain csv.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from kpjax.drawing.overlays import write_png
from kpjax.files import write_json, write_text
from kpjax.formats import deeplabcut, predictions, sleap
from kpjax.formats.names import skeleton_text
from kpjax.formats.project import Frame
from kpjax.formats.reading import FORMATS as READ
from kpjax.formats.tables import FOLDER, table_text, write_rows

FORMAT_OF_PROJECT = {one.name: one.short for one in READ if one.short}
MACHINE = "machinelabels-iter0.csv"


class Proposals(NamedTuple):
    """Frames to label, and what the network finds on them."""

    frames: tuple[Frame, ...]  # their origins
    images: tuple[np.ndarray, ...]  # (H, W, 3) uint8
    # Of these images. Their names are a folder, called as the video or as the original image's, and
    # a file in it.
    points: predictions.PredictionTable


def write_proposals(form: str, folder: Path, place: Path, found: Proposals) -> list[Path]:
    """Writes images and proposals into a new project's folder; returns the files that are not
    images.

    form: csv, coco, dlc, slp or lp, which holds one animal. place: where the folder will be.
    """
    if form == "slp":
        sleap.library()  # before anything is written
    below = FOLDER if form in ("dlc", "lp") else "images"
    points = found.points._replace(names=tuple(f"{below}/{name}" for name in found.points.names))
    for name, image in zip(points.names, found.images, strict=True):
        write_png(folder / name, image)
    if form == "dlc":
        return _deeplabcut(folder, place.absolute(), found.frames, points)
    # suggested frames with predicted instances, on which SLEAP never trains; videos are referred to
    if form == "slp":
        frames = [
            frame
            if frame.number is not None
            else frame._replace(
                path=place.absolute() / name, size=tuple(size), session=Path(name).parent.name
            )
            for frame, name, size in zip(
                found.frames, points.names, points.sizes.tolist(), strict=True
            )
        ]
        return [
            sleap.save(
                folder / "proposals.slp",
                points.skeleton,
                frames,
                predictions.sleap_animals(points),
                name="skeleton",
                suggested=range(len(frames)),
            )
        ]
    if form == "lp":
        return [
            write_text(
                folder / "proposals.csv",
                table_text(predictions.deeplabcut_table(points, points.title)),
            )
        ]
    if form == "coco":
        return [
            write_json(folder / "images.json", predictions.coco_images(points)),
            write_json(folder / "proposals.json", predictions.coco_results(points)),
        ]
    return [
        write_rows(folder / "proposals.csv", predictions.csv_rows(points)),
        write_text(folder / "skeleton.json", skeleton_text(points.skeleton)),
    ]


def _deeplabcut(
    folder: Path, place: Path, frames: Sequence[Frame], points: predictions.PredictionTable
) -> list[Path]:
    """Writes `labeled-data/<video>/machinelabels-iter0.csv` and .h5, as DeepLabCut's search for
    outliers does.
    """
    names, animals = points.skeleton.names, points.instances
    pairs = tuple((names[a], names[b]) for a, b in points.skeleton.edges)
    config = deeplabcut.Config(names, (), animals if len(animals) > 1 else (), pairs, points.title)
    videos = {
        str(frame.path.absolute()): tuple(size)
        for frame, size in zip(frames, points.sizes.tolist(), strict=True)
        if frame.number is not None
    }
    written = [write_text(folder / "config.yaml", deeplabcut.config_text(config, place, videos))]
    table, homes = (
        predictions.deeplabcut_table(points, points.title),
        [Path(name).parent for name in points.names],
    )
    for home in dict.fromkeys(homes):
        rows = sorted(
            (row for row, one in enumerate(homes) if one == home), key=lambda row: points.names[row]
        )
        own = table._replace(keys=tuple(table.keys[row] for row in rows), values=table.values[rows])
        written += deeplabcut.write_table(own, folder / home / MACHINE)
    return written
