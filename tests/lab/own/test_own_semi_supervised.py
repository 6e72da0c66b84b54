"""The preset `own` of semi-supervised learning, from a project to a result, and what it refuses."""
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from own_projects import synthetic_project

from kpjax.errors import InputError
from kpjax.images.video import write_video
from kpjax.lab.commands.train import main as train
from kpjax.lab.formats.options import Options
from kpjax.lab.own import project as own_project
from kpjax.lab.own.choices import facts_of, image_choices, rotation_choice
from kpjax.lab.own.declaration import first_lines
from kpjax.lab.own.project import _read as read_from_disk, hold_out
from kpjax.lab.own.semi_supervised import SYSTEM, open_data
from kpjax.lab.predictors import open_run
from kpjax.systems.command_line import read_command, run
from kpjax.systems.parsing import exit_code_of

TINY = ("--size", "32", "--widths", "4", "4", "4", "--head-layers", "1", "--batch-size", "16", "--feature-width", "8",
        "--evaluations", "1", "--steps", "2", "--warm-start-steps", "1")


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    made = synthetic_project(tmp_path_factory.mktemp("my project"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(own_project, "_read", lambda *arguments: made)
        yield made


def test_the_first_lines_say_what_is_trained_how_often_and_what_is_doubtful(project, tmp_path, capsys):
    command = read_command(SYSTEM, ["own", "--project", "P", "--workdir", str(tmp_path), *TINY, "--batch-size", "1000",
                                    "--seeds", "2"])
    assert "--batch-size 1000 is more than the 8 labelled animals: a step sees each about 125 times" in " ".join(
        capsys.readouterr().out.split())
    assert first_lines(command) == ["to train: 4 networks, one after the other: supervised_warped, pl_warped, 2 seeds "
                                    "each; up to 3 steps each"]
    shutil.copy(project.frames[0].path, tmp_path / "0.png")
    (tmp_path / "labels.csv").write_text("image,nose_x,nose_y,tail_x,tail_y\n0.png,4,5,0,0\n")
    read_from_disk(str(tmp_path / "labels.csv"), Options())
    assert "1 points are labelled at exactly (0, 0)" in capsys.readouterr().out


def test_what_is_held_out(project):
    held = hold_out(project)
    assert len(held.recordings) == 1
    assert {project.frames[project.instances[n].frame].session for n in held.train} == {"one", "two", "three"} - set(
        held.recordings)
    assert hold_out(project, "two, one").recordings == ("two", "one")
    together = project._replace(frames=tuple(frame._replace(session="day") for frame in project.frames))
    blocks = hold_out(together, "0.25")
    assert blocks.held_out == (9, 10, 11)  # the last three in time, whatever the order in the file
    assert blocks.after == {"day": 13}
    assert blocks.words == "3 of 12 labelled frames, the last part of the only recording"
    alone = project._replace(frames=tuple(frame._replace(session="") for frame in project.frames))
    assert hold_out(alone, "0.25").words == "3 of 12 labelled frames, the last by name; recordings are not known"
    with pytest.raises(InputError, match=r"'four' is not a labelled recording; the project names none; give a share"):
        hold_out(alone, "four")
    said = tuple(frame._replace(split="test" if n < 2 else "train") for n, frame in enumerate(project.frames))
    assert hold_out(project._replace(frames=said)).held_out == (0, 1)
    for asked, line in [("four", "'four' is not a labelled recording; there are one; three; two"),
                        ("1.5", "lies between 0 and 1"), ("one,two,three", "12 of 12 labelled frames")]:
        with pytest.raises(InputError, match=line):
            hold_out(project, asked)


def test_frames_of_a_held_out_part_are_left_out(project, tmp_path):
    write_video(tmp_path / "day.mp4", iter([np.full((32, 32, 3), n, np.uint8) for n in range(20)]), rate=10.0)
    together = project._replace(frames=tuple(frame._replace(session="day.mp4") for frame in project.frames))
    held = hold_out(together, "0.25")  # from frame 13 on
    found = own_project.unlabelled_frames(together, held, [str(tmp_path)])
    assert [frame.number for frame in found.taken(1, project.root)] == list(range(13))
    assert [frame.number for frame in found.taken(5, project.root)] == [0, 5, 10]
    # A project may call its videos otherwise than their files are.
    named = project._replace(frames=tuple(frame._replace(session=f"day {n % 3}") if n % 3 else frame._replace(
        session="day 0", path=tmp_path / "day.mp4", number=n) for n, frame in enumerate(project.frames)))
    found = own_project.unlabelled_frames(named, hold_out(named, "day 0"), [str(tmp_path)])
    assert not found.taken(1, project.root)
    # By default frames without labels, and none of a recording that is held out.
    held = hold_out(project)
    found = own_project.unlabelled_frames(project, held, ())
    assert {frame.session for frame in found.taken(1, project.root)} == {"one", "two", "three"} - set(held.recordings)


def test_rules(project):
    facts = facts_of(project)
    assert (facts.several, facts.longer_side) == (False, 32)
    assert rotation_choice(facts._replace(direction=0.1, axis=0.2)).value == 180
    assert rotation_choice(facts._replace(direction=0.1, axis=0.9)).value == 30  # seen from its side, left or right
    for direction in (0.1, 0.9):  # in words, without the statistic behind them
        assert re.fullmatch(r"the labelled animals lie (much the same way|in all directions), degrees either way",
                            rotation_choice(facts._replace(direction=direction, axis=0.2)).reason)
    large = facts._replace(longer_side=640.0, diagonal=90.0)
    for diagonal, size in [(170.0, 128), (110.0, 192), (60.0, 256), (20.0, 256)]:
        assert image_choices(large._replace(diagonal=diagonal), None)[1].value == size
    assert image_choices(large, 256)[2].value == 64
    crowd = image_choices(large._replace(several=True, box_side=80.0), None)
    assert [choice.value for choice in crowd[:2]] == ["around_box", 128]
    assert all(choice.reason for choice in crowd)


def test_a_held_out_image_among_the_unlabelled_is_refused(project, tmp_path, capsys):
    held = hold_out(project)
    test = project.frames[project.instances[held.held_out[0]].frame].path
    (tmp_path / "more").mkdir()
    shutil.copy(test, tmp_path / "more" / "renamed.png")
    shutil.copy(project.frames[-1].path, tmp_path / "more" / "other.png")
    code = exit_code_of(lambda: run(SYSTEM, [
        "own", "--project", "P", "--unlabelled", str(tmp_path / "more"), "--workdir", str(tmp_path), *TINY]))
    error = capsys.readouterr().err.splitlines()
    assert (code, len(error)) == (2, 1), error
    assert "renamed.png is" in error[0]
    assert test.name in error[0]


def test_copies_of_held_out_images_that_nobody_named_are_left_out(project, monkeypatch, tmp_path, capsys):
    """As in a video of an animal that keeps still."""
    held = hold_out(project)
    test = project.frames[project.instances[held.held_out[0]].frame].path
    other = next(frame for n, frame in enumerate(project.frames) if n % 6 == 4 and frame.session not in held.recordings)
    shutil.copy(test, tmp_path / "copy.png")
    copied = project._replace(frames=tuple(frame._replace(path=tmp_path / "copy.png") if frame is other else frame
                                           for frame in project.frames))
    monkeypatch.setattr(own_project, "_read", lambda *arguments: copied)
    found = open_data(read_command(SYSTEM, ["own", "--project", "still", *TINY]).jobs()[0])
    assert len(found.unlabelled) == 3
    assert "left out: 1 frame without labels, exactly like a held-out one" in capsys.readouterr().out


@pytest.fixture
def fully_labelled(project, monkeypatch):
    made = project._replace(frames=tuple(frame for n, frame in enumerate(project.frames) if n % 6 < 4), instances=tuple(
        one._replace(frame=n) for n, one in enumerate(project.instances)))
    monkeypatch.setattr(own_project, "_read", lambda *arguments: made)
    return made


@pytest.mark.slow
def test_a_fully_labelled_project_trains_on_the_labels_alone(fully_labelled, tmp_path, capsys):
    """Without a system, with the one of the labels, and with the one that needs images without: all are one run."""
    for typed in ((), ("supervised",), ("semi_supervised",)):
        path = train([*typed, "--project", "full", "--workdir", str(tmp_path), *TINY])
        said = capsys.readouterr().out
        assert "without labels: 0\nlabelled animals that train: 8; those held out give the errors" in said
        trained = "8 of 8 training images labelled, 0 not" in said
        assert (trained, "finished before" in said) == (not typed, bool(typed))
        run_folder = path.parent / "supervised_warped" / "seed-0"
        assert said.splitlines()[-2:] == [f"run: {run_folder}",
                                          f"next: kpjax predict {run_folder} VIDEO --out points --overlay"]
        assert [folder.name for folder in path.parent.iterdir() if folder.is_dir() and folder.name != "stages"] == [
            "supervised_warped"]
    assert open_run(Path(run_folder)).transform.side == 32


@pytest.mark.slow
def test_a_project_that_has_grown_says_how_to_go_on_from_the_last_run(fully_labelled, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(own_project, "_read", lambda *arguments: fully_labelled._replace(
        instances=fully_labelled.instances[:8]))
    workdir = tmp_path / "my runs"
    command = ["--project", "grown", "--unlabelled-pool", "none", "--workdir", str(workdir), *TINY]
    last = train(command).parent / "supervised_warped" / "seed-0"
    capsys.readouterr()
    monkeypatch.setattr(own_project, "_read", lambda *arguments: fully_labelled)
    assert exit_code_of(lambda: train(command)) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"--start '{last}' --workdir '{workdir}-2' goes on from the last run, --fresh starts over" in line
    # What it advises runs; what was typed otherwise is named before what was chosen from the data.
    read_command(SYSTEM, ["own", *command[:4], "--start", str(last), "--workdir", f"{workdir}-2"])
    assert "the run at --start had held out 2 of 8 labelled frames" in capsys.readouterr().out
    # Without the folder, a run of its own is refused where the last one lies; so is one on another project.
    for typed, words in (([*command[:-len(TINY)], "--start", str(last)], "is of another configuration: config."),
                         (["--project", "my mice", *command[2:]], "config.data.project is grown there and my mice")):
        assert exit_code_of(lambda typed=typed: train(typed)) == 2
        assert words in capsys.readouterr().err


def test_all_videos_of_the_folder_are_used_but_for_what_is_held_out(project, tmp_path, capsys):
    held = hold_out(project)
    (tmp_path / "videos").mkdir()
    for name in ("test_vid", held.recordings[0], "other_labeled"):
        write_video(tmp_path / "videos" / f"{name}.mp4", iter([np.full((32, 32, 3), n, np.uint8) for n in range(4)]),
                    rate=10.0)
    (tmp_path / "videos" / "torn.mp4").write_bytes(b"no video")
    found = own_project.unlabelled_frames(project._replace(root=tmp_path), held, ())
    assert [frame.number for frame in found.taken(1, tmp_path) if frame.number is not None] == [0, 1, 2, 3]
    assert "left out: " in (said := capsys.readouterr().out)
    assert "torn.mp4" in said


def test_several_animals_are_cropped_by_their_boxes(project, monkeypatch, capsys):
    beside = [one._replace(keypoints=one.keypoints + 2, box=np.array([4, 4, 20, 16.0])) for one in project.instances]
    single = beside[0]._replace(visible=np.array([1, 0, 0, 0], np.float32), box=np.full(4, np.nan))
    crowd = project._replace(instances=(*project.instances, *beside, single))
    monkeypatch.setattr(own_project, "_read", lambda *arguments: crowd)
    assert read_command(SYSTEM, ["own", "--project", "crowd"]).variants == ["supervised_warped"]
    # What training reads, and what prediction will do, before anything else is chosen.
    first = [line for line in capsys.readouterr().out.splitlines() if not line.startswith("  --")]
    assert first[0] == ("up to 3 animals on a labelled frame: each is cropped, and a small network learns to find them "
                        "on new frames")
    assert first[1].startswith("11 of 12 labelled frames have fewer than 3: an animal without labels there is taught")
    job = read_command(SYSTEM, ["own", "--project", "crowd", "--labelled", "6", *TINY]).jobs()[0]
    assert job.config.data.transform == "around_box"
    found = open_data(job)
    assert len(found.labelled) == 6
    assert len(found.unlabelled) + len(found.validation) == 18
    assert "left out 1 of" in capsys.readouterr().out
    assert job.config.data.square()(np.zeros((20, 40, 3), np.uint8), np.zeros((4, 2)), np.zeros(4), np.float32(1),
                                       np.array([0, 0, 8, 16]))[0].shape == (32, 32, 3)
