"""Semi-supervised localization on people's own data: a project, and frames without labels."""
import functools
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Literal

import tyro

from kpjax import InputError
from kpjax.input import source
from kpjax.lab.formats.project import Project
from kpjax.lab.formats.several_animals import crowd_of
from kpjax.lab.formats.uniting import united_lines
from kpjax.lab.out.reports.pixel_errors import HELD_OUT, TRAINED, counted
from kpjax.lab.own import choices, project as projects
from kpjax.lab.own.animals import crowd_lines, learnt_finder
from kpjax.lab.own.choices import Choice
from kpjax.lab.own.declaration import OwnSystem, made
from kpjax.lab.own.earlier_run import Start, earlier_run, with_start
from kpjax.lab.own.found_animals import open_frames
from kpjax.lab.own.networks import usual_choices
from kpjax.lab.own.pixel_errors import Part
from kpjax.lab.own.project import Held, Own, Unlabelled
from kpjax.systems import semi_supervised
from kpjax.systems.configs import changed
from kpjax.systems.semi_supervised.config import SMALL_REAL, Config, LabelledSubset
from kpjax.systems.system import Job, Outcome
from kpjax.training.evaluation import Gathered

FROM_WEIGHTS = ("from a pretrained backbone the default is the labels alone; where labels are far too few for what "
                "they must show, predicting by the mean of six views helped (--variants supervised_warped_averaged), "
                "and images without labels as well (pl_warped_averaged, in 1.6 times the time)")
LABELS_ALONE = ("no image or video without labels: supervised_warped trains on the labels alone, and the method "
                "itself, which needs some, is left out; with some (--unlabelled V) {what}")
MORE_FRAMES = {  # what the last sentence ends in, by whether the backbone is pretrained
    True: "pl_warped can be compared, worth it where labels are very few",
    False: "it would run, too, though a pretrained backbone is worth more"}
# On tuning subsets the mean error of 19 labelled faces was 8.7 % in place of 8.8, the PCK of ten labelled frames of a
# mouse 95.1 in place of 96.5 (two keypoints), in 0.6 to 0.7 of the time. Other systems adapt to images that differ in
# what the first layers see.
FROZEN_STRIDE = 4
NO_FRAMES = Unlabelled((), frozenset())


@dataclass(frozen=True)
class OwnSubset(LabelledSubset):
    """A project of which some animals keep their labels, and frames without labels."""

    project: str = ""  # with labels: a folder or file of DeepLabCut, SLEAP, COCO, Lightning Pose, or csv
    more_projects: tuple[str, ...] = ()  # further projects, whose keypoints may be others: --project again
    # of several projects: a digit for every keypoint, 1 where the project names it
    named: tyro.conf.Suppress[tuple[str, ...]] = ()
    unlabelled: tuple[str, ...] = ()  # images, videos, folders of them; none: those of the project
    unlabelled_pool: Literal["rest", "none"] = "rest"  # "none": the labels alone, as where no frame is without labels
    labelled: float = 1.0  # of the animals that train: at most 1 a share, above it a count; drawn by the seed
    transform: Literal["letterbox", "around_box"] = "letterbox"  # whole frames, or a square around each animal's box
    image_size: Annotated[int, tyro.conf.arg(aliases=["--size"])] = 128  # px; chosen if not given
    pck_over: Literal["box", "scale"] = "scale"
    validation: tyro.conf.Suppress[str] = ""  # `Own` has the flag of this name

    @property
    def several(self) -> tuple[str, ...]:
        """The paths of several projects; () for one."""
        return (self.project, *self.more_projects) if self.more_projects else ()

    @property
    def all_labelled(self) -> bool:
        """Whether there are no frames without labels."""
        return self.unlabelled_pool == "none"


@dataclass(frozen=True)
class OwnConfig(Config):
    """All that a run on a person's project depends on."""

    backbone: Start = Start()
    own: Own = Own()


OWN = OwnConfig(**vars(SMALL_REAL) | {
    "summary": "one's own project, with frames or videos without labels: --project P [--unlabelled V ...]; 2 cores",
    "data": OwnSubset("own", "the labelled body's diagonal", validation_share=0.15), "selection": "last",
    "backbone": Start(),
    "heatmaps": replace(SMALL_REAL.heatmaps, heatmap_size=0),
    "baselines": replace(SMALL_REAL.baselines, generator_size=64, generator_widths=(8, 16, 32))})


