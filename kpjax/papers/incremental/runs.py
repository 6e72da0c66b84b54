"""What the stages of a variant work with: the data of one seed, what methods are compiled for, and
what is known after a step.
"""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import numpy as np

from kpjax import Method, Skeleton, Trained, Variables
from kpjax.input.protocols import Protocol, introduced_in, step_source
from kpjax.input.source import Source, labelled_only, subset
from kpjax.methods import Setup
from kpjax.papers.configs import config_as_json, network_of, optimizer_of
from kpjax.papers.engine import Job, Outcome, Shared, Stage, Training, batches
from kpjax.papers.incremental.config import Config, Weights
from kpjax.training.evaluation import Gathered, predict_source
from kpjax.training.trees import load_trained, save_trained

NOTHING: Mapping[str, Any] = MappingProxyType({})


class Data(NamedTuple):
    """Images and protocol of one seed."""

    train: Source  # with all labels; steps see their part of it, by `Run.training_images`
    evaluation: Source
    protocol: Protocol
    #: with labels of all keypoints; nothing reads them but `old_label_gate`
    validation: Source | None = None
    #: variables of a network that knows the keypoints of step 0; it is not trained then
    base: Variables | None = None
    poses: Source | None = None  # the labelled images whose poses a run keeps
    #: the training images as evaluation sees them, if `train` loads them larger
    plain_train: Source | None = None
    #: whether labels of old keypoints in `train` are points of another tool, which are their teacher
    by_points: bool = False

    @property
    def skeleton(self) -> Skeleton:
        """All keypoints of the dataset; the network has a channel for each."""
        return self.train.skeleton

    @property
    def introduced(self) -> np.ndarray:
        """(K,) the step that brings each keypoint; the number of steps for one that never comes."""
        found = introduced_in(self.protocol, self.skeleton)
        return np.where(found < 0, len(self.protocol.steps), found)

    @property
    def identity(self) -> Mapping[str, Any]:
        """The digest that a resumed run must find again."""
        return {"protocol_digest": self.protocol.digest}

    @property
    def summary(self) -> str:
        """The sizes in a few words."""
        return f"{len(self.protocol.steps)} steps, {len(self.evaluation)} images for evaluation"


def all_images(data: Data) -> Source:
    """Returns the images of all steps with the labels of all keypoints of the protocol."""
    steps = data.protocol.steps
    numbers = [number for step in steps for number in step.images]
    names = [name for step in steps for name in step.keypoints]
    return labelled_only(
        subset(data.train, numbers, f"{data.train.name}, {data.protocol.name}"), names
    )


# compared by identity: `setting_of` returns the same one for the same arguments
@dataclass(frozen=True, eq=False)
class Setting:
    """All that the methods of a preset are compiled for: steps, seeds and weights share it."""

    config: Config
    setup: Setup


def setting_of(config: Config, skeleton: Skeleton, *, mirrored: bool = False) -> Setting:
    """Returns the setting of a config. Weights are arrays in `Increment`: configs that differ in
    them share it.

    mirrored: see `Protocol`; images are mirrored only where no step splits a pair of keypoints.
    """
    return _setting(replace(config, summary="", weights=Weights()), skeleton, mirrored)


@functools.lru_cache(maxsize=8)
def _setting(config: Config, skeleton: Skeleton, mirrored: bool) -> Setting:
    optimizer = config.optimizer
    return Setting(
        config,
        Setup(
            network_of(config, len(skeleton.names)),
            skeleton,
            config.heatmaps.codec(config.data.image_size, flip=skeleton.flip),
            optimizer_of(config, optimizer.adam()),
            optimizer.rate_of_stage(optimizer.learning_rate, config.steps),
            config.augment.build(
                skeleton, flip=mirrored, loaded=config.data.loaded(config.augment.reach)
            ),
            config.backbone.normalise,
        ),
    )


