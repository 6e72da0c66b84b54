"""Several projects as one: keypoints by name, frames and animals in their places, and what is
refused.
"""

from pathlib import Path

import numpy as np
import pytest

from kpjax.errors import InputError
from kpjax.formats.names import recordings
from kpjax.formats.project import Frame, Project, instance_of
from kpjax.formats.project_source import empty_cells
from kpjax.formats.uniting import unite, united_skeleton
from kpjax.structures import Skeleton

FRONT = Skeleton(
    ("nose", "left_ear", "right_ear"),
    edges=((0, 1), (0, 2)),
    flip=(0, 2, 1),
    groups={"head": (0, 1, 2)},
)
BACK = Skeleton(
    ("tail", "nose", "left_hip", "right_hip"),
    edges=((1, 0), (0, 2)),
    flip=(0, 1, 3, 2),
    groups={"head": (1,), "rump": (0, 2, 3)},
)


def project(root, skeleton, names=("a.png", "b.png"), session="day"):
    frames = tuple(Frame(name, Path(root) / name, None, (20, 10), session) for name in names)
    count = len(skeleton.names)
    animals = tuple(
        instance_of(n, np.arange(2.0 * count).reshape(count, 2) + 100 * n)
        for n in range(len(names))
    )
    return Project(Path(root), "csv", skeleton, frames, animals)


def test_keypoints_of_one_name_are_one_and_every_animal_keeps_its_places():
    whole = unite([project("/data/front", FRONT), project("/data/back", BACK)])
    assert whole.skeleton.names == (
        "nose",
        "left_ear",
        "right_ear",
        "tail",
        "left_hip",
        "right_hip",
    )
    assert (whole.root, whole.roots) == (Path("/data"), (Path("/data/front"), Path("/data/back")))
    assert [(frame.name, frame.session) for frame in whole.frames] == [
        (f"{title}/{name}", f"{title}/day")
        for title in ("front", "back")
        for name in ("a.png", "b.png")
    ]
    last = whole.instances[3]
    assert last.frame == 3
    np.testing.assert_array_equal(last.visible, [1, 0, 0, 1, 1, 1])
    np.testing.assert_array_equal(last.keypoints[[0, 3]], [[102, 103], [100, 101]])
    assert np.isnan(last.keypoints[1:3]).all()
    assert "named alike: nose;" in whole.notes[0]


def test_a_keypoint_that_the_project_of_a_frame_does_not_name_is_not_empty_there():
    front, back = project("/data/front", FRONT), project("/data/back", BACK)
    assert not empty_cells(unite([front, back])).any()
    without_nose = back.instances[0]._replace(
        keypoints=back.instances[0].keypoints * [[1], [np.nan], [1], [1]],
        visible=np.array([1, 0, 1, 1], np.float32),
    )
    found = empty_cells(unite([front, back._replace(instances=(without_nose, back.instances[1]))]))
    assert np.argwhere(found).tolist() == [[2, 0]]
    # of projects with the same keypoints each names all
    alike = [
        project(f"/data/{title}", FRONT, session=title)._replace(
            instances=(instance_of(0, np.array([[1.0, 1], [2, 2], here])),)
        )
        for title, here in (("one", [3, 3]), ("two", [np.nan, np.nan]))
    ]
    assert np.argwhere(empty_cells(unite(alike))).tolist() == [[1, 2]]


def test_edges_groups_and_mirror_images_are_merged():
    found = united_skeleton({"front": FRONT, "back": BACK})
    assert found.edges == ((0, 1), (0, 2), (0, 3), (3, 4))
    assert found.flip == (0, 2, 1, 3, 5, 4)
    assert found.groups == {"head": (0, 1, 2), "rump": (3, 4, 5)}
    # An edge that another project draws the other way round is the same one.
    back = Skeleton(FRONT.names, tuple(edge[::-1] for edge in FRONT.edges))
    assert united_skeleton({"one": FRONT, "two": back}).edges == FRONT.edges
    # Sides that two share out mirror each other; a keypoint without a known mirror image rules
    # mirrored images out.
    for one, two, flip in (
        (Skeleton(("nose", "left_eye")), Skeleton(("nose", "right_eye")), (0, 2, 1)),
        (Skeleton(("a", "b"), flip=(1, 0)), Skeleton(("c",)), ()),
        # both said that nothing mirrors
        (*2 * [Skeleton(("left_eye", "right_eye"))], ()),
    ):
        assert united_skeleton({"one": one, "two": two}).flip == flip


@pytest.mark.parametrize(
    ("other", "line"),
    [
        (project("/more/front", BACK), "rename one"),
        (project("/data/back", Skeleton(("Nose",))), "differ by case alone"),
        (
            project("/data/back", Skeleton(("left_ear", "tail"), flip=(1, 0))),
            "'left_ear' mirrors 'tail' in back",
        ),
        (
            project("/data", BACK, ("front/b.png", "c.png")),
            "front/b.png of /data is labelled in /data/front too",
        ),
    ],
)
def test_refused_in_one_line(other, line):
    with pytest.raises(InputError, match=line):
        unite([project("/data/front", FRONT), other])


def test_an_image_that_two_projects_label_is_there_once(tmp_path):
    for title, content in (("old", (b"a", b"b", b"c")), ("corrected", (b"a", b"b", b"d"))):
        (tmp_path / title).mkdir()
        for name, of_file in zip("abc", content, strict=True):
            (tmp_path / title / f"{name}.png").write_bytes(of_file)
    names = ("a.png", "b.png", "c.png")
    old, new = (
        project(tmp_path / title, FRONT, names, session)
        for title, session in (("old", "D:/films/day.mp4"), ("corrected", "day"))
    )
    moved = new.instances[1]._replace(keypoints=new.instances[1].keypoints + 1)
    found = unite([old, new._replace(instances=(new.instances[0], moved, new.instances[2]))])
    assert [frame.name for frame in found.frames] == [
        "old/c.png",
        "corrected/a.png",
        "corrected/b.png",
        "corrected/c.png",
    ]
    assert {frame.session for frame in found.frames} == {"day"}
    np.testing.assert_array_equal(found.instances[2].keypoints, moved.keypoints)
    assert [note[:20] for note in found.notes[1:]] == ["1 images have other "]
    # A frame that only one labels is no unlabelled frame of the other.
    found = unite([old._replace(instances=old.instances[2:]), new])
    assert sum(one.frame < 1 for one in found.instances) == 1
    assert len(found.frames) == 4
    assert len(found.notes) == 1
    # A still camera: two frames of one project are alike, and the second has the label.
    (tmp_path / "old" / "c.png").write_bytes(b"a")
    found = unite(
        [
            old._replace(instances=old.instances[1:]),
            project(tmp_path / "elsewhere", BACK, session="cam"),
        ]
    )
    assert len(found.instances) == 4


def test_recordings_of_one_name_in_several_folders_keep_them():
    sessions = ["front/mouse1/cam.mp4", "D:/films/day.mp4", "mouse2/cam.mp4", "day"]
    assert recordings(sessions, ["front"]) == dict(
        zip(sessions, ("mouse1/cam.mp4", "day", "mouse2/cam.mp4", "day"), strict=True)
    )
