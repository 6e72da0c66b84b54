"""Probes of keypoints on frames that were not trained on, by the metrics of `results.json`.

`rmse/<level>` is the root mean squared error of a coordinate of the annotated joints as a linear function of the
keypoints of a level, in pixels of the network's images, on the half of the test videos that the function was not
fitted on. Levels are `level1`, `level2` and `flat`, which is both. Other readings of the same errors are under
`units/`, and `random_halves/<level>` splits frames, not videos, as the paper's text has it.
"""
from collections.abc import Mapping
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from kpjax import Skeleton
from kpjax.evaluation.degeneracy import live_keypoints, spread_of
from kpjax.evaluation.probes.actions import action_probe, windows
from kpjax.evaluation.probes.linear import best_ridge, linear_probe, mean_pose
from kpjax.evaluation.probes.regression_errors import RegressionErrors, errors_in_units, normalised_from_pixels
from kpjax.evaluation.probes.splits import Split, halves_by, random_halves
from kpjax.input.source import Source
from kpjax.input.video_source import VideoSource, actions_of
from kpjax.systems.pyramids.config import Config, Evaluation
from kpjax.training.evaluation import Gathered

FLAT = "flat"
BLOCKS = 10  # a single video is cut into so many stretches, which take the place of videos
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
    return Truth(*map(np.stack, zip(*((one.keypoints, one.visible, one.crop) for one in examples), strict=True)))


def levels_of(keypoints: np.ndarray, skeleton: Skeleton) -> dict[str, np.ndarray]:
    """Returns keypoints (N, K, 2) by level, and all of them as `flat`."""
    return {name: keypoints[:, list(members)] for name, members in skeleton.groups.items()} | {FLAT: keypoints}


def split_of(source: VideoSource, rows: np.ndarray, seed: int, stretch: int = 0) -> tuple[Split, np.ndarray]:
    """Splits some frames of a source into halves by video, with every action on either side.

    A single video is split by stretches of it, and so are all where `stretch` says how many frames one has. Returns the
    split, and the video (or stretch) of each frame, (N,).
    """
    groups, kinds = source.video[rows], actions_of(source)
    if stretch:
        groups = np.unique(np.stack([groups, source.frame[rows] // stretch]), axis=1, return_inverse=True)[1].ravel()
    if len(np.unique(groups)) < 2:
        groups, kinds = (np.arange(len(rows)) * BLOCKS) // max(len(rows), 1), None
    return halves_by(groups, seed, kinds=None if kinds is None else kinds[rows]), groups


def regression(features: Features, truth: Truth, source: VideoSource, config: Config, seed: int, *,
               details: bool = True, direct: bool = False) -> dict[str, float]:
    """Computes the linear probe's errors of every level on test videos; features and truth are of all frames.

    seed: of the split. details: also every unit, every joint, and random halves. direct: the features are joints
    already, as the oracle's may be, and nothing is fitted. Raises InputError if no frame, or too few, are labelled.
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
            ridge = best_ridge(found, joints, visible, chosen.fit, groups, ridges) if ridges else 0.0
            guess = linear_probe(found, joints, visible, chosen, ridge=ridge)
        guess, *true = (part[chosen.test] for part in (guess, joints, visible))
        return errors_in_units(guess, *true, size=(side, side), crop=crop[chosen.test])

    for level, found in features.items():
        by_unit = tested(found[rows], split)
        values[f"rmse/{level}"] = by_unit["pixels"].per_coordinate
        if not details:
            continue
        values |= {f"units/{unit}_{kind}/{level}": getattr(in_unit, kind) for unit, in_unit in by_unit.items()
                   for kind in ("per_coordinate", "per_point", "per_image")}
        values |= {f"rmse/{level}/{name}": float(value)
                   for name, value in zip(source.skeleton.names, by_unit["pixels"].per_joint, strict=True)}
        at_random = tested(found[rows], random_halves(len(rows), seed))
        values[f"random_halves/{level}"] = at_random["pixels"].per_coordinate
    return values


def actions(train: Features, train_source: VideoSource, test: Features, test_source: VideoSource,
            evaluation: Evaluation, seed: int) -> dict[str, float]:
    """Trains a recurrent network on sequences of all keypoints of training videos, and tests it on test videos.

    Features are of all frames of their source; levels count that are in both. Returns `action/accuracy` of `flat`,
    `action/majority`, and `action/<level>` of the others; {} if actions are unknown.
    """
    sources = (train_source, test_source)
    names = [actions_of(source) for source in sources]
    if any(found is None for found in names):
        return {}
    parts = [windows(source.video, frame=source.frame, length=evaluation.action_window, every=evaluation.action_every)
             for source in sources]
    rows = np.concatenate([parts[0].rows, parts[1].rows + len(train_source)])
    shown = np.concatenate([known[part.rows[:, 0]] for known, part in zip(names, parts, strict=True)])
    split = Split(*np.split(np.arange(len(rows)), [len(parts[0].rows)]))
    values = {}
    for level in (level for level in test if level in train):
        both = np.concatenate([np.asarray(part[level]).reshape(len(part[level]), -1) for part in (train, test)])
        found = action_probe(both, rows, shown, split, seed=seed, steps=evaluation.action_steps)
        values |= {"action/accuracy" if level == FLAT else f"action/{level}": found.accuracy,
                   "action/majority": found.majority}
    return values


def degeneracy(keypoints: np.ndarray, side: int) -> dict[str, float]:
    """Computes signs of degenerate keypoints (N, K, 2), in pixels of images of `side` px.

    `live_points` counts keypoints that are neither on the border nor still. `point_spread` is the mean distance between
    two keypoints of an image whose side is 2, and `coordinate_spread` the standard deviation of a coordinate.
    """
    rows = np.unique(np.linspace(0, len(keypoints) - 1, SPREAD_FRAMES).round().astype(int))
    points = jnp.asarray(normalised_from_pixels(keypoints[rows], (side, side)), jnp.float32)
    spread = spread_of(points)
    return {"live_points": float(live_keypoints(points).sum()), "point_spread": float(spread["points"]),
            "coordinate_spread": float(spread["coordinates"])}
