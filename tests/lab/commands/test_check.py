"""The command `check`: what it says of a project, its sheet, and its exit code."""
import functools
import re
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from kpjax import InputError, RunError
from kpjax.drawing.overlays import keypoint_colours
from kpjax.images.video import write_video
from kpjax.lab.commands import COMMANDS, run_command
from kpjax.lab.formats import checking
from kpjax.lab.out.reports.label_sheet import SIDE, Labels, label_sheet
from kpjax.lab.own.needs import NEEDS, Holdings, systems_lines
from kpjax.lab.own.systems import own_system
from kpjax.lab.program import main as kpjax_main
from kpjax.structures import Skeleton
from kpjax.systems.configs import flat
from kpjax.systems.parsing import as_flags, exit_code_of, flags_in_messages, flags_of
from kpjax.systems.system import OWN

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


def test_faults_are_listed_and_the_rest_is_said(project, tmp_path, capsys):
    (tmp_path / "day" / "3.png").unlink()
    whole = (tmp_path / "day" / "2.png").read_bytes()
    (tmp_path / "day" / "2.png").write_bytes(whole[:-30])
    code = exit_code_of(lambda: main([str(project), "--out", str(tmp_path / "out")]))
    printed = capsys.readouterr()
    assert code == 2
    (line,) = printed.err.splitlines()
    assert line == f"error: {project}: 2 faults, listed above; mend them first"
    assert len([fault for fault in printed.out.splitlines() if fault.startswith("fault: ")]) == 2
    assert "day/3.png: the image is missing" in printed.out
    assert "2.png: " in printed.out
    assert "left_ear" in printed.out
    assert (tmp_path / "out" / "labels_labels.png").is_file()


