"""The contract of every format: its sample is read, comes back from its writer unchanged, and
damage to it is named.

A new format adds its sample to `SAMPLES`, and what can be wrong with it to `DAMAGES`.
"""

import importlib.util
import shutil
from collections import Counter
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from damaging import ALL, DAMAGES
from PIL import Image

from kpjax.formats.project import Frame, Project, instance_of
from kpjax.formats.reading import read_project
from kpjax.formats.writing import WRITERS, placed_in, write_project
from kpjax.images.reading import read_image
from kpjax.images.video import VideoFile, open_video, write_video
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


def assert_same(project, other):
    """Two projects have the same skeleton, frames, splits and animals, in the same order."""
    assert project.skeleton == other.skeleton
    for field in ("name", "number", "size", "split"):
        assert [getattr(one, field) for one in project.frames] == [
            getattr(one, field) for one in other.frames
        ]
    for one, twin in zip(project.instances, other.instances, strict=True):
        for value, again in zip(one, twin, strict=True):
            np.testing.assert_array_equal(value, again)


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


# From one format to another


def instance(frame, keypoints, occluded=(), box=(np.nan,) * 4, track=""):
    return instance_of(
        frame,
        np.array(keypoints, float),
        occluded=np.isin(range(3), occluded),
        box=np.array(box, float),
        track=track,
    )


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    """A video of five frames, each of a grey of its own, in a folder of its own."""
    return write_video(
        tmp_path_factory.mktemp("films") / "walk 1.mp4",
        [np.full((24, 32, 3), 40 * n, np.uint8) for n in range(5)],
    )


@pytest.fixture
def alone(tmp_path, video):
    """One animal on two images and a frame of a video, and an image without a label."""
    root, frames = tmp_path / "source", []
    for number, name in enumerate(("day 1/a.png", "day 2/a.png", "day 2/b.png")):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40 + number, 30), (number, 0, 0)).save(root / name)
        frames.append(Frame(name, root / name, None, (0, 0), name.split("/")[0]))
    frames.insert(1, Frame("walk 1.mp4/3", video, 3, (0, 0), "walk 1.mp4"))
    nan = [np.nan, np.nan]
    return Project(
        root,
        "csv",
        SKELETON,
        tuple(frames),
        (
            instance(0, [[1 / 3, 2], [3, 4.5], nan]),
            instance(1, [nan, [3.25, 4], [31.5, -0.5]]),
            instance(2, [[1, 2], nan, nan]),
        ),
    )


@pytest.fixture
def crowded(alone):
    """Two named animals on an image, with boxes, and a hidden point; every frame has its split."""
    splits = ("train", "test", "test", "train")
    frames = tuple(
        frame._replace(split=split) for frame, split in zip(alone.frames, splits, strict=True)
    )
    return alone._replace(
        frames=frames,
        instances=(
            *alone.instances[:2],
            instance(2, [[1, 2], [3, 4], [5, 6]], [1], [0, 1, 9, 8.5], "ann"),
            instance(2, [[7, 8], [9, 10], [11, 12]], (), [6, 7, 8, 9], "bob"),
        ),
    )


def comes_back(project, format, folder):
    """Writes a project, and what is read of it once more, which changes nothing; returns what is
    read.
    """
    needed(format)
    assert all(path.is_file() for path in write_project(project, format, folder / "one"))
    once = read_project(folder / "one")
    assert once.format == format
    write_project(once, format, folder / "two")
    assert_same(once, read_project(folder / "two"))
    for path in (folder / "one").rglob("*.*"):
        if path.suffix in (".csv", ".json"):
            assert (
                path.read_bytes()
                == (folder / "two" / path.relative_to(folder / "one")).read_bytes()
            )
    assert animals_of(once) == animals_of(placed_in(project, format, folder / "one")[0])
    return once


def animals_of(project):
    """Counts the animals of every frame by their labelled points, (keypoint, x, y) to 1e-6 px."""
    frames = [(frame.path.resolve(), frame.number) for frame in project.frames]
    found = {frame: Counter() for frame in frames}
    for one in project.instances:
        points = zip(
            project.skeleton.names,
            (one.keypoints.round(6) + 0.0).tolist(),
            one.visible,
            strict=True,
        )
        found[frames[one.frame]][
            frozenset((name, *place) for name, place, labelled in points if labelled)
        ] += 1
    return found


