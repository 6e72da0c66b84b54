"""Leeds Sports Extended: its flag, filler coordinates, more columns than images, and the real copy."""
import numpy as np
import pytest
import scipy.io

from data.lspet import DATASET, read


@pytest.fixture
def folder(tmp_path, write_image):
    rng = np.random.default_rng(4)
    joints = np.zeros((14, 3, 9))
    joints[:, 2] = rng.random((14, 9)) > 0.2
    joints[:, :2] = np.where(joints[:, 2:] == 1, rng.uniform(1, 60, (14, 2, 9)), [[[0.0], [-26.0]]])
    joints[0, :, 0] = 79.6, 30, 1  # half a pixel and more beyond the border of the image
    scipy.io.savemat(tmp_path / "joints.mat", {"joints": joints})
    for number in range(1, 5):
        write_image(tmp_path / "images" / f"im{number:05d}.jpg", 80, 60 + number)
    return tmp_path


def test_flags_filler_and_images_that_are_there(folder, records):
    joints = scipy.io.loadmat(folder / "joints.mat")["joints"]
    found = records(DATASET, folder)
    assert sorted(found["train"]) == ["im00001", "im00002", "im00003", "im00004"]
    assert "test" not in found  # no image is there of the columns that test
    for number in range(4):
        record = found["train"][f"im{number + 1:05d}"]
        assert record["image"].shape == (61 + number, 80, 3)
        assert record["visible"][1] == joints[1, 2, number]
        assert (record["keypoints"][record["visible"] == 0] == 0).all()  # filler is never a target
        seen = np.flatnonzero(record["visible"][:6])
        np.testing.assert_allclose(record["keypoints"][seen], joints[seen, :2, number], rtol=1e-6)
        labelled = joints[joints[:, 2, number] == 1, :2, number]
        np.testing.assert_allclose(record["box"], [*labelled.min(0), *np.ptp(labelled, axis=0)], rtol=1e-6)
    assert found["train"]["im00001"]["visible"][0] == 1  # also outside


def test_the_split_and_a_gap_among_the_images(folder):
    faults = []
    splits = read(folder, faults, training=2, tuning=1)
    assert [[person.name for person in people] for people in splits.values()] == [
        ["im00001", "im00002"], ["im00003"], ["im00004"]]
    (folder / "images" / "im00002.jpg").unlink()
    assert DATASET.check(folder) == ["images/im00002.jpg is missing, but it has annotations; restore it"]


def test_flags_the_other_way_round_are_noticed(folder):
    joints = scipy.io.loadmat(folder / "joints.mat")["joints"]
    joints[:, 2] = 1 - joints[:, 2]
    scipy.io.savemat(folder / "joints.mat", {"joints": joints})
    assert "download the LSP Extended release" in DATASET.check(folder)[0]
    scipy.io.savemat(folder / "joints.mat", {"joints": joints.transpose(1, 0, 2)})
    assert "this is the original LSP, use lsp" in DATASET.check(folder)[0]


def test_the_real_copy(published):
    real = published("lsp_extended")
    assert DATASET.check(real) == []
    splits = read(real, [])
    assert [len(people) for people in splits.values()] == [1800, 200, 500]
    assert splits["tune"][0].name == "im01801"
    visible = np.mean([person.visible for people in splits.values() for person in people], axis=0)
    assert not visible[6:8].any()
    assert 0.85 < np.delete(visible, [6, 7]).mean() < 0.92  # of the 14 joints 12 % are not labelled
