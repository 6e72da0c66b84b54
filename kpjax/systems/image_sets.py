"""Labelled image sets by name: rendered people, sprites, and the datasets that `python -m data` prepares.

A prepared set has three parts: images that train, others on which settings are chosen, and those that test. A run with
a tuning seed is evaluated on the second part and never reads the third. Rendered images are other ones for every seed.
"""
import functools
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal, NamedTuple
from zlib import crc32

import numpy as np

from kpjax.systems.configs import Checked, Count, Positive, Share
from kpjax import InputError
from kpjax.augment import Loaded, Reach
from kpjax.images.transforms import (
    AroundBox,
    Letterbox,
    PadToSquare,
    PersonCrop,
    ScaledByBox,
    Stretch,
    Transform,
    enlarged,
)
from kpjax.input.source import (
    ArraySource,
    Source,
    check_disjoint,
    identities,
    in_memory,
    joined,
    subset,
    without_keypoints,
)
from kpjax.training.evaluation import Gathered, labels_of

KEPT_IN_MEMORY = 2**30
TUNING_SEEDS = range(100, 2**31)  # seeds on which settings are chosen, which never enter a mean with others
RENDERED = ("figures:", "bodies:", "videos:")
VIDEO_FRAMES = 100  # of a rendered video
NEVER_LABELLED = ("pelvis", "thorax")  # in Leeds Sports, of the 16 points of the body
SMALLEST_PERSON = 100.0  # px of the original image, the least side of a crop of Leeds Sports
# Sets of crops that the official RegDA code turns and crops before it resizes them.
MOVED_AT_FULL_SIZE = ("rhd", "freihand", "h3d", "surreal", "human36m")


class Splits(NamedTuple):
    """Training, validation and test images of one seed."""

    train: Source
    validation: Source
    test: Source
    plain_train: Source | None = None  # training images as evaluation sees them, if they are loaded larger
    labelled: Source | None = None  # those of `train` with labels, if others have none

    identity = MappingProxyType({})  # the config and the seed tell all of it

    @property
    def summary(self) -> str:
        """The sizes."""
        return f"{len(self.train)} training and {len(self.test)} test images"


@dataclass(frozen=True)
class ImageSet(Checked):
    """Labelled images of a run: which there are, and how they become square ones."""

    train: str = ""  # "<dataset>/<split>" of `python -m data`, "figures:<domain>", or "videos:target" of such people
    scale_is: str = ""  # what distances are compared with, in words
    test: str = ""  # "<dataset>/<split>"; "" for rendered people
    # "<dataset>/<split>", on which tuning seeds are tested, too; "" holds out a share of the training images
    validation: str = ""
    validation_share: Share = 0.05  # of the training images, where no split validates
    unused_keypoints: tuple[str, ...] = ()  # keypoints that the dataset never labels
    contours: tuple[str, ...] = ()  # groups of keypoints that sample a contour, whose distance is measured, too
    test_parts: tuple[str, ...] = ()  # further splits of the set with images of the test, which are measured apart
    transform: Literal["person_crop", "letterbox", "around_box"] = "person_crop"  # to a square image
    crop_margin: Positive = 1.25  # side of the crop over the longer side of the box; not stated
    crop_smallest: float = 0.0  # px of the original image, the least side of the crop
    image_size: Count = 256  # px
    pck_over: Literal["box", "scale"] = "box"  # the longer side of the annotated box, or the dataset's own length
    training_examples: Count = 2000  # of rendered people
    test_examples: Count = 500
    difficulty: float = 0.5  # of the domain figures:target

    @property
    def rendered(self) -> bool:
        """Whether the images are rendered by the seed."""
        return self.train.startswith(RENDERED)

    def square(self) -> Transform:
        """Returns the transform of an image of the set to a square one."""
        square = self.square_of_new()
        if self.transform == "person_crop":
            square = PersonCrop(self.image_size, self.crop_margin, smallest=self.crop_smallest)
        return ScaledByBox(square) if self.pck_over == "box" else square

    def square_of_new(self) -> Transform:
        """Returns the transform of a new image: letterboxed, or cropped by boxes if the set's are."""
        by_box = self.transform == "around_box"
        return AroundBox(self.image_size, self.crop_margin) if by_box else Letterbox(self.image_size)

    def loaded(self, reach: Reach | None) -> Loaded | None:
        """Returns how training images are loaded larger, for an augmentation that moves the original; None if not.

        At 256 px the official HRNet augmentation takes 604 px, 1.1 MB an image. The strongest zoom then reads one
        loaded pixel for each of its own; fewer would blur it, more would not show.
        """
        larger = self._larger(reach)
        return larger and Loaded(*larger[1:], self.image_size)

    def _larger(self, reach: Reach | None) -> tuple[Transform, int, np.ndarray] | None:
        if reach is None or self.rendered or self.transform != "person_crop":
            return None
        return enlarged(self.square(), **reach._asdict())

    def open(self, seed: int, data_dir: Path, reach: Reach | None = None) -> Splits:
        """Opens all splits, with labels; kept for the next run on the same data.

        A tuning seed is tested on the validation images, and trains without them.

        reach: of the augmentation, see `loaded`; None loads training images as all others.
        Raises InputError for a set that was not prepared, or a training image that is also a test image.
        """
        fixed = not self.rendered and self.validation
        return _open(self, 0 if fixed else seed, data_dir, reach, not self.rendered and seed in TUNING_SEEDS)


