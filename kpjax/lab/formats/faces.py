"""Labels as tools for faces keep them: dlib's xml of boxes with parts, and files `.pts` of menpo and 300-W.

King, Dlib-ml: a machine learning toolkit, JMLR 2009: one xml file; points and boxes are whole pixels from 0.
Sagonas et al., 300 Faces in-the-Wild Challenge, ICCVW 2013: a file for each image with `version: 1`, `n_points: K` and,
in braces, a line with x and y for each point, counted from 1 at the centre of the top-left pixel, as menpo reads them.
68 points without a skeleton.json beside the labels are those of a face (`FACE`), by iBUG's mark-up.
"""
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from kpjax.errors import InputError
from kpjax.files import foreign, read_content
from kpjax.images.reading import IMAGE_SUFFIXES
from kpjax.lab.formats import names as naming
from kpjax.lab.formats.names import forward, image_frames, shown_files, with_sessions
from kpjax.lab.formats.options import STATED, Options
from kpjax.lab.formats.project import Frame, Instance, Project, instance_of
from kpjax.lab.formats.tables import number
from kpjax.structures import Skeleton

# The 68 points of a face
RUNS = {"jaw": (0, 17), "right_brow": (17, 22), "left_brow": (22, 27), "bridge": (27, 31), "nostrils": (31, 36),
        "right_eye": (36, 42), "left_eye": (42, 48), "outer_lip": (48, 60), "inner_lip": (60, 68)}
CLOSED = ("right_eye", "left_eye", "outer_lip", "inner_lip")
_MIRRORED = {  # runs of points and the runs that they become in a mirror, one by one
    (*range(17),): (*range(16, -1, -1),), (*range(17, 22),): (*range(26, 21, -1),), (27, 28, 29, 30): (27, 28, 29, 30),
    (31, 32, 33, 34, 35): (35, 34, 33, 32, 31), (36, 37, 38, 39, 40, 41): (45, 44, 43, 42, 47, 46),
    (48, 49, 50, 51, 52, 53, 54): (54, 53, 52, 51, 50, 49, 48), (55, 56, 57, 58, 59): (59, 58, 57, 56, 55),
    (60, 61, 62, 63, 64): (64, 63, 62, 61, 60), (65, 66, 67): (67, 66, 65)}


def _face() -> Skeleton:
    mirror = {a: b for run, other in _MIRRORED.items() for a, b in zip(run, other, strict=True)}
    mirror |= {b: a for a, b in mirror.items()}
    lines = [(k, k + 1) for first, end in RUNS.values() for k in range(first, end - 1)]
    return Skeleton(
        names=tuple(f"{name}_{k - first}" for name, (first, end) in RUNS.items() for k in range(first, end)),
        edges=(*lines, *((RUNS[name][1] - 1, RUNS[name][0]) for name in CLOSED)),
        flip=tuple(mirror[k] for k in range(68)),
        groups={"jaw": tuple(range(17)), "brows": tuple(range(17, 27)), "nose": tuple(range(27, 36)),
                "eyes": tuple(range(36, 48)), "mouth": tuple(range(48, 68)), "all": tuple(range(68))})


FACE = _face()  # left and right are the person's
NOTE = "68 points: taken for a face with iBUG's mark-up; a skeleton.json beside the labels says otherwise"

_FORM = re.compile(r"\s*version\s*:\s*\S+\s+n_points\s*:\s*(\d+)\s*\{([^}]*)\}\s*")


def _skeleton(folder: Path, names: Sequence[str], first: int, notes: list[str], faults: list[str]) -> Skeleton:
    """Returns the skeleton of points; those of a face, which count from `first`, get the names and pairs of one."""
    numbers = [name.lstrip("0") or "0" for name in names]
    if numbers == [str(first + k) for k in range(len(FACE.names))] and not (folder / naming.SKELETON).is_file():
        notes.append(NOTE)
        return FACE
    return naming.read_skeleton(folder, names, notes, faults)


# dlib

def read_xml(path: Path, faults: list[str], options: Options = STATED) -> Project:
    """Reads an xml file, or the only one of a folder.

    An animal is a box with parts; boxes marked `ignore` are left out, and a part that a box lacks is unlabelled.
    Images are below the file's folder. Keypoints have the names of the parts, in the order of these.
    """
    file, notes = naming.only_file(path, xml_files(path), "xml files"), []
    with foreign(file.name, "it is invalid xml, save it again"):
        content = read_content(file)
        if b"<!ENTITY" in content:
            raise ValueError("it defines entities, as no file of dlib does")
        images = ElementTree.fromstring(content).findall("./images/image")
    parts = sorted({part.get("name", "") for image in images for part in image.iterfind("box/part")})
    if all(name.isdecimal() for name in parts):
        parts.sort(key=int)
    skeleton = _skeleton(file.parent, parts, 0, notes, faults)
    places = {name: place for place, name in enumerate(parts if skeleton is FACE else skeleton.names)}
    frames = image_frames([forward(image.get("file", "")) for image in images], file.parent, [file.parent])
    instances, ignored = [], 0
    for count, (image, frame) in enumerate(zip(images, frames, strict=True)):
        if not image.get("file"):
            faults.append(f"{file.name}, image {count + 1}: no file is named; name it")
        for box in image.findall("box"):
            ignored += box.get("ignore") == "1"
            if box.get("ignore") != "1" and box.find("part") is not None:
                instances.append(_of_box(box, count, places, f"{file.name}, {frame.name}", faults))
    if ignored:
        notes.append(f"{ignored} boxes are marked to be ignored, and are")
    return Project(file.parent, "dlib", skeleton, tuple(with_sessions(frames)), tuple(instances), tuple(notes))


