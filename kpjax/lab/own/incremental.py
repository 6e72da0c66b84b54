"""Incremental learning on people's own data: a finished run, or the points that any tool has
predicted, and a project that labels further keypoints.
"""

import functools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from flax.traverse_util import flatten_dict

from kpjax import InputError, Skeleton, Variables, geometry
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
from kpjax.lab.own.old_points import OldPoints, described, old_points, teaching_project
from kpjax.lab.own.places import Place, at_place
from kpjax.lab.own.project import are_points
from kpjax.lab.own.whole_animals import check_boxes, finder_for, with_found_boxes
from kpjax.lab.reports.pixel_errors import HELD_OUT, TRAINED, Part, pixels, wrap_lines
from kpjax.lab.reports.told import FRAMES, besides
from kpjax.methods import published
from kpjax.methods.incremental_family.step_spec import has_channels
from kpjax.models import KeypointNetwork
from kpjax.papers import incremental
from kpjax.papers.configs import FINE_RATE, flat, replace_fields, stored_fields
from kpjax.papers.engine import Job, Outcome
from kpjax.papers.incremental.config import SMALL_REAL, Config, StepImages
from kpjax.papers.incremental.measures import accuracies, matrices_of, measure as paper_measure
from kpjax.papers.incremental.runs import Data, setting_of
from kpjax.papers.incremental.stages import SCORE_KIND
from kpjax.papers.reports.report import Column
from kpjax.platforms import run_once
from kpjax.training.evaluation import Gathered, predict_source
from kpjax.training.finished_runs import FinishedRun


@dataclass(frozen=True)
class OwnImages(StepImages):
    """An old model, and a project with labels of new keypoints."""

    # a finished run's folder, .../<variant>/seed-<n>, or movenet; or any tool's predictions on the
    # project's images, or on their videos: DeepLabCut's, SLEAP's, Lightning Pose's, COCO results
    old: str = ""
    #: with labels of new keypoints: DeepLabCut, SLEAP, COCO, Lightning Pose, or csv
    project: str = ""
    #: whole frames, or a square around each animal's box
    transform: Literal["letterbox", "around_box"] = "letterbox"
    #: the part of each frame that is looked at, as the old run does; (): all of it
    place: Place = ()
    validation: tyro.conf.Suppress[str] = ""  # `Own` has the flag of this name
    own: projects.Own = projects.Own()
    later_steps: ClassVar[int] = 1

    @property
    def brings_base(self) -> bool:
        """Whether an old run is the base; another tool's points teach one."""
        return not are_points(self.old)

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


@functools.lru_cache(maxsize=2)
def points_of(config: Config) -> OldPoints:
    """Reads the points that are the old model."""
    return old_points(project_of(config), config.data)


def old_skeleton(config: Config) -> Skeleton:
    """Returns the keypoints of the old model, whatever it is."""
    old = config.data.old
    return points_of(config).skeleton if are_points(old) else old_run(old).skeleton


def project_of(config: Config, *, quiet: bool = True) -> Project:
    """Reads the project; where the old model is a published one, keypoints that it knows have its
    names, where it is points, animals have boxes about theirs. Raises InputError as `needed_project`
    does."""
    project = projects.with_whole_animals(projects.needed_project(config.data), config.data)
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
    if are_points(config.data.old):
        return resolve_with_points(config, typed)
    old, project = old_run(config.data.old), project_of(config, quiet=False)
    names, network = old.skeleton.names, old.taken_over["network"]
    if refused := sorted(
        set(typed) - {"network", *flat(replace(config, network=network))} | {"weights"} & set(typed)
    ):
        raise InputError(
            refused[0], f"the old run decides about {network.name} and its weights; leave it out"
        )
    new, held = describe_both(config, names, project)
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


