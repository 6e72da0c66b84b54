"""What must be equal for a run to go on, or for a finished stage to be used again."""
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kpjax.errors import InputError


def check_identity(found: Mapping, wanted: Mapping, path: Path) -> None:
    """Raises InputError that names the first field of two identities that differs, with both values."""
    before, now = _flat(found), _flat(wanted)
    names = [name for name in dict.fromkeys([*now, *before]) if name.split(".")[0] in wanted]
    for name in names:
        if before.get(name, "absent") != now.get(name, "absent"):
            kind = {"model": "another model", "streams": "other data"}.get(name.split(".")[0], "another configuration")
            there, here = before.get(name, "absent"), now.get(name, "absent")
            raise InputError(
                f"{path} is of {kind}: {name} is {there} there and {here} here; set it back, choose another "
                "--workdir, or start over with --fresh")


def _flat(value, name: str = "") -> dict[str, Any]:
    if isinstance(value, Mapping) and value:
        return {path: leaf for key, item in value.items()
                for path, leaf in _flat(item, f"{name}.{key}" if name else key).items()}
    return {name: value}
