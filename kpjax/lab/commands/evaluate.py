"""The command `evaluate`: errors of a finished run, or of any tool's predictions, on any labelled
project, and a sheet of its worst animals.
"""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kpjax import InputError, Skeleton
from kpjax.drawing.overlays import contact_sheet, legend_strip, write_png
from kpjax.errors import summarise
from kpjax.evaluation.cutoffs import keypoint_cutoffs
from kpjax.evaluation.matching import AnimalsOverTime, animals_over_time, match_by_centre
from kpjax.evaluation.side_swaps import side_swaps
from kpjax.files import together
from kpjax.formats.answers import answers_of
from kpjax.formats.names import derived_flip
from kpjax.formats.prediction_reading import read_predictions
from kpjax.formats.predictions import PredictionTable, csv_rows
from kpjax.formats.project import NO_BOX, Project, instance_of, on_frame
from kpjax.formats.project_source import (
    areas_of,
    box_of,
    project_source,
    reference_lengths,
    whole_frames,
    with_point_boxes,
)
from kpjax.formats.reading import read_project
from kpjax.formats.tables import write_rows
from kpjax.geometry import move_points
from kpjax.images.transforms import Letterbox, growth_of, needs_box
from kpjax.input.source import ArraySource
from kpjax.lab.animals.conformal import (
    RadiusTable,
    left_out_coverage,
    radii,
    radius_table,
    without_label,
)
from kpjax.lab.animals.tracking import LEVEL, Doubt, merge_doubts
from kpjax.lab.commands import Evaluate
from kpjax.lab.commands.predict.pipeline import Seen, track_animals
from kpjax.lab.own.animals import Finder, in_pieces
from kpjax.lab.own.earlier_run import rename_keypoints
from kpjax.lab.own.project import are_points, renamed_to
from kpjax.lab.own.whole_animals import unbounded
from kpjax.lab.predictors import Predictor, open_people, open_predictor, seeds_below
from kpjax.lab.reports import pixel_errors
from kpjax.lab.reports.faults import faults_of
from kpjax.lab.reports.oks import oks_text
from kpjax.lab.reports.pixel_errors import (
    FILE,
    NEAR,
    OF_PART,
    TRAINED,
    Animals,
    count_text,
    known_by,
    pixels,
    wrap_lines,
)
from kpjax.lab.reports.sheets import crop_to_animal, predictions_drawn, read_animal
from kpjax.methods import published

WORST, SIDES = "worst.png", "sides.csv"
LEAST_FRAMES = 10  # fewest frames of a video whose tracks are counted


def evaluate(asked: Evaluate) -> Path:
    """Writes errors.csv, errors_by_keypoint.csv and worst.png, and returns the path of the first.

    Raises InputError for a run or a project that cannot be opened, that have no keypoint in common,
    and for output that is there already.
    """
    for name in ("batch_size", "worst"):
        if getattr(asked, name) < 1:
            raise InputError(name, f"{getattr(asked, name)}; must be at least 1")
    if not asked.threshold > 0:
        raise InputError("threshold", f"{asked.threshold:g}; give a share above 0, such as 0.1")
    people, points = published.is_published(asked.run), are_points(asked.run)
    runs = [] if people or points else seeds_below(Path(asked.run)) or [Path(asked.run)]
    if asked.out.resolve() in [path.resolve() for path in (Path(asked.run), *runs)] and not people:
        raise InputError(
            "out", f"{asked.out} is the run's own folder, whose {FILE} stays; choose another"
        )
    written = [asked.out / name for name in (FILE, pixel_errors.BY_KEYPOINT_FILE, WORST)]
    if (there := [path for path in written if path.exists()]) and not asked.overwrite:
        raise InputError("out", f"{there[0]} exists already; give --overwrite or another folder")
    if points:
        written += evaluate_points(asked)
        print(", ".join(map(str, written)))
        return written[0]
    predictor = (
        open_people(asked.run, published.WITH_HEAD, turned=asked.turned)
        if people
        else open_predictor(asked.run, turned=asked.turned)
    )
    project = with_point_boxes(read_project(asked.project, asked), asked.box_side)
    project = rename_keypoints(project) if people else project
    for line in narrow_crops(project, predictor, asked.box_side):
        print(wrap_lines(line))
    project = in_keypoints_of(predictor.skeleton, project)
    animals, growth = measure(project, predictor, asked)
    lists = [pixel_errors.read_errors(path) for path in runs]
    animals = animals if people else animals._replace(parts=parts_of(animals, lists))
    tell_and_write(animals, predictor.skeleton, predictor.cutoffs, asked)
    if predictor.finder:
        evaluate_animals(project, predictor, animals, asked)
    if predictor.radii:
        print_coverage(predictor.radii, animals, growth, lists)
    print(", ".join(map(str, written)))
    return written[0]


