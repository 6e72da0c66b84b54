"""One training loop for all methods."""

import contextlib
import functools
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from etils import epath
from flax.errors import FlaxError
from jax.sharding import Mesh

from kpjax.compile_cache import keep_programs
from kpjax.errors import InputError, RunError
from kpjax.files import absolute
from kpjax.input.stream import (
    BatchStream,
    in_background,
    read_ahead,
    read_by_processes,
    workers_for,
    workers_with_room,
)
from kpjax.platforms import run_once
from kpjax.structures import Example, Method, Start, Trained, named_key
from kpjax.training.checkpoints import Checkpoints, Restored, open_checkpoints
from kpjax.training.hosts import agreed
from kpjax.training.identity import changed_programs, programs
from kpjax.training.loggers import OpenLogger
from kpjax.training.logging import Log, rates_text, stage_lines
from kpjax.training.mesh import (
    check_divisible,
    compiled_for,
    data_mesh,
    replicate,
    replicated_sharding,
    shard,
    traced_for,
)
from kpjax.training.process import (
    Interrupted,
    signal_name,
    stop_requests,
    traces_when_stuck,
)
from kpjax.training.profiling import device_memory, traced_steps
from kpjax.training.run_folder import hold_folder
from kpjax.training.step_metrics import LAG, NotFinite, Pending, Stopwatch, Window
from kpjax.training.trees import describe, named_leaves, on_host

DRAWS = ("seed", "labelled", "crop", "window")  # fields by which streams choose their examples

# Compiled pieces of a training step, each compiled once for a method and a mesh


@functools.lru_cache(maxsize=16)
def compiled_update(update, mesh: Mesh, groups: int = 1):
    """Returns the step of a method on a mesh, compiled once, and the list of its metrics, which
    tracing fills.

    groups: of BatchNorm, see `FitOptions`.

    The step is a function of (state, streams, stage's key) that returns the state and a vector of
    metrics.
    """
    names: list[str] = []
    in_one_form = traced_for(mesh, update, groups)

    def step(state, streams, stage_key):
        step_key = jax.random.fold_in(stage_key, state.step)
        state, metrics = in_one_form(state, streams, step_key)
        names[:] = metrics
        # One vector: one transfer per step, however many metrics there are.
        values = jnp.stack([value.astype(jnp.float32) for value in metrics.values()])
        return state, values

    compiled = compiled_for(step, mesh, split=(False, True, False), donate_argnums=0)
    return compiled, names


@functools.lru_cache(maxsize=16)
def compiled_init(init, mesh: Mesh):
    """Returns the first state of a method on a mesh, a function like `init` that is compiled
    once."""
    return run_once(
        traced_for(mesh, init),
        platform=mesh.devices.flat[0].platform,
        out_shardings=replicated_sharding(mesh),
    )


def not_finite(state) -> str | None:
    """Returns the path of the first leaf with a number that is not finite; on the host, where a
    save copies all to.
    """
    for path, leaf in named_leaves(state).items():
        array = on_host(leaf)
        if jnp.issubdtype(array.dtype, jnp.inexact) and not np.isfinite(array).all():
            return path
    return None


def copy_replacement(state, new, mesh: Mesh):
    """Returns the state that `between` returned, in buffers of its own unless it is the same object:
    shared ones would be donated twice.
    """
    if describe(state) != describe(new):
        before = set(describe(state).items())
        after = set(describe(new).items())
        different = sorted(before ^ after)[0]
        raise ValueError(
            f"between: the state that it returns has other arrays: {different[0]} {different[1]}"
        )
    return new if new is state else _copy_on(mesh)(new)


@functools.lru_cache(maxsize=4)
def _copy_on(mesh: Mesh) -> Callable[[Any], Any]:
    return jax.jit(lambda tree: tree, out_shardings=replicated_sharding(mesh))


# (every, state -> metrics): after each step that `every` divides and after the last; every 0: after
# the last only.
# The function reads `variables` and `frozen` of a State or a Trained.
Evaluate = tuple[int, Callable[[Any], Mapping[str, float]]]
Between = tuple[int, Callable[[Any, int], Any]]  # (every, (state, step) -> state)


