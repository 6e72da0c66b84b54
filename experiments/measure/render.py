"""Pages with tables: what stands between markers is rendered from `results.csv` alone.

    <!-- table: regda/headline -->      the table "headline" of experiments/regda/results.py
    <!-- systems -->                    what was found for every published system
    <!-- claims -->                     what the papers claim, and whether it holds here
    <!-- situations -->, <!-- papers -->    the tables of experiments/measure/situations.py
    ... rendered ...
    <!-- end -->

A cell is the mean over seeds with its deviation, or a difference over pairs of equal seeds with its
95 % interval; what the paper prints stands behind it. A cell says "not run" where nothing was
measured, and is empty where a run has no such metric.
"""

import importlib
import math
import re
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from experiments import experiment_of, papers
from experiments.measure.rows import EXPERIMENTS, FILE, Result, by_run, read_results
from kpjax import InputError
from kpjax.drawing.charts import Difference, forest_plot
from kpjax.evaluation.intervals import interval_over_seeds
from kpjax.papers.configs import flat, read_settings, settings_text
from kpjax.papers.engine import Experiment
from kpjax.papers.paper_numbers import paper_numbers
from kpjax.papers.reports.report import (
    Column,
    Summary,
    cell_text,
    decimal_text,
    difference_text,
    markdown,
)

ROOT = EXPERIMENTS.parent
MARKED = re.compile(
    r"(<!-- (systems|claims|main claims|situations|papers|table: [\w/]+) -->\n).*?(<!-- end -->)",
    re.S,
)
# each system, in the order of pages: what a person has, its publication in Markdown, and how its command
# on one's own data goes on
ABOUT = {
    "regda": (
        "labels in one domain, images of another",
        "RegDA: *Regressive Domain Adaptation for Unsupervised Keypoint Detection* (CVPR 2021)",
        "--source P --target FOLDER_OR_VIDEO",
    ),
    "semi_supervised": (
        "a handful of labels, many images",
        "*Semi-supervised Keypoint Localization* (ICLR 2021)",
        "--project P --unlabelled FOLDER_OR_VIDEO",
    ),
    "incremental": (
        "an old model, and new keypoints without the old data",
        "KAMP: *Incremental Object Keypoint Learning* (arXiv 2503.20248)",
        "--old RUN --project P",
    ),
    "pyramids": (
        "videos without labels",
        "Keypoint Pyramids: *Discovering Deformable Keypoint Pyramids* (ECCV 2022)",
        "--videos FOLDER_OR_VIDEO",
    ),
    "adaptation": (
        "a network for another category",
        "Frozen-core adaptation: *Object Landmark Discovery through "
        "Unsupervised Adaptation* (NeurIPS 2019)",
        "--core RUN --images FOLDER",
    ),
}
KINDS = {"control": " (control)", "oracle": " (upper bound)"}


class Metric(NamedTuple):
    """How a metric is shown."""

    heading: str
    factor: float = 1.0
    decimals: int = 1
    lower: bool = False  # whether less of it is better


