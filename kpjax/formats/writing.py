"""Conversion of a project to a folder for another tool: labels in that tool's format, and
images."""

from pathlib import Path, PurePosixPath

from PIL import Image

from kpjax.errors import InputError
from kpjax.file_names import inside, portable
from kpjax.files import atomic, check_new, read_content, writing
from kpjax.formats.names import recording
from kpjax.formats.project import Frame, Project
from kpjax.formats.project_source import images_of
from kpjax.formats.reading import FORMATS
from kpjax.formats.tables import FOLDER
from kpjax.images.reading import image_size
from kpjax.images.video import Video, open_video

WRITERS = {one.name: one for one in FORMATS if one.write}
_TAKEN = {name.lower() for one in FORMATS for name in one.files}  # names beside the images


def write_project(project: Project, format: str, folder: Path) -> list[Path]:
    """Writes a project into a folder, which appears once everything is written; returns the paths
    of the labels.

    Images are copied as they are. Frames of videos become images if the format cannot refer to
    them; else they stay in their video, which is not copied.

    format: coco, csv, deeplabcut, lightning_pose or sleap. folder: A new or empty folder. Raises
    InputError if it is not empty, if images are missing, or if the format cannot hold the project.
    """
    folder = Path(folder).absolute()
    check_new(folder)
    moved, copies = placed_in(project, format, folder)
    with atomic(folder) as partial:
        partial.mkdir()
        make_images(copies, partial)
        written = WRITERS[format].write(moved, partial)
    return [folder / path.relative_to(partial) for path in written]


def placed_in(
    project: Project, format: str, folder: Path
) -> tuple[Project, list[tuple[Frame, str]]]:
    """Returns the project as it will be in a folder, with sizes, and the images to write;
    InputError if unreadable.

    An image to write is the frame that it comes from, and its path below the folder. Parts of names
    that some system forbids are replaced.
    """
    videos: dict[Path, Video] = {}
    for frame in project.frames:
        if frame.number is not None and frame.path not in videos:
            videos[frame.path] = open_video(frame.path)
    # a folder of its own for each
    sessions: dict[str, str] = {}
    folders: set[str] = set()
    for session in dict.fromkeys(frame.session for frame in project.frames):
        short = portable(recording(session) or session or "images")
        sessions[session] = unused_name(short, folders)
    frames = []
    copies = []
    used: set[str] = set()
    for frame in project.frames:
        size = frame.size
        if not all(size):
            size = image_size(frame.path) if frame.number is None else videos[frame.path].size
        if frame.number is not None and WRITERS[format].videos:
            path = frame.path.absolute()
            name = frame.name if format == "sleap" else f"{path.as_posix()}/{frame.number}"
            frames.append(frame._replace(name=name, size=size, path=path))
            continue
        session = sessions[frame.session]
        last = frame.path.name if frame.number is None else f"img{frame.number:04d}.png"
        parts = PurePosixPath(frame.name).parts
        wanted = frame.name
        if WRITERS[format].by_video:
            wanted = f"{FOLDER}/{session}/{last}"
        elif (
            frame.number is not None
            or {"/", ".."} & {*parts}
            or parts[-1:] != (frame.path.name,)
            or (format == "sleap" and frame.session)
        ):  # whose recordings are folders
            wanted = f"{session}/{last}"
        # Parts that any system takes, and none of the writers' own files.
        first, *rest = (portable(part) for part in PurePosixPath(wanted).parts if part != "/")
        if first.lower() in _TAKEN:
            first = f"_{first}"
        name = unused_name("/".join([first, *rest]), used)
        copies.append((frame, name))
        if not WRITERS[format].by_video:
            session = frame.session
        frames.append(Frame(name, folder / name, None, size, session, frame.split))
    return project._replace(root=folder, frames=tuple(frames)), copies


def unused_name(name: str, used: set[str]) -> str:
    """Returns the name, with a number if it is used already, and marks it as used."""
    path = PurePosixPath(name)
    found = name
    count = 1
    while found.lower() in used:
        count += 1
        found = path.with_name(f"{path.stem}-{count}{path.suffix}").as_posix()
    used.add(found.lower())
    return found


def make_images(copies: list[tuple[Frame, str]], folder: Path) -> None:
    """Copies images, and extracts frames of videos, each video as `images_of` reads it."""
    taken = []
    targets = []
    for frame, name in copies:
        target = inside(folder, name, "image")
        with writing(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            if frame.number is None:
                target.write_bytes(read_content(frame.path))
            else:
                taken.append(frame)
                targets.append(target)
    for place, image in images_of(taken):
        if isinstance(image, InputError):
            raise InputError(f"{image}; fetch the video again, or delete the labels of this frame")
        with writing(targets[place]):
            Image.fromarray(image).save(targets[place])
