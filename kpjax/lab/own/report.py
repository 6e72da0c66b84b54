"""The report of a run on a person's own labels: report.html of its preset's folder, with pictures
of its errors, made from the original frames.

It speaks of pixels, keypoints and frames. What only a developer asks for is folded away.
"""

import base64
import io
import math
import shlex
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from etils import epath
from PIL import Image

from kpjax import InputError, Skeleton
from kpjax.drawing.overlays import keypoint_colours
from kpjax.files import in_bucket, read_json, write_text
from kpjax.images.reading import spread
from kpjax.lab.animals.calibration import cutoffs_text, read_score_table
from kpjax.lab.animals.conformal import RadiusTable, missing, read_radius_table
from kpjax.lab.out.reports import pixel_errors
from kpjax.lab.out.reports.pixel_errors import (
    ALL,
    HELD_OUT,
    LINE,
    TARGET,
    Animals,
    errors_of,
    pixels,
)
from kpjax.lab.out.reports.sheets import FADED, cropped, opened as frame_of, predictions_drawn
from kpjax.lab.out.reports.verdict import advice, judging, verdict
from kpjax.lab.own.animals import found_text, kept_finder
from kpjax.papers.reports.report import (
    Column,
    Line,
    groups,
    header,
    images_of,
    lines_of,
    panels,
    provenance,
    rendered,
)
from kpjax.structures import skeleton_from_json

WORST, OTHERS = 6, 6  # animals that are shown
HELD_OUT_COLUMNS = (
    Column("held_out/px", "mean held-out error", "px", decimals=1, better="lower"),
    Column("held_out/px_median", "half of the points within", "px", decimals=1, better="lower"),
    Column("trained_on/px", "mean error on learnt frames", "px", decimals=1, better="lower"),
)
COLUMNS = {
    HELD_OUT: HELD_OUT_COLUMNS,
    TARGET: (
        Column("target/px", "mean error on the target", "px", decimals=1, better="lower"),
        Column("target/px_median", "half of its points within", "px", decimals=1, better="lower"),
        HELD_OUT_COLUMNS[0]._replace(title="mean held-out error of the source"),
    ),
}


class OwnRun(NamedTuple):
    """A run with errors in pixels."""

    line: Line
    folder: Path
    skeleton: Skeleton
    animals: Animals
    cutoffs: np.ndarray  # (K,)
    judged: Animals | None  # by which it is judged
    error: float  # the mean of these in px; inf if there are none


def own_report(
    folder: epath.Path,
    lines: Sequence[Line],
    columns: Sequence[Column],
    *,
    summary: str,
    notes: Sequence[str],
    command: str,
) -> tuple[Path, Path] | None:
    """Prints what a preset's runs have reached, in pixels and in words, and writes report.html.
    Returns its path and the folder of the run that it shows.

    The run with the smallest error on held-out frames, or on labels of the target, is shown, of
    each variant's lowest seed and of those that keep old keypoints; the last variant where no label
    tells. None if no run kept its errors, as those without labels.

    folder: of the preset. lines: of all variants, with their runs. columns: of the system, for the
    curves in the fold; those of new and old keypoints stand in the table, too. summary: the project
    and what was held out, plain text.
    notes: on the network and its cost, plain text, for the fold. command: of the runs.
    """
    folder, measured = (
        Path(folder),
        [line for line in lines if line.runs.finished and not in_bucket(folder)],
    )
    unknown = unknown_of(Path(measured[0].runs.finished[0].folder)) if measured else []
    found = [run for line in measured if (run := opened(line))]
    if not found:
        print(*(textwrap.fill(text, LINE) for text in unknown), sep="\n")
        return None
    # Where no label tells, the last variant, which the others are compared with; never one that
    # forgot old keypoints.
    shown = found[-1] if unknown else min(found, key=lambda run: (forgot(run), run.error))
    reached, better = (
        [*verdict(shown.animals, shown.cutoffs), *unknown],
        advice(shown.animals, shown.cutoffs),
    )
    print(
        "",
        *[f"{shown.line.name}, {shown.folder.name}:"] * (len(found) > 1),
        *pixel_errors.table_lines(shown.animals, shown.cutoffs),
        "",
        *textwrap.wrap(" ".join(reached), LINE),
        *["what would help most:"] * bool(better),
        sep="\n",
    )
    for text in better:
        print(*textwrap.wrap(f"- {text}", LINE, subsequent_indent="  "), sep="\n")
    if radii := read_radius_table(shown.folder):
        print(*textwrap.wrap(radius_text(radii), LINE), sep="\n")
    learnt = kept_finder(shown.folder)  # of a run that took it from another it is not known
    if (
        animals := found_text(learnt.described["held_out"])
        if learnt and "held_out" in learnt.described
        else ""
    ):
        print(animals)
    return write_text(
        folder / "report.html",
        _page(
            folder,
            shown,
            measured,
            columns,
            {
                "summary": summary,
                "verdict": reached,
                "advice": better,
                "notes": [*notes, *filter(None, [animals])],
                "command": command,
            },
        ),
    ), shown.folder


def forgot(run: OwnRun) -> bool:
    """Returns whether a run finds a tenth of its old keypoints less than the network that it learnt
    from.
    """
    metrics = run.line.runs.finished[0].metrics
    return metrics.get("old/pck", 1.0) < 0.9 * metrics.get("old/pck_before", 0.0)


