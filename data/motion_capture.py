"""Motion that was recorded from people: skeletons (ASF) and motions (AMC) in the Acclaim format.

The rotations are as the CMU Graphics Lab Motion Capture Database documents them (mocap.cs.cmu.edu): a bone's angles
turn it in its own frame, L = C M C^-1, where C is its axis and M its angles, the first listed rotation applied first;
frames go from parent to child.
"""
import math
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from kpjax.errors import InputError

METRES = 0.0254  # of the inch in which lengths are, divided by the file's unit of length
ROTATIONS = ("rx", "ry", "rz")


class Bone(NamedTuple):
    """A bone; the first of a body is the root, of no length, whose channels are three shifts and three angles."""

    name: str
    parent: int  # index in the body, -1 of the root
    offset: np.ndarray  # (3,) from its start to its end, in units of the file; the root's position
    axis: np.ndarray  # (3, 3) rotation C
    channels: tuple[str, ...]  # of rx, ry, rz, and tx, ty, tz of the root, in the order of a motion file


class Body(NamedTuple):
    """A skeleton, every bone after its parent."""

    path: Path
    bones: tuple[Bone, ...]
    metres: float  # to a unit of the file

    def index(self, name: str) -> int:
        """The number of a bone. Raises InputError that lists the known names."""
        names = [bone.name for bone in self.bones]
        if name not in names:
            raise InputError(f"{self.path}: there is no bone {name!r}; it has {', '.join(names)}")
        return names.index(name)


def read_skeleton(path: Path) -> Body:
    """An ASF file. Raises InputError, with the line, for what is not in its format."""
    sections = _sections(path)
    for needed in ("units", "root", "bonedata", "hierarchy"):
        if needed not in sections:
            raise InputError(f"{path}: section :{needed} is missing, so it is no ASF skeleton; name another file")
    units = {words[0]: words[1] for _, words in sections["units"] if len(words) > 1}
    turn = math.pi / 180 if units.get("angle", "deg") == "deg" else 1.0
    length = _numbers(path, 0, [units.get("length", "1")])[0]
    root = {words[0]: (line, words[1:]) for line, words in sections["root"]}
    described = {"root": _root(path, root, turn)}
    for bone in _blocks(sections["bonedata"]):
        made = _bone(path, bone, turn)
        if made.name in described:
            raise InputError(f"{path}: bone {made.name} is described twice; keep one")
        described[made.name] = made
    bones, place = [described["root"]], {"root": 0}
    for line, (parent, *children) in sections["hierarchy"]:
        if parent in ("begin", "end"):
            continue
        for name in (parent, *children):
            if name not in described:
                raise InputError(f"{path}, line {line}: the hierarchy names bone {name}, which is not in :bonedata")
        if parent not in place:
            raise InputError(f"{path}, line {line}: {parent} has children before it has a parent; order the hierarchy")
        for name in children:
            if name in place:
                raise InputError(f"{path}, line {line}: {name} has two parents; keep one")
            place[name] = len(bones)
            bones.append(described[name]._replace(parent=place[parent]))
    if alone := sorted(described.keys() - place.keys()):
        raise InputError(f"{path}: bone {alone[0]} has no place in the hierarchy; add it there")
    return Body(Path(path), tuple(bones), METRES / length)


def read_motion(path: Path, body: Body) -> dict[str, np.ndarray]:
    """The channels of every moving bone, (F, its number of channels) float64, angles in radians.

    Raises InputError, with the line, for a file that does not belong to the skeleton: a bone that it has not, another
    number of values than its degrees of freedom, a bone that is missing in a frame; and for frames out of order.
    """
    moving = {bone.name: len(bone.channels) for bone in body.bones if bone.channels}
    turn, frames = 1.0, []
    for line, words in _lines(path):
        if words[0].startswith(":"):
            turn = math.pi / 180 if words[0].upper() == ":DEGREES" else turn
        elif len(words) == 1 and words[0].isdigit():
            _check_whole(path, line, frames, moving, body)
            if int(words[0]) != len(frames) + 1:
                raise InputError(f"{path}, line {line}: frame {words[0]} where frame {len(frames) + 1} belongs; the "
                                 "file is incomplete, fetch it again")
            frames.append({})
        else:
            name, *values = words
            if not frames:
                raise InputError(f"{path}, line {line}: {name!r} before the first frame number; this is no AMC motion")
            if name not in moving:
                raise InputError(f"{path}, line {line}: bone {name} does not move in {body.path.name}; the motion "
                                 "belongs to another skeleton")
            if len(values) != moving[name]:
                raise InputError(f"{path}, line {line}: {len(values)} values for {name}, which has {moving[name]} "
                                 f"degrees of freedom in {body.path.name}; the motion belongs to another skeleton")
            frames[-1][name] = _numbers(path, line, values)
    if not frames:
        raise InputError(f"{path}: there is no frame in it; this is no AMC motion")
    _check_whole(path, line, frames, moving, body)
    motion = {name: np.array([frame[name] for frame in frames]) for name in moving}
    for bone in body.bones:
        if bone.channels:
            motion[bone.name][:, [channel in ROTATIONS for channel in bone.channels]] *= turn
    return motion


