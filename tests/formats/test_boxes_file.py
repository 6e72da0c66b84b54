"""Boxes of every format, found by names that were written on another machine."""

import json

import numpy as np
import pytest

from kpjax.errors import InputError
from kpjax.formats.boxes_file import boxes_of


def test_a_table_of_images_and_frames(tmp_path):
    path = tmp_path / "boxes.csv"
    path.write_text(
        "image,video,frame,instance,x,y,w,h\n"
        "labeled\\one\\a.png,,,left,1,2,3,4\nlabeled/one/a.png,,,right,5,6,7,8\nb.png,,,right,9,9,1,1\n"
        ",clips/ants.mp4,7,left,1,1,2,2\n"
    )
    instances, found = boxes_of(
        path, [("one/a.png", None), ("two/a.png", None), ("deep/b.png", None)]
    )
    assert instances == ("left", "right")
    np.testing.assert_array_equal(found[0], [[1, 2, 3, 4], [5, 6, 7, 8]])
    assert np.isnan(found[1]).all()
    assert np.isnan(found[2, 0]).all()
    np.testing.assert_array_equal(found[2, 1], [9, 9, 1, 1])
    instances, found = boxes_of(path, [("ants.mp4", 6), ("ants.mp4", 7)])
    assert instances == ("left",)
    np.testing.assert_array_equal(found[1, 0], [1, 1, 2, 2])
    with pytest.raises(InputError, match="no box belongs to one of the 9 frames"):
        boxes_of(path, [("bees.mp4", number) for number in range(9)])


def test_a_whole_path_goes_before_an_end_of_one(tmp_path):
    path = tmp_path / "boxes.csv"
    path.write_text("image,x,y,w,h\na.png,1,2,3,4\none/a.png,5,6,7,8\n")
    _, found = boxes_of(path, [("a.png", None), ("one/a.png", None)])
    np.testing.assert_array_equal(found[:, 0], [[1, 2, 3, 4], [5, 6, 7, 8]])
    with pytest.raises(InputError, match=r"deep/one/a\.png may be a\.png or one/a\.png"):
        boxes_of(path, [("deep/one/a.png", None)])


def test_a_box_is_of_one_image_and_not_of_all_that_are_called_so(tmp_path):
    path = tmp_path / "boxes.csv"
    path.write_text("image,x,y,w,h\na.png,1,2,3,4\n")
    with pytest.raises(InputError, match=r"a\.png may be one/a\.png or two/a\.png; name a parent"):
        boxes_of(path, [("one/a.png", None), ("two/a.png", None)])
    _, found = boxes_of(path, [("one/a.png", None), ("a.png", None)])
    np.testing.assert_array_equal(found[:, 0], [[np.nan] * 4, [1, 2, 3, 4]])
    path.write_text("video,frame,x,y,w,h\na.mp4,0,1,2,3,4\na.mp4,1,5,6,7,8\n")
    _, found = boxes_of(path, [("/one/a.mp4", 0), ("/one/a.mp4", 1)])
    np.testing.assert_array_equal(found[:, 0], [[1, 2, 3, 4], [5, 6, 7, 8]])


def test_the_height_comes_first_in_lightning_pose_and_crowds_of_coco_are_none(tmp_path):
    (tmp_path / "bbox.csv").write_text(",x,y,h,w\nlabeled-data/v/img1.png,10,20,30,40\n")
    np.testing.assert_array_equal(
        boxes_of(tmp_path / "bbox.csv", [("img1.png", None)])[1][0, 0], [10, 20, 40, 30]
    )
    (tmp_path / "boxes.json").write_text(
        json.dumps(
            {
                "images": [{"id": 5, "file_name": "a.png"}],
                "annotations": [
                    {"image_id": 5, "bbox": [1, 2, 3, 4]},
                    {"image_id": 5, "bbox": [0, 0, 9, 9], "iscrowd": 1},
                    {"image_id": 5, "bbox": [5, 6, 7, 8]},
                ],
            }
        )
    )
    instances, found = boxes_of(tmp_path / "boxes.json", [("x/a.png", None)])
    assert instances == ("0", "1")
    np.testing.assert_array_equal(found[0], [[1, 2, 3, 4], [5, 6, 7, 8]])


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        (
            "b.json",
            json.dumps(
                {
                    "images": [{"id": 5, "file_name": "a.png"}],
                    "annotations": [
                        {"image_id": 5, "category_id": n, "bbox": [1, 2, 3, 4]} for n in (1, 2)
                    ],
                }
            ),
            "boxes of several categories",
        ),
        ("b.csv", "image,x,y,w\n", "lacks h"),
        ("b.json", "[{}]", "b.json: .*images"),
        (
            "b.csv",
            "image,x,y,w,h\na.png,1,2,0,4\nb.png,1,2,zero,4\nc.png,1\n",
            "3 faults: .*line 3, w: 'zero'",
        ),
        ("b.csv", "image,x,y,w,h\na.png,1e308,2,3,4\n", "line 2"),
        (
            "b.csv",
            "image,instance,x,y,w,h\na,1,1,1,1,1\na,1,1,1,1,1\n",
            "line 3: a second box of instance '1'",
        ),
        (
            "b.csv",
            "image,x,y,w,h\none/a.png,1,1,1,1\ntwo/a.png,1,1,1,1\n",
            "a.png may be one/a.png or two/a.png",
        ),
    ],
)
def test_what_is_wrong_is_said(tmp_path, name, text, words):
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=words):
        boxes_of(tmp_path / name, [("a.png", None)])
