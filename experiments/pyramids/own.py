"""What a person gets for own videos: each of them with its keypoints drawn in, and a table of coordinates."""
import csv
import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from experiments.predict import in_original_pixels
from kpjax.input.video import Video
from kpjax.input.video_source import VideoSource
from kpjax.input.video_writing import write_video
from kpjax.structures import Skeleton
from kpjax.training.evaluation import Gathered
from kpjax.training.run_folder import make_folder, write_text
from kpjax.viewing.overlays import draw_keypoints, opacity_of_scores

COLUMNS = ("video", "frame", "time", "keypoint", "x", "y", "score", "status")
RATE = 25.0  # frames a second of a video from a folder of pictures, which have no times


def write_own(files: tuple[Video, ...], source: VideoSource, found: Gathered, points: Skeleton, folder: Path, *,
              every: int, side: int) -> list[Path]:
    """Writes annotated/<video>.mp4 for each file, at most `side` pixels long, and points.csv; returns their paths.

    found: of all frames of the source, in its order. The table has a row for each keypoint of every frame that was
    asked for, in pixels of the video as it is shown, the centre of its top-left pixel at (0, 0); `time` in seconds,
    empty where pictures have none. The status is ok, outside (beyond the frame's edge) or unreadable (x and y nan).
    """
    original = np.stack([in_original_pixels(crop, keypoints)
                         for crop, keypoints in zip(found.crop, found.keypoints, strict=True)])
    usual = float(np.median(found.scores))
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(COLUMNS)
    written = []
    for number, (video, (first, end)) in enumerate(zip(files, source.bounds, strict=True)):
        row_of = {int(source.frame[row]): row for row in range(first, end)}
        for frame in range(0, len(video), every):
            time = "" if video.times is None else f"{video.times[frame]:.6f}"
            row = row_of.get(frame)
            for k, name in enumerate(points.names):
                if row is None:
                    writer.writerow([video.name, frame, time, name, "nan", "nan", 0, "unreadable"])
                    continue
                x, y = original[row, k]
                inside = -0.5 <= x <= video.size[0] - 0.5 and -0.5 <= y <= video.size[1] - 0.5
                writer.writerow([video.name, frame, time, name, f"{x:.3f}", f"{y:.3f}",
                                 f"{found.scores[row, k]:.6g}", "ok" if inside else "outside"])
        path = folder / "annotated" / f"{number:03d}_{Path(video.name).stem}.mp4"
        make_folder(path.parent)
        times = None if video.times is None else [video.times[frame] for frame in sorted(row_of)]
        write_video(path, _annotated(video, row_of, original, found.scores, usual, points, side), times=times,
                    rate=RATE / every)
        written.append(path)
    write_text(folder / "points.csv", table.getvalue())
    return [folder / "points.csv", *written]


def _annotated(video: Video, row_of, keypoints, scores, usual: float, points: Skeleton, side: int
               ) -> Iterator[np.ndarray]:
    """The frames that were read, shrunk to at most `side` pixels, with their keypoints."""
    width, height = video.size
    shrunk = min(1.0, side / max(width, height))
    size = max(round(width * shrunk), 1), max(round(height * shrunk), 1)
    growth = np.array(size) / video.size
    for frame, image in video:
        if frame not in row_of:
            continue
        row = row_of[frame]
        small = image if size == video.size else np.asarray(Image.fromarray(image).resize(
            size, Image.Resampling.BILINEAR))
        places = (keypoints[row] + 0.5) * growth - 0.5
        yield draw_keypoints(small, places, opacity_of_scores(scores[row], usual), points)
