"""Semi-supervised localization on people's own data: a project, and frames without labels."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

import tyro
from etils import epath

from kpjax import InputError
from kpjax.errors import count_text
from kpjax.images.transforms import Transform
from kpjax.input import source
from kpjax.lab.own import choices, project as projects
from kpjax.lab.own.animals import open_frames
from kpjax.lab.own.declaration import on_own_data
from kpjax.lab.own.earlier_run import Start, starts_on_whole_frames, with_start
from kpjax.lab.own.places import Place, at_place
from kpjax.lab.own.project import Own, Unlabelled
from kpjax.models import MobileNetV2
from kpjax.papers import semi_supervised
from kpjax.papers.configs import flat, replace_fields
from kpjax.papers.engine import Job
from kpjax.papers.semi_supervised.config import SMALL_REAL, Config, LabelledSubset

LEAST_WITH_LABELS_FIRST = 200  # steps
LEAST_OF_FINE = 300  # of heatmaps of half the images' side, which are learnt more slowly
# by measurement the best of their kind at equal steps
LABELS_ALONE, BOTH = "supervised_warped", "pl_warped"


@dataclass(frozen=True)
class OwnSubset(LabelledSubset):
    """A project of which some animals keep their labels, and frames without labels."""

    #: with labels: a folder or file of DeepLabCut, SLEAP, COCO, Lightning Pose, or csv
    project: str = ""
    #: images, videos, folders of them; none: those of the project, for variants that read some
    unlabelled: tuple[str, ...] = ()
    #: "none": the labels alone, as where no frame is without labels
    unlabelled_pool: Literal["rest", "none"] = "rest"
    #: whole frames, or a square around each animal's box
    transform: Literal["letterbox", "around_box"] = "letterbox"
    #: the part of each frame that is looked at, as labels say; (): all of it
    place: Place = ()
    image_size: int = 128  # px; chosen if not given
    validation: tyro.conf.Suppress[str] = ""  # `Own` has the flag of this name
    own: Own = Own()

    def square_of_new(self) -> Transform:
        """Returns the transform of a frame to a square image."""
        return at_place(super().square_of_new(), self.place)

    @property
    def all_labelled(self) -> bool:
        """Whether there are no frames without labels."""
        return self.unlabelled_pool == "none"


OWN = replace_fields(
    SMALL_REAL,
    summary="you have labelled frames, and perhaps many without labels: --project P [--unlabelled V ...]",
    data=OwnSubset(
        "own", "the labelled body's diagonal", validation_share=0.15, pck_over="scale", labelled=1.0
    ),
    backbone=Start(),
    selection="last",
    heatmap_size=0,
    apart=True,
    generator_size=64,
    generator_widths=(8, 16, 32),
)


def resolve(config: Config, typed: Collection[str]) -> Config:
    """Returns the config with what is not typed chosen from the project, each choice printed with
    its reason.
    """
    data, batch, (project, held) = config.data, config.batch_size, projects.open_project(config)
    kind = semi_supervised.SCORE_KIND
    facts = choices.facts_of_training(
        project, held, data, typed, crop_small=not starts_on_whole_frames(config, kind)
    )
    facts = choices.with_place(facts, project, held, config, typed)
    labelled = data.amount.get("count") or source.rounded_share(data.labelled, len(held.train))
    if labelled > len(held.train):
        raise InputError(
            "labelled",
            f"{labelled} of {len(held.train)} animals that are not held out; ask for fewer",
        )
    made = with_start(
        choices.usual_choices(facts, config, typed, mobilenet=choices.FEW_LABELS),
        config,
        project.skeleton,
        typed,
        kind,
        project,
        held,
        several=facts.several,
    )
    decided = {choice.field: choice.value for choice in made}
    transform = data.transform if "transform" in typed else decided["transform"]
    cropped = transform == "around_box"
    alone = data.all_labelled or (cropped and not data.unlabelled)
    found = (
        Unlabelled((), frozenset())
        if alone
        else projects.unlabelled_frames(project, held, data.unlabelled)
    )
    every, used = choices.every_choice(found.frames, data.own, typed)
    kept = (
        0
        if data.all_labelled
        else len(held.train) - labelled + len(found.taken(used, project.root))
    )
    if data.unlabelled and not kept:
        raise InputError(
            "unlabelled",
            "`unlabelled_pool` none reads none; leave one out"
            if data.all_labelled
            else "all of them are held out; name others",
        )
    left_out = f", {len(found.left_out)} in held-out parts are left out" if found.left_out else ""
    print(f"{projects.describe(project, held)}; without labels: {kept}{left_out}")
    for question in projects.questions(project) if data.own.empty == "often" else ():
        print(question)
    choosing = config.selection == "validation"
    some = labelled < len(held.train)
    if choosing or some:
        finding = (
            f"; what finds animals learns from all {len(held.train)}" if cropped and some else ""
        )
        step = "; those held out choose the step" if choosing else ""
        print(f"labelled animals that train: {labelled}{finding}{step}")
    network = decided.get("network", config.network)
    given = flat(config)
    side, cells = (
        given[name] if name in typed else decided[name] for name in ("image_size", "heatmap_size")
    )
    fine = isinstance(network, MobileNetV2) and 2 * cells == side
    beside = f", {kept} frames without" if data.unlabelled else ""
    least = LEAST_OF_FINE if fine else LEAST_WITH_LABELS_FIRST
    config = choices.apply_choices(
        config,
        [
            *made,
            choices.Choice(
                "labelled", data.labelled, f"all {labelled} animals that are not held out"
            ),
            every,
            choices.steps_choice(
                "warm_start_steps", labelled, batch, passes=40, least=least, most=600
            ),
            choices.steps_choice("steps", labelled, batch // 2, passes=30, least=300, most=900),
            choices.rounds_choice(network, typed, fine=fine),
        ],
        typed,
        labelled,
        unlabelled_pool=data.unlabelled_pool if kept else "none",
        summary=(
            f"{projects.title(data)}, {labelled} animals with labels{beside}; held out: {held.words}"
        ),
    )
    return config


def open_data(job: Job, *, labels_alone: bool = False) -> semi_supervised.Data:
    """Opens the images of a project. The held-out part is both `validation` and `test`: it chooses
    nothing.

    Frames without labels that nobody named are left out if they are copies of held-out ones.

    labels_alone: whether to read no frame without labels.
    """
    data, (project, held) = job.config.data, projects.open_project(job.config)
    train, held_out = projects.open_labelled(job.config)
    drawn = source.labelled_subset(train, **data.amount, seed=job.seed)
    nothing = source.subset(train, (), "without labels")
    opened = semi_supervised.Data(
        source.subset(train, drawn.labelled, f"{train.name}, labelled"),
        nothing,
        train,
        held_out,
        held_out,
        {"labelled_digest": source.digest_of(drawn.digest, held_out.digest)},
    )
    if data.all_labelled or labels_alone:
        return opened
    pools = []
    if len(drawn.rest):
        rest = source.without_labels(source.subset(train, drawn.rest))
        pools.append(source.in_memory(rest))
    if data.transform == "letterbox" or data.unlabelled:
        found = projects.unlabelled_frames(project, held, data.unlabelled)
        if frames := found.taken(data.own.every, project.root):
            pools.append(
                open_frames(
                    job,
                    frames,
                    train.skeleton,
                    root=project.root,
                    argument="unlabelled",
                    held_out=(project, held),
                )
            )
    pool = source.join_sources(pools, "without labels") if pools else nothing
    if data.unlabelled:
        source.check_disjoint(pool, held_out)
    # nobody named them, and a still video repeats its frames
    elif copies := source.shared_images(pool, held_out):
        print(
            f"left out: {count_text(len(copies), 'frame')} without labels, exactly like a held-out one"
        )
        pool = source.subset(pool, sorted(set(range(len(pool))) - set(copies)), pool.name)
    if not len(pool):
        raise InputError(
            "unlabelled",
            "all frames without labels are copies of held-out ones; name images or videos, or "
            f"train --variants {LABELS_ALONE}",
        )
    identity = dict(opened.identity) | {"unlabelled_digest": pool.digest}
    return opened._replace(unlabelled=pool, identity=identity)


def short_list(config: Config) -> tuple[str, ...]:
    """Returns the labels alone, and beside them what reads images without labels where the user names
    such images.

    Pseudo-labels take as long again. They gained on rendered people with 5 and 20 labels and on 50
    athletes; no gain was shown on 50 tongues, 50 pairs of lips and a mouse.
    """
    return (LABELS_ALONE, BOTH) if config.data.unlabelled else (LABELS_ALONE,)


def reads_unlabelled(config: Config, variant: str) -> bool:
    """Returns whether a variant, or one that it starts from, reads images without labels."""
    skeleton, table = projects.open_project(config)[0].skeleton, semi_supervised.VARIANTS
    nowhere = epath.Path("nowhere")
    stages = Job(EXPERIMENT, config, "own", variant, 0, nowhere, nowhere).lengths
    parts = {folder.parent.name for folder in stages} & table.keys()
    return any("unlabelled" in table[part].method(config, skeleton).streams for part in parts)


def check_variants(config: Config, variants: Sequence[str]) -> None:
    """Says that images without labels are not read, where no variant reads those that there are.
    Raises InputError where they are named."""
    if config.data.all_labelled or any(reads_unlabelled(config, name) for name in variants):
        return
    if config.data.unlabelled:
        raise InputError(
            "unlabelled",
            f"{' and '.join(variants)} would not read them, but learn from labels alone; leave "
            f"them out, or add --variants {BOTH}",
        )
    print(
        f"frames without labels are not used: --variants {LABELS_ALONE} {BOTH} reads them, --unlabelled V others"
    )


PAPER = semi_supervised.PAPER._replace(
    short_list=lambda preset, config: short_list(config),
    applicable=lambda preset, config: tuple(
        name for name in semi_supervised.applicable("own", config) if name != "all_labels"
    ),
)
EXPERIMENT = on_own_data(
    PAPER,
    OWN,
    resolve,
    open_data,
    parts=lambda job, data: projects.parts_of(job.config, data.labelled, data.validation),
    found=lambda data: data.unlabelled,
    check_variants=check_variants,
    seeded=lambda config: True,
    labels_alone=lambda job: not reads_unlabelled(job.config, job.variant),
    of_unlabelled=(projects.VIDEOS, "unlabelled", "unlabelled_pool", "every"),
)
