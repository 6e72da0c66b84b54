"""Files and folders are written whole or not at all, by either kind of path."""

import os
import pathlib
import re

import numpy as np
import pytest
from etils import epath

from kpjax import files
from kpjax.errors import InputError, RunError, WriteError
from kpjax.files import (
    atomic,
    foreign,
    make_folder,
    read_json,
    strict,
    together,
    write_json,
    write_text,
)


@pytest.fixture(params=[pathlib.Path, epath.Path])
def folder(request, tmp_path):
    return request.param(tmp_path)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_once_it_is_whole(folder):
    path = folder / "new" / "image.png"
    for content in (b"first", b"second"):
        with atomic(path) as partial:
            assert partial.suffix == ".png"
            assert partial.parent == pathlib.Path(path.parent)
            partial.write_bytes(content)
            assert path.exists() == (content == b"second")
        assert path.read_bytes() == content
    assert names(folder / "new") == ["image.png"]


def test_a_folder_replaces_the_one_before(folder):
    for content in ("first", "second"):
        with atomic(folder / "predictor") as partial:
            partial.mkdir()
            (partial / content).write_text(content)
    assert names(folder) == ["predictor"]
    assert names(folder / "predictor") == ["second"]


def test_a_link_to_a_folder_stays_one(tmp_path):
    folder = tmp_path
    (folder / "there").mkdir()
    (folder / "link").symlink_to(folder / "there")
    with atomic(folder / "link") as partial:
        partial.mkdir()
        (partial / "file").write_text("new")
    assert (folder / "link").is_symlink()
    assert (folder / "there" / "file").read_text() == "new"
    assert names(folder) == ["link", "there"]


def test_what_fails_leaves_the_old_content_and_nothing_else(folder, monkeypatch):
    path = write_json(folder / "a.json", {"value": 1})
    with pytest.raises(UnicodeEncodeError):
        write_text(path, "half \ud800")
    monkeypatch.setattr(
        os,
        "fsync",
        lambda descriptor: (_ for _ in ()).throw(OSError(28, "No space left on device")),
    )
    with pytest.raises(WriteError, match=r"a\.json: cannot be written: No space left on device; "):
        write_json(path, {"value": 2})
    assert read_json(path) == {"value": 1}
    assert names(folder) == ["a.json"]


@pytest.mark.parametrize("place", [atomic, together])
def test_an_error_inside_a_hidden_place_names_the_one_that_was_meant(tmp_path, place):
    def write_both():
        with place(tmp_path / "o") as hidden:
            make_folder(hidden)
            (hidden / "a").mkdir()
            write_text(hidden / "a", "a folder is there")

    with pytest.raises(WriteError, match=re.escape(f"{tmp_path / 'o' / 'a'}: cannot be written")):
        write_both()


def test_what_the_disc_refuses_is_one_line_that_names_the_path(folder):
    (folder / "file").write_text("")
    for act in (write_json, lambda path, _: make_folder(path)):
        with pytest.raises(
            WriteError, match=r"file/a/b: cannot be written: Not a directory; free some space"
        ):
            act(folder / "file" / "a" / "b", {})
    (folder / "taken" / "inside").mkdir(parents=True)
    with pytest.raises(WriteError, match="taken: cannot be written: Is a directory"):
        write_json(folder / "taken", {})
    assert names(folder) == ["file", "taken"]


def test_json_is_strict_and_broken_json_is_named(folder):
    assert strict({1: (np.float32(0.5), float("nan"), folder)}) == {"1": [0.5, "nan", str(folder)]}
    (folder / "a.json").write_text("{")
    with pytest.raises(InputError, match=r"a\.json: cannot be read"):
        read_json(folder / "a.json")
    with pytest.raises(InputError, match=r"b\.json: not found"):
        read_json(folder / "b.json")


@pytest.mark.parametrize(
    "error",
    [
        KeyError("images"),
        RecursionError("deep"),
        OverflowError("10**400"),
        EOFError(),
        OSError(13, "Permission denied"),
        Exception("two\nlines"),
        ImportError("no tables"),
    ],
)
def test_whatever_a_parser_raises_is_one_line_that_names_the_file(error, monkeypatch):
    with (
        pytest.raises(
            InputError, match=rf"^a\.h5: cannot be read \({type(error).__name__}.*\); mend$"
        ),
        foreign("a.h5", "mend"),
    ):
        raise error
    for ours in (InputError("a line"), RunError("a line"), MemoryError()):
        with pytest.raises(type(ours)), foreign("a.h5"):
            raise ours
    monkeypatch.setenv("KPJAX_DEBUG", "1")
    with pytest.raises(type(error)), foreign("a.h5"):
        raise error


def test_a_name_as_long_as_a_file_system_takes_is_written_whole(tmp_path):
    path = tmp_path / f"{'鼠' * 80}.points.csv"  # 251 bytes
    files.write_text(path, "text")
    assert [one.name for one in tmp_path.iterdir()] == [path.name]
    assert path.read_text() == "text"


def test_what_others_left_is_removed_from_a_folder_that_nobody_else_writes(tmp_path):
    left = [
        tmp_path / f".config.{process}-{system}.partial.json"
        for process, system in ((2**22 + 7, files.HOST), (1, "0" * 8), (os.getpid(), files.HOST))
    ]
    for path in left:
        path.write_text("{}")
    files.remove_partials(tmp_path)
    assert [path.exists() for path in left] == [False, True, True]
    files.remove_partials(tmp_path, alone=True)
    assert [path.exists() for path in left] == [False, False, True]


def test_processes_of_two_containers_with_one_name_and_number_are_two(monkeypatch):
    before = files._system()
    monkeypatch.setattr(files.os, "readlink", lambda path: "pid:[1]")
    assert files._system() != before


@pytest.mark.parametrize("write", [files.make_folder, lambda path: files.write_text(path, "")])
def test_a_bucket_is_no_folder_of_this_machine(tmp_path, monkeypatch, write):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"out: gs:/box/x is in a bucket"):
        write(pathlib.Path("gs://box/x"))
    assert not list(tmp_path.iterdir())


def test_a_rename_is_on_the_disc_before_what_follows(tmp_path, monkeypatch):
    flushed = []
    monkeypatch.setattr(
        files.os, "fsync", lambda number: flushed.append(os.readlink(f"/proc/self/fd/{number}"))
    )
    files.write_text(tmp_path / "a.txt", "a")
    assert flushed[-1] == str(tmp_path)
    with files.together(tmp_path / "out") as stage:
        (stage / "b.txt").write_text("b")
    assert flushed[-1] == str(tmp_path / "out")