def tell_and_write(
    animals: Animals, skeleton: Skeleton, cutoffs: np.ndarray, asked: Evaluate
) -> None:
    """Prints the errors of animals and what is wrong first, and writes the files of errors and the
    sheet."""
    labels = pixel_errors.distances_in_labels(animals)
    for part, some in animals.by_part().items():
        for fault in faults_of(some, cutoffs, labels, skeleton)[:1]:
            print(wrap_lines(f"wrong first: {fault.text}"))
        if said := oks_text(some):
            print(wrap_lines(f"{part}: {said}"))
    print(*pixel_errors.table_lines(animals, cutoffs, asked.threshold), sep="\n")
    with together(asked.out) as folder:
        pixel_errors.write_errors(folder, animals, cutoffs)
        write_png(folder / WORST, worst_sheet(animals, skeleton, cutoffs, asked.worst))


def print_coverage(
    table: RadiusTable, animals: Animals, growth: np.ndarray, lists: Sequence[Animals | None]
) -> None:
    """Tells which share of points lies within the radii of a run.

    Frames that the run has learnt from, or whose labels the radii come from, say nothing about them
    and are left out. So are keypoints that have none, since no label of theirs was held out.

    growth: (N,) pixels of the original image in one of the network's. lists: as of `parts_of`.
    """
    listed = {OF_PART + part for kept in lists if kept is not None for part in kept.parts}
    new = ~np.isin(np.array(animals.parts), (TRAINED, known_by(listed)))
    some = animals.only(np.flatnonzero(new))
    known = (some.visible > 0) & np.isfinite(some.scores)
    if not known.any():
        print(
            "radii: not measured, since the run knows every labelled frame here; evaluate on another project"
        )
        return
    known &= ~without_label(table)
    if not known.any():
        print("radii: not measured, since keypoints that are labelled here have none")
        return
    distances = np.nan_to_num(some.distances) / growth[new][:, None]
    reach = [radii(table, some.scores, level=level) for level in table.levels]
    within = [float(np.mean((distances <= radius)[known])) for radius in reach]
    medians = [float(np.median((radius * growth[new][:, None])[known])) for radius in reach]
    of_target = " or of its target" if pixel_errors.TARGET in some.parts else ""
    whose = (
        f"not listed in the run (moved files may have been trained on){of_target}"
        if None not in lists
        else "that the run may have learnt from: it kept no list of its own"
    )
    print(
        wrap_lines(
            f"radii, on {count_text(int(known.sum()), 'label')} of frames {whose}; meant for {table.holds_on}:"
        )
    )
    print_levels(table.levels, within, medians)


def print_levels(levels: np.ndarray, within: Sequence[float], medians: Sequence[float]) -> None:
    """Prints a table of levels, the shares of points within their radii, and median radii, px."""
    print("    level, %        " + "".join(f"{100 * level:8.3g}" for level in levels))
    covered = [
        f"{100 * share:.1f}" if math.isfinite(median) else "none"
        for share, median in zip(within, medians, strict=True)
    ]
    print("    within, %       " + "".join(f"{text:>8}" for text in covered))
    print(
        "    median radius, px"
        + "".join(
            f"{pixels(value) if math.isfinite(value) else 'none':>7} " for value in medians
        ).rstrip()
    )


