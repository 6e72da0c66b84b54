"""Pictures written as a video that browsers play."""
from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from kpjax.errors import InputError

CLOCK = 90_000  # time stamps a second; every usual rate is a whole number of them


def write_video(
    path: Path, frames: Iterable[np.ndarray], *, rate: float = 25.0, times: Sequence[float] | np.ndarray | None = None,
) -> Path:
    """Writes frames (H, W, 3) uint8 as H.264 (yuv420p) and returns the path.

    rate: frames a second. times: when each frame is shown, in seconds, rising; it takes the place of `rate`, so that a
    video of variable rate keeps its times. An odd width or height is padded by one black column or row, since H.264
    has none. The file appears under its name once it is whole. Raises InputError without a frame, for frames of
    several sizes, or times that do not rise or are not as many as the frames.
    """
    path = Path(path)
    partial = path.with_name(f".{path.stem}.partial{path.suffix or '.mp4'}")
    clock = Fraction(1, CLOCK)
    last = None
    try:
        with av.open(partial, "w") as container:
            stream = None
            for number, image in enumerate(frames):
                if stream is None:
                    size = image.shape
                    stream = container.add_stream("libx264", rate=Fraction(rate).limit_denominator(1001))
                    stream.width, stream.height = (length + length % 2 for length in (size[1], size[0]))
                    stream.pix_fmt, stream.codec_context.time_base = "yuv420p", clock
                    stream.options = {"crf": "18", "preset": "veryfast"}
                if image.shape != size:
                    raise InputError(f"{path}: frame {number} is {image.shape[1]}x{image.shape[0]}, those before are "
                                     f"{size[1]}x{size[0]}; a video has one size")
                last = _encode(container, stream, image, _stamp(path, number, rate, times, last))
            if stream is None:
                raise InputError(f"{path}: there is no frame to write; give at least one")
            if times is not None and number + 1 != len(times):
                raise InputError(f"{path}: {number + 1} frames and {len(times)} times; give each frame its time")
            container.mux(stream.encode())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return path


def _stamp(path: Path, number: int, rate: float, times, last: int | None) -> int:
    if times is not None and number >= len(times):
        raise InputError(f"{path}: more frames than the {len(times)} times; give each frame its time")
    stamp = round((number / rate if times is None else float(times[number])) * CLOCK)
    if last is not None and stamp <= last:
        raise InputError(f"{path}: frame {number} is shown at {stamp / CLOCK:g} s, the one before at {last / CLOCK:g} "
                         "s; times must rise")
    return stamp


def _encode(container, stream, image: np.ndarray, stamp: int) -> int:
    padded = np.pad(image, [(0, stream.height - image.shape[0]), (0, stream.width - image.shape[1]), (0, 0)])
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(padded), format="rgb24")
    frame.pts, frame.time_base = stamp, Fraction(1, CLOCK)
    container.mux(stream.encode(frame))
    return stamp
