"""What discovered points are worth: predicted once for a row, kept in its folder, and measured from there."""
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from experiments.adaptation.config import Config
from experiments.adaptation.pictures import Pictures
from kpjax.errors import InputError
from kpjax.evaluation.probes.landmarks import (
    ALL,
    Landmarks,
    Normaliser,
    Regressor,
    between_eyes,
    both_errors,
    collapse_reason,
    complete,
    consistency,
    labelled_subsets,
    measures,
    object_size,
    scaled_ridge,
    without_intercept,
)
from kpjax.files import atomic
from kpjax.input.source import Source
from kpjax.structures import Method, Skeleton, Trained
from kpjax.training.evaluation import predict_source

POINTS = "points.npz"  # in a run's folder
RELEASED_BATCH = 30  # of the released evaluation, whose BatchNorm sees that batch


class Found(NamedTuple):
    """Where a row finds its points, in pixels of pictures of `image_size`, beside the annotation."""

    fit: Landmarks  # the pictures that regressors are fitted on
    test: Landmarks
    once: np.ndarray  # (N, K, 2) on the test pictures turned once
    twice: np.ndarray  # (N, K, 2) on those turned twice
    turns: np.ndarray  # (N, 3, 3) pixels of the former to those of the latter


class PerPicture(NamedTuple):
    """Errors of single test pictures, those with all landmarks annotated."""

    rows: np.ndarray  # (n,) their numbers
    errors: np.ndarray  # (n,) percent of their length, the mean over landmarks and regressors
    regressed: np.ndarray  # (n, P, 2) px, by the first regressor


def predict(method: Method, trained: Trained, pictures: Pictures, config: Config) -> Found:
    """A row's points on all pictures that it is judged by."""
    batch_size = RELEASED_BATCH if config.statistics == "batch" else 64

    def found(source: Source) -> Landmarks:
        gathered = predict_source(method, trained, source, batch_size=batch_size)
        return Landmarks(gathered.keypoints, gathered.true_keypoints, gathered.visible)

    test = found(pictures.test)
    fit = found(pictures.fit) if config.annotated else Landmarks(*(field[:0] for field in test))
    return Found(fit, test, found(pictures.turned_once).discovered, found(pictures.turned_twice).discovered,
                 pictures.turns)


def write_points(folder: Path, found: Found) -> None:
    """Keeps what `read_points` reads. Of several processes the first writes."""
    if jax.process_index() != 0:
        return
    named = {f"{part}_{name}": field for part, landmarks in (("fit", found.fit), ("test", found.test))
             for name, field in zip(Landmarks._fields, landmarks, strict=True)}
    with atomic(folder / POINTS) as partial:
        np.savez(partial, once=found.once, twice=found.twice, turns=found.turns, **named)


def read_points(folder: Path) -> Found:
    """What `write_points` kept in a run's folder. Raises InputError if there is nothing."""
    if not (folder / POINTS).is_file():
        raise InputError(f"{folder}: has no {POINTS}, so its run is not finished; its own command goes on with it")
    with np.load(folder / POINTS) as stored:
        parts = (Landmarks(*(stored[f"{part}_{name}"] for name in Landmarks._fields)) for part in ("fit", "test"))
        return Found(*parts, stored["once"], stored["twice"], stored["turns"])


def regressor_of(config: Config) -> Regressor:
    """How landmarks are regressed."""
    if config.regressor == "without_intercept":
        return without_intercept()
    return scaled_ridge(config.image_size, config.penalty)


def normaliser_of(config: Config, annotation: Skeleton) -> Normaliser:
    """What errors are percent of. Raises InputError for eyes where the annotation has none."""
    if config.lengths == "eyes":
        return between_eyes(annotation, median=config.median_length)
    return object_size(median=config.median_length)


def check_annotation(config: Config, pictures: Pictures) -> None:
    """Raises InputError, before anything is trained, for a length that the annotation does not have and for more
    labelled pictures than there are."""
    if config.annotated:
        normaliser_of(config, pictures.test.skeleton)
        labelled_subsets(len(pictures.fit), max(config.images, default=1), repeats=config.repeats, extra=config.extra)


