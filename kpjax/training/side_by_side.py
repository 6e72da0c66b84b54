"""Several runs of one process at the same time, each on devices of its own, with one compiled
program for all.

Seeds of a table need nothing of each other. Each run is a thread that knows of its own devices
alone: `data_mesh` is theirs, and so are its data, checkpoints and folders. Where the threads come
to the same compiled function they wait for each other, and one program over all their devices does
the work of all: the function of one run, mapped over an axis `run` of the mesh, without a
collective between runs. So each run has the numbers that it has alone.

Between two such meetings the threads take turns, so that a run meets no half-made state of another:
neither caches of what is built and compiled nor a `jax.Array`, whose list of shards is made when it
is first asked for, bear several.
"""

import contextvars
import functools
import threading
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from kpjax.errors import InputError
from kpjax.training.mesh import DATA, by_examples, mesh_of, own_mesh, replicated
from kpjax.training.process import stop_requests, stopped

RUN = "run"  # the axis of a joint mesh along which runs lie


def side_by_side(
    works: Sequence[Callable[[], Any]], devices: Sequence[jax.Device] | None = None
) -> list[Any]:
    """Calls functions at the same time, each with equally many of the devices, and returns what
    each returned.

    A function that raises ends alone: its exception stands in the place of its result, and the
    others go on. SIGTERM and Ctrl-C reach all of them.

    devices: of this process; all if not given. Raises InputError where there are fewer devices than
    functions.
    """
    devices = jax.local_devices() if devices is None else list(devices)
    if jax.process_count() > 1:
        raise InputError(
            "side_by_side",
            "this process is one of several; give each of them seeds of its own instead",
        )
    if len(devices) < len(works):
        raise InputError(
            "side_by_side",
            f"{len(works)} runs for {len(devices)} devices; there must be one for each",
        )
    each = len(devices) // len(works)
    results: list[Any] = [None] * len(works)

    def work(runs: _Runs, number: int) -> None:
        own_mesh.set(mesh_of(runs.devices[number], DATA))
        _place.set((runs, number))
        stopped.set(lambda: runs.stop)
        with runs.turn, jax.default_device(runs.devices[number, 0]):
            try:
                results[number] = works[number]()
            except BaseException as error:  # told to whoever called
                results[number] = error
            finally:
                runs.leave(number)

    with stop_requests() as asked:
        runs = _Runs(np.array(devices[: each * len(works)]).reshape(len(works), each), asked)
        for number in range(len(works)):
            threading.Thread(
                target=contextvars.copy_context().run, args=(work, runs, number), daemon=True
            ).start()
        try:  # `join` takes a thread for dead that Ctrl-C finds it waiting for
            # another thread may get the signal, which does not wake this one
            while not runs.ended.wait(0.1):
                pass
        except KeyboardInterrupt:
            runs.asked_to_stop = lambda: True
            runs.ended.wait()
            raise
    return results


# Of a run's thread: the runs of the process, and its number among them.
_place: contextvars.ContextVar["tuple[_Runs, int] | None"] = contextvars.ContextVar(
    "place", default=None
)


def joint_mesh(mesh: Mesh) -> Mesh:
    """Returns the mesh of all runs, for what is compiled in the thread of one of them; elsewhere
    the mesh itself.
    """
    place = _place.get()
    return mesh if place is None else place[0].mesh


class JointState(NamedTuple):
    """One run's part of a tree that lies on the devices of several, as the next call of a program
    takes it.
    """

    tree: Any
    mesh: Mesh  # of the run


def separate(state: Any) -> Any:
    """Returns a run's own arrays of a joint state, without a copy; another state as it is."""
    return _own(state.tree, state.mesh) if isinstance(state, JointState) else state


def compiled_for(
    function: Callable[..., Any],
    mesh: Mesh,
    *,
    split: Sequence[bool],
    stays_joint: bool = False,
    **options: Any,
) -> Callable[..., Any]:
    """Compiles a function of trees for a mesh, which may be that of several runs.

    Args:
        split: for each argument, whether its first axis is split over the devices of a run, as that
            of a batch; all else is whole on each device.
        stays_joint: whether the first of the results stays a `JointState`, which the next call
            takes without a copy.
        options: of `jax.jit`.
    """

    def compiled(function: Callable[..., Any], mesh: Mesh):
        placed = tuple(by_examples(mesh) if one else replicated(mesh) for one in split)
        return jax.jit(function, in_shardings=placed, out_shardings=replicated(mesh), **options)

    if RUN not in mesh.axis_names:
        return compiled(function, mesh)

    @functools.cache
    def compiled_together(runs: tuple[int, ...]):
        some = mesh_of(mesh.devices[list(runs)], RUN, DATA)
        # Arrays that differ between runs are declared whole: no run reads those of another.
        return compiled(
            jax.shard_map(
                function,
                mesh=some,
                in_specs=PartitionSpec(),
                out_specs=PartitionSpec(),
                axis_names={RUN},
                check_vma=False,
            ),
            some,
        )

    return _JointProgram(compiled_together, mesh, tuple(split), stays_joint)


