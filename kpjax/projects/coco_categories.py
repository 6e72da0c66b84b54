"""Which category of COCO files is read, and the skeleton that it declares."""
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from kpjax.errors import InputError
from kpjax.projects.coco_files import key_of
from kpjax.projects.names import derived_flip, flip_line
from kpjax.structures import Skeleton

Contents = Sequence[tuple[str, Mapping[str, Any]]]  # the name and content of each file


class Category(NamedTuple):
    """What is labelled, for example persons."""

    identity: Any  # its id in the files
    name: str
    skeleton: Skeleton
    stored: Mapping[str, Any]  # as the file has it
    notes: tuple[str, ...]


def read_category(files: Contents, wanted: str, faults: list[str]) -> Category | None:
    """The category called `wanted`, or the only one that has keypoints; None, and a fault, if there is none such."""
    where = files[0][0]
    labelled = Counter(key_of(annotation.get("category_id")) for _, content in files
                       for annotation in content["annotations"] if annotation.get("keypoints"))
    known = {key_of(category.get("id")): category
             for _, content in reversed(files) for category in content["categories"]}
    if unknown := [identity for identity in labelled if identity not in known]:
        faults.append(f"{where}, categories: none has the id {json.dumps(unknown[0])} that {labelled[unknown[0]]} "
                      "annotations with keypoints name; add it")
        return None
    if differing := [name for name, content in files for category in content["categories"]
                     if category.get("keypoints") != known[key_of(category.get("id"))].get("keypoints")]:
        faults.append(f"{differing[0]}, categories: other keypoints than in {where}; give all files the same")
        return None
    # A category without annotations counts where there is no other, so that an empty project is told from a wrong one.
    usable = list(labelled) or [identity for identity, one in known.items() if one.get("keypoints")]
    names = {identity: str(known[identity].get("name", identity)) for identity in usable}
    if wanted:
        usable = [identity for identity in usable if wanted in (names[identity], str(identity))]
    if len(usable) == 1:
        return _category(files, known[usable[0]], names[usable[0]], faults)
    listed = ", ".join(f"{name!r} ({labelled[identity]})" for identity, name in names.items())
    if not names:
        faults.append(f"{where}, annotations: none has keypoints; name a file with labelled keypoints")
    elif wanted:
        faults.append(f"--category {wanted}: no such category with keypoints in {where}; it has {listed}")
    else:
        faults.append(f"{where}, categories: {len(names)} have keypoints: {listed}; choose one with --category")
    return None


def _category(files: Contents, stored: Mapping[str, Any], name: str, faults: list[str]) -> Category | None:
    where = f"{files[0][0]}, category {name!r}"
    names = stored.get("keypoints") or []
    notes: list[str] = []
    if not isinstance(names, list):
        faults.append(f"{where}, keypoints: {json.dumps(names)[:40]} where a list of names belongs; mend the list")
        return None
    if not names:
        names = [f"point_{number}" for number in range(_usual_count(files, key_of(stored.get("id"))))]
        notes.append(f"category {name!r} names no keypoints: they are called point_0 to point_{len(names) - 1}")
    names = tuple(str(one) for one in names)
    edges = _edges(stored.get("skeleton") or [], len(names), where, notes, faults)
    flip = _stored_flip(stored, names) or derived_flip(names)
    if "flip" not in stored:
        notes.append(flip_line(names, flip))
    try:
        return Category(key_of(stored.get("id")), name, Skeleton(names, edges, flip or ()), stored, tuple(notes))
    except InputError as error:
        faults.append(f"{where}: {error}")
        return None


def _usual_count(files: Contents, identity: Any) -> int:
    """How many keypoints most annotations of a category have."""
    counts = Counter()
    for _, content in files:
        for annotation in content["annotations"]:
            keypoints = annotation.get("keypoints")
            if key_of(annotation.get("category_id")) == identity and isinstance(keypoints, list) and keypoints:
                counts[len(keypoints) if isinstance(keypoints[0], list) else len(keypoints) // 3] += 1
    return counts.most_common(1)[0][0] if counts else 0


def _edges(stored: Any, count: int, where: str, notes: list[str], faults: list[str]) -> tuple[tuple[int, int], ...]:
    """Pairs of indices from 0, from a list that counts from 1, or from 0 if it has a 0."""
    if not isinstance(stored, list) or not all(
            isinstance(edge, list) and len(edge) == 2 and all(isinstance(end, int) for end in edge) for edge in stored):
        faults.append(f"{where}, skeleton: {json.dumps(stored)[:40]} where a list of pairs of numbers belongs; mend or "
                      "delete it")
        return ()
    first = 0 if any(0 in edge for edge in stored) else 1
    if not first:
        notes.append("the skeleton counts keypoints from 0, unlike COCO's own")
    edges = [(a - first, b - first) for a, b in stored]
    kept = tuple(edge for edge in edges if all(0 <= end < count for end in edge) and edge[0] != edge[1])
    if len(kept) < len(edges):
        notes.append(f"{len(edges) - len(kept)} of {len(edges)} edges of the skeleton are dropped: they name no pair "
                     f"of the {count} keypoints")
    return kept


def _stored_flip(stored: Mapping[str, Any], names: Sequence[str]) -> tuple[int, ...] | None:
    """The mirror images that kpjax's own writer keeps as a mapping of names, if they are whole."""
    pairs = stored.get("flip")
    if not isinstance(pairs, dict):
        return None
    both = {**pairs, **{b: a for a, b in pairs.items()}}
    if not all(name in names for name in both):
        return None
    return tuple(names.index(both.get(name, name)) for name in names)
