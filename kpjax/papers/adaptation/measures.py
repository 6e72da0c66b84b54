"""Measures of discovered points: errors of regressors between points and annotation, consistency
under turns, signs of a collapse; and the columns of the table.
"""

from collections.abc import Mapping, Sequence
from itertools import compress
from typing import NamedTuple

import jax
import numpy as np
from scipy.ndimage import distance_transform_edt

from kpjax import Skeleton
from kpjax.evaluation.probes import landmarks as probes
from kpjax.evaluation.probes.landmarks import ALL, Landmarks, second_turns
from kpjax.files import write_text
from kpjax.papers.adaptation.config import Config, Evaluation
from kpjax.papers.adaptation.stages import Data
from kpjax.papers.engine import Job, Outcome
from kpjax.papers.reports.report import Column
from kpjax.training.evaluation import Gathered


class Found(NamedTuple):
    """Discovered points beside the annotation, in pixels of the square images."""

    fit: Landmarks  # the images that regressors are fitted on
    test: Landmarks
    once: np.ndarray  # (N, K, 2) on the test images turned once
    twice: np.ndarray  # (N, K, 2) on those turned twice
    turns: np.ndarray  # (N, 3, 3) pixels of the former to those of the latter


def found_in(predictions: Mapping[str, Gathered], side: int) -> Found:
    """Returns the points of a run from its stored predictions on images of `side` px."""
    landmarks = {
        name: Landmarks(found.keypoints, found.true_keypoints, found.visible)
        for name, found in predictions.items()
    }
    test = landmarks["test"]
    return Found(
        landmarks.get("fit", Landmarks(*(field[:0] for field in test))),
        test,
        landmarks["turned_once"].discovered,
        landmarks["turned_twice"].discovered,
        second_turns(len(test.discovered), side),
    )


def normaliser_of(evaluation: Evaluation, annotation: Skeleton) -> probes.Normaliser:
    """Builds the lengths that errors are percent of.

    Raises InputError for eyes where the annotation has none.
    """
    if evaluation.lengths == "eyes":
        return probes.between_eyes(annotation, median=evaluation.median_length)
    return probes.object_size(median=evaluation.median_length)


def regressor_errors(
    found: Found, config: Config, annotation: Skeleton, images: Sequence[int | None]
) -> dict[str, probes.LandmarkErrors]:
    """Computes `forward/<images>` and `backward/<images>` for each number of labelled images."""
    evaluation = config.evaluation
    return probes.both_errors(
        found.fit,
        found.test,
        normaliser=normaliser_of(evaluation, annotation),
        images=images,
        regressor=probes.scaled_ridge(config.data.image_size, evaluation.penalty),
        repeats=evaluation.repeats,
        extra=evaluation.extra,
    )


def check_data(config: Config, data: Data) -> Data:
    """Returns the data.

    Raises InputError for a length that the annotation lacks, and for too many labelled images.
    """
    evaluation = config.evaluation
    if evaluation.annotated:
        normaliser_of(evaluation, data.test.skeleton)
        probes.labelled_subsets(
            len(data.fit), max(evaluation.labelled_images, default=1), extra=evaluation.extra
        )
    return data


