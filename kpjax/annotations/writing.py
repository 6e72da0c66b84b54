"""Conversion of a project to a folder for another tool: labels in that tool's format, and images."""
import contextlib
import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from PIL import Image

from kpjax.annotations import coco, deeplabcut, lightning_pose, plain_csv, sleap
from kpjax.annotations.project import Frame, Project
from kpjax.annotations.reading import image_size
from kpjax.annotations.tables import FOLDER
from kpjax.errors import InputError
from kpjax.files import partial_path
from kpjax.images.video import VIDEO_SUFFIXES, Video, open_video

WRITERS = {"coco": coco.write, "csv": plain_csv.write, "deeplabcut": deeplabcut.write,
           "lightning_pose": lightning_pose.write, "sleap": sleap.write}
_NAMES_VIDEOS = ("csv", "sleap")  # formats that refer to frames of videos; others get images
_IN_FOLDERS = ("deeplabcut", "lightning_pose")  # formats whose images are in labeled-data/<video>/
_MANIFEST = "converted.json"  # lists what was written, so that nothing else is replaced


class Copy(NamedTuple):
    """An image to write."""

    frame: Frame  # its origin
    name: str  # its path below the new folder


def write_project(project: Project, format: str, folder: Path, *, overwrite: bool = False) -> list[Path]:
    """Writes a project into a folder, which appears once everything is written; returns the paths of the labels.

    Images are copied as they are. Frames of videos become images if the format cannot refer to them; else they stay in
    their video, which is not copied.

    Args:
        format: coco, csv, deeplabcut, lightning_pose or sleap.
        folder: A new or empty folder.
        overwrite: Whether to replace the output of an earlier call.

    Raises:
        InputError: If the folder is the project's own or not empty (with `overwrite`: not written by an earlier call,
            or its labels were changed since), if images are missing, or if the format cannot hold the project.
    """
    folder = Path(folder).absolute()
    if format not in WRITERS:
        raise InputError(f"format: {format!r} is unknown; choose {', '.join(WRITERS)}")
    old = _replaceable(folder, project, overwrite)
    moved, copies = placed_in(project, format, folder)
    partial = partial_path(folder)
    shutil.rmtree(partial, ignore_errors=True)
    try:
        _make_images(copies, partial)
        labels = [path.relative_to(partial).as_posix() for path in WRITERS[format](moved, partial)]
        _write_manifest(partial, project, format, labels)
        for name in old:
            (folder / name).unlink(missing_ok=True)
        for path in sorted(path for path in partial.rglob("*") if path.is_file()):
            target = folder / path.relative_to(partial)
            target.parent.mkdir(parents=True, exist_ok=True)
            path.replace(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return [folder / name for name in labels]


def placed_in(project: Project, format: str, folder: Path) -> tuple[Project, list[Copy]]:
    """Returns the project as it will be in a folder, with sizes, and the images to write; InputError if unreadable."""
    videos: dict[Path, Video] = {}
    for frame in project.frames:
        if frame.number is not None and frame.path not in videos:
            videos[frame.path] = open_video(frame.path)
    sessions = _session_folders(project)
    digits = max([4, *(len(str(frame.number)) for frame in project.frames if frame.number is not None)])
    frames, copies, used, homes = [], [], set(), {}
    for frame in project.frames:
        size = frame.size if all(frame.size) else (
            image_size(frame.path) if frame.number is None else videos[frame.path].size)
        if frame.number is not None and format in _NAMES_VIDEOS:
            name = frame.name if format == "sleap" else f"{frame.path.absolute().as_posix()}/{frame.number}"
            frames.append(frame._replace(name=name, size=size, path=frame.path.absolute()))
            continue
        session = sessions[frame.session]
        if frame.number is not None:
            homes[session] = frame.path.absolute().as_posix()
        name = _unused(_image_name(frame, format, session, digits), used)
        copies.append(Copy(frame, name))
        frames.append(Frame(name, folder / name, None, size, session if format in _IN_FOLDERS else frame.session,
                            frame.split))
    details = {**project.details, "videos": homes}
    return project._replace(root=folder, frames=tuple(frames), details=details), copies


def _image_name(frame: Frame, format: str, session: str, digits: int) -> str:
    """Returns the path of a frame's image below the new folder."""
    last = frame.path.name if frame.number is None else f"img{frame.number:0{digits}d}.png"
    if format in _IN_FOLDERS:
        return f"{FOLDER}/{session}/{last}"
    parts = PurePosixPath(frame.name).parts
    if frame.number is not None or frame.name.startswith("/") or ".." in parts or parts[-1:] != (frame.path.name,):
        return f"{session}/{last}"
    return frame.name


def _session_folders(project: Project) -> dict[str, str]:
    """Returns a unique folder name for each session, if possible the video's name without its ending."""
    folders: dict[str, str] = {}
    for session in dict.fromkeys(frame.session for frame in project.frames):
        last = PurePosixPath(session)
        short = last.stem if last.suffix.lower() in VIDEO_SUFFIXES else last.name
        whole = "".join("_" if letter in '/\\:*?"<>|' else letter for letter in session) or "images"
        short = "".join("_" if letter in '\\:*?"<>|' else letter for letter in short) or whole
        folders[session] = _unused(short if short not in folders.values() else whole, set(folders.values()))
    return folders


def _unused(name: str, used: set[str]) -> str:
    """Returns the name, with a number if it is used already, and marks it as used."""
    path, found, count = PurePosixPath(name), name, 1
    while found.lower() in used:
        count += 1
        found = path.with_name(f"{path.stem}-{count}{path.suffix}").as_posix()
    used.add(found.lower())
    return found


def _make_images(copies: list[Copy], folder: Path) -> None:
    """Copies images, and extracts frames of videos in order."""
    opened: tuple[Path | None, Video | None] = (None, None)
    for copy in sorted(copies, key=lambda one: (str(one.frame.path), one.frame.number or 0)):
        target = folder / copy.name
        target.parent.mkdir(parents=True, exist_ok=True)
        if copy.frame.number is None:
            try:
                shutil.copyfile(copy.frame.path, target)
            except OSError as error:
                raise InputError(f"{copy.frame.path}: cannot be copied ({error.strerror})") from None
            continue
        if opened[0] != copy.frame.path:
            opened = copy.frame.path, open_video(copy.frame.path)
        if copy.frame.number >= len(opened[1]):
            raise InputError(f"{copy.frame.path}: frame {copy.frame.number} is labelled, the last is "
                             f"{len(opened[1]) - 1}; name the video that was labelled")
        Image.fromarray(opened[1][copy.frame.number]).save(target)


def _replaceable(folder: Path, project: Project, overwrite: bool) -> list[str]:
    """Returns the files of a folder to replace. Raises InputError if it may hold anything else."""
    if folder.resolve() == project.root.resolve():
        raise InputError(f"{folder} is the project itself; give another folder")
    if folder.is_file():
        raise InputError(f"{folder} is a file; give a folder")
    if not folder.is_dir() or not any(folder.iterdir()):
        return []
    if not overwrite:
        raise InputError(f"{folder} is not empty; give another folder, or overwrite it if convert wrote it")
    try:
        stored: Mapping[str, Mapping[str, str]] = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))
        files = dict(stored["files"])
    except (OSError, ValueError, KeyError, TypeError):
        raise InputError(f"{folder} has no {_MANIFEST} that lists what convert wrote; give another folder") from None
    for name, digest in files.items():
        if digest and (folder / name).is_file() and _sha256(folder / name) != digest:
            raise InputError(f"{folder / name} was changed since it was converted; give another folder to keep "
                             "those labels")
    return [*files, _MANIFEST]


def _write_manifest(folder: Path, project: Project, format: str, labels: list[str]) -> None:
    """Writes the digests of labels, so that changed ones are never replaced, and the names of all other files."""
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    files = {name: _sha256(folder / name) if name in labels else "" for name in names}
    content = {"from": str(project.root), "format": project.format, "to": format, "files": files}
    (folder / _MANIFEST).write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _sha256(path: Path) -> str:
    with contextlib.closing(path.open("rb")) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