def describe_both(
    config: Config, names: tuple[str, ...], project: Project
) -> tuple[tuple[str, ...], projects.Held]:
    """Prints what the project has, and which of its keypoints are new to an old model of some names;
    returns these, and what is held out."""
    new = new_names(names, project)
    shared = [name for name in project.skeleton.names if name in names]
    held = projects.hold_out(project, config.data.own.validation)
    line = f"new keypoints: {', '.join(new)}; old ones: {', '.join(names)}"
    if shared:
        line += f"; in both, and taken for the same keypoints: {', '.join(shared)}, whose labels teach nothing"
    print(projects.describe(project, held), line, sep="\n")
    return new, held


def resolve_with_points(config: Config, typed: Collection[str]) -> Config:
    """Returns the config for an old model that is another tool's points: a network of one's own
    learns these first, and all is chosen from them and the labels together."""
    project, old = project_of(config, quiet=False), points_of(config)
    new, held = describe_both(config, old.skeleton.names, project)
    print(wrap_lines(described(old, Path(config.data.old).name)))
    skeleton = joint_skeleton(old.skeleton, project)
    teaching, _ = teaching_project(project, old, skeleton)
    facts = choices.facts_of_training(teaching, held, config.data, typed)
    labelled, all_taught = len(held.train), len(held.train) + len(old.on_bare)
    batch = config.batch_size
    return choices.apply_choices(
        config,
        [
            *choices.usual_choices(facts, config, typed, mobilenet=choices.FEW_LABELS),
            choices.steps_choice(
                "base_steps", all_taught, batch, of="frames", passes=30, least=400, most=800
            ),
            choices.steps_choice("steps", labelled, batch, passes=60, least=400, most=600),
        ],
        typed,
        labelled,
        summary=(
            f"{', '.join(new)} from {projects.title(config.data)}, {labelled} animals, "
            f"for points of {', '.join(old.skeleton.names)}; held out: {held.words}"
        ),
    )


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


class Opened(NamedTuple):
    """What trains and what is held out."""

    data: Data
    held_out: source.ArraySource  # with a person's labels alone
    answers: np.ndarray  # (N, K) points of the old model there, in px of its squares
    sure: np.ndarray  # (N, K) bool: those that count

    @property
    def old_on_frames(self) -> np.ndarray:
        """(N, K, 2) px of the original images, the points of the old model."""
        return np.asarray(geometry.move_points(self.held_out.examples.crop, self.answers))


@functools.lru_cache(maxsize=2)
def open_project(config: Config) -> Opened:
    """Opens a project in two steps, and its evaluation images with the person's labels alone.

    Only the evaluation, on what is held out, reads labels of keypoints that the old model knows. An
    old keypoint without a label there lies where the old model finds it, if its score reaches the
    old cutoff and nothing says that it is absent: its accuracy is then the agreement of the new
    model with the old one. `scale` is the diagonal of all keypoints.
    """
    own, project, skeleton = config.data.own, project_of(config), old_skeleton(config)
    held, known = projects.hold_out(project, own.validation), len(skeleton.names)
    if learnt := finder_for(config):
        labelled = (*held.train, *held.held_out)
        margin = config.data.crop_margin
        project, whole = with_found_boxes(project, labelled, learnt, own, margin)
        held = only_whole(project, held, whole)
    skeleton = joint_skeleton(skeleton, project)
    by_points = are_points(config.data.old)
    square = config.data.square()
    if by_points:
        train, rows = open_taught(config, project, held, skeleton)
    else:
        of_both = projects.renamed_to(project, skeleton)
        train = projects.open_animals(own, square, of_both, held.train, "training", taught=True)
        rows = ((), tuple(range(len(train))))
    project = projects.renamed_to(project, skeleton)
    held_out = projects.open_animals(own, square, project, held.held_out, "held out", taught=True)
    absent = held_out.examples.visible < 0
    held_out = with_visible(held_out, np.where(absent, np.float32(0), held_out.examples.visible))
    steps = (
        ProtocolStep(skeleton.names[:known], rows[0]),
        ProtocolStep(skeleton.names[known:], rows[1]),
    )
    mirrored = all((k < known) == (other < known) for k, other in enumerate(skeleton.flip))
    protocol = Protocol(
        "own", project.root.name, steps, train.digest, triple="automatic", mirrored=mirrored
    )
    answers, sure = answers_on(config, held_out)
    keypoints, visible = held_out.examples.keypoints.copy(), held_out.examples.visible.copy()
    fill = (visible == 0) & ~absent
    fill[:, :known] &= sure
    fill[:, known:] = False
    keypoints[fill], visible[fill] = answers[fill[:, :known]], 1
    lengths = diagonals(keypoints, visible, otherwise=held_out.examples.scale)
    evaluation = source.map_examples(
        source.with_labels(held_out, keypoints, visible, held_out.name),
        lambda example, index: example._replace(scale=lengths[index]),
        "diagonal of all points",
        name=held_out.name,
    )
    data = Data(train, evaluation, protocol, poses=train, by_points=by_points)
    if not by_points:
        network = setting_of(config, skeleton, mirrored=mirrored).setup.model
        old = old_run(config.data.old)
        data = data._replace(
            base=grow_channels(old, network, len(skeleton.names), config.data.image_size)
        )
    return Opened(data, held_out, answers, sure)


