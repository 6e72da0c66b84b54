"""Images of semi-supervised localization by the names of prepared sets: a few labelled ones, and
others without labels.
"""

import numpy as np

from experiments.images import open_further, open_images
from kpjax import InputError
from kpjax.input import source as sources
from kpjax.papers.configs import Splits
from kpjax.papers.engine import Job
from kpjax.papers.semi_supervised import Data


def open_data(job: Job) -> Data:
    """Opens the images of one seed: the labelled ones are drawn by it among those that have a label,
    and smaller subsets lie in larger ones.

    Raises InputError if a set was not prepared, if more labels are asked for than there are, if no
    image is left unlabelled (unless all are labelled), or if a training image is also a test image.
    """
    data = job.config.data
    splits = open_images(data, job.seed, job.data_dir, job.config.augment.reach)
    with_label = sources.has_label(splits.train)
    chosen = sources.labelled_subset(
        splits.train,
        **data.amount,
        seed=job.seed,
        need_unlabelled=not data.all_labelled,
        with_label=with_label,
    )
    everything = splits.train
    if not with_label.all():
        everything = sources.subset(
            splits.train, np.flatnonzero(with_label), f"{splits.train.name}, with a label"
        )
    labelled = sources.subset(splits.train, chosen.labelled, f"{splits.train.name}, labelled")
    if data.all_labelled:
        pool = np.arange(len(splits.train))
    else:
        pool = chosen.rest[: sources.rounded_share(data.unlabelled_share, len(chosen.rest))]
    if not len(pool):
        raise InputError(
            "unlabelled_share",
            f"{data.unlabelled_share:g} of {len(chosen.rest)} images is none; give more",
        )
    unlabelled, plain = (
        source and sources.without_labels(sources.subset(source, pool, splits.train.name))
        for source in (splits.train, splits.plain_train)
    )
    if data.further:
        further = further_images(open_further(data, data.further, job.data_dir), splits)
        unlabelled = sources.join_sources(
            [sources.in_memory(unlabelled), sources.in_memory(further)],
            f"{splits.train.name} and {data.further}, without labels",
        )
    return Data(
        labelled,
        unlabelled,
        everything,
        splits.validation,
        splits.test,
        {"labelled_digest": chosen.digest},
        plain,
        splits.plain_train and sources.subset(splits.plain_train, chosen.labelled, labelled.name),
    )


def further_images(source: sources.Source, splits: Splits) -> sources.Source:
    """Returns images of another split without labels.

    Raises InputError if one of them also tests or validates.
    """
    found = sources.without_labels(source)
    for other in (splits.validation, splits.test):
        sources.check_disjoint(found, other)
    return found
