"""RegDA on people's own data: a project on one kind of images, and unlabelled images of another kind."""
import functools
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import tyro

from kpjax import InputError, Skeleton
from kpjax.augment import Reach
from kpjax.errors import summarise
from kpjax.images.transforms import Transform
from kpjax.input.source import Source
from kpjax.lab.formats.project import Project
from kpjax.lab.formats.project_source import decoded, frame_identity, frames_at, project_source
from kpjax.lab.formats.several_animals import crowd_of
from kpjax.lab.out.reports.pixel_errors import HELD_OUT, TRAINED
from kpjax.lab.own import choices, project as projects
from kpjax.lab.own.animals import crowd_lines, learnt_finder, with_finder
from kpjax.lab.own.choices import Choice
from kpjax.lab.own.earlier_run import Start, with_start
from kpjax.lab.own.found_animals import FoundAnimals, found_animals, open_found
from kpjax.lab.own.networks import usual_choices
from kpjax.lab.own.pixel_errors import Part, with_pixel_errors
from kpjax.lab.own.project import Held, Own
from kpjax.systems import regda
from kpjax.systems.configs import changed
from kpjax.systems.image_sets import ImageSet, Splits
from kpjax.systems.regda.config import SMALL_BODIES, Config, Domains
from kpjax.systems.reports.table import Column
from kpjax.systems.system import Job, Predicting, StoredRun

GREY = 2.0  # grey levels between the channels of a pixel, up to which a set of images has no colour
# Need labels of the target domain, or a known area of keypoints.
UNSUITED = (*(name for name, variant in regda.VARIANTS.items() if variant.kind == "oracle"), "constant_centre",
            "adabn_in_area", "area_ground_false")


@dataclass(frozen=True)
class OwnDomains(Domains):
    """A project, and images that look different."""

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


@dataclass(frozen=True)
class OwnConfig(Config):
    """All that a run between two kinds of people's own images depends on."""

    backbone: Start = Start()
    own: Own = Own()


LIKE = changed(SMALL_BODIES, image_size=128, heatmap_size=32, widths=(16, 32, 64, 64, 128), batch_size=16, steps=800,
               coefficient_steps=100, augmentation="regda", rotation=30.0)
OWN = OwnConfig(**vars(LIKE) | {
    "summary": "one's own labels on images that look different: --source P --target V ... [--target-project P2]; "
    "2 cores", "data": OwnDomains(), "backbone": Start(), "keypoints_never_in_target": (),
    "pretraining_selection": "last", "pck_threshold": 0.1, "pck_over": "scale",
    "heatmaps": replace(LIKE.heatmaps, heatmap_size=0, grid="half_pixel", targets="sub_pixel", decoder="dark")})


def resolved(config: OwnConfig, typed: Collection[str]) -> OwnConfig:
    """Returns the config with what is not typed chosen from the source's project, each choice printed with its reason.

    Raises InputError if there are no target images, if the two projects differ in their keypoints, or for crops around
    boxes where no frame has several animals, from which finding them on the target could be learnt.
    """
    data, own = config.data, config.own
    project = projects.needed_project(data.source, own, "source")
    if data.target_project:
        in_order_of(project.skeleton, projects.needed_project(data.target_project, own, "target_project"))
    if not data.target:
        raise InputError("target", "name images or videos that look different and have no labels")
    frames = frames_at(data.target)
    held = projects.hold_out(project, own.validation)
    facts = choices.facts_of(project, held.train)
    several = crowd_of(project).most > 1
    if "transform" in typed:
        facts = facts._replace(several=data.transform == "around_box")
    if facts.several and not several:
        raise InputError("source", f"{project.root} would be cropped by boxes, which target frames do not have, and no "
                         "frame shows two animals from which finding them could be learnt; leave out --transform")
    print(f"source {projects.described(project, held)}; target: {len(frames)} frames")
    if facts.several:
        print(*crowd_lines(project), sep="\n")
    size, batch, labelled = data.image_size if "image_size" in typed else None, config.batch_size, len(held.train)
    config = choices.chosen(config, [
        *with_start(usual_choices(facts, size, config, typed), config, project.skeleton, typed,
                    "softmax_peak"),
        choices.every_choice(frames),
        choices.steps_by_labels("pretraining_steps", labelled, batch, passes=60, least=300, most=800),
        choices.steps_by_labels("steps", labelled, batch, passes=60, least=500, most=1000),
        Choice("coefficient_steps", 100, "the adversary's share grows within the first steps")], typed)
    if config.backbone.start and hasattr(config.network, "head_layers"):  # the first stage goes on with this head
        config = changed(config, pretraining_head_layers=config.network.head_layers)
    return replace(config, summary=f"{project.root.name}, {labelled} animals with labels, to {len(frames)} frames of "
                   f"{summarise(list(data.target), 2)}; held out: {held.words}")


