"""The report of any system on a person's own data: report.html of its preset's folder.

It answers first what the system's user asks, in words and in pictures of a variant beside its
control, made from the original frames; then come tables. It speaks of pixels, keypoints and frames.
What only a developer asks for is folded away.
"""

import itertools
import math
import re
import shlex
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from etils import epath

from kpjax import InputError, Skeleton
from kpjax.drawing.overlays import keypoint_colours
from kpjax.files import in_bucket, read_json, write_text
from kpjax.formats.options import Options
from kpjax.images.reading import spread
from kpjax.lab.animals.calibration import cutoffs_text, read_score_table
from kpjax.lab.animals.conformal import RadiusTable, missing, read_radius_table, without_label
from kpjax.lab.own.animals import FOLDER, found_text, kept_finder
from kpjax.lab.own.project import Own
from kpjax.lab.reports import pixel_errors
from kpjax.lab.reports.faults import Fault, drawn_where_empty, faults_of, write_faults
from kpjax.lab.reports.oks import oks_text
from kpjax.lab.reports.pixel_errors import (
    ALL,
    HELD_OUT,
    NEAR,
    TARGET,
    Animals,
    count_text,
    errors_of,
    pixels,
    wrap_lines,
)
from kpjax.lab.reports.sheets import (
    FADED,
    Compared,
    crop_to_animal,
    predictions_drawn,
    read_animal as frame_of,
)
from kpjax.lab.reports.shown import (
    Shown,
    agreeing,
    jpeg,
    patch_side,
    read_shown,
    side_by_side,
    strips,
)
from kpjax.lab.reports.told import Told, nothing_told
from kpjax.lab.reports.verdict import WIDELY, judging, label_shift, shift_text, verdict
from kpjax.papers.configs import config_as_json
from kpjax.papers.parsing import screen_width
from kpjax.papers.reports.report import (
    Column,
    Line,
    console_table,
    groups,
    header,
    images_of,
    lines_of,
    panels,
    provenance,
    render_page,
)
from kpjax.papers.semi_supervised.left_to_learn import FITTED
from kpjax.structures import skeleton_from_json
from kpjax.training.identity import flat_identity

WORST, OTHERS = 6, 6  # animals that are shown
SHOWN = 3  # animals that show what is worst
SURE = 0.5  # share of scores that say only whether they reach a cutoff
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
    """A run that finds points."""

    line: Line
    folder: Path
    skeleton: Skeleton
    shown: Shown | None  # its points on some frames
    animals: Animals | None  # with labels, of a run that learnt from some
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
    told: Told = nothing_told,
    usual_steps: int = 0,
) -> tuple[Path, Path] | None:
    """Prints what a preset's runs have reached, in words and in numbers, and writes report.html.
    Returns its path and the folder of the run that it shows.

    The run with the smallest error on held-out frames, or on labels of the target, is shown, of
    each variant's lowest seed and of those that keep old keypoints; the last method where no label
    of the target tells, and the method of a system without labels. None if no run finds points, and for a bucket.

    folder: of the preset. lines: of all variants, with their runs. columns: of the system: the table
    of one without labels, the curves in the fold; those of new and old keypoints stand in every
    table. summary: the project and what was held out, plain text. notes: on the network and its
    cost, plain text, for the fold. command: of the runs. told: what is said first. usual_steps: of
    the last stage, where none are typed.
    """
    folder, measured = (
        Path(folder),
        [line for line in lines if line.runs.finished and not in_bucket(folder)],
    )
    found = [run for line in measured if (run := open_run(line))]
    if not found:
        return None
    unknown = unknown_of(found[0].folder)
    shown = shown_of(found, last=bool(unknown))
    others = [run for run in found if run is not shown]
    beside = control_of(shown, others)
    first = [
        *unknown[:1],
        *(agreement(shown, beside) if unknown else []),
        *unknown[1:],
        *told(shown.line.runs.finished[0], [run.line.runs.finished[0] for run in others]),
    ]
    reached, table = [], [console_table(*_table(measured, columns), screen_width())]
    if shown.animals:
        said = verdict(shown.animals, shown.cutoffs)
        reached = [" ".join([said[0], *compared(shown, others)]), *said[1:], *shift_lines(shown)]
        part = shown.judged or shown.animals
        reached += [f"{said}." for said in [oks_text(part)] if said]
        table = pixel_errors.table_lines(part, shown.cutoffs)
    wrong = faults_of_run(shown, folder, command, usual_steps)
    write_faults(shown.folder, wrong)
    print(
        "",
        *([f"{shown.line.name}, {shown.folder.name}:"] if len(found) > 1 else []),
        wrap_lines(" ".join([*first, *reached])),
        sep="\n",
    )
    for number, fault in enumerate(wrong):
        if not number:
            print("what is wrong with these points, worst first:")
        print(wrap_lines(f"- {fault.text}", indent="  "))
        if fault.command:
            print(fault.command)
    print("", *table, sep="\n")
    if radii := read_radius_table(shown.folder):
        print(wrap_lines(radius_text(radii, of_target=_known_by_target(shown))))
    learnt = kept_finder(shown.folder)  # not known of a run that took it from another
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
            beside,
            measured,
            columns,
            wrong,
            {
                "summary": summary,
                "first": first,
                "verdict": reached,
                "notes": [*notes, *filter(None, [animals])],
                "command": command,
            },
        ),
    ), shown.folder


