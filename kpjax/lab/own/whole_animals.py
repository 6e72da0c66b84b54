"""Boxes of whole animals on frames whose labels are of some new keypoints alone: a crop about these
would not show the keypoints that an earlier run knows."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kpjax import InputError, Skeleton
from kpjax.errors import count_text
from kpjax.formats.project import Project
from kpjax.formats.project_source import has_own_box, unlabelled_source
from kpjax.images.transforms import Letterbox
from kpjax.lab.own.animals import MORE, Learnt, finder_of, kept_finder
from kpjax.lab.own.project import Own, are_points

LEAST_SHOWN = 0.5  # share of an animal's labels that lie in the crop about its box, at least


def finder_for(config: Any) -> Learnt | None:
    """Returns the network of the old run that finds animals, where a run sees crops of them; None
    where the old model is another tool's points, or keeps none."""
    if config.data.transform != "around_box" or are_points(config.data.old):
        return None
    return kept_finder(Path(config.data.old).expanduser())


def check_boxes(project: Project, known: Sequence[str], own: Own, finder: Learnt | None) -> None:
    """Raises InputError where nothing says where whole animals are: no finder, no box of each
    labelled animal, and no labels of all keypoints that the old run knows.

    known: these keypoints.
    """
    if finder or not unbounded(project, known, own.box_side):
        return
    raise InputError(
        "old",
        "crops must show whole animals, which labels of new keypoints alone do not bound: give the folder of a run "
        "that keeps its animal finder (animals/), or a project with a box for each animal, as COCO has them",
    )


def unbounded(project: Project, known: Sequence[str], box_side: float) -> int:
    """Returns how many labelled animals have no box of their own, where labels lack some of the
    keypoints that a run knows; 0 where they have all.

    box_side: the side that somebody stated for boxes of single keypoints, 0 for none.
    """
    labelled = [one for one in project.instances if one.seen.any()]
    names = {project.skeleton.names[k] for one in labelled for k in np.flatnonzero(one.seen)}
    if names.issuperset(known):
        return 0
    return sum(not has_own_box(one, box_side) for one in labelled)


def with_found_boxes(
    project: Project, numbers: Sequence[int], learnt: Learnt, own: Own, margin: float
) -> tuple[Project, list[int]]:
    """Returns a project in which labelled animals without a box of their own have that which a finder
    finds on their frames, and the numbers of those that have one.

    numbers: of the instances. margin: side of a crop over that of its box. An animal has the box
    whose crop shows the most of its labels, and the nearest of equal ones; no box is that of two.
    Raises InputError if none has one.
    """
    finder = finder_of(learnt.described, learnt.trained)
    on_frame: dict[int, list[int]] = {}
    for number in numbers:
        if project.instances[number].seen.any():
            on_frame.setdefault(project.instances[number].frame, []).append(number)
    frames = list(on_frame)
    seen = unlabelled_source(
        [project.frames[frame] for frame in frames],
        Letterbox(finder.side),
        Skeleton(()),
        root=project.root,
        name=f"{project.root.name}, whole frames",
        on_bad_frame=own.on_bad_frame,
    )
    found = finder.on(seen.examples.image)
    instances = list(project.instances)
    kept = []
    for row, (crop, at) in enumerate(zip(seen.examples.crop, seen.examples.index, strict=True)):
        animals = on_frame[frames[at]]
        boxes, _ = finder.boxes(found, row, crop, finder.most + MORE)
        points = [instances[number].keypoints[instances[number].seen] for number in animals]
        for number, box in zip(animals, boxes_of(points, boxes, margin), strict=True):
            # A box that somebody stated is the better one, and says how large the animal is.
            stated = has_own_box(instances[number], own.box_side)
            if box is not None and not stated:
                instances[number] = instances[number]._replace(box=box)
            if box is not None or stated:
                kept.append(number)
    count = sum(map(len, on_frame.values()))
    if not kept:
        raise InputError(
            "old",
            f"what it keeps to find animals finds none of {count_text(count, 'labelled animal')} of "
            f"{project.root}; give a project with a box for each animal, as COCO has them",
        )
    if len(kept) < count:
        print(
            f"{project.root.name}: left out {count - len(kept)} of {count} labelled animals, which the old run does "
            "not find on their frames"
        )
    return project._replace(instances=tuple(instances)), sorted(kept)


def boxes_of(
    points: Sequence[np.ndarray], boxes: np.ndarray, margin: float
) -> list[np.ndarray | None]:
    """Returns the box of each animal, None without one.

    points: (n, 2) of each. boxes: (D, 4) x, y, width, height of edges, pixel 0 spanning 0 to 1.
    margin: as of `with_found_boxes`.
    """
    # a third of a second, which help need not wait
    from scipy.optimize import linear_sum_assignment

    middles = boxes[:, :2] + boxes[:, 2:] / 2 - 0.5
    sides = np.maximum(boxes[:, 2:].max(-1), 1e-9)
    outside = np.ones((len(points), len(boxes)))
    away = np.zeros((len(points), len(boxes)))
    for animal, places in enumerate(points):
        differences = np.abs(places[:, None] - middles).max(-1)  # (n, D)
        outside[animal] = (differences > margin * sides / 2).mean(0)
        away[animal] = np.linalg.norm(places.mean(0) - middles, axis=-1) / sides
    impossible = outside > 1 - LEAST_SHOWN
    # a label that is not shown weighs more than any distance within a crop
    cost = np.where(impossible, 1e3, 2 * margin * outside + away)
    found: list[np.ndarray | None] = [None] * len(points)
    for animal, box in zip(*linear_sum_assignment(cost), strict=True):
        if not impossible[animal, box]:
            found[animal] = boxes[box]
    return found
