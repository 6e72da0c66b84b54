"""RegDA's target, images that look different: frames without labels, and perhaps others that test.
And RegDA without its source: a finished run in place of labels and images, which a mean teacher
adapts, and a check stops."""

import functools
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax

from kpjax import InputError, Method, Skeleton, Trained, augment, heatmaps
from kpjax.errors import summarise
from kpjax.evaluation import coincidence, pose_statistics
from kpjax.files import write_json
from kpjax.formats.project import Frame, Project
from kpjax.formats.project_source import frames_at
from kpjax.images.transforms import needs_box
from kpjax.lab.animals import calibration, conformal
from kpjax.lab.own import choices, project as projects
from kpjax.lab.own.animals import Learnt, keep_finder, kept_finder, of_another_run
from kpjax.lab.own.earlier_run import EarlierRun, earlier_run, parts_of, with_start
from kpjax.lab.predictors import OpenedRun
from kpjax.methods import Setup
from kpjax.models import SmallUNet
from kpjax.papers import configs, engine, source_free
from kpjax.papers.engine import (
    NOTHING_TRAINED,
    Job,
    Outcome,
    Predicting,
    Stage,
    Stages,
    StoredRun,
    Training,
    Variant,
    Work,
)
from kpjax.papers.regda import Data
from kpjax.training.evaluation import Gathered, predict_source

LEAST_FRAMES = 20  # fewest frames of the target: some teach, and a tenth checks
# frames of the target, on which the start's scores are compared with those that it knows
LOOKED_AT = 200


@functools.lru_cache(maxsize=2)
def read_start(
    start: str,
) -> tuple[EarlierRun, pose_statistics.PoseStatistics | None, Learnt | None]:
    """Reads the run at --start, the statistics of its labels, where enough had all keypoints, and
    what finds animals, where it sees crops. Raises InputError as `earlier_run` does, for one on
    crops that finds no animals, and for statistics of other keypoints."""
    run, finder, file = (
        earlier_run(start, "start"),
        kept_finder(Path(start).expanduser()),
        pose_statistics.FILE,
    )
    if needs_box(run.opened.transform) and finder is None:
        raise InputError(
            "start",
            f"{start} reads crops around boxes, which target frames do not have, and keeps no "
            "network that finds animals; give a run's own folder, trained on several animals",
        )
    if file not in run.opened.files:
        return run, None, finder
    poses = pose_statistics.pose_statistics_from(run.opened.files[file], f"{start}/{file}")
    if poses.names != run.skeleton.names:
        raise InputError(
            "start",
            f"{start}/{file} is of {', '.join(poses.names)}, the run finds "
            f"{', '.join(run.skeleton.names)}; copy both from one run",
        )
    return run, poses, finder


def is_asked(config: Any) -> bool:
    """Returns whether a finished run stands in the place of a source."""
    return bool(config.backbone.start) and not config.data.source


def target_of(config: Any) -> tuple[Sequence[Frame], Project | None, Skeleton]:
    """Finds the target's frames, and reads the project that tests, None where nothing does, with
    its keypoints in the order of the third: those that the source labels, or the run at --start
    finds."""
    known_by, skeleton = (
        ("--start", read_start(config.backbone.start)[0].skeleton)
        if is_asked(config)
        else ("--source", projects.open_project(config)[0].skeleton)
    )
    if not config.data.target:
        raise InputError("target", "name images or videos that look different and have no labels")
    frames = frames_at(config.data.target)
    if not config.data.target_project:
        return frames, None, skeleton
    project = projects.needed_project(config.data, "target_project")
    wanted, names = skeleton.names, project.skeleton.names
    only = {
        known_by: [name for name in wanted if name not in names],
        "--target-project": [name for name in names if name not in wanted],
    }
    if found := [f"{summarise(some)} only in {flag}" for flag, some in only.items() if some]:
        raise InputError(
            "target_project",
            f"other keypoints than {known_by}: {', '.join(found)}; name them alike",
        )
    return frames, projects.renamed_to(project, skeleton), skeleton


def resolve(config: Any, typed: Collection[str]) -> Any:
    """Returns the config with what is not typed taken over from the start or chosen from the
    target, with reasons.
    """
    if "validation" in typed:
        raise InputError("validation", "without --source no label is held out; leave it out")
    about_labels = [name for name in ("empty", "empty_frames") if name in typed]
    if about_labels and not config.data.target_project:
        raise InputError(
            about_labels[0],
            "without --source no label teaches; leave it out, or name --target-project",
        )
    run, poses, finder = read_start(config.backbone.start)
    frames, *_ = target_of(config)
    every, used = choices.every_choice(frames, config.data.own, typed)
    if (count := len(projects.every_th(frames, used))) < LEAST_FRAMES:
        raise InputError("target", f"{count} frames; give at least {LEAST_FRAMES}")
    kept = f"{poses.poses} poses" if poses else "no poses (so none is found unlikely)"
    print(
        f"start: {config.backbone.start}, which keeps {kept} of its labels; target: {count} frames"
    )
    stored = configs.stored_fields(run.opened.files["config.json"]["config"])
    most = finder.described["animals"] if needs_box(run.opened.transform) else 1
    chosen = [
        *with_start([], config, run.skeleton, typed, ""),
        every,
        choices.Choice(
            "view_degrees",
            float(stored.get("rotation", config.teacher.view_degrees)),
            "degrees, as the images were turned that the start learnt from",
        ),
        choices.steps_choice(
            "steps",
            most * count,
            config.batch_size,
            passes=30,
            least=300,
            most=1000,
            of="animals of the target",
        ),
    ]
    if not isinstance(run.taken_over["network"], SmallUNet):
        chosen.append(
            choices.Choice(
                "adapted_rate",
                min(config.source_free.adapted_rate, configs.FINE_RATE),
                "published weights are changed slowly",
            )
        )
    unknown = "" if config.data.target_project else ", whose errors are not known"
    return choices.apply_choices(
        config,
        chosen,
        typed,
        logits=run.opened.score.kind != "mse_peak",
        summary=(
            f"{Path(config.backbone.start).resolve().parent.name} on {count} frames without labels{unknown}"
        ),
    )


