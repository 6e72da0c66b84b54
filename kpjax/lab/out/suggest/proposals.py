"""Frames to label, with predictions as proposals, as a project that the lab's own tool opens.

A prediction must never pass for a label. So no file here has a name or a column under which tools look for labels:
`machinelabels-iter0` for DeepLabCut, predicted instances for SLEAP, a results list beside a list of images for COCO,
`proposals.csv` with likelihoods for Lightning Pose and with `score` and `status` for plain csv.
"""
import hashlib
import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import numpy as np

from kpjax.drawing.overlays import animal_colours, keypoint_colours, write_png
from kpjax.files import sha256_of, write_json, write_text
from kpjax.lab.formats import deeplabcut, sleap
from kpjax.lab.formats.deeplabcut import Config, config_text
from kpjax.lab.formats.names import skeleton_text
from kpjax.lab.formats.predictions import PredictionTable, coco_images, coco_results, csv_text, empty_table, fill
from kpjax.lab.formats.project import Frame
from kpjax.lab.formats.reading import FORMATS as READ
from kpjax.lab.formats.tables import FOLDER, Table, predicted_table, table_text
from kpjax.structures import Skeleton

FORMAT_OF_PROJECT = {one.name: one.short for one in READ if one.short}
MACHINE = "machinelabels-iter0.csv"


class Proposal(NamedTuple):
    """A frame to label and its predicted keypoints."""

    frame: Frame  # its origin
    folder: str  # of its image: the video's name, or that of the original image's folder
    name: str  # of its image, without a folder
    image: np.ndarray  # (H, W, 3) uint8
    keypoints: np.ndarray  # (I, K, 2) float64, pixels of the image, nan for an animal that is not there
    scores: np.ndarray  # (I, K) float64, the same
    animals: tuple[str, ...] = ("0",)  # (I,) names, alike for all proposals

    @property
    def file(self) -> str:
        """Its image, below the folder of images."""
        return f"{self.folder}/{self.name}"

    @property
    def present(self) -> list[int]:
        """The numbers of the animals that are there."""
        return np.flatnonzero(np.isfinite(self.scores).all(1)).tolist()


def write_proposals(
    form: str, folder: Path, place: Path, proposals: Sequence[Proposal], skeleton: Skeleton, scorer: str,
) -> list[Path]:
    """Writes images and proposals into a new project's folder; returns the files that are not images.

    form: csv, coco, dlc, slp or lp, which holds one animal. place: where the folder will be. proposals: each with a
    name of its own in its folder. scorer: the name of the predictor, for tables that have one.
    """
    if form == "slp":
        sleap.library()  # before anything is written
    images = {f"{images_below(form)}/{one.file}": one for one in proposals}
    for path, one in images.items():
        write_png(folder / path, one.image)
    if form == "dlc":
        return _deeplabcut(folder, place.absolute(), images, skeleton, scorer)
    if form == "slp":
        return _sleap(folder, place.absolute(), images, skeleton)
    if form == "lp":
        return [write_text(folder / "proposals.csv", table_text(_table(images, skeleton, scorer)))]
    found = _points(images, skeleton, scorer)
    if form == "coco":
        return [write_json(folder / "images.json", coco_images(found)),
                write_json(folder / "proposals.json", coco_results(found))]
    return [write_text(folder / "proposals.csv", csv_text(found)),
            write_text(folder / "skeleton.json", skeleton_text(skeleton))]


def images_below(form: str) -> str:
    """Returns the folder of a new project in which `write_proposals` puts the folders of images."""
    return FOLDER if form in ("dlc", "lp") else "images"


Images = Mapping[str, Proposal]  # by the path of its image below the folder


def _table(images: Images, skeleton: Skeleton, scorer: str) -> Table:
    """Returns images, body parts and x, y, likelihood."""
    found = list(images.values())
    return predicted_table(scorer, found[0].animals, skeleton.names, tuple(images),
                           np.stack([one.keypoints for one in found]), np.stack([one.scores for one in found]))


