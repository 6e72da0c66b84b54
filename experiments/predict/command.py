"""What `python -m experiments predict` does with its flags: one input after the other, and a line for each file."""
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from tqdm import tqdm

from experiments.predict.drawing import (
    SHEET_SIDE,
    VIDEO_SIDE,
    Opacity,
    opacity_from,
    overlay_names,
    peeked,
    sheet_rows,
    with_sheet,
    write_overlay_video,
    write_pictures,
    write_sheet,
)
from experiments.predict.options import Options, check_options
from experiments.predict.pipeline import Seen, predicted
from experiments.predictors import Predictor, open_predictor
from kpjax.annotations.boxes_file import boxes_of_images, boxes_of_video, read_boxes
from kpjax.annotations.predictions import (
    UNREADABLE,
    PredictionTable,
    check_formats,
    empty_table,
    fill,
    prediction_files,
    write_predictions,
)
from kpjax.errors import InputError, RunError, summarise
from kpjax.evaluation.calibration import DEFAULT_CUTOFF
from kpjax.images.inputs import Footage, find_footage
from kpjax.images.reading import read_image
from kpjax.images.transforms import Place

TOLERATED = 0.01  # the share of a video's frames that may not decode without --on-bad-frame skip


class _Work(NamedTuple):
    """One input, and what is known of it before the network sees it."""

    footage: Footage
    instances: tuple[str, ...]
    boxes: np.ndarray | None
    files: tuple[Path, ...]  # tables that will be written
    drawn: tuple[Path, ...]  # the sheet, and the video or the folder of pictures


def predict_inputs(
    run: Path, inputs: Sequence[Path], out: Path, options: Options, *, tell: Callable[[str], None] = print,
) -> list[Path]:
    """Predicts pictures, folders and videos, and returns the tables that were written, those of csv first of each.

    Raises InputError for inputs, runs, boxes and flags that cannot be used, for output that is there already, and,
    before anything is written, for pictures that do not decode (unless they are skipped); RunError, after all tables
    are written, for videos of which more than 1 % does not decode (unless that is skipped).
    """
    run, out = Path(run), Path(out)
    check_options(options)
    formats = check_formats(options.formats)
    found = find_footage([Path(path) for path in inputs], out=out, frames=options.frames)
    predictor = open_predictor(run)
    if options.boxes is None and _needs_boxes(predictor.place):
        raise InputError("--boxes: the run was trained on crops around boxes; give a file with the boxes of the "
                         "animals")
    works = [_planned(footage, predictor, out, formats, options) for footage in found]
    results = [path for work in works for path in (*work.files, *work.drawn)]
    if twice := [path for path in results if results.count(path) > 1]:
        raise InputError(f"--out: {twice[0]} would be of two inputs; predict one of them into another folder")
    for path in results:
        if path.is_file() and not options.overwrite:
            raise InputError(f"--out: {path} exists already; give --overwrite or another folder")
    if options.on_bad_frame == "stop":
        for work in works:
            _check_pictures(work.footage)
    result = predictor.result
    tell(f"{result['experiment']} {result['preset']} {result['variant']} seed {result['seed']}: "
         f"{' and '.join(_counted(work.footage) for work in works)} at {predictor.side} px on "
         f"{jax.devices()[0].device_kind}")
    written, bad = [], []
    for work in works:
        try:
            table, paths = _carried_out(work, predictor, out, formats, options, tell)
        except OSError as error:
            raise InputError(f"--out: {out} cannot be written: {error.strerror or error}; free some space or choose "
                             "another folder") from error
        written += paths
        bad += _too_many_unreadable(work.footage, table)
    if bad and options.on_bad_frame == "stop":
        raise RunError(f"{summarise(bad)}; their rows are written and say so; --on-bad-frame skip takes that for done")
    return written


def _needs_boxes(place: Place) -> bool:
    """Whether a placement refuses whole pictures."""
    try:
        place(np.zeros((8, 8, 3), np.uint8), np.zeros((0, 2), np.float32), np.zeros(0, np.float32), np.float32(8), None)
    except InputError:
        return True
    return False


def _planned(footage: Footage, predictor: Predictor, out: Path, formats: Sequence[str], options: Options) -> _Work:
    instances, boxes = ("0",), None
    if options.boxes is not None:
        known = read_boxes(options.boxes)
        instances, boxes = (boxes_of_images(known, footage.names) if footage.video is None else
                            boxes_of_video(known, footage.names[0], footage.numbers))
    drawn = []
    if options.overlay is not False:
        drawn.append(out / f"{footage.stem}_sheet.jpg")
        if footage.video is None:
            drawn.append(out / "overlays")
        elif options.overlay:
            drawn.append(out / f"{footage.stem}_overlay.mp4")
    return _Work(footage, instances, boxes, tuple(prediction_files(formats, predictor.title, out, footage.stem)),
                 tuple(drawn))


def _check_pictures(footage: Footage) -> None:
    """Raises InputError that names all pictures that do not decode. They are read and not kept, so that any number of
    them fits in memory."""
    def fault(path: Path) -> str | None:
        try:
            read_image(path)
        except InputError as error:
            return str(error)
        return None

    with ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1)) as readers:
        broken = [line for line in readers.map(fault, footage.files) if line is not None]
    if broken:
        raise InputError(f"IN: {len(broken)} of {len(footage)} pictures cannot be read: {summarise(broken)}; replace "
                         "them, or go on without them with --on-bad-frame skip")


