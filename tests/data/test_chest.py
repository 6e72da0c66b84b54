"""Chest X-rays: fractions become pixels, errors of the 512 px image, the split, faults, and the real labels."""
import io
import zipfile
from functools import partial

import numpy as np
import pytest
from PIL import Image

from data.chest import DATASET, KNOWN_BAD, LUNGS, Chest, read
from data.prepared import open_source
from kpjax.images.transforms import Stretch

NAMES = [f"CHNCXR_{number:04d}_0" for number in (1, 2, 59, 7, 120)]
SMALL = partial(read, training=2, validation=1)


def fractions(name):
    return np.random.default_rng(sum(name.encode())).uniform(0.1, 0.9, (6, 2)).round(4)


def write(path, points):
    path.write_text("6\n" + "".join(f"{x} {y}\n" for x, y in points))


@pytest.fixture
def folder(tmp_path, write_image):
    (tmp_path / "labels").mkdir()
    for place, name in enumerate(NAMES):
        write_image(tmp_path / "pngs" / f"{name}.png", 100 + place, 144, mode="L" if place % 2 else "RGB")
        write(tmp_path / "labels" / f"{name}.txt", fractions(name))
    return tmp_path


def test_fractions_become_pixels_and_the_split_goes_by_name(folder, records, tmp_path, monkeypatch):
    monkeypatch.setattr(Chest, "read", staticmethod(SMALL))
    found = records(DATASET, folder)
    assert {split: sorted(of) for split, of in found.items()} == {
        "train": ["CHNCXR_0001_0", "CHNCXR_0002_0"], "validation": ["CHNCXR_0007_0"],
        "test": ["CHNCXR_0059_0", "CHNCXR_0120_0"]}
    record = found["train"]["CHNCXR_0001_0"]
    np.testing.assert_allclose(record["keypoints"], fractions("CHNCXR_0001_0") * [100, 144], rtol=1e-6)
    assert record["scale"] == np.float32(120 / 512)  # the root of 100 x 144 is 120
    source = open_source(DATASET, "train", data_dir=tmp_path / "prepared", transform=Stretch(64))
    np.testing.assert_allclose([source[0].scale, source[1].scale], 64 / 512, rtol=1e-6)  # whatever the image's shape


def test_faults_are_named(folder):
    write(folder / "labels" / "CHNCXR_0001_0.txt", fractions("a") * 100)
    write(folder / "labels" / "CHNCXR_0002_0.txt", fractions("b")[:5])
    (folder / "pngs" / "CHNCXR_0007_0.png").unlink()
    (folder / "labels" / "CHNCXR_0059_0.txt").write_text("6\n" + "0.5 half\n" * 6)
    said = DATASET.check(folder)
    assert "labels/CHNCXR_0001_0.txt line 2:" in said[0]
    assert "expected fractions of the image's width and height, 0 to 1, found (" in said[0]
    assert said[1].startswith("labels/CHNCXR_0002_0.txt: expected a line with 6, then 6 lines of two numbers")
    assert said[2].startswith("pngs/CHNCXR_0007_0.png is missing, but it has labels")
    assert said[3] == "labels/CHNCXR_0059_0.txt line 2: expected a number, found 'half'"
    for path in (folder / "labels").iterdir():
        path.unlink()
    assert "labels/CHNCXR_0001_0.txt and all others are missing" in DATASET.check(folder)[0]


def test_the_real_labels(tmp_path, published):
    with zipfile.ZipFile(published("chest_landmarks/chest_labels.zip")) as archive:
        archive.extractall(tmp_path)
    blank = io.BytesIO()
    Image.new("L", (100, 200)).save(blank, "PNG")
    (tmp_path / "chest" / "pngs").mkdir()
    for path in (tmp_path / "chest" / "labels").iterdir():
        (tmp_path / "chest" / "pngs" / f"{path.stem}.png").write_bytes(blank.getvalue())
    faults = []
    splits = read(tmp_path, faults)
    assert faults == []
    assert [len(of) for of in splits.values()] == [195, 34, 50]
    assert [len(of) for of in read(tmp_path, faults, leave_out=KNOWN_BAD).values()] == [195, 34, 41]
    mean = np.mean([one.keypoints for of in splits.values() for one in of], 0) / [100, 200]
    place = dict(zip(LUNGS.names, mean, strict=True))
    assert place["left_apex"][1] < place["left_medial_base"][1] < place["left_lateral_base"][1]
    assert place["left_lateral_base"][0] < place["left_medial_base"][0] < place["right_medial_base"][0]
