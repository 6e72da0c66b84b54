"""The datasets as tfds knows them: names, cards, and records that its own functions read."""

import functools
import sys
import tempfile

import numpy as np
import pytest
import tensorflow_datasets as tfds
from tqdm import tqdm

import data
from data import builders, tabletop
from data.prepared import Counted, datasets, open_source, prepare, record
from kpjax.images.transforms import Letterbox


@pytest.fixture
def short_tabletop(monkeypatch):
    """Leaves one video of the set `tabletop` in its first split."""
    frames = Counted(tabletop.FRAMES, functools.partial(tabletop.named, range(1)))

    def records():
        for name, one in frames:
            yield record(one.image, one.keypoints, one.visible, float(one.scale), name)

    config = builders.Kpjax.builder_configs["tabletop"]
    short = config.dataset._replace(splits=lambda folder: {"train": Counted(30, records)})
    monkeypatch.setattr(config, "dataset", short)


def test_tfds_finds_prepares_and_reads_a_set(short_tabletop, tmp_path, monkeypatch):
    """Nothing stays in the folder of temporary files."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    builder = tfds.builder("kpjax/tabletop", data_dir=tmp_path)
    builder.download_and_prepare()
    read = tfds.data_source("kpjax/tabletop", split="train", data_dir=tmp_path)
    assert len(read) == 30
    video = tabletop.tabletop_videos(1, 30, 128)
    expected = {video.identity(number): video[number] for number in range(30)}
    for one in read:
        true = expected[one["id"].decode()]
        np.testing.assert_array_equal(one["image"], true.image)
        np.testing.assert_array_equal(one["keypoints"], true.keypoints)
    source = open_source("tabletop", "train", data_dir=tmp_path, transform=Letterbox(32))
    assert source.skeleton == tabletop.ARM_AND_TOYS
    assert not list(temporary.iterdir())
    assert "tensorflow" not in sys.modules


def test_a_bar_counts_the_images_of_a_split(short_tabletop, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(builders, "tqdm", lambda *a, **options: tqdm(*a, **options | SHOWN))
    prepare(builders.Kpjax.builder_configs["tabletop"].dataset, data_dir=tmp_path)
    assert "tabletop train: 100%" in (shown := capsys.readouterr().err)
    assert "30/30" in shown


SHOWN = {"disable": False, "ascii": True}  # as on a screen


@pytest.mark.parametrize("name", datasets())
def test_the_card_of_a_set_is_complete(name):
    """Whoever has a prepared set sees what it is, from where, and under which terms."""
    info = tfds.builder(f"kpjax/{name}").info
    declared = datasets()[name]
    module = next(
        module for module in vars(data).values() if getattr(module, "DATASET", None) is declared
    )
    assert info.description.split() == module.__doc__.split()
    assert info.redistribution_info.license == declared.card.licence
    assert "tensorflow.org" not in info.homepage
    assert info.homepage.startswith("http") or declared.check is None or name == "videos"
    assert info.citation or name == "videos"  # anybody's own
    assert "scale" in info.features