METRICS = {
    "target/pck": Metric("target PCK, %", 100),
    "source/pck": Metric("source PCK, %", 100),
    "target/mae": Metric("target error", decimals=3, lower=True),
    "target/pck_batchwise/all": Metric("target PCK as the authors count, %", 100),
    "test/pck": Metric("PCK, %", 100),
    "test/nme": Metric("mean error, % of the reference length", 100, 2, True),
    "test/contour": Metric("distance of contours, % of the reference length", 100, 2, True),
    "labelled/left_to_learn": Metric(
        "training loss on labelled images, % of an all-zero prediction's", 100, lower=True
    ),
    "test/sc_over_ln_k": Metric("semantic consistency, % of chance", 100, lower=True),
    "aaa": Metric("AAA, %", 100),
    "at": Metric("AT, %", 100),
    "a_mre": Metric("A-MRE", decimals=2, lower=True),
    "triples/pck": Metric("PCK of old points in triples, %", 100),
    "rmse/flat": Metric("error, px", decimals=2, lower=True),
    "rmse/level1": Metric("first level, px", decimals=2, lower=True),
    "rmse/level2": Metric("second level, px", decimals=2, lower=True),
    "action/accuracy": Metric("actions, %", 100),
    "action/level1": Metric("actions from the first level, %", 100),
    "action/level2": Metric("actions from the second level, %", 100),
    "action/accuracy_of_true_joints": Metric("actions from the true joints, %", 100),
    **{
        f"units/pixels_per_image/{level}": Metric(heading, decimals=2, lower=True)
        for level, heading in (
            ("flat", "error, px of an image's joints together"),
            ("level1", "first level"),
            ("level2", "second level"),
        )
    },
    **{
        f"{way}/{count}": Metric(f"{name} at {count} labels, %", lower=True)
        for way, name in (
            ("forward", "forward error"),
            ("backward", "backward error"),
            ("mean_landmarks", "error of the mean"),
        )
        for count in (10, 50, "all")
    },
    "association/ka_net": Metric("KA-Net, %", 100),
    "association/teacher": Metric("its teacher, %", 100),
    "association/step_1/neck/ka_net": Metric("KA-Net on the neck in step 1, %", 100),
    "association/step_1/neck/teacher": Metric("its teacher there, %", 100),
    "association/left_out": Metric("triples left out, %", 100, 0, True),
    "association/input": Metric("KA-Net's input at old points", decimals=2, lower=True),
    "association/closed": Metric("errors of its teacher that KA-Net closes, %", 100, 0),
    "association/copy_rate": Metric("large errors that KA-Net copies, %", 100, 0, True),
    "on_object": Metric("points on the object, %", 100, 0),
    "core/pck": Metric("PCK of the core, %", 100, 0),
    "consistency": Metric("consistency, px", decimals=2, lower=True),
    "void": Metric("collapsed, %", 100, 0, True),
}


class Run(NamedTuple):
    """What a number is of, but for its seed, as `results.csv` names it."""

    preset: str
    settings: str
    variant: str


class Table(NamedTuple):
    """What a page shows.

    A line is a variant, or "one - other" for a difference over pairs of equal seeds.
    "preset/variant" names another preset than the table's, "preset field=value/variant" its
    settings, too; what is subtracted inherits them.
    """

    #: preset of all lines that name no other; several have columns each
    preset: str | tuple[str, ...]
    lines: Sequence[str]
    metrics: Sequence[str]
    #: whether it shows runs of tuning seeds, and none of the others
    tuning: bool = False

    @property
    def columns(self) -> list[tuple[str, str]]:
        """Preset and metric of each column."""
        presets = (self.preset,) if isinstance(self.preset, str) else self.preset
        return [(preset, metric) for preset in presets for metric in self.metrics]

    def runs(self) -> list[Run]:
        """Returns all that is shown, each once."""
        return list(
            dict.fromkeys(
                run
                for preset, _ in self.columns
                for line in self.lines
                for run in runs_of(line, preset)
            )
        )


class Learnt(NamedTuple):
    """A gate: a row has learnt what its training is about, by the means of two rows, or has done
    what else a comparison needs.
    """

    what: str  # "learnt the source", what the row has done
    row: str
    metric: str
    #: share of the other row's mean that it must reach, or that its error must not exceed
    share: float
    of: tuple[str, str] = ("", "")  # the other row and its metric; without it the mean is 1


class Ahead(NamedTuple):
    """A gate: the best of its rows outperforms a trivial answer by more than the deviation over
    seeds.
    """

    trivial: str  # "random colours"
    rows: tuple[str, ...]  # those that could be the best
    answer: str  # the row of the trivial answer
    metric: str
    of: str = ""  # the trivial answer's metric, where it is another

    @property
    def lines(self) -> list[str]:
        """Its differences."""
        return [f"{row} - {self.answer}" for row in self.rows]


