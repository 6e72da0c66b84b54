"""Annotation projects as sources, and sources of unlabelled images and videos.

Both name examples by the path of the image or video below a common root, by which `check_disjoint`
compares them.
"""

import contextlib
import functools
import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import is_dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from kpjax.cores import usable_cores
from kpjax.errors import InputError, printable, summarise
from kpjax.files import check_local, foreign
from kpjax.formats.decoded import Sheet, decoded
from kpjax.formats.names import shown_files
from kpjax.formats.project import (
    Frame,
    Instance,
    Project,
    by_frame,
    instance_of,
    on_frame,
    outside,
    show_nobody,
)
from kpjax.images.contents import contents
from kpjax.images.inputs import check_name
from kpjax.images.reading import common_depth, depth_note, read_image
from kpjax.images.transforms import Transform
from kpjax.images.video import (
    IMAGE_SUFFIXES,
    VIDEO_SUFFIXES,
    Video,
    open_video,
    without_drawn,
)
from kpjax.input.source import ArraySource, digest_of
from kpjax.input.stream import read_ahead
from kpjax.structures import Example, Skeleton

OUTLINE = 8  # points on the ellipse in an annotated box
NEAREST = 0.05  # quantile of the distances between neighbours that counts


class _Labelled(NamedTuple):
    """A frame and the labels of one animal on it, in pixels of the frame."""

    frame: Frame
    keypoints: np.ndarray  # (K, 2) float32, 0 where not visible
    visible: np.ndarray  # (K,) float32
    scale: float  # the reference length
    box: np.ndarray | None  # (4,) x, y, width, height of its edges


def frame_identity(frame: Frame, root: Path) -> str:
    """Returns the image's path below `root` with forward slashes (absolute if elsewhere), or
    `<video>#<number>`.
    """
    path = frame.path.resolve()
    root = root.resolve()
    if path.is_relative_to(root):
        path = path.relative_to(root)
    name = path.as_posix()
    return name if frame.number is None else f"{name}#{frame.number:06d}"


def read_frame(frame: Frame) -> np.ndarray:
    """Reads the image (H, W, 3) uint8 of a frame.

    Raises InputError, which names the file, if it cannot be read.
    """
    if frame.number is None:
        return read_image(frame.path, frame.depth)
    with foreign(frame.path, "leave the video out or fetch it again"):
        return _open(frame.path)[frame.number]


def _open(path: Path) -> Video:
    return _open_once(path, path.absolute())


@functools.lru_cache(maxsize=256)
def _open_once(path: Path, whole: Path) -> Video:
    return open_video(path)


def project_source(
    project: Project,
    transform: Transform,
    *,
    instances: Sequence[int] | None = None,
    occluded: Literal["train", "drop"] = "train",
    name: str = "",
    on_bad_frame: str = "stop",
    absent: np.ndarray | None = None,
) -> ArraySource:
    """Reads the labelled animals of a project into memory as examples, named as `frame_identity`
    does.

    `scale` is that of `reference_lengths`, and `examples.index` has the numbers of the project's
    instances. Transforms that need a box get the annotated one, or that of the labelled points.

    instances: Indices of the project's instances, in this order; all if None. occluded: "drop"
    treats keypoints that are marked as occluded as unlabelled. name: By default that of the
    project's folder. on_bad_frame: "stop" refuses frames that cannot be read, "skip" leaves them
    out and reports them on stderr. absent: (I, K) bool of the project's instances, keypoints that
    are taught as absent, -1 in `visible`; none by default. Raises InputError if there is none, for
    all frames that cannot be read or transformed, by name, and if they take over 4 GB.
    """
    name = name or project.root.name
    numbers = (
        range(len(project.instances))
        if instances is None
        else [int(number) for number in instances]
    )
    if not len(numbers):
        raise InputError(f"{name}: no labelled frame in {project.root}; label some first")
    lengths = reference_lengths(project)
    entries = []
    for number in numbers:
        instance = project.instances[number]
        visible = instance.seen
        if occluded == "drop":
            visible = visible & ~instance.occluded
        keypoints = np.where(visible[:, None], instance.keypoints, 0.0).astype(np.float32)
        entries.append(
            _Labelled(
                project.frames[instance.frame],
                keypoints,
                visible.astype(np.float32),
                float(lengths[number]),
                box_of(instance),
            )
        )
    found = _read(entries, project.skeleton, transform, project.root, name, on_bad_frame)
    index = np.array(numbers, np.int32)[found.examples.index]
    visible = found.examples.visible
    if absent is not None:
        visible = np.where(absent[index], np.float32(-1), visible)
    return replace(found, examples=found.examples._replace(visible=visible, index=index))


