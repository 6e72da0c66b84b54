"""A project on the disk, as a person would bring it: synthetic people in several recordings."""

from pathlib import Path

import numpy as np
from PIL import Image

from data.figures import DOMAINS, figures
from kpjax.formats.project import Frame, Project, instance_of
from kpjax.structures import Skeleton


def synthetic_project(
    root: Path,
    *,
    recordings=("one", "two", "three"),
    labelled=4,
    unlabelled=2,
    side=32,
    keypoints=4,
    first=0,
) -> Project:
    """Images are written below `root`; each recording has `labelled` frames with and then some
    without labels.
    """
    count = len(recordings) * (labelled + unlabelled)
    people = figures(count, first=first, domain=DOMAINS["source"], seed=0, side=side)
    frames, instances = [], []
    for number in range(count):
        example, recording = people[number], recordings[number // (labelled + unlabelled)]
        path = root / recording / f"img{number:04d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.asarray(example.image)).save(path)
        frames.append(Frame(f"{recording}/{path.name}", path, None, (side, side), recording))
        if number % (labelled + unlabelled) < labelled:
            instances.append(instance_of(number, example.keypoints[:keypoints].astype(np.float64)))
    skeleton = Skeleton(people.skeleton.names[:keypoints])
    return Project(root, "csv", skeleton, tuple(frames), tuple(instances))