# The predictions of another tool


def evaluate_points(asked: Evaluate) -> list[Path]:
    """Measures another tool's predictions beside labels; writes them again with radii, and what
    seems to be exchanged. Returns the paths of these files.

    Raises InputError for predictions that are of no frame or keypoint of the project.
    """
    project = with_point_boxes(read_project(asked.project, asked), asked.box_side)
    tables = read_predictions(Path(asked.run), asked.project)
    for note in tables[0].notes:
        print(wrap_lines(note))
    names = tables[0].skeleton.names
    skeleton = Skeleton(names, tables[0].skeleton.edges, derived_flip(names) or ())
    project = in_keypoints_of(skeleton, project)
    answers = answers_of(project, tables)
    animals = animals_of_labels(project, skeleton, answers.points, answers.scores)
    known = (animals.visible > 0) & np.isfinite(animals.scores)
    lost, found = int((animals.visible > 0).sum() - known.sum()), known.any(1)
    if lost:
        print(
            f"without a prediction, and counted nowhere: {count_text(lost, 'labelled point')}, among them all of "
            f"{count_text(int((~found).sum()), 'animal')}"
        )
    animals, known = animals.only(np.flatnonzero(found)), known[found]
    distances = np.where(known, animals.distances, np.inf)
    near = distances <= NEAR * animals.lengths[:, None]
    wrong = animals.empty | (known & ~near)
    cutoffs = keypoint_cutoffs(animals.scores, known & near, wrong)
    tell_and_write(animals, skeleton, cutoffs, asked)
    return [
        *radii_of_points(animals, tables, cutoffs, asked.out),
        *sides_of_points(tables, asked.out),
    ]


def radii_of_points(
    animals: Animals, tables: Sequence[PredictionTable], cutoffs: np.ndarray, out: Path
) -> list[Path]:
    """Writes predictions with radii from the labels of some animals, and prints how many points lie
    within them on recordings that are left out."""
    errors, scores, visible = animals.distances, animals.scores, animals.visible
    images = [f"{path} {n}" for path, n in zip(animals.images, animals.frames, strict=True)]
    named = {"recordings": animals.recordings, "images": images}
    table = radius_table(errors, scores, visible, **named)
    shares = left_out_coverage(errors, scores, visible, **named)
    known = (visible > 0) & np.isfinite(scores)
    medians = [float(np.median(radii(table, scores, level=level)[known])) for level in table.levels]
    count = len({*animals.recordings})
    parts = f"each of {count} recordings" if count > 1 else "each stretch of the only recording"
    if len(shares):
        print(
            f"radii from {count_text(int(known.sum()), 'label')}, tested on {parts} by those of the others:"
        )
        print_levels(table.levels, shares.mean(0), medians)
    else:
        print(f"radii: {count_text(int(known.sum()), 'label')} are too few to test any")
    written = []
    for one in tables:
        order = [animals.names.index(name) for name in one.skeleton.names]
        unsure = np.isfinite(one.keypoints).all(-1) & (one.scores < cutoffs[order])
        by_name = np.full(one.scores.shape, np.nan)
        by_name[..., np.argsort(order)] = one.scores
        reach = radii(table, by_name, level=LEVEL)[..., order]
        with_radii = one._replace(unsure=unsure, radii=np.where(unsure, np.inf, reach))
        stem = Path(one.names[0]).stem if one.is_video else "images"
        written.append(write_rows(out / f"{stem}_radii.csv", csv_rows(with_radii)))
    return written


