"""Why two keypoints become one point: one change at a time of what `kpjax train` chooses for a project.

Each arm trains for as many steps as the others, but for `short`; held-out labels, and a video without
labels where one is named, say how often keypoints are one point that never are in labels.

Command   python -m experiments.own.causes PROJECT --name mouse --seed 100 --clip VIDEO --empty absent
"""

import itertools
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from etils import epath
from tyro.conf import Positional, arg

import kpjax
from experiments.measure.rows import Result, merge_rows, read_results, write_results
from kpjax import InputError, Method, Setup, Term
from kpjax.evaluation.coincidence import ONE_POINT
from kpjax.formats.project_source import frames_at, unlabelled_source
from kpjax.geometry import move_points
from kpjax.lab.own import project as projects
from kpjax.lab.own.semi_supervised import OWN, resolve
from kpjax.losses.heatmap import heatmap_kl
from kpjax.losses.objective import Objective
from kpjax.methods.supervised_learning import supervised_objective
from kpjax.papers.configs import Checked, CountOrZero, network_of, replace_fields
from kpjax.papers.parsing import exit_code_of, run_named
from kpjax.papers.semi_supervised.config import Config
from kpjax.papers.semi_supervised.stages import (
    build_method,
    build_objective,
    build_supervised,
    setup_of,
)
from kpjax.training.evaluation import Gathered, labels_of, predict_source
from kpjax.training.fit import fit
from kpjax.training.identity import commit

ROOM = Path(__file__).parent
STEPS = 1200  # of every arm, what four rounds of a run's own choice take


class Arm(NamedTuple):
    """One change."""

    fields: Mapping[str, Any] = MappingProxyType({})
    build: Callable[[Config, Setup], Method] | None = None
    steps: int = STEPS
    trained_as: str = ""  # the arm whose network is read otherwise


def with_cross_entropy(config: Config, setup: Setup) -> Method:
    """Builds the method with the cross-entropy of positions in place of squared errors of heatmaps."""
    setup = setup._replace(codec=config.heatmaps.codec(config.data.image_size, logits=True))
    return build_method(
        config, setup, objective=supervised_objective(setup.codec, heatmap_kl), warped=True
    )


def with_pairs_apart(config: Config, setup: Setup) -> Method:
    """Builds the method with a term that asks maps of a left-right pair to share no cell."""
    pairs = [(k, other) for k, other in enumerate(setup.skeleton.flip) if k < other]
    objective = build_objective_of_labels(config, setup)
    weight = objective["supervised"].weight
    if pairs:
        objective = {**objective, "apart": apart_term(setup, pairs, weight)}
    return build_method(config, setup, objective=objective, warped=True)


def build_objective_of_labels(config: Config, setup: Setup) -> Objective:
    """Builds the term of labels alone."""
    return kpjax.without(build_objective(config, setup), "semantic", "equivariance", "invariance")


def apart_term(setup: Setup, pairs: Sequence[tuple[int, int]], weight: float) -> Term:
    """Builds the mean product of the positive parts of a pair's maps, where both are labelled and
    their Gaussians share less than a tenth of a peak.
    """
    first, second = (np.array(side) for side in zip(*pairs, strict=True))

    def share(outputs, examples):
        maps = jax.nn.relu(outputs["labelled"].astype(jnp.float32))
        targets, counted = setup.codec.encode(examples["labelled"])
        shared = (targets[..., first] * targets[..., second]).max((1, 2))
        known = counted[:, first] * counted[:, second] * (shared < 0.1)
        product = (maps[..., first] * maps[..., second]).mean((1, 2))
        return (known * product).mean()

    return Term(weight, share, reads=("labelled",))


def with_prior(config: Config, setup: Setup) -> Method:
    """Builds the method with a term that asks expected positions to lie near the poses of labels.

    The poses are those of a batch's own labels, as the augmentation moves them: what of a predicted
    pose is outside of the linear span of the batch's other poses costs its square.
    """
    objective = build_objective_of_labels(config, setup)
    weight = objective["supervised"].weight
    return build_method(
        config,
        setup,
        objective={
            **objective,
            "prior": prior_term(setup, config.heatmaps.heatmap_size, 0.1 * weight),
        },
        warped=True,
    )


