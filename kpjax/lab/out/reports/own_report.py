"""The page about a run on a person's own labels: report.html of its preset's folder, beside the video of its errors.

It speaks of pixels, keypoints and frames. What only a developer asks for is folded away.
"""
import base64
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from markupsafe import Markup

from kpjax.drawing.charts import Curve
from kpjax.drawing.overlays import keypoint_colours
from kpjax.files import write_text
from kpjax.lab.out.reports.pixel_errors import (
    ALL,
    HELD_OUT,
    NEAR,
    TARGET,
    TRAINED,
    Animals,
    Errors,
    errors_of,
    frames_text,
    pixels,
)
from kpjax.lab.out.reports.verdict import advice, judging, verdict
from kpjax.systems.reports.report import curve_image, images_of, panels, provenance, rendered
from kpjax.systems.reports.table import Column, Line, groups, header, lines_of, read_history

# Curves that anybody can read: in metrics.jsonl, their title and unit, and what values are multiplied with.
CURVES = {
    "validation/distance": ("Mean error on held-out frames", "px of the original images", 1.0),
    "validation/pck": ("Held-out points found (PCK)", f"% nearer than {100 * NEAR:g} % of the animal’s length", 100.0),
    "loss/total": ("What training makes small (loss)", "no unit, logarithmic", 1.0)}
HELD_OUT_COLUMNS = (Column("held_out/px", "mean held-out error", "px", decimals=1, better="lower"),
                    Column("held_out/px_median", "half of the points within", "px", decimals=1, better="lower"),
                    Column("trained_on/px", "mean error on learnt frames", "px", decimals=1, better="lower"))
COLUMNS = {HELD_OUT: HELD_OUT_COLUMNS, TARGET: (
    Column("target/px", "mean error on the target", "px", decimals=1, better="lower"),
    Column("target/px_median", "half of its points within", "px", decimals=1, better="lower"),
    HELD_OUT_COLUMNS[0]._replace(title="mean held-out error of the source"))}


class Picture(NamedTuple):
    """One animal: its labels and its predictions on a crop of the original image, as JPEG."""

    title: str  # the whole name of its frame
    note: str
    labels: bytes
    predictions: bytes


class Film(NamedTuple):
    """A video to play, and what it shows."""

    path: str  # below the page's folder
    note: str
    poster: bytes = b""  # JPEG, shown until it plays


class OwnRun(NamedTuple):
    """The run that the page is about."""

    line: Line
    animals: Animals
    cutoff: float
    folder: Path


def write_own_report(
    folder: Path, run: OwnRun, lines: Sequence[Line], columns: Sequence[Column], *, summary: str,
    notes: Sequence[str] = (), unknown: Sequence[str] = (), worst: Sequence[Picture] = (),
    others: Sequence[Picture] = (), films: Sequence[Film] = (), commands: Mapping[str, str] = {},
) -> Path:
    """Writes report.html beside the variants of a preset's folder, and returns its path.

    Args:
        folder: of the preset.
        run: the one that is shown, of the lines' lowest seeds.
        lines: of all variants, with their runs.
        columns: of the system, for the curves in the fold.
        summary: the project and what was held out, plain text.
        notes: on the network and its cost, plain text, for the fold.
        unknown: what no label can tell, a sentence each.
        worst: animals with the largest errors, the largest first.
        others: further animals.
        films: videos to play.
        commands: shell commands by what they do.
    """
    measured = [line for line in lines if line.runs.finished]
    parts = run.animals.by_part()
    headed = COLUMNS[judging(parts)]
    in_pixels = lines_of([(line.entry._replace(paper={}), line.runs) for line in measured], headed)
    tables = {part: errors_of(some, run.cutoff) for part, some in parts.items()}
    colours = {name: "rgb({}, {}, {})".format(*colour) for name, colour in
               zip(run.animals.names, keypoint_colours(len(run.animals.names)).tolist(), strict=True)}
    page = rendered(
        Path(__file__).with_name("own_report.html.jinja"), path=[folder.parent.name, folder.name],
        summary=summary, verdict=[*verdict(run.animals, run.cutoff), *unknown],
        advice=advice(run.animals, run.cutoff), tiles=_tiles(tables),
        cutoff=f"{run.cutoff:.3g}" if math.isfinite(run.cutoff) else "",
        near=f"{100 * NEAR:g}", pixel_rows=_pixel_rows(run.animals.names, tables), colours=colours,
        parts=[frames_text(some) for some in parts.values()], curves=_curves(run), several=len(measured) > 1,
        header=header(in_pixels, headed), groups=groups(in_pixels, headed), chosen=run.line.name,
        films=[(film.path, film.note, base64.b64encode(film.poster).decode()) for film in films],
        worst=_embedded(worst), others=_embedded(others), commands=commands, notes=list(notes),
        images=images_of([run.line]), panels=panels(
            measured, columns, {line.entry.variant: n for n, line in enumerate(measured)}), **provenance(measured))
    return write_text(folder / "report.html", page)


def _tiles(tables: Mapping[str, Mapping[str, Errors]]) -> list[tuple[str, str, str]]:
    """Returns heading, number and unit."""
    judged = judging(tables)
    if judged not in tables:
        return []
    held = tables[judged][ALL]
    tiles = [(f"Mean error, {'the target' if judged == TARGET else 'held-out frames'}", pixels(held.mean), "px"),
             ("Half of the points within", pixels(held.median), "px"),
             ("Mean error over the animal’s length", f"{100 * held.relative:.1f}", "%"),
             (f"Nearer than {100 * NEAR:g} % of it", f"{100 * held.found:.0f}", "%"),
             ("Points hidden by the cutoff", str(held.hidden), f"of {held.labels} points")]
    if TRAINED in tables:
        tiles.insert(1, ("Mean error, learnt frames", pixels(tables[TRAINED][ALL].mean), "px"))
    return tiles


def _pixel_rows(names: Sequence[str], tables: Mapping[str, Mapping[str, Errors]]) -> list[tuple[str, list[str]]]:
    """Returns the cells of each keypoint, part by part, and of all."""
    rows = []
    for name in (*names, ALL):
        cells = []
        for found in tables.values():
            one = found[name]
            cells += [str(one.labels), pixels(one.median), pixels(one.mean), pixels(one.shown), str(one.hidden)]
        if any(found[name].labels for found in tables.values()):
            rows.append((name, cells))
    return rows


def _curves(run: OwnRun) -> list[tuple[str, str, Markup]]:
    """Returns title, unit and plot of the curves of the run that is shown."""
    history = read_history(run.folder)
    found = [(title, unit, curve_image([Curve("", 0, [history.get(name, ())])], f"{title} over steps",
                                       logarithmic=name.startswith("loss/"), factor=factor))
             for name, (title, unit, factor) in CURVES.items()]
    return [curve for curve in found if curve[-1]]


def _embedded(pictures: Sequence[Picture]) -> list[tuple[str, str, str, str]]:
    return [(one.title, one.note, *(base64.b64encode(image).decode() for image in (one.labels, one.predictions)))
            for one in pictures]


def films_in(folder: Path) -> list[Film]:
    """Returns the overlays of predictions that lie in a run's folder or below it, newest last."""
    found: list[Any] = sorted(folder.rglob("*_overlay.mp4"), key=lambda path: path.stat().st_mtime)
    return [Film(path.relative_to(folder).as_posix(), f"prediction: {path.name}") for path in found]
