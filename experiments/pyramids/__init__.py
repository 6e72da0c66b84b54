"""Keypoint Pyramids (Qian et al., ECCV 2022): a hierarchy of keypoints from video, without labels.

Command   python -m experiments.pyramids demo                 (2 CPU cores, about 8 minutes, draws its own videos)
          python -m experiments.pyramids demo --variants all --seeds 3
          python -m experiments.pyramids.order demo                             (how the rows compare, with intervals)
          python -m experiments.pyramids.repainting demo                    (what keypoints alone tell of a picture)
          python -m experiments.pyramids own --videos clips other.mp4    (videos with keypoints, a table of coordinates)
          python -m experiments.pyramids h36m --variants all --seeds 3                                       (one GPU)
Expected  the table in experiments/RESULTS.md; the paper's numbers stand beside ours in the report of h36m

Rows learn from pairs of frames of training videos and never see a label. On test videos, which no row has seen, a
linear function from keypoints to annotated joints is fitted on half of the videos and tested on the others. Such a
probe flatters: an untrained network, the mean pose, and nine moments of whatever moves stand beside every row, and
they tell how much of an error was discovered. All trained rows have equal steps; rivals have as many keypoints in one
level as Keypoint Pyramids has in two, and the supervised bound sees the joints of the training videos.

A run in which keypoints or paintings show a sign of collapse for `--collapse-steps` steps stops with one line.
"""
import time
from dataclasses import asdict, replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from experiments.command_line import Experiment, Job, preset_folder, run_folder
from experiments.pyramids.config import PRESETS, Config
from experiments.pyramids.frame_errors import write_errors
from experiments.pyramids.own import write_own
from experiments.pyramids.pictures import draw_pictures
from experiments.pyramids.probes import (
    FLAT,
    Features,
    Truth,
    actions,
    levels_of,
    points_alive,
    regression,
    truth_of,
)
from experiments.pyramids.published import paper_numbers
from experiments.pyramids.settings import settled
from experiments.pyramids.variants import RIVALS, VARIANTS, WITHOUT_NETWORK, build, perceptual_start
from experiments.pyramids.videos import Videos, actions_of, frames_of, open_videos, pairs_of, place_of
from experiments.run_records import begin, finished_before, identity_of, stored_run
from kpjax.errors import InputError
from kpjax.evaluation.degeneracy import stop_if_collapsed
from kpjax.evaluation.probes.image_moments import image_moments
from kpjax.files import strict
from kpjax.images.transforms import Transform
from kpjax.input.stream import stream
from kpjax.input.video_source import VideoSource, of_videos
from kpjax.reports.table import Column
from kpjax.structures import Example, Method, Skeleton, Trained, named_key
from kpjax.training.evaluation import Gathered, predict_source
from kpjax.training.fit import Fitted, fit
from kpjax.training.run_folder import write_results
from kpjax.training.stages import stage
from kpjax.training.trees import save_trained

NAME = "pyramids"
COLLAPSE_CHECK = 50  # steps between two looks for signs of collapse


def run(job: Job) -> None:
    """Trains and probes one variant of one seed and writes its results; a finished run is left as it is."""
    folder, config = run_folder(job, NAME), job.config
    if finished_before(folder, job):
        return
    videos = open_videos(config, job.seed, job.data_dir)
    needs_labels = job.variant in (*WITHOUT_NETWORK, "supervised_bound")
    if needs_labels and not videos.joints.names:
        raise InputError(f"--variants: {job.variant} is judged by labels, and {videos.test.name} have none; put a "
                         "keypoints.csv into their folder, or leave the row out")
    train, test = (f"{len(part.titles)} {name} videos of {len(part)} frames"
                   for name, part in (("training", videos.train), ("test", videos.test)))
    print(f"{job.variant}, seed {job.seed}: {VARIANTS[job.variant].line}; {train}, {test}")
    if job.variant in WITHOUT_NETWORK:
        run_without_network(job, folder, videos)
    else:
        run_network(job, folder, videos)


def run_without_network(job: Job, folder: Path, videos: Videos) -> None:
    """The mean pose, or image moments: features that nothing has learnt."""
    began = time.perf_counter()
    begin(folder, identity_of(job), Skeleton(()))
    if job.variant == "mean_pose":
        features, values = {FLAT: np.zeros((len(videos.test), 0))}, {}
    else:
        features = {FLAT: image_moments(frames_of(videos.test))}
        values = {}
        if actions_of(videos.test) is not None:
            part = for_actions(job.config, videos.train)
            values = actions({FLAT: image_moments(frames_of(part))}, part, features, videos.test, job.config, job.seed)
    values |= probed(job, folder, features, truth_of(videos.test), videos.test)
    finish(job, folder, values, steps=0, images_per_second=0.0, wall_seconds=time.perf_counter() - began)