def _counted(footage: Footage) -> str:
    if footage.video is None:
        return f"{len(footage)} pictures"
    return f"{len(footage)} frames of {footage.video.name}"


def _carried_out(
    work: _Work, predictor: Predictor, out: Path, formats: Sequence[str], options: Options, tell: Callable[[str], None],
) -> tuple[PredictionTable, list[Path]]:
    """One input from frames to files."""
    footage, skeleton = work.footage, predictor.skeleton
    table = empty_table(footage.path, footage.names, footage.numbers, skeleton, predictor.title, files=footage.files,
                        times=footage.times, instances=work.instances, boxes=work.boxes)
    rows = sheet_rows(len(footage)) if work.drawn else []
    every = len(work.drawn) > 1
    shown = range(len(footage)) if every else frozenset(rows)
    faults: list[str] = []
    began = time.monotonic()
    seen = predicted(predictor, footage, batch_size=options.batch_size, boxes=work.boxes, shown=shown,
                     side=SHEET_SIDE if not every else VIDEO_SIDE if footage.video else None)
    with closing(seen), _progress(footage) as bar:
        kept = _kept(seen, table, faults, bar)
        sheet = _drawn_while_passing(work, kept, rows, predictor, options)
    paths = write_predictions(table, formats, out, footage.stem)
    if sheet:
        write_sheet(work.drawn[0], sheet)
    seconds = max(time.monotonic() - began, 1e-9)
    cut_off = _cut_off(footage)
    tell(f"{_counted(footage)} in {seconds:.1f} s ({len(footage) / seconds:.1f} a second), {len(faults)} unreadable"
         f"{': ' + summarise(faults) if faults else ''}{f', {cut_off} cut off at the end' if cut_off else ''}; "
         f"{int(table.outside.sum())} points outside their {'frame' if footage.video else 'picture'}")
    tell(", ".join(str(path) for path in (*paths, *work.drawn)))
    return table, paths


def _drawn_while_passing(work: _Work, kept: Iterator[Seen], rows: list[int], predictor: Predictor, options: Options
                         ) -> list[tuple[str, np.ndarray]]:
    """Lets all frames pass, draws what is to be drawn on the way, and returns the pictures of the sheet."""
    footage, skeleton = work.footage, predictor.skeleton
    first, kept = peeked(kept, options.batch_size)
    # The usual score of the first frames sets what counts as low, so that all are drawn alike.
    certain = [one.scores[one.present].ravel() for one in first if one.present.any()]
    opacity: Opacity = opacity_from(_cutoff(predictor, options),
                                    float(np.median(np.concatenate(certain))) if certain else 0.0)
    sheet: list[tuple[str, np.ndarray]] = []
    kept = with_sheet(kept, rows, footage, opacity, skeleton, sheet)
    if len(work.drawn) > 1 and footage.video:
        write_overlay_video(kept, footage, work.drawn[1], opacity, skeleton)
    elif len(work.drawn) > 1:
        kept = write_pictures(kept, overlay_names(footage.names), work.drawn[1], opacity, skeleton)
    for _ in kept:
        pass
    return sheet


def _kept(seen: Iterator[Seen], table: PredictionTable, faults: list[str], bar: tqdm) -> Iterator[Seen]:
    """Gives frames on as they come, and writes what was found on them into the table."""
    for one in seen:
        if one.fault is None:
            fill(table, one.row, one.size, one.keypoints, one.scores, one.present)
        else:
            faults.append(str(one.fault))
        bar.update()
        yield one


def _cutoff(predictor: Predictor, options: Options) -> float | None:
    """The score from which on points are drawn; None if nobody knows one: heatmaps of some losses peak far below what
    a run has where no labels told what its scores are worth."""
    if options.cutoff is not None:
        return options.cutoff
    return predictor.cutoff if predictor.cutoff != DEFAULT_CUTOFF else None


def _progress(footage: Footage) -> tqdm:
    """A bar with frames a second, if anyone is at a terminal to see it."""
    return tqdm(total=len(footage), unit=" frames", desc=Path(footage.stem).name, disable=not sys.stderr.isatty(),
                dynamic_ncols=True, leave=False)


def _cut_off(footage: Footage) -> int:
    """The frames that a video's header announces beyond its end. An AVI file also counts frames that are shown longer
    than others, once for each time."""
    return footage.video.cut_off if footage.video and footage.path.suffix.lower() != ".avi" else 0


def _too_many_unreadable(footage: Footage, table: PredictionTable) -> list[str]:
    """A line if more of a video is lost than anyone would overlook."""
    if footage.video is None:
        return []
    lost = footage.numbers[(table.status == UNREADABLE).all(1)].tolist()
    cut_off = _cut_off(footage)
    if len(lost) + cut_off <= TOLERATED * (len(footage) + cut_off):
        return []
    parts = [f"{len(lost)} of {len(footage)} frames do not decode ({', '.join(map(str, lost[:5]))}"
             f"{', ...' if len(lost) > 5 else ''})"] if lost else []
    parts += [f"the file ends {cut_off} frames early"] if cut_off else []
    return [f"{footage.path}: {' and '.join(parts)}"]
