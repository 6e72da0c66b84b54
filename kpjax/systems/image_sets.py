"""Labelled image sets by name, as configs describe them; who runs a system opens them.

A prepared set has three parts: images that train, others on which settings are chosen, and those that test. A run with
a tuning seed is evaluated on the second part and never reads the third. Rendered images are other ones for every seed.
"""
from dataclasses import dataclass
from typing import Literal, NamedTuple

from kpjax.augment import Loaded, Reach
from kpjax.images.transforms import AroundBox, Letterbox, PersonCrop, ScaledByBox, Stretch, Transform, enlarged
from kpjax.input.source import Source, in_memory
from kpjax.systems.configs import Checked, Count, Positive, Share

KEPT_IN_MEMORY = 2**30
TUNING_SEEDS = range(100, 2**31)  # seeds on which settings are chosen, which never enter a mean with others
RENDERED = ("figures:", "bodies:")

# Sets of crops that the official RegDA code turns and crops before it resizes them.
MOVED_AT_FULL_SIZE = ("rhd", "freihand", "h3d", "surreal", "human36m")


class Splits(NamedTuple):
    """Training, validation and test images of one seed."""

    train: Source
    validation: Source
    test: Source
    plain_train: Source | None = None  # training images as evaluation sees them, if they are loaded larger
    labelled: Source | None = None  # those of `train` with labels, if others have none


@dataclass(frozen=True)
class ImageSet(Checked):
    """Labelled images of a run: which there are, and how they become square ones."""

    train: str = ""  # "<dataset>/<split>" of `python -m data`, or "figures:<domain>"
    scale_is: str = ""  # what distances are compared with, in words
    test: str = ""  # "<dataset>/<split>"; "" for rendered people
    # "<dataset>/<split>", on which tuning seeds are tested, too; "" holds out a share of the training images
    validation: str = ""
    validation_share: Share = 0.05  # of the training images, where no split validates
    unused_keypoints: tuple[str, ...] = ()  # keypoints that the dataset never labels
    contours: tuple[str, ...] = ()  # groups of keypoints that sample a contour, whose distance is measured, too
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
        """Returns how training images are loaded larger, for an augmentation that moves the original; None if not."""
        larger = self.larger(reach)
        return larger and larger[1]

    def larger(self, reach: Reach | None) -> tuple[Transform, Loaded] | None:
        """Returns the transform of training images that are loaded larger, and how they are loaded."""
        cropped = self.transform == "person_crop" and not self.rendered
        return loaded_larger(self.square(), self.image_size, reach if cropped else None)


def decoded_once(source: Source) -> Source:
    """Returns a source in memory if its images fit into KEPT_IN_MEMORY bytes, otherwise the source itself."""
    return in_memory(source) if len(source) * source[0].image.nbytes <= KEPT_IN_MEMORY else source


def loaded_larger(square: Transform, side: int, reach: Reach | None) -> tuple[Transform, Loaded] | None:
    """Returns the transform to images that show what an augmentation of this reach moves into one of `side` px, and
    how they are loaded; None without a reach.

    At 256 px the official HRNet augmentation takes 604 px, 1.1 MB an image. The strongest zoom then reads one loaded
    pixel for each of its own; fewer would blur it, more would not show.
    """
    if reach is None:
        return None
    larger, larger_side, to_plain = enlarged(square, **reach._asdict())
    return larger, Loaded(larger_side, to_plain, side)


def larger_domain(name: str, side: int, reach: Reach | None) -> tuple[Transform, Loaded] | None:
    """Returns the transform of a domain's training images that are loaded larger, and how they are loaded."""
    return loaded_larger(Stretch(side), side, reach if name in MOVED_AT_FULL_SIZE else None)
