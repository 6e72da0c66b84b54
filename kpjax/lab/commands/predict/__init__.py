"""The command `predict`: keypoints on images and videos, one input after the other, and a line for
each file.
"""

import collections
import dataclasses
import itertools
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from tqdm.auto import tqdm

from kpjax import InputError, RunError
from kpjax.drawing.fonts import lacking
from kpjax.errors import summarise
from kpjax.evaluation.coincidence import coinciding, sentences
from kpjax.file_names import inside
from kpjax.files import check_local, partial_path, remove, together, write_json
from kpjax.formats import predictions
from kpjax.formats.boxes_file import BOXES, boxes_of
from kpjax.formats.predictions import PredictionTable
from kpjax.formats.tables import whole_number, write_rows
from kpjax.images.inputs import ImageSequence, find_inputs
from kpjax.images.reading import depth_note
from kpjax.images.transforms import needs_box
from kpjax.lab.animals.calibration import cutoffs_text
from kpjax.lab.animals.conformal import LEVELS, missing, without_label
from kpjax.lab.commands import Predict
from kpjax.lab.commands.predict import drawing, pipeline, record
from kpjax.lab.commands.predict.pipeline import (
    Crop,
    Seen,
    follow_animal,
    from_left,
    names_of,
    predict_frames,
    track_animals,
)
from kpjax.lab.own.animals import MORE
from kpjax.lab.predictors import Predictor, open_predictor, seeds_below
from kpjax.lab.reports.faults import read_worst
from kpjax.lab.reports.pixel_errors import count_text, wrap_lines

NEARLY_ALL = 0.8  # the share of hidden points from which a likely cause is told
FOUND = ("_boxes.csv", "_doubts.csv")  # the latter of videos
SHEET, MOVING = "_sheet.jpg", ("_overlay.mp4", "_overlay.gif")
MOST_ANIMALS = 1000
TOLERATED = 0.01  # the share of a video's frames that may not decode unless they are skipped


class _Work(NamedTuple):
    """One input, before the network sees it."""

    sequence: ImageSequence
    instances: tuple[str, ...]
    boxes: np.ndarray | None
    files: tuple[str, ...]  # that will be written below the folder of results
    drawings: tuple[str, ...]  # those of them that appear last
    older: tuple[str, ...]  # drawings and doubts that an earlier command may have left there
    find: bool  # whether the run finds the animals
    animals: int | None  # their number, if it is known

    def named(self, ending: str) -> str:
        """Returns the name of a file about this input."""
        return self.sequence.stem + ending


