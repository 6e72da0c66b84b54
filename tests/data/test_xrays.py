"""Sets of X-rays: the ISBI 2015 challenge, CL-Detection 2023, and the Shenzhen set of chests."""
import csv
import io
import json
import random
import zipfile
import zlib

import numpy as np
import pytest
from dataset_contract import Sample, of_sample, write_image
from PIL import Image

from data import cephalometric, cephalometric_2023, chest, metaimage
from data.cephalometric_2023 import STACK, TRUTH, random_split, without_padding
from data.prepared import open_source
from kpjax.errors import InputError
from kpjax.evaluation.metrics import mre_sdr
from kpjax.images.transforms import Letterbox, Stretch

# ISBI 2015

HOMES = {1: "TrainingData", 2: "TrainingData", 151: "Test1Data", 301: "Test2Data"}
DOCTORS = ("400_senior", "400_junior")


def marks(number, doctor):
    """Returns the marks of a doctor, in whole pixels."""
    return np.random.default_rng([number, doctor]).integers(2, 90, (19, 2))


def write_marks(path, points):
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [f"{x},{y}" for x, y in points] + ["2", "1", "3", "1", "1", "4", "1", "2"]  # clinical classes follow
    path.write_text("\n".join(lines) + "\n")


def write_heads(folder, marked="AnnotationsByMD/", images="RawImage/{}"):
    for number, home in HOMES.items():
        write_image(folder / images.format(home) / f"{number:03d}.bmp", 96, 120)
        for doctor, name in enumerate(DOCTORS):
            write_marks(folder / f"{marked}{name}" / f"{number:03d}.txt", marks(number, doctor))


SIZES = {"cephalometric.TRAINING": (1, 2), "cephalometric.TESTING": (151, 301), "cephalometric.SIZE": (96, 120)}
HEADS = Sample(
    cephalometric.DATASET, write_heads, {"train": ["001", "002"], "test": ["151", "301"]}, constants=SIZES,
    damages=[(lambda folder: (folder / "AnnotationsByMD" / "400_junior" / "151.txt").unlink(),
              ["400_junior/151.txt is missing; every image needs the marks of both doctors"])])


def test_the_truth_is_the_mean_of_the_doctors_and_errors_are_in_millimetres(tmp_path, monkeypatch):
    record = of_sample(HEADS, tmp_path, monkeypatch)["test"]["151"]
    np.testing.assert_allclose(record["keypoints"], (marks(151, 0) + marks(151, 1)) / 2)  # halves of a pixel stay
    assert record["image"][0, 0].tolist() == [len("151.bmp"), sum(b"151.bmp") % 256, 0]  # BMP to PNG without loss
    assert record["scale"] == 10
    example = open_source(cephalometric.DATASET, "test", data_dir=tmp_path / "prepared", transform=Letterbox(60))[0]
    assert example.scale == 5  # at half the size a millimetre is 5 px
    off = example.keypoints + np.float32([3, 4])  # 5 px are 1 mm
    errors = mre_sdr(off[None], example.keypoints[None], example.visible[None], 1 / example.scale[None], (0.9, 1.1))
    np.testing.assert_allclose(errors.mre.overall, 1, rtol=1e-5)


def test_the_real_landmarks_in_the_format_of_the_challenge(tmp_path, published):
    real, tables = published("cephalometric_isbi2015_landmarks/setup"), {}
    for doctor in ("senior", "junior"):
        with (real / f"all_{doctor}.csv").open() as file:
            tables[doctor] = {row[0]: np.array(row[1:], float).reshape(19, 2) * 10 for row in csv.reader(file)}
        for name, points in tables[doctor].items():
            write_marks(tmp_path / f"400_{doctor}" / f"{name}.txt", np.rint(points).astype(int))
    faults = []
    splits = cephalometric.read(tmp_path, faults)
    assert faults == []
    assert [len(images) for images in splits.values()] == [150, 250]
    first = splits["train"][0].keypoints
    np.testing.assert_allclose(first, (tables["senior"]["001"] + tables["junior"]["001"]) / 2)


