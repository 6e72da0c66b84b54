"""ATRW: both spellings and layouts, images without labels, other categories, and the real annotation files."""
import json

import numpy as np
import pytest

from data.atrw import DATASET, TIGER, read

CATEGORY = {"id": 1, "name": "tiger", "keypoints": list(TIGER.names), "skeleton": [list(edge) for edge in TIGER.edges]}


def content(numbers, name="filename", labelled=True):
    """Returns a file as published: boxes are whole images, and flags are 2, or 0 with zero coordinates."""
    images, annotations = [], []
    for number in numbers:
        rng = np.random.default_rng(number)
        seen = rng.random((15, 1)) > 0.3 if labelled and number % 4 else np.zeros((15, 1), bool)
        points = rng.integers(2, 60, (15, 2)) * seen
        images.append({name: f"{number:06d}.jpg", "id": number, "width": 90, "height": 70 + number})
        annotations.append({"bbox": [0, 0, 90, 70 + number], "category_id": 1, "image_id": number, "id": number,
                            "keypoints": np.hstack([points, 2 * seen]).ravel().tolist(), "iscrowd": 0})
    return {"categories": [CATEGORY], "images": images, "annotations": annotations}


@pytest.fixture
def folder(tmp_path, write_image):
    for part, (numbers, name) in {"train": (range(4), "filename"), "val": (range(4, 6), "file_name")}.items():
        (tmp_path / f"keypoint_{part}.json").write_text(json.dumps(content(numbers, name)))
    (tmp_path / "pose_tiger02_test.json").write_text(json.dumps(content(range(7, 10))))
    for part, numbers in {"train": range(4), "val": range(4, 6), "test": range(7, 10)}.items():
        for number in numbers:
            write_image(tmp_path / part / f"{number:06d}.jpg", 90, 70 + number)
    return tmp_path


def test_points_boxes_and_splits(folder, records):
    found = records(DATASET, folder)
    assert {split: sorted(of) for split, of in found.items()} == {
        "train": ["000001", "000002", "000003"], "validation": ["000005"],
        "test": ["000007", "000009"]}  # every fourth has no label
    listed = content(range(4))["annotations"]
    for number in range(1, 4):
        record, labels = found["train"][f"{number:06d}"], np.reshape(listed[number]["keypoints"], (15, 3))
        np.testing.assert_array_equal(record["visible"], labels[:, 2] == 2)
        np.testing.assert_array_equal(record["keypoints"], labels[:, :2])
        np.testing.assert_array_equal(record["box"], [0, 0, 90, 70 + number])
        assert record["scale"] == 90


def test_the_layout_of_mmpose(folder):
    plain = read(folder, [])
    (folder / "annotations").mkdir()
    (folder / "images").mkdir()
    for path in [*folder.glob("*.json")]:
        path.rename(folder / "annotations" / path.name)
    for part in ("train", "val", "test"):
        (folder / part).rename(folder / "images" / part)
    assert DATASET.check(folder) == []
    assert [one.name for one in read(folder, [])["test"]] == [one.name for one in plain["test"]]


def test_other_categories_are_refused(folder):
    wrong = content(range(4))
    wrong["categories"] = [{"id": 1, "name": "horse", "keypoints": ["left_eye", "right_eye", "nose"]}]
    (folder / "keypoint_train.json").write_text(json.dumps(wrong))
    other = content(range(4, 6))
    other["annotations"][1]["category_id"] = 18
    (folder / "keypoint_val.json").write_text(json.dumps(other))
    assert DATASET.check(folder) == [
        "keypoint_train.json categories entry 0: expected category 1 (tiger) with 15 points (left_ear, right_ear, "
        "nose, ...), found 1 (horse) with 3 (left_eye, right_eye, nose, ...)",
        "keypoint_val.json annotations entry 1 (image 5): expected category 1 (tiger), found 18; this is not a pose "
        "file of ATRW"]


def test_all_faults_come_at_once(folder):
    wrong = content(range(4))
    del wrong["images"][0]["filename"]
    wrong["annotations"][1]["keypoints"] = [1, 2, 2]
    wrong["annotations"][2]["bbox"] = [0, 0, 0, 5]
    wrong["annotations"][3]["keypoints"][2] = 3
    (folder / "keypoint_train.json").write_text(json.dumps(wrong))
    (folder / "keypoint_val.json").write_text("[]")
    (folder / "pose_tiger02_test.json").unlink()
    (folder / "test" / "000009.jpg").unlink()
    assert DATASET.check(folder) == [
        "keypoint_train.json images entry 0: field filename (or file_name) is missing",
        "keypoint_train.json annotations entry 0 (image 0): the image is not listed in images; download the file again",
        "keypoint_train.json annotations entry 1 (image 1) keypoints: expected 45 numbers, found 3",
        "keypoint_train.json annotations entry 2 (image 2) bbox: expected a positive width and height, found 0 and 5",
        "keypoint_train.json annotations entry 3 (image 3) keypoints: expected flag 0, 1 or 2, found 3",
        "keypoint_val.json: expected a mapping of images and annotations, found a list",
        f"pose_tiger02_test.json is missing, expected at {folder / 'pose_tiger02_test.json'}"]


def test_a_list_of_test_images_without_labels_is_refused(folder):
    (folder / "pose_tiger02_test.json").write_text(json.dumps(content(range(7, 10), labelled=False)))
    assert "download the one in ATRWEvalScript" in DATASET.check(folder)[0]


def test_the_real_files(published):
    faults = []
    splits = read(published("atrw_annotations"), faults)
    assert [len(tigers) for tigers in splits.values()] == [3609, 515, 0]
    assert len(faults) == 1  # no labels of test images there
    assert sum(int(tiger.visible.sum()) for tiger in splits["train"]) == 27831
    assert all((tiger.box == [0, 0, *tiger.size]).all() for tiger in splits["train"])
