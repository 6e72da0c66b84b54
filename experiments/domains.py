"""The data of an experiment by name: drawn figures and sprites, and the datasets that `python -m data` prepares."""
import functools
from pathlib import Path
from typing import NamedTuple

import numpy as np

from data.bodies import BODY
from data.dsprites import dsprites, split_numbers
from data.figures import ALL_JOINTS, DOMAINS, TEN_POINTS, figures, target
from data.prepared import open_source
from kpjax.errors import InputError
from kpjax.images.transforms import Letterbox, PadToSquare, Stretch, Transform
from kpjax.input.source import ArraySource, Source, in_memory, subset

KEPT_IN_MEMORY = 2**30


class Splits(NamedTuple):
    """One domain of one seed."""

    train: Source
    validation: Source
    test: Source


@functools.lru_cache(maxsize=4)
def open_domain(
    name: str, *, side: int, seed: int, data_dir: Path, train: int = 4000, test: int = 500, difficulty: float = 0.5
) -> Splits:
    """The examples of a domain, as square pictures of `side` px.

    name: "figures:<domain>", "bodies:<domain>" (figures with the 16 points of the body sets), "sprites:<variant>", or
    the name of a prepared dataset. train, test: how many to draw; a prepared set has its own splits, and gives the last
    twentieth of its training split for validation. difficulty: of the target figures.
    Raises InputError if the name is unknown, or names a dataset that was not prepared.
    """
    family, _, which = name.partition(":")
    if family in ("figures", "bodies"):
        if which not in ("source", "target", "photo"):
            raise InputError(f"domain {name!r}: the figures have source, target and photo")
        domain = target(difficulty) if which == "target" else DOMAINS[which]
        skeleton = TEN_POINTS if family == "figures" else ALL_JOINTS
        draw = functools.partial(figures, domain=domain, seed=seed, side=side, skeleton=skeleton)
        drawn = [draw(train, first=0), draw(test, first=train), draw(test, first=train + test)]
        return Splits(*(as_bodies(part) if family == "bodies" else part for part in drawn))
    if family == "sprites":
        chosen = np.random.default_rng(seed).permutation(len(split_numbers("train")))[:train + test]
        seen = dsprites(which, "train", side=side, seed=seed)
        return Splits(subset(seen, chosen[:train]), subset(seen, chosen[train:]),
                      subset(dsprites(which, "test", side=side, seed=seed), np.arange(test)))
    open_split = functools.partial(open_source, name, data_dir=data_dir, transform=placement(name, side))
    return Splits(*(decoded_once(open_split(split)) for split in ("train[:95%]", "train[95%:]", "test")))


def held_out_splits(
    name: str, *, transform: Transform, seed: int, data_dir: Path, validation_share: float
) -> Splits:
    """The splits of a prepared dataset, decoded once if they fit into memory; see `held_out`."""
    labelled, test = (decoded_once(open_source(name, split, data_dir=data_dir, transform=transform))
                      for split in ("train", "test"))
    train, validation = held_out(labelled, name, seed=seed, share=validation_share)
    return Splits(train, validation, test)


def held_out(labelled: Source, name: str, *, seed: int, share: float) -> tuple[Source, Source]:
    """(training, validation) pictures: a share of the source, drawn by the seed, validates.

    Raises InputError if one of the two would be empty.
    """
    count = round(share * len(labelled))
    if not 0 < count < len(labelled):
        raise InputError(f"--validation-share: {share} of {len(labelled)} training pictures is {count}; some must "
                         "validate and some must train")
    order = np.random.default_rng(seed).permutation(len(labelled))
    return (subset(labelled, order[count:], f"{name}/train"), subset(labelled, order[:count], f"{name}/validation"))


def decoded_once(source: Source) -> Source:
    """The source held in memory if its pictures fit into KEPT_IN_MEMORY bytes, otherwise as it is."""
    return in_memory(source) if len(source) * source[0].image.nbytes <= KEPT_IN_MEMORY else source


def placement(dataset: str, side: int) -> Transform:
    """How a picture of a dataset becomes a square one, without its labels: those of hands and videos are square."""
    return {"lsp": PadToSquare, "lspet": Letterbox}.get(dataset, Stretch)(side)


def as_bodies(drawn: ArraySource) -> ArraySource:
    """Figures with the 16 points of the body sets: all but the thorax, which is left unlabelled as in the Leeds sets.

    A drawn head is marked at its middle and those of the sets at the top: PCK of that point suffers from it.
    """
    names = {"ankle": "foot", "wrist": "hand", "head_top": "head", "thorax": "neck"}
    order = []
    for name in BODY.names:
        side, _, joint = name.partition("_")
        plain = f"{side}_{names.get(joint, joint)}" if side in ("left", "right") else names.get(name, name)
        order.append(drawn.skeleton.index(plain))
    examples = drawn.examples
    labelled = np.array([name != "thorax" for name in BODY.names], np.float32)
    visible = examples.visible[:, order] * labelled
    return ArraySource(examples._replace(keypoints=examples.keypoints[:, order] * visible[..., None], visible=visible),
                       BODY, drawn.name)
