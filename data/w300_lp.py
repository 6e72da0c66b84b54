"""300W-LP: faces of four sets, turned to large poses by synthesis, with 68 points.

Zhu et al., Face Alignment Across Large Poses, CVPR 2016. The points are those of `pts_3d`, projections of 3D points
that stay on hidden cheeks too, as LS3D-W is annotated; mirrored folders (`*_Flip`) are left out. Images are stored as
they are, coordinates as well. `scale` is the distance of the outer corners of the eyes in pixels; it is very small for
faces in profile.
"""
from functools import partial
from pathlib import Path

import numpy as np

from data.annotations import Annotation, stored
from data.checking import all_faults, numbers, read_matlab, read_whole
from data.faces import distance_of
from data.prepared import Dataset, KeypointBuilder
from data.youtube_faces import FACE, OUTER_CORNERS

SETS = ("AFW", "HELEN", "IBUG", "LFPW")
MIRRORED = "_Flip"


def read(folder: Path, faults: list[str]) -> dict[str, list[Annotation]]:
    """All faces of the four folders that are there, to train. `folder` may have a folder `300W_LP` that holds them."""
    root = folder / "300W_LP" if (folder / "300W_LP").is_dir() else folder
    places = [root / name for name in SETS if (root / name).is_dir()]
    if not places:
        faults.append(f"none of {', '.join(SETS)} is there; unpack the images beside the folder landmarks")
    faces = []
    for place in places:
        described = {file.name.removesuffix("_pts.mat") for file in (root / "landmarks" / place.name).glob("*_pts.mat")}
        images = {file.stem for file in place.glob("*.jpg")}
        faults += [f"{place.name}/{name}.jpg has no landmarks/{place.name}/{name}_pts.mat; fetch the landmarks again"
                   for name in sorted(images - described)]
        for name in sorted(described):
            points = _points(root / "landmarks" / place.name / f"{name}_pts.mat", faults)
            if points is not None:
                faces.append(Annotation(f"{place.name}/{name}", place / f"{name}.jpg", points, np.ones(68, bool)))
    return {"train": faces}


def _points(path: Path, faults: list[str]) -> np.ndarray | None:
    content = read_matlab(path, ("pts_3d",), faults)
    if content is None:
        return None
    columns = 3 if content["pts_3d"].shape[-1:] == (3,) else 2
    points = numbers(content["pts_3d"], (68, columns), f"landmarks/{path.parent.name}/{path.name} pts_3d", faults)
    return None if points is None else points[:, :2]


class W300Lp(KeypointBuilder):
    """One record for each face: 68 points, all in the split train."""

    name = "w300_lp"
    keypoints = len(FACE.names)

    def splits(self, folder):
        return stored(read_whole(read, folder, self.name), distance_of(*OUTER_CORNERS))


DATASET = Dataset(
    name="w300_lp",
    builder=W300Lp,
    skeleton=lambda folder: FACE,
    where="300W-LP.zip of the 3DDFA project (cbsr.ia.ac.cn/users/xiangyuzhu/projects/3DDFA/main.htm); research use",
    check=partial(all_faults, read),
)
