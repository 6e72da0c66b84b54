"""What every set of downloaded files keeps: prepared and read back, no unit in two splits, each fault named."""
import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from data.prepared import VERSION, Dataset, open_source, prepare
from kpjax.errors import InputError
from kpjax.images.transforms import Letterbox


class Sample(NamedTuple):
    """A few images in a set's true format, and what is prepared of them."""

    dataset: Dataset
    write: Callable[[Path], None]
    names: Mapping[str, int | Sequence[str]]  # the records of each split, or their number
    unit: Callable[[str], str] = str  # the person, recording or photograph of a record's name
    constants: Mapping[str, object] = {}  # "module.NAME": sizes of the published set, which the sample has not
    damages: Sequence[tuple[Callable[[Path], None], Sequence[str]]] = ()  # what is spoilt, and the faults


def ids(sample):
    return sample.dataset.name


def write_image(path, width, height, dots=None, file_format=None, mode="RGB"):
    """Writes a grey image with `dots` {(x, y): colour}, each of one pixel, or of nine in a JPEG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.full((height, width, 3), 60, np.uint8)
    pixels[:, :, 0] = np.linspace(20, 90, width, dtype=np.uint8)  # so that a mirrored image differs
    pixels[0, 0] = len(path.name) % 50, sum(path.name.encode()) % 256, 0  # and so do two images
    around = 1 if path.suffix == ".jpg" and file_format is None else 0
    for (x, y), colour in (dots or {}).items():
        pixels[max(y - around, 0):y + around + 1, max(x - around, 0):x + around + 1] = colour
    Image.fromarray(pixels).convert(mode).save(path, file_format)


def placed(path, text):
    """Returns a function of a folder that writes a file there."""
    def write(folder):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    return write


def shuffled(names):
    """Shuffles names as RegDA's authors do."""
    names = list(names)
    random.seed(42)
    random.shuffle(names)
    return names


def records(dataset, folder, data_dir, **options):
    """Prepares a set and returns {split: {name: record}}."""
    prepare(dataset, folder, data_dir, **options)
    builder = tfds.builder_from_directory(data_dir / dataset.name / VERSION)
    return {split: {record["id"].decode(): record for record in builder.as_data_source(split=split)}
            for split in builder.info.splits}


def of_sample(sample, tmp_path, monkeypatch):
    """Returns the records of a sample after the checks that all sets share."""
    names_its_faults(sample, tmp_path, monkeypatch)
    folder = tmp_path / "downloaded"
    folder.mkdir()
    sample.write(folder)
    found = records(sample.dataset, folder, tmp_path / "prepared")
    assert {split: len(of) if isinstance(sample.names[split], int) else sorted(of) for split, of in found.items()
            } == {split: of if isinstance(of, int) else sorted(of) for split, of in sample.names.items()}
    skeleton = sample.dataset.skeleton(folder)
    for record in (record for of in found.values() for record in of.values()):
        assert record["image"].dtype == np.uint8
        assert record["keypoints"].shape == (len(skeleton.names), 2)
        assert np.isin(record["visible"], (0, 1)).all()
        assert not record["keypoints"][record["visible"] == 0].any()  # filler is never a target
        assert record["scale"] > 0
        assert ("box" in record) == sample.dataset.boxed
    if sample.dataset.tune:
        units = [unit for of in found.values() for unit in {sample.unit(name) for name in of}]
        assert len(units) == len(set(units))
    split = next(iter(found))
    source = open_source(sample.dataset, split, data_dir=tmp_path / "prepared", transform=Letterbox(32))
    assert source.skeleton == skeleton
    assert {source.identity(index) for index in range(len(source))} == set(found[split])
    assert source[0].image.shape == (32, 32, 3)
    return found


def names_its_faults(sample, tmp_path, monkeypatch):
    """Checks that a spoilt folder is refused in one line with all faults, and nothing prepared."""
    for name, value in sample.constants.items():
        monkeypatch.setattr(f"data.{name}", value)
    for number, (spoil, said) in enumerate(sample.damages):
        folder = tmp_path / f"damaged {number}"
        folder.mkdir()
        sample.write(folder)
        spoil(folder)
        with pytest.raises(InputError) as refusal:
            prepare(sample.dataset, folder, tmp_path / "prepared")
        message = str(refusal.value)
        assert message.startswith(f"{sample.dataset.name}: {folder} has {len(said)} fault"), message
        assert "\n" not in message
        faults = sample.dataset.check(folder)
        for part in said:
            assert any(part in fault for fault in faults), (part, faults)
        assert not (tmp_path / "prepared").exists()
