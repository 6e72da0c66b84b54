"""Stages that variants share: landmarks are learnt from pairs of views, and found on the images
that are evaluated.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from kpjax import InputError, Method, Trained, Variables, methods
from kpjax.evaluation.probes.landmarks import draw_turns, second_turns, turn_in_place
from kpjax.files import write_text
from kpjax.input import source as sources
from kpjax.input.source import Source, stack_examples
from kpjax.methods.adaptation_family.adaptation import HEAD
from kpjax.methods.adaptation_family.trunk_clusters import CLUSTERS
from kpjax.papers import engine
from kpjax.papers.adaptation.comparison import perceptual_shapes, perceptual_start
from kpjax.papers.adaptation.config import Config, of_training
from kpjax.papers.adaptation.core import Core, OpenCoreImages
from kpjax.papers.configs import decoded_once
from kpjax.papers.engine import Job, Outcome, Stage, Stages, Training, Work
from kpjax.training.evaluation import Gathered, predict_source

PLAIN = "finetuned"  # the variant whose network is plain


class Data(NamedTuple):
    """Images that the variants of a seed learn from and are evaluated on."""

    target: Source  # without labels
    fit: Source  # with labels, for the regressors
    test: Source
    turned_once: Source  # the test images, each turned in place
    turned_twice: Source  # and turned again
    #: (config, seed, data_dir) -> the labelled images that train a core, and those that test it
    core_images: OpenCoreImages | None = None
    core: Callable[[Job], Core] | None = None  # what variants start from where none is trained
    #: (N, H, W) bool, the pixels of the test images that the object covers, where a renderer tells
    objects: np.ndarray | None = None
    chosen: tuple[str, ...] = ()  # the names, or numbers, of `target_images`; () for all
    identity: Mapping[str, Any] = {}
    skeleton: None = None  # a variant's points are its own, whatever the labels are of

    @property
    def summary(self) -> str:
        return f"{len(self.target)} images without labels, {len(self.test)} test images"


def with_turns(
    target: Source,
    fit: Source,
    test: Source,
    side: int,
    once: Source | None = None,
) -> Data:
    """Returns the images of a run with the test images, of `side` px, also turned once and twice.

    once: test images turned before they were cropped; None turns them in place.
    """
    if once is None:
        angles = draw_turns(len(test)).first
        once = sources.warp_source(test, np.array([turn_in_place(angle, side) for angle in angles]))
    once = decoded_once(once)
    twice = decoded_once(sources.warp_source(once, second_turns(len(test), side)))
    return Data(target, fit, test, once, twice)


# Stages


def discovered(
    job: Job, data: Data, core: Core | None = None, before: Outcome | None = None
) -> Stages:
    """Learns landmarks of the target's images, which have no labels, from a core or a fresh start;
    then predicts all images that are evaluated.

    A run does not go on with another core than it began with. Presets that differ in what they
    evaluate share their training. Every variant predicts as a plain network, so that this is
    compiled once. before: whose steps, images and seconds count as its own.
    """
    config = job.config

    def compared() -> dict[str, Any]:
        if data.chosen and jax.process_index() == 0:
            write_text(job.folder / "target_images.txt", "\n".join([*data.chosen, ""]))
        return perceptual_start(config)

    weights = yield Work(compared, lambda: perceptual_shapes(config))

    study = job.preset.removeprefix(job.base_preset)
    keeps = job._replace(preset=(config.training_kept_by or job.base_preset) + study)
    # One name for all variants, so that those of a seed draw the same views and start from the same
    # generator.
    training = functools.partial(_training, job, data, core, weights)
    found = yield Stage("adaptation", config.steps, training, before, folder=keeps.folder)
    # The network that compares images is no part of the result.
    frozen = {name: tree for name, tree in found.trained.frozen.items() if name == "core"}
    trained = Trained(found.trained.variables, frozen)
    predictions = yield Work(
        lambda: predict_all(config, data, plain_method(job, data), as_finetuned(trained)), {}
    )
    metrics = core.metrics if core else {}
    return found._replace(trained=trained, metrics=metrics, predictions=predictions)


def _training(job: Job, data: Data, core: Core | None, weights: Mapping[str, Any]) -> Training:
    config, method = job.config, engine.method_of(job, data)
    start = ({"core": core.variables} if core else {}) | weights
    streams = dict.fromkeys(method.streams, stack_examples([data.target[0]]))
    state = jax.eval_shape(method.init, jax.random.key(0), streams, start)
    print(f"{job.title}: {weights_in_words(state)}")
    return Training(
        method,
        engine.batches(
            job,
            method,
            {"target": data.target},
            batch_size=config.batch_size,
            unlabelled=("target",),
        ),
        lambda: (
            of_training(config)
            | {"variant": job.variant, "seed": job.seed, "core digest": core and core.digest}
        ),
        start,
    )


def plain_method(job: Job, data: Data) -> Method:
    """Returns the method of a plain network, of which nothing is frozen."""
    return job.paper.variants[PLAIN].method(job.config, data.skeleton)


def weights_in_words(state: Any) -> str:
    """Returns how many weights are frozen and trained, by their part in the network, in one
    line."""

    def size(tree: Any) -> int:
        return sum(leaf.size for leaf in jax.tree.leaves(tree))

    counts = {name: size(tree) for name, tree in state.variables["params"].items()}
    parts = {
        "projections": "in matrices of frozen kernels",
        "free": "of the network's own",
        "head": "of the head",
    }
    trained = ", ".join(
        f"{counts[name]:,} {words}" for name, words in parts.items() if name in counts
    )
    return f"{size(state.frozen.get('core', {})):,} weights of the core frozen; trained: {trained}"


def predict_all(
    config: Config, data: Data, method: Method, trained: Trained
) -> dict[str, Gathered]:
    """Predicts all images that a variant is evaluated on."""
    evaluated = {"fit": data.fit} if config.evaluation.annotated else {}
    evaluated |= {
        "test": data.test,
        "turned_once": data.turned_once,
        "turned_twice": data.turned_twice,
    }
    return {
        name: predict_source(method, trained, source, batch_size=config.prediction_batch)
        for name, source in evaluated.items()
    }


# Results as plain networks


def plain_of(trained: Trained) -> Variables:
    """Returns a variant's result as the variables of a plain network, its projections folded in.

    Which kernels were projected stands in the result. Raises InputError for clusters, which have
    no network of their own.
    """
    if CLUSTERS in trained.variables:
        raise InputError(
            "core",
            "a run of trunk_clusters has no network of its own; give the core that it read",
        )
    projected = "projections" in trained.variables["params"]
    made_by = methods.adapted() if projected else methods.finetuned_last()
    return methods.plain_variables(trained, made_by)


def as_finetuned(trained: Trained) -> Trained:
    """Returns a variant's result as one of full finetuning: a plain network, nothing frozen."""
    plain = plain_of(trained)
    body = {name: tree for name, tree in plain["params"].items() if name != HEAD}
    return Trained(
        {
            "params": {"free": body, HEAD: plain["params"][HEAD]},
            "batch_stats": plain["batch_stats"],
        },
        {},
    )
