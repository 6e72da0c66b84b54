"""Measures of Keypoint Pyramids: probes of keypoints on test videos, decoded images, signs of degenerate
keypoints, the columns of the table, and pictures.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from kpjax import InputError, Method, Skeleton
from kpjax.drawing.overlays import contact_sheet, draw_keypoints, prediction_sheet, write_png
from kpjax.evaluation.degeneracy import live_keypoints, spread_of
from kpjax.evaluation.motion import motion_in_videos
from kpjax.evaluation.probes.actions import action_probe, windows
from kpjax.evaluation.probes.decoded_images import decoding_errors, fit_decoders
from kpjax.evaluation.probes.image_moments import image_moments
from kpjax.evaluation.probes.linear import best_ridge, linear_probe, mean_pose
from kpjax.evaluation.probes.regression_errors import (
    RegressionErrors,
    errors_in_units,
    normalised_from_pixels,
)
from kpjax.evaluation.probes.splits import Split, halves_by, random_halves
from kpjax.files import atomic
from kpjax.input.pairs import Crop
from kpjax.input.source import Source
from kpjax.input.video_source import VideoSource, actions_of, frames_of, of_videos
from kpjax.papers import engine
from kpjax.papers.engine import Job, Outcome
from kpjax.papers.pyramids.config import Config, Evaluation
from kpjax.papers.reports.report import Column
from kpjax.training.evaluation import Gathered, predict_source

ORACLE = "supervised_bound"
COARSE = ("keynet_coarse", "transporter_coarse")  # they have the keypoints of the first level alone
TRUE_JOINTS = "accuracy_of_true_joints"  # under action/, in place of keypoints
# size of the moving image; px, to which small frames are enlarged
MOVING_VIDEOS, MOVING_FRAMES, MOVING_SIDE = 3, 16, 144


class Data(NamedTuple):
    """Videos of one seed. Labels of the training videos are the oracle's alone."""

    train: VideoSource
    test: VideoSource
    identity: Mapping[str, Any] = {}
    pair_crop: Crop | None = None  # in place of the config's, where no frame has a box

    @property
    def skeleton(self) -> Skeleton:
        """The annotated joints."""
        return self.test.skeleton

    @property
    def summary(self) -> str:
        return ", ".join(
            f"{len(part.titles)} {name} videos of {len(part)} frames"
            for name, part in (("training", self.train), ("test", self.test))
        )


def predict(job: Job, method: Method, state: Any, source: Source) -> Gathered:
    """Predicts all frames of a source."""
    return predict_source(method, state, source, batch_size=job.config.prediction_batch)


def no_features(source: VideoSource) -> np.ndarray:
    """Returns no feature of each frame, of which the mean pose is a linear function."""
    return np.zeros((len(source), 0))


def moments(source: VideoSource) -> np.ndarray:
    """Returns nine moments of what differs from the background."""
    return image_moments(frames_of(source))


# What is probed of variants without a network, in place of keypoints.
PROBED: dict[str, Callable[[VideoSource], np.ndarray]] = {
    "mean_pose": no_features,
    "image_moments": moments,
}

# Probes of keypoints on frames that were not trained on

FLAT, LEVEL_1 = "flat", "level1"
BLOCKS = 10  # a single video is cut into so many stretches, which take the place of videos
DECODED_SHOWN = 8  # frames beside what is decoded of them
SPREAD_FRAMES = 2000  # are enough for the distances between keypoints
Features = Mapping[str, np.ndarray]  # by level, (N, F) or (N, k, 2)


class Truth(NamedTuple):
    """Labels of frames, in pixels of the network's images."""

    joints: np.ndarray  # (N, J, 2)
    visible: np.ndarray  # (N, J)
    crop: np.ndarray  # (N, 3, 3), to pixels of the original images


def truth_of(source: Source | Gathered) -> Truth:
    """Returns the labels of a source, or of the predictions on it."""
    if isinstance(source, Gathered):
        return Truth(source.true_keypoints, source.visible, source.crop)
    examples = (source[number] for number in range(len(source)))
    return Truth(
        *map(
            np.stack,
            zip(*((one.keypoints, one.visible, one.crop) for one in examples), strict=True),
        )
    )


def levels_of(keypoints: np.ndarray, skeleton: Skeleton) -> dict[str, np.ndarray]:
    """Returns keypoints (N, K, 2) by level, and all of them as `flat`."""
    return {name: keypoints[:, list(members)] for name, members in skeleton.groups.items()} | {
        FLAT: keypoints
    }


