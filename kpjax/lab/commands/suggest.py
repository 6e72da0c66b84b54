"""The command `suggest`: frames that are worth a label, and the files that it writes."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from kpjax import InputError
from kpjax.drawing.overlays import (
    contact_sheet,
    draw_animals,
    legend_strip,
    opacity_of_scores,
    write_png,
)
from kpjax.errors import count_text, summarise
from kpjax.evaluation.coincidence import RARE, one_point, suspicious
from kpjax.files import atomic, check_new
from kpjax.formats import deeplabcut
from kpjax.formats.boxes_file import BOXES, boxes_of
from kpjax.formats.predictions import OK, empty_table, fill
from kpjax.formats.project import Frame
from kpjax.formats.project_source import frames_at, read_frame
from kpjax.formats.reading import read_project
from kpjax.formats.tables import write_rows
from kpjax.formats.writing import unused_name
from kpjax.images.transforms import needs_box
from kpjax.lab.commands import Suggest
from kpjax.lab.commands.predict.pipeline import in_original_pixels, shrunk, square_of
from kpjax.lab.predictors import Predictor, open_predictor
from kpjax.lab.suggestions import frames as looks
from kpjax.lab.suggestions.proposals import (
    FORMAT_OF_PROJECT,
    Proposals,
    write_proposals,
)

SHEET_SIDE = 640  # px, of the longer side of a frame on suggestions.png
# Frames are chosen by their looks: neither scores nor errors under turning, disagreement of two
# networks or unusual poses chose better in our measurements.
LOOKED_AT = 1000  # frames of videos, unless `every` is given


def suggest(asked: Suggest) -> Path:
    """Writes suggestions.csv, suggestions.png and the proposals, and returns the path of the first.
    Raises InputError for input that cannot be used and for an output folder that is not empty."""
    for name in ("count", "batch_size", "apart", "every"):
        if (value := getattr(asked, name)) is not None and value < 1:
            raise InputError(name, f"{value}; must be at least 1")
    if not asked.inputs:
        raise InputError("inputs", "name images, videos, or folders of them")
    check_new(asked.out)
    predictor = open_predictor(asked.run)
    if asked.boxes is None and needs_box(predictor.transform):
        raise InputError(
            "boxes",
            f"the run was trained on crops around boxes; {BOXES}, as kpjax predict writes it",
        )
    known, to = looks.frames_of_run(Path(asked.run)), asked.to or "csv"
    if asked.labelled is not None:
        project = read_project(asked.labelled, asked)
        known = looks.joined(known, looks.labelled_frames(project, predictor.skeleton))
        to = asked.to or FORMAT_OF_PROJECT.get(project.format, "csv")
    frames = frames_at(asked.inputs)
    animals, boxes = ("0",), None
    if asked.boxes is not None:
        animals, boxes = boxes_of(
            asked.boxes, [(frame.path.absolute().as_posix(), frame.number) for frame in frames]
        )
    if to == "lp" and len(animals) > 1:
        raise InputError(
            "to", "Lightning Pose holds one animal on an image; choose dlc, slp, coco or csv"
        )
    every = asked.every or max(
        1, math.ceil(sum(frame.number is not None for frame in frames) / LOOKED_AT)
    )
    if every > 1 and asked.every is None:
        print(
            f"one of {every} frames of videos is looked at, about {LOOKED_AT} in all; --every 1 takes all"
        )
    together = _Together(predictor, boxes, asked.batch_size)
    with tqdm(total=len(frames), unit=" frames", disable=None) as bar:
        seen = looks.look_at(
            frames, every=every, boxes=boxes, tick=bar.update, each=together.look_at
        )
    doubtful = np.isin(seen.rows, together.rows())
    looked_at = [frames[row] for row in seen.rows]
    # Such frames may be few in a row: they are put apart before all others are.
    first = np.flatnonzero(doubtful & ~looks.has_label(looked_at, known.frames, asked.apart))
    first = first[looks.apart_in_time([looked_at[one] for one in first], asked.apart)]
    first = first[
        looks.k_centre(seen.features[first], math.ceil(asked.count / 2), taken=known.features)
    ]
    taken = (*known.frames, *(looked_at[one] for one in first))
    others = np.flatnonzero(~looks.has_label(looked_at, taken, asked.apart))
    others = others[looks.apart_in_time([looked_at[one] for one in others], asked.apart)]
    avoided = np.concatenate([known.features, seen.features[first]])
    others = others[looks.k_centre(seen.features[others], asked.count - len(first), taken=avoided)]
    chosen = seen.rows[np.concatenate([first, others])]
    if not len(chosen):
        raise InputError(
            "inputs",
            f"all {len(seen.rows)} frames have labels already, or lie within {asked.apart} "
            "frames of one that has; name other videos, or a smaller --apart",
        )
    links = [frames[row].path for row in chosen.tolist() if frames[row].path.is_symlink()]
    if links:
        names = summarise([f"{path} -> {path.resolve()}" for path in links], 3)
        print(f"links to files elsewhere, whose images are written here: {names}")
    proposals = proposals_of(chosen, frames, animals, boxes, predictor, asked.batch_size)
    with atomic(asked.out) as folder:
        folder.mkdir()
        written = write_proposals(to, folder, asked.out, proposals)
        points, there = proposals.points, proposals.points.status == OK
        usual = float(np.median(points.scores[there]))
        shown = there[..., None] & ~points.unsure
        opacity = np.where(shown, opacity_of_scores(points.scores, usual), 0)
        drawn = []
        for row, image in enumerate(proposals.images):
            small = shrunk(image, SHEET_SIDE)
            placed = (points.keypoints[row] + 0.5) * small.shape[1] / image.shape[1] - 0.5
            drawn.append(draw_animals(small, placed, opacity[row], predictor.skeleton))
        sheet = contact_sheet(
            drawn, captions=[f"{rank}: {name}" for rank, name in enumerate(points.names, 1)]
        )
        write_png(
            folder / "suggestions.png",
            np.concatenate(
                [sheet, legend_strip(sheet.shape[1], predictor.skeleton, animals=animals)]
            ),
        )
        rows = [["image", "video", "frame", "score", "rank", "file"]]
        for row, frame in enumerate(proposals.frames):
            where = [frame.path, "", ""] if frame.number is None else ["", frame.path, frame.number]
            rows.append(
                [*where, f"{points.scores[row][there[row]].mean():.6g}", row + 1, points.names[row]]
            )
        write_rows(folder / "suggestions.csv", rows)
    lines = [
        f"{len(chosen)} of {len(seen.rows)} frames that look least alike, {asked.apart} or more apart in a video"
    ]
    if len(first):
        lines.append(
            f"the first {len(first)} of {count_text(int(doubtful.sum()), 'frame')} on which keypoints are one point "
            "that labels show apart"
        )
    if len(chosen) < asked.count:
        lines.append(
            f"{asked.count} were asked for; no others are that far from each other and from labelled ones"
        )
    if len(known.features):
        lines.append(f"suggestions avoid {len(known.features)} labelled frames")
    if known.notes:
        lines.append(
            f"{len(known.notes)} labelled frames cannot be read, and may be proposed; if they were moved, --labelled P "
            f"names their project: {summarise(known.notes, 2)}"
        )
    if seen.without_box:
        lines.append(f"{seen.without_box} frames have no box and are left out")
    if seen.unreadable:
        lines.append(
            f"{len(seen.unreadable)} frames do not decode and are left out: {summarise(seen.unreadable)}"
        )
    if to == "dlc":
        lines += deeplabcut.missing_for_h5()
    print(*lines, sep="\n")
    print(
        f"{asked.out / 'suggestions.csv'}, {asked.out / 'suggestions.png'} and, as proposals, "
        + ", ".join(path.relative_to(folder).as_posix() for path in written)
    )
    return asked.out / "suggestions.csv"


class _Together:
    """Frames on which keypoints are one point that labels show apart, found in batches."""

    def __init__(self, predictor: Predictor, boxes: np.ndarray | None, batch_size: int):
        self.predictor, self.boxes, self.batch_size = predictor, boxes, batch_size
        self.waiting: list[tuple[int, np.ndarray]] = []
        self.found: list[int] = []

    def look_at(self, row: int, image: np.ndarray) -> None:
        """Looks at a frame's animals, as soon as a batch of them has come."""
        if self.predictor.labels is None:
            return
        for box in [None] if self.boxes is None else self.boxes[row]:
            if box is None or np.isfinite(box).all():
                self.waiting.append((row, square_of(image, self.predictor.transform, box)[0]))
        if len(self.waiting) >= self.batch_size:
            self._predict()

    def rows(self) -> list[int]:
        """Returns the rows of such frames, after the last one was looked at."""
        self._predict()
        return self.found

    def _predict(self) -> None:
        if not self.waiting:
            return
        predictor, labels = self.predictor, self.predictor.labels
        rows, squares = zip(*self.waiting, strict=True)
        points, scores = predictor.on_squares(np.stack(squares), self.batch_size)
        same = one_point(
            points,
            np.full(len(points), labels.size),
            scores >= predictor.cutoffs,
        )
        doubtful = (same & suspicious(labels, RARE)).any((1, 2))
        self.found += [row for row, doubt in zip(rows, doubtful, strict=True) if doubt]
        self.waiting = []


