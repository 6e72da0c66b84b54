"""CL-Detection 2023: a stack of images in MetaImage's format, raw and under zlib, and spacing that is missing."""
import json
import random
import zlib

import numpy as np
import pytest

from data import metaimage
from data.cephalometric_2023 import DATASET, STACK, TRUTH, random_split, without_padding
from kpjax.errors import InputError

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
    content = zlib.compress(pixels.tobytes()) if packed else pixels.tobytes()
    size = f"CompressedDataSize = {len(content)}\n" if packed else ""
    count, height, width = pixels.shape[:3]
    header = HEADER.format(packed=packed, size=size, width=width, height=height, count=count)
    path.write_bytes(header.encode() + content)


def truth():
    """Returns every landmark of every image; the spacing is text, as in some copies."""
    return {"name": "Orthodontic landmarks", "points": [
        {"name": str(name), "point": [number + name / 4, name / 2, number], "scale": f"{0.1 + number / 100:.2f}"}
        for number in range(1, COUNT + 1) for name in range(1, 39)]}


@pytest.fixture(params=[False, True], ids=["raw", "zlib"])
def folder(tmp_path, request):
    write_stack(tmp_path / STACK, stack_of(), request.param)
    (tmp_path / TRUTH).write_text(json.dumps(truth()))
    return tmp_path


def test_images_lose_their_padding_and_keep_their_landmarks(folder, records):
    found = records(DATASET, folder)
    assert {split: len(of) for split, of in found.items()} == {"train": 6, "validation": 1, "test": 1}
    every = {name: record for of in found.values() for name, record in of.items()}
    assert sorted(every) == [f"{number:03d}" for number in range(1, COUNT + 1)]
    for number in range(1, COUNT + 1):
        record = every[f"{number:03d}"]
        height, width = HEIGHT - number + 1, WIDTH - 2 * number + 2
        np.testing.assert_array_equal(record["image"], stack_of()[number - 1, :height, :width])
        np.testing.assert_allclose(record["keypoints"][3], [number + 1, 2])
        np.testing.assert_allclose(record["scale"], 1 / (0.1 + number / 100), rtol=1e-5)  # pixels of a millimetre


def test_small_reads_give_the_same_images(folder, monkeypatch):
    monkeypatch.setattr(metaimage, "CHUNK", 100)
    stack = metaimage.read_stack(folder / STACK, [])
    for number, image in metaimage.images(stack, {1, 5, 7}):
        np.testing.assert_array_equal(image, stack_of()[number])


def test_the_split_is_that_of_the_baseline():
    order = list(range(400))
    random.seed(2023)
    random.shuffle(order)
    assert random_split(400) == {"train": order[:300], "validation": order[300:350], "test": order[350:]}


def test_missing_millimetres_are_an_error_by_name(folder):
    content = truth()
    del content["points"][0]["scale"]
    content["points"][40]["scale"] = "0"
    (folder / TRUTH).write_text(json.dumps(content))
    faults = DATASET.check(folder)
    assert faults[:2] == [
        f"{TRUTH} points entry {entry} (landmark {name}): expected a positive scale, the pixel spacing of "
        f"image {image} in millimetres, found {value}"
        for entry, name, image, value in ((0, 1, 1, "null"), (40, 3, 2, '"0"'))]
    with pytest.raises(InputError, match="the pixel spacing of image 1 in millimetres"):
        DATASET.builder.splits(DATASET.builder.__new__(DATASET.builder), folder)


def test_other_faults_of_the_landmarks(folder):
    content = truth()
    points = content["points"]
    points[1]["point"] = [500, 1, 1]
    points[38]["scale"] = "0.5"
    del points[76]
    points.append(points[-1])
    (folder / TRUTH).write_text(json.dumps(content))
    said = "; ".join(DATASET.check(folder))
    for fault in ("image 1: landmark 2 is at (500, 1), outside the 56x40 pixels", "image 2 has the scales 0.12 "
                  "and 0.5; an image has one pixel spacing", "image 3 lacks 1 of 38 landmarks, first 1",
                  "image 8 has this landmark twice"):
        assert fault in said


def test_a_damaged_stack(folder):
    stack = folder / STACK
    whole = stack.read_bytes()
    stack.write_bytes(whole[:-50])
    assert "the file is cut off, download it again" in DATASET.check(folder)[0]
    for old, new, fault in ((b"MET_UCHAR", b"MET_SHORT", "expected ElementType MET_UCHAR (bytes), found 'MET_SHORT'"),
                            (b"= LOCAL", b"= a.raw", "LOCAL (pixels in the same file), found 'a.raw'"),
                            (b"DimSize = 56 40 8", b"DimSize = 56 40", "height and count, found '56 40' with 3")):
        stack.write_bytes(whole.replace(old, new))
        assert fault in DATASET.check(folder)[0]
    stack.write_bytes(b"\x00" * 300)
    assert "this is not a .mha file" in DATASET.check(folder)[0]
    stack.unlink()
    assert f"{STACK} is missing" in DATASET.check(folder)[0]


def test_pixels_that_do_not_unpack(tmp_path):
    write_stack(tmp_path / STACK, stack_of(), True)
    whole = (tmp_path / STACK).read_bytes()
    for damaged, fault in ((whole[:-1] + bytes([whole[-1] ^ 1]), "are damaged"),  # the checksum
                           (whole[:600] + bytes(200) + whole[800:], "are damaged")):
        (tmp_path / STACK).write_bytes(damaged)
        stack = metaimage.read_stack(tmp_path / STACK, [])
        with pytest.raises(InputError, match=f"{STACK}: the pixels {fault}"):
            list(metaimage.images(stack, {0}))
    write_stack(tmp_path / STACK, stack_of()[:-1], True)
    stack = metaimage.read_stack(tmp_path / STACK, [])._replace(count=COUNT)
    with pytest.raises(InputError, match=f"{STACK}: the pixels end within image {COUNT}"):
        list(metaimage.images(stack, {0}))


def test_a_black_image_stays_whole():
    assert without_padding(np.zeros((4, 5, 3), np.uint8)).shape == (4, 5, 3)
