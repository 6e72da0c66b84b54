"""CUB-200-2011: the split by class, parts counted from 1, tables that do not fit each other, the real tables."""
import numpy as np
import pytest

from data.cub200_2011 import BIRD, DATASET, read

CLASSES = {1: 1, 2: 100, 3: 101, 4: 150, 5: 151, 7: 200}  # of the images


@pytest.fixture
def folder(tmp_path, write_image):
    root = tmp_path / "CUB_200_2011"
    (root / "parts").mkdir(parents=True)
    rng = np.random.default_rng(5)
    tables = {"images.txt": [], "image_class_labels.txt": [], "bounding_boxes.txt": [], "parts/part_locs.txt": []}
    for image, class_ in CLASSES.items():
        path = f"{class_:03d}.Some_Bird/Some_Bird_{image:04d}_{image * 17}.jpg"
        write_image(root / "images" / path, 80, 60, {(50, 30): (255, 255, 255)})
        tables["images.txt"].append(f"{image} {path}")
        tables["image_class_labels.txt"].append(f"{image} {class_}")
        tables["bounding_boxes.txt"].append(f"{image} {image}.0 8.0 60.0 {40 + image}.0")
        for part in range(1, 16):
            x, y, flag = (51, 31, 1) if part == 2 else (*rng.integers(10, 50, 2), rng.integers(2))
            tables["parts/part_locs.txt"].append(f"{image} {part} {x * flag:.1f} {y * flag:.1f} {flag}")
    tables["parts/parts.txt"] = [f"{part} {name.replace('_', ' ')}" for part, name in enumerate(BIRD.names, start=1)]
    for name, lines in tables.items():
        (root / name).write_text("\n".join(lines) + "\n")
    return tmp_path


def change(folder, name, line, text):
    """Replaces a line, counted from 1; appends one beyond the end."""
    path = folder / "CUB_200_2011" / name
    lines = path.read_text().splitlines()
    lines[line - 1:line] = [] if text is None else [text]
    path.write_text("\n".join(lines) + "\n")


def test_classes_parts_and_boxes(folder, records):
    found = records(DATASET, folder)
    assert {split: sorted(int(name[:3]) for name in of) for split, of in found.items()} == {
        "train": [1, 100], "validation": [101, 150], "test": [151, 200]}
    table = np.loadtxt(folder / "CUB_200_2011" / "parts" / "part_locs.txt").reshape(-1, 15, 5)
    for record, rows in ((found["train"]["001.Some_Bird/Some_Bird_0001_17"], table[0]),
                         (found["test"]["200.Some_Bird/Some_Bird_0007_119"], table[5])):
        np.testing.assert_array_equal(record["visible"], rows[:, 4])
        np.testing.assert_array_equal(record["keypoints"], (rows[:, 2:4] - 1) * rows[:, 4:])
        np.testing.assert_array_equal(record["keypoints"][1], [50, 30])
        assert record["image"][30, 50].min() > 200  # the beak is on its dot, counted from 0
        np.testing.assert_array_equal(record["box"], [rows[0, 0], 8, 60, 40 + rows[0, 0]])
        assert record["scale"] == 60


def test_a_part_beyond_the_list_is_named_with_file_and_line(folder):
    change(folder, "parts/part_locs.txt", 91, "7 16 20.0 20.0 1")
    assert DATASET.check(folder) == [
        "parts/part_locs.txt line 91: expected a part from 1 to 15, as in parts/parts.txt, found 16; download "
        "both again"]
    change(folder, "parts/parts.txt", 16, "16 crest")
    assert DATASET.check(folder) == [
        "parts/parts.txt line 16: expected 15 parts, found part 16 (crest); download it again"]


def test_all_faults_come_at_once(folder):
    change(folder, "image_class_labels.txt", 1, "1 201")
    change(folder, "bounding_boxes.txt", 2, "2 1.0 8.0 0.0 7.0")
    change(folder, "bounding_boxes.txt", 3, "3 1.0 8.0 x 7.0")
    change(folder, "bounding_boxes.txt", 4, "4 1.0 8.0")
    change(folder, "parts/part_locs.txt", 4, "1 4 20.0 20.0 2")
    change(folder, "parts/part_locs.txt", 90, None)
    assert DATASET.check(folder) == [
        "bounding_boxes.txt line 4: expected 5 cells, found 3",
        "image_class_labels.txt line 1: expected a class from 1 to 200, found 201",
        "bounding_boxes.txt line 2: expected a box of positive width and height, found 0 and 7",
        "bounding_boxes.txt line 3: expected a number, found 'x'",
        "parts/part_locs.txt line 4: expected flag 0 or 1, found 2",
        "images.txt line 4: image 4 is not in bounding_boxes.txt; download it again",
        "parts/part_locs.txt: image 7 has 14 of 15 parts; download it again"]
    (folder / "CUB_200_2011" / "parts" / "part_locs.txt").unlink()
    change(folder, "parts/parts.txt", 15, None)
    assert "parts/part_locs.txt is missing" in DATASET.check(folder)[1]


def test_a_shorter_list_of_parts_is_refused(folder):
    change(folder, "parts/parts.txt", 15, None)
    assert DATASET.check(folder) == ["parts/parts.txt: expected 15 parts, found 14; download it again"]


def test_the_real_tables(published):
    faults = []
    splits = read(published("cub_200_2011_annotations"), faults)
    assert faults == []
    assert [len(birds) for birds in splits.values()] == [5864, 2958, 2966]
