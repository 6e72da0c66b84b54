"""Label Studio's json: a list of tasks, each an image with keypoints and perhaps rectangles around
animals.

Coordinates are percent of the image. A keypoint belongs to the animal in whose rectangle it was
placed (`parentID`) or to whose rectangle a relation leads; the rectangle's label names the
individual. Without any of these all keypoints of an image are of one animal. sleap-io's reader is
not used: it reads no task with an image, knows no ground truth, and counts from the centre.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kpjax.errors import InputError, count_text
from kpjax.files import foreign
from kpjax.formats.coco import read_start
from kpjax.formats.labelled_images import LabelledImage, project_of
from kpjax.formats.names import json_of, only_file, shown_files
from kpjax.formats.options import STATED, Options
from kpjax.formats.project import Project, Report
from kpjax.images.reading import IMAGE_SUFFIXES

Region = Mapping[str, Any]
_POINT, _RECTANGLE = "keypointlabels", "rectanglelabels"
_WORDS = (b'"annotations"', b'"result"', b'"data"')


def files_of(path: Path) -> list[Path]:
    """Returns the json files of this form at a path, or in the folder that it is."""
    found = []
    for file in shown_files(path, "*.json"):
        content = read_start(file)
        if content.lstrip().startswith(b"[") and all(word in content for word in _WORDS):
            found.append(file)
    return found


def read(path: Path, report: Report, options: Options = STATED) -> Project:
    """Reads a json file, or the only one of a folder. Images are below the file's folder.

    Keypoints are in the natural order of their names, or in that of a skeleton.json. Of several
    annotations of an image that were not cancelled, the one marked as ground truth is read, else
    the first, with a doubt that says how far they are apart. Where other keypoints belong to
    rectangles, one that does not is a point of the image and of no animal: it is left out, with a
    note.
    """
    file = only_file(path, files_of(path), "json files of Label Studio")
    report = report.at(file.name)
    doubts = []
    alone = Counter()
    settled = 0
    apart = []  # of images with several annotations, none of which is marked
    with foreign(file.name, "export 'JSON' of Label Studio again"):
        tasks = json_of(file)
        # The annotations of each task that were not cancelled, the true one first.
        given = []
        for task in tasks:
            kept = [one for one in task["annotations"] if not one.get("was_cancelled")]
            kept.sort(key=lambda one: not one.get("ground_truth"))
            results = [one["result"] for one in kept]
            given.append(results)
            if len(kept) > 1 and kept[0].get("ground_truth"):
                settled += 1
            elif len(kept) > 1:
                apart.append(max(_apart(results[0], other) for other in results[1:]))
        several = any(_of_type(_RECTANGLE, found[0]) for found in given if found)
        images = []
        for task, found in zip(tasks, given, strict=True):
            result = found[0] if found else []
            stored = _image_of(task, file.name)
            image = _read_image(stored, result, report, several, alone)
            images.append(image._replace(is_listed=bool(found)))
    called = Counter((image.stored, name) for image in images for name in image.tracks.values())
    if any(times > 1 for times in called.values()):  # labels name a kind
        images = [image._replace(tracks={}) for image in images]
    if alone:
        report.notes.append(
            f"{alone.total()} points ({', '.join(alone)}) belong to no rectangle, and to no animal: left out"
        )
    if settled:
        report.notes.append(
            f"{count_text(settled, 'image')} with several annotations: the ground truth is read"
        )
    if apart:
        doubts.append(
            f"{count_text(len(apart), 'image')} with several annotations, whose points are {np.mean(apart):.1f} px "
            "apart on average: the first of each is read; mark the right one as ground truth"
        )
    return project_of(
        file.parent,
        images,
        report,
        tool="Label Studio",
        form="label_studio",
        folders=[file.parent, file.parent / "images"],
        mend="rectangles and relations",
        doubts=doubts,
    )


def _image_of(task: Mapping[str, Any], label: str) -> str:
    """Returns the address of an image. Raises InputError for a task of something else."""
    for given in task["data"].values():
        if not isinstance(given, str):
            continue
        for name in (given, given.partition("?")[0]):
            if name.lower().endswith(IMAGE_SUFFIXES):
                return name
    raise InputError(
        f"{label}, task {task.get('id')}: there is no image in it, only {', '.join(task['data'])}; export tasks of "
        "images, and videos frame by frame"
    )


def _read_image(
    stored: str, result: Sequence[Region], report: Report, several: bool, alone: Counter
) -> LabelledImage:
    """Returns what an annotation says of an image. All points are of one animal if not `several`;
    `alone` counts those of no rectangle else."""
    report = report.within(stored.rpartition("/")[2])
    if any(one.get("image_rotation") for one in result):
        report.fault("it was turned in Label Studio; turn it back and export")
    rectangles = {one["id"]: one for one in _of_type(_RECTANGLE, result)}
    owners = {one["id"]: one.get("parentID") for one in _of_type(_POINT, result)}
    for one in _of_type("relation", result):
        ends = (one["from_id"], one["to_id"])
        for point, box in (ends, ends[::-1]):  # people draw them either way
            if point in owners and box in rectangles:
                owners[point] = box
    points = []
    for one in _of_type(_POINT, result):
        owner = owners[one["id"]] if several else "the animal"
        if several and owner not in rectangles:
            alone[_label(one)] += 1
        else:
            points.append((owner, _label(one), _place(one)))
    boxes = {}
    for owner, one in rectangles.items():
        if not one["value"].get("rotation"):  # a turned one has no sides
            boxes[owner] = np.concatenate([_place(one), _place(one, "width", "height")])
    tracks = {owner: _label(one) for owner, one in rectangles.items()}
    size = next((_size(one) for one in result if "original_width" in one), (0, 0))
    return LabelledImage(report, stored, size, points, boxes, tracks)


def _apart(first: Sequence[Region], other: Sequence[Region]) -> float:
    """Returns the mean distance in pixels from a point of an annotation to the nearest of its label in
    another; nan if there is none.
    """
    far = []
    for one in _of_type(_POINT, first):
        twins = [twin for twin in _of_type(_POINT, other) if _label(twin) == _label(one)]
        far += [min(np.linalg.norm(_place(one) - _place(twin)) for twin in twins)] if twins else []
    return float(np.mean(far)) if far else np.nan


def _of_type(kind: str, result: Sequence[Region]) -> list[Region]:
    return [one for one in result if one["type"] == kind]


def _size(one: Region) -> tuple[int, int]:
    return int(one["original_width"]), int(one["original_height"])


def _place(one: Region, *sides: str) -> np.ndarray:
    percent = np.array([one["value"][side] for side in sides or "xy"])
    return percent * _size(one) / 100


def _label(one: Region) -> str:
    return one["value"][one["type"]][0]
