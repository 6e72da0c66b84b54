"""Stages that RegDA shares with its rivals: learning the source, and going on from it with both domains."""

import functools
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, NamedTuple

from kpjax import Method, Skeleton, methods
from kpjax.heatmaps import codec, decode_argmax, score_kind
from kpjax.input.source import Source
from kpjax.methods import Setup
from kpjax.papers import engine
from kpjax.papers.configs import Splits, network_of, optimizer_of
from kpjax.papers.engine import Job, Lengths, Outcome, Variant, method_variant, same_config
from kpjax.papers.regda.config import TEACHER_COST, Config, of_pretraining
from kpjax.papers.regda.measures import CHOICES, errors
from kpjax.training.evaluation import predict_source
from kpjax.training.fit import Fitted, Select, other_choices

Build = Callable[[Config, Setup], Method]


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


@functools.lru_cache(maxsize=32)
def build_once(build: Build, config: Config, skeleton: Skeleton, *, logits: bool = True) -> Method:
    """Builds a method once, so that all seeds share what is compiled. logits: see `setup_of`."""
    return build(config, setup_of(config, skeleton, logits=logits))


def build_kl(config: Config, setup: Setup, *, length: str, stream: str) -> Method:
    """Builds heatmap KL on labels. length: the config's number of steps of the whole training."""
    rates = config.optimizer.supervised_rates(getattr(config, length))
    return methods.supervised(setup._replace(learning_rate=rates), stream=stream)


# The first stage of RegDA: heatmap KL on the source domain.
build_pretraining = functools.partial(build_kl, length="pretraining_steps", stream="source")


# Stages


def pretrain(
    job: Job,
    data: Data,
    *,
    config: Config | None = None,
    build: Build = build_pretraining,
    logits: bool = True,
    stage: str = "pretraining",
) -> Outcome:
    """Learns the source domain from its labels: all variants of a seed share the result.

    config: of the stage; the job's if None. logits: see `setup_of`.
    """
    config = config or job.config
    method = build_once(build, config, data.source.train.skeleton, logits=logits)
    by_validation = config.pretraining_selection == "validation"

    def train(folder) -> Fitted:
        return fit_domains(
            job,
            method,
            data,
            config.pretraining_steps,
            folder,
            stage,
            {},
            select=Select("validation/pck") if by_validation else None,
            config=of_pretraining(config),
        )

    identity = of_pretraining(config) | {"source": data.source.train.digest}
    shared = job.stage(stage, train, config=identity)
    return Outcome(
        method,
        shared.trained,
        config.pretraining_steps,
        wall_seconds=shared.wall_seconds,
        images=shared.images,
    )


def train_stage(
    job: Job, data: Data, method: Method, steps: int, before: Outcome | None = None
) -> Outcome:
    """Trains a method for so many steps, from the result of an earlier stage where there is one."""
    start = {"variables": before.trained.variables} if before else {}
    fitted = fit_domains(job, method, data, steps, job.folder, job.variant, start)
    return result(job, method, fitted, before)


def result(
    job: Job,
    method: Method,
    fitted: Fitted,
    before: Outcome | None = None,
    more: Mapping[str, float] = MappingProxyType({}),
) -> Outcome:
    """Returns the outcome of a last stage: its last step, and what its best steps would be.

    A table compares variants of equal training, so the steps of the stage before count. more:
    further numbers.
    """
    before = before or Outcome(None, None, 0)
    target = Select("target/mae", "min") if job.config.data.sprites else Select("target/pck")
    rules = dict(zip(CHOICES, (Select("validation/pck"), target), strict=True))
    return Outcome(
        method,
        fitted.trained,
        before.steps + fitted.steps,
        fitted.images_per_second,
        fitted.wall_seconds + before.wall_seconds,
        dict(more) | other_choices(fitted.evaluations, rules),
        images=fitted.images + before.images,
    )


def fit_domains(
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
    return engine.fit_sources(
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
        or engine.first_variables(
            job, setup_of(config, method.skeleton).model, method.skeleton.names
        ),
        **{"config": job.identity()} | options,
    )


# Variants as lines of a table: a method, its stages, and how long they are

# (job, data, the variant's method) -> its stages, one after the other
Train = Callable[[Job, Data, Method], Outcome]


def variant(
    kind: str,
    line: str,
    build: Build,
    train: Train,
    lengths: Lengths,
    *,
    label: str = "",
    changes: Callable[[Config], Config] = same_config,
    logits: bool = True,
) -> Variant:
    """Returns a line of the table.

    Args:
        build: builds the method that learns last, and predicts.
        train: trains it, with the stages before.
        changes: what is different in the config by which `build` builds.
        logits: whether heatmaps are those of a KL divergence, and not heights, as squared errors
            learn them.
    """

    def method(config: Config, skeleton: Skeleton) -> Method:
        return build_once(build, changes(config), skeleton, logits=logits)

    return method_variant(
        method,
        train,
        kind,
        line,
        label,
        lengths,
        lambda config: score_kind(config.heatmaps.decoder, logits=logits),
    )


def after_pretraining(config: Config, name: str, *, stage: str = "pretraining") -> dict[str, float]:
    """Returns the lengths of the two stages; a step with both domains costs more than one."""
    return {stage: config.pretraining_steps, name: TEACHER_COST * config.steps}
