"""Stages that RegDA shares with its rivals: learning the source, and going on from it with both domains."""

import functools
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, NamedTuple

from kpjax import Method, Skeleton, methods
from kpjax.heatmaps import codec, decode_argmax
from kpjax.input.source import Source
from kpjax.methods import Setup
from kpjax.papers import engine
from kpjax.papers.configs import Splits, network_of, optimizer_of
from kpjax.papers.engine import (
    Job,
    Outcome,
    Shared,
    Stage,
    Training,
    Variant,
    built_on,
    method_of,
)
from kpjax.papers.regda.config import TEACHER_COST, Config, of_pretraining
from kpjax.papers.regda.measures import CHOICES, errors
from kpjax.training.evaluation import predict_source
from kpjax.training.fit import Select

Build = Callable[[Config, Setup], Method]
SetupOf = Callable[[Config, Skeleton], Setup]


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
    def skeleton(self) -> Skeleton:
        """The keypoints of both domains."""
        return self.target.train.skeleton

    @property
    def poses(self) -> Source | None:
        """The labelled images whose poses a run keeps."""
        return self.source.as_evaluated

    @property
    def summary(self) -> str:
        source = f"{len(self.source.train)} source and " if self.source.train else ""
        return f"{source}{len(self.target.train)} target images"


# Networks and what trains them


@functools.lru_cache(maxsize=8)
def setup_of(config: Config, skeleton: Skeleton, *, logits: bool = True) -> Setup:
    """Builds the setup once per config, so that all seeds share what is compiled: of adaptation,
    with one head.

    logits: whether heatmaps are those of a KL divergence, and not heights, as squared errors learn
    them.
    """
    heatmaps, side, network = config.heatmaps, config.data.image_size, config.network
    coding = heatmaps.codec(side, logits=logits, flip=skeleton.flip)
    if heatmaps.targets == "official":  # the authors' targets and decoder
        coding = codec(
            image_size=side,
            heatmap_size=heatmaps.heatmap_size,
            sigma=heatmaps.sigma,
            grid=heatmaps.grid,
            decoder=functools.partial(decode_argmax, strict_positive=True),
        )
    if hasattr(network, "head_layers"):
        network = replace(network, head_layers=config.pretraining_head_layers)
    return Setup(
        network_of(replace(config, network=network), len(skeleton.names)),
        skeleton,
        coding,
        optimizer_of(config, config.optimizer.build()),
        config.optimizer.adaptation_rates(config.steps),
        MappingProxyType(config.augment.build(*config.data.loaded(config.augment.reach))),
        config.backbone.normalise,
    )


# of what learns heights by squared errors
setup_of_heights = functools.partial(setup_of, logits=False)


def build_kl(config: Config, setup: Setup, *, length: str, stream: str) -> Method:
    """Builds heatmap KL on labels. length: the config's number of steps of the whole training."""
    rates = config.optimizer.supervised_rates(getattr(config, length))
    return methods.supervised(setup._replace(learning_rate=rates), stream=stream)


# The first stage of RegDA: heatmap KL on the source domain.
build_pretraining = functools.partial(build_kl, length="pretraining_steps", stream="source")


# Stages


def pretraining(
    job: Job,
    data: Data,
    *,
    config: Config | None = None,
    build: Build = build_pretraining,
    setup: SetupOf = setup_of,
    name: str = "pretraining",
) -> Stage:
    """Learns the source domain from its labels: all variants of a seed share the result.

    config: of the stage; the job's if None. build, setup: of its method.
    """
    chosen = config or job.config

    def training() -> Training:
        method = built_on(setup, build, chosen, data.source.train.skeleton)
        select = Select("validation/pck") if chosen.pretraining_selection == "validation" else None
        of_source = with_both_domains(job, data, method, chosen.pretraining_steps, tested=False)
        return of_source._replace(
            config=lambda: of_pretraining(chosen), more={**of_source.more, "select": select}
        )

    shared = Shared(name, lambda: of_pretraining(chosen) | {"source": data.source.train.digest})
    return Stage(name, chosen.pretraining_steps, training, shared=shared)


def own_stage(job: Job, data: Data, steps: int, before: Outcome | None = None) -> Stage:
    """Trains a variant's method for so many steps, from an earlier stage where there is one."""
    start = {"variables": before.trained.variables} if before else {}

    def training() -> Training:
        method = method_of(job, data)
        return with_both_domains(job, data, method, steps, start)

    # a step with both domains costs more than one
    return Stage(job.variant, steps, training, before, cost=TEACHER_COST if before else 1)


def with_both_domains(
    job: Job,
    data: Data,
    method: Method,
    steps: int,
    start: Mapping[str, Any] = MappingProxyType({}),
    *,
    target: Source | None = None,
    tested: bool = True,
    check: Callable[[Any], dict[str, float]] | None = None,
) -> Training:
    """Returns what fits a method on both domains, and evaluates it on the way.

    target: images in place of the target's. tested: whether the target's test images are evaluated,
    too. check: measures more.
    """
    config = job.config
    own_domain = data.target if job.variant.startswith("oracle") else data.source
    evaluated = {"validation": own_domain.validation}
    if tested and data.target.test is not None:
        evaluated["target"] = data.target.test

    def evaluate(state) -> dict[str, float]:
        found = {
            name: predict_source(method, state, source, batch_size=2 * config.batch_size)
            for name, source in evaluated.items()
        }
        return errors(found, method.skeleton, config) | (check(state) if check else {})

    domains = {
        "source": data.source.train,
        "target": target or data.target.train,
        "labelled": data.target.labelled or data.target.train,
    }
    return Training(
        method,
        engine.batches(
            job,
            method,
            domains,
            batch_size=config.batch_size,
            unlabelled=("target",),
            repeats=data.repeats,
        ),
        job.identity,
        start,
        fresh=None if start else (setup_of(config, method.skeleton).model, method.skeleton.names),
        more={"evaluate": (max(1, steps // config.evaluations), evaluate)},
    )


def choices(config: Config) -> dict[str, Select]:
    """Returns the rules beside the last step that a table shows."""
    target = Select("target/mae", "min") if config.data.sprites else Select("target/pck")
    return dict(zip(CHOICES, (Select("validation/pck"), target), strict=True))


# Lines of a table; the latter's learn heights by squared errors

variant = functools.partial(Variant, setup=setup_of)
variant_of_heights = functools.partial(Variant, setup=setup_of_heights, score_kind="mse_peak")
