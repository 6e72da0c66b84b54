"""LabelMe's labels: a json for each image, with its points and perhaps rectangles around animals.

Points and the rectangle of one `group_id` are of one animal, as are all of an image without one.
Pixels count from the corner of the first. sleap-io reads no LabelMe.
"""

import os
from collections import Counter
from pathlib import Path

import numpy as np

from kpjax.files import foreign
from kpjax.formats.coco import read_start
from kpjax.formats.labelled_images import LabelledImage, project_of
from kpjax.formats.names import below, forward, json_of, shown_files
from kpjax.formats.options import STATED, Options
from kpjax.formats.project import Project, Report

_WORDS = (b'"shapes"', b'"imagePath"')


def files_of(path: Path) -> list[Path]:
    """Returns LabelMe's files at a path, two levels down at most; those that end early, too, if
    another is whole.
    """
    files = shown_files(path, "*.json", "*/*.json", "*/*/*.json")
    contents = {file: read_start(file) for file in files}
    shapes, images = _WORDS
    found = [
        file
        for file, content in contents.items()
        if content.lstrip().startswith(b"{") and shapes in content
    ]
    return found if any(images in contents[file] for file in found) else []


def read(path: Path, report: Report, options: Options = STATED) -> Project:
    """Reads all files of a folder, or one of them.

    Images lie where their file says, or beside it. Keypoints are in order of appearance, or in that
    of a skeleton.json in the folder. Shapes that are neither points nor rectangles are left out,
    with a note.
    """
    root = path if path.is_dir() else path.parent
    skipped = Counter()
    images = []
    for file in files_of(path):
        name = below(file, root)
        with foreign(name, "save it again with LabelMe"):
            images.append(_read_image(file, root, report.at(name), skipped))
    if skipped:
        kinds = ", ".join(f"{count} {kind}" for kind, count in skipped.items())
        report.notes.append(f"shapes that are neither points nor rectangles, left out: {kinds}")
    return project_of(
        root,
        images,
        report,
        tool="LabelMe",
        form="labelme",
        folders=[root],
        mend="their group id",
    )


def _read_image(file: Path, root: Path, report: Report, skipped: Counter) -> LabelledImage:
    content = json_of(file)
    stored = os.path.normpath(file.parent.relative_to(root) / forward(content["imagePath"]))
    points = []
    boxes = {}
    rectangles = Counter()
    for one in content["shapes"]:
        kind = one.get("shape_type", "polygon")
        owner = one.get("group_id")
        places = np.array(one["points"], np.float64)
        if kind == "point":
            points.append((owner, str(one["label"]), places.reshape(2)))
        elif kind == "rectangle":
            boxes[owner] = np.concatenate([places.min(0), np.ptp(places, axis=0)])
            rectangles[owner] += 1
        else:
            skipped[kind] += 1
    owners = {owner for owner, *_ in points}
    # whose are points without a group
    unclear = None in owners and None not in boxes and len(boxes) > 1
    if unclear or any(rectangles[owner] > 1 for owner in owners):
        report.fault(
            "several rectangles for the same points; give each animal's points and rectangle a group id"
        )
    size = (int(content.get("imageWidth") or 0), int(content.get("imageHeight") or 0))
    return LabelledImage(report, Path(stored).as_posix(), size, points, boxes)