def shift_lines(run: OwnRun) -> list[str]:
    """Returns a line that says where labels lie beside what a run sees, if its training turned images
    so widely that this can be measured."""
    config = flat_identity(read_json(run.folder / "config.json").get("config", {}))
    turned = max((config[name] for name in config if name.endswith("rotation")), default=0.0)
    shift = label_shift(run.animals) if turned >= WIDELY else None
    stated = next((config[name] for name in config if name.endswith("pixels_from")), "tool")
    return [shift_text(*shift, stated)] if shift else []


def faults_of_run(run: OwnRun, folder: Path, command: str, usual_steps: int) -> list[Fault]:
    """Returns what is wrong with a run's points, worst first, each with a command.

    folder: of the preset. command, usual_steps: as of `own_report`.
    """
    workdir = folder.parent.parent
    other = next(name for n in itertools.count(2) if not Path(name := f"{workdir}-{n}").exists())
    drawn, rest = [], []
    if run.animals:
        suggest = f"kpjax suggest {shlex.quote(str(run.folder))} VIDEO --out to_label"
        absent = f"{command} --empty absent --workdir {shlex.quote(other)}"
        part = run.judged or run.animals
        for fault in drawn_where_empty(part, run.cutoffs):
            drawn.append(fault._replace(command=suggest if "--empty" in command else absent))
        known = pixel_errors.distances_in_labels(run.animals)
        found = faults_of(part, run.cutoffs, known, run.skeleton)
        rest = [fault._replace(command=suggest) for fault in found[len(drawn) :]]
    wrong = [*drawn, *go_on(run, other), *rest]
    result = run.line.runs.finished[0]
    steps = result.config.get("steps", usual_steps)
    if 0 < steps < usual_steps and not result.metrics.get("kept_start"):
        text = f"{steps:,} of the usual {usual_steps:,} steps were run."
        wrong.append(
            Fault(text, command=f"{_without_steps(command)} --workdir {shlex.quote(other)}")
        )
    return wrong


def _without_steps(command: str) -> str:
    return re.sub(r" --(steps|workdir)[ =]\S+", "", command)


