"""Frames to label, with predictions as proposals, as a project that the lab's own tool opens.

A prediction must never pass for a label. So no file here has a name or a column under which tools
look for labels: `machinelabels-iter0` for DeepLabCut, predicted instances for SLEAP, a results list
beside a list of images for COCO, `proposals.csv` with likelihoods for Lightning Pose and with
`score` and `status` for plain csv.
"""

import hashlib
import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import numpy as np

from kpjax.drawing.overlays import animal_colours, keypoint_colours, write_png
from kpjax.files import sha256_of, write_json, write_text
from kpjax.formats import deeplabcut, predictions, sleap
from kpjax.formats.names import skeleton_text
from kpjax.formats.project import Frame
from kpjax.formats.reading import FORMATS as READ
from kpjax.formats.tables import FOLDER, table_text

FORMAT_OF_PROJECT = {one.name: one.short for one in READ if one.short}
MACHINE = "machinelabels-iter0.csv"
HEX = "#{:02x}{:02x}{:02x}"


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
    points = found.points._replace(
        names=tuple(f"{images_below(form)}/{name}" for name in found.points.names)
    )
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
        write_text(folder / "proposals.csv", predictions.csv_text(points)),
        write_text(folder / "skeleton.json", skeleton_text(points.skeleton)),
    ]


def images_below(form: str) -> str:
    """Returns the folder of a new project in which `write_proposals` puts the folders of images."""
    return FOLDER if form in ("dlc", "lp") else "images"


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


# A page on which proposals are corrected by hand in a browser, without a network: `label.html`
# beside the images. It begins with the network's points; those below the cutoff and beyond the
# image begin as not visible. What a person accepted is downloaded as corrected.csv, a plain table
# of labels whose images are below its folder.

PAGE, CORRECTED = "label.html", "corrected.csv"
# Of the table that the page writes: what an image is stands there, whatever other files are called.
COLUMNS = ("image", "video", "frame", "sha256", "instance", "keypoint", "x", "y", "visible")
_TEMPLATE = Path(__file__).with_name("page.html")


def write_page(
    folder: Path,
    place: Path,
    found: Proposals,
    form: str,
    *,
    cutoff: float,
    project: Path | None = None,
) -> Path:
    """Writes the page into the folder of proposals and returns its path.

    folder, place, form: of `write_proposals`, with the images. cutoff: points with a lower score
    begin as not visible.
    project: whose labels these will be, for the command that the page names.
    """
    frames, table = [], found.points
    for row, (frame, name) in enumerate(zip(found.frames, table.names, strict=True)):
        width, height = table.sizes[row].tolist()
        file = f"{images_below(form)}/{name}"
        points = [
            [
                [round(float(value), 3) for value in (*point, score)]
                for point, score in zip(
                    table.keypoints[row, animal], table.scores[row, animal], strict=True
                )
            ]
            if table.status[row, animal] == predictions.OK
            else []
            for animal in range(len(table.instances))
        ]
        video = ["", ""] if frame.number is None else [str(frame.path.absolute()), frame.number]
        frames.append(
            {
                "file": quote(file),
                "in_table": [file, *video, sha256_of(folder / file)],
                "name": name,
                "width": width,
                "height": height,
                "points": points,
            }
        )
    train = shlex.join(
        [
            "kpjax",
            "train",
            "--project",
            "PROJECT" if project is None else str(project),
            "--project",
            str(place / CORRECTED),
        ]
    )
    content = {
        "keypoints": list(table.skeleton.names),
        "edges": [list(edge) for edge in table.skeleton.edges],
        "colours": [
            HEX.format(*map(int, colour))
            for colour in keypoint_colours(len(table.skeleton.names)).tolist()
        ],
        "animals": list(table.instances),
        "columns": list(COLUMNS),
        "cutoff": cutoff,
        "animal_colours": [
            HEX.format(*map(int, colour)) for colour in animal_colours(len(table.instances))
        ],
        "frames": frames,
        "how": f"Put corrected.csv beside this page, then: {train}",
    }
    content["digest"] = hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]
    # No name may end the script or begin a tag.
    data = (
        json.dumps(content, allow_nan=False)
        .replace("<", "\\u003c")
        .replace(">", "\\u003e")
        .replace("&", "\\u0026")
    )
    return write_text(folder / PAGE, _TEMPLATE.read_text(encoding="utf-8").replace("@DATA@", data))
