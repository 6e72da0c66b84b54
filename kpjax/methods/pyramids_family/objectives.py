"""The objective of `pyramids` and its ablations (Qian et al. 2022, Table 1).

Rendered images, by name: "reconstruction" from the keypoints of all levels; "reconstruction_level1"
... from those of one; "transport_level1" ... from features transported by those of one;
"transport_flat" from features of the finest level transported by all.
"""

import itertools
from collections.abc import Sequence
from typing import Literal

from kpjax.heatmaps import spatial_softmax
from kpjax.losses.objective import Objective, Term, without
from kpjax.losses.pyramids import spring as spring_loss, still_mass
from kpjax.methods.pyramids_family.discovery import FRAME, HEATMAPS, MOVING, POINTS, painting_term

RECONSTRUCTION = "reconstruction"
TRANSPORT_FLAT = "transport_flat"
Reduction = Literal["mean", "sum"]


def transport_level(level: int) -> str:
    """Returns the name of the image rendered from a level's transported features; levels count from
    1, the coarsest.
    """
    return f"transport_level{level}"


def reconstruction_level(level: int) -> str:
    """Returns the name of the image rendered from the reference's appearance and the keypoints of
    one level.
    """
    return f"reconstruction_level{level}"


def pyramids_objective(
    *,
    reconstruction: float = 1.0,
    transport: Sequence[float] = (0.1, 1.0),
    spring: float = 0.01,
    reduction: Reduction = "mean",
    unit: Literal["normalised", "pixels"] = "normalised",
    motion: float = 0.0,
) -> Objective:
    """Builds equation 5: `reconstruction` (1), `transport_level1` ... (3) with weights by level,
    and `spring` (4).

    The defaults are the paper's weights except the spring's, 1.0 there. The paper's formulas are
    sums. With means a spring of 1.0 pulls children onto their parents. With sums its unit decides:
    in pixels it does so, too, since both losses are of similar size; in normalised coordinates
    children keep apart.

    Args:
        reconstruction, transport, spring: weights, those of transport by level.
        reduction: of the squared differences between images, and of the distances between children
            and parents.
        unit: of the distances.
        motion: weight of `motion`, not in the paper: the mean of `still_mass` over levels, for a
            still camera. A feature knows of its wide surroundings, so that a still place can tell
            of what moves elsewhere; this term takes keypoints there. 0 leaves it out.
    """

    def pull(outputs, streams):
        size = streams[FRAME].image.shape[1:3]
        levels = outputs[POINTS]
        return sum(
            spring_loss(parents, children, reduction=reduction, unit=unit, size=size)
            for parents, children in itertools.pairwise(levels)
        )

    painted = {RECONSTRUCTION: reconstruction}
    painted |= {transport_level(level): weight for level, weight in enumerate(transport, start=1)}
    terms = {
        painting: painting_term(painting, weight, reduction) for painting, weight in painted.items()
    }
    terms |= {"spring": Term(spring, pull, reads=(POINTS,))}

    def rest(outputs, streams):
        maps = [spatial_softmax(heatmaps) for heatmaps in outputs[HEATMAPS]]
        return sum(still_mass(one, streams[MOVING]) for one in maps) / len(maps)

    return terms | ({"motion": Term(motion, rest, reads=(HEATMAPS,))} if motion else {})


def no_reconstruction(objective: Objective) -> Objective:
    """Removes the reconstruction from all keypoints, and with it the reference's appearance."""
    return without(objective, RECONSTRUCTION)


def no_transport(objective: Objective) -> Objective:
    """Removes transport at all levels; only the appearance encoder then sees the reference
    frame."""
    return without(objective, *_transports(objective))


def no_spring(objective: Objective) -> Objective:
    """Removes the springs.

    Level 2 still reads the keypoints of level 1; see `KeypointLevels` for the alternative.
    """
    return without(objective, "spring")


def all_reconstruction(objective: Objective, *, reduction: Reduction = "mean") -> Objective:
    """Replaces each level's transport by a reconstruction from its keypoints, with the same
    weights.
    """
    levels = {
        painting.replace("transport", "reconstruction"): objective[painting].weight
        for painting in _transports(objective)
    }
    return no_transport(objective) | {
        painting: painting_term(painting, weight, reduction) for painting, weight in levels.items()
    }


def all_transport(objective: Objective, *, reduction: Reduction = "mean") -> Objective:
    """Replaces the reconstruction from all keypoints by a transport by all of them, with the same
    weight.
    """
    flat = painting_term(TRANSPORT_FLAT, objective[RECONSTRUCTION].weight, reduction)
    return no_reconstruction(objective) | {TRANSPORT_FLAT: flat}


def _transports(objective: Objective) -> list[str]:
    return [name for name in objective if name.startswith("transport_level")]
