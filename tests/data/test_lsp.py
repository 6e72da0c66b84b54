"""Leeds Sports: the 16 slots, the flag that means hidden, both splits, and damaged files."""
import numpy as np
import pytest
import scipy.io

from data.lsp import DATASET, read


@pytest.fixture
def folder(tmp_path, write_image):
    rng = np.random.default_rng(3)
    joints = np.concatenate([rng.uniform(2, 78, (2, 14, 3)), rng.integers(0, 2, (1, 14, 3))])
    scipy.io.savemat(tmp_path / "joints.mat", {"joints": joints})
    for number in range(1, 4):
        write_image(tmp_path / "images" / f"im{number:04d}.jpg", 80, 90)
    return tmp_path


def test_slots_flags_and_splits(folder, records):
    found = records(DATASET, folder)
    joints = scipy.io.loadmat(folder / "joints.mat")["joints"]
    assert set(found["train"]) == set(found["test"]) == {"im0001", "im0002", "im0003"}
    for number in range(3):
        record = found["train"][f"im{number + 1:04d}"]
        for slot, joint in {0: 0, 5: 5, 8: 12, 9: 13, 10: 6, 12: 8, 15: 11}.items():
            assert record["visible"][slot] == 1 - joints[2, joint, number]
            if record["visible"][slot]:
                np.testing.assert_allclose(record["keypoints"][slot], joints[:2, joint, number], rtol=1e-6)
        assert not record["visible"][6:8].any()  # pelvis and thorax have no label
        assert record["image"].shape == (90, 80, 3)
        low, high = joints[:2, :, number].min(1), joints[:2, :, number].max(1)
        np.testing.assert_allclose(record["box"], [*low, *(high - low)], rtol=1e-6)  # hidden joints have a place, too


def test_halves_count_hidden_joints(folder, records):
    found = records(DATASET, folder)
    assert set(found) == {"train", "test", "first_half"}
    assert len(found["first_half"]) == 3
    assert all(record["visible"].sum() == 14 for record in found["first_half"].values())
    halves = read(folder, [], half=2)
    assert [one.name for one in halves["second_half"]] == ["im0003"]


def test_all_faults_come_at_once(folder):
    joints = scipy.io.loadmat(folder / "joints.mat")["joints"]
    joints[2, 4, 0] = 2
    joints[:, 1, 1] = np.nan, 5, 0
    scipy.io.savemat(folder / "joints.mat", {"joints": joints})
    (folder / "images" / "im0003.jpg").unlink()
    assert DATASET.check(folder) == [
        "joints.mat column of im0001.jpg: expected flag 0 or 1, found 2",
        "joints.mat column of im0002.jpg: joint 1 is flagged visible, but its coordinates are not finite; "
        "correct it",
        "images/im0003.jpg is missing, but it has annotations; restore it"]


def test_a_set_without_any_visible_keypoint_is_refused(folder):
    scipy.io.savemat(folder / "joints.mat", {"joints": np.ones((3, 14, 3))})
    assert "no keypoint is visible in the whole set" in DATASET.check(folder)[0]


@pytest.mark.parametrize(("content", "fault"), [
    ({"joints": np.zeros((14, 3, 3))}, "this is LSP Extended, use lspet"), ({"joints": np.zeros((3, 14))}, "2 axes"),
    ({"other": np.zeros(3)}, "variable joints is missing"), (None, "cannot be read")])
def test_other_files_are_refused(folder, content, fault):
    if content is None:
        path = folder / "joints.mat"
        path.write_bytes(path.read_bytes()[:-200])
    else:
        scipy.io.savemat(folder / "joints.mat", content)
    faults = []
    assert not any(read(folder, faults).values())
    assert len(faults) == 1
    assert fault in faults[0]
