"""Pictures of all points on some frames, of several runs side by side: what a report shows where no
label says how good points are."""

import base64
import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from kpjax import geometry
from kpjax.drawing import overlays
from kpjax.files import foreign, read_json, write_json
from kpjax.formats.project import Frame
from kpjax.formats.project_source import read_frame
from kpjax.lab.reports.pixel_errors import Part, places_of
from kpjax.lab.reports.sheets import LEAST_SIDE, MOST, part_of
from kpjax.structures import Skeleton
from kpjax.training.evaluation import read_predictions

SHOWN = "shown"  # among a run's predictions
FILE = "shown_frames.json"
PATCHES, PATCH_SIDE = 8, 56  # on a strip, and px of each
STRIPS = 15  # points at most that have one
PATCH = 0.3  # side of a patch, of the diagonal of an image's points


class Shown(NamedTuple):
    """Points of a run on N frames, in pixels of the original images."""

    images: tuple[Path, ...]  # N: the image, or the video
    frames: tuple[int | None, ...]  # N: the number in the video
    predicted: np.ndarray  # (N, K, 2)
    true: np.ndarray  # (N, K, 2), nan where no place is known


def write_frames(folder: Path, part: Part, names: Sequence[str]) -> None:
    """Writes which frames the predictions SHOWN of a run are on, and whether their labels are of
    the same keypoints. names: of the keypoints that were found."""
    write_json(
        folder / FILE,
        {
            "labelled": tuple(part.source.skeleton.names) == tuple(names),
            "frames": [[str(image), frame] for image, frame in places_of(part)],
        },
    )


def read_shown(folder: Path) -> Shown | None:
    """Reads the points that a run keeps for pictures; None of one that keeps none."""
    path = folder / FILE
    if not path.is_file():
        return None
    with foreign(path, "train the run again, or delete the file"):
        stored, found = read_json(path), read_predictions(folder)[SHOWN]
        images, frames = zip(*stored["frames"], strict=True)
        predicted = np.asarray(geometry.move_points(found.crop, found.keypoints), np.float64)
        true = np.full_like(predicted, np.nan)
        if stored["labelled"]:
            places = np.asarray(geometry.move_points(found.crop, found.true_keypoints), np.float64)
            true = np.where(found.visible[..., None] > 0, places, np.nan)
        return Shown(tuple(map(Path, images)), tuple(frames), predicted, true)


def side_by_side(runs: Sequence[Shown], skeleton: Skeleton) -> list[tuple[str, list[str]]]:
    """Returns the title of each frame, and a picture of it with the points of every run.

    A frame is cropped to its points where some have a known place, that of a video to those of the
    first run, since a control's may lie anywhere and an animal may cross the frame; an image is
    whole. Raises InputError for a frame that cannot be read.
    """
    pictures = []
    for n, (path, number) in enumerate(zip(runs[0].images, runs[0].frames, strict=True)):
        whole = read_frame(Frame("", path, number, (0, 0), ""))
        if np.isfinite(runs[0].true[n]).any():
            seen = np.concatenate([*(run.predicted[n] for run in runs), runs[0].true[n]])
        elif number is not None:
            seen = runs[0].predicted[n]
        else:
            seen = np.array([[0, 0], whole.shape[1::-1]]) - [[0, 0], [1, 1]]
        image, moved = part_of(
            whole,
            seen,
            lambda side: min(max(1, math.ceil(LEAST_SIDE / side)), MOST / side),
            Image.Resampling.BICUBIC,
        )
        places = np.stack([moved(run.predicted[n]) for run in runs])
        radius = overlays.dot_radius(places, np.ones(places.shape[:2]), min(image.shape[:2]))
        drawn = [
            overlays.draw_keypoints(
                image,
                points,
                None,
                skeleton,
                true=moved(run.true[n]),
                minimum_side=1,
                radius=radius,
            )
            for run, points in zip(runs, places, strict=True)
        ]
        named = path.name if number is None else f"{path.name} frame {number}"
        pictures.append((named, [*map(jpeg, drawn)]))
    return pictures


def strips(run: Shown, skeleton: Skeleton, side: float) -> str:
    """Returns a picture with a row for each point: what lies around it on several frames. A point
    that keeps its place has a row of the same thing.

    side: px of the original images, of a patch. Raises InputError as `side_by_side` does.
    """
    rows = np.linspace(0, len(run.images) - 1, min(PATCHES, len(run.images))).round().astype(int)
    points = np.linspace(0, len(skeleton.names) - 1, min(STRIPS, len(skeleton.names))).astype(int)
    cell, margin = PATCH_SIDE + 3, 16
    sheet = Image.new("RGB", (margin + cell * len(rows), cell * len(points)), overlays.BACKGROUND)
    canvas = ImageDraw.Draw(sheet)
    colours = overlays.keypoint_colours(len(skeleton.names)).tolist()
    for column, n in enumerate(rows):
        image = Image.fromarray(read_frame(Frame("", run.images[n], run.frames[n], (0, 0), "")))
        for row, k in enumerate(points):
            left, upper = (run.predicted[n, k] + 0.5 - side / 2).tolist()
            patch = image.transform(
                (PATCH_SIDE, PATCH_SIDE),
                Image.Transform.EXTENT,
                (left, upper, left + side, upper + side),
                Image.Resampling.BILINEAR,
            )
            sheet.paste(patch, (margin + cell * column, cell * row))
    for row, k in enumerate(points):
        middle = cell * row + PATCH_SIDE / 2
        canvas.ellipse((2, middle - 5, 12, middle + 5), fill=tuple(colours[k]))
    return jpeg(np.asarray(sheet))


def agreeing(one: Shown, other: Shown, share: float) -> float:
    """Returns which part of the points two runs find at the same place: within a share of the extent
    of the first one's points, median over frames. nan where these have none, or frames differ.
    """
    extent = np.median(np.linalg.norm(np.ptp(one.predicted, axis=1), axis=-1))
    if not extent or (one.images, one.frames) != (other.images, other.frames):
        return math.nan
    apart = np.linalg.norm(one.predicted - other.predicted, axis=-1)
    return float((apart <= share * extent).mean())


def patch_side(runs: Sequence[Shown]) -> float:
    """Returns the side of a patch in px: a share of how far the points of an image reach."""
    extents = [np.linalg.norm(np.ptp(run.predicted, axis=1), axis=-1) for run in runs]
    return max(PATCH * float(np.median(extents)), 8.0)


def jpeg(image: np.ndarray) -> str:
    """Returns an image (h, w, 3) uint8 as a JPEG in base64."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=88)
    return base64.b64encode(file.getvalue()).decode()
