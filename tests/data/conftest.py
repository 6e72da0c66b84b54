"""Fixtures that write images and prepare datasets from folders."""
import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from data.prepared import prepare


@pytest.fixture(scope="session")
def write_image():
    """`write_image(path, width, height, dots={(x, y): colour}, file_format=None, mode="RGB")` writes grey with dots.

    A dot is one pixel, or nine in a JPEG.
    """
    def write(path, width, height, dots=None, file_format=None, mode="RGB"):
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.full((height, width, 3), 60, np.uint8)
        pixels[:, :, 0] = np.linspace(20, 90, width, dtype=np.uint8)  # so that a mirrored image differs
        pixels[0, 0] = len(path.name) % 50, sum(path.name.encode()) % 256, 0  # and so do two images
        around = 1 if path.suffix == ".jpg" and file_format is None else 0
        for (x, y), colour in (dots or {}).items():
            pixels[max(y - around, 0):y + around + 1, max(x - around, 0):x + around + 1] = colour
        Image.fromarray(pixels).convert(mode).save(path, file_format)
    return write


@pytest.fixture
def records(tmp_path):
    """`records(dataset, folder)` prepares a set and returns {split: {id: record}}."""
    def records(dataset, folder, **options):
        prepare(dataset, folder, tmp_path / "prepared", **options)
        builder = tfds.builder_from_directory(tmp_path / "prepared" / dataset.name / str(dataset.builder.VERSION))
        return {split: {record["id"].decode(): record for record in builder.as_data_source(split=split)}
                for split in builder.info.splits}
    return records
