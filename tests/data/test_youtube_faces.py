"""Faces: PNG files named .jpg with alpha, the eye distance, the mirrored order, parts by person, damaged tables."""
import csv

import numpy as np
import pytest

from data.prepared import check
from data.youtube_faces import DATASET, person, read
from kpjax.annotations.face_points import FACE
from kpjax.errors import InputError


def points(seed):
    return np.random.default_rng(seed).integers(4, 92, 136) / 2


@pytest.fixture
def folder(tmp_path, write_image):
    root = tmp_path / "manual" / "data"
    for seed, (part, count) in enumerate({"training": 3, "test": 2}.items()):
        rows = [["", *range(136)]]
        for number in range(count):
            name = f"face{number}_{seed}.jpg"
            write_image(root / part / name, 50, 56 + number, {(9, 9): (250, 10, 20)}, "PNG", "RGBA")
            rows.append([name, *points(10 * seed + number)])
        write(root / f"{part}_frames_keypoints.csv", rows)
    return root.parent


def write(path, rows):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)


def test_alpha_is_dropped_and_the_eyes_give_the_scale(folder, records):
    found = records(DATASET, folder)
    assert {split: set(of) for split, of in found.items()} == {  # no person in two parts, from either table
        "train": {"training/face2_0.jpg"}, "tune": {"training/face0_0.jpg", "test/face0_1.jpg"},
        "test": {"training/face1_0.jpg", "test/face1_1.jpg"}}
    for number, split in enumerate(("tune", "test", "train")):
        record = found[split][f"training/face{number}_0.jpg"]
        keypoints = points(number).reshape(68, 2)
        assert record["image"].shape == (56 + number, 50, 3)
        assert record["image"][9, 9].tolist() == [250, 10, 20]
        np.testing.assert_array_equal(record["keypoints"], keypoints.astype(np.float32))
        assert record["visible"].all()
        np.testing.assert_allclose(record["scale"], np.linalg.norm(keypoints[36] - keypoints[45]), rtol=1e-6)


def test_all_faults_come_at_once(folder):
    table = folder / "data" / "training_frames_keypoints.csv"
    rows = [line.split(",") for line in table.read_text().splitlines()]
    rows[1].pop()
    rows[2][5] = "left"
    rows[3][7], rows[3][8] = "nan", "inf"
    write(table, [*rows, ["face9_0.jpg", *points(0)]])
    with pytest.raises(InputError) as error:
        check(DATASET, folder)
    message = str(error.value)
    assert "5 faults" in message
    for part in ("line 2 (face0_0.jpg): expected a file name and 136 coordinates, found 136 columns",
                 "line 3 (face1_0.jpg) column 4: expected a number, found 'left'",
                 "column 6: expected a finite number, found nan", "column 7: expected a finite number, found inf",
                 "data/training/face9_0.jpg is missing"):
        assert part in message


def test_a_face_that_is_listed_twice_is_a_fault(folder):
    table = folder / "data" / "test_frames_keypoints.csv"
    rows = [line.split(",") for line in table.read_text().splitlines()]
    write(table, rows + rows[-1:])
    assert DATASET.check(folder) == ["test/face1_1.jpg is listed twice in test; keep one of the entries"]


def test_the_real_copy(published):
    real = published("youtube_faces_68")
    assert DATASET.check(real) == []
    splits = read(real, [])
    assert [len(faces) for faces in splits.values()] == [162, 49, 89]
    persons = [{person(face) for face in faces} for faces in splits.values()]
    assert len(set.union(*persons)) == sum(map(len, persons))
    shapes = np.stack([face.keypoints for faces in splits.values() for face in faces])
    mean = (shapes - shapes.mean(1, keepdims=True)).mean(0)
    mirrored = mean[list(FACE.flip)] * [-1, 1]  # a mean face is nearly its own mirror image
    assert np.abs(mirrored - mean).max() < 0.1 * np.ptp(mean[:, 0])
    assert all(mean[FACE.index("right_eye_0"), 0] < mean[FACE.index(name), 0] for name in ("bridge_0", "left_eye_0"))
