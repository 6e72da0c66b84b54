"""Commands for people's own data as typed dataclasses, and the parser, messages and exit codes of all command lines.

Nothing here imports JAX before a command runs, so that help is quick.
"""
import contextlib
import dataclasses
import importlib
import io
import os
import re
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args, get_type_hints

import tyro
from tyro.conf import DisallowNone, FlagCreatePairsOff, Positional, arg

from kpjax import InputError, RunError
from kpjax.allocator import keep_freed_memory, only_cpu

Parsed = TypeVar("Parsed")
INTERRUPTED = 143  # exit code after SIGTERM, as shells count: all processes of a run end with it together

# Parsing, messages, exit codes


def parse(command_type: Callable[..., Parsed], arguments: Sequence[str], *, prog: str, description: str | None = None
          ) -> Parsed:
    """Returns a command of a type that tyro builds, with the values of a command line. Exits with 0 for --help.

    prog: the program's name in help and errors. description: above the flags in help; by default the docstring of the
    type. Raises InputError for an unknown flag, a missing argument or an invalid value, in one line.
    """
    with _errors_in_one_line(arguments, prog):
        return tyro.cli(command_type, args=arguments, prog=prog, description=description)


def parse_known(command_type: Callable[..., Parsed], arguments: Sequence[str], *, prog: str,
                description: str | None = None) -> tuple[Parsed, list[str]]:
    """Returns a command, and the words of a command line that are not its own, for another parser."""
    with _errors_in_one_line(arguments, prog):
        return tyro.cli(command_type, args=arguments, prog=prog, description=description, return_unknown_args=True)


@contextlib.contextmanager
def _errors_in_one_line(arguments: Sequence[str], prog: str) -> Iterator[None]:
    caught = io.StringIO()
    stdout = sys.stdout if {"-h", "--help"} & set(arguments) else caught
    try:
        with contextlib.redirect_stderr(caught), contextlib.redirect_stdout(stdout):
            yield
    except SystemExit as stop:
        if stop.code in (0, None):
            raise
        # tyro's error is a coloured box, with a title and hints.
        text = re.sub(r"\x1b\[[0-9;]*m", "", caught.getvalue())
        lines = [line.strip("│╭╮╰╯─ \t") for line in text.splitlines()]
        words = " ".join(line for line in lines[1:] if line.strip("-"))
        words = re.split(r" ?(?:For full helptext|Argument helptext)", words)[0].rstrip(".")
        words = re.sub("^Missing from [^:]*:", "missing", words)
        raise InputError(f"{prog.removeprefix('python -m ')}: {words}; see --help") from None


def flags_of(command_type: type) -> dict[str, str]:
    """Returns the spelling of each field on the command line, such as {"video_root": "--video-root", "run": "RUN"}."""
    flags = {}
    for name, hint in get_type_hints(command_type, include_extras=True).items():
        inner, *marks = get_args(hint) or [hint]
        given = next((mark for mark in marks if hasattr(mark, "metavar")), arg())
        if dataclasses.is_dataclass(inner):
            flags |= flags_of(inner)
        elif Positional in marks:
            flags[name] = (given.metavar or name.upper()).rstrip(".")
        else:
            flags[name] = "--" + (given.name or name.replace("_", "-"))
    return flags


def as_flags(message: str, flags: Mapping[str, str]) -> str:
    """Translates names of arguments in a message to their spelling on the command line.

    A name is recognised where a colon follows it, at the start of the message or of a part of it, and anywhere if it
    has an underscore and belongs to no path. So are `name=True` and "another workdir". Alternatives that end a message,
    such as names of variants, stay as they are. flags: as `flags_of` returns.
    """
    alternatives = re.search(r"; (?:there are|it has) (?=\w+, )", message)
    message, listed = (message, "") if alternatives is None else (
        message[:alternatives.end()], message[alternatives.end():])
    long = [name for name in flags if "_" in name]
    for pattern, names in ((r"(?:^|(?<=[:;] ))(?:{})(?=:)", flags), (r"(?<![\w/\\.'\"-])(?:{})(?![\w/\\'\"-])", long),
                           (r"\b(?:{})=True\b", flags), (r"(?<=another )(?:{})\b", flags.keys() & {"workdir"})):
        if names:
            message = re.sub(pattern.format("|".join(names)), lambda found: flags[found[0].removesuffix("=True")],
                             message)
    return message + listed