def in_order_of(skeleton: Skeleton, project: Project) -> Project:
    """Returns a project with its keypoints in another's order. Raises InputError for a keypoint that one lacks."""
    wanted, names = skeleton.names, project.skeleton.names
    only = {"--source": [name for name in wanted if name not in names],
            "--target-project": [name for name in names if name not in wanted]}
    if found := [f"{summarise(some)} only in {flag}" for flag, some in only.items() if some]:
        raise InputError("target_project", f"{project.root} has other keypoints than the source: {', '.join(found)}; "
                         "name them alike")
    order = [names.index(name) for name in wanted]
    instances = tuple(one._replace(keypoints=one.keypoints[order], visible=one.visible[order],
                                   occluded=one.occluded[order]) for one in project.instances)
    return project._replace(skeleton=skeleton, instances=instances)


def open_data(job: Job) -> regda.Data:
    """Opens both domains. The held-out part of the source validates and tests; an unlabelled target has no test."""
    data, own, crops = job.config.data, job.config.own, None
    if data.transform == "around_box":
        frames = [frame for frame in frames_at(data.target) if not (frame.number or 0) % max(own.every, 1)]
        crops = found_animals(job, learnt_finder(job, opened), frames, own=own, root=_root(data, own),
                              argument="target", least=job.config.batch_size)
    return _open(data, own, crops)


def opened(job: Job) -> tuple[Project, Held]:
    """Returns the source's project, and what of it is held out."""
    project = projects.needed_project(job.config.data.source, job.config.own, "source")
    return project, projects.hold_out(project, job.config.own.validation)


def _root(data: OwnDomains, own: Own) -> Path:
    """Returns the folder below which target images are named: that of their labels, where some are labelled."""
    if data.target_project:
        return projects.needed_project(data.target_project, own, "target_project").root
    return projects.needed_project(data.source, own, "source").root


@functools.lru_cache(maxsize=2)
def _open(data: OwnDomains, own: Own, crops: FoundAnimals | None) -> regda.Data:
    project = projects.needed_project(data.source, own, "source")
    train, held_out = projects.open_labelled(data.source, own, data.square(), "source")
    labels = projects.needed_project(data.target_project, own, "target_project") if data.target_project else None
    root, test = _root(data, own), None
    if crops:
        target = open_found(own, data.square(), crops, project.skeleton, root=root, name="target")
    else:
        target = projects.open_unlabelled(own, data.square(), frames_at(data.target), project.skeleton, root=root,
                                          name="target")
    if labels:
        test = decoded(project_source(in_order_of(project.skeleton, labels), data.square(),
                                      occluded=own.occluded, name="target, labelled"), on_bad_frame=own.on_bad_frame)
        tested = {frame_identity(labels.frames[number], root) for number in projects.labelled_frames(labels)}
        if shared := len(tested & {target.identity(number) for number in range(len(target))}):
            print(f"{shared} of the {len(test)} test images are also among the target's {len(target)}, which are "
                  "seen without labels")
    source_is, target_is = ("grey" if colourfulness(domain) <= GREY else "in colour" for domain in (train, target))
    if source_is != target_is:
        print(f"the source is {source_is} and the target {target_is}: if possible, bring both to one of the two")
    return regda.Data(Splits(train, held_out, held_out), Splits(target, None, test), repeats=True)


def colourfulness(source: Source) -> float:
    """Computes the mean difference between the channels of a pixel, over at most 16 images."""
    some = np.linspace(0, len(source) - 1, min(16, len(source))).astype(int)
    return float(np.mean([np.ptp(source[int(number)].image.astype(np.float32), axis=-1).mean() for number in some]))


def columns(config: OwnConfig) -> tuple[Column, ...]:
    """Returns columns of the target domain where it is labelled, and of the source domain."""
    over = f"PCK at {100 * config.pck_threshold:g} % of the labelled body's diagonal"
    source = Column("source/pck", f"source, held out: {over}", "%", 100.0, 1)
    return (Column("target/pck", f"target: {over}", "%", 100.0, 1),
            Column("target/mae", "target MAE", f"px of {config.data.image_size}", 1.0, 2, "lower"), source
            ) if config.data.target_project else (source,)


def parts(job: Job, data: regda.Data) -> dict[str, Part]:
    """Returns the source's animals that train, those held out, and the target's where they are labelled."""
    own, images = job.config.own, job.config.data
    root = projects.needed_project(images.source, own, "source").root
    found = {TRAINED: Part(data.source.train, root), HELD_OUT: Part(data.source.validation, root)}
    if data.target.test:
        found["target"] = Part(data.target.test, projects.needed_project(images.target_project, own).root)
    return found


def predicting(stored: StoredRun) -> Predicting:
    """Returns a finished run as a function of new images, letterboxed or cropped as those were that it learnt from."""
    return regda.predicting(stored)._replace(transform=stored.config.data.square())


SYSTEM = with_finder(with_pixel_errors(regda.SYSTEM._replace(
    presets={"own": OWN}, open=open_data, columns=columns, resolved=resolved, predicting=predicting,
    short_list=lambda preset, config: ("source_only", "regda", "teacher_adaptation") if config.own.control else (
        "teacher_adaptation",),
    applicable=lambda preset, config: tuple(name for name in regda.VARIANTS if name not in UNSUITED)), parts), opened,
    lambda data: data.target.train)