# Cells and frames without labels, where that says that nothing is there


def named_cells(project: Project) -> np.ndarray:
    """Returns (I, K) bool: keypoints that the project names from which an animal comes."""
    named = np.ones((len(project.instances), len(project.skeleton.names)), bool)
    for number, one in enumerate(project.instances):
        if one.named is not None:
            named[number] = one.named
    return named


def empty_cells(project: Project) -> np.ndarray:
    """Returns (I, K) bool: keypoints without a label, of those that the animal's own project names
    and that have a label elsewhere, on labelled animals."""
    named = named_cells(project)
    seen = np.array([one.seen for one in project.instances], bool).reshape(named.shape)
    elsewhere = seen.any(0)
    labelled = seen.any(1)
    return ~seen & named & elsewhere & labelled[:, None]


def with_nobody(project: Project) -> Project:
    """Returns a project whose frames without an animal are known to show none, but those that nobody
    has labelled yet."""
    known = {one.frame for one in project.instances} | project.unlisted
    return show_nobody(project, {*range(len(project.frames))} - known)


POINT_BOX = 0.25  # share of a frame's longer side, the box about a single keypoint


def with_point_boxes(project: Project, side: float = 0.0) -> Project:
    """Returns a project of one keypoint whose animals have boxes about it, where they had none.

    A point has no extent: it says neither how large the animal is, by which errors are compared,
    nor what a crop of one of several shows.

    side: px, of the boxes. With 0, a quarter of the frame's longer side, the median of all, and at
    most the distance between animals of a frame. Projects of several keypoints stay as they are.
    """
    without = [number for number, one in enumerate(project.instances) if not one.boxed]
    sides = [max(project.frames[project.instances[number].frame].size) for number in without]
    if len(project.skeleton.names) != 1 or not any(sides):
        return project
    if not side:
        of_frame = POINT_BOX * float(np.median(sides))
        side = round(min(of_frame, crowd_of(project).apart), 1)
    instances = list(project.instances)
    for number in without:
        (point,) = instances[number].keypoints
        box = np.array([*(point + 0.5 - side / 2), side, side])
        instances[number] = instances[number]._replace(box=box)
    note = f"one keypoint: its animal is taken to be a square of {side:g} px about it; --box-side sets another"
    return project._replace(instances=tuple(instances), notes=(*project.notes, note))


def has_own_box(one: Instance, box_side: float) -> bool:
    """Returns whether an animal has a box that somebody stated: not the one that was made about its
    only keypoint. box_side: that
    somebody stated for boxes of single keypoints, 0 for none."""
    if not one.boxed or box_side or len(one.seen) > 1:
        return one.boxed
    middle = one.box[:2] + one.box[2:] / 2 - 0.5
    return not np.allclose(middle, one.keypoints[0], atol=1e-3)


def reference_lengths(project: Project) -> np.ndarray:
    """Returns (I,) float64 px: the diagonal of each instance's box, else of the extent of its
    labelled points.

    Points more than a pixel outside their frame, and what of a box lies outside, do not count.
    With fewer than two labelled points, it is the median of the others, or the frame's longer side
    if there is none.
    """
    # A label or a box beyond its frame is a slip: it must not make every error look small.
    lengths = np.full(len(project.instances), np.nan)
    for number, far in enumerate(outside(project)):
        one = project.instances[number]
        box = box_of(one._replace(visible=np.where(far, 0, one.visible)))
        if box is None:
            continue
        sides = box[2:]
        size = np.array(project.frames[one.frame].size)
        if one.boxed and size.all():
            start, end = np.clip([box[:2], box[:2] + sides], 0, size)
            sides = end - start
        if sides.any():
            lengths[number] = math.hypot(*sides)
    known = np.isfinite(lengths)
    if known.any():
        return np.where(known, lengths, np.median(lengths[known]))
    sides = [max(1, *project.frames[one.frame].size) for one in project.instances]
    return np.array(sides, np.float64)


