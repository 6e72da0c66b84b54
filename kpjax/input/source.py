"""Sources of examples: random access to a fixed number of them, all with images of one size."""

import hashlib
import io
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple, Protocol

import numpy as np
from PIL import Image

from kpjax.errors import InputError, summarise
from kpjax.images import boxes
from kpjax.images.transforms import Transform, Turned, growth_of, warp
from kpjax.structures import Example, Skeleton


class Source(Protocol):
    """Examples by index. Every image is (S, S, 3) uint8 with one S, every field is numpy.

    `digest` is a sha256 of names and labels, by which a checkpoint knows its data. `index` of an
    example is its index in this source. A source with named examples also has `identity(index) ->
    str | None`; read it with `identities`.
    """

    @property
    def skeleton(self) -> Skeleton: ...

    @property
    def name(self) -> str: ...

    @property
    def digest(self) -> str: ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Example: ...


def digest_of(*parts: str | bytes | np.ndarray) -> str:
    """Returns the sha256 of strings and arrays in order, including shapes and dtypes."""
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
        raise IndexError(f"{name} has {count} examples, there is no number {index}")


@dataclass(frozen=True, eq=False)
class ArraySource:
    """Examples in memory: `examples` is one stacked Example of numpy arrays, whose `index` is that
    of whoever made them, and is not read here.

    names: the dataset's name of each example; () without names. images_digest: of images that lie on
    the disc, so that they are not read for it.
    """

    examples: Example
    skeleton: Skeleton
    name: str
    names: tuple[str, ...] = ()
    images_digest: str = ""

    def __post_init__(self):
        count, side = self.examples.image.shape[:2]
        keypoints = len(self.skeleton.names)
        wanted = {
            "image": (count, side, side, 3),
            "keypoints": (count, keypoints, 2),
            "visible": (count, keypoints),
            "scale": (count,),
            "crop": (count, 3, 3),
        }
        for field, shape in wanted.items():
            if getattr(self.examples, field).shape != shape:
                raise InputError(
                    f"{self.name}: field {field} has shape {getattr(self.examples, field).shape} where "
                    f"{shape} is needed ({keypoints} keypoints, square images)"
                )

    @cached_property
    def digest(self) -> str:
        images, *labels = self.examples[:-1]
        return digest_of(*self.skeleton.names, self.images_digest or images, *labels)

    def __len__(self) -> int:
        return len(self.examples.image)

    def identity(self, index: int) -> str | None:
        """Returns the name of an example, None without names."""
        return self.names[index] if self.names else None

    def __getitem__(self, index: int) -> Example:
        _check_range(index, len(self), self.name)
        fields = (field[index] for field in self.examples[:-1])
        return Example(*fields, np.int32(index))


def arrays(
    images: np.ndarray,
    keypoints: np.ndarray,
    visible: np.ndarray,
    skeleton: Skeleton,
    name: str,
    *,
    scale: np.ndarray | None = None,
    crop: np.ndarray | None = None,
) -> ArraySource:
    """Builds a source from stacked arrays. Raises InputError for arrays that are not as said here.

    Args:
        images: (N, S, S, 3) uint8.
        keypoints, visible: (N, K, 2) px, finite where labelled, and (N, K), above 0 where labelled.
        scale, crop: (N,) px and (N, 3, 3); the image's side and the identity if None.
    """
    if images.dtype != np.uint8:
        raise InputError(
            f"{name}: images are {images.dtype}; give uint8 from 0 to 255, from floating point in [0, 1] by "
            "`np.round(255 * images).astype(np.uint8)`"
        )
    count, side = images.shape[:2]
    scale = np.full(count, side, np.float32) if scale is None else scale
    if crop is None:
        identity = np.eye(3, dtype=np.float32)
        crop = np.tile(identity, (count, 1, 1))
    as_float = (
        np.asarray(field, np.float32) for field in (keypoints, np.asarray(visible) > 0, scale, crop)
    )
    source = ArraySource(
        Example(images, *as_float, np.arange(count, dtype=np.int32)), skeleton, name
    )
    if not np.isfinite(source.examples.keypoints[source.examples.visible > 0]).all():
        raise InputError(
            f"{name}: a labelled keypoint is not finite; correct it, or set its `visible` to 0"
        )
    return source


