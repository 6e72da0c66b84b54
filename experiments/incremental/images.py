"""Images of incremental learning by the names of prepared sets, and the protocol that deals them
out.
"""

from experiments.images import open_images
from kpjax.input import protocols
from kpjax.input.source import check_disjoint
from kpjax.papers.engine import Job
from kpjax.papers.incremental import Data


def open_data(job: Job) -> Data:
    """Opens the images and the protocol of one seed.

    Raises InputError for sets or protocols that break a rule.
    """
    data = job.config.data
    splits = open_images(data, job.seed, job.data_dir, job.config.augment.reach)
    # presets of all training images contain the validation split
    if data.evaluated_on == "validation":
        check_disjoint(splits.train, splits.validation, by_pixels=False)
    protocol = protocols.resolve(data.protocol_path(), splits.train)
    if data.low_shot:
        protocol = protocols.low_shot(protocol, data.low_shot)
    return Data(
        splits.train,
        splits.test if data.evaluated_on == "test" else splits.validation,
        protocol,
        splits.validation,
        plain_train=splits.plain_train,
    )