def areas_of(project: Project) -> np.ndarray:
    """Returns (I,) float64 square pixels: the area that the file states of an animal, if its box can
    hold it, else that of its box; nan without a box."""
    areas = np.full(len(project.instances), np.nan)
    for number, one in enumerate(project.instances):
        if one.boxed:
            areas[number] = of_box = float(np.prod(one.box[2:]))
            if one.area and 0.05 <= one.area / of_box <= 1:
                areas[number] = one.area
    return areas


def box_of(instance: Instance) -> np.ndarray | None:
    """Returns the annotated box, or that of the labelled points: (4,) float64 x, y, width, height
    of its edges.

    Pixel 0 spans 0 to 1. Returns None if the points span nothing.
    """
    if instance.boxed:
        return np.asarray(instance.box, np.float64)
    points = instance.keypoints[instance.seen]
    if not len(points) or not np.ptp(points, axis=0).any():
        return None
    return np.concatenate([points.min(0) + 0.5, np.ptp(points, axis=0)])


# Several animals in a frame: how many, how far apart, and frames as examples of all of them


class Crowd(NamedTuple):
    """The labelled animals of a project."""

    frames: int  # with a labelled animal
    most: int  # animals on one of them
    fewer: int  # frames with fewer
    extent: float  # px, the median of the longer sides of animals; nan if no animal has one
    #: px, between the middles of neighbours, where they are close; inf if no frame has two
    apart: float


def crowd_of(project: Project) -> Crowd:
    """Counts the labelled animals of a project and measures them."""
    counts = []
    extents = []
    apart = []
    for found in by_frame(project):
        middles = []
        for one in found:
            if not one.seen.any():
                continue
            box = box_of(one)
            if box is None:
                middles.append(np.nanmean(one.keypoints, 0))
            else:
                middles.append(box[:2] + box[2:] / 2)
                extents.append(max(box[2:]))
        if middles:
            counts.append(len(middles))
        if len(middles) > 1:
            places = np.array(middles)
            away = np.linalg.norm(places[:, None] - places, axis=-1)
            np.fill_diagonal(away, np.inf)
            apart += away.min(1).tolist()
    most = max(counts, default=0)
    return Crowd(
        len(counts),
        most,
        sum(count < most for count in counts),
        float(np.median(extents)) if extents else np.nan,
        float(np.quantile(apart, NEAREST)) if apart else np.inf,
    )


def whole_frames(project: Project) -> tuple[Project, int]:
    """Returns a project with one instance for each labelled frame, which has the points of all its
    animals, and their number P for each animal.

    An animal has as many points as there are in its P, the others are not visible. They are its
    labelled keypoints; of an annotated box they are points of the ellipse in it, whose box turns
    almost as that of an animal does.
    """
    of_frame = []
    for found in by_frame(project):
        of_frame.append([_outline(one) for one in found if one.seen.any()])
    per = max((len(points) for animals in of_frame for points in animals), default=1)
    most = max([1, *map(len, of_frame)])
    instances = []
    for frame, animals in enumerate(of_frame):
        points = np.full((most, per, 2), np.nan)
        for place, animal in enumerate(animals):
            points[place, : len(animal)] = animal
        if animals or frame in project.nobody:
            instances.append(instance_of(frame, points.reshape(-1, 2)))
    names = [f"animal {animal} point {point}" for animal in range(most) for point in range(per)]
    # Mirrored, every point keeps its name: only the boxes about them count.
    skeleton = Skeleton(tuple(names), flip=tuple(range(len(names))))
    return project._replace(skeleton=skeleton, instances=tuple(instances)), per


