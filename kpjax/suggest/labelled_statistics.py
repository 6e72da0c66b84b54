"""Statistics of labelled frames used to rank unlabelled ones."""
import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from kpjax.annotations.project import Frame, Project
from kpjax.annotations.project_source import read_frame
from kpjax.errors import InputError
from kpjax.structures import Skeleton
from kpjax.suggest.criteria import UsualPoses, usual_poses
from kpjax.suggest.selection import thumbnail


class LabelledStatistics(NamedTuple):
    """Statistics of a project with labels, or of none."""

    features: np.ndarray  # (L, F) float32, thumbnails of its labelled frames
    diagonal: float  # px, the median of its animals; nan if unknown
    poses: UsualPoses | None
    frames: tuple[Frame, ...]  # those with labels
    notes: tuple[str, ...]  # labelled frames that cannot be read


NO_LABELS = LabelledStatistics(np.zeros((0, 256), np.float32), float("nan"), None, (), ())


def diagonals(keypoints: np.ndarray, visible: np.ndarray) -> np.ndarray:
    """Returns (N,) px: the diagonal of the box around the visible keypoints (N, K, 2); nan with fewer than two."""
    seen = np.asarray(visible) > 0
    low, high = (np.where(seen[..., None], keypoints, fill) for fill in (np.inf, -np.inf))
    two = seen.sum(-1) > 1
    span = np.where(two[:, None], high.max(1), 0) - np.where(two[:, None], low.min(1), 0)
    return np.where(two, np.linalg.norm(span, axis=-1), np.nan)


def statistics_of(project: Project, skeleton: Skeleton) -> LabelledStatistics:
    """Computes statistics of a project in the order of `skeleton`. Raises InputError if nothing is labelled."""
    numbers = {name: number for number, name in enumerate(project.skeleton.names)}
    shared = [name for name in skeleton.names if name in numbers]
    if not shared:
        raise InputError(f"labelled: {project.root} labels {', '.join(project.skeleton.names)}, the run predicts "
                         f"{', '.join(skeleton.names)}; give the project that the run was trained on")
    if not project.instances:
        raise InputError(f"labelled: {project.root} has no labelled frame; leave it out")
    order = [numbers[name] for name in shared]
    keypoints = np.stack([instance.keypoints[order] for instance in project.instances])
    visible = np.stack([instance.visible[order] for instance in project.instances])
    spans = diagonals(keypoints, visible)
    boxes = np.stack([np.hypot(instance.box[2], instance.box[3]) for instance in project.instances])
    lengths = np.where(np.isfinite(boxes), boxes, spans)
    frames = tuple(project.frames[number] for number in sorted({one.frame for one in project.instances}))
    notes, features = [], []
    for frame in frames:
        try:
            features.append(thumbnail(read_frame(frame)))
        except InputError as error:
            notes.append(str(error))
    whole = len(shared) == len(skeleton.names)
    return LabelledStatistics(
        np.stack(features) if features else NO_LABELS.features,
        float(np.median(lengths[np.isfinite(lengths)])) if np.isfinite(lengths).any() else float("nan"),
        usual_poses(keypoints, visible) if whole else None, frames, tuple(notes))


def has_label(frames: Sequence[Frame], labelled: Sequence[Frame], apart: int) -> np.ndarray:
    """Returns (N,) bool: frames that are labelled, or closer than `apart` frames to a labelled one of their video.

    Frames are compared by their files. Those that a tool extracted from a video are compared by its name and the
    number at the end of theirs: `labeled-data/<video>/img0123.png` is frame 123 of `<video>.mp4`.
    """
    files = {frame.path.resolve() for frame in labelled if frame.number is None}
    taken: dict[str, list[int]] = {}
    for frame in labelled:
        number = _trailing_number(frame.path.stem) if frame.number is None else frame.number
        if number is not None:
            names = {frame.session, frame.path.parent.name} if frame.number is None else {frame.path.stem}
            for name in names - {""}:
                taken.setdefault(_stem(name), []).append(number)
    return np.array([
        frame.path.resolve() in files if frame.number is None else
        any(abs(frame.number - other) < max(apart, 1) for other in taken.get(frame.path.stem, ()))
        for frame in frames], bool)


def _trailing_number(stem: str) -> int | None:
    found = re.search(r"(\d+)$", stem)
    return int(found[1]) if found else None


def _stem(name: str) -> str:
    """Returns a video's name without its folder and ending."""
    last = name.replace("\\", "/").rsplit("/", 1)[-1]
    return re.sub(r"\.(mp4|avi|mov|mkv|webm|m4v|mpg|mpeg|wmv|ogv)$", "", last, flags=re.IGNORECASE)
