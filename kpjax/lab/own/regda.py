"""RegDA on people's own data: a project on one kind of images, or a finished run without its labels
and images, and unlabelled images of another kind."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

import tyro

from kpjax.augment import Reach
from kpjax.errors import summarise
from kpjax.images.reading import spread
from kpjax.images.transforms import Transform
from kpjax.input.source import subset
from kpjax.lab.own import choices, project as projects, without_source
from kpjax.lab.own.animals import open_frames
from kpjax.lab.own.declaration import on_own_data
from kpjax.lab.own.earlier_run import Start, starts_on_whole_frames, with_start
from kpjax.lab.own.places import Place, at_place
from kpjax.lab.own.without_source import read_start, target_of
from kpjax.lab.reports.pixel_errors import Part
from kpjax.lab.reports.told import FRAMES
from kpjax.papers import regda
from kpjax.papers.configs import ImageSet, Share, Splits, replace_fields
from kpjax.papers.engine import Job, Outcome, Predicting, StoredRun
from kpjax.papers.regda.config import SMALL_BODIES, Config, Domains
from kpjax.papers.reports.report import Column
from kpjax.training.evaluation import Gathered

# Variants that ask for an area in which keypoints lie.
OF_AREAS = (*regda.OF_AREAS, "area_ground_false")
# The control that was strongest at equal steps takes about a fifth more time than the others
# together.
VARIANTS = ("source_only", "source_only_augmented_mse", "regda", "teacher_adaptation")


# Where no label of the target tells, the last method is shown, beside a network that has not seen
# the target: of all variants this one did best on real recordings, see docs/which.md.
ADAPTING = {"teacher_adaptation": regda.VARIANTS["teacher_adaptation"]._replace(kind="method")}


@dataclass(frozen=True)
class OwnDomains(Domains):
    """A project or a finished run, and images that look different."""

    #: a project with labels: a folder or file of DeepLabCut, SLEAP, COCO, Lightning Pose, or csv
    source: str = ""
    #: images, videos and folders of them, that look different and have no labels
    target: tuple[str, ...] = ()
    #: labels of the target domain, with the same keypoints: they only test, and teach nothing
    target_project: str = ""
    #: whole frames, or a square around each animal's box
    transform: Literal["letterbox", "around_box"] = "letterbox"
    crop_margin: float = 1.25  # side of that square over the longer side of the box
    #: the part of each frame that is looked at, as a run at --start does; (): all of it
    place: Place = ()
    image_size: int = 128  # px; chosen if not given
    own: projects.Own = projects.Own()
    sprites = False  # whatever a project is called

    def loaded(self, reach: Reach | None) -> tuple[None, None]:
        """Returns that people's own images are not loaded larger."""
        return None, None

    def square(self) -> Transform:
        """Returns the transform of a frame to a square image."""
        square = ImageSet(
            transform=self.transform, crop_margin=self.crop_margin, image_size=self.image_size
        ).square_of_new()
        return at_place(square, self.place)


@dataclass(frozen=True)
class OwnConfig(Config):
    """All that a run between two kinds of people's own images depends on."""

    #: `head_layers`, where both stages have one head
    pretraining_head_layers: tyro.conf.Suppress[int] = 2
    # Of runs without a source, as is the next: quantile of the start's held-out scores; a target
    # whose median reaches it is left alone
    familiar: Share = 0.3
    #: whether the network's maps go through a softmax, as the start's do
    logits: tyro.conf.Suppress[bool] = False

    def shortened(self, steps: int) -> Self:
        """Returns the config with so many steps; without a source there is one stage alone."""
        if without_source.is_asked(self):
            return replace_fields(self, steps=steps)
        return super().shortened(steps)


OWN = OwnConfig(
    **vars(
        replace_fields(
            SMALL_BODIES,
            summary="your labels are of another camera, or rendered: --source P (or, without them, "
            "--start RUN) --target V ...",
            heatmap_size=0,
            grid="half_pixel",
            targets="sub_pixel",
            decoder="dark",
            widths=(16, 32, 64, 64, 128),
            batch_size=16,
            steps=800,
            coefficient_steps=100,
            augmentation="regda",
            rotation=30.0,
            pretraining_selection="last",
            pck_threshold=0.1,
            pck_over="scale",
            data=OwnDomains(),
            backbone=Start(),
        )
    )
)


def check_variants(config: OwnConfig, variants: Sequence[str]) -> None:
    """Prints which variants teach that a keypoint is not there, where flags call any absent: those
    whose maps are heights. Without a source no label teaches.
    """
    if without_source.is_asked(config):
        return
    kinds = {name: regda.kind_of_scores(name, config) for name in variants}
    taught = [name for name, kind in kinds.items() if kind == "mse_peak"]
    untaught = [name for name in variants if name not in taught]
    for line in projects.absence_lines(config.data.own, taught, untaught):
        print(line)


