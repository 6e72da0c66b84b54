"""What a person meets first: the list of commands, short helps, the version, and lines that fit the screen."""
import dataclasses
import sys

import pytest

from kpjax import InputError
from kpjax.images.inputs import find_inputs
from kpjax.lab.commands import COMMANDS
from kpjax.lab.own.needs import NEEDS
from kpjax.lab.own.systems import own_system
from kpjax.lab.program import main
from kpjax.systems.command_line import TO_KNOW, Shared, read_command
from kpjax.systems.configs import flat
from kpjax.systems.parsing import WIDTH, exit_code_of, folded
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


def test_the_version(capsys, monkeypatch):
    assert said(capsys, monkeypatch, "--version").startswith("kpjax ")


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


def test_every_flag_to_know_is_one():
    fields = {name for system in NEEDS for name in flat(own_system(system).presets[OWN])}
    assert set(TO_KNOW) <= fields | {field.name for field in dataclasses.fields(Shared)}


def test_long_lines_are_folded_at_spaces_and_others_stay(capsys):
    words = " ".join(["word"] * 50)
    for line, indent in ((words, 4), (f"  --flag  {words}", 10), (f"      {words}", 10)):
        first, *rest = folded(line).splitlines()
        assert " ".join([first, *(part.strip() for part in rest)]) == line
        assert all(len(part) <= WIDTH and part.startswith(" " * indent + "w") for part in rest)
    short = f"  a   b\n\n{'x' * 300}\n"
    assert folded(short) == short
    assert exit_code_of(lambda: print(words), 40) == 0
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 40


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_a_command_fits_the_screen(name, capsys, monkeypatch):
    assert f"usage: kpjax {name} " in said(capsys, monkeypatch, name, "--help")


def test_errors_fit_the_screen_and_say_one_thing_after_the_other(capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["kpjax", "train", "--projects", "a folder"])
    with pytest.raises(SystemExit) as stop:
        main()
    error = capsys.readouterr().err
    assert stop.value.code == 2
    assert max(map(len, error.splitlines())) <= WIDTH
    assert "Unrecognized options: --projects, a folder. Perhaps you meant: --project" in " ".join(error.split())


def test_a_video_that_is_spelt_otherwise_is_named(tmp_path):
    (tmp_path / "session.mp4").touch()
    with pytest.raises(InputError, match=r"session\.MP4 does not exist; there is session\.mp4, spelt otherwise"):
        find_inputs([tmp_path / "session.MP4"])


def test_weights_are_listed_with_their_licences(capsys, monkeypatch):
    shown = said(capsys, monkeypatch, "weights")
    assert "mobilenetv2_100.ra_in1k" in shown
    assert "CC-BY-NC-4.0   343.2  its licence restricts use" in shown
    assert "fetch one: kpjax weights NAME" in shown
