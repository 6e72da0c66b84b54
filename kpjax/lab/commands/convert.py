"""The command `convert`: an annotation project in another tool's format, read back and compared."""
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from kpjax import RunError
from kpjax.errors import summarise
from kpjax.lab.commands import Convert
from kpjax.lab.formats.project import Frame, Instance, Project
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
    labels = write_project(project, form, out)
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


# Two projects of the same frames

class Comparison(NamedTuple):
    """The differences between a project and its conversion."""

    points: int  # labelled points at the same place in both
    wrong: tuple[str, ...]  # labels that are missing, moved or new
    lost: tuple[str, ...]  # facts that a format may be unable to hold


def compare(before: Project, after: Project) -> Comparison:
    """Compares two projects: frames by file, keypoints by name, animals of a frame by their points to 1e-6 px."""
    names, others = before.skeleton.names, after.skeleton.names
    if set(names) != set(others):
        return Comparison(0, (f"keypoints {', '.join(names)} became {', '.join(others)}",), ())
    lost = [f"order of the keypoints: now {', '.join(others)}"] if names != others else []
    if gone := _edges(before) - _edges(after):
        lost.append(f"{len(gone)} edges of the skeleton")
    if _mirrored(before) != _mirrored(after):
        lost.append("which keypoints mirror each other")
    there = {_place(frame): frame.split for frame in after.frames}
    if missing := [frame.name for frame in before.frames if _place(frame) not in there]:
        lost.append(f"{len(missing)} of {len(before.frames)} frames, the first is {missing[0]}")
    if cut := sum(there.get(_place(frame), frame.split) != frame.split for frame in before.frames):
        lost.append(f"the split of {cut} frames")
    twins, places = defaultdict(list), {name: place for place, name in enumerate(others)}
    order = [places[name] for name in names]
    for one in after.instances:
        one = one._replace(keypoints=one.keypoints[order], occluded=one.occluded[order])
        twins[_place(after.frames[one.frame]), _points(one)].append(one)
    points, wrong, occluded, boxes, tracks = 0, [], 0, 0, 0
    for one in before.instances:
        found = twins[_place(before.frames[one.frame]), _points(one)]
        if not found:
            wrong.append(f"{before.frames[one.frame].name}: an instance is missing, or its points moved")
            continue
        other = found.pop(0)
        points += int(one.visible.sum())
        occluded += int((one.occluded != other.occluded).sum())
        boxes += not np.allclose(one.box, other.box, atol=1e-6, equal_nan=True)
        tracks += bool(one.track) and one.track != other.track
    if left := sum(map(len, twins.values())):
        wrong.append(f"{left} instances are new")
    lost += [text for count, text in (
        (occluded, f"which points are occluded ({occluded} points)"), (boxes, f"the boxes of {boxes} instances"),
        (tracks, f"the names of {tracks} individuals")) if count]
    return Comparison(points, tuple(wrong), tuple(lost))


def _place(frame: Frame) -> tuple[Path, int | None]:
    return frame.path.resolve(), frame.number


def _points(one: Instance) -> bytes:
    """Returns the points of an animal to a millionth of a pixel, alike for alike ones."""
    return (np.nan_to_num(one.keypoints.round(6), nan=-np.inf) + 0.0).tobytes()


def _edges(project: Project) -> set[frozenset[str]]:
    return {frozenset(project.skeleton.names[end] for end in edge) for edge in project.skeleton.edges}


def _mirrored(project: Project) -> set[tuple[str, str]]:
    names = project.skeleton.names
    return {(names[a], names[b]) for a, b in enumerate(project.skeleton.flip) if a != b}
