"""Adaptation of a finished run to people's own images: a mean teacher on the target, and a check that stops it."""
import functools
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import tyro

from kpjax import InputError, Method, Skeleton, Trained, augment
from kpjax.evaluation import pose_statistics
from kpjax.evaluation.pose_statistics import PoseStatistics
from kpjax.files import write_json
from kpjax.images.transforms import Transform, needs_box
from kpjax.input.source import Source
from kpjax.lab.animals import calibration, conformal
from kpjax.lab.formats.project import Project
from kpjax.lab.formats.project_source import decoded, frames_at, project_source
from kpjax.lab.out.reports.pixel_errors import HELD_OUT
from kpjax.lab.own import choices, project as projects
from kpjax.lab.own.animals import Learnt, keep_finder, kept_finder
from kpjax.lab.own.choices import Choice, every_choice
from kpjax.lab.own.earlier_run import EarlierRun, Start, earlier_run, with_start
from kpjax.lab.own.found_animals import FoundAnimals, found_animals, open_found
from kpjax.lab.own.pixel_errors import Part, with_pixel_errors
from kpjax.lab.own.project import Own
from kpjax.methods import Setup
from kpjax.methods.regda_family.teacher_adaptation import target_view
from kpjax.models import SmallUNet
from kpjax.systems import configs, source_free, system
from kpjax.systems.configs import FINE_RATE, Checked, Count, Heatmaps, Network, NotNegative, Positive, Share
from kpjax.systems.image_sets import ImageSet
from kpjax.systems.keypoint_errors import keypoint_errors
from kpjax.systems.reports.table import Column
from kpjax.systems.source_free import SourceFree
from kpjax.systems.system import Job, Outcome, Predicting, StoredRun, System, Variant
from kpjax.training.evaluation import Gathered, predict_source

LEAST_FRAMES = 20  # of the target: some teach, and a tenth checks
LOOKED_AT = 200  # frames of the target, on which the start's scores are compared with those that it knows
PASSES, FEWEST_STEPS, MOST_STEPS = 30, 300, 1000


@dataclass(frozen=True)
class OwnTarget:
    """Images that look different."""

    target: tuple[str, ...] = ()  # images, videos and folders of them, without labels
    target_project: str = ""  # labels of such images, with the same keypoints: they test and teach nothing
    image_size: Annotated[int, tyro.conf.arg(aliases=["--size"])] = 128  # px; as the start has it
    # As the start has it: crops are of animals that the network in its folder finds
    transform: tyro.conf.Suppress[Literal["letterbox", "around_box"]] = "letterbox"
    crop_margin: tyro.conf.Suppress[float] = 1.25


    def square(self) -> Transform:
        """Returns the transform of a frame to a square image."""
        return ImageSet(transform=self.transform, crop_margin=self.crop_margin, image_size=self.image_size
                        ).square_of_new()


@dataclass(frozen=True)
class OwnFlags:
    """How a person's data are read: those flags of `Own` that need no held-out labels."""

    category: str = Own.category  # of a COCO project with several
    video_root: str = Own.video_root  # folder of the videos that are not where the project says
    pixels_from: Literal[0, 1] = Own.pixels_from  # 1 if the project counts the middle of the first pixel as (1, 1)
    rescale_labels: bool = Own.rescale_labels  # labels that were made on copies of another size
    occluded: Literal["train", "drop"] = Own.occluded  # drop: keypoints marked as occluded do not test
    every: int = Own.every  # keeps frames 0, every, 2 every ... of videos without labels; 0 chooses
    on_bad_frame: Literal["stop", "skip"] = Own.on_bad_frame  # what to do about frames that cannot be read


@dataclass(frozen=True)
class Config(Checked):
    """All that the adaptation of a run depends on besides its seed."""

    summary: str  # one line
    data: OwnTarget = OwnTarget()
    backbone: Start = Start()
    heatmaps: Heatmaps = Heatmaps(0, sigma=1.5, grid="half_pixel", targets="sub_pixel", decoder="dark")
    network: Network = SmallUNet((16, 32, 32, 64, 64), head_layers=2, head_width=32)
    own: OwnFlags = OwnFlags()
    source_free: SourceFree = SourceFree()
    logits: tyro.conf.Suppress[bool] = False  # whether the network's maps go through a softmax, as the start's do
    prior: Literal["poses", "none"] = "poses"  # none: does without the start's statistics of poses
    familiar: Share = 0.3  # quantile of the start's held-out scores; a target whose median reaches it is left alone
    turned: NotNegative = 30.0  # degrees either way, of views; as the start's training images
    batch_size: Count = 16
    steps: Count = 400
    evaluations: Count = 10
    pck_threshold: Positive = 0.1  # of the labelled body's diagonal



