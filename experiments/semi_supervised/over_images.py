"""The PCK of one finished run less that of another on the same test images, with an interval over these images.

Command   python -m experiments.semi_supervised.over_images RUN OTHER --room experiments/semi_supervised

For runs that have no seeds to differ by, as published networks. RUN is .../<variant>/seed-<n>.
"""
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import numpy as np
from tyro.conf import Positional

from experiments.engine.parsing import exit_code_of, parse
from experiments.engine.results import Result, merged, read_results, write_results
from experiments.engine.system import read_predictions
from experiments.engine.tables import over_seeds
from kpjax import InputError
from kpjax.evaluation.probes.regression_errors import Interval
from kpjax.files import read_json
from kpjax.training.evaluation import Gathered


@dataclass(frozen=True)
class OverImages:
    """Subtracts the PCK of OTHER from that of RUN, with an interval over the test images."""

    run: Annotated[Positional[Path], None]
    other: Annotated[Positional[Path], None]
    room: Path | None = None  # folder whose results.csv gets the difference; none by default


def difference_over_images(found: Gathered, other: Gathered, threshold: float) -> Interval:
    """Returns the difference in the share of all labelled keypoints that are nearer than threshold * scale.

    An image counts by its labelled keypoints, so the difference is a ratio of two means over images. Its 95 % interval
    is Student's t of the ratio's linear part (Cochran, Sampling Techniques, 1977, chapter 6).
    Raises InputError where the runs were tested on other images, or on one.
    """
    if not np.array_equal(found.true_keypoints, other.true_keypoints):
        raise InputError("other", "was tested on other images than the first run; name two runs of one preset and size")
    counted = np.asarray(found.visible) > 0
    gained = sum(sign * ((np.linalg.norm(one.keypoints - one.true_keypoints, axis=-1) < threshold * one.scale[:, None])
                         & counted).sum(1) for sign, one in ((1, found), (-1, other)))
    count = counted.sum(1)
    ratio = gained.sum() / count.sum()
    interval = over_seeds(ratio + (gained - ratio * count) / count.mean())
    if not interval:
        raise InputError("run", "was tested on one image; an interval over images needs two")
    return interval


def main(arguments: Sequence[str]) -> None:
    """Prints the difference. Raises InputError for runs without predictions, or of other test images."""
    asked = parse(OverImages, arguments, prog="python -m experiments.semi_supervised.over_images", description=__doc__)
    one, other = (read_json(run / "results.json") for run in (asked.run, asked.other))
    tested, beside = (read_predictions(run)["test"] for run in (asked.run, asked.other))
    found = difference_over_images(tested, beside, one["config"]["pck_threshold"])
    title, images = f"{one['variant']} - {other['variant']}", len(tested.keypoints)
    print(f"{title}: PCK {100 * found.value:+.1f} [{100 * found.low:+.1f}, {100 * found.high:+.1f}] points, "
          f"over {images} images")
    if asked.room:
        result = Result(one["preset"], one["settings"], title, f"of {images} images", "test/pck", found.value,
                        low=found.low, high=found.high, steps=one["steps"], seconds=one["wall_seconds"], device="1 cpu",
                        date=datetime.now(UTC).date().isoformat(), commit=one["commit"])
        write_results(asked.room, merged(read_results(asked.room), [result]))


if __name__ == "__main__":
    raise SystemExit(exit_code_of(lambda: main(sys.argv[1:])))
