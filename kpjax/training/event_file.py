"""TensorBoard's event files: the few kinds of records that curves of scalars need.

The package that could write them imports PyTorch wherever that is installed, for seconds at every start.
A record is its length, the length's checksum, a protocol buffer `Event`, and that one's checksum
(tensorflow/core/lib/io/record_writer.h, tensorflow/core/util/event.proto).
"""
import os
import struct
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np


def _table() -> tuple[int, ...]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return tuple(table)


TABLE = _table()


def crc32c(content: bytes) -> int:
    """The checksum of Castagnoli (RFC 3720), as an unsigned 32-bit number."""
    value = 0xFFFFFFFF
    for byte in content:
        value = TABLE[(value ^ byte) & 0xFF] ^ value >> 8
    return value ^ 0xFFFFFFFF


def record(content: bytes) -> bytes:
    """One record of an event file."""
    length = struct.pack("<Q", len(content))
    return length + _masked(length) + content + _masked(content)


def _masked(content: bytes) -> bytes:
    value = crc32c(content)
    return struct.pack("<I", ((value >> 15 | value << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def _number(value: int) -> bytes:
    """A variable-length integer: seven bits a byte, the lowest first."""
    found = b""
    while value > 127:
        found += bytes([value & 127 | 128])
        value >>= 7
    return found + bytes([value])


def _field(number: int, content: bytes) -> bytes:
    """A field of text or of a nested message."""
    return _number(number << 3 | 2) + _number(len(content)) + content


def _event(step: int, content: bytes, wall_time: float) -> bytes:
    return b"\x09" + struct.pack("<d", wall_time) + b"\x10" + _number(step) + content


def version_event(wall_time: float) -> bytes:
    """The first event of every file."""
    return _event(0, _field(3, b"brain.Event:2"), wall_time)


def restart_event(step: int, wall_time: float) -> bytes:
    """Says that a run went on here: values at this step and later ones in older files do not count."""
    return _event(step, _field(7, b"\x08\x01"), wall_time)


def scalars_event(step: int, values: Mapping[str, float], wall_time: float) -> bytes:
    """Numbers under their names at a step."""
    with np.errstate(over="ignore"):
        words = {name: np.asarray(value).astype("<f4").tobytes() for name, value in values.items()}
    summary = b"".join(_field(1, _field(1, name.encode()) + b"\x15" + word) for name, word in words.items())
    return _event(step, _field(5, summary), wall_time)


class EventFile:
    """A new event file in a folder, for values from step `first` on."""

    def __init__(self, folder: Path, first: int):
        folder.mkdir(parents=True, exist_ok=True)
        now = time.time()
        self.file = (folder / f"events.out.tfevents.{now:017.6f}.{os.getpid()}.kpjax").open("wb")
        self.file.write(record(version_event(now)) + record(restart_event(first, now)))

    def add(self, step: int, values: Mapping[str, float]) -> None:
        self.file.write(record(scalars_event(step, values, time.time())))
        self.file.flush()

    def close(self) -> None:
        self.file.close()
