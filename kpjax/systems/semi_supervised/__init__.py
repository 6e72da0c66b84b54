"""Semi-supervised keypoint localization (Moskvyak et al., ICLR 2021): a few labelled images and
many without labels.

`--labelled` up to 1 is a share of the training images, above it a count; seed n draws subset n, and
smaller subsets lie in larger ones. All variants of a seed start from one warm start, supervised on
the labelled images. It stands in for ImageNet weights where there are none; the paper's presets
have no warm start. Test images are evaluated once, at the end.

The paper stops when the validation accuracy has stopped improving. So do its presets and
`athletes`: after `--patience` evaluations in a row that were no better, a number that it does not
print, and the best of all is the result. Validation images are labelled, too: 500 in the demo,
beside 20 that train. So all other presets take the last of their steps, which needs no label;
`--selection validation --patience 10` stops them likewise. Every run stores which step the
validation images choose.

`supervised_warped` is the control: the labels alone, with the method's own warp on half of each
labelled batch.
"""

import functools
import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from kpjax import Example, Method, Skeleton, Trained, geometry, methods
from kpjax.drawing.feature_map import LEAST_FEATURES, can_embed, embedded, scatter
from kpjax.drawing.overlays import write_png
from kpjax.heatmaps import Codec
from kpjax.input.source import Source, stacked, with_labels
from kpjax.losses import semantic_consistency
from kpjax.methods import published
from kpjax.methods.perceptual import perceptual_start
from kpjax.models.weights.pretrained import MOVENET
from kpjax.papers import system
from kpjax.papers.configs import config_as_json
from kpjax.papers.engine import Job, Outcome, Predicting, System
from kpjax.papers.reports.report import Column
from kpjax.papers.semi_supervised import variants
from kpjax.papers.semi_supervised.config import SYNTHETIC, Config
from kpjax.papers.semi_supervised.variants import VARIANTS, build, distilled, setup_of
from kpjax.training.evaluation import Gathered, predict_source, reduce
from kpjax.training.fit import Fitted, Select, other_choices
from kpjax.training.keypoint_errors import keypoint_errors
from kpjax.training.run_folder import kept_arrays
from kpjax.training.trees import on_host

SCORE_KIND = "mse_peak"
CHOOSING = Select("validation/pck")
FEATURES_SHOWN = 720  # representations in the picture of them, at most, if one image has no more
NOTHING_LEARNT = 0.9  # of ln K, from which semantic consistency is called unlearnt
FITTED = 0.25  # of the loss of empty maps, up to which labelled images are called learnt
OF_PEOPLE = ("lspet/", "lsp/", "mpii/")  # sets on which a published network of people is measured
# variants of that network
ON_PEOPLE = ("zero_shot", "zero_shot_turned", "pl_zero_shot", "pl_zero_shot_turned")

# Data and stages


class Data(NamedTuple):
    """Images of one seed."""

    labelled: Source
    unlabelled: Source  # labels stripped
    everything: Source  # all training images with labels
    validation: Source
    test: Source
    identity: Mapping[str, str]  # the digest of the labelled subset
    plain_unlabelled: Source | None = None  # as evaluation sees them, if training loads them larger
    plain_labelled: Source | None = None

    @property
    def skeleton(self) -> Skeleton:
        return self.labelled.skeleton

    @property
    def summary(self) -> str:
        return f"{len(self.labelled)} of {len(self.everything)} training images labelled, {len(self.unlabelled)} not"


