"""The nouns of the library: examples, skeletons, predictions and methods."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from zlib import crc32

import jax

from kpjax.errors import InputError, printable


class Example(NamedTuple):
    """One image with its keypoints. A batch is the same type with one more leading axis on every
    field.

    Coordinates are (x, y) in pixels of `image`, the centre of the top-left pixel at (0, 0).
    An unlabelled example has the same K, with `visible` and `keypoints` zero.
    """

    image: jax.Array  # (H, W, 3) uint8, or floating point from 0 to 255; in [0, 1] within terms
    keypoints: jax.Array  # (K, 2) float32
    #: (K,) float32, 1 where the keypoint is labelled, also beyond the image; 0 elsewhere; -1 in
    #: training labels where it is known to be absent
    visible: jax.Array
    scale: jax.Array  # () float32, the dataset's reference length in pixels of `image`
    crop: jax.Array  # (3, 3) float32, pixels of `image` -> pixels of the original image
    # () int32, number in its source; -1 for padding
    index: jax.Array  # type: ignore[assignment]


class Prediction(NamedTuple):
    """Keypoints of a batch."""

    keypoints: jax.Array  # (B, K, 2) float32, in pixels of the given images
    scores: jax.Array  # (B, K) float32, higher is more certain; the scale depends on the method
    #: one (B, h, w, k) per group of keypoints; () if the method has none
    heatmaps: tuple[jax.Array, ...]


@dataclass(frozen=True)
class Skeleton:
    """Names of a dataset's keypoints, and relations between them.

    names: one per keypoint.
    edges: pairs of indices to draw.
    flip: the index of each keypoint's mirror image, its own inverse; empty if horizontal flips are
    invalid.
    groups: named sets of indices to report together.

    Raises InputError for a name that occurs twice, an index out of range, or a flip that is not its
    own inverse.
    """

    names: tuple[str, ...]
    edges: tuple[tuple[int, int], ...] = ()
    flip: tuple[int, ...] = ()
    groups: Mapping[str, tuple[int, ...]] = field(default_factory=dict, hash=False)

    def __post_init__(self):
        count = len(self.names)
        if isinstance(self.names, str):  # ("nose") is no tuple, and its letters would be keypoints
            raise InputError(
                "skeleton",
                f"names: {self.names!r} is one name; give a tuple, such as ({self.names!r},)",
            )
        wrong = [name for name in self.names if not isinstance(name, str) or not name]
        if wrong:
            raise InputError(
                "skeleton", f"{wrong[0]!r} is not a name of a keypoint; give every keypoint a name"
            )
        repeated = sorted(name for name, times in Counter(self.names).items() if times > 1)
        if repeated:
            raise InputError(
                "skeleton",
                f"keypoint name {repeated[0]!r} occurs twice; give every keypoint its own name",
            )
        wrong = [edge for edge in self.edges if not all(end in range(count) for end in edge)]
        if wrong:
            raise InputError(
                "skeleton",
                f"edge {wrong[0]} points outside the {count} keypoints; give indices, from 0",
            )
        if self.flip:
            if sorted(self.flip) != list(range(count)):
                raise InputError(
                    "skeleton",
                    f"flip must name each of the {count} keypoints once, got {self.flip}",
                )
            wrong = [k for k in range(count) if self.flip[self.flip[k]] != k]
            if wrong:
                k = wrong[0]
                raise InputError(
                    "skeleton",
                    f"flip is not its own inverse: {self.names[k]} -> {self.names[self.flip[k]]} -> "
                    f"{self.names[self.flip[self.flip[k]]]}; mirrored twice, every keypoint must come back to itself",
                )
        for name, members in self.groups.items():
            if not all(k in range(count) for k in members):
                raise InputError(
                    "skeleton",
                    f"group {name!r} has an index outside the {count} keypoints: {members}",
                )

    def index(self, name: str) -> int:
        """Returns the number of the keypoint called `name`.

        Raises InputError that lists the known names.
        """
        if name not in self.names:
            raise InputError(
                f"keypoint {name!r} is unknown; the skeleton has {', '.join(self.names)}"
            )
        return self.names.index(name)


Streams = Mapping[str, Example]  # a batch for each name
Variables = Mapping[str, Any]  # Flax linen's {'params': ..., 'batch_stats': ...}
Start = Mapping[str, Any]  # trees that earlier stages or files provide, by name; {} if none
# float32 scalars: loss/total, loss/<term> unweighted, gradient_norm/<group>
Metrics = Mapping[str, jax.Array]


class Trained(NamedTuple):
    """The part of a state that `Method.predict` reads, and all that remains of a finished run.

    A state may be passed wherever a Trained is expected: both have these two fields.
    """

    variables: Variables
    frozen: Mapping[str, Any]

    def __repr__(self) -> str:
        count = sum(leaf.size for leaf in jax.tree.leaves(self.variables.get("params", {})))
        return f"Trained({count:,} parameters, frozen: {', '.join(self.frozen) or 'nothing'})"


class Method(NamedTuple):
    """A way of learning keypoints, as three pure functions and the facts that a training loop needs.

    `State` is the method's own NamedTuple. It has `step` (int32), `variables`, `frozen` (trees that
    never change, by the paper's name) and live trees under the paper's names. Every array that
    `update` reads comes through it.
    """

    #: (key, streams, start) -> State; call it under jit
    init: Callable[[jax.Array, Streams, Start], Any]
    #: (state, streams, key) -> one step on
    update: Callable[[Any, Streams, jax.Array], tuple[Any, Metrics]]
    #: reads `variables` and `frozen` of a State or a Trained
    predict: Callable[[Any, Example], Prediction]
    streams: tuple[str, ...]  # what `update` reads
    skeleton: Skeleton  # what `predict` returns
    #: step -> the learning rate of each group of parameters; None of a method that has none
    rates: Callable[[float], Mapping[str, float]] | None = None

    def __repr__(self) -> str:
        return f"Method(streams: {', '.join(self.streams)}; {len(self.skeleton.names)} keypoints)"


def named_key(key: jax.Array, name: str) -> jax.Array:
    """Derives the key of a named stage, stream or network, the same in every process."""
    return jax.random.fold_in(key, crc32(name.encode()))


def skeleton_from_json(stored: Any, where: str = "skeleton.json") -> Skeleton:
    """Builds the skeleton whose `dataclasses.asdict` was written as JSON.

    where: the file, for messages. Raises InputError that names the field for anything else.
    """

    def field(name: str, valid: Callable[[Any], bool], wanted: str) -> Any:
        value = stored.get(name) if isinstance(stored, Mapping) else None
        if not valid(value):
            raise InputError(f"{where}: {name}: {wanted} belongs there; copy the file again")
        return value

    def is_name(value: Any) -> bool:
        return isinstance(value, str) and printable(value) == value

    def are_names(value: Any) -> bool:
        return isinstance(value, list) and all(map(is_name, value))

    def are_numbers(value: Any) -> bool:
        return isinstance(value, list) and all(type(one) is int for one in value)

    def are_pairs(value: Any) -> bool:
        return isinstance(value, list) and all(are_numbers(one) and len(one) == 2 for one in value)

    def are_groups(value: Any) -> bool:
        return isinstance(value, Mapping) and all(map(are_numbers, value.values()))

    names = field("names", are_names, "a list of names")
    edges = field("edges", are_pairs, "a list of pairs of numbers")
    flip = field("flip", are_numbers, "a list of numbers")
    groups = field("groups", are_groups, "an object of lists of numbers")
    try:
        return Skeleton(
            tuple(names),
            tuple((a, b) for a, b in edges),
            tuple(flip),
            {name: tuple(members) for name, members in groups.items()},
        )
    except InputError as error:
        raise InputError(f"{where}: {error}") from None
