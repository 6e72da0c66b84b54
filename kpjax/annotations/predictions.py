"""Predicted points as one table, whatever file they are written to: a row for every frame, readable or not."""
import csv
import importlib.util
import io
import json
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from kpjax.annotations.sleap import save
from kpjax.annotations.tables import Table, write_h5
from kpjax.errors import InputError
from kpjax.files import write_text
from kpjax.structures import Skeleton

OK, UNREADABLE, NO_BOX = "ok", "unreadable", "no_box"


class PredictionTable(NamedTuple):
    """Points on N frames of a video, or on N images, of I animals.

    Coordinates are (x, y) in pixels of the frame as it is shown, the centre of its top-left pixel at (0, 0).
    """

    source: Path  # the video, or the first folder or image that was named
    is_video: bool
    names: tuple[str, ...]  # (N,) the images' names, or that of the video for each frame
    files: tuple[Path, ...]  # (N,) where the images are; none for a video
    numbers: np.ndarray  # (N,) int64, of the frames in their video, counted from 0
    times: np.ndarray | None  # (N,) float64 s, when each frame is shown; None for images
    sizes: np.ndarray  # (N, 2) int64, width and height; 0 where unreadable
    instances: tuple[str, ...]  # (I,) what the animals are called; ("0",) where there is but one
    boxes: np.ndarray  # (N, I, 4) float64: x, y, width, height of the edges; nan where the whole frame was looked at
    keypoints: np.ndarray  # (N, I, K, 2) float64; nan where the status is not ok
    scores: np.ndarray  # (N, I, K) float64; 0 where the status is not ok
    status: np.ndarray  # (N, I) of ok, unreadable (the frame does not decode) and no_box (nobody is said to be there)
    outside: np.ndarray  # (N, I, K) bool: the point lies beyond the frame's edge
    skeleton: Skeleton
    title: str  # of the run, in letters, digits and underscores


def empty_table(
    source: Path, names: Sequence[str], numbers: np.ndarray, skeleton: Skeleton, title: str, *,
    files: Sequence[Path] = (), times: np.ndarray | None = None, instances: Sequence[str] = ("0",),
    boxes: np.ndarray | None = None,
) -> PredictionTable:
    """A table whose frames are all `unreadable` until `fill` says otherwise. Images have `files`, videos have none.

    boxes: (N, I, 4), nan where an animal is not on a frame; None if there is but one and the whole frame is looked at.
    """
    shape = len(names), len(instances), len(skeleton.names)
    return PredictionTable(
        source, not files, tuple(names), tuple(files), np.asarray(numbers, np.int64), times,
        np.zeros((shape[0], 2), np.int64), tuple(instances),
        np.full((*shape[:2], 4), np.nan) if boxes is None else boxes,
        np.full((*shape, 2), np.nan), np.zeros(shape), np.full(shape[:2], UNREADABLE, "<U10"), np.zeros(shape, bool),
        skeleton, title)


def fill(table: PredictionTable, row: int, size: tuple[int, int], keypoints: np.ndarray, scores: np.ndarray,
         present: np.ndarray) -> None:
    """Writes a frame that was read into the arrays of a table.

    size: width and height. keypoints (I, K, 2) in pixels of the frame, scores (I, K); present (I,) bool: those of the
    animals that were looked at, the others are `no_box`.
    """
    table.sizes[row] = size
    table.status[row] = np.where(present, OK, NO_BOX)
    table.keypoints[row] = np.where(present[:, None, None], keypoints, np.nan)
    table.scores[row] = np.where(present[:, None], scores, 0.0)
    inside = ((keypoints >= -0.5) & (keypoints <= np.asarray(size) - 0.5)).all(-1)
    table.outside[row] = present[:, None] & ~inside


def point_status(table: PredictionTable, row: int, instance: int) -> tuple[str, ...]:
    """The status of each keypoint: ok or outside, or that of the whole frame or animal."""
    status = str(table.status[row, instance])
    if status != OK:
        return (status,) * len(table.skeleton.names)
    return tuple("outside" if beyond else OK for beyond in table.outside[row, instance])


def rows_to_write(table: PredictionTable, row: int) -> list[int]:
    """The animals of a frame that tables of animals have a row for: those that are not `no_box`, and the first one if
    there is none, so that every frame has a row."""
    return [int(number) for number in np.flatnonzero(table.status[row] != NO_BOX)] or [0]


def extent(table: PredictionTable, row: int, instance: int) -> np.ndarray:
    """(4,) float64 x, y, width, height: the given box, or the pixels that the points span; zeros without points."""
    box, points = table.boxes[row, instance], table.keypoints[row, instance]
    if np.isfinite(box).all():
        return box
    if not points.size or not np.isfinite(points).all():
        return np.zeros(4)
    return np.concatenate([points.min(0), np.ptp(points, axis=0) + 1])


