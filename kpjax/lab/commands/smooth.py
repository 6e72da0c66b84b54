"""The command `smooth`: predicted points of a video without gaps and jitter, and a plot of them
before and after.
"""

from pathlib import Path

import numpy as np

from kpjax import InputError
from kpjax.drawing.trajectories import trajectory_plot
from kpjax.errors import summarise
from kpjax.files import together, write_text
from kpjax.formats import predictions
from kpjax.formats.prediction_reading import read_predictions
from kpjax.formats.predictions import NO_BOX, OK, UNREADABLE, PredictionTable
from kpjax.formats.project import on_frame
from kpjax.lab.animals import smoothing
from kpjax.lab.commands import Smooth


def smooth(asked: Smooth) -> list[Path]:
    """Smooths the points of a video and returns the files that were written, the csv first.

    Raises InputError for files that cannot be read or do not belong together, a single one where
    several are asked for, points that are never sure, and output that is there already.
    """
    if asked.gap < 0:
        raise InputError("gap", f"{asked.gap}; must be 0 or more frames")
    if asked.median % 2 == 0 or asked.median < 1:
        raise InputError("median", f"{asked.median}; must be an odd number of frames, 1 for none")
    if not asked.points:
        raise InputError("points", "name a file of predicted points")
    formats = predictions.check_formats(asked.formats.split(","))
    members = [read_predictions(path) for path in asked.points]
    first = members[0]
    for one, path in zip(members[1:], asked.points[1:], strict=True):
        for what, mine, other in (
            ("keypoints", one.skeleton.names, first.skeleton.names),
            ("animals", one.instances, first.instances),
            ("frames", one.numbers.tolist(), first.numbers.tolist()),
        ):
            if mine != other:
                raise InputError(
                    "points",
                    f"{path} has other {what} than {asked.points[0]}; give files of one video",
                )
    out, stem = (
        asked.out or asked.points[0].parent,
        asked.points[0].stem.removesuffix(".coco") + "_smoothed",
    )
    paths = [*predictions.prediction_files(formats, first.title, out, stem), out / f"{stem}.svg"]
    if there := [path for path in paths if path.exists() and not asked.overwrite]:
        raise InputError("out", f"{there[0]} exists already; give --overwrite or another folder")
    several = f" from {len(members)} networks" if len(members) > 1 else ""
    print(
        f"{first.names[0]}: {len(first.names)} frames, {len(first.instances)} "
        f"{'animals' if len(first.instances) > 1 else 'animal'}, {len(first.skeleton.names)} keypoints{several}"
    )
    # (M, T, I * K, 2)
    raw = np.stack([one.keypoints.reshape(len(one.names), -1, 2) for one in members])
    scores = np.stack([one.scores.reshape(len(one.names), -1) for one in members])
    sure = np.isfinite(raw).all(-1)
    if asked.cutoff is not None:
        sure &= scores >= asked.cutoff
    for line in _never_sure(sure, scores, first, asked):
        print(line)
    after, deviation = smoothed(np.where(sure[..., None], raw, np.nan), asked)
    shape, sizes = first.scores.shape, first.sizes[:, None, None]
    keypoints, known = after.reshape(*shape, 2), np.isfinite(after).all(-1).reshape(shape)
    table = first._replace(
        keypoints=keypoints,
        scores=np.where(known, scores.mean(0).reshape(shape), 0.0),
        status=np.where(
            known.any(-1) | (first.status == OK),
            OK,
            np.where(known.any((1, 2))[:, None], NO_BOX, UNREADABLE),
        ),
        radii=np.full(shape, np.nan),  # these were of the points before
        outside=known & np.where((sizes > 0).all(-1), ~on_frame(keypoints, sizes), first.outside),
    )
    before = smoothing.ensemble_observations(raw)[0] if len(raw) > 1 else raw[0]
    svg = trajectory_plot(
        first.numbers,
        before,
        scores.mean(0),
        names_of(first),
        after=after,
        deviation=deviation,
        cutoff=asked.cutoff,
        title=f"{first.names[0]}: points over time",
    )
    with together(out) as folder:
        predictions.write_predictions(table, formats, folder, stem)
        write_text(folder / f"{stem}.svg", svg)
    print(
        *_summary(sure.any(0), before, after, asked),
        f"{', '.join(map(str, paths))}; the points as predicted stay "
        f"in {', '.join(map(str, asked.points))}",
        sep="\n",
    )
    return paths


