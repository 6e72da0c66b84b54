"""Finished runs and published networks, as functions from images to keypoints."""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from etils import epath

from kpjax import InputError, Method, Skeleton, Trained, methods
from kpjax.evaluation.coincidence import (
    FILE as LABEL_DISTANCES,
    LabelDistances,
    from_json as label_distances_from,
)
from kpjax.files import absolute, read_json, sha256_of
from kpjax.images.transforms import Transform
from kpjax.input.source import digest_of
from kpjax.lab.animals.calibration import FILE as SCORE_TABLE, Empty, ScoreTable, score_table_from
from kpjax.lab.animals.conformal import FILE as RADII, RadiusTable, radius_table_from
from kpjax.lab.own.animals import Finder, finder_of, kept_finder
from kpjax.lab.own.places import BoxOrWhole, accepting_boxes
from kpjax.lab.own.systems import paper_of_run
from kpjax.lab.plain_function import plain_predict, plain_weights
from kpjax.lab.reports.pixel_errors import OF_PART, known_by, meaning_of_scores, read_errors
from kpjax.methods import published
from kpjax.models.movenet import SIDE, person_box
from kpjax.models.weights.pretrained import find_weights
from kpjax.papers.configs import config_as_json
from kpjax.papers.engine import stored_run
from kpjax.training.evaluation import (
    PREDICTIONS,
    Gathered,
    check_numbers,
    in_batches,
    read_predictions,
)
from kpjax.training.finished_runs import FinishedRun, read_run
from kpjax.training.trees import load_trained

# files of a run's folder: its method is built from these, and they say what its scores mean
RUN_FILES = (
    "results.json",
    "config.json",
    "skeleton.json",
    "score_table.json",
    "radius_table.json",
    "label_distances.json",
    "pose_statistics.json",
)
LARGEST_SIDE = 8192  # px, of the square images


class Predictor(NamedTuple):
    """Keypoints on images, by any method."""

    skeleton: Skeleton
    side: int  # S, of the square images that `predict` takes
    transform: Transform  # an image of any size, or the given box of it -> a square one
    predict: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
    # (B, S, S, 3) uint8 -> (keypoints (B, K, 2), scores (B, K)), both float32; (x, y) in pixels of
    # the square images, the centre of the top-left pixel at (0, 0). Compiled once for every B that
    # it is given.
    score_kind: str  # such as mse_peak or softmax_peak: scores of two kinds do not compare
    #: (K,) float64, the score from which each keypoint is shown; -inf where none is known
    cutoffs: np.ndarray
    title: str  # such as supervised_warped_0, for file names and names of scorers
    #: experiment, preset, variant, seed, and the digest of what was learnt
    result: Mapping[str, Any]
    radii: RadiusTable | None = None  # from held-out labels, in pixels of the square images
    # (keypoints (K, 2) on a video's frame, scores (K,), its width and height) -> the square x, y,
    # width, height of the next frame that is looked at, None for all of it; None where every frame
    # is seen as a whole
    follow: Callable[[np.ndarray, np.ndarray, tuple[int, int]], np.ndarray | None] | None = None
    #: finder of the animals on whole frames, of a run on crops of several
    finder: Finder | None = None
    empty: Empty = "often"  # what an empty cell of the labels meant
    labels: LabelDistances | None = None  # how near labelled keypoints came to each other

    def on_squares(self, images: np.ndarray, batch_size: int) -> tuple[np.ndarray, np.ndarray]:
        """Returns what `predict` does for N square images, some at a time. Raises RunError where any
        of it is no number."""
        points, scores = in_batches(self.predict, images, batch_size)
        check_numbers(points, scores, f"{self.title}, images of {self.side} px")
        return points, scores

    @property
    def words(self) -> str:
        """Where it comes from, in a few words."""
        named = " ".join(str(self.result[name]) for name in ("experiment", "preset", "variant"))
        return f"{named} seed {self.result['seed']}" if "seed" in self.result else named


