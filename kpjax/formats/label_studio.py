"""Label Studio's json: a list of tasks, each an image with keypoints and perhaps rectangles around
animals.

Coordinates are percent of the image. A keypoint belongs to the animal in whose rectangle it was
placed (`parentID`) or to whose rectangle a relation leads; the rectangle's label names the
individual. Without any of these all keypoints of an image are of one animal. sleap-io's reader is
not used: it reads no task with an image, knows no ground truth, and counts from the centre.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kpjax.errors import InputError, count_text
from kpjax.files import foreign
from kpjax.formats.coco import read_start
from kpjax.formats.names import (
    image_frames,
    json_of,
    only_file,
    read_skeleton,
    shown_files,
    with_sessions,
)
from kpjax.formats.options import STATED, Options
from kpjax.formats.project import Instance, Project, instance_of
from kpjax.images.reading import IMAGE_SUFFIXES

_WORDS = (b'"annotations"', b'"result"', b'"data"')


def read(path: Path, faults: list[str], options: Options = STATED) -> Project:
    """Reads a json file, or the only one of a folder. Images are below the file's folder.

    Keypoints are in order of appearance, or in that of a skeleton.json. Of several annotations of
    an image that were not cancelled, the one marked as ground truth is read, else the first, with a
    doubt that says how far they are apart. Where other keypoints belong to rectangles,
    one that does not is a point of the image and of no animal: it is left out, with a note.
    """
    file, notes = only_file(path, files_of(path), "json files of Label Studio"), []
    with foreign(file.name, "export 'JSON' of Label Studio again"):
        tasks = json_of(file)
        # The regions and relations of each annotation that was not cancelled, the true one first.
        given = [
            sorted(
                (one for one in task["annotations"] if not one.get("was_cancelled")),
                key=lambda one: not one.get("ground_truth"),
            )
            for task in tasks
        ]
        results = [found[0]["result"] if found else [] for found in given]
        several = any(one["type"] == "rectanglelabels" for result in results for one in result)
        points = [_points(result, several) for result in results]
        alone = Counter(_label(one) for of_image in points for one in of_image.pop("", []))
        names = dict.fromkeys(
            _label(one) for of_image in points for found in of_image.values() for one in found
        )
        skeleton = read_skeleton(file.parent, list(names), notes, faults)
        stored = [_image_of(task, file.name) for task in tasks]
        frames = [
            frame._replace(size=_size(result))
            for frame, result in zip(
                image_frames(stored, file.parent, [file.parent, file.parent / "images"]),
                results,
                strict=True,
            )
        ]
        instances = []
        for number, (frame, result) in enumerate(zip(frames, results, strict=True)):
            if any(one.get("image_rotation") for one in result):
                faults.append(
                    f"{file.name}, {frame.name}: it was turned in Label Studio; turn it back and export"
                )
            boxes = {one["id"]: one for one in result if one["type"] == "rectanglelabels"}
            instances += [
                _animal(
                    number,
                    found,
                    boxes.get(owner),
                    skeleton.names,
                    f"{file.name}, {frame.name}",
                    faults,
                )
                for owner, found in points[number].items()
            ]
    # labels name a kind
    if max(Counter((one.frame, one.track) for one in instances).values(), default=0) > 1:
        instances = [one._replace(track="") for one in instances]
    if alone:
        notes.append(
            f"{alone.total()} points ({', '.join(alone)}) belong to no rectangle, and to no animal: left out"
        )
    several_times = [found for found in given if len(found) > 1]
    unsettled = [found for found in several_times if not found[0].get("ground_truth")]
    if settled := len(several_times) - len(unsettled):
        notes.append(
            f"{count_text(settled, 'image')} with several annotations: the ground truth is read"
        )
    with foreign(file.name, "export 'JSON' of Label Studio again"):
        doubts = tuple(
            f"{count_text(len(unsettled), 'image')} with several annotations, whose points are "
            f"{_apart(unsettled):.1f} px apart on average: the first of each is read; mark the right one as "
            "ground truth"
            for _ in unsettled[:1]
        )
    return Project(
        file.parent,
        "label_studio",
        skeleton,
        tuple(with_sessions(frames)),
        tuple(instances),
        tuple(notes),
        doubts=doubts,
        tool="Label Studio",
    )


def _image_of(task: Mapping[str, Any], label: str) -> str:
    """Returns the stored name of an image: that of its upload's original, else its address. Raises
    InputError for a task of something else."""
    for given in ((task.get("meta") or {}).get("original_file"), *task["data"].values()):
        for name in (given, given.partition("?")[0]) if isinstance(given, str) else ():
            if name.lower().endswith(IMAGE_SUFFIXES):  # the second of a signed address
                return name
    raise InputError(
        f"{label}, task {task.get('id')}: there is no image in it, only {', '.join(task['data'])}; export tasks of "
        "images, and videos frame by frame"
    )


def _apart(given: Sequence[Sequence[Mapping[str, Any]]]) -> float:
    """Returns the mean distance in pixels from a point of the first annotation of each image to the
    nearest of its label in the others; nan if there is none.
    """
    far = []
    for first, *others in given:
        for one in (one for one in first["result"] if one["type"] == "keypointlabels"):
            for other in others:
                away = [
                    np.linalg.norm(_place(one) - _place(twin))
                    for twin in other["result"]
                    if twin["type"] == "keypointlabels" and _label(twin) == _label(one)
                ]
                far += [min(away)] if away else []
    return float(np.mean(far)) if far else np.nan


def files_of(path: Path) -> list[Path]:
    """Returns the json files of this form at a path, or in the folder that it is."""
    return [
        file
        for file in shown_files(path, "*.json")
        if (content := read_start(file)).lstrip()[:1] == b"["
        and all(word in content for word in _WORDS)
    ]


def _size(result: list[Mapping[str, Any]]) -> tuple[int, int]:
    return next(
        (
            (int(one["original_width"]), int(one["original_height"]))
            for one in result
            if "original_width" in one
        ),
        (0, 0),
    )


def _place(one: Mapping[str, Any]) -> np.ndarray:
    return np.array([one["value"]["x"], one["value"]["y"]]) * _size([one]) / 100


def _label(one: Mapping[str, Any]) -> str:
    return one["value"][one["type"]][0]


def _points(result: list[Mapping[str, Any]], several: bool) -> dict[str, list[Mapping[str, Any]]]:
    """Returns the keypoints of each rectangle by its id, those of none under ""; all of one animal
    if not several.
    """
    boxes = {one["id"] for one in result if one["type"] == "rectanglelabels"}
    owners = {one["id"]: one.get("parentID") for one in result if one["type"] == "keypointlabels"}
    for one in result:
        if one["type"] == "relation":
            ends = one["from_id"], one["to_id"]
            owners |= {a: b for a, b in (ends, ends[::-1]) if a in owners and b in boxes}
    found = defaultdict(list)
    for one in result:
        if one["type"] == "keypointlabels":
            owner = owners[one["id"]] if several else "the animal"
            found[owner if owner in boxes or not several else ""].append(one)
    return found


def _animal(
    number: int,
    found: list[Mapping[str, Any]],
    box: Mapping[str, Any] | None,
    names: tuple[str, ...],
    where: str,
    faults: list[str],
) -> Instance:
    points = np.full((len(names), 2), np.nan)
    for one in found:
        point = points[names.index(_label(one))]
        if np.isfinite(point).all():
            faults.append(
                f"{where}: {_label(one)!r} occurs twice; tell animals apart by rectangles and relations"
            )
        point[:] = _place(one)
    if box is None:
        return instance_of(number, points)
    corner, sides = (
        np.array([box["value"][side] for side in pair]) * _size([box]) / 100
        for pair in (("x", "y"), ("width", "height"))
    )
    turn = np.radians(box["value"].get("rotation") or 0)  # clockwise, about its top-left corner
    corners = (
        sides
        * [(0, 0), (1, 0), (1, 1), (0, 1)]
        @ [[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]]
    )
    edges = np.concatenate([corner + corners.min(0), np.ptp(corners, axis=0)])
    return instance_of(number, points, box=edges, track=_label(box))
