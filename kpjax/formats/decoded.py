"""Examples of a project whose images are decoded once: in memory where they fit, and else in a file
of the cache folder that later runs read again.
"""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np

from kpjax.errors import InputError
from kpjax.files import atomic, cache_folder, read_json, write_json
from kpjax.input.source import digest_of
from kpjax.structures import Example

IN_MEMORY = (
    2**30
)  # bytes of the images of a source that lie in memory; those of more lie on the disc
SPARE = 2**30  # bytes that the disc keeps
IMAGES, FIELDS, RECORD = "images.npy", "fields.npz", "record.json"


class Decoded(NamedTuple):
    """Examples (N, ...) as one Example, and what is known of them."""

    examples: Example  # the images are a map of a file where they are many
    kept: np.ndarray  # (N,) int64, the numbers of those that could be read
    images_digest: str = ""  # of images on the disc; "" of those in memory


class Sheet:
    """Rows of examples that are written in any order. images: (N, S, S, 3) where they go; made with
    the first example without it."""

    def __init__(self, count: int, images: np.ndarray | None = None):
        self.count = count
        self.images = images
        self.fields: dict[int, Example] = {}

    def put(self, number: int, example: Example) -> None:
        """Keeps an example at its number."""
        if self.images is None:
            self.images = np.empty((self.count, *example.image.shape), np.uint8)
        self.images[number] = example.image
        self.fields[number] = example._replace(image=np.empty(0, np.uint8))

    def examples(self) -> tuple[Example, np.ndarray]:
        """Returns the fields of all that were put, without images, and their numbers, in order."""
        order = np.array(sorted(self.fields), np.int64)
        columns = zip(*(self.fields[number] for number in order.tolist()), strict=True)
        return Example(*map(np.stack, columns)), order


def decoded(
    count: int,
    side: int,
    key: Callable[[], str],
    name: str,
    fill: Callable[[Sheet], None],
) -> Decoded:
    """Returns examples that `fill` puts into a sheet: from an earlier run of the same `key`, if they
    lie on the disc.

    count: how many there are, at most. side: of their square images, px; 0 where it is
    not known before, and they lie in memory. key: returns a digest of all
    that they depend on; "" keeps them in memory. name: of the source, for messages. Raises InputError
    where the disc has no room, and what `fill` raises.
    """
    size = 3 * count * side**2
    digest = key() if size > IN_MEMORY else ""
    if not digest:
        sheet = Sheet(count)
        fill(sheet)
        examples, kept = sheet.examples()
        images = sheet.images if len(kept) == count else sheet.images[kept]
        return Decoded(examples._replace(image=images), kept)
    folder = cache_folder() / "decoded" / digest[:32]
    if not (folder / RECORD).is_file():
        _check_room(folder.parent, size, name)
        print(
            f"{name}: {count:,} images of {side} px, {size / 2**30:.1f} GB, are decoded once, into {folder}; "
            "later runs read them there, and it may be deleted"
        )
        with _sheet_on_disc(folder, count, side) as sheet:
            fill(sheet)
    images = np.load(folder / IMAGES, mmap_mode="r")
    with np.load(folder / FIELDS) as stored:
        fields = {field: stored[field] for field in stored.files}
    kept = fields.pop("kept")
    examples = Example(image=images[: len(kept)], **fields)
    return Decoded(examples, kept, read_json(folder / RECORD)["images"])


@contextmanager
def _sheet_on_disc(folder: Path, count: int, side: int) -> Iterator[Sheet]:
    """Yields a sheet whose images lie in a file; the folder appears once all are there."""
    with atomic(folder) as partial:
        partial.mkdir()
        shape = (count, side, side, 3)
        images = np.lib.format.open_memmap(partial / IMAGES, "w+", np.uint8, shape)
        sheet = Sheet(count, images)
        yield sheet
        examples, kept = sheet.examples()
        for row, number in enumerate(kept.tolist()):
            if row != number:  # some before it could not be read
                images[row] = images[number]
        images.flush()
        record = {"images": digest_of(images[: len(kept)]), "count": len(kept), "side": side}
        fields = examples._asdict()
        del fields["image"]
        np.savez(partial / FIELDS, kept=kept, **fields)
        write_json(partial / RECORD, record)


def _check_room(folder: Path, size: int, name: str) -> None:
    place = folder
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    if free < size + SPARE:
        raise InputError(
            f"{name}: its images take {size / 2**30:.1f} GB in {folder}, where {free / 2**30:.1f} GB are free; name "
            "another place with XDG_CACHE_HOME, or make them smaller with `image_size`"
        )
