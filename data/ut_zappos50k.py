"""UT Zappos50K: 50,025 catalogue images of shoes on white, without keypoints.

Work on landmarks holds out 500 images but does not list them. Here they are the last 500 of the
sorted paths in a random order (seed 1000), whose shoes do not train; of the others a twentieth of
the shoes is for tuning. Images of the square release are stored unchanged; those of the other one
are centred on a white square. `scale` is the image's side.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from data.checking import refusal_of
from data.parts import with_tune
from data.prepared import Card, Dataset, Record, encode, record
from kpjax.errors import InputError
from kpjax.images.reading import BROKEN
from kpjax.structures import Skeleton

RELEASES = ("ut-zap50k-images-square", "ut-zap50k-images")
TESTING, SEED = 500, 1000
WHITE = (255, 255, 255)


def shoes(folder: Path) -> dict[str, list[Path]]:
    """Lists the images of the first release found, by split. `folder` may be that of the release
    itself.

    Raises InputError if there is none, or if none would be left for training.
    """
    root = next((folder / name for name in RELEASES if (folder / name).is_dir()), folder)
    images = sorted(root.rglob("*.jpg"), key=lambda path: path.relative_to(root).as_posix())
    if not images:
        raise InputError(
            f"ut_zappos50k: {folder} has no .jpg in any subfolder; unpack {RELEASES[0]}.zip or "
            f"{RELEASES[1]}.zip there"
        )
    if len(images) <= TESTING:
        raise InputError(
            f"ut_zappos50k: {root} has {len(images)} images, but {TESTING} are held out for testing; "
            "unpack the whole archive"
        )
    order = np.random.default_rng(SEED).permutation(len(images))
    test = [images[number] for number in sorted(order[-TESTING:])]
    shown = {_shoe(path) for path in test}
    train = [
        images[number] for number in sorted(order[:-TESTING]) if _shoe(images[number]) not in shown
    ]
    return {"train": train, "test": test}


def _shoe(path: Path) -> str:
    return path.name.partition(".")[0]


def _records(images: Sequence[Path]) -> Iterator[Record]:
    for path in images:
        # Category, kind, brand and file identify a shoe.
        name = "/".join(path.with_suffix("").parts[-4:])
        try:
            with Image.open(path) as pil_image:
                side = max(pil_image.size)
                image = path if pil_image.width == pil_image.height else _on_white(pil_image, side)
        except BROKEN:
            image, side = path, 1  # the builder reports or skips it
        yield record(image, np.zeros((0, 2)), np.zeros(0), float(side), name)


def _on_white(image: Image.Image, side: int) -> bytes:
    square = Image.new("RGB", (side, side), WHITE)
    square.paste(image.convert("RGB"), ((side - image.width) // 2, (side - image.height) // 2))
    return encode(square, lossless=False)


def splits(folder: Path) -> dict[str, Iterator[Record]]:
    """Returns the images of the three splits; all of one shoe are in one."""
    found = with_tune(shoes(folder), _shoe)
    return {split: _records(images) for split, images in found.items() if images}


DATASET = Dataset(
    "ut_zappos50k",
    Skeleton(()),
    Card(
        __doc__,
        where="ut-zap50k-images-square.zip, vision.cs.utexas.edu/projects/finegrained/utzap50k",
        licence="non-commercial research",
        homepage="https://vision.cs.utexas.edu/projects/finegrained/utzap50k",
        citation="Yu and Grauman, Fine-Grained Visual Comparisons with Local Learning, CVPR 2014.",
    ),
    splits,
    partial(refusal_of, shoes),
)