# Predicted points as a plain table: a row for each point of each animal of each frame


OF_IMAGES = ("image", "instance", "keypoint", "x", "y", "score", "status")
OF_VIDEO = ("video", "frame", "time", *OF_IMAGES[1:])


def csv_text(*tables: PredictionTable) -> str:
    """One csv of tables that are all of videos, or all of images, one after the other.

    Coordinates are written to a thousandth of a pixel, `time` in seconds and empty where it is not known.

    The status is `ok`, `outside` for a point beyond the frame's edge, `unreadable` for a frame that does not decode, or
    `no_box` for an animal that is not on the frame; x and y are nan and the score 0 in the last two.
    """
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(OF_VIDEO if tables[0].is_video else OF_IMAGES)
    for table in tables:
        for row in range(len(table.names)):
            writer.writerows(_rows(table, row))
    return file.getvalue()


def _rows(table: PredictionTable, row: int) -> Iterator[list]:
    """The rows of one frame or image."""
    key = [table.names[row]]
    if table.is_video:
        key += [int(table.numbers[row]), "" if table.times is None else f"{table.times[row]:.6f}"]
    for number, instance in enumerate(table.instances):
        for keypoint, (x, y), score, status in zip(
                table.skeleton.names, table.keypoints[row, number].tolist(), table.scores[row, number].tolist(),
                point_status(table, row, number), strict=True):
            yield [*key, instance, keypoint, f"{x:.3f}", f"{y:.3f}", f"{score:.6g}", status]


# Predicted points as a list of COCO results, and the table of images and categories that their ids are of


CATEGORY = 1


def coco_results(table: PredictionTable) -> list[dict[str, Any]]:
    """One entry for each animal of each frame; `keypoints` holds x, y, score of each, `score` is their mean.

    Points of frames that do not decode are 0, 0 with the score 0: json has no nan, and evaluation takes a result with
    one for a perfect one. `image_id` counts rows of the table from 1, see `coco_images`.
    """
    results = []
    for row in range(len(table.names)):
        for instance in rows_to_write(table, row):
            known = table.status[row, instance] == OK
            scores = table.scores[row, instance].tolist()
            points = table.keypoints[row, instance].tolist() if known else [(0.0, 0.0)] * len(scores)
            results.append({
                "image_id": row + 1, "category_id": CATEGORY,
                "keypoints": [round(value, 3) if place < 2 else value
                              for (x, y), score in zip(points, scores, strict=True)
                              for place, value in enumerate((x, y, score))],
                "score": sum(scores) / max(len(scores), 1),
                "bbox": [round(float(edge), 3) for edge in extent(table, row, instance)]})
    return results


def coco_images(table: PredictionTable) -> dict[str, Any]:
    """The images and the category of `coco_results`. The frames of a video have its name as `file_name`, their number
    as `frame` and their time in seconds as `time`; what the status of a row is stands beside it."""
    images = []
    for row, name in enumerate(table.names):
        width, height = table.sizes[row].tolist()
        image: dict[str, Any] = {"id": row + 1, "file_name": name, "width": width, "height": height,
                                 "status": str(table.status[row, rows_to_write(table, row)[0]])}
        if table.is_video:
            image["frame"] = int(table.numbers[row])
            if table.times is not None:
                image["time"] = round(float(table.times[row]), 6)
        images.append(image)
    edges = [[first + 1, second + 1] for first, second in table.skeleton.edges]
    return {"images": images, "annotations": [], "categories": [
        {"id": CATEGORY, "name": "animal", "keypoints": list(table.skeleton.names), "skeleton": edges}]}


# Predicted points as DeepLabCut keeps them, which Lightning Pose and many other tools read too


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


# Predicted points as a SLEAP file: predicted instances, which SLEAP shows and never takes for labels


def write_sleap(table: PredictionTable, path: Path) -> Path:
    """Writes a .slp file with a frame for each row of the table, empty where nothing was found.

    Points carry their scores, an instance the mean of them, and a track where there are several animals. A video is
    referred to by its path; images by theirs, those of one size as one video, which is what SLEAP wants.
    Raises ImportError without sleap-io.
    """
    import sleap_io

    skeleton = sleap_io.Skeleton(nodes=list(table.skeleton.names), edges=list(table.skeleton.edges), name="kpjax")
    tracks = [sleap_io.Track(name) for name in table.instances] if len(table.instances) > 1 else []
    videos, place = _videos(table, sleap_io)
    frames = []
    for row, (video, number) in enumerate(place):
        instances = []
        for instance in np.flatnonzero(table.status[row] == OK):
            instances.append(sleap_io.PredictedInstance.from_numpy(
                table.keypoints[row, instance], skeleton, point_scores=table.scores[row, instance],
                score=float(table.scores[row, instance].mean()) if table.scores.shape[-1] else 0.0,
                track=tracks[instance] if tracks else None))
        frames.append(sleap_io.LabeledFrame(video=videos[video], frame_idx=number, instances=instances))
    labels = sleap_io.Labels(frames, videos=videos, skeletons=[skeleton], tracks=tracks,
                             provenance={"predicted by": f"kpjax {table.title}"})
    return save(sleap_io, labels, path)


