"""What a person meets first: the list of commands, helps that fit the screen, near names, and what
`train` takes.
"""

import re
import sys

import pytest

from experiments.__main__ import main as experiments_main
from kpjax.lab.commands import COMMANDS
from kpjax.lab.own.systems import NEEDS
from kpjax.lab.program import main
from kpjax.papers.parsing import WIDTH, fold_lines


@pytest.fixture
def said(capsys, monkeypatch):
    """Runs a program, and returns its exit code and all that it said."""
    monkeypatch.setenv("COLUMNS", str(WIDTH))

    def run(*words, program=main):
        monkeypatch.setattr(sys, "argv", ["kpjax", *words])
        with pytest.raises(SystemExit) as stop:
            program()
        told = "".join(capsys.readouterr())
        assert max(map(len, told.splitlines())) <= WIDTH
        return stop.value.code or 0, told

    return run


@pytest.mark.parametrize("typed", [(), ("-h",)])
def test_the_bare_program_lists_the_commands(typed, said):
    code, shown = said(*typed)
    assert code == 0
    assert all(f"\n  {name} " in shown for name in ("train", *COMMANDS))


@pytest.mark.parametrize("typed", [*COMMANDS, *(f"train {name}" for name in NEEDS)])
def test_helps_fit_the_screen(typed, said):
    code, shown = said(*typed.split(), "--help")
    assert code == 0
    assert f"usage: kpjax {typed} " in shown
    if typed.startswith("train "):
        assert len([line for line in shown.splitlines() if line.startswith("  --")]) <= 12
        assert "--help-all" in shown
        assert re.search(r"\nvariants, by --variants:\n  \w+ +\S", shown)
        assert ("--weights" in shown) == (typed in ("train semi_supervised", "train regda"))


@pytest.mark.parametrize(
    ("program", "typed", "code", "words"),
    [
        (main, "train", 0, "kpjax train --project P"),
        (main, "train people", 2, "'people' is not a system"),
        (main, "train supervised", 2, "did you mean semi_supervised?"),
        (main, "train --project nowhere", 2, "nowhere: there is no such file or folder"),
        (main, "train regda --help-all", 0, "--require-accelerator"),
        (main, "train regda --sources P", 2, "train regda: "),
        (main, "train regda", 2, "--source: name an annotation project"),
        (main, "chek P", 2, "did you mean check?"),
        (main, "train regdaa", 2, "did you mean regda?"),
        (experiments_main, "regdaa", 2, "did you mean regda?"),
        (main, "weights", 0, "2.1 inside kpjax c7919e11023d"),
    ],
)
def test_what_is_typed_and_what_is_said(program, typed, code, words, said):
    found, shown = said(*typed.split(), program=program)
    assert found == code
    assert words in " ".join(shown.split())


@pytest.mark.parametrize("before", ["", "next: "])
def test_a_command_that_is_printed_stays_on_one_line_and_other_lines_are_folded(before):
    """In pieces its first line would run alone."""
    command = f"{before}kpjax train --project 'my mice' {' '.join(['--workdir elsewhere'] * 9)}"
    words = " ".join(["words"] * 40)
    folded = fold_lines(f"{words}\n{command}", 80).splitlines()
    assert folded[-1] == command
    assert len(folded) > 2
    assert all(len(line) <= 80 for line in folded[:-1])