def positions(body: Body, motion: Mapping[str, np.ndarray]) -> np.ndarray:
    """Where the bones end, (F, bones, 3) float64 metres, y upwards; of the root, where it is."""
    frames = len(motion["root"])
    turned = np.empty((len(body.bones), frames, 3, 3))
    ends = np.empty((frames, len(body.bones), 3))
    for number, bone in enumerate(body.bones):
        values = motion.get(bone.name, np.zeros((frames, 0)))
        own = bone.axis @ _rotation([(channel, values[:, k]) for k, channel in enumerate(bone.channels)
                                     if channel in ROTATIONS], frames) @ bone.axis.T
        if bone.parent < 0:
            turned[number] = own
            shift = [values[:, bone.channels.index(axis)] if axis in bone.channels else np.zeros(frames)
                     for axis in ("tx", "ty", "tz")]
            ends[:, number] = bone.offset + np.stack(shift, axis=-1)
        else:
            turned[number] = turned[bone.parent] @ own
            ends[:, number] = ends[:, bone.parent] + turned[number] @ bone.offset
    return body.metres * ends


def _rotation(turns: list[tuple[str, np.ndarray]], frames: int) -> np.ndarray:
    """(F, 3, 3): rotations about the axes rx, ry, rz by angles (F,), the first listed applied first."""
    total = np.broadcast_to(np.eye(3), (frames, 3, 3))
    for channel, angle in turns:
        first, second = [(1, 2), (2, 0), (0, 1)][ROTATIONS.index(channel)]
        one = np.tile(np.eye(3), (frames, 1, 1))
        one[:, first, first] = one[:, second, second] = np.cos(angle)
        one[:, second, first] = np.sin(angle)
        one[:, first, second] = -np.sin(angle)
        total = one @ total
    return total


def _axis(path: Path, line: int, words: list[str], turn: float) -> np.ndarray:
    """The rotation of three angles and the order of their axes, for example `0 0 20 XYZ`."""
    *angles, order = words
    if len(angles) != 3 or sorted(order.upper()) != ["X", "Y", "Z"]:
        raise InputError(f"{path}, line {line}: an axis is three angles and their order such as XYZ, found "
                         f"{' '.join(words)}")
    by_axis = dict(zip("XYZ", _numbers(path, line, angles), strict=True))
    return _rotation([(f"r{letter.lower()}", np.array([turn * by_axis[letter]])) for letter in order.upper()], 1)[0]


def _root(path: Path, root: Mapping, turn: float) -> Bone:
    for needed in ("order", "position", "orientation"):
        if needed not in root:
            raise InputError(f"{path}: :root has no {needed}; this is no ASF skeleton")
    line, order = root["order"]
    channels = _channels(path, line, order, ("tx", "ty", "tz", *ROTATIONS))
    orientation = [*root["orientation"][1], *root.get("axis", (0, ["XYZ"]))[1]]
    return Bone("root", -1, np.array(_numbers(path, root["position"][0], root["position"][1])),
                _axis(path, root["orientation"][0], orientation, turn), channels)


def _bone(path: Path, lines: list[tuple[int, list[str]]], turn: float) -> Bone:
    fields = {words[0]: (line, words[1:]) for line, words in lines}
    for needed in ("name", "direction", "length", "axis"):
        if needed not in fields:
            raise InputError(f"{path}, line {lines[0][0]}: a bone without {needed}; mend the skeleton")
    line, direction = fields["direction"]
    vector = np.array(_numbers(path, line, direction))
    if vector.shape != (3,) or not vector.any():
        raise InputError(f"{path}, line {line}: a direction is three numbers, found {' '.join(direction)}")
    length = _numbers(path, *fields["length"])[0]
    channels = _channels(path, *fields["dof"], ROTATIONS) if "dof" in fields else ()
    return Bone(fields["name"][1][0], -1, length * vector / np.linalg.norm(vector),
                _axis(path, *fields["axis"], turn), channels)


def _channels(path: Path, line: int, words: list[str], known: tuple[str, ...]) -> tuple[str, ...]:
    channels = tuple(word.lower() for word in words)
    if wrong := [channel for channel in channels if channel not in known]:
        raise InputError(f"{path}, line {line}: degree of freedom {wrong[0]!r}; {', '.join(known)} can be read")
    return channels


def _check_whole(path: Path, line: int, frames: list, moving: Mapping[str, int], body: Body) -> None:
    if frames and (missing := [name for name in moving if name not in frames[-1]]):
        raise InputError(f"{path}, before line {line}: frame {len(frames)} has no values for {missing[0]}, which moves "
                         f"in {body.path.name}; the motion belongs to another skeleton or is incomplete")


def _lines(path: Path) -> list[tuple[int, list[str]]]:
    """The lines that say something, with their numbers, as words."""
    try:
        text = Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}; name a file of motion capture") from error
    lines = ((number, line.split("#")[0].split()) for number, line in enumerate(text.splitlines(), start=1))
    return [(number, words) for number, words in lines if words]


def _sections(path: Path) -> dict[str, list[tuple[int, list[str]]]]:
    sections: dict[str, list] = {}
    current: list = []
    for line, words in _lines(path):
        if words[0].startswith(":"):
            current = sections.setdefault(words[0][1:].lower(), [])
        else:
            current.append((line, words))
    return sections


def _blocks(lines: list[tuple[int, list[str]]]) -> list[list[tuple[int, list[str]]]]:
    """What stands between each `begin` and `end`."""
    blocks: list = []
    for line, words in lines:
        if words[0] == "begin":
            blocks.append([])
        elif words[0] != "end" and blocks:
            blocks[-1].append((line, words))
    return blocks


def _numbers(path: Path, line: int, words: list[str]) -> list[float]:
    try:
        values = [float(word) for word in words]
    except ValueError as error:
        raise InputError(f"{path}, line {line}: {' '.join(words)} where numbers belong") from error
    if not all(math.isfinite(value) for value in values):
        raise InputError(f"{path}, line {line}: a number is not finite")
    return values
