"""What a person meets first: the list of commands, short helps, the version, and lines that fit the screen."""
import dataclasses
import re
import sys

import pytest

import kpjax
from experiments.__main__ import main as experiments_main
from kpjax.lab.commands import COMMANDS
from kpjax.lab.own.systems import NEEDS, own_system
from kpjax.lab.program import main
from kpjax.systems.command_line import Shared, read_command
from kpjax.systems.configs import flat
from kpjax.systems.parsing import WIDTH
from kpjax.systems.system import OWN


def said(capsys, monkeypatch, *words):
    monkeypatch.setenv("COLUMNS", str(WIDTH))
    monkeypatch.setattr(sys, "argv", ["kpjax", *words])
    with pytest.raises(SystemExit) as stop:
        main()
    printed = capsys.readouterr()
    assert not stop.value.code, printed.err
    assert max(map(len, printed.out.splitlines())) <= WIDTH
    return printed.out


@pytest.mark.parametrize("typed", [(), ("-h",), ("--help",)])
def test_the_bare_program_lists_the_commands_and_how_to_begin(typed, capsys, monkeypatch):
    shown = said(capsys, monkeypatch, *typed)
    assert len(shown.splitlines()) < 30
    for name in ("train", *COMMANDS):
        assert f"\n  {name} " in shown
    assert "kpjax check MY_PROJECT,  then  kpjax train --project MY_PROJECT" in shown
    assert "openfield" not in shown


@pytest.mark.parametrize("name", NEEDS)
def test_the_help_of_a_system_has_the_flags_to_know_and_that_with_all_has_all(name, capsys, monkeypatch):
    short = said(capsys, monkeypatch, "train", name, "--help")
    flags = [line.split()[0] for line in short.splitlines() if line.startswith("  --")]
    assert 7 <= len(flags) <= 12
    fields = {*flat(own_system(name).presets[OWN]), *(field.name for field in dataclasses.fields(Shared))}
    assert {flag[2:].replace("-", "_") for flag in flags} <= fields
    assert f"kpjax train {name} --help-all" in short
    assert short.index(NEEDS[name].takes.split()[0]) < short.index("--start" if "--start" in flags else "--steps")
    with pytest.raises(SystemExit):
        read_command(own_system(name), [OWN, "--help-all"])
    assert "--require-accelerator" in capsys.readouterr().out


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_a_command_fits_the_screen(name, capsys, monkeypatch):
    assert f"usage: kpjax {name} " in said(capsys, monkeypatch, name, "--help")


@pytest.mark.parametrize(("program", "typed", "near"), [
    (main, ["chek", "P"], "check"), (main, ["train", "regdaa"], "regda"), (experiments_main, ["regdaa"], "regda")])
def test_a_near_name_is_named_in_lines_that_fit(program, typed, near, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["kpjax", *typed])
    with pytest.raises(SystemExit) as stop:
        program()
    error = capsys.readouterr().err
    assert stop.value.code == 2
    assert max(map(len, error.splitlines())) <= WIDTH
    assert f"; did you mean {near}?" in re.sub(r"\s+", " ", error)
    with pytest.raises(AttributeError, match="did you mean regda"):
        kpjax.regdaa  # noqa: B018


def test_weights_are_listed_with_their_licences(capsys, monkeypatch):
    shown = said(capsys, monkeypatch, "weights")
    assert "mobilenetv2_100.ra_in1k" in shown
    assert "CC-BY-NC-4.0   343.2  its licence restricts use" in shown
    assert "fetch one: kpjax weights NAME" in shown