@contextlib.contextmanager
def flags_in_messages(flags: Mapping[str, str]) -> Iterator[None]:
    """Translates names of arguments in the messages of errors, see `as_flags`."""
    try:
        yield
    except (InputError, RunError) as error:
        raise type(error)(as_flags(str(error), flags)) from error.__cause__


def exit_code_of(main: Callable[[], Any]) -> int:
    """Runs a command and returns its exit code, after printing an error's one line.

    0 at the end, 2 for input that a user can mend, 1 for a run that cannot go on, 130 after Ctrl-C, 141 where nobody
    reads on, as after `| head`, and 143 after SIGTERM, which leaves a checkpoint of the exact step. Of several
    processes, one that fails ends here at once: Python would wait for the others, and they for it.
    """
    code, message = 0, ""
    if only_cpu():
        keep_freed_memory()
    try:
        main()
        sys.stdout.flush()
    except InputError as error:
        code, message = 2, f"error: {error}"
    except RunError as error:
        code = getattr(error, "exit_code", 1)  # that of `kpjax.training.process.Interrupted`
        message = f"error: {error}" if code == 1 else str(error)
    except KeyboardInterrupt:
        code, message = 130, "stopped; the same command goes on from the last checkpoint"
    except Exception as error:
        if isinstance(error, BrokenPipeError) and _nobody_reads():
            code = 141
        else:
            code, message = 1, _of_bucket(error) or (_process() and _end_of_others(error))
            if not (message or _process()):
                raise
            message = message or traceback.format_exc()
    if message:
        print(_process() + message, file=sys.stderr, flush=True)
    if code and code != INTERRUPTED and _process():
        sys.stdout.flush()
        os._exit(code)
    return code


def _nobody_reads() -> bool:
    """Returns whether standard output is a closed pipe, and then gives up what is still to be written there."""
    try:
        print(flush=True)  # what could not be written before is lost, and flushing it alone tells nothing
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return True
    return False


def _process() -> str:
    """Returns "process 1: " in a run on several hosts, and nothing otherwise."""
    jax = sys.modules.get("jax")
    return f"process {jax.process_index()}: " if jax and jax.distributed.is_initialized() else ""


def _of_bucket(error: Exception) -> str:
    """Returns a line if an error was raised by a bucket's client, which tries what is worth it (429, 503) by itself."""
    clients = {"gcsfs", "aiohttp", "fsspec"}
    callers = (frame.f_globals.get("__name__", "") for frame, _ in traceback.walk_tb(error.__traceback__))
    if not clients & {name.partition(".")[0] for name in callers}:
        return ""
    reason = " ".join(str(error).split()) or type(error).__name__
    return f"error: a bucket cannot be read: {reason}; nothing there is lost, and the same command goes on"


def _end_of_others(error: Exception) -> str:
    """Returns a line if an error says no more than that another process has ended."""
    first = str(error).splitlines()[0] if str(error) else ""
    gone = ("Connection closed by peer", "Connection reset by peer", "coordination service", "NCCL")
    return f"error: another process has ended; its own message says why ({first})" if any(
        word in first for word in gone) else ""


# The commands

command = tyro.conf.configure(DisallowNone, FlagCreatePairsOff)
FormatName = Literal["coco", "dlc", "lp", "slp", "csv"]


@dataclass(frozen=True, kw_only=True)
class _AsRead:
    """How an annotation project is read."""

    category: str = ""  # the category of a COCO file with several
    video_root: Path | None = None  # the folder of videos that are not where the project says
    pixels_from: int = 0  # 1 if the top-left pixel is (1, 1)
    rescale_labels: bool = False  # scale the labels of images that were resized after labelling


