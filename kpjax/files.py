"""Files and folders, local (`pathlib.Path`) or in a bucket (`etils.epath.Path`), written whole or
not at all.
"""

import contextlib
import ctypes
import functools
import hashlib
import json
import math
import os
import platform
import re
import shutil
import tempfile
import time
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from etils import epath

from kpjax.errors import InputError, RunError, WriteError


def in_bucket(path: epath.PathLike) -> bool:
    """Returns whether a path names an object of a bucket, such as gs://box/runs, and no file of
    this machine.
    """
    return "://" in os.fspath(path)


def check_local(argument: str, path: Path) -> None:
    """Raises InputError for a path of a bucket where files of this machine are read or written: as
    a `Path`, "gs://box/a" has become a folder "gs:"."""
    if re.match(r"[a-z][a-z0-9]+:/(?!/)", os.fspath(path)):
        raise InputError(
            argument,
            f"{path} is in a bucket, which holds runs (--workdir) and prepared sets alone; give a "
            "folder of this machine",
        )


def cache_folder() -> Path:
    """Returns the folder of what can be made or fetched again: kpjax/ below XDG_CACHE_HOME or
    ~/.cache, absolute.
    """
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser().absolute() / "kpjax"


def absolute(path: epath.PathLike) -> epath.Path:
    """Returns an absolute path, local or in a bucket gs://.

    Raises InputError for buckets of any other kind.
    """
    text = os.path.expanduser(os.fspath(path))
    scheme, separator, _ = text.partition("://")
    if separator and scheme != "gs":
        raise InputError(
            f"{text}: {scheme}:// is not supported, since checkpoints cannot be written there; give a "
            "folder, local or on NFS, or a bucket gs://"
        )
    if separator:  # others write there, too: what is there is asked for anew
        import fsspec.config

        fsspec.config.conf.setdefault("gcs", {})["use_listings_cache"] = False
    return epath.Path(text if separator else os.path.abspath(text))


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turns an OSError (disc full, read-only, no permission) into one WriteError that names the
    path.

    Of a bucket any error: a refusal (403, 404), or one that many tries have not overcome (429,
    503).
    """
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        if in_bucket(path):
            reason = " ".join(str(error).split()) or type(error).__name__
            raise WriteError(
                f"{path}: cannot be written: {reason}; buckets need gcsfs (pip install 'kpjax[gcs]') and "
                "an account that may write there; what was complete before is still good"
            ) from error
        if not isinstance(error, OSError):
            raise
        raise WriteError(
            f"{path}: cannot be written: {error.strerror or error}; free some space or choose another "
            "folder; what was complete before is still good"
        ) from error


@contextlib.contextmanager
def foreign(path: epath.PathLike, mend: str = "save or fetch it again") -> Iterator[None]:
    """Turns any error of what reads a file that another program wrote into one InputError: file,
    kind, words, mend.

    Errors of kpjax and memory that ran out pass. With KPJAX_DEBUG in the environment every error
    keeps its traceback.
    """
    try:
        yield
    except Exception as error:
        if (
            isinstance(error, InputError | RunError)
            or type(error) is MemoryError
            or os.environ.get("KPJAX_DEBUG")
        ):
            raise
        reason = getattr(error, "strerror", None) or error
        words = " ".join(str(reason).split())[:200]
        kind = type(error).__name__
        said = f"{kind}: {words}" if words else kind
        raise InputError(f"{path}: cannot be read ({said}); {mend}") from error


def make_folder(folder: Path) -> None:
    """Creates a folder and its parents. Raises InputError if the disc refuses."""
    check_local("out", folder)
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)


def remove(path: Path) -> None:
    """Removes a file or a folder with all that it holds, if it is there.

    Raises InputError if the disc refuses.
    """
    with writing(path):
        if not path.is_dir():
            path.unlink(missing_ok=True)
        elif isinstance(path, Path):
            shutil.rmtree(path)
        else:
            path.rmtree()


def _system() -> str:
    """Returns what tells the processes of this system from those of others, where both count their
    own from 1: of another machine, container or start of the machine."""
    parts = [platform.node()]
    for read in (
        lambda: os.readlink("/proc/self/ns/pid"),
        lambda: Path("/proc/sys/kernel/random/boot_id").read_text(),
    ):
        with contextlib.suppress(OSError):
            parts.append(read())
    return " ".join(parts)


# this system, in names of files: others may write into one folder
HOST = f"{zlib.crc32(_system().encode()):08x}"
_PARTIAL = re.compile(r"\.(.+)\.(\d+)-([0-9a-f]{8})\.(partial|before)(\..+)?")
LONGEST_WHOLE = 200  # bytes, of a name that stands whole in that of its partial file
_EXCHANGE = 2  # RENAME_EXCHANGE of Linux, and RENAME_SWAP of macOS


def partial_path(path: Path, kind: str = "partial") -> Path:
    """Returns a hidden path beside a file or folder, of this process only, with the same suffix."""
    stem = path.stem
    if kind == "partial" and len(os.fsencode(path.name)) > LONGEST_WHOLE:
        stem = f"{zlib.crc32(os.fsencode(stem)):08x}"
    return path.with_name(f".{stem}.{os.getpid()}-{HOST}.{kind}{path.suffix}")


def remove_partials(folder: Path, *, alone: bool = False) -> None:
    """Removes what processes of this system that have ended left half-written in a folder, if it
    is there. alone: whether nobody else writes there, so that what any other has left is removed.

    A folder that one of them had put aside for a new one (`atomic`), which never came, is put back.
    """
    for path in sorted(folder.glob(".*-????????.*")):
        found = _PARTIAL.fullmatch(path.name)
        own = found and found[3] == HOST and int(found[2]) == os.getpid()
        if (
            not found
            or own
            or not (alone or (found[3] == HOST and not process_runs(int(found[2]))))
        ):
            continue
        place = folder / f"{found[1]}{found[5] or ''}"
        if found[4] == "before" and not place.exists():
            path.rename(place)
        else:
            remove(path)


def process_runs(process: int) -> bool:
    """Returns whether a process of this machine runs; of Windows, where asking would end it, always
    True.
    """
    if os.name == "nt":
        return True
    try:
        os.kill(process, 0)  # signal 0 ends nothing
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):  # of another user
        return True
    return True


def everything_below(folder: Path) -> Iterator[Path]:
    """Yields the files and folders below a folder, but none that is hidden or in a hidden folder.

    Links to folders are followed, each folder once. One that leads into the folder itself, or to
    one that holds it, leads to nothing new.
    """
    root = folder.resolve()
    entered = {root}
    for place, folders, files in os.walk(folder, followlinks=True):
        shown = []
        for name in sorted(folders):
            path = Path(place, name)
            real = path.resolve()
            leads_back = real.is_relative_to(root) or root.is_relative_to(real)
            known = real in entered or (path.is_symlink() and leads_back)
            if not name.startswith(".") and not known:
                entered.add(real)
                shown.append(name)
        folders[:] = shown  # which are walked next
        for name in (*shown, *files):
            if not name.startswith("."):
                yield Path(place, name)


def check_new(folder: Path) -> None:
    """Raises InputError for a folder that holds anything, and for one in whose place no other can
    be put.
    """
    check_local("out", folder)
    remove_partials(folder.absolute().parent)
    if Path.cwd().is_relative_to(folder.resolve()):
        raise InputError("out", f"{folder} is the folder that you are in; give a new one")
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise InputError("out", f"{folder} is a file or a link; give a new folder")
    if folder.is_dir() and any(folder.iterdir()):
        raise InputError("out", f"{folder} is not empty; give a new folder, or delete this one")


@contextlib.contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yields a path to write a file or a folder at, and puts it in place of `path` once the block
    ends.

    A reader, or a crash at any moment, finds the old or the new content whole. If the block raises,
    nothing is left behind. Parents are created. For a bucket the yielded path is local, and each
    file of it becomes one object at the
    end: an object appears whole, and cannot be renamed. Raises InputError if the disc or the bucket
    refuses.
    """
    if in_bucket(path):
        with tempfile.TemporaryDirectory() as place:
            local = Path(place, path.name)
            yield local
            for file in [local] if local.is_file() else local.rglob("*"):
                if file.is_file():
                    with writing(path):
                        (path / file.relative_to(local)).write_bytes(file.read_bytes())
        return
    path = Path(path)
    check_local("out", path)
    if path.is_dir() and path.is_symlink():
        path = path.resolve()  # the link stays
    partial = partial_path(path)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        remove(partial)  # of an ended process of the same number
        try:
            with _named_as_meant(partial, path):
                yield partial
            for file in (partial, *partial.rglob("*")):
                if not file.is_symlink():
                    _flush(file)
            if partial.is_dir() and path.exists():
                _exchange(partial, path)
                remove(partial)
            else:
                partial.replace(path)
            _flush_list(path.parent)
        except BaseException:
            with contextlib.suppress(InputError):
                remove(partial)
            raise


