"""The command `convert`: an annotation project in another tool's format, read back and compared."""
from collections.abc import Callable
from pathlib import Path

from kpjax import RunError
from kpjax.errors import summarise
from kpjax.lab.commands import Convert
from kpjax.lab.formats.checking import compare
from kpjax.lab.formats.reading import read_project
from kpjax.lab.formats.writing import WRITERS, placed_in, write_project

FORMATS = {one.short: one.name for one in WRITERS.values()}


def convert(asked: Convert, *, tell: Callable[[str], None] = print) -> list[Path]:
    """Writes an annotation project into a folder in another format and returns the paths of its labels.

    Raises InputError as `read_project` and `write_project` do, and RunError if the result does not read back as it was.
    """
    path, form, out = asked.project, FORMATS[asked.to], asked.out.absolute()
    project = read_project(path, asked)
    tell(f"{path}: {project.format}, {len(project.frames)} frames, {len(project.instances)} instances of "
         f"{len(project.skeleton.names)} keypoints")
    for note in project.notes:
        tell(f"  {note}")
    labels = write_project(project, form, out, overwrite=asked.overwrite)
    expected, copies = placed_in(project, form, out)
    for note in expected.notes[len(project.notes):]:
        tell(f"  {note}")
    tell(f"{out}: {', '.join(file.relative_to(out).as_posix() for file in labels[:6])}"
         f"{f' and {len(labels) - 6} more' if len(labels) > 6 else ''}, {len(copies)} images")
    found = compare(expected, read_project(out))
    if found.wrong:
        raise RunError(f"{out}: what was written does not read back as it was: {summarise(found.wrong)}; keep the "
                       "original and report this")
    tell(f"read back: {len(project.frames)} frames, {len(project.instances)} instances and {found.points} points are "
         "equal")
    if found.lost:
        tell(f"{form} does not hold: {'; '.join(found.lost)}")
    return labels
