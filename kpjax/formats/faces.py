"""Files `.pts` of menpo and 300-W, a file for each image: landmarks of faces, or other points.

Sagonas et al., 300 Faces in-the-Wild Challenge, ICCVW 2013: a file for each image with `version:
1`, `n_points: K` and, in braces, a line with x and y for each point, counted from 1 at the centre
of the top-left pixel, as menpo reads them. 68 points without a skeleton.json beside the labels are
those of a face (`FACE`), by iBUG's mark-up.
"""

import re
from pathlib import Path

import numpy as np

from kpjax.errors import InputError
from kpjax.files import read_content, read_json
from kpjax.formats.names import SKELETON, below, read_skeleton, shown_files
from kpjax.formats.options import STATED, Options
from kpjax.formats.project import Frame, Project, Report, instance_of
from kpjax.formats.tables import number
from kpjax.images.reading import IMAGE_SUFFIXES
from kpjax.structures import Skeleton, skeleton_from_json

# left and right are the person's
FACE: Skeleton = skeleton_from_json(read_json(Path(__file__).with_name("face.json")))
NOTE = "68 points: taken for a face with iBUG's mark-up; a skeleton.json beside the labels says otherwise"

_FORM = re.compile(r"\s*version\s*:\s*\S+\s+n_points\s*:\s*(\d+)\s*\{([^}]*)\}\s*")


def read_pts(path: Path, report: Report, options: Options = STATED) -> Project:
    """Reads all files `.pts` of a folder, or one of them.

    Images have the same names and lie in the same folders as the files. All must have the same
    number of points, whose names are 1, 2, ... or those of a skeleton.json in the folder. Points
    that are nan, or both -1 or 0 in the file, are unlabelled.
    """
    root = path if path.is_dir() else path.parent
    read = {file: _points(file, report.at(below(file, root))) for file in pts_files(path)}
    found = {file: points for file, points in read.items() if points is not None}
    if not found:
        raise InputError(report.faults.pop())
    first, points = next(iter(found.items()))
    count = len(points)
    if other := [file for file, points in found.items() if len(points) != count]:
        raise InputError(
            f"{other[0].name}: {len(found[other[0]])} points, {first.name} has {count}; give one kind"
        )
    if count == len(FACE.names) and not (root / SKELETON).is_file():
        report.notes.append(NOTE)
        skeleton = FACE
    else:
        skeleton = read_skeleton(root, [str(k + 1) for k in range(count)], report)
    if len(skeleton.names) != count:
        raise InputError(
            f"skeleton.json, names: {len(skeleton.names)}, and the files have {count} points; correct it"
        )
    # The image of the same name in the same folder; where there is none, the path that it should
    # have.
    suffixes = [form(suffix) for form in (str.lower, str.upper) for suffix in IMAGE_SUFFIXES]
    frames = []
    for file in found:
        images = filter(Path.is_file, map(file.with_suffix, suffixes))
        image = next(images, file.with_suffix(".jpg"))
        frames.append(Frame(below(image, root), image))
    instances = [instance_of(at, points) for at, points in enumerate(found.values())]
    return Project(root, "pts", skeleton, frames, instances, tool="menpo")


def pts_files(path: Path) -> list[Path]:
    """Returns the files .pts at a path, three levels down at most."""
    files = shown_files(path, "*.pts", "*/*.pts", "*/*/*.pts", "*/*/*/*.pts")
    return [file for file in files if file.suffix.lower() == ".pts"]


def _points(file: Path, report: Report) -> np.ndarray | None:
    """Returns (K, 2) float64, counted from 1, nan where unlabelled; None, with a fault, for a
    damaged file.
    """
    form = _FORM.fullmatch(read_content(file).decode("utf-8-sig", errors="replace"))
    rows = [line.split() for line in form[2].splitlines() if line.strip()] if form else []
    if not form or not rows or len(rows) != int(form[1]) or {*map(len, rows)} != {2}:
        report.fault(
            "not of the form version: 1, n_points: K, { K lines of x and y }; save it again"
        )
        return None
    before = len(report.faults)
    points = np.array(
        [[number(one, report.within(f"point {k}")) for one in row] for k, row in enumerate(rows, 1)]
    )
    empty = np.isnan(points).any(1) | (points == -1).all(1) | (points == 0).all(1)
    return np.where(empty[:, None], np.nan, points) if len(report.faults) == before else None
