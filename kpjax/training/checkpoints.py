"""Checkpoints of a stage: asynchronous, verified when read, with the identity that a resumed run
must share.

Only this module imports orbax. A stage's folder holds `checkpoints/<step>/` (the live part of the
state and a record) and `frozen.safetensors` (the frozen trees, once). After a fault, `damaged/`
holds the checkpoints that did not verify.
"""

import contextlib
import logging
import os
import re
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from kpjax.errors import InputError, RunError, WriteError
from kpjax.files import absolute, in_bucket, make_folder, remove, strict
from kpjax.training.hosts import agreed, difference, of_all
from kpjax.training.identity import changed_programs, check_identity, programs
from kpjax.training.mesh import put
from kpjax.training.trees import (
    json_digest,
    leaf_digests,
    on_host,
    read_tree_like,
    tree_digest,
    write_tree,
)

FORMAT = 2  # changes whenever the meaning of a record or of a State of kpjax does
KEPT = 2  # the newest ones, besides those that were the best


class Restored(NamedTuple):
    """A verified checkpoint, with the `progress` that was given to `save`."""

    state: Any
    step: int
    progress: Mapping[str, Any]
    under: Sequence[Mapping[str, Any]]  # the programs that trained it so far


@dataclass
class _NewestAndBest:
    """A policy that keeps the newest checkpoints, and the best ones of their pasts, for a run that
    resumes from any.
    """

    #: step of a checkpoint -> step of the best by then
    best: dict[int, int | None] = field(default_factory=dict)

    def should_preserve(self, checkpoints, *, context):
        newest = [info.step for info in checkpoints][-KEPT:]
        kept = {*newest, *(self.best.get(step) for step in newest)}
        return [info.step in kept for info in checkpoints]


