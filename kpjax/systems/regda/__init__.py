"""RegDA (Jiang et al., CVPR 2021): keypoints for unlabelled images from labelled ones that look
different.

Two stages. A network learns the source domain from labels; all variants of a seed share it. Then
each method continues from its features with labelled source batches and unlabelled target batches.
`source_only` and `oracle` get the steps of both. The result of a run is its last step. Beside it
stand the step that is best on validation images, of the source domain except for the oracle, and
the step that is best on the target's test images, as the authors choose. Only the evaluation reads
labels of the target domain.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import numpy as np

from kpjax import Method, Skeleton, Trained
from kpjax.evaluation import metrics
from kpjax.evaluation.contours import contour_errors
from kpjax.heatmaps import keypoint_cells, score_kind
from kpjax.images.transforms import Letterbox
from kpjax.input.source import Source
from kpjax.systems import source_free, system
from kpjax.systems.configs import Splits
from kpjax.systems.regda.config import SMALL_BODIES, TEACHER_COST, Config, of_pretraining
from kpjax.systems.regda.variants import ADABN_BATCHES, VARIANTS, build, build_first, setup_of
from kpjax.systems.reports.report import Column
from kpjax.systems.system import Job, Outcome, Paper, Predicting
from kpjax.training.evaluation import Gathered, predict_source
from kpjax.training.fit import Fitted, Select, no_training, other_choices
from kpjax.training.hosts import agreed

# Data, stages and measures


ADABN_PASSES = (0, 1, 5)  # over the target domain; 0 stands for 60 batches
# beside the last
CHOICES = {"best_validation": "best validation step", "best_target": "best test step"}
HAND_GROUPS, BODY_GROUPS = (
    ("all", "MCP", "PIP", "DIP", "fingertip"),
    ("all", "shoulder", "elbow", "wrist", "hip", "knee", "ankle"),
)
# in the paper, by source
PRINTED_GROUPS = {"rhd": HAND_GROUPS, "freihand": HAND_GROUPS, "surreal": BODY_GROUPS}


class Data(NamedTuple):
    """Both domains of one seed.

    Labels of the target domain's training images are the oracle's alone.
    """

    source: Splits  # all None where a finished run stands in its place
    target: Splits  # `test` is None where nothing is labelled
    repeats: bool = False  # whether a batch may be larger than its domain
    #: where config and seed do not tell all of it
    identity: Mapping[str, str] = MappingProxyType({})

    @property
    def poses(self) -> Source | None:
        """The labelled images whose poses a run keeps."""
        return self.source.train

    @property
    def summary(self) -> str:
        source = f"{len(self.source.train)} source and " if self.source.train else ""
        return f"{source}{len(self.target.train)} target images"


def train(job: Job, data: Data) -> Outcome:
    """Trains a variant: the shared pretraining first where it starts from it."""
    recipe, skeleton = VARIANTS[job.variant].recipe, data.source.train.skeleton
    config, method = recipe.config(job.config), build(job.config, skeleton, job.variant)
    checked, before = {}, Outcome(None, None, 0)
    if recipe.start.startswith("pretraining"):
        first = build_first(config, skeleton, recipe.pretrain, recipe.logits)
        chosen_on = (
            Select("validation/pck") if config.pretraining_selection == "validation" else None
        )
        shared = job.stage(
            recipe.start,
            lambda folder: _fit(
                job,
                first,
                data,
                config.pretraining_steps,
                folder,
                recipe.start,
                {},
                select=chosen_on,
                config=of_pretraining(config),
            ),
            config=of_pretraining(config) | {"source": data.source.train.digest},
        )
        before = Outcome(
            None,
            shared.trained,
            config.pretraining_steps,
            0.0,
            shared.wall_seconds,
            images=shared.images,
        )
    elif recipe.start:
        before = system.result_of(_start_of(job, recipe.start))
    start = {"variables": before.trained.variables} if recipe.start else {}
    if recipe.train == "nothing":
        fitted = no_training(Trained(start.get("variables", {}), {}))
    elif recipe.train == "further":
        fitted, checked = _adapt_further(job, method, data, Trained(start["variables"], {}))
    elif recipe.train == "statistics":
        fitted = _fit_statistics(job, method, data, start)._replace(steps=0)
    else:
        fitted = _fit(job, method, data, recipe.steps(config), job.folder, job.variant, start)
    target = Select("target/mae", "min") if config.data.sprites else Select("target/pck")
    rules = dict(zip(CHOICES, (Select("validation/pck"), target), strict=True))
    # A table compares variants of equal training: a method has seen the steps of both its stages.
    return Outcome(
        method,
        fitted.trained,
        before.steps + fitted.steps,
        fitted.images_per_second,
        fitted.wall_seconds + before.wall_seconds,
        checked | other_choices(fitted.evaluations, rules),
        images=fitted.images + before.images,
    )


def _start_of(job: Job, variant: str) -> Job:
    """Returns the job that another one starts from.

    A finished one may differ in what adapting it further reads.
    """
    other = job._replace(variant=variant)
    if not agreed(lambda: (other.folder / "results.json").exists()):
        return other
    made = system.stored_run(job.paper, other.folder).config
    return other._replace(
        config=replace(
            job.config, source_free=made.source_free, source_free_share=made.source_free_share
        )
    )


def _adapt_further(
    job: Job, method: Method, data: Data, start: Trained
) -> tuple[Fitted, dict[str, float]]:
    """Adapts a finished network to the target alone, and returns what the check has found, too.

    All that it knows of the source is what a run keeps: statistics of poses.
    """
    config, (learnt, held) = job.config, source_free.parted(data.target.train)
    kept = source_free.start_of(start.variables, source_free.poses_of(data.source.train))
    check = source_free.check_of(
        method,
        start,
        held,
        batch_size=2 * config.batch_size,
        least=config.source_free.least_agreement,
    )
    return source_free.adapted_or_start(
        lambda: _fit(
            job,
            method,
            data,
            config.steps_without_source,
            job.folder,
            job.variant,
            kept,
            {"target": learnt},
            check=check,
        ),
        start,
        job.title,
    )


def _fit(
    job: Job,
    method: Method,
    data: Data,
    steps: int,
    folder,
    stage: str,
    start: Mapping[str, Any],
    sources: Mapping[str, Source] = MappingProxyType({}),
    check: Callable[[Any], dict[str, float]] | None = None,
    **options: Any,
) -> Fitted:
    """`fit` with the evaluation of both domains.

    sources: in place of those of the domains. check: measures more.
    """
    config, own_domain = (
        job.config,
        data.target if job.variant.startswith("oracle") else data.source,
    )
    evaluated = {"validation": own_domain.validation}
    # the other stages know nothing of the target's labels
    if stage == job.variant and data.target.test is not None:
        evaluated["target"] = data.target.test

    def evaluate(state) -> dict[str, float]:
        found = {
            name: predict_source(method, state, source, batch_size=2 * config.batch_size)
            for name, source in evaluated.items()
        }
        return errors(found, method.skeleton, config) | (check(state) if check else {})

    domains = {
        "source": data.source.train,
        "target": data.target.train,
        "labelled": data.target.labelled or data.target.train,
    }
    return system.fit_sources(
        job,
        method,
        domains | dict(sources),
        batch_size=config.batch_size,
        steps=steps,
        stage=stage,
        folder=folder,
        repeats=data.repeats,
        unlabelled=("target",),
        evaluate=(max(1, steps // config.evaluations), evaluate),
        start=start
        or system.first_variables(
            job, setup_of(config, method.skeleton).model, method.skeleton.names
        ),
        **{"config": job.identity()} | options,
    )


def _fit_statistics(job: Job, method: Method, data: Data, start: Mapping[str, Any]) -> Fitted:
    """The best of 60 batches, the whole target set and five passes over it, chosen on source
    validation images.
    """
    per_pass = max(1, len(data.target.train) // job.config.batch_size)
    tried = []
    for passes in ADABN_PASSES:
        steps = min(passes * per_pass or ADABN_BATCHES, 10 * job.config.steps)
        tried.append(
            _fit(
                job,
                method,
                data,
                steps,
                job.folder / f"statistics-{passes}-passes",
                "statistics",
                start,
            )
        )
    return max(tried, key=lambda fitted: fitted.metrics["validation/pck"])


_cells = jax.jit(keypoint_cells, static_argnames=("image_size", "heatmap_size", "grid"))


def errors(
    predictions: Mapping[str, Gathered],
    skeleton: Skeleton,
    config: Config,
    *,
    details: bool = False,
) -> dict[str, float]:
    """Computes PCK and MAE of each set, and PCK as the authors count it; with details also per
    keypoint and group.
    """
    side, size, values = config.data.image_size, config.heatmaps.heatmap_size, {}
    for name, found in predictions.items():
        over = (
            found.scale
            if config.pck_over == "scale"
            else np.full(len(found.index), side, np.float32)
        )
        pck = metrics.pck(
            found.keypoints,
            found.true_keypoints,
            found.visible,
            over,
            threshold=config.pck_threshold,
        )
        mae = metrics.mae(found.keypoints, found.true_keypoints, found.visible, config.mae_unit)
        predicted, true = (
            np.asarray(
                _cells(
                    points,
                    image_size=(side, side),
                    heatmap_size=(size, size),
                    grid=config.heatmaps.grid,
                )
            )
            for points in (found.keypoints, found.true_keypoints)
        )
        cells = {
            "map_size": size,
            "predicted_cells": predicted,
            "true_cells": true * (found.visible[..., None] > 0),
        }
        groups = {"all": tuple(range(len(skeleton.names))), **skeleton.groups}
        batchwise = metrics.pck_batchwise(
            **cells, groups=groups if details else {"all": groups["all"]}
        )
        values |= {
            f"{name}/pck": pck.overall,
            f"{name}/mae": mae.sum.overall if config.data.sprites else mae.mean.overall,
            **{f"{name}/pck_batchwise/{group}": value for group, value in batchwise.items()},
        }
        if config.contours:
            lines = [skeleton.groups[group] for group in config.contours]
            values[f"{name}/contour"] = float(
                np.nanmean(
                    contour_errors(
                        found.keypoints, found.true_keypoints, found.visible, over, lines
                    )
                )
            )
        if details:
            values |= metrics.by_keypoint(f"{name}/pck", pck.per_keypoint, skeleton)
    return values


# The table


# Variants of a keypoint in a known area, and of several keypoints. The area's map is a sum already,
# and is that of `regda` on sprites; the other keypoints' map of a single one is empty.
OF_AREAS = ("clipped_ground_false", "constant_centre", "adabn_in_area")
OF_SEVERAL_KEYPOINTS = ("area_ground_false", "unclipped_ground_false")


def applicable(preset: str, config: Config) -> tuple[str, ...]:
    """Returns the variants that suit a preset; an oracle needs other images than the test's."""
    unsuited = OF_SEVERAL_KEYPOINTS if config.data.sprites else OF_AREAS
    if config.augment.augmentation.endswith("colour"):  # all variants have these colours already
        unsuited += tuple(name for name in VARIANTS if "augmented" in name)
    if config.data.target == "lsp":  # all its images are both unlabelled training and test images
        unsuited += tuple(name for name, variant in VARIANTS.items() if variant.kind == "oracle")
    return tuple(name for name in VARIANTS if name not in unsuited)


