"""Human3.6M: every fifth frame projected, cut and resized; crops that exist already; the draws of the test set."""
import json
import random

import numpy as np
import pytest

from data.human36m import DATASET, TEST, TRAIN, Human36M, body_of, read

ROTATION = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])  # the world's z is up, the camera looks along y
CAMERA = {"R": ROTATION.tolist(), "t": [10.0, -20.0, 4000.0], "f": [1100.0, 1120.0], "c": [250.0, 240.0]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory, write_image):
    root = tmp_path_factory.mktemp("human36m")
    (root / "annotations").mkdir()
    for subject in (*TRAIN, *TEST):
        rng = np.random.default_rng(subject)
        joints = rng.uniform(-500, 500, (17, 3))
        name = f"s_{subject:02d}/s_{subject:02d}_000001.jpg"
        if subject in (8, 11):  # already cropped by RegDA's code
            write_image(root / "crop_images" / name, 512, 512)
            content = [{"name": name, "keypoint2d": rng.uniform(80, 430, (16, 2)).tolist(),
                        "keypoint3d": [], "intrinsic_matrix": []}]
            (root / "annotations" / f"keypoints2d_{subject}.json").write_text(json.dumps(content))
            continue
        wrist = expected(joints)[10].round().astype(int)
        write_image(root / "images" / name, 500, 480, {tuple(wrist.tolist()): (255, 255, 255)})
        frames = [{"file_name": name.replace("000001", f"{1 + number:06d}"), "width": 500, "height": 480,
                   "action_idx": 2, "subaction_idx": 1, "frame_idx": number, "cam_idx": 1} for number in range(5)]
        files = {"camera": {"1": CAMERA}, "data": {"images": frames, "annotations": []},
                 "joint_3d": {"2": {"1": {"0": joints.tolist()}}}}
        for what, file in files.items():
            (root / "annotations" / f"Human36M_subject{subject}_{what}.json").write_text(json.dumps(file))
    return root


def expected(joints):
    """Computes the 16 points in pixels, one by one."""
    chosen = [joints[k] for k in (3, 2, 1, 4, 5, 6, 0, 11, 8, 10, 16, 15, 14, 11, 12, 13)]
    chosen[7] = (chosen[12] + chosen[13]) / 2
    seen = [ROTATION @ point + CAMERA["t"] for point in chosen]
    return np.array([[1100 * x / z + 250, 1120 * y / z + 240] for x, y, z in seen])


def test_frames_are_projected_cut_and_resized(folder, records, monkeypatch):
    monkeypatch.setattr(Human36M, "draws", 4)
    found = records(DATASET, folder)
    assert len(found["train"]) == 5  # of each of five subjects the first of five frames
    assert len(found["test"]) == 4
    for subject in (1, 5, 6, 7):
        record = found["train"][f"s_{subject:02d}/s_{subject:02d}_000001.jpg"]
        points = expected(np.random.default_rng(subject).uniform(-500, 500, (17, 3)))
        low, high = points.min(0), points.max(0)
        side = min(round(1.5 * (high - low).max()), 480)
        corner = np.clip(np.round((low + high) / 2 - side / 2), 0, np.array([500, 480]) - side)
        np.testing.assert_allclose(record["keypoints"], (points - corner + 0.5) * 512 / side - 0.5, atol=2e-3)
        assert record["image"].shape == (512, 512, 3)
        x, y = record["keypoints"][10].round().astype(int)
        assert record["image"][y, x].min() > 180  # the wrist is still on its dot
        np.testing.assert_allclose(record["scale"], np.linalg.norm(np.ptp(record["keypoints"], axis=0)), rtol=1e-5)


def test_test_frames_are_drawn_with_replacement_as_the_authors_do(folder):
    frames = read(folder, [])["test"]
    random.seed(42)
    drawn = random.choices(["s_09/s_09_000001.jpg", "s_11/s_11_000001.jpg"], k=3200)
    assert [frame.name for frame in frames] == [f"{name}#{number}" for number, name in enumerate(drawn)]
    assert frames[[name[:4] for name in drawn].index("s_11")].image == folder / "crop_images" / "s_11/s_11_000001.jpg"


def test_the_thorax_is_halfway_between_the_shoulders():
    joints = np.arange(51.0).reshape(17, 3)
    body = body_of(joints)
    np.testing.assert_array_equal(body[7], (joints[14] + joints[11]) / 2)
    np.testing.assert_array_equal(body[[0, 9, 15]], joints[[3, 10, 13]])


def test_all_faults_come_at_once(folder, tmp_path):
    (tmp_path / "annotations").mkdir()
    for file in (folder / "annotations").iterdir():
        (tmp_path / "annotations" / file.name).write_bytes(file.read_bytes())
    cameras = tmp_path / "annotations" / "Human36M_subject1_camera.json"
    cameras.write_text(json.dumps({"1": {**CAMERA, "f": [1100.0]}}))
    joints = tmp_path / "annotations" / "Human36M_subject5_joint_3d.json"
    joints.write_text(json.dumps({"2": {"1": {}}}))
    (tmp_path / "annotations" / "Human36M_subject7_data.json").unlink()
    faults = []
    read(tmp_path, faults)
    assert len(faults) == 3
    assert faults[0] == "Human36M_subject1_camera.json camera 1 f: expected 2 numbers, found 1"
    assert "action 2, 1, frame 0 is missing in Human36M_subject5_joint_3d.json" in faults[1]
    assert faults[2].startswith("Human36M_subject7_data.json is missing")
