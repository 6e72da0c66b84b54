"""The report of a run on a person's own labels: its pictures and its video, made from the original frames."""
import io
import itertools
import math
import shlex
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from etils import epath
from PIL import Image

from kpjax import InputError, Skeleton
from kpjax.files import in_bucket, read_json
from kpjax.images.video import write_video
from kpjax.lab.animals.calibration import DEFAULT_CUTOFF, drawn_from, read_score_table
from kpjax.lab.animals.conformal import RadiusTable, missing, read_radius_table
from kpjax.lab.formats.project import Frame
from kpjax.lab.formats.project_source import read_frame
from kpjax.lab.out.reports.error_sheet import Compared, cropped, labels_drawn, predictions_drawn
from kpjax.lab.out.reports.own_report import Film, OwnRun, Picture, films_in, write_own_report
from kpjax.lab.out.reports.pixel_errors import ALL, LINE, Animals, errors_of, pixels, read_errors, table_lines
from kpjax.lab.out.reports.verdict import advice, judging, verdict
from kpjax.lab.own.animals import held_out_text
from kpjax.structures import skeleton_from_json
from kpjax.systems.reports.table import Column, Line

WORST, OTHERS = 6, 6  # animals that are shown
FILM, FILM_FRAMES, FILM_SIDE, FILM_RATE = "held_out.mp4", 100, 960, 2.0  # frames at most, px, frames a second


def own_report(folder: epath.Path, lines: Sequence[Line], columns: Sequence[Column], *, summary: str,
               notes: Sequence[str], command: str) -> Path | None:
    """Prints what a preset's runs have reached, in pixels and in words, and writes report.html, whose path it returns.

    The run with the smallest error on held-out frames, or on labels of the target, is shown, of each variant's lowest
    seed. None if no run kept its errors, as those without labels.
    """
    folders = [] if in_bucket(folder) else [Path(line.runs.finished[0].folder) for line in lines if line.runs.finished]
    unknown = unknown_of(folders[0]) if folders else []
    found = [one for line in lines if folders and line.runs.finished and (one := _opened(line))]
    if not found:
        print(*(textwrap.fill(text, LINE) for text in unknown), sep="\n")
        return None
    shown, skeleton = min(found, key=lambda one: _error(one[0]))
    print("", *table_lines(shown.animals, shown.cutoff), "", sep="\n")
    print(*textwrap.wrap(" ".join([*verdict(shown.animals, shown.cutoff), *unknown]), LINE), sep="\n")
    for number, text in enumerate(advice(shown.animals, shown.cutoff)):
        print(end="" if number else "what would help most:\n")
        print(*textwrap.wrap(f"- {text}", LINE, subsequent_indent="  "), sep="\n")
    if radii := read_radius_table(shown.folder):
        print(*textwrap.wrap(radius_text(radii), LINE), sep="\n")
    if animals := held_out_text(shown.folder):
        print(animals)
    parts = shown.animals.by_part()
    held = parts.get(judging(parts))
    worst, others, films = ([], [], []) if held is None else _drawn(held, skeleton, shown.cutoff, Path(folder))
    run = shlex.quote(str(shown.folder))
    return write_own_report(
        Path(folder), shown, lines, columns, summary=summary, notes=[*notes, *filter(None, [animals])], unknown=unknown,
        worst=worst, others=others,
        films=[*films, *films_in(Path(folder))],
        commands={"The command of this run; given again it goes on, or writes this page anew:": command,
                  "Points on new images or videos, with a video that this page plays when it is written anew:":
                      f"kpjax predict {run} VIDEO --out {shlex.quote(str(folder / 'points'))} --overlay",
                  "Frames that are worth a label next:": f"kpjax suggest {run} VIDEO --out to_label",
                  "Errors on another labelled project:": f"kpjax evaluate {run} PROJECT --out errors"})


def _opened(line: Line) -> tuple[OwnRun, Skeleton] | None:
    folder = Path(line.runs.finished[0].folder)
    path = folder / "skeleton.json"
    if not path.is_file():
        return None
    skeleton = skeleton_from_json(read_json(path), str(path))
    animals, scores = read_errors(folder, skeleton.names), read_score_table(folder)
    cutoff = drawn_from(scores.cutoff if scores else DEFAULT_CUTOFF)
    return None if animals is None else (OwnRun(line, animals, cutoff, folder), skeleton)


def radius_text(table: RadiusTable) -> str:
    """Says whether predictions will have radii, or what is missing for them."""
    whole = f"{table.all_units} {table.unit}{'' if table.all_units == 1 else 's'}"
    lacking = dict(zip(table.levels.tolist(), missing(table).tolist(), strict=True))
    known = [f"{100 * level:g}" for level, number in lacking.items() if not number]
    words = [f"From the labels of {whole} held out, predictions have a radius within which the truth lies in "
             f"{known[-1]} of 100 cases on new {table.unit}s like these"] if known else []
    if more := [f"{number} more for {100 * level:g} of 100" for level, number in lacking.items() if number]:
        words.append(f"{'' if known else f'{whole} held out are too few for a radius of predicted points: '}"
                     f"{', '.join(more)}")
    return "; ".join(words) + "."


