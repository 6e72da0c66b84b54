"""Annotation projects independent of the tool that wrote them: frames, and the labelled animals on
them.
"""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from kpjax.errors import InputError, summarise
from kpjax.structures import Skeleton


class Frame(NamedTuple):
    """An image, or one frame of a video."""

    #: unique in its project: an image's path below the root with forward slashes, or
    #: "<video>/<number>"
    name: str
    path: Path  # the image, or the video file (or folder of frames) that it is taken from
    #: number of the frame in its video, counted from 0 as `kpjax.images.video` does; None for an image
    number: int | None = None
    size: tuple[int, int] = (0, 0)  # width and height in pixels; (0, 0) if unknown
    #: the video or recording it belongs to, "" if unknown; frames of one are never split
    session: str = ""
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
    #: (K,) bool: keypoints that its own project names, where several are one; None where it names all
    named: np.ndarray | None = None
    area: float | None = None  # square pixels, where the file states it

    @property
    def seen(self) -> np.ndarray:
        """(K,) bool: whether a keypoint is labelled."""
        return self.visible > 0

    @property
    def boxed(self) -> bool:
        """Whether it has a box, with an area."""
        return is_box(self.box)


LARGEST = 1e6  # px, of a coordinate or a side of a box: no image is so large


def is_box(box: np.ndarray) -> bool:
    """Returns whether these are x, y, a positive width and height."""
    return box.shape == (4,) and bool((np.abs(box) <= LARGEST).all() and (box[2:] > 0).all())


class Project(NamedTuple):
    """An annotation project. Frames without an instance are kept as unlabelled images."""

    root: Path
    #: a name of `FORMATS` in `kpjax/formats/reading.py`: coco, deeplabcut, sleap, ...
    format: str
    skeleton: Skeleton  # keypoints in the project's own order
    frames: Sequence[Frame]
    instances: Sequence[Instance]
    notes: Sequence[str] = ()  # a line for everything derived, dropped or ambiguous
    doubts: Sequence[str] = ()  # those of the notes that say that labels can hardly be right
    roots: tuple[Path, ...] = ()  # roots of the projects that it unites
    #: numbers of frames that are known to show no animal; each has one instance without a keypoint
    nobody: frozenset[int] = frozenset()
    #: numbers of frames that nobody has labelled yet, by what the files say: suggested ones, images
    #: in no table; an empty one of them says nothing
    unlisted: frozenset[int] = frozenset()
    #: that made the labels, where the files show it: a key of `PIXELS_FROM`, or ""
    tool: str = ""
    lengths: Mapping[Path, int] = {}  # frames that videos had when they were labelled


NO_BOX = np.full(4, np.nan)
UNLABELLED = np.full(2, np.nan)  # x and y


def instance_of(
    frame: int,
    points: np.ndarray,
    *,
    occluded: np.ndarray | None = None,
    box: np.ndarray | None = None,
    track: str = "",
) -> Instance:
    """Returns an animal whose labelled keypoints are those of (K, 2) points that are not nan."""
    visible = ~np.isnan(points).any(1)
    return Instance(
        frame,
        np.where(visible[:, None], points, np.nan),
        visible.astype(np.float32),
        visible & (False if occluded is None else occluded),
        NO_BOX if box is None else box,
        track,
    )


class Report(NamedTuple):
    """What a reader says about a file or a place in it."""

    place: str  # with which its faults begin
    faults: list[str]
    notes: list[str]

    def at(self, place: str) -> "Report":
        """Returns the report about a place."""
        return self._replace(place=place)

    def within(self, place: str) -> "Report":
        """Returns the report about a part of this place."""
        return self.at(f"{self.place}, {place}")

    def fault(self, text: str) -> None:
        """Adds a fault: what was found, and the mend."""
        self.faults.append(f"{self.place}: {text}")


def animals_of(
    frame: int,
    points: Iterable[tuple[Any, str, np.ndarray]],
    names: Sequence[str],
    report: Report,
    mend: str = "",
) -> dict[Any, Instance]:
    """Returns the animals on a frame by their owners.

    points: owner, name and (x, y) of each, once. mend: how tools tell animals apart.
    """
    found: dict[Any, dict[str, np.ndarray]] = {}
    for owner, name, point in points:
        of_owner = found.setdefault(owner, {})
        if name in of_owner:
            report.fault(f"{name!r} occurs twice; tell animals apart by {mend}")
        of_owner[name] = point
    animals = {}
    for owner, of_owner in found.items():
        places = np.array([of_owner.get(name, UNLABELLED) for name in names])
        animals[owner] = instance_of(frame, places)
    return animals


def by_frame(project: Project) -> list[list[Instance]]:
    """Returns the animals of each frame."""
    found: list[list[Instance]] = [[] for _ in project.frames]
    for one in project.instances:
        found[one.frame].append(one)
    return found


Place = tuple[str, int]  # of a frame in its recording, see `place_in_recording`


# What stands about the number of an image's name: marks of uploads to Label Studio, and of
# Roboflow's exports.
_NUMBERED = re.compile(
    r"(?:(?=\d*[a-f])[0-9a-f]{8}-)?(.*?)(\d+)(?:_(?:png|jpe?g))?(?:\.rf\.[0-9A-Za-z]{8,})?"
)


