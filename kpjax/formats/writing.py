"""Projects of images written into a folder for another tool: labels in its format, and images."""

from pathlib import Path, PurePosixPath

from kpjax.file_names import inside
from kpjax.files import atomic, check_new, read_content, writing
from kpjax.formats.project import Project
from kpjax.formats.reading import FORMATS
from kpjax.formats.tables import FOLDER

WRITERS = {one.name: one for one in FORMATS if one.write}


def write_project(project: Project, format: str, folder: Path) -> list[Path]:
    """Writes a project of images, called `<recording>/<file>`, into a folder, which appears once
    everything is written; returns the paths of the labels. Images are copied as they are.

    format: csv, deeplabcut, lightning_pose or sleap. folder: A new or empty folder. Raises InputError
    if it is not empty, if images are missing, or if the format cannot hold the project.
    """
    folder = Path(folder).absolute()
    check_new(folder)
    writer = WRITERS[format]
    frames = []
    with atomic(folder) as partial:
        partial.mkdir()
        for frame in project.frames:
            name = f"{FOLDER}/{frame.name}" if writer.by_video else frame.name
            target = inside(partial, name, "image")
            with writing(target):
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(read_content(frame.path))
            frames.append(frame._replace(name=name, path=folder / name))
        moved = project._replace(root=folder, frames=tuple(frames))
        written = writer.write(moved, partial)
    return [folder / path.relative_to(partial) for path in written]


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
