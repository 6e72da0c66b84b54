"""Opens the labelled images that presets name: rendered people and sprites, and sets that `python
-m data` prepares.
"""

import functools
from pathlib import Path
from zlib import crc32

import numpy as np

from kpjax import InputError
from kpjax.augment import Reach
from kpjax.images.transforms import (
    Letterbox,
    PadToSquare,
    PersonCrop,
    ScaledByBox,
    Stretch,
    Transform,
)
from kpjax.input.source import (
    ArraySource,
    Source,
    check_disjoint,
    in_memory,
    join_sources,
    subset,
    without_keypoints,
)
from kpjax.papers.configs import TUNING_SEEDS, ImageSet, Splits, decoded_once, larger_domain

SMALLEST_PERSON = 100.0  # px of the original image, the least side of a crop of Leeds Sports


def open_images(data: ImageSet, seed: int, data_dir: Path, reach: Reach | None = None) -> Splits:
    """Opens all splits of a set, with labels; kept for the next run on the same data.

    A tuning seed is tested on the validation images, and trains without them.

    reach: of the augmentation, see `ImageSet.loaded`; None loads training images as all others.
    Raises InputError for a set that was not prepared, or a training image that is also a test
    image.
    """
    fixed = not data.rendered and data.validation
    return _open(
        data, 0 if fixed else seed, data_dir, reach, not data.rendered and seed in TUNING_SEEDS
    )


def open_further(data: ImageSet, name: str, data_dir: Path) -> Source:
    """Opens the images of another prepared split, "<dataset>/<split>", as those of a set."""
    from data.prepared import open_source

    dataset, _, split = name.partition("/")
    return open_source(dataset, split, data_dir=data_dir, transform=data.square())


@functools.lru_cache(maxsize=2)
def _open(data: ImageSet, seed: int, data_dir: Path, reach: Reach | None, tuning: bool) -> Splits:
    if data.rendered:
        splits = open_domain(
            data.train,
            side=data.image_size,
            seed=seed,
            data_dir=data_dir,
            train=data.training_examples,
            test=data.test_examples,
            difficulty=data.difficulty,
        )
    else:
        from data.prepared import open_source

        def opened(name: str, transform: Transform) -> Source:
            dataset, _, split = name.partition("/")
            return decoded_once(open_source(dataset, split, data_dir=data_dir, transform=transform))

        def training(transform: Transform) -> tuple[Source, Source | None]:
            train = opened(
                without_split(data.train, data.validation) if tuning else data.train, transform
            )
            if data.validation:
                return train, None
            return held_out(
                train, data.train.partition("/")[0], seed=seed, share=data.validation_share
            )

        train, validation = training(data.square())
        validation = validation or opened(data.validation, data.square())
        splits = Splits(
            train, validation, validation if tuning else opened(data.test, data.square())
        )
        if larger := data.larger(reach):
            splits = splits._replace(train=training(larger[0])[0], plain_train=train)
    check_disjoint(splits.as_evaluated, splits.test)
    return Splits(
        *(source and without_keypoints(source, data.unused_keypoints) for source in splits)
    )


def without_split(name: str, other: str) -> str:
    """Returns "<dataset>/<split>+<split>" without a split of the same set that may be among
    them."""
    dataset, _, splits = name.partition("/")
    return f"{dataset}/{'+'.join(split for split in splits.split('+') if f'{dataset}/{split}' != other)}"


def held_out(source: Source, name: str, *, seed: int, share: float) -> tuple[Source, Source]:
    """Splits a source into (training, validation) images: the seed draws the share that validates.

    Raises InputError if one of the two would be empty.
    """
    count = round(share * len(source))
    if not 0 < count < len(source):
        raise InputError(
            "validation_share",
            f"{share} of {len(source)} training images is {count}; some must validate "
            "and some must train",
        )
    order = np.random.default_rng(seed).permutation(len(source))
    return (
        subset(source, order[count:], f"{name}/train"),
        subset(source, order[:count], f"{name}/validation"),
    )


