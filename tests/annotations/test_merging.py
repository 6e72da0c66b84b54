"""Labels that come back: in the old project's format, with its scorer, and nothing of it lost."""
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from experiments.commands import run_command
from kpjax.annotations import merging
from kpjax.annotations.merging import BACKUP, merged, write_merged
from kpjax.annotations.project import Frame, Instance, Project
from kpjax.annotations.project_source import read_frame
from kpjax.annotations.reading import read_project
from kpjax.annotations.writing import scorer_of, write_project
from kpjax.errors import InputError, RunError
from kpjax.structures import Skeleton

SAMPLES = Path(__file__).parents[1] / "samples"
KINDS = ("coco", "csv", "deeplabcut", "deeplabcut_several", "lightning_pose", "sleap")


@pytest.fixture(params=KINDS)
def old(request, tmp_path):
    """A copy of a sample project, as read."""
    if request.param == "sleap":
        pytest.importorskip("sleap_io", reason="sleap-io reads .slp files; install the extra kpjax[sleap]")
    shutil.copytree(SAMPLES / request.param, tmp_path / "old", ignore=shutil.ignore_patterns("*.pkg.slp"))
    return read_project(tmp_path / "old")


def labelled(old, root, *, rows=(), shift=0.5, count=2):
    """A csv project of new images, and of copies of some frames of the old one with their labels moved."""
    frames, instances = [], []
    for number in range(count):
        path = root / "images" / "new one" / f"img{number:04d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.random.default_rng(number).integers(0, 255, (40, 50, 3), np.uint8)).save(path)
        frames.append(Frame(path.relative_to(root).as_posix(), path, None, (50, 40), "new one"))
        keypoints = np.random.default_rng(number).uniform(1, 30, (len(old.skeleton.names), 2)).round(2)
        instances.append(Instance(number, keypoints, np.ones(len(keypoints), np.float32),
                                  np.zeros(len(keypoints), bool), np.full(4, np.nan)))
    for row in rows:
        frame, number = old.frames[row], len(frames)
        name = f"img{frame.number:04d}.png" if frame.number is not None else f"{frame.path.stem}.png"
        folder = frame.path.stem if frame.number is not None else frame.path.parent.name
        path = root / "images" / folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(read_frame(frame)).save(path)
        frames.append(Frame(path.relative_to(root).as_posix(), path, None, frame.size, folder))
        instances += [one._replace(frame=number, keypoints=one.keypoints + shift) for one in old.instances
                      if one.frame == row]
    project = Project(root, "csv", old.skeleton, tuple(frames), tuple(instances))
    write_project(project, "csv", root / "written")
    return read_project(root / "written")


def test_new_labels_come_into_the_format_of_the_old(old, tmp_path):
    new = labelled(old, tmp_path / "new")
    before = {path: path.read_bytes() for path in (tmp_path / "old").rglob("*") if path.is_file()}
    found = merged(old, new)
    assert (len(found.added), len(found.copies), found.same) == (2, 2, 0)
    changed = write_merged(old, found, tmp_path / "old")
    again = read_project(tmp_path / "old")
    assert (again.format, again.skeleton.names) == (old.format, old.skeleton.names)
    assert len(again.instances) == len(old.instances) + 2
    assert scorer_of(again) == scorer_of(old)
    fresh = [one for one in again.instances if again.frames[one.frame].path.parent.name == "new one"]
    for one, other in zip(fresh, new.instances, strict=True):
        np.testing.assert_array_equal(one.keypoints, other.keypoints)
    for path, content in before.items():  # nothing of the old project is lost
        kept = path if path.exists() and path.read_bytes() == content else path.with_name(path.name + BACKUP)
        assert kept.read_bytes() == content
    assert set(changed) - set(before) <= {path for path in changed if "new one" in path.parts}
    assert merged(again, new).added == ()
    assert merged(again, new).same == 2