def predict(asked: Predict) -> list[Path]:
    """Predicts images, folders and videos, and returns the tables that were written, those of csv
    first of each; none of inputs that `resume` leaves as they are.

    The tables of an input appear together once all are written, and then its drawings. Raises
    InputError for arguments that cannot be used, and for output that is there already; RunError,
    after all else is written, for videos that cannot be read, images that do not decode and videos
    of which more than 1 % does not, unless these are skipped, for points that are no numbers, and
    for what cannot be drawn.
    """
    run = Path(asked.run)
    beside = (run / "results.json").is_file() or seeds_below(run)
    asked = dataclasses.replace(
        asked,
        out=asked.out or (run / "predictions" if beside else Path("runs", "predictions", run.name)),
    )
    check_local("out", asked.out)
    frames, formats = _check_request(asked)
    bad: list[str] = []
    found = find_inputs(asked.inputs, out=asked.out, frames=frames, unreadable=bad)
    if not found:
        raise InputError("inputs", summarise(bad))
    for line in (
        *(f"left out: {fault}" for fault in bad),
        *(f"{one.path}: {depth_note(one.depth)}" for one in found if one.depth),
        *(f"{one.path}: {one.video.note}" for one in found if one.video and one.video.note),
    ):
        print(line)
    predictor = open_predictor(asked.run, turned=asked.turned)
    if worst := read_worst(run):
        print(f"wrong with these points, by the run's labels: {worst}")
    if asked.crop and asked.boxes is not None:
        raise InputError("crop", "--boxes says where the animals are; give only one of the flags")
    if asked.boxes is None and needs_box(predictor.transform) and predictor.finder is None:
        raise InputError(
            "boxes", f"the run was trained on crops around boxes and cannot find animals; {BOXES}"
        )
    if asked.animals is not None and (asked.boxes is not None or predictor.finder is None):
        raise InputError(
            "animals",
            "--boxes says where they are; give only one of the flags"
            if asked.boxes is not None
            else "the run sees one animal in a frame, and does not look for more; leave it out",
        )
    if predictor.finder and (asked.animals or 0) > (limit := predictor.finder.most + MORE):
        raise InputError(
            "animals",
            f"{asked.animals}; the run looks for {limit} at most, {MORE} more than on a frame "
            "with labels; label a frame with more, or give --boxes",
        )
    works = [plan_work(sequence, predictor, formats, asked) for sequence in found]
    results = collections.Counter(name for work in works for name in work.files)
    for name, count in results.items():
        if count > 1:
            raise InputError(
                "out", f"{asked.out / name} would hold two inputs; predict one into another folder"
            )
        if inside(asked.out, name, "out").exists() and not (asked.overwrite or asked.resume):
            rest = [str(work.sequence.path) for work in works if not _is_done(work, asked.out)]
            goes_on = (
                f", or --resume for those without results ({len(rest)} of {len(works)}: {summarise(rest, 3)})"
                if 0 < len(rest) < len(works)
                else ""
            )
            raise InputError(
                "out",
                f"{asked.out / name} exists already; give --overwrite or another folder{goes_on}",
            )
    if asked.resume:
        works = [work for work in works if not _left_out(work, predictor, asked)]
        if not works:
            return []
        asked = dataclasses.replace(asked, overwrite=True)  # of what an interrupt left
    print(
        f"{predictor.words}: {' and '.join(_count_text(work.sequence) for work in works)} at {predictor.side} px on "
        f"{jax.devices()[0].device_kind}"
    )
    names = {
        *predictor.skeleton.names,
        *(name for work in works for name in (*work.instances, *work.sequence.names)),
    }
    if not asked.no_overlay and (letters := lacking(names)):
        print(
            f"the font lacks {letters[:20]}: names are drawn with escapes; KPJAX_FONT may name the file of another"
        )
    written: list[Path] = []
    lost: list[str] = []
    for work in works:
        try:
            table, paths, undrawn = carry_out(work, predictor, formats, asked)
        except InputError as error:
            # as of a full disc: nothing else would work
            if isinstance(error.__cause__, OSError) or len(works) == 1:
                raise
            bad.append(str(error))
            print(f"left out: {error}")
            continue
        written += paths
        bad += _unreadable(work.sequence, table)
        if undrawn:
            lost.append(undrawn)
        if failed := int((table.status == predictions.FAILED).sum()):
            lost.append(
                f"{work.sequence.path}: the network gave no numbers for {failed} of "
                f"{table.status.size} animals, whose cells are empty"
            )
    if lost:
        raise RunError(f"{summarise([*lost, *bad])}; all else is written")
    if bad and asked.on_bad_frame == "stop":
        raise RunError(
            f"{summarise(bad)}; all else is written, and marks what is missing; --on-bad-frame skip accepts that"
        )
    return written


def crop_of(text: str) -> Crop | None:
    """Returns x1, x2, y1, y2 of the part of an image that is looked at, None for all of it.

    Raises InputError for a text that means none.
    """
    numbers = [whole_number(part.strip()) for part in text.split(",")] if text else []
    if not numbers:
        return None
    if (
        len(numbers) != 4
        or None in numbers
        or not (numbers[0] < numbers[1] and numbers[2] < numbers[3])
    ):
        raise InputError("crop", f"{text!r} is no part of an image; give x1,x2,y1,y2 in pixels")
    return Crop(*numbers)


def _check_request(asked: Predict) -> tuple[slice, tuple[str, ...]]:
    """Returns the frames of videos and the formats.

    Raises InputError for a value that means nothing.
    """
    if not asked.inputs:
        raise InputError("inputs", "name images, videos, or folders of them")
    for name, right, mend in (
        ("batch_size", asked.batch_size >= 1, "must be at least 1"),
        (
            "animals",
            asked.animals is None or 0 <= asked.animals < MOST_ANIMALS,
            "give how many there are, or 0 if they come and go",
        ),
        ("cutoff", asked.cutoff is None or np.isfinite(asked.cutoff), "must be a finite number"),
        ("level", asked.level in LEVELS, f"choose {', '.join(f'{level:g}' for level in LEVELS)}"),
        (
            "overlay",
            not (asked.overlay and asked.no_overlay),
            "--no-overlay is given too; give one of them",
        ),
        (
            "resume",
            not (asked.resume and asked.overwrite),
            "--overwrite is given too; give one of them",
        ),
    ):
        if not right:
            raise InputError(name, f"{getattr(asked, name)}; {mend}")
    crop_of(asked.crop)
    parts = (asked.frames or ":").split(":")
    numbers = [whole_number(part) if part else None for part in parts]
    if (
        not 2 <= len(parts) <= 3
        or numbers[2:] == [0]
        or any(part and number is None for part, number in zip(parts, numbers, strict=True))
    ):
        raise InputError(
            "frames", f"{asked.frames!r} is not a range; give 0:100, or 0:1000:10 for every tenth"
        )
    return slice(*numbers), predictions.check_formats(asked.formats.split(","))