@functools.lru_cache(maxsize=2)
def build(config: Any, skeleton: Skeleton) -> Method:
    """Builds the method once, so that all seeds share what is compiled."""
    setup = Setup(
        configs.network_of(config, len(skeleton.names)),
        skeleton,
        config.heatmaps.codec(config.data.image_size, logits=config.logits, flip=skeleton.flip),
        configs.optimizer_of(config, optax.scale_by_adam()),
        optax.constant_schedule(0.0),
        augment.no_augmentation(),
        config.backbone.normalise,
    )
    return config.source_free.build(
        setup, config.steps, view=config.teacher.view(), logits=config.logits
    )


def familiar(opened: OpenedRun, scores: np.ndarray, share: float) -> str:
    """Returns why nothing is to be gained from target images with these scores (N, K) of the start,
    or "".

    Both scores are of the same keypoints, those that have held-out labels: a run that adds keypoints
    to an older one has none of the old ones, whose scores may be lower. Where it keeps no number of
    labels, they are of all. The others are as of `source_free.familiar`.
    """
    # quantiles on held-out labelled images; none where nothing was held out
    edges = opened.score.deciles
    if conformal.FILE in opened.files:
        table = conformal.radius_table_from(opened.files[conformal.FILE], conformal.FILE)
        if (table.labels > 0).any():
            scores = scores[:, table.labels > 0]
    return source_free.familiar(scores, edges, share)


def cutoffs_of_absence(opened: OpenedRun) -> np.ndarray | None:
    """Returns the scores (K,) from which a run shows each keypoint, if it was taught empty maps of
    empty cells; else None: there low scores on another camera's images may be of right points.

    A softmax has no empty map to learn. What frames without animals taught is not known here.
    """
    score = opened.score
    taught = score.empty == "absent" and score.kind == "mse_peak"
    return score.cutoffs if taught and np.isfinite(score.cutoffs).any() else None


def adapted(job: Job, data: Data) -> Stages:
    """Adapts the start, or keeps it where nothing is to be gained, or the check fails."""
    config, (run, poses, _) = job.config, read_start(job.config.backbone.start)
    start, batch = Trained(parts_of(run.opened.trained.variables), {}), 2 * config.batch_size
    cutoffs = cutoffs_of_absence(run.opened)
    kept = NOTHING_TRAINED._replace(trained=start, metrics={"kept_start": 1.0})

    def check_where_it_gains() -> Callable | None:
        method, target = build(config, data.skeleton), data.target.train
        some = source_free.spread_out(target, LOOKED_AT)
        scores = predict_source(method, start, some, batch_size=batch).scores
        if why := familiar(run.opened, scores, config.familiar):
            print(
                f"{job.title}: nothing is to be gained, and the start is kept: {why}; --familiar 1 adapts all the same"
            )
            return None
        if cutoffs is not None:
            shown = 100 * (scores >= cutoffs).mean()
            print(
                f"{job.title}: {shown:.0f} of 100 points of the start on target images reach its cutoffs; such points "
                "alone can teach"
            )
        _, held = source_free.split_target(target)
        least = config.source_free.least_agreement
        return source_free.check_of(method, start, held, batch_size=batch, least=least)

    if job.variant == "start":
        return kept
    check = yield Work(check_where_it_gains, ())
    if check is None:
        return kept

    def training() -> Training:
        method = build(config, data.skeleton)
        learnt, _ = source_free.split_target(data.target.train)
        return Training(
            method,
            engine.batches(
                job,
                method,
                {"target": learnt},
                batch_size=config.batch_size,
                unlabelled=("target",),
            ),
            lambda: job.identity(**data.identity),
            source_free.start_of(start.variables, poses, cutoffs),
            more={"evaluate": (max(1, config.steps // config.evaluations), check)},
        )

    stage = Stage(job.variant, config.steps, training, kept)
    return (yield from source_free.adapted_or_start(stage, job.title))


def draw(job: Job, data: Data, outcome: Outcome, predictions: Mapping[str, Gathered]) -> None:
    """Draws predictions on target images, and keeps the start's statistics of poses and distances in
    its labels, and the finder of its animals.

    Where the start is kept, so are its cutoffs and radii. Those of an adapted network are not known
    without labels.
    """
    engine.draw_predictions(
        outcome, data.target.train, job.folder / engine.IMAGES / "target.png", minimum_side=320
    )
    run, _, finder = read_start(job.config.backbone.start)
    kept = (calibration.FILE, conformal.FILE) if outcome.metrics["kept_start"] else ()
    if jax.process_index() == 0:
        for name in {pose_statistics.FILE, coincidence.FILE, *kept} & set(run.opened.files):
            write_json(job.folder / name, run.opened.files[name])
    if finder:
        keep_finder(job, of_another_run(finder), data.target.train)


def predicting(stored: StoredRun) -> Predicting:
    """Returns a finished run as a function of new images, letterboxed or cropped as the start has
    it.
    """
    config, _, skeleton = stored
    return Predicting(
        build(config, skeleton),
        config.data.square(),
        heatmaps.score_kind(config.heatmaps.decoder, logits=config.logits),
    )


VARIANTS = {
    "adapted": Variant(
        "method",
        "a mean teacher on target images, from the start's network and poses",
        build,
        adapted,
    ),
    "start": Variant("control", "the start as it is", build, adapted),
}
