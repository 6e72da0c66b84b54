"""Predictions in every format, read back with the readers of those tools: nothing shifts and nothing is lost."""
import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest

from kpjax.lab.formats.prediction_reading import read_predictions
from kpjax.lab.formats.predictions import check_formats, empty_table, fill, prediction_files, write_predictions
from kpjax.structures import Skeleton

SKELETON = Skeleton(("nose", "tail"), ((0, 1),))
HERE = np.array([True])


@pytest.fixture(scope="module", autouse=True)
def other_tools():
    """What reads and writes the files of DeepLabCut and SLEAP; the group `formats`."""
    for name in ("pandas", "tables", "sleap_io"):
        pytest.importorskip(name)


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    """Three frames of a video, the first of which does not decode; the tail of the last is outside. And its folder."""
    out = tmp_path_factory.mktemp("video")
    table = empty_table(Path("clips/run 1.mp4"), ["run 1.mp4"] * 3, np.arange(3), SKELETON, "made_run_0",
                        times=np.array([0.0, 0.5, 0.6]))
    fill(table, 1, (40, 30), np.array([[[1.5, 2], [3, 4]]]), np.array([[0.5, 0.25]]), HERE)
    fill(table, 2, (40, 30), np.array([[[5, 6.125], [-0.6, 29]]]), np.array([[0.75, 1]]), HERE)
    return table, out, write_predictions(table, check_formats(["dlc", "slp", "coco"]), out, "sub/run 1")


@pytest.fixture(scope="module")
def of_images(tmp_path_factory):
    """Two animals on images of two sizes: both on the first, one on the second, none on the third."""
    out = tmp_path_factory.mktemp("images")
    boxes = np.full((3, 2, 4), np.nan)
    boxes[0], boxes[1, 1] = [[1, 2, 3, 4], [5, 6, 7, 8]], [9, 9, 2, 2]
    names = ["a.png", "b/c.png", "d.png"]
    table = empty_table(out, names, np.arange(3), SKELETON, "made_run_0", files=[out / name for name in names],
                        instances=("left", "right"), boxes=boxes)
    points, scores = np.arange(8.0).reshape(2, 2, 2), np.full((2, 2), 0.5)
    fill(table, 0, (10, 10), points, scores, np.array([True, True]))
    fill(table, 1, (20, 10), points, scores, np.array([False, True]))
    fill(table, 2, (10, 10), points, scores, np.array([False, False]))
    return table, out, write_predictions(table, check_formats(["dlc", "slp", "coco"]), out, "points")


def rows_of(path):
    return list(csv.reader(io.StringIO(path.read_text())))


def test_the_plain_table(video, of_images):
    for table, out, written in (video, of_images):
        stem = "sub/run 1" if table.is_video else "points"
        assert written == prediction_files(("csv", "dlc", "slp", "coco"), table.title, out, stem)
        assert sorted(path for path in out.rglob("*") if path.is_file()) == sorted(written)
    assert rows_of(video[2][0]) == [
        ["video", "frame", "time", "instance", "keypoint", "x", "y", "score", "status"],
        ["run 1.mp4", "0", "0.000000", "0", "nose", "nan", "nan", "0", "unreadable"],
        ["run 1.mp4", "0", "0.000000", "0", "tail", "nan", "nan", "0", "unreadable"],
        ["run 1.mp4", "1", "0.500000", "0", "nose", "1.500", "2.000", "0.5", "ok"],
        ["run 1.mp4", "1", "0.500000", "0", "tail", "3.000", "4.000", "0.25", "ok"],
        ["run 1.mp4", "2", "0.600000", "0", "nose", "5.000", "6.125", "0.75", "ok"],
        ["run 1.mp4", "2", "0.600000", "0", "tail", "-0.600", "29.000", "1", "outside"]]
    rows = rows_of(of_images[2][0])
    assert rows[0] == ["image", "instance", "keypoint", "x", "y", "score", "status"]
    assert rows[5:8:2] == [["b/c.png", "left", "nose", "nan", "nan", "0", "no_box"],
                           ["b/c.png", "right", "nose", "4.000", "5.000", "0.5", "ok"]]
    assert {row[-1] for row in rows[9:]} == {"no_box"}