def open_taught(
    config: Config, project: Project, held: projects.Held, skeleton: Skeleton
) -> tuple[source.ArraySource, tuple[tuple[int, ...], tuple[int, ...]]]:
    """Opens what another tool's points teach: the animals that train, with labels of their new
    keypoints, and those on frames without labels. Returns also the rows of both steps: frames with
    points; and all, those with labels as often as the others together.

    Raises InputError where no point teaches.
    """
    made, weights = teaching_project(project, points_of(config), skeleton)
    count, known = len(project.instances), len(points_of(config).skeleton.names)
    numbers = [*held.train, *range(count, len(made.instances))]
    own, square = config.data.own, config.data.square()
    read = projects.open_animals(own, square, made, numbers, "training", taught=True)
    seen, index = read.examples.visible, read.examples.index
    train = with_visible(read, np.where(seen > 0, weights[index], seen))
    told = np.flatnonzero((seen[:, :known] > 0).any(1)).tolist()
    if not told:
        raise InputError(
            "old", f"{config.data.old} has no point that teaches on a frame that trains"
        )
    labelled, bare = np.flatnonzero(index < count).tolist(), np.flatnonzero(index >= count).tolist()
    times = max(round(len(bare) / max(len(labelled), 1)), 1)
    return train, (tuple(told), (*labelled * times, *bare))


def answers_on(config: Config, held_out: source.ArraySource) -> tuple[np.ndarray, np.ndarray]:
    """Returns the old model's points (N, K, 2) in px of held-out squares, 0 where it gives none, and
    which of them (N, K) bool reach its cutoffs."""
    if not are_points(config.data.old):
        old = old_run(config.data.old).opened
        batch = 2 * config.batch_size
        found = predict_source(old.method, old.trained, held_out, batch_size=batch)
        return found.keypoints, found.scores >= old.score.cutoffs
    old, rows = points_of(config), held_out.examples.index
    sure = np.nan_to_num(old.answers.scores[rows], nan=-np.inf) >= old.cutoffs
    to_square = np.linalg.inv(held_out.examples.crop.astype(np.float64))
    points = np.asarray(geometry.move_points(to_square, np.nan_to_num(old.answers.points[rows])))
    there = np.isfinite(old.answers.points[rows])
    return np.where(there, points, 0).astype(np.float32), sure


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
    """Adds PCK at the first threshold: of the new keypoints, and of the old ones, with the old model
    and now; `old/labelled`, the share of the old ones by which they are judged that has a label, and
    not the old model's answer; and `old/px_moved`, the median distance in px of the original images
    of old points from those of the old model, where it is sure.
    """
    opened, is_old = open_project(job.config), data.introduced == 0
    labelled = opened.held_out.examples.visible[:, is_old]
    judged = np.stack([data.evaluation[number].visible for number in range(len(data.evaluation))])
    judged = judged[:, is_old]
    found = predictions["step_1"]
    told = found.keypoints.copy()
    told[:, is_old] = opened.answers
    of_old = accuracies(found._replace(keypoints=told), job.config.pck_threshold)
    *_, after = matrices_of(job, data, predictions).accuracy
    values = {
        "new/pck": after[data.introduced == 1],
        "old/pck": after[is_old],
        "old/pck_before": of_old[is_old],
    }
    means = {name: np.nanmean(one) for name, one in values.items() if np.isfinite(one).any()}
    now = np.asarray(geometry.move_points(found.crop, found.keypoints))[:, is_old]
    moved = np.linalg.norm(now - opened.old_on_frames, axis=-1)[opened.sure]
    if moved.size:
        means["old/px_moved"] = np.median(moved)
    means["old/labelled"] = (labelled > 0).sum() / max((judged > 0).sum(), 1)
    return paper_measure(job, data, outcome, predictions) | {
        name: float(value) for name, value in means.items()
    }


