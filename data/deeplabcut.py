"""Any single-animal DeepLabCut project: its `config.yaml` and the label tables under
`labeled-data/<video>/`.

`kpjax.formats.deeplabcut` reads the project: frames without labels stay, images may vary in size
and are stored unchanged. `scale` is the diagonal of the labelled points' box in pixels, or the
median of the split for frames with fewer than two.

A data directory holds one prepared project. There is no published split. Whole videos train, tune
or test; with fewer than three, each is cut by the order of its frames, and frames between two parts
are left out.
"""

from itertools import groupby
from pathlib import Path

import numpy as np

from data.annotations import Annotation, split_records
from data.checking import all_faults, copies_across, read_whole
from data.parts import PARTS, by_time, by_unit
from data.prepared import Card, Dataset
from kpjax.errors import InputError
from kpjax.file_names import natural_order
from kpjax.formats import deeplabcut
from kpjax.formats.project import Project, Report
from kpjax.structures import Skeleton


def read(folder: Path, faults: list[str]) -> dict[str, list[Annotation]]:
    """Reads the frames of a project in three parts: by whole videos, or of fewer than three each by
    time.
    """
    project = _project_of_one(folder, faults)
    found = _annotations(project) if project else []
    frames = sorted(found, key=lambda frame: (video_of(frame), natural_order(frame.name)))
    videos = {video: list(of_video) for video, of_video in groupby(frames, video_of)}
    if len(videos) >= 3:
        return by_unit(frames, video_of)
    parts = [by_time(of_video) for of_video in videos.values()]
    return {part: [frame for one in parts for frame in one[part]] for part in PARTS}


def video_of(frame: Annotation) -> str:
    """Returns the folder of a frame below `labeled-data`."""
    return frame.name.rpartition("/")[0]


def check(folder: Path) -> list[str]:
    """Returns all faults of a project, including images that two parts hold under two names."""
    return all_faults(read, folder) or copies_across(read(folder, []), folder)


def skeleton(folder: Path | None) -> Skeleton:
    """Returns a project's body parts and skeleton lines.

    Raises InputError if the project cannot be read.
    """
    if folder is None:
        raise InputError(
            "deeplabcut: the skeleton is the project's own; give its folder with --manual-dir"
        )
    faults: list[str] = []
    project = _project_of_one(folder, faults)
    if project is None:
        raise InputError(f"deeplabcut: {faults[0]}")
    return Skeleton(project.skeleton.names, project.skeleton.edges)


def _project_of_one(folder: Path, faults: list[str]) -> Project | None:
    """Reads a single-animal project, None (and a fault) if it has several animals."""
    try:
        project = deeplabcut.read(folder, Report("", faults, []))
    except InputError as error:
        faults.append(str(error))
        return None
    if individuals := sorted({one.track for one in project.instances} - {""}):
        faults.append(
            f"config.yaml: this is a multi-animal project ({', '.join(individuals)}); only single-animal "
            "projects can be prepared"
        )
        return None
    return project


def _annotations(project: Project) -> list[Annotation]:
    """Returns an annotation of each frame, with no visible point if the frame has no label."""
    labelled = {instance.frame: instance for instance in project.instances}
    count = len(project.skeleton.names)
    found = []
    for number, frame in enumerate(project.frames):
        keypoints, visible = np.zeros((count, 2)), np.zeros(count, bool)
        if number in labelled:
            visible = labelled[number].visible > 0
            keypoints[visible] = labelled[number].keypoints[visible]
        found.append(Annotation("/".join(frame.path.parts[-2:]), frame.path, keypoints, visible))
    return found


DATASET = Dataset(
    "deeplabcut",
    skeleton,
    Card(
        __doc__,
        where=(
            "a DeepLabCut project of your own, or examples/openfield-Pranav-2018-10-30 of its "
            "repository on GitHub"
        ),
        licence="your project's own",
        homepage="https://github.com/DeepLabCut/DeepLabCut",
        citation=(
            "Mathis et al., DeepLabCut: markerless pose estimation of user-defined body parts with"
            " deep learning, Nature Neuroscience 2018."
        ),
    ),
    lambda folder: split_records(read_whole(read, folder, "deeplabcut")),
    check,
    "png",
)
