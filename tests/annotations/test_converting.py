"""Between all formats: what every one holds comes back, what one does not hold is named, nothing is overwritten."""
import numpy as np
import pytest
from PIL import Image

from experiments.commands import Convert, run_command
from experiments.commands.convert import FORMATS, convert
from experiments.engine.parsing import exit_code_of
from kpjax.annotations.checking import compare
from kpjax.annotations.project import Frame, Instance, Project
from kpjax.annotations.reading import read_project
from kpjax.annotations.writing import WRITERS, placed_in, write_project
from kpjax.errors import InputError
from kpjax.images.video import open_video, write_video
from kpjax.structures import Skeleton

SKELETON = Skeleton(("nose", "left_ear", "right_ear"), edges=((0, 1), (0, 2)), flip=(0, 2, 1))
NO_BOX = np.full(4, np.nan)


def instance(frame, keypoints, occluded=(), box=NO_BOX, track=""):
    keypoints = np.array(keypoints, np.float64)
    visible = ~np.isnan(keypoints[:, 0])
    return Instance(frame, keypoints, visible.astype(np.float32), np.isin(range(3), occluded), np.array(box, float),
                    track)


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """A video of five frames, each of a grey of its own, in a folder of its own."""
    return write_video(tmp_path_factory.mktemp("films") / "walk 1.mp4",
                       [np.full((24, 32, 3), 40 * n, np.uint8) for n in range(5)])


@pytest.fixture
def alone(tmp_path, videos):
    """One animal on two images and a frame of a video, and an image without a label."""
    root = tmp_path / "source"
    frames = []
    for number, name in enumerate(("day 1/a.png", "day 2/a.png", "day 2/b.png")):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40 + number, 30), (number, 0, 0)).save(root / name)
        frames.append(Frame(name, root / name, None, (0, 0), name.split("/")[0]))
    frames.insert(1, Frame("walk 1.mp4/3", videos, 3, (0, 0), "walk 1.mp4"))
    nan = [np.nan, np.nan]
    return Project(root, "csv", SKELETON, tuple(frames), (
        instance(0, [[1 / 3, 2], [3, 4.5], nan]), instance(1, [nan, [3.25, 4], [31.5, -0.5]]),
        instance(2, [[1, 2], nan, nan])))


@pytest.fixture
def crowded(alone):
    """Two named animals on an image, with boxes, and a hidden point."""
    return alone._replace(instances=(
        *alone.instances[:2], instance(2, [[1, 2], [3, 4], [5, 6]], [1], [0, 1, 9, 8.5], "ann"),
        instance(2, [[7, 8], [9, 10], [11, 12]], (), [6, 7, 8, 9], "bob")))


@pytest.mark.parametrize("format", WRITERS)
def test_one_animal_comes_back_from_every_format(alone, tmp_path, videos, format):
    if format == "sleap":
        pytest.importorskip("sleap_io", reason="sleap-io writes .slp files; install the extra kpjax[sleap]")
    out = tmp_path / "out"
    labels = write_project(alone, format, out)
    assert all(path.is_file() for path in labels)
    expected, copies = placed_in(alone, format, out)
    found = read_project(out)
    assert found.format == format
    assert {frame.size for frame in found.frames} == {(40, 30), (41, 30), (42, 30), (32, 24)}
    comparison = compare(expected, found)
    assert comparison == (5, (), ())
    kept = "walk 1.mp4/3" if format in ("csv", "sleap") else "img0003.png"
    assert len(copies) == (3 if format in ("csv", "sleap") else 4)
    assert any(frame.name.endswith(kept) for frame in found.frames)
    if format not in ("csv", "sleap"):
        with Image.open(next(out.rglob("img0003.png"))) as taken:
            np.testing.assert_array_equal(np.asarray(taken), open_video(videos)[3])
    again, _ = placed_in(found, "coco", tmp_path / "again")  # and on from there
    write_project(found, "coco", tmp_path / "again")
    assert compare(again, read_project(tmp_path / "again")) == (5, (), ())


@pytest.mark.parametrize(("format", "lost"), [
    ("coco", ()), ("csv", ()),
    ("deeplabcut", ("which points are occluded (1 points)", "the boxes of 2 instances")),
    ("sleap", ("which points are occluded (1 points)", "the boxes of 2 instances")),
])
def test_what_a_format_does_not_hold_is_named(crowded, tmp_path, format, lost):
    if format == "sleap":
        pytest.importorskip("sleap_io", reason="sleap-io writes .slp files; install the extra kpjax[sleap]")
    write_project(crowded, format, tmp_path / "out")
    found = compare(placed_in(crowded, format, tmp_path / "out")[0], read_project(tmp_path / "out"))
    assert (found.points, found.wrong, found.lost) == (10, (), lost)