@dataclass(frozen=True, eq=False)
class TfdsSource:
    """Prepared records (image as the bytes of its file, keypoints, visible, scale, id), transformed
    to one image size.

    A record may also have a `box` (4,) of x, y, width, height in pixels, for transforms that read
    it. Reading an example raises InputError with its id if its image does not decode or cannot be
    transformed.

    records: anything with `len` and integer indexing, such as tfds' `as_data_source` with
    `SkipDecoding` for the image.
    labels_digest: of names and labels of the records, where it is known; else all records are read
    for the digest.
    reduced: whether a JPEG file may be decoded at 1/2, 1/4 or 1/8 of its size where the transform
        shrinks it further (see `kpjax.images.transforms`). Pixels differ slightly from those of
        full decoding, and the digest does.
    """

    records: Sequence[Mapping]
    skeleton: Skeleton
    transform: Transform
    name: str
    labels_digest: str = ""
    reduced: bool = False

    @cached_property
    def digest(self) -> str:
        facts = [*self.skeleton.names, self.labels_digest or labels_digest(self.records)]
        if self.reduced:
            facts.append("decoded at reduced size")
        return digest_of(*facts)

    def __len__(self) -> int:
        return len(self.records)

    def identity(self, index: int) -> str:
        """Returns the dataset's name of an example, for messages and tables of predictions."""
        return self.records[index]["id"].decode()

    def __getitem__(self, index: int) -> Example:
        _check_range(index, len(self), self.name)
        try:
            record = self.records[index]
        except Exception as error:  # array_record and tfds raise many kinds for damage
            raise InputError(
                f"{self.name}: record {index} cannot be read ({' '.join(str(error).split())[:200]}); "
                "prepare the set again"
            ) from error
        try:
            with Image.open(io.BytesIO(record["image"])) as image:
                if not self.reduced:
                    image.load()
                square = self.transform(
                    image if image.mode == "RGB" else image.convert("RGB"),
                    record["keypoints"],
                    record["visible"],
                    np.float32(record["scale"]),
                    record.get("box"),
                )
        except (OSError, SyntaxError, Image.DecompressionBombError) as error:
            raise InputError(
                f"{self.name}, {record['id'].decode()}: the image cannot be read: {error}; "
                "prepare the set again"
            ) from error
        except InputError as error:
            raise InputError(f"{self.name}, {record['id'].decode()}: {error}") from error
        return Example(*square, np.int32(index))


def labels_digest(records: Sequence[Mapping]) -> str:
    """Returns the sha256 of names and labels of all records, which it reads one by one."""
    return digest_of(
        *(
            part
            for record in map(records.__getitem__, range(len(records)))
            for part in (
                record["id"],
                np.asarray(record["keypoints"]),
                np.asarray(record["visible"]),
            )
        )
    )


@dataclass(frozen=True, eq=False)
class _View:
    """Some or all examples of a source, perhaps changed."""

    source: Source
    numbers: np.ndarray | range  # numbers of the examples in the source
    change: Callable[[Example, int], Example] | None
    facts: tuple  # everything that numbers and change depend on, for the digest
    name: str
    skeleton: Skeleton

    @cached_property
    def digest(self) -> str:
        return digest_of(self.source.digest, *self.facts)

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, index: int) -> Example:
        _check_range(index, len(self), self.name)
        example = self.source[int(self.numbers[index])]
        example = example._replace(index=np.int32(index))
        if self.change is None:
            return example
        return self.change(example, index)

    def identity(self, index: int) -> str | None:
        return _identity(self.source, int(self.numbers[index]))


def subset(source: Source, indices: Sequence[int] | np.ndarray, name: str | None = None) -> Source:
    """Returns some examples of a source, in the order of `indices`.

    Raises InputError for an index outside.
    """
    indices = np.asarray(indices, np.int64)
    if indices.size and not (indices.min() >= 0 and indices.max() < len(source)):
        raise InputError(
            "indices",
            f"{indices.max() if indices.min() >= 0 else indices.min()} is outside "
            f"{source.name}, which has {len(source)} examples; count from 0",
        )
    return _View(
        source, indices, None, (indices,), name or f"{source.name}[{len(indices)}]", source.skeleton
    )


