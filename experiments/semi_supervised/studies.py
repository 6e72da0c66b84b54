"""Tables of the semi-supervised paper, each by one command that resumes.

Command   python -m experiments.semi_supervised.studies table1 --preset lsp --imagenet hrnet_w32.pth --seeds 3
          python -m experiments.semi_supervised.studies table1 --preset openfield --columns 5 10 20 --seeds 3 \\
              --variants supervised supervised_warped mean_teacher ours all_labels
          python -m experiments.semi_supervised.studies sensitivity --preset demo

table1       the baselines and controls, by labelled share
table2       the terms of the method, by labelled share
table3       ours, by share of the unlabelled images
table4       with and without true heatmaps in the unsupervised terms, by labelled share
te_inverse   equivariance of heatmaps moved back, 20 % labelled
warp         ours, by the kind of random map
pl_share     PL, by the weight of the labels
sensitivity  ours, by the weights of three terms

Runs lie where `python -m experiments.semi_supervised` puts them; those of another share or weight have a folder of
their own beside the preset's, so tables share runs. Several processes may work on one table. The table is printed and
written to <workdir>/semi_supervised/<preset>/, with the steps, images and seconds of every cell. table1, te_inverse
and pl_share also have the differences from one row: the mean over pairs of equal seed, with its 95 % interval by
Student's t.
"""
import itertools
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NamedTuple

import tyro
from etils import epath

from experiments.engine.command_line import Command, prepared, read_command
from experiments.engine.configs import changed, flat
from experiments.engine.paper_numbers import paper_numbers
from experiments.engine.parsing import exit_code_of, parse_known
from experiments.engine.queue import work_through, write_page
from experiments.engine.system import Job
from experiments.engine.tables import cost_text, difference_text, mean_text, measured, paired_differences, runs_of
from experiments.semi_supervised import SYSTEM
from experiments.semi_supervised.variants import VARIANTS
from kpjax.reports.table import Column, FinishedRun, markdown

Tables = Literal["table1", "table2", "table3", "table4", "te_inverse", "pl_share", "warp", "sensitivity"]
SHARES = (0.05, 0.1, 0.2, 0.5, 1.0)  # of labelled images


class ByLabelled(NamedTuple):
    """A table of variants by labelled share."""

    variants: tuple[str, ...]
    scores: str  # the paper's table of their scores
    reference: str = ""  # the variant from which differences are shown
    shares: tuple[float, ...] = SHARES


BY_LABELLED = {
    "table1": ByLabelled(
        ("supervised", "pl", "elt", "gen", "ours", "supervised_warped", "pl_warped"), "table1", "supervised_warped"),
    "table2": ByLabelled(("ours", "no_sc", "sc_only", "no_te", "no_ti", "ti_only", "supervised"), "table2"),
    "table4": ByLabelled(("ours", "no_ground_truth"), "table4"),
    "te_inverse": ByLabelled(("ours", "te_inverse"), "table1", "ours", (0.2,)),
    "pl_share": ByLabelled(("pl", "pl_60"), "table1", "pl", SHARES[:-1])}
WARPS = ("perspective", "affine", "rotation")
UNLABELLED_SHARES = (0.1, 0.2, 0.5, 1.0)
SENSITIVITY = {"semantic": (0.1, 0.5, 1.0), "equivariance": (10.0, 100.0, 1000.0), "invariance": (10.0, 100.0, 1000.0)}


class Cell(NamedTuple):
    """A place in a table: a variant under some settings, and the paper's number."""

    variant: str
    settings: tuple[tuple[str, Any], ...]  # fields of the config that differ from the command's
    paper: str = ""
    paper_difference: str = ""


class Table(NamedTuple):
    """Runs of a table."""

    corner: str
    columns: tuple[str, ...]
    rows: Mapping[str, tuple[Cell | None, ...]]  # by title; None where a cell makes no sense
    reference: str = ""  # the row from which differences are shown


