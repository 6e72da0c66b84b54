"""Projects and unlabelled images as sources: labels, lengths, boxes, names, one pass through a
video.
"""

import importlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kpjax.errors import InputError
from kpjax.formats.project import Frame, Project, instance_of
from kpjax.formats.project_source import (
    empty_cells,
    frames_at,
    project_source,
    reference_lengths,
    unlabelled_source,
    whole_frames,
    with_nobody,
    with_point_boxes,
)
from kpjax.images.transforms import Letterbox
from kpjax.images.video import write_video
from kpjax.input.source import check_disjoint
from kpjax.structures import Skeleton

# the package has a function of this name
module = importlib.import_module("kpjax.formats.project_source")


def image(path, number):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(number).integers(0, 255, (20, 40, 3), np.uint8)).save(
        path
    )
    return path


@pytest.fixture
def project(tmp_path):
    """Three images; the last has no label."""
    frames = tuple(
        Frame(f"day/img{n}.png", image(tmp_path / "day" / f"img{n}.png", n), None, (40, 20), "day")
        for n in range(3)
    )
    nan = (np.nan, np.nan)
    labelled = (
        instance_of(0, np.array([(4, 2), (7, 6), nan]), occluded=np.array([False, True, False])),
        instance_of(1, np.array([(3, 3), nan, nan])),
        instance_of(1, np.array([(3.0, 3), (4, 4), (5, 5)]), box=np.array([1.0, 2, 6, 8])),
    )
    return Project(tmp_path, "csv", Skeleton(("a", "b", "c")), frames, labelled)


def test_labels_lengths_and_boxes(project):
    # extent, the median of the others, box
    np.testing.assert_allclose(reference_lengths(project), [5, 7.5, 10])
    slip = project.instances[0]._replace(keypoints=np.array([(4, 2), (4000, 6), (np.nan, np.nan)]))
    np.testing.assert_allclose(
        reference_lengths(project._replace(instances=(slip, *project.instances[1:]))), 10
    )
    seen = []

    def transform(image, keypoints, visible, scale, box=None):
        seen.append(box)
        return Letterbox(40)(image, keypoints, visible, scale, box)

    source = project_source(project, transform, name="mine")
    first = source[0]
    np.testing.assert_allclose(first.keypoints, [(4, 12), (7, 16), (0, 0)])
    np.testing.assert_array_equal(first.visible, [1, 1, 0])
    assert first.scale == 5
    np.testing.assert_array_equal(
        project_source(project, transform, occluded="drop")[0].visible, [1, 0, 0]
    )
    np.testing.assert_allclose(source[2].crop @ [0, 10, 1], [0, 0, 1], atol=1e-6)
    np.testing.assert_array_equal(seen[0], [4.5, 2.5, 3, 4])  # edges: a pixel at 0 spans 0 to 1
    assert seen[1] is None
    np.testing.assert_array_equal(seen[2], [1, 2, 6, 8])
    assert [source.identity(n) for n in range(3)] == [
        "day/img0.png",
        "day/img1.png",
        "day/img1.png",
    ]
    assert project_source(project, transform, occluded="drop").digest != source.digest


def test_a_labelled_frame_among_the_unlabelled_is_seen(project, tmp_path):
    transform = Letterbox(32)
    test = project_source(project, transform, instances=[1], name="test")
    frames = frames_at([tmp_path / "day"])
    pool = unlabelled_source(frames, transform, project.skeleton, root=project.root, name="pool")
    with pytest.raises(InputError, match=r"day/img1.png is day/img1.png of test"):
        check_disjoint(pool, test, by_pixels=False)
    rest = unlabelled_source(
        (frames[0], frames[2]), transform, project.skeleton, root=project.root, name="pool"
    )
    check_disjoint(rest, test)
    assert not rest[0].visible.any()
    assert [rest.identity(n) for n in range(2)] == ["day/img0.png", "day/img2.png"]


def test_a_video_is_read_in_one_pass(tmp_path, monkeypatch):
    images = [np.full((16, 32, 3), 20 * number, np.uint8) for number in range(10)]
    write_video(tmp_path / "clip.mp4", iter(images), rate=10.0)
    frames = frames_at(str(tmp_path))
    assert [frame.number for frame in frames] == list(range(10))
    assert frames[0].size == (32, 16)
    sought = [module.read_frame(frame) for frame in frames[::3]]
    monkeypatch.setattr(module, "read_frame", None)
    kept = unlabelled_source(frames[::3], Letterbox(32), Skeleton(("a",)), root=tmp_path)
    assert [kept.identity(n) for n in range(4)] == [
        f"clip.mp4#{number:06d}" for number in (0, 3, 6, 9)
    ]
    np.testing.assert_array_equal(
        np.stack([kept[n].image[8:24] for n in range(4)]), np.stack(sought)
    )
    assert abs(int(kept[2].image[16, 16, 0]) - 120) < 8