def proposals_of(
    chosen: np.ndarray,
    frames: Sequence[Frame],
    animals: tuple[str, ...],
    boxes: np.ndarray | None,
    predictor: Predictor,
    batch_size: int,
) -> Proposals:
    """Reads and predicts the chosen frames, of which every image has a name of its own."""
    images = {row: read_frame(frames[row]) for row in chosen.tolist()}
    there = [
        (row, animal)
        for row in images
        for animal in range(len(animals))
        if boxes is None or np.isfinite(boxes[row, animal]).all()
    ]
    squares, maps = zip(
        *(
            square_of(images[one[0]], predictor.transform, None if boxes is None else boxes[one])
            for one in there
        ),
        strict=True,
    )
    points, scores = predictor.on_squares(np.stack(squares), batch_size)
    placed = {row: np.full((len(animals), points.shape[1], 3), np.nan) for row in images}
    for (row, animal), crop, found, certain in zip(
        there, maps, points.astype(np.float64), scores, strict=True
    ):
        placed[row][animal] = np.column_stack([in_original_pixels(crop, found), certain])
    last = max((frame.number for frame in frames if frame.number is not None), default=0)
    folders: dict[Path, str] = {}  # output folder of each video or folder of images
    names, used = [], set()
    for frame in (frames[row] for row in images):
        path, number = frame.path.absolute(), frame.number
        source = path.parent if number is None else path
        if source not in folders:
            folders[source] = unused_name(source.name if number is None else source.stem, used)
        name = path.stem if number is None else f"img{number:0{max(4, len(str(last)))}d}"
        names.append(unused_name(f"{folders[source]}/{name}.png", used))
    table = empty_table(
        Path(),
        names,
        np.zeros(len(names)),
        predictor.skeleton,
        f"kpjax_{predictor.title}",
        files=tuple(map(Path, names)),
        instances=animals,
    )
    for place, (row, image) in enumerate(images.items()):
        found, certain = placed[row][..., :2], placed[row][..., 2]
        fill(table, place, image.shape[1::-1], found, certain, np.isfinite(certain).all(1))
    unsure = (table.status == OK)[..., None] & (table.scores < predictor.cutoffs)
    table = table._replace(unsure=unsure)
    return Proposals(tuple(frames[row] for row in images), tuple(images.values()), table)
