"""Annotation projects independent of the tool that wrote them: frames, and the labelled animals on
them.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from kpjax.errors import InputError, count_text, summarise
from kpjax.structures import Skeleton


class Frame(NamedTuple):
    """An image, or one frame of a video."""

    #: unique in its project: an image's path below the root with forward slashes, or
    #: "<video>/<number>"
    name: str
    path: Path  # the image, or the video file (or folder of frames) that it is taken from
    #: number of the frame in its video, counted from 0 as `kpjax.images.video` does; None for an image
    number: int | None
    size: tuple[int, int]  # width and height in pixels; (0, 0) if unknown
    #: the video or recording it belongs to, "" if unknown; frames of one are never split
    session: str
    split: str = ""  # train, validation or test where the project says so
    #: bits in use where values have 16, see `kpjax.images.reading`; 0 asks the image itself
    depth: int = 0


class Instance(NamedTuple):
    """One labelled animal, person or thing on a frame.

    Coordinates are (x, y) in pixels of the frame, the centre of the top-left pixel at (0, 0).
    """

    frame: int  # the number of its frame in the project
    keypoints: np.ndarray  # (K, 2) float64, nan exactly where `visible` is 0
    visible: np.ndarray  # (K,) float32, 1 where a keypoint is labelled
    occluded: np.ndarray  # (K,) bool, labelled, but hidden behind something
    #: (4,) float64: x, y, width, height of its edges, pixel 0 spanning 0 to 1; nan without one
    box: np.ndarray
    track: str = ""  # the name of the individual, "" if there is but one


class Project(NamedTuple):
    """An annotation project. Frames without an instance are kept as unlabelled images."""

    root: Path
    #: coco, deeplabcut, sleap, lightning_pose, csv, label_studio, labelme, ultralytics or pts
    format: str
    skeleton: Skeleton  # keypoints in the project's own order
    frames: tuple[Frame, ...]
    instances: tuple[Instance, ...]
    notes: tuple[str, ...] = ()  # a line for everything derived, dropped or ambiguous
    doubts: tuple[str, ...] = ()  # those of the notes that say that labels can hardly be right
    roots: tuple[Path, ...] = ()  # roots of the projects that it unites
    #: numbers of frames that are known to show no animal; each has one instance without a keypoint
    nobody: frozenset[int] = frozenset()
    #: that made the labels, where the files show it: a key of `PIXELS_FROM`, or ""
    tool: str = ""
    lengths: Mapping[Path, int] = {}  # frames that videos had when they were labelled


def instance_of(
    frame: int,
    points: np.ndarray,
    *,
    occluded: np.ndarray | None = None,
    box: np.ndarray | None = None,
    track: str = "",
) -> Instance:
    """Returns an animal whose labelled keypoints are those of (K, 2) points that are finite."""
    visible = np.isfinite(points).all(1)
    return Instance(
        frame,
        np.where(visible[:, None], points, np.nan),
        visible.astype(np.float32),
        np.zeros(len(points), bool) if occluded is None else occluded,
        np.full(4, np.nan) if box is None else box,
        track,
    )


def by_frame(project: Project) -> list[list[Instance]]:
    """Returns the animals of each frame."""
    found: list[list[Instance]] = [[] for _ in project.frames]
    for one in project.instances:
        found[one.frame].append(one)
    return found


LARGEST = 1e6  # px, of a coordinate or a side of a box: no image is so large


def refuse(path: Path, faults: Sequence[str]) -> None:
    """Raises InputError with all faults of a file or a project in one line, if there are any."""
    if faults:
        raise InputError(
            f"{path}: {len(faults)} fault{'s' * (len(faults) > 1)}: {summarise(faults)}"
        )


# Labels as they are written, and whether they can be right; no image is needed

_SLACK = 1.0  # pixels beyond the edge that still count as inside


# What tools call the centre of the top-left pixel, in all that they export. A browser and Qt
# measure a click from the corner of the image: Label Studio (its sdk, `keypoints.py`), CVAT
# (datumaro, `yolo_pose_format`, `coco_format`), Roboflow, and LabelMe (`canvas.py`).
# Those that are not named count from the centre: COCO's own files
# (detectron2 adds 0.5 to them), DeepLabCut, and SLEAP, as sleap-io gives it.
PIXELS_FROM = {
    "kpjax": 0.0,
    "Label Studio": 0.5,
    "Roboflow": 0.5,
    "CVAT": 0.5,
    "LabelMe": 0.5,
    "menpo": 1.0,
}
_CENTRE = {0.0: "the centre of the first at 0", 0.5: "the corner of the first", 1.0: "1"}


def counted_from(project: Project, stated: str) -> Project:
    """Moves the labels of a project to where the centre of the top-left pixel is (0, 0), with a note
    of what was assumed of another tool's.

    stated: as `pixels_from` of the options.
    """
    first = PIXELS_FROM.get(project.tool, 0.0) if stated == "tool" else float(stated)
    notes = project.notes
    told = project.tool or project.format in ("coco", "ultralytics")
    if stated == "tool" and told and project.tool != "kpjax":
        whose = f"as {project.tool} does" if project.tool else "as COCO's own files do"
        notes += (f"pixels count from {_CENTRE[first]}, {whose}; --pixels-from says otherwise",)
    by = np.array([first, first, 0.0, 0.0]) * (first == 1)  # edges of boxes count from the corner
    instances = (
        one._replace(keypoints=one.keypoints - first, box=one.box - by) for one in project.instances
    )
    return project._replace(instances=tuple(instances), notes=notes)


def without_zeros(project: Project) -> Project:
    """Returns the project without labels at exactly (0, 0), and without animals that have no other
    label.
    """
    instances = [
        instance_of(
            one.frame,
            np.where((one.keypoints == 0).all(1)[:, None], np.nan, one.keypoints),
            occluded=one.occluded,
            box=one.box,
            track=one.track,
        )
        for one in project.instances
    ]
    points = sum(int((one.keypoints == 0).all(1).sum()) for one in project.instances)
    notes = (f"{points} points at exactly (0, 0) are left out, as asked",) * bool(points)
    return project._replace(
        instances=tuple(one for one in instances if one.visible.any()), notes=project.notes + notes
    )


def on_frame(keypoints: np.ndarray, size: ArrayLike) -> np.ndarray:
    """Returns which points (..., 2) lie on a frame, or frames (..., 2), of a size; pixel 0 spans
    -0.5 to 0.5.
    """
    return ((keypoints >= -0.5) & (keypoints < np.asarray(size) - 0.5)).all(-1)


def outside(project: Project) -> np.ndarray:
    """Returns (N, K) bool: labelled points of N instances more than a pixel outside a frame of
    known size.
    """
    found = np.zeros((len(project.instances), len(project.skeleton.names)), bool)
    for number, one in enumerate(project.instances):
        size = np.array(project.frames[one.frame].size, np.float64)
        if size.all():
            beyond = np.maximum(-0.5 - one.keypoints, one.keypoints - (size - 0.5)).max(-1)
            found[number] = (one.visible > 0) & (np.nan_to_num(beyond) > _SLACK)
    return found


def label_doubts(project: Project) -> list[str]:
    """Returns lines about labels that can hardly be right, as the file has them: at (0, 0), or
    several at one place.
    """
    zeros, together, first = 0, 0, ""
    for one in project.instances:
        points = one.keypoints[one.visible > 0]
        at_zero = (points == 0).all(1)
        zeros += int(at_zero.sum())
        others = points[~at_zero]
        if len(np.unique(others, axis=0)) < len(others):
            together, first = together + 1, first or project.frames[one.frame].name
    lines = (
        [
            f"{count_text(zeros, 'point')} labelled at exactly (0, 0), as tools write points that nobody labelled; "
            "--drop-zeros leaves them out"
        ]
        if zeros
        else []
    )
    return lines + [
        f"{count_text(together, 'animal')} with several keypoints at one identical place, first on {first}; look "
        "there"
    ] * bool(together)


def coordinate_doubts(project: Project, stated: str) -> list[str]:
    """Returns lines about points outside their frames, and about coordinates that seem to count
    from 1: whole numbers, since a label that was clipped at an edge equals the image's side, too.

    stated: as of `counted_from`.
    """
    notes, beyond = [], outside(project)
    if beyond.any():
        number = int(beyond.any(1).argmax())
        keypoint = int(beyond[number].argmax())
        x, y = project.instances[number].keypoints[keypoint]
        frame = project.frames[project.instances[number].frame]
        notes.append(
            f"{beyond.sum()} labelled points are more than {_SLACK:g} px outside their images, the first is "
            f"{project.skeleton.names[keypoint]} of {frame.name} at ({x:g}, {y:g}) of "
            f"{frame.size[0]}x{frame.size[1]}; they train nothing"
        )
    seen = [
        (one.keypoints[one.visible > 0], project.frames[one.frame].size)
        for one in project.instances
    ]
    seen = [(points, size) for points, size in seen if all(size) and len(points)]
    if seen and all((points >= 0).all() and (points <= 1).all() for points, _ in seen):
        notes.append(
            "all labelled points lie within the first pixel; give pixels, not shares of the image"
        )
    if (
        (stated, project.tool) == ("tool", "")
        and any((points == size).any() for points, size in seen)
        and all((points == points.round()).all() for points, _ in seen)
        and all(points.min() >= 1 for points, _ in seen)
    ):
        notes.append(
            "`pixels_from`: some coordinates equal an image's side, none is below 1; do pixels count from 1?"
        )
    return notes