class OpenedRun(NamedTuple):
    """The content of a finished run that predictions need."""

    run: FinishedRun | None  # None of a published network
    method: Method
    trained: Trained
    transform: Transform
    score: ScoreTable
    result: Mapping[str, Any]  # as in `Predictor`
    #: the JSON files of the run's folder by name, from which all but `trained` is made
    files: Mapping[str, Any]

    @property
    def side(self) -> int:
        """S, of the square images that `method.predict` takes."""
        return getattr(self.transform, "transform", self.transform).side


def open_predictor(folder: epath.PathLike, *, turned: bool = False) -> Predictor:
    """Opens a finished run, a variant's folder with several seeds, or a published network
    (`published.is_published`), as a predictor.

    turned: whether a published network sees images turned and mirrored, too.

    Raises InputError for weights that are absent or damaged, for a folder that does not exist, is
    neither, or whose run is not finished, and for a run that is to see turned images; RunError for a
    run's file that is damaged.
    """
    if published.is_published(folder):
        return open_people(folder, turned=turned)
    if turned:
        raise InputError(
            "turned",
            f"{folder} is not a published network; only those see turned images, so leave it out",
        )
    folder = absolute(folder)
    opened = open_runs(Path(folder))
    score, result, files = opened.score, opened.result, opened.files
    skeleton = opened.method.skeleton
    title = "_".join(str(result[name]) for name in ("variant", "seed"))
    radii = radius_table_from(files[RADII], str(Path(folder) / RADII)) if RADII in files else None
    if radii and radii.quantiles.shape[1] != len(skeleton.names):
        raise InputError(
            f"{Path(folder) / RADII}: is of {radii.quantiles.shape[1]} keypoints, the run finds "
            f"{len(skeleton.names)}; delete it"
        )
    if len(score.cutoffs) != len(skeleton.names):
        raise InputError(
            f"{Path(folder) / SCORE_TABLE}: is of {len(score.cutoffs)} keypoints, the run finds "
            f"{len(skeleton.names)}; delete it"
        )
    labels = None
    if LABEL_DISTANCES in files:
        labels = label_distances_from(files[LABEL_DISTANCES], f"{folder}/{LABEL_DISTANCES}")
    # an ensemble has that of its first run
    learnt = kept_finder(next(iter(seeds_below(folder)), folder))
    return Predictor(
        skeleton,
        opened.side,
        opened.transform,
        as_function(opened.method, opened.trained),
        score.kind,
        score.cutoffs,
        re.sub("[^A-Za-z0-9]", "_", title),
        result,
        radii,
        finder=learnt and finder_of(learnt.described, learnt.trained),
        empty=score.empty,
        labels=labels if labels and labels.names == skeleton.names else None,
    )


def open_people(
    weights: epath.PathLike, skeleton: Skeleton = published.PERSON, *, turned: bool = False
) -> Predictor:
    """Opens MoveNet Lightning as a predictor of those keypoints of a skeleton that it finds, or
    that are worked out.

    weights: its name, or a file. turned: whether images are seen turned and mirrored, too
    (`published.people`). Raises InputError for a file that is absent, damaged or another model.
    """
    path = find_weights(Path(weights) if Path(weights).suffix in published.FILES else str(weights))
    method = published.people(skeleton, turned=turned)
    return Predictor(
        method.skeleton,
        SIDE,
        BoxOrWhole(SIDE),
        as_function(method, published.load(path)),
        published.SCORE_KIND,
        np.full(
            len(method.skeleton.names), published.CUTOFF_TURNED if turned else published.CUTOFF
        ),
        "movenet_lightning",
        {
            "experiment": "MoveNet",
            "preset": "Lightning",
            "variant": "as published" + (", turned" if turned else ""),
            "digest": sha256_of(path),
        },
        follow=person_box,
    )


