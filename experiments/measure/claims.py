"""What the papers claim, whether it holds here, and what the front page says of each problem.

A claim is tested by a difference of two rows, over pairs of equal seeds, and only where its gates
hold: both rows have learnt what they train on, and the best of them outperforms the trivial answer.
Else the difference says who learns faster, or which of two failures is the smaller one.
"""

import os
import statistics
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from experiments.measure.render import (
    ABOUT,
    ROOT,
    Ahead,
    Cell,
    Claim,
    Front,
    Learnt,
    Room,
    cell_of,
    runs_of,
)
from kpjax.papers.configs import read_settings
from kpjax.papers.paper_numbers import lines_at
from kpjax.papers.reports.report import decimal_text, markdown

LEAST_SEEDS = 3  # pairs of a claim
ANSWERS = ("yes", "no", "open", "not tested", "not run")
OTHER_PRESET = " †"  # marks a row of another preset than the method's
PAGE_WIDTH = 138  # characters
FRONT_COLUMNS = [
    "measured on",
    "plain baseline",
    "simple control",
    "the paper's method",
    "best here",
]
LEGEND = Path(__file__).with_name("legend.md")  # what words of the front page mean

# Gates


class Found(NamedTuple):
    """A gate as it was measured."""

    says: str  # what must hold
    number: str  # "–" where it was not measured
    bound: str  # what the number is compared with
    closed: str  # why it does not hold, "" where it does


def measured(room: Room, gate: Learnt | Ahead) -> Found:
    """Measures a gate by the rows of a room."""
    return _learnt(room, gate) if isinstance(gate, Learnt) else _ahead(room, gate)


def _learnt(room: Room, gate: Learnt) -> Found:
    values = cell_of(room, gate.row, "", gate.metric).shown()
    of, metric = gate.of
    known = cell_of(room, of, "", metric).shown() if of else [1.0]
    variant = gate.row.rpartition("/")[2]
    row = room.titles.get(gate.row, f"`{gate.row}`")
    says = f"{row} has {gate.what}"
    if not values or not known:
        return Found(says, "–", "–", f"whether `{variant}` has {gate.what} was not measured")
    mean, bound = statistics.fmean(values), gate.share * statistics.fmean(known)
    shown = room.metrics[gate.metric]
    number, limit = (
        decimal_text(shown.factor * value, f".{shown.decimals}f") for value in (mean, bound)
    )
    holds = mean <= bound if shown.lower else mean >= bound
    return Found(
        says,
        f"{shown.heading}: {number}",
        f"at {'most' if shown.lower else 'least'} {limit}",
        "" if holds else f"`{variant}` has not {gate.what} ({shown.heading}: {number})",
    )


def _ahead(room: Room, gate: Ahead) -> Found:
    cells = {}
    for row, line in zip(gate.rows, gate.lines, strict=True):
        answers = cell_of(room, line, "", gate.of or gate.metric).others
        cell = cell_of(room, line, "", gate.metric)._replace(others=answers)
        if len(cell.pairs()) > 1:
            cells[row] = cell
    if not cells:
        says = f"{' or '.join(f'`{row}`' for row in gate.rows)} outperforms {gate.trivial}"
        return Found(says, "–", "–", f"whether {says} was not measured")
    row = max(cells, key=lambda row: statistics.fmean(cells[row].gains()))
    best, gains = row.rpartition("/")[2], cells[row].gains()
    says = f"`{row}` outperforms {gate.trivial}"
    deviation = statistics.stdev(gains)
    gained = cells[row].gain_text(ratios=False)
    return Found(
        says,
        gained,
        f"above {decimal_text(deviation, '.3g')}, the deviation over seeds",
        ""
        if statistics.fmean(gains) > deviation
        else f"`{best}` does not outperform {gate.trivial} ({gained})",
    )


# Answers