def run_network(job: Job, folder: Path, videos: Videos) -> None:
    """A row that predicts keypoints."""
    config = job.config
    method = method_of(job, videos)
    begin(folder, identity_of(job), method.skeleton)
    began = time.perf_counter()
    if job.variant == "untrained":
        trained, steps, speed, seconds = first_of(job, method), 0, 0.0, 0.0
    else:
        fitted = train(job, method, videos, folder, job.variant)
        trained, steps, speed, seconds = fitted.trained, config.steps, fitted.images_per_second, fitted.wall_seconds
    found = predict(method, trained, videos.test, config)
    features = levels_of(found.keypoints, method.skeleton) | {FLAT: found.keypoints}
    values = points_alive(found.keypoints, config.image_size)
    if job.variant == "supervised_bound":
        features = {FLAT: found.keypoints}
    elif job.variant in RIVALS and config.rivals_per_level:
        features = per_level(job, videos) | features
    if videos.joints.names:
        values |= probed(job, folder, features, truth_of(found), videos.test, direct=job.variant == "supervised_bound")
    if actions_of(videos.test) is not None:
        part = for_actions(config, videos.train)
        of_training = predict(method, trained, part, config)
        known = levels_of(of_training.keypoints, method.skeleton)
        # Levels of rivals are other networks, which the recurrent probe leaves aside.
        asked = {level: points for level, points in features.items() if level in known}
        values |= actions(known, part, asked, videos.test, config, job.seed)
        if job.variant == "supervised_bound":
            true = actions({FLAT: truth_of(of_training).joints}, part, {FLAT: truth_of(found).joints}, videos.test,
                           replace(config, action_per_level=False), job.seed)
            values["action/accuracy_of_true_joints"] = true["action/accuracy"]
    draw_pictures(method, trained, videos.test, config, job.variant, folder / "images")
    if jax.process_index() == 0:
        if videos.files:
            for path in write_own(videos.files, videos.test, found, method.skeleton, folder, every=config.every,
                                  side=config.annotated_side):
                print(path)
        save_trained(folder / "model", trained)
    finish(job, folder, values, steps=steps, images_per_second=speed,
           wall_seconds=seconds or time.perf_counter() - began)


def method_of(job: Job, videos: Videos, size: int = 0) -> Method:
    """The method of a row; the untrained row has that of Keypoint Pyramids."""
    return build(job.config, videos.joints, NAME if job.variant == "untrained" else job.variant, size)


