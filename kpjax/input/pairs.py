"""Pairs of frames of one video, for methods that learn from motion."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Literal

import numpy as np

from kpjax.errors import InputError, summarise
from kpjax.input.source import stack_examples, strip_labels
from kpjax.input.stream import SourceStream, stream
from kpjax.input.video_source import VideoSource
from kpjax.structures import Example

Crop = Literal["own", "union", "first"]
_REFERENCE = 0x726566  # separates these random numbers from others of a seed


@dataclass(frozen=True, eq=False)
class PairStream:
    """One half of an endless stream of pairs: `stream[step]` has this process's examples of global
    batch `step`.

    A pair depends on the seed and its position in the stream only.
    """

    frames: SourceStream
    #: step -> (frame, reference) in the source for each example
    pairs: Callable[[int], tuple[tuple[int, int], ...]]
    crop: Crop
    half: Literal[0, 1]  # 0: frames, 1: their references
    window: int  # the largest distance of a pair, in frames

    @property
    def source(self) -> VideoSource:
        return self.frames.source

    @property
    def batch_size(self) -> int:
        return self.frames.batch_size

    @property
    def seed(self) -> int | None:
        return self.frames.seed

    @property
    def repeats(self) -> bool:
        return self.frames.repeats

    def __getitem__(self, step: int) -> Example:
        rows = []
        for pair in self.pairs(step):
            box = None if self.crop == "own" else _common_box(self.source, pair, self.crop)
            number = pair[self.half]
            row = self.source[number] if box is None else self.source.within(number, box)
            rows.append(row)
        return strip_labels(stack_examples(rows))


def frame_pairs(
    source: VideoSource,
    *,
    window: int,
    batch_size: int,
    seed: int,
    crop: Crop = "own",
    repeats: bool = False,
    process_index: int = 0,
    process_count: int = 1,
) -> dict[str, PairStream]:
    """Returns the unlabelled streams "frame" (each frame once per epoch) and "reference" (another
    frame of its video).

    The reference of frame i is uniform over the other frames of its video within `window` frames
    (Keypoint Pyramids, Qian et al. 2022: 250). Frames count as numbered in the video, even if some
    were left out. Example r of both streams is a pair, for any number of processes.

    Args:
        window: The largest distance of a pair, in frames.
        crop: "own" keeps the source's crops, if they are the same for all frames of a video.
            "union" and "first" crop both frames by one box, around both annotated boxes (Jakab et
            al. 2018) or that of the first frame: a crop that follows the person would leak its
            motion into the pair.

    Raises:
        InputError: For a video of one frame, a window longer than every video, a frame without
            another in its window, "union" or "first" without boxes, and "own" if frames of a video
            are cropped differently.
    """
    _check(source, window, crop)
    frames = stream(
        source,
        batch_size=batch_size,
        seed=seed,
        labelled=False,
        repeats=repeats,
        process_index=process_index,
        process_count=process_count,
    )
    pairs = partial(_draw_pairs, frames, window, seed)
    return {
        "frame": PairStream(frames, pairs, crop, 0, window),
        "reference": PairStream(frames, pairs, crop, 1, window),
    }


def reference_frames(source: VideoSource, number: int, window: int) -> np.ndarray:
    """Returns the examples that may be the reference of example `number`, in order: (n,) int64."""
    first, end = source.bounds[source.video[number]]
    frames = source.frame[first:end]
    own = int(source.frame[number])
    low = first + np.searchsorted(frames, own - window, "left")
    high = first + np.searchsorted(frames, own + window, "right")
    near = np.arange(low, high)
    return near[near != number]


# both halves of a step are read one after the other, so the second reuses the draw
@lru_cache(maxsize=8)
def _draw_pairs(
    frames: SourceStream, window: int, seed: int, step: int
) -> tuple[tuple[int, int], ...]:
    """Draws (frame, reference) in the source for each of this process's examples of a batch."""
    pairs = []
    for row in frames.rows:
        position = step * frames.batch_size + row
        number = frames.number(position)
        choices = reference_frames(frames.source, number, window)
        key = np.array([seed, _REFERENCE], np.uint64)
        counter = np.array([0, 0, 0, position], np.uint64)
        generator = np.random.Generator(np.random.Philox(key=key, counter=counter))
        choice = generator.integers(len(choices))
        pairs.append((number, int(choices[choice])))
    return tuple(pairs)


def _common_box(source: VideoSource, pair: tuple[int, int], crop: Crop) -> np.ndarray:
    """Returns one box (4,) x, y, width, height for both frames of a pair."""
    boxes = np.stack(
        [source.box(number) for number in (pair if crop == "union" else pair[:1])]
    ).astype(np.float64)
    low = boxes[:, :2].min(0)
    ends = boxes[:, :2] + boxes[:, 2:]
    high = ends.max(0)
    return np.concatenate([low, high - low])


def _check(source: VideoSource, window: int, crop: Crop) -> None:
    if window < 1:
        raise InputError("window", f"{window} frames; give at least 1")
    lengths = np.diff(source.bounds, axis=1)[:, 0]
    short = [source.titles[number] for number in np.flatnonzero(lengths < 2)]
    if short:
        raise InputError(
            f"{source.name}: {len(short)} of {len(lengths)} videos have a single frame: "
            f"{summarise(short)}; leave them out"
        )
    first = source.bounds[:, 0]
    last = source.bounds[:, 1] - 1
    spans = source.frame[last] - source.frame[first]
    if window > spans.max() + 1:
        raise InputError(
            "window",
            f"{window} frames, but the longest video of {source.name} spans {spans.max() + 1}; "
            f"give at most {spans.max()}",
        )
    steps = np.diff(source.frame)
    within = np.diff(source.video) == 0
    near = within & (steps <= window)
    alone = ~(np.append(near, False) | np.append(False, near))
    if alone.any():
        number = int(np.argmax(alone))
        raise InputError(
            "window",
            f"{int(alone.sum())} frames of {source.name} have no other within {window}, the "
            f"first is {source.identity(number)}; choose a wider window",
        )
    if crop == "own" and source.cropped_anew:
        raise InputError(
            "crop",
            f"the transform of {source.name} crops each frame on its own, which leaks motion; "
            "choose union or first, or a transform of whole frames",
        )
    if crop != "own" and source.box(0) is None:
        raise InputError(
            "crop", f"{crop} needs annotated boxes, which {source.name} lacks; choose own"
        )