def job_of(command: Command, cell: Cell, seed: int) -> Job:
    """Returns the run of a cell."""
    return command.varied_job(cell.variant, seed, dict(cell.settings))


def share_text(share: float) -> str:
    """Returns "5 %", or "10 labelled" for a count."""
    return f"{100 * share:g} %" if share <= 1 else f"{share:g} labelled"


def printed(which: str, command: Command, **where: Any) -> str:
    """Returns the paper's number in a cell of a table, empty without one."""
    found = paper_numbers("semi_supervised", which, preset=command.preset, **where)
    return " ± ".join(f"{number:.2f}" for number in found.values())


def by_labelled(which: str, command: Command, variants: Sequence[str], shares: Sequence[float]) -> Table:
    """Returns variants by labelled shares. `all_labels` does not depend on them and is run once."""
    study = BY_LABELLED[which]

    def cell(variant: str, share: float) -> Cell | None:
        where = {"variant": variant, "labelled": share}
        found = printed(study.scores, command, **where), printed(f"{which}, differences", command, **where)
        if VARIANTS[variant].recipe.everything:
            return Cell(variant, (), *found)
        possible = SYSTEM.applicable(command.preset, changed(command.config, labelled=share))
        return Cell(variant, (("labelled", share),), *found) if variant in possible else None

    rows = {title(name): tuple(cell(name, share) for share in shares) for name in variants}
    return Table("labelled", tuple(map(share_text, shares)), rows,
                 title(study.reference) if study.reference in variants else "")


def title(variant: str) -> str:
    """Returns a variant's name with the paper's."""
    label = VARIANTS[variant].label
    return f"{variant} ({label})" if label and label != variant else variant


def table_of(which: str, command: Command, columns: Sequence[float], *, full_grid: bool = False) -> Table:
    """Returns the runs of a table. columns: the labelled shares (of table3 those of the unlabelled images) to run."""
    named = list(command.variants) if "--variants" in command.arguments else None
    if which in BY_LABELLED:
        study = BY_LABELLED[which]
        return by_labelled(which, command, named or study.variants, columns or study.shares)
    if which == "warp":
        return Table("warp", ("ours",), {kind: (Cell("ours", (("warp", kind),)),) for kind in WARPS})
    if which == "table3":
        shares, labelled = columns or UNLABELLED_SHARES, command.config.data.labelled

        def cell(variant: str, share: float, *settings: tuple[str, Any]) -> Cell:
            return Cell(variant, settings, printed(
                which, command, variant=variant, labelled=labelled, unlabelled_share=share))

        cells = (*(cell("ours", share, ("unlabelled_share", share)) for share in shares), cell("supervised", 0.0))
        return Table(f"unlabelled, beside {share_text(labelled)}", (*map(share_text, shares), "supervised"),
                     {title("ours"): cells})
    grid, config = SENSITIVITY, flat(command.config)
    points = list(itertools.product(*grid.values())) if full_grid else [
        tuple(value if name == other else config[name] for name in grid)
        for other, values in grid.items() for value in values]
    rows = {", ".join(f"{name} {value:g}" for name, value in zip(grid, point, strict=True)):
            (Cell("ours", tuple(zip(grid, point, strict=True))),) for point in dict.fromkeys(points)}
    return Table("weights", ("ours",), rows)


def jobs_of_table(table: Table, command: Command) -> list[Job]:
    """Returns every run of a table once, seed by seed."""
    cells = [cell for row in table.rows.values() for cell in row if cell]
    return list(dict.fromkeys(job_of(command, cell, seed) for seed in command.seeds for cell in cells))


def runs_of_cell(command: Command, cell: Cell) -> list[FinishedRun | None]:
    """Returns the runs of a cell, one for each seed."""
    return runs_of([job_of(command, cell, seed) for seed in command.seeds])


