"""Predicted points as DeepLabCut keeps them, which Lightning Pose and many other tools read too.

Rows are frames by number, or pictures by name; columns are x, y and likelihood of each body part, and of each animal
where there are several. A frame without points has the likelihood 0 and never an empty one: pandas takes a first row
that is all empty for a part of the header, drops it, and all frames after it are one off.
"""
import csv
import io
import math
from pathlib import Path

import numpy as np

from kpjax.projects.deeplabcut_tables import Table, write_h5
from kpjax.projects.predictions import PredictionTable

COORDINATES = ("x", "y", "likelihood")


def scorer(title: str) -> str:
    """What DeepLabCut calls whoever found the points; it looks for DLC at its beginning."""
    return f"DLC_kpjax_{title}"


def deeplabcut_text(table: PredictionTable) -> str:
    """The csv of DeepLabCut: x and y to a thousandth of a pixel, empty where they are not known."""
    whole = deeplabcut_table(table)
    columns = [(individual, part, name) for individual, part in whole.points for name in COORDINATES]
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["scorer", *(whole.scorer for _ in columns)])
    if len(table.instances) > 1:
        writer.writerow(["individuals", *(individual for individual, _, _ in columns)])
    writer.writerow(["bodyparts", *(part for _, part, _ in columns)])
    writer.writerow(["coords", *(name for _, _, name in columns)])
    for key, points in zip(whole.keys, whole.values.tolist(), strict=True):
        writer.writerow([key, *(cell for x, y, likelihood in points
                                for cell in (_pixels(x), _pixels(y), f"{likelihood:.6g}"))])
    return file.getvalue()


def write_deeplabcut_h5(table: PredictionTable, path: Path) -> Path:
    """Writes the same table for pandas. Raises ImportError without pandas and tables."""
    return write_h5(deeplabcut_table(table), path)


def deeplabcut_table(table: PredictionTable) -> Table:
    """The rows and columns, a body part of each animal after the other."""
    several = len(table.instances) > 1
    points = tuple((instance if several else "", part) for instance in table.instances for part in table.skeleton.names)
    values = np.concatenate([table.keypoints, table.scores[..., None]], -1).reshape(len(table.names), len(points), 3)
    keys = tuple(int(number) for number in table.numbers) if table.is_video else table.names
    return Table(scorer(table.title), points, COORDINATES, keys, tuple(range(1, len(keys) + 1)), values)


def _pixels(number: float) -> str:
    return "" if math.isnan(number) else f"{number:.3f}"
