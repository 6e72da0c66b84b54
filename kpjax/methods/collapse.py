"""Stopping a run that discovers nothing.

An update counts for how many steps in a row each sign of it has been there; the counts are part of the state, so that a
resumed run has them too. Keypoints of a flat softmax all lie in the middle at first: signs at the start of a run are no
collapse, those that stay are.
"""
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from kpjax.errors import RunError
from kpjax.methods.diagnostics import BASELINES

NO_BETTER = 0.98  # of a baseline's error: what counts as no better than it
NO_LIVE_POINTS = "live_points"
PAINTS_LIKE = {
    "constant_colour": "one constant colour",
    "mean_image": "the mean image of the batch",
    "copied_reference": "the copied reference frame",
}


def first_counts(pictures: Sequence[str]) -> dict[str, jax.Array]:
    """Zero for each sign: `live_points`, and `<picture>/<baseline>` for every painted picture and baseline; int32."""
    signs = (NO_LIVE_POINTS, *(f"{picture}/{baseline}" for picture in pictures for baseline in BASELINES))
    return dict.fromkeys(signs, jnp.int32(0))


def counted(
    counts: Mapping[str, jax.Array],
    errors: Mapping[str, jax.Array],
    baselines: Mapping[str, jax.Array],
    live_points: jax.Array,
) -> dict[str, jax.Array]:
    """The counts after one more batch: one more where the sign is there, zero where it is not.

    errors: of each painted picture; baselines: of each name of BASELINES, in the same unit. live_points: how many.
    """
    signs = {NO_LIVE_POINTS: live_points == 0}
    signs |= {f"{picture}/{baseline}": error > NO_BETTER * baselines[baseline]
              for picture, error in errors.items() for baseline in BASELINES}
    return {sign: jnp.where(signs[sign], count + 1, 0) for sign, count in counts.items()}


def stop_if_collapsed(
    steps: int, *, baselines: Sequence[str] = BASELINES
) -> Callable[[Any, int], Any]:
    """For `fit`'s `between=(every, stop_if_collapsed(steps))`: looks at a state, and gives it back or raises RunError.

    steps: for how many steps in a row a sign has to have been there. baselines: those that a painted picture has to be
    better than, from the first to the last of them. Leave "copied_reference" out for videos in which little moves
    before a detailed background: no decoder repeats the background as well as a copy does.
    Raises ValueError for a baseline that does not exist.
    """
    if unknown := sorted(set(baselines) - set(BASELINES)):
        raise ValueError(f"stop_if_collapsed: no baseline {unknown[0]!r}; there are {', '.join(BASELINES)}")

    def check(state: Any, step: int) -> Any:
        for sign, count in sorted(jax.tree.map(np.asarray, dict(state.stuck)).items()):
            picture, _, baseline = sign.partition("/")
            if count < steps or (sign != NO_LIVE_POINTS and baseline not in baselines):
                continue
            what = ("no keypoint was alive: all were on the border or stood still" if sign == NO_LIVE_POINTS else
                    f"{picture!r} was painted no better than by {PAINTS_LIKE[baseline]}")
            raise RunError(f"nothing is being discovered: in the last {count} steps up to {step} {what}; look at the "
                           "logged error/, baseline/, spread/ and live_points, then change the blob widths, the weight "
                           "of the spring, the normalisation or the learning rate")
        return state

    return check