@dataclass(frozen=True, kw_only=True)
class _OfProject(_AsRead):
    """Arguments of commands that read an annotation project."""

    project: Annotated[Positional[Path], arg(metavar="PROJECT")]  # a project's folder or file, in any known format


@dataclass(frozen=True, kw_only=True)
class _OfRun:
    """Arguments of commands that predict."""

    run: Annotated[Positional[str], arg(metavar="RUN")]  # a finished run .../<variant>/seed-<n>, or an exported one
    inputs: Annotated[Positional[tuple[Path, ...]], arg(metavar="IN...")]  # images, videos, folders of them
    out: Annotated[Path, arg(metavar="FOLDER")]  # where results go
    batch_size: int = 16  # images at a time
    overwrite: bool = False  # replace earlier results in FOLDER


@command
@dataclass(frozen=True, kw_only=True)
class Check(_OfProject):
    """Reports the contents and all faults of an annotation project, and draws its labels with their names.

    Prints the format, frames, sizes, labels of each keypoint, videos, duplicates and faults. The last line says which
    systems can be trained on the project. The exit code is 2 if anything is wrong.
    """

    out: Annotated[Path | None, arg(metavar="PNG")] = None  # the sheet of labels (default PROJECT's name, here)
    sheet: Annotated[int, arg(metavar="N")] = 12  # animals on the sheet, 0 for no sheet
    quick: bool = False  # do not decode images and videos


@command
@dataclass(frozen=True, kw_only=True)
class Predict(_OfRun):
    """Finds keypoints on images, folders of them and videos of any size, with a finished run or an exported predictor.

    Writes points.csv for all images together and <video>.csv for each video, with a row for every keypoint of every
    frame. Draws images in overlays/ and a sheet of a few frames.

    Coordinates are pixels of each image as it is shown, the centre of the top-left pixel at (0, 0). The status of a
    point is ok, outside (beyond the edge), unreadable (the frame does not decode: x and y nan, score 0) or no_box. The
    score orders points of one run and is no probability.
    """

    formats: Annotated[str, arg(metavar="LIST")] = "csv"  # beside csv, with commas between: dlc, slp, coco
    overlay: Annotated[bool, arg(aliases=("--overlays",))] = False  # draw videos too: <video>_overlay.mp4, .gif
    no_overlay: Annotated[bool, arg(aliases=("--no-overlays",))] = False  # draw nothing
    boxes: Annotated[Path | None, arg(metavar="FILE")] = None  # boxes of the animals (COCO json, or csv), if several
    frames: Annotated[str, arg(metavar="A:B")] = ""  # frames A to B - 1 of each video; A:B:N for every Nth
    cutoff: Annotated[float | None, arg(metavar="SCORE")] = None  # draw points from this score on
    # what to do about images, or over 1 % of a video, that do not decode
    on_bad_frame: Annotated[Literal["stop", "skip"], arg(aliases=("--on-bad-image",))] = "stop"


@command
@dataclass(frozen=True, kw_only=True)
class Evaluate(_AsRead):
    """Measures the errors of a finished run or an exported predictor on any labelled project.

    Prints a line for every keypoint. Writes errors.csv, with a row for every labelled keypoint, and worst.png, the
    animals with the largest errors for their size; rings are the labels. Keypoints are matched by their names. Animals
    are cropped by their boxes (else those of their labels) if the run was trained so, or if a frame has several.
    """

    run: Annotated[Positional[str], arg(metavar="RUN")]  # a finished run .../<variant>/seed-<n>, or an exported one
    project: Annotated[Positional[Path], arg(metavar="PROJECT")]  # a project's folder or file, in any known format
    out: Annotated[Path, arg(metavar="FOLDER")]  # where results go
    threshold: float = 0.1  # of PCK, as a share of the animal's diagonal
    worst: Annotated[int, arg(metavar="N")] = 12  # animals on the sheet
    batch_size: int = 16  # images at a time
    on_bad_frame: Literal["stop", "skip"] = "stop"  # what to do about frames that do not decode
    overwrite: bool = False  # replace earlier results in FOLDER


