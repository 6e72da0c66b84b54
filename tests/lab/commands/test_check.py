"""The command `check`: what it says of a project, its sheet, and its exit code."""
import functools
import sys

import numpy as np
import pytest
from PIL import Image

from kpjax.errors import InputError
from kpjax.images.video import write_video
from kpjax.lab.commands import run_command
from kpjax.lab.out.reports.sheets import SIDE
from kpjax.lab.program import main as kpjax_main

main = functools.partial(run_command, "check")


@pytest.fixture
def project(tmp_path):
    """A table with six images and a video of 60 frames; left_ear is often missing, one image is a copy."""
    rows = ["image,video,frame,split,instance,keypoint,x,y,occluded"]
    for n in range(6):
        shade = np.full((30, 40, 3), 40 * min(n, 4), np.uint8)
        (tmp_path / "day").mkdir(exist_ok=True)
        Image.fromarray(shade).save(tmp_path / "day" / f"{n}.png")
        rows += [f"day/{n}.png,,,{'test' if n == 5 else 'train'},0,{name},{x},{10 + n},{occluded}"
                 for name, x, occluded in (("nose", 20, 0), ("right_ear", 9, 1), ("left_ear", 45 if n == 0 else 30, 0))
                 if name != "left_ear" or n < 2]
    write_video(tmp_path / "a.mp4", [np.full((32, 48, 3), n, np.uint8) for n in range(60)], rate=30)
    rows.append(",a.mp4,59,train,0,nose,1,2,0")
    path = tmp_path / "labels.csv"
    path.write_text("\n".join(rows) + "\n")
    return path


def test_everything_is_said_at_once(project, tmp_path, capsys):
    main([str(project), "--out", str(tmp_path / "out")])
    out = capsys.readouterr().out
    for words in ("csv (a table", "frames: 7, of these 7 labelled; sizes: 40x30 (6), 48x32 (1)",
                  "splits: train (6), test (1)", "flip pairs from the names: right_ear = left_ear",
                  "a.mp4: 60 frames, 48x32, 30 frames/s, 0 unreadable, 1 labelled",
                  "1 labelled points are more than 1 px outside", "1 images are copies of another: 5.png is 4.png"):
        assert words in out
    table = {line.split()[0]: [int(cell) for cell in line.split()[1:]] for line in out.splitlines()
             if line.split()[0] in ("nose", "right_ear", "left_ear")}
    # labelled, occluded, outside, empty
    assert table == {"nose": [7, 0, 0, 0], "right_ear": [6, 6, 0, 1], "left_ear": [2, 0, 1, 5]}
    last = out.partition("can be trained:\n")[2].splitlines()
    assert last[0].split() == ["kpjax", "train", "--project", "P", "(all", "labels)"]
    assert "semi_supervised --project P --unlabelled FOLDER_OR_VIDEO  (its 59 frames without labels)" in last[1]
    assert "regda --target FOLDER_OR_VIDEO --start RUN" in last[3]
    assert "pyramids --videos" in last[5]
    assert last[6] == "cannot: adaptation (6 images, it needs 50)"
    with Image.open(tmp_path / "out" / "labels_labels.png") as sheet:
        assert min(sheet.size) > SIDE


def test_a_number_that_no_image_has_is_a_fault_and_is_not_drawn(project, tmp_path, capsys):
    project.write_text(project.read_text().replace("nose,20,10", "nose,1e308,10"))
    with pytest.raises(InputError, match="1 fault"):
        main([str(project), "--out", str(tmp_path / "out"), "--quick"])
    assert "keypoint nose: x or y is beyond 1e+06 px" in " ".join(capsys.readouterr().out.split())
    assert (tmp_path / "out" / "labels_labels.png").exists()


@pytest.mark.parametrize(("typed", "code", "words"), [
    ([], 0, "kpjax train regda --source P"), ([], 0, "kpjax train --project P\n"),
    (["people"], 2, "'people' is not a system"),
    (["--project", "nowhere"], 2, "nowhere: there is no such file or folder"),
    (["supervised", "--project", "nowhere"], 2, "nowhere: there is no such file or folder"),
    (["regda", "--help"], 0, "--source P"), (["regda", "--help-all"], 0, "--learning-rate"),
    (["regda", "--sources", "P"], 2, "train regda: "), (["regda"], 2, "--source: name an annotation project")])
def test_train_is_the_preset_own_of_a_system(typed, code, words, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["kpjax", "train", *typed])
    with pytest.raises(SystemExit) as stop:
        kpjax_main()
    assert stop.value.code == code
    assert words in "".join(capsys.readouterr())


def test_equal_labels_are_counted_in_a_line(project, tmp_path, capsys):
    rows = project.read_text()
    project.write_text(rows + "".join(f"day/{n}.png,,,train,{animal},{name},7,7,0\n"
                                      for n in range(5) for animal in (1, 2) for name in ("nose", "right_ear")))
    main([str(project), "--sheet", "0"])
    out = capsys.readouterr().out
    assert "training reads a crop of each, and a small network learns to find them" in out
    notes = [line for line in out.splitlines() if "the same labels" in line]
    assert notes == ["note: the same labels twice on one frame: 1 frames, such as day/0.png",
                     "note: the same labels on two frames: 4 frames, such as day/1.png has those of day/0.png; "
                     "day/2.png has those of day/0.png"]