def features_of(variant: str, keypoints: np.ndarray, skeleton: Skeleton) -> dict[str, np.ndarray]:
    """Returns what probes read of a variant's keypoints (N, K, 2), by level."""
    if variant == ORACLE:
        return {FLAT: keypoints}
    if variant in COARSE:
        return {LEVEL_1: keypoints}
    return levels_of(keypoints, skeleton)


def split_of(
    source: VideoSource, rows: np.ndarray, seed: int, stretch: int = 0
) -> tuple[Split, np.ndarray]:
    """Splits some frames of a source into halves by video, with every action on either side.

    A single video is split by stretches of it, and so are all where `stretch` says how many frames
    one has. Returns the split, and the video (or stretch) of each frame, (N,).
    """
    groups, kinds = source.video[rows], actions_of(source)
    if stretch:
        groups = np.unique(
            np.stack([groups, source.frame[rows] // stretch]), axis=1, return_inverse=True
        )[1].ravel()
    if len(np.unique(groups)) < 2:
        groups, kinds = (np.arange(len(rows)) * BLOCKS) // max(len(rows), 1), None
    return halves_by(groups, seed, kinds=None if kinds is None else kinds[rows]), groups


def regression(
    features: Features,
    truth: Truth,
    source: VideoSource,
    config: Config,
    seed: int,
    *,
    details: bool = True,
    direct: bool = False,
) -> dict[str, float]:
    """Computes the linear probe's errors of every level on test videos; features and truth are of
    all frames.

    `rmse/<level>` is the root mean squared error of a coordinate of the annotated joints as a
    linear function of the keypoints of a level, in pixels of the network's images, on the half of
    the test videos that the function was not fitted on. Levels are `level1`, `level2` and `flat`,
    which is both. Other readings of the same errors are under `units/`, and `random_halves/<level>`
    splits frames, not videos: the paper says only that it halves the test data.

    seed: of the split. details: also every unit, every joint, and random halves. direct: the
    features are joints already, as the oracle's may be, and nothing is fitted. Raises InputError if
    no frame, or too few, are labelled.
    """
    rows = np.flatnonzero(truth.visible.any(1))
    split, groups = split_of(source, rows, seed, config.evaluation.stretch)
    joints, visible, crop = (part[rows] for part in truth)
    values, side = {}, config.data.image_size

    def tested(found: np.ndarray, chosen: Split) -> dict[str, RegressionErrors]:
        if direct:
            guess = np.asarray(found, np.float64)
        elif not found.size:
            guess = mean_pose(joints, visible, chosen)
        else:
            ridges = config.evaluation.ridges
            ridge = (
                best_ridge(found, joints, visible, chosen.fit, groups, ridges) if ridges else 0.0
            )
            guess = linear_probe(found, joints, visible, chosen, ridge=ridge)
        guess, *true = (part[chosen.test] for part in (guess, joints, visible))
        return errors_in_units(guess, *true, size=(side, side), crop=crop[chosen.test])

    for level, found in features.items():
        by_unit = tested(found[rows], split)
        values[f"rmse/{level}"] = by_unit["pixels"].per_coordinate
        if not details:
            continue
        values |= {
            f"units/{unit}_{kind}/{level}": getattr(in_unit, kind)
            for unit, in_unit in by_unit.items()
            for kind in ("per_coordinate", "per_point", "per_image")
        }
        values |= {
            f"rmse/{level}/{name}": float(value)
            for name, value in zip(source.skeleton.names, by_unit["pixels"].per_joint, strict=True)
        }
        at_random = tested(found[rows], random_halves(len(rows), seed))
        values[f"random_halves/{level}"] = at_random["pixels"].per_coordinate
    return values


def actions(
    train: Features,
    train_source: VideoSource,
    test: Features,
    test_source: VideoSource,
    evaluation: Evaluation,
    seed: int,
) -> dict[str, float]:
    """Trains a recurrent network on sequences of all keypoints of training videos, and tests it on
    test videos.

    Features are of all frames of their source; levels count that are in both. Returns
    `action/accuracy` of `flat`, `action/majority`, and `action/<level>` of the others.
    """
    sources = (train_source, test_source)
    names = [actions_of(source) for source in sources]
    parts = [
        windows(
            source.video,
            frame=source.frame,
            length=evaluation.action_window,
            every=evaluation.action_every,
        )
        for source in sources
    ]
    rows = np.concatenate([parts[0].rows, parts[1].rows + len(train_source)])
    shown = np.concatenate(
        [known[part.rows[:, 0]] for known, part in zip(names, parts, strict=True)]
    )
    split = Split(*np.split(np.arange(len(rows)), [len(parts[0].rows)]))
    values = {}
    for level in (level for level in test if level in train):
        both = np.concatenate(
            [np.asarray(part[level]).reshape(len(part[level]), -1) for part in (train, test)]
        )
        found = action_probe(both, rows, shown, split, seed=seed, steps=evaluation.action_steps)
        values |= {
            "action/accuracy" if level == FLAT else f"action/{level}": found.accuracy,
            "action/majority": found.majority,
        }
    return values


def measure(
    job: Job, data: Data, outcome: Outcome, predictions: Mapping[str, Gathered]
) -> dict[str, float]:
    """Probes what a variant knows of test videos, and for signs of degenerate keypoints.

    `live_points` counts keypoints that are neither on the border nor still. `point_spread` is the
    mean distance between two keypoints of an image whose side is 2, and `coordinate_spread` the
    standard deviation of a coordinate. Levels that a baseline learns alone are probed by their own
    networks, for actions, too (Table 2).
    """
    config, oracle, read = job.config, job.variant == ORACLE, PROBED.get(job.variant)
    if read:
        features, truth, values = {FLAT: read(data.test)}, truth_of(data.test), {}
    else:
        found, skeleton = predictions["test"], outcome.method.skeleton
        rows = np.unique(
            np.linspace(0, len(found.keypoints) - 1, SPREAD_FRAMES).round().astype(int)
        )
        points = jnp.asarray(
            normalised_from_pixels(found.keypoints[rows], 2 * (config.data.image_size,)),
            jnp.float32,
        )
        spread, truth = spread_of(points), truth_of(found)
        values = {
            "live_points": float(live_keypoints(points).sum()),
            "point_spread": float(spread["points"]),
            "coordinate_spread": float(spread["coordinates"]),
        }
        values |= motion_in_videos(data.test, found.keypoints)
        features = features_of(job.variant, found.keypoints, skeleton) | {
            level: alone.keypoints for level, alone in predictions.items() if level != "test"
        }
        if config.evaluation.image_steps:
            values |= decoded_images(job, data, outcome, found)
    if data.test.skeleton.names:
        try:
            values |= regression(features, truth, data.test, config, job.seed)
            if oracle:
                own = regression(
                    features, truth, data.test, config, job.seed, details=False, direct=True
                )
                values[f"direct/{FLAT}"] = own[f"rmse/{FLAT}"]
        except InputError as error:  # what was trained is kept
            print(f"{job.title}: no errors on labels: {error}")
    if actions_of(data.test) is None or not all(found.size for found in features.values()):
        return values
    training, count = data.train, config.evaluation.action_training_videos
    if 0 < count < len(training.titles):
        training = of_videos(training, range(count))
    if read:
        known = {FLAT: read(training)}
    else:
        found = predict(job, outcome.method, outcome.trained, training)
        known = features_of(job.variant, found.keypoints, skeleton)
        if config.evaluation.action_per_level:
            known |= {
                level: predict(job, *network, training).keypoints
                for level, network in outcome.others.items()
            }
        elif FLAT in known:
            known = {FLAT: known[FLAT]}
        if oracle:
            known[TRUE_JOINTS], features[TRUE_JOINTS] = truth_of(found).joints, truth.joints
    try:
        values |= actions(known, training, features, data.test, config.evaluation, job.seed)
    except InputError as error:
        print(f"{job.title}: no accuracy of actions: {error}")
    return values


def decoded_images(job: Job, data: Data, outcome: Outcome, found: Gathered) -> dict[str, float]:
    """Trains decoders from the keypoints of each level to frames of training videos, and computes
    their errors on test videos.

    `image/<level>` is the root mean squared error of a pixel, from 0 to 1, and `image/mean_image`
    that of the mean training frame. Also draws some test frames, each above what is decoded of it.
    found: the keypoints of the test videos. Levels that a baseline learns alone are left aside:
    they are other networks.
    """
    evaluation, skeleton = job.config.evaluation, outcome.method.skeleton
    size = 2 * (job.config.data.image_size,)

    def points_of(keypoints: np.ndarray) -> dict[str, np.ndarray]:
        by_level = features_of(job.variant, keypoints, skeleton)
        return {level: normalised_from_pixels(of, size) for level, of in by_level.items()}

    learnt = predict(job, outcome.method, outcome.trained, data.train)
    decoders = fit_decoders(
        points_of(learnt.keypoints),
        data.train,
        kind=evaluation.image_decoder,
        steps=evaluation.image_steps,
        seed=job.seed,
    )
    tested = points_of(found.keypoints)
    if jax.process_index() == 0:
        rows = np.linspace(0, len(data.test) - 1, DECODED_SHOWN).round().astype(int)
        shown = [data.test[row].image for row in rows]
        for level, points in tested.items():
            decoded = np.clip(decoders(level, points[rows]), 0, 1)
            shown += [(255 * image).round().astype(np.uint8) for image in decoded]
        write_png(
            job.folder / engine.IMAGES / "decoded.png", contact_sheet(shown, columns=DECODED_SHOWN)
        )
    errors = decoding_errors(decoders, tested, data.test)
    return {f"image/{level}": error for level, error in errors.items()}


def draw(job: Job, data: Data, outcome: Outcome, predictions: Mapping[str, Gathered]) -> None:
    """Draws keypoints on test videos: on the start of some, moving side by side without an end, and
    in a sheet.
    """
    method, source = outcome.method, data.test
    if method is None or jax.process_index() != 0:
        return
    folder, found = job.folder / engine.IMAGES, predictions["test"]
    videos = np.unique(np.linspace(0, len(source.titles) - 1, MOVING_VIDEOS).round().astype(int))
    moving = [
        [
            draw_keypoints(
                source[row].image,
                found.keypoints[row],
                None,
                method.skeleton,
                minimum_side=MOVING_SIDE,
            )
            for row in range(*source.bounds[video])[:MOVING_FRAMES]
        ]
        for video in videos
    ]
    # Colours lose four bits: files of noisy images are then less than half as large.
    images = [
        Image.fromarray(contact_sheet(shown, len(moving)) & 0xF0)
        for shown in zip(*moving, strict=False)
    ]
    with atomic(folder / "keypoints_moving.png") as file:
        images[0].save(
            file, format="PNG", save_all=True, append_images=images[1:], duration=120, loop=0
        )
    rows = np.linspace(0, len(source) - 1, 16).round().astype(int)
    true = (
        {"true": found.true_keypoints[rows], "visible": found.visible[rows]}
        if job.variant == ORACLE
        else {}
    )
    write_png(
        folder / "keypoints.png",
        prediction_sheet(
            [source[row].image for row in rows],
            found.keypoints[rows],
            None,
            method.skeleton,
            columns=4,
            **true,
        ),
    )


def columns(config: Config) -> tuple[Column, ...]:
    """Returns the probe's errors, actions, and signs of degenerate keypoints."""
    unit = f"px of {config.data.image_size}"
    alone = {"level1": "first level", "level2": "second level"}
    levels = {"flat": "all keypoints", **alone}
    titles = {f"rmse/{level}": f"error from {title}" for level, title in levels.items()}
    if config.data.data == "human36m_videos":
        titles |= {
            f"units/pixels_per_image/{level}": f"{title}, of an image's joints together"
            for level, title in levels.items()
        }
    return (
        *(Column(metric, title, unit, 1.0, 2, "lower") for metric, title in titles.items()),
        Column("direct/flat", "error of its own points", unit, 1.0, 2, "lower"),
        Column("action/accuracy", "actions", "%", 100.0, 1),
        *(
            Column(f"action/{level}", f"actions from {title}", "%", 100.0, 1)
            for level, title in (alone | {TRUE_JOINTS: "true joints"}).items()
            if config.evaluation.action_per_level
        ),
        *(
            Column(f"image/{level}", f"decoded image, {title}", "% of white", 100.0, 1, "lower")
            for level, title in (levels | {"mean_image": "mean image"}).items()
            if config.evaluation.image_steps
        ),
        Column("points_on_motion", "points on what moves", "%", 100.0, 0),
        Column("motion_coverage", "motion near a point", "%", 100.0, 0),
        Column("coincident_points", "coincident pairs", "", 1.0, 1, "lower"),
        Column("live_points", "live points", "", 1.0, 0),
        Column("point_spread", "distance between points", "of a side of 2", 1.0, 2, ""),
    )
