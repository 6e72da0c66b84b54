"""The ISBI 2015 X-rays: the mean of two doctors, millimetres, both layouts, damaged files, and the real landmarks."""
import csv
from functools import partial

import numpy as np
import pytest

from data.cephalometric import DATASET, HEAD, Cephalometric, read
from data.checking import all_faults
from data.prepared import open_source
from kpjax.evaluation.metrics import mre_sdr
from kpjax.images.transforms import Letterbox

SMALL = partial(read, training=(1, 2), testing=(151, 301), size=(96, 120))
SMALL_DATASET = DATASET._replace(check=partial(all_faults, SMALL))
HOMES = {1: "TrainingData", 2: "TrainingData", 151: "Test1Data", 301: "Test2Data"}


def marks(number, doctor):
    """Returns the marks of a doctor, in whole pixels."""
    return np.random.default_rng([number, doctor]).integers(2, 90, (19, 2))


def write(path, points):
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [f"{x},{y}" for x, y in points] + ["2", "1", "3", "1", "1", "4", "1", "2"]  # clinical classes follow
    path.write_text("\n".join(lines) + "\n")


@pytest.fixture
def folder(tmp_path, write_image):
    for number, home in HOMES.items():
        write_image(tmp_path / "RawImage" / home / f"{number:03d}.bmp", 96, 120)
        for doctor, name in enumerate(("400_senior", "400_junior")):
            write(tmp_path / "AnnotationsByMD" / name / f"{number:03d}.txt", marks(number, doctor))
    return tmp_path


def test_the_truth_is_the_mean_of_the_doctors(folder, records, monkeypatch):
    monkeypatch.setattr(Cephalometric, "read", staticmethod(SMALL))
    found = records(SMALL_DATASET, folder)
    assert {split: sorted(of) for split, of in found.items()} == {"train": ["001", "002"], "test": ["151", "301"]}
    record = found["test"]["151"]
    np.testing.assert_allclose(record["keypoints"], (marks(151, 0) + marks(151, 1)) / 2)  # halves of a pixel stay
    assert record["image"].shape == (120, 96, 3)
    assert record["image"][0, 0].tolist() == [len("151.bmp"), sum(b"151.bmp") % 256, 0]  # BMP to PNG without loss
    assert record["scale"] == 10
    assert record["visible"].all()


def test_errors_come_out_in_millimetres(folder, records, tmp_path, monkeypatch):
    monkeypatch.setattr(Cephalometric, "read", staticmethod(SMALL))
    records(SMALL_DATASET, folder)
    example = open_source(SMALL_DATASET, "test", data_dir=tmp_path / "prepared", transform=Letterbox(60))[0]
    assert example.scale == 5  # at half the size a millimetre is 5 px
    off = example.keypoints + np.float32([3, 4])  # 5 px are 1 mm
    errors = mre_sdr(off[None], example.keypoints[None], example.visible[None], 1 / example.scale[None], (0.9, 1.1))
    np.testing.assert_allclose(errors.mre.overall, 1, rtol=1e-5)


def test_the_other_layout(folder):
    (folder / "raw").mkdir()
    for number, home in HOMES.items():
        (folder / "RawImage" / home / f"{number:03d}.bmp").rename(folder / "raw" / f"{number:03d}.bmp")
    for name in ("400_senior", "400_junior"):
        (folder / "AnnotationsByMD" / name).rename(folder / name)
    assert SMALL_DATASET.check(folder) == []


def test_damaged_files_are_named(folder, write_image):
    senior = folder / "AnnotationsByMD" / "400_senior"
    write(senior / "001.txt", [*marks(1, 0)[:4], ("x", 5), *marks(1, 0)[5:]])
    write(senior / "002.txt", marks(2, 0)[:7])
    (folder / "AnnotationsByMD" / "400_junior" / "151.txt").unlink()
    write_image(folder / "RawImage" / "Test2Data" / "301.bmp", 48, 60)
    assert SMALL_DATASET.check(folder) == [
        "400_senior/001.txt line 5: expected a number, found 'x'",
        "400_senior/002.txt: expected 19 lines of x,y, found 7; download it again",
        "400_junior/151.txt is missing; every image needs the marks of both doctors",
        "RawImage/Test2Data/301.bmp is 48x60, but was annotated at 96x120; restore the original"]
    (folder / "AnnotationsByMD" / "400_junior").rename(folder / "elsewhere")
    assert "400_junior is missing" in SMALL_DATASET.check(folder)[0]


def test_the_real_landmarks_in_the_format_of_the_challenge(tmp_path, published):
    real, tables = published("cephalometric_isbi2015_landmarks/setup"), {}
    for doctor in ("senior", "junior"):
        with (real / f"all_{doctor}.csv").open() as file:
            tables[doctor] = {row[0]: np.array(row[1:], float).reshape(19, 2) * 10 for row in csv.reader(file)}
        for name, points in tables[doctor].items():
            write(tmp_path / f"400_{doctor}" / f"{name}.txt", np.rint(points).astype(int))
    faults = []
    splits = read(tmp_path, faults)
    assert faults == []
    assert [len(images) for images in splits.values()] == [150, 250]
    first = splits["train"][0].keypoints
    np.testing.assert_allclose(first, (tables["senior"]["001"] + tables["junior"]["001"]) / 2)
    mean = np.mean([one.keypoints for one in splits["train"]], 0)
    order = [mean[HEAD.names.index(name), 1] for name in ("nasion", "orbitale", "subspinale", "upper_lip", "lower_lip",
                                                          "pogonion", "menton")]
    assert order == sorted(order)  # from the nose down to the chin, so the names match the marks