def answer(room: Room, claim: Claim) -> tuple[str, str]:
    """Returns whether a claim holds, one of ANSWERS, and why it was not tested or does not hold."""
    cell = cell_of(room, claim.line, "", claim.metric)
    found = cell.helps()
    if 0 < len(cell.pairs()) < LEAST_SEEDS:
        return "not tested", f"{LEAST_SEEDS} seeds are the least"
    if found != "not run" and (why := next(filter(None, _closed(room, claim)), "")):
        return "not tested", why
    return found, claim.reason if found in ("no", "open") else ""


def _closed(room: Room, claim: Claim):
    return (measured(room, gate).closed for gate in claim.gates)


def settings_of_claims(room: Room) -> list[list[Claim]]:
    """Returns the claims of a room, each with its settings: the one in which it is tested best
    first.

    A setting whose gates hold is tested better than another, then one with more seeds; of equals
    the first is that which was listed first. What came out has no say.
    """
    by_rows: dict[tuple[str, str], list[Claim]] = {}
    for claim in room.claims:
        by_rows.setdefault(claim.paper, []).append(claim)

    def tested(claim: Claim) -> tuple[int, int]:
        kind = {"not run": 2, "not tested": 1}.get(answer(room, claim)[0], 0)
        return kind, -len(cell_of(room, claim.line, "", claim.metric).pairs())

    return [sorted(claims, key=tested) for claims in by_rows.values()]


def tries(room: Room, line: str) -> str:
    """Returns how many settings of each row were tried on tuning seeds, "3 / 5"; "–" where no row
    of them is kept.
    """
    counts = []
    for run in runs_of(line, ""):
        tried = {one[1] for one in room.tries if (one[0], one[2]) == (run.preset, run.variant)}
        counts.append(str(len(tried)) if tried else "–")
    return " / ".join(counts)


def printed(room: Room, line: str, metric: str) -> str:
    """Returns the two numbers that a paper prints for a line in one table, "66.98 / 40.19
    (lsp)"."""
    runs = runs_of(line, "")
    one, other = (
        {
            found.table: found.numbers[metric]
            for found in lines_at(
                room.name, **room.fields(run) | read_settings(run.settings) | run._asdict()
            )
            if metric in found.numbers
        }
        for run in runs
    )
    table = next(table for table in one if table in other)
    return f"{one[table]:g} / {other[table]:g} ({runs[0].preset})"


def _counts(answers: Sequence[str]) -> str:
    return ", ".join(f"{answers.count(one)} {one}" for one in ANSWERS if one in answers)


# Pages


def claims_text(page: Path, found: Mapping[str, Room]) -> str:
    """Returns the claims of all papers with their numbers, the differences here, and whether they
    agree; the other settings of the same claims in a folded table below.
    """
    first, others, answers, intervals = [], [], [], 0
    for name, (_, publication, _) in ABOUT.items():
        room, paper = found[name], publication.partition(":")[0]
        for number, claims in enumerate(settings_of_claims(room)):
            answers.append(answer(room, claims[0])[0])
            for claim in claims:
                cell = cell_of(room, claim.line, "", claim.metric)
                said, why = answer(room, claim)
                intervals += said in ("yes", "no", "open") and cell.gain() is not None
                line = [
                    claims[0].says,
                    claim.setting,
                    cell.gain_text(),
                    str(len(cell.pairs())),
                    tries(room, claim.line),
                    f"{said}: {why}" if why else said,
                ]
                if claim is claims[0]:
                    line.insert(1, printed(room, *claim.paper))
                    first.append(["" if number else paper, *line])
                else:
                    others.append(line)
    ours = ["tested here on", "the gain [95 % interval]", "seeds", "tries", "agrees"]
    return "\n\n".join(
        (
            markdown(["paper", "it claims", "its numbers", *ours], first),
            f"Of {len(answers)} claims: {_counts(answers)}. Of {intervals} intervals of tested ones about "
            f"{0.05 * intervals:.0f} would leave out zero by chance.",
            "<details><summary>The same claims in other settings</summary>",
            markdown(["claim", *ours], others),
            "</details>",
            "<details><summary>What must hold before a claim is tested: each gate with its numbers</summary>",
            markdown(["paper", "gate", "measured", "needed", "holds"], _gates(found)),
            "</details>\n",
        )
    )


