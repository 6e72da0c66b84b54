"""Decoded images on the disc of this machine: an example of a prepared set is decoded once, and read from a file then.

A file has a slot for each example of a source, which ends with the CRC-32 of its content. So threads, processes and
runs share a file without a lock, and a slot that was half written when its process was killed counts as empty. Slots
are read and written at their offset: a mapped file would count as resident memory, and would end the process on a full
disc.
"""
import contextlib
import dataclasses
import functools
import inspect
import os
import sys
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import PIL
from PIL import features

from kpjax.images import boxes, transforms
from kpjax.input import source as decoding
from kpjax.input.source import TfdsSource, digest_of
from kpjax.structures import Example, Skeleton

SUFFIX = ".images"
Streams = TypeVar("Streams", bound=Mapping[str, Any])


class Cache(NamedTuple):
    """Where decoded images are kept, and how many bytes of them at most, those of other runs included."""

    folder: Path  # on a local disc
    limit: int


@dataclasses.dataclass(frozen=True, eq=False)
class CachedSource:
    """The examples of a prepared source, bit for bit, read from `path` where they were decoded before.

    Another process may read and write the same file. Where the disc refuses, examples are decoded.
    """

    source: TfdsSource
    path: Path
    kept: int  # examples of the source that have a slot, the first ones
    slot: np.dtype

    @property
    def skeleton(self) -> Skeleton:
        return self.source.skeleton

    @property
    def name(self) -> str:
        return self.source.name

    @property
    def digest(self) -> str:
        return self.source.digest

    def __len__(self) -> int:
        return len(self.source)

    def identity(self, index: int) -> str:
        """Returns the dataset's name of an example."""
        return self.source.identity(index)

    def __getitem__(self, index: int) -> Example:
        file = _opened(self.path) if 0 <= index < self.kept else None
        if file is None:
            return self.source[index]
        place = index * self.slot.itemsize
        stored = file.read(place, self.slot.itemsize)
        if len(stored) == self.slot.itemsize and stored[-4:] == _check(stored[:-4]):
            fields = np.frombuffer(stored, self.slot)[0]
            # Copies, so that a few kept keypoints do not keep all the pixels.
            return Example(fields["image"], fields["keypoints"].copy(), fields["visible"].copy(), fields["scale"],
                           fields["crop"].copy(), np.int32(index))
        example = self.source[index]
        content = b"".join(np.ascontiguousarray(field).tobytes() for field in example[:-1])
        file.write(place, content + _check(content))
        return example


def _check(content: bytes) -> bytes:
    return zlib.crc32(content).to_bytes(4, "little")


def slot_of(example: Example) -> np.dtype:
    """Returns how an example is stored: its fields but the index, and a checksum."""
    fields = [(name, np.asarray(field).dtype, np.shape(field)) for name, field in example._asdict().items()
              if name != "index"]
    return np.dtype([*fields, ("check", "<u4")])


class _File:
    """An open file of slots."""

    def __init__(self, path: Path):
        self.path, self.full = path, False
        self.descriptor = os.open(path, os.O_RDWR)

    def __del__(self):  # once no thread reads it any more
        if hasattr(self, "descriptor"):
            os.close(self.descriptor)

    def read(self, place: int, size: int) -> bytes:
        try:
            return os.pread(self.descriptor, size, place)
        except OSError:
            return b""

    def write(self, place: int, content: bytes) -> None:
        """Writes a slot. At the first refusal one line is printed, by one of all processes, and no more is written."""
        if self.full:
            return
        try:
            if os.pwrite(self.descriptor, content, place) == len(content):
                return
            reason = "the disc is full"
        except OSError as error:
            reason = error.strerror
        self.full = True
        with contextlib.suppress(OSError):  # a disc that has no room for an empty file either
            try:
                self.path.with_suffix(".full").touch(exist_ok=False)
            except FileExistsError:
                return
        print(f"{self.path}: no more decoded images are kept: {reason}; the others are decoded each time",
              file=sys.stderr, flush=True)


@functools.lru_cache(maxsize=16)
def _opened(path: Path) -> _File | None:
    """Opens a file once in each process; None if it is gone."""
    try:
        return _File(path)
    except OSError:
        return None


