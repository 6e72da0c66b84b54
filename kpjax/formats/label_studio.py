"""Label Studio's json: a list of tasks, each an image with keypoints and perhaps rectangles around
animals.

Coordinates are percent of the image. A keypoint belongs to the animal in whose rectangle it was
placed (`parentID`) or to whose rectangle a relation leads; the rectangle's label names the
individual. Without any of these all keypoints of an image are of one animal. sleap-io's reader is
not used: it reads no task with an image, knows no ground truth, and counts from the centre.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kpjax.errors import InputError, count_text
from kpjax.files import foreign
from kpjax.formats.coco import read_start
from kpjax.formats.names import image_frames, json_of, only_file, read_skeleton, shown_files
from kpjax.formats.options import STATED, Options
from kpjax.formats.project import NO_BOX, Project, Report, animals_of
from kpjax.images.reading import IMAGE_SUFFIXES

Region = Mapping[str, Any]
_POINT, _RECTANGLE = "keypointlabels", "rectanglelabels"
_WORDS = (b'"annotations"', b'"result"', b'"data"')


def read(path: Path, report: Report, options: Options = STATED) -> Project:
    """Reads a json file, or the only one of a folder. Images are below the file's folder.

    Keypoints are in order of appearance, or in that of a skeleton.json. Of several annotations of
    an image that were not cancelled, the one marked as ground truth is read, else the first, with a
    doubt that says how far they are apart. Where other keypoints belong to rectangles,
    one that does not is a point of the image and of no animal: it is left out, with a note.
    """
    file = only_file(path, files_of(path), "json files of Label Studio")
    report = report.at(file.name)
    with foreign(file.name, "export 'JSON' of Label Studio again"):
        tasks = json_of(file)
        # The annotations of each task that were not cancelled, the true one first.
        given = []
        for task in tasks:
            kept = [one for one in task["annotations"] if not one.get("was_cancelled")]
            given.append(sorted(kept, key=lambda one: not one.get("ground_truth")))
        results = [found[0]["result"] if found else [] for found in given]
        several = any(_of_type(_RECTANGLE, result) for result in results)
        points = []
        names = {}
        alone = Counter()
        for result in results:
            found = []
            for owner, name, place in _points(result, several):
                if owner is None:
                    alone[name] += 1
                    continue
                names.setdefault(name)
                found.append((owner, name, place))
            points.append(found)
        skeleton = read_skeleton(file.parent, names, report)
        stored = [_image_of(task, file.name) for task in tasks]
        frames = []
        instances = []
        folders = [file.parent, file.parent / "images"]
        placed = image_frames(stored, file.parent, folders)
        for frame, result, found in zip(placed, results, points, strict=True):
            image = report.within(frame.name)
            if any(one.get("image_rotation") for one in result):
                image.fault("it was turned in Label Studio; turn it back and export")
            boxes = {one["id"]: one for one in _of_type(_RECTANGLE, result)}
            mend = "rectangles and relations"
            animals = animals_of(len(frames), found, skeleton.names, image, mend)
            for owner, one in animals.items():
                box = boxes.get(owner)
                if box is not None:
                    one = one._replace(box=_box(box), track=_label(box))
                instances.append(one)
            sizes = (_size(one) for one in result if "original_width" in one)
            frames.append(frame._replace(size=next(sizes, (0, 0))))
        twice = [found for found in given if len(found) > 1]
        unsettled = [found for found in twice if not found[0].get("ground_truth")]
        apart = _apart(unsettled)
    called = Counter((one.frame, one.track) for one in instances)
    if any(times > 1 for times in called.values()):  # labels name a kind
        instances = [one._replace(track="") for one in instances]
    if alone:
        report.notes.append(
            f"{alone.total()} points ({', '.join(alone)}) belong to no rectangle, and to no animal: left out"
        )
    settled = len(twice) - len(unsettled)
    if settled:
        report.notes.append(
            f"{count_text(settled, 'image')} with several annotations: the ground truth is read"
        )
    doubts = []
    if unsettled:
        doubts.append(
            f"{count_text(len(unsettled), 'image')} with several annotations, whose points are {apart:.1f} px apart on "
            "average: the first of each is read; mark the right one as ground truth"
        )
    return Project(
        file.parent,
        "label_studio",
        skeleton,
        frames,
        instances,
        doubts=doubts,
        tool="Label Studio",
    )


def _image_of(task: Mapping[str, Any], label: str) -> str:
    """Returns the address of an image. Raises InputError for a task of something else."""
    for given in task["data"].values():
        if not isinstance(given, str):
            continue
        unsigned, _, _ = given.partition("?")
        for name in (given, unsigned):
            if name.lower().endswith(IMAGE_SUFFIXES):
                return name
    raise InputError(
        f"{label}, task {task.get('id')}: there is no image in it, only {', '.join(task['data'])}; export tasks of "
        "images, and videos frame by frame"
    )


def _apart(given: Sequence[Sequence[Region]]) -> float:
    """Returns the mean distance in pixels from a point of the first annotation of each image to the
    nearest of its label in the others; nan if there is none.
    """
    far = []
    for first, *others in given:
        for one in _of_type(_POINT, first["result"]):
            for other in others:
                away = []
                for twin in _of_type(_POINT, other["result"]):
                    if _label(twin) == _label(one):
                        away.append(np.linalg.norm(_place(one) - _place(twin)))
                if away:
                    far.append(min(away))
    return float(np.mean(far)) if far else np.nan


def files_of(path: Path) -> list[Path]:
    """Returns the json files of this form at a path, or in the folder that it is."""
    found = []
    for file in shown_files(path, "*.json"):
        content = read_start(file)
        is_list = content.lstrip().startswith(b"[")
        if is_list and all(word in content for word in _WORDS):
            found.append(file)
    return found


def _of_type(kind: str, result: Sequence[Region]) -> list[Region]:
    return [one for one in result if one["type"] == kind]


def _size(one: Region) -> tuple[int, int]:
    return int(one["original_width"]), int(one["original_height"])


def _place(one: Region, *sides: str) -> np.ndarray:
    percent = np.array([one["value"][side] for side in sides or "xy"])
    return percent * _size(one) / 100


def _label(one: Region) -> str:
    return one["value"][one["type"]][0]


def _points(
    result: Sequence[Region], several: bool
) -> Iterator[tuple[str | None, str, np.ndarray]]:
    """Yields owner, name and place of each keypoint: its rectangle's id, None without one; all are
    of one animal if not several.
    """
    boxes = {one["id"] for one in _of_type(_RECTANGLE, result)}
    owners = {one["id"]: one.get("parentID") for one in _of_type(_POINT, result)}
    for one in _of_type("relation", result):
        start = one["from_id"]
        end = one["to_id"]
        for point, box in ((start, end), (end, start)):  # people draw them either way
            if point in owners and box in boxes:
                owners[point] = box
    for one in _of_type(_POINT, result):
        owner = "the animal"
        if several:
            owner = owners[one["id"]]
            if owner not in boxes:
                owner = None
        yield owner, _label(one), _place(one)


def _box(one: Region) -> np.ndarray:
    """Returns x, y, width and height of a rectangle; none of one that is turned."""
    if one["value"].get("rotation"):
        return NO_BOX
    return np.concatenate([_place(one), _place(one, "width", "height")])