def open_run(folder: Path) -> OpenedRun:
    """Opens a finished run: its method and what it learnt. Raises InputError for a folder that does
    not exist, is no run's, or whose run is not finished."""
    _check_finished(folder)
    run, trained = read_run(folder), load_trained(folder / "model")
    if (paper := paper_of_run(run.experiment, run.preset)) is None:
        raise InputError(
            f"{folder / 'results.json'}: {run.experiment!r} is unknown here; kpjax train lists all"
        )
    stored = stored_run(paper, folder)
    found = paper.predicting(stored)
    files = {name: read_json(folder / name) for name in RUN_FILES if (folder / name).is_file()}
    # as this version reads it
    files["config.json"]["config"] = config_as_json(stored.config)
    score = meant(found.score_kind, found.method.skeleton, files, folder)
    result = {
        "experiment": run.experiment,
        "preset": run.preset,
        "variant": run.variant,
        "seed": run.seed,
        "digest": read_json(folder / "model" / "trained.json")["digest"],
    }
    opened = OpenedRun(
        run, found.method, trained, accepting_boxes(found.transform), score, result, files
    )
    check_fits(opened, folder)
    return opened


def open_runs(folder: Path) -> OpenedRun:
    """Opens what `open_run` does, and the folder of a variant with several finished seeds, as an
    ensemble of these.

    An ensemble has no file of a run but the tables of its scores, so that its method cannot be
    built again from them.
    """
    seeds = seeds_below(Path(folder))
    if len(seeds) < 2:
        return open_run(folder)
    members = [open_run(seed) for seed in seeds]
    first = members[0]
    if any(
        one.method.skeleton != first.method.skeleton or one.side != first.side for one in members
    ):
        raise InputError(
            "run",
            f"{folder}: its seeds find other keypoints or take images of other sizes; name one",
        )
    networks = [one.files["config.json"]["config"].get("network") for one in members]
    if any(
        network != networks[0] or one.transform != first.transform
        for network, one in zip(networks, members, strict=True)
    ):
        raise InputError(
            "run",
            f"{folder}: its seeds have other networks, or see whole frames and crops; name one",
        )
    method = methods.ensemble(first.method, len(members))
    trained = methods.members_of_ensemble([one.trained for one in members])
    kind = first.score.kind
    files = meaning_of_all(seeds, [one.score for one in members])
    if LABEL_DISTANCES in first.files:
        files[LABEL_DISTANCES] = first.files[LABEL_DISTANCES]
    result = {
        **first.result,
        "variant": f"{len(members)} seeds of {first.result['variant']}",
        "digest": digest_of(*(one.result["digest"] for one in members)),
    }
    return OpenedRun(
        first.run,
        method,
        trained,
        first.transform,
        meant(kind, method.skeleton, files, folder),
        result,
        files,
    )


def seeds_below(folder: Path) -> list[Path]:
    """Returns the finished seeds of a variant's folder, by number; none if it is not one."""
    found = [
        path.parent
        for path in folder.glob("seed-*/results.json")
        if path.parent.name[5:].isdecimal()
    ]
    return (
        []
        if (folder / "config.json").exists()
        else sorted(found, key=lambda path: int(path.name[5:]))
    )


def meaning_of_all(folders: Sequence[Path], scores: Sequence[ScoreTable]) -> dict[str, Any]:
    """Returns score_table.json and radius_table.json of an ensemble, from what its members said of
    labelled animals, as those of one run come from what it said.

    Nothing if a member kept none of that, or if other animals were held out from another one. A
    keypoint without a label there has the median cutoff of the members, who may have theirs of an
    older run. Animals that taught count where all members saw the same ones.

    scores: of the members.
    """
    if not all((folder / PREDICTIONS).is_file() for folder in folders):
        return {}
    found = [read_predictions(folder) for folder in folders]
    joint = {
        name: one._replace(
            keypoints=np.median([each[name].keypoints for each in found], axis=0),
            scores=np.mean([each[name].scores for each in found], axis=0),
        )
        for name, one in found[0].items()
        if name.startswith(OF_PART) and all(_same_labels(one, each.get(name)) for each in found)
    }
    part = known_by(found[0])
    if OF_PART + part not in joint:
        return {}
    unlabelled = np.flatnonzero(~(joint[OF_PART + part].visible > 0).any(0))
    cutoffs = np.median([score.cutoffs for score in scores], axis=0)
    animals = read_errors(folders[0])
    held = None if animals is None else animals.by_part().get(part)
    # Animals without a label have no row in errors.csv.
    known = held and len(held.parts) == len(joint[OF_PART + part].index)
    return meaning_of_scores(
        joint,
        part,
        held if known else None,
        scores[0].kind,
        empty=scores[0].empty,
        kept={int(number): float(cutoffs[number]) for number in unlabelled},
    )


