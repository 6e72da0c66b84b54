"""Measures of discovered points: errors of regressors, consistency, signs of collapse, and sheets of test images."""
from collections.abc import Mapping, Sequence
from itertools import compress
from typing import Any, NamedTuple

import numpy as np
from etils import epath

from kpjax.drawing.overlays import prediction_sheet, write_png
from kpjax.evaluation.probes import landmarks as probes
from kpjax.evaluation.probes.landmarks import ALL, Landmarks, draw_turns, second_turns, turn_in_place
from kpjax.input import source as sources
from kpjax.input.source import Source
from kpjax.structures import Skeleton
from kpjax.systems.adaptation.config import Config, Evaluation
from kpjax.systems.image_sets import decoded_once
from kpjax.training.evaluation import Gathered

SHOWN, COLUMNS = 16, 8  # images of a sheet
SHOWN_SIDE = 128  # px, to which small images are enlarged


class Data(NamedTuple):
    """Images that the variants of a seed learn from and are evaluated on."""

    target: Source  # without labels
    fit: Source  # with labels, for the regressors
    test: Source
    turned_once: Source  # the test images, each turned in place
    turned_twice: Source  # and turned again
    chosen: tuple[str, ...] = ()  # the names, or numbers, of `target_images`; () for all
    identity: Mapping[str, Any] = {}

    @property
    def summary(self) -> str:
        return f"{len(self.target)} images without labels, {len(self.test)} test images"


def with_turns(target: Source, fit: Source, test: Source, side: int, once: Source | None = None) -> Data:
    """Returns the images of a run with the test images, of `side` px, also turned once and twice.

    once: test images turned before they were cropped; None turns them in place.
    """
    if once is None:
        angles = draw_turns(len(test)).first
        once = sources.turned(test, np.array([turn_in_place(angle, side) for angle in angles]))
    once = decoded_once(once)
    return Data(target, fit, test, once, decoded_once(sources.turned(once, second_turns(len(test), side))))


class Found(NamedTuple):
    """Discovered points beside the annotation, in pixels of the square images."""

    fit: Landmarks  # the images that regressors are fitted on
    test: Landmarks
    once: np.ndarray  # (N, K, 2) on the test images turned once
    twice: np.ndarray  # (N, K, 2) on those turned twice
    turns: np.ndarray  # (N, 3, 3) pixels of the former to those of the latter


def found_in(predictions: Mapping[str, Gathered], side: int) -> Found:
    """Returns the points of a run from its stored predictions on images of `side` px."""
    landmarks = {name: Landmarks(found.keypoints, found.true_keypoints, found.visible)
                 for name, found in predictions.items()}
    test = landmarks["test"]
    return Found(landmarks.get("fit", Landmarks(*(field[:0] for field in test))), test,
                 landmarks["turned_once"].discovered, landmarks["turned_twice"].discovered,
                 second_turns(len(test.discovered), side))


def normaliser_of(evaluation: Evaluation, annotation: Skeleton) -> probes.Normaliser:
    """Builds the lengths that errors are percent of. Raises InputError for eyes where the annotation has none."""
    if evaluation.lengths == "eyes":
        return probes.between_eyes(annotation, median=evaluation.median_length)
    return probes.object_size(median=evaluation.median_length)


def regressor_errors(
    found: Found, config: Config, annotation: Skeleton, images: Sequence[int | None]
) -> dict[str, probes.LandmarkErrors]:
    """Computes `forward/<images>` and `backward/<images>` for each number of labelled images."""
    evaluation = config.evaluation
    return probes.both_errors(
        found.fit, found.test, normaliser=normaliser_of(evaluation, annotation), images=images,
        regressor=probes.scaled_ridge(config.data.image_size, evaluation.penalty), repeats=evaluation.repeats,
        extra=evaluation.extra)


def checked(config: Config, data: Data) -> Data:
    """Returns the data. Raises InputError for a length that the annotation lacks, and for too many labelled images."""
    evaluation = config.evaluation
    if evaluation.annotated:
        normaliser_of(evaluation, data.test.skeleton)
        probes.labelled_subsets(len(data.fit), max(evaluation.labelled_images, default=1), extra=evaluation.extra)
    return data