def where_read(source: Source) -> tuple[Any, np.ndarray]:
    """Returns the source in which some or all examples lie, itself if it is no view of another one,
    and the number (N,) that each has there."""
    numbers = np.arange(len(source))
    while isinstance(source, _View):
        numbers = np.asarray(source.numbers)[numbers]
        source = source.source
    return source, numbers


def map_examples(
    source: Source,
    change: Callable[[Example, int], Example],
    *facts: np.ndarray | str,
    name: str,
    skeleton: Skeleton | None = None,
) -> Source:
    """Returns a source whose examples are `change(example, index)`, called on every access, in the
    same order.

    *facts: Everything that the change depends on, for the digest. skeleton: Of the result, if it
    differs.
    """
    return _View(source, range(len(source)), change, facts, name, skeleton or source.skeleton)


def strip_labels(example: Example) -> Example:
    """Returns an example or a batch with keypoints and visibilities zero, so that no method can
    read them.
    """
    return example._replace(
        keypoints=np.zeros_like(example.keypoints), visible=np.zeros_like(example.visible)
    )


def without_labels(source: Source) -> Source:
    """Returns the same images without labels. The number of keypoints stays."""
    return map_examples(
        source,
        lambda example, _: strip_labels(example),
        "without labels",
        name=f"{source.name} without labels",
    )


def with_labels(
    source: Source, keypoints: np.ndarray, visible: np.ndarray, name: str | None = None
) -> Source:
    """Returns the same images with other labels, for example pseudo-labels; the source's own are
    not read.

    keypoints: (N, K, 2) in px of the source's images, in its order, finite where visible (N, K) is
    above 0.
    """
    name = name or f"{source.name} under other labels"
    keypoints = np.asarray(keypoints, np.float32)
    visible = (np.asarray(visible) > 0).astype(np.float32)
    keypoints = np.where(visible[..., None] > 0, keypoints, np.float32(0))

    def labelled(example: Example, index: int) -> Example:
        return example._replace(keypoints=keypoints[index], visible=visible[index])

    return map_examples(source, labelled, keypoints, visible, name=name)


def _identity(source: Source, index: int) -> str | None:
    if not hasattr(source, "identity"):
        return None
    return source.identity(index)


def identities(source: Source) -> tuple[str, ...] | None:
    """Returns the dataset's names of all examples in order, None without names."""
    names = tuple(_identity(source, index) for index in range(len(source)))
    if any(name is None for name in names):
        return None
    return names


def stack_examples(examples: Sequence[Example]) -> Example:
    """Stacks examples to a batch."""
    fields = zip(*examples, strict=True)
    return Example(*(np.stack(field) for field in fields))


def in_memory(source: Source) -> ArraySource:
    """Reads all examples into memory. The digest is that of the new arrays."""
    examples = stack_examples([source[index] for index in range(len(source))])
    return ArraySource(examples, source.skeleton, source.name, identities(source) or ())


def join_sources(sources: Sequence[ArraySource], name: str) -> ArraySource:
    """Concatenates sources in memory. Raises InputError if their keypoints differ."""
    first = sources[0]
    other = [source.name for source in sources if source.skeleton.names != first.skeleton.names]
    if other:
        raise InputError(
            f"{name}: {other[0]} has other keypoints than {first.name}; join sets of one skeleton"
        )
    named = all(source.names for source in sources)
    examples = Example(
        *(np.concatenate(field) for field in zip(*(one.examples for one in sources), strict=True))
    )
    return ArraySource(
        examples,
        first.skeleton,
        name,
        tuple(n for one in sources for n in one.names) if named else (),
    )


# Labelled subsets and disjoint splits


class LabelledSplit(NamedTuple):
    """The indices of examples that keep their labels, and of all others, both in the order of the
    draw.
    """

    labelled: np.ndarray  # int64
    rest: np.ndarray  # int64
    digest: str  # digest of the source and the labelled examples, in any order