def go_on(run: OwnRun, workdir: str) -> list[Fault]:
    """Returns that a run's labelled images are not learnt yet, with the command that trains on from
    it in another folder; nothing of any other run.
    """
    left = run.line.runs.finished[0].metrics.get("labelled/left_of_worst", 0.0)
    if not left > FITTED:
        return []
    stored = read_json(run.folder / "config.json")
    flags = [
        *flags_of_project(stored["config"]["data"], stored.get("why", {})),
        ("--variants", run.line.entry.variant),
        ("--start", str(run.folder)),
        ("--workdir", workdir),
    ]
    command = shlex.join(["kpjax", "train", *(word for flag in flags for word in flag)])
    text = (
        f"The labelled images themselves are not learnt: of the worst keypoint {left:.0%} of the error "
        "of empty heatmaps is left."
    )
    return [Fault(text, command=command)]


def flags_of_project(data: Mapping[str, Any], chosen: Collection[str]) -> list[tuple[str, ...]]:
    """Returns the flags that name a run's project and say how it is read, each with its values.

    data: the part of a config.json. chosen: fields that were chosen from the project, and not typed.
    """
    own, usual = data["own"], config_as_json(Own())
    flags = [("--project", path) for path in (data["project"], *own["more_projects"])]
    if data["unlabelled"]:
        flags.append(("--unlabelled", *data["unlabelled"]))
    if data["labelled"] != 1:
        flags.append(("--labelled", f"{data['labelled']:g}"))
    # what was typed here may be what stands there otherwise, as whole frames of several animals
    if "transform" not in chosen:
        flags.append(("--transform", data["transform"]))
    if data["unlabelled_pool"] != "rest":
        flags.append(("--unlabelled-pool", data["unlabelled_pool"]))
    for name, value in own.items():
        if name in ("more_projects", *chosen) or value == usual[name]:
            continue
        flag = f"--{name.replace('_', '-')}"
        flags.append((flag,) if value is True else (flag, str(value)))
    return flags


def labelled_flags(data: Mapping[str, Any], chosen: Collection[str]) -> str:
    """Returns the flags by which `suggest` reads the labels of a run's only project, with a space
    before each; nothing of a run on several, or none.

    data, chosen: as of `flags_of_project`.
    """
    own, usual = data.get("own") or {}, asdict(Options())
    projects = [data[name] for name in ("project", "source") if data.get(name)]
    if len(projects) != 1 or own.get("more_projects"):
        return ""
    words = ["--labelled", projects[0]]
    for name in usual:
        if name in chosen or own.get(name, usual[name]) == usual[name]:
            continue
        words.append(f"--{name.replace('_', '-')}")
        words += [] if own[name] is True else [str(own[name])]
    return f" {shlex.join(words)}"


def shown_of(found: Sequence[OwnRun], *, last: bool) -> OwnRun:
    """Returns the run that a report shows, as `own_report` says. last: where no label of the target
    tells.
    """
    adapted = [run for run in found if run.line.entry.kind == "method"] or found[-1:]
    if last:
        return adapted[-1]
    if not any(run.animals for run in found):
        return adapted[0]
    return min(found, key=lambda run: (forgot(run), run.error))


def agreement(shown: OwnRun, beside: Sequence[OwnRun]) -> list[str]:
    """Says how many points of the frames in the pictures two runs find at the same place."""
    pairs = [
        (run, agreeing(shown.shown, run.shown, NEAR)) for run in beside if shown.shown and run.shown
    ]
    return [
        f"On {count_text(len(shown.shown.images), 'frame')} of the target, {100 * share:.0f} of 100 points of "
        f"{shown.line.name} lie within a tenth of the animal’s length of where {run.line.name} finds them. Where they "
        "differ, the pictures below show which are right."
        for run, share in pairs
        if math.isfinite(share)
    ]


def compared(shown: OwnRun, others: Sequence[OwnRun]) -> list[str]:
    """Says how large the errors of other variants are, which were measured on the same labels."""
    known = [run for run in others if math.isfinite(run.error)]
    if not known:
        return []
    errors = ", ".join(f"{run.line.name} {pixels(run.error)} px" for run in known)
    best = ", with the smallest error" if shown.error <= min(run.error for run in known) else ""
    return [
        f"Of {len(known) + 1} variants this is {shown.line.name}{best}; mean errors of others: {errors}."
    ]


