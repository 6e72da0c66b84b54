"""UT Zappos50K: shoes without keypoints, the write_image of the held-out ones, white borders."""
from functools import partial

import numpy as np
import pytest
from PIL import Image

from data.prepared import open_source
from data.ut_zappos50k import DATASET, UtZappos50k, _check, shoes
from kpjax.images.transforms import Letterbox

SMALL = DATASET._replace(check=partial(_check, testing=2))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(UtZappos50k, "testing", 2)
    for number in range(5):
        path = tmp_path / "ut-zap50k-images" / "Boots" / "Ankle" / "Maker & Co." / f"7{number}.{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((40, 60, 3), 30 * number, np.uint8)).save(path)
    return tmp_path


def test_images_are_squared_with_white(folder, records, tmp_path):
    found = records(SMALL, folder)
    assert [len(found[split]) for split in ("train", "test")] == [3, 2]
    held_out = [f"Boots/Ankle/Maker & Co./7{n}.{n}" for n in sorted(np.random.default_rng(1000).permutation(5)[-2:])]
    assert sorted(found["test"]) == held_out
    record = found["test"][held_out[0]]
    assert record["image"].shape == (60, 60, 3)
    assert record["image"][:8].min() > 245
    assert record["keypoints"].shape == (0, 2)
    assert record["scale"] == 60
    source = open_source(SMALL, "train", data_dir=tmp_path / "prepared", transform=Letterbox(32))
    assert source[0].keypoints.shape == (0, 2)
    assert source.skeleton.names == ()


def test_the_square_release_is_stored_as_it_is(folder, records):
    square = folder / "ut-zap50k-images-square" / "Shoes" / "Heels" / "Maker"
    square.mkdir(parents=True)
    for number in range(3):
        Image.fromarray(np.full((36, 36, 3), 40 * number, np.uint8)).save(square / f"{number}.jpg")
    found = records(SMALL, folder)
    assert sorted(name for of in found.values() for name in of) == [f"Shoes/Heels/Maker/{n}" for n in range(3)]
    assert all(record["image"].shape == (36, 36, 3) for of in found.values() for record in of.values())


def test_an_incomplete_archive_is_one_fault(folder, tmp_path):
    assert "has 5 images, but 500 are held out" in DATASET.check(folder)[0]
    (tmp_path / "empty").mkdir()
    assert "has no .jpg in any subfolder" in DATASET.check(tmp_path / "empty")[0]
    assert sum(len(paths) for paths in shoes(folder, 1).values()) == 5
