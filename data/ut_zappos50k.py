"""UT Zappos50K: 50,025 catalogue images of shoes on white, without keypoints.

Yu and Grauman, Fine-Grained Visual Comparisons with Local Learning, CVPR 2014. Work on landmarks holds out 500 images
but does not list them. Here they are the last 500 of the sorted paths in a random order (seed 1000); of the others a
twentieth of the shoes is for tuning. Images of the square release are stored unchanged; those of the other one are
centred on a white square. `scale` is the image's side.
"""
import io
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from data.parts import with_tune
from data.prepared import Dataset, KeypointBuilder, Record, record
from kpjax.errors import InputError
from kpjax.structures import Skeleton

RELEASES = ("ut-zap50k-images-square", "ut-zap50k-images")
TESTING, SEED = 500, 1000
WHITE = (255, 255, 255)


def shoes(folder: Path, testing: int = TESTING) -> dict[str, list[Path]]:
    """Lists the images of the first release found, by split. `folder` may be that of the release itself.

    Raises InputError if there is none, or if none would be left for training.
    """
    root = next((folder / name for name in RELEASES if (folder / name).is_dir()), folder)
    images = sorted(root.rglob("*.jpg"), key=lambda path: path.relative_to(root).as_posix())
    if not images:
        raise InputError(f"ut_zappos50k: {folder} has no .jpg in any subfolder; unpack {RELEASES[0]}.zip or "
                         f"{RELEASES[1]}.zip there")
    if len(images) <= testing:
        raise InputError(f"ut_zappos50k: {root} has {len(images)} images, but {testing} are held out for testing; "
                         "unpack the whole archive")
    order = np.random.default_rng(SEED).permutation(len(images))
    return {"train": [images[number] for number in sorted(order[:-testing])],
            "test": [images[number] for number in sorted(order[-testing:])]}


def _records(images: Sequence[Path]) -> Iterator[Record]:
    for path in images:
        # Category, kind, brand and file identify a shoe.
        name = "/".join(path.with_suffix("").parts[-4:])
        try:
            with Image.open(path) as pil_image:
                side = max(pil_image.size)
                image = path if pil_image.width == pil_image.height else _on_white(pil_image, side)
        except OSError:
            image, side = path, 1  # the builder reports or skips it
        yield record(image, np.zeros((0, 2)), np.zeros(0), float(side), name)


def _on_white(image: Image.Image, side: int) -> bytes:
    square = Image.new("RGB", (side, side), WHITE)
    square.paste(image.convert("RGB"), ((side - image.width) // 2, (side - image.height) // 2))
    stored = io.BytesIO()
    square.save(stored, "JPEG", quality=95, subsampling=0)
    return stored.getvalue()


class UtZappos50k(KeypointBuilder):
    """One record per shoe, without keypoints: 500 test."""

    name = "ut_zappos50k"
    testing = TESTING

    def splits(self, folder):
        splits = with_tune(shoes(folder, self.testing), lambda image: image.name.partition(".")[0])  # of one shoe
        return {split: _records(images) for split, images in splits.items() if images}


def _check(folder: Path, testing: int = TESTING) -> list[str]:
    try:
        shoes(folder, testing)
    except InputError as error:
        return [str(error)]
    return []


DATASET = Dataset(
    name="ut_zappos50k",
    builder=UtZappos50k,
    skeleton=lambda folder: Skeleton(()),
    where="ut-zap50k-images-square.zip, vision.cs.utexas.edu/projects/finegrained/utzap50k; non-commercial research",
    check=_check,
)
