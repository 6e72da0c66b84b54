"""Predicted points as a SLEAP file: predicted instances, which SLEAP shows and never takes for labels."""
from pathlib import Path

import numpy as np

from kpjax.projects.predictions import OK, PredictionTable
from kpjax.projects.sleap import save


def write_sleap(table: PredictionTable, path: Path) -> Path:
    """Writes a .slp file with a frame for each row of the table, empty where nothing was found.

    Points carry their scores, an instance the mean of them, and a track where there are several animals. A video is
    referred to by its path; pictures by theirs, those of one size as one video, which is what SLEAP wants.
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