def _deeplabcut(folder: Path, place: Path, images: Images, skeleton: Skeleton, scorer: str) -> list[Path]:
    """Writes `labeled-data/<video>/machinelabels-iter0.csv` and .h5, as DeepLabCut's search for outliers does."""
    pairs = tuple((skeleton.names[a], skeleton.names[b]) for a, b in skeleton.edges)
    animals = next(iter(images.values())).animals
    config = Config(skeleton.names, (), animals if len(animals) > 1 else (), pairs, scorer)
    videos = {str(one.frame.path.absolute()): one.image.shape[1::-1] for one in images.values()
              if one.frame.number is not None}
    written = [write_text(folder / "config.yaml", config_text(config, place, videos))]
    for video in dict.fromkeys(one.folder for one in images.values()):
        own = {path: one for path, one in sorted(images.items()) if one.folder == video}
        written += deeplabcut.write_table(_table(own, skeleton, scorer), folder / FOLDER / video / MACHINE)
    return written


def _sleap(folder: Path, place: Path, images: Images, skeleton: Skeleton) -> list[Path]:
    """Writes suggested frames with predicted instances, on which SLEAP never trains; videos are referred to."""
    frames = [one.frame if one.frame.number is not None else one.frame._replace(
        path=place / path, size=one.image.shape[1::-1], session=one.folder) for path, one in images.items()]
    animals = [[sleap.Animal(one.keypoints[n], one.animals[n] if len(one.animals) > 1 else "", one.scores[n])
                for n in one.present] for one in images.values()]
    return [sleap.save(folder / "proposals.slp", skeleton, frames, animals, name="skeleton",
                       suggested=range(len(frames)))]


def _points(images: Images, skeleton: Skeleton, scorer: str) -> PredictionTable:
    """Returns what `kpjax predict` would have found on the images."""
    found = list(images.values())
    table = empty_table(Path(), tuple(images), np.zeros(len(found)), skeleton, scorer, files=tuple(map(Path, images)),
                        instances=found[0].animals)
    for row, one in enumerate(found):
        fill(table, row, one.image.shape[1::-1], one.keypoints, one.scores, np.isfinite(one.scores).all(1))
    return table


# A page on which proposals are corrected by hand in a browser, without a network: `label.html` beside the images. It
# begins with the network's points; those below the cutoff and beyond the image begin as not visible. What a person
# accepted is downloaded as corrected.csv, a plain table of labels whose images are below its folder.

PAGE, CORRECTED = "label.html", "corrected.csv"
# Of the table that the page writes: what an image is stands there, whatever other files are called.
COLUMNS = ("image", "video", "frame", "sha256", "instance", "keypoint", "x", "y", "visible")
_TEMPLATE = Path(__file__).with_name("page.html")


def write_page(folder: Path, place: Path, proposals: Sequence[Proposal], form: str, skeleton: Skeleton, *,
               cutoff: float, project: Path | None = None) -> Path:
    """Writes the page into the folder of proposals and returns its path.

    folder, place, form: of `write_proposals`, with the images. cutoff: points with a lower score begin as not visible.
    project: whose labels these will be, for the command that the page names.
    """
    frames = []
    for one in proposals:
        height, width = one.image.shape[:2]
        file = f"{images_below(form)}/{one.file}"
        points = [[[round(float(value), 3) for value in (*point, score)]
                   for point, score in zip(one.keypoints[animal], one.scores[animal], strict=True)]
                  if animal in one.present else [] for animal in range(len(one.animals))]
        video = ["", ""] if one.frame.number is None else [str(one.frame.path.absolute()), one.frame.number]
        frames.append({"file": quote(file), "in_table": [file, *video, sha256_of(folder / file)], "name": one.file,
                       "width": width, "height": height, "points": points})
    train = shlex.join(["kpjax", "train", "--project", "PROJECT" if project is None else str(project), "--project",
                        str(place / CORRECTED)])
    content = {
        "keypoints": list(skeleton.names), "edges": [list(edge) for edge in skeleton.edges],
        "colours": [_hex(colour) for colour in keypoint_colours(len(skeleton.names)).tolist()],
        "animals": list(proposals[0].animals), "columns": list(COLUMNS), "cutoff": cutoff,
        "animal_colours": [_hex(colour) for colour in animal_colours(len(proposals[0].animals))], "frames": frames,
        "how": f"Put corrected.csv beside this page, then: {train}"}
    content["digest"] = hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]
    # No name may end the script or begin a tag.
    data = json.dumps(content, allow_nan=False).replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    return write_text(folder / PAGE, _TEMPLATE.read_text(encoding="utf-8").replace("@DATA@", data))


def _hex(colour: Sequence[int]) -> str:
    return "#" + "".join(f"{int(part):02x}" for part in colour)