def _outline(one: Instance) -> np.ndarray:
    if not one.boxed:
        return one.keypoints[one.seen]
    angles = 2 * np.pi * np.arange(OUTLINE) / OUTLINE
    circle = np.stack([np.cos(angles), np.sin(angles)], -1)
    corner = one.box[:2] - 0.5
    radii = one.box[2:] / 2
    return corner + radii * (1 + circle)


def frames_at(paths: Sequence[Path] | Path) -> tuple[Frame, ...]:
    """Returns all images and all frames of videos in files and folders, or one of them, including
    subfolders.

    Frames are sorted within each path; duplicates appear once, and files of a folder on which points
    are drawn (`kpjax.images.video.is_drawn`) are left out. Videos are opened for their sizes,
    images are not. A file that is named is taken whatever its ending. Raises InputError for a path
    that is missing, holds neither, or is an unreadable video.
    """
    frames: dict[tuple[Path, int | None], Frame] = {}
    for path in map(Path, [paths] if isinstance(paths, str | Path) else paths):
        path = path.expanduser()
        check_local("inputs", path)
        if not path.exists():
            raise InputError(
                f"{path}: there is no such file or folder; name images, videos or folders of them"
            )
        files = [
            file
            for file in shown_files(path, "**/*")
            if path == file or file.suffix.lower() in (*IMAGE_SUFFIXES, *VIDEO_SUFFIXES)
        ]
        files = without_drawn(path, files)
        is_read = False
        for file in files:
            check_name(file)
            name = file.as_posix()
            if file.suffix.lower() in IMAGE_SUFFIXES:
                frames.setdefault((file.resolve(), None), Frame(name, file))
                is_read = True
                continue
            video = _open(file)
            whole = file.resolve()
            is_read |= len(video) > 0
            for number in range(len(video)):
                frame = Frame(
                    f"{name}/{number}", file, number, video.size, file.stem, depth=video.depth
                )
                frames.setdefault((whole, number), frame)
        if not is_read:
            raise InputError(
                f"{path}: neither images ({', '.join(IMAGE_SUFFIXES)}) nor videos in it; name another"
            )
    depth = common_depth([frame.path for frame in frames.values() if frame.number is None])
    found = []
    for frame in frames.values():
        if depth and frame.number is None:
            frame = frame._replace(depth=depth)
        found.append(frame)
    return tuple(found)


def unlabelled_source(
    frames: Sequence[Frame],
    transform: Transform,
    skeleton: Skeleton,
    *,
    root: Path | None = None,
    name: str = "without labels",
    boxes: Sequence[Sequence[float]] | None = None,
    on_bad_frame: str = "stop",
) -> ArraySource:
    """Reads images and frames of videos into memory as examples without labels; `scale` is the
    frame's longer side.

    frames: As from `frames_at`. root: Names are paths below it; the root of a project whose names
    are compared. boxes: x, y, width, height of one animal for each of `frames`, the same one as
    often as it has animals. on_bad_frame: as of `project_source`, as are the errors.
    """
    of_animals: list[np.ndarray | None] = [None] * len(frames)
    if boxes is not None:
        of_animals = [np.asarray(box, np.float64) for box in boxes]
    count = len(skeleton.names)
    keypoints = np.zeros((count, 2), np.float32)
    visible = np.zeros(count, np.float32)
    entries = []
    for frame, box in zip(frames, of_animals, strict=True):
        longer_side = float(max(*frame.size, 1))
        entries.append(_Labelled(frame, keypoints, visible, longer_side, box))
    return _read(entries, skeleton, transform, root or Path("/"), name, on_bad_frame)


