"""Variants of the paper's tables: the method, its baselines and ablations, and controls.

A network finds points in one view of an image, and from them a generator reconstructs that view out
of another (section 3). Variants differ in the weights of the network that are trained
(`methods.Parametrisation`), and in the core that they start from.
"""

import functools
from dataclasses import replace

import jax.numpy as jnp

from kpjax import Method, Skeleton, augment, codec, methods, models
from kpjax.methods.adaptation_family.released_training import released_optimizer
from kpjax.methods.adaptation_family.view_pairs import similarity_views
from kpjax.models.hourglass_network import STRIDE
from kpjax.papers.adaptation.clusters import clusters_of_core, clusters_predict
from kpjax.papers.adaptation.comparison import comparing
from kpjax.papers.adaptation.config import Config, of_method
from kpjax.papers.adaptation.core import Core, core_of, network, random_variables
from kpjax.papers.adaptation.stages import PLAIN, Data, discovered, plain_of
from kpjax.papers.configs import Backbone, optimizer_of
from kpjax.papers.engine import Job, Stages, Variant, computed

# Methods


def build(config: Config, skeleton: None, *, trained: methods.Parametrisation) -> Method:
    """Builds the discovery of landmarks, which have no names.

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


def build_adapted(config: Config, skeleton: None) -> Method:
    """Builds the paper's proposal, with the kernels that the config names."""
    chosen = build_of_every if config.projected == "every" else build_of_blocks
    return chosen(config, skeleton)


def build_clusters(config: Config, skeleton: None) -> Method:
    """Builds the prediction of clusters; nothing of the method is trained."""
    return build_finetuned(config, skeleton)._replace(predict=clusters_predict(config))


# Stages


def from_core(job: Job, data: Data) -> Stages:
    """Learns the core's category from labels, once for all variants of a seed, then the landmarks."""
    job.config.comparison.check()  # before a core is trained
    core = yield from core_of(job, data)
    return (yield from discovered(job, data, core))


def from_random_core(job: Job, data: Data) -> Stages:
    """Learns the landmarks from random weights in place of a trained core."""
    variables = yield random_variables(job)
    return (yield from discovered(job, data, Core(variables)))


def from_adapted(job: Job, data: Data) -> Stages:
    """Goes on from the result of `adapted`, whose steps, images and seconds it counts as its own;
    its projections are folded in.
    """
    before = yield job._replace(variant=ADAPTED)
    variables = yield computed(plain_of, before.trained)
    return (yield from discovered(job, data, Core(variables), before))


# The table

ADAPTED = "adapted"
variant = functools.partial(Variant, changes=of_method, score_kind="softmax_peak")
VARIANTS: dict[str, Variant] = {
    ADAPTED: variant(
        "method",
        "the core's kernels frozen, a small matrix for each",
        build_adapted,
        from_core,
        label="Proposed",
    ),
    PLAIN: variant(
        "baseline",
        "all weights trained from the core",
        build_finetuned,
        from_core,
        label="Finetune",
    ),
    "scratch": variant(
        "baseline",
        "all weights trained from a fresh start",
        build_scratch,
        discovered,
        label="Scratch",
    ),
    "random_core": variant(
        "control",
        "the same matrices on frozen random kernels",
        build_adapted,
        from_random_core,
    ),
    "trunk_clusters": variant(
        "control",
        "nothing trained: where features of the core's trunk are nearest to those of a cluster",
        build_clusters,
        clusters_of_core,
    ),
    "adapted_every": variant(
        "ablation",
        "every convolution frozen and projected, as the paper's text says",
        build_of_every,
        from_core,
    ),
    "finetuned_last": variant(
        "ablation",
        "the last layers and the head trained from the core, all else frozen",
        build_finetuned_last,
        from_core,
        label="Finetune, last layers",
    ),
    "finetuned_from_adapted": variant(
        "ablation",
        "all weights trained from the adapted network, its matrices folded in",
        build_finetuned_with_head,
        from_adapted,
        label="Finetune after projections",
    ),
}