OWN = Config("one's own run on images that look different, without its labels: --target V ... --start RUN; 2 cores")
VARIANTS = {
    "adapted": Variant("method", "a mean teacher on target images, from the start's network and poses"),
    "start": Variant("control", "the start as it is")}


# The start


def start_of(config: Config) -> EarlierRun:
    """Opens the run at --start. Raises InputError as `earlier_run` does, and for one on crops that finds no animals."""
    run = earlier_run(config.backbone.start, "start", "")
    if needs_box(run.opened.transform) and finder_of_start(config) is None:
        raise InputError("start", f"{config.backbone.start} reads crops around boxes, which target frames do not have, "
                         "and keeps no network that finds animals; give a run's own folder, trained on several animals")
    return run


def finder_of_start(config: Config) -> Learnt | None:
    """Returns what the run at --start has learnt to find animals with, None where it sees whole frames."""
    return kept_finder(Path(config.backbone.start).expanduser())


def poses_of(config: Config) -> PoseStatistics | None:
    """Returns the statistics of poses that the start keeps, None where the config does without.

    Raises InputError where it keeps none, or those of other keypoints.
    """
    if config.prior == "none":
        return None
    run, folder = start_of(config), config.backbone.start
    path = f"{folder}/{pose_statistics.FILE}"
    if pose_statistics.FILE not in run.opened.files:
        raise InputError("start", f"there is no {path}: an earlier version made the run, or fewer poses had all "
                         "keypoints than there are coordinates; train it again, or do without: --prior none")
    found = pose_statistics.pose_statistics_from(run.opened.files[pose_statistics.FILE], path)
    if found.names != run.skeleton.names:
        raise InputError("start", f"{path} is of {', '.join(found.names)}, the run finds "
                         f"{', '.join(run.skeleton.names)}; copy both from one run")
    return found


@functools.lru_cache(maxsize=2)
def build(config: Config, skeleton: Skeleton) -> Method:
    """Builds the method once, so that all seeds share what is compiled."""
    side = config.data.image_size
    setup = Setup(configs.network_of(config, len(skeleton.names)), skeleton,
                  config.heatmaps.codec(side, logits=config.logits),
                  configs.optimizer_of(config, optax.scale_by_adam()), optax.constant_schedule(0.0),
                  augment.no_augmentation(), config.backbone.normalise)
    view = target_view(config.turned, shear_degrees=10.0, zoom=(0.8, 1.2))
    return config.source_free.build(setup, config.steps, view=view, logits=config.logits)


def variables_of(config: Config, skeleton: Skeleton) -> Mapping[str, Any]:
    """Returns what the start has learnt. Raises InputError if that is not of the network that its config describes."""
    network, side = configs.network_of(config, len(skeleton.names)), config.data.image_size
    learnt = config.backbone.variables(network, image_size=side, seed=0)["variables"]
    shapes = [jax.tree.map(jnp.shape, {name: tree.get(name, {}) for name in ("params", "batch_stats")})
              for tree in (learnt, jax.eval_shape(functools.partial(network.init, train=False), jax.random.key(0),
                                                  jnp.zeros((1, side, side, 3))))]
    if shapes[0] != shapes[1]:
        raise InputError("start", f"{config.backbone.start} has other layers than its config describes; give a run of "
                         "one network with one head")
    return learnt


def held_out_scores(config: Config) -> np.ndarray:
    """Returns quantiles of the start's scores on held-out labelled images, nan or none where nothing was held out."""
    return np.array(start_of(config).opened.files.get(calibration.FILE, {}).get("edges", ()), np.float64)


# The config and the images