def sides_of_points(tables: Sequence[PredictionTable], out: Path) -> list[Path]:
    """Writes at which frames of videos left and right seem to be exchanged, and prints how many;
    nothing where no animal is the same one on all frames, or no keypoint has a mirror image."""
    rows: list[Sequence[object]] = [("video", "frame", "until", "instance", "left", "right")]
    followed = 0
    for table in tables:
        names = table.skeleton.names
        several = len(table.instances) > 1 and all(map(str.isdecimal, table.instances))
        if not table.is_video or several:
            continue
        followed += len(table.names)
        last = int(table.numbers[-1]) + 1
        for number, animal in enumerate(table.instances):
            points = table.keypoints[:, number]
            for swap in side_swaps(points, table.numbers, derived_flip(names) or ()):
                until = table.numbers[swap.until] if swap.until < len(points) else last
                pair = [names[k] for k in swap.pair]
                rows.append((table.names[0], table.numbers[swap.row], until, animal, *pair))
    if not followed:
        return []
    print(
        f"left and right change places {count_text(len(rows) - 1, 'time')} on {followed:,} frames of videos, by "
        "the ways of the points"
    )
    return [write_rows(out / SIDES, rows)]


def parts_of(animals: Animals, lists: Sequence[Animals | None]) -> tuple[str, ...]:
    """Returns what each animal's frame is for a run: learnt from, held out, or neither, as far as
    the run knows.

    For an ensemble, what one of its runs has learnt from is learnt from. lists: those that the runs
    kept.
    """
    if None in lists:
        return ("labelled",) * len(animals.parts)
    known: dict[tuple[Path, int | None], str] = {}
    for kept in lists:
        for path, number, part in zip(kept.images, kept.frames, kept.parts, strict=True):
            frame = path.resolve(), number
            known[frame] = TRAINED if known.get(frame) == TRAINED else part
    found = [
        known.get((path.resolve(), number))
        for path, number in zip(animals.images, animals.frames, strict=True)
    ]
    return (
        tuple(part or pixel_errors.OTHER for part in found)
        if any(found)
        else ("labelled",) * len(found)
    )


def narrow_crops(project: Project, predictor: Predictor, box_side: float) -> list[str]:
    """Returns a line where a run sees crops, and labels of some of its keypoints alone say where
    animals are; nothing otherwise. box_side: as of `unbounded`."""
    bare = unbounded(project, predictor.skeleton.names, box_side)
    if not (needs_box(predictor.transform) and bare):
        return []
    return [
        f"labels lack keypoints of the run, and {count_text(bare, 'animal')} a box: crops about the labelled points "
        "alone may not show whole animals, and then these errors say nothing of the run; give boxes, as COCO has them"
    ]


def in_keypoints_of(skeleton: Skeleton, project: Project) -> Project:
    """Returns a project with a run's keypoints, matched by name; what it does not label is not
    visible.

    Boxes become those of all labelled points, so that they stay. Animals without a common keypoint
    are left out, and so are labels beyond their image, as in training.
    """
    names = project.skeleton.names
    if not set(names) & set(skeleton.names):
        raise InputError(
            "project",
            f"{project.root} labels {summarise(list(names))}, the run finds "
            f"{summarise(list(skeleton.names))}; no name is shared, so name them alike",
        )
    for words, rest in (
        ("not labelled", [name for name in skeleton.names if name not in names]),
        ("not known to the run", [name for name in names if name not in skeleton.names]),
    ):
        if rest:
            print(f"{words}, and not measured: {summarise(rest)}")
    kept = []
    renamed = renamed_to(project, skeleton).instances
    for whole, one, area in zip(project.instances, renamed, areas_of(project), strict=True):
        of_whole, visible = (
            each.visible * on_frame(each.keypoints, project.frames[one.frame].size)
            for each in (whole, one)
        )
        box = box_of(whole._replace(visible=of_whole))
        if visible.any():
            box = NO_BOX if box is None else box
            kept.append(one._replace(visible=visible, box=box, area=float(area)))
    return project._replace(skeleton=skeleton, instances=tuple(kept))