def parts_of_test(data: ImageSet, found: Gathered, test: Source, data_dir: Path) -> dict[str, Gathered]:
    """Returns what was predicted on each of `test_parts`, by its split, with the labels of that split.

    found: predictions on all of `test`, whose images have names.
    Raises InputError for an image that does not test.
    """
    from data.prepared import open_source

    if not data.test_parts:
        return {}
    place, parts = {name: number for number, name in enumerate(identities(test) or ())}, {}
    for split in data.test_parts:
        source = open_source(data.test.partition("/")[0], split, data_dir=data_dir, transform=data.square())
        names = identities(source) or ("images without names",)
        if missing := [name for name in names if name not in place]:
            raise InputError("test_parts", f"{missing[0]} of {split} is no test image; name parts of the test")
        rows = [place[name] for name in names]
        parts[split] = labels_of(source)._replace(keypoints=found.keypoints[rows], scores=found.scores[rows])
    return parts


@functools.lru_cache(maxsize=2)
def _open(data: ImageSet, seed: int, data_dir: Path, reach: Reach | None, tuning: bool) -> Splits:
    if data.rendered:
        splits = open_domain(data.train, side=data.image_size, seed=seed, data_dir=data_dir,
                             train=data.training_examples, test=data.test_examples, difficulty=data.difficulty)
    else:
        from data.prepared import open_source

        def opened(name: str, transform: Transform) -> Source:
            dataset, _, split = name.partition("/")
            return decoded_once(open_source(dataset, split, data_dir=data_dir, transform=transform))

        def training(transform: Transform) -> tuple[Source, Source | None]:
            train = opened(without_split(data.train, data.validation) if tuning else data.train, transform)
            if data.validation:
                return train, None
            return held_out(train, data.train.partition("/")[0], seed=seed, share=data.validation_share)

        train, validation = training(data.square())
        validation = validation or opened(data.validation, data.square())
        splits = Splits(train, validation, validation if tuning else opened(data.test, data.square()))
        if larger := data._larger(reach):
            splits = splits._replace(train=training(larger[0])[0], plain_train=train)
    check_disjoint(splits.plain_train or splits.train, splits.test)
    return Splits(*(source and without_keypoints(source, data.unused_keypoints) for source in splits))


def without_split(name: str, other: str) -> str:
    """Returns "<dataset>/<split>+<split>" without a split of the same set that may be among them."""
    dataset, _, splits = name.partition("/")
    return f"{dataset}/{'+'.join(split for split in splits.split('+') if f'{dataset}/{split}' != other)}"


def held_out(source: Source, name: str, *, seed: int, share: float) -> tuple[Source, Source]:
    """Splits a source into (training, validation) images: the seed draws the share that validates.

    Raises InputError if one of the two would be empty.
    """
    count = round(share * len(source))
    if not 0 < count < len(source):
        raise InputError("validation_share", f"{share} of {len(source)} training images is {count}; some must validate "
                         "and some must train")
    order = np.random.default_rng(seed).permutation(len(source))
    return (subset(source, order[count:], f"{name}/train"), subset(source, order[:count], f"{name}/validation"))


def decoded_once(source: Source) -> Source:
    """Returns a source in memory if its images fit into KEPT_IN_MEMORY bytes, otherwise the source itself."""
    return in_memory(source) if len(source) * source[0].image.nbytes <= KEPT_IN_MEMORY else source