@contextlib.contextmanager
def _named_as_meant(hidden: Path, meant: Path) -> Iterator[None]:
    """Makes an error of a hidden place name the one that the user knows."""
    try:
        yield
    except WriteError as error:
        raise WriteError(str(error).replace(str(hidden), str(meant))) from error.__cause__


@contextlib.contextmanager
def together(folder: Path) -> Iterator[Path]:
    """Yields a hidden folder; files that the block writes there, whole, are moved into `folder`
    once it ends.

    If the block raises, nothing of `folder` is changed. What ended processes left there is removed.
    """
    make_folder(folder)
    remove_partials(folder)
    stage = partial_path(folder / "results")
    remove(stage)
    try:
        make_folder(stage)
        with _named_as_meant(stage, folder):
            yield stage
        with writing(folder):
            moved = {folder}
            for file in sorted(path for path in stage.rglob("*") if path.is_file()):
                place = folder / file.relative_to(stage)
                place.parent.mkdir(parents=True, exist_ok=True)
                file.replace(place)
                moved.add(place.parent)
            for parent in moved:
                _flush_list(parent)
    finally:
        with contextlib.suppress(InputError):
            remove(stage)


def _exchange(new: Path, old: Path) -> None:
    """Exchanges two folders at one moment, where system and disc can; elsewhere there is none in
    between.
    """
    library = ctypes.CDLL(None) if os.name == "posix" else None
    first = os.fsencode(new)
    second = os.fsencode(old)
    here = -100  # AT_FDCWD
    linux = getattr(library, "renameat2", None)
    mac = getattr(library, "renamex_np", None)
    # each returns 0 once it is done
    if linux and linux(here, first, here, second, _EXCHANGE) == 0:
        return
    if mac and mac(first, second, _EXCHANGE) == 0:
        return
    before = partial_path(old, "before")
    old.rename(before)
    new.rename(old)
    before.rename(new)