def resolved(config: Config, typed: Collection[str]) -> Config:
    """Returns the config with what is not typed taken over from the start or chosen from the target, with reasons.

    Raises InputError for a start that is missing or unfit, for fewer than twenty target frames, and for labels of other
    keypoints.
    """
    run, poses = start_of(config), poses_of(config)
    if not config.data.target:
        raise InputError("target", "name images or videos that look different; they need no labels")
    frames = frames_at(config.data.target)
    every = every_choice(frames)
    step = max(config.own.every, 1) if "every" in typed else every.value
    count = sum(not (frame.number or 0) % step for frame in frames)
    if count < LEAST_FRAMES:
        raise InputError("target", f"{count} frames; give at least {LEAST_FRAMES}")
    if config.data.target_project:
        labelled_target(config, run.skeleton)
    kept = f"{poses.poses} poses" if poses else "no poses"
    print(f"start: {config.backbone.start}, which keeps {kept} of its labels; target: {count} frames")
    small = isinstance(run.taken_over["network"], SmallUNet)
    stored, cropped = configs.stored_fields(run.opened.files["config.json"]["config"]), needs_box(run.opened.transform)
    crops = [Choice("transform", "around_box", "several animals on a frame, as the run at --start has it"),
             Choice("crop_margin", float(stored.get("crop_margin", 1.25)), "as the run at --start has it")]
    most = finder_of_start(config).described["animals"] if cropped else 1
    looked_at = "frames" if most == 1 else f"frames, {most} animals on each"
    made = [*(crops if cropped else ()), *with_start([], config, run.skeleton, typed, ""), every,
            Choice("turned", float(stored.get("rotation", config.turned)),
                   "degrees, as the images were that the start learnt from"),
            choices.steps_by_labels("steps", most * count, config.batch_size, passes=PASSES, least=FEWEST_STEPS,
                                    most=MOST_STEPS)._replace(
                reason=f"{PASSES} passes over the target's {looked_at}, between {FEWEST_STEPS} and {MOST_STEPS}"),
            *([] if small else [Choice("adapted_rate", min(config.source_free.adapted_rate, FINE_RATE),
                                       "published weights are changed slowly")])]
    return configs.changed(choices.chosen(config, made, typed), logits=run.opened.score["kind"] != "mse_peak", summary=(
        f"{Path(config.backbone.start).resolve().parent.name} on {count} frames without labels"))


def labelled_target(config: Config, skeleton: Skeleton) -> Project:
    """Returns the project that tests, its keypoints in the start's order. Raises InputError for other ones."""
    project = projects.needed_project(config.data.target_project, config.own, "target_project")
    if sorted(project.skeleton.names) != sorted(skeleton.names):
        raise InputError("target_project", f"{project.root} labels {', '.join(project.skeleton.names)}, the run at "
                         f"--start finds {', '.join(skeleton.names)}; name them alike")
    return projects.renamed_to(project, skeleton)


class Data(NamedTuple):
    """Images of the target, and labelled ones that test."""

    target: Source
    test: Source | None
    root: Path
    identity: Mapping[str, Any]

    @property
    def summary(self) -> str:
        """The number of images."""
        return f"{len(self.target)} target images"


def open_data(job: Job) -> Data:
    """Opens the target's images, and the labelled ones if a project tests."""
    config, crops = job.config, None
    if config.data.transform == "around_box":
        start_of(config)
        every = max(config.own.every, 1)
        frames = [frame for frame in frames_at(config.data.target) if not (frame.number or 0) % every]
        crops = found_animals(job, finder_of_start(config), frames, own=config.own, root=Path("/"), argument="target",
                              least=config.batch_size)
    return _open(config, crops)


@functools.lru_cache(maxsize=2)
def _open(config: Config, crops: FoundAnimals | None) -> Data:
    run, own, square = start_of(config), config.own, config.data.square()
    test, root = None, Path("/")
    if config.data.target_project:
        project = labelled_target(config, run.skeleton)
        root = project.root
        test = decoded(project_source(project, square, occluded=own.occluded, name="target, labelled"),
                       on_bad_frame=own.on_bad_frame)
    if crops:
        target = open_found(own, square, crops, run.skeleton, root=root, name="target")
    else:
        target = projects.open_unlabelled(own, square, frames_at(config.data.target), run.skeleton, root=root,
                                          name="target")
    return Data(target, test, root, {"start_digest": run.opened.result["digest"]})