def measure(project: Project, predictor: Predictor, asked: Evaluate) -> tuple[Animals, np.ndarray]:
    """Predicts all labelled animals of a project; also returns (N,) how many of its pixels one of
    the network's covers.

    Animals are cropped by their boxes where the run needs that, or where a frame has several; whole
    frames are seen otherwise.
    """
    frames_of = [one.frame for one in project.instances]
    cropped = needs_box(predictor.transform) or len(set(frames_of)) < len(frames_of)
    numbers = [
        number
        for number, one in enumerate(project.instances)
        if not cropped or box_of(one) is not None
    ]
    if len(numbers) < len(frames_of):
        print(
            f"left out {len(frames_of) - len(numbers)} animals with neither a box nor two labelled keypoints"
        )

    def transform(image, keypoints, visible, scale, box=None):
        return predictor.transform(image, keypoints, visible, scale, box if cropped else None)

    source = project_source(project, transform, instances=numbers, on_bad_frame=asked.on_bad_frame)
    seen = source.examples
    instances = [project.instances[number] for number in seen.index]
    points, scores = predictor.on_squares(seen.image, asked.batch_size)
    moved = np.asarray(move_points(seen.crop, points), np.float64)
    kept = project._replace(instances=tuple(instances))
    animals = animals_of_labels(kept, predictor.skeleton, moved, scores)
    animals = animals._replace(
        lengths=reference_lengths(project)[seen.index],
        empty=animals.empty & (predictor.empty != "unlabelled"),
    )
    return animals, growth_of(seen.crop)


def animals_of_labels(
    project: Project, skeleton: Skeleton, points: np.ndarray, scores: np.ndarray
) -> Animals:
    """Returns what is predicted of a project's animals beside their labels.

    points, scores: (N, K, 2) px of the frames, and (N, K), of the skeleton's keypoints.
    """
    instances = project.instances
    frames = [project.frames[one.frame] for one in instances]
    visible = np.stack([one.visible for one in instances])
    true = np.stack([np.where(one.visible[:, None] > 0, one.keypoints, 0.0) for one in instances])
    # A label beyond its image counts nowhere, and leaves no cell empty.
    empty = np.stack([np.isnan(one.keypoints).any(-1) for one in instances])
    return Animals(
        skeleton.names,
        ("labelled",) * len(frames),
        tuple(frame.path for frame in frames),
        tuple(frame.number for frame in frames),
        pixel_errors.animal_names(
            [one.frame for one in instances], [one.track for one in instances]
        ),
        reference_lengths(project),
        true,
        visible,
        points,
        scores,
        empty & (visible > 0).any(0),
        np.array([one.area or np.nan for one in instances]),
    )


def worst_sheet(
    animals: Animals, skeleton: Skeleton, cutoffs: np.ndarray, count: int
) -> np.ndarray:
    """Draws the animals with the largest mean error over their length, the worst first, from their
    original frames.

    Animals that the run has learnt from are left out if there are others.
    """
    others = np.flatnonzero(np.array(animals.parts) != TRAINED)
    some = animals.only(others) if len(others) else animals
    order, means = some.worst_first()[:count], np.nanmean(some.distances, axis=1)
    hidden = ((some.scores < cutoffs) & (some.visible > 0))[order].sum()
    print(
        wrap_lines(
            f"{WORST}: {count_text(len(order), 'animal')}, the largest mean error over the animal's length "
            "first; rings are labels, dots predictions, faded below the cutoff "
            f"({count_text(int(hidden), 'point')} of these animals)"
        )
    )
    crops = [
        predictions_drawn(*crop_to_animal(*read_animal(some, n), cutoffs), skeleton, cutoffs)
        for n in order
    ]
    sheet = contact_sheet(
        crops,
        3,
        gap=10,
        captions=[
            f"{100 * means[n] / some.lengths[n]:.1f} % of its length, {pixels(float(means[n]))} px\n"
            f"{some.title(n)} ({some.parts[n]})"
            for n in order
        ],
    )
    return np.concatenate([sheet, legend_strip(sheet.shape[1], skeleton)])