@functools.lru_cache(maxsize=4)
def open_domain(name: str, *, side: int, seed: int, data_dir: Path, train: int = 4000, test: int = 500,
                difficulty: float = 0.5, reach: Reach | None = None) -> Splits:
    """Opens the images of a domain as square images of `side` px.

    name: "figures:<domain>", "bodies:<domain>" (people with the 16 keypoints of the body sets), "videos:target" (people
    in motion, whole videos of 100 frames), "sprites:<variant>", or a prepared dataset, whose images for tuning
    validate, and for a tuning seed also test. "recoloured:<dataset>" has the first half of its training images, in
    other colours, and "plain:<dataset>" the second half, as they are; of LSP Extended crops around each person, with
    its 14 labelled points, whose reference length is the box's longer side. "tongue:<machine>" has the labelled
    frames of one machine, and "tongue:<machine>+videos" those of its videos beside them.
    seed, train, test: of rendered images, and how many.
    difficulty: of the domain target. reach: see `loaded_domain`.
    Raises InputError for a name that is unknown, or a dataset that was not prepared.
    """
    family, _, which = name.partition(":")
    # Each family is imported where it is named: a run imports what it reads.
    if family in ("figures", "bodies"):
        from data.figures import ALL_JOINTS, DOMAINS, TEN_POINTS, figures, target

        if which not in ("source", "target", "photo"):
            raise InputError(f"domain {name!r}: the figures have source, target and photo")
        domain = target(difficulty) if which == "target" else DOMAINS[which]
        skeleton = TEN_POINTS if family == "figures" else ALL_JOINTS
        render = functools.partial(figures, domain=domain, seed=seed, side=side, skeleton=skeleton)
        parts = [render(train, first=0), render(test, first=train), render(test, first=train + test)]
        return Splits(*(as_bodies(part) if family == "bodies" else part for part in parts))
    if family == "videos":
        from data.figure_videos import figure_videos
        from data.figures import target

        if which != "target":
            raise InputError(f"domain {name!r}: the videos have target")
        counts = [max(count // VIDEO_FRAMES, 1) for count in (train, test, test)]
        return Splits(*(figure_videos(count, VIDEO_FRAMES, side, domain=target(difficulty), seed=seed,
                                      first=sum(counts[:number])) for number, count in enumerate(counts)))
    if family == "sprites":
        from data.dsprites import dsprites, split_numbers

        # Variants draw apart, so that no order of sprites is shared. A test has all shapes, scales and turns.
        random = np.random.default_rng([seed, crc32(which.encode())])
        chosen = random.permutation(len(split_numbers("train")))[:train + test]
        tested = random.permutation(len(split_numbers("test")))[:test]
        seen = dsprites(which, "train", side=side, seed=seed)
        return Splits(subset(seen, chosen[:train]), subset(seen, chosen[train:]),
                      subset(dsprites(which, "test", side=side, seed=seed), tested))
    from data.prepared import open_source, tuning_split

    if family == "tongue" and which:
        def of_machine(part: str) -> ArraySource:
            return in_memory(open_source(family, f"{part}_{machine}", data_dir=data_dir, transform=Letterbox(side)))

        machine, _, more = which.partition("+")
        labelled, validation = of_machine("train"), of_machine("tune")
        return Splits(joined([labelled, of_machine(more)], name) if more else labelled, validation,
                      validation if seed in TUNING_SEEDS else of_machine("test"), labelled=labelled)
    dataset = which if family in ("recoloured", "plain") else name
    square = {"lsp": PadToSquare, "recoloured": Letterbox, "plain": Letterbox, "lspet": Letterbox}.get(
        family, Stretch)(side)  # hands and videos are square already; labels must not be needed
    people = family != dataset == "lspet"
    if people:
        square = ScaledByBox(PersonCrop(side, smallest=SMALLEST_PERSON))

    def opened(split: str, transform: Transform = square) -> Source:
        return decoded_once(open_source(dataset, split, data_dir=data_dir, transform=transform))

    larger, tune = _larger_domain(name, side, reach), tuning_split(dataset).partition("/")[2]
    if seed in TUNING_SEEDS and not tune:
        raise InputError("first_seed", f"{seed}; {dataset} has no images for tuning, so its seeds are below 100")
    first, second = ("train", tune) if tune else ("train[:95%]", "train[95%:]")
    train, validation = opened(first, larger[0] if larger else square), opened(second)
    test = validation if seed in TUNING_SEEDS else opened("test")
    if family == dataset:
        return Splits(train, validation, test)
    from data.other_colours import in_other_colours

    if people:
        train, validation, test = (without_keypoints(part, NEVER_LABELLED) for part in (train, validation, test))
    half = ["recoloured", "plain"].index(family)
    train = subset(train, np.array_split(np.arange(len(train)), 2)[half], name)
    return Splits(*(decoded_once(part if half else in_other_colours(part)) for part in (train, validation, test)))


def loaded_domain(name: str, side: int, reach: Reach | None) -> Loaded | None:
    """Returns how `open_domain` loads training images larger, for an augmentation of this reach; None if not."""
    larger = _larger_domain(name, side, reach)
    return larger and Loaded(*larger[1:], side)


def _larger_domain(name: str, side: int, reach: Reach | None) -> tuple[Transform, int, np.ndarray] | None:
    return enlarged(Stretch(side), **reach._asdict()) if reach and name in MOVED_AT_FULL_SIZE else None


def as_bodies(rendered: ArraySource) -> ArraySource:
    """Renames keypoints of rendered people to the 16 of the body sets; the thorax stays unlabelled, as in Leeds Sports.

    A rendered head is marked at its middle and those of the sets at the top: PCK of that keypoint suffers from it.
    """
    from data.bodies import BODY

    names = {"ankle": "foot", "wrist": "hand", "head_top": "head", "thorax": "neck"}
    order = []
    for name in BODY.names:
        side, _, joint = name.partition("_")
        plain = f"{side}_{names.get(joint, joint)}" if side in ("left", "right") else names.get(name, name)
        order.append(rendered.skeleton.index(plain))
    examples = rendered.examples
    visible = examples.visible[:, order] * np.array([name != "thorax" for name in BODY.names], np.float32)
    return ArraySource(examples._replace(keypoints=examples.keypoints[:, order] * visible[..., None], visible=visible),
                       BODY, rendered.name)
