"""Commands for users' own data as dataclasses.

Nothing here imports JAX before a command runs: help is quick.
"""

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from tyro.conf import DisallowNone, FlagCreatePairsOff, Positional, arg

from kpjax.formats.options import Options
from kpjax.papers.parsing import flags_in_messages, flags_of, parse

command = tyro.conf.configure(DisallowNone, FlagCreatePairsOff)
FormatName = Literal["coco", "dlc", "lp", "slp", "csv"]
# Images that a network sees at once. On CPUs the temporaries of 16 of a MobileNetV2 at 128 px outgrow
# what a thread's heap keeps (`kpjax.allocator.SETTINGS`) and are mapped anew for every batch: 1.27
# million page faults on a video of 1,100 frames, 0.22 million with 8. On accelerators neither was timed.
BATCH = 8


@dataclass(frozen=True, kw_only=True)
class _OfProject(Options):
    """Arguments of commands that read an annotation project."""

    #: a project's folder or file, in any known format
    project: Annotated[Positional[Path], arg(metavar="PROJECT")]


@dataclass(frozen=True, kw_only=True)
class _OfRun:
    """Arguments of commands that predict."""

    # a finished run .../<variant>/seed-<n>, or movenet
    run: Annotated[Positional[str], arg(metavar="RUN")]
    #: images, videos, folders of them
    inputs: Annotated[Positional[tuple[Path, ...]], arg(metavar="IN...")]
    batch_size: int = BATCH  # images at a time


@command
@dataclass(frozen=True, kw_only=True)
class Check(_OfProject):
    """Says what is in a project and what is wrong with it, and draws its labels.

    Prints the format, frames, sizes, labels of each keypoint, videos, duplicates and faults. The
    last lines say which systems can be trained on the project. The exit code is 2 if anything is
    wrong.
    """

    #: where the sheet goes, as <project>_labels.png
    out: Annotated[Path, arg(metavar="FOLDER")] = Path("runs")
    sheet: Annotated[int, arg(metavar="N")] = 12  # animals on the sheet, 0 for no sheet
    quick: bool = False  # do not decode images and videos
    overwrite: bool = False  # replace an existing sheet


@command
@dataclass(frozen=True, kw_only=True)
class Predict(_OfRun):
    """Finds keypoints on images, folders and videos of any size.

    RUN may also be `movenet`, a published network that finds 17 keypoints of one person: anywhere
    in an image; in a video, near where the last frame showed the person. Writes points.csv for all
    images together and <video>.csv for each video, with a row for every keypoint of every frame,
    and a sheet of a few frames; draws images in overlays/.

    Coordinates are pixels of each image as it is shown, the centre of the top-left pixel at (0, 0).
    A point is ok, unsure (its score is below its keypoint's cutoff, so it is treated as absent: not
    drawn, and the radius is inf), outside (beyond the edge), unreadable (the frame does not decode:
    x and y nan, score 0), no_box, or failed (the network gave no number: empty cells). A score ranks
    the points of one run; it is not a probability. The truth lies within the radius, in pixels, in 9
    of 10 cases (--level), if new images are like those held out. Radii exist if enough labels were
    held out, and are drawn as rings.

    A run on crops of several animals finds them by itself, tracks each through a video, and writes
    <video>_boxes.csv and <video>_doubts.csv, the moments at which two may have been swapped;
    --boxes gives boxes from elsewhere.
    """

    # where results go (default RUN/predictions, or runs/predictions/NAME if RUN is not your own
    # run)
    out: Annotated[Path | None, arg(metavar="FOLDER")] = None
    #: besides csv, separated by commas: dlc, slp, coco
    formats: Annotated[str, arg(metavar="LIST")] = "csv"
    #: draw videos too: <video>_overlay.mp4, .gif
    overlay: Annotated[bool, arg(aliases=("--overlays",))] = False
    no_overlay: Annotated[bool, arg(aliases=("--no-overlays",))] = False  # draw nothing
    #: boxes of the animals (COCO json, or csv), if several
    boxes: Annotated[Path | None, arg(metavar="FILE")] = None
    # how many animals there are, if several; 0: they come and go (default as on the labelled
    # frames)
    animals: Annotated[int | None, arg(metavar="N")] = None
    #: frames A to B - 1 of each video; A:B:N for every Nth
    frames: Annotated[str, arg(metavar="A:B")] = ""
    #: look at this part of each image only, as in DeepLabCut's config; points refer to the whole
    crop: Annotated[str, arg(metavar="X1,X2,Y1,Y2")] = ""
    # points with a lower score are unsure, and not drawn (default: the run's own, by keypoint)
    cutoff: Annotated[float | None, arg(metavar="SCORE")] = None
    #: share of points whose truth lies within their radius: 0.5, 0.8, 0.9 or 0.95
    level: float = 0.9
    no_radii: bool = False  # draw no rings
    #: movenet: look at turned and mirrored images, too, for people not upright; 37 times as slow
    turned: bool = False
    # whether images that do not decode, or over 1 % of a video, end in exit code 1; the rest is
    # written either way
    on_bad_frame: Annotated[Literal["stop", "skip"], arg(aliases=("--on-bad-image",))] = "stop"
    overwrite: bool = False  # replace earlier results in FOLDER
    # leave out inputs whose results are all in FOLDER, of the same run, content and flags, as after
    # an interrupt
    resume: bool = False


