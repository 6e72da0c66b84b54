"""Any annotation project as a `Project`: which tool wrote it is told by what is in it.

The module of a format has `recognises(path) -> bool`, which looks at content and does not raise, and
`read(path, faults, ...) -> Project | None`, which appends what is wrong to `faults` (file, row, field: what; mend) and
goes on as far as it can. It resolves where pictures and videos should lie, but need not look at them: sizes, missing
files and frame numbers beyond the end are the same for all formats and looked at here.
"""
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from kpjax.errors import InputError, summarise
from kpjax.projects import coco, deeplabcut, lightning_pose, plain_csv, sleap
from kpjax.projects.coordinates import coordinate_notes, counted_from
from kpjax.projects.files import with_files
from kpjax.projects.project import Project


class Options(NamedTuple):
    """What a person can say about a project that its files do not."""

    category: str = ""  # of COCO files with several
    video_root: Path | None = None  # where videos lie that are not where the project says
    pixels_from: int = 0  # 1 where the top-left pixel's centre is (1, 1)
    rescale_labels: bool = False  # labels of pictures that were resized since are scaled along
    check_files: bool = True  # False: pictures and videos need not be there


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
    wrong in one line: labels that cannot be understood, pictures and videos that are missing or of another size.
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
