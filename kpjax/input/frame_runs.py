"""Runs of consecutive frames of a video, for losses on motion."""
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from kpjax.errors import InputError
from kpjax.input.source import stacked, strip_labels
from kpjax.input.stream import SourceStream, endless, stream
from kpjax.structures import Example

if TYPE_CHECKING:  # it reads videos by FFmpeg's library
    from kpjax.input.video_source import VideoSource


@dataclass(frozen=True, eq=False)
class RunStream:
    """An endless stream of runs: `stream[step]` has this process's frames of run `step`, in order, without labels."""

    source: "VideoSource"
    batch_size: int  # frames of a run
    rows: range  # of this process in each run
    firsts: np.ndarray = field(repr=False)  # frames of the source that begin a run
    order: Sequence[int] = field(repr=False)  # step -> index in `firsts`
    repeats: bool = True

    def __getitem__(self, step: int) -> Example:
        first = int(self.firsts[int(self.order[step])])
        return strip_labels(stacked([self.source[first + row] for row in self.rows]))


def frame_runs(
    source: "VideoSource", *, length: int, seed: int, process_index: int = 0, process_count: int = 1
) -> RunStream:
    """Returns runs of `length` frames of one video, each equally far from the next as the nearest frames of the source.

    Every epoch begins one run at each frame that can begin one. A run depends on the seed and the step only; it is
    divided among the processes. Raises InputError for fewer than two frames, where no video is that long without a gap,
    or where the processes cannot divide a run equally.
    """
    if length < 2:
        raise InputError("length", f"{length} frames; a run has at least 2")
    steps = np.where(np.diff(source.video) == 0, np.diff(source.frame), 0)
    spacing = steps[steps > 0].min(initial=np.iinfo(np.int32).max)
    fits = np.convolve(steps == spacing, np.ones(length - 1, int), "valid") == length - 1
    if not fits.any():
        raise InputError("length", f"no video of {source.name} has {length} frames one after another; give fewer")
    firsts = np.flatnonzero(fits)
    divided: SourceStream = stream(source, batch_size=length, seed=seed, repeats=True, process_index=process_index,
                                  process_count=process_count)
    return RunStream(source, length, divided.rows, firsts, endless(len(firsts), seed))