# CL-Detection 2023: a stack in MetaImage's format, raw and under zlib

COUNT, HEIGHT, WIDTH = 8, 40, 56
HEADER = ("ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = False\n"
          "CompressedData = {packed}\n{size}TransformMatrix = 1 0 0 0 1 0 0 0 1\nOffset = 0 0 0\n"
          "CenterOfRotation = 0 0 0\nAnatomicalOrientation = RAI\nElementSpacing = 1 1 1\n"
          "DimSize = {width} {height} {count}\nElementNumberOfChannels = 3\n"
          "ElementType = MET_UCHAR\nElementDataFile = LOCAL\n")


def stack_of(count=COUNT):
    """Returns grey images of different sizes, padded with black on the right and below."""
    pixels = np.zeros((count, HEIGHT, WIDTH, 3), np.uint8)
    for number in range(count):
        height, width = HEIGHT - number, WIDTH - 2 * number
        pixels[number, :height, :width] = np.random.default_rng(number).integers(1, 256, (height, width, 1))
        pixels[number, 3, 4] = 0  # black within an image is no padding
    return pixels


def write_stack(path, pixels, packed):
    stored = zlib.compress(pixels.tobytes()) if packed else pixels.tobytes()
    size = f"CompressedDataSize = {len(stored)}\n" if packed else ""
    count, height, width = pixels.shape[:3]
    path.write_bytes(HEADER.format(packed=packed, size=size, width=width, height=height, count=count).encode() + stored)


def truth():
    """Returns every landmark of every image; the spacing is text, as in some copies."""
    return {"name": "Orthodontic landmarks", "points": [
        {"name": str(name), "point": [number + name / 4, name / 2, number], "scale": f"{0.1 + number / 100:.2f}"}
        for number in range(1, COUNT + 1) for name in range(1, 39)]}


def writer(packed):
    def write(folder):
        write_stack(folder / STACK, stack_of(), packed)
        (folder / TRUTH).write_text(json.dumps(truth()))
    return write


STACKS = [Sample(
    cephalometric_2023.DATASET, writer(packed), {"train": 6, "validation": 1, "test": 1},
    damages=[
        (lambda folder: (folder / TRUTH).write_text(json.dumps(truth()).replace('"0.11"', '"0"', 1)),
         [f"{TRUTH} points entry 0 (landmark 1): expected a positive scale, the pixel spacing of image 1 in "
          'millimetres, found "0"', "image 1 lacks 1 of 38 landmarks, first 1"]),
        (lambda folder: (folder / STACK).write_bytes((folder / STACK).read_bytes()[:-50]),
         ["the file is cut off, download it again"]),
        (lambda folder: (folder / STACK).write_bytes(b"\x00" * 300), ["this is not a .mha file"])])
    for packed in (False, True)]


@pytest.mark.parametrize("sample", STACKS, ids=["raw", "zlib"])
def test_images_of_a_stack_lose_their_padding_and_keep_their_landmarks(sample, tmp_path, monkeypatch):
    found = of_sample(sample, tmp_path, monkeypatch)
    every = {name: record for of in found.values() for name, record in of.items()}
    for number in range(1, COUNT + 1):
        record = every[f"{number:03d}"]
        height, width = HEIGHT - number + 1, WIDTH - 2 * number + 2
        np.testing.assert_array_equal(record["image"], stack_of()[number - 1, :height, :width])
        np.testing.assert_allclose(record["keypoints"][3], [number + 1, 2])
        np.testing.assert_allclose(record["scale"], 1 / (0.1 + number / 100), rtol=1e-5)  # pixels of a millimetre
    monkeypatch.setattr(metaimage, "CHUNK", 100)  # small reads give the same images
    for number, image in metaimage.images(metaimage.read_stack(tmp_path / "downloaded" / STACK, []), {1, 5, 7}):
        np.testing.assert_array_equal(image, stack_of()[number])