def _known_by_target(run: OwnRun) -> bool:
    """Returns whether labels of the target, in place of held-out ones, say what scores mean."""
    parts = run.animals.by_part() if run.animals else ()
    return pixel_errors.known_by({pixel_errors.OF_PART + part for part in parts}) == TARGET


def _table(
    measured: Sequence[Line], columns: Sequence[Column]
) -> tuple[list[Line], Sequence[Column]]:
    """Returns lines without the paper's numbers, and those columns that any of them has a number
    for.
    """
    filled = [
        column
        for column in columns
        if any(column.metric in run.metrics for line in measured for run in line.runs.finished)
    ]
    return lines_of(
        [(line.entry._replace(paper={}), line.runs) for line in measured], filled
    ), filled


def forgot(run: OwnRun) -> bool:
    """Returns whether a run finds a tenth of its old keypoints less than the network that it learnt
    from.
    """
    metrics = run.line.runs.finished[0].metrics
    return metrics.get("old/pck", 1.0) < 0.9 * metrics.get("old/pck_before", 0.0)


def open_run(line: Line) -> OwnRun | None:
    """Reads a variant's run of the lowest seed; None of one that finds no points."""
    folder = Path(line.runs.finished[0].folder)
    path = folder / "skeleton.json"
    if not path.is_file():
        return None
    skeleton = skeleton_from_json(read_json(path), str(path))
    animals, scores = pixel_errors.read_errors(folder, skeleton.names), read_score_table(folder)
    cutoffs = scores.cutoffs if scores else np.full(len(skeleton.names), -np.inf)
    parts = animals.by_part() if animals else {}
    judged = parts.get(judging(parts))
    mean = math.nan if judged is None else errors_of(judged, cutoffs)[ALL].mean
    error = mean if math.isfinite(mean) else math.inf
    return OwnRun(line, folder, skeleton, read_shown(folder), animals, cutoffs, judged, error)


def _page(
    folder: Path,
    run: OwnRun,
    beside: Sequence[OwnRun],
    measured: Sequence[Line],
    columns: Sequence[Column],
    wrong: Sequence[Fault],
    said: dict,
) -> str:
    names, stored = run.skeleton.names, read_json(run.folder / "config.json")
    crops = stored.get("config", {}).get("data", {}).get("transform") == "around_box"
    parts = run.animals.by_part() if run.animals else {}
    tables = [errors_of(some, run.cutoffs) for some in parts.values()]
    filled_of_parts = [*map(pixel_errors.columns_of, parts.values())]
    headed = (
        (
            *(one for one in columns if one.metric.startswith(("new/", "old/"))),
            *COLUMNS[judging(parts)],
        )
        if parts
        else columns
    )
    in_table, filled = _table(measured, headed)
    films = sorted(folder.rglob("*_overlay.mp4"), key=lambda path: path.stat().st_mtime)
    images = images_of([run.line])
    moving = [one for one in images if one[1].endswith("moving")]
    pictures, patches = _pictures([run, *beside])
    if pictured := _wrong_first(run, wrong):
        pictures.insert(0, pictured)
    return render_page(
        Path(__file__).with_name("report.html.jinja"),
        path=[folder.parent.name, folder.name],
        cutoff=cutoffs_text(run.cutoffs),
        cutoffs_of="labels of the target" if _known_by_target(run) else "frames held out",
        pixel_rows=[
            (
                name,
                [
                    [pixel_errors.cells_of(found[name])[n] for n in chosen]
                    for found, chosen in zip(tables, filled_of_parts, strict=True)
                ],
            )
            for name in (*names, ALL)
            if any(found[name].labels for found in tables)
        ],
        colours={
            name: "rgb({}, {}, {})".format(*colour)
            for name, colour in zip(names, keypoint_colours(len(names)).tolist(), strict=True)
        },
        parts=[
            (pixel_errors.frames_text(some), [pixel_errors.COLUMNS[n][0] for n in chosen])
            for some, chosen in zip(parts.values(), filled_of_parts, strict=True)
        ],
        has_empty=any(some.empty.any() for some in parts.values()),
        several=len(measured) > 1 or not parts,
        header=header(in_table, filled),
        groups=groups(in_table, filled),
        chosen=run.line.name,
        films=[path.relative_to(folder).as_posix() for path in films],
        pictures=pictures,
        wrong=wrong,
        strips=patches,
        why=stored.get("why", {}),
        run=shlex.quote(str(run.folder)),
        boxes=" --boxes BOXES" if crops else "",
        labelled=labelled_flags(stored.get("config", {}).get("data") or {}, stored.get("why", {})),
        finds=(run.folder / FOLDER).is_dir(),
        points=shlex.quote(str(folder / "points")),
        images=[one for one in images if one not in moving],
        moving=moving,
        panels=panels(
            measured, columns, {line.entry.variant: n for n, line in enumerate(measured)}
        ),
        **said,
        **provenance(measured),
    )