@dataclass(frozen=True)
class FitOptions:
    """Options of `fit`. But for the last they change no number of a run, save rounding on another
    mesh.

    save_every: steps between checkpoints, besides a new best, the last step and SIGTERM; 0 for a
        tenth of the run, and at least 100.
    save_minutes: minutes after which a checkpoint is written, too; 0 for none.
    log_every: steps that a row of metrics.jsonl averages.
    quiet: prints nothing.
    loggers: open further places for the rows of metrics.jsonl.
    profile: steps, from 0, that are traced into `profile/` of the folder.
    workers: processes that read batches; 0 for two threads of this one, None for what the cores
    allow.
    mesh: of devices; `data_mesh()` if not given.
    batch_norm_groups: groups of successive images of a batch that BatchNorm normalises each by
        itself. With as many as devices none waits for the others' statistics.
    """

    save_every: int = 0
    save_minutes: float = 10.0
    log_every: int = 50
    quiet: bool = False
    loggers: tuple[OpenLogger, ...] = ()
    profile: range | None = None
    workers: int | None = 0
    mesh: Mesh | None = None
    batch_norm_groups: int = 1


DEFAULT_OPTIONS = FitOptions()


class Evaluation(NamedTuple):
    """What `evaluate` returned for the state after a step."""

    step: int
    metrics: Mapping[str, float]


class Select(NamedTuple):
    """The rule that picks a run's result: the best value of `metric`, the latest of equal ones.

    It may also end the run early, see `stops`.
    """

    metric: str
    mode: Literal["max", "min"] = "max"
    #: evaluations in a row that are no better, after which a run ends; 0: it takes all its steps
    patience: int = 0

    def best(self, evaluations: Sequence[Evaluation]) -> Evaluation | None:
        """Returns the evaluation that it picks; None if no value is a number."""
        sign = 1 if self.mode == "max" else -1
        numbers = [seen for seen in evaluations if not math.isnan(seen.metrics[self.metric])]
        return max(
            numbers, key=lambda seen: (sign * seen.metrics[self.metric], seen.step), default=None
        )

    def stops(self, evaluations: Sequence[Evaluation]) -> bool:
        """Returns whether the last `patience` evaluations are all no better than the best before
        them.

        Equal values are no better, nor is one that is no number. A function of the evaluations
        alone, so that a resumed run stops where one would that was never interrupted.
        """
        if not self.patience:
            return False
        sign = 1 if self.mode == "max" else -1
        best = -math.inf
        waited = 0
        for seen in evaluations:
            value = sign * seen.metrics[self.metric]
            if value > best:
                best = value
                waited = 0
            else:
                waited += 1
        return waited >= self.patience


class Fitted(NamedTuple):
    """A finished run."""

    trained: Trained  # the best by `select`, without it the last
    last: Trained
    step: int  # step of `trained`
    metrics: Mapping[str, float]  # the evaluation of `trained`, {} without one
    images_per_second: float  # all streams together, without evaluation, saving and compiling
    wall_seconds: float  # over all sessions of the run
    steps: int  # that the whole run has taken
    evaluations: tuple[Evaluation, ...] = ()  # all of them, in order
    images: int = 0  # that the whole run has read, of all streams
    #: the programs that have trained it, in their order, see `kpjax.training.identity`
    under: tuple[Mapping[str, Any], ...] = ()

    def __repr__(self) -> str:
        metrics = "".join(f", {name} {value:.4g}" for name, value in self.metrics.items())
        return f"Fitted(step {self.step} of {self.steps}{metrics}, {self.images_per_second:.0f} images/s)"


def no_training(trained: Trained) -> Fitted:
    """Returns what `fit` would, for a variant that trains nothing."""
    return Fitted(trained, trained, 0, {}, 0.0, 0.0, 0)


def other_choices(
    evaluations: Sequence[Evaluation], rules: Mapping[str, Select]
) -> dict[str, float]:
    """Returns the evaluations of the steps that other rules would choose: `<rule>/step` and
    `<rule>/<metric>`.

    A rule whose metric was not measured is left out.
    """
    found = {}
    for name, rule in rules.items():
        if (
            evaluations
            and rule.metric in evaluations[-1].metrics
            and (best := rule.best(evaluations))
        ):
            found |= {
                f"{name}/{key}": float(value)
                for key, value in {"step": best.step, **best.metrics}.items()
            }
    return found


class _Progress(NamedTuple):
    """The part of a checkpoint besides the state. JSON."""

    window: Mapping[str, Any]
    evaluations: Sequence[tuple[int, Mapping[str, float]]]
    train_seconds: float
    train_steps: int
    wall_seconds: float