def plan_work(
    sequence: ImageSequence, predictor: Predictor, formats: tuple[str, ...], asked: Predict
) -> _Work:
    """Returns one input with the boxes of its animals and the files that it ends in."""
    instances, boxes = ("0",), None
    if asked.boxes is not None:
        path, numbers = sequence.path.absolute().as_posix(), sequence.numbers.tolist()
        instances, boxes = boxes_of(
            asked.boxes,
            [(path, number) for number in numbers]
            if sequence.video
            else [(name, None) for name in sequence.names],
        )
    find, animals = asked.boxes is None and predictor.finder is not None, None
    if find:
        usual = predictor.finder.most if predictor.finder.always else 0
        animals = (usual if asked.animals is None else asked.animals) or None
        instances = names_of(animals or 0)
    stem, video = sequence.stem, sequence.video is not None
    drawings = {stem + SHEET: not asked.no_overlay} | (
        {stem + ending: asked.overlay for ending in MOVING}
        if video
        else dict.fromkeys(drawing.overlays_of(sequence.names), not asked.no_overlay)
    )
    files = [
        path.as_posix()
        for path in predictions.prediction_files(formats, predictor.title, Path(), stem)
    ]
    files += [stem + ending for ending in FOUND[: 1 + video] if find]
    drawn = tuple(name for name, wanted in drawings.items() if wanted)
    files += drawn
    return _Work(
        sequence,
        instances,
        boxes,
        tuple(files),
        drawn,
        tuple(name for name in (*drawings, stem + FOUND[1]) if name not in files),
        find,
        animals,
    )


def _is_done(work: _Work, out: Path) -> bool:
    """Returns whether an input's tables are there, and one of its drawings if any are wanted: these
    appear together, without those of images that cannot be read."""
    there = {name for name in work.files if (out / name).exists()}
    tables = {*work.files} - {*work.drawings}
    return tables <= there and (not work.drawings or bool(there & {*work.drawings}))


def _left_out(work: _Work, predictor: Predictor, asked: Predict) -> bool:
    """Returns whether an input's results are there, and says so: or why they are made anew."""
    path, out = work.sequence.path, asked.out
    if not _is_done(work, out):
        return False
    now = record.depends_on(work.sequence, work.boxes, work.instances, predictor, asked)
    other, changed = record.difference(out, work.sequence.stem, now)
    if other:
        print(f"{path}: done anew; its results are in {out}, but {other}")
        return False
    under = f", made by other programs ({changed})" if changed else ""
    print(f"{path}: left out, its results are in {out}{under}")
    return True


