"""The command `convert`: an annotation project in another tool's format, read back and compared."""

from collections import Counter
from pathlib import Path

from kpjax import RunError
from kpjax.formats import deeplabcut
from kpjax.formats.project import Project
from kpjax.formats.reading import read_project
from kpjax.formats.writing import WRITERS, placed_in, write_project
from kpjax.lab.commands import Convert

FORMATS = {one.short: one for one in WRITERS.values()}


def convert(asked: Convert) -> list[Path]:
    """Writes an annotation project into a folder in another format and returns the paths of its
    labels.

    Raises InputError as `read_project` and `write_project` do, and RunError if the result does not
    read back as it was.
    """
    path, form, out = asked.project, FORMATS[asked.to], asked.out.absolute()
    project = read_project(path, asked)
    print(
        f"{path}: {project.format}, {len(project.frames)} frames, {len(project.instances)} instances of "
        f"{len(project.skeleton.names)} keypoints",
        *project.notes,
        sep="\n  ",
    )
    labels = write_project(project, form.name, out)
    expected, copies = placed_in(project, form.name, out)
    print(
        f"{out}: {', '.join(file.relative_to(out).as_posix() for file in labels[:6])}"
        f"{f' and {len(labels) - 6} more' if len(labels) > 6 else ''}, {len(copies)} images",
        *expected.notes[len(project.notes) :],
        sep="\n  ",
    )
    for line in deeplabcut.missing_for_h5() if asked.to == "dlc" else ():
        print(line)
    before, after = animals_of(expected), animals_of(read_project(out))
    if wrong := [frame for frame in before | after if before.get(frame) != after.get(frame)]:
        path, number = wrong[0]
        raise RunError(
            f"{out}: {len(wrong)} frames do not read back as they were, the first is {path}"
            f"{'' if number is None else f', frame {number}'}; keep the original and report this"
        )
    count = sum(animals.total() for animals in before.values())
    print(f"read back: {len(before)} frames and {count} instances are equal")
    if form.lacks:
        print(f"{form.name} has no place for {', '.join(form.lacks)}")
    return labels


def animals_of(project: Project) -> dict[tuple[Path, int | None], Counter]:
    """Counts the animals of every frame by their labelled points, which are (keypoint, x, y) to
    1e-6 px.
    """
    frames = [(frame.path.resolve(), frame.number) for frame in project.frames]
    found: dict[tuple[Path, int | None], Counter] = {frame: Counter() for frame in frames}
    for one in project.instances:
        points = zip(
            project.skeleton.names,
            (one.keypoints.round(6) + 0.0).tolist(),
            one.visible,
            strict=True,
        )
        found[frames[one.frame]][
            frozenset((name, *place) for name, place, labelled in points if labelled)
        ] += 1
    return found