@contextlib.contextmanager
def kept_decoded(streams: Streams, cache: Cache | None, say: Callable[[str], Any]) -> Iterator[Streams]:
    """Yields the same streams with every prepared source in them cached, and says where, in a line for each.

    Files of earlier runs are removed, the oldest first, as far as the limit needs it and no run uses them. What lies in
    memory already is not cached. Without room or permission one line says so, and the streams are those given.
    """
    sources = {id(source): source for stream in streams.values() for source in _prepared_in(stream)}
    if cache is None or not sources:
        yield streams
        return
    with contextlib.ExitStack() as stack:
        cached = {}
        try:
            for source in _with_room(sources.values(), cache):
                stack.enter_context(_held(source.path, source.kept * source.slot.itemsize))
                cached[id(source.source)] = source
                say(f"{source.name}: decoded images are kept in {source.path}, {source.kept} of {len(source)}, "
                    f"{source.kept * source.slot.itemsize / 2**30:.3g} GiB when all were seen")
        except OSError as error:
            say(f"{cache.folder}: decoded images are not kept: {error.strerror or error}")
        try:
            yield {name: _replaced(stream, cached) for name, stream in streams.items()}
        finally:
            _opened.cache_clear()


def _prepared_in(stream: Any) -> Iterator[TfdsSource]:
    """Yields the prepared source that a stream or a view reads, if it does."""
    if isinstance(stream, TfdsSource):
        yield stream
    for name in _inner(stream):
        yield from _prepared_in(getattr(stream, name))


def _inner(stream: Any) -> list[str]:
    """Returns the fields by which streams and views hold what they read."""
    known = dataclasses.fields(stream) if dataclasses.is_dataclass(stream) else ()
    return [field.name for field in known if field.name in ("source", "frames")]


def _replaced(stream: Any, cached: Mapping[int, CachedSource]) -> Any:
    if isinstance(stream, TfdsSource):
        return cached.get(id(stream), stream)
    inner = {name: _replaced(getattr(stream, name), cached) for name in _inner(stream)}
    return dataclasses.replace(stream, **inner) if inner else stream


def _with_room(sources, cache: Cache) -> Iterator[CachedSource]:
    """Yields sources with as many slots as the limit leaves, after the files of earlier runs were removed for them."""
    folder = Path(cache.folder).expanduser()
    folder.mkdir(parents=True, exist_ok=True)
    # Another version of the decoder or of a transform may round otherwise.
    makers = [PIL.__version__, str(features.version("libjpeg_turbo")), *map(inspect.getsource, (
        transforms, boxes, decoding, sys.modules[__name__]))]
    planned = []
    for source in sources:
        slot = slot_of(source[0])
        key = digest_of(source.digest, source.content, repr(source.transform), str(source.reduced), str(slot), *makers)
        name = "".join(letter if letter.isalnum() else "_" for letter in source.name)
        planned.append((source, folder / f"{name}-{key[:24]}{SUFFIX}", slot))
    paths = {path: len(source) * slot.itemsize for source, path, slot in planned}
    room = cache.limit - _remaining(folder, set(paths), cache.limit - min(sum(paths.values()), cache.limit))
    kept: dict[Path, int] = {}  # two sources may be one, opened twice
    for source, path, slot in planned:
        if path not in kept:
            kept[path] = max(min(len(source), room // slot.itemsize), 0)
            room -= kept[path] * slot.itemsize
        yield CachedSource(source, path, kept[path], slot)


def _remaining(folder: Path, wanted: set[Path], allowed: int) -> int:
    """Removes files of earlier runs until they take `allowed` bytes; returns what they take, more if some are used."""
    found = [(file.stat(), file) for file in folder.glob("*" + SUFFIX) if file not in wanted]
    taken = sum(stat.st_blocks * 512 for stat, _ in found)
    for stat, file in sorted(found, key=lambda one: one[0].st_mtime):
        if taken > allowed and _unused(file):
            file.unlink(missing_ok=True)
            taken -= stat.st_blocks * 512
    return taken


@contextlib.contextmanager
def _held(path: Path, size: int) -> Iterator[None]:
    """Makes a file of slots that no other run removes meanwhile, and cuts off what is beyond a size."""
    import fcntl  # not on Windows, where nothing is trained

    with open(os.open(path, os.O_RDWR | os.O_CREAT, 0o666), "r+b", buffering=0) as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        if os.fstat(file.fileno()).st_size > size:
            file.truncate(size)
        path.with_suffix(".full").unlink(missing_ok=True)
        yield


def _unused(path: Path) -> bool:
    import fcntl

    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
    except OSError:
        return False
