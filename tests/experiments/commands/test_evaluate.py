"""The command `evaluate`: errors of a made run, whose method finds the brightest pixel, on labelled images."""
import csv
import functools

import numpy as np
import pytest
from brightest import as_system, write_run
from PIL import Image

from experiments.commands import run_command
from kpjax.errors import InputError

main = functools.partial(run_command, "evaluate")
SPOTS = {"a": (100, 40), "b": (20, 90), "c": (64, 64)}


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A finished run of the system `brightest`, whose second keypoint `beside` lies 10 px to the right of 64."""
    as_system(monkeypatch)
    return str(write_run(tmp_path / "runs", (10, 0)))


def project(folder, rows):
    """Writes images of 128 px with a bright spot each, and a table of labels."""
    folder.mkdir()
    for name, (x, y) in SPOTS.items():
        pixels = np.full((128, 128, 3), 20, np.uint8)
        pixels[y - 2:y + 3, x - 2:x + 3] = 250
        Image.fromarray(pixels).save(folder / f"{name}.png")
    path = folder / "labels.csv"
    path.write_text("\n".join(["image,instance,keypoint,x,y", *rows]) + "\n")
    return str(path)


def test_errors_are_in_pixels_of_the_frames_and_the_worst_come_first(run, tmp_path, capsys):
    # Of "b" the label is 30 px off; "beside" of "c" is not labelled, and "tail" is no keypoint of the run.
    labels = project(tmp_path / "labelled", [
        "a.png,0,spot,100,40", "a.png,0,beside,120,40", "a.png,0,tail,100,80", "b.png,0,spot,20,60",
        "b.png,0,beside,40,90", "b.png,0,tail,20,90", "c.png,0,spot,64,64", "c.png,0,tail,64,104"])
    main([run, labels, "--out", str(tmp_path / "out"), "--batch-size", "2"])
    out = capsys.readouterr().out
    assert "not known to the run, and not measured: tail" in out
    assert "3 animals on 3 frames" in out
    with (tmp_path / "out" / "errors.csv").open() as file:
        found = {(row["image"].rpartition("/")[2], row["keypoint"]): row for row in csv.DictReader(file)}
    assert found.keys() == {(f"{name}.png", keypoint) for name in "abc" for keypoint in ("spot", "beside")} - {
        ("c.png", "beside")}
    for (name, keypoint), row in found.items():  # a pixel of the run is two of the frames
        assert float(row["error"]) == pytest.approx(30 if (name, keypoint) == ("b.png", "spot") else 0, abs=3)
    table = {line.split()[0]: line.split()[-4:] for line in out.splitlines() if line.startswith(("spot", "beside"))}
    assert [table[name][0] for name in ("spot", "beside")] == ["3", "2"]
    assert [table[name][3] for name in ("spot", "beside")] == ["66.7", "100.0"]
    with Image.open(tmp_path / "out" / "worst.png") as sheet:
        assert min(sheet.size) > 192
    with pytest.raises(InputError, match=r"^--out: .*errors\.csv exists already"):
        main([run, labels, "--out", str(tmp_path / "out")])


def test_animals_of_one_frame_are_cropped_by_their_labels(run, tmp_path, capsys):
    labels = project(tmp_path / "labelled", [
        "a.png,0,spot,100,40", "a.png,0,tail,80,60", "a.png,1,spot,30,100", "a.png,1,tail,10,90"])
    main([run, labels, "--out", str(tmp_path / "out")])
    with (tmp_path / "out" / "errors.csv").open() as file:
        errors = [float(row["error"]) for row in csv.DictReader(file)]
    assert errors[0] < 4  # the spot is 5 px wide, and its first pixel is found
    assert errors[1] > 20  # the bright spot is not in its crop
    assert "2 animals on 1 frames" in capsys.readouterr().out


def test_what_cannot_be_measured_is_refused(run, tmp_path):
    labels = project(tmp_path / "labelled", ["a.png,0,tail,100,40"])
    for more, words in (([], "PROJECT: .* labels tail, the run finds spot; beside; none is the same"),
                        (["--threshold", "0"], "--threshold: 0"), (["--worst", "0"], "--worst: 0")):
        with pytest.raises(InputError, match=words):
            main([run, labels, "--out", str(tmp_path / "out"), *more])
