"""300W-LP: faces of four sets, rotated synthetically to large poses, with 68 points.

The points are those of `pts_3d`, projections of 3D points that also mark hidden cheeks, as in
LS3D-W. Mirrored folders (`*_Flip`) are left out. Images and coordinates are stored unchanged.
`scale` is the distance between the outer corners of the eyes in pixels; it is very small for faces
in profile.
"""

from functools import partial
from pathlib import Path

import numpy as np

from data.annotations import Annotation
from data.checking import downloaded_dataset, numbers, read_matlab
from data.faces import between_outer_corners
from data.parts import with_tune
from data.prepared import Card
from kpjax.formats.faces import FACE

SETS = ("AFW", "HELEN", "IBUG", "LFPW")


def read(folder: Path, faults: list[str]) -> dict[str, list[Annotation]]:
    """Reads the training faces of the four sets.

    `folder` holds their folders, or has a folder `300W_LP` that does.
    """
    root = folder / "300W_LP" if (folder / "300W_LP").is_dir() else folder
    folders = [root / name for name in SETS if (root / name).is_dir()]
    if not folders:
        faults.append(
            f"{', '.join(SETS)} are missing; unpack the images beside the folder landmarks"
        )
    faces = []
    for part in folders:
        described = {
            file.name.removesuffix("_pts.mat")
            for file in (root / "landmarks" / part.name).glob("*_pts.mat")
        }
        images = {file.stem for file in part.glob("*.jpg")}
        faults += [
            f"{part.name}/{name}.jpg has no landmarks/{part.name}/{name}_pts.mat; download the landmarks again"
            for name in sorted(images - described)
        ]
        for name in sorted(described):
            points = _points(root / "landmarks" / part.name / f"{name}_pts.mat", faults)
            if points is not None:
                faces.append(
                    Annotation(
                        f"{part.name}/{name}", part / f"{name}.jpg", points, np.ones(68, bool)
                    )
                )
    return {"train": faces}


def _points(path: Path, faults: list[str]) -> np.ndarray | None:
    content = read_matlab(path, ("pts_3d",), faults)
    if content is None:
        return None
    columns = 3 if content["pts_3d"].shape[-1:] == (3,) else 2
    points = numbers(
        content["pts_3d"], (68, columns), f"landmarks/{path.parent.name}/{path.name} pts_3d", faults
    )
    return None if points is None else points[:, :2]


DATASET = downloaded_dataset(
    "w300_lp",
    read,
    FACE,
    Card(
        __doc__,
        where=(
            "300W-LP.zip of the 3DDFA project "
            "(cbsr.ia.ac.cn/users/xiangyuzhu/projects/3DDFA/main.htm)"
        ),
        licence="research use",
        homepage="http://www.cbsr.ia.ac.cn/users/xiangyuzhu/projects/3DDFA/main.htm",
        citation="Zhu et al., Face Alignment Across Large Poses, CVPR 2016.",
    ),
    # Of one photograph there are faces turned in several ways, numbered at the end.
    parts=partial(with_tune, unit=lambda face: face.name.rpartition("_")[0]),
    reference=between_outer_corners,
)
