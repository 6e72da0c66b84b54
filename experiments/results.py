"""Measured numbers: gathers finished runs into files, and renders all pages from these.

Command   python -m experiments results gather --workdir runs     what tables show into experiments/<system>/results.csv
          python -m experiments results render                    tables of all pages, and plots, from these files
          python -m experiments results check                     says which pages do not show what the files hold
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional

from experiments.measure.claims import claims_text, main_claims_text, systems_text
from experiments.measure.render import ROOT, papers_with_tables, render_all, room_of
from experiments.measure.rows import EXPERIMENTS, gather_rows
from experiments.measure.situations import papers_text, situations_text
from kpjax import InputError
from kpjax.files import remove_partials, write_text
from kpjax.papers.parsing import exit_code_of, parse


@dataclass(frozen=True)
class Results:
    """Gathers numbers of finished runs, renders the pages, or checks them."""

    action: Annotated[Positional[Literal["gather", "render", "check"]], None]
    workdir: Path = Path("runs")  # the folder of runs, to gather


MADE_BY = {
    "claims": claims_text,
    "main claims": main_claims_text,
    "systems": systems_text,
    "situations": situations_text,
    "papers": papers_text,
}


def stale() -> list[Path]:
    """Returns the pages and plots that do not show what the files hold."""
    return [
        path
        for path, content in render_all(MADE_BY)
        if not path.exists() or path.read_text(encoding="utf-8") != content
    ]


def main(arguments: Sequence[str]) -> None:
    """Gathers, renders or checks. Raises InputError where a page is stale."""
    asked = parse(Results, arguments, prog="python -m experiments results", description=__doc__)
    if asked.action == "gather":
        if not asked.workdir.is_dir():
            raise InputError(
                "workdir", f"{asked.workdir} does not exist; name the folder of the runs"
            )
        for name in papers_with_tables():
            room = room_of(EXPERIMENTS / name)
            print(f"{name}: {gather_rows(room.experiment, asked.workdir, room.shown())} numbers")
    if asked.action in ("gather", "render"):
        for path, content in render_all(MADE_BY):
            remove_partials(path.parent)
            write_text(path, content)
    elif found := stale():
        raise InputError(
            f"{', '.join(str(path.relative_to(ROOT)) for path in found)}: not what the files hold; "
            "run `python -m experiments results render`"
        )


if __name__ == "__main__":
    raise SystemExit(exit_code_of(lambda: main(sys.argv[1:])))