def lengths(config: Config, variant: str) -> dict[str, float]:
    """Returns how long the stages of a variant are, in steps of the first; a step that two domains
    teach costs more.
    """
    recipe = VARIANTS[variant].recipe
    before = (
        lengths(config, recipe.start)
        if recipe.start in VARIANTS
        else ({recipe.start: config.pretraining_steps} if recipe.start else {})
    )
    return before | {
        variant: recipe.steps(config) * (TEACHER_COST if recipe.train == "adaptation" else 1)
    }


def columns(config: Config) -> tuple[Column, ...]:
    """Returns PCK first, except on sprites, where the paper counts the error."""
    length = {"side": "the side", "scale": "the reference length"}[config.pck_over]
    over = f"PCK at {100 * config.pck_threshold:g} % of {length}"
    pck, source = (
        Column("target/pck", f"target {over}", "%", 100.0),
        Column("source/pck", "source PCK", "%", 100.0),
    )
    error = Column("target/mae", "target MAE", "px", 1.0, 2, "lower")
    first, *others = (
        (error._replace(title="target MAE, x + y", unit="", decimals=3), pck)
        if config.data.sprites
        else (
            pck,
            *(
                [
                    Column(
                        "target/contour",
                        "target distance of contours, reference length",
                        "%",
                        100.0,
                        2,
                        "lower",
                    )
                ]
                if config.contours
                else []
            ),
            error,
        )
    )
    heading = "MAE" if config.data.sprites else "PCK"
    return (
        first,
        *others,
        source,
        *(
            first._replace(metric=f"{name}/{first.metric}", title=f"{heading}, {words}")
            for name, words in CHOICES.items()
        ),
        *(
            Column(f"target/pck_batchwise/{group}", f"{group}, as the authors count", "%", 100.0)
            for group in PRINTED_GROUPS.get(config.data.source, ())
        ),
    )


PAPER = Paper(
    "regda",
    "RegDA: unsupervised domain adaptation of keypoints",
    SMALL_BODIES,
    system.with_training(VARIANTS, train, lengths),
    evaluated=lambda job, data: {
        name: images
        for name, images in (("source", data.source.test), ("target", data.target.test))
        if images
    },
    measure=lambda job, data, outcome, predictions: errors(
        predictions, outcome.method.skeleton, job.config, details=True
    ),
    columns=columns,
    predicting=lambda stored: Predicting(
        build(stored.config, stored.skeleton, stored.variant),
        Letterbox(stored.config.data.image_size),
        score_kind(stored.config.heatmaps.decoder, logits=VARIANTS[stored.variant].recipe.logits),
    ),
    short_list=lambda preset, config: (
        "source_only",
        "dd" if config.data.sprites else "source_only_augmented",
        "regda",
        "oracle",
    ),
    applicable=applicable,
    draw=lambda job, data, outcome, predictions: system.draw_predictions(
        outcome,
        data.target.test or data.target.train,
        job.folder / system.IMAGES / "target.png",
        predictions.get("target"),
    ),
)
