"""Semi-supervised localization on people's own data: a project, and frames without labels."""
import functools
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Annotated, Literal

import tyro

from experiments import semi_supervised
from experiments.engine.own import choices
from experiments.engine.own import project as projects
from experiments.engine.own.choices import Choice
from experiments.engine.own.earlier_run import Start, with_start
from experiments.engine.own.needs import NEEDS
from experiments.engine.own.networks import usual_choices
from experiments.engine.own.pixel_errors import Part, with_pixel_errors
from experiments.engine.own.project import Own, Unlabelled
from experiments.engine.system import Job
from experiments.semi_supervised.presets import SMALL_REAL, Config, LabelledSubset
from kpjax import InputError
from kpjax.input import source
from kpjax.reports.pixel_errors import HELD_OUT, TRAINED

LEAST_LABELLED = NEEDS["semi_supervised"].labelled_frames
FROM_WEIGHTS = ("from a real backbone the default is the labels alone; images without labels helped where labels were "
                "far too few for what they must show, such as nine faces: --variants supervised_warped pl_warped "
                "compares, in 1.6 times the time")
# On tuning subsets the mean error of 19 labelled faces was 8.7 % in place of 8.8, the PCK of ten labelled frames of a
# mouse 95.1 in place of 96.5 (two keypoints), in 0.6 to 0.7 of the time. Other systems adapt to images that differ in
# what the first layers see.
FROZEN_STRIDE = 4
NO_FRAMES = Unlabelled((), frozenset())


@dataclass(frozen=True)
class OwnSubset(LabelledSubset):
    """A project of which some animals keep their labels, and frames without labels."""

    project: str = ""  # with labels: a folder or file of DeepLabCut, SLEAP, COCO, Lightning Pose, or csv
    unlabelled: tuple[str, ...] = ()  # images, videos, folders of them; none: those of the project
    labelled: float = 1.0  # of the animals that train: at most 1 a share, above it a count; drawn by the seed
    transform: Literal["letterbox", "around_box"] = "letterbox"  # whole frames, or a square around each animal's box
    image_size: Annotated[int, tyro.conf.arg(aliases=["--size"])] = 128  # px; chosen if not given
    pck_over: Literal["box", "scale"] = "scale"
    validation: tyro.conf.Suppress[str] = ""  # `Own` has the flag of this name

    @property
    def all_labelled(self) -> bool:
        """False: there are always frames without labels."""
        return False


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

    Raises InputError if there are fewer than five labelled frames or none without labels.
    """
    data, own = config.data, config.own
    project = projects.needed_project(data.project, own)
    frames = projects.labelled_frames(project)
    if len(frames) < LEAST_LABELLED:
        raise InputError("project", f"{project.root} has {len(frames)} labelled frames; label at least "
                                    f"{LEAST_LABELLED}")
    held = projects.hold_out(project, own.validation)
    facts = choices.facts_of(project, held.train)
    if "transform" in typed:
        facts = facts._replace(several=data.transform == "around_box")
    labelled = data.amount.get("count") or source.rounded_share(data.labelled, len(held.train))
    if labelled > len(held.train):
        raise InputError("labelled", f"{labelled} of {len(held.train)} labelled animals that are not held out; ask for "
                         "fewer")
    found = NO_FRAMES if facts.several else projects.unlabelled_frames(project, held, data.unlabelled)
    every = choices.every_choice(found.frames)
    step = max(own.every, 1) if "every" in typed else every.value
    kept = len(held.train) - labelled + len(found.taken(step, project.root))
    if kept < 1:
        raise InputError("unlabelled", "" + (
            "several animals on a frame are cropped by their boxes, which frames without labels do not have; keep "
            "labels back with --labelled" if facts.several else
            f"{project.root} has no frame without labels, and no video of its recordings beside it; name images or "
            "videos, or keep labels back with --labelled"))
    left_out = f", {len(found.left_out)} in held-out parts are left out" if found.left_out else ""
    print(f"{projects.described(project, held)}; without labels: {kept}{left_out}")
    batch, size = config.batch_size, data.image_size if "image_size" in typed else None
    config = choices.chosen(config, [
        *with_start(usual_choices(facts, size, config, typed, frozen_stride=FROZEN_STRIDE), config, project.skeleton,
                    typed, semi_supervised.SCORE_KIND),
        Choice("labelled", data.labelled, f"all {labelled} animals that are not held out"), every,
        choices.steps_by_labels("warm_start_steps", labelled, batch, passes=40, least=200, most=600),
        choices.steps_by_labels("steps", labelled, batch // 2, passes=30, least=300, most=900)], typed)
    if config.backbone.weights:
        print(FROM_WEIGHTS)
    return replace(config, summary=f"{project.root.name}, {labelled} animals with labels, {kept} frames without; "
                   f"held out: {held.words}")


def open_data(job: Job) -> semi_supervised.Data:
    """Opens the images of a project. The held-out part is both `validation` and `test`: it chooses nothing.

    Raises InputError if a held-out image is among the unlabelled ones, or there are none of these.
    """
    return _open(job.config.data, job.config.own, job.seed)


@functools.lru_cache(maxsize=2)
def _open(data: OwnSubset, own: Own, seed: int) -> semi_supervised.Data:
    project = projects.needed_project(data.project, own)
    held = projects.hold_out(project, own.validation)
    train, held_out = projects.open_labelled(data.project, own, data.square())
    drawn = source.labelled_subset(train, **data.amount, seed=seed)
    pools = [source.in_memory(source.without_labels(source.subset(train, drawn.rest)))] if len(drawn.rest) else []
    if data.transform == "letterbox":
        found = projects.unlabelled_frames(project, held, data.unlabelled)
        if frames := found.taken(max(own.every, 1), project.root):
            pools.append(projects.open_unlabelled(own, data.square(), frames, train.skeleton, root=project.root))
    if not pools:
        raise InputError("unlabelled", "no frame without labels; name images or videos, or keep labels back with "
                         "--labelled")
    pool = source.joined(pools, "without labels")
    source.check_disjoint(pool, held_out)
    labelled = source.subset(train, drawn.labelled, f"{train.name}, labelled")
    digest = source.digest_of(drawn.digest, pool.digest, held_out.digest)
    return semi_supervised.Data(labelled, pool, train, held_out, held_out, {"labelled_digest": digest})


def short_list(preset: str, config: OwnConfig) -> tuple[str, ...]:
    """Returns the method and its control; on a real backbone the control alone, as good with 20 labels."""
    if config.backbone.weights:
        return ("supervised_warped",)
    return ("supervised_warped", "ours") if config.own.control else ("ours",)


def parts(job: Job, data: semi_supervised.Data) -> dict[str, Part]:
    """Returns the animals whose labels train, and those held out."""
    root = projects.needed_project(job.config.data.project, job.config.own).root
    return {TRAINED: Part(data.labelled, root), HELD_OUT: Part(data.validation, root)}


SYSTEM = with_pixel_errors(semi_supervised.SYSTEM._replace(
    presets={"own": OWN}, open=open_data, resolved=resolved, short_list=short_list,
    applicable=lambda preset, config: tuple(name for name in semi_supervised.VARIANTS if name != "all_labels")), parts)