def opened(line: Line) -> OwnRun | None:
    """Reads a variant's run of the lowest seed; None of one that kept no errors."""
    folder = Path(line.runs.finished[0].folder)
    path = folder / "skeleton.json"
    if not path.is_file():
        return None
    skeleton = skeleton_from_json(read_json(path), str(path))
    animals, scores = pixel_errors.read_errors(folder, skeleton.names), read_score_table(folder)
    if animals is None:
        return None
    cutoffs = scores.cutoffs if scores else np.full(len(animals.names), -np.inf)
    parts = animals.by_part()
    judged = parts.get(judging(parts))
    mean = math.nan if judged is None else errors_of(judged, cutoffs)[ALL].mean
    return OwnRun(
        line, folder, skeleton, animals, cutoffs, judged, mean if math.isfinite(mean) else math.inf
    )


def _page(
    folder: Path, run: OwnRun, measured: Sequence[Line], columns: Sequence[Column], said: dict
) -> str:
    names, parts = run.animals.names, run.animals.by_part()
    tables = [errors_of(some, run.cutoffs) for some in parts.values()]
    headed = (
        *COLUMNS[judging(parts)],
        *(one for one in columns if one.metric.startswith(("new/", "old/"))),
    )
    in_pixels = lines_of([(line.entry._replace(paper={}), line.runs) for line in measured], headed)
    films = sorted(folder.rglob("*_overlay.mp4"), key=lambda path: path.stat().st_mtime)
    return rendered(
        Path(__file__).with_name("report.html.jinja"),
        path=[folder.parent.name, folder.name],
        cutoff=cutoffs_text(run.cutoffs),
        pixel_rows=[
            (name, [cell for found in tables for cell in pixel_errors.cells_of(found[name])])
            for name in (*names, ALL)
            if any(found[name].labels for found in tables)
        ],
        colours={
            name: "rgb({}, {}, {})".format(*colour)
            for name, colour in zip(names, keypoint_colours(len(names)).tolist(), strict=True)
        },
        parts=[*map(pixel_errors.frames_text, parts.values())],
        several=len(measured) > 1,
        header=header(in_pixels, headed),
        groups=groups(in_pixels, headed),
        chosen=run.line.name,
        films=[path.relative_to(folder).as_posix() for path in films],
        pictures=_pictures(run),
        run=shlex.quote(str(run.folder)),
        points=shlex.quote(str(folder / "points")),
        images=images_of([run.line]),
        panels=panels(
            measured, columns, {line.entry.variant: n for n, line in enumerate(measured)}
        ),
        **said,
        **provenance(measured),
    )


def radius_text(table: RadiusTable) -> str:
    """Says whether predictions will have radii, or what is missing for them."""
    whole = f"{table.all_units} {table.unit}{'' if table.all_units == 1 else 's'}"
    lacking = dict(zip(table.levels.tolist(), missing(table).tolist(), strict=True))
    known = [f"{100 * level:g}" for level, number in lacking.items() if not number]
    words = (
        [
            f"From the labels of {whole} held out, predictions have a radius within which the truth lies in "
            f"{known[-1]} of 100 cases on new {table.unit}s like these"
        ]
        if known
        else []
    )
    if more := [
        f"{number} more for {100 * level:g} of 100" for level, number in lacking.items() if number
    ]:
        words.append(
            f"{'' if known else f'{whole} held out are too few for a radius of predicted points: '}"
            f"{', '.join(more)}"
        )
    return "; ".join(words) + "."


def unknown_of(folder: Path) -> list[str]:
    """Returns what no label can tell of a run that is for images without labels, a sentence
    each."""
    images = read_json(folder / "config.json")["config"].get("data", {})
    if not images.get("target") or images.get("target_project"):
        return []
    source = "All errors above are of the source. " if images.get("source") else ""
    return [
        f"How far off points on the target are cannot be known, since none of its images has a label. {source}"
        "Look at the pictures of its points, or label some twenty of its images: --target-project P measures them."
    ]


def _pictures(run: OwnRun) -> list[tuple[str, ...]]:
    """Returns title, note, labels and predictions of the animals with the largest errors and of
    some others, the largest first; images are JPEG in base64. None where the frames cannot be read
    any more."""
    held = run.judged
    if held is None:
        return []
    order = held.worst_first()
    try:
        return [
            _picture(held, n, run.skeleton, run.cutoffs)
            for n in order[:WORST] + spread(order[WORST:], OTHERS)
        ]
    except InputError as error:
        print(f"no pictures in the report: {error}")
        return []


def _picture(held: Animals, n: int, skeleton: Skeleton, cutoffs: np.ndarray) -> tuple[str, ...]:
    errors = held.distances[n]
    k = int(np.nanargmax(errors))
    note = (
        f"mean error {pixels(float(np.nanmean(errors)))} px, {100 * np.nanmean(errors) / held.lengths[n]:.1f} % of "
        f"the animal’s length; largest {pixels(float(errors[k]))} px ({skeleton.names[k]})"
    )
    image, one = cropped(*frame_of(held, n), cutoffs)
    return (
        held.title(n),
        note,
        *(
            _jpeg(predictions_drawn(image, one, skeleton, *shown))
            for shown in ((np.full(len(skeleton.names), np.inf), 0.0), (cutoffs, FADED))
        ),
    )  # the labels alone, and with the predictions


def _jpeg(image: np.ndarray) -> str:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=88)
    return base64.b64encode(file.getvalue()).decode()
