"""What is equal and what is lost between two projects of the same frames."""
from typing import NamedTuple

import numpy as np

from kpjax.projects.project import Instance, Project

EXACT = 1e-6  # pixels; coordinates are stored in full, so that more is another place


class Comparison(NamedTuple):
    """How a project differs from one that it was made from."""

    points: int  # labelled points that are in both, at the same place
    wrong: tuple[str, ...]  # labels that are missing, moved or new: never to be expected
    lost: tuple[str, ...]  # what a format may have no place for


def compare(before: Project, after: Project) -> Comparison:
    """Compares frames by their files, keypoints by their names, and the instances of a frame by where they are."""
    wrong, lost = [], []
    names = before.skeleton.names
    if set(names) != set(after.skeleton.names):
        wrong.append(f"keypoints {', '.join(names)} became {', '.join(after.skeleton.names)}")
        return Comparison(0, tuple(wrong), ())
    order = [after.skeleton.names.index(name) for name in names]
    if order != sorted(order):
        lost.append(f"order of the keypoints: now {', '.join(after.skeleton.names)}")
    lost += _skeleton_losses(before, after)
    numbers = {(frame.path.resolve(), frame.number): number for number, frame in enumerate(after.frames)}
    twins = [numbers.get((frame.path.resolve(), frame.number)) for frame in before.frames]
    if missing := [frame.name for frame, twin in zip(before.frames, twins, strict=True) if twin is None]:
        lost.append(f"{len(missing)} of {len(twins)} frames, the first is {missing[0]}")
    if cut := sum(frame.split != after.frames[twin].split for frame, twin in zip(before.frames, twins, strict=True)
                  if twin is not None):
        lost.append(f"the split of {cut} frames")
    of_frame: dict[int | None, list[Instance]] = {}
    for one in after.instances:
        of_frame.setdefault(one.frame, []).append(one._replace(
            keypoints=one.keypoints[order], visible=one.visible[order], occluded=one.occluded[order]))
    points, counts = 0, {"occluded": 0, "boxes": 0, "tracks": 0}
    for one in before.instances:
        others = of_frame.get(twins[one.frame], [])
        twin = next((number for number, other in enumerate(others) if _at_one_place(one, other)), None)
        if twin is None:
            wrong.append(f"{before.frames[one.frame].name}: an instance is missing, or its points moved")
            continue
        other = others.pop(twin)
        points += int(one.visible.sum())
        counts["occluded"] += int((one.occluded != other.occluded).sum())
        counts["boxes"] += not np.allclose(one.box, other.box, atol=EXACT, equal_nan=True)
        counts["tracks"] += bool(one.track) and one.track != other.track
    if left := sum(map(len, of_frame.values())):
        wrong.append(f"{left} instances are new")
    texts = {"occluded": "which points are occluded ({} points)", "boxes": "the boxes of {} instances",
             "tracks": "the names of {} individuals"}
    lost += [texts[field].format(count) for field, count in counts.items() if count]
    return Comparison(points, tuple(wrong), tuple(lost))


def _skeleton_losses(before: Project, after: Project) -> list[str]:
    """Edges and mirrored pairs that are others now, by name."""
    def edges(project: Project) -> set[frozenset[str]]:
        return {frozenset(project.skeleton.names[end] for end in edge) for edge in project.skeleton.edges}

    def pairs(project: Project) -> set[tuple[str, str]]:
        names = project.skeleton.names
        return {(names[a], names[b]) for a, b in enumerate(project.skeleton.flip) if a != b}

    lost = [f"{len(gone)} lines of the skeleton"] if (gone := edges(before) - edges(after)) else []
    if pairs(before) != pairs(after):
        lost.append("which keypoints mirror each other")
    return lost


def _at_one_place(one: Instance, other: Instance) -> bool:
    return np.array_equal(one.visible, other.visible) and np.allclose(one.keypoints, other.keypoints, rtol=0,
                                                                      atol=EXACT, equal_nan=True)