def test_what_a_program_drew_is_left_out_of_a_folder_and_not_if_it_is_named(tmp_path, capsys):
    for name in ("a.png", "a_overlay.png", "clip_sheet.png"):
        image(tmp_path / name, 1)
    write_video(tmp_path / "clip_labeled.mp4", [np.zeros((16, 32, 3), np.uint8)] * 2)
    assert [frame.path.name for frame in frames_at(tmp_path)] == ["a.png"]
    assert "left out 3 files with points drawn on them" in capsys.readouterr().err
    assert len(frames_at(tmp_path / "clip_labeled.mp4")) == 2


def test_a_folder_is_read_whatever_it_is_called_and_so_are_those_behind_links(tmp_path):
    image(tmp_path / "mice_labeled" / "a.png", 1)
    image(tmp_path / "mice_labeled" / "a_overlay.png", 1)
    assert [frame.path.name for frame in frames_at(tmp_path / "mice_labeled")] == ["a.png"]
    image(tmp_path / "disc" / "day" / "b.png", 2)
    (tmp_path / "pool").mkdir()
    (tmp_path / "pool" / "monday").symlink_to(tmp_path / "disc")
    (frame,) = frames_at(tmp_path / "pool")
    assert frame.path == tmp_path / "pool" / "monday" / "day" / "b.png"


def test_what_cannot_be_read_is_named(project, tmp_path, capsys, monkeypatch):
    (tmp_path / "day" / "img1.png").write_bytes(b"no image")
    with pytest.raises(InputError, match=r"mine: 2 of 3 frames cannot be read: .*img1.png"):
        project_source(project, Letterbox(32), name="mine")
    assert len(project_source(project, Letterbox(32), on_bad_frame="skip")) == 1
    assert "left out 2 of 3" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    # files that another path has named are there all the same
    assert frames_at([tmp_path, tmp_path]) == frames_at([tmp_path])
    for call, words in (
        (lambda: frames_at([tmp_path / "nowhere"]), "no such file"),
        (lambda: frames_at([tmp_path / "empty"]), "neither images"),
        (
            lambda: project_source(project._replace(instances=()), Letterbox(32)),
            "no labelled frame",
        ),
    ):
        with pytest.raises(InputError, match=words):
            call()


def test_one_keypoint_has_a_box_of_a_quarter_of_the_frame_or_as_far_as_the_next_animal():
    def points(*places):
        return made_project(Skeleton(("nose",)), [np.array([place], float) for place in places])

    alone = with_point_boxes(points((40, 30), (80, 60)))
    np.testing.assert_allclose(alone.instances[0].box, [40.5 - 20, 30.5 - 20, 40, 40])
    np.testing.assert_allclose(reference_lengths(alone), np.hypot(40, 40))
    assert "a square of 40 px about it" in alone.notes[-1]
    assert with_point_boxes(points((40, 30)), 12.0).instances[0].box[2] == 12
    beside = points((40, 30), (52, 30))
    beside = beside._replace(instances=tuple(one._replace(frame=0) for one in beside.instances))
    assert with_point_boxes(beside).instances[0].box[2] == 12
    several = made_project(Skeleton(("a", "b")), [np.array([[1.0, 1], [3, 3]])])
    assert with_point_boxes(several) is several


def test_frames_that_show_nobody_and_empty_cells():
    skeleton = Skeleton(("a", "b", "never"))
    here, nan = [1.0, 1.0], [np.nan, np.nan]
    project = made_project(skeleton, [np.array([here, here, nan]), np.array([here, nan, nan])])
    np.testing.assert_array_equal(
        empty_cells(project), [[False, False, False], [False, True, False]]
    )
    wider = project._replace(frames=(*project.frames, project.frames[0]._replace(name="empty")))
    known = with_nobody(wider)
    assert (known.nobody, len(known.instances)) == (frozenset([2]), 3)
    assert not empty_cells(known)[2].any()
    whole, points = whole_frames(known)
    assert (points, len(whole.instances)) == (2, 3)
    assert not whole.instances[2].visible.any()


def made_project(skeleton, animals):
    """A project of frames of 160x120, one for each animal."""
    frames = tuple(
        Frame(f"{n}.png", Path(f"{n}.png"), None, (160, 120), "") for n in range(len(animals))
    )
    instances = tuple(instance_of(n, points) for n, points in enumerate(animals))
    return Project(Path(), "csv", skeleton, frames, instances)