def carry_out(
    work: _Work, predictor: Predictor, formats: tuple[str, ...], asked: Predict
) -> tuple[PredictionTable, list[Path], str]:
    """Predicts one input, writes its tables, then its drawings, and returns why it could not be
    drawn. The tables are whole on the disc before drawing begins: that frames are read a second time
    for it costs less than what an interrupt would lose."""
    sequence, skeleton = work.sequence, predictor.skeleton
    depends_on = record.depends_on(sequence, work.boxes, work.instances, predictor, asked)
    source = "usual for this network" if predictor.follow else "from held-out labels"
    if asked.cutoff is not None:
        cutoffs, source = np.full(len(skeleton.names), asked.cutoff), "as typed"
        predictor = predictor._replace(cutoffs=cutoffs)
    moving, began = work.named(MOVING[0]) in work.files, time.monotonic()
    all_drawn = moving or not (sequence.video or asked.no_overlay)
    shown = () if all_drawn or asked.no_overlay else drawing.sheet_rows(len(sequence))
    side = drawing.VIDEO_SIDE if sequence.video else None
    seen = (
        follow_animal(predictor, sequence, shown=shown, side=side, within=crop_of(asked.crop))
        if predictor.follow and sequence.video and work.boxes is None
        else predict_frames(
            predictor,
            sequence,
            batch_size=asked.batch_size,
            boxes=work.boxes,
            shown=shown,
            side=side,
            level=asked.level,
            find=work.find,
            animals=work.animals,
            within=crop_of(asked.crop),
        )
    )
    kept, doubts = [], []
    with together(asked.out) as folder:
        with closing(seen), _progress(sequence, "") as bar:
            told_apart = (
                track_animals(seen, doubts, animals=work.animals)
                if sequence.video
                else from_left(seen)
            )
            passed = _record(told_apart if work.find else seen, kept, bar)
            # The first frames set the usual score and the size of points, so that all are drawn
            # alike.
            first = list(itertools.islice(passed, asked.batch_size))
            steady = time.monotonic()  # the network is compiled
            look = drawing.look_of(first, sequence, predictor, asked, work.instances)
            collections.deque(passed, maxlen=0)
        predicted = time.monotonic()
        faults = [str(one.fault) for one in kept if one.fault is not None]
        table = _table(work, kept, predictor)
        paths = predictions.write_predictions(table, formats, folder, sequence.stem)
        moments = pipeline.doubt_rows(doubts, sequence.numbers)
        for ending, rows in zip(
            FOUND, (pipeline.box_rows(table), [pipeline.DOUBTS, *moments]), strict=True
        ):
            if work.named(ending) in work.files:
                paths.append(write_rows(folder / work.named(ending), rows))
        write_json(folder / work.named(record.ENDING), depends_on)
        paths = [asked.out / path.relative_to(folder) for path in paths]
    # Drawings of other points than the table now has.
    outdated = [
        path
        for name in (*work.older, *work.files)
        if (path := asked.out / name) not in paths and path.is_file() and not path.is_symlink()
    ]
    for path in outdated if asked.overwrite else ():
        remove(path)
    removed = [path for path in outdated if path.relative_to(asked.out).as_posix() in work.older]

    def draw() -> None:
        sheet: dict[str, np.ndarray] = {}
        placed = _placed(work, kept)
        again = pipeline.with_images(placed, sequence, side) if all_drawn else placed
        with together(asked.out) as folder:
            with closing(again), _progress(sequence, "drawing ", again) as bar:
                passed = drawing.with_sheet(bar, sequence, look, skeleton, sheet)
                if moving:
                    files = (folder / work.named(ending) for ending in MOVING)
                    drawing.write_overlay_video(passed, sequence, look, skeleton, *files)
                elif all_drawn:
                    passed = drawing.write_images(passed, sequence.names, folder, look, skeleton)
                collections.deque(passed, maxlen=0)
            if sheet:
                drawing.write_sheet(folder / work.named(SHEET), sheet, look, skeleton)

    undrawn = "" if asked.no_overlay else _why_undrawn(draw)
    ended, cut_off = time.monotonic(), _cut_off(sequence)
    for line in _coinciding_lines(work, kept, predictor):
        print(line)
    print(
        f"{_count_text(sequence)} in {ended - began:.1f} s"
        f"{rate_text(len(sequence) - len(first), predicted - steady)}, {len(faults)} unreadable"
        f"{': ' + summarise(faults) if faults else ''}{f', {cut_off} cut off at the end' if cut_off else ''}; "
        f"{int(table.outside.sum())} points outside their {'frame' if sequence.video else 'image'}"
    )
    for line in (
        *(_animal_lines(work, table, moments) if work.find else ()),
        *_hidden_lines(table, source, predictor),
        *_radius_lines(table, predictor, asked),
    ):
        print(line)
    there = dict.fromkeys(
        drawing.FOLDER if name.startswith(f"{drawing.FOLDER}/") else name
        for name in work.files
        # without one image that can be read nothing is drawn
        if (asked.out / name).exists()
    )
    print(", ".join(str(asked.out / name) for name in there))
    if removed and asked.overwrite:
        print(f"removed outdated drawings: {summarise([str(path) for path in removed])}")
    # The folder in which it was drawn is gone.
    words = undrawn.replace(str(partial_path(asked.out / "results")), str(asked.out))
    return table, paths, f"{sequence.path}: cannot be drawn: {words}" if undrawn else ""


