"""What every set of downloaded files keeps: prepared as its files say, no unit in two splits, each
fault named.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from data.prepared import Dataset, open_source, prepare
from kpjax.errors import InputError
from kpjax.images.transforms import Letterbox


class Label(NamedTuple):
    """What a record holds. None is not compared, or of `visible`: all are."""

    keypoints: np.ndarray
    visible: np.ndarray | None = None
    scale: float | None = None
    box: Sequence[float] | None = None
    size: tuple[int, int] | None = None  # height, width
    dots: Mapping[int, Sequence[int]] = {}  # colours of the image at some keypoints


class Sample(NamedTuple):
    """A few images in a set's true format, and what is prepared of them."""

    dataset: Dataset
    #: returns the records of each split; "" is any split
    write: Callable[[Path], Mapping[str, Mapping[str, Label]]]
    unit: Callable[[str], str] = str  # the person, recording or photograph of a record's name
    #: "module.NAME": sizes of the published set, which the sample has not
    constants: Mapping[str, object] = {}
    #: what is spoilt, and the faults
    damages: Sequence[tuple[Callable[[Path], object], Sequence[str]]] = ()
    sizes: Mapping[str, int] | None = None  # of the splits, where `write` leaves them open
    atol: float = 1e-5  # px


def ids(sample):
    return sample.dataset.name


WHITE = (255, 255, 255)


def write_image(path, width, height, dots=None, file_format=None, mode="RGB"):
    """Writes a grey image with `dots` {(x, y): colour}, each of one pixel, or of nine in a JPEG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.full((height, width, 3), 60, np.uint8)
    pixels[:, :, 0] = np.linspace(20, 90, width, dtype=np.uint8)  # so that a mirrored image differs
    pixels[0, 0] = len(path.name) % 50, sum(path.name.encode()) % 256, 0  # and so do two images
    around = 1 if path.suffix == ".jpg" and file_format is None else 0
    for (x, y), colour in (dots or {}).items():
        x, y = round(float(x)), round(float(y))
        pixels[max(y - around, 0) : y + around + 1, max(x - around, 0) : x + around + 1] = colour
    Image.fromarray(pixels).convert(mode).save(path, file_format)


def placed(path, text):
    """Returns a function of a folder that writes a file there."""

    def write(folder):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(text if isinstance(text, bytes) else text.encode())

    return write


def without(path):
    return lambda folder: (folder / path).unlink()


def draw(seed, *shape, low=5.0, high=45.0):
    return np.random.default_rng(seed).uniform(low, high, shape)


def diagonal(points):
    return np.linalg.norm(np.ptp(points, axis=0))


def tight(points):
    return [*points.min(0), *np.ptp(points, axis=0)]


def crop_of(points, width, height):
    """The corner and the side of the square of 1.5 times the points' box, within an image."""
    low, high = points.min(0), points.max(0)
    side = min(round(1.5 * (high - low).max()), width, height)
    return np.clip(np.round((low + high) / 2 - side / 2), 0, np.array([width, height]) - side), side


def struct_array(rows):
    """Returns a MATLAB struct array (1, n); every element has every field, empty if its row lacks
    it.
    """
    fields = list(dict.fromkeys(field for row in rows for field in row))
    array = np.empty((1, len(rows)), [(field, object) for field in fields])
    for number, row in enumerate(rows):
        array[0, number] = tuple(row.get(field, np.zeros((0, 0))) for field in fields)
    return array


def held_out(labels):
    """Splits labels by name as RegDA's authors do: shuffled, the first fifth tests."""
    names = list(labels)
    random.seed(42)
    random.shuffle(names)
    count = len(names) // 5
    return {
        "train": {name: labels[name] for name in names[count:]},
        "test": {name: labels[name] for name in names[:count]},
    }


def records(dataset, folder, data_dir, **options):
    """Prepares a set and returns {split: {name: record}}."""
    prepared = prepare(dataset, folder, data_dir, **options)
    builder = tfds.builder_from_directory(prepared.data_dir)
    return {
        split: {record["id"].decode(): record for record in builder.as_data_source(split=split)}
        for split in builder.info.splits
    }


def keeps_the_contract(sample, tmp_path, monkeypatch):
    """Checks what all sets share. Returns the records of the sample."""
    names_its_faults(sample, tmp_path, monkeypatch)
    folder = tmp_path / "downloaded"
    folder.mkdir()
    expected = sample.write(folder)
    found = records(sample.dataset, folder, tmp_path / "prepared")
    if sample.sizes is None:
        assert {split: sorted(of) for split, of in found.items()} == {
            split: sorted(of) for split, of in expected.items()
        }
    else:
        assert {split: len(of) for split, of in found.items()} == sample.sizes
    skeleton = sample.dataset.skeleton(folder)
    for split, of in found.items():
        for name, record in of.items():
            assert record["image"].dtype == np.uint8
            assert record["keypoints"].shape == (len(skeleton.names), 2)
            assert not record["keypoints"][record["visible"] == 0].any()  # filler is never a target
            assert record["scale"] > 0
            assert ("box" in record) == sample.dataset.boxed
            label = (expected[split] if split in expected else expected[""])[name]
            check_record(record, label, sample.atol, 0 if sample.dataset.encoding == "png" else 105)
    if sample.dataset.tune:
        units = [unit for of in found.values() for unit in {sample.unit(name) for name in of}]
        assert len(units) == len(set(units))
    split = next(iter(found))
    source = open_source(
        sample.dataset, split, data_dir=tmp_path / "prepared", transform=Letterbox(32)
    )
    assert source.skeleton == skeleton
    assert {source.identity(index) for index in range(len(source))} == set(found[split])
    assert source[0].image.shape == (32, 32, 3)
    return found


def check_record(record, label, atol, blur):
    """blur: how far a JPEG may change a colour."""
    visible = np.ones(len(label.keypoints)) if label.visible is None else np.asarray(label.visible)
    np.testing.assert_array_equal(record["visible"], visible)
    np.testing.assert_allclose(
        record["keypoints"], np.where(visible[:, None], label.keypoints, 0), 1e-6, atol
    )
    if label.scale is not None:
        np.testing.assert_allclose(record["scale"], label.scale, rtol=1e-5)
    if label.box is not None:
        np.testing.assert_allclose(record["box"], label.box, 1e-6, atol)
    if label.size is not None:
        assert record["image"].shape == (*label.size, 3)
    for keypoint, colour in label.dots.items():
        x, y = record["keypoints"][keypoint].round().astype(int)
        assert np.abs(record["image"][y, x] - np.asarray(colour, int)).max() <= blur


def names_its_faults(sample, tmp_path, monkeypatch):
    """Checks that a spoilt folder is refused in one line with all faults, and nothing prepared."""
    for name, value in sample.constants.items():
        monkeypatch.setattr(f"data.{name}", value)
    for number, (spoil, said) in enumerate(sample.damages):
        folder = tmp_path / f"damaged {number}"
        folder.mkdir()
        sample.write(folder)
        spoil(folder)
        with pytest.raises(InputError, match=f"^{sample.dataset.name}: .* has {len(said)} fault"):
            prepare(sample.dataset, folder, tmp_path / "prepared")
        faults = sample.dataset.check(folder)
        for part in said:
            assert any(part in fault for fault in faults), (part, faults)
        assert not (tmp_path / "prepared").exists()
