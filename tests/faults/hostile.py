"""What damage and malice put into files: values, cells and names."""
import json
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


def text_of(content: Any) -> bytes:
    """Returns JSON that may hold nan, infinity, half a surrogate and integers of hundreds of digits."""
    return json.dumps(content).encode("utf-8", "surrogatepass")


def put(content: Mapping, path: str, value: Any) -> Any:
    """Returns a copy of JSON with a value at a path such as images/0/file_name."""
    content = json.loads(json.dumps(content))
    *way, last = [int(part) if part.isdigit() else part for part in path.split("/")]
    place = content
    for part in way:
        place = place[part]
    place[last] = value
    return content