def test_the_split_is_that_of_the_baseline():
    order = list(range(400))
    random.seed(2023)
    random.shuffle(order)
    assert random_split(400) == {"train": order[:300], "validation": order[300:350], "test": order[350:]}
    assert without_padding(np.zeros((4, 5, 3), np.uint8)).shape == (4, 5, 3)


def test_pixels_that_do_not_unpack(tmp_path):
    write_stack(tmp_path / STACK, stack_of(), True)
    whole = (tmp_path / STACK).read_bytes()
    for damaged in (whole[:-1] + bytes([whole[-1] ^ 1]), whole[:600] + bytes(200) + whole[800:]):  # first the checksum
        (tmp_path / STACK).write_bytes(damaged)
        with pytest.raises(InputError, match=f"{STACK}: the pixels are damaged"):
            list(metaimage.images(metaimage.read_stack(tmp_path / STACK, []), {0}))
    write_stack(tmp_path / STACK, stack_of()[:-1], True)
    stack = metaimage.read_stack(tmp_path / STACK, [])._replace(count=COUNT)
    with pytest.raises(InputError, match=f"{STACK}: the pixels end within image {COUNT}"):
        list(metaimage.images(stack, {0}))


# Chests

CHESTS = [f"CHNCXR_{number:04d}_0" for number in (1, 2, 59, 7, 120)]


def fractions(name):
    return np.random.default_rng(sum(name.encode())).uniform(0.1, 0.9, (6, 2)).round(4)


def write_fractions(path, points):
    path.parent.mkdir(exist_ok=True)
    path.write_text("6\n" + "".join(f"{x} {y}\n" for x, y in points))


def write_chests(folder):
    for place, name in enumerate(CHESTS):
        write_image(folder / "pngs" / f"{name}.png", 100 + place, 144, mode="L" if place % 2 else "RGB")
        write_fractions(folder / "labels" / f"{name}.txt", fractions(name))


CHEST = Sample(
    chest.DATASET, write_chests,
    {"train": ["CHNCXR_0001_0", "CHNCXR_0002_0"], "validation": ["CHNCXR_0007_0"],
     "test": ["CHNCXR_0059_0", "CHNCXR_0120_0"]},
    constants={"chest.TRAINING": 2, "chest.VALIDATION": 1},
    damages=[(lambda folder: write_fractions(folder / "labels" / "CHNCXR_0001_0.txt", fractions("a") * 100),
              ["labels/CHNCXR_0001_0.txt line 2: expected fractions of the image's width and height, 0 to 1"])])


def test_fractions_of_chests_become_pixels(tmp_path, monkeypatch):
    record = of_sample(CHEST, tmp_path, monkeypatch)["train"]["CHNCXR_0001_0"]
    np.testing.assert_allclose(record["keypoints"], fractions("CHNCXR_0001_0") * [100, 144], rtol=1e-6)
    assert record["scale"] == np.float32(120 / 512)  # the root of 100 x 144 is 120
    source = open_source(chest.DATASET, "train", data_dir=tmp_path / "prepared", transform=Stretch(64))
    np.testing.assert_allclose([source[0].scale, source[1].scale], 64 / 512, rtol=1e-6)  # whatever the image's shape


def test_the_real_labels_of_chests(tmp_path, published):
    with zipfile.ZipFile(published("chest_landmarks/chest_labels.zip")) as archive:
        archive.extractall(tmp_path)
    blank = io.BytesIO()
    Image.new("L", (100, 200)).save(blank, "PNG")
    (tmp_path / "chest" / "pngs").mkdir()
    for path in (tmp_path / "chest" / "labels").iterdir():
        (tmp_path / "chest" / "pngs" / f"{path.stem}.png").write_bytes(blank.getvalue())
    faults = []
    splits = chest.read(tmp_path, faults)
    assert faults == []
    assert [len(of) for of in splits.values()] == [195, 34, 50]
