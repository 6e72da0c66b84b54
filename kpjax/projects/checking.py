"""What a person should know of an annotation project before training on it."""
import contextlib
import hashlib
import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np

from kpjax.errors import InputError, summarise
from kpjax.input.picture_reading import read_picture
from kpjax.projects.coordinates import outside
from kpjax.projects.project import Project


class KeypointCounts(NamedTuple):
    """How often each keypoint is labelled, (K,) int each, over all instances."""

    labelled: np.ndarray
    occluded: np.ndarray
    outside: np.ndarray  # labelled more than a pixel outside its picture
    empty: np.ndarray


class VideoFacts(NamedTuple):
    """What a video file is like."""

    path: Path
    frames: int
    size: tuple[int, int]  # width and height as shown
    rate: float  # frames a second, the usual one; nan for a folder of pictures
    variable: bool  # whether the time between frames differs by more than a twentieth of the usual
    rotation: int  # degrees by which it is turned for showing
    unreadable: int | None  # frames that do not decode; None if that was not looked at
    cut_off: int  # frames that its header announces and it does not have


def keypoint_counts(project: Project) -> KeypointCounts:
    """Counts over the instances of a project, whose frames' sizes should be known."""
    shape = len(project.instances), len(project.skeleton.names)
    visible = np.array([one.visible > 0 for one in project.instances], bool).reshape(shape)
    occluded = np.array([one.occluded for one in project.instances], bool).reshape(shape)
    return KeypointCounts(visible.sum(0), (visible & occluded).sum(0), outside(project).sum(0), (~visible).sum(0))


def picture_faults(
    paths: Sequence[Path], progress: Callable[[Iterable], Iterable] = iter,
) -> tuple[list[str], list[str]]:
    """(what keeps pictures from being decoded, pictures that are the same byte for byte), each a line.

    Only files that are there are looked at. progress: wraps the iteration, for a bar.
    """
    there = [path for path in paths if path.is_file()]
    seen: dict[bytes, Path] = {}
    faults, copies = [], []
    with ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1)) as readers:
        for path, (digest, fault) in zip(there, progress(readers.map(_read, there)), strict=True):
            if fault:
                faults.append(f"{fault}; replace the picture or delete its labels")
            elif (first := seen.setdefault(digest, path)) != path:
                copies.append(f"{path.name} is {first.name}" if path.name != first.name else f"{path} is {first}")
    return faults, copies


def _read(path: Path) -> tuple[bytes, str]:
    try:
        read_picture(path)
        return hashlib.sha256(path.read_bytes()).digest(), ""
    except (InputError, OSError) as error:
        return b"", str(error)


def video_facts(path: Path, *, decode: bool, progress: Callable[[Iterable], Iterable] = iter) -> VideoFacts:
    """What a video is like; `decode` reads all of it to count the frames that cannot be read.

    Raises InputError for what is no video.
    """
    import av

    from kpjax.input.video import open_video

    video = open_video(path)
    rate, variable, rotation = np.nan, False, 0
    if video.times is not None:
        with contextlib.suppress(av.FFmpegError, StopIteration), av.open(path) as container:
            rotation = round(next(iter(container.decode(video=0))).rotation) % 360
        if len(steps := np.diff(video.times)):
            usual = float(np.median(steps))
            rate, variable = 1 / usual, bool(np.ptp(steps) > usual / 20)
    bad = sum(image is None for _, image in progress(video)) if decode else None
    return VideoFacts(path, len(video), video.size, rate, variable, rotation, bad, video.cut_off)


def repeated_labels(project: Project) -> list[str]:
    """Lines about animals that have exactly the labels of another one, on the same frame or on another."""
    seen: dict[bytes, str] = {}
    here, elsewhere = [], []
    for one in project.instances:
        name, labels = project.frames[one.frame].name, one.keypoints.tobytes()
        if labels not in seen:
            seen[labels] = name
        elif seen[labels] == name:
            here.append(name)
        else:
            elsewhere.append(f"{name} has those of {seen[labels]}")
    lines = [f"the same labels twice on one frame: {summarise(here)}"] if here else []
    return lines + ([f"the same labels on two frames: {summarise(elsewhere)}"] if elsewhere else [])


def sessions_on_both_sides(project: Project) -> list[str]:
    """Recordings with frames in more than one split: neighbours of test frames train."""
    splits = defaultdict(set)
    for frame in project.frames:
        if frame.session and frame.split:
            splits[frame.session].add(frame.split)
    return [f"{session} ({' and '.join(sorted(found))})" for session, found in splits.items() if len(found) > 1]


def unusual_sizes(lengths: np.ndarray) -> np.ndarray:
    """The numbers of animals that are more than four times longer or shorter than the median; lengths (N,) in px."""
    if not len(lengths):
        return np.zeros(0, int)
    usual = np.median(lengths)
    return np.flatnonzero((lengths > 4 * usual) | (lengths < usual / 4))
