"""RegDA on people's own data: a project on one kind of images, or a finished run without its labels and images, and
unlabelled images of another kind."""
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Annotated, Literal

import tyro

from kpjax import InputError
from kpjax.augment import Reach
from kpjax.errors import summarise
from kpjax.images.transforms import Transform
from kpjax.lab.formats.project import Project
from kpjax.lab.formats.project_source import crowd_of, frame_identity
from kpjax.lab.out.reports.pixel_errors import HELD_OUT, TRAINED, Part
from kpjax.lab.own import choices, project as projects, without_source
from kpjax.lab.own.animals import learnt_finder
from kpjax.lab.own.declaration import OwnSystem, either, made
from kpjax.lab.own.earlier_run import Start, with_start
from kpjax.lab.own.project import Held, Own
from kpjax.lab.own.without_source import open_target, target_of, tested
from kpjax.systems import regda
from kpjax.systems.configs import ImageSet, Share, Splits, changed
from kpjax.systems.regda.config import SMALL_BODIES, Config, Domains
from kpjax.systems.reports.report import Column
from kpjax.systems.system import Job

# The control that was strongest at equal steps takes about a fifth more time than the others together.
VARIANTS = ("source_only", "source_only_augmented_mse", "regda", "teacher_adaptation")


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


@dataclass(frozen=True)
class OwnConfig(Config):
    """All that a run between two kinds of people's own images depends on."""

    backbone: Start = Start()
    own: Own = Own()
    # Of runs without a source, as is the next: quantile of the start's held-out scores; a target whose median reaches
    # it is left alone
    familiar: Share = 0.3
    logits: tyro.conf.Suppress[bool] = False  # whether the network's maps go through a softmax, as the start's do


LIKE = changed(SMALL_BODIES, image_size=128, heatmap_size=32, widths=(16, 32, 64, 64, 128), batch_size=16, steps=800,
               coefficient_steps=100, augmentation="regda", rotation=30.0)
OWN = OwnConfig(**vars(LIKE) | {
    "summary": "labels P, or a run without them, for images that look different: --source P (or --start RUN) "
    "--target V ...; 2 cores", "data": OwnDomains(), "backbone": Start(), "keypoints_never_in_target": (),
    "pretraining_selection": "last", "pck_threshold": 0.1, "pck_over": "scale",
    "heatmaps": replace(LIKE.heatmaps, heatmap_size=0, grid="half_pixel", targets="sub_pixel", decoder="dark")})


def resolved(config: OwnConfig, typed: Collection[str]) -> OwnConfig:
    """Returns the config with what is not typed chosen from the source's project, each choice printed with its reason.
    """
    data, (project, held) = config.data, opened(config)
    frames, _ = target_of(data, config.own, project.skeleton, "--source")
    print(f"source {projects.described(project, held)}; target: {len(frames)} frames")
    facts, batch, labelled = choices.facts_of_training(project, held, data, typed), config.batch_size, len(held.train)
    if facts.several and crowd_of(project).most < 2:
        raise InputError("source", f"{project.root} would be cropped by boxes, which target frames do not have, and no "
                         "frame shows two animals from which finding them could be learnt; leave out --transform")
    config = choices.chosen(config, [
        *with_start(choices.usual_choices(facts, config, typed), config, project.skeleton, typed, "softmax_peak"),
        choices.every_choice(frames, config.own, typed)[0],
        choices.steps_by_labels("pretraining_steps", labelled, batch, passes=60, least=300, most=800),
        choices.steps_by_labels("steps", labelled, batch, passes=60, least=500, most=1000),
        choices.Choice("coefficient_steps", 100, "the adversary's share grows in the first steps")], typed, labelled)
    if hasattr(config.network, "head_layers") and config.carry_head:  # both stages have this head
        layers = config.network.head_layers
        if "pretraining_head_layers" in typed and config.pretraining_head_layers != layers:
            raise InputError("pretraining_head_layers", f"{config.pretraining_head_layers} where `head_layers` is "
                             f"{layers}: the second stage goes on with the head of the first; `head_layers` sets both, "
                             "and --no-carry-head starts anew")
        config = changed(config, pretraining_head_layers=layers)
    return replace(config, summary=f"{project.root.name}, {labelled} animals with labels, to {len(frames)} frames of "
                   f"{summarise(list(data.target), 2)}; held out: {held.words}")


def opened(config: OwnConfig) -> tuple[Project, Held]:
    """Returns the source's project, and what of it is held out."""
    return projects.opened(config.data.source, config.own, "source")


def open_data(job: Job) -> regda.Data:
    """Opens both domains. The held-out part of the source validates and tests; an unlabelled target has no test."""
    data, own, (project, _) = job.config.data, job.config.own, opened(job.config)
    train, held_out = projects.open_labelled(data.source, own, data.square(), "source")
    frames, labels = target_of(data, own, project.skeleton, "--source")
    root = (labels or project).root
    target, test = open_target(job, frames, labels, project.skeleton, root, lambda: learnt_finder(job, opened))
    if labels:
        tests = {frame_identity(labels.frames[number], root) for number in projects.labelled_frames(labels)}
        if shared := len(tests & {target.identity(number) for number in range(len(target))}):
            print(f"{shared} of the {len(test)} test images are among the target's {len(target)}, seen without labels")
    return regda.Data(Splits(train, held_out, held_out), Splits(target, None, test), repeats=True)


def parts(job: Job, data: regda.Data) -> dict[str, Part]:
    """Returns the source's animals that train, those held out, and the target's where they are labelled."""
    root = opened(job.config)[0].root
    return {TRAINED: Part(data.source.train, root), HELD_OUT: Part(data.source.validation, root)} | tested(job, data)


def columns_of_target(config: OwnConfig) -> tuple[Column, ...]:
    """Returns columns of the target domain where it is labelled."""
    return (Column("target/pck", f"target: PCK at {100 * config.pck_threshold:g} % of the body", "%", 100.0, 1),
            Column("target/mae", "target MAE", f"px of {config.data.image_size}", 1.0, 2, "lower")
            ) if config.data.target_project else ()


WITH_SOURCE = OwnSystem(
    regda.SYSTEM, OWN, resolved, open_data,
    short_list=lambda config: VARIANTS,
    applicable=lambda config: tuple(  # an oracle needs labels of the target domain
        name for name, variant in regda.VARIANTS.items() if variant.kind != "oracle"),
    parts=parts, opened=opened, found=lambda data: data.target.train,
    seeded=lambda config: config.data.transform == "around_box",  # a network of the seed finds animals
    differences={
        "columns": lambda config: (*columns_of_target(config), Column(
            "source/pck", f"source: PCK at {100 * config.pck_threshold:g} % of the body", "%", 100.0, 1)),
        # Letterboxed or cropped as the images were that it learnt from
        "predicting": lambda run: regda.SYSTEM.predicting(run)._replace(transform=run.config.data.square())})
SYSTEM = either(made(WITH_SOURCE), made(without_source.declared(OWN, columns_of_target)),
                lambda config: bool(config.backbone.start) and not config.data.source)