def place_in_recording(frame: Frame) -> Place:
    """Returns a frame's place in its recording: its number, or the one at the end of its image's
    name.
    """
    if frame.number is not None:
        return "", frame.number
    found = _NUMBERED.fullmatch(frame.path.stem)
    return (found.group(1), int(found.group(2))) if found else (frame.path.stem, -1)


def says_something(project: Project, one: Instance) -> bool:
    """Returns whether an animal has a label, or its frame is known to show none."""
    return bool(one.seen.any()) or one.frame in project.nobody


def show_nobody(project: Project, frames: Collection[int]) -> Project:
    """Returns the project with further frames that are known to show no animal, by their numbers."""
    empty = np.full((len(project.skeleton.names), 2), np.nan)
    nobodies = [instance_of(number, empty) for number in sorted(frames)]
    return project._replace(
        instances=(*project.instances, *nobodies),
        nobody=project.nobody | {*frames},
    )


def labelled_frames(project: Project) -> list[int]:
    """Returns the numbers of frames with a labelled animal, or known to have none, in the order of
    recordings and of time."""
    numbers = {one.frame for one in project.instances if says_something(project, one)}

    def moment(number: int) -> tuple[str, Place]:
        frame = project.frames[number]
        return frame.session, place_in_recording(frame)

    return sorted(numbers, key=moment)


def refuse(path: Path, faults: Sequence[str]) -> None:
    """Raises InputError with all faults of a file or a project in one line, if there are any."""
    if faults:
        raise InputError(
            f"{path}: {len(faults)} fault{'s' if len(faults) > 1 else ''}: {summarise(faults)}"
        )


# Labels as they are written, and whether they can be right; no image is needed

_SLACK = 1.0  # pixels beyond the edge that still count as inside


# What tools call the centre of the top-left pixel, in all that they export. A browser and Qt
# measure a click from the corner of the image: Label Studio (its sdk, `keypoints.py`), CVAT
# (datumaro, `yolo_pose_format`, `coco_format`), and LabelMe (`canvas.py`). That Roboflow does, too,
# is inferred: its page is not public, and its supervision (`formats/yolo.py`) adds nothing to shares.
# Those that are not named count from the centre: COCO's own files
# (detectron2 adds 0.5 to them), DeepLabCut, napari, and SLEAP, as sleap-io gives it.
PIXELS_FROM = {
    "kpjax": 0.0,
    "Label Studio": 0.5,
    "Roboflow": 0.5,
    "CVAT": 0.5,
    "LabelMe": 0.5,
}
_CENTRE = {0.0: "the centre of the first at 0", 0.5: "the corner of the first"}


def first_pixel(project: Project, stated: str) -> float:
    """Returns what the files of a project call the centre of the top-left pixel.

    stated: as `pixels_from` of the options.
    """
    if stated != "tool":
        return float(stated)
    # shares of a width know no centres
    of_format = 0.5 if project.format == "ultralytics" else 0.0
    return PIXELS_FROM.get(project.tool, of_format)


def counted_from(project: Project, stated: str) -> Project:
    """Moves the labels of a project to where the centre of the top-left pixel is (0, 0), with a note
    of what was assumed of another tool's.

    stated: as `pixels_from` of the options.
    """
    first = first_pixel(project, stated)
    notes = project.notes
    reasons = {
        "coco": "as COCO's own files do",
        "ultralytics": "as shares of a width and height do",
    }
    whose = reasons.get(project.format, "")
    if project.tool:
        whose = f"as {project.tool} does"
    if stated == "tool" and whose and project.tool != "kpjax":
        notes += (f"pixels count from {_CENTRE[first]}, {whose}; --pixels-from overrides this",)
    # edges of boxes count from the corner
    by = np.array([first, first, 0.0, 0.0]) * (first == 1)
    instances = []
    for one in project.instances:
        instances.append(one._replace(keypoints=one.keypoints - first, box=one.box - by))
    return project._replace(instances=tuple(instances), notes=notes)


def frames_counted_from(project: Project, first: int) -> Project:
    """Returns the project with frames of videos that count from 0, where files call the first so."""
    frames = []
    for frame in project.frames:
        if first and frame.number is not None:
            video, _, _ = frame.name.rpartition("/")
            number = frame.number - first
            frame = frame._replace(name=f"{video}/{number}", number=number)
        frames.append(frame)
    return project._replace(frames=tuple(frames))


def without_zeros(project: Project) -> Project:
    """Returns the project without labels at exactly (0, 0), and without animals that have no other
    label.
    """
    count = 0
    instances = []
    for one in project.instances:
        zero = (one.keypoints == 0).all(1)
        count += int(zero.sum())
        points = np.where(zero[:, None], np.nan, one.keypoints)
        instances.append(one._replace(keypoints=points, visible=one.visible * ~zero))
    kept = tuple(one for one in instances if says_something(project, one))
    notes = list(project.notes)
    if count:
        notes.append(f"{count} points at exactly (0, 0) are left out, as asked")
    return project._replace(instances=kept, notes=tuple(notes))


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
            from_middle = np.abs(one.keypoints - (size - 1) / 2)
            beyond = np.nan_to_num(from_middle - size / 2)
            found[number] = one.seen & (beyond.max(-1) > _SLACK)
    return found