class Beside(NamedTuple):
    """With what a method trains."""

    start: Mapping[str, Any] = NOTHING  # further entries of its start
    #: of what it has tracked in the end, the tree to keep as frozen["tracked"]
    keep: Callable[[Any], Any] | None = None
    between: Any = None  # of `fit`


class Run(NamedTuple):
    """One variant of one seed."""

    job: Job
    data: Data

    @property
    def config(self) -> Config:
        """All that the run depends on besides its seed."""
        return self.job.config

    @property
    def setting(self) -> Setting:
        """What its methods are compiled for."""
        return setting_of(self.config, self.data.skeleton, mirrored=self.data.protocol.mirrored)

    @property
    def last_step(self) -> int:
        """The number of the protocol's last step."""
        return self.config.data.later_steps

    @property
    def later_steps(self) -> range:
        """The numbers of the steps after step 0."""
        return range(1, self.last_step + 1)

    def predicted(self, method: Method, known: Outcome, source: Source) -> Gathered:
        """Predicts a source."""
        return predict_source(method, known.trained, source, batch_size=2 * self.config.batch_size)

    def training_images(self, step: int) -> Source:
        """Returns the images of a step, labelled with its own keypoints only, and with another
        tool's points where these are the teacher."""
        data = self.data
        return step_source(data.protocol, step, data.train, earlier=data.by_points)

    def plain_images(self, step: int) -> Source:
        """Returns the same as evaluation sees them: for what reads them without augmentation."""
        plain = self.data.plain_train
        if plain is None:
            return self.training_images(step)
        # of the same images in the same order
        return step_source(self.data.protocol._replace(source=plain.digest), step, plain)

    def kept(
        self,
        name: str,
        parents: Mapping[str, str] = NOTHING,
        *,
        of_base: bool = False,
        reads: Mapping[str, Any] | None = None,
    ) -> Shared:
        """Returns where a stage is kept.

        reads: the fields that it depends on; None for all. of_base: it reads only `Config.of_base`,
        and lies in the folder of the preset varied.
        """
        if of_base:
            reads = self.config.of_base()
        elif reads is None:
            reads = config_as_json(self.config)
        preset = self.job.base_preset if of_base else ""
        return Shared(name, lambda: {**reads, **self.data.identity}, parents, preset)

    def stage(
        self,
        key_name: str,
        steps: int,
        shared: Shared,
        build: Callable[[], Method],
        images: Callable[[], Source],
        start: Mapping[str, Any],
        before: Outcome | None = None,
        *,
        fresh: bool = False,
        beside: Callable[[], Beside] | None = None,
    ) -> Stage:
        """Returns a stage that fits a method on a step's images; the result is the last step, of which
        only the increment is kept frozen.

        key_name: variants with the same one draw the same random numbers. before: whose account goes
        on. fresh: whether no network comes before. beside: with what the method trains.
        """

        def training() -> Training:
            more = beside() if beside else Beside()
            keep = more.keep

            def save(state: Any) -> dict[str, float]:
                # `fit` returns no tracked tree. It calls this before it saves its last step: a run
                # stopped in between comes here again.
                if jax.process_index() == 0:
                    save_trained(folder / "tracked", Trained({"tracked": keep(state.tracked)}, {}))
                return {}

            def result(trained: Trained) -> Trained:
                frozen = {"increment": trained.frozen["increment"]}
                if keep:
                    frozen["tracked"] = load_trained(folder / "tracked").variables["tracked"]
                return Trained(trained.variables, frozen)

            method, names = build(), self.data.skeleton.names
            return Training(
                method,
                batches(
                    self.job, method, {"labelled": images()}, batch_size=self.config.batch_size
                ),
                lambda: {**shared.config(), "seed": self.job.seed},
                {**start, **more.start},
                result,
                (self.setting.setup.model, names) if fresh else None,
                {"evaluate": (0, save) if keep else None, "between": more.between},
            )

        stage = Stage(key_name, steps, training, before, shared)
        folder = self.job.place(stage)
        return stage