def _progress(sequence: ImageSequence, verb: str, passed: Iterator[Seen] | None = None) -> tqdm:
    return tqdm(
        passed,
        total=len(sequence),
        unit=" frames",
        desc=f"{verb}{Path(sequence.stem).name}",
        leave=False,
        dynamic_ncols=True,
        disable=None,
    )


def _why_undrawn(draw: Callable[[], None]) -> str:
    """Draws, and returns why that failed, "" where it did not."""
    try:
        draw()
    except Exception as error:
        if os.environ.get("KPJAX_DEBUG"):
            raise
        reason = str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}"
        return " ".join(reason.split())
    return ""


def _coinciding_lines(work: _Work, kept: Sequence[Seen], predictor: Predictor) -> list[str]:
    """Returns which keypoints are one point that labels show apart, and what shows where."""
    there = [one for one in kept if one.fault is None and one.sizes is not None and one.sizes.size]
    if predictor.labels is None or not there:
        return []
    sizes = np.concatenate([one.sizes for one in there])
    found = coinciding(
        np.concatenate([one.keypoints for one in there]),
        sizes,
        predictor.labels,
        scores=np.concatenate([one.scores for one in there]),
        cutoff=predictor.cutoffs,
    )
    alone = len(sizes) == len(there)
    names, each = predictor.skeleton.names, "frame" if work.sequence.video else "image"
    usual = float(np.nanmedian(sizes)) if np.isfinite(sizes).any() else np.nan
    lines = sentences(found, names, length=usual, of=each if alone else "animal")
    if not lines:
        return []
    return [
        *(wrap_lines(line) for line in lines),
        "overlays ring them in red; kpjax suggest proposes such frames first",
    ]


def _hidden_lines(table: PredictionTable, source: str, predictor: Predictor) -> list[str]:
    """Returns how many points are unsure, and the likely cause if they are nearly all."""
    scores, said = table.scores[table.status == predictions.OK], cutoffs_text(predictor.cutoffs)
    if not said or not scores.size:
        return []
    below = int(table.unsure.sum())
    lines = [
        f"cutoff {said}, {source}: {below} of {scores.size} points lie below it; they are unsure, and "
        "not drawn"
    ]
    if below < NEARLY_ALL * scores.size:
        return lines
    cause = (
        "boxes without an animal, or of another scale than in training"
        if np.isfinite(table.boxes).any()
        else "nobody is in view, or too small"
        if predictor.follow
        else "another camera, animal or scale than in training"
    )
    return [
        *lines,
        f"likely cause: {cause}; --cutoff 0 draws all points",
        "if points are wrong, label frames of this input (kpjax suggest) and train again",
    ]


def _radius_lines(table: PredictionTable, predictor: Predictor, asked: Predict) -> list[str]:
    """Returns how sure the points are, or how many held-out labels are missing to say so."""
    if predictor.radii is None:
        return []
    known = table.radii[np.isfinite(table.radii)]
    if not known.size:
        levels, lacking = predictor.radii.levels, missing(predictor.radii)
        more = lacking[np.abs(levels - asked.level).argmin()]
        enough = levels[lacking == 0]
        lower = f"; --level {enough.max():g} gives one" if enough.size else ""
        return [
            f"no radius: {more} more labelled images must be held out for it{lower}"
            if more
            else "no radius: all points are unsure"
        ]
    bare = np.flatnonzero(without_label(predictor.radii))
    names = summarise([table.skeleton.names[k] for k in bare], 3)
    lines = [
        f"radius that holds the truth of {100 * asked.level:g} % of points on {predictor.radii.holds_on}, median: "
        f"{np.median(known):.3g} px; the table has that of each point"
    ]
    if bare.size:
        lines.append(f"{names}: no held-out label, and so no radius")
    return lines


def _record(seen: Iterator[Seen], kept: list[Seen], bar: tqdm) -> Iterator[Seen]:
    """Passes frames on, and keeps them."""
    for one in seen:
        kept.append(one)
        bar.update()
        yield one


def _count_places(work: _Work, kept: Sequence[Seen]) -> int:
    """Counts the places of animals that the run found itself: as many as were told apart."""
    return work.animals or max([1, *(one.places for one in kept)])


def _placed(work: _Work, kept: Sequence[Seen]) -> Iterator[Seen]:
    """Yields frames as they are drawn: with the animals that the run found in their places, which
    give them their colours on all frames of a video."""
    count = _count_places(work, kept) if work.sequence.video else None
    for one in kept:
        yield pipeline.in_places(one, count or one.places) if work.find else one


