"""Several processes as one run: how they find each other, decide alike and compare what must be
alike on all.
"""

import json
import os
import socket
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any
from uuid import uuid4

import jax
import jax.numpy as jnp
import numpy as np
from etils import epath
from jax.experimental import multihost_utils

from kpjax.errors import InputError, RunError
from kpjax.files import in_bucket, make_folder, remove, strict, write_text
from kpjax.training.mesh import data_mesh, replicated_sharding, shard

PATIENCE = 300  # seconds in which all processes must have started
# seconds without a sign of life after which a process counts as dead; all others end, then
HEARTBEAT = 20


def join(
    coordinator: str | None = None, num_processes: int | None = None, process_id: int | None = None
) -> None:
    """Makes this process one of a run on several hosts; does nothing on a single machine. Call it
    before JAX computes.

    JAX finds the others by itself on TPU slices, SLURM, Open MPI and Kubernetes; the arguments are
    for all else. `num_processes` of 1 keeps this process to itself. From here on only process 0
    prints to stdout.

    coordinator: HOST:PORT of process 0, reached by all. Raises InputError for arguments that make
    no sense, and where nothing answers at `coordinator`.
    """
    _check_arguments(coordinator, num_processes, process_id)
    # One task of SLURM or Open MPI is a single machine, where JAX would use the first of its GPUs
    # alone.
    alone = num_processes == 1 or "1" in (
        os.environ.get("SLURM_NTASKS"),
        os.environ.get("OMPI_COMM_WORLD_SIZE"),
    )
    if jax.distributed.is_initialized() or (coordinator is None and alone):
        return
    if coordinator is not None:
        _find(coordinator, num_processes, process_id)
    elif num_processes is None:
        _check_slurm(os.environ)
    try:
        jax.distributed.initialize(
            coordinator,
            num_processes,
            process_id,
            initialization_timeout=PATIENCE,
            heartbeat_timeout_seconds=HEARTBEAT,
        )
    except ValueError as error:
        if coordinator is not None or num_processes is not None:
            raise InputError(
                "coordinator",
                f"{error} Give `coordinator`, `num_processes` and `process_id` together",
            ) from error
        return  # no cluster
    except RuntimeError as error:
        # The backend is up: in a notebook, or a program that calls this function late.
        if coordinator is not None or jax.process_count() > 1:
            raise InputError("coordinator", f"{error}".splitlines()[0]) from error
        return
    _check_devices()
    if jax.process_index():
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
    _connect()


def _connect() -> None:
    """Computes one sum over all devices.

    The first such sum sets up their connections, for which JAX allows CPUs half a minute: now,
    while the processes are together, and not after a long compilation.
    """
    mesh = data_mesh()
    ones = shard(np.ones(jax.local_device_count(), np.float32), mesh)
    jax.jit(jnp.sum, out_shardings=replicated_sharding(mesh))(ones).block_until_ready()


def _check_arguments(
    coordinator: str | None, num_processes: int | None, process_id: int | None
) -> None:
    if num_processes is not None and num_processes < 1:
        raise InputError("num_processes", f"{num_processes}; must be at least 1")
    if process_id is not None and not 0 <= process_id < (num_processes or process_id + 1):
        raise InputError(
            "process_id",
            f"{process_id}; give 0 to {(num_processes or 2) - 1}, another one to each process",
        )
    if coordinator is None:
        if process_id is not None:
            raise InputError("coordinator", "give it with `process_id`, as HOST:PORT of process 0")
        return
    host, _, port = coordinator.rpartition(":")
    if not host or not port.isdecimal():
        raise InputError("coordinator", f"{coordinator!r} is no HOST:PORT")


def _check_slurm(environment: Mapping[str, str]) -> None:
    """Raises InputError in a shell within SLURM's job of several tasks, where the others would be
    waited for.
    """
    tasks = environment.get("SLURM_NTASKS", "")
    started = environment.get("SLURM_STEP_NUM_TASKS", "1")
    if "SLURM_JOB_ID" in environment and tasks.isdecimal() and int(tasks) > 1 and started != tasks:
        raise InputError(
            "num_processes",
            f"SLURM_NTASKS says {tasks} processes, and this step has {started}; start "
            "all with srun, or give `num_processes` 1 to train with this one alone",
        )


def _find(coordinator: str, num_processes: int | None, process_id: int | None) -> None:
    """Returns once process 0 answers.

    JAX itself would abort without a word that a user understands.
    """
    of = f" of {num_processes}" if num_processes else ""
    others = "process 0" if process_id else "the others"
    print(
        f"process {process_id or 0}{of}: waiting for {others} at {coordinator}, for {PATIENCE} s at most",
        file=sys.stderr,
        flush=True,
    )
    if not process_id:  # process 0, or one that a cluster numbers
        return
    host, _, port = coordinator.rpartition(":")
    end = time.monotonic() + PATIENCE
    reason = None
    while time.monotonic() < end:
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=5).close()
            return
        except (OSError, OverflowError) as error:
            reason = error
            time.sleep(0.2)
    raise InputError(
        "coordinator",
        f"nothing answers at {coordinator} for {PATIENCE} s ({reason}); start process 0 "
        "there, and let its port through the firewall",
    )