def unknown_of(folder: Path) -> list[str]:
    """Returns what no label can tell of a run that is for images without labels, a sentence each."""
    images = read_json(folder / "config.json")["config"].get("data", {})
    if not images.get("target") or images.get("target_project"):
        return []
    source = "All errors above are of the source. " if images.get("source") else ""
    return [f"How far off points on the target are cannot be known, since none of its images has a label. {source}"
            "Look at the pictures of its points, or label some twenty of its images: --target-project P measures them."]


def _error(run: OwnRun) -> float:
    parts = run.animals.by_part()
    held = parts.get(judging(parts))
    mean = math.nan if held is None else errors_of(held, run.cutoff)[ALL].mean
    return mean if math.isfinite(mean) else math.inf


def _drawn(held: Animals, skeleton: Skeleton, cutoff: float, folder: Path
           ) -> tuple[list[Picture], list[Picture], list[Film]]:
    """Returns the animals with the largest errors, others from the smallest error on, and the video of all frames.

    Nothing where the frames cannot be read any more: the numbers stand without them.
    """
    relative = np.nanmean(held.distances, axis=1) / held.lengths
    order = np.argsort(-relative, kind="stable").tolist()
    worst, rest = order[:WORST], order[WORST:][::-1]
    others = [rest[n] for n in np.linspace(0, len(rest) - 1, min(OTHERS, len(rest))).round().astype(int)]
    try:
        pictures = [[_picture(held, n, skeleton, cutoff) for n in some] for some in (worst, others)]
        frames = _film_frames(held, skeleton, cutoff)
        first = next(frames)
        write_video(folder / FILM, itertools.chain([first], frames), rate=FILM_RATE)
    except InputError as error:
        print(f"no pictures in the report: {error}")
        return [], [], []
    left_out = f"; points with a score below {cutoff:.3g} are left out" if math.isfinite(cutoff) else ""
    return *pictures, [Film(FILM, "Labelled frames in the order of their names: labels as rings, predictions as dots"
                            f"{left_out}.", _jpeg(first))]


def _image(held: Animals, n: int) -> np.ndarray:
    return read_frame(Frame("", held.images[n], held.frames[n], (0, 0), ""))


def _compared(held: Animals, n: int) -> Compared:
    return Compared(held.predicted[n], held.scores[n], held.true[n], held.visible[n])


def _picture(held: Animals, n: int, skeleton: Skeleton, cutoff: float) -> Picture:
    mean = float(np.nanmean(held.distances[n]))
    k = int(np.nanargmax(held.distances[n]))
    note = (f"mean error {pixels(mean)} px, {100 * mean / held.lengths[n]:.1f} % of the animal’s length; "
            f"largest {pixels(float(held.distances[n, k]))} px ({skeleton.names[k]})")
    image, one = cropped(_image(held, n), _compared(held, n), cutoff)
    return Picture(held.title(n), note, _jpeg(labels_drawn(image, one, skeleton)),
                   _jpeg(predictions_drawn(image, one, skeleton, cutoff)))


def _jpeg(image: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=88)
    return file.getvalue()


def _film_frames(held: Animals, skeleton: Skeleton, cutoff: float) -> Iterator[np.ndarray]:
    """Yields frames with all of their animals, of one size, smaller ones padded."""
    places = sorted(set(zip(held.images, held.frames, strict=True)), key=lambda place: (str(place[0]), place[1] or 0))
    places = [places[n] for n in np.linspace(0, len(places) - 1, min(FILM_FRAMES, len(places))).round().astype(int)]
    size = None
    for place in places:
        numbers = [n for n in range(len(held.parts)) if (held.images[n], held.frames[n]) == place]
        image = _image(held, numbers[0])
        factor = FILM_SIDE / max(image.shape[:2])
        factor = min(factor, max(1, int(factor)))  # small frames are enlarged by a whole factor
        if factor != 1:
            image = np.asarray(Image.fromarray(image).resize(
                [max(round(length * factor), 1) for length in image.shape[1::-1]], Image.Resampling.BILINEAR))
        for n in numbers:
            predicted, true = ((points[n] + 0.5) * factor - 0.5 for points in (held.predicted, held.true))
            one = _compared(held, n)._replace(predicted=predicted, true=true)
            image = predictions_drawn(image, one, skeleton, cutoff, faded=0.0)
        size = size or tuple(length + length % 2 for length in image.shape[:2])
        height, width = min(size[0], image.shape[0]), min(size[1], image.shape[1])
        frame = np.zeros((*size, 3), np.uint8)
        frame[:height, :width] = image[:height, :width]
        yield frame
