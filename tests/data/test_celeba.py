"""CelebA with MAFL: how the lists divide the images, and lists that do not match each other or the images."""
import numpy as np
import pytest

from data.celeba import DATASET, LANDMARKS, MAFL, PARTITION, read
from data.prepared import check
from kpjax.errors import InputError

NAMES = [f"{number:06d}.jpg" for number in range(1, 9)]
COLUMNS = ("lefteye_x lefteye_y righteye_x righteye_y nose_x nose_y leftmouth_x leftmouth_y rightmouth_x "
           "rightmouth_y")
POINTS = np.random.default_rng(5).integers(40, 140, (8, 10))


@pytest.fixture
def folder(tmp_path, write_image):
    root = tmp_path / "manual" / "celeba"
    for name, row in zip(NAMES, POINTS, strict=True):
        nose = int(row[4]), int(row[5])
        write_image(root / "Img" / "img_align_celeba_hq" / name, 178, 218, {nose: (255, 255, 255)})
    rows = "".join(f"{name} " + "  ".join(f"{number:4d}" for number in row) + "\n"
                   for name, row in zip(NAMES, POINTS, strict=True))
    write(root, LANDMARKS, f"{len(NAMES)}\n{COLUMNS}\n{rows}")
    parts = "".join(f"{name} {part}\n" for name, part in zip(NAMES, "00001122", strict=True))
    write(root, PARTITION, parts)
    write(root, MAFL["mafl_train"], f"{NAMES[1]}\n{NAMES[4]}")  # the last line has no line break
    write(root, MAFL["mafl_test"], f"{NAMES[6]}\n")
    return root


def write(root, path, text):
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text)


def test_every_image_is_in_one_split(folder, records):
    found = records(DATASET, folder.parent)
    assert {split: sorted(of) for split, of in found.items()} == {
        "train": ["000001", "000003", "000004"], "validation": ["000006"], "test": ["000008"],
        "mafl_train": ["000002", "000005"], "mafl_test": ["000007"]}
    for number, row in enumerate(POINTS.reshape(8, 5, 2), start=1):
        record = next(of[f"{number:06d}"] for of in found.values() if f"{number:06d}" in of)
        np.testing.assert_array_equal(record["keypoints"], row)
        np.testing.assert_allclose(record["scale"], np.linalg.norm(row[0] - row[1]), rtol=1e-6)
        assert record["image"][row[2, 1], row[2, 0]].min() > 150  # the nose is on its dot


@pytest.mark.parametrize(("path", "text", "said"), [
    (MAFL["mafl_test"], "000007.jpg\n000099.jpg\n", "MAFL/testing.txt: 000099.jpg has no row in"),
    (MAFL["mafl_test"], "000002.jpg\n", "MAFL/testing.txt: 000002.jpg is already in MAFL/training.txt"),
    (PARTITION, "".join(f"{name} 0\n" for name in NAMES[:7]), f"{PARTITION}: 000008.jpg is missing, but it has a row"),
    (PARTITION, "".join(f"{name} 3\n" for name in NAMES),
     f"{PARTITION} line 1 (000001.jpg): expected part 0, 1 or 2, found 3"),
    (LANDMARKS, f"9\n{COLUMNS}\n" + "".join(f"{name} {'60 ' * 10}\n" for name in NAMES),
     f"{LANDMARKS}: the first line announces 9, found 8 rows"),
    (LANDMARKS, f"8\n{COLUMNS}\n" + "".join(f"{name} {'60 ' * 9}\n" for name in NAMES),
     f"{LANDMARKS} line 3 (000001.jpg): expected 10 coordinates, found 9"),
    (LANDMARKS, f"7\n{COLUMNS}\n" + "".join(f"{name} {'60 ' * 10}\n" for name in NAMES[:7]),
     f"{LANDMARKS}: no row for 1 of the images in Img/img_align_celeba_hq (000008.jpg)"),
    ("Img/img_align_celeba_hq/000003.jpg", None, "Img/img_align_celeba_hq/000003.jpg is missing"),
])
def test_lists_that_do_not_match_are_one_line(folder, path, text, said):
    if text is None:
        (folder / path).unlink()
    else:
        write(folder, path, text)
    with pytest.raises(InputError) as error:
        check(DATASET, folder)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_images_of_another_release_are_refused(folder, write_image):
    write_image(folder / "Img" / "img_align_celeba_hq" / "000002.jpg", 160, 160)
    assert DATASET.check(folder) == [
        "Img/img_align_celeba_hq/000002.jpg is 160x160, but was annotated at 178x218; restore the original"]


def test_the_real_lists(tmp_path, published):
    aligned = published("celeba_format/align_celeba")
    for path in ("Anno", "Eval", "Img"):
        (tmp_path / path).symlink_to(aligned / path)
    (tmp_path / "MAFL").symlink_to(published("mafl_lists/MAFL"))
    faults = []
    splits = read(tmp_path, faults)
    assert [len(faces) for faces in splits.values()] == [2, 0, 2, 1, 0]
    np.testing.assert_array_equal(splits["train"][0].keypoints[:2], [[69, 109], [106, 113]])
    assert len(faults) == 20000 - 1  # the names of MAFL whose rows are not here
    assert faults[0].startswith("MAFL/training.txt: ")
