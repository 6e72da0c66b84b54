"""Where examples come from: random access to a fixed number of them, all of one image size."""
import hashlib
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol

import numpy as np
from PIL import Image

from kpjax.errors import InputError
from kpjax.input.placement import Place
from kpjax.structures import Example, Skeleton


class Source(Protocol):
    """Examples by number. Every image is (S, S, 3) uint8 of one S, every field is numpy.

    `digest` identifies what is in it (a sha256 over names and labels), so that a checkpoint can say which split it saw.
    `index` of an example is its number here. A source whose examples have names of their own also has
    `identity(index) -> str | None`; read it through `identities`.
    """

    skeleton: Skeleton
    name: str
    digest: str

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Example: ...


def digest_of(*parts: str | bytes | np.ndarray) -> str:
    """The sha256 of strings and arrays in order, shapes and dtypes included."""
    state = hashlib.sha256()
    for part in parts:
        if isinstance(part, np.ndarray):
            state.update(f"{part.shape}{part.dtype}".encode())
            state.update(np.ascontiguousarray(part).data)
        else:
            state.update(part.encode() if isinstance(part, str) else part)
        state.update(b"\0")
    return state.hexdigest()


def _check_range(index: int, count: int, name: str) -> None:
    if not 0 <= index < count:
        raise IndexError(f"{name} has {count} examples, number {index} is not among them")


@dataclass(frozen=True, eq=False)
class ArraySource:
    """Examples that are in memory: `examples` is one stacked Example of numpy arrays. Its `index` is not read.

    names: one for each example, under which its author knows it; () if they have none.
    """

    examples: Example
    skeleton: Skeleton
    name: str
    names: tuple[str, ...] = ()

    def __post_init__(self):
        count, keypoints = len(self.examples.image), len(self.skeleton.names)
        side = self.examples.image.shape[1]
        wanted = {"image": (count, side, side, 3), "keypoints": (count, keypoints, 2), "visible": (count, keypoints),
                  "scale": (count,), "crop": (count, 3, 3)}
        for field, shape in wanted.items():
            if getattr(self.examples, field).shape != shape:
                raise InputError(f"{self.name}: field {field} has shape {getattr(self.examples, field).shape} where "
                                 f"{shape} is needed ({keypoints} keypoints, square images)")

    @cached_property
    def digest(self) -> str:
        return digest_of(*self.skeleton.names, *self.examples[:-1])

    def __len__(self) -> int:
        return len(self.examples.image)

    def identity(self, index: int) -> str | None:
        """The name of an example, None if there are none."""
        return self.names[index] if self.names else None

    def __getitem__(self, index: int) -> Example:
        _check_range(index, len(self), self.name)
        return Example(*(field[index] for field in self.examples[:-1]), np.int32(index))


def arrays(
    images: np.ndarray, keypoints: np.ndarray, visible: np.ndarray, skeleton: Skeleton, name: str, *,
    scale: np.ndarray | None = None, crop: np.ndarray | None = None,
) -> ArraySource:
    """A source of stacked arrays: images (N, S, S, 3) uint8, keypoints (N, K, 2), visible (N, K).

    scale: (N,) px, the image's side if None. crop: (N, 3, 3), the identity if None. Raises InputError for shapes that
    do not belong together.
    """
    count, side = images.shape[:2]
    scale = np.full(count, side, np.float32) if scale is None else scale
    crop = np.tile(np.eye(3, dtype=np.float32), (count, 1, 1)) if crop is None else crop
    as_float = (np.asarray(field, np.float32) for field in (keypoints, visible, scale, crop))
    return ArraySource(Example(np.asarray(images, np.uint8), *as_float, np.arange(count, dtype=np.int32)),
                       skeleton, name)


@dataclass(frozen=True, eq=False)
class TfdsSource:
    """Prepared records (image as the bytes of its file, keypoints, visible, scale, id) brought to one image size.

    A record may have a `box` (4,) too, x, y, width, height in pixels, for placements that go by it.

    records: anything with `len` and integer indexing, as tfds' `as_data_source` with `SkipDecoding` for the image.
    Reading an example raises InputError with its id if its image does not decode or cannot be placed.
    """

    records: Sequence[Mapping]
    skeleton: Skeleton
    place: Place
    name: str

    @cached_property
    def digest(self) -> str:
        parts = []
        for index in range(len(self.records)):
            record = self.records[index]
            parts += [record["id"], np.asarray(record["keypoints"]), np.asarray(record["visible"])]
        return digest_of(*self.skeleton.names, *parts)

    def __len__(self) -> int:
        return len(self.records)

    def identity(self, index: int) -> str:
        """The name under which the dataset's author knows an example, for messages and for tables of predictions."""
        return self.records[index]["id"].decode()

    def __getitem__(self, index: int) -> Example:
        _check_range(index, len(self), self.name)
        record = self.records[index]
        try:
            with Image.open(io.BytesIO(record["image"])) as picture:
                image = np.asarray(picture.convert("RGB"))
        except OSError as error:
            raise InputError(f"{self.name}, {record['id'].decode()}: the image cannot be read: {error}; "
                             "prepare the set again") from error
        try:
            placed = self.place(image, record["keypoints"], record["visible"], np.float32(record["scale"]),
                                record.get("box"))
        except InputError as error:
            raise InputError(f"{self.name}, {record['id'].decode()}: {error}") from error
        return Example(*placed, np.int32(index))