def _videos(table: PredictionTable, sleap_io) -> tuple[list, list[tuple[int, int]]]:
    """The videos of a file, and for each row the number of its video and of its frame there. None is opened."""
    if table.is_video:
        size = table.sizes.max(0)
        count = int(table.numbers.max()) + 1
        return ([_video(sleap_io, str(table.source.absolute()), "MediaVideo", count, size)],
                [(0, int(number)) for number in table.numbers])
    by_size: dict[tuple[int, ...], list[int]] = {}
    for row, size in enumerate(table.sizes.tolist()):
        by_size.setdefault(tuple(size), []).append(row)
    videos, place = [], {}
    for size, rows in by_size.items():
        files = [str(table.files[row].absolute()) for row in rows]
        place |= {row: (len(videos), number) for number, row in enumerate(rows)}
        videos.append(_video(sleap_io, files, "ImageVideo", len(rows), size))
    return videos, [place[row] for row in range(len(table.names))]


def _video(sleap_io, files: str | list[str], kind: str, count: int, size):
    first = files if isinstance(files, str) else files[0]
    facts = {"type": kind, "shape": (count, int(size[1]), int(size[0]), 3), "filename": first, "grayscale": False}
    if kind == "ImageVideo":
        facts["filenames"] = files
    else:
        facts |= {"bgr": True, "dataset": "", "input_format": ""}
    return sleap_io.Video(filename=files, open_backend=False, backend_metadata=facts)


# Predicted points in the files that people's tools read


class File(NamedTuple):
    """One kind of file that is written."""

    ending: Callable[[str], str]  # title of the run -> what follows the stem of the input
    write: Callable[[PredictionTable, Path], Path]


def _text(text_of: Callable[[PredictionTable], str]) -> Callable[[PredictionTable, Path], Path]:
    return lambda table, path: write_text(path, text_of(table))


def _json(content_of: Callable[[PredictionTable], object]) -> Callable[[PredictionTable, Path], Path]:
    return _text(lambda table: json.dumps(content_of(table), allow_nan=False) + "\n")


FORMATS: dict[str, tuple[File, ...]] = {
    "csv": (File(lambda title: ".csv", _text(csv_text)),),
    "dlc": (File(lambda title: f"{scorer(title)}.csv", _text(deeplabcut_text)),
            File(lambda title: f"{scorer(title)}.h5", write_deeplabcut_h5)),
    "slp": (File(lambda title: ".slp", write_sleap),),
    "coco": (File(lambda title: ".coco.json", _json(coco_results)),
             File(lambda title: ".images.json", _json(coco_images))),
}
NEEDED = {"dlc": (("pandas", "tables"), "kpjax[dlc]"), "slp": (("sleap_io",), "kpjax[sleap]")}


def check_formats(formats: Sequence[str]) -> tuple[str, ...]:
    """The formats to write, csv always and first. Raises InputError for one that is unknown or lacks a package."""
    for name in formats:
        if name not in FORMATS:
            raise InputError(f"--formats: {name!r} is unknown; there are {', '.join(FORMATS)}")
        modules, extra = NEEDED.get(name, ((), ""))
        if missing := [module for module in modules if importlib.util.find_spec(module) is None]:
            raise InputError(f'--formats {name}: needs {missing[0]}; pip install "{extra}"')
    return tuple(dict.fromkeys(("csv", *formats)))


def prediction_files(formats: Sequence[str], title: str, out: Path, stem: str) -> list[Path]:
    """The files that `write_predictions` would write."""
    return [_path(out, stem, file.ending(title)) for name in formats for file in FORMATS[name]]


def write_predictions(table: PredictionTable, formats: Sequence[str], out: Path, stem: str) -> list[Path]:
    """Writes a table in some formats, each file whole or not at all, and returns the paths.

    stem: of the files, below `out`, perhaps with folders. Raises InputError if the disc refuses.
    """
    written = []
    for name in formats:
        for file in FORMATS[name]:
            written.append(file.write(table, _path(out, stem, file.ending(table.title))))
    return written


def _path(out: Path, stem: str, ending: str) -> Path:
    return out / f"{stem}{ending}"