# A run


def train(job: Job, data: Data) -> Outcome:
    """Adapts the start, or keeps it where the check fails."""
    config, skeleton = job.config, data.target.skeleton
    method, variables = build(config, skeleton), variables_of(config, skeleton)
    start, batch = Trained(variables, {}), 2 * config.batch_size
    if job.variant == "start":
        return Outcome(method, start, 0, metrics={"kept_start": 1.0})
    scores = predict_source(method, start, source_free.spread_out(data.target, LOOKED_AT), batch_size=batch).scores
    if why := source_free.familiar(scores, held_out_scores(config), config.familiar):
        print(f"{job.title}: nothing is to be gained, and the start is kept: {why}; --familiar 1 adapts all the same")
        return Outcome(method, start, 0, metrics={"kept_start": 1.0})
    target = source_free.parted(data.target)
    check = source_free.check_of(method, start, target.held, batch_size=batch,
                                 least=config.source_free.least_agreement)
    fitted, checked = source_free.adapted_or_start(lambda: system.fit_sources(
        job, method, {"target": target.learnt}, batch_size=config.batch_size, steps=config.steps, stage=job.variant,
        folder=job.folder, unlabelled=("target",), start=source_free.start_of(variables, poses_of(config)),
        evaluate=(max(1, config.steps // config.evaluations), check), config=job.identity(**data.identity)),
        start, job.title)
    return system.outcome_of(method, fitted)._replace(metrics=checked)


def measure(job: Job, data: Data, outcome: Outcome, predictions: Mapping[str, Gathered]) -> dict[str, float]:
    """Measures errors on labelled target images, where there are any."""
    return keypoint_errors(predictions["target"], outcome.method.skeleton, "target", threshold=job.config.pck_threshold,
                           details=True) if "target" in predictions else {}


def draw(job: Job, data: Data, outcome: Outcome, predictions: Mapping[str, Gathered]) -> None:
    """Draws predictions on target images, and keeps the start's statistics of poses, and the finder of its animals.

    Where the start is kept, so are its cutoff and radii. Those of an adapted network are not known without labels.
    """
    system.draw_predictions(outcome, data.target, job.folder / system.IMAGES / "target.png", minimum_side=320)
    kept = (calibration.FILE, conformal.FILE) if outcome.metrics["kept_start"] else ()
    files = start_of(job.config).opened.files
    if jax.process_index() == 0:
        for name in {pose_statistics.FILE, *kept} & set(files):
            write_json(job.folder / name, files[name])
    if learnt := finder_of_start(job.config):
        described = {name: value for name, value in learnt.described.items() if name != "held_out"}  # the start's
        keep_finder(job, learnt._replace(described=described), data.target)


def columns(config: Config) -> tuple[Column, ...]:
    """Returns errors where target images are labelled, and what the check has found."""
    agree = Column(source_free.AGREEMENTS[0], "sure points of the start that stay", "%", 100.0, 1)
    over = f"PCK at {100 * config.pck_threshold:g} % of the labelled body's diagonal"
    return (Column("target/pck", f"target: {over}", "%", 100.0, 1), agree) if config.data.target_project else (agree,)


def predicting(stored: StoredRun) -> Predicting:
    """Returns a finished run as a function of new images, letterboxed or cropped as the start has it."""
    config, _, skeleton = stored
    return Predicting(build(config, skeleton), config.data.square(),
                      configs.score_kind(config.heatmaps.decoder, logits=config.logits))


def parts(job: Job, data: Data) -> dict[str, Part]:
    """Returns the labelled target animals: all of them are held out."""
    return {HELD_OUT: Part(data.test, data.root)} if data.test else {}


SYSTEM = with_pixel_errors(System(
    "adapt", "a finished run on images that look different, without its labels and images", OWN, VARIANTS,
    train, lambda job, data: {"target": data.test} if data.test else {}, presets={"own": OWN}, open=open_data,
    measure=measure, columns=columns, predicting=predicting, resolved=resolved, draw=draw,
    short_list=lambda preset, config: ("start", "adapted") if config.data.target_project else ("adapted",),
    applicable=lambda preset, config: tuple(VARIANTS)), parts)
