"""Cats: the .cat files, folders as splits, ear tips beyond the border, and the real sample."""
import numpy as np
import pytest

from data.cats import CAT, DATASET, read
from data.prepared import check
from kpjax.errors import InputError

POINTS = np.array([[30, 40], [60, 41], [44, 62], [10, 30], [12, 5], [25, 20], [64, 22], [80, -4], [82, 33]])
FOLDERS = ("CAT_00", "CAT_03", "CAT_04")


@pytest.fixture
def folder(tmp_path, write_image):
    for number, name in enumerate(FOLDERS):
        image = tmp_path / "CAT_DATASET_01" / name / "00000001_000.jpg"
        write_image(image, 90, 80 + number, {(44, 62): (255, 255, 255)})
        described = image.with_name("00000001_000.jpg.cat")
        described.write_text("9 " + " ".join(str(cell) for cell in POINTS.ravel()) + " ")
    return tmp_path


def test_folders_are_splits_and_points_outside_stay_labelled(folder, records):
    found = records(DATASET, folder)
    assert {split: sorted(of) for split, of in found.items()} == {
        "train": ["CAT_00/00000001_000", "CAT_03/00000001_000"], "test": ["CAT_04/00000001_000"]}
    record = found["train"]["CAT_00/00000001_000"]
    assert record["visible"].all()
    np.testing.assert_array_equal(record["keypoints"], POINTS)
    assert record["image"][62, 44].min() > 150  # the mouth is on its dot
    np.testing.assert_allclose(record["scale"], np.hypot(30, 1), rtol=1e-6)


@pytest.mark.parametrize(("content", "said"), [
    ("9 " + " ".join(str(cell) for cell in POINTS.ravel()[:-1]), "expected 18 coordinates after the 9, found 17"),
    ("9 " + " ".join(str(cell) for cell in POINTS.ravel()[:-1]) + " x", "expected a number, found 'x'"),
    ("8 " + " ".join(str(cell) for cell in POINTS.ravel()[:-2]), "expected 9, the number of points, at the start, "),
    ("", "at the start, found nothing"),
])
def test_a_file_with_a_missing_number_is_one_line(folder, content, said):
    (folder / "CAT_DATASET_01" / "CAT_03" / "00000001_000.jpg.cat").write_text(content)
    with pytest.raises(InputError, match=r"CAT_03/00000001_000\.jpg\.cat: ") as error:
        check(DATASET, folder)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_faults_of_the_published_archive_have_a_remedy(folder):
    place = folder / "CAT_DATASET_01" / "CAT_00"
    (place / "00000001_000.jpg.cat").rename(place / "00000003_019.jpg.cat")
    assert DATASET.check(folder) == [
        "CAT_00/00000001_000.jpg has no 00000001_000.jpg.cat; add it (one is published separately) or delete the image",
        "CAT_00/00000003_019.jpg.cat has no image; delete it"]


def test_the_real_sample(published):
    real = published("cats")
    assert DATASET.check(real) == []
    cats = read(real, [])["train"]
    assert len(cats) == 24
    shapes = np.stack([cat.keypoints for cat in cats])
    shapes = shapes - shapes[:, :2].mean(1, keepdims=True)
    mean = np.median(shapes / np.linalg.norm(shapes[:, :1] - shapes[:, 1:2], axis=-1, keepdims=True), axis=0)
    mirrored = mean[list(CAT.flip)] * [-1, 1]  # a mean cat is nearly its own mirror image
    assert np.abs(mirrored - mean).max() < 0.2
    assert mean[CAT.index("left_eye"), 0] < 0
    assert mean[CAT.index("left_ear_outer"), 0] < mean[CAT.index("left_ear_inner"), 0]
    assert mean[CAT.index("left_ear_tip"), 1] < mean[CAT.index("left_ear_inner"), 1]
