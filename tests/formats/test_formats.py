"""The contract of every format: its sample is read, comes back from its writer unchanged, and
damage to it is named.

A new format adds its sample to `SAMPLES`, and what can be wrong with it to `DAMAGES`.
"""

import importlib.util
import shutil
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from damaging import ALL, DAMAGES
from PIL import Image

from kpjax.formats.project import Frame, Project, instance_of
from kpjax.formats.reading import FORMATS, read_project
from kpjax.formats.writing import WRITERS, write_project
from kpjax.images.reading import read_image
from kpjax.lab.commands import FormatName, run_command
from kpjax.papers.parsing import exit_code_of
from kpjax.structures import Skeleton

HERE = Path(__file__).parents[1] / "samples"
STAR = ((0, 1), (0, 2), (0, 3), (0, 4))
WALK = "labeled-data/walk/img"
# path: format, edges, points of each instance, names of frames
SAMPLES = {
    "coco": ("coco", STAR, [5, 4], ["images/first.png", "images/second.png"]),
    "csv": ("csv", STAR, [5, 3], ["images/first.png", "images/second.png"]),
    "deeplabcut": ("deeplabcut", STAR, [5, 3], [f"{WALK}0003.png", f"{WALK}0017.png"]),
    "deeplabcut_several": ("deeplabcut", STAR, [5, 3, 3], [f"{WALK}0003.png", f"{WALK}0017.png"]),
    "lightning_pose": (
        "lightning_pose",
        (),
        [5, 3],
        [f"{WALK}00000003.png", f"{WALK}00000017.png"],
    ),
    "sleap/labels.slp": ("sleap", STAR, [5, 3], ["walk.mp4/1", "walk.mp4/4"]),
    "sleap/labels.pkg.slp": ("sleap", STAR, [5, 3], ["video0/000000.png", "video0/000001.png"]),
}
NEEDS = {"sleap": ("sleap_io",), "deeplabcut": ("pandas", "tables", "h5py")}
SKELETON = Skeleton(("nose", "left_ear", "right_ear"), edges=((0, 1), (0, 2)), flip=(0, 2, 1))


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """The images of a package are copied below the test's own folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def needed(kind):
    """Skips the test without the extra that reads a kind of projects."""
    for module in NEEDS.get(kind.split("/")[0], ()):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{kind} needs {module}")


# Reading and writing


@pytest.mark.parametrize("name", SAMPLES)
def test_a_sample_holds_two_labelled_people(name):
    needed(name)
    project = read_project(HERE / name)
    format, edges, points, frames = SAMPLES[name]
    assert project.format == format
    assert project.skeleton.names == ("head", "left_hand", "right_hand", "left_foot", "right_foot")
    assert (project.skeleton.edges, project.skeleton.flip) == (edges, (0, 2, 1, 4, 3))
    width = 128 if name == "deeplabcut_several" else 64
    assert [(frame.name, frame.size) for frame in project.frames] == [
        (one, (width, 64)) for one in frames
    ]
    assert [int(one.visible.sum()) for one in project.instances] == points
    np.testing.assert_array_equal(
        project.instances[0].keypoints,
        [[34.6, 23.8], [47.4, 29.4], [19.2, 29.0], [33.6, 60.0], [23.0, 56.2]],
    )
    np.testing.assert_array_equal(
        project.instances[-1].keypoints[:3], [[11.8, 22], [np.nan, np.nan], [5.6, 15.5]]
    )
    if name in ("coco", "csv", "lightning_pose"):
        np.testing.assert_array_equal(
            [one.box for one in project.instances], [[16, 20, 35, 43], [2, 12, 28, 51]]
        )
    if name == "coco":
        assert [one.occluded.tolist() for one in project.instances] == [
            [False] * 5,
            [False] * 3 + [True, False],
        ]
    if name == "deeplabcut_several":
        assert [(one.frame, one.track) for one in project.instances] == [
            (0, "anna"),
            (0, "bert"),
            (1, "bert"),
        ]
    if name == "sleap/labels.pkg.slp":  # it holds the images of the others
        for frame, one in zip(project.frames, ("first.png", "second.png"), strict=True):
            np.testing.assert_array_equal(
                read_image(frame.path), read_image(HERE / "coco" / "images" / one)
            )


# Written and read


@pytest.mark.parametrize("format", WRITERS)
def test_a_project_of_images_comes_back_from_every_writer(tmp_path, format):
    needed(format)
    root, frames = tmp_path / "source", []
    for number, name in enumerate(("day 1/a.png", "day 2/a.png", "day 2/b.png")):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40 + number, 30), (number, 0, 0)).save(root / name)
        frames.append(Frame(name, root / name, None, (40 + number, 30), name.split("/")[0]))
    nan = [np.nan, np.nan]
    points = np.array([[[1 / 3, 2], [3, 4.5], nan], [[1, 2], nan, [31.5, -0.5]]])
    animals = tuple(instance_of(n, one) for n, one in enumerate(points))
    project = Project(root, "csv", SKELETON, tuple(frames), animals)
    written = write_project(project, format, tmp_path / "out")
    assert all(path.is_file() for path in written)
    found = read_project(tmp_path / "out")
    assert found.format == format
    assert (set(found.skeleton.edges), found.skeleton.flip) == (set(SKELETON.edges), SKELETON.flip)
    assert {frame.name.split("/", 1 + WRITERS[format].by_video)[-1] for frame in found.frames} == (
        {frame.name.split("/", 1)[-1] for frame in frames}
    )
    assert [frame.size for frame in found.frames] == [(40, 30), (41, 30), (42, 30)]
    np.testing.assert_array_equal([one.keypoints for one in found.instances], points)


def test_proposals_of_each_format_have_its_name_on_the_command_line():
    assert {*get_args(FormatName)} == {one.short for one in FORMATS if one.short}


# Damage


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A whole project of each kind, made when it is first asked for, below a folder with a space in
    its name.
    """
    made = {}

    def project(kind):
        if kind not in made:
            needed(kind)
            made[kind] = tmp_path_factory.mktemp("whole") / "my project"
            ALL[kind](made[kind])
            found = read_project(made[kind])
            assert len({one.frame for one in found.instances}) in (1, 3, 6)
        return made[kind]

    return project


@pytest.mark.parametrize(
    ("kind", "harm", "words"), DAMAGES, ids=[f"{kind}: {words}" for kind, _, words in DAMAGES]
)
def test_damage_is_refused_in_a_line(whole, tmp_path, capsys, kind, harm, words):
    root = tmp_path / "my project"
    shutil.copytree(whole(kind), root)
    path = harm(root) or root
    assert exit_code_of(lambda: run_command("check", [str(path), "--sheet", "0"])) == 2
    told = capsys.readouterr()
    (line,) = told.err.splitlines()
    assert line.startswith("error: ")
    assert len(line) < 4000
    assert str(tmp_path) in line
    assert words in told.out + line