def test_deeplabcut_keeps_a_first_frame_without_points(tmp_path):
    table = empty_table(Path("v.mp4"), ["v.mp4"] * 3, np.arange(3), Skeleton(("nose",)), "run")
    fill(table, 1, (9, 9), np.array([[[1, 2]]]), np.array([[0.5]]), HERE)
    _, path, packed = write_predictions(table, ("csv", "dlc"), tmp_path, "v")
    assert path.read_text().splitlines() == [
        "scorer" + ",DLC_kpjax_run" * 3, "bodyparts,nose,nose,nose", "coords,x,y,likelihood", "0,,,0.0",
        "1,1.0,2.0,0.5", "2,,,0.0"]
    pandas = pytest.importorskip("pandas")
    read = pandas.read_csv(path, header=[0, 1, 2], index_col=0)
    assert list(read.index) == [0, 1, 2]
    kept = pandas.read_hdf(packed, "df_with_missing")
    assert list(kept.index) == [0, 1, 2]
    np.testing.assert_array_equal(kept.to_numpy(), [[np.nan, np.nan, 0], [1, 2, 0.5], [np.nan, np.nan, 0]])
    assert list(kept.columns) == list(read.columns)


def test_sleap_reads_predicted_instances_and_empty_frames(video, of_images):
    sleap_io = pytest.importorskip("sleap_io")
    labels = sleap_io.load_slp(str(video[2][3]), open_videos=False)
    assert [(frame.frame_idx, len(frame.instances)) for frame in labels] == [(0, 0), (1, 1), (2, 1)]
    assert Path(labels.video.filename) == Path("clips/run 1.mp4").absolute()
    found = labels[2].instances[0]
    assert isinstance(found, sleap_io.PredictedInstance)
    np.testing.assert_array_equal(found.numpy(), [[5, 6.125], [-0.6, 29]])
    assert list(found.points["score"]) == [0.75, 1]
    assert found.score == pytest.approx(0.875)
    labels = sleap_io.load_slp(str(of_images[2][3]), open_videos=False)
    assert [[instance.track.name for instance in frame.instances] for frame in labels] == [
        ["left", "right"], ["right"], []]


def test_coco_results_have_no_nan_and_belong_to_images(video, of_images):
    results, images = (json.loads(path.read_text(), parse_constant=pytest.fail) for path in video[2][4:])
    assert [entry["image_id"] for entry in results] == [image["id"] for image in images["images"]] == [1, 2, 3]
    assert results[0] == {"image_id": 1, "category_id": 1, "keypoints": [0, 0, 0] * 2, "score": 0, "bbox": [0] * 4}
    assert results[1]["keypoints"] == [1.5, 2, 0.5, 3, 4, 0.25]
    assert (results[1]["score"], results[1]["bbox"]) == (0.375, [1.5, 2, 2.5, 3])
    assert [(image["frame"], image["time"], image["status"]) for image in images["images"]] == [
        (0, 0.0, "unreadable"), (1, 0.5, "ok"), (2, 0.6, "ok")]
    assert images["categories"][0]["skeleton"] == [[1, 2]]
    results = json.loads(of_images[2][4].read_text())
    assert [(entry["track_id"], entry["track"]) for entry in results] == [(1, "left"), (2, "right"), (2, "right"),
                                                                         (1, "left")]
    assert [(entry["image_id"], entry["bbox"], entry["score"]) for entry in results] == [
        (1, [1, 2, 3, 4], 0.5), (1, [5, 6, 7, 8], 0.5), (2, [9, 9, 2, 2], 0.5), (3, [0] * 4, 0)]


def test_points_and_scores_that_no_network_gives_are_not_there(tmp_path):
    path = tmp_path / "v.csv"
    path.write_text("video,frame,keypoint,x,y,score\nv.mp4,0,nose,1,2,1e308\nv.mp4,1,nose,1e308,2,0.5\n")
    found = read_predictions(path)
    np.testing.assert_array_equal(found.keypoints[:, 0, 0], [[1, 2], [np.nan, np.nan]])
    np.testing.assert_array_equal(found.scores[:, 0, 0], [0, 0])
