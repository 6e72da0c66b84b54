"""Systems on people's own data, what each needs of a person's project, and the system of any
finished run.
"""

import importlib
import importlib.util
import math
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from kpjax.errors import InputError

if TYPE_CHECKING:  # help needs no JAX
    from kpjax.formats.project import Project
    from kpjax.papers.engine import Experiment, Paper


class Needs(NamedTuple):
    """What `kpjax train <system>` must be given, and how much of it."""

    takes: str  # what it is for: the flags of its own, without the project's
    have: str  # who uses it: what one has, in a line
    labelled_frames: int = 0  # those that are held out included
    images: int = 0
    video_frames: int = 0  # fewest frames of a video that it needs
    beside: str = ""  # what the project cannot tell, and must be there too
    one_animal: bool = False  # on every frame
    otherwise: "Needs | None" = None  # another way to use the system


UNLABELLED = "images without labels"
CROPS = "several animals on a frame: training reads a crop of each, and a small network learns to find them"
LEAST_LABELLED = 2  # frames: one trains, and one is held out
PLAIN = ("  kpjax train --project P  (all labels)",)
# what reads a project's own images without labels, beside the labels alone
WITH_ITS_OWN = "--project P --variants supervised_warped pl_warped"
NEEDS = {
    "semi_supervised": Needs(
        "--project P --unlabelled FOLDER_OR_VIDEO",
        "a few labels, and many images or videos without",
        labelled_frames=LEAST_LABELLED,
        beside=UNLABELLED,
    ),
    "regda": Needs(
        "--source P --target FOLDER_OR_VIDEO",
        "labels of another camera, or of renders",
        labelled_frames=LEAST_LABELLED,
        beside="images of the other domain",
        otherwise=Needs(
            "--target FOLDER_OR_VIDEO --start RUN",
            "a finished run without its labels, and a new camera",
            beside="a finished run of the same keypoints",
        ),
    ),
    "incremental": Needs(
        "--old RUN --project P",
        "a finished run, labels of new keypoints, and no old images",
        labelled_frames=LEAST_LABELLED,
        beside="a finished run with other keypoints",
        otherwise=Needs(
            "--old PREDICTIONS --project P",
            "new keypoints for any tool's model: DeepLabCut, SLEAP, Lightning Pose, by its points",
            labelled_frames=LEAST_LABELLED,
            beside="predictions of any tool",
        ),
    ),
    "pyramids": Needs("--videos FOLDER_OR_VIDEO", "videos, and no labels", video_frames=50),
    "adaptation": Needs(
        "--core RUN --images FOLDER",
        "a finished run of another species, and no labels",
        images=50,
        beside="a finished run of another category",
        one_animal=True,
    ),
}


def own_experiment(name: str) -> "Experiment":
    """Returns a paper on people's own data, whose one preset is `own`.

    Raises InputError for an unknown name.
    """
    if name not in NEEDS:
        raise InputError(
            "system", f"{name!r} does not train on one's own data; kpjax train lists those that do"
        )
    return importlib.import_module(f"kpjax.lab.own.{name}").EXPERIMENT


def paper_of_run(experiment: str, preset: str) -> "Paper | None":
    """Returns the paper of a run, as it is on that run's data; None for an unknown one."""
    from kpjax.papers.engine import OWN

    if preset.partition("-")[0] == OWN:
        return own_experiment(experiment).paper if experiment in NEEDS else None
    if (
        not experiment.isidentifier()
        or importlib.util.find_spec(f"kpjax.papers.{experiment}") is None
    ):
        return None
    return getattr(importlib.import_module(f"kpjax.papers.{experiment}"), "PAPER", None)


def ways() -> list[tuple[str, Needs]]:
    """Returns each system with what it needs, once for every way to use it."""
    return [
        (system, way) for system, needs in NEEDS.items() for way in (needs, needs.otherwise) if way
    ]


class Has(NamedTuple):
    """What a person has of that; a number that a command cannot tell is as large as any."""

    labelled: float = math.inf  # frames
    images: float = math.inf
    longest: float = math.inf  # frames of the longest video, 0 without one
    several: bool = False  # animals on a frame


def lacking(needs: Needs, has: Has) -> str:
    """Returns what a person lacks for a system, in a few words; "" where nothing."""
    if has.several and needs.one_animal:
        return "several animals on a frame"
    if has.labelled < needs.labelled_frames:
        return f"{has.labelled} labelled frames, it needs {needs.labelled_frames}"
    if has.images < needs.images:
        return f"{has.images} images, it needs {needs.images}"
    if has.longest < needs.video_frames:
        found = f"the longest video has {has.longest} frames" if has.longest else "no video"
        return f"{found}, it needs one of {needs.video_frames}"
    return ""


def check_can_train(system: str, has: Has, argument: str) -> None:
    """Raises InputError, which names `argument`, where `kpjax check` would say that a system cannot
    be trained."""
    if why := lacking(NEEDS[system], has):
        raise InputError(argument, f"{system} cannot be trained on it: {why}")


def systems_lines(project: "Project", video_lengths: Sequence[int]) -> list[str]:
    """Returns which systems can be trained on a project, a line each with what they need beside it,
    and a line that says why the others cannot. video_lengths: of those of its videos that can be
    opened."""
    from kpjax.formats.project_source import box_of

    several = max(Counter(one.frame for one in project.instances).values(), default=0) > 1
    croppable = [one.frame for one in project.instances if not several or box_of(one) is not None]
    labelled, lost = len(set(croppable)), len(project.instances) - len(croppable)
    images = sum(frame.number is None for frame in project.frames)
    unlabelled = max(images + max(sum(video_lengths), len(project.frames) - images) - labelled, 0)
    longest = max(video_lengths, default=0)
    has = Has(labelled, images, longest, several)
    able, unable = [], []
    for system, needs in ways():
        if why := lacking(needs, has):
            unable.append(f"{system} ({why})")
            continue
        # Of several animals only those on named images are looked for.
        own = needs.beside == UNLABELLED and unlabelled and not several
        typed = WITH_ITS_OWN if own else f"{system} {needs.takes}"
        beside = f"and its {unlabelled} frames without labels" if own else needs.beside
        able.append(f"  kpjax train {typed}" + (f"  ({beside})" if beside else ""))
    if labelled >= LEAST_LABELLED:
        able = [*PLAIN, *able]
    lines = [CROPS] if several else []
    if lost > 0:
        lines.append(
            f"{lost} of these animals have neither a box nor two keypoints apart, and are not used"
        )
    lines += ["can be trained:", *able] if able else ["nothing can be trained"]
    if unable:
        lines.append(f"cannot: {'; '.join(unable)}")
    return lines