def smoothed(points: np.ndarray, asked: Smooth) -> tuple[np.ndarray, np.ndarray | None]:
    """Returns points (T, P, 2) of one video, and their standard deviations if the Kalman smoother
    runs.

    points: (M, T, P, 2) of M networks; nan where one is not sure. Gaps longer than `asked.gap` stay
    nan.
    """
    points = np.stack(
        [
            smoothing.filled(smoothing.median_filtered(one, asked.median), asked.gap)
            for one in points
        ]
    )
    together = smoothing.ensemble_observations(points)[0] if len(points) > 1 else points[0]
    known = np.isfinite(together).all(-1)
    if not asked.kalman:
        return np.where(known[..., None], together, np.nan), None
    found = (
        smoothing.ensemble_smoother(points)
        if len(points) > 1
        else smoothing.single_smoother(points[0])
    )
    # The smoother bridges gaps of any length; those that are too long stay empty.
    kept = (smoothing.gap_lengths(known) <= asked.gap)[..., None]
    return np.where(kept, found.points, np.nan), np.where(kept, np.sqrt(found.variances), np.nan)


def names_of(table: PredictionTable) -> list[str]:
    """Returns the names of all keypoints of all animals, in the order of the table."""
    several = len(table.instances) > 1
    return [
        f"{animal} {name}" if several else name
        for animal in table.instances
        for name in table.skeleton.names
    ]


def _never_sure(
    sure: np.ndarray, scores: np.ndarray, table: PredictionTable, asked: Smooth
) -> list[str]:
    """Returns a line about points that are sure on no frame. Raises InputError if all are."""
    never = ~sure.any((0, 1))
    if never.all():
        if asked.cutoff is None:
            raise InputError("points", "no frame has a point; predict again")
        raise InputError(
            "cutoff",
            f"{asked.cutoff:g}: no point has such a score, at most {scores.max():.3g}; lower it",
        )
    names = [name for name, yes in zip(names_of(table), never, strict=True) if yes]
    why = "no point" if asked.cutoff is None else f"no score of {asked.cutoff:g} or more"
    return [f"never sure, left empty: {summarise(names)} ({why} on any frame)"] if names else []


def _summary(sure: np.ndarray, before: np.ndarray, after: np.ndarray, asked: Smooth) -> list[str]:
    known = np.isfinite(after).all(-1)
    below = "" if asked.cutoff is None else f" or below {asked.cutoff:g}"
    moved = np.linalg.norm(after - before, axis=-1)[sure & known & np.isfinite(before).all(-1)]
    steps = [f"median of {asked.median} frames"] * (asked.median > 1) + [
        "Kalman smoother"
    ] * asked.kalman
    lines = [
        f"{(~sure).sum()} of {sure.size} points were missing{below}: {(~sure & known).sum()} are filled, "
        f"{(~known).sum()} stay empty"
    ]
    if (~known).any():
        lines.append(
            f"empty: in gaps of more than {asked.gap} frames, before the first sure point and after the last"
        )
    if steps and moved.size:
        lines.append(
            f"{', '.join(steps)}: sure points moved by {_short(np.sqrt((moved**2).mean()))} px (root mean "
            f"square), at most {_short(moved.max())} px"
        )
    return lines


def _short(length: float) -> str:
    """Returns two digits of a length, without an exponent: "0.0039", "390"."""
    return np.format_float_positional(length, 2, fractional=False, trim="-")
