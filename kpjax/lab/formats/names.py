"""What formats share: paths stored on another machine, json, and keypoints that mirror each other by name."""
import json
import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from kpjax.errors import InputError
from kpjax.files import read_content
from kpjax.lab.formats.project import Frame

_TRIED = 200  # images that `common_folder` searches at most
_SIDES = (("left", "right"), ("Left", "Right"), ("LEFT", "RIGHT"))
_LETTERS = (("l", "r"), ("L", "R"))


def json_of(path: Path) -> Any:
    """Reads a json file. Raises InputError if it is none, or no UTF-8."""
    try:
        return json.loads(read_content(path))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path.name}: invalid json ({error}); save or fetch it again") from None


def forward(stored: str) -> str:
    """Returns a path with forward slashes, without a drive, `./` or doubled slashes; `..` and a first `/` stay."""
    path = PureWindowsPath(stored.strip())
    parts = [part for part in path.parts if part != path.anchor]
    return ("/" if path.root else "") + "/".join(parts)


def found_by_trailing_parts(stored: str, folders: Sequence[Path], least: int = 1) -> Path | None:
    """Finds a stored path on this machine by the longest run of its last parts that exists below a folder.

    All parts are tried in every folder first, in order, then one part less, down to `least`. An absolute path that
    exists is returned as it is; None if nothing is found.
    """
    path = PurePosixPath(forward(stored))
    if Path(stored).is_absolute() and Path(stored).exists():
        return Path(stored)
    parts = [part for part in path.parts if part != "/"]
    for first in range(max(len(parts) - least, 0) + 1):
        for folder in folders:
            found = folder.joinpath(*parts[first:])
            if parts[first:] and found.exists():
                return found
    return None


def common_folder(names: Sequence[tuple[str, ...]], folders: Sequence[Path]) -> tuple[Path, int]:
    """Returns the folder of a project's images, and how many leading parts of their stored paths to drop.

    One rule holds for all images, so that no label lands on another image of the same name: the folder and number under
    which most images exist, the first of equals. Parts that keep two images apart are never dropped. Without any image,
    the first folder and 0 are returned.

    names: the parts of each image's stored path.
    """
    tried = names[::max(len(names) // _TRIED, 1)]
    best, chosen = 0, (folders[0], 0)
    for dropped in range(max(map(len, names), default=0)):
        if len({parts[dropped:] for parts in names}) < len(set(names)):
            break
        for folder in folders:
            count = sum(len(parts) > dropped and folder.joinpath(*parts[dropped:]).is_file() for parts in tried)
            if count > best:
                best, chosen = count, (folder, dropped)
    return chosen


def image_frames(stored: Sequence[str], root: Path, folders: Sequence[Path]) -> list[Frame]:
    """Returns frames of the images that a table names, found by `common_folder`, without a session.

    Their names are their paths below `root`, else below the folder in which they were found.
    """
    names = [tuple(name.lstrip("/").split("/")) for name in stored]
    folder, dropped = common_folder(names, folders) if names else (folders[0], 0)
    paths = [folder.joinpath(*(parts[dropped:] or parts)) for parts in names]
    return [Frame(path.relative_to(root if path.is_relative_to(root) else folder).as_posix(), path, None, (0, 0), "")
            for path in paths]


def only_file(path: Path, files: Sequence[Path], what: str) -> Path:
    """Returns the only file of a project. Raises InputError if there are several. what: They are, in plural."""
    if len(files) == 1:
        return files[0]
    raise InputError(f"{path.name}: {len(files)} {what} ({', '.join(file.name for file in files[:8])}); name one of "
                     "them instead of the folder")


def with_sessions(frames: Sequence[Frame]) -> list[Frame]:
    """Returns frames whose session is their folder, if none has a session and some split has several folders."""
    folders = {(frame.split, frame.name.rpartition("/")[0]) for frame in frames}
    if any(frame.session for frame in frames) or len(folders) == len({split for split, _ in folders}):
        return list(frames)
    return [frame._replace(session=frame.name.rpartition("/")[0]) for frame in frames]


def mirrored_name(name: str) -> str:
    """Exchanges left and right in a name; a name without a side stays.

    Sides are the words anywhere in the name (`left_ear`, `earleft`, `LeftEar`), a separate letter (`L_Eye`, `ear.r`),
    or a capital after a small letter or digit and before nothing but digits (`eyeL`, `midlegR3`).
    """
    swap = {a: b for pair in _SIDES for a, b in (pair, pair[::-1])}
    words = re.sub("|".join(swap), lambda found: swap[found[0]], name)
    if words != name:
        return words
    swap = {a: b for pair in _LETTERS for a, b in (pair, pair[::-1])}
    alone = re.sub(r"(?<![^\W_])[lrLR](?![^\W_])", lambda found: swap[found[0]], name)
    if alone != name:
        return alone
    return re.sub(r"(?<=[a-z0-9])[LR](?=\d*$)", lambda found: swap[found[0]], name)


def derived_flip(names: Sequence[str]) -> tuple[int, ...] | None:
    """Returns the index of each keypoint's mirror image, from left and right in their names.

    Returns None if no two names mirror each other, or if a name says left or right without a counterpart: a mirrored
    image would then show a keypoint that has no name.
    """
    numbers = {name: number for number, name in enumerate(names)}
    mirrored = [mirrored_name(name) for name in names]
    lone = [name for name, other in zip(names, mirrored, strict=True) if other not in numbers]
    if any(re.search("left|right", name, re.IGNORECASE) for name in lone):
        return None
    flip = tuple(numbers.get(other, number) for number, other in enumerate(mirrored))
    if all(number == other for number, other in enumerate(flip)):
        return None
    return flip if all(flip[flip[number]] == number for number in range(len(flip))) else None


def flip_note(names: Sequence[str], flip: Sequence[int] | None) -> str:
    """Returns a line about the pairs derived from names, or about their absence."""
    if not flip:
        return "flip pairs: none follow from the names; images are not mirrored in training"
    pairs = [f"{names[number]} = {names[other]}" for number, other in enumerate(flip) if number < other]
    return f"flip pairs from the names: {', '.join(pairs)}"