def _table(work: _Work, kept: Sequence[Seen], predictor: Predictor) -> PredictionTable:
    """Returns all predictions. Where animals were found, there are as many as were told apart, on
    each frame: all formats but SLEAP's and COCO's have a place for each."""
    sequence, instances, boxes = work.sequence, work.instances, work.boxes
    if work.find:
        instances = names_of(_count_places(work, kept))
        boxes = np.full((len(sequence), len(instances), 4), np.nan)
    table = predictions.empty_table(
        sequence.path,
        sequence.names,
        sequence.numbers,
        predictor.skeleton,
        predictor.title,
        files=sequence.files,
        times=sequence.times,
        instances=instances,
        boxes=boxes,
    )
    for one in kept:
        if one.fault is not None:
            continue
        if work.find:
            one = pipeline.in_places(one, len(instances))
            table.boxes[one.row] = one.boxes
        predictions.fill(
            table, one.row, one.size, one.keypoints, one.scores, one.present, one.radii
        )
    unsure = (table.status == predictions.OK)[..., None] & (table.scores < predictor.cutoffs)
    # Where nothing is likely to be there, no circle holds it.
    without = unsure & bool(np.isfinite(table.radii).any())
    return table._replace(unsure=unsure, radii=np.where(without, np.inf, table.radii))


def _animal_lines(work: _Work, table: PredictionTable, doubts: Sequence[tuple]) -> list[str]:
    """Returns how many animals were found on the frames, and where two may have been exchanged."""
    read = (table.status != predictions.UNREADABLE).any(1)
    counts = collections.Counter((table.status[read] == predictions.OK).sum(1).tolist())
    found = ", ".join(
        f"{number} on {count_text(frames, 'frame' if work.sequence.video else 'image')}"
        for number, frames in sorted(counts.items(), reverse=True)
    )
    if not work.sequence.video:
        return [f"animals: {found}"]
    first = ", ".join(f"{frame} ({why})" for frame, _, _, why in doubts[:3])
    return [
        f"animals: {found}; {len(table.instances)} told apart",
        f"{count_text(len(doubts), 'moment')} of doubt"
        f"{': frame ' + first if doubts else ''}{', ...' if len(doubts) > 3 else ''}",
    ]


def rate_text(count: int, seconds: float) -> str:
    """Returns how many images a second went through once the network was compiled, "" of too few.

    count, seconds: of the images after the first batch, which waits for the compiler.
    """
    return f" ({count / seconds:.1f} a second once compiled)" if count > 0 and seconds > 0 else ""


def _count_text(sequence: ImageSequence) -> str:
    return (
        f"{len(sequence)} frames of {sequence.video.name}"
        if sequence.video
        else f"{len(sequence)} images"
    )


def _cut_off(sequence: ImageSequence) -> int:
    """Returns the number of frames that a video's header announces beyond its end, 0 where those that
    are asked for end before it.

    An AVI file also counts frames that are shown longer than others, once for each time.
    """
    if not sequence.video or sequence.path.suffix.lower() == ".avi":
        return 0
    step = int(np.diff(sequence.numbers[-2:]).sum()) or 1
    reaches_end = sequence.numbers[-1] + step >= len(sequence.video)
    return sequence.video.cut_off if reaches_end else 0


def _unreadable(sequence: ImageSequence, table: PredictionTable) -> list[str]:
    """Returns a line if images, or more of a video than anyone would overlook, are lost."""
    lost, cut_off = (
        np.flatnonzero((table.status == predictions.UNREADABLE).all(1)).tolist(),
        _cut_off(sequence),
    )
    if len(lost) + cut_off <= (TOLERATED * (len(sequence) + cut_off) if sequence.video else 0):
        return []
    if not sequence.video:
        return [
            f"{len(lost)} of {len(sequence)} images cannot be read ({summarise([table.names[n] for n in lost])})"
        ]
    numbers = ", ".join(str(sequence.numbers[n]) for n in lost[:5]) + (
        ", ..." if len(lost) > 5 else ""
    )
    parts = [f"{len(lost)} of {len(sequence)} frames do not decode ({numbers})"] if lost else []
    parts += [f"the file ends {cut_off} frames early"] if cut_off else []
    return [f"{sequence.path}: {' and '.join(parts)}"]