def train(job: Job, data: Data) -> Outcome:
    """Trains a variant from the warm start that all of a seed share; pseudo-labels come from a
    finished teacher.
    """
    recipe = VARIANTS[job.variant].recipe
    if recipe.untrained:
        trained = Trained({}, {}) if job.plan else published.load(MOVENET)
        return Outcome(build(job.config, data.skeleton, job.variant), trained, 0)
    if recipe.of:  # another variant's result, read in another way
        return system.result_of(job._replace(variant=recipe.of))._replace(
            method=build(job.config, data.skeleton, job.variant)
        )
    config, baselines = recipe.config(job.config), job.config.baselines
    start, seconds, images = {}, 0.0, 0
    if config.warm_start_steps and not recipe.everything:
        first, warming = (
            job._replace(variant="supervised"),
            variants.build_warm_start(job.config, data.skeleton),
        )
        warm = job.stage(
            "warm_start",
            lambda folder: _fit(
                first,
                warming,
                {"labelled": data.labelled},
                data,
                config.warm_start_steps,
                folder,
                "warm start",
                {},
            ),
            config=config_as_json(job.config) | dict(data.identity),
        )
        start, seconds, images = (
            {"variables": warm.trained.variables},
            warm.wall_seconds,
            warm.images,
        )
    if job.variant == "gen":
        start |= perceptual_start(
            baselines.perceptual, variants.PERCEPTUAL, image_size=baselines.generator_size
        )
    sources = {
        "labelled": data.everything if recipe.everything else data.labelled,
        "unlabelled": _pseudo_labelled(job, data, recipe.teacher)
        if recipe.teacher
        else data.unlabelled,
    }
    method = build(job.config, data.skeleton, job.variant)
    fitted = _fit(
        job,
        method,
        sources,
        data,
        config.steps_of_both_stages if recipe.everything else config.steps,
        job.folder,
        job.variant,
        start,
        patience=config.patience,
    )
    # A table compares variants of equal training: every one has seen the steps of the warm start,
    # too.
    before = 0 if recipe.everything else config.warm_start_steps
    return Outcome(
        method,
        fitted.trained,
        before + fitted.steps,
        fitted.images_per_second,
        fitted.wall_seconds + seconds,
        other_choices(fitted.evaluations, {"best_validation": CHOOSING}),
        images=fitted.images + images,
    )