def _flush(path: Path) -> None:
    """Returns once a file, or a folder's list of files, is on the disc."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _flush_list(folder: Path) -> None:
    """Returns once what was renamed in a folder is on the disc under its new name: a loss of power
    could undo that, and keep what was written later. Windows has nothing of the kind."""
    if os.name != "nt":
        _flush(folder)


@contextlib.contextmanager
def local_copy(path: epath.PathLike) -> Iterator[epath.PathLike]:
    """Yields a file of this machine with the same content: the file itself, or a passing copy of an
    object.
    """
    if not in_bucket(path):
        yield path
        return
    with tempfile.TemporaryDirectory() as place:
        copy = Path(place, path.name)
        copy.write_bytes(path.read_bytes())
        yield copy


class GrowingFile:
    """A binary file that is added to. What is added is in a file at once, and in a bucket after
    `keep` or `close`.

    An object cannot grow: it is written again as a whole, by `write` once a minute at most.
    """

    def __init__(self, path: epath.Path):
        self.path = path
        self.file = None
        self.kept = time.monotonic()
        with writing(path):
            make_folder(path.parent)
            if in_bucket(path):
                self.content = path.read_bytes() if path.exists() else b""
            else:
                self.file = path.open("ab")

    def write(self, content: bytes) -> None:
        if self.file:
            self.file.write(content)
            self.file.flush()
            return
        self.content += content
        if time.monotonic() - self.kept > 60:
            self.keep()

    def keep(self) -> None:
        if not self.file:
            with writing(self.path):
                self.path.write_bytes(self.content)
            self.kept = time.monotonic()

    def close(self) -> None:
        self.keep()
        if self.file:
            self.file.close()


def write_text(path: Path, text: str) -> Path:
    """Writes a text file whole or not at all, and returns its path."""
    with atomic(path) as partial:
        partial.write_text(text, encoding="utf-8")
    return path


def write_json(path: Path, value) -> Path:
    """Writes strict JSON: numbers that are not finite become the strings nan, inf and -inf."""
    return write_text(path, json.dumps(strict(value), indent=1, allow_nan=False) + "\n")


def strict(value):
    """Converts a value to strict JSON: tuples to lists, other objects (paths, enums) to text, nan
    to a string.
    """
    if isinstance(value, Mapping):
        return {str(key): strict(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [strict(item) for item in value]
    if value is None or isinstance(value, bool | int | str):
        return value
    if hasattr(value, "item") and getattr(value, "ndim", 0) == 0:
        return strict(value.item())
    if isinstance(value, float):
        if math.isfinite(value):
            return value
        return str(value)
    return str(value)


def read_content(path: epath.PathLike) -> bytes:
    """Reads a file.

    Raises InputError that names it if it is missing, cannot be read, or is a pipe or a device.
    """
    try:
        check_file(path)
        if isinstance(path, epath.Path):
            return path.read_bytes()
        return Path(path).read_bytes()
    except (OSError, ValueError) as error:  # the latter of a NUL in its name
        raise _unread(path, error) from None


def _unread(path: epath.PathLike, error: Exception) -> InputError:
    """Returns what to raise for a file that is missing or cannot be read."""
    if isinstance(error, FileNotFoundError):
        return InputError(f"{path}: not found")
    reason = getattr(error, "strerror", None) or error
    return InputError(f"{path}: cannot be read ({reason}); check its permissions")


def check_file(path: epath.PathLike) -> None:
    """Raises InputError for what is there and no file: a pipe would be waited for, and /dev/zero
    never ends.
    """
    if not in_bucket(path) and Path(path).exists() and not Path(path).is_file():
        raise InputError(f"{path}: is not a file; name a file")


def sha256_of(path: epath.PathLike) -> str:
    """Returns the sha256 of a file. Raises InputError if it is missing or cannot be read."""
    check_file(path)
    try:
        status = Path(path).stat()
        # The first time is kept by tools that copy, the other is not.
        return _sha256(Path(path), status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    except OSError as error:
        raise _unread(path, error) from error


@functools.lru_cache
def _sha256(path: Path, size: int, modified: int, changed: int) -> str:
    """Computes a digest that is asked for several times in a command, once while size and times
    do not change.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_json(path: Path) -> dict:
    """Reads a JSON file that holds an object.

    Raises InputError that names it if it is missing, broken or another.
    """
    content = read_content(path)
    mend = "copy it again, or train again with `fresh`"
    with foreign(path, mend):
        found = json.loads(content.decode())
    if not isinstance(found, dict):
        raise InputError(f"{path}: cannot be read (it holds no object); {mend}")
    return found