def _read(
    entries: Sequence[_Labelled],
    skeleton: Skeleton,
    transform: Transform,
    root: Path,
    name: str,
    on_bad_frame: str,
) -> ArraySource:
    """Reads all examples, each video in one pass. Raises InputError as `project_source` does."""

    def square(one: _Labelled, image: np.ndarray, number: int) -> Example:
        # A label beyond its own frame marks nothing; one that a crop leaves out does.
        visible = one.visible * on_frame(one.keypoints, image.shape[1::-1])
        made = transform(image, one.keypoints, visible, np.float32(one.scale), one.box)
        return Example(*made, np.int32(number))

    def fill(sheet: Sheet) -> None:
        faults: list[str] = []
        for number, image in images_of([one.frame for one in entries]):
            one = entries[number]
            if isinstance(image, InputError):
                faults.append(str(image))
                continue
            try:
                sheet.put(number, square(one, image, number))
            except InputError as error:
                faults.append(f"{name}, {frame_identity(one.frame, root)}: {error}")
        _say_faults(faults, len(entries), name, on_bad_frame, readable=bool(sheet.fields))

    side = _side_of(transform)
    key = functools.partial(_key_of, entries, transform)
    found = decoded(len(entries), side, key, name, fill)
    for depth in sorted({one.frame.depth for one in entries} - {0}):
        print(f"{name}: {depth_note(depth)}")
    for video in {one.frame.path: None for one in entries if one.frame.number is not None}:
        note = _open(video).note
        if note:
            print(f"{video.name}: {note}")
    return ArraySource(
        found.examples,
        skeleton,
        name,
        tuple(frame_identity(entries[number].frame, root) for number in found.kept.tolist()),
        found.images_digest,
    )


def _say_faults(
    faults: Sequence[str], count: int, name: str, on_bad_frame: str, *, readable: bool
) -> None:
    """Says which frames cannot be read. Raises InputError unless they may be left out and others are
    readable."""
    if faults and (on_bad_frame == "stop" or not readable):
        raise InputError(
            f"{name}: {len(faults)} of {count} frames cannot be read: {summarise(faults)}; "
            "replace them, or leave them out with `on_bad_frame`='skip'"
        )
    if faults:
        print(
            f"{name}: left out {len(faults)} of {count} frames that cannot be read: "
            f"{printable(summarise(faults))}",
            file=sys.stderr,
        )


def _side_of(transform: Transform) -> int:
    """Returns the side of the square images, px, where a transform tells; else 0."""
    return getattr(getattr(transform, "transform", transform), "side", 0)


def _key_of(entries: Sequence[_Labelled], transform: Transform) -> str:
    """Returns a digest of all that examples depend on; "" of a transform that does not say what it
    does."""
    if not is_dataclass(transform):
        return ""
    files = {str(path): path for path in {one.frame.path for one in entries} if path.is_file()}
    digests = contents(files)
    parts: list[str | np.ndarray] = [repr(transform), metadata.version("pillow")]
    for one in entries:
        frame = one.frame
        parts += [digests.get(str(frame.path), str(frame.path)), str(frame._replace(path=""))]
        parts += [one.keypoints, one.visible, np.float64(one.scale).reshape(1)]
        parts.append(np.empty(0) if one.box is None else one.box)
    return digest_of(*parts)


def images_of(frames: Sequence[Frame]) -> Iterator[tuple[int, np.ndarray | InputError]]:
    """Yields each frame's number with its image, or why it cannot be read; each video in one pass,
    in its order.
    """
    of_video: dict[Path, dict[int, list[int]]] = {}
    for number, one in enumerate(frames):
        if one.number is not None:
            of_video.setdefault(one.path, {}).setdefault(one.number, []).append(number)

    def read(number: int) -> tuple[int, np.ndarray | InputError]:
        try:
            return number, read_frame(frames[number])
        except InputError as error:
            return number, error

    files = [number for number, one in enumerate(frames) if one.number is None]
    threads = min(4, usable_cores())
    with contextlib.closing(read_ahead(read, files, threads=threads, depth=2 * threads)) as images:
        yield from images
    for path, wanted in of_video.items():
        try:
            video = _open(path)
        except InputError as error:
            yield from ((number, error) for numbers in wanted.values() for number in numbers)
            continue
        for frame, image in video.only(wanted):
            if image is None:
                image = InputError(f"{path}: frame {frame} does not decode")
            yield from ((number, image) for number in wanted[frame])
        for frame, numbers in wanted.items():
            if frame < len(video):
                continue
            missing = InputError(f"{path}: there is no frame {frame}, the video has {len(video)}")
            yield from ((number, missing) for number in numbers)