class Claim(NamedTuple):
    """What a paper says of two of its rows, and the difference that tests it here: it holds where
    that is a gain.

    Claims with the same rows of the paper are one claim in several settings.
    """

    says: str
    paper: tuple[str, str]  # its line, "preset/one - other", and its metric
    setting: str  # ours, in words
    line: str  # ours, "preset/one - other"
    metric: str
    gates: Sequence[Learnt | Ahead]  # without one of these nothing is tested
    reason: str = ""  # what was tested where it does not hold


class Front(NamedTuple):
    """A line of the front page: four rows in one unit."""

    images: str
    metric: str
    without: str  # a plain baseline, "preset/variant", as are the next
    control: str  # the simple one
    method: str  # the paper's
    ours: str  # a row that none of three seeds outperforms, except those given more labels
    unit: str = ""  # what follows the metric: "within 5 mm", "of the fly's size"
    trivial: str = ""  # the metric of the method's row that holds a constant answer's error

    @property
    def rows(self) -> tuple[str, str, str, str]:
        """Its four rows."""
        return self.without, self.control, self.method, self.ours


def runs_of(line: str, preset: str) -> list[Run]:
    """Returns what a line shows, and what it subtracts."""
    found = []
    for part in line.split(" - "):
        named, _, variant = part.rpartition("/")
        preset = named or preset
        found.append(Run(*preset.partition(" ")[::2], variant))
    return found


class Verdict(NamedTuple):
    """What the front page says was found, and what it rests on."""

    text: str = ""
    #: line, metric and what `Cell.helps` says of them
    rests_on: Sequence[tuple[str, str, str]] = ()
    #: gates of which its words say that they hold, or that they do not
    gates: Sequence[tuple[Learnt | Ahead, bool]] = ()


class Room(NamedTuple):
    """A folder of `experiments` with numbers and tables of them."""

    path: Path
    tables: Mapping[str, Table]
    claims: Sequence[Claim]  # whose lines are the table `claims`
    metrics: Mapping[str, Metric]
    titles: Mapping[str, str]  # titles of lines, in place of their own
    numbers: Mapping[tuple[str, ...], Sequence[Result]]  # by run and metric
    #: numbers of tuning seeds, likewise
    tries: Mapping[tuple[str, ...], Sequence[Result]] = MappingProxyType({})
    front: Sequence[Front] = ()  # whose rows are the table `front`
    #: the claim, in the words of its `says`, whose answer the front page prints
    main_claim: str = ""
    verdict: Verdict = Verdict()

    @property
    def name(self) -> str:
        """The folder below `experiments`."""
        return self.path.relative_to(EXPERIMENTS).as_posix()

    @property
    def experiment(self) -> Experiment | None:
        """The paper of the room on its data; None where its numbers are of something else."""
        return experiment_of(self.name) if self.name in papers() else None

    def shown(self) -> set[tuple[str, ...]]:
        """Returns preset, settings, variant and metric of all that its tables show."""
        return {
            (*self.stored(run), metric)
            for table in self.tables.values()
            for run in table.runs()
            for metric in table.metrics
        }

    def stored(self, run: Run) -> Run:
        """Returns a run as `results.csv` names it: without settings that are the preset's own."""
        own = (
            flat(self.experiment.presets[run.preset])
            if self.experiment and run.preset in self.experiment.presets
            else {}
        )
        return run._replace(
            settings=settings_text(
                {
                    name: value
                    for name, value in read_settings(run.settings).items()
                    if name not in own or own[name] != value
                }
            )
        )

    def ran(self, run: Run) -> bool:
        """Returns whether any number of a run is known, of whichever metric."""
        stored = tuple(self.stored(run))
        return any(measured[: len(stored)] == stored for measured in self.numbers)

    def fields(self, run: Run) -> dict[str, Any]:
        """Returns the fields of a run's config by name, as a paper's numbers are looked up; {}
        without a paper.
        """
        presets = self.experiment.presets if self.experiment else {}
        return (
            flat(presets[run.preset]) | read_settings(run.settings) if run.preset in presets else {}
        )

    def title(self, line: str) -> str:
        """Returns a line as a table shows it: methods in bold, controls and upper bounds named as
        such.
        """
        place, _, name = line.rpartition("/")
        if (
            line in self.titles
            or not self.experiment
            or " - " in line
            or name not in self.experiment.paper.variants
        ):
            return self.titles.get(line, line)
        kind = self.experiment.paper.variants[name].kind
        shown = f"**{name}**" if kind == "method" else name + KINDS.get(kind, "")
        return f"{place}: {shown}" if place else shown


