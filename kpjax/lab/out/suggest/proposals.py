"""Frames to label, with predictions as proposals, as a project that the lab's own tool opens.

A prediction must never pass for a label. So no file here has a name or a column under which tools look for labels:
`machinelabels-iter0` for DeepLabCut, predicted instances for SLEAP, a results list beside a list of images for COCO,
`proposals.csv` with likelihoods for Lightning Pose and with `proposed_x`, `proposed_y` for plain csv.
"""
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from kpjax.drawing.overlays import write_png
from kpjax.files import write_json, write_text
from kpjax.lab.formats import deeplabcut, sleap
from kpjax.lab.formats.deeplabcut import Config, config_text
from kpjax.lab.formats.project import Frame
from kpjax.lab.formats.reading import FORMATS as READ
from kpjax.lab.formats.skeleton_file import skeleton_text
from kpjax.lab.formats.tables import FOLDER, Table, predicted_table, rows_text, table_text
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

    form: one of FORMATS; lp holds one animal. place: where the folder will be. proposals: each with a name of its own
    in its folder. scorer: the name of the predictor, for tables that have one.
    """
    if form == "slp":
        sleap.library()  # before anything is written
    images = {f"{images_below(form)}/{one.file}": one for one in proposals}
    for path, one in images.items():
        write_png(folder / path, one.image)
    return FORMATS[form](folder, place.absolute(), images, skeleton, scorer)


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
    config = Config(skeleton.names, (), animals if len(animals) > 1 else (), pairs, scorer, {})
    videos = {str(one.frame.path.absolute()): one.image.shape[1::-1] for one in images.values()
              if one.frame.number is not None}
    written = [write_text(folder / "config.yaml", config_text(config, place, videos))]
    for video in dict.fromkeys(one.folder for one in images.values()):
        own = {path: one for path, one in sorted(images.items()) if one.folder == video}
        written += deeplabcut.write_table(_table(own, skeleton, scorer), folder / FOLDER / video / MACHINE, key_cells=3)
    return written


def _sleap(folder: Path, place: Path, images: Images, skeleton: Skeleton, scorer: str) -> list[Path]:
    """Writes suggested frames with predicted instances, on which SLEAP never trains; videos are referred to."""
    frames = [one.frame if one.frame.number is not None else one.frame._replace(
        path=place / path, size=one.image.shape[1::-1], session=one.folder) for path, one in images.items()]
    animals = [[sleap.Animal(one.keypoints[n], one.animals[n] if len(one.animals) > 1 else "", one.scores[n])
                for n in one.present] for one in images.values()]
    return [sleap.save(folder / "proposals.slp", skeleton, frames, animals, name="skeleton",
                       suggested=range(len(frames)))]


def _coco(folder: Path, place: Path, frames: Images, skeleton: Skeleton, scorer: str) -> list[Path]:
    """Writes `images.json`, images without annotations, and `proposals.json`, a list of results."""
    images = [{"id": number, "file_name": path, "width": one.image.shape[1], "height": one.image.shape[0]}
              for number, (path, one) in enumerate(frames.items(), 1)]
    category = {"id": 1, "name": "animal", "keypoints": list(skeleton.names),
                "skeleton": [[a + 1, b + 1] for a, b in skeleton.edges]}
    results = [{"image_id": number, "category_id": 1, "score": round(float(one.scores[animal].mean()), 6),
                "keypoints": [round(float(value), 3) for point, score in
                              zip(one.keypoints[animal], one.scores[animal], strict=True)
                              for value in (*point, score)]}
               for number, one in enumerate(frames.values(), 1) for animal in one.present]
    listed = {"images": images, "annotations": [], "categories": [category]}
    return [write_json(folder / "images.json", listed), write_json(folder / "proposals.json", results)]


def _csv(folder: Path, place: Path, images: Images, skeleton: Skeleton, scorer: str) -> list[Path]:
    several = len(next(iter(images.values())).animals) > 1
    rows = [["image", *["instance"] * several, "keypoint", "proposed_x", "proposed_y", "score"]]
    rows += [[path, *[one.animals[animal]] * several, name, f"{x:.3f}", f"{y:.3f}", f"{score:.6g}"]
             for path, one in images.items() for animal in one.present
             for name, (x, y), score in zip(skeleton.names, one.keypoints[animal], one.scores[animal], strict=True)]
    return [write_text(folder / "proposals.csv", rows_text(rows)),
            write_text(folder / "skeleton.json", skeleton_text(skeleton))]


FORMATS: Mapping[str, Callable[[Path, Path, Images, Skeleton, str], list[Path]]] = {
    "csv": _csv, "coco": _coco, "dlc": _deeplabcut, "slp": _sleap,
    "lp": lambda folder, place, images, skeleton, scorer: [
        write_text(folder / "proposals.csv", table_text(_table(images, skeleton, scorer)))]}
