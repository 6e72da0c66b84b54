"""The tables of the paper, each by one command that goes on where it was stopped.

Command   python -m experiments.semi_supervised.tables table1 --preset lsp --imagenet hrnet_w32.pth --seeds 3
          python -m experiments.semi_supervised.tables table1 --preset openfield --columns 5 10 20 --seeds 3 \\
              --variants supervised supervised_warped mean_teacher ours all_labels
          python -m experiments.semi_supervised.tables sensitivity --preset demo

table1       the rivals, by labelled share                  table3       ours, by share of the unlabelled pictures
table2       the terms of the method, by labelled share     sensitivity  ours, by the weights of three terms
table4       with and without true heatmaps in the unsupervised terms, by labelled share

All other flags are those of the preset. Runs lie where `python -m experiments.semi_supervised` puts them, those of
another share or weight in a folder of their own beside the preset's, so that tables share what they have in common.
Several processes may work on one table. The table is printed and written to <workdir>/semi_supervised/<preset>/.
"""
import argparse
import itertools
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from experiments.command_line import Command, Job, exit_code_of, prepare_process, preset_folder, read_command
from experiments.semi_supervised import EXPERIMENT, NAME, published
from experiments.semi_supervised.variants import RECIPES, VARIANTS
from experiments.tables import (
    markdown,
    mean_text,
    measured,
    outcome_lines,
    raise_for_failures,
    work_through,
)
from kpjax.files import write_text

METRICS = {"test/pck": ("PCK", 100.0, 1), "test/equivariance_px": ("equivariance error, px", 1.0, 2),
           "test/sc_over_ln_k": ("semantic consistency over ln K", 1.0, 2), "test/mean_peak": ("mean peak", 1.0, 2)}


class Cell(NamedTuple):
    """A place in a table: a variant under some settings, and what the paper prints there."""

    variant: str
    settings: tuple[tuple[str, Any], ...]  # fields of the config that differ from the command's
    paper: str = ""


class Table(NamedTuple):
    """Which runs a table is made of."""

    corner: str
    columns: tuple[str, ...]
    rows: Mapping[str, tuple[Cell | None, ...]]  # by title; None where a cell makes no sense


def job_of(command: Command, cell: Cell, seed: int) -> Job:
    """The run of a cell. Settings that are the command's own lead to the preset's own folder."""
    changed = {name: value for name, value in cell.settings if getattr(command.config, name) != value}
    config = replace(command.config, **changed)
    base = EXPERIMENT.presets[command.preset]
    named = [f"{name}-{value:g}" for name, value in cell.settings if getattr(base, name) != value]
    return Job(config, "-".join([command.preset, *named]), cell.variant, seed, command.workdir, command.data_dir)


def share_text(share: float) -> str:
    """"5 %", or "10 labelled" for a count."""
    return f"{100 * share:g} %" if share <= 1 else f"{share:g} labelled"


def by_labelled(
    command: Command, variants: Sequence[str], shares: Sequence[float], paper: Mapping[tuple[str, float], str]
) -> Table:
    """Rows of variants, columns of labelled shares. `all_labels` does not depend on them and is run once."""
    def cell(variant: str, share: float) -> Cell | None:
        known = paper.get((variant, share), "")
        if RECIPES[variant].everything:
            return Cell(variant, (), known)
        possible = EXPERIMENT.applicable(command.preset, replace(command.config, labelled=share))
        return Cell(variant, (("labelled", share),), known) if variant in possible else None

    rows = {title(name): tuple(cell(name, share) for share in shares) for name in variants}
    return Table("labelled", tuple(map(share_text, shares)), rows)


def title(variant: str) -> str:
    """A variant as a row calls it, with the paper's name."""
    label = VARIANTS[variant].label
    return f"{variant} ({label})" if label and label != variant else variant