def radius_text(table: RadiusTable, *, of_target: bool = False) -> str:
    """Says whether predictions will have radii, or what is missing for them.

    of_target: whether the labels are of the target, where none are held out.
    """
    kind, label = (
        ("of the target", "label of the target") if of_target else ("held out", "held-out label")
    )
    whole = f"{count_text(table.images, 'image')} {kind}"
    lacking = dict(zip(table.levels.tolist(), missing(table).tolist(), strict=True))
    known = [f"{100 * level:g}" for level, number in lacking.items() if not number]
    words = (
        [
            f"From the labels of {whole}, predictions have a radius within which the truth lies in "
            f"{known[-1]} of 100 cases on {table.holds_on}"
        ]
        if known
        else []
    )
    if more := [
        f"{number} more for {100 * level:g} of 100" for level, number in lacking.items() if number
    ]:
        words.append(
            f"{'' if known else f'{whole} are too few for a radius of predicted points: '}"
            f"{', '.join(more)}"
        )
    if bare := int(without_label(table).sum()):
        have = "has" if bare == 1 else "have"
        words.append(f"{count_text(bare, 'keypoint')} without a {label} {have} none")
    return "; ".join(words) + "."


def unknown_of(folder: Path) -> list[str]:
    """Returns what no label can tell of a run that is for images without labels, a sentence
    each."""
    images = read_json(folder / "config.json")["config"].get("data", {})
    if not images.get("target") or images.get("target_project"):
        return []
    of_source = "All errors below are of the source. " if images.get("source") else ""
    return [
        "The error on the target is unknown: none of its images has a label.",
        f"{of_source}Label some twenty of the target’s images, and --target-project P measures them.",
    ]


def control_of(run: OwnRun, others: Sequence[OwnRun]) -> list[OwnRun]:
    """Returns the run that pictures show beside another, none if there is no other: a control beside
    a method, a method beside all else, that with the smallest error.
    """
    kinds = ("control", "baseline") if run.line.entry.kind == "method" else ("method",)
    ranked = sorted(others, key=lambda other: (other.line.entry.kind not in kinds, other.error))
    return ranked[:1]