@pytest.mark.parametrize("format", WRITERS)
def test_one_animal_comes_back_from_every_format(alone, tmp_path, video, format):
    found = comes_back(alone, format, tmp_path)
    assert len(found.instances) == 3
    assert (set(found.skeleton.edges), found.skeleton.flip) == (set(SKELETON.edges), SKELETON.flip)
    assert {frame.size for frame in found.frames} == {(40, 30), (41, 30), (42, 30), (32, 24)}
    assert len(placed_in(alone, format, tmp_path / "one")[1]) == (
        3 if WRITERS[format].videos else 4
    )
    if not WRITERS[format].videos:
        with Image.open(next((tmp_path / "one").rglob("img0003.png"))) as taken:
            np.testing.assert_array_equal(np.asarray(taken), open_video(video)[3])
    assert len(comes_back(found, "coco", tmp_path / "again").instances) == 3  # and on from there


def test_frames_of_a_video_are_taken_in_one_pass(alone, tmp_path, video, monkeypatch):
    """Each was sought, from the first frame on where times do not tell frames apart."""
    frames = tuple(Frame(f"walk 1.mp4/{n}", video, n, (0, 0), "walk 1.mp4") for n in range(5))
    animals = tuple(instance(n, [[1, 2], [3, 4], [5, 6]]) for n in range(5))
    shown = dict(open_video(video))
    monkeypatch.setattr(VideoFile, "_frame", None)
    write_project(alone._replace(frames=frames, instances=animals), "coco", tmp_path / "one")
    for number, image in shown.items():
        with Image.open(tmp_path / "one" / "walk 1" / f"img000{number}.png") as taken:
            np.testing.assert_array_equal(np.asarray(taken), image)


def test_recordings_of_one_name_in_two_folders_stay_two(alone, tmp_path):
    """Of names with a capital, frames of both came into one folder."""
    frames = tuple(
        frame._replace(session=session)
        for frame, session in zip(alone.frames, ("x/Cam1", "x", "y/Cam1", "y"), strict=True)
    )
    placed, _ = placed_in(alone._replace(frames=frames), "deeplabcut", tmp_path / "one")
    assert len({frame.session for frame in placed.frames}) == 4


FACTS = {
    "splits": lambda project: sorted(frame.split for frame in project.frames),
    "which points are occluded": lambda project: sum(
        int(one.occluded.sum()) for one in project.instances
    ),
    "boxes": lambda project: sum(bool(np.isfinite(one.box).all()) for one in project.instances),
    # ann
    "names of individuals": lambda project: [
        one.track for one in project.instances if one.keypoints[0, 0] == 1
    ],
}


@pytest.mark.parametrize(
    ("format", "animals"),
    [("coco", 4), ("csv", 4), ("deeplabcut", 4), ("sleap", 4), ("lightning_pose", 3)],
)
def test_what_a_format_does_not_hold_is_named(crowded, tmp_path, format, animals):
    some = crowded._replace(instances=crowded.instances[:animals])
    # an animal without a name takes none that another one on the frame has
    if format == "deeplabcut":
        some = some._replace(
            instances=(*some.instances[:2], some.instances[3]._replace(track=""), some.instances[2])
        )
    found = comes_back(some, format, tmp_path)
    assert {name for name, fact in FACTS.items() if fact(found) != fact(some)} == {
        *WRITERS[format].lacks
    }


def test_what_moved_or_is_missing_is_never_called_equal(crowded):
    moved = crowded.instances[0]._replace(keypoints=crowded.instances[0].keypoints + 1e-4)
    swapped = [
        one._replace(keypoints=np.concatenate([one.keypoints[:1], other.keypoints[1:]]))
        for one, other in (crowded.instances[-2:], crowded.instances[:-3:-1])
    ]
    for others in (
        (moved, *crowded.instances[1:]),
        crowded.instances[:1] + crowded.instances[2:],
        (*crowded.instances[:-2], *swapped),
    ):
        assert animals_of(crowded._replace(instances=others)) != animals_of(crowded)
    assert animals_of(
        crowded._replace(frames=(*crowded.frames, crowded.frames[0]._replace(number=9)))
    ) != animals_of(crowded)


def test_what_is_written_has_its_name_on_the_command_line():
    assert {*get_args(FormatName)} == {one.short for one in WRITERS.values()}


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
