"""The command `check`: what it says of a project, its sheet, and its exit code."""

import functools

import numpy as np
import pytest
from PIL import Image

from kpjax import InputError
from kpjax.images.video import write_video
from kpjax.lab.commands import check, run_command
from kpjax.lab.reports.sheets import SIDE

main = functools.partial(run_command, "check")


def test_everything_is_said_at_once(tmp_path, capsys):
    """Of a table with six images and a video of 60 frames; left_ear is often missing, one image is
    a copy.
    """
    rows = ["image,video,frame,split,instance,keypoint,x,y,occluded"]
    for n in range(6):
        shade = np.full((30, 40, 3), 40 * min(n, 4), np.uint8)
        (tmp_path / "day").mkdir(exist_ok=True)
        Image.fromarray(shade).save(tmp_path / "day" / f"{n}.png")
        rows += [
            f"day/{n}.png,,,{'test' if n == 5 else 'train'},0,{name},{x},{10 + n},{occluded}"
            for name, x, occluded in (
                ("nose", 20, 0),
                ("right_ear", 9, 1),
                ("left_ear", 45 if n == 0 else 30, 0),
            )
            if name != "left_ear" or n < 2
        ]
    write_video(tmp_path / "a.mp4", [np.full((32, 48, 3), n, np.uint8) for n in range(60)], rate=30)
    rows.append(",a.mp4,59,train,0,nose,1,2,0")
    project = tmp_path / "labels.csv"
    project.write_text("\n".join(rows) + "\n")
    main([str(project), "--out", str(tmp_path / "out")])
    out = capsys.readouterr().out
    for words in (
        "frames: 7, of these 7 labelled; sizes: 40x30 (6), 48x32 (1)",
        "splits: train (6), test (1)",
        "left_ear = right_ear",
        "a.mp4: 60 frames, 48x32, 30 frames/s, 0 unreadable, 1 labelled",
        "1 labelled points are more than 1 px outside",
        "5.png is day/4.png",
        "question: often empty on labelled frames, so taught as absent: left_ear 71 %; --empty unlabelled",
        "question: cells are empty on labelled frames (right_ear 14 %): absent there?",
    ):
        assert words in out
    table = {
        line.split()[0]: [int(cell) for cell in line.split()[1:]]
        for line in out.splitlines()
        if line.split()[0] in ("nose", "right_ear", "left_ear")
    }
    # labelled, occluded, outside, empty
    assert table == {"nose": [7, 0, 0, 0], "right_ear": [6, 6, 0, 1], "left_ear": [2, 0, 1, 5]}
    assert "cannot: adaptation (6 images, it needs 50)" in out
    with Image.open(tmp_path / "out" / "labels_labels.png") as sheet:
        assert min(sheet.size) > SIDE
    # Labels that were copied from one frame to the next, or from one animal to another.
    project.write_text(
        project.read_text()
        + "".join(
            f"day/{n}.png,,,train,{animal},{name},7,7,0\n"
            for n in range(5)
            for animal in (1, 2)
            for name in ("nose", "right_ear")
        )
    )
    main([str(project), "--sheet", "0"])
    out = capsys.readouterr().out
    assert "the same labels twice on one frame: 1 frame," in out
    assert "the same labels on two frames: 4 frames" in out
    assert "11 of these animals have neither a box nor two keypoints apart" in out


def test_faults_are_told_where_no_sheet_can_be_written(tmp_path, capsys):
    Image.new("RGB", (40, 30)).save(tmp_path / "a.png")
    (tmp_path / "labels.csv").write_text("image,keypoint,x,y\na.png,nose,1,2\nb.png,nose,1,2\n")
    (tmp_path / "out").write_text("a file where the folder belongs")
    with pytest.raises(InputError):
        main([str(tmp_path / "labels.csv"), "--out", str(tmp_path / "out")])
    out = capsys.readouterr().out
    assert "sheet: not drawn: " in out
    assert "b.png" in out
    (tmp_path / "labels.csv").write_text("image,keypoint,x,y\na.png,nose,1,2\n")
    main([str(tmp_path / "labels.csv"), "--out", str(tmp_path / "out")])
    assert "sheet: not drawn: " in capsys.readouterr().out  # that is no fault of the project


def test_a_video_that_cannot_be_opened_is_named(tmp_path, capsys):
    """None of its frames has labels, so it is no fault of the project; but pyramids would need it."""
    Image.new("RGB", (40, 30)).save(tmp_path / "a.png")
    (tmp_path / "labels.csv").write_text("image,keypoint,x,y\na.png,nose,1,2\n")
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / "empty.mp4").touch()
    main([str(tmp_path), "--sheet", "0"])
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "empty.mp4" in line]
    assert line.startswith("note: ")
    assert "not a video that can be read" in line


@pytest.mark.parametrize(
    ("folder", "file", "header", "words"),
    [
        (
            "",
            "labels.csv",
            "filename,bodypart,x,y",
            "labels.csv has the columns bodypart, filename, x, y, and a table of labels has image, keypoint, x, y",
        ),
        ("", "labels.csv", "filename,nose_x,nose_y", "labels.csv has the columns filename, nose_x"),
        (
            "",
            "proposals.csv",
            "image,keypoint,x,y,score,status",
            "proposals.csv has points with score and status, which are not labels",
        ),
        ("images", "labels.csv", "image,keypoint,x,y", " is one (csv): name it"),
        ("images/day1", "labels.csv", "image,keypoint,x,y", " is one (csv): name it"),
    ],
)
def test_a_folder_that_is_no_project_is_told_what_lacks(folder, file, header, words, tmp_path):
    (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    (tmp_path / file).write_text(f"{header}\n")
    with pytest.raises(InputError, match="not a known annotation project") as caught:
        main([str(tmp_path / folder)])
    assert words in str(caught.value)


def test_of_many_images_some_are_decoded_and_all_must_have_their_end(tmp_path, monkeypatch, capsys):
    """Damage within an image that is not decoded goes unseen; a cut file and a copy do not."""
    monkeypatch.setattr(check, "DECODED", 2)
    rows = ["image,nose_x,nose_y"]
    for n in range(8):
        noise = np.random.default_rng(n).integers(0, 256, (40, 40, 3), np.uint8)
        Image.fromarray(noise).save(tmp_path / f"{n}.{'jpg' if n % 2 else 'png'}")
        rows.append(f"{n}.{'jpg' if n % 2 else 'png'},{n + 1},5")
    (tmp_path / "labels.csv").write_text("\n".join(rows) + "\n")
    (tmp_path / "6.png").write_bytes((tmp_path / "4.png").read_bytes())
    damaged = bytearray((tmp_path / "2.png").read_bytes())
    damaged[2000:2100] = bytes(100)
    (tmp_path / "2.png").write_bytes(damaged)
    main([str(tmp_path), "--sheet", "0"])
    out = capsys.readouterr().out
    assert "the pixels of 2 of 8 were decoded" in out
    assert "6.png is 4.png" in out
    for cut in ("3.jpg", "4.png"):
        (tmp_path / cut).write_bytes((tmp_path / cut).read_bytes()[:-300])
    with pytest.raises(InputError, match="2 faults"):
        check.check(check.Check(project=tmp_path, sheet=0))