def prior_term(setup: Setup, cells: int, weight: float) -> Term:
    """Builds the mean squared distance, in shares of the map's side, of predicted poses from the
    span of the labelled ones, the pose prior of Lightning Pose (Biderman et al. 2024, its PCA loss)
    on labelled views.
    """
    count = len(setup.skeleton.names)

    def distance(outputs, examples):
        maps = jax.nn.relu(outputs["labelled"].astype(jnp.float32)) + 1e-6
        share = maps / maps.sum((1, 2), keepdims=True)
        places = (jnp.arange(cells, dtype=jnp.float32) + 0.5) / cells
        x, y = (share.sum(1) * places[:, None]).sum(1), (share.sum(2) * places[:, None]).sum(1)
        example = examples["labelled"]
        side = example.image.shape[2]
        truth = (example.keypoints + 0.5) / side
        known = (example.visible > 0).astype(jnp.float32)
        found = jnp.concatenate([x, y], 1)
        labels = jnp.concatenate([truth[..., 0], truth[..., 1]], 1)
        known = jnp.concatenate([known, known], 1)
        # a point without a label takes the place that is predicted, and costs nothing
        labels = jnp.where(known > 0, labels, jax.lax.stop_gradient(found))
        mean = labels.mean(0)
        _, values, axes = jnp.linalg.svd(jax.lax.stop_gradient(labels - mean), full_matrices=False)
        kept = jnp.cumsum(jnp.square(values)) / jnp.square(values).sum() <= 0.99
        axes = axes * kept[:, None]
        away = found - mean
        outside = away - (away @ axes.T) @ axes
        return (known * jnp.square(outside)).sum() / (2 * count * len(found))

    return Term(weight, distance, reads=("labelled",))