def _fit(
    job: Job,
    method: Method,
    sources: Mapping[str, Source],
    data: Data,
    steps: int,
    folder,
    stage: str,
    start: Mapping[str, Any],
    *,
    patience: int = 0,
) -> Fitted:
    """`fit` with half of a batch for each stream, and the choice of the result on validation
    images, which with a patience also end the training.

    Where no warm start comes before, the backbone starts from its weights.
    """
    config = job.config
    if "variables" not in start:
        start = {
            **system.first_variables(
                job, setup_of(config, data.skeleton).model, data.skeleton.names
            ),
            **start,
        }
    return system.fit_sources(
        job,
        method,
        sources,
        batch_size=config.batch_size // len(method.streams),
        steps=steps,
        stage=stage,
        folder=folder,
        start=start,
        unlabelled=() if VARIANTS[job.variant].recipe.teacher else ("unlabelled",),
        evaluate=(
            max(1, steps // config.evaluations),
            lambda state: errors(
                predict_source(method, state, data.validation, batch_size=2 * config.batch_size),
                method.skeleton,
                config,
                "validation",
            ),
        ),
        select=CHOOSING._replace(patience=patience) if config.selection == "validation" else None,
        config=job.identity(**data.identity),
    )


def _pseudo_labelled(job: Job, data: Data, teacher: str) -> Source:
    """Returns the unlabelled images under the labels that the finished teacher gives them; made
    once and kept.
    """

    def make() -> dict[str, np.ndarray]:
        trained = system.result_of(job._replace(variant=teacher)).trained
        found = predict_source(
            distilled(job.config, data.skeleton, teacher),
            trained,
            data.plain_unlabelled or data.unlabelled,
            batch_size=2 * job.config.batch_size,
        )
        visible = np.stack([data.labelled[number].visible for number in range(len(data.labelled))])
        labels = methods.pseudo_labels(found.keypoints, found.scores, visible)
        if loaded := job.config.data.loaded(job.config.augment.reach):
            moved = geometry.move_points(geometry.invert(loaded.to_plain), labels.keypoints)
            labels = labels._replace(keypoints=np.asarray(moved))
        print(
            f"{job.title}: {int(labels.visible.sum())} of {labels.visible.size} predictions on unlabelled images are "
            f"kept, peaks from {labels.threshold:.3f}"
        )
        return {"keypoints": labels.keypoints, "visible": labels.visible}

    name = f"{data.unlabelled.name.removesuffix(' without labels')} under pseudo-labels"
    if job.plan:
        system.result_of(job._replace(variant=teacher))
        return data.unlabelled
    labels = kept_arrays(job.folder / "pseudo_labels.npz", make)
    return with_labels(data.unlabelled, **labels, name=name)


# Measures


def errors(
    found: Gathered, skeleton: Skeleton, config: Config, name: str, *, details: bool = False
) -> dict[str, float]:
    """Computes PCK (a distance of exactly the threshold is a hit, each point weighs the same) and
    errors.
    """
    return keypoint_errors(
        found,
        skeleton,
        name,
        threshold=config.pck_threshold,
        pooled=True,
        uncounted=config.uncounted_keypoints,
        contours=config.data.contours,
        details=details,
    )


def measure(
    job: Job, data: Data, outcome: Outcome, predictions: Mapping[str, Gathered]
) -> dict[str, float]:
    """Measures errors and, where they were learnt, semantic features on test images.

    Also whether the labelled images themselves were learnt, without which variants compare little.
    """
    config, trained, variant = job.config, outcome.trained, VARIANTS[job.variant]
    found = errors(predictions["test"], outcome.method.skeleton, config, "test", details=True)
    batch_size = 2 * config.batch_size
    if not variant.recipe.untrained:
        found["labelled/left_to_learn"] = left = left_to_learn(
            outcome.method,
            setup_of(config, data.skeleton).codec,
            trained,
            data.plain_labelled or data.labelled,
            batch_size=batch_size,
        )
        if left > FITTED:
            print(
                f"{job.title}: the labelled images themselves are not learnt, their heatmaps keep {left:.0%} of the "
                "error of empty maps; train longer before you compare variants"
            )
    if "semantic" in trained.variables:
        found["test/sc_over_ln_k"] = over_chance = consistency_over_chance(
            variants.read_semantic(config, data.skeleton), trained, data.test, batch_size=batch_size
        )
        if over_chance > NOTHING_LEARNT and variant.kind != "ablation":
            print(
                f"{job.title}: semantic consistency ended at {over_chance:.2f} of chance, so this term taught "
                "nothing; train longer, or lower --invariance"
            )
    return found


def left_to_learn(
    method: Method, codec: Codec, state, labelled: Source, *, batch_size: int
) -> float:
    """Measures the squared error of heatmaps on labelled images over that of empty maps.

    1 says that nothing was learnt. labelled: images as evaluation sees them. NaN where no keypoint
    is visible.
    """
    sums = reduce(_left_sums(method.predict, codec.encode), state, labelled, batch_size=batch_size)
    error, empty = float(sums["error"]), float(sums["empty"])
    return error / empty if empty else math.nan


@functools.lru_cache(maxsize=16)
def _left_sums(predict: Callable, encode: Callable):
    def measure(state, batch: Example, weights: jax.Array) -> dict[str, jax.Array]:
        targets, counted = encode(batch)
        counted = (counted * weights[:, None])[:, None, None]
        maps = jnp.concatenate(predict(state, batch).heatmaps, -1).astype(jnp.float32)
        return {
            "error": (jnp.square(maps - targets) * counted).sum(),
            "empty": (jnp.square(targets) * counted).sum(),
        }

    return measure


def consistency_over_chance(
    read: variants.ReadSemantic, state, source: Source, *, batch_size: int
) -> float:
    """Measures the semantic consistency loss of labelled keypoints over ln K: 1 is chance. Heatmaps
    are the masks.

    read: one function for each network, since it is compiled with the measure.
    """
    sums = reduce(_semantic_sums(read), state, source, batch_size=batch_size)
    count, keypoints = float(sums["count"]), len(source.skeleton.names)
    return (
        float(sums["loss"]) / count / math.log(keypoints) if count and keypoints > 1 else math.nan
    )


@functools.lru_cache(maxsize=16)
def _semantic_sums(read: variants.ReadSemantic):
    def measure(state, batch: Example, weights: jax.Array) -> dict[str, jax.Array]:
        counted = _shown(batch) * weights[:, None]
        loss = semantic_consistency(read(state.variables, batch).logits, counted)
        return {"loss": loss * counted.sum(), "count": counted.sum()}

    return measure


def _shown(batch: Example) -> jax.Array:
    """Returns (B, K) float32: 1 for labelled keypoints that the image shows, 0 for others."""
    return jnp.where(geometry.in_frame(batch.keypoints, batch.image.shape[1:3]), batch.visible, 0.0)


# The table


def applicable(preset: str, config: Config) -> tuple[str, ...]:
    """Returns the variants that suit a preset."""
    taught = tuple(
        name
        for name, variant in VARIANTS.items()
        if VARIANTS[variant.recipe.of or name].recipe.teacher
    )
    unsuited = taught if config.data.all_labelled else ()
    unsuited += () if config.data.test.startswith(OF_PEOPLE) else ON_PEOPLE
    return tuple(name for name in VARIANTS if name not in unsuited)


def lengths(config: Config, variant: str) -> dict[str, float]:
    """Returns the steps of the stages of a variant, with those of the variant that it starts
    from."""
    recipe = VARIANTS[variant].recipe
    before, config = recipe.of or recipe.teacher, recipe.config(config)
    found = lengths(config, before) if before else {}
    if recipe.of or recipe.untrained:
        return found | {variant: 0}
    own = (
        {variant: config.steps_of_both_stages}
        if recipe.everything
        else {"warm start": config.warm_start_steps, variant: config.steps}
    )
    return found | own


def columns(config: Config) -> tuple[Column, ...]:
    """Returns PCK and how its step was chosen, then measures of whether the terms of the method
    were learnt.
    """
    step = {"last": "last step", "validation": "step best on validation images"}[config.selection]
    return (
        Column(
            "test/pck",
            f"PCK at {100 * config.pck_threshold:g} % of {config.data.scale_is}, {step}",
            "%",
            100.0,
            1,
        ),
        Column("test/nme", f"mean error in {config.data.scale_is}", "%", 100.0, 2, "lower"),
        *(
            [
                Column(
                    "test/contour",
                    f"distance of contours in {config.data.scale_is}",
                    "%",
                    100.0,
                    2,
                    "lower",
                )
            ]
            if config.data.contours
            else []
        ),
        Column("test/sc_over_ln_k", "semantic consistency over ln K", "", 1.0, 2, "lower"),
        Column(
            "labelled/left_to_learn",
            "error left on the labelled images' heatmaps",
            "% of empty maps",
            100.0,
            0,
            "lower",
        ),
    )


def draw(job: Job, data: Data, outcome: Outcome, predictions: Mapping[str, Gathered]) -> None:
    """Draws predictions on test images, and where representations were learnt their t-SNE, as the
    paper's figure 4.

    The latter is left out with a line where scikit-learn is not installed.
    """
    system.draw_predictions(
        outcome, data.test, job.folder / system.IMAGES / "test.png", predictions["test"]
    )
    if "semantic" not in outcome.trained.variables or jax.process_index():
        return
    if not can_embed():
        print(f"{job.title}: no picture of the representations, scikit-learn is not installed")
        return
    read = variants.read_semantic(job.config, data.skeleton)
    features, keypoints = keypoint_features(read, outcome.trained.variables, data.test)
    if len(features) >= LEAST_FEATURES and np.isfinite(features).all():
        write_png(
            job.folder / system.IMAGES / "test_representations.png",
            scatter(embedded(features), keypoints, data.skeleton.names),
        )


def keypoint_features(
    read: variants.ReadSemantic, trained: Mapping[str, Any], source: Source
) -> tuple[np.ndarray, np.ndarray]:
    """Returns representations (N, C) float32 of the labelled keypoints that the first images show,
    and the keypoint (N,) of each.

    Heatmaps are the masks, as in prediction. So many images are read that N is at most
    `FEATURES_SHOWN`.
    """
    count = min(len(source), max(1, FEATURES_SHOWN // len(source.skeleton.names)))
    batch = stacked([source[number] for number in range(count)])
    variables = jax.tree.map(on_host, trained)
    found = np.asarray(jax.jit(read)(variables, batch).representations)
    images, keypoints = np.nonzero(np.asarray(_shown(batch)) > 0)
    return found[images, keypoints], keypoints


SYSTEM = System(
    "semi_supervised",
    "keypoints from a few labelled images and many without labels",
    SYNTHETIC,
    VARIANTS,
    train,
    lambda job, data: {"test": data.test},
    measure,
    columns,
    predicting=lambda stored: Predicting(
        build(stored.config, stored.skeleton, stored.variant),
        stored.config.data.square_of_new(),
        published.SCORE_KIND if VARIANTS[stored.variant].recipe.untrained else SCORE_KIND,
    ),
    short_list=lambda preset, config: (
        "supervised",
        "supervised_warped",
        "pl_warped",
        "ours",
        "all_labels",
    ),
    applicable=applicable,
    shortened=system.scaled("warm_start_steps"),
    lengths=lengths,
    draw=draw,
    parts_of_a_batch=2,
    poses=lambda data: data.labelled,
)
