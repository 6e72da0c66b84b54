"""Annotation projects of every format as a `Project`; the format is recognised by content.

The module of a format has `recognises(path) -> bool`, which does not raise, and `read(path, faults, ...) ->
Project | None`, which appends what is wrong to `faults` (file, row, field: what was found; the mend) and reads on. It
returns where images and videos should be. Missing files, sizes and frame numbers are checked here for all formats.
"""
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from kpjax.annotations import coco, deeplabcut, lightning_pose, plain_csv, sleap
from kpjax.annotations.project import Frame, Project, coordinate_notes, counted_from
from kpjax.errors import InputError, summarise

_EXIF_ORIENTATION, _TURNED = 0x0112, (5, 6, 7, 8)  # the tag, and its values that exchange width and height


class Options(NamedTuple):
    """Facts about a project that its files do not state."""

    category: str = ""  # to read from COCO files with several
    video_root: Path | None = None  # a folder to search for videos that are not where the project says
    pixels_from: int = 0  # 1 where the top-left pixel's centre is (1, 1)
    rescale_labels: bool = False  # whether to scale the labels of images that were resized later
    check_files: bool = True  # whether images and videos must exist


class Format(NamedTuple):
    """A format of annotation projects."""

    name: str
    because: str  # what identifies it
    recognises: Callable[[Path], bool]
    read: Callable[[Path, list[str], Options], Project | None]


FORMATS = (
    Format("sleap", "a .slp file", sleap.recognises,
           lambda path, faults, options: sleap.read(path, faults, video_root=options.video_root)),
    Format("deeplabcut", "a folder with config.yaml and labeled-data", deeplabcut.recognises,
           lambda path, faults, options: deeplabcut.read(path, faults)),
    Format("lightning_pose", "a table whose header rows are scorer, bodyparts and coords", lightning_pose.recognises,
           lambda path, faults, options: lightning_pose.read(path, faults)),
    Format("csv", "a table with the columns image (or video and frame), keypoint, x, y, or image, <keypoint>_x, "
           "<keypoint>_y", plain_csv.recognises,
           lambda path, faults, options: plain_csv.read(path, faults, video_root=options.video_root)),
    Format("coco", "json with images, annotations and categories", coco.recognises,
           lambda path, faults, options: coco.read(path, faults, category=options.category)),
)


def format_of(path: Path) -> Format:
    """Returns the format of a project. Raises InputError for a missing path or an unknown format."""
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path}: there is no such file or folder; name an annotation project")
    for one in FORMATS:
        if one.recognises(path):
            return one
    known = "; ".join(f"{one.name} ({one.because})" for one in FORMATS)
    found = f"{_content(path)}; " if path.is_dir() else "the file is empty; " if not path.stat().st_size else ""
    raise InputError(f"{path}: {found}this is no known annotation project; the formats are {known}")


def project_and_faults(path: Path, options: Options) -> tuple[Project | None, list[str]]:
    """Returns what can be read of a project, and everything that is wrong with it. Raises InputError as `format_of`."""
    path, faults = Path(path), []
    try:
        project = format_of(path).read(path, faults, options)
    except OSError as error:
        faults.append(f"{error.filename or path}: cannot be read ({error.strerror or error}); check its permissions")
        return None, faults
    if project is None:
        return None, faults or [f"{path.name}: nothing can be read from it; save the project again"]
    if not faults and not project.frames:
        faults.append(f"{path.name}: there is no frame in it; label some and save")
    elif not faults and not project.instances:
        faults.append(f"{path.name}: no keypoint is labelled in any of its {len(project.frames)} frames; label some "
                      "and save")
    if options.pixels_from not in (0, 1):
        faults.append(f"pixels_from: {options.pixels_from}; pixels count from 0 or 1")
    project = counted_from(project, options.pixels_from)
    if options.check_files:
        project = _with_files(project, faults, rescale_labels=options.rescale_labels)
    return project._replace(notes=(*project.notes, *coordinate_notes(project, options.pixels_from))), faults


def read_project(
    path: Path, *, category: str = "", video_root: Path | None = None, pixels_from: int = 0,
    rescale_labels: bool = False, check_files: bool = True,
) -> Project:
    """Reads an annotation project of any format in `FORMATS`, with the size of every frame that its file states.

    The options are those of `Options`. Raises InputError if the path is no project, or with everything that is wrong in
    one line: faulty labels, images and videos that are missing or of another size.
    """
    root = None if video_root is None else Path(video_root)
    if root is not None and not root.is_dir():
        raise InputError(f"video_root: {root} is no folder; name the one that holds the videos")
    project, faults = project_and_faults(path, Options(category, root, pixels_from, rescale_labels, check_files))
    if faults:
        raise InputError(fault_line(path, faults))
    return project