def room_of(path: Path) -> Room:
    """Reads the tables and the numbers of a room."""
    module = importlib.import_module(
        ".".join(("experiments", *path.relative_to(EXPERIMENTS).parts, "results"))
    )
    named = {name: Metric(*metric) for name, metric in getattr(module, "METRICS", {}).items()}
    claims = [Claim(*claim) for claim in getattr(module, "CLAIMS", ())]
    tables = {name: Table(*table) for name, table in module.TABLES.items()}
    front = [Front(*line) for line in getattr(module, "FRONT", ())]
    if claims:
        gates = [gate for one in claims for gate in one.gates]
        aheads = [gate for gate in gates if isinstance(gate, Ahead)]
        tables["claims"] = _table_of(
            [(one.line, one.metric) for one in claims]
            + [(one.row, one.metric) for one in gates if isinstance(one, Learnt)]
            + [one.of for one in gates if isinstance(one, Learnt) and one.of[0]]
            + [(line, one.metric) for one in aheads for line in one.lines]
            + [(one.answer, one.of) for one in aheads if one.of]
        )
    if front:
        tables["front"] = _table_of(
            [(row, one.metric) for one in front for row in one.rows]
            + [(one.method, one.trivial) for one in front if one.trivial]
        )
    found = read_results(path)
    return Room(
        path,
        tables,
        claims,
        METRICS | named,
        getattr(module, "TITLES", {}),
        by_run(found),
        by_run(found, tuning=True),
        front,
        getattr(module, "MAIN_CLAIM", ""),
        Verdict(*getattr(module, "VERDICT", ())),
    )


def papers_with_tables() -> list[str]:
    """Returns the names of the papers that have tables, in `results.py`."""
    return [name for name in papers() if (EXPERIMENTS / name / "results.py").is_file()]


def _table_of(places: Sequence[tuple[str, str]]) -> Table:
    """Returns the table that holds lines and metrics, each once."""
    lines, metrics = (list(dict.fromkeys(column)) for column in zip(*places, strict=True))
    return Table("", lines, metrics)


def rooms() -> dict[str, Room]:
    """Returns all rooms by name."""
    found = [room_of(path.parent) for path in sorted(EXPERIMENTS.rglob(FILE))]
    return {room.name: room for room in found}


# Numbers as text