# Several animals in a frame: how a run does that finds them by itself, beside crops from the
# labels' own boxes


def locate_animals(
    project: Project, predictor: Predictor, *, on_bad_frame: str
) -> tuple[Project, np.ndarray, str]:
    """Finds the animals of all labelled frames, and matches them to the labelled ones by their
    centres.

    Their number is that of the labelled frames that the run has learnt from, if it was the same on
    all. Returns the project with an instance for each box that was found, those of no animal
    without a label, and (N,) int, the number of the labelled instance that each is, -1 if it is
    none; and words about how many there are.
    """
    finder = predictor.finder
    whole, _ = whole_frames(project)
    known = finder.known
    of_frame: dict[int, list[int]] = {}
    for number, one in enumerate(project.instances):
        of_frame.setdefault(one.frame, []).append(number)
    instances, of, twice, others, animals = [], [], 0, 0, 0
    empty = np.full((len(project.skeleton.names), 2), np.nan)
    read = 0
    for row, crop, whose, seen in _seen_by(finder, whole, on_bad_frame):
        read += 1
        frame = whole.instances[whose].frame
        numbers = [
            number for number in of_frame[frame] if box_of(project.instances[number]) is not None
        ]
        true = np.array([box_of(project.instances[number]) for number in numbers]).reshape(-1, 4)
        boxes, _ = finder.boxes(seen, row, crop, known)
        matched = match_by_centre(
            true[:, :2] + true[:, 2:] / 2,
            true[:, 2:].max(1, initial=0),
            boxes[:, :2] + boxes[:, 2:] / 2,
        )
        animals += len(numbers)
        twice, others = twice + (matched.twice > 0), others + matched.others
        animal_of = {
            int(box): numbers[animal] for animal, box in enumerate(matched.predicted) if box >= 0
        }
        for number, box in enumerate(boxes):
            of.append(animal_of.get(number, -1))
            instances.append(
                project.instances[of[-1]]._replace(box=box)
                if of[-1] >= 0
                else instance_of(frame, empty, box=box)
            )
    there = sum(number >= 0 for number in of)
    said = (
        f"{there:,} of {count_text(animals, 'animal')} ({100 * there / max(animals, 1):.1f} %), some twice on {twice} "
        f"frames,\nand {count_text(others, 'place')} where none is labelled"
        if of
        else "no animal"
    )
    said = f"found by the run itself on {count_text(read, 'frame')}: {said}"
    return project._replace(instances=tuple(instances)), np.array(of, int), said


def _seen_by(
    finder: Finder, whole: Project, on_bad_frame: str
) -> Iterator[tuple[int, np.ndarray, int, Any]]:
    """Yields a frame's row in what a finder sees, its crop, its instance, and what is seen; as many
    frames are read at once as fit into memory."""

    def read_piece(numbers: range) -> ArraySource:
        return project_source(
            whole, Letterbox(finder.side), instances=numbers, on_bad_frame=on_bad_frame
        )

    count = len(whole.instances)
    for _, source in in_pieces(count, finder.side, read_piece, on_bad_frame):
        seen = finder.on(source.examples.image)
        for row, crop in enumerate(source.examples.crop):
            yield row, crop, int(source.examples.index[row]), seen


