"""One row of the table of discovered landmarks: the errors, and beside them what unmasks a collapse."""
from collections.abc import Mapping

import jax.numpy as jnp
import numpy as np

from kpjax.point_diagnostics import live_points, median_spread, point_spread
from kpjax.probes.landmark_consistency import Consistency
from kpjax.probes.landmark_regression import LandmarkErrors, Landmarks, complete

LEAST_LIVE = 0.8  # of the landmarks
LEAST_SPREAD = 0.5  # of the spread of the annotated landmarks


def measures(
    errors: Mapping[str, LandmarkErrors], consistency: Consistency, test: Landmarks, *, side: int
) -> dict[str, float]:
    """The row of one run.

    errors: as `landmark_regression.both_errors` gives them. side: of the test images in pixels.
    `forward/<images>` and `backward/<images>` are in percent of the length that errors were measured in, each with the
    standard deviation over subsets under `<name>/deviation`; `consistency` is in pixels; `live_points` is the number of
    discovered landmarks that differ from image to image; `point_spread` and `annotated_spread` are the mean distances
    between two landmarks of an image in pixels, discovered and annotated, `median_spread` and `annotated_median_spread`
    the medians.
    """
    row = {name: error.mean for name, error in errors.items()}
    row |= {f"{name}/deviation": error.deviation for name, error in errors.items() if len(error.per_subset) > 1}
    discovered = jnp.asarray(np.asarray(test.discovered, np.float32))
    shown = np.asarray(test.visible)[rows := complete(test, "test")].any(0)
    annotated = jnp.asarray(np.asarray(test.annotated, np.float32)[rows][:, shown])
    return row | {
        "consistency": consistency.mean,
        "live_points": float(live_points(discovered, (side, side))),
        "point_spread": float(point_spread(discovered)),
        "annotated_spread": float(point_spread(annotated)),
        "median_spread": float(median_spread(discovered)),
        "annotated_median_spread": float(median_spread(annotated)),
    }


def void(row: Mapping[str, float], discovered: int) -> str:
    """Why the errors of a row mean nothing, "" if they do: most landmarks rest, or they lie in a heap.

    discovered: how many landmarks there are. Below 8 in 10 that are alive, or a spread below half of the annotation's,
    low errors tell of a collapse.
    """
    reasons = []
    if row["live_points"] < LEAST_LIVE * discovered:
        reasons.append(f"{row['live_points']:.0f} of {discovered} landmarks are alive")
    if row["point_spread"] < LEAST_SPREAD * row["annotated_spread"]:
        reasons.append(f"landmarks lie {row['point_spread']:.1f} px apart, annotated ones "
                       f"{row['annotated_spread']:.1f}")
    return "; ".join(reasons)