@dataclass(frozen=True, eq=False)
class _Subset:
    source: Source
    indices: np.ndarray
    name: str

    @property
    def skeleton(self) -> Skeleton:
        return self.source.skeleton

    @cached_property
    def digest(self) -> str:
        return digest_of(self.source.digest, self.indices)

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Example:
        _check_range(index, len(self), self.name)
        return self.source[int(self.indices[index])]._replace(index=np.int32(index))

    def identity(self, index: int) -> str | None:
        return _identity(self.source, int(self.indices[index]))


def subset(source: Source, indices: Sequence[int] | np.ndarray, name: str | None = None) -> Source:
    """Some examples of a source, in the order of `indices`, numbered from 0. Raises InputError for an index outside."""
    indices = np.asarray(indices, np.int64)
    if indices.size and not (indices.min() >= 0 and indices.max() < len(source)):
        raise InputError(f"{source.name} has {len(source)} examples; a subset asks for number "
                         f"{indices.max() if indices.min() >= 0 else indices.min()}")
    return _Subset(source, indices, name or f"{source.name}[{len(indices)}]")


@dataclass(frozen=True, eq=False)
class _Changed:
    source: Source
    change: Callable[[Example, int], Example]
    facts: tuple
    name: str
    skeleton: Skeleton

    @cached_property
    def digest(self) -> str:
        return digest_of(self.source.digest, *self.facts)

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> Example:
        _check_range(index, len(self), self.name)
        return self.change(self.source[index], index)

    def identity(self, index: int) -> str | None:
        return _identity(self.source, index)


def changed(
    source: Source, change: Callable[[Example, int], Example], *facts: np.ndarray | str, name: str,
    skeleton: Skeleton | None = None,
) -> Source:
    """Every example of a source as `change(example, its number)` makes it, in the same order.

    facts: all that the change depends on; the digest is of them and of the source. skeleton: where it changes, too.
    """
    return _Changed(source, change, facts, name, skeleton or source.skeleton)


def strip_labels(example: Example) -> Example:
    """An example, or a batch, whose keypoints and visibilities are zero: a method that reads it cannot peek."""
    return example._replace(keypoints=np.zeros_like(example.keypoints), visible=np.zeros_like(example.visible))


def without_labels(source: Source) -> Source:
    """The same images with no labels. The number of keypoints stays."""
    return changed(source, lambda example, _: strip_labels(example), "without labels",
                   name=f"{source.name} without labels")


def with_labels(source: Source, keypoints: np.ndarray, visible: np.ndarray, name: str | None = None) -> Source:
    """The same images under other labels, for example pseudo-labels; the source's own are not read.

    keypoints: (N, K, 2) in px of the source's images, in its order. visible: (N, K) in {0, 1}; where it is 0 the
    coordinates may be anything, and come out as 0. Raises InputError for another shape, another visibility, or a
    visible keypoint that is not finite.
    """
    name = name or f"{source.name} under other labels"
    keypoints, visible = np.asarray(keypoints, np.float32), np.asarray(visible, np.float32)
    count, points = len(source), len(source.skeleton.names)
    if keypoints.shape != (count, points, 2) or visible.shape != (count, points):
        raise InputError(f"{name}: keypoints are {keypoints.shape} and visible {visible.shape}, where the source needs "
                         f"{(count, points, 2)} and {(count, points)}")
    if not np.isin(visible, (0, 1)).all():
        raise InputError(f"{name}: a visibility is neither 0 nor 1; mark each keypoint as labelled (1) or not (0)")
    keypoints = np.where(visible[..., None] > 0, keypoints, np.float32(0))
    if not np.isfinite(keypoints).all():
        number = int(np.argmin(np.isfinite(keypoints).all((1, 2))))
        raise InputError(f"{name}: number {number} has a labelled keypoint that is not finite; mark it as not labelled")

    def labelled(example: Example, index: int) -> Example:
        return example._replace(keypoints=keypoints[index], visible=visible[index])

    return changed(source, labelled, keypoints, visible, name=name)


def _identity(source: Source, index: int) -> str | None:
    found = getattr(source, "identity", None)
    return None if found is None else found(index)


def identities(source: Source) -> tuple[str, ...] | None:
    """The names under which the author of a set knows its examples, in the order of the source; None without any."""
    names = tuple(_identity(source, index) for index in range(len(source)))
    return None if any(name is None for name in names) else names


def stacked(examples: Sequence[Example]) -> Example:
    """A batch of examples."""
    return Example(*(np.stack(field) for field in zip(*examples, strict=True)))


def in_memory(source: Source) -> ArraySource:
    """All examples read once and kept: no decoding from then on. The digest is that of the new arrays."""
    examples = stacked([source[index] for index in range(len(source))])
    return ArraySource(examples, source.skeleton, source.name, identities(source) or ())


def joined(sources: Sequence[ArraySource], name: str) -> ArraySource:
    """The examples of several sources one after the other, in memory. Raises InputError if their keypoints differ."""
    first = sources[0]
    for source in sources:
        if source.skeleton.names != first.skeleton.names:
            raise InputError(f"{name}: {source.name} has other keypoints than {first.name}; join sets of one skeleton")
    named = all(source.names for source in sources)
    examples = Example(*(np.concatenate(field) for field in zip(*(one.examples for one in sources), strict=True)))
    return ArraySource(examples, first.skeleton, name, tuple(n for one in sources for n in one.names) if named else ())


def renamed(source: ArraySource, name: str) -> ArraySource:
    """The same arrays under another name."""
    return replace(source, name=name)