def told(run: FinishedRun, others: Sequence[FinishedRun]) -> list[str]:
    """Says how many of the old points stay, by their labels or by the old model's answers, and how
    far they are from the latter."""
    found = run.metrics
    if "old/pck" not in found:
        return []
    answers = "within a tenth of the animal’s length of where the old model finds them"
    judged = {0.0: answers, 1.0: "near their labels"}.get(
        found["old/labelled"], f"near their labels, or without one {answers}"
    )
    line = (
        f"Old points: {100 * found['old/pck']:.0f} of 100 stay{besides(others, 'old/pck', 100)}. On held-out "
        f"frames so many are {judged}"
    )
    if found["old/labelled"] > 0:
        line += f"; with the old model {100 * found['old/pck_before']:.0f} are"
    if "old/px_moved" in found:
        line += f". Half of them moved by less than {pixels(found['old/px_moved'])} px from the old model’s own"
    return [f"{line}."]


def parts(job: Job, data: Data) -> dict[str, Part]:
    """Returns the animals held out, and those that train with the labels that teach."""
    opened, project, own = open_project(job.config), project_of(job.config), job.config.data.own
    # labels of old keypoints teach nothing, and their cells are not empty
    new = Skeleton(new_names(old_skeleton(job.config).names, project))
    train = opened.data.train
    rows = np.flatnonzero(train.examples.index < len(project.instances))
    if len(rows) < len(train):  # on the others are points of another tool alone
        train = source.subset(train, rows, train.name)
    return {
        TRAINED: projects.part_of(own, projects.renamed_to(project, new), train),
        HELD_OUT: projects.part_of(own, project, opened.held_out),
    }


def shown(job: Job, data: Data) -> Part:
    """Returns held-out frames, with the old model's answers for old points without a label."""
    rows = spread(range(len(data.evaluation)), FRAMES)
    return Part(
        source.subset(data.evaluation, rows, "held out"), projects.open_project(job.config)[0].root
    )


def columns(config: Config) -> tuple[Column, ...]:
    """Returns the accuracy of old and of new keypoints."""
    threshold = f"{100 * config.pck_threshold:g} %"
    return (
        Column("old/pck", "old points that stay", "%", 100.0, 1),
        Column("old/pck_before", "with the old model", "%", 100.0, 1, ""),
        Column("old/px_moved", "from its points", "px", 1.0, 1, "lower"),
        Column(
            "new/pck", f"new points within {threshold} of {config.data.scale_is}", "%", 100.0, 1
        ),
    )


def kept_cutoffs(config: Config) -> dict[int, float]:
    """Returns those of the old keypoints, which the new labels do not have; none of another tool,
    whose scores mean something else."""
    if are_points(config.data.old):
        return {}
    return dict(enumerate(old_run(config.data.old).opened.score.cutoffs.tolist()))


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
    lambda job: open_project(job.config).data,
    parts=parts,
    shown=shown,
    told=told,
    cutoffs=kept_cutoffs,
    finder=finder_for,
)
