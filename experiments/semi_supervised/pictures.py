"""The pictures of a semi-supervised run: a labelled subset, the others without labels, and what chooses and tests."""
import functools
from collections import namedtuple
from pathlib import Path
from typing import NamedTuple

import numpy as np

from data.prepared import open_source
from experiments.domains import Splits, decoded_once, held_out, open_domain
from experiments.semi_supervised.config import Config
from kpjax.errors import InputError
from kpjax.input.keypoint_choice import without_keypoints
from kpjax.input.placement import Place, letterbox, person_crop, scaled_by_box
from kpjax.input.source import Source, subset, without_labels
from kpjax.input.subsets import check_disjoint, labelled_subset, rounded_share
from kpjax.structures import Skeleton

# The fields of a config that decide which pictures there are, and how they look.
Settings = namedtuple("Settings", (
    "train", "validation", "test", "validation_share", "unused_keypoints", "placement", "crop_margin", "crop_smallest",
    "pck_over", "image_size", "training_examples", "test_examples", "difficulty"))


class Pictures(NamedTuple):
    """What the variants of a seed learn from and are judged by."""

    labelled: Source
    unlabelled: Source  # labels stripped
    everything: Source  # all training pictures with labels
    validation: Source
    test: Source
    digest: str  # of the labelled subset

    @property
    def points(self) -> Skeleton:
        """The keypoints of all of them."""
        return self.labelled.skeleton


def place_of(config: Config | Settings) -> Place:
    """How a picture becomes a square one."""
    place = (letterbox(config.image_size) if config.placement == "letterbox" else
             person_crop(config.image_size, config.crop_margin, smallest=config.crop_smallest))
    return scaled_by_box(place) if config.pck_over == "box" else place


def open_pictures(config: Config, seed: int, data_dir: Path) -> Pictures:
    """The pictures of one seed: the labelled ones are drawn by it, and smaller subsets lie in larger ones.

    Raises InputError if a set was not prepared, if more labels are asked for than there are, if no picture is left
    unlabelled (unless all are labelled), or if a training picture is also a test picture.
    """
    splits = open_splits(config, seed, data_dir)
    asked = {"share": config.labelled} if config.labelled <= 1 else {"count": int(config.labelled)}
    chosen = labelled_subset(splits.train, **asked, seed=seed, need_unlabelled=not config.all_labelled)
    labelled = subset(splits.train, chosen.labelled, f"{splits.train.name}, labelled")
    if config.all_labelled:
        pool = np.arange(len(splits.train))
    else:
        pool = chosen.rest[:rounded_share(config.unlabelled, len(chosen.rest))]
        pool = pool if config.unlabelled_pool == "rest" else np.concatenate([chosen.labelled, pool])
    if not len(pool):
        raise InputError(f"--unlabelled: {config.unlabelled:g} of {len(chosen.rest)} pictures is none; give more")
    return Pictures(labelled, without_labels(subset(splits.train, pool, splits.train.name)), splits.train,
                    splits.validation, splits.test, chosen.digest)


def open_splits(config: Config, seed: int, data_dir: Path) -> Splits:
    """The training, validation and test pictures, all with labels; kept for the next run of the same settings."""
    settings = Settings(*(getattr(config, name) for name in Settings._fields))
    return _open_splits(settings, seed if _drawn(config) or not config.validation else 0, data_dir)


def _drawn(config: Config | Settings) -> bool:
    return config.train.startswith(("figures:", "bodies:"))


@functools.lru_cache(maxsize=2)
def _open_splits(config: Settings, seed: int, data_dir: Path) -> Splits:
    if _drawn(config):
        splits = open_domain(config.train, side=config.image_size, seed=seed, data_dir=data_dir,
                             train=config.training_examples, test=config.test_examples, difficulty=config.difficulty)
    else:
        place = place_of(config)

        def opened(name: str) -> Source:
            dataset, _, split = name.partition("/")
            return decoded_once(open_source(dataset, split, data_dir=data_dir, place=place))

        train, test = opened(config.train), opened(config.test)
        if config.validation:
            splits = Splits(train, opened(config.validation), test)
        else:
            name = config.train.partition("/")[0]
            splits = Splits(*held_out(train, name, seed=seed, share=config.validation_share), test)
    check_disjoint(splits.train, splits.test)
    return Splits(*(without_keypoints(source, config.unused_keypoints) for source in splits))
