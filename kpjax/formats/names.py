"""What formats share: paths stored on another machine, files of a project, and the names of
keypoints.
"""

import functools
import json
import os
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any
from urllib.parse import unquote

from kpjax import InputError, Skeleton
from kpjax.file_names import natural_order
from kpjax.files import everything_below, foreign, read_content, sha256_of
from kpjax.formats.project import PIXELS_FROM, Frame, Report
from kpjax.images.reading import VIDEO_SUFFIXES

SPLITS = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
}  # as files spell them
_TRIED = 200  # images that `image_paths` searches at most
# Sides as words of English, which may be anywhere in a name, and as words and letters that stand
# apart. A word with two forms on the other side (gauche) is found from that side.
_WORDS = "left/right"
_APART = (
    "l/r lt/rt lft/rgt links/rechts linke/rechte linker/rechter linkes/rechtes gauche/droite gauche/droit "
    "izquierda/derecha izquierdo/derecho izq/der esquerda/direita esquerdo/direito esq/dir sinistra/destra "
    "sinistro/destro sx/dx"
)
_SWAP = {
    form(a): form(b)
    for words in f"{_WORDS} {_APART}".split()
    for a, b in (words.split("/"), words.split("/")[::-1])
    for form in (str.lower, str.capitalize, str.upper)
}
_ANYWHERE = re.compile(
    "|".join(form(_WORDS).replace("/", "|") for form in (str.lower, str.title, str.upper))
)
_SEPARATE = re.compile(
    rf"(?<![^\W_])(?:{'|'.join(sorted(_SWAP, key=len, reverse=True))})(?![^\W_])"
)
# A capital after a small letter, a digit or _, or first before a capital or a digit; then a
# capital, a digit, _ or the end.
_CAPITAL = re.compile(r"(?:(?<=[a-z0-9_])|^(?=.[A-Z0-9]))[LR](?=[A-Z0-9_]|$)")


def json_of(path: Path) -> Any:
    """Reads a json file. Raises InputError if it is none, or no UTF-8."""
    with foreign(path, "it is invalid json, save or fetch it again"):
        return json.loads(read_content(path))


def shown_files(path: Path, *patterns: str) -> list[Path]:
    """Returns the files below a folder that fit one of the patterns in any case, sorted; none that
    is hidden or in a hidden folder.

    `**/*` also stands for those behind links to folders. Of a file it returns the file itself,
    whatever its name.
    """
    if not path.is_dir():
        return [path] if path.is_file() else []

    def either_case(letter: re.Match[str]) -> str:
        return f"[{letter[0].lower()}{letter[0].upper()}]"

    fitting: set[Path] = set()
    for pattern in patterns:
        if pattern == "**/*":
            fitting.update(everything_below(path))
        else:
            fitting.update(path.glob(re.sub("[a-zA-Z]", either_case, pattern)))
    found = []
    for file in fitting:
        parts = file.relative_to(path).parts
        hidden = any(part.startswith(".") for part in parts)
        if file.is_file() and not hidden:
            found.append(file)
    return sorted(found)


def forward(stored: str) -> str:
    """Returns a path with forward slashes, without a drive, `./` or doubled slashes; `..` and a
    first `/` stay.
    """
    path = PureWindowsPath(stored.strip())
    parts = [part for part in path.parts if part != path.anchor]
    return ("/" if path.root else "") + "/".join(parts)


def digests_of_alike(paths: Iterable[Path]) -> dict[Path, str]:
    """Returns the sha256 of those files that are as large as another one, and may be its copy."""
    sizes = {path: path.stat().st_size for path in paths if os.path.isfile(path)}
    times = Counter(sizes.values())
    return {path: sha256_of(path) for path, size in sizes.items() if times[size] > 1}


def split_of(said: str, report: Report) -> str:
    """Returns the split that a file calls so, "" for none; a fault for another word."""
    if said.lower() not in ("", *SPLITS):
        report.within("split").fault(
            f"{said!r} where train, validation or test belongs; correct it"
        )
    return SPLITS.get(said.lower(), "")


def recording(session: str) -> str:
    """Returns the name of a recording as every format has it: of a video without its folder and
    ending.
    """
    path = PurePosixPath(forward(session))
    return path.stem if path.suffix.lower() in VIDEO_SUFFIXES else path.name


