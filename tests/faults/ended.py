"""A process that ends at its n-th file operation: by a kill, or by a disc that is full and stays
so.
"""

import contextlib
import errno
import os
import sys

from kpjax import files
from kpjax.errors import InputError, RunError

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate"}
NEEDS_ROOM = {"open", "os.mkdir", "os.link", "os.symlink"}  # a full disc still renames and removes
DEAD = 2**22 + 7  # a number that no process has


class Killed(BaseException):
    """Nothing of the process runs on: every later operation raises it, too, so that no file is
    tidied up.
    """


class Disc:
    """Counts what changes files below a folder, and refuses all from some number on."""

    def __init__(self, root, kind="", number=None):
        self.root, self.kind, self.number, self.count = str(root), kind, number, 0

    def __enter__(self):
        WATCHED.append(self)
        return self

    def __exit__(self, *_):
        WATCHED.remove(self)

    def sees(self, event, values):
        if event == "open":
            changes = (
                isinstance(values[2], int)
                and values[2] & WRITING
                and isinstance(values[0], (str, bytes))
            )
        else:
            changes = event in CHANGES or (
                event == "ctypes.dlsym" and values[1] in ("renameat2", "renamex_np")
            )
        path = self.root if event == "ctypes.dlsym" else os.fsdecode(values[0]) if changes else ""
        if not changes or not os.path.abspath(path).startswith(self.root):
            return
        if (self.kind == "full" and event not in NEEDS_ROOM) or (
            event == "os.mkdir" and os.path.isdir(path)
        ):
            return  # a folder that is there already changes nothing
        self.count += 1
        if self.number is not None and self.count >= self.number:
            raise (
                Killed if self.kind == "kill" else OSError(errno.ENOSPC, "No space left on device")
            )


WATCHED: list[Disc] = []
sys.addaudithook(lambda event, values: [disc.sees(event, values) for disc in WATCHED] and None)


def ended(act, place, kind, number, monkeypatch):
    """Runs a function whose process ends at a moment, and returns whether it had so many."""
    with (
        monkeypatch.context() as patch,
        Disc(place, kind, number) as disc,
        contextlib.suppress(Killed, InputError, RunError),
    ):
        patch.setattr(files.os, "getpid", lambda: DEAD)
        act()
    return disc.count >= number
