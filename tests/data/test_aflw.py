"""AFLW: points listed as (row, column), images of any size, tables of another length."""
import numpy as np
import pytest
import scipy.io

from data.aflw import DATASET

COUNTS = {"train": 3, "test": 2}


@pytest.fixture
def folder(tmp_path, write_image):
    for part, count in COUNTS.items():
        names = [f"image{number:05d}_{part}.jpg" for number in range(count)]
        sizes = np.array([[80 + number, 60] for number in range(count)])
        points = np.random.default_rng(count).uniform(5, 55, (count, 5, 2))
        for name, (height, width) in zip(names, sizes.tolist(), strict=True):
            write_image(tmp_path / "output" / name, width, height)
        (tmp_path / f"aflw_{part}_images.txt").write_text("\n".join(names))
        scipy.io.savemat(tmp_path / f"aflw_{part}_keypoints.mat", {"gt": points, "hw": sizes})
    return tmp_path


def test_points_are_turned_to_x_and_y(folder, records):
    found = records(DATASET, folder)
    for part, count in COUNTS.items():
        listed = scipy.io.loadmat(folder / f"aflw_{part}_keypoints.mat")["gt"]
        assert len(found[part]) == count
        for number in range(count):
            record = found[part][f"image{number:05d}_{part}.jpg"]
            assert record["image"].shape == (80 + number, 60, 3)
            np.testing.assert_allclose(record["keypoints"], listed[number, :, ::-1], rtol=1e-6)
            eyes = listed[number, :2]
            np.testing.assert_allclose(record["scale"], np.linalg.norm(eyes[0] - eyes[1]), rtol=1e-6)


def test_faults(folder, write_image):
    (folder / "aflw_train_images.txt").write_text("image00000_train.jpg\nimage00001_train.jpg\n")
    (folder / "aflw_test_keypoints.mat").unlink()
    assert DATASET.check(folder) == [
        "aflw_train_keypoints.mat gt (2 listed images): expected 2 x 5 x 2 numbers, found 3 x 5 x 2",
        "aflw_train_keypoints.mat hw (2 listed images): expected 2 x 2 numbers, found 3 x 2",
        f"aflw_test_keypoints.mat is missing, expected at {folder / 'aflw_test_keypoints.mat'}"]


def test_an_image_of_another_size_is_noticed(folder, write_image):
    write_image(folder / "output" / "image00000_test.jpg", 80, 60)
    assert DATASET.check(folder) == [
        "output/image00000_test.jpg is 80x60, but was annotated at 60x80; restore the original"]
