"""What tools that label image by image share: points with owners on each image, boxes and names of
the owners, and the project that these make.
"""

from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from kpjax.formats.names import image_frames, in_natural_order, read_skeleton
from kpjax.formats.project import NO_BOX, Project, Report, animals_of


class LabelledImage(NamedTuple):
    """What a tool says about one image, in pixels as the tool counts them."""

    report: Report  # about it
    stored: str  # its path or address
    size: tuple[int, int]  # width and height; (0, 0) if unknown
    points: Sequence[tuple[Hashable, str, np.ndarray]]  # owner, name and (x, y) of each
    boxes: Mapping[Hashable, np.ndarray]  # x, y, width, height of an owner's
    tracks: Mapping[Hashable, str] = {}  # names of owners
    is_listed: bool = True  # False where nobody has looked at it yet


def project_of(
    root: Path,
    images: Sequence[LabelledImage],
    report: Report,
    *,
    tool: str,
    form: str,
    folders: Sequence[Path],
    mend: str,
    doubts: Sequence[str] = (),
) -> Project:
    """Returns the project of images that lie in one of `folders`.

    Keypoints are in order of appearance, or in that of a skeleton.json in the root. mend: how the
    tool tells animals apart, for a keypoint that occurs twice.
    """
    names = in_natural_order(name for one in images for _, name, _ in one.points)
    skeleton = read_skeleton(root, names, report)
    placed = image_frames([one.stored for one in images], root, folders)
    frames = []
    instances = []
    for number, (one, frame) in enumerate(zip(images, placed, strict=True)):
        frames.append(frame._replace(size=one.size))
        animals = animals_of(number, one.points, skeleton.names, one.report, mend)
        for owner, animal in animals.items():
            box = one.boxes.get(owner, NO_BOX)
            track = one.tracks.get(owner, "")
            instances.append(animal._replace(box=box, track=track))
    unlisted = frozenset(number for number, one in enumerate(images) if not one.is_listed)
    return Project(
        root,
        form,
        skeleton,
        frames,
        instances,
        doubts=doubts,
        tool=tool,
        unlisted=unlisted,
    )
