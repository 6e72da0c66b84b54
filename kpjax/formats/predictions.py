"""Predicted points as one table, readable or not for every frame, and the files that other tools
read.
"""

import importlib.util
import json
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from kpjax import InputError, Skeleton
from kpjax.files import write_text
from kpjax.formats import sleap
from kpjax.formats.project import Frame, on_frame
from kpjax.formats.tables import Table, table_text, write_h5, write_rows

OK, UNSURE, UNREADABLE, NO_BOX, FAILED = "ok", "unsure", "unreadable", "no_box", "failed"
_COCO_CATEGORY = 1
_SCORER = "DLC_kpjax_{}"  # scorer of a title; DeepLabCut expects the first three letters


class PredictionTable(NamedTuple):
    """Points of I animals on N frames of a video, or on N images.

    Coordinates are (x, y) in pixels of the frame as shown, the centre of its top-left pixel at (0,
    0).
    """

    source: Path  # the video, or the first folder or image that was named
    is_video: bool
    names: tuple[str, ...]  # (N,) the images' names, or the video's for each frame
    files: tuple[Path, ...]  # (N,) the image files; none for a video
    numbers: np.ndarray  # (N,) int64, of the frames in their video, from 0
    times: np.ndarray | None  # (N,) float64 s, when each frame is shown; None for images
    sizes: np.ndarray  # (N, 2) int64, width and height; 0 where unreadable
    instances: tuple[str, ...]  # (I,) names of the animals; ("0",) if there is only one
    #: (N, I, 4) float64: x, y, width, height of the edges; nan where the whole frame was used
    boxes: np.ndarray
    keypoints: np.ndarray  # (N, I, K, 2) float64; nan where the status is not ok
    scores: np.ndarray  # (N, I, K) float64; 0 where the status is not ok
    #: (N, I) of ok, unreadable (the frame does not decode), no_box (no animal on the frame) and
    #: failed (the network gave a point or a score that is no number)
    status: np.ndarray
    outside: np.ndarray  # (N, I, K) bool: the point is beyond the frame's edge
    #: (N, I, K) bool: the score is below its keypoint's cutoff, as if nothing were there
    unsure: np.ndarray
    #: (N, I, K) float64 px, within which the truth lies at the level asked for; inf of a point that is
    #: unsure, nan if unknown
    radii: np.ndarray
    skeleton: Skeleton
    title: str  # title of the run, in letters, digits and underscores
    notes: tuple[str, ...] = ()  # lines about what was left out of the file it was read from


def empty_table(
    source: Path,
    names: Sequence[str],
    numbers: np.ndarray,
    skeleton: Skeleton,
    title: str,
    *,
    files: Sequence[Path] = (),
    times: np.ndarray | None = None,
    instances: Sequence[str] = ("0",),
    boxes: np.ndarray | None = None,
) -> PredictionTable:
    """Returns a table whose frames are all `unreadable` until `fill` has their points.

    files: The image files; none for a video. boxes: (N, I, 4), nan where an animal is not on a
    frame; None for one animal that is predicted on whole frames.
    """
    shape = len(names), len(instances), len(skeleton.names)
    return PredictionTable(
        source,
        not files,
        tuple(names),
        tuple(files),
        np.asarray(numbers, np.int64),
        times,
        np.zeros((shape[0], 2), np.int64),
        tuple(instances),
        np.full((*shape[:2], 4), np.nan) if boxes is None else boxes,
        np.full((*shape, 2), np.nan),
        np.zeros(shape),
        np.full(shape[:2], UNREADABLE, "<U10"),
        np.zeros(shape, bool),
        np.zeros(shape, bool),
        np.full(shape, np.nan),
        skeleton,
        title,
    )


def fill(
    table: PredictionTable,
    row: int,
    size: tuple[int, int],
    keypoints: np.ndarray,
    scores: np.ndarray,
    present: np.ndarray,
    radii: np.ndarray | None = None,
) -> None:
    """Writes the prediction on one frame into a table, in place.

    size: Width and height of the frame. keypoints: (I, K, 2) in pixels of the frame. scores: (I,
    K). present: (I,) bool; animals that are not present become `no_box`, or `failed` where a score
    is nan. radii: (I, K) px, nan where none is known; None of all.
    """
    table.sizes[row] = size
    absent = np.where(np.isnan(scores).any(-1), FAILED, NO_BOX)
    table.status[row] = np.where(present, OK, absent)
    table.keypoints[row] = np.where(present[:, None, None], keypoints, np.nan)
    table.scores[row] = np.where(present[:, None], scores, 0.0)
    table.radii[row] = np.nan if radii is None else np.where(present[:, None], radii, np.nan)
    table.outside[row] = present[:, None] & ~on_frame(keypoints, size)


