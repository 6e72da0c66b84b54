"""Several projects as one: the union of their keypoints, matched by name, and of their frames.

A project keeps what it is: nothing is written. Keypoints of one name are taken for the same; whether two projects place
them alike cannot be known. Colours follow the order of the keypoints: those of the first project, then the new ones of
each further project.
"""
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from kpjax.errors import InputError, summarise
from kpjax.lab.formats.names import derived_flip
from kpjax.lab.formats.project import Instance, Project
from kpjax.structures import Skeleton


class United(NamedTuple):
    """Projects P as one, with the keypoints K of all of them."""

    project: Project  # its root is a folder that holds all; sessions and names of frames begin with the project's name
    names: tuple[str, ...]  # P: of the projects, those of their folders
    named: tuple[tuple[bool, ...], ...]  # (P, K): which keypoints each project names
    instances: tuple[range, ...]  # P: the numbers of each project's instances


def united(projects: Sequence[Project]) -> United:
    """Unites projects. Nothing is read or written.

    Raises InputError for two folders of one name, an image that is labelled in two projects, keypoints whose names
    differ by case alone, and pairs of keypoints that mirror each other in one project and not in another.
    """
    titles = tuple(project.root.resolve().name for project in projects)
    if again := [n for n, title in enumerate(titles) if title in titles[:n]]:
        first = projects[titles.index(titles[again[0]])]
        raise InputError("project", f"{first.root} and {projects[again[0]].root} are both called "
                         f"{titles[again[0]]!r}; rename one of the folders, or name two projects")
    _check_images(projects)
    skeleton = united_skeleton(dict(zip(titles, (project.skeleton for project in projects), strict=True)))
    frames, instances, numbers = [], [], []
    for title, project in zip(titles, projects, strict=True):
        known, before, first = project.skeleton.names, len(frames), len(instances)
        frames += [frame._replace(name=f"{title}/{frame.name}", session=frame.session and f"{title}/{frame.session}")
                   for frame in project.frames]
        instances += [in_names(one, known, skeleton.names)._replace(frame=before + one.frame)
                      for one in project.instances]
        numbers.append(range(first, len(instances)))
    root = Path(os.path.commonpath([project.root.resolve() for project in projects]))
    form = " and ".join(dict.fromkeys(project.format for project in projects))
    return United(Project(root, form, skeleton, tuple(frames), tuple(instances)), titles,
                  tuple(tuple(name in project.skeleton.names for name in skeleton.names) for project in projects),
                  tuple(numbers))


def _check_images(projects: Sequence[Project]) -> None:
    seen: dict[tuple[Path, int | None], Project] = {}
    for project in projects:
        mine = {(frame.path.resolve(), frame.number): frame
                for frame in (project.frames[one.frame] for one in project.instances)}
        if both := [frame for place, frame in mine.items() if place in seen]:
            other = seen[both[0].path.resolve(), both[0].number]
            raise InputError("project", f"{len(both)} labelled images are in {other.root} and in {project.root}: "
                             f"{summarise([frame.name for frame in both], 2)}; one project may label an image, so take "
                             "them out of the other")
        seen |= dict.fromkeys(mine, project)


def united_skeleton(skeletons: Mapping[str, Skeleton]) -> Skeleton:
    """Returns the keypoints of all skeletons with the edges, groups and mirror images of each. Keys are their names.

    A keypoint whose mirror image another skeleton names has it by the names. Without a mirror image of every keypoint
    there is none. Raises InputError for names that differ by case alone, and for mirror images that contradict.
    """
    whose: dict[str, str] = {}
    for title, one in skeletons.items():
        for name in one.names:
            alike = next((other for other in whose if other != name and other.casefold() == name.casefold()), None)
            if alike and alike not in one.names:
                raise InputError("project", f"{alike!r} of {whose[alike]} and {name!r} of {title} differ by case "
                                 "alone; give one keypoint one name, in both")
            whose.setdefault(name, title)
    names, mirror = tuple(whose), {}
    for title, one in skeletons.items():
        for k, other in enumerate(one.flip):
            name, there = one.names[k], one.names[other]
            if mirror.setdefault(name, there) == there:
                continue
            if name not in (there, mirror[name]):
                raise InputError("project", f"{name!r} mirrors {there!r} in {title}, and {mirror[name]!r} in another "
                                 "project; correct one of them")
            mirror[name] = there if name == mirror[name] else mirror[name]
    by_names = derived_flip(names)
    flip = tuple(names.index(mirror[name]) if mirror.get(name, name) != name else
                 by_names[k] if by_names else k if name in mirror else -1 for k, name in enumerate(names))
    whole = all(other >= 0 and flip[other] == k for k, other in enumerate(flip)) and any(
        k != other for k, other in enumerate(flip))
    edges = dict.fromkeys(tuple(names.index(one.names[end]) for end in edge)
                          for one in skeletons.values() for edge in one.edges)
    groups: dict[str, tuple[int, ...]] = {}
    for one in skeletons.values():
        for group, members in one.groups.items():
            found = (names.index(one.names[k]) for k in members)
            groups[group] = tuple(dict.fromkeys((*groups.get(group, ()), *found)))
    kept = [edge for edge in edges if edge[::-1] not in edges or edge < edge[::-1]]
    return Skeleton(names, tuple(kept), flip if whole else (), groups)


def in_names(one: Instance, names: Sequence[str], wanted: Sequence[str]) -> Instance:
    """Returns an animal with other keypoints in place of `names`; those that it does not have are not labelled."""
    at = {name: k for k, name in enumerate(names)}

    def moved(values: np.ndarray, absent) -> np.ndarray:
        return np.stack([values[at[name]] if name in at else absent for name in wanted])

    return one._replace(keypoints=moved(one.keypoints, np.full(2, np.nan)), visible=moved(one.visible, np.float32(0)),
                        occluded=moved(one.occluded, np.bool_(False)))


def united_lines(found: United) -> list[str]:
    """Returns lines about which keypoints are taken for the same, and which each project alone names."""
    names, named = found.project.skeleton.names, np.array(found.named)
    count = named.sum(0)
    same = [name for name, times in zip(names, count, strict=True) if times > 1]
    lines = [f"taken for the same keypoints, since they are named alike: {', '.join(same)}; that they lie at the same "
             "place cannot be known" if same else
             "no keypoint in common: on images of one project only the network of another shows what that one names"]
    for title, row in zip(found.names, named, strict=True):
        if alone := [name for name, here, times in zip(names, row, count, strict=True) if here and times == 1]:
            lines.append(f"only {title} names {len(alone)}: {summarise(alone, 12)}")
    return lines