def recordings(sessions: Iterable[str], titles: Sequence[str] = ()) -> dict[str, str]:
    """Returns the `recording` of each session, with its folders where several have one name in
    different folders.

    titles: of the projects with which sessions may begin.
    """
    bare = {}
    for session in sessions:
        titled = [title for title in titles if session.startswith(f"{title}/")]
        bare[session] = session.removeprefix(f"{titled[0]}/") if titled else session
    homes = defaultdict(set)
    for short in bare.values():
        homes[recording(short)].add(PurePosixPath(forward(short)).parent)
    found = {}
    for session, short in bare.items():
        name = recording(short)
        several = len(homes[name] - {PurePosixPath()}) > 1
        found[session] = short if several else name
    return found


def finder() -> Callable[[Path, Sequence[str]], Path | None]:
    """Returns a function that finds the file below a folder of which parts of a path are stored,
    None without one.

    Names are compared as they are, then unquoted (`%20`) and in one normal form of Unicode: what
    macOS and web tools write. Lists of folders are remembered.
    """

    def plain(part: str) -> str:
        return unicodedata.normalize("NFC", unquote(part.removeprefix("?d=")))

    @functools.cache
    def listed(folder: str) -> dict[str, str]:
        if not os.path.isdir(folder):
            return {}
        return {plain(name): name for name in os.listdir(folder)}

    def find(folder: Path, parts: Sequence[str]) -> Path | None:
        found = folder.joinpath(*parts)
        try:
            if found.is_file():
                return found
            for part in parts:
                folder /= listed(str(folder)).get(plain(part), part)
            return folder if folder.is_file() else None
        except (OSError, ValueError):  # a name that the system refuses
            return None

    return find


def found_by_trailing_parts(stored: str, folders: Sequence[Path], least: int = 1) -> Path | None:
    """Finds a stored path on this machine by the longest run of its last parts that exists below a
    folder.

    All parts are tried in every folder first, in order, then one part less, down to `least`; names
    are compared as `finder` does. An absolute path that exists is returned as it is; None if nothing
    is found.
    """
    path = PurePosixPath(forward(stored))
    if Path(stored).is_absolute() and Path(stored).exists():
        return Path(stored)
    parts = [part for part in path.parts if part != "/"]
    find = finder()
    for first in range(max(len(parts) - least, 0) + 1):
        rest = parts[first:]
        for folder in folders:
            found = folder.joinpath(*rest)
            if rest and found.exists():
                return found
            if rest and (found := find(folder, rest)):
                return found
    return None


