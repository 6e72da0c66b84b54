"""SURREAL: the joints that are taken, the three splits, and damaged annotations."""
import json
import random

import numpy as np
import pytest

from data.surreal import DATASET, read


@pytest.fixture
def folder(tmp_path, write_image):
    rng = np.random.default_rng(2)
    for split, count in (("train", 2), ("val", 1), ("test", 2)):
        for run in range(3):
            entries = []
            for number in range(count):
                write_image(tmp_path / split / f"run{run}" / f"clip/{number}.jpg", 48, 64)
                entries.append({"name": f"clip/{number}.jpg", "keypoint2d": rng.uniform(0, 47, (24, 2)).tolist(),
                                "keypoint3d": np.ones((24, 3)).tolist(), "intrinsic_matrix": np.eye(3).tolist()})
            (tmp_path / split / f"run{run}.json").write_text(json.dumps(entries))
    return tmp_path


def test_joints_and_splits(folder, records):
    found = records(DATASET, folder)
    names = [f"run{run}/clip/{number}.jpg" for run in range(3) for number in range(2)]
    random.seed(42)
    random.shuffle(names)
    assert set(found["train"]) == set(names[1:])  # the held-out part of `train` is dropped
    assert set(found["test"]) == set(names[:1])  # and of `test` only that part is kept
    assert set(found["validation"]) == {f"run{run}/clip/0.jpg" for run in range(3)}
    for name, record in found["validation"].items():
        joints = np.array(json.loads((folder / "val" / f"{name[:4]}.json").read_text())[0]["keypoint2d"])
        np.testing.assert_allclose(record["keypoints"][0], joints[7], rtol=1e-6)  # the right ankle is SMPL's left one
        np.testing.assert_allclose(record["keypoints"][12:14], joints[13:15], rtol=1e-6)  # shoulders are collars
        assert record["visible"].tolist() == [1.0] * 16
        assert record["image"].shape == (64, 48, 3)


def test_all_faults_come_at_once(folder):
    entries = json.loads((folder / "train" / "run0.json").read_text())
    entries[0]["keypoint2d"] = entries[0]["keypoint2d"][:16]
    del entries[1]["name"]
    (folder / "train" / "run0.json").write_text(json.dumps(entries))
    (folder / "test" / "run2.json").unlink()
    faults = []
    read(folder, faults)
    assert len(faults) == 3
    assert "train/run0.json entry 0 (clip/0.jpg) keypoint2d: expected 24 x 2 numbers, found 16 x 2" in faults
    assert "train/run0.json entry 1: field name is missing" in faults
    assert faults[2].startswith("run2.json is missing, expected at")
