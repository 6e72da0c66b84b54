"""The training, validation and test pictures that a config names, with all labels: drawn figures or a prepared set."""
import functools
from collections import namedtuple
from pathlib import Path
from typing import Any

from data.prepared import open_source
from experiments.domains import Splits, decoded_once, held_out, open_domain
from kpjax.images.transforms import AroundBox, Letterbox, PersonCrop, ScaledByBox, Transform
from kpjax.input.source import Source, check_disjoint, without_keypoints

# What decides which pictures there are, and how they look: every config has these fields among its own.
Settings = namedtuple("Settings", (
    "train", "validation", "test", "validation_share", "unused_keypoints", "placement", "crop_margin", "crop_smallest",
    "pck_over", "image_size", "training_examples", "test_examples", "difficulty"))


def place_of(config: Any) -> Transform:
    """How a picture becomes a square one. config: has the fields of `Settings`."""
    if config.placement == "letterbox":
        transform = Letterbox(config.image_size)
    elif config.placement == "around_box":
        transform = AroundBox(config.image_size, config.crop_margin)
    else:
        transform = PersonCrop(config.image_size, config.crop_margin, smallest=config.crop_smallest)
    return ScaledByBox(transform) if config.pck_over == "box" else transform


def open_splits(config: Any, seed: int, data_dir: Path) -> Splits:
    """The training, validation and test pictures, all with labels; kept for the next run of the same settings."""
    settings = Settings(*(getattr(config, name) for name in Settings._fields))
    return _open_splits(settings, seed if _drawn(config) or not config.validation else 0, data_dir)


def _drawn(config: Any) -> bool:
    return config.train.startswith(("figures:", "bodies:"))


@functools.lru_cache(maxsize=2)
def _open_splits(config: Settings, seed: int, data_dir: Path) -> Splits:
    if _drawn(config):
        splits = open_domain(config.train, side=config.image_size, seed=seed, data_dir=data_dir,
                             train=config.training_examples, test=config.test_examples, difficulty=config.difficulty)
    else:
        transform = place_of(config)

        def opened(name: str) -> Source:
            dataset, _, split = name.partition("/")
            return decoded_once(open_source(dataset, split, data_dir=data_dir, transform=transform))

        train, test = opened(config.train), opened(config.test)
        if config.validation:
            splits = Splits(train, opened(config.validation), test)
        else:
            name = config.train.partition("/")[0]
            splits = Splits(*held_out(train, name, seed=seed, share=config.validation_share), test)
    check_disjoint(splits.train, splits.test)
    return Splits(*(without_keypoints(source, config.unused_keypoints) for source in splits))
