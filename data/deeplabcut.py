"""Any single-animal DeepLabCut project: its `config.yaml` and the label tables under `labeled-data/<video>/`.

Mathis et al., DeepLabCut: markerless pose estimation of user-defined body parts with deep learning, Nature
Neuroscience 2018. Read as `kpjax.annotations.deeplabcut` does: frames without labels stay, images may be of several
sizes and are stored as they are. `scale` is the diagonal of the labelled points' box in pixels, the median of the split
for frames with fewer than two.

A prepared data directory holds one project. There is no published split: frames are shuffled with a seed, see `read`.
"""
import random
from collections.abc import Collection
from pathlib import Path

import numpy as np

from data.annotations import Annotation, stored
from data.checking import all_faults, copies_across, read_whole
from data.prepared import Dataset, KeypointBuilder
from kpjax.annotations import deeplabcut
from kpjax.annotations.project import Project
from kpjax.errors import InputError
from kpjax.structures import Skeleton

TRAINING = 0.69  # of the frames: 80 of the 116 of DeepLabCut's open field mouse


def read(
    folder: Path, faults: list[str], *, train: float = TRAINING, seed: int = 42, test: Collection[str] | None = None
) -> dict[str, list[Annotation]]:
    """The frames of a project, shuffled and split.

    train: their count, or below 1 their fraction. test: names of frames (`video/image`) that test instead of those
    drawn by chance.
    """
    project = _project_of_one(folder, faults)
    frames = sorted(_annotations(project) if project else [], key=lambda frame: frame.name)
    if test is not None:
        if unknown := sorted(set(test) - {frame.name for frame in frames}):
            faults.append(f"test frame {unknown[0]} is not in the project; name frames as video/image")
        return {"train": [frame for frame in frames if frame.name not in test],
                "test": [frame for frame in frames if frame.name in test]}
    random.Random(seed).shuffle(frames)
    count = round(train * len(frames)) if train < 1 else int(train)
    return {"train": frames[:count], "test": frames[count:]}


def check(folder: Path) -> list[str]:
    """All faults of a project, frames that occur in both splits under two names included."""
    return all_faults(read, folder) or copies_across(read(folder, []), folder)


def skeleton(folder: Path | None) -> Skeleton:
    """The body parts of a project as keypoints, with the lines of its config. Raises InputError if there is none."""
    if folder is None:
        raise InputError("deeplabcut: the skeleton is the project's own; name its folder with --manual-dir")
    faults: list[str] = []
    project = _project_of_one(folder, faults)
    if project is None:
        raise InputError(f"deeplabcut: {faults[0]}")
    return Skeleton(project.skeleton.names, project.skeleton.edges)


def _project_of_one(folder: Path, faults: list[str]) -> Project | None:
    """The project, None and a fault if there are several animals in it."""
    project = deeplabcut.read(folder, faults)
    if project is not None and (individuals := project.details["config"].individuals):
        faults.append(f"config.yaml: this is a multi-animal project ({', '.join(individuals)}), only those of one "
                      "animal can be prepared")
        return None
    return project


def _annotations(project: Project) -> list[Annotation]:
    """An annotation for each frame, visible nowhere if it has no label."""
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


class DeepLabCut(KeypointBuilder):
    """One record for each frame of the project: as many points as it has body parts."""

    name = "deeplabcut"
    encoding = "png"

    def splits(self, folder):
        return stored(read_whole(read, folder, self.name))


DATASET = Dataset(
    name="deeplabcut",
    builder=DeepLabCut,
    skeleton=skeleton,
    where="a DeepLabCut project of your own, or examples/openfield-Pranav-2018-10-30 of its repository on GitHub",
    check=check,
)
