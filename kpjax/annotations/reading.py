"""Any annotation project as a `Project`: which tool wrote it is told by what is in it.

The module of a format has `recognises(path) -> bool`, which looks at content and does not raise, and
`read(path, faults, ...) -> Project | None`, which appends what is wrong to `faults` (file, row, field: what; mend) and
goes on as far as it can. It resolves where images and videos should lie, but need not look at them: sizes, missing
files and frame numbers beyond the end are the same for all formats and looked at here.
"""
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from kpjax.annotations import coco, deeplabcut, lightning_pose, plain_csv, sleap
from kpjax.annotations.project import Frame, Project, coordinate_notes, counted_from
from kpjax.errors import InputError, summarise

# The images and videos of a project: whether they are there, and of the size that the labels were made on


EXIF_ORIENTATION, TURNED = 0x0112, (5, 6, 7, 8)  # the tag, and its values that exchange width and height


def with_files(project: Project, faults: list[str], *, rescale_labels: bool = False) -> Project:
    """The project with the size of each frame as its file has it.

    Appends to `faults` what is missing, cannot be opened, ends before a labelled frame, or has another size than the
    project says. rescale_labels: labels of images of another size are scaled with them instead, but not where width
    and height are exchanged: such images are turned.
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
        told = f"{frame.size[0]}x{frame.size[1]}"
        mend = ("save it upright without an EXIF tag that turns it, as it was labelled" if exchanged else
                "restore the original, or scale the labels along with --rescale-labels")
        faults.append(f"{frame.name}: the file is {size[0]}x{size[1]} as shown, its labels are of an image of {told}; "
                      f"{mend}")
    instances = tuple(one._replace(keypoints=(one.keypoints + 0.5) * growth[one.frame] - 0.5,
                                   box=one.box * np.tile(growth[one.frame], 2))
                      if one.frame in growth else one for one in project.instances)
    notes = project.notes
    if growth:
        notes += (f"labels of {len(growth)} resized images were scaled along",)
    return project._replace(frames=tuple(frames), instances=instances, notes=notes)


def image_size(path: Path) -> tuple[int, int]:
    """Width and height of an image as shown, from its header. Raises InputError if the file is no image."""
    try:
        with Image.open(path) as opened:
            width, height = opened.size
            return (height, width) if opened.getexif().get(EXIF_ORIENTATION) in TURNED else (width, height)
    # Pillow raises SyntaxError for a broken PNG and ValueError or its own error for sizes that make no sense.
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise InputError(f"{path}: {error}") from None


def _videos(project: Project, faults: list[str]) -> Mapping[Path, tuple[tuple[int, int], int]]:
    """Size and length of every video that can be opened."""
    known = {}
    paths = dict.fromkeys(frame.path for frame in project.frames if frame.number is not None)
    if paths:
        from kpjax.images.video import open_video
    for path in paths:
        labelled = sum(frame.path == path for frame in project.frames)
        if not path.exists():
            faults.append(f"{path}: this video of {labelled} frames is missing; copy it there, or name the folder that "
                          "it lies in with --video-root")
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
    """Width and height of a frame's file as shown; None, and a fault, where it has no such frame."""
    if frame.number is not None:
        if frame.path not in videos:
            return None
        size, count = videos[frame.path]
        if not 0 <= frame.number < count:
            faults.append(f"{frame.name}: frame {frame.number} is labelled, {frame.path.name} has frames 0 to "
                          f"{count - 1}; name the video that was labelled, or delete the row")
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


class Options(NamedTuple):
    """What a person can say about a project that its files do not."""

    category: str = ""  # of COCO files with several
    video_root: Path | None = None  # where videos lie that are not where the project says
    pixels_from: int = 0  # 1 where the top-left pixel's centre is (1, 1)
    rescale_labels: bool = False  # labels of images that were resized since are scaled along
    check_files: bool = True  # False: images and videos need not be there


class Format(NamedTuple):
    """One of the ways in which projects are kept."""

    name: str
    because: str  # what it is recognised by
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
    """The format of a project. Raises InputError for a path that is not there or in none of the known formats."""
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path}: there is no such file or folder; name an annotation project")
    for one in FORMATS:
        if one.recognises(path):
            return one
    known = "; ".join(f"{one.name} ({one.because})" for one in FORMATS)
    found = f"{_content(path)}; " if path.is_dir() else "the file is empty; " if not path.stat().st_size else ""
    raise InputError(f"{path}: {found}this is no annotation project that can be read; there are {known}")


def recognise(path: Path) -> str:
    """The name of a project's format. Raises InputError as `format_of`."""
    return format_of(path).name


def project_and_faults(path: Path, options: Options) -> tuple[Project | None, list[str]]:
    """What can be read of a project and everything that is wrong with it. Raises InputError as `format_of`."""
    path, faults = Path(path), []
    try:
        project = format_of(path).read(path, faults, options)
    except OSError as error:
        faults.append(f"{error.filename or path}: cannot be read ({error.strerror or error}); look at its permissions")
        return None, faults
    if project is None:
        return None, faults or [f"{path.name}: nothing can be read from it; save the project again"]
    if not faults and not project.frames:
        faults.append(f"{path.name}: no frame is in it; label some and save")
    elif not faults and not project.instances:
        faults.append(f"{path.name}: no keypoint is labelled in any of its {len(project.frames)} frames; label some "
                      "and save")
    if options.pixels_from not in (0, 1):
        faults.append(f"--pixels-from: {options.pixels_from}; pixels are counted from 0 or from 1")
    project = counted_from(project, options.pixels_from)
    if options.check_files:
        project = with_files(project, faults, rescale_labels=options.rescale_labels)
    return project._replace(notes=(*project.notes, *coordinate_notes(project, options.pixels_from))), faults


def read_project(
    path: Path, *, category: str = "", video_root: Path | None = None, pixels_from: int = 0,
    rescale_labels: bool = False, check_files: bool = True,
) -> Project:
    """An annotation project, with the size of every frame that its file tells.

    The options are those of `Options`. Raises InputError for a path that is no project, and with everything that is
    wrong in one line: labels that cannot be understood, images and videos that are missing or of another size.
    """
    root = None if video_root is None else Path(video_root)
    if root is not None and not root.is_dir():
        raise InputError(f"--video-root: {root} is no folder; name the one that the videos lie in")
    project, faults = project_and_faults(path, Options(category, root, pixels_from, rescale_labels, check_files))
    if faults:
        raise InputError(fault_line(path, faults))
    return project


def fault_line(path: Path, faults: list[str]) -> str:
    """All faults of a project in one line."""
    return f"{path}: {len(faults)} fault{'s' if len(faults) > 1 else ''}: {summarise(faults)}"


def _content(folder: Path) -> str:
    """What is in a folder, in a few words."""
    names = sorted(path.name + ("/" if path.is_dir() else "") for path in folder.iterdir())
    if not names:
        return "the folder is empty"
    return f"it holds {', '.join(names[:5])}" + (f" and {len(names) - 5} more" if len(names) > 5 else "")
