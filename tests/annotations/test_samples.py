"""The sample project of every format: what is in it, the way there and back, and how it was made."""
import runpy
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kpjax.annotations.checking import compare
from kpjax.annotations.reading import read_project
from kpjax.annotations.writing import placed_in, write_project

SAMPLES = Path(__file__).parents[1] / "samples"
STAR = ((0, 1), (0, 2), (0, 3), (0, 4))
# path: format, edges, points of each instance, sizes of frames, names of frames
CONTENT = {
    "coco": ("coco", STAR, [5, 4], (64, 64), ["images/first.png", "images/second.png"]),
    "csv": ("csv", STAR, [5, 3], (64, 64), ["images/first.png", "images/second.png"]),
    "deeplabcut": ("deeplabcut", STAR, [5, 3], (64, 64),
                   ["labeled-data/walk/img0003.png", "labeled-data/walk/img0017.png"]),
    "deeplabcut_several": ("deeplabcut", STAR, [5, 3, 3], (128, 64),
                           ["labeled-data/walk/img0003.png", "labeled-data/walk/img0017.png"]),
    "lightning_pose": ("lightning_pose", (), [5, 3], (64, 64),
                       ["labeled-data/walk/img00000003.png", "labeled-data/walk/img00000017.png"]),
    "sleap/labels.slp": ("sleap", STAR, [5, 3], (64, 64), ["walk.mp4/1", "walk.mp4/4"]),
    "sleap/labels.pkg.slp": ("sleap", STAR, [5, 3], (64, 64), ["video0/000000.png", "video0/000001.png"]),
}
ROUND_TRIPS = ["coco", "csv", "deeplabcut", "lightning_pose", "sleap/labels.slp"]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """The images of a package are copied below the test's own folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def sample(name):
    """The path of a sample; the test is skipped without the extra that reads it."""
    if name.startswith("sleap"):
        pytest.importorskip("sleap_io", reason="sleap-io reads .slp files; install the extra kpjax[sleap]")
    return SAMPLES / name


def assert_same_labels(project, other):
    """Two projects in different folders have the same skeleton, frames and keypoints."""
    assert project.skeleton == other.skeleton
    assert [frame.name for frame in project.frames] == [frame.name for frame in other.frames]
    assert [(one.frame, one.track) for one in project.instances] == [(one.frame, one.track) for one in other.instances]
    np.testing.assert_array_equal([one.keypoints for one in project.instances],
                                  [one.keypoints for one in other.instances])


@pytest.mark.parametrize("name", CONTENT)
def test_a_sample_holds_two_labelled_people(name):
    project = read_project(sample(name))
    format, edges, points, size, frames = CONTENT[name]
    assert project.format == format
    assert project.skeleton.names == ("head", "left_hand", "right_hand", "left_foot", "right_foot")
    assert (project.skeleton.edges, project.skeleton.flip) == (edges, (0, 2, 1, 4, 3))
    assert [(frame.name, frame.size) for frame in project.frames] == [(name, size) for name in frames]
    assert [int(one.visible.sum()) for one in project.instances] == points
    np.testing.assert_array_equal(project.instances[0].keypoints,
                                  [[34.6, 23.8], [47.4, 29.4], [19.2, 29.0], [33.6, 60.0], [23.0, 56.2]])
    np.testing.assert_array_equal(project.instances[-1].keypoints[:3], [[11.8, 22], [np.nan, np.nan], [5.6, 15.5]])


def test_what_only_some_formats_hold():
    coco, csv, lightning = (read_project(SAMPLES / name) for name in ("coco", "csv", "lightning_pose"))
    for project in (coco, csv, lightning):
        np.testing.assert_array_equal([one.box for one in project.instances], [[16, 20, 35, 43], [2, 12, 28, 51]])
    assert [one.occluded.tolist() for one in coco.instances] == [[False] * 5, [False, False, False, True, False]]
    several = read_project(SAMPLES / "deeplabcut_several")
    assert [(one.frame, one.track) for one in several.instances] == [(0, "anna"), (0, "bert"), (1, "bert")]
    np.testing.assert_array_equal(several.instances[1].keypoints[0], [75.8, 22])
    assert {frame.session for frame in several.frames} == {"walk"}


def test_both_tables_of_deeplabcut_say_the_same(tmp_path):
    for module in ("pandas", "tables"):
        pytest.importorskip(module, reason=f"{module} reads .h5 tables; install the extra kpjax[dlc]")
    shutil.copytree(SAMPLES / "deeplabcut", tmp_path / "walk")
    next((tmp_path / "walk").rglob("*.csv")).unlink()
    assert_same_labels(read_project(SAMPLES / "deeplabcut"), read_project(tmp_path / "walk"))


def test_a_package_of_sleap_holds_the_images_of_the_others():
    project = read_project(sample("sleap/labels.pkg.slp"))
    for frame, name in zip(project.frames, ("first.png", "second.png"), strict=True):
        with Image.open(frame.path) as packed, Image.open(SAMPLES / "coco" / "images" / name) as image:
            np.testing.assert_array_equal(np.asarray(packed.convert("RGB")), np.asarray(image))


@pytest.mark.parametrize("name", ROUND_TRIPS)
def test_a_sample_comes_back_from_its_own_format(name, tmp_path):
    project = read_project(sample(name))
    write_project(project, project.format, tmp_path / "out")
    points = sum(CONTENT[name][2])
    assert compare(placed_in(project, project.format, tmp_path / "out")[0],
                   read_project(tmp_path / "out")) == (points, (), ())


def test_the_samples_are_what_the_script_makes(tmp_path):
    for module in ("pandas", "tables", "sleap_io"):
        pytest.importorskip(module)
    runpy.run_path(str(SAMPLES / "make.py"))["main"](tmp_path / "samples")
    made = sorted(path.relative_to(tmp_path / "samples") for path in (tmp_path / "samples").rglob("*.*"))
    kept = sorted(path.relative_to(SAMPLES) for path in SAMPLES.rglob("*.*"))
    assert [path for path in kept if path.parts[1:] and path.suffix != ".pyc"] == made
    for path in made:
        if path.suffix == ".png":
            with Image.open(SAMPLES / path) as image, Image.open(tmp_path / "samples" / path) as again:
                np.testing.assert_array_equal(np.asarray(image), np.asarray(again))
        elif path.suffix in (".csv", ".json", ".yaml"):
            assert (SAMPLES / path).read_bytes() == (tmp_path / "samples" / path).read_bytes()
    for name in ("sleap/labels.slp", "sleap/labels.pkg.slp"):
        assert_same_labels(read_project(SAMPLES / name), read_project(tmp_path / "samples" / name))
