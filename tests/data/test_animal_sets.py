"""Sets of animals and things: ATRW, CUB-200-2011 and UT Zappos50K."""
import json

import numpy as np
from dataset_contract import Sample, of_sample, placed, write_image

from data import atrw, cub200_2011, ut_zappos50k

# ATRW

CATEGORY = {"id": 1, "name": "tiger", "keypoints": list(atrw.TIGER.names)}
TIGERS = {"train": range(4), "val": range(4, 6), "test": range(7, 10)}
FILES = {"train": "keypoint_train.json", "val": "keypoint_val.json", "test": "pose_tiger02_test.json"}


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


def write_atrw(folder, annotations="", images=""):
    for part, numbers in TIGERS.items():
        stored = content(numbers, "file_name" if part == "val" else "filename")
        placed(f"{annotations}{FILES[part]}", json.dumps(stored))(folder)
        for number in numbers:
            write_image(folder / f"{images}{part}" / f"{number:06d}.jpg", 90, 70 + number)


ATRW = Sample(
    atrw.DATASET, write_atrw,  # every fourth has no label
    {"train": ["000001", "000002", "000003"], "validation": ["000005"], "test": ["000007", "000009"]},
    damages=[(placed(FILES["test"], json.dumps(content(TIGERS["test"], labelled=False))),
              ["download the one in ATRWEvalScript"]),
             (placed(FILES["train"], json.dumps({**content(range(4)), "categories": [{"id": 2, "name": "horse"}]})),
              ["keypoint_train.json categories entry 0: expected category 1 (tiger)"])])


def test_points_and_boxes_of_tigers(tmp_path, monkeypatch):
    found, listed = of_sample(ATRW, tmp_path, monkeypatch), content(range(4))["annotations"]
    for number in range(1, 4):
        record, labels = found["train"][f"{number:06d}"], np.reshape(listed[number]["keypoints"], (15, 3))
        np.testing.assert_array_equal(record["visible"], labels[:, 2] == 2)
        np.testing.assert_array_equal(record["keypoints"], labels[:, :2])
        np.testing.assert_array_equal(record["box"], [0, 0, 90, 70 + number])
        assert record["scale"] == 90


# CUB-200-2011

CLASSES = {1: 1, 2: 100, 3: 101, 4: 150, 5: 151, 7: 200}  # of the images
ROOT = "CUB_200_2011"
LOCATIONS = "parts/part_locs.txt"


def bird(image):
    return f"{CLASSES[image]:03d}.Some_Bird/Some_Bird_{image:04d}_{image * 17}"


def write_cub(folder):
    rng = np.random.default_rng(5)
    tables = {"images.txt": [], "image_class_labels.txt": [], "bounding_boxes.txt": [], LOCATIONS: []}
    for image, class_ in CLASSES.items():
        write_image(folder / ROOT / "images" / f"{bird(image)}.jpg", 80, 60, {(50, 30): (255, 255, 255)})
        tables["images.txt"].append(f"{image} {bird(image)}.jpg")
        tables["image_class_labels.txt"].append(f"{image} {class_}")
        tables["bounding_boxes.txt"].append(f"{image} {image}.0 8.0 60.0 {40 + image}.0")
        for part in range(1, 16):
            x, y, flag = (51, 31, 1) if part == 2 else (*rng.integers(10, 50, 2), rng.integers(2))
            tables[LOCATIONS].append(f"{image} {part} {x * flag:.1f} {y * flag:.1f} {flag}")
    tables["parts/parts.txt"] = [f"{part} {name.replace('_', ' ')}"
                                 for part, name in enumerate(cub200_2011.BIRD.names, start=1)]
    for name, lines in tables.items():
        (folder / ROOT / name).parent.mkdir(exist_ok=True)
        (folder / ROOT / name).write_text("\n".join(lines) + "\n")


CUB = Sample(
    cub200_2011.DATASET, write_cub,
    {"train": [bird(1), bird(2)], "validation": [bird(3), bird(4)], "test": [bird(5), bird(7)]},
    unit=lambda name: name.partition("/")[0],
    damages=[(lambda folder: (folder / ROOT / "bounding_boxes.txt").write_text(
        "".join(f"{image} 1.0 8.0 {'x' if image == 3 else '9.0'} 7.0\n" for image in CLASSES)),
              ["bounding_boxes.txt line 3: expected a number, found 'x'"])])


def test_parts_and_boxes_of_birds(tmp_path, monkeypatch):
    found = of_sample(CUB, tmp_path, monkeypatch)
    table = np.loadtxt(tmp_path / "downloaded" / ROOT / LOCATIONS).reshape(-1, 15, 5)
    for record, rows in ((found["train"][bird(1)], table[0]), (found["test"][bird(7)], table[5])):
        np.testing.assert_array_equal(record["visible"], rows[:, 4])
        np.testing.assert_array_equal(record["keypoints"], (rows[:, 2:4] - 1) * rows[:, 4:])
        assert record["image"][30, 50].min() > 200  # the beak is on its dot, counted from 0
        np.testing.assert_array_equal(record["box"], [rows[0, 0], 8, 60, 40 + rows[0, 0]])
        assert record["scale"] == 60


# UT Zappos50K

def write_shoes(folder, release="ut-zap50k-images", width=60):
    for number in range(5):
        write_image(folder / release / "Boots" / "Ankle" / "Maker & Co." / f"7{number}.{number}.jpg", width, 40)


HELD_OUT = [f"Boots/Ankle/Maker & Co./7{n}.{n}" for n in np.random.default_rng(1000).permutation(5)[-2:]]
SHOES = Sample(
    ut_zappos50k.DATASET, write_shoes, {"train": 3, "test": HELD_OUT}, constants={"ut_zappos50k.TESTING": 2},
    damages=[(lambda folder: [path.unlink() for path in folder.rglob("*.jpg")], ["has no .jpg in any subfolder"])])


def test_shoes_are_squared_with_white(tmp_path, monkeypatch):
    record = of_sample(SHOES, tmp_path, monkeypatch)["test"][HELD_OUT[0]]
    assert record["image"].shape == (60, 60, 3)
    assert record["image"][:8].min() > 245
    assert record["scale"] == 60
