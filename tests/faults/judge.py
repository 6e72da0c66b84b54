"""One judge of all tries: each runs in a child with limits; an audit hook sees what it writes, removes and starts."""
import contextlib
import io
import json
import os
import re
import resource
import shutil
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from kpjax.errors import InputError, RunError, printable

SECONDS, BYTES = 25, 6 * 2 ** 30  # of a try
OUTCOMES = ("refused", "accepted", "traceback", "hang", "outside", "silent")
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_CHANGES = {"os.remove": 1, "os.rename": 2, "os.rmdir": 1, "os.mkdir": 1, "os.link": 2, "os.symlink": 2,
            "os.truncate": 1, "os.chmod": 1, "os.utime": 1}
_FOLDERS = {"os.remove": 1, "os.rename": 2, "os.rmdir": 1, "os.mkdir": 2}  # where the folder's descriptor stands
_STARTS = ("os.system", "os.exec", "os.posix_spawn", "os.spawn", "pty.spawn", "subprocess.Popen")
OWN_PROCESS = ("'uname'",)  # by Python's own platform module


class Silent(Exception):
    """An accepted input that means something else than it says."""


class Result(NamedTuple):
    """What became of a try."""

    outcome: str
    detail: str


def judged(act: Callable[[Path], Any], folder: Path, *, refuse_writes: OSError | None = None) -> Result:
    """Runs `act(folder)` in a child, whose folder is `folder`, and says what became of it.

    Only `folder/out`, its partial neighbours, temporary and cache folders may be written. `act` raises Silent for what
    it finds wrong in an accepted input. refuse_writes: raised for each write, as by a disc that is full or read-only.
    """
    reading, writing = os.pipe()
    before = _content(folder)
    child = os.fork()
    if not child:
        os.close(reading)
        with os.fdopen(writing, "w") as answer:
            json.dump(_in_child(act, folder, refuse_writes), answer)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as answer:
        text = answer.read()
    _, status = os.waitpid(child, 0)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    if not text:
        number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.waitstatus_to_exitcode(status)
        return Result("hang" if number in (signal.SIGALRM, signal.SIGXCPU) else "traceback", f"ended by {number}")
    result = Result(*json.loads(text))
    if (after := _content(folder)) != before:
        return Result("outside", f"changed: {sorted(set(before.items()) ^ set(after.items()))[:3]}")
    return result


def _content(folder: Path) -> dict[str, tuple[int, int]]:
    """All files around the project but the output, with size and time."""
    found = {}
    for home, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not (home == str(folder) and name == "out")]
        for name in [*files, *folders]:
            stat = os.lstat(os.path.join(home, name))
            found[os.path.join(home, name)] = stat.st_size if name in files else 0, stat.st_mtime_ns * (name in files)
    return found


def _in_child(act: Callable[[Path], Any], folder: Path, refuse_writes: OSError | None) -> tuple[str, str]:
    os.setpgid(0, 0)
    os.chdir(folder)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(SECONDS)
    resource.setrlimit(resource.RLIMIT_AS, (BYTES, BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    seen: list[str] = []
    allowed = [str(folder / "out"), str(folder / ".out."), "/dev/null", "/dev/tty", "/proc/", *map(os.path.realpath, (
        os.environ["TMPDIR"], os.environ["XDG_CACHE_HOME"]))]

    def fits(path: Any) -> bool:
        if isinstance(path, int):
            return True
        full = os.path.realpath(os.fsdecode(path))
        return any(full.startswith(one) for one in allowed) or "__pycache__" in full

    def watch(event: str, of: tuple) -> None:
        paths = [of[0]] if event == "open" and of[2] & _WRITING else of[:_CHANGES.get(event, 0)]
        if (at := _FOLDERS.get(event)) and of[at] >= 0:  # a path from an open folder, as shutil.rmtree has it
            paths = [os.path.join(os.readlink(f"/proc/self/fd/{of[at]}"), os.fsdecode(path)) for path in paths]
        if paths and refuse_writes and not all(isinstance(path, int) or "/dev/" in os.fsdecode(path) for path in paths):
            raise refuse_writes
        if any(not fits(path) for path in paths):
            seen.append(f"{event} {paths}"[:300])
            raise PermissionError("not here")
        if event.startswith(_STARTS) and not (event.startswith(("subprocess", "os.posix_spawn", "os.exec"))
                                              and any(own in str(of) for own in OWN_PROCESS)):
            seen.append(f"{event} {of}"[:300])
            raise PermissionError("no process")
        if event == "pickle.find_class" and not str(of[0]).startswith(("numpy", "jax", "kpjax", "collections")):
            seen.append(f"{event} {of}"[:300])

    sys.addaudithook(watch)
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            act(folder)
        outcome, detail = "accepted", ""
    except (InputError, RunError) as error:
        outcome, detail = "refused", str(error)
    except Silent as error:
        outcome, detail = "silent", str(error)
    except BaseException as error:
        places = [frame for frame in traceback.extract_tb(error.__traceback__) if "/kpjax/" in frame.filename
                  or "/experiments/" in frame.filename]
        place = f"{places[-1].filename.rpartition('/wt/')[2]}:{places[-1].lineno}" if places else "?"
        outcome, detail = "traceback", f"{place} {type(error).__name__}: {str(error)[:200]}"
    if seen:
        return "outside", "; ".join(seen[:3])
    if outcome == "refused" and not detail.strip():
        return "traceback", "a refusal without a word"
    if outcome == "refused" and re.search(r"\n\s+File ", detail):
        return "traceback", detail[:300]
    return outcome, printable(detail)[:400]


@contextlib.contextmanager
def sandbox(root: Path, sample: Path):
    """A folder with a copy of a sample as `p`, and files beside it that nobody may touch."""
    folder = root / "try"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(sample, folder / "p", symlinks=True)
    for name in ("victim.txt", "victim.png", "p/victim.png"):
        shutil.copyfile(sample.parent / "victim.png", folder / name)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
