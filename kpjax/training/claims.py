"""Claims of folders in a bucket, where no file can be locked: of several processes that want a run,
on any number of hosts, one gets it.

A claim is an object `.claim-<n>` with its owner and a time, which the owner writes anew while it
works and removes at the end. An object is made only where there is none (its generation matches 0),
so of those that try at the same moment one succeeds. Whoever finds a claim that has not been written
for `STALE` seconds, as after a host is gone, makes the next one, `.claim-<n + 1>`. Clocks of hosts
may differ by a minute.
"""

import contextlib
import json
import os
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple
from uuid import uuid4

from etils import epath

from kpjax.errors import InputError, RunError
from kpjax.files import process_runs, remove, write_text, writing

BEAT = 30.0  # seconds between two writes of an owner
STALE = 240.0  # seconds after the last one


class Claim(NamedTuple):
    """What a claim says of its owner."""

    run: str  # run of this claim alone
    host: str
    process: int
    time: float  # when it was last written, in seconds of the epoch


class InUse(InputError):
    """Another process holds a folder."""


@contextlib.contextmanager
def claim(folder: epath.Path) -> Iterator[Callable[[], None]]:
    """Claims a folder of a bucket until the block ends.

    Yields a function to be called before each checkpoint, which raises RunError if another process
    has taken the folder over. Raises InUse where another one works on it.
    """
    own = Claim(uuid4().hex, *_here(), time.time())
    number = _next_number(folder)
    path = folder / f".claim-{number}"
    if not _create(path, json.dumps(own)):
        raise InUse(_in_work(folder, "another process"))
    # Another one may have come between looking and writing: then neither gets it.
    if any(other != number and not _is_stale(one) for other, one in _claims(folder).items()):
        remove(path)
        raise InUse(_in_work(folder, "another process"))
    for other in _claims(folder):
        if other < number:
            remove(folder / f".claim-{other}")

    def still_owned() -> bool:
        found = _claims(folder)
        return number in found and found[number].run == own.run and max(found) == number

    def check() -> None:
        if not still_owned():
            raise RunError(
                f"{folder}: another process has taken this run over, and goes on from its checkpoints"
            )

    done = threading.Event()

    def beat() -> None:
        while not done.wait(BEAT):
            with contextlib.suppress(Exception):  # a bucket may answer the next time
                if still_owned():
                    write_text(path, json.dumps(own._replace(time=time.time())))

    thread = threading.Thread(target=beat, name="claim", daemon=True)
    thread.start()
    try:
        yield check
    finally:
        done.set()
        thread.join()
        with contextlib.suppress(Exception):  # it goes stale
            if still_owned():
                remove(path)


def _create(path: epath.Path, text: str) -> bool:
    """Writes an object where there is none, and returns whether it did: of several that try, one
    does.
    """
    import fsspec

    system, name = fsspec.core.url_to_fs(os.fspath(path))
    with writing(path):
        try:
            system.pipe_file(name, text.encode(), mode="create")
        except FileExistsError:
            return False
    return True


def _next_number(folder: epath.Path) -> int:
    """Returns the number of a new claim. Raises InUse where another one is alive."""
    found = _claims(folder)
    for one in found.values():
        if not _is_stale(one):
            raise InUse(_in_work(folder, f"process {one.process} of {one.host}"))
    return max(found, default=-1) + 1


def _is_stale(one: Claim) -> bool:
    """Returns whether the owner of a claim is gone.

    Of this host it may be known at once: a process that has ended, or one with the number of this
    one, from the container before.
    """
    host, process = _here()
    if one.host == host and (one.process == process or not process_runs(one.process)):
        return True
    return time.time() - one.time > STALE


def _here() -> tuple[str, int]:
    """Returns this host and this process."""
    return socket.gethostname(), os.getpid()


def _claims(folder: epath.Path) -> dict[int, Claim]:
    """Returns the claims of a folder by their numbers; those that end meanwhile are left out."""
    found = {}
    for path in folder.glob(".claim-*"):
        number = re.fullmatch(r"\.claim-(\d+)", path.name)
        if number:
            with contextlib.suppress(FileNotFoundError, ValueError):
                found[int(number[1])] = Claim(*json.loads(path.read_text()))
    return found


def _in_work(folder: epath.Path, owner: str) -> str:
    return f"{folder}: {owner} is training here; wait for it, or choose another `workdir`"