def train(job: Job, method: Method, videos: Videos, folder: Path, name: str) -> Fitted:
    """`fit` with this experiment's batches, its probe on the way, and its look for collapse."""
    config = job.config
    if job.variant == "supervised_bound":  # sees as many pictures in a step as those that read pairs
        streams = {"labelled": stream(
            videos.train, batch_size=2 * config.batch_size, seed=job.seed, repeats=True,
            process_index=jax.process_index(), process_count=jax.process_count())}
    else:
        streams = pairs_of(config, videos, job.seed)
    watched = config.collapse_steps and job.variant != "supervised_bound"
    probing = config.evaluations and videos.joints.names

    def evaluate(state) -> dict[str, float]:
        found = predict(method, state, videos.test, config)
        levels = {FLAT: found.keypoints} if job.variant == "supervised_bound" else levels_of(
            found.keypoints, method.skeleton)
        return regression(levels, truth_of(found), videos.test, config, job.seed, details=False,
                          direct=job.variant == "supervised_bound").values

    return fit(method, streams, steps=config.steps, key=jax.random.key(job.seed), stage=name, folder=folder,
               start=perceptual_start(config, job.variant), evaluate=evaluate if probing else None,
               evaluate_every=max(1, config.steps // config.evaluations) if probing else 0,
               between=(COLLAPSE_CHECK, stop_if_collapsed(config.collapse_steps, baselines=config.collapse_baselines))
               if watched else None, config=identity_of(job))


def per_level(job: Job, videos: Videos) -> Features:
    """A rival's keypoints of each level: runs of their own with as many keypoints, kept as stages."""
    features = {}
    for number, size in enumerate(job.config.level_sizes, start=1):
        method, name = method_of(job, videos, size), f"{job.variant}_{size}"

        def fitted(place: Path, method=method, name=name) -> Fitted:
            return train(job, method, videos, place, name)

        found = stage(preset_folder(job.workdir, NAME, job.preset), name, job.seed, fitted,
                      config=strict(asdict(job.config)))
        features[f"level{number}"] = predict(method, found.trained, videos.test, job.config).keypoints
    return features


def first_of(job: Job, method: Method) -> Trained:
    """The network that `pyramids` of this seed starts from."""
    side = job.config.image_size
    blank = Example(*(jnp.zeros((1, *shape), dtype) for shape, dtype in (
        ((side, side, 3), jnp.uint8), ((0, 2), jnp.float32), ((0,), jnp.float32), ((), jnp.float32),
        ((3, 3), jnp.float32), ((), jnp.int32))))
    key = named_key(named_key(jax.random.key(job.seed), NAME), "init")
    state = jax.jit(method.init)(key, dict.fromkeys(method.streams, blank), {})
    return Trained(state.variables, state.frozen)


def predict(method: Method, state, source: VideoSource, config: Config) -> Gathered:
    """Keypoints on all frames of a source."""
    return predict_source(method, state, source, batch_size=4 * config.batch_size)


def for_actions(config: Config, train: VideoSource) -> VideoSource:
    """The training videos that actions are learnt from."""
    count = config.action_training_videos
    return of_videos(train, range(count)) if 0 < count < len(train.titles) else train


def probed(job: Job, folder: Path, features: Features, truth: Truth, source: VideoSource, *, direct: bool = False
           ) -> dict[str, float]:
    """The metrics of the linear probe; what `experiments.pyramids.order` compares is kept in the run's folder."""
    found = regression(features, truth, source, job.config, job.seed, direct=direct)
    if jax.process_index() == 0:
        write_errors(folder, found.squares, found.groups, found.frames)
    return found.values


def finish(job: Job, folder: Path, values: dict[str, float], *, steps: int, images_per_second: float,
           wall_seconds: float) -> None:
    """Writes results.json and says what is in it."""
    if jax.process_index() == 0:
        write_results(folder, experiment=NAME, preset=job.preset, variant=job.variant, seed=job.seed, steps=steps,
                      metrics=values, images_per_second=images_per_second, wall_seconds=wall_seconds,
                      config=asdict(job.config))
    shown = ("rmse/level1", "rmse/level2", "rmse/flat", "action/accuracy", "live_points", "point_spread")
    print(f"{job.variant}, seed {job.seed}: " + ", ".join(
        f"{name} {values[name]:.3f}" for name in shown if name in values))


def predictor(folder: Path) -> tuple[Method, int, Transform]:
    """(method, side, place) of a finished run, for predictions on other pictures, which are letterboxed."""
    config, variant, points = stored_run(folder, Config)
    joints = points if variant == "supervised_bound" else Skeleton(())
    method = build(config, joints, NAME if variant == "untrained" else variant)
    return method, config.image_size, place_of(replace(config, data="own"))


def score_kind(folder: Path) -> str:
    """What the scores of a finished run are."""
    return "softmax_peak"


# The command line


def short_list(preset: str, config: Config) -> tuple[str, ...]:
    """The rows that a preset runs when no variants are named."""
    if config.data == "own":
        return ("pyramids", "untrained") if getattr(config, "control", False) else ("pyramids",)
    return ("pyramids", "keynet", "transporter", "untrained", "mean_pose", "image_moments", "supervised_bound")


def applicable(preset: str, config: Config) -> tuple[str, ...]:
    """All rows that make sense for a preset: own videos have no training labels apart from those of the probe."""
    return tuple(name for name in VARIANTS if not (config.data == "own" and name == "supervised_bound"))


def shortened(config: Config, steps: int) -> Config:
    """The config with `steps` steps."""
    return replace(config, steps=steps)


def columns(config: Config) -> tuple[Column, ...]:
    """The probe's errors, actions, and what tells whether keypoints are alive."""
    unit = f"px of {config.image_size}"
    levels = (("flat", "all keypoints"), ("level1", "first level"), ("level2", "second level"))
    paper = tuple(Column(f"units/pixels_per_image/{level}", f"{title}, of a picture's joints together", unit, 1.0, 2,
                         "lower") for level, title in levels) if config.data == "human36m_videos" else ()
    errors = (*(Column(f"rmse/{level}", f"error from {title}", unit, 1.0, 2, "lower") for level, title in levels),
              *paper, Column("action/accuracy", "actions", "%", 100.0, 1))
    alive = (Column("live_points", "live points", "", 1.0, 0),
             Column("point_spread", "distance between points", "of a side of 2", 1.0, 2))
    # The headline is about the first column, and own videos seldom have labels.
    return alive + errors if config.data == "own" else errors + alive


EXPERIMENT = Experiment(
    NAME, "a hierarchy of keypoints from video, without labels", PRESETS, VARIANTS, short_list, applicable, shortened,
    run, columns, settled=settled, paper=lambda preset, config, variant: paper_numbers(preset, variant))