# Decisions and comparisons


def agreed(at: str, decide: Callable[[], Any]) -> Any:
    """Returns one decision for all processes, such as one that depends on the disc: process 0 calls
    `decide`, which returns JSON.

    at: where a run is, in words; all processes must call this at the same point, and go on
    together. An InputError or RunError of process 0 is raised on all of them, so that they take the
    same way; the others raise RunError for any other exception. RunError too where they are not at
    the same point.
    """
    if jax.process_count() == 1:
        return decide()
    failure = None
    value = None
    if jax.process_index() == 0:
        try:
            value = decide()
        except Exception as error:
            failure = error
    known = failure and (
        [type(failure).__name__, *failure.args]
        if isinstance(failure, InputError | RunError)
        else ["RunError", "process 0 failed; its message says why"]
    )
    value, known = of_all(at, strict([value, known]))[0]
    if failure:
        raise failure
    if known:
        name, *arguments = known
        kinds = (InputError, RunError, *InputError.__subclasses__(), *RunError.__subclasses__())
        raise {kind.__name__: kind for kind in kinds}.get(name, RunError)(*arguments)
    return value


def of_all(at: str, content: Any) -> list[Any]:
    """Returns the JSON that each process gives, in their order.

    at: where a run is. Raises RunError where another process is elsewhere.
    """
    own = json.dumps([at, content]).encode()
    found = [json.loads(row) for row in _gathered(own)]
    for process, (there, _) in enumerate(found):
        if there != found[0][0]:
            raise RunError(
                f"process {process} is at {there!r} and process 0 at {found[0][0]!r}; start all "
                "again, with the same command and the same kpjax"
            )
    return [content for _, content in found]


def _gathered(own: bytes) -> list[bytes]:
    """Returns the bytes of each process, in their order."""
    array = np.frombuffer(own, np.uint8)
    own_size = np.array([array.size], np.int32)
    sizes = multihost_utils.process_allgather(own_size).ravel()
    # Few sizes are few programs to compile.
    room = max(256, 1 << int(sizes.max() - 1).bit_length())
    rows = multihost_utils.process_allgather(np.pad(array, (0, room - array.size))).reshape(
        len(sizes), room
    )
    return [row[:size].tobytes() for row, size in zip(rows, sizes, strict=True)]


def difference(at: str, facts: Mapping[str, Any]) -> str:
    """Returns the first fact that is another one on process 0, naming both; "" on a single machine,
    and where all are alike. All processes return the same."""
    if jax.process_count() == 1:
        return ""
    first, *others = of_all(at, strict(facts))
    for process, found in enumerate(others, 1):
        for name in {**first, **found}:
            there = found.get(name, "absent")
            here = first.get(name, "absent")
            if there != here:
                return (
                    f"process {process} differs from process 0: {name} is {there} there and {here} "
                    "here"
                )
    return ""


def check_alike(at: str, facts: Mapping[str, Any]) -> None:
    """Raises InputError on all processes for the first fact that is another one on process 0,
    naming both.
    """
    if found := difference(at, facts):
        raise InputError(f"{found}; give the same command, install and prepare the same everywhere")


def _check_devices() -> None:
    """Raises InputError where processes have different numbers of devices, which no array is spread
    over."""
    counts = Counter(device.process_index for device in jax.devices())
    for process, count in sorted(counts.items()):
        if count != counts[0]:
            raise InputError(
                f"process {process} differs from process 0: it has {count} devices, and that has "
                f"{counts[0]}; give every host the same number"
            )


def check_folder(folder: epath.Path) -> None:
    """Raises InputError on all processes unless all of them see what process 0 writes into a folder
    or a bucket.

    A single machine is asked about buckets only: what its disc refuses is said where it is written.
    """
    if jax.process_count() == 1 and not in_bucket(folder):
        return

    def write() -> str:
        make_folder(folder)
        return write_text(folder / f".seen-by-all-{uuid4().hex}", "seen").name

    mark = folder / agreed(f"writing into {folder.name}", write)
    seen = of_all(f"reading from {folder.name}", mark.exists())
    if jax.process_index() == 0:
        remove(mark)
    if not all(seen):
        raise InputError(
            "workdir",
            f"process {seen.index(False)} does not see what process 0 writes to {folder}; "
            "give a folder that all hosts share (NFS), or a bucket (gs://)",
        )
