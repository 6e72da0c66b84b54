"""The stages that a run will train, as shapes: its system's own `train`, with a plan in the place of `fit`.

A plan needs no data set: blank images have the sides of the config and the skeletons of `System.keypoints`. People's
own data are opened. Nothing is computed, read or written.
"""
import contextlib
import functools
import io
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from kpjax import Example, Method, Skeleton, Trained
from kpjax.input import protocols
from kpjax.input.source import ArraySource, Source, stacked, without_keypoints
from kpjax.input.stream import BatchStream
from kpjax.input.video_source import numbered
from kpjax.systems.configs import changed
from kpjax.systems.image_sets import Splits, loaded_domain
from kpjax.systems.system import Job
from kpjax.training.fit import Evaluation, Fitted

VIDEOS, FRAMES = 10, 1000  # of blank data; no plan depends on how many there are


class Planned(NamedTuple):
    """A stage: what `fit` would be given, as shapes."""

    name: str
    method: Method
    streams: Mapping[str, Example]  # the whole batch
    steps: int
    state: Any  # the first one

    @property
    def images(self) -> int:
        """Images that a step reads on all chips."""
        return sum(example.image.shape[0] for example in self.streams.values())

    def resized(self, factor: float, chips: int) -> "Planned":
        """Returns the stage with batches of another size, at least one example a chip."""
        def sized(leaf: jax.ShapeDtypeStruct) -> jax.ShapeDtypeStruct:
            count = max(round(leaf.shape[0] / chips * factor), 1) * chips
            return jax.ShapeDtypeStruct((count, *leaf.shape[1:]), leaf.dtype)

        return self._replace(streams=jax.tree.map(sized, dict(self.streams)))

    def alike(self, other: "Planned") -> bool:
        """Returns whether both compile to one program: later steps of a protocol do."""
        def shapes(planned: Planned) -> Any:
            return jax.tree.map(lambda leaf: (leaf.shape, str(leaf.dtype)), (dict(planned.streams), planned.state))

        return self.method.update is other.method.update and shapes(self) == shapes(other)


class Plan(NamedTuple):
    """What a job has to be planned: its data, and the stages noted so far."""

    data: Any
    stages: list[Planned]

    def fit(self, method: Method, streams: Mapping[str, BatchStream], *, steps: int, stage: str,
            start: Mapping[str, Any] | None = None, **unread: Any) -> Fitted:
        """Notes what `fit` would be given, and returns its result as shapes."""
        def batch_of(one: BatchStream) -> Example:
            return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((one.batch_size, *leaf.shape[1:]), leaf.dtype),
                                stacked([one.source[0]]))

        batch = {name: batch_of(streams[name]) for name in method.streams}
        state = jax.eval_shape(method.init, key_shape(), batch, dict(start or {}))
        self.stages.append(Planned(stage, method, batch, steps, state))
        trained, metrics = Trained(state.variables, state.frozen), defaultdict(float)
        return Fitted(trained, trained, 0, metrics, 0.0, 0.0, 0, (Evaluation(0, metrics),))


def key_shape() -> jax.ShapeDtypeStruct:
    """Returns the shape of a random key."""
    return jax.eval_shape(lambda: jax.random.key(0))


def planned_stages(job: Job) -> list[Planned]:
    """Returns the stages that a variant of one seed trains, in order, with those of variants that it starts from.

    Raises InputError for a set whose keypoints are only known from its data.
    """
    with contextlib.redirect_stdout(io.StringIO()):
        job, data = (job, job.system.open(job)) if job.system.own else BLANK[job.system.name](job)
        if getattr(data, "base", None) is not None:
            data = data._replace(base=jax.eval_shape(lambda: data.base))
        plan = Plan(data, [])
        job.system.train(job._replace(plan=plan), data)
    return plan.stages


# Blank data of each system


def blank(skeleton: Skeleton, side: int) -> Source:
    """Returns black images of `side` px, each of which shows all keypoints."""
    def array(dtype: Any, *shape: int) -> np.ndarray:
        return np.broadcast_to(np.ones((), dtype), (VIDEOS * FRAMES, *shape))

    count = len(skeleton.names)
    return ArraySource(Example(
        array(np.uint8, side, side, 3), array(np.float32, count, 2), array(np.float32, count), array(np.float32),
        array(np.float32, 3, 3), array(np.int32)), skeleton, "blank images")


def _of_set(job: Job, reach: Any = None) -> Source:
    data = job.config.data
    loaded = data.loaded(reach)
    return blank(job.system.keypoints(data.train), loaded.side if loaded else data.image_size)


def _supervised(job: Job) -> tuple[Job, Any]:
    return job, Splits(*3 * [_of_set(job)])


def _regda(job: Job) -> tuple[Job, Any]:
    from kpjax.systems.regda import Data

    side, reach = job.config.data.image_size, job.config.augment.reach
    domains = []
    for name in (job.config.data.source, job.config.data.target):
        loaded = loaded_domain(name, side, reach)
        domains.append(Splits(*3 * [blank(job.system.keypoints(name), loaded.side if loaded else side)]))
    return job, Data(*domains)


def _semi_supervised(job: Job) -> tuple[Job, Any]:
    from kpjax.systems.semi_supervised import Data

    return job, Data(*5 * [_of_set(job, job.config.augment.reach)], {})


def _incremental(job: Job) -> tuple[Job, Any]:
    from kpjax.systems.incremental import Data

    images = _of_set(job)
    return job, Data(images, images, protocols.resolve(job.config.data.protocol_path(), images))


def _pyramids(job: Job) -> tuple[Job, Any]:
    from kpjax.systems.pyramids import Data

    data = job.config.data
    name = {"figures": "figures:source"}.get(data.data, data.data)
    videos = numbered(blank(job.system.keypoints(name), data.image_size), VIDEOS * [FRAMES],
                      [str(number) for number in range(VIDEOS)])
    return job._replace(config=changed(job.config, pair_crop="own")), Data(videos, videos)  # a pair is cropped alike


def _adaptation(job: Job) -> tuple[Job, Any]:
    from kpjax.systems import adaptation

    def open_core(config: Any, *of: Any) -> tuple[Source, None]:
        larger, side = adaptation.loaded_core(config), config.data.image_size
        images = blank(job.system.keypoints(config.core.core), larger[1].side if larger else side)
        return without_keypoints(images, config.core.core_unused_keypoints), None

    core_of = functools.partial(adaptation.trained_core, open_images=open_core)
    system = job.system._replace(train=functools.partial(adaptation.train, core_of=core_of))
    skeleton = job.system.keypoints(job.config.data.target)
    target, test = (blank(skeleton, side) for side in (job.config.data.target_side, job.config.data.image_size))
    return job._replace(system=system), adaptation.Data(target, *4 * [test])


BLANK: dict[str, Callable[[Job], tuple[Job, Any]]] = {
    "regda": _regda, "semi_supervised": _semi_supervised, "incremental": _incremental, "pyramids": _pyramids,
    "adaptation": _adaptation, "supervised": _supervised}
