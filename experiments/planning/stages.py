"""The stages of a run without running them: the same methods, batches and steps that `kpjax train` would take.

The system's own `train` is called. `fit` and all that reads, predicts or stores stand aside: each stage is recorded
with its method and shapes, and answered by zeros of the shapes that it would return.
"""
import contextlib
import io
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
from etils import epath

from experiments.engine import system as engine
from experiments.engine.system import Job, system_of
from experiments.planning import blank
from kpjax import Example, Method, Trained
from kpjax.files import make_folder, write_json
from kpjax.training import evaluation, stages, trees
from kpjax.training import fit as training
from kpjax.training.evaluation import Gathered
from kpjax.training.fit import Evaluation, Fitted
from kpjax.training.stages import Stage

REDUCED = 16  # examples, in place of a batch that is reduced to sums


class Planned(NamedTuple):
    """A stage: what `fit` would be given."""

    name: str
    method: Method
    streams: Mapping[str, Example]  # shapes of the whole batch
    start: Mapping[str, Any]  # shapes
    steps: int
    state: Any  # shapes of the first one

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
            return jax.tree.map(lambda leaf: (leaf.shape, str(leaf.dtype)), (dict(planned.streams), planned.start))

        return self.method.update is other.method.update and shapes(self) == shapes(other)


def shapes_of(tree: Any) -> Any:
    """Returns the shapes and dtypes of a tree."""
    return jax.tree.map(lambda leaf: leaf if isinstance(leaf, jax.ShapeDtypeStruct) else
                        jax.ShapeDtypeStruct(jnp.shape(leaf), jax.dtypes.result_type(leaf)), tree)


def zeros_of(tree: Any) -> Any:
    """Returns zeros of given shapes that take no memory; keys stay shapes."""
    return jax.tree.map(lambda leaf: leaf if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key) else
                        np.broadcast_to(np.zeros((), leaf.dtype), leaf.shape), tree)


def batch_of(source: Any, count: int) -> Example:
    """Returns the shapes of a batch of a source's examples."""
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((count, *np.shape(leaf)), np.asarray(leaf).dtype), source[0])


def state_of(method: Method, streams: Mapping[str, Example], start: Mapping[str, Any]) -> Any:
    """Returns the shapes of a method's first state."""
    return jax.eval_shape(method.init, jax.eval_shape(lambda: jax.random.key(0)), dict(streams), start)


class _Recorder:
    """What stands in place of training and of all that reads its results."""

    def __init__(self) -> None:
        self.planned: list[Planned] = []
        self.found: dict[str, Stage] = {}  # shared stages, by name
        self.results: dict[str, Trained] = {}  # of whole variants

    def fit(self, method: Method, streams: Mapping[str, Any], *, steps: int, stage: str, start: Any = None,
            **more: Any) -> Fitted:
        batches = {name: batch_of(streams[name].source, streams[name].batch_size) for name in method.streams}
        begin = shapes_of(dict(start or {}))
        self.planned.append(Planned(stage, method, batches, begin, steps, state_of(method, batches, begin)))
        state = zeros_of(self.planned[-1].state)
        trained = Trained(state.variables, state.frozen)
        measured: dict[str, float] = defaultdict(float)
        return Fitted(trained, trained, steps, measured, 0.0, 0.0, steps, (Evaluation(steps, measured),), 0)

    def stage(self, folder: Any, name: str, seed: int, run: Callable[[epath.Path], Fitted], **more: Any) -> Stage:
        if name not in self.found:
            home = engine.absolute(folder) / "stages" / name
            make_folder(home)
            fitted = run(home)
            self.found[name] = Stage(fitted.trained, name, fitted.step, fitted.metrics, 0.0, 0.0, 0)
        return self.found[name]

    def result_of(self, job: Job) -> Trained:
        if job.variant not in self.results:
            self.results[job.variant] = self.train(job).trained
            make_folder(job.folder)
            write_json(job.folder / "results.json", {"images": 0, "wall_seconds": 0.0, "steps": 0})
        return self.results[job.variant]

    def train(self, job: Job) -> Any:
        make_folder(job.folder)
        return system_of(job.system, job.preset).train(job, blank.blank_data(job))

    def predict_source(self, method: Method, state: Any, source: Any, **more: Any) -> Gathered:
        count = len(source)
        shapes = jax.eval_shape(method.predict, Trained(shapes_of(state.variables), shapes_of(state.frozen)),
                                batch_of(source, count))
        points, scores = zeros_of((shapes.keypoints, shapes.scores))
        labels = batch_of(source, count)
        return Gathered(points, scores, np.arange(count, dtype=np.int32), *zeros_of(
            (labels.keypoints, labels.visible, labels.scale, labels.crop)))

    def reduce(self, measure: Callable[..., Any], state: Any, source: Any, **more: Any) -> Any:
        batch = batch_of(source, REDUCED)
        weights = jax.ShapeDtypeStruct((REDUCED,), np.float32)
        return zeros_of(jax.eval_shape(measure, shapes_of(state), batch, weights))

    def first_state(self, job: Job, method: Method, source: Any, stage: str, start: Mapping[str, Any] = {}) -> Trained:
        batches = dict.fromkeys(method.streams, batch_of(source, 1))
        state = zeros_of(state_of(method, batches, shapes_of(dict(start))))
        return Trained(state.variables, state.frozen)


@contextlib.contextmanager
def _instead(replacements: Mapping[Callable[..., Any], Callable[..., Any]]) -> Iterator[None]:
    """Puts functions in place of others in all modules that have imported them."""
    with contextlib.ExitStack() as stack:
        for name, module in list(sys.modules.items()):
            if name.startswith(("experiments", "kpjax")):
                for attribute, value in list(vars(module).items()):
                    for old, new in replacements.items():
                        if value is old:
                            stack.enter_context(mock.patch.object(module, attribute, new))
        yield


def planned_stages(job: Job) -> list[Planned]:
    """Returns the stages that a variant of one seed trains, in order, those that it shares with others once.

    Raises InputError for a set whose keypoints are only known from its data.
    """
    from experiments.adaptation import images  # the only system that opens data while it trains

    recorder = _Recorder()
    replacements = {
        training.fit: recorder.fit, stages.stage: recorder.stage, engine.result_of: recorder.result_of,
        evaluation.predict_source: recorder.predict_source, evaluation.reduce: recorder.reduce,
        engine.first_state: recorder.first_state, images.open_core_images: blank.core_images,
        trees.tree_digest: lambda tree: ""}
    system_of(job.system, job.preset)  # imports what is patched
    with tempfile.TemporaryDirectory() as folder, _instead(replacements), np.errstate(all="ignore"), \
            contextlib.redirect_stdout(io.StringIO()):
        recorder.train(job._replace(workdir=epath.Path(folder)))
    return recorder.planned

