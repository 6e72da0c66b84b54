"""Labels as tools for faces keep them: dlib's xml of boxes with parts, and files `.pts` of menpo and 300-W.

King, Dlib-ml: a machine learning toolkit, JMLR 2009: one xml file; points and boxes are whole pixels from 0.
Sagonas et al., 300 Faces in-the-Wild Challenge, ICCVW 2013: a file for each image with `version: 1`, `n_points: K` and,
in braces, a line with x and y for each point, counted from 1 at the centre of the top-left pixel, as menpo reads them.
68 points without a skeleton.json beside the labels are those of a face.
"""
import re
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from kpjax.errors import InputError
from kpjax.files import read_content
from kpjax.images.reading import IMAGE_SUFFIXES
from kpjax.lab.formats.face_points import FACE, NOTE
from kpjax.lab.formats.names import forward, image_frames, only_file, with_sessions
from kpjax.lab.formats.project import STATED, Frame, Instance, Options, Project, instance_of
from kpjax.lab.formats.skeleton_file import FILE, read_skeleton
from kpjax.lab.formats.tables import number
from kpjax.structures import Skeleton

_SIDES = ("left", "top", "width", "height")
_FORM = re.compile(r"\s*version\s*:\s*\S+\s+n_points\s*:\s*(\d+)\s*\{([^}]*)\}\s*")


def recognises_xml(path: Path) -> bool:
    """Returns whether a path is an xml file with images and boxes, or a folder that holds one."""
    return bool(_xml_files(path))


def recognises_pts(path: Path) -> bool:
    """Returns whether a path is a file .pts, or a folder that holds some, three levels down at most."""
    return bool(_pts_files(path))


def _skeleton(
    folder: Path, names: Sequence[str], first: int, notes: list[str], faults: list[str]
) -> Skeleton:
    """Returns the skeleton of points; those of a face, which count from `first`, get the names and pairs of one."""
    numbers = [name.lstrip("0") or "0" for name in names]
    if numbers == [str(first + k) for k in range(len(FACE.names))] and not (folder / FILE).is_file():
        notes.append(NOTE)
        return FACE
    return read_skeleton(folder, names, notes, faults)


# dlib

def read_xml(path: Path, faults: list[str], options: Options = STATED) -> Project:
    """Reads an xml file, or the only one of a folder.

    An animal is a box with parts; boxes marked `ignore` are left out, and a part that a box lacks is unlabelled.
    Images are below the file's folder. Keypoints have the names of the parts, in the order of these.
    """
    file, notes = only_file(path, _xml_files(path), "xml files"), []
    try:
        content = read_content(file)
        if b"<!ENTITY" in content:
            raise ElementTree.ParseError("it defines entities, as no file of dlib does")
        images = ElementTree.fromstring(content).findall("./images/image")
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise InputError(f"{file.name}: invalid xml ({error}); save it again") from None
    parts = sorted({part.get("name", "") for image in images for part in image.iterfind("box/part")})
    if all(name.isdecimal() for name in parts):
        parts.sort(key=int)
    skeleton = _skeleton(file.parent, parts, 0, notes, faults)
    at = {name: parts.index(name) if skeleton is FACE else skeleton.names.index(name) for name in parts}
    frames = image_frames([forward(image.get("file", "")) for image in images], file.parent, [file.parent])
    instances, ignored = [], 0
    for count, (image, frame) in enumerate(zip(images, frames, strict=True)):
        if not image.get("file"):
            faults.append(f"{file.name}, image {count + 1}: no file is named; name it")
        for box in image.findall("box"):
            ignored += box.get("ignore") == "1"
            if box.get("ignore") != "1" and box.find("part") is not None:
                instances.append(_of_box(box, count, at, f"{file.name}, {frame.name}", len(skeleton.names), faults))
    if ignored:
        notes.append(f"{ignored} boxes are marked to be ignored, and are")
    return Project(file.parent, "dlib", skeleton, tuple(with_sessions(frames)), tuple(instances), tuple(notes))


def _xml_files(path: Path) -> list[Path]:
    files = [path] if path.is_file() else sorted(path.glob("*.xml"))
    return [file for file in files if file.suffix.lower() == ".xml" and _has_boxes(file)]


def _has_boxes(file: Path) -> bool:
    try:
        content = read_content(file)
    except InputError:
        return False
    return b"<dataset" in content and b"<images" in content