def row_of(found: Found, config: Config, annotation: Skeleton, skeleton: Skeleton) -> tuple[dict[str, float], str]:
    """The metrics of a row, and why they mean nothing ("" if they do).

    `forward/<images>` and `backward/<images>` in percent, with all labelled pictures also per landmark and per point;
    their deviations over subsets under `deviation/`; `mean_landmarks/<images>`, the forward error of answering every
    picture with the mean of the labels, which points that tell of a picture have to beat; `consistency` in pixels,
    sorted over points under `consistency/rank_<n>`; `live_points`, mean and median distances between points and
    between landmarks, `point_spread`, `median_spread`, `annotated_spread` and `annotated_median_spread` (px), and
    `void`, 1 or 0.
    """
    follows = consistency(found.once, found.twice, found.turns)
    if config.annotated:
        errors = both_errors(
            found.fit, found.test, normaliser=normaliser_of(config, annotation), regressor=regressor_of(config),
            images=(*config.images, ALL), repeats=config.repeats, extra=config.extra)
        means = errors_of_mean(found, config, annotation)
    else:
        errors, means = {}, {}
        # Nothing is annotated: one place that all pictures share makes the spread that is compared with zero.
        found = found._replace(test=Landmarks(found.test.discovered, np.zeros((len(found.once), 1, 2)),
                                              np.ones((len(found.once), 1))))
    row = measures(errors, follows, found.test, side=config.image_size)
    if not config.annotated:
        del row["annotated_spread"], row["annotated_median_spread"]
    row = {_place(name): value for name, value in row.items()} | means
    if config.annotated:
        shown = [np.asarray(part.visible)[complete(part, name)].any(0) for name, part in
                 (("fitted", found.fit), ("test", found.test))]
        landmarks = [name for name, there in zip(annotation.names, shown[0] & shown[1], strict=True) if there]
        for direction, names in (("forward", landmarks), ("backward", skeleton.names)):
            per_landmark = errors[f"{direction}/all"].per_landmark
            row |= {f"{direction}/all/{name}": float(value) for name, value in zip(names, per_landmark, strict=True)}
    row |= {f"consistency/rank_{rank}": float(value) for rank, value in enumerate(follows.ascending, 1)}
    reason = collapse_reason({"annotated_spread": 0.0} | row, len(skeleton.names))
    return row | {"void": float(bool(reason))}, reason


def errors_of_mean(found: Found, config: Config, annotation: Skeleton) -> dict[str, float]:
    """`mean_landmarks/<images>`: forward errors, percent, of points that are the same on every picture."""
    fit, test = (part._replace(discovered=np.zeros_like(part.discovered)) for part in (found.fit, found.test))
    constant = found._replace(fit=fit, test=test)
    with_intercept = replace(config, regressor="ridge")
    return {f"mean_landmarks/{'all' if images is ALL else images}": float(
        errors_of_pictures(constant, with_intercept, annotation, images).errors.mean())
        for images in (*config.images, ALL)}


def _place(name: str) -> str:
    """Deviations go beside the errors, whose names are followed by landmarks."""
    return f"deviation/{name.removesuffix('/deviation')}" if name.endswith("/deviation") else name


def errors_of_pictures(
    found: Found, config: Config, annotation: Skeleton, images: int | None = ALL, *, forward: bool = True
) -> PerPicture:
    """The errors of `forward/<images>` or `backward/<images>`, picture by picture."""
    fit, test = (complete(part, name) for part, name in ((found.fit, "fitted"), (found.test, "test")))
    tested = Landmarks(*(np.asarray(field)[test] for field in found.test))
    shown = np.asarray(found.fit.visible)[fit].any(0) & np.asarray(tested.visible).any(0)
    lengths = normaliser_of(config, annotation)(tested.annotated, tested.visible)
    known = (found.fit.discovered[fit], found.fit.annotated[fit][:, shown])
    asked = (tested.discovered, tested.annotated[:, shown])
    (x, y), (x_test, y_test) = (known, asked) if forward else (known[::-1], asked[::-1])
    subsets = labelled_subsets(len(fit), images, repeats=config.repeats, extra=config.extra)
    regressed = [_regressed(regressor_of(config), x[rows], y[rows], x_test, y_test.shape) for rows in subsets]
    distances = np.mean([np.linalg.norm(one - y_test, axis=-1).mean(1) for one in regressed], axis=0)
    return PerPicture(test, 100 * distances / lengths, regressed[0])


def _regressed(regressor: Regressor, x: np.ndarray, y: np.ndarray, x_test: np.ndarray, shape: Sequence[int]):
    flat = [part.reshape(len(part), -1).astype(np.float64) for part in (x, y, x_test)]
    return regressor(flat[0], flat[1])(flat[2]).reshape(shape)


def consistency_of_pictures(found: Found) -> np.ndarray:
    """(N,) px: how far a picture's points are, in the mean, from where its turn says they should be."""
    moved = np.einsum("nij,nkj->nki", found.turns[:, :2, :2], found.once) + found.turns[:, None, :2, 2]
    return np.linalg.norm(moved - found.twice, axis=-1).mean(1)
