"""What can be said of a project's coordinates before any picture is decoded."""
import numpy as np

from kpjax.projects.project import Project

SLACK = 1.0  # pixels beyond the edge that an annotator's hand may slip


def counted_from(project: Project, first: int) -> Project:
    """The project with its labels moved where the top-left pixel was called (first, first)."""
    if not first:
        return project
    by = np.array([first, first, 0.0, 0.0])
    return project._replace(instances=tuple(
        one._replace(keypoints=one.keypoints - first, box=one.box - by) for one in project.instances))


def outside(project: Project) -> np.ndarray:
    """(N, K) bool: the labelled points of N instances that lie more than a pixel outside a frame of known size."""
    found = np.zeros((len(project.instances), len(project.skeleton.names)), bool)
    for number, one in enumerate(project.instances):
        size = np.array(project.frames[one.frame].size, np.float64)
        if size.all():
            beyond = np.maximum(-0.5 - one.keypoints, one.keypoints - (size - 0.5)).max(-1)
            found[number] = (one.visible > 0) & (np.nan_to_num(beyond) > SLACK)
    return found


def coordinate_notes(project: Project, pixels_from: int) -> list[str]:
    """Lines about points outside their frames, and about coordinates that seem to count from 1."""
    notes, beyond = [], outside(project)
    if beyond.any():
        number = int(beyond.any(1).argmax())
        keypoint = int(beyond[number].argmax())
        x, y = project.instances[number].keypoints[keypoint]
        frame = project.frames[project.instances[number].frame]
        notes.append(f"{beyond.sum()} labelled points lie more than {SLACK:g} px outside their pictures, the first is "
                     f"{project.skeleton.names[keypoint]} of {frame.name} at ({x:g}, {y:g}) of "
                     f"{frame.size[0]}x{frame.size[1]}; they train nothing")
    if not pixels_from and _seems_to_count_from_one(project):
        notes.append("some coordinates equal the width or height of their picture and none is below 1: if pixels are "
                     "counted from 1, say --pixels-from 1")
    return notes


def _seems_to_count_from_one(project: Project) -> bool:
    at_edge, least = False, np.inf
    for one in project.instances:
        size = np.array(project.frames[one.frame].size, np.float64)
        seen = one.keypoints[one.visible > 0]
        if size.all() and len(seen):
            at_edge |= bool((seen == size).any())
            least = min(least, float(seen.min()))
    return at_edge and least >= 1
