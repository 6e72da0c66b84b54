"""A run's log: its first lines, a progress bar, one line of JSON per log window, and TensorBoard events."""
import contextlib
import json
import os
import struct
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import jax
import numpy as np
from tqdm import tqdm

from kpjax.errors import InputError
from kpjax.files import GrowingFile, strict, write_text, writing
from kpjax.structures import Example
from kpjax.training.run_folder import versions

PLAIN_INTERVAL = 10.0  # seconds between progress lines where there is no terminal to draw a bar on


def require_accelerator() -> None:
    """Raises InputError if JAX found no accelerator and would fall back to the CPU."""
    if jax.default_backend() == "cpu":
        raise InputError("require_accelerator: JAX found only the CPU; install kpjax[cuda] or kpjax[tpu], and check "
                         "that the driver sees the device")


def environment_lines() -> list[str]:
    """Returns two lines: backend, number and kind of devices; versions of the packages that decide the result."""
    kinds = sorted({device.device_kind for device in jax.devices()})
    processes = f", {jax.process_count()} processes" if jax.process_count() > 1 else ""
    return [f"{jax.default_backend()}: {jax.device_count()} x {', '.join(kinds)}{processes}",
            ", ".join(f"{name} {version}" for name, version in versions().items())]


def stage_lines(stage: str, sources: Mapping[str, object], batch: Mapping[str, Example], state) -> list[str]:
    """Returns the size of each stream's data, the visible share of its first batch, and the number of parameters."""
    lines = []
    for name, example in batch.items():
        source = sources[name]
        size = f"{len(source)} examples" if hasattr(source, "__len__") else "examples"
        visible = np.asarray(example.visible)
        labels = f"{visible.mean():.0%} of the keypoints of the first batch visible" if visible.any() else "no labels"
        lines.append(f"{stage}: {name} = {getattr(source, 'name', '?')}, {size}, {labels}")
    trainable = _count(state.variables.get("params", {}))
    lines.append(f"{stage}: {trainable + _count(state.frozen):,} parameters, {trainable:,} of them trained")
    return lines


def _count(tree) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


class Log:
    """The log of one stage; a context manager. Only process 0 writes.

    Rows of `metrics.jsonl` are flat: `step`, `stage` and numbers. Rows of other stages stay. Rows of this stage past
    `start` are dropped: a killed run wrote them after its last checkpoint, and they will be written again.
    """

    def __init__(self, folder: Path, stage: str, start: int, steps: int, quiet: bool):
        self.folder, self.stage, self.start, self.steps = folder, stage, start, steps
        self.writes = jax.process_index() == 0
        self.shows = self.writes and not quiet
        self.plain = not sys.stderr.isatty()

    def __enter__(self):
        self.reported = time.monotonic()
        self.bar = tqdm(total=self.steps, initial=self.start, desc=self.stage, disable=not self.shows or self.plain,
                        dynamic_ncols=True, bar_format="{desc} {n_fmt}/{total_fmt} {bar} {postfix}")
        if self.writes:
            path = self.folder / "metrics.jsonl"
            keep_rows(path, self.stage, self.start)
            with writing(path):
                self.rows = GrowingFile(path)
                self.events = EventFile(self.folder / "tensorboard" / self.stage, self.start + 1)
        return self

    def __exit__(self, *raised):
        self.bar.close()
        if self.writes:
            # A full disc was reported when a row was written.
            with contextlib.suppress(OSError, InputError):
                self.rows.close()
                self.events.close()

    def row(self, step: int, metrics: Mapping[str, float]) -> None:
        """Appends a row. Raises InputError if the disc refuses."""
        if not self.writes:
            return
        with writing(self.folder / "metrics.jsonl"):
            values = {name: float(value) for name, value in metrics.items()}
            row = json.dumps({"step": step, "stage": self.stage} | strict(values), allow_nan=False)
            self.rows.write(f"{row}\n".encode())
            self.events.add(step, values)

    def keep(self) -> None:
        """Returns once all rows so far would outlast this process."""
        if self.writes:
            self.rows.keep()
            self.events.file.keep()

    def progress(self, step: int, steps_per_second: float, images_per_step: int, metrics: Mapping[str, float]) -> None:
        """Moves the bar; without a terminal, prints a line every few seconds."""
        left = (self.steps - step) / steps_per_second if steps_per_second > 0 else 0.0
        loss = f", loss {metrics['loss/total']:.4g}" if "loss/total" in metrics else ""
        text = (f"{steps_per_second:.1f} steps/s, {steps_per_second * images_per_step:.0f} images/s, "
                f"{tqdm.format_interval(left)} left{loss}")
        self.bar.n = step
        self.bar.set_postfix_str(text)
        if self.shows and self.plain and (time.monotonic() - self.reported > PLAIN_INTERVAL or step == self.steps):
            self.reported = time.monotonic()
            self.say(f"{self.stage} {step}/{self.steps}: {text}")

    def say(self, *lines: str) -> None:
        """Prints lines above the bar."""
        if self.shows:
            for line in lines:
                self.bar.write(line, file=sys.stderr) if not self.plain else print(line, file=sys.stderr, flush=True)