def table_of(which: str, command: Command, columns: Sequence[float], *, full_grid: bool = False) -> Table:
    """The runs of a table. columns: the labelled shares (of table3 those of the unlabelled pictures) to run."""
    named = list(command.variants) if "--variants" in command.arguments else None
    if which == "table1":
        shares, rows = columns or published.SHARES, named or ["supervised", "pl", "elt", "gen", "ours"]
        paper = {(name, share): f"{found[0]:.2f} ± {found[1]:.2f}" for name in rows for share in shares
                 if (found := published.table_1(command.preset, name, share))}
        return by_labelled(command, rows, shares, paper)
    if which in ("table2", "table4"):
        printed = published.TABLE_2 if which == "table2" else published.TABLE_4
        paper = {(name, share): f"{value:.2f}" for name, values in printed.items() if command.preset == "lsp"
                 for share, value in zip(published.SHARES, values, strict=True)}
        return by_labelled(command, named or list(printed), columns or published.SHARES, paper)
    if which == "table3":
        shares = columns or published.UNLABELLED_SHARES
        printed = published.TABLE_3.get(command.preset, ())
        paper = dict(zip((*published.UNLABELLED_SHARES, "supervised"), printed, strict=False))
        cells = [Cell("ours", (("unlabelled_share", share),), f"{paper[share]:.2f}" if share in paper else "")
                 for share in shares]
        cells.append(Cell("supervised", (), f"{paper['supervised']:.2f}" if paper else ""))
        return Table(f"unlabelled, beside {share_text(command.config.labelled)}",
                     (*map(share_text, shares), "supervised"), {title("ours"): tuple(cells)})
    grid = published.SENSITIVITY
    points = list(itertools.product(*grid.values())) if full_grid else [
        tuple(value if name == changed else getattr(command.config, name) for name in grid)
        for changed, values in grid.items() for value in values]
    rows = {", ".join(f"{name} {value:g}" for name, value in zip(grid, point, strict=True)):
            (Cell("ours", tuple(zip(grid, point, strict=True))),) for point in dict.fromkeys(points)}
    return Table("weights", ("ours",), rows)


def jobs_of_table(table: Table, command: Command) -> list[Job]:
    """Every run of a table once, seed by seed."""
    cells = [cell for row in table.rows.values() for cell in row if cell is not None]
    return list(dict.fromkeys(job_of(command, cell, seed) for seed in command.seeds for cell in cells))


def text(table: Table, command: Command, metric: str, *, with_paper: bool = False) -> str:
    """The table of one metric in Markdown, mean ± deviation over seeds; the paper's number behind a bar."""
    _, factor, decimals = METRICS[metric]

    def cell_text(cell: Cell | None) -> str:
        if cell is None:
            return "–"
        values = measured(NAME, [job_of(command, cell, seed) for seed in command.seeds], metric)
        ours = mean_text(values, len(command.seeds), factor=factor, decimals=decimals)
        return f"{ours} (paper {cell.paper})" if with_paper and cell.paper else ours

    rows = [[name, *map(cell_text, cells)] for name, cells in table.rows.items()]
    return markdown([table.corner, *table.columns], rows)


def page(table: Table, command: Command, which: str) -> str:
    """All metrics that any run of the table has."""
    jobs = jobs_of_table(table, command)
    parts = [f"# {which}, {command.preset}: {command.config.summary}"]
    for metric, (name, _, _) in METRICS.items():
        if metric == "test/pck" or measured(NAME, jobs, metric):
            unit = f" at {100 * command.config.pck_threshold:g} % of {command.config.scale_is}, percent"
            parts += [f"{name}{unit if metric == 'test/pck' else ''}",
                      text(table, command, metric, with_paper=metric == "test/pck")]
    return "\n\n".join(parts) + "\n"


def main(arguments: Sequence[str]) -> Path:
    """Runs what is missing of a table, prints it and writes it; returns the path of the file.

    Raises InputError for flags that make no sense, and RunError at the end if a run has failed.
    """
    parser = argparse.ArgumentParser(prog="python -m experiments.semi_supervised.tables", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False)
    parser.add_argument("table", choices=("table1", "table2", "table3", "table4", "sensitivity"))
    parser.add_argument("--preset", required=True, metavar="PRESET", help=", ".join(EXPERIMENT.presets))
    parser.add_argument("--columns", type=float, nargs="+", default=(), metavar="SHARE",
                        help="labelled shares (up to 1) or counts to run; of table3 shares of the unlabelled pictures")
    parser.add_argument("--full-grid", action="store_true", help="sensitivity: all 27 combinations, not one at a time")
    known, rest = parser.parse_known_args(arguments)
    command = read_command(EXPERIMENT, [known.preset, *rest])
    table = table_of(known.table, command, known.columns, full_grid=known.full_grid)
    prepare_process(command)
    outcome = work_through(EXPERIMENT, jobs_of_table(table, command))
    made = page(table, command, known.table)
    path = preset_folder(command.workdir, NAME, command.preset) / f"{known.table}.md"
    write_text(path, made)
    print(f"\n{made}\n{path}\n" + "\n".join(outcome_lines(outcome)))
    raise_for_failures(outcome)
    return path


if __name__ == "__main__":
    raise SystemExit(exit_code_of(lambda: main(sys.argv[1:])))
