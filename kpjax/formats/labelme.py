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
from kpjax.formats.names import below, forward, image_frames, json_of, read_skeleton, shown_files
from kpjax.formats.options import STATED, Options
from kpjax.formats.project import NO_BOX, Project, Report, animals_of

_WORDS = (b'"shapes"', b'"imagePath"')


def files_of(path: Path) -> list[Path]:
    """Returns LabelMe's files at a path, two levels down at most; those that end early, too, if
    another is whole.
    """
    shapes, images = _WORDS
    found = []
    any_is_whole = False
    for file in shown_files(path, "*.json", "*/*.json", "*/*/*.json"):
        content = read_start(file)
        if content.lstrip().startswith(b"{") and shapes in content:
            found.append(file)
            any_is_whole |= images in content
    return found if any_is_whole else []


def read(path: Path, report: Report, options: Options = STATED) -> Project:
    """Reads all files of a folder, or one of them.

    Images lie where their file says, or beside it. Keypoints are in order of appearance, or in that
    of a skeleton.json in the folder. Shapes that are neither points nor rectangles are left out,
    with a note.
    """
    root = path if path.is_dir() else path.parent
    skipped = Counter()
    stored = []
    sizes = []
    labelled = []
    for file in files_of(path):
        name = below(file, root)
        of_file = report.at(name)
        with foreign(name, "save it again with LabelMe"):
            content = json_of(file)
            image = file.parent.relative_to(root) / forward(content["imagePath"])
            stored.append(Path(os.path.normpath(image)).as_posix())
            width = int(content.get("imageWidth") or 0)
            height = int(content.get("imageHeight") or 0)
            sizes.append((width, height))
            points = []
            boxes = {}
            rectangles = Counter()
            for one in content["shapes"]:
                kind = one.get("shape_type", "polygon")
                owner = str(one.get("group_id"))
                if kind == "point":
                    ((x, y),) = one["points"]
                    points.append((owner, str(one["label"]), np.array([x, y], np.float64)))
                elif kind == "rectangle":
                    corners = np.array(one["points"], np.float64)
                    boxes[owner] = np.concatenate([corners.min(0), np.ptp(corners, axis=0)])
                    rectangles[owner] += 1
                else:
                    skipped[kind] += 1
            alone = "None" in rectangles or len(rectangles) < 2  # whose are points without a group
            owners = {owner for owner, *_ in points}
            unclear = "None" in owners and not alone
            if unclear or any(rectangles[owner] > 1 for owner in owners):
                of_file.fault(
                    "several rectangles for the same points; give each animal's points and rectangle a group id"
                )
            labelled.append((of_file, points, boxes))
    names = dict.fromkeys(name for _, points, _ in labelled for _, name, _ in points)
    skeleton = read_skeleton(root, names, report)
    instances = []
    for number, (of_file, points, boxes) in enumerate(labelled):
        animals = animals_of(number, points, skeleton.names, of_file, "their group id")
        for owner, one in animals.items():
            box = boxes.get(owner, NO_BOX)
            instances.append(one._replace(box=box))
    if skipped:
        kinds = ", ".join(f"{count} {kind}" for kind, count in skipped.items())
        report.notes.append(f"shapes that are neither points nor rectangles, left out: {kinds}")
    frames = []
    for frame, size in zip(image_frames(stored, root, [root]), sizes, strict=True):
        frames.append(frame._replace(size=size))
    return Project(root, "labelme", skeleton, frames, instances, tool="LabelMe")
