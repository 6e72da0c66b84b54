"""Hand-3D-Studio: the choice of frames, the split, and damaged annotations."""
import json
import random

import numpy as np
import pytest

from data.h3d import DATASET, read
from data.prepared import check
from kpjax.errors import InputError


@pytest.fixture
def folder(tmp_path, write_image):
    root = tmp_path / "manual" / "H3D_crop"
    rng = np.random.default_rng(0)
    entries = []
    for number in range(6):
        name = f"part{1 + number % 5}/{number}.jpg"
        write_image(root / name, 60, 50)
        entries.append({"name": name, "keypoint2d": rng.uniform(5, 45, (21, 2)).tolist(),
                        "keypoint3d": np.zeros((21, 3)).tolist(), "intrinsic_matrix": np.eye(3).tolist(),
                        "without_object": int(number != 2)})
    (root / "annotation.json").write_text(json.dumps(entries))
    return tmp_path / "manual"


def rewrite(folder, change):
    path = folder / "H3D_crop" / "annotation.json"
    entries = json.loads(path.read_text())
    change(entries)
    path.write_text(json.dumps(entries))
    return entries


def test_frames_without_object_are_split_by_the_seeded_shuffle(folder, records):
    found = records(DATASET, folder)
    entries = json.loads((folder / "H3D_crop" / "annotation.json").read_text())
    names = [entry["name"] for entry in entries if entry["without_object"]]
    random.seed(42)  # as the authors do
    random.shuffle(names)
    assert set(found["test"]) == set(names[:1])
    assert set(found["train"]) == set(names[1:])
    for record in (found["train"] | found["test"]).values():
        entry = next(entry for entry in entries if entry["name"] == record["id"].decode())
        np.testing.assert_allclose(record["keypoints"], entry["keypoint2d"], rtol=1e-6)
        assert record["visible"].all()
        assert record["image"].shape == (50, 60, 3)
        np.testing.assert_allclose(record["scale"], np.linalg.norm(np.ptp(entry["keypoint2d"], axis=0)), rtol=1e-6)


def test_all_faults_come_at_once(folder):
    def spoil(entries):
        entries[0]["keypoint2d"][3][1] = "12,5"
        entries[1]["keypoint2d"].pop()
        entries[3]["keypoint2d"][0] = [float("inf"), 3.0]
        entries[4]["keypoint2d"][20] = [900.0, 3.0]
        del entries[5]["without_object"]
    rewrite(folder, spoil)
    with pytest.raises(InputError) as error:
        check(DATASET, folder)
    message = str(error.value)
    assert "5 faults" in message
    for part in ("entry 0 (part1/0.jpg) keypoint2d: expected a number, found '12,5'",
                 "expected 21 x 2 numbers, found 20 x 2", "expected a finite number, found inf",
                 "60x50, but keypoint 20 is at (900, 3)",
                 "entry 5: field without_object is missing"):
        assert part in message


def test_a_frame_that_is_listed_twice_is_a_fault(folder):
    rewrite(folder, lambda entries: entries.extend(entries[:1] * 5))
    assert any("part1/0.jpg is listed twice" in fault for fault in DATASET.check(folder))


@pytest.mark.parametrize(("content", "fault"), [("[{", "not valid JSON"), ("{}", "found a dict")])
def test_damaged_json_is_named(folder, content, fault):
    (folder / "H3D_crop" / "annotation.json").write_text(content)
    faults = []
    assert read(folder, faults) == {"train": [], "test": []}
    assert len(faults) == 1
    assert fault in faults[0]


def test_missing_and_empty_folders_are_reported_with_a_source(tmp_path):
    with pytest.raises(InputError, match=r"is not a folder; download the dataset first .*H3D_crop.tar"):
        check(DATASET, tmp_path / "nowhere")
    with pytest.raises(InputError, match="is empty; download the dataset first"):
        check(DATASET, tmp_path)
