"""skeleton.json: names, edges, flip pairs and groups of the keypoints of a plain table."""
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kpjax.errors import InputError
from kpjax.files import foreign
from kpjax.lab.formats.names import derived_flip, flip_note, json_of
from kpjax.structures import Skeleton

FILE = "skeleton.json"


def read_skeleton(folder: Path, appeared: Sequence[str], notes: list[str], faults: list[str]) -> Skeleton:
    """Reads the skeleton.json of a folder; without one, returns a skeleton of the names that appeared, in order.

    {"names": [...], "edges": [["a", "b"]], "flip": {"left_ear": "right_ear"}, "groups": {"head": ["a", "b"]}}, each
    optional. Without `flip`, pairs are derived from the names, with a line in `notes`.
    """
    path, before = folder / FILE, len(faults)
    with foreign(FILE, "give names, edges as pairs of names, flip as an object, and groups as lists, or remove it"):
        stored = json_of(path) if path.is_file() else {}
        names = stored.get("names", appeared)
        if not all(isinstance(name, str) and name for name in names):
            raise ValueError("names: a value where a name belongs")
        places = {name: place for place, name in enumerate(names)}
        if unknown := [name for name in appeared if name not in places]:
            faults.append(f"{FILE}, names: keypoint {unknown[0]!r} of the table is not among {', '.join(names)}; add "
                          "it or correct the table")

        def known(field: str, members: Sequence[Any]) -> tuple[int, ...]:
            faults.extend(f"{FILE}, {field}: keypoint {name!r} is unknown; the table has {', '.join(names)}"
                          for name in members if name not in places)
            return tuple(places.get(name, 0) for name in members)

        edges = tuple((a, b) for a, b in (known("edges", edge) for edge in stored.get("edges", [])))
        groups = {name: known("groups", members) for name, members in stored.get("groups", {}).items()}
        flip, pairs = stored.get("flip"), [known("flip", pair) for pair in (stored.get("flip") or {}).items()]
        if len(faults) > before:
            raise InputError(faults.pop())
        if flip is None:
            mirrored = derived_flip(names)
            notes.append(flip_note(names, mirrored))
        else:
            other = {a: b for pair in pairs for a, b in (pair, pair[::-1])}
            mirrored = tuple(other.get(place, place) for place in range(len(names))) if other else None
        try:
            return Skeleton(tuple(names), edges, mirrored or (), groups)
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
