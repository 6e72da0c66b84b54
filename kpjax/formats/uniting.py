"""Several projects as one: the union of their keypoints, matched by name, and of their frames.

A project keeps what it is: nothing is written. Keypoints of one name are taken for the same;
whether two projects place them alike cannot be known. Colours follow the order of the keypoints:
those of the first project, then the new ones of each further project.
"""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kpjax.errors import InputError, summarise
from kpjax.formats.names import derived_flip, digests_of_alike, recordings
from kpjax.formats.project import Instance, Project
from kpjax.structures import Skeleton


def unite(projects: Sequence[Project]) -> Project:
    """Unites projects; notes say which keypoints are taken for the same. Nothing is written.

    The root is a folder that holds all, and names of frames begin with the project's, which is that
    of its folder. An image is the same where its file, its content, or its video and the number of
    its frame is. Where two projects with the same keypoints label it, it is kept once: the labels
    of the project that is named last, with a note if they differ. Recordings of such projects are
    the same where their names are, so that none is on both sides of a split; those of projects with
    other keypoints begin with the project's name.
    """
    titles = tuple(project.root.resolve().name for project in projects)
    again = [n for n, title in enumerate(titles) if title in titles[:n]]
    if again:
        first = projects[titles.index(titles[again[0]])]
        raise InputError(
            "project",
            f"{first.root} and {projects[again[0]].root} have one name; rename one folder, or "
            "give each of two files in one folder a folder of its own",
        )
    skeletons = [project.skeleton for project in projects]
    skeleton = united_skeleton(dict(zip(titles, skeletons, strict=True)))
    alike = all(set(project.skeleton.names) == set(skeleton.names) for project in projects)
    owners, notes = _owners(projects, skeleton.names, alike)
    frames = []
    instances = []
    nobody: set[int] = set()
    unlisted: set[int] = set()
    for title, project, owned in zip(titles, projects, owners, strict=True):
        places = {}
        named = recordings({frame.session for frame in project.frames})
        for at, frame in enumerate(project.frames):
            if not owned[at]:
                continue
            places[at] = len(frames)
            session = frame.session
            if alike:
                session = named[session]
            elif session:
                session = f"{title}/{session}"
            frames.append(frame._replace(name=f"{title}/{frame.name}", session=session))
        nobody.update(places[at] for at in project.nobody & places.keys())
        unlisted.update(places[at] for at in project.unlisted & places.keys())
        for one in project.instances:
            if one.frame in places:
                moved = in_names(one, project.skeleton.names, skeleton.names)
                instances.append(moved._replace(frame=places[one.frame]))
    root = Path(os.path.commonpath([project.root.resolve() for project in projects]))
    form = " and ".join(dict.fromkeys(project.format for project in projects))
    notes = (*_keypoint_lines(titles, projects, skeleton.names, alike), *notes)
    return Project(
        root,
        form,
        skeleton,
        tuple(frames),
        tuple(instances),
        notes,
        roots=tuple(project.root for project in projects),
        nobody=frozenset(nobody),
        unlisted=frozenset(unlisted),
    )


def _keypoint_lines(
    titles: Sequence[str], projects: Sequence[Project], names: Sequence[str], alike: bool
) -> list[str]:
    """Returns lines about which keypoints are taken for the same."""
    if alike:
        return [
            f"{' and '.join(titles)} have the same keypoints: they are one project, of which a part is held out"
        ]
    count = Counter(name for project in projects for name in project.skeleton.names)
    same = [name for name in names if count[name] > 1]
    if same:
        return [
            f"taken for the same keypoints, since they are named alike: {', '.join(same)}; whether they lie at one "
            "place cannot be known"
        ]
    return [
        "no keypoint in common: on images of one project, only a network shows the keypoints that another names"
    ]


def _owners(
    projects: Sequence[Project], names: Sequence[str], alike: bool
) -> tuple[list[list[bool]], list[str]]:
    """Returns which frames of each project are kept, so that each image is there once, and
    notes."""
    identities = _identities(projects)
    labels: dict[tuple[int, int], list[bytes]] = {}
    for number, project in enumerate(projects):
        for one in project.instances:
            points = in_names(one, project.skeleton.names, names).keypoints.round(6)
            labels.setdefault((number, one.frame), []).append(points.tobytes())
    kept: dict[Any, tuple[int, int]] = {}
    copies = []  # of an image in one project
    other = []
    for number, project in enumerate(projects):
        for at, (frame, image) in enumerate(zip(project.frames, identities[number], strict=True)):
            here = (number, at)
            first = kept.setdefault(image, here)
            if first[0] == number:
                copies.append((image, here))
            elif here in labels:
                kept[image] = here
                if first in labels:
                    if sorted(labels[first]) != sorted(labels[here]):
                        other.append(frame.name)
                    if not alike:
                        raise InputError(
                            "project",
                            f"{frame.name} of {project.root} is labelled in "
                            f"{projects[first[0]].root} too; where keypoints differ one project may label "
                            "an image, so take it out of the other",
                        )
    whole = {*kept.values()}
    for image, here in copies:
        project_that_keeps_it, _ = kept[image]
        if here[0] == project_that_keeps_it:
            whole.add(here)
    notes = []
    if other:
        notes.append(
            f"{len(other)} images have other labels in another project: those of the project named last are taken: "
            f"{summarise(other, 3)}"
        )
    owned = []
    for number, project in enumerate(projects):
        owned.append([(number, at) in whole for at in range(len(project.frames))])
    return owned, notes