def fit(
    method: Method,
    streams: Mapping[str, BatchStream],
    *,
    steps: int,
    key: jax.Array,
    stage: str,
    folder: epath.PathLike,
    config: Mapping[str, Any],
    start: Start | None = None,
    evaluate: Evaluate | None = None,
    select: Select | None = None,
    between: Between | None = None,
    options: FitOptions = DEFAULT_OPTIONS,
) -> Fitted:
    """Trains a method for `steps` steps, or those that are left, and returns its result.

    The same call on the same folder resumes from the last complete checkpoint, bit for bit on a
    CPU. On a finished folder it trains nothing. The key of step n is `fold_in(named_key(key,
    stage), n)`. Compiled programs are kept, see `kpjax.compile_cache`.

    Args:
        streams: batches by name; only those in `method.streams` are read.
        steps: optimiser steps of the whole run; at most so many, where `select` has a patience.
        stage: name of the stage, in logs and in the keys of steps.
        folder: of checkpoints, metrics.jsonl and TensorBoard events.
        config: all else that must stay the same for the run to resume (JSON).
        start: trees of earlier stages, given to `method.init`.
        evaluate: `(every, function)`; `function(state) -> metrics` is called after each step that
            `every` divides, and after the last. The next step consumes the state.
        select: picks the result among the evaluated states, and with a patience ends the run; the
            last state if not given.
        between: `(every, function)`; `function(state, step) -> state` runs before each step that
            `every` divides, 0 included. A resumed run repeats it, so it must be a function of its
            arguments.
        options: all that changes no number, but for groups of BatchNorm.

    Raises:
        InputError: before compiling, a missing stream, a batch that does not divide over the
            devices or is larger than its set, shapes that the method cannot take; a checkpoint of
            another key, model, config, data or draws of them; a disc that refuses.
        RunError: a loss, a gradient norm or an array of the state that is not finite; it is never
            saved. Too little memory.
        Interrupted: SIGTERM or Ctrl-C came, and a checkpoint was saved (exit code 143 or 130).
    """
    began = time.perf_counter()
    keep_programs(folder)
    folder = absolute(folder)
    mesh = options.mesh or data_mesh()
    _check_arguments(method, streams, mesh, options.batch_norm_groups, steps, evaluate, select, key)
    streams = {name: streams[name] for name in method.streams}
    stage_key = replicate(named_key(key, stage), mesh)
    start = replicate(dict(start or {}), mesh)
    first = {name: stream[0] for name, stream in streams.items()}
    compiled = compiled_init(method.init, mesh)
    init_key = named_key(named_key(key, stage), "init")
    drawn_from = (init_key, shard(first, mesh), start)
    init = functools.partial(compiled, *drawn_from)
    with _shapes_in_errors(stage, first):
        traced = compiled.trace(*drawn_from)
    _check_start(start, traced)
    template = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(
            leaf.shape, leaf.dtype, sharding=replicated_sharding(mesh)
        ),
        traced.out_info,
    )
    if options.batch_norm_groups > 1:
        config = {**config, "batch_norm_groups": options.batch_norm_groups}
    identity = {
        "stage": stage,
        "key": np.asarray(jax.random.key_data(key)).tolist(),
        "config": config,
        "streams": _streams_identity(streams),
        "model": describe(template),
    }

    with contextlib.ExitStack() as stack:
        agreed("locking a stage", lambda: stack.enter_context(hold_folder(folder)))
        checkpoints = stack.enter_context(open_checkpoints(folder, identity, lambda: init().frozen))
        stack.enter_context(_memory_in_errors(stage, checkpoints))
        restored = checkpoints.restore(template)
        if restored is not None and restored.step > steps:
            raise InputError(
                f"{folder} is at step {restored.step} already and {steps} steps are asked for; "
                "ask for more, choose another `workdir`, or start over with `fresh`"
            )
        if restored is None or restored.step < steps:
            with _shapes_in_errors(stage, first):  # seconds, and compiling takes minutes
                step, _ = compiled_update(method.update, mesh, options.batch_norm_groups)
                step.trace(template, drawn_from[1], stage_key)
        if restored is None:
            first_step = 0
            state = init()
        else:
            first_step = restored.step
            state = restored.state
        log = stack.enter_context(
            Log(folder, stage, first_step, steps, options.quiet, options.loggers)
        )
        log.say(
            *stage_lines(
                stage,
                {name: stream.source for name, stream in streams.items()},
                first,
                state,
                rates_text(method.rates, steps),
            )
        )
        if restored is not None:
            now = changed_programs(restored.under[-1], programs())
            others = (
                f", under other programs than before: {now}; --fresh starts over" if now else ""
            )
            log.say(f"{log.shown}: going on from step {first_step} of {steps}{others}")
        loop = _Loop(
            method,
            streams,
            steps,
            evaluate,
            select,
            between,
            options,
            stage_key,
            mesh,
            checkpoints,
            restored,
            log,
            began,
        )
        state = loop.run(state, stack.enter_context(stop_requests()))
        checkpoints.wait()
        last = Trained(state.variables, state.frozen)
        taken = loop.step
        trained = last
        step = taken
        metrics = loop.evaluations[-1].metrics if loop.evaluations else {}
        if best := loop.best:
            chosen = (
                state if best.step == taken else checkpoints.restore_step(best.step, template).state
            )
            trained = Trained(chosen.variables, chosen.frozen)
            step, metrics = best
    return Fitted(
        trained,
        last,
        step,
        metrics,
        loop.watch.steps_per_second() * loop.images_per_step,
        loop.wall_seconds(),
        taken,
        loop.evaluations,
        taken * loop.images_per_step,
        tuple(checkpoints.under),
    )


