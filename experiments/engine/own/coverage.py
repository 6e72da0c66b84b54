"""How often the truth lies within the radii of a run, on a labelled project that it does not know.

Command   python -m experiments.engine.own.coverage NAME RUN PROJECT

The labels of PROJECT are also cut in halves, many times: one half makes the table, the other is measured. Halves of the
images have all recordings in both, halves of the recordings have none in both. Beside them stand two regions that take
the heatmap for a distribution: the Gaussian that was taught, as it is, and widened by one factor (a temperature) that
makes the calibrating half most likely. Numbers go to `results.csv` of this room under `coverage` and NAME.
"""
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
from tyro.conf import Positional

from experiments.commands import Evaluate
from experiments.commands.evaluate import in_keypoints_of, measure
from experiments.engine.configs import Checked, Count, CountOrZero, settings_text, stored_fields
from experiments.engine.parsing import exit_code_of, parse
from experiments.engine.predictors import open_predictor
from experiments.engine.results import Result, merged, read_results, write_results
from kpjax import InputError
from kpjax.annotations.reading import read_project
from kpjax.evaluation.conformal import LEVELS, RadiusTable, radii, radius_table
from kpjax.files import read_json

ROOM = Path(__file__).parent
PRESET = "coverage"


class Points(NamedTuple):
    """Errors of predicted keypoints on N images that a run has not seen."""

    errors: np.ndarray  # (N, K) px of the network's images, 0 where nothing is labelled
    scores: np.ndarray  # (N, K)
    visible: np.ndarray  # (N, K)
    recordings: np.ndarray  # (N,) str

    def of(self, chosen: np.ndarray) -> "Points":
        """Returns the images that a mask (N,) chooses."""
        return Points(*(values[chosen] for values in self))


Radii = Callable[[Points], np.ndarray]  # points -> (L, N, K) px, at the levels


@dataclass(frozen=True)
class Asked(Checked):
    """Measures the radii of a run on a labelled project that it does not know."""

    name: Annotated[Positional[str], None]  # under which results.csv has the numbers
    run: Annotated[Positional[Path], None]
    project: Annotated[Positional[Path], None]
    draws: Count = 200  # of halves
    seed: CountOrZero = 0  # draws the halves
    room: Path = ROOM  # folder of results.csv


def by_table(calibrating: Points) -> Radii:
    """Returns the radii of kpjax: split conformal prediction by score."""
    return of_table(radius_table(calibrating.errors, calibrating.scores, calibrating.visible))


def of_table(table: RadiusTable) -> Radii:
    """Returns the radii of a table."""
    return lambda points: np.stack([radii(table, points.scores, level=level) for level in LEVELS])


def by_width(sigma: float) -> Radii:
    """Returns the radii of a Gaussian: sigma sqrt(-2 ln(1 - level)) holds that share of it."""
    at_levels = sigma * np.sqrt(-2 * np.log1p(-np.array(LEVELS)))
    return lambda points: np.broadcast_to(at_levels[:, None, None], (len(LEVELS), *points.errors.shape))


def by_temperature(calibrating: Points) -> Radii:
    """Returns the radii of the Gaussian under which the errors of labelled points are most likely."""
    known = calibrating.visible > 0
    return by_width(float(np.sqrt((calibrating.errors[known] ** 2).mean() / 2)))


def within(points: Points, found: Radii) -> dict[str, float]:
    """Returns the share of labelled points within their radii, and the median radius, by level."""
    known, lengths = points.visible > 0, found(points)
    return {f"within/{level:g}": float((points.errors <= at)[known].mean())
            for level, at in zip(LEVELS, lengths, strict=True)} | {
                f"radius/{level:g}": float(np.median(at[known])) for level, at in zip(LEVELS, lengths, strict=True)}


def halves(units: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Returns a mask (N,) of the images whose unit is in a random half of the units."""
    names = np.unique(units)
    return np.isin(units, generator.permutation(names)[:len(names) // 2])


def drawn(points: Points, by: Callable[[Points], Radii], units: np.ndarray, draws: int, seed: int
          ) -> Mapping[str, np.ndarray]:
    """Returns what `within` says of the other half, in each draw. One seed draws the same halves for all ways."""
    generator, found = np.random.default_rng(seed), []
    for _ in range(draws):
        calibrating = halves(units, generator)
        found.append(within(points.of(~calibrating), by(points.of(calibrating))))
    return {name: np.array([one[name] for one in found]) for name in found[0]}


def numbers(points: Points, own: Radii | None, sigma: float, asked: Asked) -> Iterator[tuple[str, str, float, float]]:
    """Yields way, metric, mean and deviation over the draws; the run's own table and the taught width have no draws."""
    images = np.arange(len(points.errors)).astype(str)
    for way, found in (("own_table", own), ("heatmap", by_width(sigma))):
        if found is not None:
            yield from ((way, name, value, 0.0) for name, value in within(points, found).items())
    for way, by, units in (("images", by_table, images), ("temperature", by_temperature, images),
                           ("recordings", by_table, points.recordings),
                           ("temperature_recordings", by_temperature, points.recordings)):
        if len(np.unique(units)) > 1:
            for name, values in drawn(points, by, units, asked.draws, asked.seed).items():
                spread = values.std(ddof=1) if np.isfinite(values).all() else 0  # too few labels have no radius
                yield way, name, float(values.mean()), float(spread)


def cover(asked: Asked) -> list[Result]:
    """Measures, writes the numbers and returns them. Raises InputError for an ensemble and for a run without radii."""
    if not (asked.run / "config.json").is_file():
        raise InputError("run", f"{asked.run} has no config.json; give the folder of one run, such as .../seed-0")
    predictor, fields = open_predictor(asked.run), stored_fields(read_json(asked.run / "config.json")["config"])
    project = in_keypoints_of(predictor.skeleton, read_project(asked.project), print)
    as_evaluated = Evaluate(run=str(asked.run), project=asked.project, out=Path())
    animals, growth = measure(project, predictor, as_evaluated, print)
    points = Points(np.nan_to_num(animals.distances / growth[:, None]), animals.scores, animals.visible,
                    np.array(animals.recordings))
    own = predictor.radii and of_table(predictor.radii)
    sigma = fields["sigma"] * fields["image_size"] / fields["heatmap_size"]
    settings, now = settings_text({"project": asked.name}), datetime.now(UTC).date().isoformat()
    commit = read_json(asked.run / "results.json").get("commit") or "unknown"
    return [Result(PRESET, settings, way, "0", metric, value, deviation or None, date=now, commit=commit)
            for way, metric, value, deviation in numbers(points, own, sigma, asked)]


def main(arguments: Sequence[str]) -> None:
    """Runs `python -m experiments.engine.own.coverage`."""
    asked = parse(Asked, arguments, prog="python -m experiments.engine.own.coverage")
    found = cover(asked)
    write_results(asked.room, merged(read_results(asked.room), found))
    for one in found:
        print(f"{one.variant:24} {one.metric:12} {one.value:8.3f}" + (f" ± {one.deviation:.3f}" if one.deviation
                                                                      else ""))


if __name__ == "__main__":
    raise SystemExit(exit_code_of(lambda: main(sys.argv[1:])))