@dataclass
class Checkpoints:
    """The checkpoints of one stage, opened by `open_checkpoints`."""

    folder: Path
    identity: Mapping[str, Any]
    manager: Any  # orbax's CheckpointManager
    args: Any  # orbax's kinds of items
    policy: _NewestAndBest
    remake_frozen: Callable[[], Any] | None
    #: under which the stage was trained so far, in their order; the last are those of this process
    under: list[Mapping[str, Any]]
    frozen_digest: str | None = None

    def save(self, step: int, state, progress: Mapping[str, Any], best: int | None) -> None:
        """Begins to write a checkpoint. The arrays are copied before this returns, so that they may
        be donated. Of several processes the first writes, and all learn whether it could: none
        waits for another's disc.

        progress: JSON, returned by `restore`. best: the step of the best checkpoint so far, to be
        kept. Raises InputError if the disc refused this checkpoint, or an earlier one in the
        background, and RunError where processes hold different states.
        """
        live = jax.tree.map(_copied, state._replace(frozen={}))
        digests = leaf_digests(live)
        found = difference(f"the state of step {step}", digests)
        if found:
            raise RunError(
                f"step {step}: {found}, though all have trained alike; nothing is saved; "
                f"{self.last_good()}"
            )
        if self.frozen_digest is None and jax.tree.leaves(state.frozen):
            self.frozen_digest = self._write_frozen(state.frozen)
        self.policy.best[step] = best
        record = dict(self.identity) | {
            "step": step,
            "progress": strict(progress),
            "best": best,
            "frozen": self.frozen_digest,
            "digests": digests,
            "under": strict(self.under),
        }

        def write() -> bool:
            with self._disc(step):
                self.manager.check_for_errors()
                return self.manager.save(
                    step,
                    force=True,
                    args=self.args.Composite(
                        state=self.args.StandardSave(live),
                        record=self.args.JsonSave(
                            {"digest": json_digest(record), "record": record}
                        ),
                    ),
                )

        if not agreed(f"saving step {step}", write):
            raise RunError(f"{self._path(step)}: is in the way; start over with `fresh`")

    def restore(self, template) -> Restored | None:
        """Returns the newest checkpoint that verifies, or None if there is no checkpoint.

        template: the State as shapes, dtypes and shardings. Damaged checkpoints are moved to
        `damaged/` with one line on stderr. Raises InputError if a field of the identity differs,
        and RunError if all checkpoints are damaged.
        """
        steps = agreed("the checkpoints", lambda: sorted(self.manager.all_steps(), reverse=True))
        faults: list[str] = []
        for step in steps:
            restored = None
            fault = ""
            try:
                restored = self._read(step, template)
            except RunError as error:
                fault = str(error)
            # One that a single process cannot read is none for all.
            fault = _of_any(f"reading step {step}", fault)
            if fault:
                faults.append(fault)
                continue
            if changed_programs(restored.under[-1], self.under[-1]):
                self.under = [*restored.under, *self.under]
            else:
                self.under = list(restored.under)
            if faults:
                self._put_aside([damaged for damaged in steps if damaged > step])
                place = (
                    "removed" if in_bucket(self.folder) else f"moved to {self.folder / 'damaged'}"
                )
                _report(f"{_list_text(faults)}: {place}; going on from step {step}")
            return restored
        if faults:
            raise RunError(
                f"{_list_text(faults)}: no checkpoint of {self.folder} is left to go on from; "
                "start over with `fresh`"
            )
        return None

    def restore_step(self, step: int, template) -> Restored:
        """Returns the checkpoint of one step. Raises RunError if it is damaged or gone."""
        self.wait()
        self.manager.reload()
        try:
            return self._read(step, template)
        except RunError as error:
            raise RunError(
                f"{error}; it was the best so far and nothing else holds it; start over with "
                "`fresh`"
            ) from error

    def wait(self) -> None:
        """Waits until everything is on the disc. Raises InputError if the disc refused."""

        def finish() -> None:
            with self._disc(None):
                self.manager.wait_until_finished()

        agreed("the last checkpoint", finish)

    def last_good(self) -> str:
        """Returns the place of the newest complete checkpoint, in words."""
        with contextlib.suppress(Exception):
            self.manager.wait_until_finished()
        steps = [
            int(path.name)
            for path in (self.folder / "checkpoints").glob("*")
            if path.name.isdecimal()
        ]
        if not steps:
            return "there is no checkpoint"
        return f"the last good checkpoint is of step {max(steps)} in {self.folder}"

    def _path(self, step: int) -> Path:
        return self.folder / "checkpoints" / str(step)

    def _read(self, step: int, template) -> Restored:
        live = template._replace(frozen={})
        record = self._record(step)
        check_identity(record, self.identity, self._path(step))
        try:
            # Orbax reports damage with many kinds of exceptions, bare `Exception` among them.
            state = self.manager.restore(
                step,
                args=self.args.Composite(
                    state=self.args.StandardRestore(jax.tree.map(_host_template, live))
                ),
            )["state"]
        except Exception as error:
            raise RunError(
                f"checkpoint {self._path(step)} is damaged ({_first_line(error)})"
            ) from error
        found = leaf_digests(state)
        # Orbax restores a flipped byte, and casts to the dtype of the template, without a word.
        written = record["digests"]
        paths = found | written
        wrong = sorted(path for path in paths if found.get(path) != written.get(path))
        if wrong:
            raise RunError(
                f"checkpoint {self._path(step)} is damaged ({wrong[0]} is not what was written)"
            )
        state = jax.tree.map(_placed, state, live)
        frozen = template.frozen
        if record["frozen"] is not None:
            frozen = self._read_frozen(template.frozen, record["frozen"])
            frozen = jax.tree.map(_placed, frozen, template.frozen)
        self.frozen_digest = record["frozen"]
        self.policy.best[step] = record["best"]
        return Restored(state._replace(frozen=frozen), step, record["progress"], record["under"])

    def _record(self, step: int) -> dict:
        try:
            found = self.manager.restore(
                step, args=self.args.Composite(record=self.args.JsonRestore())
            )["record"]
            record = found["record"]
            whole = found["digest"] == json_digest(found["record"])
        except Exception as error:
            raise RunError(
                f"checkpoint {self._path(step)} is damaged ({_first_line(error)})"
            ) from error
        if not whole or record.get("step") != step:  # a folder that was renamed
            raise RunError(
                f"checkpoint {self._path(step)} is damaged (its record is not what was written)"
            )
        return record

    def _read_frozen(self, template, digest: str):
        path = self.folder / "frozen.safetensors"
        try:
            return read_tree_like(path, template, digest)
        except RunError as error:
            # Frozen trees never change, so the same start makes them again.
            frozen = self.remake_frozen() if self.remake_frozen is not None else {}
            if tree_digest(frozen) != digest:
                raise
            _report(f"{error}; it is made and written again")
            self._write_frozen(frozen)
            return frozen

    def _write_frozen(self, frozen) -> str:
        path = self.folder / "frozen.safetensors"
        return agreed("writing the frozen trees", lambda: write_tree(path, frozen))

    def _put_aside(self, steps: list[int]) -> None:
        def move() -> None:
            damaged = self.folder / "damaged"
            with self._disc(None):
                make_folder(damaged)
                for step in steps:
                    if in_bucket(damaged):  # nothing can be renamed there
                        remove(self._path(step))
                    else:
                        place = f"{len(list(damaged.iterdir()))}-step-{step}"
                        self._path(step).rename(damaged / place)

        agreed("putting damaged checkpoints aside", move)
        self.manager.reload()

    @contextlib.contextmanager
    def _disc(self, step: int | None):
        """Turns the errors of orbax after a refusal of the disc, often late and from a thread, into
        one WriteError.
        """
        try:
            yield
        except (InputError, RunError):
            raise
        except Exception as error:
            if (reason := _refusal(error)) is None:
                raise
            what = (
                "a checkpoint"
                if step is None
                else f"the checkpoint of step {step}, or the one before it,"
            )
            raise WriteError(
                f"{self.folder}: {what} cannot be written: {reason}; {self.last_good()}; free some space "
                "or make the folder writable, and the same command goes on from there"
            ) from error


