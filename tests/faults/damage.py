"""What hypothesis puts into files: values of json, cells of csv, bytes; it finds the smallest that
does harm.
"""

import json
from pathlib import Path

from hypothesis import strategies as some

NAMES = (
    "../../../img.png",
    "a/../../victim.png",
    "..",
    ".",
    "../p/victim.png",
    "/etc/hostname",
    "C:\\victim.png",
    "a\\..\\..\\victim.png",
    "//host/share/x.png",
    "con",
    "nul.png",
    "a:b.png",
    'a"b.png',
    "trailing.",
    "trailing ",
    "",
    "a\x00b.png",
    "a\nb.png",
    "\x1b[31mred.png",
    "\u202egnp.png",
    "\ud800.png",
    "x" * 300,
    "x/" * 200 + "y.png",
    "converted.json",
    "link/out.png",
    "=cmd|x.png",
)
CELLS = (
    "",
    "nan",
    "inf",
    "1e308",
    "-1e308",
    "1e19",
    "²",
    "9" * 5000,
    "-1",
    "x",
    "\x1b[2J",
    '"',
    ",",
    "\n",
    "0x1f",
    "1_000",
    "٣",
    "1,5",
    *NAMES,
)
LEAVES = (
    some.none()
    | some.booleans()
    | some.integers(-(2**70), 2**70)
    | some.floats()
    | some.text(max_size=20)
    | some.sampled_from((*CELLS, 10**400))
)
VALUES = some.recursive(
    LEAVES,
    lambda inner: (
        some.lists(inner, max_size=4) | some.dictionaries(some.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)


def places(content, way=()):
    """Returns the ways to all nodes of json."""
    items = (
        content.items()
        if isinstance(content, dict)
        else enumerate(content)
        if isinstance(content, list)
        else ()
    )
    return [place for key, value in items for place in ((*way, key), *places(value, (*way, key)))]


@some.composite
def damaged(draw, path: Path):
    """Draws a file's content with up to three changes, by its kind or in its bytes."""
    content = path.read_bytes()
    kind = draw(some.sampled_from(("kind", "kind", "bytes")))
    if kind == "kind" and path.suffix == ".json":
        found = json.loads(content)
        for _ in range(draw(some.integers(1, 3))):
            *way, last = draw(some.sampled_from(places(found) or [("images",)]))
            parent = found
            for key in way:
                parent = parent[key]
            parent[last] = draw(VALUES)
        return json.dumps(found).encode("utf-8", "surrogatepass")
    if kind == "kind" and path.suffix == ".csv":
        rows = [line.split(",") for line in content.decode().splitlines()]
        for _ in range(draw(some.integers(1, 3))):
            row = draw(some.sampled_from(rows))
            row[draw(some.integers(0, len(row) - 1))] = draw(some.sampled_from(CELLS))
        return ("\n".join(map(",".join, rows)) + "\n").encode("utf-8", "surrogatepass")
    at, length = draw(some.integers(0, len(content) - 1)), draw(some.integers(1, 64))
    new = draw(
        some.binary(max_size=64) | some.just(content[at : at + length] * 3) | some.just(b"9" * 5000)
    )
    return content[:at] + new + content[at + length :]
