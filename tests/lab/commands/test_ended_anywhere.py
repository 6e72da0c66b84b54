"""Every command that writes, ended at its n-th file operation by a kill, or by a disc that is full
and stays so.

A reader then finds the old result or the new one, nothing lies beside it that another command would
trip over, and the same command once more ends as if nothing had been.
"""

import shutil

import numpy as np
import pytest
from brightest import as_system, write_run
from ended import Disc, ended
from PIL import Image

from experiments import render
from experiments.measure.rows import Result, read_results, write_results
from kpjax import files
from kpjax.errors import InputError
from kpjax.lab.commands import run_command


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with a run of the system `brightest`, images and a project of them."""
    as_system(monkeypatch)
    write_run(tmp_path / "runs", (10, 0))
    rows = ["image,keypoint,x,y"]
    (tmp_path / "images").mkdir()
    for number, (x, y) in enumerate([(40, 20), (20, 30), (30, 32)]):
        pixels = np.full((48, 64, 3), 20 + number, np.uint8)
        pixels[y - 2 : y + 3, x - 2 : x + 3] = 250
        Image.fromarray(pixels).save(tmp_path / "images" / f"{number}.png")
        rows += [f"{number}.png,spot,{x},{y}", f"{number}.png,beside,{x + 10},{y}"]
    (tmp_path / "images" / "labels.csv").write_text("\n".join(rows) + "\n")
    (tmp_path / "results").mkdir()
    return tmp_path


def typed(place, command, new):
    """The words of a command whose second result differs from its first, where it may replace
    that."""
    run, images, out = (
        place / "runs/brightest/demo/spot/seed-0",
        place / "images",
        place / "results" / "out",
    )
    return [
        command,
        *map(
            str,
            {
                "check": (images, "--out", out, "--sheet", 3 if new else 1),
                "evaluate": (run, images, "--out", out, "--worst", 3 if new else 1),
                "predict": (run, images, "--out", out, *([] if new else ["--cutoff", 9])),
                "suggest": (run, images, "--out", out, "--n", 1),
            }[command],
        ),
    ]


def content(out):
    return {
        path.relative_to(out).as_posix(): path.read_bytes()
        for path in sorted(out.rglob("*"))
        if path.is_file()
    }


# whose new folder appears at one moment; others exchange file by file
WHOLE = {"suggest"}


def again(place, command):
    """The words of the second run of a command; one that makes a new folder has none to replace."""
    return [*typed(place, command, True), *["--overwrite"] * (command not in WHOLE)]


def ends_well(place, command, kind, number, old, new, monkeypatch):
    """Ends the second run of a command, and looks at what is left and at what one more run makes of
    it.
    """
    out = place / "results" / "out"
    shutil.rmtree(place / "results")
    (place / "results").mkdir()
    if command not in WHOLE:
        shutil.copytree(place / "old", out)
    words = again(place, command)
    assert ended(lambda: run_command(words[0], words[1:]), place, kind, number, monkeypatch)
    left = [
        name
        for name in [*content(place / "results")]
        if any(part.startswith(".") for part in name.split("/"))
    ]
    assert kind == "kill" or not left
    found = {name: whole for name, whole in content(out).items() if not name.startswith(".")}
    if command in WHOLE:
        assert found in ({}, new)
    assert found.keys() <= old.keys() | new.keys()
    assert all(whole in (old.get(name), new.get(name)) for name, whole in found.items())
    assert {path.name for path in place.iterdir()} == {"images", "old", "results", "runs"}
    if command in WHOLE and out.exists():  # ended after it appeared
        return
    run_command(words[0], words[1:])
    assert [path.name for path in (place / "results").iterdir()] == ["out"]
    assert content(out).keys() == new.keys()
    assert content(out) == new


COMMANDS = ("check", "evaluate", "predict", "suggest")
SOME = {
    ("check", "kill"): lambda count: count - 1,
    ("predict", "full"): lambda count: count // 2 + 1,
    ("suggest", "full"): lambda count: count // 2 + 1,
}


@pytest.mark.parametrize(
    ("command", "kind", "moment"),
    [
        *((*of, moment) for of, moment in SOME.items()),
        *(
            pytest.param(name, kind, None, marks=pytest.mark.slow)
            for name in COMMANDS
            for kind in ("kill", "full")
        ),
    ],
)
def test_ended_at_some_moment_or_at_every_one(command, kind, moment, place, monkeypatch, capsys):
    out, old = place / "results" / "out", {}
    if command not in WHOLE:
        run_command(command, typed(place, command, False)[1:])
        (out / "mine.txt").write_text("mine")
        shutil.copytree(out, place / "old")
        old = content(out)
    else:
        (place / "old").mkdir()
    words = again(place, command)
    with Disc(place, kind) as disc:
        run_command(words[0], words[1:])
    new = content(out)
    assert old != new
    assert command in WHOLE or new["mine.txt"] == b"mine"
    for number in [moment(disc.count)] if moment else range(1, disc.count + 1):
        ends_well(place, command, kind, number, old, new, monkeypatch)


@pytest.mark.parametrize("exchanged", [True, False])
def test_a_folder_put_aside_comes_back(exchanged, tmp_path, monkeypatch):
    """Where a disc cannot exchange two folders, a kill in between is mended by the next start."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old").touch()
    if not exchanged:
        monkeypatch.setattr(files.ctypes, "CDLL", lambda name: object())

    def renew():
        with files.atomic(tmp_path / "out") as folder:
            folder.mkdir()
            (folder / "new").touch()

    number = 1
    while ended(renew, tmp_path, "kill", number, monkeypatch):
        number += 1
        files.remove_partials(tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == ["out"]
        assert [path.name for path in (tmp_path / "out").iterdir()] in (["old"], ["new"])
        (tmp_path / "out" / "new").unlink(missing_ok=True)
        (tmp_path / "out" / "old").touch()
    assert number > 5


@pytest.mark.parametrize("kind", ["kill", "full"])
def test_numbers_that_are_gathered_are_the_old_or_the_new(kind, tmp_path, monkeypatch):
    old, new = ([Result("demo", "", "a", "0", "pck", value)] for value in (1.0, 2.0))
    number = 0
    write_results(tmp_path, old)
    while ended(
        lambda: write_results(tmp_path, new), tmp_path, kind, number := number + 1, monkeypatch
    ):
        assert read_results(tmp_path) in (old, new)
        write_results(tmp_path, old)
        assert [path.name for path in tmp_path.iterdir()] == ["results.csv"]
    assert number > 1


@pytest.mark.parametrize("kind", ["kill", "full"])
def test_what_a_tutorial_renders_is_whole(kind, tmp_path, monkeypatch):
    def render_two(folder, share):
        for name in ("labels", "videos"):
            files.write_text(folder / name / "a.txt", f"{share}")

    def rendered(share):
        return render.main(["regda", "--out", str(tmp_path), "--share", share, "--overwrite"])

    monkeypatch.setitem(render.TUTORIALS, "regda", render_two)
    (tmp_path / "mine.txt").write_text("mine")
    rendered("0.5")
    old = content(tmp_path)
    with pytest.raises(InputError, match="has labels, videos already"):
        render.main(["regda", "--out", str(tmp_path)])
    assert content(tmp_path) == old
    number = 0
    while ended(lambda: rendered("0.25"), tmp_path, kind, number := number + 1, monkeypatch):
        found = {
            name: whole for name, whole in content(tmp_path).items() if not name.startswith(".")
        }
        assert found.keys() == old.keys()
        assert all(whole in (b"mine", b"0.5", b"0.25") for whole in found.values())
        rendered("0.5")
        assert content(tmp_path) == old
    assert number > 5


def test_a_result_is_not_put_in_place_of_the_folder_that_one_is_in(place, monkeypatch):
    (place / "here").mkdir()
    monkeypatch.chdir(place / "here")
    words = typed(place, "suggest", True)
    words[words.index("--out") + 1] = "."
    with pytest.raises(InputError, match="is the folder that you are in"):
        run_command(words[0], words[1:])
