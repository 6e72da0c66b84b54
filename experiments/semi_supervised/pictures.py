"""The pictures of a semi-supervised run: a labelled subset, the others without labels, and what chooses and tests."""
import functools
from pathlib import Path
from typing import NamedTuple

import numpy as np

from experiments.own_project import hold_out, is_own, needed_project, open_labelled, open_unlabelled, unlabelled_frames
from experiments.picture_splits import open_splits
from experiments.semi_supervised.config import Config, OwnConfig
from kpjax.errors import InputError
from kpjax.input.source import (
    Source,
    check_disjoint,
    digest_of,
    in_memory,
    joined,
    labelled_subset,
    rounded_share,
    subset,
    without_labels,
)
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
    if is_own(config):
        return _open_own(config, seed)
    splits = open_splits(config, seed, data_dir)
    asked = {"share": config.labelled} if config.labelled <= 1 else {"count": int(config.labelled)}
    chosen = labelled_subset(splits.train, **asked, seed=seed, need_unlabelled=not config.all_labelled)
    labelled = subset(splits.train, chosen.labelled, f"{splits.train.name}, labelled")
    if config.all_labelled:
        pool = np.arange(len(splits.train))
    else:
        pool = chosen.rest[:rounded_share(config.unlabelled_share, len(chosen.rest))]
        pool = pool if config.unlabelled_pool == "rest" else np.concatenate([chosen.labelled, pool])
    if not len(pool):
        raise InputError(f"--unlabelled-share: {config.unlabelled_share:g} of {len(chosen.rest)} pictures is none; "
                         "give more")
    return Pictures(labelled, without_labels(subset(splits.train, pool, splits.train.name)), splits.train,
                    splits.validation, splits.test, chosen.digest)


@functools.lru_cache(maxsize=2)
def _open_own(config: OwnConfig, seed: int) -> Pictures:
    """The pictures of a person's project. What is held out is both `validation` and `test`: it chooses nothing.

    Raises InputError if a held-out picture is among the unlabelled ones, or there are none of these.
    """
    project = needed_project(config)
    held = hold_out(project, config.validation)
    train, held_out = open_labelled(config)
    asked = {"share": config.labelled} if config.labelled <= 1 else {"count": int(config.labelled)}
    drawn = labelled_subset(train, **asked, seed=seed)
    pools = [in_memory(without_labels(subset(train, drawn.rest)))] if len(drawn.rest) else []
    if config.placement == "letterbox":
        found = unlabelled_frames(project, held, config.unlabelled)
        if len(found.left_out) < len(found.frames):
            pools.append(open_unlabelled(config, found.frames, train.skeleton, root=project.root,
                                         leave_out=found.left_out))
    if not pools:
        raise InputError("--unlabelled: no frame without labels; name pictures or videos, or keep labels back with "
                         "--labelled")
    pool = joined(pools, "without labels")
    check_disjoint(pool, held_out)
    labelled = subset(train, drawn.labelled, f"{train.name}, labelled")
    return Pictures(labelled, pool, train, held_out, held_out, digest_of(drawn.digest, pool.digest, held_out.digest))