def resolved(config: OwnConfig, typed: Collection[str]) -> OwnConfig:
    """Returns the config with what is not typed chosen from the project, each choice printed with its reason.

    Raises InputError if there are fewer than two labelled frames, or none at the places that are named for frames
    without labels.
    """
    data, own = config.data, config.own
    if data.several:
        config = _with_several(config, typed)
        data = config.data
    project, held = opened(config)
    facts = choices.facts_of(project, held.train)
    if "transform" in typed:
        facts = facts._replace(several=data.transform == "around_box")
    labelled = data.amount.get("count") or source.rounded_share(data.labelled, len(held.train))
    if labelled > len(held.train):
        raise InputError("labelled", f"{labelled} of {len(held.train)} labelled animals that are not held out; ask for "
                         "fewer")
    if facts.several and data.unlabelled and crowd_of(project).most < 2:
        raise InputError("unlabelled", "crops around boxes: frames without labels have none, and no frame shows two "
                         "animals from which finding them could be learnt; leave out --transform around_box")
    alone = (facts.several and not data.unlabelled) or data.all_labelled
    described = projects.described(project, held) if not data.several else "\n".join(_lines(data, own))
    found = NO_FRAMES if alone else projects.unlabelled_frames(project, held, data.unlabelled)
    every = choices.every_choice(found.frames)
    step = max(own.every, 1) if "every" in typed else every.value
    kept = 0 if data.all_labelled else len(held.train) - labelled + len(found.taken(step, project.root))
    if data.unlabelled and not data.all_labelled and not kept:
        raise InputError("unlabelled", "nothing but held-out images there; name other images or videos")
    left_out = f", {len(found.left_out)} in held-out parts are left out" if found.left_out else ""
    print(described if data.several else f"{described}; without labels: {kept}{left_out}")
    choosing = "and choose the step" if config.selection == "validation" else "and choose nothing"
    print(f"labelled animals that train: {labelled}; those held out give the errors of the report, {choosing}")
    if config.backbone.start:
        before = earlier_run(config.backbone.start, "start", semi_supervised.SCORE_KIND).held_out
        if before and before != held.words:
            print(f"the run at --start had held out {before}: what it learnt from and is held out now flatters the "
                  "errors; --validation names recordings")
    if facts.several:
        print(*crowd_lines(project), sep="\n")
    batch, size = config.batch_size, data.image_size if "image_size" in typed else None
    config = choices.chosen(config, [
        *with_start(usual_choices(facts, size, config, typed, frozen_stride=FROZEN_STRIDE), config, project.skeleton,
                    typed, semi_supervised.SCORE_KIND),
        *(() if data.several else (Choice("labelled", data.labelled, f"all {labelled} animals that are not held out"),
                                   every)),
        choices.steps_by_labels("warm_start_steps", labelled, batch, passes=40, least=200, most=600),
        choices.steps_by_labels("steps", labelled, batch // 2, passes=30, least=300, most=900)], typed)
    if not kept:
        config = changed(config, unlabelled_pool="none")
    if not kept and not facts.several and not data.all_labelled:
        print(LABELS_ALONE.format(what=MORE_FRAMES[bool(config.backbone.weights)]))
    elif kept and config.backbone.weights:
        print(FROM_WEIGHTS)
    name = " and ".join(projects.united_projects(data.several, own)[0].names) if data.several else project.root.name
    return replace(config, summary=f"{name}, {labelled} animals with labels, {kept or 'no'} frames without; held out: "
                   f"{held.words}")


def opened(config: OwnConfig) -> tuple[Project, Held]:
    """Returns the project that a run learns from, or several as one, and what is held out."""
    data, own = config.data, config.own
    if not data.several:
        project = projects.needed_project(data.project, own)
        return project, projects.hold_out(project, own.validation)
    found, held = projects.united_projects(data.several, own)
    return found.project, Held(
        tuple(n for part in held for n in part.train), tuple(n for part in held for n in part.held_out),
        tuple(name for part in held for name in part.recordings), {},
        "; ".join(f"{name}: {part.words}" for name, part in zip(found.names, held, strict=True)))


def _lines(data: OwnSubset, own: Own) -> list[str]:
    """Describes several projects, and which keypoints are taken for the same."""
    found, held = projects.united_projects(data.several, own)
    return [*(projects.described(projects.needed_project(path, own), part)
              for path, part in zip(data.several, held, strict=True)), *united_lines(found)]


def _with_several(config: OwnConfig, typed: Collection[str]) -> OwnConfig:
    """Returns the config of several projects, which train on labels alone. Raises InputError for what they rule out."""
    if given := sorted({"unlabelled", "labelled", "unlabelled_pool"} & set(typed)):
        raise InputError(given[0], "several projects train on all of their labels, and on these alone; leave it out")
    found, _ = projects.united_projects(config.data.several, config.own)
    if config.batch_size // len(found.names) < 1:
        raise InputError("batch_size", f"{config.batch_size}; each of {len(found.names)} projects has a share of it")
    named = tuple("".join("01"[one] for one in row) for row in found.named)
    return changed(config, named=named, unlabelled_pool="none")


def open_data(job: Job) -> semi_supervised.Data:
    """Opens the images of a project. The held-out part is both `validation` and `test`: it chooses nothing.

    Frames without labels that nobody named are left out if they are copies of held-out ones. Raises InputError if such
    are among those that were named.
    """
    if job.config.data.several:
        return _open_several(job.config.data, job.config.own)
    return _open(job._replace(variant=""))


@functools.lru_cache(maxsize=2)
def _open_several(data: OwnSubset, own: Own) -> semi_supervised.Data:
    found, held = projects.united_projects(data.several, own)
    parts = [semi_supervised.OfProject(name, *(
        projects.open_animals(own, data.square(), found.project, numbers, part)
        for numbers, part in ((one.train, f"{name}, training"), (one.held_out, f"{name}, held out"))))
        for name, one in zip(found.names, held, strict=True)]
    for one in parts:
        for other in parts:
            if one is not other:
                source.check_disjoint(one.train, other.held_out)
    train = source.joined([one.train for one in parts], "training")
    held_out = source.joined([one.held_out for one in parts], "held out")
    digest = source.digest_of(train.digest, held_out.digest)
    return semi_supervised.Data(train, source.subset(train, (), "without labels"), train, held_out, held_out,
                                {"labelled_digest": digest}, projects=tuple(parts))


@functools.lru_cache(maxsize=2)
def _open(job: Job) -> semi_supervised.Data:
    data, own, (project, held) = job.config.data, job.config.own, opened(job.config)
    train, held_out = projects.open_labelled(data.project, own, data.square())
    drawn = source.labelled_subset(train, **data.amount, seed=job.seed)
    pools = [source.in_memory(source.without_labels(source.subset(train, drawn.rest)))] if len(drawn.rest) else []
    if not data.all_labelled and (data.transform == "letterbox" or data.unlabelled):
        found = projects.unlabelled_frames(project, held, data.unlabelled)
        if frames := found.taken(max(own.every, 1), project.root):
            pools.append(open_frames(job, frames, train.skeleton, lambda: learnt_finder(job, opened), root=project.root,
                                     argument="unlabelled", name="without labels", held_out=(project, held)))
    if not pools and not data.all_labelled:
        raise InputError("unlabelled", "no frame without labels; name images or videos, or leave out --unlabelled-pool")
    # Of the labels alone it is empty, and no variant reads it.
    pool = source.subset(train, (), "without labels") if data.all_labelled else source.joined(pools, "without labels")
    if data.unlabelled:
        source.check_disjoint(pool, held_out)
    elif copies := source.shared_images(pool, held_out):  # nobody named them, and a still video repeats its frames
        rest = sorted(set(range(len(pool))) - set(copies))
        print(f"left out: {counted(len(copies), 'frame')} without labels, exactly like a held-out one")
        if not rest:
            raise InputError("unlabelled", "all frames without labels are copies of held-out ones; name others, or "
                             "leave them out with --unlabelled-pool none")
        pool = source.in_memory(source.subset(pool, rest, pool.name))
    labelled = source.subset(train, drawn.labelled, f"{train.name}, labelled")
    digest = source.digest_of(drawn.digest, pool.digest, held_out.digest)
    return semi_supervised.Data(labelled, pool, train, held_out, held_out, {"labelled_digest": digest})


def measure(job: Job, data: semi_supervised.Data, outcome: Outcome, predictions: Mapping[str, Gathered]
            ) -> dict[str, float]:
    """Adds the errors on what is held out of each of several projects, under its name, and prints them."""
    values, first = semi_supervised.measure(job, data, outcome, predictions), 0
    for one in data.projects:
        part = Gathered(*(field[first:first + len(one.held_out)] for field in predictions["test"]))
        first += len(one.held_out)
        errors = semi_supervised.errors(part, data.skeleton, job.config, one.name)
        print(f"{job.title}, held out of {one.name}: PCK {100 * errors[f'{one.name}/pck']:.1f} %, mean error "
              f"{100 * errors[f'{one.name}/nme']:.2f} % of {job.config.data.scale_is}")
        values |= errors
    return values


def short_list(config: OwnConfig) -> tuple[str, ...]:
    """Returns the method and its control; the control alone on a real backbone, as good with 20 labels, and without
    frames that have no labels."""
    if config.data.several:
        return semi_supervised.SEVERAL_PROJECTS if config.own.control else ("union",)
    if config.backbone.weights or config.data.all_labelled:
        return ("supervised_warped",)
    return ("supervised_warped", "ours") if config.own.control else ("ours",)


def applicable(config: OwnConfig) -> tuple[str, ...]:
    """Returns all variants but `all_labels` and those of published sets; without frames that have no labels, none that
    needs them."""
    if config.data.several:
        return semi_supervised.SEVERAL_PROJECTS
    names = semi_supervised.applicable("own", config) if config.data.all_labelled else semi_supervised.VARIANTS
    return tuple(name for name in names
                 if name not in ("all_labels", *semi_supervised.ON_PEOPLE, *semi_supervised.SEVERAL_PROJECTS))


def parts(job: Job, data: semi_supervised.Data) -> dict[str, Part]:
    """Returns the animals whose labels train, and those held out."""
    root = opened(job.config)[0].root
    return {TRAINED: Part(data.labelled, root), HELD_OUT: Part(data.validation, root)}


SYSTEM = made(OwnSystem(
    semi_supervised.SYSTEM, OWN, resolved, open_data, short_list, applicable, parts, opened,
    found=lambda data: data.unlabelled, differences={"measure": measure}))
