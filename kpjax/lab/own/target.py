"""Images that look different, as RegDA learns from them: frames without labels, and perhaps others that test."""
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import tyro

from kpjax import InputError, Skeleton
from kpjax.augment import Reach
from kpjax.errors import summarise
from kpjax.images.transforms import Transform
from kpjax.input.source import ArraySource
from kpjax.lab.formats.project import Frame, Project
from kpjax.lab.formats.project_source import frames_at, project_source
from kpjax.lab.out.reports.pixel_errors import TARGET, Part
from kpjax.lab.own import project as projects
from kpjax.lab.own.animals import Learnt, open_frames
from kpjax.lab.own.project import Own
from kpjax.systems.configs import ImageSet
from kpjax.systems.regda import Data
from kpjax.systems.regda.config import Domains
from kpjax.systems.system import Job


@dataclass(frozen=True)
class OwnDomains(Domains):
    """A project or a finished run, and images that look different."""

    source: str = ""  # a project with labels: a folder or file of DeepLabCut, SLEAP, COCO, Lightning Pose, or csv
    target: tuple[str, ...] = ()  # images, videos and folders of them, that look different and have no labels
    target_project: str = ""  # labels of the target domain, with the same keypoints: they test and teach nothing
    transform: Literal["letterbox", "around_box"] = "letterbox"  # whole frames, or a square around each animal's box
    crop_margin: float = 1.25  # side of that square over the longer side of the box
    image_size: Annotated[int, tyro.conf.arg(aliases=["--size"])] = 128  # px; chosen if not given

    def loaded(self, reach: Reach | None) -> tuple[None, None]:
        """Returns that people's own images are not loaded larger."""
        return None, None

    def square(self) -> Transform:
        """Returns the transform of a frame to a square image."""
        return ImageSet(transform=self.transform, crop_margin=self.crop_margin, image_size=self.image_size
                        ).square_of_new()


class Target(NamedTuple):
    """What is named of the target."""

    frames: Sequence[Frame]
    project: Project | None  # that tests, its keypoints in the order of the skeleton; None where nothing tests


def target_of(data: OwnDomains, own: Own, skeleton: Skeleton, known_by: str) -> Target:
    """Finds the target's frames, and reads the project that tests. known_by: the flag of that skeleton."""
    if not data.target:
        raise InputError("target", "name images or videos that look different and have no labels")
    frames = frames_at(data.target)
    if not data.target_project:
        return Target(frames, None)
    project = projects.needed_project(data.target_project, own, "target_project")
    wanted, names = skeleton.names, project.skeleton.names
    only = {known_by: [name for name in wanted if name not in names],
            "--target-project": [name for name in names if name not in wanted]}
    if found := [f"{summarise(some)} only in {flag}" for flag, some in only.items() if some]:
        raise InputError("target_project", f"{project.root} has other keypoints than {known_by}: {', '.join(found)}; "
                         "name them alike")
    return Target(frames, projects.renamed_to(project, skeleton))


def open_target(job: Job, target: Target, skeleton: Skeleton, root: Path, learnt: Callable[[], Learnt]
                ) -> tuple[ArraySource, ArraySource | None]:
    """Reads the target's frames as `open_frames` does, named by their paths below `root`, and the animals that test."""
    data, own = job.config.data, job.config.own
    tests = target.project and project_source(target.project, data.square(), occluded=own.occluded,
                                              name="target, labelled", on_bad_frame=own.on_bad_frame)
    return open_frames(job, target.frames, skeleton, learnt, root=root, argument="target", name="target"), tests


def tested(job: Job, data: Data) -> dict[str, Part]:
    """Returns the target's animals where they are labelled."""
    if data.target.test is None:
        return {}
    project = projects.needed_project(job.config.data.target_project, job.config.own, "target_project")
    return {TARGET: Part(data.target.test, project.root)}