@contextlib.contextmanager
def open_checkpoints(
    folder: Path, identity: Mapping[str, Any], remake_frozen: Callable[[], Any] | None = None
) -> Iterator[Checkpoints]:
    """Opens the checkpoints below `folder`, for a `with` statement, whose end waits for pending
    writes.

    Half-written checkpoints of killed processes are ignored and removed. Call `wait` to learn of
    failures to write.

    identity: JSON that must be equal for a run to resume: the stage, its key and config, the data,
    the State's arrays.
    remake_frozen: makes the frozen trees again if their file is damaged. InputError if the folder
    cannot be created.
    """
    import orbax.checkpoint as ocp  # 0.4 s, which help need not wait

    agreed("making a stage's folder", lambda: make_folder(folder / "checkpoints"))
    process = jax.process_index()
    policy = _NewestAndBest()
    alone = threading.current_thread() is threading.main_thread()
    with _few_words():
        manager = ocp.CheckpointManager(
            absolute(folder / "checkpoints"),
            options=ocp.CheckpointManagerOptions(
                preservation_policy=policy,
                enable_async_checkpointing=alone,
                create=False,
                read_only=process > 0,
                # Each process has a manager of its own, and the first alone writes: orbax's would
                # wait for each other at barriers, also for one whose disc has refused.
                multiprocessing_options=ocp.options.MultiprocessingOptions(
                    primary_host=process,
                    active_processes={process},
                    barrier_sync_key_prefix=f"process-{process}",
                ),
            ),
        )
        # It would tell JAX's preemption service its steps, too, and the service goes by the last
        # number that it was told: a notice during a save would be lost.
        manager.reached_preemption = lambda step: False
        try:
            checkpoints = Checkpoints(
                folder,
                strict({"format": FORMAT, **identity}),
                manager,
                ocp.args,
                policy,
                remake_frozen,
                [programs()],
            )
            for step in manager.all_steps():
                with contextlib.suppress(RunError):
                    policy.best[step] = checkpoints._record(step)["best"]
            yield checkpoints
        finally:
            with contextlib.suppress(Exception):
                manager.close()


@contextlib.contextmanager
def _few_words():
    """Silences orbax, which logs every item, and tracebacks that follow a failure of the disc; it
    is raised itself.
    """

    def from_elsewhere(record) -> bool:
        return "orbax" not in record.pathname

    def hook(unraisable):
        if str(unraisable.exc_value) != "Event loop is closed":
            before(unraisable)

    logging.getLogger("absl").addFilter(from_elsewhere)
    before = sys.unraisablehook
    sys.unraisablehook = hook
    try:
        yield
    finally:
        sys.unraisablehook = before
        logging.getLogger("absl").removeFilter(from_elsewhere)


def _copied(leaf) -> np.ndarray:
    """Returns a leaf as a copy of its own in the host's memory: one of a CPU's device is the buffer
    itself, which the next step consumes."""
    return np.array(on_host(leaf))


def _host_template(leaf) -> np.ndarray:
    """Returns an array without memory of its own, with the shape and dtype of a leaf's copy."""
    if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        leaf = jax.eval_shape(jax.random.key_data, leaf)
    return np.broadcast_to(np.zeros((), leaf.dtype), leaf.shape)


def _placed(leaf, like):
    """Returns a leaf of the host on the devices of a template, a random key typed again."""
    if jax.dtypes.issubdtype(like.dtype, jax.dtypes.prng_key) and not jax.dtypes.issubdtype(
        leaf.dtype, jax.dtypes.prng_key
    ):
        leaf = jax.random.wrap_key_data(leaf)
    return put(leaf, like.sharding)


def _of_any(at: str, fault: str) -> str:
    """Returns the first fault that any process has, "" where none has one."""
    if jax.process_count() == 1:
        return fault
    return next(filter(None, of_all(at, fault)), "")


def _refusal(error: BaseException) -> str | None:
    """Returns the disc's reason in an exception or its causes, or None if the disc is not to
    blame."""
    while error is not None:
        if isinstance(error, OSError):
            return error.strerror or str(error)
        # Arrays are written by tensorstore, whose errors are text.
        code = re.search(r"os_error_code='(\d+)'", str(error))
        if code:
            return os.strerror(int(code[1]))
        error = error.__cause__ or error.__context__
    return None


def _list_text(faults: list[str]) -> str:
    return "; ".join(dict.fromkeys(faults))


def _first_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:200]}"


def _report(message: str) -> None:
    if jax.process_index() == 0:
        print(message, file=sys.stderr, flush=True)
