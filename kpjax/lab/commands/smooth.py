"""The command `smooth`: predicted points of a video without jumps and short gaps."""

import warnings
from pathlib import Path

import numpy as np

from kpjax import InputError
from kpjax.files import together
from kpjax.formats.prediction_reading import read_predictions
from kpjax.formats.predictions import (
    NO_BOX,
    OK,
    UNREADABLE,
    check_formats,
    prediction_files,
    write_predictions,
)
from kpjax.formats.project import on_frame
from kpjax.lab.commands import Smooth


def smooth(asked: Smooth) -> list[Path]:
    """Smooths the points of a video and returns the files that were written, the csv first.

    Raises InputError for a file that cannot be read, points that are never sure, and output that
    is there already.
    """
    if asked.gap < 0:
        raise InputError("gap", f"{asked.gap}; must be 0 or more frames")
    if asked.median % 2 == 0 or asked.median < 1:
        raise InputError("median", f"{asked.median}; must be an odd number of frames, 1 for none")
    formats = check_formats(asked.formats.split(","))
    table = read_predictions(asked.points)
    for note in table.notes:
        print(note)
    out = asked.out or asked.points.parent
    stem = asked.points.stem.removesuffix(".coco") + "_smoothed"
    paths = prediction_files(formats, table.title, out, stem)
    if there := [path for path in paths if path.exists() and not asked.overwrite]:
        raise InputError("out", f"{there[0]} exists already; give --overwrite or another folder")

    found = np.isfinite(table.keypoints).all(-1)
    if not found.any():
        raise InputError("points", "no frame has a point; predict again")
    if asked.cutoff is not None:
        sure, below = found & (table.scores >= asked.cutoff), f" or below {asked.cutoff:g}"
    else:
        sure, below = found & ~table.unsure, " or unsure" * bool(table.unsure.any())
    if not sure.any():
        if asked.cutoff is None:
            raise InputError("points", "all are unsure; give a --cutoff, or predict again with one")
        highest = f"no point has such a score, at most {table.scores.max():.3g}"
        raise InputError("cutoff", f"{asked.cutoff:g}: {highest}; lower it")

    medians = median_filtered(np.where(sure[..., None], table.keypoints, np.nan), asked.median)
    keypoints = fill_gaps(medians, asked.gap)
    known = np.isfinite(keypoints).all(-1)
    is_decoded = known.any((1, 2))[:, None]  # others are on the frame
    absent = np.where(is_decoded & (table.status == UNREADABLE), NO_BOX, table.status)
    sizes = table.sizes[:, None, None]
    smoothed = table._replace(
        keypoints=keypoints,
        scores=np.where(known, table.scores, 0.0),
        status=np.where(known.any(-1), OK, absent),
        unsure=np.zeros(known.shape, bool),
        radii=np.full(known.shape, np.nan),  # those of the file are of the points before
        outside=known & np.where((sizes > 0).all(-1), ~on_frame(keypoints, sizes), table.outside),
    )
    with together(out) as folder:
        write_predictions(smoothed, formats, folder, stem)
    print(
        f"{(~sure).sum()} of {sure.size} points were missing{below}: {(~sure & known).sum()} are "
        f"filled, {(~known).sum()} stay empty\n"
        f"{', '.join(map(str, paths))}; the points as predicted stay in {asked.points}"
    )
    return paths


def median_filtered(points: np.ndarray, width: int) -> np.ndarray:
    """Replaces each coordinate by the median of those known in `width` frames about it; gaps stay.

    points: (T, ..., 2), nan where there is none. width: odd; 1 changes nothing. A frame counts if
    the one opposite is known, too: beside gaps and at the ends, a median of one side would be that
    of another moment.
    """
    beyond = np.full((width // 2, *points.shape[1:]), np.nan)
    padded = np.concatenate([beyond, points, beyond])
    windows = np.lib.stride_tricks.sliding_window_view(padded, width, axis=0)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "All-NaN slice")
        medians = np.nanmedian(np.where(np.isfinite(windows[..., ::-1]), windows, np.nan), -1)
    return np.where(np.isfinite(points), medians, np.nan)


def fill_gaps(points: np.ndarray, most: int) -> np.ndarray:
    """Fills gaps of points (T, ..., 2) of at most `most` frames along straight lines; longer ones
    and those at the ends stay nan.
    """
    columns = points.reshape(len(points), -1).copy()
    for column in columns.T:
        known = np.flatnonzero(np.isfinite(column))
        gaps = np.diff(known) - 1
        for place in np.flatnonzero((gaps > 0) & (gaps <= most)):
            first, last = known[place : place + 2]
            column[first : last + 1] = np.linspace(column[first], column[last], last - first + 1)
    return columns.reshape(points.shape)
