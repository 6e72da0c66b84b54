"""Stacks of images in a MetaImage file (.mha): a few lines of text, then the pixels, as they are or under zlib."""
import zlib
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from kpjax.errors import InputError

LONGEST_HEADER = 2**16  # bytes
CHUNK = 2**20  # bytes that are read at once


class Stack(NamedTuple):
    """Where the images of a file are: `count` times (height, width, channels) uint8, one after the other."""

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
    """What the header of a file says, None (and a fault) if it is none of a stack of bytes, or the file is cut off."""
    if not path.is_file():
        faults.append(f"{path.name} is missing, expected at {path}")
        return None
    with path.open("rb") as file:
        header = file.read(LONGEST_HEADER)
    fields, offset = _fields(header)
    if fields.get("ElementDataFile") != "LOCAL":
        faults.append(f"{path.name}: ElementDataFile is {fields.get('ElementDataFile')!r} where LOCAL, pixels in the "
                      "file itself, belongs; this is no .mha file, or its header is damaged")
        return None
    size, channels = fields.get("DimSize", "").split(), fields.get("ElementNumberOfChannels", "1")
    if len(size) != 3 or not all(one.isdigit() and int(one) for one in (*size, channels)):
        faults.append(f"{path.name}: DimSize is {fields.get('DimSize')!r} of {channels} channels where width, height "
                      "and count belong; fetch the stack again")
        return None
    if fields.get("ElementType") not in ("MET_UCHAR", "MET_UCHAR_ARRAY"):
        faults.append(f"{path.name}: ElementType is {fields.get('ElementType')!r} where MET_UCHAR, bytes, belongs")
        return None
    width, height, count = map(int, size)
    stack = Stack(path, offset, fields.get("CompressedData", "False").lower() in ("true", "1"), count, height, width,
                  int(channels))
    stated = fields.get("CompressedDataSize", "")
    needed = (int(stated) if stated.isdigit() else 1) if stack.compressed else count * stack.image_bytes
    if (there := path.stat().st_size - offset) < needed:
        faults.append(f"{path.name}: {there:,} bytes of pixels where {needed:,} belong; the file is cut off")
        return None
    return stack


def _fields(header: bytes) -> tuple[Mapping[str, str], int]:
    """The fields of a header and where it ends."""
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
    """The wanted images in the order of the stack, each with its number from 0: (H, W, C) uint8.

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
        unpacked = _unpacked(file, stack.image_bytes, stack.path.name)
        for number in range(stack.count):  # to the end even if fewer are wanted: there is the checksum
            pixels = next(unpacked, None)
            if pixels is None:
                raise InputError(f"{stack.path.name}: its pixels end within image {number + 1}; fetch it again")
            if number in wanted:
                yield number, np.frombuffer(pixels, np.uint8).reshape(shape)
        next(unpacked, None)


def _unpacked(file: BinaryIO, size: int, name: str) -> Iterator[bytes]:
    """What zlib packed, in parts of `size` bytes."""
    engine, part = zlib.decompressobj(), bytearray()
    packed, got = file.read(CHUNK), b""
    while packed or got:
        try:
            got = engine.decompress(packed, size - len(part))
        except zlib.error as error:
            raise InputError(f"{name}: its pixels are damaged: {error}; fetch it again") from error
        part += got
        if len(part) == size:
            yield bytes(part)
            part = bytearray()
        packed = engine.unconsumed_tail or (b"" if engine.eof else file.read(CHUNK))
