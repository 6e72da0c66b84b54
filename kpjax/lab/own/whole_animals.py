"""Whether labels say where whole animals are: a crop about some new keypoints alone would not show
the keypoints that an earlier run knows."""

from collections.abc import Sequence

import numpy as np

from kpjax import InputError
from kpjax.formats.project import Project


def check_boxes(project: Project, known: Sequence[str], box_side: float) -> None:
    """Raises InputError where nothing says where whole animals are: no box of each labelled animal,
    and no labels of all keypoints that the old run knows.

    known: these keypoints. box_side: as of `unbounded`.
    """
    if unbounded(project, known, box_side):
        raise InputError(
            "project",
            "crops must show whole animals, which labels of new keypoints alone do not bound: give a project with a "
            "box for each animal, as COCO has them",
        )


def unbounded(project: Project, known: Sequence[str], box_side: float) -> int:
    """Returns how many labelled animals have no box of their own, where labels lack some of the
    keypoints that a run knows; 0 where they have all.

    box_side: the side that somebody stated for boxes of single keypoints, 0 for none.
    """
    labelled = [one for one in project.instances if one.seen.any()]
    names = {project.skeleton.names[k] for one in labelled for k in np.flatnonzero(one.seen)}
    if names.issuperset(known):
        return 0
    bare = 0
    for one in labelled:
        middle = one.box[:2] + one.box[2:] / 2 - 0.5
        # the square that was made about an only keypoint is no box that somebody stated
        made = len(one.seen) == 1 and not box_side and np.allclose(middle, one.keypoints, atol=1e-3)
        bare += made or not one.boxed
    return bare