def _identities(projects: Sequence[Project]) -> list[list[Any]]:
    """Returns what tells the images of each project from others: path and number, or the content of
    equal files.
    """
    frames = [frame for project in projects for frame in project.frames]
    digests = digests_of_alike(dict.fromkeys(one.path for one in frames if one.number is None))
    return [
        [
            digests.get(frame.path) or (frame.path.resolve(), frame.number)
            for frame in project.frames
        ]
        for project in projects
    ]


def united_skeleton(skeletons: Mapping[str, Skeleton]) -> Skeleton:
    """Returns the keypoints of all skeletons with the edges, groups and mirror images of each. Keys
    are their names.

    A keypoint whose mirror image another skeleton names has it by the names. Without a mirror image
    of every keypoint there is none. Raises InputError for names that differ by case alone, and for
    mirror images that contradict.
    """
    whose, folded = {}, {}
    for title, one in skeletons.items():
        for name in one.names:
            alike = folded.get(name.casefold(), name)
            if alike != name and alike not in one.names:
                raise InputError(
                    "project",
                    f"{alike!r} of {whose[alike]} and {name!r} of {title} differ by case "
                    "alone; give one keypoint one name, in both",
                )
            whose.setdefault(name, title)
            folded.setdefault(name.casefold(), name)
    names = tuple(whose)
    mirror = {}
    for title, one in skeletons.items():
        for k, other in enumerate(one.flip):
            name = one.names[k]
            there = one.names[other]
            if mirror.setdefault(name, there) == there:
                continue
            if name not in (there, mirror[name]):
                raise InputError(
                    "project",
                    f"{name!r} mirrors {there!r} in {title}, and {mirror[name]!r} in another "
                    "project; correct one of them",
                )
            if name == mirror[name]:
                mirror[name] = there
    # Names decide where the skeletons have not: of equal names each has said all pairs, or that
    # there are none.
    by_names = None
    if any(set(one.names) != set(names) for one in skeletons.values()):
        by_names = derived_flip(names)
    places = {name: k for k, name in enumerate(names)}

    def mirror_image(k: int, name: str) -> int:
        if mirror.get(name, name) != name:
            return places[mirror[name]]
        if by_names:
            return by_names[k]
        return k if name in mirror else -1

    flip = tuple(mirror_image(k, name) for k, name in enumerate(names))
    mutual = all(other >= 0 and flip[other] == k for k, other in enumerate(flip))
    whole = mutual and any(k != other for k, other in enumerate(flip))
    edges = {}
    for one in skeletons.values():
        for a, b in one.edges:
            ends = (places[one.names[a]], places[one.names[b]])
            if ends[::-1] not in edges:
                edges[ends] = None
    groups: dict[str, tuple[int, ...]] = {}
    for one in skeletons.values():
        for group, members in one.groups.items():
            found = (places[one.names[k]] for k in members)
            groups[group] = tuple(dict.fromkeys((*groups.get(group, ()), *found)))
    return Skeleton(names, tuple(edges), flip if whole else (), groups)


def in_names(one: Instance, names: Sequence[str], wanted: Sequence[str]) -> Instance:
    """Returns an animal with other keypoints in place of `names`; those that it does not have are
    not labelled, and not named.
    """
    at = {name: k for k, name in enumerate(names)}

    def moved(values: np.ndarray, absent) -> np.ndarray:
        return np.stack([values[at[name]] if name in at else absent for name in wanted])

    of_names = np.ones(len(names), bool) if one.named is None else one.named
    named = moved(of_names, np.bool_(False))
    return one._replace(
        keypoints=moved(one.keypoints, np.full(2, np.nan)),
        visible=moved(one.visible, np.float32(0)),
        occluded=moved(one.occluded, np.bool_(False)),
        named=None if named.all() else named,
    )
