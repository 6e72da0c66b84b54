"""Predicted points as a plain table: a row for each point of each animal of each frame."""
import csv
import io
from collections.abc import Iterator

from kpjax.projects.predictions import PredictionTable, point_status

OF_PICTURES = ("image", "instance", "keypoint", "x", "y", "score", "status")
OF_VIDEO = ("video", "frame", "time", *OF_PICTURES[1:])


def csv_text(*tables: PredictionTable) -> str:
    """One csv of tables that are all of videos, or all of pictures, one after the other.

    Coordinates are written to a thousandth of a pixel, `time` in seconds and empty where it is not known.

    The status is `ok`, `outside` for a point beyond the frame's edge, `unreadable` for a frame that does not decode, or
    `no_box` for an animal that is not on the frame; x and y are nan and the score 0 in the last two.
    """
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(OF_VIDEO if tables[0].is_video else OF_PICTURES)
    for table in tables:
        for row in range(len(table.names)):
            writer.writerows(_rows(table, row))
    return file.getvalue()


def _rows(table: PredictionTable, row: int) -> Iterator[list]:
    """The rows of one frame or picture."""
    key = [table.names[row]]
    if table.is_video:
        key += [int(table.numbers[row]), "" if table.times is None else f"{table.times[row]:.6f}"]
    for number, instance in enumerate(table.instances):
        for keypoint, (x, y), score, status in zip(
                table.skeleton.names, table.keypoints[row, number].tolist(), table.scores[row, number].tolist(),
                point_status(table, row, number), strict=True):
            yield [*key, instance, keypoint, f"{x:.3f}", f"{y:.3f}", f"{score:.6g}", status]
