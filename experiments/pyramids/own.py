"""What a person gets for own videos: each of them with its keypoints drawn in, and a table of coordinates."""
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from experiments.predict.drawing import opacity_from, write_overlay_video
from experiments.predict.pipeline import Seen, in_original_pixels, shrunk
from kpjax.annotations.predictions import OK, PredictionTable, csv_text, empty_table, fill
from kpjax.errors import InputError
from kpjax.files import write_text
from kpjax.images.inputs import ImageSequence, from_video
from kpjax.images.video import Video
from kpjax.input.video_source import VideoSource
from kpjax.structures import Skeleton
from kpjax.training.evaluation import Gathered


def write_own(files: tuple[Video, ...], source: VideoSource, found: Gathered, skeleton: Skeleton, folder: Path, *,
              every: int, side: int) -> list[Path]:
    """Writes annotated/<video>.mp4 for each file, at most `side` pixels long, and points.csv; returns their paths.

    found: of all frames of the source, in its order. The table has a row for each keypoint of every frame that was
    asked for, in pixels of the video as it is shown; see `kpjax.annotations.predictions`.
    """
    opacity = opacity_from(None, float(np.median(found.scores)))
    tables, written = [], []
    for number, (video, (first, end)) in enumerate(zip(files, source.bounds, strict=True)):
        sequence = from_video(video, f"{number:03d}_{Path(video.name).stem}", slice(None, None, every))
        table = empty_table(sequence.path, sequence.names, sequence.numbers, skeleton, "", times=sequence.times)
        row_of = {int(frame): row for row, frame in enumerate(sequence.numbers)}
        for place in range(first, end):
            fill(table, row_of[int(source.frame[place])], video.size,
                 in_original_pixels(found.crop[place], found.keypoints[place])[None], found.scores[place][None],
                 np.ones(1, bool))
        tables.append(table)
        path = folder / "annotated" / f"{sequence.stem}.mp4"
        written.append(write_overlay_video(_seen(sequence, table, side), sequence, path, opacity, skeleton, side=side))
    write_text(folder / "points.csv", csv_text(*tables))
    return [folder / "points.csv", *written]


def _seen(sequence: ImageSequence, table: PredictionTable, side: int) -> Iterator[Seen]:
    """The frames of a video, shrunk to at most `side` pixels, with what the table says of them."""
    for row, read in enumerate(sequence):
        try:
            picture, fault = shrunk(read(), side), None
        except InputError as error:
            picture, fault = None, error
        yield Seen(row, sequence.video.size, table.keypoints[row], table.scores[row], table.status[row] == OK, fault,
                   picture)
