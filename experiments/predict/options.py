"""The flags of `python -m experiments predict`."""
import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from kpjax.annotations.predictions import FORMATS
from kpjax.errors import InputError

ON_BAD_FRAME = ("stop", "skip")


class Options(NamedTuple):
    """What the flags say."""

    formats: tuple[str, ...] = ("csv",)
    overlay: bool | None = None  # None: pictures and a sheet, but no videos
    boxes: Path | None = None
    frames: slice = slice(None)
    cutoff: float | None = None  # None: that of the run, if labels gave it one
    on_bad_frame: str = "stop"
    batch_size: int = 16
    overwrite: bool = False


def check_options(options: Options) -> None:
    """Raises InputError for a value that means nothing."""
    if options.on_bad_frame not in ON_BAD_FRAME:
        raise InputError(f"--on-bad-frame: {options.on_bad_frame!r} is neither stop nor skip")
    if options.batch_size < 1:
        raise InputError(f"--batch-size: {options.batch_size} is no number of pictures; give 1 or more")
    if options.cutoff is not None and not np.isfinite(options.cutoff):
        raise InputError(f"--cutoff: {options.cutoff} is no score")


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are InputErrors, one line each."""

    def error(self, message: str):
        raise InputError(f"experiments predict: {message}; see --help")


def read_flags(arguments: Sequence[str], description: str) -> tuple[Path, list[Path], Path, Options]:
    """The run, the inputs, the folder of results and the options. Raises InputError; exits 0 for --help."""
    parser = _Parser(prog="python -m experiments predict", description=description,
                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", metavar="RUN", type=Path,
                        help="a finished run's folder, .../<variant>/seed-<n>, or an exported predictor's")
    parser.add_argument("inputs", metavar="IN", type=Path, nargs="+", help="pictures, videos, folders of them")
    parser.add_argument("--out", required=True, metavar="FOLDER", type=Path, help="where results go")
    parser.add_argument("--formats", default="csv", metavar="LIST",
                        help=f"beside csv, with commas between: {', '.join(name for name in FORMATS if name != 'csv')}")
    parser.add_argument("--overlay", "--overlays", action=argparse.BooleanOptionalAction, default=None,
                        help="draw videos too, or draw nothing (default: pictures, and a sheet of a few frames)")
    parser.add_argument("--boxes", type=Path, metavar="FILE",
                        help="boxes of the animals (COCO json, or csv), where a frame has several")
    parser.add_argument("--frames", default="", metavar="A:B", help="frames A to B - 1 of each video; A:B:N every Nth")
    parser.add_argument("--cutoff", type=float, metavar="SCORE", help="draw points from this score on")
    parser.add_argument("--on-bad-frame", "--on-bad-image", choices=ON_BAD_FRAME, default="stop",
                        help="what to do about pictures, or over 1 %% of a video, that do not decode (default stop)")
    parser.add_argument("--batch-size", type=int, default=16, help="pictures at a time (default 16)")
    parser.add_argument("--overwrite", action="store_true", help="replace earlier results in FOLDER")
    flags = parser.parse_args(arguments)
    formats = tuple(name for part in flags.formats.split(",") if (name := part.strip()))
    return flags.run, flags.inputs, flags.out, Options(
        formats, flags.overlay, flags.boxes, _frames(flags.frames), flags.cutoff, flags.on_bad_frame, flags.batch_size,
        flags.overwrite)


def _frames(text: str) -> slice:
    """A:B or A:B:N as a slice, every part of which may be left out."""
    parts = text.split(":") if text else ["", ""]
    if not 2 <= len(parts) <= 3 or not all(part == "" or part.isdigit() for part in parts) or parts[2:] == ["0"]:
        raise InputError(f"--frames: {text!r} is no range; give for example 0:100, or 0:1000:10 for every tenth")
    return slice(*(int(part) if part else None for part in parts))