def measures_of(found: Found, config: Config, annotation: Skeleton, skeleton: Skeleton) -> tuple[dict[str, float], str]:
    """Computes the metrics of a run, and returns why they mean nothing ("" if they do).

    `forward/<images>` and `backward/<images>` are in percent, with all labelled images also per landmark and per point;
    their deviations over subsets lie under `deviation/`. `mean_landmarks/<images>` is the forward error of answering
    every image with the mean of the labels, which informative points have to beat. `consistency` is in pixels, sorted
    over points under `consistency/rank_<n>`. `varying_points` counts points. `point_spread`, `median_spread`,
    `annotated_spread` and `annotated_median_spread` are mean and median distances between points and between landmarks,
    px. `void` is 1 where the points have collapsed.
    """
    evaluation, follows = config.evaluation, probes.consistency(found.once, found.twice, found.turns)
    values: dict[str, float] = {}
    if evaluation.annotated:
        errors = regressor_errors(found, config, annotation, (*evaluation.labelled_images, ALL))
        # the forward errors of points that are the same on every image
        still = found._replace(**{name: part._replace(discovered=np.zeros_like(part.discovered))
                                  for name, part in (("fit", found.fit), ("test", found.test))})
        values |= {name.replace("forward", "mean_landmarks"): float(one.per_image.mean()) for name, one in
                   regressor_errors(still, config, annotation, (*evaluation.labelled_images, ALL)).items()
                   if name.startswith("forward")}
        labelled = compress(annotation.names, found.fit.visible.any(0) & found.test.visible.any(0))
        for name, landmarks in (("forward/all", labelled), ("backward/all", skeleton.names)):
            each = zip(landmarks, errors[name].per_landmark, strict=True)
            values |= {f"{name}/{landmark}": float(value) for landmark, value in each}
        test = found.test
    else:
        errors = {}
        # Nothing is annotated: one place that all images share makes the spread that is compared with zero.
        test = Landmarks(found.test.discovered, np.zeros((len(found.once), 1, 2)), np.ones((len(found.once), 1)))
    measured = probes.measures(errors, follows, test, side=config.data.image_size)
    if not evaluation.annotated:
        del measured["annotated_spread"], measured["annotated_median_spread"]
    # Deviations stand beside the errors, whose names are followed by landmarks.
    values |= {f"deviation/{name.removesuffix('/deviation')}" if name.endswith("/deviation") else name: value
               for name, value in measured.items()}
    values |= {f"consistency/rank_{rank}": float(value) for rank, value in enumerate(follows.ascending, 1)}
    reason = probes.collapse_reason({"annotated_spread": 0.0} | values, len(skeleton.names))
    return values | {"void": float(bool(reason))}, reason


def draw_sheets(found: Found, data: Data, config: Config, skeleton: Skeleton, folder: epath.Path) -> None:
    """Draws points.png, the discovered points, and landmarks_from_points.png, the annotation that all labelled images
    regress from them, true places as rings. They show sixteen images at equal steps of their rank by forward error,
    with rank and both errors; without annotation by consistency, and no second sheet."""
    annotation, annotated = data.test.skeleton, config.evaluation.annotated
    if annotated:
        forward, backward = regressor_errors(found, config, annotation, (ALL,)).values()
        numbers, errors = probes.complete(found.test, "test"), forward.per_image
        captions = [f"{one:.0f} %, back {other:.0f} %" for one, other in zip(errors, backward.per_image, strict=True)]
    else:
        errors = probes.consistency(found.once, found.twice, found.turns).per_image
        numbers, captions = np.arange(len(errors)), [f"{error:.1f} px" for error in errors]
    ranked = np.argsort(errors, kind="stable")
    ranks = np.unique(np.linspace(0, len(ranked) - 1, SHOWN).round().astype(int))
    shown = numbers[chosen := ranked[ranks]]
    images = [data.test[int(number)].image for number in shown]
    options = {"captions": [f"{rank + 1}: {captions[place]}" for rank, place in zip(ranks, chosen, strict=True)],
               "columns": COLUMNS, "minimum_side": SHOWN_SIDE}
    write_png(folder / "points.png",
              prediction_sheet(images, np.asarray(found.test.discovered)[shown], None, skeleton, **options))
    if annotated and forward.regressed.shape[1] == len(annotation.names):
        write_png(folder / "landmarks_from_points.png", prediction_sheet(
            images, forward.regressed[chosen], None, annotation, true=np.asarray(found.test.annotated)[shown],
            visible=np.asarray(found.test.visible)[shown], **options))