class Cell(NamedTuple):
    """The numbers of a place, and those that are subtracted from them."""

    metric: Metric
    values: Sequence[Result]
    others: Sequence[Result] | None  # None where nothing is subtracted

    def shown(self) -> list[float]:
        """Returns the numbers whose mean it shows."""
        return [one.value for one in self.values] if self.others is None else self.pairs()

    def pairs(self) -> list[float]:
        """Returns differences over equal seeds on computers of one kind."""
        other = {(one.seed, one.device): one.value for one in self.others or ()}
        return [
            one.value - other[one.seed, one.device]
            for one in self.values
            if (one.seed, one.device) in other
        ]

    def text(self) -> str:
        """Returns what a table shows, or "not run"."""
        values, decimals = (
            [self.metric.factor * value for value in self.shown()],
            self.metric.decimals,
        )
        if self.others is not None or not values:
            return difference_text(values, len(values), decimals=decimals)
        return cell_text(Summary(tuple(values)), Column("", decimals=decimals))

    def gains(self) -> list[float]:
        """Returns differences over equal seeds in the table's unit, above zero where they are for
        the better.
        """
        return [
            (-1 if self.metric.lower else 1) * self.metric.factor * value for value in self.pairs()
        ]

    def ratios(self) -> list[float]:
        """Returns logarithms of the other number over this one, over equal seeds; [] unless both
        are errors, of which one varies over seeds by more than a factor of two.

        A difference of such errors is that of the seeds on which both are large.
        """
        other = {(one.seed, one.device): one.value for one in self.others or ()}
        pairs = [
            (one.value, other[one.seed, one.device])
            for one in self.values
            if (one.seed, one.device) in other
        ]
        if not self.metric.lower or not pairs or min(map(min, pairs)) <= 0:
            return []
        wide = any(max(side) > 2 * min(side) for side in zip(*pairs, strict=True))
        return [math.log(theirs / ours) for ours, theirs in pairs] if wide else []

    def gain(self) -> Difference | None:
        """Returns the mean of the gains with its interval; None for fewer than two seeds."""
        found = interval_over_seeds(self.gains())
        return found and Difference("", found.value, found.low, found.high)

    def gain_text(self, *, ratios: bool = True) -> str:
        """Returns the gain with its interval and unit, or "not run". ratios: whether it may be one of
        `ratios`.
        """
        if not self.pairs():
            return "not run"
        name, _, unit = self.metric.heading.partition(", ")
        if ratios and (logs := self.ratios()):
            found = interval_over_seeds(logs)
            shown = [statistics.fmean(logs), *((found.low, found.high) if found else ())]
            mean, *ends = (decimal_text(math.exp(one), ".2f") for one in shown)
            return f"ratio {mean}" + (f" [{', '.join(ends)}]" if ends else "") + f" ({name})"
        gains = difference_text(self.gains(), len(self.pairs()), decimals=self.metric.decimals)
        return (
            f"{gains} points of {name}"
            if unit == "%"
            else " ".join(filter(None, (gains, unit, f"({name})")))
        )

    def helps(self) -> str:
        """Returns "yes" where the interval of the gain, or of its ratios, lies above zero, "no"
        below, else "open"; "not run" without runs.
        """
        if not self.pairs():
            return "not run"
        found = interval_over_seeds(self.ratios() or self.gains())
        # nan: open
        return "yes" if found and found.low > 0 else "no" if found and found.high < 0 else "open"


def cell_of(room: Room, line: str, preset: str, metric: str) -> Cell:
    """Returns the numbers in a place of a table.

    Raises KeyError for a metric that no table describes.
    """
    one, *other = (
        room.numbers.get((*room.stored(run), metric), ()) for run in runs_of(line, preset)
    )
    return Cell(room.metrics[metric], one, other[0] if other else None)


