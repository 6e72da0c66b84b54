"""Readers of motion capture in the Acclaim format, skeletons (ASF) and motions (AMC), and forward kinematics.

Rotations follow the CMU Graphics Lab Motion Capture Database (mocap.cs.cmu.edu). A bone's angles rotate it in its own
frame, L = C M C^-1, where C is its axis and M its angles. The first listed rotation is applied first. Transforms
accumulate from parent to child.
"""
import math
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from kpjax.errors import InputError

METRES = 0.0254  # per inch; lengths are in inches divided by the file's unit of length
ROTATIONS = ("rx", "ry", "rz")


class Bone(NamedTuple):
    """A bone. The first of a body is the root, of zero length, with three translations and three angles as channels."""

    name: str
    parent: int  # index in the body, -1 for the root
    offset: np.ndarray  # (3,) from start to end, in units of the file; for the root, its position
    axis: np.ndarray  # (3, 3) rotation C
    channels: tuple[str, ...]  # among rx, ry, rz, and for the root tx, ty, tz, in the order of a motion file


class Body(NamedTuple):
    """A skeleton, every bone after its parent."""

    path: Path
    bones: tuple[Bone, ...]
    metres: float  # per unit of the file

    def index(self, name: str) -> int:
        """Returns the index of a bone. Raises InputError with the known names if there is none."""
        names = [bone.name for bone in self.bones]
        if name not in names:
            raise InputError(f"{self.path}: bone {name!r} is unknown; choose among {', '.join(names)}")
        return names.index(name)


def read_skeleton(path: Path) -> Body:
    """Reads an ASF file. Raises InputError, with the line, if the file is invalid."""
    sections = _sections(path)
    for needed in ("units", "root", "bonedata", "hierarchy"):
        if needed not in sections:
            raise InputError(f"{path}: section :{needed} is missing; this is not an ASF skeleton")
    units = {words[0]: words[1] for _, words in sections["units"] if len(words) > 1}
    turn = math.pi / 180 if units.get("angle", "deg") == "deg" else 1.0
    length = _numbers(path, 0, [units.get("length", "1")])[0]
    root = {words[0]: (line, words[1:]) for line, words in sections["root"]}
    described = {"root": _root(path, root, turn)}
    for bone in _blocks(sections["bonedata"]):
        made = _bone(path, bone, turn)
        if made.name in described:
            raise InputError(f"{path}: bone {made.name} is defined twice; keep one")
        described[made.name] = made
    bones, place = [described["root"]], {"root": 0}
    for line, (parent, *children) in sections["hierarchy"]:
        if parent in ("begin", "end"):
            continue
        for name in (parent, *children):
            if name not in described:
                raise InputError(f"{path}, line {line}: bone {name} of the hierarchy is not in :bonedata; add it there")
        if parent not in place:
            raise InputError(f"{path}, line {line}: {parent} is a parent before it is a child; reorder the hierarchy")
        for name in children:
            if name in place:
                raise InputError(f"{path}, line {line}: {name} has two parents; keep one")
            place[name] = len(bones)
            bones.append(described[name]._replace(parent=place[parent]))
    if alone := sorted(described.keys() - place.keys()):
        raise InputError(f"{path}: bone {alone[0]} is not in the hierarchy; add it there")
    return Body(Path(path), tuple(bones), METRES / length)


def read_motion(path: Path, body: Body) -> dict[str, np.ndarray]:
    """Reads an AMC file: the channels of every moving bone, (F, channels) float64, angles in radians.

    Raises InputError, with the line, if the file does not match the skeleton or if frames are out of order. A mismatch
    is an unknown bone, a wrong number of values, or a bone that is missing in a frame.
    """
    moving = {bone.name: len(bone.channels) for bone in body.bones if bone.channels}
    turn, frames = 1.0, []
    for line, words in _lines(path):
        if words[0].startswith(":"):
            turn = math.pi / 180 if words[0].upper() == ":DEGREES" else turn
        elif len(words) == 1 and words[0].isdigit():
            _check_whole(path, line, frames, moving, body)
            if int(words[0]) != len(frames) + 1:
                raise InputError(f"{path}, line {line}: expected frame {len(frames) + 1}, found frame {words[0]}; the "
                                 "file is incomplete, download it again")
            frames.append({})
        else:
            name, *values = words
            if not frames:
                raise InputError(f"{path}, line {line}: expected a frame number, found {name!r}; this is not an AMC "
                                 "motion")
            if name not in moving:
                raise InputError(f"{path}, line {line}: bone {name} does not move in {body.path.name}; use the "
                                 "skeleton of this motion")
            if len(values) != moving[name]:
                raise InputError(f"{path}, line {line}: expected {moving[name]} values for {name}, as in "
                                 f"{body.path.name}, found {len(values)}; use the skeleton of this motion")
            frames[-1][name] = _numbers(path, line, values)
    if not frames:
        raise InputError(f"{path}: no frame found; this is not an AMC motion")
    _check_whole(path, line, frames, moving, body)
    motion = {name: np.array([frame[name] for frame in frames]) for name in moving}
    for bone in body.bones:
        if bone.channels:
            motion[bone.name][:, [channel in ROTATIONS for channel in bone.channels]] *= turn
    return motion


