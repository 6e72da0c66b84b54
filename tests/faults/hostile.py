"""What damage and malice put into files: values, names, and mutations of JSON, of tables and of bytes."""
import copy
import json
import random
from collections.abc import Callable, Mapping
from typing import Any

VALUES = (None, True, [], {}, "", " ", "x", "a\nb", "\x1b[31mred", "\r", "a\x00b", "\ud800", "\u202eabc", "../../up",
          "nan", "²", "<script>alert(1)</script>", "=1+1", 0, -1, 1e308, -1e308, float("nan"), float("inf"), 0.5,
          2 ** 63, 10 ** 400, -(10 ** 30), [1], [[]], [[1, 2], [3]], ["a"], {"a": 1}, "y" * 5000, [None], 10 ** 9)
CELLS = ("", " ", "nan", "inf", "-inf", "1e308", "-1e308", "1e19", "1e999", "²", "9" * 5000, "-1", "0", "x", "../x",
         "a\x00b", "\x1b[2J", "é", '"', ",", ";", "\n", "0x1f", "1_000", "٣", "True", "=1+1", "1,5")
NUMBERS = (1e308, -1e308, 1e19, -1e19, 1e21, 3.5e38, 1.1e6, -1.1e6, 2 ** 63, 2 ** 64, 10 ** 30, 10 ** 400, float("inf"),
           float("-inf"), float("nan"), -5, -0.0, 1e-320, "1e308", "9" * 5000, None, True)
NAMES = ("../../../img.png", "a/../../../img.png", "con/../nul.png", "..", ".", "../p/victim.png", "../victim.png",
         "a/../../victim.png", "/etc/hostname", "/victim.png", "C:\\victim.png", "..\\victim.png",
         "a\\..\\..\\victim.png", "//host/share/x.png", "con", "nul.png", "CON.png", "com1.txt", "aux/x.png",
         "a:b.png", "a?.png", "a*b.png", "a|b.png", 'a"b.png', "a<b>.png", "trailing.", "trailing ", " leading.png", "",
         " ", "a\x00b.png", "a\nb.png", "a\rb.png", "\x1b[31mred.png", "\u202egnp.png", "\ud800.png", "é.png",
         "x" * 300 + ".png", "x/" * 200 + "y.png", "~/victim.png", "$HOME/victim.png", "`id`.png", "-rf",
         "converted.json", "labels.csv", "annotations.json/x.png", ".bashrc", "sub/.", "sub/", "./a.png", "a//b.png",
         "link/out.png", "=cmd|x.png")
BYTES = (b"\0", b"\xff", b"\x80", b"\n", b"\r", b"\x1b", b"9", b"{", b'"', b"-")


def changed_json(content: Any, random_: random.Random, values=VALUES) -> Any:
    """A JSON value with up to three nodes replaced, removed, repeated or wrapped."""
    content = copy.deepcopy(content)
    for _ in range(random_.choice((1, 1, 1, 2, 3))):
        places = list(_places(content))
        if not places:
            return content
        parent, key = random_.choice(places)
        deed = random_.choice(("value",) * 6 + ("drop", "wrap", "repeat", "deep", "swap"))
        if deed == "drop":
            del parent[key]
        elif deed == "wrap":
            parent[key] = [parent[key]]
        elif deed == "repeat" and isinstance(parent, list):
            parent.insert(key, parent[key])
        elif deed == "deep":
            parent[key] = json.loads("[" * 300 + "]" * 300)
        elif deed == "swap":
            other, at = random_.choice(places)
            parent[key] = copy.deepcopy(other.get(at) if isinstance(other, dict) else (
                other[at] if at < len(other) else None))
        else:
            parent[key] = random_.choice(values)
    return content


def _places(content: Any):
    """Yields (parent, key) of all nodes but those of the deepest nests."""
    nodes = [(content, 0)]
    while nodes:
        node, depth = nodes.pop()
        for key, value in list(node.items() if isinstance(node, dict) else enumerate(node)
                               if isinstance(node, list) and depth < 20 else ()):
            yield node, key
            nodes.append((value, depth + 1))


def text_of(content: Any) -> bytes:
    """JSON that may hold nan, infinity, half a surrogate and integers of hundreds of digits."""
    return json.dumps(content).encode("utf-8", "surrogatepass")


def changed_bytes(content: bytes, random_: random.Random) -> bytes:
    """Bytes with up to four flips, cuts, insertions and repetitions."""
    for _ in range(random_.choice((1, 1, 2, 4))):
        at, length = random_.randrange(max(len(content), 1)), random_.choice((1, 1, 2, 8, 64))
        before, cut, after = content[:at], content[at:at + length], content[at + length:]
        flipped = bytes([(cut or b"\0")[0] ^ (1 << random_.randrange(8))]) + cut[1:]
        content = random_.choice((before + flipped + after, before + flipped + after, before, before + after,
                                  before + random_.choice(BYTES) * length + cut + after, before + cut * 3 + after,
                                  before + bytes(length) + after, before + b"9" * 5000 + cut + after))
    return content


def changed_table(text: str, random_: random.Random, separator: str = ",", cells=CELLS) -> str:
    """A table with up to three cells, rows or columns changed."""
    rows = [line.split(separator) for line in text.splitlines()]
    for _ in range(random_.choice((1, 1, 2, 3))):
        at = random_.randrange(len(rows))
        deed = random_.choice(("cell",) * 6 + ("drop", "repeat", "short", "long"))
        column = random_.randrange(max(len(rows[at]), 1))
        if deed == "drop" and len(rows) > 1:
            del rows[at]
        elif deed == "repeat":
            rows.insert(at, list(rows[at]))
        elif deed == "short":
            del rows[at][column:]
        elif deed == "long":
            rows[at].append("7")
        elif rows[at]:
            rows[at][column] = random_.choice(cells)
    return "\n".join(separator.join(row) for row in rows) + "\n"


def put(content: Mapping, path: str, value: Any) -> Any:
    """A copy of JSON with a value at a path such as images/0/file_name."""
    content = json.loads(json.dumps(content))
    *way, last = [int(part) if part.isdigit() else part for part in path.split("/")]
    place = content
    for part in way:
        place = place[part]
    place[last] = value
    return content


Change = Callable[[bytes, random.Random], bytes]