def table_text(
    room: Room,
    table: Table,
    *,
    fields: Callable[[Run], Mapping[str, Any]] | None = None,
    source: bool = True,
) -> str:
    """Returns a table in Markdown.

    fields: of a run's config, by which the paper's numbers are looked up; the presets' if None.
    source: whether a line below says where the numbers are from.
    """

    def shown(line: str, preset: str, metric: str, cell: Cell) -> str:
        run, *others = runs_of(line, preset)
        known = {} if others else (fields or room.fields)(run)
        found = paper_numbers(room.name, **known | run._asdict()) if known else {}
        no_such_metric = not cell.shown() and all(room.ran(one) for one in (run, *others))
        text = "" if no_such_metric else cell.text()
        if isinstance(table.preset, str) and 0 < len(cell.shown()) < (
            seeds := len(leading[line].shown())
        ):
            text += f" ({len(cell.shown())} of {seeds})"
        paper_form = f".{max(cell.metric.decimals, 2)}f"
        return (
            f"{text} (paper {decimal_text(found[metric], paper_form)})" if metric in found else text
        )

    columns = table.columns
    room = room._replace(numbers=room.tries) if table.tuning else room
    cells = {line: [cell_of(room, line, *column) for column in columns] for line in table.lines}
    # a row without a number in the first column has its seeds and seconds from the next that has
    leading = {
        line: next((cell for cell in row if cell.shown()), row[0]) for line, row in cells.items()
    }
    seconds = {
        line: [one.seconds for one in cell.values if one.seconds] for line, cell in leading.items()
    }
    timed = any(seconds.values())
    first = table.preset if isinstance(table.preset, str) and table.preset else "variant"
    headings = [
        (f"{preset}: " if isinstance(table.preset, tuple) else "") + room.metrics[metric].heading
        for preset, metric in columns
    ]
    lines = [
        [
            room.title(line),
            *(shown(line, *column, cell) for column, cell in zip(columns, row, strict=True)),
            *(
                [
                    str(len(leading[line].shown()) or ""),
                    decimal_text(statistics.fmean(seconds[line]), ",.0f")
                    if seconds[line] and leading[line].others is None
                    else "",
                ]
                if timed
                else []
            ),
        ]
        for line, row in cells.items()
    ]
    text = markdown([first, *headings, *(["seeds", "training, s"] if timed else [])], lines) + "\n"
    used = [
        one
        for row in cells.values()
        for cell in row
        for one in (*cell.values, *(cell.others or ()))
    ]
    return f"{text}\n{_source(used)}\n" if source else text


def _source(used: Sequence[Result]) -> str:
    """Returns where numbers are from: days, devices and commits of their runs."""
    if not used:
        return "*Not run.*"
    days, commits = sorted({one.date for one in used}), sorted({one.commit for one in used})
    devices = sorted({one.device for one in used if one.device})
    when = " to ".join(dict.fromkeys((days[0], days[-1])))
    return f"*{', '.join([when, *devices, 'commit ' + ', '.join(commits)])}.*"


def differences(room: Room) -> list[tuple[str, Cell]]:
    """Returns the differences in the first metric of a room's headline table, by line."""
    table = room.tables["headline"]
    return [(line, cell_of(room, line, *table.columns[0])) for line in table.lines if " - " in line]


def forest_of(room: Room) -> str:
    """Returns the gains in a room's headline table as a plot; lines without an interval are left
    out.
    """
    found = [(line, cell.gain()) for line, cell in differences(room)]
    metric = room.metrics[room.tables["headline"].metrics[0]]
    return forest_plot(
        [one._replace(label=room.titles.get(line, line)) for line, one in found if one],
        title=room.name,
        axis=f"{metric.heading}: gain over the control",
    )


# Pages


def pages() -> list[Path]:
    """Returns all pages with markers."""
    candidates = [ROOT / "README.md", *EXPERIMENTS.rglob("*.md"), *(ROOT / "docs").rglob("*.md")]
    return sorted(
        path
        for path in candidates
        if path.exists() and MARKED.search(path.read_text(encoding="utf-8"))
    )


def render_all(
    made_by: Mapping[str, Callable[[Path, Mapping[str, Room]], str]],
) -> Iterator[tuple[Path, str]]:
    """Yields every page and plot with its content.

    made_by: functions of a page and of all rooms, by marker. Raises
    InputError for a marker whose table does not exist.
    """
    found = rooms()
    for path in pages():

        def replace(match: re.Match, path: Path = path) -> str:
            if make := made_by.get(match[2]):
                return f"{match[1]}\n{make(path, found)}\n{match[3]}"
            room, _, name = match[2].removeprefix("table: ").rpartition("/")
            if room not in found or name not in found[room].tables:
                raise InputError(
                    f"{path}: there is no table {room}/{name}; add it to experiments/{room}/results.py"
                )
            return f"{match[1]}\n{table_text(found[room], found[room].tables[name])}\n{match[3]}"

        yield path, MARKED.sub(replace, path.read_text(encoding="utf-8"))
    for room in found.values():
        if room.name in ABOUT:
            yield room.path / "forest.svg", forest_of(room)