def measures_of(
    found: Found, config: Config, annotation: Skeleton, skeleton: Skeleton
) -> tuple[dict[str, float], str]:
    """Computes the metrics of a run, and returns why they mean nothing ("" if they do).

    `forward/<images>` and `backward/<images>` are in percent, with all labelled images also per
    landmark and per point; their deviations over subsets lie under `deviation/`.
    `mean_landmarks/<images>` is the forward error of answering every image with the mean of the
    labels, which informative points have to beat. `consistency` is in pixels, sorted over points
    under `consistency/rank_<n>`. `varying_points` counts points. `point_spread`, `median_spread`,
    `annotated_spread` and `annotated_median_spread` are mean and median distances between points
    and between landmarks, px. `void` is 1 where the points have collapsed.
    """
    evaluation, follows = (
        config.evaluation,
        probes.consistency(found.once, found.twice, found.turns),
    )
    values: dict[str, float] = {}
    if evaluation.annotated:
        errors = regressor_errors(found, config, annotation, (*evaluation.labelled_images, ALL))
        # the forward errors of points that are the same on every image
        still = found._replace(
            **{
                name: part._replace(discovered=np.zeros_like(part.discovered))
                for name, part in (("fit", found.fit), ("test", found.test))
            }
        )
        values |= {
            name.replace("forward", "mean_landmarks"): float(one.per_image.mean())
            for name, one in regressor_errors(
                still, config, annotation, (*evaluation.labelled_images, ALL)
            ).items()
            if name.startswith("forward")
        }
        labelled = compress(annotation.names, found.fit.visible.any(0) & found.test.visible.any(0))
        for name, landmarks in (("forward/all", labelled), ("backward/all", skeleton.names)):
            each = zip(landmarks, errors[name].per_landmark, strict=True)
            values |= {f"{name}/{landmark}": float(value) for landmark, value in each}
        test = found.test
    else:
        errors = {}
        # Nothing is annotated: one place that all images share makes the spread that is compared
        # with zero.
        test = Landmarks(
            found.test.discovered, np.zeros((len(found.once), 1, 2)), np.ones((len(found.once), 1))
        )
    measured = probes.measures(errors, follows, test, side=config.data.image_size)
    if not evaluation.annotated:
        del measured["annotated_spread"], measured["annotated_median_spread"]
    # Deviations stand beside the errors, whose names are followed by landmarks.
    values |= {
        f"deviation/{name.removesuffix('/deviation')}"
        if name.endswith("/deviation")
        else name: value
        for name, value in measured.items()
    }
    values |= {
        f"consistency/rank_{rank}": float(value) for rank, value in enumerate(follows.ascending, 1)
    }
    reason = probes.collapse_reason({"annotated_spread": 0.0} | values, len(skeleton.names))
    return values | {"void": float(bool(reason))}, reason


NEAR = 2.0  # px of the square images: so far from the object a point still lies on its outline


def share_on_object(points: np.ndarray, objects: np.ndarray) -> float:
    """Computes the share of points (N, K, 2), px, that lie on the object or within `NEAR` of it.

    objects: (N, H, W) bool, the pixels that it covers. Points outside an image count as off.
    """
    height, width = objects.shape[1:]
    columns, rows = np.moveaxis(np.rint(points).astype(int), -1, 0)
    inside = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
    away = np.stack([distance_transform_edt(~one) for one in objects])
    images = np.arange(len(points))[:, None]
    found = away[images, rows.clip(0, height - 1), columns.clip(0, width - 1)] <= NEAR
    return float((inside & found).mean())


def measure(
    job: Job, data: Data, outcome: Outcome, predictions: Mapping[str, Gathered]
) -> dict[str, float]:
    """Measures errors of regressors, consistency, and the share of points on the object where the
    data tell what that covers; writes collapsed.txt, empty unless they mean
    nothing.
    """
    values, reason = measures_of(
        found_in(predictions, job.config.data.image_size),
        job.config,
        data.test.skeleton,
        outcome.method.skeleton,
    )
    if data.objects is not None:
        values["on_object"] = share_on_object(predictions["test"].keypoints, data.objects)
    if reason:
        print(f"{job.title}: COLLAPSED, its errors mean nothing: {reason}")
    if jax.process_index() == 0:
        write_text(job.folder / "collapsed.txt", reason and f"{reason}\n")
    return values


def columns(config: Config) -> tuple[Column, ...]:
    """Returns errors with all labelled images and with about ten, in percent of `lengths`, beside
    them the forward error of the mean of the same labels, which needs no point; then consistency,
    signs of a collapse and the core's."""
    counts = [
        "all",
        *(
            str(count)
            for count in sorted(
                config.evaluation.labelled_images, key=lambda count: abs(count - 10)
            )[:1]
        ),
    ]
    errors = (
        tuple(
            Column(f"{metric}/{count}", f"{title}, {count}", "%", 1.0, 2, "lower")
            for count in counts
            for metric, title in (
                ("backward", "backward"),
                ("forward", "forward"),
                ("mean_landmarks", "of the mean"),
            )
        )
        if config.evaluation.annotated
        else ()
    )
    core = (Column("core/pck", "core", "%", 100.0, 1),) if config.core.core_test else ()
    return (
        *errors,
        Column("consistency", "consistency", f"px of {config.data.image_size}", 1.0, 2, "lower"),
        *(
            (Column("on_object", "points on the object", "%", 100.0, 0),)
            if config.data.rendered
            else ()
        ),
        Column("varying_points", "varying points", f"of {config.landmarks}", 1.0, 1),
        Column("point_spread", "mean distance between points", "px", 1.0, 1, ""),
        Column("median_spread", "median distance", "px", 1.0, 1, ""),
        Column("void", "collapsed", "%", 100.0, 0, "lower"),
        *core,
    )
