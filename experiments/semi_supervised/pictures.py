"""The pictures of a semi-supervised run: a labelled subset, the others without labels, and what chooses and tests."""
from pathlib import Path
from typing import NamedTuple

import numpy as np

from experiments.picture_splits import open_splits
from experiments.semi_supervised.config import Config
from kpjax.errors import InputError
from kpjax.input.source import Source, subset, without_labels
from kpjax.input.subsets import labelled_subset, rounded_share
from kpjax.structures import Skeleton


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
