"""Checks of annotation projects before training, and comparisons of a project with its conversion."""
import hashlib
import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from kpjax.errors import InputError, summarise
from kpjax.images.reading import read_image
from kpjax.lab.formats.project import Frame, Instance, Project

if TYPE_CHECKING:
    from kpjax.images.video import Video


class VideoFacts(NamedTuple):
    """Properties of a video file."""

    video: "Video"
    rate: float  # median frames per second; nan for a folder of images
    variable: bool  # whether the time between frames varies by more than a twentieth of its median
    unreadable: int | None  # frames that do not decode; None if not checked


def image_faults(paths: Sequence[Path], progress: Callable[[Iterable], Iterable] = iter) -> tuple[list[str], list[str]]:
    """Returns a line for each image that does not decode, and each copy of another. progress: wraps the iteration."""
    there = [path for path in paths if os.path.isfile(path)]  # False for a name that the system refuses
    seen: dict[bytes, Path] = {}
    faults, copies = [], []
    with ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1)) as readers:
        for path, (digest, fault) in zip(there, progress(readers.map(_read, there)), strict=True):
            if fault:
                faults.append(f"{fault}; replace the image or delete its labels")
            elif (first := seen.setdefault(digest, path)) != path:
                copies.append(f"{path.name} is {first.name}" if path.name != first.name else f"{path} is {first}")
    return faults, copies


def _read(path: Path) -> tuple[bytes, str]:
    try:
        read_image(path)
        return hashlib.sha256(path.read_bytes()).digest(), ""
    except (InputError, OSError) as error:
        return b"", str(error)


def video_facts(path: Path, *, decode: bool, progress: Callable[[Iterable], Iterable] = iter) -> VideoFacts:
    """Reads the properties of a video file or a folder of frames. Raises InputError if it is not a video.

    decode: Whether to decode the whole video to count unreadable frames. progress: Wraps the iteration, for a bar.
    """
    from kpjax.images.video import open_video

    video = open_video(path)
    rate, variable = np.nan, False
    if video.times is not None and len(steps := np.diff(video.times)):
        median = float(np.median(steps))
        rate, variable = 1 / median, bool(np.ptp(steps) > median / 20)
    bad = sum(image is None for _, image in progress(video)) if decode else None
    return VideoFacts(video, rate, variable, bad)


def repeated_labels(project: Project) -> list[str]:
    """Returns lines about animals with exactly the labels of another one, on the same frame or on another."""
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
    return [f"the same labels {what}: {len(pairs)} frames, such as {summarise(list(pairs)[:2])}"
            for what, found in (("twice on one frame", here), ("on two frames", elsewhere))
            if (pairs := dict.fromkeys(found))]


def sessions_on_both_sides(project: Project) -> list[str]:
    """Returns recordings with frames in several splits, so that neighbours of test frames train."""
    splits = defaultdict(set)
    for frame in project.frames:
        if frame.session and frame.split:
            splits[frame.session].add(frame.split)
    return [f"{session} ({' and '.join(sorted(found))})" for session, found in splits.items() if len(found) > 1]


# Two projects of the same frames

class Comparison(NamedTuple):
    """The differences between a project and its conversion."""

    points: int  # labelled points at the same place in both
    wrong: tuple[str, ...]  # labels that are missing, moved or new
    lost: tuple[str, ...]  # facts that a format may be unable to hold


def compare(before: Project, after: Project) -> Comparison:
    """Compares two projects: frames by file, keypoints by name, animals of a frame by their points to 1e-6 px."""
    names, others = before.skeleton.names, after.skeleton.names
    if set(names) != set(others):
        return Comparison(0, (f"keypoints {', '.join(names)} became {', '.join(others)}",), ())
    lost = [f"order of the keypoints: now {', '.join(others)}"] if names != others else []
    if gone := _edges(before) - _edges(after):
        lost.append(f"{len(gone)} edges of the skeleton")
    if _mirrored(before) != _mirrored(after):
        lost.append("which keypoints mirror each other")
    there = {_place(frame): frame.split for frame in after.frames}
    if missing := [frame.name for frame in before.frames if _place(frame) not in there]:
        lost.append(f"{len(missing)} of {len(before.frames)} frames, the first is {missing[0]}")
    if cut := sum(there.get(_place(frame), frame.split) != frame.split for frame in before.frames):
        lost.append(f"the split of {cut} frames")
    twins, order = defaultdict(list), [others.index(name) for name in names]
    for one in after.instances:
        one = one._replace(keypoints=one.keypoints[order], occluded=one.occluded[order])
        twins[_place(after.frames[one.frame]), _points(one)].append(one)
    points, wrong, occluded, boxes, tracks = 0, [], 0, 0, 0
    for one in before.instances:
        found = twins[_place(before.frames[one.frame]), _points(one)]
        if not found:
            wrong.append(f"{before.frames[one.frame].name}: an instance is missing, or its points moved")
            continue
        other = found.pop(0)
        points += int(one.visible.sum())
        occluded += int((one.occluded != other.occluded).sum())
        boxes += not np.allclose(one.box, other.box, atol=1e-6, equal_nan=True)
        tracks += bool(one.track) and one.track != other.track
    if left := sum(map(len, twins.values())):
        wrong.append(f"{left} instances are new")
    lost += [text for count, text in (
        (occluded, f"which points are occluded ({occluded} points)"), (boxes, f"the boxes of {boxes} instances"),
        (tracks, f"the names of {tracks} individuals")) if count]
    return Comparison(points, tuple(wrong), tuple(lost))


def _place(frame: Frame) -> tuple[Path, int | None]:
    return frame.path.resolve(), frame.number


def _points(one: Instance) -> bytes:
    """Returns the points of an animal to a millionth of a pixel, alike for alike ones."""
    return (np.nan_to_num(one.keypoints.round(6), nan=-np.inf) + 0.0).tobytes()


def _edges(project: Project) -> set[frozenset[str]]:
    return {frozenset(project.skeleton.names[end] for end in edge) for edge in project.skeleton.edges}


def _mirrored(project: Project) -> set[tuple[str, str]]:
    names = project.skeleton.names
    return {(names[a], names[b]) for a, b in enumerate(project.skeleton.flip) if a != b}
