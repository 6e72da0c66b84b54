"""skeleton.json: names, edges, flip pairs and groups of the keypoints of a plain table."""
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kpjax.errors import InputError
from kpjax.lab.formats.names import derived_flip, flip_note, json_of
from kpjax.structures import Skeleton

FILE = "skeleton.json"


def read_skeleton(folder: Path, appeared: Sequence[str], notes: list[str], faults: list[str]) -> Skeleton:
    """Reads the skeleton.json of a folder; without one, returns a skeleton of the names that appeared, in order.

    {"names": [...], "edges": [["a", "b"]], "flip": {"left_ear": "right_ear"}, "groups": {"head": ["a", "b"]}}, each
    optional. Without `flip`, pairs are derived from the names, with a line in `notes`. Raises InputError if the file is
    invalid or lacks a name that appeared; what comes before its last fault is in `faults`.
    """
    path, before = folder / FILE, len(faults)
    stored = json_of(path) if path.is_file() else {}
    if not isinstance(stored, dict):
        raise InputError(f"{FILE}: no object with names, edges and flip; save it again or remove it")
    names = _names(stored.get("names", appeared), "names", None, faults)
    if names and (unknown := [name for name in appeared if name not in names]):
        faults.append(f"{FILE}, names: keypoint {unknown[0]!r} of the table is not among {', '.join(names)}; add it or "
                      "correct the table")
    edges, flip, groups = stored.get("edges", []), stored.get("flip"), stored.get("groups", {})
    for field, valid, wanted in (
            ("edges", isinstance(edges, list) and all(isinstance(edge, list) and len(edge) == 2 for edge in edges),
             "a list of pairs of names"),
            ("flip", flip is None or isinstance(flip, dict), "an object from names to names"),
            ("groups", isinstance(groups, dict), "an object from names to lists of names")):
        if not valid:
            raise InputError(f"{FILE}, {field}: not {wanted}; correct or delete it")
    edges = [_names(edge, "edges", names, faults) for edge in edges]
    groups = {name: _names(members, "groups", names, faults) for name, members in groups.items()}
    pairs = [_names(pair, "flip", names, faults) for pair in (flip or {}).items()]
    if len(faults) > before:
        raise InputError(faults.pop())
    if flip is None:
        mirrored = derived_flip(names)
        notes.append(flip_note(names, mirrored))
    else:
        other = {a: b for pair in pairs for a, b in (pair, pair[::-1])}
        mirrored = tuple(names.index(other.get(name, name)) for name in names) if other else None
    try:
        return Skeleton(names, tuple((names.index(a), names.index(b)) for a, b in edges), mirrored or (),
                        {name: tuple(names.index(member) for member in members) for name, members in groups.items()})
    except InputError as error:
        raise InputError(f"{FILE}: {error}") from None


def skeleton_text(skeleton: Skeleton) -> str:
    """Formats a skeleton as such a file."""
    names = skeleton.names
    return json.dumps({
        "names": names, "edges": [[names[a], names[b]] for a, b in skeleton.edges],
        "flip": {names[a]: names[b] for a, b in enumerate(skeleton.flip) if a < b},
        "groups": {name: [names[k] for k in members] for name, members in skeleton.groups.items()},
    }, indent=1, ensure_ascii=False) + "\n"


def _names(stored: Any, field: str, known: Sequence[str] | None, faults: list[str]) -> tuple[str, ...]:
    if not isinstance(stored, list | tuple) or not all(isinstance(name, str) and name for name in stored):
        faults.append(f"{FILE}, {field}: {json.dumps(stored)[:40]} where names belong; correct it")
        return ()
    if known is not None and (unknown := [name for name in stored if name not in known]):
        faults.append(f"{FILE}, {field}: keypoint {unknown[0]!r} is unknown; the table has {', '.join(known)}")
        return ()
    return tuple(stored)
