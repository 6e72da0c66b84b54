"""Plain tables: long, wide, with videos."""

import json
import unicodedata

import numpy as np
import pytest
from damaging import black

from kpjax.errors import InputError
from kpjax.formats.reading import read_project
from kpjax.images.video import write_video
from kpjax.structures import Skeleton


@pytest.fixture
def table(tmp_path):
    """Writes labels.csv beside two images, and returns its path."""

    def write(*lines):
        for name in ("one.png", "below/two.png"):
            black(tmp_path / name)
        path = tmp_path / "labels.csv"
        path.write_text("\n".join(lines) + "\n")
        return path

    return write


LONG = (
    "image,instance,keypoint,x,y,visible,occluded,box_x,box_y,box_w,box_h,note",
    "one.png,0,tail,1.5,2,1,0,0,0,10,10,by hand",
    "one.png,0,nose,3,4,1,1,0,0,10,10,",
    "one.png,Ann,nose,5,6,,,,,,,",
    "one.png,Ann,tail,7,8,0,,,,,,",
    r"below\two.png,,,,,,,,,,,",
)


def test_rows_are_points(table):
    read = read_project(table(*LONG).parent)
    assert read.skeleton.names == ("nose", "tail")  # in natural order
    assert [frame.name for frame in read.frames] == ["one.png", "below/two.png"]
    first, second = read.instances
    np.testing.assert_array_equal(first.keypoints, [[3, 4], [1.5, 2]])
    np.testing.assert_array_equal(first.occluded, [True, False])
    np.testing.assert_array_equal(first.box, [0, 0, 10, 10])
    np.testing.assert_array_equal(second.keypoints, [[5, 6], [np.nan, np.nan]])
    np.testing.assert_array_equal(second.visible, np.float32([1, 0]))
    assert (second.track, np.isnan(second.box).all()) == ("Ann", True)


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("left_ear", "left ear"), True),
        (("Nose", "nose"), True),
        (("nose", "nsoe"), True),
        (("left_ear", "right_ear"), False),
        (("leg_1", "leg_2"), False),
        (("nose", "tail"), False),
    ],
)
def test_a_keypoint_that_is_spelt_in_two_ways_is_doubted(names, said, tmp_path):
    """The second has one label, the first thirty: a keypoint of its own is then taught as one."""
    usual, rare = names
    rows = ["image,keypoint,x,y"]
    for n in range(30):
        black(tmp_path / f"{n}.png")
        rows.append(f"{n}.png,{usual},{n % 7},5")
    (tmp_path / "labels.csv").write_text("\n".join([*rows, f"0.png,{rare},9,9"]) + "\n")
    doubts = read_project(tmp_path).doubts
    line = f"{rare!r} (1 label) and {usual!r} (30 labels) are spelt nearly alike"
    assert any(doubt.startswith(line) for doubt in doubts) == said


def test_splits_and_the_recordings_of_images(table):
    read = read_project(
        table(
            "image,video,split,keypoint,x,y",
            "one.png,day.mp4,Val,nose,1,2",
            "below/two.png,night.mp4,TRAIN,nose,1,2",
        )
    )
    assert [(frame.session, frame.split) for frame in read.frames] == [
        ("day", "validation"),
        ("night", "train"),
    ]
    with pytest.raises(InputError, match="line 2, split: 'fold1' where train, validation or test"):
        read_project(table("image,split,keypoint,x,y", "one.png,fold1,nose,1,2"))


def test_rows_of_one_image_or_animal_agree_or_are_empty(table):
    with pytest.raises(
        InputError, match=r"split: 'test', but 'train' in line 2.* track: .* box_x: '1'"
    ) as caught:
        read_project(
            table(
                "image,instance,split,track,box_x,box_y,box_w,box_h,keypoint,x,y",
                "one.png,0,train,a,0,0,9,9,nose,1,2",
                "one.png,0,test,b,1,0,9,9,tail,1,2",
                "one.png,0,,,,,,,ear,1,2",
            )
        )
    assert "line 4" not in str(caught.value)


def test_wide_rows_and_semicolons(table):
    read = read_project(
        table("image;left_x;left_y;right_x;right_y", "one.png;1,5;2;;", "below/two.png;;;3;4")
    )
    assert read.skeleton.names == ("left", "right")
    assert read.skeleton.flip == (1, 0)
    np.testing.assert_array_equal(read.instances[0].keypoints, [[1.5, 2], [np.nan, np.nan]])
    assert [one.frame for one in read.instances] == [0, 1]