@functools.lru_cache(maxsize=4)
def open_domain(
    name: str,
    *,
    side: int,
    seed: int,
    data_dir: Path,
    train: int = 4000,
    test: int = 500,
    difficulty: float = 0.5,
    reach: Reach | None = None,
    unlabelled: bool = False,
) -> Splits:
    """Opens the images of a domain as square images of `side` px.

    name: "figures:<domain>", "bodies:<domain>" (people with the 16 keypoints of the body sets),
    "sprites:<variant>", or a prepared dataset, whose images for tuning validate, and for a tuning
    seed also test. "recoloured:<dataset>" has the first half of its training images, in other
    colours, and "plain:<dataset>" the second half, as they are; of LSP Extended crops around each
    person, with its 14 labelled points, whose reference length is the box's longer side.
    "tongue:<machine>" has the labelled frames of one machine, and "tongue:<machine>+videos" those
    of its videos beside them.
    seed, train, test: of rendered images, and how many.
    difficulty: of the domain target. reach: see `larger_domain`. unlabelled: whether training reads
    no label of the domain, so that its images for tuning choose nothing. They are then among the
    training images of a prepared set, but for a tuning seed; `labelled` has the others.
    Raises InputError for a name that is unknown, or a dataset that was not prepared.
    """
    family, _, which = name.partition(":")
    # Each family is imported where it is named: a run imports what it reads.
    if family in ("figures", "bodies"):
        from data.figures import ALL_JOINTS, DOMAINS, TEN_POINTS, figures, target

        if which not in DOMAINS:
            raise InputError(f"domain {name!r}: the figures have {', '.join(DOMAINS)}")
        domain = target(difficulty) if which == "target" else DOMAINS[which]
        skeleton = TEN_POINTS if family == "figures" else ALL_JOINTS
        render = functools.partial(figures, domain=domain, seed=seed, side=side, skeleton=skeleton)
        parts = [
            render(train, first=0),
            render(test, first=train),
            render(test, first=train + test),
        ]
        return Splits(*(as_bodies(part) if family == "bodies" else part for part in parts))
    if family == "sprites":
        from data.dsprites import dsprites, split_numbers

        # Variants draw apart, so that no order of sprites is shared. A test has all shapes, scales
        # and turns.
        random = np.random.default_rng([seed, crc32(which.encode())])
        chosen = random.permutation(len(split_numbers("train")))[: train + test]
        tested = random.permutation(len(split_numbers("test")))[:test]
        seen = dsprites(which, "train", side=side, seed=seed, data_dir=data_dir)
        return Splits(
            subset(seen, chosen[:train]),
            subset(seen, chosen[train:]),
            subset(dsprites(which, "test", side=side, seed=seed, data_dir=data_dir), tested),
        )
    from data.prepared import open_source, tuning_split

    if family == "tongue" and which:

        def of_machine(part: str) -> ArraySource:
            return in_memory(
                open_source(
                    family, f"{part}_{machine}", data_dir=data_dir, transform=Letterbox(side)
                )
            )

        machine, _, more = which.partition("+")
        labelled, validation = of_machine("train"), of_machine("tune")
        return Splits(
            join_sources([labelled, of_machine(more)], name) if more else labelled,
            validation,
            validation if seed in TUNING_SEEDS else of_machine("test"),
            labelled=labelled,
        )
    dataset = which if family in ("recoloured", "plain") else name
    square = {
        "lsp": PadToSquare,
        "recoloured": Letterbox,
        "plain": Letterbox,
        "lspet": Letterbox,
    }.get(family, Stretch)(side)  # hands and videos are square already; labels must not be needed
    people = family != dataset == "lspet"
    if people:
        square = ScaledByBox(PersonCrop(side, smallest=SMALLEST_PERSON))

    def opened(split: str, transform: Transform = square) -> Source:
        return decoded_once(open_source(dataset, split, data_dir=data_dir, transform=transform))

    larger, tune = larger_domain(name, side, reach), tuning_split(dataset).partition("/")[2]
    if seed in TUNING_SEEDS and not tune:
        raise InputError(
            "first_seed", f"{seed}; {dataset} has no images for tuning, so its seeds are below 100"
        )
    labelled, second = ("train", tune) if tune else ("train[:95%]", "train[95%:]")
    first = labelled
    if unlabelled and family == dataset and seed not in TUNING_SEEDS:
        # a published validation split stays apart
        first = {"": "train", "tune": "train+tune"}.get(tune, labelled)
    train, validation = opened(first), opened(second)
    test = validation if seed in TUNING_SEEDS else opened("test")
    if family == dataset:
        splits = Splits(train, validation, test)
        if larger:
            splits = splits._replace(train=opened(first, larger[0]), plain_train=train)
        if first != labelled:  # an oracle's alone, so that nothing is decoded for it before
            seen = larger[0] if larger else square
            splits = splits._replace(
                labelled=open_source(dataset, labelled, data_dir=data_dir, transform=seen)
            )
        return splits
    from data.bodies import NEVER_LABELLED
    from data.other_colours import in_other_colours

    if people:
        train, validation, test = (
            without_keypoints(part, NEVER_LABELLED) for part in (train, validation, test)
        )
    half = ["recoloured", "plain"].index(family)
    train = subset(train, np.array_split(np.arange(len(train)), 2)[half], name)
    return Splits(
        *(
            decoded_once(part if half else in_other_colours(part))
            for part in (train, validation, test)
        )
    )


def as_bodies(rendered: ArraySource) -> ArraySource:
    """Renames keypoints of rendered people to the 16 of the body sets; the thorax stays unlabelled,
    as in Leeds Sports.

    A rendered head is marked at its middle and those of the sets at the top: PCK of that keypoint
    suffers from it.
    """
    from data.bodies import BODY

    names = {"ankle": "foot", "wrist": "hand", "head_top": "head", "thorax": "neck"}
    order = []
    for name in BODY.names:
        side, _, joint = name.partition("_")
        plain = (
            f"{side}_{names.get(joint, joint)}"
            if side in ("left", "right")
            else names.get(name, name)
        )
        order.append(rendered.skeleton.index(plain))
    examples = rendered.examples
    visible = examples.visible[:, order] * np.array(
        [name != "thorax" for name in BODY.names], np.float32
    )
    return ArraySource(
        examples._replace(
            keypoints=examples.keypoints[:, order] * visible[..., None], visible=visible
        ),
        BODY,
        rendered.name,
    )
