"""Readers in a container, whose shared memory is small: a file system of its own on /dev/shm."""

import os
import shutil
import subprocess
import sys

import pytest

MOUNTED = "mount -t tmpfs -o size={size} tmpfs /dev/shm && exec "
PRIVATE = ["unshare", "--map-root-user", "--mount", "sh", "-c"]
READER = """
import sys
import numpy as np
from kpjax.input.source import arrays
from kpjax.input.stream import in_background, read_by_processes, stream, workers_with_room
from kpjax.structures import Skeleton

if __name__ == "__main__":
    images = np.zeros((64, 332, 332, 3), np.uint8)
    source = arrays(images, np.zeros((64, 1, 2)), np.ones((64, 1)), Skeleton(("a",)), "set")
    streams = {name: stream(source, batch_size=64, seed=0) for name in ("source", "target")}
    workers = workers_with_room(2, streams, 0)
    print(workers, flush=True)
    if workers or sys.argv[1:] == ["anyway"]:
        read = read_by_processes(streams, range(8), workers=2)
        shapes = [batch["target"].image.shape for batch in in_background(read, depth=2)]
        print(len(shapes), shapes[-1], flush=True)
"""


def in_shared_memory(folder, size, *arguments):
    """Runs the reader in a private mount of so much shared memory."""
    script = folder / "reader.py"
    script.write_text(READER)
    command = f"{MOUNTED.format(size=size)} {sys.executable} {script} {' '.join(arguments)}"
    return subprocess.run(
        [*PRIVATE, command],
        env=os.environ | {"PYTHONPATH": os.getcwd()},
        capture_output=True,
        text=True,
        timeout=240,
    )


def may_mount():
    """Returns whether this system lets a process have mounts of its own."""
    if not (shutil.which("unshare") and os.path.isdir("/dev/shm")):
        return False
    return not subprocess.run(
        [*PRIVATE, MOUNTED.format(size="64m") + "true"], capture_output=True
    ).returncode


@pytest.mark.slow
@pytest.mark.skipif(not may_mount(), reason="this system gives no process mounts of its own")
def test_readers_start_where_shared_memory_has_room_and_one_line_says_where_not(tmp_path):
    """Docker's 64 MB end readers of two streams of 64 images; with what is asked for they live."""
    small = in_shared_memory(tmp_path, "64m")
    assert (small.returncode, small.stdout) == (0, "0\n"), small.stderr
    (said,) = small.stderr.splitlines()
    assert "/dev/shm has 64 MB free, and 2 processes that read images may need 363 MB" in said
    died = in_shared_memory(tmp_path, "64m", "anyway")
    assert died.returncode != 0
    assert "exit code -7" in died.stderr  # SIGBUS
    enough = in_shared_memory(tmp_path, "364m")
    assert (enough.returncode, enough.stdout) == (0, "2\n8 (64, 332, 332, 3)\n"), enough.stderr
