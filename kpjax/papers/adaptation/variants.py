"""Variants of the paper's tables: the method, its baselines and ablations, and controls.

A network finds points in one view of an image, and from them a generator reconstructs that view out
of another (section 3). Variants differ in the weights of the network that are trained
(`methods.Parametrisation`), and in the core that they start from.
"""

import functools
from collections.abc import Callable
from dataclasses import replace

import jax.numpy as jnp

from kpjax import Method, Skeleton, Trained, augment, codec, methods, models
from kpjax.methods.adaptation_family.released_training import released_optimizer
from kpjax.methods.adaptation_family.view_pairs import similarity_views
from kpjax.models.hourglass_network import STRIDE
from kpjax.papers import engine
from kpjax.papers.adaptation.clusters import clusters_of_core, clusters_predict
from kpjax.papers.adaptation.comparison import comparing
from kpjax.papers.adaptation.config import Config, of_method
from kpjax.papers.adaptation.core import Core, core_name, network, untrained_core
from kpjax.papers.adaptation.stages import Data, as_finetuned, folded_core, learnt, predict_all
from kpjax.papers.configs import Backbone, optimizer_of
from kpjax.papers.engine import Job, Lengths, Outcome, Variant

# Methods


@functools.lru_cache(maxsize=32)
def build(config: Config, *, trained: methods.Parametrisation) -> Method:
    """Builds the discovery of landmarks once, so that all seeds and variants that train alike share
    what is compiled.

    trained: the weights that are trained, and how they make a network.
    """
    comparison, optimizer, side = config.comparison, config.optimizer, config.data.image_size
    compares = comparing(config)
    setup = methods.Setup(
        network(config, config.landmarks),
        Skeleton(tuple(f"point_{number}" for number in range(config.landmarks))),
        codec(image_size=side, heatmap_size=side // STRIDE, sigma=config.point_sigma),
        optimizer_of(
            replace(config, backbone=Backbone()), released_optimizer(decay_to=optimizer.decay_to)
        ),
        optimizer.rates(config.steps),
        augment.no_augmentation(),
        config.backbone.normalise,
    )
    return methods.adaptation(
        setup,
        objective=methods.adaptation_objective(
            perceptual=True,
            form=comparison.perceptual_distance,
            balanced=isinstance(compares["perceptual"], models.FeatureMaps),
        ),
        trained=trained,
        generator=models.ResidualGenerator(
            comparison.generator_width, comparison.generator_blocks, jnp.dtype(config.network.dtype)
        ),
        **compares,
        view_pair=similarity_views(size=(side, side), shown=config.shown),
        sigma=config.point_sigma,
    )


# Equation 1: frozen kernels, and a matrix for each; of blocks, as in the authors' code, or of all
# convolutions, as the text says.
build_of_blocks = functools.partial(build, trained=methods.adapted())
build_of_every = functools.partial(build, trained=methods.adapted(every=True))
build_finetuned = functools.partial(build, trained=methods.finetuned())
build_finetuned_last = functools.partial(build, trained=methods.finetuned_last())
build_finetuned_with_head = functools.partial(build, trained=methods.finetuned(keeps_head=True))
build_scratch = functools.partial(build, trained=methods.scratch())


def build_adapted(config: Config) -> Method:
    """Builds the paper's proposal, with the kernels that the config names."""
    return build_of_every(config) if config.projected == "every" else build_of_blocks(config)


def build_clusters(config: Config) -> Method:
    """Builds the prediction of clusters; nothing of the method is trained."""
    return build_finetuned(config)._replace(predict=clusters_predict(config))


# Stages


def from_core(job: Job, data: Data, method: Method) -> Outcome:
    """Learns the core's category from labels, once for all variants of a seed, then the landmarks."""
    core = data.core(job)
    return discover(job, data, method, core)


def from_random_core(job: Job, data: Data, method: Method) -> Outcome:
    """Learns the landmarks from random weights in place of a trained core."""
    core = untrained_core(job.config, job.seed, of_shapes=bool(job.plan))
    return discover(job, data, method, core)


def from_nothing(job: Job, data: Data, method: Method) -> Outcome:
    """Learns the landmarks from a fresh start of the method's own."""
    return discover(job, data, method)


def from_adapted(job: Job, data: Data, method: Method) -> Outcome:
    """Goes on from the result of `adapted`, whose steps, images and seconds it counts as its own;
    its projections are folded in.
    """
    before = engine.result_of(job._replace(variant=ADAPTED))
    core = folded_core(before, of_shapes=bool(job.plan))
    after = discover(job, data, method, core)
    return after._replace(
        steps=before.steps + after.steps,
        wall_seconds=before.wall_seconds + after.wall_seconds,
        images=before.images + after.images,
    )


def discover(job: Job, data: Data, method: Method, core: Core | None = None) -> Outcome:
    """Learns landmarks from a start, then predicts all images that are evaluated.

    Every variant predicts as a plain network, so that this is compiled once.
    """
    fitted = learnt(job, data, method, core)
    if job.plan:
        return Outcome(method, fitted.trained, 0)
    # The network that compares images is no part of the result.
    frozen = {name: tree for name, tree in fitted.trained.frozen.items() if name == "core"}
    trained = Trained(fitted.trained.variables, frozen)
    plain = build_finetuned(of_method(job.config))
    return Outcome(
        method,
        trained,
        fitted.steps,
        fitted.images_per_second,
        fitted.wall_seconds,
        core.metrics if core else {},
        predict_all(job.config, data, plain, as_finetuned(trained)),
        fitted.images,
    )


# Steps of stages


def alone(config: Config, name: str) -> dict[str, float]:
    """Returns the steps of a variant without a trained core."""
    return {name: config.steps}


def after_core(config: Config, name: str) -> dict[str, float]:
    """Returns the steps of the core, if it is trained, and of the adaptation."""
    core = {core_name(config): config.core.steps} if config.core.core_epochs else {}
    return core | {name: config.steps}


def after_adapted(config: Config, name: str) -> dict[str, float]:
    """Returns the steps of `adapted`, and those that follow."""
    return after_core(config, ADAPTED) | {name: config.steps}


def of_core_alone(config: Config, name: str) -> dict[str, float]:
    """Returns the steps of the core; the variant has none."""
    return after_core(config, name) | {name: 0}


# The table


def variant(
    kind: str,
    line: str,
    build: Callable[[Config], Method],
    train: Callable[[Job, Data, Method], Outcome] = from_core,
    lengths: Lengths = after_core,
    *,
    label: str = "",
) -> Variant:
    """Returns a line of the table. build: builds its method. train: its stages, in order."""

    return Variant(
        kind,
        line,
        label,
        train=lambda job, data: train(job, data, build(of_method(job.config))),
        # its points are its own, whatever the labels are of
        method=lambda config, skeleton: build(of_method(config)),
        lengths=lengths,
        score_kind=lambda config: "softmax_peak",
    )


ADAPTED = "adapted"
VARIANTS: dict[str, Variant] = {
    ADAPTED: variant(
        "method",
        "the core's kernels frozen, a small matrix for each",
        build_adapted,
        label="Proposed",
    ),
    "finetuned": variant(
        "baseline", "all weights trained from the core", build_finetuned, label="Finetune"
    ),
    "scratch": variant(
        "baseline",
        "all weights trained from a fresh start",
        build_scratch,
        from_nothing,
        alone,
        label="Scratch",
    ),
    "random_core": variant(
        "control",
        "the same matrices on frozen random kernels",
        build_adapted,
        from_random_core,
        alone,
    ),
    "trunk_clusters": variant(
        "control",
        "nothing trained: where features of the core's trunk are nearest to those of a cluster",
        build_clusters,
        clusters_of_core,
        of_core_alone,
    ),
    "adapted_every": variant(
        "ablation",
        "every convolution frozen and projected, as the paper's text says",
        build_of_every,
    ),
    "finetuned_last": variant(
        "ablation",
        "the last layers and the head trained from the core, all else frozen",
        build_finetuned_last,
        label="Finetune, last layers",
    ),
    "finetuned_from_adapted": variant(
        "ablation",
        "all weights trained from the adapted network, its matrices folded in",
        build_finetuned_with_head,
        from_adapted,
        after_adapted,
        label="Finetune after projections",
    ),
}