def _pictures(runs: Sequence[OwnRun]) -> tuple[list[tuple], list[tuple[str, str]]]:
    """Returns sections of pictures, each with a heading, a note, the names of what stands side by
    side, and figures of a title, words and JPEGs in base64; and strips of what lies around points.

    runs: the one that is shown, and perhaps another. Empty where the frames cannot be read any more.
    """
    first, names = runs[0], [run.line.name for run in runs]
    sections, patches = [], []
    try:
        if first.shown:
            # Another seed may have found its animals on other frames.
            frames = first.shown.images, first.shown.frames
            alike = [
                (run.line.name, run.shown)
                for run in runs
                if run.shown and (run.shown.images, run.shown.frames) == frames
            ]
            whose, some = map(list, zip(*alike, strict=True))
            rings = np.isfinite(first.shown.true).any()
            note = "The same frames for each; crops of the original images."
            if rings:
                note += " Rings: labels, or where old keypoints have none, where the old network finds them."
            figures = [(title, "", found) for title, found in side_by_side(some, first.skeleton)]
            sections.append(("All points on some frames", note, whose, figures))
            if first.animals is None:
                side = patch_side(some)
                patches = [(name, strips(one, first.skeleton, side)) for name, one in alike]
        if first.judged:
            order = first.judged.worst_first()
            titles = [[*map(run.judged.title, order)] for run in runs if run.judged]
            beside = runs[1] if len(titles) > 1 and titles[0] == titles[1] else None
            figures = [
                _picture(first, beside, n) for n in order[:WORST] + spread(order[WORST:], OTHERS)
            ]
            hidden = np.isfinite(first.cutoffs).any()
            faded = "; faded points have a score below their cutoff" if hidden else ""
            note = (
                "The largest errors, then others down to the smallest. Labels are rings, predictions dots, joined to "
                f"their labels by a line{faded}. Crops of the original images."
            )
            shown = names if beside else ["labels", "predictions"]
            sections.append(("Labels and predictions", note, shown, figures))
    except InputError as error:
        print(f"no pictures in the report: {error}")
    return sections, patches


def _wrong_first(run: OwnRun, wrong: Sequence[Fault]) -> tuple | None:
    """Returns a section of pictures of what is worst; None where no animal shows it, or its frame
    cannot be read.
    """
    part = run.judged or run.animals
    if not wrong or not wrong[0].animals:
        return None
    figures = []
    try:
        for n in wrong[0].animals[:SHOWN]:
            image, one = frame_of(part, n)
            shown = one._replace(visible=np.isfinite(one.predicted).all(-1).astype(float))
            shown = shown._replace(
                true=np.where(shown.visible[:, None] > 0, one.predicted, one.true)
            )
            image, shown = crop_to_animal(image, shown, run.cutoffs)
            drawn = predictions_drawn(image, shown, run.skeleton, run.cutoffs, 0.0)
            figures.append((part.title(n), "", [jpeg(drawn)]))
    except InputError:
        return None
    return "Wrong first", wrong[0].text, ["predictions that drawings show"], figures


def _picture(run: OwnRun, beside: OwnRun | None, n: int) -> tuple[str, str, list[str]]:
    """Returns title, words and pictures of a labelled animal: the predictions of two runs, or the
    labels and the predictions of one.
    """
    held = run.judged
    errors = held.distances[n]
    k = int(np.nanargmax(errors))
    note = (
        f"mean error {pixels(float(np.nanmean(errors)))} px, {100 * np.nanmean(errors) / held.lengths[n]:.1f} % of "
        f"the animal’s length; largest {pixels(float(errors[k]))} px ({run.skeleton.names[k]})"
    )
    image, one = frame_of(held, n)
    one = one._replace(scores=one.scores >= run.cutoffs)
    if not beside:
        image, one = crop_to_animal(image, one, SURE)
        shown = ((math.inf, 0.0), (SURE, FADED))  # the labels alone, and with the predictions
        drawn = [predictions_drawn(image, one, run.skeleton, *how) for how in shown]
        return held.title(n), note, [*map(jpeg, drawn)]
    note += f"; {beside.line.name} {pixels(float(np.nanmean(beside.judged.distances[n])))} px"
    other = frame_of(beside.judged, n)[1]
    other = other._replace(scores=other.scores >= beside.cutoffs)
    # one crop for both
    image, both = crop_to_animal(
        image, Compared(*map(np.concatenate, zip(one, other, strict=True))), SURE
    )
    halves = zip(*(np.split(field, 2) for field in both), strict=True)
    drawn = [predictions_drawn(image, Compared(*half), run.skeleton, SURE) for half in halves]
    return held.title(n), note, [*map(jpeg, drawn)]
