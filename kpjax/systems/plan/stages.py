"""The stages that a run will train, as shapes: its system's own `train`, with a plan in the place of `fit`.

Whoever plans gives a system whose `open` returns data of the right sizes. Nothing is computed or written.
"""
import contextlib
import io
from collections import defaultdict
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax

from kpjax import Example, Method, Trained
from kpjax.input.source import stacked
from kpjax.input.stream import BatchStream
from kpjax.systems.system import Job
from kpjax.training.fit import Evaluation, Fitted


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
    """Returns the stages that a variant of one seed trains, in order, with those of variants that it starts from."""
    with contextlib.redirect_stdout(io.StringIO()):
        data = job.system.open(job)
        if getattr(data, "base", None) is not None:
            data = data._replace(base=jax.eval_shape(lambda: data.base))
        plan = Plan(data, [])
        job.system.train(job._replace(plan=plan), data)
    return plan.stages
