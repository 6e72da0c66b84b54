"""What damage and malice put into files: values, names, and mutations of JSON, of tables and of bytes."""
import copy
import json
import random
from collections.abc import Mapping
from typing import Any

VALUES = (None, True, [], {}, "", "a\nb", "\x1b[31mred", "a\x00b", "\ud800", "../../up", "nan", "²", 0, -1, 1e308, 0.5,
          float("nan"), float("inf"), 2 ** 63, 10 ** 400, [[1, 2], [3]], {"a": 1}, "y" * 5000, [None])
CELLS = ("", "nan", "inf", "1e308", "-1e308", "1e19", "²", "9" * 5000, "-1", "x", "../x", "a\x00b", "\x1b[2J", '"', ",",
         "\n", "0x1f", "1_000", "٣", "=1+1", "1,5")
NAMES = ("../../../img.png", "a/../../victim.png", "con/../nul.png", "..", ".", "../p/victim.png", "/etc/hostname",
         "C:\\victim.png", "..\\victim.png", "a\\..\\..\\victim.png", "//host/share/x.png", "con", "nul.png", "CON.png",
         "com1.txt", "a:b.png", "a?.png", "a|b.png", 'a"b.png', "a<b>.png", "trailing.", "trailing ", "", " ",
         "a\x00b.png", "a\nb.png", "\x1b[31mred.png", "\u202egnp.png", "\ud800.png", "é.png", "x" * 300 + ".png",
         "x/" * 200 + "y.png", "~/victim.png", "-rf", "converted.json", "labels.csv", ".bashrc", "sub/", "./a.png",
         "a//b.png", "link/out.png", "=cmd|x.png")


def changed_json(content: Any, chance: random.Random) -> Any:
    """Returns a JSON value with up to three nodes replaced, removed, wrapped or nested deeply."""
    content = copy.deepcopy(content)
    for _ in range(chance.choice((1, 1, 3))):
        places = list(_places(content))
        if not places:
            return content
        parent, key = chance.choice(places)
        deed = chance.choice(("value",) * 6 + ("drop", "wrap", "deep"))
        if deed == "drop":
            del parent[key]
        elif deed == "wrap":
            parent[key] = [parent[key]]
        else:
            parent[key] = json.loads("[" * 300 + "]" * 300) if deed == "deep" else chance.choice(VALUES)
    return content


def _places(content: Any, depth: int = 0):
    """Yields (parent, key) of all nodes but those of the deepest nests."""
    items = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, value in list(items):
        yield content, key
        if depth < 20:
            yield from _places(value, depth + 1)


def text_of(content: Any) -> bytes:
    """Returns JSON that may hold nan, infinity, half a surrogate and integers of hundreds of digits."""
    return json.dumps(content).encode("utf-8", "surrogatepass")


def changed_bytes(content: bytes, chance: random.Random) -> bytes:
    """Returns bytes with up to four flips, cuts and insertions."""
    for _ in range(chance.choice((1, 1, 2, 4))):
        at, length = chance.randrange(max(len(content), 1)), chance.choice((1, 2, 8, 64))
        before, cut, after = content[:at], content[at:at + length], content[at + length:]
        flipped = bytes([(cut or b"\0")[0] ^ (1 << chance.randrange(8))]) + cut[1:]
        content = chance.choice((before + flipped + after, before, before + after, before + cut * 3 + after,
                                 before + bytes(length) + after, before + b"9" * 5000 + cut + after))
    return content


def changed_table(text: str, chance: random.Random) -> bytes:
    """Returns a table with up to three cells or rows changed."""
    rows = [line.split(",") for line in text.splitlines()]
    for _ in range(chance.choice((1, 1, 3))):
        at = chance.randrange(len(rows))
        column = chance.randrange(max(len(rows[at]), 1))
        deed = chance.choice(("cell",) * 6 + ("drop", "repeat", "short"))
        if deed == "drop" and len(rows) > 1:
            del rows[at]
        elif deed == "repeat":
            rows.insert(at, list(rows[at]))
        elif deed == "short":
            del rows[at][column:]
        elif rows[at]:
            rows[at][column] = chance.choice(CELLS)
    return ("\n".join(map(",".join, rows)) + "\n").encode("utf-8", "surrogatepass")


def put(content: Mapping, path: str, value: Any) -> Any:
    """Returns a copy of JSON with a value at a path such as images/0/file_name."""
    content = json.loads(json.dumps(content))
    *way, last = [int(part) if part.isdigit() else part for part in path.split("/")]
    place = content
    for part in way:
        place = place[part]
    place[last] = value
    return content