def _gates(found: Mapping[str, Room]) -> list[list[str]]:
    """Returns a line for each gate of the claims as it was measured, each once."""
    lines = []
    for name, (_, publication, _) in ABOUT.items():
        room, paper = found[name], publication.partition(":")[0]
        gates = dict.fromkeys(measured(room, gate) for claim in room.claims for gate in claim.gates)
        for number, (says, value, bound, closed) in enumerate(gates):
            holds = "no" if closed else "yes"
            lines.append(
                ["" if number else paper, says, value, bound, holds if value != "–" else "–"]
            )
    return lines


def systems_text(page: Path, found: Mapping[str, Room]) -> str:
    """Returns the front page's part on each problem: the paper and its command, what was found in
    words, whether the paper's ranking holds, and a table of four rows in one unit; then what its
    words mean. Lines of which no row was run are left out, unless a problem has no other.
    """
    docs, parts = os.path.relpath(ROOT / "docs" / "papers", page.parent), []
    for name, (problem, publication, takes) in ABOUT.items():
        room, paper = found[name], publication.partition(":")[0]
        shown = [
            front
            for front in room.front
            if any(cell_of(room, row, "", front.metric).values for row in front.rows)
        ]
        lines = [
            [_measured_on(room, front), *(_number(room, front, row) for row in front.rows)]
            for front in shown or room.front[:1]
        ]
        parts += [
            f"**{problem[0].upper()}{problem[1:]}**: [{paper}]({docs}/{name}.md), "
            f"`kpjax train {name} {takes}`",
            _wrapped(room.verdict.text),
            _wrapped(f"*The paper's ranking here*: {_ranking(room)}"),
            markdown(FRONT_COLUMNS, lines),
        ]
    legend = LEGEND.read_text("utf-8")
    return "\n\n".join((*filter(None, parts), legend))


def _wrapped(text: str) -> str:
    """Returns text in lines of a page."""
    return textwrap.fill(text, PAGE_WIDTH, break_on_hyphens=False, break_long_words=False)


def _ranking(room: Room) -> str:
    """Returns the answer to a paper's main claim, and how many of all its claims have which."""
    best_tested = [claims[0] for claims in settings_of_claims(room)]
    answers = [answer(room, claim)[0] for claim in best_tested]
    main = [
        f"{claim.says} ({claim.setting}): **{said}**. "
        for claim, said in zip(best_tested, answers, strict=True)
        if claim.says == room.main_claim
    ]
    return f"{''.join(main)}Of {len(answers)} claims: {_counts(answers)}."


def main_claims_text(page: Path, found: Mapping[str, Room]) -> str:
    """Returns a line for each paper: its main claim, and the answers here."""
    lines = [f"- {paper.partition(':')[0]}: " for _, paper, _ in ABOUT.values()]
    return (
        "\n".join(line + _ranking(found[name]) for line, name in zip(lines, ABOUT, strict=True))
        + "\n"
    )


def _measured_on(room: Room, front: Front) -> str:
    """Returns the images and the metric of a line, its unit, and which way is better."""
    metric = room.metrics[front.metric]
    unit = f" {front.unit}" if front.unit else ""
    better = "↓" if metric.lower else "↑"
    preset = front.method.rpartition("/")[0]
    text = f"{front.images} (`{preset}`): {metric.heading}{unit} {better}"
    if front.trivial:
        constant = cell_of(room, front.method, "", front.trivial)
        text += f" (always answering the labels' mean: {constant.text()})"
    return text


def _number(room: Room, front: Front, row: str) -> str:
    """Returns a row's variant with its mean, deviation and seeds."""
    cell = Cell(room.metrics[front.metric], cell_of(room, row, "", front.metric).values, None)
    seeds = f" ({len(cell.values)})" if cell.values else ""
    preset, _, variant = row.rpartition("/")
    mark = "" if preset == front.method.rpartition("/")[0] else OTHER_PRESET
    return f"`{variant}`{mark} {cell.text()}{seeds}"