def xml_files(path: Path) -> list[Path]:
    """Returns the xml files with images and boxes at a path, or in the folder that it is."""
    return [file for file in shown_files(path, "*.xml") if file.suffix.lower() == ".xml" and all(
        word in read_content(file) for word in (b"<dataset", b"<images"))]


def _of_box(box: Any, frame: int, places: Mapping[str, int], where: str, faults: list[str]) -> Instance:
    def numbers(of: Any, what: str, *fields: str) -> list[float]:
        return [number(of.get(field) or "", f"{where}, {what}, {field}", faults) for field in fields]

    points, taken = np.full((len(places), 2), np.nan), set()
    for part in box.findall("part"):
        name = part.get("name", "")
        if name in taken:
            faults.append(f"{where}, part {name!r}: occurs twice in one box; delete one")
        taken.add(name)
        points[places[name]] = found = numbers(part, f"part {name!r}", "x", "y")
        if np.isnan(found).any():
            faults.append(f"{where}, part {name!r}: x or y is missing; give both, or delete the part")
    return instance_of(frame, points, box=np.array(numbers(box, "box", "left", "top", "width", "height")))


# menpo and 300-W

def read_pts(path: Path, faults: list[str], options: Options = STATED) -> Project:
    """Reads all files `.pts` of a folder, or one of them.

    Images have the same names and lie in the same folders as the files. All must have the same number of points, whose
    names are 1, 2, ... or those of a skeleton.json in the folder. Points that are nan, or both -1 or 0 in the file, are
    unlabelled.
    """
    files, notes = pts_files(path), ["files .pts count pixels from 1; 1 is subtracted from x and y"]
    root = path if path.is_dir() else path.parent
    found = {file: points for file in files
             if (points := _points(file, file.relative_to(root).as_posix(), faults)) is not None}
    if not found:
        raise InputError(faults.pop())
    first, points = next(iter(found.items()))
    count = len(points)
    if other := [file for file, points in found.items() if len(points) != count]:
        raise InputError(f"{other[0].name}: {len(found[other[0]])} points where {first.name} has {count}; read files "
                         "of one kind at a time")
    skeleton = _skeleton(root, [str(k + 1) for k in range(count)], 1, notes, faults)
    if len(skeleton.names) != count:
        raise InputError(f"skeleton.json, names: {len(skeleton.names)}, and the files have {count} points; correct it")
    # The image of the same name in the same folder; where there is none, the path that it should have.
    suffixes = (*IMAGE_SUFFIXES, *(suffix.upper() for suffix in IMAGE_SUFFIXES))
    images = [next((image for suffix in suffixes if (image := file.with_suffix(suffix)).is_file()),
                   file.with_suffix(".jpg")) for file in found]
    frames = [Frame(image.relative_to(root).as_posix(), image, None, (0, 0), "") for image in images]
    instances = [instance_of(at, points) for at, points in enumerate(found.values())]
    return Project(root, "pts", skeleton, tuple(with_sessions(frames)),
                   tuple(one for one in instances if one.visible.any()), tuple(notes))


def pts_files(path: Path) -> list[Path]:
    """Returns the files .pts at a path, three levels down at most."""
    files = shown_files(path, "*.pts", "*/*.pts", "*/*/*.pts", "*/*/*/*.pts")
    return [file for file in files if file.suffix.lower() == ".pts"]


def _points(file: Path, label: str, faults: list[str]) -> np.ndarray | None:
    """Returns (K, 2) float64, counted from 0, nan where unlabelled; None, with a fault, for a damaged file."""
    form = _FORM.fullmatch(read_content(file).decode("utf-8-sig", errors="replace"))
    rows = [line.split() for line in form[2].splitlines() if line.strip()] if form else []
    if form is None or len(form[1]) > 9 or len(rows) != int(form[1]) or any(len(row) != 2 for row in rows) or not rows:
        faults.append(f"{label}: not of the form version: 1, n_points: K, {{ K lines of x and y }}; save it again")
        return None
    before = len(faults)
    points = np.array([[number(cell, f"{label}, point {k}", faults) for cell in row] for k, row in enumerate(rows, 1)])
    empty = np.isnan(points).any(1) | (points == -1).all(1) | (points == 0).all(1)
    return np.where(empty[:, None], np.nan, points - 1) if len(faults) == before else None