def test_frames_that_both_label(old, tmp_path):
    row = old.instances[0].frame
    new = labelled(old, tmp_path / "new", rows=[row], count=0)
    name = old.frames[row].name
    with pytest.raises(InputError, match=rf"conflicts: 1 frames have other labels .*{name}.*choose old or new"):
        merged(old, new)
    kept = merged(old, new, conflicts="old")
    assert (kept.kept, kept.added, kept.replaced) == ((name,), (), ())
    assert len(kept.project.instances) == len(old.instances)
    taken = merged(old, new, conflicts="new")
    assert (taken.replaced, taken.copies) == ((name,), ())
    write_merged(old, taken, tmp_path / "old")
    again = read_project(tmp_path / "old")
    assert len(again.instances) == len(old.instances)
    assert len(again.frames) == len(old.frames)
    moved = next(one for one in again.instances if again.frames[one.frame].name == name)
    before = next(one for one in old.instances if one.frame == row)
    np.testing.assert_allclose(moved.keypoints, before.keypoints + 0.5)
    same = labelled(old, tmp_path / "same", rows=[row], count=0, shift=0.0)
    assert merged(old, same).same == 1


def test_what_does_not_read_back_changes_nothing(old, tmp_path, monkeypatch):
    new = labelled(old, tmp_path / "new")
    before = {path: path.read_bytes() for path in (tmp_path / "old").rglob("*") if path.is_file()}
    monkeypatch.setattr(merging, "read_project", lambda path: old)
    with pytest.raises(RunError, match="nothing was changed"):
        write_merged(old, merged(old, new), tmp_path / "old")
    assert {path: path.read_bytes() for path in (tmp_path / "old").rglob("*") if path.is_file()} == before


def test_two_images_of_one_name_are_one_only_if_they_look_alike(tmp_path):
    shutil.copytree(SAMPLES / "csv", tmp_path / "old")
    old = read_project(tmp_path / "old")
    row = next(one.frame for one in old.instances if old.frames[one.frame].number is None)
    new = labelled(old, tmp_path / "new", rows=[row], count=0)
    image = new.frames[0].path
    Image.fromarray(255 - np.asarray(Image.open(image))).save(image)
    found = merged(old, new)
    assert len(found.added) == 1
    write_merged(old, found, tmp_path / "old")
    assert len(read_project(tmp_path / "old").frames) == len(old.frames) + 1


def test_the_command(tmp_path, capsys):
    shutil.copytree(SAMPLES / "deeplabcut", tmp_path / "old")
    old = read_project(tmp_path / "old")
    labelled(old, tmp_path / "new")
    command = [str(tmp_path / "old"), str(tmp_path / "new" / "written")]
    run_command("merge", command)
    printed = capsys.readouterr().out
    assert f"2 new frames, by {scorer_of(old)}; 2 copied images" in printed
    assert f"next: kpjax train --project {tmp_path / 'old'} --start RUN --workdir NEW_FOLDER goes on" in printed
    run_command("merge", command)
    assert "nothing is new; no file was changed" in capsys.readouterr().out
    assert list((tmp_path / "old").rglob(f"*CollectedData_{scorer_of(old)}.csv"))
    other = read_project(tmp_path / "new" / "written")
    with pytest.raises(InputError, match="keypoint 'wing' is unknown"):
        merged(old, other._replace(skeleton=Skeleton(("wing", *other.skeleton.names[1:]))))


@pytest.mark.parametrize("through", ["csv", "coco", "lp", "slp"])
def test_converting_back_keeps_the_scorer(tmp_path, through):
    if through == "slp":
        pytest.importorskip("sleap_io", reason="sleap-io writes .slp files; install the extra kpjax[sleap]")
    scorer = scorer_of(read_project(SAMPLES / "deeplabcut"))
    assert scorer not in ("", "converted")
    run_command("convert", [str(SAMPLES / "deeplabcut"), "--to", through, "--out", str(tmp_path / "there")])
    run_command("convert", [str(tmp_path / "there"), "--to", "dlc", "--out", str(tmp_path / "back")])
    assert scorer_of(read_project(tmp_path / "back")) == scorer
    assert list((tmp_path / "back").rglob(f"CollectedData_{scorer}.csv"))
