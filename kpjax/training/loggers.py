"""Where the numbers of a run go: lines of JSON, TensorBoard's events, Weights & Biases, or anything
like a `Logger`.
"""

import json
import os
import struct
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol
from uuid import uuid4

from etils import epath

from kpjax.errors import InputError
from kpjax.files import GrowingFile, strict, write_text, writing


class Logger(Protocol):
    """A place for the numbers of one stage. Process 0 alone opens one."""

    def write(self, step: int, metrics: Mapping[str, float]) -> None:
        """Adds named numbers of a step.

        A resumed stage may write steps again that came after its checkpoint.
        """

    def keep(self) -> None:
        """Returns once all numbers so far would outlast this process; called with every
        checkpoint."""

    def close(self) -> None:
        """Ends the log, also after a fault."""


# (folder of the run, stage, the last step that counts)
OpenLogger = Callable[[epath.Path, str, int], Logger]


class JsonLines:
    """Rows of `metrics.jsonl`: `step`, `stage` and numbers.

    Rows of other stages stay. Rows of this stage past `start` are dropped: a killed run wrote them
    after its last checkpoint, and they will be written again.
    """

    def __init__(self, folder: epath.Path, stage: str, start: int):
        self.stage = stage
        path = folder / "metrics.jsonl"
        keep_rows(path, stage, start)
        self.file = GrowingFile(path)

    def write(self, step: int, metrics: Mapping[str, float]) -> None:
        values = {"step": step, "stage": self.stage} | strict(metrics)
        row = json.dumps(values, allow_nan=False)
        with writing(self.file.path):
            self.file.write(f"{row}\n".encode())

    def keep(self) -> None:
        self.file.keep()

    def close(self) -> None:
        self.file.close()


class TensorBoard:
    """A new file of TensorBoard's events in `tensorboard/<stage>`; values of older files past
    `start` do not count.
    """

    def __init__(self, folder: epath.Path, stage: str, start: int):
        from tensorboardX.proto.event_pb2 import Event, SessionLog  # takes a second

        self.event = Event
        now = time.time()
        name = f"events.out.tfevents.{now:017.6f}.{os.getpid()}.kpjax"
        self.file = GrowingFile(folder / "tensorboard" / stage / name)
        self._add(Event(wall_time=now, file_version="brain.Event:2"))
        self._add(
            Event(wall_time=now, step=start + 1, session_log=SessionLog(status=SessionLog.START))
        )

    def write(self, step: int, metrics: Mapping[str, float]) -> None:
        values = [{"tag": name, "simple_value": value} for name, value in metrics.items()]
        self._add(self.event(wall_time=time.time(), step=step, summary={"value": values}))

    def keep(self) -> None:
        self.file.keep()

    def close(self) -> None:
        self.file.close()

    def _add(self, event: Any) -> None:
        from tensorboardX.record_writer import masked_crc32c

        content = event.SerializeToString()
        length = struct.pack("<Q", len(content))
        # in its own records: a writer of the library's cannot write into a bucket
        with writing(self.file.path):
            self.file.write(
                b"".join(
                    (
                        length,
                        struct.pack("<I", masked_crc32c(length)),
                        content,
                        struct.pack("<I", masked_crc32c(content)),
                    )
                )
            )


def weights_and_biases(project: str) -> OpenLogger:
    """Returns what opens a run of Weights & Biases for each stage; a resumed stage goes on in the
    same run.

    Raises InputError without the package, which the extra `wandb` brings.
    """
    try:
        import wandb
    except ImportError:
        raise InputError(
            "wandb", "the package wandb is not installed; install kpjax[wandb]"
        ) from None

    def open_run(folder: epath.Path, stage: str, start: int) -> Logger:
        # a run's id: that of its folder alone has others, too
        kept = folder / f"wandb-{stage.replace(' ', '_')}.txt"
        identity = kept.read_text() if kept.exists() else uuid4().hex
        write_text(kept, identity)
        return _WandbRun(
            wandb.init(
                project=project,
                name="-".join([*folder.parts[-5:], stage]),
                id=identity,
                resume="allow",
                reinit="create_new",
                dir=None if "://" in os.fspath(folder) else os.fspath(folder),
            )
        )

    return open_run


class _WandbRun:
    def __init__(self, run: Any):
        self.run = run
        # its own count of steps could not go back after a resume
        run.define_metric("*", step_metric="step")

    def write(self, step: int, metrics: Mapping[str, float]) -> None:
        self.run.log({"step": step, **metrics})

    def keep(self) -> None:
        pass  # it sends by itself

    def close(self) -> None:
        self.run.finish()


def keep_rows(path: epath.Path, stage: str, last_step: int) -> None:
    """Drops the rows of a stage past a step, and a last line that a killed process left
    unfinished."""
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
    except (ValueError, KeyError, TypeError, RecursionError):
        return False


def read_rows(path: epath.Path, names: Sequence[str] = ()) -> list[dict]:
    """Reads the rows of `metrics.jsonl` that have all of `names`."""
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return [row for row in rows if all(name in row for name in names)]
