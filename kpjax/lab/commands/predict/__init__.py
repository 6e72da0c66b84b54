"""The command `predict`: keypoints on images and videos, one input after the other, and a line for each file."""
import collections
import itertools
import math
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

from kpjax import InputError, RunError
from kpjax.drawing.fonts import lacking
from kpjax.drawing.overlays import dot_radius
from kpjax.errors import summarise
from kpjax.file_names import inside
from kpjax.files import write_text
from kpjax.images.inputs import ImageSequence, find_inputs, stems
from kpjax.images.reading import depth_note, read_image
from kpjax.images.transforms import needs_box
from kpjax.lab.animals.calibration import DEFAULT_CUTOFF
from kpjax.lab.animals.conformal import LEVELS, missing
from kpjax.lab.commands import Predict
from kpjax.lab.commands.predict import drawing
from kpjax.lab.commands.predict.pipeline import Seen, followed, predicted
from kpjax.lab.commands.predict.tracked import DOUBTS, box_rows, doubt_rows, from_left, in_places, names_of, tracked
from kpjax.lab.commands.smooth import ENDING, plot_of_table, smoothed_table
from kpjax.lab.formats import predictions
from kpjax.lab.formats.boxes_file import boxes_of_images, boxes_of_video, read_boxes
from kpjax.lab.formats.manifest import remove_files
from kpjax.lab.formats.predictions import PredictionTable
from kpjax.lab.formats.tables import rows_text, whole_number
from kpjax.lab.out.reports.pixel_errors import counted
from kpjax.lab.predictors import Predictor, open_predictor, trained_box_side

NEARLY_ALL = 0.8  # the share of hidden points from which a likely cause is told
FOUND = ("_boxes.csv", "_doubts.csv")
MOST_ANIMALS = 1000
OTHER_SCALE = 1.5  # how many times larger or smaller boxes are told
PROGRESS_FROM = 100  # frames, for lines on the way where there is no terminal
TOLERATED = 0.01  # the share of a video's frames that may not decode unless they are skipped


class _Work(NamedTuple):
    """One input, before the network sees it."""

    sequence: ImageSequence
    instances: tuple[str, ...]
    boxes: np.ndarray | None
    tables: tuple[Path, ...]  # that will be written
    smoothed: tuple[Path, ...]  # the same of an ensemble's smoothed points of a video
    drawn: tuple[Path, ...]  # the sheet, and the video with its first seconds, or the folder of images
    plot: Path | None  # of a video's points over time
    find: bool = False  # whether the run finds the animals
    animals: int | None = None  # their number, if it is known
    found: tuple[Path, ...] = ()  # boxes of animals that are found, and of a video moments of doubt


def predict(asked: Predict, *, tell: Callable[[str], None] = print) -> list[Path]:
    """Predicts images, folders and videos, and returns the tables that were written, those of csv first of each.

    Raises InputError for arguments that cannot be used, for output that is there already, and, before anything is
    written, for images that do not decode (unless they are skipped); RunError, after all tables are written, for videos
    of which more than 1 % does not decode (unless that is skipped).
    """
    frames, formats = _checked(asked)
    found = find_inputs(asked.inputs, out=asked.out, frames=frames)
    for sequence in found:
        if sequence.depth:
            tell(f"{sequence.path}: {depth_note(sequence.depth)}")
        if sequence.video and sequence.video.note:
            tell(f"{sequence.path}: {sequence.video.note}")
    predictor = open_predictor(asked.run, turned=asked.turned)
    if asked.boxes is None and needs_box(predictor.transform) and predictor.finder is None:
        raise InputError("boxes", "the run was trained on crops around boxes and cannot find animals; give a file with "
                                  "a box for each animal and frame: COCO json, or csv with video, frame, instance, x, "
                                  "y, w, h")
    if asked.animals is not None and (asked.boxes is not None or predictor.finder is None):
        raise InputError("animals", "--boxes says where they are; leave one of them out" if asked.boxes is not None else
                         "the run sees one animal in a frame, and does not look for more; leave it out")
    works = [_planned(sequence, predictor, formats, asked) for sequence in found]
    results = [path for work in works for path in (*work.tables, *work.smoothed, *work.drawn, *work.found,
                                                   *filter(None, [work.plot]))]
    if twice := [path for path in results if results.count(path) > 1]:
        raise InputError("out", f"{twice[0]} would be of two inputs; predict one of them into another folder")
    for path in results:
        inside(asked.out, path.relative_to(asked.out).as_posix(), "out")
        if path.is_file() and not asked.overwrite:
            raise InputError("out", f"{path} exists already; give --overwrite or another folder")
    if asked.on_bad_frame == "stop":
        for work in works:
            _check_images(work.sequence)
    tell(f"{predictor.words}: {' and '.join(_counted(work.sequence) for work in works)} at {predictor.side} px on "
         f"{jax.devices()[0].device_kind}")
    for line in _box_lines(works, predictor, asked):
        tell(line)
    names = (*predictor.skeleton.names, *(name for work in works for name in (*work.instances, *work.sequence.names)))
    if not asked.no_overlay and (letters := lacking(set(names))):
        tell(f"the font lacks {letters[:20]}: names are drawn with escapes; set KPJAX_FONT to the file of one that has "
             "them")
    written, bad = [], []
    for work in works:
        table, paths = _carried_out(work, predictor, formats, asked, tell)
        written += paths
        bad += _too_many_unreadable(work.sequence, table)
    if bad and asked.on_bad_frame == "stop":
        raise RunError(f"{summarise(bad)}; their rows are written and say so; --on-bad-frame skip takes that for done")
    return written


