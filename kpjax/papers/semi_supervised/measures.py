"""Measures of the semi-supervised paper: errors, what was learnt of the labels and of semantics, the
columns of the table, and pictures.
"""

import functools
import math
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from kpjax import Example, Skeleton, geometry
from kpjax.drawing.feature_map import LEAST_FEATURES, can_embed, embed_features, scatter
from kpjax.drawing.overlays import write_png
from kpjax.errors import summarise
from kpjax.input.source import Source, stack_examples
from kpjax.losses import semantic_consistency
from kpjax.methods.semi_supervised_family.semantic_features import Semantic, representations
from kpjax.papers import engine
from kpjax.papers.engine import Job, Outcome
from kpjax.papers.reports.report import Column
from kpjax.papers.semi_supervised.config import Config
from kpjax.papers.semi_supervised.left_to_learn import FITTED, left_to_learn
from kpjax.papers.semi_supervised.stages import Data, errors, setup_of
from kpjax.training.evaluation import Gathered, reduce
from kpjax.training.trees import on_host

FEATURES_SHOWN = 720  # representations in the picture of them, at most, if one image has no more
NOTHING_LEARNT = 0.9  # share of ln K, from which semantic consistency is called unlearnt


# (variables, a batch) -> semantics of its features
ReadSemantic = Callable[[Mapping[str, Any], Example], Semantic]


@functools.lru_cache(maxsize=4)
def read_semantic(config: Config, skeleton: Skeleton) -> ReadSemantic:
    """Returns a function from (variables, batch) to the semantics of a trained network's features;
    one per config.
    """
    return functools.partial(
        representations,
        setup_of(config, skeleton).model,
        config.backbone.normalise,
        one_scale=config.weights.one_scale,
        head_map=config.weights.head_map,
    )


def measure(
    job: Job, data: Data, outcome: Outcome, predictions: Mapping[str, Gathered]
) -> dict[str, float]:
    """Measures errors and, where they were learnt, semantic features on test images.

    Also whether the labelled images themselves were learnt, without which variants compare little.
    """
    config, trained, variant = job.config, outcome.trained, job.paper.variants[job.variant]
    found = errors(predictions["test"], outcome.method.skeleton, config, "test", details=True)
    batch_size = 2 * config.batch_size
    if outcome.steps:  # a published network has learnt none of them
        left = left_to_learn(
            outcome.method,
            setup_of(config, data.skeleton).codec,
            trained,
            data.plain_labelled or data.labelled,
            batch_size=batch_size,
        )
        found |= {"labelled/left_to_learn": left.whole, "labelled/left_of_worst": left.worst}
        if not left.learnt:
            names = [data.skeleton.names[k] for k in np.flatnonzero(left.by_keypoint > FITTED)]
            print(
                f"{job.title}: the labelled images themselves are not learnt, heatmaps keep up to {left.worst:.0%} of "
                f"the error of empty maps, more than {FITTED:.0%} of {summarise(names)}; train longer before you "
                "compare variants"
            )
    if "semantic" in trained.variables:
        found["test/sc_over_ln_k"] = over_chance = consistency_over_chance(
            read_semantic(config, data.skeleton), trained, data.test, batch_size=batch_size
        )
        if over_chance > NOTHING_LEARNT and variant.kind != "ablation":
            print(
                f"{job.title}: semantic consistency ended at {over_chance:.2f} of chance, so this term taught "
                "nothing; train longer, or lower --invariance"
            )
    return found


def consistency_over_chance(read: ReadSemantic, state, source: Source, *, batch_size: int) -> float:
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
def _semantic_sums(read: ReadSemantic):
    def measure(state, batch: Example, weights: jax.Array) -> dict[str, jax.Array]:
        counted = _shown_keypoints(batch) * weights[:, None]
        loss = semantic_consistency(read(state.variables, batch).logits, counted)
        return {"loss": loss * counted.sum(), "count": counted.sum()}

    return measure


def _shown_keypoints(batch: Example) -> jax.Array:
    """Returns (B, K) float32: 1 for labelled keypoints that the image shows, 0 for others, also for
    those that are known to be absent."""
    inside = geometry.in_frame(batch.keypoints, batch.image.shape[1:3])
    return jnp.where(inside, jnp.maximum(batch.visible, 0.0), 0.0)


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
    engine.draw_predictions(
        outcome, data.test, job.folder / engine.IMAGES / "test.png", predictions["test"]
    )
    if "semantic" not in outcome.trained.variables or jax.process_index():
        return
    if not can_embed():
        print(f"{job.title}: no picture of the representations, scikit-learn is not installed")
        return
    read = read_semantic(job.config, data.skeleton)
    features, keypoints = keypoint_features(read, outcome.trained.variables, data.test)
    if len(features) >= LEAST_FEATURES and np.isfinite(features).all():
        write_png(
            job.folder / engine.IMAGES / "test_representations.png",
            scatter(embed_features(features), keypoints, data.skeleton.names),
        )


def keypoint_features(
    read: ReadSemantic, trained: Mapping[str, Any], source: Source
) -> tuple[np.ndarray, np.ndarray]:
    """Returns representations (N, C) float32 of the labelled keypoints that the first images show,
    and the keypoint (N,) of each.

    Heatmaps are the masks, as in prediction. So many images are read that N is at most
    `FEATURES_SHOWN`.
    """
    count = min(len(source), max(1, FEATURES_SHOWN // len(source.skeleton.names)))
    batch = stack_examples([source[number] for number in range(count)])
    variables = jax.tree.map(on_host, trained)
    found = np.asarray(jax.jit(read)(variables, batch).representations)
    images, keypoints = np.nonzero(np.asarray(_shown_keypoints(batch)) > 0)
    return found[images, keypoints], keypoints