def labelled_subset(
    source: Source,
    *,
    share: float | None = None,
    count: int | None = None,
    seed: int,
    need_unlabelled: bool = False,
    with_label: np.ndarray | None = None,
) -> LabelledSplit:
    """Draws the labelled images of a semi-supervised run.

    The examples are sorted by identity, if they have one, and permuted by
    `np.random.default_rng(seed)`; the first are labelled. So smaller subsets of a seed are
    contained in larger ones, whatever the stored order.

    Args:
        share: Labels floor(share * N + 0.5) examples. Give either this or `count`.
        need_unlabelled: Whether some examples must be left.
        with_label: (M,) bool, the N of all M examples that have a label to be drawn, see
            `has_label`; None for all.

    Raises:
        InputError: For fewer than one or more labels than possible.
    """
    can_be_labelled = np.ones(len(source), bool) if with_label is None else with_label
    total = int(can_be_labelled.sum())
    if (share is None) == (count is None):
        raise InputError(f"{source.name}: give either a share or a count of labelled images")
    if share is not None:
        if not 0 < share <= 1:
            raise InputError(
                f"{source.name}: the labelled share is {share}; it must be more than 0 and at most 1"
            )
        count = rounded_share(share, total)
    most = total - 1 if need_unlabelled and can_be_labelled.all() else total
    if not 1 <= count <= most:
        asked = f"{count} labelled images"
        if share is not None:
            asked += f" ({share:g} of {total})"
        why = (
            f"leave no unlabelled image of {total}"
            if count == total
            else f"are asked for, but there are {total}"
        )
        raise InputError(f"{source.name}: {asked} {why}; give 1 to {most}")
    names = identities(source)
    by_name = names.__getitem__ if names else None
    in_order = np.array(sorted(range(len(source)), key=by_name))
    drawn = in_order[np.random.default_rng(seed).permutation(len(source))]
    labelled = drawn[can_be_labelled[drawn]][:count]
    parts = [np.sort(labelled)] if names is None else sorted(names[number] for number in labelled)
    rest = drawn[~np.isin(drawn, labelled)]
    return LabelledSplit(labelled, rest, digest_of(source.digest, *parts))


def has_label(source: Source) -> np.ndarray:
    """Returns which examples (N,) have a labelled keypoint, as they are stored: views change
    nothing, and no image of a prepared set is decoded.
    """
    stored, numbers = where_read(source)
    if isinstance(stored, ArraySource):
        return (stored.examples.visible[numbers] > 0).any(1)
    records = stored.records if isinstance(stored, TfdsSource) else None
    visible = (
        records[int(number)]["visible"] if records else stored[int(number)].visible
        for number in numbers
    )
    return np.array([(np.asarray(one) > 0).any() for one in visible], bool)


def rounded_share(share: float, total: int) -> int:
    """Returns floor(share * total + 0.5): 5 % of 3,610 is 181."""
    return math.floor(share * total + 0.5)


def check_disjoint(
    train: Source, test: Source, *, by_name: bool = True, by_pixels: bool = True
) -> None:
    """Raises InputError if an image of `train` is also in `test`.

    by_name: Compares names, which detects different crops of one photograph. False if names are
    unique within a split only. by_pixels: Compares pixels, which reads every image of both sources.
    """
    train_names = identities(train)
    test_names = identities(test)
    shared = [
        f"{_name_of(train_names, number)} is {_name_of(test_names, twin)} of {test.name}"
        for number, twin in shared_images(train, test, by_name=by_name, by_pixels=by_pixels).items()
    ]
    if shared:
        raise InputError(
            f"{train.name}: {len(shared)} of {len(train)} images are in the test split: "
            f"{summarise(shared)}; leave them out of one of the two"
        )


def shared_images(
    train: Source, test: Source, *, by_name: bool = True, by_pixels: bool = True
) -> dict[int, int]:
    """Returns the number of each image of `train` that is also in `test`, and the number that it
    has there.

    by_name, by_pixels: as for `check_disjoint`.
    """
    train_names = identities(train)
    test_names = identities(test)
    compare_names = by_name and train_names is not None and test_names is not None
    by_test_name = {name: number for number, name in enumerate(test_names)} if compare_names else {}
    by_test_pixels = (
        {digest_of(test[number].image): number for number in range(len(test))} if by_pixels else {}
    )
    shared = {}
    for number in range(len(train)):
        twin = by_test_name.get(train_names[number]) if compare_names else None
        if twin is None and by_pixels:
            twin = by_test_pixels.get(digest_of(train[number].image))
        if twin is not None:
            shared[number] = twin
    return shared