def _checked(asked: Predict) -> tuple[slice, tuple[str, ...]]:
    """Returns the frames of videos and the formats. Raises InputError for a value that means nothing."""
    if not asked.inputs:
        raise InputError("inputs", "name images, videos, or folders of them")
    for name, right, mend in (
            ("batch_size", asked.batch_size >= 1, "must be at least 1"),
            ("dot_size", asked.dot_size is None or 0 < asked.dot_size < 1e4, "must be above 0"),
            ("animals", asked.animals is None or 0 <= asked.animals < MOST_ANIMALS,
             "give how many there are, or 0 if they come and go"),
            ("trails", asked.trails >= 0, "must be 0 or more frames"),
            ("cutoff", asked.cutoff is None or np.isfinite(asked.cutoff), "must be a score"),
            ("level", asked.level in LEVELS, f"choose {', '.join(f'{level:g}' for level in LEVELS)}")):
        if not right:
            raise InputError(name, f"{getattr(asked, name)}; {mend}")
    if asked.overlay and asked.no_overlay:
        raise InputError("overlay", "--no-overlay is given too; give one of them")
    parts = (asked.frames or ":").split(":")
    numbers = [whole_number(part) if part else None for part in parts]
    if not 2 <= len(parts) <= 3 or numbers[2:] == [0] or any(
            part and number is None for part, number in zip(parts, numbers, strict=True)):
        raise InputError("frames", f"{asked.frames!r} is not a range; give for example 0:100, or 0:1000:10 for every "
                                   "tenth")
    formats = predictions.check_formats([name for part in asked.formats.split(",") if (name := part.strip())])
    return slice(*numbers), formats


def _planned(sequence: ImageSequence, predictor: Predictor, formats: tuple[str, ...], asked: Predict) -> _Work:
    instances, boxes = ("0",), None
    if asked.boxes is not None:
        known = read_boxes(asked.boxes)
        instances, boxes = (boxes_of_images(known, sequence.names) if sequence.video is None else
                            boxes_of_video(known, sequence.names[0], sequence.numbers))
    drawn = []
    if not asked.no_overlay:
        drawn.append(asked.out / f"{sequence.stem}_sheet.jpg")
        if sequence.video is None:
            drawn.append(asked.out / "overlays")
        elif asked.overlay:
            drawn += [asked.out / f"{sequence.stem}_overlay{suffix}" for suffix in (".mp4", ".gif")]
    tables = predictions.prediction_files(formats, predictor.title, asked.out, sequence.stem)
    find, animals = asked.boxes is None and predictor.finder is not None, None
    if find:
        usual = predictor.finder.most if predictor.finder.always else 0
        animals = (usual if asked.animals is None else asked.animals) or None
        instances = names_of(animals or 0)
    smoothed = predictions.prediction_files(formats, predictor.title, asked.out, sequence.stem + ENDING) if (
        predictor.with_members and sequence.video) else []
    return _Work(sequence, instances, boxes, tuple(tables), tuple(smoothed), tuple(drawn),
                 asked.out / f"{sequence.stem}_plot.svg" if asked.plot and sequence.video else None, find, animals,
                 tuple(asked.out / f"{sequence.stem}{ending}" for ending in (
                     FOUND if sequence.video else FOUND[:1]) if find))


def _check_images(sequence: ImageSequence) -> None:
    """Raises InputError that names all images that do not decode. They are read and not kept: any number fits."""
    def fault(path: Path) -> str:
        try:
            read_image(path, sequence.depth)
        except InputError as error:
            return str(error)
        return ""

    with ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1)) as readers:
        broken = list(filter(None, readers.map(fault, sequence.files)))
    if broken:
        raise InputError("inputs", f"{len(broken)} of {len(sequence)} images cannot be read: {summarise(broken)}; "
                         "replace them, or go on without them with --on-bad-frame skip")