def fault_line(path: Path, faults: list[str]) -> str:
    """Formats all faults of a project as one line."""
    return f"{path}: {len(faults)} fault{'s' if len(faults) > 1 else ''}: {summarise(faults)}"


def _content(folder: Path) -> str:
    """Describes the content of a folder in a few words."""
    names = sorted(path.name + ("/" if path.is_dir() else "") for path in folder.iterdir())
    if not names:
        return "the folder is empty"
    return f"it holds {', '.join(names[:5])}" + (f" and {len(names) - 5} more" if len(names) > 5 else "")


# Images and videos

def _with_files(project: Project, faults: list[str], *, rescale_labels: bool = False) -> Project:
    """Returns the project with the size of each frame as its file has it.

    Faults are files that are missing, unreadable, too short, or of another size than stated. rescale_labels: scales
    labels with resized images instead, except where width and height are exchanged: such images were turned.
    """
    videos = _videos(project, faults)
    frames, growth = [], {}
    for number, frame in enumerate(project.frames):
        size = _size(frame, videos, faults)
        if size is None or frame.size in ((0, 0), size):
            frames.append(frame if size is None else frame._replace(size=size))
            continue
        exchanged = size == frame.size[::-1]
        if rescale_labels and not exchanged:
            frames.append(frame._replace(size=size))
            growth[number] = np.array(size) / frame.size
            continue
        frames.append(frame)
        mend = ("save it upright without an EXIF tag that turns it, as it was labelled" if exchanged else
                "restore the original, or set rescale_labels to scale the labels with it")
        faults.append(f"{frame.name}: the file is {size[0]}x{size[1]} as shown, its labels belong to an image of "
                      f"{frame.size[0]}x{frame.size[1]}; {mend}")
    instances = tuple(one._replace(keypoints=(one.keypoints + 0.5) * growth[one.frame] - 0.5,
                                   box=one.box * np.tile(growth[one.frame], 2))
                      if one.frame in growth else one for one in project.instances)
    notes = project.notes
    if growth:
        notes += (f"labels of {len(growth)} resized images were scaled with them",)
    return project._replace(frames=tuple(frames), instances=instances, notes=notes)


def image_size(path: Path) -> tuple[int, int]:
    """Returns width and height of an image as shown, from its header. Raises InputError if the file is no image."""
    try:
        with Image.open(path) as opened:
            width, height = opened.size
            return (height, width) if opened.getexif().get(_EXIF_ORIENTATION) in _TURNED else (width, height)
    # Pillow raises SyntaxError for a broken PNG and ValueError or its own error for sizes that make no sense.
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise InputError(f"{path}: {error}") from None


def _videos(project: Project, faults: list[str]) -> Mapping[Path, tuple[tuple[int, int], int]]:
    """Returns size and length of every video that can be opened."""
    known = {}
    paths = dict.fromkeys(frame.path for frame in project.frames if frame.number is not None)
    if paths:
        from kpjax.images.video import open_video
    for path in paths:
        labelled = sum(frame.path == path for frame in project.frames)
        if not path.exists():
            faults.append(f"{path}: this video of {labelled} frames is missing; copy it there, or name its folder as "
                          "video_root")
            continue
        try:
            video = open_video(path)
        except InputError as error:
            faults.append(str(error))
            continue
        known[path] = video.size, len(video)
    return known


def _size(frame: Frame, videos: Mapping[Path, tuple[tuple[int, int], int]], faults: list[str]
          ) -> tuple[int, int] | None:
    """Returns width and height of a frame as shown; None, with a fault, if its file lacks it."""
    if frame.number is not None:
        if frame.path not in videos:
            return None
        size, count = videos[frame.path]
        if not 0 <= frame.number < count:
            faults.append(f"{frame.name}: frame {frame.number} is labelled, {frame.path.name} has frames 0 to "
                          f"{count - 1}; restore the video that was labelled, or delete the row")
            return None
        return size
    if not frame.path.is_file():
        faults.append(f"{frame.name}: the image is missing at {frame.path}; copy it there or delete its labels")
        return None
    try:
        return image_size(frame.path)
    except InputError as error:
        faults.append(f"{frame.name}: the image cannot be opened ({error}); replace it or delete its labels")
        return None
