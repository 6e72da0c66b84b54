"""FreiHAND: projection, the numbers of the four versions, the crop and its mirror, and damaged annotations."""
import json
import random

import numpy as np
import pytest

from data.freihand import DATASET, read

SAMPLES = 3
CAMERA = np.array([[480.0, 0, 112], [0, 470.0, 110], [0, 0, 1]])


@pytest.fixture
def folder(tmp_path, write_image):
    rng = np.random.default_rng(1)
    points = np.concatenate([rng.uniform(-0.07, 0.07, (SAMPLES, 21, 2)), rng.uniform(0.6, 0.8, (SAMPLES, 21, 1))], -1)
    for number in range(4 * SAMPLES):
        u, v = projected(points[number % SAMPLES])[0].round().astype(int)
        write_image(tmp_path / "training" / "rgb" / f"{number:08d}.jpg", 224, 224, {(int(u), int(v)): (255, 255, 255)})
    (tmp_path / "training_K.json").write_text(json.dumps([CAMERA.tolist()] * SAMPLES))
    (tmp_path / "training_xyz.json").write_text(json.dumps(points.tolist()))
    return tmp_path


def projected(points):
    return np.stack([480 * points[:, 0] / points[:, 2] + 112, 470 * points[:, 1] / points[:, 2] + 110], 1)


def test_hands_are_projected_cut_and_mirrored(folder, records):
    found = records(DATASET, folder)
    order = [number + SAMPLES * version for version in (0, 3, 2, 1) for number in range(SAMPLES)]
    random.seed(42)
    random.shuffle(order)
    assert set(found["test"]) == {f"{number:08d}" for number in order[:2]}
    assert set(found["train"]) == {f"{number:08d}" for number in order[2:]}
    world = np.array(json.loads((folder / "training_xyz.json").read_text()))
    for name, record in (found["train"] | found["test"]).items():
        points = projected(world[int(name) % SAMPLES])
        low, high = points.min(0), points.max(0)
        side = min(round(1.5 * (high - low).max()), 224)
        corner = np.clip(np.round((low + high) / 2 - side / 2), 0, 224 - side)
        assert record["image"].shape == (side - 1, side - 1, 3)
        expected = points - corner
        expected[:, 0] = side - 2 - expected[:, 0]
        np.testing.assert_allclose(record["keypoints"], expected, atol=1e-3)
        x, y = record["keypoints"][0].round().astype(int)
        assert record["image"][y, x].min() > 200  # the wrist is still on its dot


def test_all_faults_come_at_once(folder):
    cameras = [CAMERA.tolist() for _ in range(SAMPLES)]
    cameras[0][1] = [0.0, 470.0]
    world = json.loads((folder / "training_xyz.json").read_text())
    world[1][4] = [0.0, None, 0.7]
    world[2][3][2] = -0.7
    (folder / "training_K.json").write_text(json.dumps(cameras))
    (folder / "training_xyz.json").write_text(json.dumps(world))
    faults = []
    assert read(folder, faults) == {"train": [], "test": []}
    assert faults == ["training_K.json entry 0: expected 3 x 3 numbers, found rows of unequal length",
                      "training_xyz.json entry 1: expected a number, found 'null'",
                      "training_xyz.json entry 2: expected positive depths, found -0.7"]


def test_lists_of_unequal_length_and_an_image_of_another_size_are_faults(folder, write_image):
    write_image(folder / "training" / "rgb" / "00000004.jpg", 200, 224)
    assert DATASET.check(folder) == [
        "training/rgb/00000004.jpg is 200x224, but was annotated at 224x224; restore the original"]
    (folder / "training_K.json").write_text("[]")
    assert "has 0 entries and training_xyz.json 3" in DATASET.check(folder)[0]
