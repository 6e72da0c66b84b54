"""Incremental learning on people's own data: a finished run, and a project that labels further
keypoints.
"""

import functools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from flax.traverse_util import flatten_dict

from kpjax import InputError, Skeleton, Variables
from kpjax.formats.project import Project
from kpjax.formats.uniting import united_skeleton
from kpjax.images.reading import spread
from kpjax.images.transforms import Transform
from kpjax.input import source
from kpjax.input.protocols import Protocol, ProtocolStep
from kpjax.lab.own import choices, project as projects
from kpjax.lab.own.declaration import on_own_data
from kpjax.lab.own.earlier_run import (
    EarlierRun,
    check_seen,
    earlier_run,
    parts_of,
    rates_from,
    rename_keypoints,
)
from kpjax.lab.own.places import Place, at_place
from kpjax.lab.own.whole_animals import check_boxes, finder_for, with_found_boxes
from kpjax.lab.reports.pixel_errors import HELD_OUT, TRAINED, Part
from kpjax.lab.reports.told import FRAMES, besides
from kpjax.methods import published
from kpjax.methods.incremental_family.step_spec import has_channels
from kpjax.models import KeypointNetwork
from kpjax.papers import incremental
from kpjax.papers.configs import FINE_RATE, flat, replace_fields, stored_fields
from kpjax.papers.engine import Job, Outcome
from kpjax.papers.incremental.config import SMALL_REAL, Config, StepImages
from kpjax.papers.incremental.measures import matrices_of, measure as paper_measure
from kpjax.papers.incremental.runs import Data, setting_of
from kpjax.papers.incremental.stages import SCORE_KIND
from kpjax.papers.reports.report import Column
from kpjax.platforms import run_once
from kpjax.training.evaluation import Gathered, predict_source
from kpjax.training.finished_runs import FinishedRun


@dataclass(frozen=True)
class OwnImages(StepImages):
    """A finished run, and a project with labels of new keypoints."""

    old: str = ""  # a finished run's folder, .../<variant>/seed-<n>, or movenet
    #: with labels of new keypoints: DeepLabCut, SLEAP, COCO, Lightning Pose, or csv
    project: str = ""
    #: whole frames, or a square around each animal's box
    transform: Literal["letterbox", "around_box"] = "letterbox"
    #: the part of each frame that is looked at, as the old run does; (): all of it
    place: Place = ()
    validation: tyro.conf.Suppress[str] = ""  # `Own` has the flag of this name
    own: projects.Own = projects.Own()
    brings_base: ClassVar[bool] = True
    later_steps: ClassVar[int] = 1

    def square_of_new(self) -> Transform:
        """Returns the transform of a frame to a square image."""
        return at_place(super().square_of_new(), self.place)


OWN = replace_fields(
    SMALL_REAL,
    summary="you need new keypoints, and the old model's images are gone: --old RUN --project P",
    heatmap_size=0,
    data=OwnImages(
        "own",
        "the diagonal of all keypoints",
        protocol="own",
        image_size=128,
        validation_share=0.1,
        difficulty=1.0,
    ),
    base_steps=1,
    pck_threshold=0.1,
)


def old_run(folder: str) -> EarlierRun:
    """Opens the old model: a run's folder, or a published network."""
    return earlier_run(folder, "old", SCORE_KIND)


def project_of(config: Config, *, quiet: bool = True) -> Project:
    """Reads the project; where the old model is a published one, keypoints that it knows have its
    names. Raises InputError as `needed_project` does."""
    project = projects.needed_project(config.data)
    if not published.is_published(config.data.old):
        return project
    return rename_keypoints(project, quiet=quiet, known=published.PERSON.names, needed=False)


def grow_channels(
    old: EarlierRun, network: KeypointNetwork, keypoints: int, image_size: int
) -> Variables:
    """Returns the old variables, whose channels come first, with untrained channels up to so many
    keypoints.

    network: has a channel for each. Raises InputError where its layers are not those of the old
    one.
    """
    images = jnp.zeros((1, image_size, image_size, 3))
    fresh = run_once(functools.partial(network.init, train=False))(jax.random.key(0), images)
    known, count = flatten_dict(old.opened.trained.variables, sep="/"), len(old.skeleton.names)

    def of_leaf(path, leaf):
        name = "/".join(str(key.key) for key in path)
        given, channels = np.asarray(known.get(name, ())), has_channels(path, leaf, keypoints)
        needed = (*leaf.shape[:-1], count) if channels else leaf.shape
        if given.shape != needed:
            raise InputError(
                "old",
                f"{name} of its network is {given.shape} where {needed} is needed; leave its "
                "options as they are",
            )
        return np.concatenate([given, np.asarray(leaf)[..., count:]], -1) if channels else given

    return jax.tree_util.tree_map_with_path(of_leaf, parts_of(fresh))


