"""Predictions in every format, read back with the readers of those tools: nothing shifts and
nothing is lost.
"""

import json
from pathlib import Path

import numpy as np
import pytest

from kpjax.formats.prediction_reading import read_predictions
from kpjax.formats.predictions import (
    check_formats,
    empty_table,
    fill,
    prediction_files,
    write_predictions,
)
from kpjax.structures import Skeleton

# What reads and writes the files of DeepLabCut and SLEAP; the group `formats`.
pandas, sleap_io, _ = map(pytest.importorskip, ("pandas", "sleap_io", "tables"))
SKELETON = Skeleton(("nose", "tail"), ((0, 1),))
HERE = np.array([True])
# Of three frames: x, y and score of both points.
FOUND = np.array(
    [[[np.nan, np.nan, 0]] * 2, [[1.5, 2, 0.5], [3, 4, 0.25]], [[5, 6.125, 0.75], [-0.6, 29, 1]]]
)


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    """Three frames of a video, the first of which does not decode; the tail of the last is outside.

    And its folder.
    """
    out = tmp_path_factory.mktemp("video")
    table = empty_table(
        Path("clips/run 1.mp4"),
        ["run 1.mp4"] * 3,
        np.arange(3),
        SKELETON,
        "made_run_0",
        times=np.array([0.0, 0.5, 0.6]),
    )
    for row in (1, 2):
        fill(table, row, (40, 30), FOUND[row : row + 1, :, :2], FOUND[row : row + 1, :, 2], HERE)
    return (
        table,
        out,
        write_predictions(table, check_formats(["dlc", "slp", "coco"]), out, "sub/run 1"),
    )


@pytest.fixture(scope="module")
def of_images(tmp_path_factory):
    """Two animals on images of two sizes: both on the first, one on the second, none on the
    third."""
    out = tmp_path_factory.mktemp("images")
    boxes = np.full((3, 2, 4), np.nan)
    boxes[0], boxes[1, 1] = [[1, 2, 3, 4], [5, 6, 7, 8]], [9, 9, 2, 2]
    names = ["a.png", "b/c.png", "d.png"]
    table = empty_table(
        out,
        names,
        np.arange(3),
        SKELETON,
        "made_run_0",
        files=[out / name for name in names],
        instances=("left", "right"),
        boxes=boxes,
    )
    points, scores = np.arange(8.0).reshape(2, 2, 2), np.full((2, 2), 0.5)
    fill(table, 0, (10, 10), points, scores, np.array([True, True]))
    fill(table, 1, (20, 10), points, scores, np.array([False, True]))
    fill(table, 2, (10, 10), points, scores, np.array([False, False]))
    return (
        table,
        out,
        write_predictions(table, check_formats(["dlc", "slp", "coco"]), out, "points"),
    )


def test_the_plain_table(video, of_images):
    for table, out, written in (video, of_images):
        stem = "sub/run 1" if table.is_video else "points"
        assert written == prediction_files(("csv", "dlc", "slp", "coco"), table.title, out, stem)
        assert sorted(path for path in out.rglob("*") if path.is_file()) == sorted(written)
    assert video[2][0].read_text().splitlines()[::2] == [
        "video,frame,time,instance,keypoint,x,y,score,status",
        "run 1.mp4,0,0.000000,0,tail,nan,nan,0,unreadable",
        "run 1.mp4,1,0.500000,0,tail,3.000,4.000,0.25,ok",
        "run 1.mp4,2,0.600000,0,tail,-0.600,29.000,1,outside",
    ]
    rows = of_images[2][0].read_text().splitlines()
    assert [rows[number] for number in (0, 5, 7, 12)] == [
        "image,instance,keypoint,x,y,score,status",
        "b/c.png,left,nose,nan,nan,0,no_box",
        "b/c.png,right,nose,4.000,5.000,0.5,ok",
        "d.png,right,tail,nan,nan,0,no_box",
    ]


def with_pandas(path):
    read = (
        pandas.read_csv(path, header=[0, 1, 2], index_col=0)
        if path.suffix == ".csv"
        else pandas.read_hdf(path, "df_with_missing")
    )
    assert list(read.index) == [0, 1, 2]
    return read.to_numpy().reshape(3, 2, 3)


def with_sleap(path):
    labels, found = (
        sleap_io.load_slp(str(path), open_videos=False),
        np.full((3, 2, 3), [np.nan, np.nan, 0]),
    )
    for frame in labels:
        for one in frame.instances:
            assert one.score == pytest.approx(one.points["score"].mean())
            found[frame.frame_idx] = np.column_stack([one.numpy(), one.points["score"]])
    assert len(labels) == 3
    return found


@pytest.mark.parametrize(("number", "read"), [(1, with_pandas), (2, with_pandas), (3, with_sleap)])
def test_other_tools_read_what_was_found(video, number, read):
    np.testing.assert_array_equal(read(video[2][number]), FOUND)
    for path in (video[2][0], video[2][number]):
        (found,) = read_predictions(path)
        assert (found.skeleton.names, found.numbers.tolist()[-2:]) == (SKELETON.names, [1, 2])
        np.testing.assert_allclose(found.keypoints[:, 0], FOUND[found.numbers, :, :2])
        np.testing.assert_allclose(found.scores[:, 0], FOUND[found.numbers, :, 2])


def test_coco_results_have_no_nan_and_belong_to_images(video, of_images):
    results, images = (
        json.loads(path.read_text(), parse_constant=pytest.fail) for path in video[2][4:]
    )
    assert (
        [entry["image_id"] for entry in results]
        == [image["id"] for image in images["images"]]
        == [1, 2, 3]
    )
    np.testing.assert_array_equal(
        [entry["keypoints"] for entry in results], np.nan_to_num(FOUND).reshape(3, 6)
    )
    assert (results[1]["score"], results[1]["bbox"]) == (0.375, [1.5, 2, 2.5, 3])
    assert [(image["frame"], image["time"], image["status"]) for image in images["images"]] == [
        (0, 0.0, "unreadable"),
        (1, 0.5, "ok"),
        (2, 0.6, "ok"),
    ]
    results = json.loads(of_images[2][4].read_text())
    assert [
        (entry["image_id"], entry["track"], entry["bbox"], entry["score"]) for entry in results
    ] == [
        (1, "left", [1, 2, 3, 4], 0.5),
        (1, "right", [5, 6, 7, 8], 0.5),
        (2, "right", [9, 9, 2, 2], 0.5),
        (3, "left", [0] * 4, 0),
    ]


def test_animals_are_tracks_in_sleap(of_images):
    labels = sleap_io.load_slp(str(of_images[2][3]), open_videos=False)
    assert [[instance.track.name for instance in frame.instances] for frame in labels] == [
        ["left", "right"],
        ["right"],
        [],
    ]


def test_points_and_scores_that_no_network_gives_are_not_there(tmp_path):
    path = tmp_path / "v.csv"
    path.write_text(
        "video,frame,keypoint,x,y,score\nv.mp4,0,nose,1,2,1e308\nv.mp4,1,nose,1e308,2,0.5\n"
    )
    (found,) = read_predictions(path)
    np.testing.assert_array_equal(found.keypoints[:, 0, 0], [[1, 2], [np.nan, np.nan]])
    np.testing.assert_array_equal(found.scores[:, 0, 0], [0, 0])