def arms_of(config: Config, weights: str) -> dict[str, Arm]:
    """Returns the changes that a project allows; `weights` is a file of MobileNetV2, or empty."""
    size, cells = config.data.image_size, config.heatmaps.heatmap_size
    arms = {
        "chosen": Arm(),
        "short": Arm(steps=STEPS // 4),
        "cross_entropy": Arm(build=with_cross_entropy),
        "pairs_apart": Arm(build=with_pairs_apart),
        "prior": Arm(build=with_prior),
        "each_peak_alone": Arm({"apart": not config.heatmaps.apart}, trained_as="chosen"),
        "argmax": Arm({"decoder": "argmax"}, trained_as="chosen"),
        "mirrored": Arm({"flip": not config.augment.flip}),
        "half_size": Arm({"image_size": size // 2, "heatmap_size": cells // 2}),
        "longer": Arm(steps=2 * STEPS),
    }
    if weights:
        arms["mobilenet"] = Arm({"network": "mobilenet_v2", "weights": weights})
    return arms


@dataclass(frozen=True)
class Causes(Checked):
    """Trains the arms on one project, and keeps their numbers."""

    project: Annotated[Positional[Path], arg(metavar="PROJECT")]
    name: str  # of the project in the table
    arms: tuple[str, ...] = ()  # all, if none
    seed: CountOrZero = 100
    clip: str = ""  # a video of the same animal, without labels
    empty: Literal["ask", "absent", "unlabelled"] = "ask"
    weights: str = ""  # file of MobileNetV2 from ImageNet
    workdir: Path = Path("runs/causes")
    room: Path = ROOM  # folder whose results.csv gets the numbers

    def __call__(self) -> None:
        base = replace_fields(
            OWN, project=str(self.project), unlabelled_pool="none", empty=self.empty
        )
        chosen = resolve(base, {"project", "unlabelled_pool", "empty"})
        arms = arms_of(chosen, self.weights)
        if unknown := set(self.arms) - set(arms):
            raise InputError("arms", f"{min(unknown)!r} is unknown; there are {', '.join(arms)}")
        for name in self.arms or arms:
            self.measure(name, arms[name], base, chosen)

    def measure(self, name: str, arm: Arm, base: Config, chosen: Config) -> None:
        """Trains one arm, and writes its rows."""
        config = replace_fields(chosen, rounds=1, steps=arm.steps, warm_start_steps=0, **arm.fields)
        if "network" in arm.fields:
            typed = {"project", "unlabelled_pool", "empty", "network", "weights"}
            config = replace_fields(
                resolve(replace_fields(base, **arm.fields), typed),
                rounds=1,
                steps=arm.steps,
                warm_start_steps=0,
            )
        train, held_out = projects.open_labelled(config)
        setup = setup_of(config, train.skeleton)
        method = (arm.build or warped_labels)(config, setup)
        begin = time.monotonic()
        start = config.backbone.variables(
            network_of(config, len(train.skeleton.names)),
            image_size=config.data.image_size,
            seed=self.seed,
            names=train.skeleton.names,
        )
        fitted = fit(
            method,
            {"labelled": kpjax.stream(train, batch_size=config.batch_size, seed=self.seed)},
            steps=arm.steps,
            key=jax.random.key(self.seed),
            stage="causes",
            folder=epath.Path(self.workdir) / self.name / f"{arm.trained_as or name}-{self.seed}",
            config={"arm": arm.trained_as or name},
            start=start,
        )
        seconds = time.monotonic() - begin
        found = predict_source(method, fitted.trained, held_out, batch_size=8)
        values = errors_of(found, labels_of(train))
        if self.clip:
            clip = unlabelled_source(
                frames_at([Path(self.clip)]), config.data.square(), train.skeleton
            )
            seen = predict_source(method, fitted.trained, clip, batch_size=8)
            values |= {"clip/one_point": one_point_share(seen, found, labels_of(train))}
        print(name, {key: round(value, 4) for key, value in values.items()}, f"{seconds:.0f} s")
        rows = [
            Result(
                f"causes_{self.name}",
                "",
                name,
                str(self.seed),
                metric,
                value,
                arm.steps,
                round(seconds, 1),
                "1 cpu",
                datetime.now(UTC).date().isoformat(),
                commit(),
            )
            for metric, value in values.items()
        ]
        write_results(self.room, merge_rows(read_results(self.room), rows))


def warped_labels(config: Config, setup: Setup) -> Method:
    """Builds what `kpjax train` trains: the labels alone, half of a batch under the method's warp."""
    return build_supervised(config, setup, warped=True)


def errors_of(found: Gathered, labels: Gathered) -> dict[str, float]:
    """Measures held-out predictions: errors in pixels of the frames, and keypoints that are one
    point."""
    there, truth = (
        np.asarray(move_points(found.crop, points))
        for points in (found.keypoints, found.true_keypoints)
    )
    known = found.visible > 0
    distances = np.linalg.norm(there - truth, axis=-1)[known]
    shares = np.linalg.norm(found.keypoints - found.true_keypoints, axis=-1) / found.scale[:, None]
    return {
        "test/median": float(np.median(distances)),
        "test/distance": float(distances.mean()),
        "test/pck": float((shares[known] <= 0.1).mean()),
        "test/one_point": one_point_share(found, found, labels),
    }


def one_point_share(seen: Gathered, scored: Gathered, labels: Gathered) -> float:
    """Returns the largest share of frames on which two keypoints are one point that never are so in
    labels, both at least as sure as the lowest twentieth of labelled points."""
    scale = float(np.median(labels.scale))
    known = np.concatenate([labels.visible, scored.visible]) > 0
    truth = np.concatenate([labels.keypoints, scored.true_keypoints])
    truth = np.where(known[..., None], truth, np.nan)
    sure = np.quantile(scored.scores[scored.visible > 0], 0.05)
    shown = np.where((seen.scores >= sure)[..., None], seen.keypoints, np.nan)
    worst = 0.0
    for a, b in itertools.combinations(range(truth.shape[1]), 2):
        apart = np.linalg.norm(truth[:, a] - truth[:, b], axis=-1)
        if np.isfinite(apart).any() and np.nanmin(apart) > ONE_POINT * scale:
            close = np.linalg.norm(shown[:, a] - shown[:, b], axis=-1) <= ONE_POINT * scale
            worst = max(worst, float(close.mean()))
    return worst


def main(arguments: Sequence[str]) -> None:
    """Runs the command."""
    run_named({"causes": Causes}, ["causes", *arguments], prog="python -m experiments.own.causes")


if __name__ == "__main__":
    raise SystemExit(exit_code_of(lambda: main(sys.argv[1:])))
