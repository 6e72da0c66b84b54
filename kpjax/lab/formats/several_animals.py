"""Projects with several animals in a frame: how many, how far apart, and frames as examples of all of them."""
from typing import NamedTuple

import numpy as np

from kpjax.lab.formats.project import Instance, Project, by_frame, instance_of
from kpjax.lab.formats.project_source import box_of
from kpjax.structures import Skeleton

OUTLINE = 8  # points on the ellipse in an annotated box
NEAREST = 0.05  # quantile of the distances between neighbours that counts


class Crowd(NamedTuple):
    """The labelled animals of a project."""

    frames: int  # with a labelled animal
    most: int  # animals on one of them
    fewer: int  # frames with fewer
    extent: float  # px, the median of the longer sides of animals; nan if no animal has one
    apart: float  # px, between the middles of neighbours, where they are close; inf if no frame has two


def crowd_of(project: Project) -> Crowd:
    """Counts the labelled animals of a project and measures them."""
    middles: dict[int, list[np.ndarray]] = {}
    extents = []
    for one in project.instances:
        if (one.visible > 0).any():
            box = box_of(one)
            middles.setdefault(one.frame, []).append(
                np.nanmean(one.keypoints, 0) if box is None else box[:2] + box[2:] / 2)
            extents += [] if box is None else [max(box[2:])]
    counts = [len(of_frame) for of_frame in middles.values()]
    apart = []
    for of_frame in middles.values():
        away = np.linalg.norm(np.array(of_frame)[:, None] - np.array(of_frame), axis=-1)
        np.fill_diagonal(away, np.inf)
        apart += away.min(1).tolist()
    apart = [one for one in apart if np.isfinite(one)]
    most = max(counts, default=0)
    return Crowd(len(counts), most, sum(count < most for count in counts),
                 float(np.median(extents)) if extents else np.nan,
                 float(np.quantile(apart, NEAREST)) if apart else np.inf)


def whole_frames(project: Project) -> tuple[Project, int]:
    """Returns a project with one instance for each labelled frame, which has the points of all its animals, and their
    number P for each animal.

    An animal has as many points as there are in its P, the others are not visible. They are its labelled keypoints; of
    an annotated box they are points of the ellipse in it, whose box turns almost as that of an animal does.
    """
    of_frame = [[_outline(one) for one in found if (one.visible > 0).any()] for found in by_frame(project)]
    per = max((len(points) for animals in of_frame for points in animals), default=1)
    most = max([1, *map(len, of_frame)])
    instances = []
    for frame, animals in enumerate(of_frame):
        points = np.full((most, per, 2), np.nan)
        for place, animal in enumerate(animals):
            points[place, :len(animal)] = animal
        instances += [instance_of(frame, points.reshape(-1, 2))] if animals else []
    names = tuple(f"animal {animal} point {point}" for animal in range(most) for point in range(per))
    # Mirrored, every point keeps its name: only the boxes about them count.
    skeleton = Skeleton(names, flip=tuple(range(len(names))))
    return project._replace(skeleton=skeleton, instances=tuple(instances)), per


def _outline(one: Instance) -> np.ndarray:
    if not (np.isfinite(one.box).all() and (one.box[2:] > 0).all()):
        return one.keypoints[one.visible > 0]
    angles = 2 * np.pi * np.arange(OUTLINE) / OUTLINE
    return one.box[:2] - 0.5 + one.box[2:] / 2 * (1 + np.stack([np.cos(angles), np.sin(angles)], -1))