def csv_rows(table: PredictionTable) -> Iterator[Sequence[object]]:
    """Yields the header of a csv, and a row for each point.

    Coordinates are rounded to a thousandth of a pixel; `time` is in seconds, empty if unknown. The
    status is `ok`, `unsure` for a point whose score is below its cutoff, `outside` for one beyond the
    frame's edge, `unreadable` for a frame that does not decode, `no_box` for an animal that is not on
    the frame. In the last two, x and y are nan and the score is 0. It is `failed` where the network
    gave no numbers, and the cells are empty. Where any radius is known, a last column has them, inf for
    points that are unsure, empty for the others.
    """
    columns = ["instance", "keypoint", "x", "y", "score", "status"]
    if not np.isnan(table.radii).all():
        columns.append("radius")
    yield ["video", "frame", "time", *columns] if table.is_video else ["image", *columns]
    for row, name in enumerate(table.names):
        key = [name]
        if table.is_video:
            key += [
                int(table.numbers[row]),
                "" if table.times is None else f"{table.times[row]:.6f}",
            ]
        for number, instance in enumerate(table.instances):
            fields = (
                field[row, number].tolist()
                for field in (
                    table.keypoints,
                    table.scores,
                    table.outside,
                    table.unsure,
                    table.radii,
                )
            )
            for keypoint, (x, y), score, outside, unsure, radius in zip(
                table.skeleton.names, *fields, strict=True
            ):
                status = UNSURE if unsure else "outside" if outside else table.status[row, number]
                cells = [
                    f"{x:.3f}",
                    f"{y:.3f}",
                    f"{score:.6g}",
                    status,
                    "" if math.isnan(radius) else f"{radius:.3f}",
                ]
                if status == FAILED:
                    cells = ["", "", "", FAILED, ""]
                yield [*key, instance, keypoint, *cells[: len(columns) - 2]]


def coco_results(table: PredictionTable) -> list[dict[str, Any]]:
    """Returns an entry for each animal of each frame; `keypoints` holds x, y, score, and `score` is
    their mean.

    Points of unreadable frames are 0, 0 with score 0: json has no nan, and evaluation would count a
    nan as perfect. `image_id` is the row of the table, from 1; see `coco_images`. Of several
    animals, `track_id` is the number from 1 and `track` the name of each. Where radii are known,
    `radii` has one for each point, null for the others.
    """
    results = []
    for row, instance in ((n, one) for n in range(len(table.names)) for one in _animals(table, n)):
        scores = table.scores[row, instance].tolist()
        points = table.keypoints[row, instance]
        box = table.boxes[row, instance]
        if not np.isfinite(box).all():  # the pixels that the points span; zeros without points
            box = np.zeros(4)
            there = points[np.isfinite(points).all(-1)]
            if len(there):
                box = np.concatenate([there.min(0), np.ptp(there, axis=0) + 1])
        results.append(
            {
                "image_id": row + 1,
                "category_id": _COCO_CATEGORY,
                "keypoints": [
                    number
                    for (x, y), score in zip(np.nan_to_num(points).tolist(), scores, strict=True)
                    for number in (round(x, 3), round(y, 3), score)
                ],
                "score": sum(scores) / max(len(scores), 1),
                "bbox": [round(edge, 3) for edge in box.tolist()],
            }
        )
        if len(table.instances) > 1:
            results[-1] |= {"track_id": instance + 1, "track": table.instances[instance]}
        radii = table.radii[row, instance]
        if np.isfinite(radii).any():
            results[-1]["radii"] = [
                round(radius, 3) if math.isfinite(radius) else None for radius in radii.tolist()
            ]
    return results


def coco_images(table: PredictionTable) -> dict[str, Any]:
    """Returns the images and the category of `coco_results`, with the status of each image.

    Frames of a video have its name as `file_name`, their number as `frame` and their time in
    seconds as `time`.
    """
    images = []
    for row, name in enumerate(table.names):
        width, height = table.sizes[row].tolist()
        images.append(
            {
                "id": row + 1,
                "file_name": name,
                "width": width,
                "height": height,
                "status": str(table.status[row, _animals(table, row)[0]]),
            }
        )
        if table.is_video:
            images[-1]["frame"] = int(table.numbers[row])
        if table.times is not None:
            images[-1]["time"] = round(float(table.times[row]), 6)
    edges = [[first + 1, second + 1] for first, second in table.skeleton.edges]
    return {
        "images": images,
        "annotations": [],
        "categories": [
            {
                "id": _COCO_CATEGORY,
                "name": "animal",
                "keypoints": list(table.skeleton.names),
                "skeleton": edges,
            }
        ],
    }