def positions(body: Body, motion: Mapping[str, np.ndarray]) -> np.ndarray:
    """Computes where the bones end, (F, bones, 3) float64 metres, y upwards; for the root, where it is."""
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
    """Returns rotations (F, 3, 3) about the axes rx, ry, rz by angles (F,), the first listed applied first."""
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
    """Parses a rotation: three angles and the order of their axes, for example `0 0 20 XYZ`."""
    *angles, order = words
    if len(angles) != 3 or sorted(order.upper()) != ["X", "Y", "Z"]:
        raise InputError(f"{path}, line {line}: expected three angles and their order, such as XYZ, found "
                         f"{' '.join(words)}")
    by_axis = dict(zip("XYZ", _numbers(path, line, angles), strict=True))
    return _rotation([(f"r{letter.lower()}", np.array([turn * by_axis[letter]])) for letter in order.upper()], 1)[0]


def _root(path: Path, root: Mapping, turn: float) -> Bone:
    for needed in ("order", "position", "orientation"):
        if needed not in root:
            raise InputError(f"{path}: :root has no {needed}; this is not an ASF skeleton")
    line, order = root["order"]
    channels = _channels(path, line, order, ("tx", "ty", "tz", *ROTATIONS))
    orientation = [*root["orientation"][1], *root.get("axis", (0, ["XYZ"]))[1]]
    return Bone("root", -1, np.array(_numbers(path, root["position"][0], root["position"][1])),
                _axis(path, root["orientation"][0], orientation, turn), channels)


def _bone(path: Path, lines: list[tuple[int, list[str]]], turn: float) -> Bone:
    fields = {words[0]: (line, words[1:]) for line, words in lines}
    for needed in ("name", "direction", "length", "axis"):
        if needed not in fields:
            raise InputError(f"{path}, line {lines[0][0]}: the bone has no {needed}; add it")
    line, direction = fields["direction"]
    vector = np.array(_numbers(path, line, direction))
    if vector.shape != (3,) or not vector.any():
        raise InputError(f"{path}, line {line}: expected a direction of three numbers, found {' '.join(direction)}")
    length = _numbers(path, *fields["length"])[0]
    channels = _channels(path, *fields["dof"], ROTATIONS) if "dof" in fields else ()
    return Bone(fields["name"][1][0], -1, length * vector / np.linalg.norm(vector),
                _axis(path, *fields["axis"], turn), channels)


def _channels(path: Path, line: int, words: list[str], known: tuple[str, ...]) -> tuple[str, ...]:
    channels = tuple(word.lower() for word in words)
    if wrong := [channel for channel in channels if channel not in known]:
        raise InputError(f"{path}, line {line}: degree of freedom {wrong[0]!r} is unknown; choose among "
                         f"{', '.join(known)}")
    return channels


def _check_whole(path: Path, line: int, frames: list, moving: Mapping[str, int], body: Body) -> None:
    if frames and (missing := [name for name in moving if name not in frames[-1]]):
        raise InputError(f"{path}, before line {line}: frame {len(frames)} has no values for {missing[0]}, which moves "
                         f"in {body.path.name}; use the skeleton of this motion")


def _lines(path: Path) -> list[tuple[int, list[str]]]:
    """Reads the lines that are not empty or comments, as numbers and words."""
    try:
        text = Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}; give a motion capture file") from error
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
    """Returns the lines between each `begin` and `end`."""
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
        raise InputError(f"{path}, line {line}: expected numbers, found {' '.join(words)}") from error
    if not all(math.isfinite(value) for value in values):
        raise InputError(f"{path}, line {line}: expected finite numbers, found {' '.join(words)}")
    return values