def _name_of(names: tuple[str, ...] | None, number: int) -> str:
    if names is None:
        return f"number {number}"
    return names[number]


# Keypoints


def labelled_only(source: Source, keypoints: Sequence[str], name: str | None = None) -> Source:
    """Returns the source with labels of the named keypoints only, the others zero.

    Raises InputError for others.
    """
    mask = np.zeros(len(source.skeleton.names), np.float32)
    mask[[source.skeleton.index(keypoint) for keypoint in keypoints]] = 1

    def masked(example: Example, _: int) -> Example:
        # What is left out may be anything, NaN too.
        visible = np.where(mask > 0, example.visible, 0).astype(np.float32)
        keypoints = np.where(visible[:, None] > 0, example.keypoints, np.float32(0))
        return example._replace(keypoints=keypoints, visible=visible)

    return map_examples(
        source, masked, mask, name=name or f"{source.name}, {len(keypoints)} keypoints labelled"
    )


def without_keypoints(source: Source, names: Sequence[str]) -> Source:
    """Returns the same images without the named keypoints, for points that a set never labels.

    Raises InputError for an unknown name, if none is left, or if a keypoint would lose its mirror
    image.
    """
    if not names:
        return source
    left_out = {source.skeleton.index(name) for name in names}
    kept = [k for k in range(len(source.skeleton.names)) if k not in left_out]
    if not kept:
        raise InputError(f"{source.name}: all its keypoints would be left out; keep at least one")
    numbers = np.array(kept)

    def choose(example: Example, _: int) -> Example:
        return example._replace(
            keypoints=example.keypoints[numbers], visible=example.visible[numbers]
        )

    return map_examples(
        source, choose, numbers, name=source.name, skeleton=chosen_keypoints(source.skeleton, kept)
    )


def chosen_keypoints(skeleton: Skeleton, kept: Sequence[int]) -> Skeleton:
    """Returns the skeleton of some keypoints, by number.

    Raises InputError if one would lose its mirror image.
    """
    new_index = {old: new for new, old in enumerate(kept)}
    alone = [skeleton.names[k] for k in kept if skeleton.flip and skeleton.flip[k] not in new_index]
    if alone:
        raise InputError(
            f"keypoint {alone[0]} would lose its mirror image; leave both out or neither"
        )
    return Skeleton(
        tuple(skeleton.names[k] for k in kept),
        tuple(
            (new_index[a], new_index[b])
            for a, b in skeleton.edges
            if a in new_index and b in new_index
        ),
        tuple(new_index[skeleton.flip[k]] for k in kept) if skeleton.flip else (),
        {
            name: left
            for name, members in skeleton.groups.items()
            if (left := tuple(new_index[k] for k in members if k in new_index))
        },
    )


# Images


def warp_source(source: Source, maps: np.ndarray) -> Source:
    """Returns a source with example n warped by the affine map maps[n] (3, 3) on pixels, at the
    same image size.

    Outside the image its border is repeated. Keypoints, `scale` and `crop` follow. A source that is
    warped already is resampled twice, as in the published measure of landmark consistency.
    """
    maps = np.asarray(maps, np.float64)

    def turn(example: Example, index: int) -> Example:
        map_ = maps[index]
        moved = boxes.move_points(map_, example.keypoints)
        return example._replace(
            image=warp(example.image, map_, example.image.shape[:2]),
            keypoints=np.where(example.visible[:, None] > 0, moved, np.float32(0)),
            scale=np.float32(example.scale * growth_of(map_)),
            crop=(np.asarray(example.crop, np.float64) @ np.linalg.inv(map_)).astype(np.float32),
        )

    return map_examples(source, turn, maps, name=f"{source.name}/turned")


def turned_originals(source: TfdsSource, degrees: np.ndarray) -> Source:
    """Returns a source whose example n is turned by degrees[n] in the image that it is cropped
    from.

    So its corners show the image where `warp_source` repeats a border.
    """
    turns = [replace(source, transform=Turned(source.transform, float(angle))) for angle in degrees]
    return map_examples(
        source,
        lambda example, index: turns[index][index],
        np.asarray(degrees),
        name=f"{source.name}/turned",
    )
