"""The command `convert`: an annotation project in another tool's format, read back and compared."""
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from kpjax import RunError
from kpjax.lab.commands import Convert
from kpjax.lab.formats.project import Project
from kpjax.lab.formats.reading import read_project
from kpjax.lab.formats.writing import WRITERS, placed_in, write_project

FORMATS = {one.short: one for one in WRITERS.values()}


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
    labels = write_project(project, form.name, out)
    expected, copies = placed_in(project, form.name, out)
    for note in expected.notes[len(project.notes):]:
        tell(f"  {note}")
    tell(f"{out}: {', '.join(file.relative_to(out).as_posix() for file in labels[:6])}"
         f"{f' and {len(labels) - 6} more' if len(labels) > 6 else ''}, {len(copies)} images")
    before, after = animals_of(expected), animals_of(read_project(out))
    if before != after:
        image, number, points = next(iter((before - after) or (after - before)))
        raise RunError(f"{out}: what was written does not read back as it was: the animal at {sorted(points)} of "
                       f"{image}{'' if number is None else f', frame {number}'}; keep the original and report this")
    tell(f"read back: {len(project.frames)} frames, {before.total()} instances are equal")
    if form.lacks:
        tell(f"{form.name} has no place for {', '.join(form.lacks)}")
    return labels


def animals_of(project: Project) -> Counter:
    """Counts the animals of a project by frame and labelled points, which are (keypoint, x, y) to 1e-6 px."""
    return Counter(
        (project.frames[one.frame].path.resolve(), project.frames[one.frame].number, frozenset(
            (name, *place) for name, place, labelled in zip(
                project.skeleton.names, (one.keypoints.round(6) + 0.0).tolist(), one.visible, strict=True) if labelled))
        for one in project.instances if one.visible.any())