def _same_labels(one: Gathered, other: Gathered | None) -> bool:
    """Returns whether predictions are of animals with the same labels."""
    return (
        other is not None
        and np.array_equal(one.true_keypoints, other.true_keypoints, equal_nan=True)
        and np.array_equal(one.visible, other.visible, equal_nan=True)
    )


def meant(kind: str, skeleton: Skeleton, files: Mapping[str, Any], folder: Path) -> ScoreTable:
    """Returns what scores mean by the files of a run; that no cutoff is known without one."""
    unknown = {
        "kind": kind,
        "cutoffs": ["-inf"] * len(skeleton.names),
        "deciles": [],
        "empty": "often",
    }
    return score_table_from(unknown | files.get(SCORE_TABLE, {}), str(folder / SCORE_TABLE))


def _check_finished(folder: Path) -> None:
    if not folder.is_dir():
        raise InputError("run", f"{folder} is no folder; give .../<variant>/seed-<n>")
    if not (folder / "results.json").is_file():
        if below := _first_run_below(folder):
            raise InputError(
                "run", f"{folder} is not a run, but holds runs; give one, such as {below}"
            )
        if (folder / "config.json").is_file():
            raise InputError(
                "run",
                f"{folder} is not finished (no results.json); the command that began it resumes it",
            )
        raise InputError(
            "run",
            f"{folder} is not a run's folder (no results.json in it)",
        )
    if not (folder / "model").is_dir():
        raise InputError(
            "run", f"{folder} has no model/; the variant trains nothing, or not all was copied"
        )


def _first_run_below(folder: Path) -> Path | None:
    """Returns the first finished run below a folder, down from that of all systems,
    `<system>/<preset>/<variant>/seed-<n>`; None if there is none."""
    for depth in ("*", "*/*", "*/*/*", "*/*/*/*"):
        found = sorted(folder.glob(f"{depth}/results.json"))
        if found:
            return found[0].parent
    return None


def check_fits(opened: OpenedRun, folder: Path) -> None:
    """Raises InputError unless a run's weights are of the network that its config describes."""
    side = opened.side
    if not 1 <= side <= LARGEST_SIDE:
        raise InputError(f"{folder}: images of {side} px; at most {LARGEST_SIDE} are read")
    try:
        found = jax.eval_shape(
            plain_predict(opened.method, opened.trained),
            plain_weights(opened.trained),
            jax.ShapeDtypeStruct((1, side, side, 3), np.uint8),
        )
    # Flax and jax raise many kinds for arrays that are missing or of other shapes
    except Exception as error:
        raise InputError(
            f"{folder}: the weights do not fit the network of config.json "
            f"({' '.join(str(error).split())[:200]}); copy both from one run"
        ) from None
    if found["keypoints"].shape[1] != len(opened.method.skeleton.names):
        raise InputError(
            f"{folder}: the network finds other points than skeleton.json has; copy both from one run"
        )


def as_function(
    method: Method, trained: Trained
) -> Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Returns `Predictor.predict` of a method and what it learnt."""
    compiled, weights = (
        jax.jit(plain_predict(method, trained)),
        jax.device_put(plain_weights(trained)),
    )

    def predict(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        found = compiled(weights, images)
        return np.asarray(found["keypoints"]), np.asarray(found["scores"])

    return predict
