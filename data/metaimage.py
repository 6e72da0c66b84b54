"""A reader of image stacks in MetaImage files (.mha): a text header, then the pixels, raw or
zlib-compressed.
"""

import zlib
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from data.checking import exists
from kpjax.errors import InputError

LONGEST_HEADER = 2**16  # bytes
CHUNK = 2**20  # bytes per read


class Stack(NamedTuple):
    """A stack on disk: `count` images (height, width, channels) uint8, one after the other."""

    path: Path
    offset: int  # bytes before the first one
    compressed: bool
    count: int
    height: int
    width: int
    channels: int

    @property
    def image_bytes(self) -> int:
        return self.height * self.width * self.channels


def read_stack(path: Path, faults: list[str]) -> Stack | None:
    """Reads the header of a stack of bytes, None (and a fault) if it is anything else or the file
    is truncated.
    """
    if not exists(path, faults):
        return None
    with path.open("rb") as file:
        header = file.read(LONGEST_HEADER)
    fields, offset = _fields(header)
    if fields.get("ElementDataFile") != "LOCAL":
        faults.append(
            f"{path.name}: expected ElementDataFile LOCAL (pixels in the same file), found "
            f"{fields.get('ElementDataFile')!r}; this is not a .mha file, or its header is damaged"
        )
        return None
    size, channels = fields.get("DimSize", "").split(), fields.get("ElementNumberOfChannels", "1")
    if len(size) != 3 or not all(one.isdecimal() and int(one) for one in (*size, channels)):
        faults.append(
            f"{path.name}: expected DimSize with width, height and count, found {fields.get('DimSize')!r} "
            f"with {channels} channels; download the stack again"
        )
        return None
    if fields.get("ElementType") not in ("MET_UCHAR", "MET_UCHAR_ARRAY"):
        faults.append(
            f"{path.name}: expected ElementType MET_UCHAR (bytes), found {fields.get('ElementType')!r}"
        )
        return None
    width, height, count = map(int, size)
    stack = Stack(
        path,
        offset,
        fields.get("CompressedData", "False").lower() in ("true", "1"),
        count,
        height,
        width,
        int(channels),
    )
    stated = fields.get("CompressedDataSize", "")
    needed = (
        (int(stated) if stated.isdecimal() else 1)
        if stack.compressed
        else count * stack.image_bytes
    )
    if (there := path.stat().st_size - offset) < needed:
        faults.append(
            f"{path.name}: expected {needed:,} bytes of pixels, found {there:,}; the file is cut off, "
            "download it again"
        )
        return None
    return stack


def _fields(header: bytes) -> tuple[Mapping[str, str], int]:
    """Parses a header; returns its fields and where it ends."""
    fields: dict[str, str] = {}
    start = 0
    while "ElementDataFile" not in fields and (end := header.find(b"\n", start)) >= 0:
        name, equals, value = header[start:end].decode("ascii", errors="replace").partition("=")
        if not equals:
            break
        fields[name.strip()] = value.strip()
        start = end + 1
    return fields, start


def images(stack: Stack, wanted: Collection[int]) -> Iterator[tuple[int, np.ndarray]]:
    """Yields the wanted images (H, W, C) uint8 in the order of the stack, each after its number,
    from 0.

    One image at a time is in memory. Raises InputError if the pixels are damaged.
    """
    shape = (stack.height, stack.width, stack.channels)
    with stack.path.open("rb") as file:
        file.seek(stack.offset)
        if not stack.compressed:
            for number in sorted(wanted):
                file.seek(stack.offset + number * stack.image_bytes)
                yield number, np.frombuffer(file.read(stack.image_bytes), np.uint8).reshape(shape)
            return
        unpacked = _unpack(file, stack.image_bytes, stack.path.name)
        for number in range(stack.count):  # to the end even if fewer are wanted, for the checksum
            pixels = next(unpacked, None)
            if pixels is None:
                raise InputError(
                    f"{stack.path.name}: the pixels end within image {number + 1}; download it again"
                )
            if number in wanted:
                yield number, np.frombuffer(pixels, np.uint8).reshape(shape)
        next(unpacked, None)


def _unpack(file: BinaryIO, size: int, name: str) -> Iterator[bytes]:
    """Yields the decompressed bytes in parts of `size`."""
    engine, part = zlib.decompressobj(), bytearray()
    packed, got = file.read(CHUNK), b""
    while packed or got:
        try:
            got = engine.decompress(packed, size - len(part))
        except zlib.error as error:
            raise InputError(
                f"{name}: the pixels are damaged: {error}; download it again"
            ) from error
        part += got
        if len(part) == size:
            yield bytes(part)
            part = bytearray()
        packed = engine.unconsumed_tail or (b"" if engine.eof else file.read(CHUNK))