def resolve(config: Config, typed: Collection[str]) -> Config:
    """Returns the config with what is not typed taken from the old run or chosen from the project,
    with reasons.
    """
    old, project = old_run(config.data.old), project_of(config, quiet=False)
    names, network = old.skeleton.names, old.taken_over["network"]
    if refused := sorted(
        set(typed) - {"network", *flat(replace(config, network=network))} | {"weights"} & set(typed)
    ):
        raise InputError(
            refused[0], f"the old run decides about {network.name} and its weights; leave it out"
        )
    new = new_names(names, project)
    shared = [name for name in project.skeleton.names if name in names]
    held = projects.hold_out(project, config.data.own.validation)
    both = f"; in both, and taken for the same keypoints: {', '.join(shared)}, whose labels teach nothing"
    print(
        projects.describe(project, held),
        f"new keypoints: {', '.join(new)}; old ones: {', '.join(names)}{both * bool(shared)}",
        sep="\n",
    )
    # A network that has seen whole frames knows animals of their size.
    whole, labelled = old.taken_over.get("transform") != "around_box", len(held.train)
    found_by = finder_for(replace_fields(config, transform="around_box"))
    facts = choices.facts_of_training(
        project, held, config.data, typed, crop_small=not whole, finds=found_by is None
    )
    check_seen(old, "old", typed, config.data.transform, several=facts.several)
    rotation = choices.rotation_choice(facts)
    rates = (
        choices.rate_choices(config, "published weights are changed slowly", FINE_RATE)
        if published.is_published(config.data.old)
        else rates_from(old, config)
    )
    config = choices.apply_choices(
        config,
        [
            *(
                choice
                for choice in choices.image_choices(facts, None)[:1]
                if choice.field not in old.taken_over
            ),
            *(
                choices.Choice(name, value, "as it is in the old run")
                for name, value in old.taken_over.items()
            ),
            rotation,
            *mirroring_choices(old, project, facts, rotation.value),
            choices.steps_choice(
                "steps", labelled, config.batch_size, passes=60, least=300, most=600
            ),
            *rates,
        ],
        typed,
        labelled,
        summary=(
            f"{', '.join(new)} from {projects.title(config.data)}, {labelled} animals, "
            f"for a model of {', '.join(names)}; held out: {held.words}"
        ),
    )
    if config.data.transform == "around_box":
        check_boxes(project, names, config.data.own, found_by)
    return config


def new_names(old: tuple[str, ...], project: Project) -> tuple[str, ...]:
    """Returns the keypoints of a project that the old model does not know.

    Raises InputError if none has a label.
    """
    labelled = np.stack([one.seen for one in project.instances]).any(0) if project.instances else ()
    names = [name for name, seen in zip(project.skeleton.names, labelled, strict=False) if seen]
    new = tuple(name for name in names if name not in old)
    if not new:
        raise InputError(
            "project",
            f"{project.root} labels {', '.join(names) or 'nothing'}, and the old run knows all of "
            "that; label new keypoints",
        )
    return new


def joint_skeleton(old: Skeleton, project: Project) -> Skeleton:
    """Returns the old keypoints, then the project's new ones, with edges, groups and mirror images as
    projects have them that are united. Raises InputError as `united_skeleton` does.
    """
    known, labels = (*old.names, *new_names(old.names, project)), project.skeleton
    kept = [k for k, name in enumerate(labels.names) if name in known]
    if any(labels.flip[k] not in kept for k in kept if labels.flip):
        labels = replace(labels, flip=())  # a mirror image without a label; names say the others
    return united_skeleton(
        {"the old run": old, project.root.name: source.chosen_keypoints(labels, kept)}
    )


