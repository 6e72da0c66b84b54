"""Files `.pts` of menpo and 300-W: the points of one image each, beside it or in a folder of their own.

Sagonas et al., 300 Faces in-the-Wild Challenge, ICCVW 2013. A file has `version: 1`, `n_points: K` and, in braces, a
line with x and y for each point, counted from 1 at the centre of the top-left pixel, as menpo reads them.
"""
import math
import re
from pathlib import Path

import numpy as np

from kpjax.annotations.face_points import FACE, NOTE
from kpjax.annotations.names import with_sessions
from kpjax.annotations.project import Frame, Instance, Project
from kpjax.annotations.skeleton_file import FILE, read_skeleton
from kpjax.errors import InputError
from kpjax.files import read_content
from kpjax.images.reading import IMAGE_SUFFIXES

_FORM = re.compile(r"\s*version\s*:\s*\S+\s+n_points\s*:\s*(\d+)\s*\{([^}]*)\}\s*")


def recognises(path: Path) -> bool:
    """Returns whether a path is such a file, or a folder that holds some, three levels down at most."""
    return bool(_files(path))


def read(path: Path, faults: list[str]) -> Project | None:
    """Reads all files `.pts` of a folder, or one of them.

    Images have the same names and lie beside the files, or in another folder beside that of the files. All must have
    the same number of points, whose names are 1, 2, ... or those of a skeleton.json in the folder; 68 points without
    one are those of a face. Points that are nan, or both -1 or 0 in the file, are unlabelled.
    """
    files, notes = _files(path), ["files .pts count pixels from 1; 1 is subtracted from x and y"]
    root = path if path.is_dir() else path.parent
    found = [(file, points) for file in files
             if (points := _points(file, file.relative_to(root).as_posix(), faults)) is not None]
    if not found:
        return None
    count = len(found[0][1])
    if other := [(file, points) for file, points in found if len(points) != count]:
        faults.append(f"{other[0][0].name}: {len(other[0][1])} points where {found[0][0].name} has {count}; read files "
                      "of one kind at a time")
        return None
    if count == len(FACE.names) and not (root / FILE).is_file():
        skeleton = FACE
        notes.append(NOTE)
    else:
        skeleton = read_skeleton(root, [str(number) for number in range(1, count + 1)], notes, faults)
    if skeleton is None or len(skeleton.names) != count:
        if skeleton is not None:
            faults.append(f"{FILE}, names: {len(skeleton.names)}, and the files have {count} points; correct it")
        return None
    frames, instances = [], []
    for number, (file, points) in enumerate(found):
        image = _image_of(file)
        frames.append(Frame(image.relative_to(root).as_posix() if image.is_relative_to(root) else image.as_posix(),
                            image, None, (0, 0), ""))
        seen = np.isfinite(points).all(1)
        if seen.any():
            instances.append(Instance(number, np.where(seen[:, None], points, np.nan), seen.astype(np.float32),
                                      np.zeros(count, bool), np.full(4, np.nan)))
    return Project(root, "pts", skeleton, tuple(with_sessions(frames)), tuple(instances), tuple(notes))


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path] if path.suffix.lower() == ".pts" else []
    return sorted(file for pattern in ("*.pts", "*/*.pts", "*/*/*.pts", "*/*/*/*.pts") for file in path.glob(pattern))


def _points(file: Path, label: str, faults: list[str]) -> np.ndarray | None:
    """Returns (K, 2) float64, counted from 0, nan where unlabelled; None, with a fault, for a damaged file."""
    try:
        text = read_content(file).decode("utf-8-sig", errors="replace")
    except InputError as error:
        faults.append(str(error))
        return None
    form = _FORM.fullmatch(text)
    if form is None:
        faults.append(f"{label}: not of the form version: 1, n_points: K, {{ x y ... }}; save it again")
        return None
    try:
        rows = [[float(cell) for cell in line.split()] for line in form[2].splitlines() if line.strip()]
    except ValueError as error:
        faults.append(f"{label}: {error}; correct the line")
        return None
    if len(rows) != int(form[1]) or any(len(row) != 2 for row in rows) or not rows:
        faults.append(f"{label}: {len(rows)} lines of points where n_points says {form[1]}, of two numbers each; save "
                      "it again")
        return None
    points = np.array(rows, np.float64)
    empty = ~np.isfinite(points).all(1) | (points == -1).all(1) | (points == 0).all(1)
    return np.where(empty[:, None], math.nan, points - 1)


def _image_of(file: Path) -> Path:
    """Returns the image of the same name; where there is none, the path that it should have."""
    beside = [file.parent, *sorted(folder for folder in file.parent.parent.iterdir() if folder.is_dir())]
    for folder in beside:
        for suffix in (*IMAGE_SUFFIXES, *(suffix.upper() for suffix in IMAGE_SUFFIXES)):
            if (image := folder / f"{file.stem}{suffix}").is_file():
                return image
    return file.with_suffix(".jpg")