def _carried_out(work: _Work, predictor: Predictor, formats: tuple[str, ...], asked: Predict,
                 tell: Callable[[str], None]) -> tuple[PredictionTable, list[Path]]:
    """Predicts one input and writes its tables and drawings."""
    sequence = work.sequence
    cutoff, source = _cutoff(predictor, asked)
    all_drawn = len(work.drawn) > 1
    shown = range(len(sequence)) if all_drawn else drawing.sheet_rows(len(sequence)) if work.drawn else ()
    began = time.monotonic()
    side = None if all_drawn and not sequence.video else drawing.VIDEO_SIDE
    seen = (followed(predictor, sequence, shown=shown, side=side)
            if predictor.follow and sequence.video and work.boxes is None else
            predicted(predictor, sequence, batch_size=asked.batch_size, boxes=work.boxes, shown=shown, side=side,
                      level=asked.level, find=work.find, animals=work.animals))
    kept, doubts = [], []
    with closing(seen), tqdm(total=len(sequence), unit=" frames", desc=Path(sequence.stem).name, dynamic_ncols=True,
                             disable=not sys.stderr.isatty(), leave=False) as bar:
        passed = seen
        if work.find:
            passed = tracked(seen, doubts, animals=work.animals) if sequence.video else from_left(seen)
        sheet, look = _drawn_while_passing(work, _recorded(passed, kept, len(sequence), bar), predictor, cutoff, asked)
    table, faults = _table(work, kept, predictor), [str(one.fault) for one in kept if one.fault is not None]
    paths = predictions.write_predictions(table, formats, asked.out, sequence.stem)
    if sheet:
        drawing.write_sheet(work.drawn[0], sheet, look, predictor.skeleton)
    if work.plot:
        write_text(work.plot, plot_of_table(table, cutoff=cutoff))
    found = doubt_rows(doubts, sequence.numbers)
    for path, rows in zip(work.found, (box_rows(table), [DOUBTS, *found]), strict=False):  # images have no doubts
        paths.append(write_text(path, rows_text(rows)))
    removed = _remove_older(work, asked) if asked.overwrite else []
    seconds, cut_off = time.monotonic() - began, _cut_off(sequence)
    tell(f"{_counted(sequence)} in {seconds:.1f} s ({len(sequence) / seconds:.1f} a second), {len(faults)} unreadable"
         f"{': ' + summarise(faults) if faults else ''}{f', {cut_off} cut off at the end' if cut_off else ''}; "
         f"{int(table.outside.sum())} points outside their {'frame' if sequence.video else 'image'}")
    for line in (*(_animal_lines(work, table, found) if work.find else ()),
                 *_hidden_lines(table, cutoff, source, predictor, asked), *_radius_lines(table, predictor, asked)):
        tell(line)
    tell(", ".join(str(path) for path in (*paths, *work.drawn, *filter(None, [work.plot]))))
    if smooth := _smoothed(work, kept, table, formats, asked):
        tell(f"frames in order, several networks: smoothed points in {smooth[0]}, as predicted in {paths[0]}")
        paths += smooth
    if removed:
        tell(f"removed, as it shows earlier points: {summarise([str(path) for path in removed])}")
    return table, paths


def _cutoff(predictor: Predictor, asked: Predict) -> tuple[float | None, str]:
    """Returns the score from which points are drawn, None to draw all, and where it comes from."""
    if asked.cutoff is not None:
        return asked.cutoff, "as typed"
    if predictor.follow:
        return predictor.cutoff, "usual for this network"
    # Heatmaps of some losses peak far below the default cutoff, which is that of runs without held-out labels.
    return (predictor.cutoff, "from held-out labels") if predictor.cutoff != DEFAULT_CUTOFF else (None, "")


def _hidden_lines(table: PredictionTable, cutoff: float | None, source: str, predictor: Predictor, asked: Predict
                  ) -> list[str]:
    """Returns how many points lie below the cutoff, and the likely cause if they are nearly all."""
    scores = table.scores[table.status == predictions.OK]
    if cutoff is None or not scores.size:
        return []
    below = int((scores < cutoff).sum())
    lines = [f"cutoff {cutoff:.3g}, {source}: {below} of {scores.size} points lie below it and are not drawn"]
    if below < NEARLY_ALL * scores.size:
        return lines
    cause = ("boxes that are no animals' or of another scale than in training" if np.isfinite(table.boxes).any() else
             "nobody is there, or small" if predictor.follow else "another camera, animal or scale than in training")
    return [*lines, f"likely cause: {cause}; --cutoff 0 draws all points",
            "if points are wrong, label frames of this input (kpjax suggest) and train again"]