def resolve(config: OwnConfig, typed: Collection[str]) -> OwnConfig:
    """Returns the config with what is not typed chosen from the source's project, or from the run in
    its place, each printed with its reason.
    """
    if without_source.is_asked(config):
        return without_source.resolve(config, typed)
    project, held = projects.open_project(config)
    frames, *_ = target_of(config)
    print(f"source {projects.describe(project, held)}; target: {len(frames)} frames")
    whole = starts_on_whole_frames(config, "softmax_peak")
    facts = choices.facts_of_training(
        project, held, config.data, typed, crop_small=not whole, mirrors=False
    )
    batch, labelled = config.batch_size, len(held.train)
    config = choices.apply_choices(
        config,
        [
            *with_start(
                choices.usual_choices(facts, config, typed),
                config,
                project.skeleton,
                typed,
                "softmax_peak",
                project,
                held,
                several=facts.several,
            ),
            choices.every_choice(frames, config.data.own, typed)[0],
            choices.steps_choice(
                "pretraining_steps", labelled, batch, passes=60, least=300, most=800
            ),
            choices.steps_choice("steps", labelled, batch, passes=60, least=500, most=1000),
            choices.Choice(
                "coefficient_steps", 100, "the adversary's share grows in the first steps"
            ),
        ],
        typed,
        labelled,
        summary=f"{project.root.name}, {labelled} animals with labels, to "
        f"{len(frames)} frames of {summarise(list(config.data.target), 2)}; held out: {held.words}",
    )
    layers = getattr(config.network, "head_layers", 0)
    return (
        replace_fields(config, pretraining_head_layers=layers)
        if layers and config.carry_head
        else config
    )


def open_data(job: Job) -> regda.Data:
    """Opens both domains.

    The held-out part of the source validates and tests; an unlabelled target has no test.
    """
    config, alone = job.config, without_source.is_asked(job.config)
    frames, labels, skeleton = target_of(config)
    first = labels or (None if alone else projects.open_project(config)[0])
    root = first.root if first else Path("/")
    run, _, finder = read_start(config.backbone.start) if alone else (None, None, None)
    target = open_frames(job, frames, skeleton, finder, root=root, argument="target")
    test = labels and projects.open_animals(
        config.data.own, config.data.square(), labels, range(len(labels.instances)), "labelled"
    )
    if test and (shared := len(set(test.names) & set(target.names))):
        print(
            f"{shared} of the {len(test)} test images are among the target's {len(target)}, seen without labels"
        )
    if alone:
        return regda.Data(
            Splits(None, None, None),
            Splits(target, None, test),
            identity={"start_digest": run.opened.result["digest"]},
        )
    train, held_out = projects.open_labelled(config)
    return regda.Data(Splits(train, held_out, held_out), Splits(target, None, test), repeats=True)


def columns(config: OwnConfig) -> tuple[Column, ...]:
    """Returns the paper's columns of domains with labels, and how a run without a source agrees
    with its start.
    """
    labelled = []
    if config.data.target_project:
        labelled += ["target/pck", "target/mae"]
    if config.data.source:
        labelled.append("source/pck")
    shown = [column for column in regda.columns(config) if column.metric in labelled]
    if without_source.is_asked(config):
        shown.append(Column("agreement/start", "sure points that stay", "%", 100.0, 1))
    return tuple(shown)


def predicting(stored: StoredRun) -> Predicting:
    """Returns a finished run as a function of new images, letterboxed or cropped as the images were
    that it learnt from.
    """
    if without_source.is_asked(stored.config):
        return without_source.predicting(stored)
    return regda.PAPER.predicting(stored)._replace(transform=stored.config.data.square())


def draw(job: Job, data: regda.Data, outcome: Outcome, predictions: Mapping[str, Gathered]) -> None:
    """Draws predictions on target images."""
    drawn = without_source.draw if without_source.is_asked(job.config) else regda.PAPER.draw
    drawn(job, data, outcome, predictions)


def shown(job: Job, data: regda.Data) -> Part | None:
    """Returns frames of a target without labels, for pictures; those with labels are shown beside
    them.
    """
    config = job.config
    if config.data.target_project:
        return None
    alone, rows = without_source.is_asked(config), spread(range(len(data.target.train)), FRAMES)
    root = Path("/") if alone else projects.open_project(config)[0].root
    return Part(subset(data.target.train, rows, "target"), root)


def applicable(preset: str, config: OwnConfig) -> tuple[str, ...]:
    """Returns the variants that suit a config; an oracle needs labels of the target domain."""
    if without_source.is_asked(config):
        return tuple(without_source.VARIANTS)
    return tuple(
        name
        for name, variant in regda.VARIANTS.items()
        if variant.kind != "oracle" and name not in OF_AREAS
    )


def short_list(preset: str, config: OwnConfig) -> tuple[str, ...]:
    """Returns the variants to run unless some are named."""
    if not without_source.is_asked(config):
        return VARIANTS
    return ("start", "adapted") if config.data.target_project else ("adapted",)


PAPER = regda.PAPER._replace(
    variants={**regda.PAPER.variants, **ADAPTING, **without_source.VARIANTS},
    columns=columns,
    predicting=predicting,
    draw=draw,
    applicable=applicable,
    short_list=short_list,
)
EXPERIMENT = on_own_data(
    PAPER,
    OWN,
    resolve,
    open_data,
    parts=lambda job, data: projects.parts_of(
        job.config, data.source.train, data.source.test, data.target.test
    ),
    shown=shown,
    found=lambda data: data.target.train,
    check_variants=check_variants,
    # a network of the seed finds animals
    seeded=lambda config: config.data.transform == "around_box",
)