def mirroring_choices(
    old: EarlierRun, project: Project, facts: choices.Facts, rotation: float
) -> list[choices.Choice]:
    """Chooses whether mirrored images are learnt from: by the labels, or where these have no pair of
    left and right, as the old run has it."""
    found = choices.flip_choices(facts, rotation)
    stored = stored_fields(old.opened.files.get("config.json", {}).get("config", {}))
    if found or "flip" not in stored or not joint_skeleton(old.skeleton, project).flip:
        return found
    return [choices.Choice("flip", stored["flip"], "as it is in the old run")]


@functools.lru_cache(maxsize=2)
def open_project(config: Config) -> tuple[Data, source.Source]:
    """Opens a project in two steps, and its evaluation images with the person's labels alone.

    Only the evaluation, on what is held out, reads labels of keypoints that the old model knows. An
    old keypoint without a label there lies where the old model finds it, if its score reaches the
    old cutoff and nothing says that it is absent: its accuracy is then the agreement of the new
    model with the old one. `scale` is the diagonal of all keypoints.
    """
    old, own = old_run(config.data.old), config.data.own
    project = project_of(config)
    held, known = projects.hold_out(project, own.validation), len(old.skeleton.names)
    if learnt := finder_for(config):
        labelled = (*held.train, *held.held_out)
        margin = config.data.crop_margin
        project, whole = with_found_boxes(project, labelled, learnt, own, margin)
        held = only_whole(project, held, whole)
    skeleton = joint_skeleton(old.skeleton, project)
    project = projects.renamed_to(project, skeleton)
    train, held_out = (
        projects.open_animals(own, config.data.square(), project, numbers, part, taught=True)
        for numbers, part in ((held.train, "training"), (held.held_out, "held out"))
    )
    absent = held_out.examples.visible < 0
    held_out = with_visible(held_out, np.where(absent, np.float32(0), held_out.examples.visible))
    steps = (
        ProtocolStep(skeleton.names[:known], ()),
        ProtocolStep(skeleton.names[known:], tuple(range(len(train)))),
    )
    mirrored = all((k < known) == (other < known) for k, other in enumerate(skeleton.flip))
    protocol = Protocol(
        "own", project.root.name, steps, train.digest, triple="automatic", mirrored=mirrored
    )
    found = predict_source(
        old.opened.method, old.opened.trained, held_out, batch_size=2 * config.batch_size
    )
    keypoints, visible = held_out.examples.keypoints.copy(), held_out.examples.visible.copy()
    sure = np.zeros(visible.shape, bool)
    sure[:, :known] = found.scores >= old.opened.score.cutoffs
    fill = (visible == 0) & sure & ~absent
    keypoints[fill], visible[fill] = found.keypoints[fill[:, :known]], 1
    lengths = diagonals(keypoints, visible, otherwise=held_out.examples.scale)
    evaluation = source.map_examples(
        source.with_labels(held_out, keypoints, visible, held_out.name),
        lambda example, index: example._replace(scale=lengths[index]),
        "diagonal of all points",
        name=held_out.name,
    )
    network = setting_of(config, skeleton, mirrored=mirrored).setup.model
    variables = grow_channels(old, network, len(skeleton.names), config.data.image_size)
    return Data(train, evaluation, protocol, base=variables, poses=train), held_out


def only_whole(project: Project, held: projects.Held, whole: Collection[int]) -> projects.Held:
    """Returns both parts, of those animals alone of which a whole one was found, and of frames that
    show nobody. Raises InputError where none is left on one side."""
    kept = {*whole, *(n for n, one in enumerate(project.instances) if one.frame in project.nobody)}
    train, held_out = ([n for n in part if n in kept] for part in (held.train, held.held_out))
    for part, numbers in (("that train", train), ("held out", held_out)):
        if not {*numbers} & {*whole}:
            raise InputError(
                "old",
                f"the old run's finder finds none of the animals {part}; give a project with a box for each "
                "animal, as COCO has them",
            )
    return held._replace(train=tuple(train), held_out=tuple(held_out))


def with_visible(animals: source.ArraySource, visible: np.ndarray) -> source.ArraySource:
    """Returns animals with other values (N, K) of `visible`."""
    return replace(animals, examples=animals.examples._replace(visible=visible))


def diagonals(keypoints: np.ndarray, visible: np.ndarray, otherwise: np.ndarray) -> np.ndarray:
    """Computes (N,) float32 px: the diagonal of the visible points of each animal, at least a pixel;
    with fewer than two of them the median of the others, or what is given (N,) if there is none."""
    lengths = np.full(len(keypoints), np.nan, np.float32)
    for number, there in enumerate(visible > 0):
        if there.sum() > 1:
            lengths[number] = max(np.hypot(*np.ptp(keypoints[number, there], axis=0)), 1.0)
    known = np.isfinite(lengths)
    return np.where(known, lengths, np.median(lengths[known]) if known.any() else otherwise)


