"""dlib's xml of boxes with parts, as its tool imglab and the training of its shape predictors use it.

King, Dlib-ml: a machine learning toolkit, JMLR 2009. Points and boxes are whole pixels from 0.
"""
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from kpjax.annotations.face_points import FACE, NOTE
from kpjax.annotations.names import common_folder, forward, with_sessions
from kpjax.annotations.project import Frame, Instance, Project
from kpjax.annotations.skeleton_file import FILE, read_skeleton
from kpjax.annotations.tables import number
from kpjax.errors import InputError
from kpjax.files import read_content

_SIDES = ("left", "top", "width", "height")


def recognises(path: Path) -> bool:
    """Returns whether a path is an xml file with images and boxes, or a folder that holds one."""
    return bool(_files(path))


def read(path: Path, faults: list[str]) -> Project | None:
    """Reads an xml file, or the only one of a folder.

    An animal is a box with parts; boxes marked `ignore` are left out, and a part that a box lacks is unlabelled.
    Images are below the file's folder. Keypoints have the names of the parts, in the order of these; 68 parts without a
    skeleton.json beside the file are those of a face.
    """
    files = _files(path)
    if len(files) != 1:
        faults.append(f"{path.name}: {len(files)} xml files ({', '.join(file.name for file in files[:8])}); name one "
                      "of them instead of the folder")
        return None
    file, notes = files[0], []
    try:
        content = read_content(file)
        if b"<!ENTITY" in content:
            raise ElementTree.ParseError("it defines entities, as no file of dlib does")
        tree = ElementTree.fromstring(content)
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        faults.append(f"{file.name}: invalid xml ({error}); save it again")
        return None
    except InputError as error:
        faults.append(str(error))
        return None
    images = tree.findall("./images/image")
    parts = sorted({part.get("name", "") for part in tree.iterfind("./images/image/box/part")})
    if all(name.isdecimal() for name in parts):
        parts.sort(key=int)
    if len(parts) == len(FACE.names) and [*map(str, range(len(parts)))] == [name.lstrip("0") or "0" for name in parts
                                                                           ] and not (file.parent / FILE).is_file():
        skeleton = FACE
        notes.append(NOTE)
    else:
        skeleton = read_skeleton(file.parent, parts, notes, faults)
    if skeleton is None:
        return None
    at = {name: parts.index(name) if skeleton is FACE else skeleton.names.index(name) for name in parts}
    names = [tuple(forward(image.get("file", "")).lstrip("/").split("/")) for image in images]
    folder, dropped = common_folder(names, [file.parent]) if names else (file.parent, 0)
    frames, instances, ignored = [], [], 0
    for count, (image, stored) in enumerate(zip(images, names, strict=True)):
        name = "/".join(stored[dropped:] or stored)
        if not name:
            faults.append(f"{file.name}, image {count + 1}: no file is named; name it")
        frames.append(Frame(name, folder / name, None, (0, 0), ""))
        for box in image.findall("box"):
            ignored += box.get("ignore") == "1"
            if box.get("ignore") != "1" and box.find("part") is not None:
                instances.append(_instance(box, count, at, f"{file.name}, {name}", len(skeleton.names), faults))
    if ignored:
        notes.append(f"{ignored} boxes are marked to be ignored, and are")
    return Project(file.parent, "dlib", skeleton, tuple(with_sessions(frames)), tuple(instances), tuple(notes))


def _files(path: Path) -> list[Path]:
    files = [path] if path.is_file() else sorted(path.glob("*.xml"))
    return [file for file in files if file.suffix.lower() == ".xml" and _has_boxes(file)]


def _has_boxes(file: Path) -> bool:
    try:
        content = read_content(file)
    except InputError:
        return False
    return b"<dataset" in content and b"<images" in content


def _instance(box: ElementTree.Element, frame: int, at: dict[str, int], where: str, count: int, faults: list[str]
              ) -> Instance:
    points, visible = np.full((count, 2), np.nan), np.zeros(count, np.float32)
    for part in box.findall("part"):
        k = at[part.get("name", "")]
        if visible[k]:
            faults.append(f"{where}, part {part.get('name')!r}: occurs twice in one box; delete one")
        x, y = (number(part.get(axis) or "", f"{where}, part {part.get('name')!r}, {axis}", faults) for axis in "xy")
        if np.isfinite([x, y]).all():
            points[k], visible[k] = (x, y), 1
        elif np.isnan([x, y]).any():
            faults.append(f"{where}, part {part.get('name')!r}: x or y is missing; give both, or delete the part")
    sides = np.array([number(box.get(side) or "", f"{where}, box, {side}", faults) for side in _SIDES])
    return Instance(frame, points, visible, np.zeros(count, bool), sides)