def test_the_skeleton_beside_the_table(table, tmp_path):
    stored = {
        "names": ["nose", "tail", "ear"],
        "edges": [["nose", "tail"]],
        "flip": {},
        "groups": {"head": ["nose"]},
    }
    (tmp_path / "skeleton.json").write_text(json.dumps(stored))
    read = read_project(table(*LONG))
    assert read.skeleton == Skeleton(("nose", "tail", "ear"), ((0, 1),), (), {"head": (0,)})
    np.testing.assert_array_equal(read.instances[0].keypoints, [[3, 4], [1.5, 2], [np.nan, np.nan]])
    (tmp_path / "skeleton.json").write_text(
        json.dumps({**stored, "names": ["nose"], "edges": [["nose", "paw"]]})
    )
    with pytest.raises(InputError, match=r"names: keypoint 'tail' is not among nose"):
        read_project(table(*LONG))


def test_frames_of_videos(tmp_path):
    """A video is found where it is stored, or by the last parts of its path below video_root."""
    (tmp_path / "videos" / "monday").mkdir(parents=True)
    write_video(
        tmp_path / "videos" / "monday" / "a.mp4",
        [np.full((32, 48, 3), shade, np.uint8) for shade in range(3)],
    )
    (tmp_path / "project").mkdir()
    path = tmp_path / "project" / "labels.csv"
    path.write_text("video,frame,keypoint,x,y\nD:\\old\\monday\\a.mp4,2,nose,1,2\n")
    read = read_project(path, video_root=tmp_path / "videos")
    frame = read.frames[0]
    assert frame == (
        frame.name,
        tmp_path / "videos" / "monday" / "a.mp4",
        2,
        (48, 32),
        "/old/monday/a.mp4",
        "",
        0,
    )
    # Of two cameras that call every file alike one folder is not here: its labels must not land on
    # the other.
    path.write_text("video,frame,keypoint,x,y\nmonday/a.mp4,0,nose,1,2\ntuesday/a.mp4,1,nose,1,2\n")
    with pytest.raises(
        InputError, match=r"the videos monday/a.mp4, tuesday/a.mp4 are all found as"
    ):
        read_project(path, video_root=tmp_path / "videos" / "monday")


def test_a_video_whose_name_has_another_form_of_unicode_is_found(tmp_path):
    name = unicodedata.normalize("NFD", "Mäuse.mp4")
    write_video(tmp_path / name, [np.zeros((32, 48, 3), np.uint8)] * 2)
    text = unicodedata.normalize("NFC", "video,frame,keypoint,x,y\nMäuse.mp4,1,nose,1,2\n")
    (tmp_path / "labels.csv").write_text(text, encoding="utf-8")
    assert read_project(tmp_path / "labels.csv").frames[0].path == tmp_path / name


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig"])
def test_a_table_as_spreadsheets_save_unicode_text(tmp_path, encoding):
    black(tmp_path / "souris é.png")
    (tmp_path / "labels.txt").write_text(
        "image\tkeypoint\tx\ty\nsouris é.png\tnose\t1,5\t2\n", encoding=encoding
    )
    project = read_project(tmp_path / "labels.txt")
    assert project.frames[0].name == "souris é.png"
    np.testing.assert_array_equal(project.instances[0].keypoints, [(1.5, 2)])


def test_errors_of_a_run_and_boxes_beside_labels_are_no_labels(table):
    """`evaluate` and `predict` may have written them there."""
    path = table("image,instance,keypoint,x,y", "one.png,0,nose,1,2")
    folder = path if path.is_dir() else path.parent
    errors = folder / "errors.csv"
    errors.write_text("image,keypoint,x,y,score,true_x,true_y\none.png,nose,7,8,0.5,1,2\n")
    (folder / "boxes.csv").write_text("image,x,y,w,h\none.png,0,0,9,9\n")
    (one,) = read_project(folder).instances
    np.testing.assert_array_equal(one.keypoints, [[1, 2]])
    with pytest.raises(InputError, match="score and true_x are not labels"):
        read_project(errors)