def measure(
    job: Job, data: Data, outcome: Outcome, predictions: Mapping[str, Gathered]
) -> dict[str, float]:
    """Adds PCK at the first threshold: of the new keypoints, and of the old ones before and after;
    and `old/labelled`, the share of the old ones by which they are judged that has a label, and not
    the old model's answer.
    """
    labelled = open_project(job.config)[1].examples.visible[:, data.introduced == 0]
    judged = np.stack([data.evaluation[number].visible for number in range(len(data.evaluation))])
    judged = judged[:, data.introduced == 0]
    before, *_, after = matrices_of(job, data, predictions).accuracy
    values = {
        "new/pck": after[data.introduced == 1],
        "old/pck": after[data.introduced == 0],
        "old/pck_before": before[data.introduced == 0],
    }
    means = {name: np.nanmean(one) for name, one in values.items() if np.isfinite(one).any()}
    return paper_measure(job, data, outcome, predictions) | {
        name: float(value)
        for name, value in (
            means | {"old/labelled": (labelled > 0).sum() / max((judged > 0).sum(), 1)}
        ).items()
    }


def told(run: FinishedRun, others: Sequence[FinishedRun]) -> list[str]:
    """Says how many of the old points stay, by their labels or by the old network's answers."""
    found = run.metrics
    if "old/pck" not in found:
        return []
    answers = "within a tenth of the animal’s length of where the old network finds them"
    judged = {0.0: answers, 1.0: "near their labels"}.get(
        found["old/labelled"], f"near their labels, or without one {answers}"
    )
    before = f"; with the old network {100 * found['old/pck_before']:.0f} are" * (
        found["old/labelled"] > 0
    )
    return [
        f"Old points: {100 * found['old/pck']:.0f} of 100 stay{besides(others, 'old/pck', 100)}. On held-out "
        f"frames so many are {judged}{before}."
    ]


def parts(job: Job, data: Data) -> dict[str, Part]:
    """Returns the animals held out, and those that train with the labels that teach."""
    _, held_out = open_project(job.config)
    own, project = job.config.data.own, project_of(job.config)
    # labels of old keypoints teach nothing, and their cells are not empty
    new = Skeleton(new_names(old_run(job.config.data.old).skeleton.names, project))
    return {
        TRAINED: projects.part_of(own, projects.renamed_to(project, new), data.train),
        HELD_OUT: projects.part_of(own, project, held_out),
    }


def shown(job: Job, data: Data) -> Part:
    """Returns held-out frames, with the old network's answers for old points without a label."""
    rows = spread(range(len(data.evaluation)), FRAMES)
    return Part(
        source.subset(data.evaluation, rows, "held out"), projects.open_project(job.config)[0].root
    )


def columns(config: Config) -> tuple[Column, ...]:
    """Returns the accuracy of old and of new keypoints."""
    threshold = f"{100 * config.pck_threshold:g} %"
    return (
        Column("old/pck", "old points that stay", "%", 100.0, 1),
        Column("old/pck_before", "with the old network", "%", 100.0, 1, ""),
        Column(
            "new/pck", f"new points within {threshold} of {config.data.scale_is}", "%", 100.0, 1
        ),
    )


# Without those that need images of the old model, or labels of its keypoints.
VARIANTS = (
    "kamp",
    "kamp_rerendered",
    "finetune",
    "lwf",
    "self_training",
    "memory_replay",
    "ksd_only_short",
    "self_training_short",
    "memory_replay_short",
    "ksd_only",
    "ka_only",
    "random_triples",
)


PAPER = incremental.PAPER._replace(
    measure=measure,
    columns=columns,
    short_list=lambda preset, config: ("finetune", "ksd_only"),
    applicable=lambda preset, config: VARIANTS,
)
EXPERIMENT = on_own_data(
    PAPER,
    OWN,
    resolve,
    lambda job: open_project(job.config)[0],
    parts=parts,
    shown=shown,
    told=told,
    # those of the old keypoints, which the new labels do not have
    cutoffs=lambda config: dict(enumerate(old_run(config.data.old).opened.score.cutoffs.tolist())),
    finder=finder_for,
)