def _radius_lines(table: PredictionTable, predictor: Predictor, asked: Predict) -> list[str]:
    """Returns how sure the points are, or how many held-out labels are missing to say so."""
    if predictor.radii is None:
        return []
    known, unit = table.radii[np.isfinite(table.radii)], predictor.radii.unit
    if known.size:
        return [f"radius within which {100 * asked.level:g} % of points lie on {unit}s like those held out: median "
                f"{np.median(known):.3g} px; a tenth have {np.quantile(known, 0.9):.3g} px or more"]
    row = int(np.searchsorted(predictor.radii.levels, asked.level))
    return [f"no radius: {missing(predictor.radii)[row]} more labelled {unit}s must be held out for it"]


def _box_lines(works: Sequence[_Work], predictor: Predictor, asked: Predict) -> list[str]:
    """Returns a line if the boxes have another scale than those of the project that the run was trained on."""
    given = [box for work in works if work.boxes is not None for box in work.boxes.reshape(-1, 4)]
    trained = trained_box_side(asked.run) if given and needs_box(predictor.transform) else math.nan
    side = float(np.nanmedian(np.max([box[2:] for box in given], axis=-1))) if given else math.nan
    if not max(side / trained, trained / side) > OTHER_SCALE:
        return []
    return [f"boxes are {side:.0f} px long, those that the run learnt from {trained:.0f} px: points will be unsure; "
            f"give {'tighter' if side > trained else 'larger'} boxes"]


def _remove_older(work: _Work, asked: Predict) -> list[Path]:
    """Removes drawings of earlier points that this command did not replace, and returns their paths."""
    stem, kept = work.sequence.stem, {*work.drawn, work.plot}
    older = [asked.out / f"{stem}{ending}" for ending in ("_sheet.jpg", "_overlay.mp4", "_overlay.gif", "_plot.svg")]
    if work.sequence.video is None:
        folder = asked.out / "overlays"
        older += [] if folder in kept else [folder / f"{name}_overlay.png" for name in stems(work.sequence.names)]
    older = [path for path in older if path not in kept and path.is_file() and not path.is_symlink()]
    remove_files(asked.out, older)
    return older


def _recorded(seen: Iterator[Seen], kept: list[Seen], count: int, bar: tqdm) -> Iterator[Seen]:
    """Passes frames on, and keeps them without their images. count: of all frames."""
    piped = not sys.stderr.isatty() and count >= PROGRESS_FROM
    for number, one in enumerate(seen, 1):
        if piped and number < count and 10 * number // count > 10 * (number - 1) // count:
            print(f"{number} of {count} frames", file=sys.stderr, flush=True)
        kept.append(one._replace(image=None))
        bar.update()
        yield one


def _table(work: _Work, kept: Sequence[Seen], predictor: Predictor) -> PredictionTable:
    """Returns all predictions; where animals were found, there are as many as were told apart."""
    sequence, instances, boxes = work.sequence, work.instances, work.boxes
    if work.find:
        count = work.animals or max([1, *(len(one.present) for one in kept)])
        instances, boxes = names_of(count), np.full((len(sequence), count, 4), np.nan)
        for one in kept:
            if one.boxes is not None:
                boxes[one.row, :len(one.boxes)] = one.boxes
    table = predictions.empty_table(sequence.path, sequence.names, sequence.numbers, predictor.skeleton,
                                    predictor.title, files=sequence.files, times=sequence.times,
                                    instances=instances, boxes=boxes)
    for one in kept:
        if one.fault is None:
            whole = in_places(one, np.arange(len(one.present)), len(instances)) if work.find else one
            predictions.fill(table, whole.row, whole.size, whole.keypoints, whole.scores, whole.present, whole.radii,
                             whole.members)
    return table


def _smoothed(work: _Work, kept: Sequence[Seen], table: PredictionTable, formats: tuple[str, ...], asked: Predict
              ) -> list[Path]:
    """Writes the smoothed points of an ensemble on a video; nothing of anything else, or where no frame has a point."""
    count = len(table.instances)
    found = {one.row: (in_places(one, np.arange(len(one.present)), count) if work.find else one).members
             for one in kept if one.members is not None}
    if not (work.smoothed and found):
        return []
    none = np.full_like(next(iter(found.values())), np.nan)
    members = np.stack([found.get(row, none) for row in range(len(table.names))])  # (N, I, M, K, 2)
    return predictions.write_predictions(smoothed_table(table, members.transpose(2, 0, 1, 3, 4)), formats, asked.out,
                                         work.sequence.stem + ENDING)