@command
@dataclass(frozen=True, kw_only=True)
class Suggest(_OfRun):
    """Chooses the frames of images and videos that are worth a label next.

    Writes suggestions.csv (the chosen frames, their values and why each was taken), all_frames.csv (the values of every
    scored frame), suggestions.png, and the frames as a project for a labelling tool. Its predictions are proposals that
    cannot be taken for labels.

    Values are in usual diagonals of what is shown. `equivariance` is the error under turning and scaling,
    `disagreement` that of two runs, `unusual_pose` the distance from what labelled poses have in common, `score` the
    mean score.
    """

    count: Annotated[int, arg(name="n")] = 20  # how many frames
    by: Literal["diversity", "score", "equivariance", "disagreement", "unusual_pose"] = "diversity"  # the criterion
    as_it_comes: bool = False  # take the best, however alike they look
    to: FormatName | None = None  # the labelling tool's (default that of --labelled, else csv)
    labelled: Annotated[Path | None, arg(metavar="PROJECT")] = None  # the labels that there are already
    second: Annotated[str | None, arg(metavar="RUN")] = None  # a run of another seed, for disagreement
    every: Annotated[int | None, arg(metavar="N")] = None  # scores every Nth frame (default about 1,000 frames in all)
    apart: int = 10  # frames between two of one video


@command
@dataclass(frozen=True, kw_only=True)
class Convert(_OfProject):
    """Writes an annotation project in the format of another tool, with its images beside the labels.

    Reads the result back and compares it. Names what the format has no place for. Refuses predictions, which must not
    become labels.
    """

    to: FormatName  # dlc is DeepLabCut's, lp Lightning Pose's, slp SLEAP's
    out: Annotated[Path, arg(metavar="FOLDER")]  # the folder that is written
    overwrite: bool = False  # replace what convert wrote there before


@command
@dataclass(frozen=True, kw_only=True)
class Export:
    """Writes a finished run as a folder that finds keypoints without this library.

    The folder holds predict.bin (the compiled function: CPU, CUDA and TPU, any batch size), weights.safetensors,
    predictor.json (keypoints, sizes, coordinates, scores, versions, sha256 of every file) and run.py, which needs jax,
    numpy, safetensors, flatbuffers and pillow. It loads for about six months of new jax releases. After that, or
    before, `export --from FOLDER --out NEW` makes it again from itself.

    With --to onnx it holds predict.onnx in place of the first two, which ONNX Runtime runs without jax. Twenty images
    are compared with the run. Converting needs the packages jax2onnx and onnxruntime.
    """

    run: Annotated[Positional[str | None], arg(metavar="RUN")] = None  # a finished run's folder .../seed-<n>
    # a folder that was exported before, to be made again for this jax
    earlier: Annotated[Path | None, arg(name="from", metavar="FOLDER")] = None
    out: Annotated[Path, arg(metavar="FOLDER")]  # where the predictor goes
    to: Literal["stablehlo", "onnx"] = "stablehlo"  # what the function is written as
    overwrite: bool = False  # replace an earlier predictor in FOLDER
    self_test: bool = True  # do not try the result in a fresh process


COMMANDS: dict[str, type] = {
    "check": Check, "predict": Predict, "evaluate": Evaluate, "suggest": Suggest, "convert": Convert, "export": Export}


def run_command(name: str, arguments: Sequence[str], program: str = "kpjax") -> Any:
    """Parses and runs one of COMMANDS, and returns its result. Raises InputError that names flags, and RunError.

    program: as it was started, for help.
    """
    asked = parse(COMMANDS[name], arguments, prog=f"{program} {name}")
    # Imported now: each command needs other libraries, and help none of them.
    run = getattr(importlib.import_module(f"experiments.{name}"), name)
    with flags_in_messages(flags_of(COMMANDS[name])):
        return run(asked)
