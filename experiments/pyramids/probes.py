"""What keypoints say about frames that were not trained on, in the metrics of `results.json`.

`rmse/<level>` is the root mean squared error of a coordinate of the annotated joints as a linear function of the
keypoints of a level, in pixels of the network's pictures, on the half of the test videos that the function was not
fitted on. Levels are `level1`, `level2` and `flat`, which is both. Other readings of the same errors are under
`units/`, and `random_halves/<level>` splits frames, not videos, as the paper's text has it.
"""
from collections.abc import Mapping
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from experiments.pyramids.config import Config
from experiments.pyramids.videos import actions_of
from kpjax.evaluation.degeneracy import live_keypoints, spread_of
from kpjax.evaluation.probes.actions import action_probe, windows
from kpjax.evaluation.probes.linear import linear_probe, mean_pose
from kpjax.evaluation.probes.regression_errors import errors_in_units, normalised_from_pixels, squared_errors
from kpjax.evaluation.probes.splits import Split, halves_by, random_halves
from kpjax.input.source import Source
from kpjax.input.video_source import VideoSource
from kpjax.structures import Skeleton
from kpjax.training.evaluation import Gathered

FLAT = "flat"
BLOCKS = 10  # a single video is cut into so many stretches, which take the place of videos
SPREAD_FRAMES = 2000  # are enough for the distances between points
Features = Mapping[str, np.ndarray]  # by level, (N, F) or (N, k, 2)


class Truth(NamedTuple):
    """The labels of frames, in pixels of the network's pictures."""

    joints: np.ndarray  # (N, J, 2)
    visible: np.ndarray  # (N, J)
    crop: np.ndarray  # (N, 3, 3), to pixels of the original pictures

    @property
    def labelled(self) -> np.ndarray:
        """The numbers of the frames with a label."""
        return np.flatnonzero(self.visible.any(1))


class Regression(NamedTuple):
    """The probe's errors."""

    values: dict[str, float]
    squares: np.ndarray  # (M,) each tested frame's sum of squared distances, flat
    groups: np.ndarray  # (M,) the video of each
    frames: np.ndarray  # (M,) its number in the source


def truth_of(source: Source | Gathered) -> Truth:
    """The labels of a source, or of what was predicted on it."""
    if isinstance(source, Gathered):
        return Truth(source.true_keypoints, source.visible, source.crop)
    examples = [source[number] for number in range(len(source))]
    return Truth(*(np.stack([getattr(example, field) for example in examples])
                   for field in ("keypoints", "visible", "crop")))


def levels_of(keypoints: np.ndarray, skeleton: Skeleton) -> dict[str, np.ndarray]:
    """Keypoints (N, K, 2) by level, and all of them as `flat`."""
    return {name: keypoints[:, list(members)] for name, members in skeleton.groups.items()} | {FLAT: keypoints}


def split_of(source: VideoSource, rows: np.ndarray, seed: int) -> tuple[Split, np.ndarray]:
    """Halves of some frames of a source by video, every action on either side, and the video (N,) of each of them.

    Of a single video by stretches of it.
    """
    groups, kinds = source.video[rows], actions_of(source)
    if len(np.unique(groups)) < 2:
        groups, kinds = (np.arange(len(rows)) * BLOCKS) // max(len(rows), 1), None
    return halves_by(groups, seed, kinds=None if kinds is None else kinds[rows]), groups


def regression(
    features: Features, truth: Truth, source: VideoSource, config: Config, seed: int, *, details: bool = True,
    direct: bool = False,
) -> Regression:
    """The errors of every level.

    features: of all frames of the source. details: also every unit, every joint, and random halves.
    direct: the features are joints already, as of the supervised bound, and nothing is fitted.
    Raises InputError where no frame, or too little, is labelled.
    """
    rows = truth.labelled
    split, groups = split_of(source, rows, seed)
    joints, visible, crop = (part[rows] for part in truth)
    size = (config.image_size, config.image_size)
    values, squares = {}, None

    def predicted(found: np.ndarray, chosen: Split) -> np.ndarray:
        if direct:
            return np.asarray(found, np.float64)[chosen.test]
        if not found.size:
            return mean_pose(joints, visible, chosen)[chosen.test]
        return linear_probe(found, joints, visible, chosen, intercept=config.intercept, ridge=config.ridge)[chosen.test]

    for level, found in features.items():
        tested = split.test
        guess = predicted(found[rows], split)
        errors = errors_in_units(guess, joints[tested], visible[tested], size=size, crop=crop[tested])
        values[f"rmse/{level}"] = errors["pixels"].per_coordinate
        if level == FLAT:
            squares = squared_errors(guess, joints[tested], visible[tested])
        if not details:
            continue
        for unit, found_errors in errors.items():
            for kind in ("per_coordinate", "per_point", "per_image"):
                values[f"units/{unit}_{kind}/{level}"] = getattr(found_errors, kind)
        for name, value in zip(source.skeleton.names, errors["pixels"].per_joint, strict=True):
            values[f"rmse/{level}/{name}"] = float(value)
        halves = random_halves(len(rows), seed)
        values[f"random_halves/{level}"] = errors_in_units(
            predicted(found[rows], halves), joints[halves.test], visible[halves.test], size=size,
            crop=crop[halves.test])["pixels"].per_coordinate
    return Regression(values, squares, groups[split.test], rows[split.test])


def actions(
    train: Features, train_source: VideoSource, test: Features, test_source: VideoSource, config: Config, seed: int
) -> dict[str, float]:
    """`action/accuracy` of a recurrent network on sequences of all keypoints, and `action/<level>` if asked for; {}
    where actions are not known. It is trained on training videos; test videos are only asked about."""
    names = [actions_of(source) for source in (train_source, test_source)]
    if any(found is None for found in names):
        return {}
    parts = [windows(source.video, frame=source.frame, length=config.action_window, every=config.action_every)
             for source in (train_source, test_source)]
    fitted = len(parts[0].rows)
    rows = np.concatenate([parts[0].rows, parts[1].rows + len(train_source)])
    shown = np.concatenate([known[part.rows[:, 0]] for known, part in zip(names, parts, strict=True)])
    split = Split(np.arange(fitted), np.arange(fitted, len(rows)))
    values = {}
    for level in test if config.action_per_level else [FLAT]:
        both = np.concatenate([np.asarray(part[level]).reshape(len(part[level]), -1) for part in (train, test)])
        found = action_probe(both, rows, shown, split, seed=seed, steps=config.action_steps)
        values["action/accuracy" if level == FLAT else f"action/{level}"] = found.accuracy
        values["action/majority"] = found.majority
    return values


def points_alive(keypoints: np.ndarray, side: int) -> dict[str, float]:
    """`live_points`, how many of (N, K, 2) in pixels are neither on the border nor still; `point_spread`, the mean
    distance between two points of a picture whose side is 2; `coordinate_spread`, how a coordinate deviates."""
    drawn = np.unique(np.linspace(0, len(keypoints) - 1, SPREAD_FRAMES).round().astype(int))
    points = jnp.asarray(normalised_from_pixels(keypoints[drawn], (side, side)), jnp.float32)
    spread = spread_of(points)
    return {"live_points": float(live_keypoints(points).sum()), "point_spread": float(spread["points"]),
            "coordinate_spread": float(spread["coordinates"])}