def _animal_lines(work: _Work, table: PredictionTable, doubts: Sequence[tuple]) -> list[str]:
    """Returns how many animals were found on the frames, and where two may have been exchanged."""
    read = (table.status != predictions.UNREADABLE).any(1)
    counts = collections.Counter((table.status[read] == predictions.OK).sum(1).tolist())
    found = ", ".join(f"{number} on {counted(frames, 'frame' if work.sequence.video else 'image')}"
                      for number, frames in sorted(counts.items(), reverse=True))
    names = f"; {len(table.instances)} told apart" if work.sequence.video else ""
    lines = [f"animals: {found}{names}"]
    if work.sequence.video:
        first = ", ".join(f"{frame} ({why})" for frame, _, _, why in doubts[:3])
        lines.append(f"{counted(len(doubts), 'moment')} of doubt{': frame ' + first if doubts else ''}"
                     f"{', ...' if len(doubts) > 3 else ''}")
    return lines


def _drawn_while_passing(work: _Work, seen: Iterator[Seen], predictor: Predictor, cutoff: float | None, asked: Predict
                         ) -> tuple[dict[str, np.ndarray], drawing.Look]:
    """Exhausts all frames, draws on the way, and returns the images of the sheet by their captions."""
    sequence, skeleton = work.sequence, predictor.skeleton
    # The first frames set the usual score and the size of points, so that all are drawn alike.
    first = list(itertools.islice(seen, asked.batch_size))
    seen = itertools.chain(first, seen)
    scores = np.concatenate([np.zeros(0), *(one.scores[one.present].ravel() for one in first)])
    usual = float(np.median(scores)) if scores.size else 0.0
    opacity = drawing.opacity_from(cutoff, usual)
    radius = None if asked.dot_size is None else asked.dot_size / 2
    if radius is None and sequence.video and scores.size:
        points = np.concatenate([one.keypoints[one.present] for one in first])
        firm = np.concatenate([opacity(one.scores[one.present]) for one in first]) > 0
        radius = dot_radius(points, firm if firm.any() else np.ones_like(firm), min(sequence.video.size))
    note = (f"fainter: a score below {usual / 2:.2g}" if cutoff is None else
            f"cutoff {cutoff:.3g}: points with a lower score are hidden")
    rings = not asked.no_radii and any(np.isfinite(one.radii).any() for one in first)
    if rings:
        note += f"; rings: the truth lies within in {100 * asked.level:g} of 100 cases"
    look = drawing.Look(opacity, radius, note, asked.trails, work.instances, work.boxes, rings)
    sheet: dict[str, np.ndarray] = {}
    if work.drawn:
        seen = drawing.with_sheet(seen, sequence, look, skeleton, sheet)
    if len(work.drawn) > 1 and sequence.video:
        drawing.write_overlay_video(seen, sequence, work.drawn[1], look, skeleton, short=work.drawn[2])
    elif len(work.drawn) > 1:
        seen = drawing.write_images(seen, sequence.names, work.drawn[1], look, skeleton)
    collections.deque(seen, maxlen=0)
    return sheet, look


def _counted(sequence: ImageSequence) -> str:
    return f"{len(sequence)} frames of {sequence.video.name}" if sequence.video else f"{len(sequence)} images"


def _cut_off(sequence: ImageSequence) -> int:
    """Returns the number of frames that a video's header announces beyond its end.

    An AVI file also counts frames that are shown longer than others, once for each time.
    """
    return sequence.video.cut_off if sequence.video and sequence.path.suffix.lower() != ".avi" else 0


def _too_many_unreadable(sequence: ImageSequence, table: PredictionTable) -> list[str]:
    """Returns a line if more of a video is lost than anyone would overlook."""
    if sequence.video is None:
        return []
    lost = sequence.numbers[(table.status == predictions.UNREADABLE).all(1)].tolist()
    cut_off = _cut_off(sequence)
    if len(lost) + cut_off <= TOLERATED * (len(sequence) + cut_off):
        return []
    numbers = ", ".join(map(str, lost[:5])) + (", ..." if len(lost) > 5 else "")
    parts = [f"{len(lost)} of {len(sequence)} frames do not decode ({numbers})"] if lost else []
    parts += [f"the file ends {cut_off} frames early"] if cut_off else []
    return [f"{sequence.path}: {' and '.join(parts)}"]