def test_what_moved_or_is_missing_is_never_called_equal(crowded):
    moved = crowded.instances[0]._replace(keypoints=crowded.instances[0].keypoints + 1e-4)
    after = crowded._replace(instances=(moved, *crowded.instances[2:]))
    assert compare(crowded, after).wrong == (
        "day 1/a.png: an instance is missing, or its points moved",
        "walk 1.mp4/3: an instance is missing, or its points moved", "1 instances are new")


def test_nothing_is_overwritten_that_convert_did_not_write(alone, tmp_path):
    source, out = tmp_path / "plain", tmp_path / "out"
    write_project(alone, "csv", source)
    said = []
    convert(Convert(project=source, to="lp", out=out), tell=said.append)
    assert said[-1] == "read back: 4 frames, 3 instances and 5 points are equal"
    before = (out / "CollectedData.csv").read_bytes()
    with pytest.raises(InputError, match="is not empty; give another folder, or overwrite"):
        convert(Convert(project=source, to="lp", out=out), tell=said.append)
    convert(Convert(project=source, to="coco", out=out, overwrite=True), tell=said.append)
    assert not (out / "CollectedData.csv").exists()
    convert(Convert(project=source, to="lp", out=out, overwrite=True), tell=said.append)
    assert (out / "CollectedData.csv").read_bytes() == before
    (out / "CollectedData.csv").write_bytes(before.replace(b"3.25", b"3.5"))
    with pytest.raises(InputError, match=r"CollectedData.csv was changed since convert wrote it"):
        convert(Convert(project=source, to="lp", out=out, overwrite=True), tell=said.append)
    with pytest.raises(InputError, match="is the project itself"):
        convert(Convert(project=source, to="csv", out=source, overwrite=True), tell=said.append)
    (source / "converted.json").unlink()
    with pytest.raises(InputError, match=r"has no converted\.json"):
        convert(Convert(project=out, to="csv", out=source, overwrite=True), tell=said.append)


def test_a_command_that_fails_leaves_nothing(crowded, tmp_path, capsys):
    source, out = tmp_path / "plain", tmp_path / "out"
    write_project(crowded, "csv", source)
    for arguments, said in (
        ([source, "--to", "lp", "--out", out], "several instances are labelled, Lightning Pose holds one"),
        ([source, "--to", "yolo", "--out", out], "invalid choice 'yolo' for argument '--to'"),
        ([source, "--to", "coco"], "kpjax convert: missing --out"),
        ([tmp_path / "no", "--to", "coco", "--out", out], "there is no such file or folder"),
    ):
        assert exit_code_of(lambda arguments=arguments: run_command("convert", [str(one) for one in arguments])) == 2
        errors = capsys.readouterr().err
        assert errors.count("\n") == 1
        assert said in errors
    assert not out.exists()
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []
    assert exit_code_of(lambda: run_command("convert", [str(source), "--to", "dlc", "--out", str(out)])) == 0
    assert "deeplabcut does not hold: which points are occluded (1 points); the boxes" in capsys.readouterr().out


def test_predictions_never_become_labels(tmp_path):
    table = tmp_path / "clipDLC_kpjax_run.csv"
    table.write_text("scorer,D,D,D\nbodyparts,a,a,a\ncoords,x,y,likelihood\n0,1,2,0.9\n1,,,0\n")
    for to in FORMATS:
        with pytest.raises(InputError, match="predictions train nothing"):
            convert(Convert(project=table, to=to, out=tmp_path / "out"), tell=str)


def test_images_of_one_name_stay_apart(alone, tmp_path):
    frames = tuple(frame._replace(session="") for frame in alone.frames if frame.number is None)
    project = alone._replace(frames=frames, instances=alone.instances[:1])
    write_project(project, "deeplabcut", tmp_path / "out")
    names = sorted(path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.png"))
    assert names == [f"labeled-data/images/{name}" for name in ("a-2.png", "a.png", "b.png")]
    assert compare(placed_in(project, "deeplabcut", tmp_path / "out")[0], read_project(tmp_path / "out")).wrong == ()
