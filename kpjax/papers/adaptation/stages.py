"""Stages that variants share: landmarks are learnt from pairs of views, and found on the images
that are evaluated.
"""

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
from kpjax.papers.adaptation.comparison import perceptual_start
from kpjax.papers.adaptation.config import Config, of_training
from kpjax.papers.adaptation.core import Core
from kpjax.papers.configs import decoded_once
from kpjax.papers.engine import Job, Outcome
from kpjax.platforms import run_once
from kpjax.training.evaluation import Gathered, predict_source
from kpjax.training.fit import Fitted
from kpjax.training.trees import tree_digest


class Data(NamedTuple):
    """Images that the variants of a seed learn from and are evaluated on."""

    target: Source  # without labels
    fit: Source  # with labels, for the regressors
    test: Source
    turned_once: Source  # the test images, each turned in place
    turned_twice: Source  # and turned again
    core: Callable[[Job], Core]  # a job -> what its variants start from
    #: (N, H, W) bool, the pixels of the test images that the object covers, where a renderer tells
    objects: np.ndarray | None = None
    chosen: tuple[str, ...] = ()  # the names, or numbers, of `target_images`; () for all
    identity: Mapping[str, Any] = {}

    @property
    def summary(self) -> str:
        return f"{len(self.target)} images without labels, {len(self.test)} test images"


def with_turns(
    target: Source,
    fit: Source,
    test: Source,
    side: int,
    core: Callable[[Job], Core],
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
    return Data(target, fit, test, once, twice, core)


# Stages


def learnt(job: Job, data: Data, method: Method, core: Core | None) -> Fitted:
    """Learns landmarks of the target's images, which have no labels, from a core or a fresh start.

    A run does not go on with another core than it began with. Presets that differ in what they
    evaluate share their training.
    """
    config, planned = job.config, bool(job.plan)
    start = {"core": core.variables} if core else {}
    start |= perceptual_start(config, of_shapes=planned)
    if data.chosen and not planned and jax.process_index() == 0:
        write_text(job.folder / "target_images.txt", "\n".join([*data.chosen, ""]))
    streams = dict.fromkeys(method.streams, stack_examples([data.target[0]]))
    state = jax.eval_shape(method.init, jax.random.key(0), streams, start)
    print(f"{job.title}: {weights_in_words(state)}")
    study = job.preset.removeprefix(job.base_preset)
    keeps = job._replace(preset=(config.keeper_of(job.variant) or job.base_preset) + study)
    # One name for all variants, so that those of a seed draw the same views and start from the same
    # generator.
    return engine.fit_sources(
        job,
        method,
        {"target": data.target},
        batch_size=config.batch_size,
        steps=config.steps,
        stage="adaptation",
        folder=keeps.folder,
        unlabelled=("target",),
        start=start,
        config=of_training(config)
        | {"variant": job.variant, "seed": job.seed, "core digest": core and core.digest},
    )


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


def folded_core(before: Outcome, *, of_shapes: bool = False) -> Core:
    """Returns the result of another variant as a core: its plain network and its head.

    of_shapes: for a plan, which computes nothing.
    """
    if of_shapes:
        return Core(jax.eval_shape(plain_of, before.trained), "")
    variables = run_once(plain_of)(before.trained)
    return Core(variables, tree_digest(variables))