def _animals(table: PredictionTable, row: int) -> list[int]:
    """Returns the animals of a frame that are not `no_box`, or the first one, so that every frame
    has an entry.
    """
    return np.flatnonzero(table.status[row] != NO_BOX).tolist() or [0]


def deeplabcut_table(table: PredictionTable, scorer: str = "") -> Table:
    """Returns predictions in DeepLabCut's layout, to 0.001 px.

    scorer: its name; after the run's title if empty.
    """
    keys = table.numbers.tolist() if table.is_video else table.names
    points = tuple(
        (animal if len(table.instances) > 1 else "", name)
        for animal in table.instances
        for name in table.skeleton.names
    )
    values = np.concatenate([table.keypoints.round(3), table.scores.round(6)[..., None]], -1)
    return Table(
        scorer or _SCORER.format(table.title),
        points,
        ("x", "y", "likelihood"),
        tuple(keys),
        values.reshape(len(keys), len(points), 3),
    )


def sleap_animals(table: PredictionTable) -> list[list[sleap.Animal]]:
    """Returns the animals that were found on each frame; several have tracks."""
    several = len(table.instances) > 1
    return [
        [
            sleap.Animal(
                table.keypoints[row, n], table.instances[n] if several else "", table.scores[row, n]
            )
            for n in np.flatnonzero(table.status[row] == OK).tolist()
        ]
        for row in range(len(table.names))
    ]


def _write_sleap(table: PredictionTable, path: Path) -> Path:
    """Writes a .slp file with a frame for each row, empty where nothing was found.

    Points are predicted instances, which carry their scores, and a track if there are several
    animals. Images and videos are named by their paths.
    """
    if table.is_video:
        size = tuple(table.sizes.max(0).tolist())
        frames = [Frame("", table.source, number, size, "") for number in table.numbers.tolist()]
    else:
        frames = [
            Frame("", file, None, tuple(size), "")
            for file, size in zip(table.files, table.sizes.tolist(), strict=True)
        ]
    return sleap.save(
        path,
        table.skeleton,
        frames,
        sleap_animals(table),
        name="kpjax",
        lengths={table.source: int(table.numbers.max()) + 1},
        provenance=f"kpjax {table.title}",
    )


def _json(content: object) -> str:
    return json.dumps(content, allow_nan=False) + "\n"


# The end of each file's name, in which {} is the title of the run, and its writer.
FORMATS: dict[str, dict[str, Callable[[PredictionTable, Path], Path]]] = {
    "csv": {".csv": lambda table, path: write_rows(path, csv_rows(table))},
    "dlc": {
        f"{_SCORER}.csv": lambda table, path: write_text(path, table_text(deeplabcut_table(table))),
        f"{_SCORER}.h5": lambda table, path: write_h5(deeplabcut_table(table), path),
    },
    "slp": {".slp": _write_sleap},
    "coco": {
        ".coco.json": lambda table, path: write_text(path, _json(coco_results(table))),
        ".images.json": lambda table, path: write_text(path, _json(coco_images(table))),
    },
}
_NEEDED = {"dlc": (("pandas", "tables"), "kpjax[dlc]"), "slp": (("sleap_io",), "kpjax[sleap]")}


def check_formats(formats: Sequence[str]) -> tuple[str, ...]:
    """Returns the formats to write, csv first.

    Raises InputError for one that is unknown or not installed.
    """
    formats = [name.strip() for name in formats if name.strip()]
    for name in formats:
        if name not in FORMATS:
            raise InputError("formats", f"{name!r} is unknown; choose {', '.join(FORMATS)}")
        modules, extra = _NEEDED.get(name, ((), ""))
        missing = [module for module in modules if importlib.util.find_spec(module) is None]
        if missing:
            raise InputError(f'formats: {name} needs {missing[0]}; pip install "{extra}"')
    return tuple(dict.fromkeys(("csv", *formats)))


def prediction_files(formats: Sequence[str], title: str, out: Path, stem: str) -> list[Path]:
    """Returns the files that `write_predictions` would write."""
    return [out / (stem + ending.format(title)) for name in formats for ending in FORMATS[name]]


def write_predictions(
    table: PredictionTable, formats: Sequence[str], out: Path, stem: str
) -> list[Path]:
    """Writes a table in formats of `check_formats`, each file whole or not at all, and returns
    their paths.

    stem: Of the files below `out`; it may contain folders. Raises InputError if the disc refuses.
    """
    writers = [write for name in formats for write in FORMATS[name].values()]
    paths = prediction_files(formats, table.title, out, stem)
    return [write(table, path) for write, path in zip(writers, paths, strict=True)]