def _of_box(
    box: ElementTree.Element, frame: int, at: dict[str, int], where: str, count: int, faults: list[str]
) -> Instance:
    points, taken = np.full((count, 2), np.nan), set()
    for part in box.findall("part"):
        name = part.get("name", "")
        if name in taken:
            faults.append(f"{where}, part {name!r}: occurs twice in one box; delete one")
        x, y = (number(part.get(axis) or "", f"{where}, part {name!r}, {axis}", faults) for axis in "xy")
        if np.isnan([x, y]).any():
            faults.append(f"{where}, part {name!r}: x or y is missing; give both, or delete the part")
        points[at[name]] = x, y
        taken.add(name)
    return instance_of(frame, points, box=np.array([
        number(box.get(side) or "", f"{where}, box, {side}", faults) for side in _SIDES]))


# menpo and 300-W

def read_pts(path: Path, faults: list[str], options: Options = STATED) -> Project:
    """Reads all files `.pts` of a folder, or one of them.

    Images have the same names and lie beside the files, or in another folder beside that of the files. All must have
    the same number of points, whose names are 1, 2, ... or those of a skeleton.json in the folder. Points that are nan,
    or both -1 or 0 in the file, are unlabelled.
    """
    files, notes = _pts_files(path), ["files .pts count pixels from 1; 1 is subtracted from x and y"]
    root = path if path.is_dir() else path.parent
    found = [(file, points) for file in files
             if (points := _points(file, file.relative_to(root).as_posix(), faults)) is not None]
    if not found:
        raise InputError(faults.pop())
    count = len(found[0][1])
    if other := [(file, points) for file, points in found if len(points) != count]:
        raise InputError(f"{other[0][0].name}: {len(other[0][1])} points where {found[0][0].name} has {count}; read "
                         "files of one kind at a time")
    skeleton = _skeleton(root, [str(k + 1) for k in range(count)], 1, notes, faults)
    if len(skeleton.names) != count:
        raise InputError(f"{FILE}, names: {len(skeleton.names)}, and the files have {count} points; correct it")
    images = [_image_of(file) for file, _ in found]
    frames = [Frame(image.relative_to(root).as_posix() if image.is_relative_to(root) else image.as_posix(), image,
                    None, (0, 0), "") for image in images]
    instances = [instance_of(at, points) for at, (_, points) in enumerate(found) if np.isfinite(points).all(1).any()]
    return Project(root, "pts", skeleton, tuple(with_sessions(frames)), tuple(instances), tuple(notes))


def _pts_files(path: Path) -> list[Path]:
    if path.is_file():
        return [path] if path.suffix.lower() == ".pts" else []
    return sorted(file for pattern in ("*.pts", "*/*.pts", "*/*/*.pts", "*/*/*/*.pts") for file in path.glob(pattern))


def _points(file: Path, label: str, faults: list[str]) -> np.ndarray | None:
    """Returns (K, 2) float64, counted from 0, nan where unlabelled; None, with a fault, for a damaged file."""
    form = _FORM.fullmatch(read_content(file).decode("utf-8-sig", errors="replace"))
    try:
        rows = [[float(cell) for cell in line.split()] for line in form[2].splitlines() if line.strip()] if form else []
    except ValueError as error:
        faults.append(f"{label}: {error}; correct the line")
        return None
    if form is None or len(rows) != int(form[1]) or any(len(row) != 2 for row in rows) or not rows:
        faults.append(f"{label}: not of the form version: 1, n_points: K, {{ K lines of x and y }}; save it again")
        return None
    points = np.array(rows, np.float64)
    empty = ~np.isfinite(points).all(1) | (points == -1).all(1) | (points == 0).all(1)
    return np.where(empty[:, None], np.nan, points - 1)


def _image_of(file: Path) -> Path:
    """Returns the image of the same name; where there is none, the path that it should have."""
    beside = [file.parent, *sorted(folder for folder in file.parent.parent.iterdir() if folder.is_dir())]
    for folder in beside:
        for suffix in (*IMAGE_SUFFIXES, *(suffix.upper() for suffix in IMAGE_SUFFIXES)):
            if (image := folder / f"{file.stem}{suffix}").is_file():
                return image
    return file.with_suffix(".jpg")
