"""Where examples come from: random access to a fixed number of them, all of one image size."""
import hashlib
import io
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple, Protocol

import numpy as np
from PIL import Image

from kpjax.errors import InputError, summarise
from kpjax.images import boxes
from kpjax.images.transforms import Transform, local_contrast
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

    A record may have a `box` (4,) too, x, y, width, height in pixels, for transforms that read it.

    records: anything with `len` and integer indexing, as tfds' `as_data_source` with `SkipDecoding` for the image.
    Reading an example raises InputError with its id if its image does not decode or cannot be placed.
    """

    records: Sequence[Mapping]
    skeleton: Skeleton
    transform: Transform
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
            with Image.open(io.BytesIO(record["image"])) as pil_image:
                image = np.asarray(pil_image.convert("RGB"))
        except OSError as error:
            raise InputError(f"{self.name}, {record['id'].decode()}: the image cannot be read: {error}; "
                             "prepare the set again") from error
        try:
            placed = self.transform(image, record["keypoints"], record["visible"], np.float32(record["scale"]),
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


# Which images of a set keep their labels, and whether two sets share an image


class LabelledSplit(NamedTuple):
    """A source in two: the examples that keep their labels, and all others. Both in the order of the draw."""

    labelled: np.ndarray  # numbers in the source, int64
    rest: np.ndarray  # numbers in the source, int64
    digest: str  # of the source and of the labelled examples, whatever their order


def labelled_subset(
    source: Source, *, share: float | None = None, count: int | None = None, seed: int, need_unlabelled: bool = False,
) -> LabelledSplit:
    """Draws the labelled images of a semi-supervised run.

    The examples are sorted by their identities (as they come if they have none), put into the order of
    `np.random.default_rng(seed).permutation`, and the first ones are labelled: floor(share * N + 0.5) of them, or
    `count`. So smaller subsets of one seed are contained in larger ones, and a set that is stored in another order
    gives the same images.

    need_unlabelled: whether some have to be left. Raises InputError for more labels than there are examples, for none,
    and where unlabelled ones are needed and none is left.
    """
    total = len(source)
    if (share is None) == (count is None):
        raise InputError(f"{source.name}: say how many images are labelled either as a share or as a count")
    if share is not None:
        if not 0 < share <= 1:
            raise InputError(f"{source.name}: the labelled share is {share}; it must be more than 0 and at most 1")
        count = rounded_share(share, total)
    asked = f"{count} labelled images" + ("" if share is None else f" ({share:g} of {total})")
    if count > total:
        raise InputError(f"{source.name}: {asked} are asked for, but there are {total}; ask for at most {total}")
    if count < 1:
        raise InputError(f"{source.name}: {asked} are asked for; ask for at least 1")
    if need_unlabelled and count == total:
        raise InputError(f"{source.name}: {asked} leave no unlabelled image of {total}, and unlabelled ones are read; "
                         f"ask for at most {total - 1}")
    names = identities(source)
    in_order = np.arange(total) if names is None else np.array(sorted(range(total), key=names.__getitem__))
    drawn = in_order[np.random.default_rng(seed).permutation(total)]
    labelled = drawn[:count]
    chosen = np.sort(labelled) if names is None else sorted(names[number] for number in labelled)
    parts = [chosen] if names is None else chosen
    return LabelledSplit(labelled, drawn[count:], digest_of(source.digest, *parts))


def rounded_share(share: float, total: int) -> int:
    """floor(share * total + 0.5): 5 % of 3,610 is 181."""
    return math.floor(share * total + 0.5)


def check_disjoint(train: Source, test: Source, *, by_name: bool = True, by_pixels: bool = True) -> None:
    """Raises InputError, with the first of them, if an image of `train` is also in `test`.

    Two images are one if they have the same pixels, or if both sources name their examples and the names are equal: one
    photograph that was cropped in two ways. by_name: False for sets whose names hold within one split only. by_pixels:
    False spares reading every image of both sources once.
    """
    train_names, test_names = identities(train), identities(test)
    compare_names = by_name and train_names is not None and test_names is not None
    by_test_name = {name: number for number, name in enumerate(test_names)} if compare_names else {}
    by_test_pixels = {_pixels(test, number): number for number in range(len(test))} if by_pixels else {}
    shared = []
    for number in range(len(train)):
        twin = by_test_name.get(train_names[number]) if compare_names else None
        if twin is None and by_pixels:
            twin = by_test_pixels.get(_pixels(train, number))
        if twin is not None:
            shared.append(f"{_called(train_names, number)} is {_called(test_names, twin)} of {test.name}")
    if shared:
        raise InputError(f"{train.name}: {len(shared)} of {len(train)} images are in the test split: "
                         f"{summarise(shared)}; leave them out of one of the two")


def _pixels(source: Source, number: int) -> str:
    return digest_of(source[number].image)


def _called(names: tuple[str, ...] | None, number: int) -> str:
    return f"number {number}" if names is None else names[number]


# A source in which some keypoints only are labelled: what a step of incremental learning may see


def labelled_only(source: Source, keypoints: Sequence[str], name: str | None = None) -> Source:
    """The same images and the same K keypoints, of which all but those named are zero and not visible.

    A method that reads it cannot peek at the others. Raises InputError for a name that the skeleton lacks.
    """
    mask = np.zeros(len(source.skeleton.names), np.float32)
    mask[[source.skeleton.index(keypoint) for keypoint in keypoints]] = 1

    def masked(example: Example, index: int) -> Example:
        del index
        visible = (example.visible * mask).astype(np.float32)
        return example._replace(keypoints=np.where(visible[:, None] > 0, example.keypoints, np.float32(0)),
                                visible=visible)

    return changed(source, masked, mask, name=name or f"{source.name}, {len(keypoints)} keypoints labelled")


# A source with some of its keypoints only


def without_keypoints(source: Source, names: Sequence[str]) -> Source:
    """The same images less the keypoints of those names, for points that a set has a place for and never labels.

    Edges and groups lose them, too. Raises InputError for an unknown name, if none is left, or if a keypoint would
    lose its mirror image.
    """
    if not names:
        return source
    left_out = {source.skeleton.index(name) for name in names}
    kept = [k for k in range(len(source.skeleton.names)) if k not in left_out]
    if not kept:
        raise InputError(f"{source.name}: all its keypoints are left out; keep at least one")
    numbers = np.array(kept)

    def choose(example: Example, index: int) -> Example:
        del index
        return example._replace(keypoints=example.keypoints[numbers], visible=example.visible[numbers])

    return changed(source, choose, numbers, name=source.name, skeleton=_chosen(source.skeleton, kept))


def _chosen(skeleton: Skeleton, kept: Sequence[int]) -> Skeleton:
    transform = {old: new for new, old in enumerate(kept)}
    if alone := [skeleton.names[k] for k in kept if skeleton.flip and skeleton.flip[k] not in transform]:
        raise InputError(f"keypoint {alone[0]} would lose its mirror image; leave both out or neither")
    return Skeleton(
        tuple(skeleton.names[k] for k in kept),
        tuple((transform[a], transform[b]) for a, b in skeleton.edges if a in transform and b in transform),
        tuple(transform[skeleton.flip[k]] for k in kept) if skeleton.flip else (),
        {name: left for name, members in skeleton.groups.items()
         if (left := tuple(transform[k] for k in members if k in transform))})


# A source whose images are turned, each by an angle of its own: what the consistency of landmarks is measured on


def turned(source: Source, maps: np.ndarray, *, name: str = "turned") -> Source:
    """A source with example n under the affine map maps[n] (3, 3), pixels to pixels of an image of the same size.

    Outside the image its border is repeated. Keypoints and the way back to the original image move along; keypoints
    that leave are not visible. A source that is turned already is resampled twice, as the published measure has it.
    Raises InputError unless there is one map for each example.
    """
    maps = np.asarray(maps, np.float64)
    if maps.shape != (len(source), 3, 3):
        raise InputError(f"{source.name}: maps of shape {maps.shape} for {len(source)} examples; one map (3, 3) for "
                         "each is needed")

    def turn(example: Example, index: int) -> Example:
        map_, side = maps[index], example.image.shape[0]
        moved = boxes.move_points(map_, example.keypoints)
        inside = ((moved >= -0.5) & (moved < side - 0.5)).all(-1)
        visible = np.where(inside, example.visible, 0).astype(np.float32)
        growth = np.sqrt(abs(np.linalg.det(map_[:2, :2])))
        return example._replace(
            image=_moved(example.image, map_), keypoints=np.where(visible[:, None] > 0, moved, np.float32(0)),
            visible=visible, scale=np.float32(example.scale * growth),
            crop=(np.asarray(example.crop, np.float64) @ np.linalg.inv(map_)).astype(np.float32))

    return changed(source, turn, maps, name=f"{source.name}/{name}")


def _moved(image: np.ndarray, map_: np.ndarray) -> np.ndarray:
    """An image (S, S, 3) uint8 under a map, bilinear, its border repeated."""
    side = image.shape[0]
    border = side  # room for every pixel that the canvas of a turned square asks for
    back = np.linalg.inv(map_)
    # Pillow counts from the corner of the first pixel, maps of centres from its middle.
    shift = back[:2, 2] + border + 0.5 - back[:2, :2] @ [0.5, 0.5]
    rows = np.column_stack([back[:2, :2], shift])
    padded = Image.fromarray(np.pad(image, ((border, border), (border, border), (0, 0)), "edge"))
    return np.asarray(padded.transform((side, side), Image.Transform.AFFINE, tuple(rows.ravel().tolist()),
                                       Image.Resampling.BILINEAR))


def with_local_contrast(source: ArraySource) -> ArraySource:
    """A source in memory, of whose images the local contrast is kept."""
    images = np.stack([local_contrast(image) for image in source.examples.image])
    return ArraySource(source.examples._replace(image=images), source.skeleton, f"{source.name}, local contrast",
                       source.names)