@command
@dataclass(frozen=True, kw_only=True)
class Evaluate(Options):
    """Measures the errors of a finished run, of `movenet` or of any tool's predictions on any labelled
    project.

    Prints errors in pixels of the original images, with and without the points below the cutoff of
    scores, OKS and AP where animals have a box, and the share of points within their radii; frames
    that the run was trained on, held-out ones and others are listed apart. Writes errors.csv, a row
    for every labelled keypoint, errors_by_keypoint.csv, and worst.png, the animals with the largest
    errors for their size; rings are the labels. Keypoints are matched by name.
    Animals are cropped to their boxes (without one, to that of their labels) if the run was trained
    on crops, or if a frame has several.

    RUN may also be a file of predictions by DeepLabCut, SLEAP, Lightning Pose, kpjax or another tool,
    or COCO results, on the project's images or on videos that these were taken from. It is written
    again with radii from the labels, <video>_radii.csv. sides.csv lists frames of videos at which left
    and right change places, found without labels.
    """

    # a finished run .../<variant>/seed-<n>, or movenet, or predictions
    run: Annotated[Positional[str], arg(metavar="RUN")]
    #: a project's folder or file, in any known format
    project: Annotated[Positional[Path], arg(metavar="PROJECT")]
    out: Annotated[Path, arg(metavar="FOLDER")]  # where results go
    threshold: float = 0.1  # threshold of PCK, as a share of the animal's length
    #: movenet: look at turned and mirrored images, too, for people not upright; 37 times as slow
    turned: bool = False
    worst: Annotated[int, arg(metavar="N")] = 12  # animals on the sheet
    batch_size: int = BATCH  # images at a time
    on_bad_frame: Literal["stop", "skip"] = "stop"  # what to do about frames that do not decode
    overwrite: bool = False  # replace earlier results in FOLDER


@command
@dataclass(frozen=True, kw_only=True)
class Suggest(_OfRun, Options):
    """Picks the frames that are most worth labelling next.

    It takes frames that differ most from those that the run has read and each other. Writes suggestions.csv
    (the chosen frames), suggestions.png, and the frames as a project for a labelling tool.
    Predictions in it are proposals, which cannot be mistaken for labels.
    """

    out: Annotated[Path, arg(metavar="FOLDER")]  # a new folder for the result
    count: Annotated[int, arg(name="n")] = 20  # how many frames
    to: FormatName | None = None  # the tool's format (default: that of --labelled, else csv)
    #: a project whose labelled frames are left out, too, beside those that the run has read
    labelled: Annotated[Path | None, arg(metavar="PROJECT")] = None
    #: looks at every Nth frame (default about 1,000 in all)
    every: Annotated[int | None, arg(metavar="N")] = None
    apart: int = 10  # least number of frames between two of one video
    #: boxes of the animals (COCO json, or csv), if several
    boxes: Annotated[Path | None, arg(metavar="FILE")] = None


@command
@dataclass(frozen=True, kw_only=True)
class Export:
    """Writes a run as an ONNX model that needs no kpjax, and its card.

    The folder holds predict.onnx, predictor.json (keypoints, sizes, coordinates, scores, versions)
    and README.md. Points are compared with those of the run. The converter is no part of kpjax:
    uv run --with jax2onnx --with onnxruntime kpjax export RUN --out FOLDER
    """

    # a finished run's folder .../seed-<n>, or that of a variant with several
    run: Annotated[Positional[str], arg(metavar="RUN")]
    out: Annotated[Path, arg(metavar="FOLDER")]  # a new folder, where the model goes
    # licence of the data and of what was learnt from them, such as "CC BY 4.0"; the card shows it
    licence: Annotated[str, arg(metavar="WORDS")] = ""


@command
@dataclass(frozen=True, kw_only=True)
class Weights:
    """Lists pretrained backbones, or fetches one.

    A file is stored where training finds it, for --weights NAME. Its sha256 is checked, or recorded
    the first time. Those with an open licence alone are fetched.
    """

    #: what to fetch; without one all are listed
    name: Annotated[Positional[str | None], arg(metavar="NAME")] = None


COMMANDS: dict[str, type] = {
    "check": Check,
    "predict": Predict,
    "evaluate": Evaluate,
    "suggest": Suggest,
    "export": Export,
    "weights": Weights,
}


def run_command(name: str, arguments: Sequence[str]) -> Any:
    """Parses and runs one of COMMANDS, and returns its result.

    Raises InputError that names flags, and RunError.
    """
    asked = parse(COMMANDS[name], arguments, prog=f"kpjax {name}")
    # Imported now: each command needs other libraries, and help none of them.
    run = getattr(importlib.import_module(f"kpjax.lab.commands.{name}"), name)
    try:
        with flags_in_messages(flags_of(COMMANDS[name])):
            return run(asked)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(_after_interrupt(asked)) from None


def _after_interrupt(asked: Any) -> str:
    """Returns what a command says after Ctrl-C: what goes on from there."""
    if not isinstance(asked, Predict):
        return "stopped; the same command begins again"
    instead = " in place of --overwrite" if asked.overwrite else ""
    return f"stopped; the same command with --resume{instead} predicts what has no results yet"