def keep_rows(path: Path, stage: str, last_step: int) -> None:
    """Drops the rows of a stage past a step, and a last line that a killed process left unfinished."""
    if not path.exists():
        return
    text = path.read_bytes().decode(errors="replace")
    lines = text.splitlines()
    kept = [line for line in lines if _belongs(line, stage, last_step)]
    if kept != lines or not text.endswith("\n"):
        write_text(path, "".join(line + "\n" for line in kept))


def _belongs(line: str, stage: str, last_step: int) -> bool:
    try:
        row = json.loads(line)
        return row["stage"] != stage or row["step"] <= last_step
    except (ValueError, KeyError, TypeError):
        return False


def read_rows(path: Path, names: Sequence[str] = ()) -> list[dict]:
    """Reads the rows of `metrics.jsonl` that have all of `names`."""
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return [row for row in rows if all(name in row for name in names)]


# TensorBoard's event files: the few kinds of records that curves of scalars need

def _table() -> tuple[int, ...]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return tuple(table)


TABLE = _table()


def crc32c(content: bytes) -> int:
    """Computes the checksum of Castagnoli (RFC 3720), an unsigned 32-bit number."""
    value = 0xFFFFFFFF
    for byte in content:
        value = TABLE[(value ^ byte) & 0xFF] ^ value >> 8
    return value ^ 0xFFFFFFFF


def record(content: bytes) -> bytes:
    """Builds one record of an event file."""
    length = struct.pack("<Q", len(content))
    return length + _masked(length) + content + _masked(content)


def _masked(content: bytes) -> bytes:
    value = crc32c(content)
    return struct.pack("<I", ((value >> 15 | value << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def _number(value: int) -> bytes:
    """Encodes a variable-length integer: seven bits a byte, the lowest first."""
    found = b""
    while value > 127:
        found += bytes([value & 127 | 128])
        value >>= 7
    return found + bytes([value])


def _field(number: int, content: bytes) -> bytes:
    """Encodes a field of text or of a nested message."""
    return _number(number << 3 | 2) + _number(len(content)) + content


def _event(step: int, content: bytes, wall_time: float) -> bytes:
    return b"\x09" + struct.pack("<d", wall_time) + b"\x10" + _number(step) + content


def version_event(wall_time: float) -> bytes:
    """Builds the first event of every file."""
    return _event(0, _field(3, b"brain.Event:2"), wall_time)


def restart_event(step: int, wall_time: float) -> bytes:
    """Builds the event of a resumed run: values of older files from this step on do not count."""
    return _event(step, _field(7, b"\x08\x01"), wall_time)


def scalars_event(step: int, values: Mapping[str, float], wall_time: float) -> bytes:
    """Builds the event of some named numbers at a step."""
    with np.errstate(over="ignore"):
        words = {name: np.asarray(value).astype("<f4").tobytes() for name, value in values.items()}
    summary = b"".join(_field(1, _field(1, name.encode()) + b"\x15" + word) for name, word in words.items())
    return _event(step, _field(5, summary), wall_time)


class EventFile:
    """A new event file in a folder, for values from step `first` on."""

    def __init__(self, folder: Path, first: int):
        now = time.time()
        self.file = GrowingFile(folder / f"events.out.tfevents.{now:017.6f}.{os.getpid()}.kpjax")
        self.file.write(record(version_event(now)) + record(restart_event(first, now)))

    def add(self, step: int, values: Mapping[str, float]) -> None:
        self.file.write(record(scalars_event(step, values, time.time())))

    def close(self) -> None:
        self.file.close()
