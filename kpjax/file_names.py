"""Names of files that come from a file: none leads out of the folder that it belongs to. The order
in which people expect names.
"""

import re
from pathlib import Path
from typing import Any

from kpjax.errors import InputError

# digits of one number in a name: Python reads no more than 4,300, and no name of a file has as many
MOST_DIGITS = 1000


def inside(folder: Path, name: Any, what: str) -> Path:
    """Returns `folder / name`, a path below the folder wherever links lead.

    what: where the name stands, for the message. Raises InputError for anything else than text that
    names a file or folder below: absolute paths, a way out by `..`, a link to elsewhere, an empty
    name, a NUL.
    """
    if not isinstance(name, str) or not leads_inside(name):
        raise InputError(
            f"{what}: {name!r:.200} is not a name below {folder}; correct or delete it"
        )
    path = Path(folder, name)
    try:
        within = path.resolve().is_relative_to(Path(folder).resolve())
    except (OSError, RuntimeError, ValueError) as error:  # a ring of links, half a surrogate
        raise InputError(f"{what}: {name!r:.200} cannot be followed ({error}); rename it") from None
    if not within:
        raise InputError(
            f"{what}: {name!r:.200} is a link out of {folder}; name a folder of your own"
        )
    return path


def leads_inside(name: str) -> bool:
    """Returns whether a name with / or \\ between its parts stays below its folder, on any
    system."""
    parts = name.replace("\\", "/").split("/")
    if (
        not parts[0]
        or parts[0].endswith(":")
        or "\0" in name
        or max(map(len, parts)) > 255
        or len(name) > 4000
    ):
        return False
    depth = 0
    for part in parts:
        depth += -1 if part == ".." else part not in ("", ".")
        if depth < 0:
            return False
    return depth > 0


def natural_order(name: str) -> list[tuple[int, int | str]]:
    """Returns a sort key that puts frame2 before frame10, and layer1.2 before layer1.10."""
    parts = re.split(r"(\d+)", name)
    return [
        (0, int(part)) if part.isdecimal() and len(part) <= MOST_DIGITS else (1, part)
        for part in parts
    ]