class _JointProgram(NamedTuple):
    """A function of one run, compiled for the devices of several.

    The threads of runs call it like a `jax.jit`.
    """

    compiled_together: Callable[[tuple[int, ...]], Any]  # for the devices of some of the runs
    mesh: Mesh  # of all runs
    split: tuple[bool, ...]
    stays_joint: bool

    def __call__(self, *arguments: Any) -> Any:
        runs, number = _place.get()
        return runs.call(number, self, arguments)

    def trace(self, *arguments: Any) -> Any:
        """Traces the program of all runs; arguments: of one."""
        shapes = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), arguments)
        return self.compiled_together(tuple(range(len(self.mesh.devices)))).trace(*shapes)

    def lower(self, *arguments: Any) -> Any:
        """Lowers the program of all runs; arguments: of one."""
        return self.trace(*arguments).lower()

    def of_runs(self, runs: tuple[int, ...], arguments: Sequence[Sequence[Any]]) -> list[Any]:
        """Computes the results of some runs from the arguments of each."""
        mesh = mesh_of(self.mesh.devices[list(runs)], RUN, DATA)
        joined = [
            _joined(given, by_examples(mesh) if split else replicated(mesh))
            for given, split in zip(zip(*arguments, strict=True), self.split, strict=True)
        ]
        found = self.compiled_together(runs)(*joined)
        return [self._of_run(found, number) for number in runs]

    def _of_run(self, found: Any, number: int) -> Any:
        own = mesh_of(self.mesh.devices[number], DATA)
        if not self.stays_joint:
            return _own(found, own)
        state, *rest = found
        return JointState(state, own), *(_own(one, own) for one in rest)


class _Runs:
    """The meeting of the threads of several runs: calls are answered once all runs that go on have
    one.
    """

    def __init__(self, devices: np.ndarray, asked_to_stop: Callable[[], bool]):
        self.devices = devices  # (runs, devices of each)
        self.mesh = mesh_of(devices, RUN, DATA)
        self.turn = threading.Condition()  # held by a run's thread, except where it waits here
        # asked at meetings: all runs stop behind the same one
        self.asked_to_stop, self.stop = asked_to_stop, False
        self.going_on, self.ended = set(range(len(devices))), threading.Event()
        self.calls: dict[int, tuple[Any, Sequence[Any]]] = {}  # (program, shapes), arguments
        self.results: dict[int, Any] = {}

    def call(self, number: int, program: _JointProgram, arguments: Sequence[Any]) -> Any:
        """Returns what a program returns for one run; raises what it raised.

        Others have their turns meanwhile.
        """
        self.calls[number] = ((program, _described(arguments)), arguments)
        self._answer()
        self.turn.wait_for(lambda: number in self.results)
        result = self.results.pop(number)
        if isinstance(result, Exception):
            raise result
        return result

    def leave(self, number: int) -> None:
        """Ends a run: the others no longer wait for it."""
        self.going_on.discard(number)
        self._answer()
        if not self.going_on:
            self.ended.set()

    def _answer(self) -> None:
        if not self.calls or set(self.calls) != self.going_on:
            return
        self.stop = self.asked_to_stop()
        alike: dict[Any, list[int]] = {}
        for number, (kind, _) in sorted(self.calls.items()):
            alike.setdefault(kind, []).append(number)
        if len(alike) > 1:  # each program consumes the arrays of its own runs alone
            self.calls = {
                number: (kind, [separate(one) for one in arguments])
                for number, (kind, arguments) in self.calls.items()
            }
        for (program, _), numbers in alike.items():
            try:
                found = program.of_runs(
                    tuple(numbers), [self.calls[number][1] for number in numbers]
                )
            except Exception as error:  # of the compiler, or memory: of all these runs
                found = [error] * len(numbers)
            self.results.update(zip(numbers, found, strict=True))
        self.calls.clear()
        self.turn.notify_all()


# Arrays of several runs as one, and back. The buffers of the devices stay where they are.


def _joined(trees: Sequence[Any], sharding: NamedSharding) -> Any:
    if all(isinstance(one, JointState) and one.tree is trees[0].tree for one in trees) and (
        # of these runs alone
        jax.tree.leaves(trees[0].tree)[0].sharding.device_set == sharding.device_set
    ):
        return trees[0].tree
    return jax.tree.map(
        lambda *leaves: jax.make_array_from_single_device_arrays(
            leaves[0].shape, sharding, [part for leaf in leaves for part in _parts(leaf).values()]
        ),
        *map(separate, trees),
    )


def _own(tree: Any, mesh: Mesh) -> Any:
    def own(leaf: jax.Array) -> jax.Array:
        parts = _parts(leaf)
        return jax.make_array_from_single_device_arrays(
            leaf.shape, replicated(mesh), [parts[device] for device in mesh.devices.flat]
        )

    return jax.tree.map(own, tree)


def _parts(leaf: jax.Array) -> dict[jax.Device, jax.Array]:
    return {shard.device: shard.data for shard in leaf.addressable_shards}


def _described(arguments: Sequence[Any]) -> Any:
    """Returns what the arguments of two calls of a program must have in common to be answered
    together.
    """
    leaves, tree = jax.tree.flatten(
        [one.tree if isinstance(one, JointState) else one for one in arguments]
    )
    return tree, tuple((leaf.shape, leaf.dtype) for leaf in leaves)