def text(table: Table, command: Command, column: Column, *, with_paper: bool = False) -> str:
    """Returns the Markdown table of one metric, mean ± deviation over seeds, the paper's number beside it."""
    def cell_text(cell: Cell) -> str:
        ours = mean_text(measured(runs_of_cell(command, cell), column.metric), len(command.seeds), factor=column.factor,
                         decimals=column.decimals)
        return f"{ours} (paper {cell.paper})" if with_paper and cell.paper else ours

    return _laid_out(table, cell_text)


def differences(table: Table, command: Command, column: Column) -> str:
    """Returns the Markdown table of one metric less that of the reference in the same column, paired by seed."""
    def cell_text(cell: Cell | None, reference: Cell | None) -> str:
        if cell is None or reference is None:
            return "–"
        found = paired_differences(runs_of_cell(command, cell), runs_of_cell(command, reference), column.metric)
        ours = difference_text(found, len(command.seeds), factor=column.factor, decimals=column.decimals)
        return f"{ours} (paper {cell.paper_difference})" if cell.paper_difference else ours

    rows = [[name, *map(cell_text, cells, table.rows[table.reference])] for name, cells in table.rows.items()
            if name != table.reference]
    return markdown([table.corner, *table.columns], rows)


def costs(table: Table, command: Command) -> str:
    """Returns the Markdown table of what each cell has cost, and which runs it needs besides."""
    teachers = {cell.variant: VARIANTS[cell.variant].recipe.teacher for cells in table.rows.values() for cell in cells
                if cell and VARIANTS[cell.variant].recipe.teacher}
    needs = [f"{variant} also needs the run of {teacher}." for variant, teacher in teachers.items()]
    return "\n\n".join([_laid_out(table, lambda cell: cost_text(runs_of_cell(command, cell))), *needs])


def _laid_out(table: Table, cell_text: Callable[[Cell], str]) -> str:
    rows = [[name, *("–" if cell is None else cell_text(cell) for cell in cells)] for name, cells in table.rows.items()]
    return markdown([table.corner, *table.columns], rows)


def page(table: Table, command: Command, which: str) -> str:
    """Returns the tables of PCK, its differences from the reference, costs, and measures that any run has."""
    first, _, *others = SYSTEM.columns(command.config)
    parts = [f"# {which}, {command.preset}: {command.config.summary}", first.heading,
             text(table, command, first, with_paper=True)]
    if table.reference:
        parts += [f"{first.heading}, less that of {table.reference}: mean over seeds [95 % interval]",
                  differences(table, command, first)]
    parts += ["Training, the warm start included", costs(table, command)]
    runs = runs_of(jobs_of_table(table, command))
    for column in others:
        if measured(runs, column.metric):
            parts += [column.heading, text(table, command, column)]
    return "\n\n".join(parts) + "\n"


@dataclass(frozen=True)
class Study:
    """A table of the paper; all other flags are those of the preset."""

    table: Annotated[tyro.conf.Positional[Tables], tyro.conf.arg(metavar="TABLE")]
    preset: str
    columns: tuple[float, ...] = ()  # labelled shares (up to 1) or counts to run; of table3 shares of unlabelled images
    full_grid: bool = False  # sensitivity: all 27 combinations, not one at a time


def main(arguments: Sequence[str]) -> epath.Path:
    """Runs the missing runs of a table, prints it and writes it; returns the path of the file.

    Raises InputError for invalid flags, and RunError at the end if a run has failed.
    """
    study, rest = parse_known(Study, arguments, prog="python -m experiments.semi_supervised.studies",
                              description=__doc__)
    command = prepared(read_command(SYSTEM, [study.preset, *rest]))
    table = table_of(study.table, command, study.columns, full_grid=study.full_grid)
    progress = work_through(SYSTEM, jobs_of_table(table, command))
    return write_page(command.folder / f"{study.table}.md", page(table, command, study.table), progress)


if __name__ == "__main__":
    raise SystemExit(exit_code_of(lambda: main(sys.argv[1:])))