def image_paths(stored: Sequence[str], folders: Sequence[Path]) -> tuple[Path, list[Path]]:
    """Returns the folder in which images with stored paths are, and each image's path.

    One rule holds for all images, so that no label lands on another image of the same name: the
    folder, and the number of leading parts of their stored paths to drop, under which most images
    exist, the first of equals. Parts that keep two images apart are never dropped. Without any
    image it is the first folder, and nothing is dropped.
    """
    find = finder()
    names = [tuple(forward(name).lstrip("/").split("/")) for name in stored]
    tried = names[:: max(len(names) // _TRIED, 1)]
    best = 0
    folder = folders[0]
    dropped = 0
    for leading in range(max(map(len, tried), default=0)):
        kept_apart = {parts[leading:] for parts in names}
        if len(kept_apart) < len(set(names)):
            break
        rests = [parts[leading:] for parts in tried if len(parts) > leading]
        for place in folders:
            count = sum(find(place, rest) is not None for rest in rests)
            if count > best:
                best = count
                folder = place
                dropped = leading
    paths = []
    for parts in names:
        rest = parts[dropped:] or parts
        paths.append(find(folder, rest) or folder.joinpath(*rest))
    return folder, paths


def image_frames(stored: Sequence[str], root: Path, folders: Sequence[Path]) -> list[Frame]:
    """Returns frames of the images that a table names, found by `image_paths`, without a session.

    Their names are their paths below `root`, else below the folder in which they were found.
    """
    folder, paths = image_paths(stored, folders)
    return [Frame(below(path, root, folder), path) for path in paths]


# How tools name images: uploads to Label Studio, and Roboflow's exports.
_MARKS = {
    "Label Studio": re.compile(r"(?:^|[/\\])[0-9a-f]{8}-[^/\\]+$"),
    "Roboflow": re.compile(r"\.rf\.[0-9A-Za-z]{8,}\.\w+$"),
}


def tool_of(said: str, images: Sequence[str]) -> str:
    """Returns the tool that made labels, a key of `PIXELS_FROM`, by what their file says of itself,
    else by the names of all images; "" if neither shows it.
    """
    for tool in PIXELS_FROM:
        if tool.casefold() in said.casefold():
            return tool
    for tool, mark in _MARKS.items():
        if images and all(map(mark.search, images)):
            return tool
    return ""


def below(path: Path, *roots: Path) -> str:
    """Returns a path below the first of the folders that holds it, else the whole path. Either may
    be given by another address of the same folder."""
    for root in roots:
        if path.is_relative_to(root):
            return path.relative_to(root).as_posix()
        real = path.parent.resolve() / path.name
        if real.is_relative_to(root.resolve()):
            return real.relative_to(root.resolve()).as_posix()
    return path.as_posix()


def only_file(path: Path, files: Sequence[Path], what: str) -> Path:
    """Returns the only file of a project.

    Raises InputError if there are several. what: They are, in plural.
    """
    if len(files) == 1:
        return files[0]
    listed = ", ".join(below(file, path) for file in files[:8])
    raise InputError(f"{path.name}: {len(files)} {what} ({listed}); name one")


def with_sessions(frames: Sequence[Frame]) -> Sequence[Frame]:
    """Returns frames whose session is their folder, if none has a session and some split has
    several folders; or the image that several are versions of, as Roboflow names them.
    """
    if any(frame.session for frame in frames):
        return frames
    version = _MARKS["Roboflow"]
    sources = [version.sub("", frame.path.name) for frame in frames]
    sessions = [frame.name.rpartition("/")[0] for frame in frames]
    if len({*sources}) < len(frames) and all(version.search(frame.name) for frame in frames):
        sessions = sources
    else:
        splits = [frame.split for frame in frames]
        folders_of_splits = {*zip(splits, sessions, strict=True)}
        if len(folders_of_splits) == len({*splits}):
            return frames
    return [frame._replace(session=one) for frame, one in zip(frames, sessions, strict=True)]


def mirrored_name(name: str) -> str:
    """Exchanges left and right in a name; a name without a side stays.

    Sides are the words anywhere in the name (`left_ear`, `earleft`, `LeftEar`), a separate letter or
    word, also of other languages (`L_Eye`, `ear.r`, `Ohr_links`), or a capital that stands apart
    (`eyeL`, `midlegR3`, `LHip`, `paw1LH_top`, `L1`).
    """
    for pattern in (_ANYWHERE, _SEPARATE, _CAPITAL):
        mirrored = pattern.sub(lambda found: _SWAP[found[0]], name)
        if mirrored != name:
            return mirrored
    return name


def derived_flip(names: Sequence[str]) -> tuple[int, ...] | None:
    """Returns the index of each keypoint's mirror image, from left and right in their names.

    Names that count limbs through mirror each other where all but the number does (`paw1LH`,
    `paw4RH`). Returns None if no two names mirror each other, or if a name says left or right
    without a counterpart: a mirrored image would then show a keypoint that has no name.
    """
    flip = _mirror_images(names)
    mirrors_none = all(number == other for number, other in enumerate(flip))
    lacks_its_other_side = any(_says_side(names[number]) for number in _alone(names, flip))
    if mirrors_none or lacks_its_other_side:
        return None
    mutual = all(flip[other] == number for number, other in enumerate(flip))
    return flip if mutual else None


def _says_side(name: str) -> bool:
    """Returns whether a name has the word for a side; a letter may mean something else."""
    if re.search("left|right", name, re.IGNORECASE):
        return True
    return any(len(word) > 1 for word in _SEPARATE.findall(name))


def _mirror_images(names: Sequence[str]) -> tuple[int, ...]:
    def without_digits(name: str) -> str:
        return re.sub(r"\d", "", name)

    numbers = {name: number for number, name in enumerate(names)}
    alike = defaultdict(list)  # numbers of names that differ by digits alone
    for number, name in enumerate(names):
        alike[without_digits(name)].append(number)
    flip = list(range(len(names)))
    for number, name in enumerate(names):
        other = mirrored_name(name)
        mine = alike.get(without_digits(name), [])
        theirs = alike.get(without_digits(other), [])
        if other in numbers:
            flip[number] = numbers[other]
        elif other != name and len(mine) == len(theirs) == 1:
            flip[number] = theirs[0]
    for number, other in enumerate(flip):
        if flip[other] == other:
            flip[other] = number
    return tuple(flip)


def _alone(names: Sequence[str], flip: Sequence[int]) -> list[int]:
    """Returns the numbers of keypoints that say a side and have no mirror image."""
    return [
        number
        for number, name in enumerate(names)
        if flip[number] == number and mirrored_name(name) != name
    ]


def flip_note(names: Sequence[str], flip: Sequence[int] | None) -> str:
    """Returns a line about the pairs derived from names, or about their absence, and the points
    without one.
    """
    alone = ", ".join(names[number] for number in _alone(names, flip or _mirror_images(names)))
    if not flip:
        why = "none follow from the names"
        if alone:
            why = f"no mirror image of {alone} is among the names"
        return f"flip pairs: {why}; images are not mirrored in training"
    pairs = ", ".join(f"{names[k]} = {names[other]}" for k, other in enumerate(flip) if k < other)
    without = f"; without a mirror image: {alone}" if alone else ""
    return f"flip pairs from the names: {pairs}{without}"


def skeleton_of(
    names: Sequence[str],
    edges: Iterable[tuple[int, int]],
    pairs: Iterable[tuple[int, int]] | None,
    report: Report,
    groups: Mapping[str, tuple[int, ...]] = {},
) -> Skeleton:
    """Returns a skeleton in which the keypoints of each pair are mirror images; InputError names
    the report's place.

    Without `pairs` they are derived from the names, with a note.
    """
    if pairs is None:
        flip = derived_flip(names)
        report.notes.append(flip_note(names, flip))
    else:
        pairs = list(pairs)
        mirror = {}
        for a, b in pairs:
            mirror[a] = b
            mirror[b] = a
        if any((mirror[a], mirror[b]) != (b, a) for a, b in pairs):
            raise InputError(
                f"{report.place}: a keypoint mirrors two others; correct the flip pairs"
            )
        flip = None
        if mirror:
            flip = tuple(mirror.get(place, place) for place in range(len(names)))
    try:
        return Skeleton(tuple(names), tuple(edges), flip or (), groups)
    except InputError as error:
        raise InputError(f"{report.place}: {error}") from None


# skeleton.json: names, edges, flip pairs and groups of the keypoints of a plain table

SKELETON = "skeleton.json"


def in_natural_order(names: Iterable[str]) -> list[str]:
    """Returns names of keypoints in the order that they have where a format states none: the order
    of rows and of files says nothing, and a row that moves must not move a channel.
    """
    return sorted(sorted(set(names)), key=natural_order)


def read_skeleton(folder: Path, appeared: Iterable[str], report: Report) -> Skeleton:
    """Reads the skeleton.json of a folder; without one, returns a skeleton of the names that
    appeared, in order.

    {"names": [...], "edges": [["a", "b"]], "flip": {"left_ear": "right_ear"}, "groups": {"head":
    ["a", "b"]}}, each optional. Without `flip`, pairs are derived from the names, with a note.
    """
    path = folder / SKELETON
    appeared = list(appeared)
    report = report.at(SKELETON)
    with foreign(
        SKELETON,
        "give names, edges as pairs of names, flip as an object, and groups as lists, or remove it",
    ):
        stored = json_of(path) if path.is_file() else {}
        names = list(stored.get("names", appeared))

        def known(field: str, members: Sequence[str]) -> tuple[int, ...]:
            unknown = [name for name in members if name not in names]
            if unknown:
                raise InputError(
                    f"{SKELETON}, {field}: keypoint {unknown[0]!r} is not among {', '.join(names)}; correct it"
                )
            return tuple(map(names.index, members))

        known("names", appeared)
        edges = []
        for edge in stored.get("edges", []):
            a, b = known("edges", edge)
            edges.append((a, b))
        groups = {}
        for name, members in stored.get("groups", {}).items():
            groups[name] = known("groups", members)
        flip = stored.get("flip")
        pairs = None if flip is None else [known("flip", pair) for pair in flip.items()]
    return skeleton_of(names, edges, pairs, report, groups)


def skeleton_text(skeleton: Skeleton) -> str:
    """Formats a skeleton as such a file."""
    names = skeleton.names
    groups = {name: [names[k] for k in members] for name, members in skeleton.groups.items()}
    content = {
        "names": names,
        "edges": [[names[a], names[b]] for a, b in skeleton.edges],
        "flip": {names[a]: names[b] for a, b in enumerate(skeleton.flip) if a < b},
        "groups": groups,
    }
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"