def test_the_sheet_comes_before_all_is_decoded_and_replaces_none(project, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sheet = tmp_path / "runs" / "labels_labels.png"

    def decoded(*_, **__):
        assert sheet.is_file()
        raise InputError("it takes minutes")

    monkeypatch.setattr(checking, "video_facts", decoded)
    before = set(tmp_path.iterdir())
    main([str(project)])
    assert set(tmp_path.iterdir()) - before == {tmp_path / "runs"}
    sheet.write_text("mine")
    main([str(project)])
    assert "is there already and stays; --overwrite" in capsys.readouterr().out
    assert sheet.read_text() == "mine"
    main([str(project), "--overwrite"])
    assert sheet.stat().st_size > 1000


def test_the_sheet_of_a_folder_has_its_whole_name(project, tmp_path):
    (tmp_path / "mouse.v1").mkdir()
    for path in (project, tmp_path / "day", tmp_path / "a.mp4"):
        path.rename(tmp_path / "mouse.v1" / path.name)
    main([str(tmp_path / "mouse.v1"), "--quick", "--out", str(tmp_path / "out")])
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mouse.v1_labels.png"]


def test_near_names_of_commands_are_named(capsys, monkeypatch):
    for typed, words in ((["chek"], "did you mean check?"), (["Predict"], "did you mean predict?"),
                         (["xyz"], "there are check, ")):
        monkeypatch.setattr(sys, "argv", ["kpjax", *typed])
        with pytest.raises(SystemExit):
            kpjax_main()
        assert words in capsys.readouterr().err


def test_what_is_no_project(tmp_path, capsys):
    cases = (([tmp_path / "none"], "no such file"), ([tmp_path], "not a known annotation project"), ([], "PROJECT"),
             ([tmp_path, "--video-root", tmp_path / "none"], "--video-root"))
    for arguments, words in cases:
        given = [str(argument) for argument in arguments]
        assert exit_code_of(lambda given=given: main(given)) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert words in line


def test_every_preset_own_has_the_flags_that_the_table_names():
    for system, needs in NEEDS.items():
        fields = flat(own_system(system).presets[OWN])
        for flag in re.findall(r"--([a-z-]+)", needs.takes):
            assert flag.replace("-", "_") in fields, (system, flag)


@pytest.mark.slow
def test_every_command_explains_itself_without_jax():
    code = (f"import sys; from kpjax.lab.program import main\n"
            f"for name in {list(COMMANDS)}:\n    sys.argv[1:] = [name, '--help']\n"
            "    try: main()\n    except SystemExit as stop: assert not stop.code\nassert 'jax' not in sys.modules")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for name in COMMANDS:
        assert f"usage: kpjax {name} " in done.stdout


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


def test_messages_name_flags():
    flags = flags_of(COMMANDS["check"])
    assert as_flags("p: `category`: 2 kinds; name the folder of category as `video_root`, or `no_such`", flags) == (
        "p: --category: 2 kinds; name the folder of category as --video-root, or `no_such`")
    for error, line in ((InputError("count", "0; must be at least 1"), "--n: 0; must be at least 1"),
                        (InputError("inputs", "/a: b does not exist"), "IN: /a: b does not exist"),
                        (InputError("config.json: format 1; use `every`"), "config.json: format 1; use --every"),
                        (RunError("the loss is nan; lower `batch_size`"), "the loss is nan; lower --batch-size")):
        with pytest.raises(type(error)) as raised, flags_in_messages(flags_of(COMMANDS["suggest"])):
            raise error
        assert str(raised.value) == line


def test_systems_that_can_run():
    nothing = systems_lines(Holdings(0, 0, 0, 0))
    assert nothing[1].split()[:3] == ["kpjax", "train", "regda"]  # what it learns from is not in the project
    assert all(system in nothing[2] for system in NEEDS)
    lines = systems_lines(Holdings(4, 0, 60, 0))
    assert any("semi_supervised --project P" in line for line in lines[:-1])
    assert any("adaptation --core RUN --images FOLDER" in line for line in lines[:-1])
    assert lines[-1] == "cannot: pyramids (no video, it needs one of 50)"
    crowd = systems_lines(Holdings(4, 10, 60, 0, several=True))
    assert crowd[1] == "  kpjax train --project P  (all labels)"
    assert [line.split()[2] for line in crowd[2:-1]] == ["semi_supervised", "regda", "regda", "incremental"]
    assert "adaptation (several animals on a frame)" in crowd[-1]


def test_videos_of_the_folder_count_whatever_their_names(project, tmp_path, capsys):
    (tmp_path / "videos").mkdir()
    for name in ("test_vid.mp4", "test_vidDLC_labeled.mp4"):
        write_video(tmp_path / "videos" / name, [np.full((32, 48, 3), n, np.uint8) for n in range(50)], rate=30)
    main([str(project), "--sheet", "0"])
    out = capsys.readouterr().out
    assert "video test_vid.mp4: 50 frames, 48x32, 30 frames/s, 0 labelled" in out
    assert "labeled.mp4" not in out
    assert "its 109 frames without labels" in out


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


def test_labels_are_drawn_where_they_are():
    """A point at a quarter of an image appears in its colour at the same place of the shown part."""
    image = np.zeros((200, 300, 3), np.uint8)
    skeleton = Skeleton(("nose", "tail"), ((0, 1),))
    keypoints = np.array([[100.0, 50.0], [200.0, 150.0]])
    sheet = label_sheet([image], [Labels(keypoints, np.array([False, True]))], skeleton)
    # The shown part is wider than the points by 0.3 of their extent on each side: (70, 20) to (231, 181).
    nose, tail = ((point - (70, 20) + 0.5) * SIDE / 161 - 0.5 + 6 for point in keypoints)
    distance = np.abs(sheet[round(nose[1]), round(nose[0])].astype(int) - keypoint_colours(2)[0]).max()
    assert distance < 8
    hidden = sheet[round(tail[1]), round(tail[0])].astype(int)
    assert (hidden < keypoint_colours(2)[1] - 20).any()  # faded: it is occluded