@dataclass
class _Loop:
    """The steps between a state that was made or restored and the last one."""

    method: Method
    streams: Mapping[str, BatchStream]
    steps: int
    evaluate: Evaluate | None
    select: Select | None
    between: Between | None
    options: FitOptions
    stage_key: jax.Array
    mesh: Mesh
    checkpoints: Checkpoints
    restored: Restored | None
    log: Log
    began: float  # by time.perf_counter

    def __post_init__(self):
        self.step = 0 if self.restored is None else self.restored.step
        self.progress = (
            _Progress({}, [], 0.0, 0, 0.0)
            if self.restored is None
            else _Progress(**self.restored.progress)
        )
        self.saved = None if self.restored is None else self.step
        self.save_every = self.options.save_every or max(100, self.steps // 10)
        self.window = Window(
            **self.progress.window | {"sums": _numbers(self.progress.window.get("sums", {}))}
        )
        self.watch = Stopwatch(self.progress.train_seconds, self.progress.train_steps)
        self.images_per_step = sum(stream.batch_size for stream in self.streams.values())
        self.first_step = self.step
        self.next_look = self.step + 2
        self.entered = self.saved_at = time.monotonic()

    def run(self, state, stop: Callable[[], int]):
        """Takes all remaining steps; returns the last state, which is saved."""
        if self.step == self.steps or self._stopped_by_validation():
            return state
        if number := stop():  # before minutes of compiling
            raise Interrupted(
                f"stopped by {signal_name(number)} before step {self.step + 1} of {self.steps}; "
                f"{self.checkpoints.last_good()}; the same command goes on from there",
                number,
            )
        groups = self.options.batch_norm_groups
        update, names = compiled_update(self.method.update, self.mesh, groups)
        batches = self._batches(range(self.step, self.steps))
        self.pending = Pending(names)
        compiled = False
        self.log.say(f"{self.log.shown}: compiling, once; up to a minute on a CPU")
        with (
            contextlib.closing(batches),
            traced_steps(self.checkpoints.folder, self.options.profile) as trace,
            traces_when_stuck() as still_going,
        ):
            for batch in batches:
                still_going()
                if self.between is not None and self.step % self.between[0] == 0:
                    self._wait()
                    replacement = self.between[1](state, self.step)
                    state = copy_replacement(state, replacement, self.mesh)
                    del replacement  # else its memory stays taken beside that of its copy
                trace(self.step, self._wait)
                if compiled and self.watch.since is None:
                    self.watch.go()
                state, values = update(state, batch, self.stage_key)
                self.step += 1
                self.pending.push(self.step, values)
                if not compiled:
                    # The first step is not part of the throughput: it compiles.
                    values.block_until_ready()
                    self._arrived(keep=0, timed=False)
                    compiled = True
                self._arrived(keep=LAG)
                last = self.step == self.steps
                stopped = stop()
                improved = False
                if self.evaluate is not None and (last or _divides(self.evaluate[0], self.step)):
                    self._wait()
                    improved = self._evaluate(state)
                    if not last and self._stopped_by_validation():
                        last = True
                        self._log_rest()
                        self.log.say(
                            f"{self.log.shown}: stopped at step {self.step} of {self.steps}: "
                            f"{self.select.patience} evaluations in a row had no better "
                            f"{self.select.metric}"
                        )
                if (
                    last
                    or stopped
                    or improved
                    or _divides(self.save_every, self.step)
                    or self._minutes_passed()
                ):
                    self._wait()
                    self._save(state)
                if stopped:
                    self.checkpoints.wait()
                    raise Interrupted(
                        f"stopped by {signal_name(stopped)}: step {self.step} of {self.steps} is saved "
                        f"in {self.checkpoints.folder}; the same command goes on from there",
                        stopped,
                    )
                if last and self.step < self.steps:
                    break
        return state

    def wall_seconds(self) -> float:
        return self.progress.wall_seconds + time.perf_counter() - self.began

    def _batches(self, steps: range) -> Iterator:
        """Yields the batches of steps, on the devices, read ahead."""

        def at(step: int):
            batches = {name: stream[step] for name, stream in self.streams.items()}
            return shard(batches, self.mesh)

        workers = self.options.workers
        if workers is None:
            workers = workers_for(stream.source for stream in self.streams.values())
        if steps:
            workers = workers_with_room(workers, self.streams, steps.start)
        if not workers:
            return read_ahead(at, steps)
        read = read_by_processes(self.streams, steps, workers=workers)
        return in_background((shard(batch, self.mesh) for batch in read), depth=2)

    def _arrived(self, keep: int, timed: bool = True) -> None:
        """Logs the metrics that have arrived."""
        try:
            for step, metrics in self.pending.pop(keep):
                self.watch.steps += timed
                self.window.add(metrics)
                whole = step % self.options.log_every == 0
                if whole or step == self.steps:
                    self._log_window(step)
                    if whole:
                        self.window = Window()
        except NotFinite as error:
            raise RunError(
                f"{error}; {self.checkpoints.last_good()}; lower the learning rate or look at the data of "
                "that step"
            ) from None

    def _log_window(self, step: int) -> None:
        """Writes the row of the steps since the last whole window."""
        rate = self.watch.steps_per_second()
        speed = {"steps_per_second": rate, "images_per_second": rate * self.images_per_step}
        self.log.row(step, self.window.means() | speed | device_memory(self.mesh))
        self.log.progress(step, rate, self.images_per_step, self.window.means())

    def _log_rest(self) -> None:
        """Writes the row of a window that a run which ends early has begun."""
        if self.window.count:
            self._log_window(self.step)

    def _stopped_by_validation(self) -> bool:
        """Returns whether the evaluations so far end the run, alike on all processes."""
        if self.select is None or not self.select.patience:
            return False
        return agreed("ending early", lambda: self.select.stops(self.evaluations))

    def _wait(self) -> None:
        """Waits for all steps so far, and stops the clock."""
        self._arrived(keep=0)
        self.watch.pause()

    def _evaluate(self, state) -> bool:
        """Evaluates a state, and returns whether it is the best so far."""
        metrics = _numbers(self.evaluate[1](state))
        self.log.row(self.step, metrics)
        if self.select is not None and self.select.metric not in metrics:
            raise InputError(
                f"the result is to be selected by {self.select.metric!r}, which the evaluation does not "
                f"return; it has {', '.join(metrics)}"
            )
        self.progress = self.progress._replace(
            evaluations=[*self.progress.evaluations, (self.step, metrics)]
        )
        return self.best is not None and self.best.step == self.step

    @property
    def evaluations(self) -> tuple[Evaluation, ...]:
        return tuple(
            Evaluation(step, _numbers(metrics)) for step, metrics in self.progress.evaluations
        )

    @property
    def best(self) -> Evaluation | None:
        """The best evaluation so far; None where nothing is selected."""
        if self.select is None:
            return None
        return self.select.best(self.evaluations)

    def _save(self, state) -> None:
        if self.saved == self.step:
            return
        name = not_finite(state._replace(frozen={}))
        if name:
            raise RunError(
                f"step {self.step}: {name} is not finite, though every loss was; nothing is saved; "
                f"{self.checkpoints.last_good()}"
            )
        progress = self.progress._replace(
            window={"count": self.window.count, "sums": self.window.sums},
            train_seconds=self.watch.seconds,
            train_steps=self.watch.steps,
            wall_seconds=self.wall_seconds(),
        )
        agreed(f"keeping the numbers of step {self.step}", self.log.keep)
        self.checkpoints.save(self.step, state, progress._asdict(), self.best and self.best.step)
        self.saved = self.step
        self.saved_at = time.monotonic()

    def _minutes_passed(self) -> bool:
        """Returns whether the last checkpoint is `save_minutes` old, alike on all processes."""
        if not self.options.save_minutes or self.step < self.next_look:
            return False
        left = agreed("the next checkpoint", self._steps_to_save)
        self.next_look = self.step + max(1, left // 2)  # steps may become slower
        return left == 0

    def _steps_to_save(self) -> int:
        """Returns how many steps fit into the time that is left, at the speed so far; 0 if none is
        left.
        """
        now = time.monotonic()
        left = self.saved_at + 60 * self.options.save_minutes - now
        if left <= 0:
            return 0
        taken = self.step - self.first_step
        return math.ceil(left * taken / (now - self.entered))


def _check_arguments(
    method: Method, streams, mesh: Mesh, groups: int, steps: int, evaluate, select, key
) -> None:
    missing = [name for name in method.streams if name not in streams]
    if missing:
        raise InputError(
            f"stream {missing[0]!r} is missing: the method reads {', '.join(method.streams)}, "
            f"given are {', '.join(streams) or 'none'}"
        )
    sizes = {name: streams[name].batch_size for name in method.streams}
    check_divisible(sizes, mesh, groups)
    for name in method.streams:
        source = streams[name].source
        batch_size = streams[name].batch_size
        if (
            hasattr(source, "__len__")
            and len(source) < batch_size
            and not getattr(streams[name], "repeats", False)
        ):
            raise InputError(
                f"stream {name!r}: batch size {batch_size} is larger than its set of {len(source)} "
                f"examples ({source.name}); use at most {len(source)}, or a stream that repeats"
            )
    if steps < 1:
        raise InputError("steps", f"{steps}; give at least 1")
    if isinstance(key, int):
        raise InputError("key", f"{key}; give jax.random.key({key})")
    if select is not None and evaluate is None:
        raise InputError(
            f"the result is to be selected by {select.metric!r}, but there is no evaluation"
        )


def _check_start(start: Start, traced: jax.stages.Traced) -> None:
    """Refuses a start of which a traced `init` reads nothing, such as one with a misspelt name."""
    init = traced.jaxpr.jaxpr
    read = {id(value) for step in init.eqns for value in step.invars} | {
        id(value) for value in init.outvars
    }
    given = len(jax.tree.leaves(start))
    if given and not any(id(value) in read for value in init.invars[-given:]):
        raise InputError(
            "start",
            f"this method reads none of {', '.join(start)}; give the names of its docstring",
        )


@contextlib.contextmanager
def _shapes_in_errors(stage: str, batches: Mapping[str, Example]) -> Iterator[None]:
    """Turns what tracing a method says of shapes and fields into one InputError, with the shapes of
    its streams.

    With KPJAX_DEBUG in the environment the error keeps its traceback, for it may be a defect of the
    method.
    """
    try:
        yield
    except (TypeError, ValueError, KeyError, FlaxError) as error:
        if os.environ.get("KPJAX_DEBUG"):
            raise
        given = "; ".join(
            f"{name}: images {example.image.shape} {example.image.dtype}, keypoints "
            f"{example.keypoints.shape}"
            for name, example in batches.items()
        )
        raise InputError(
            f"{stage}: network, codec and streams do not fit ({given}): "
            f"{' '.join(str(error).split())[:300]}"
        ) from error


@contextlib.contextmanager
def _memory_in_errors(stage: str, checkpoints: Checkpoints) -> Iterator[None]:
    """Turns a device's lack of memory into one RunError."""
    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        raise RunError(
            f"{stage}: out of memory; {checkpoints.last_good()}; go on with a smaller `batch_size`, with "
            "`rematerialise`, or with `dtype` bfloat16"
        ) from error


def _streams_identity(streams: Mapping[str, BatchStream]) -> dict[str, Any]:
    """Returns what decides the batches of streams; of a stream of one's own, as far as it tells."""
    found = {}
    for name, stream in streams.items():
        draws = {field: getattr(stream, field) for field in DRAWS if hasattr(stream, field)}
        found[name] = {
            "source": stream.source.name,
            "digest": stream.source.digest,
            "batch_size": stream.batch_size,
            **draws,
        }
    return found


def _divides(every: int, step: int) -> bool:
    return every > 0 and step % every == 0


def _numbers(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Returns metrics as floats; in a checkpoint nan is a string."""
    return {name: float(value) for name, value in metrics.items()}