def over_time(
    project: Project,
    found: Project,
    points: np.ndarray,
    scores: np.ndarray,
    reach: np.ndarray,
    animals: int | None,
) -> tuple[AnimalsOverTime, list[Doubt], int] | None:
    """Follows the animals of the video with the most labelled frames and counts swaps; None where
    labels have no tracks there, or no extents. Also returns how far a labelled frame usually is from
    the next one.

    points, scores, reach: (N, K, 2), (N, K) and (N, K) px of the instances in `found`; radii that
    are not finite are unknown.
    """
    tracks = sorted({one.track for one in project.instances if one.track})
    videos: dict[str, list[int]] = {}
    for number in sorted({one.frame for one in project.instances}):
        if project.frames[number].number is not None:
            videos.setdefault(str(project.frames[number].path), []).append(number)
    longest = max(videos.values(), key=len, default=[])
    if len(tracks) < 2 or len(longest) < LEAST_FRAMES:
        return None
    order = sorted(longest, key=lambda number: project.frames[number].number)
    row_of = {number: row for row, number in enumerate(order)}
    true = np.full((len(order), len(tracks), len(project.skeleton.names), 2), np.nan)
    extents = np.full(true.shape[:2], np.nan)
    for one in project.instances:
        if one.track and one.frame in row_of:
            place = row_of[one.frame], tracks.index(one.track)
            true[place] = np.where(one.visible[:, None] > 0, one.keypoints, np.nan)
            if one.boxed:
                extents[place] = one.box[2:].max()
    on = [[] for _ in order]
    for number, one in enumerate(found.instances):
        if one.frame in row_of:
            on[row_of[one.frame]].append(number)
    boxes, doubts = np.array([one.box for one in found.instances]), []
    seen = (
        Seen(
            project.frames[frame].number,
            project.frames[frame].size,
            points[here],
            scores[here],
            np.ones(len(here), bool),
            None,
            None,
            boxes=boxes[here],
            reach=np.where(np.isfinite(reach[here]), reach[here], np.nan),
        )
        for frame, here in zip(order, on, strict=True)
    )
    tracked = list(track_animals(seen, doubts, animals=animals))
    places = max([1, *(one.places for one in tracked)])
    slots = np.full((len(order), places, *points.shape[1:]), np.nan)
    for row, one in enumerate(tracked):
        slots[row, one.numbers] = one.keypoints
    counts = animals_over_time(true, slots, extents)
    if counts is None:
        return None
    apart = np.median(np.diff([project.frames[number].number for number in order]))
    return counts, merge_doubts(doubts), int(apart)


def evaluate_animals(
    project: Project, predictor: Predictor, theirs: Animals, asked: Evaluate
) -> None:
    """Prints what becomes of labelled animals that a run finds by itself.

    theirs: predictions in the labels' boxes.
    """
    found, of, said = locate_animals(project, predictor, on_bad_frame=asked.on_bad_frame)
    if not len(of):
        print(said)
        return
    all_found, growth = measure(found, predictor, asked)
    labelled = np.flatnonzero(of >= 0)
    ours = all_found.only(labelled)._replace(lengths=reference_lengths(project)[of[labelled]])
    within = [
        int((animals.distances < asked.threshold * animals.lengths[:, None]).sum())
        for animals in (ours, theirs)
    ]
    here, there = (100 * count / max(int((theirs.visible > 0).sum()), 1) for count in within)
    print(
        f"{said}; PCK {here:.1f} % in its own boxes (not found counts as missed), {there:.1f} % in those of the labels"
    )
    if said := oks_text(theirs, all_found):
        print(wrap_lines(f"in its own boxes: {said}"))
    reach = (
        np.full(all_found.scores.shape, np.nan)
        if predictor.radii is None
        else (radii(predictor.radii, all_found.scores, level=LEVEL) * growth[:, None])
    )
    known = predictor.finder.known
    followed = over_time(project, found, all_found.predicted, all_found.scores, reach, known)
    if followed is not None:
        counts, doubts, apart = followed
        sparse = f", {apart} apart and none between them" if apart > 1 else ""
        print(
            f"followed over {count_text(counts.frames, 'labelled frame')} of a video{sparse}: "
            f"{count_text(counts.swaps, 'swap')}, {count_text(counts.fragments, 'fragment')}, "
            f"{count_text(len(doubts), 'moment')} of doubt"
        )
