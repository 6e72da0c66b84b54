"""Protocols of incremental learning: the keypoints and images of each step, and its triples of an
auxiliary task.

Incremental Object Keypoint Learning (KAMP), arXiv 2503.20248. In its auxiliary task (section 3.2),
an old keypoint is predicted from two neighbouring new ones. The authors choose these by hand from a
diagram of the object; the automatic rule here is kpjax's own.
"""

import json
from collections.abc import Mapping, Sequence
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from kpjax.errors import InputError, summarise
from kpjax.input.source import Source, digest_of, identities, labelled_only, rounded_share, subset
from kpjax.structures import Skeleton


class Triple(NamedTuple):
    """An old keypoint, and the new ones from which it is predicted."""

    old: str
    new: tuple[str, ...]  # two, or one if a step has no more


def mean_distances(
    skeleton: Skeleton,
    new: Sequence[str],
    predicted: np.ndarray,
    labelled: np.ndarray,
    visible: np.ndarray,
    size: np.ndarray,
) -> np.ndarray:
    """Computes mean distances of two keypoints in the images of a step: (K, K) float64, inf for
    pairs in no image.

    Args:
        new: Keypoints taken from `labelled`; all others are taken from `predicted`, so that no old
            label is read.
        predicted: (N, K, 2) px, by the old model.
        labelled: (N, K, 2) px.
        visible: (N, K), 1 where a new keypoint is labelled.
        size: (N,) px, of the object, by which distances are divided.
    """
    is_new = np.zeros(len(skeleton.names), bool)
    is_new[[skeleton.index(name) for name in new]] = True
    points = np.where(is_new[:, None], labelled, predicted)
    points = points.astype(np.float64)
    known = (np.asarray(visible) > 0) | ~is_new
    distances = np.linalg.norm(points[:, :, None] - points[:, None], axis=-1)
    apart = distances / np.asarray(size, np.float64)[:, None, None]
    both = known[:, :, None] & known[:, None]
    counts = both.sum(0)
    sums = np.where(both, apart, 0).sum(0)
    means = sums / np.maximum(counts, 1)
    return np.where(counts > 0, means, np.inf)


def automatic_triples(
    skeleton: Skeleton, old: Sequence[str], new: Sequence[str], *, apart: np.ndarray, count: int = 1
) -> tuple[Triple, ...]:
    """Returns the triples of closest neighbours, each with another old keypoint.

    Triples are ranked by the sum of distances from the old to the new keypoints, then by the
    distance between the new ones, then by index. apart: (K, K), see `mean_distances`. Raises
    InputError if old or new is empty, and if no image shows an old keypoint with new ones.
    """
    _check_both(old, new)
    numbers = sorted(skeleton.index(name) for name in new)
    candidates = []
    for known in sorted(skeleton.index(name) for name in old):
        for chosen in _choices(numbers):
            ends = list(chosen)
            candidates.append(
                (float(apart[known, ends].sum()), float(apart[ends[0], ends[-1]]), known, chosen)
            )
    taken: dict[int, tuple[int, ...]] = {}
    for nearness, _, known, chosen in sorted(candidates):
        if len(taken) < count and known not in taken and np.isfinite(nearness):
            taken[known] = chosen
    if not taken:
        raise InputError(
            "triple",
            f"no image shows an old keypoint with {' and '.join(new[:2])}; state the triples",
        )
    return tuple(
        Triple(skeleton.names[known], tuple(skeleton.names[k] for k in chosen))
        for known, chosen in taken.items()
    )


def random_triples(
    skeleton: Skeleton,
    old: Sequence[str],
    new: Sequence[str],
    *,
    seed: int | Sequence[int],
    count: int = 1,
) -> tuple[Triple, ...]:
    """Draws at most `count` triples, each with another old keypoint: an ablation of the paper.

    The order of the names does not matter. Raises InputError if old or new is empty.
    """
    _check_both(old, new)
    generator = np.random.default_rng(seed)
    choices = _choices(sorted(skeleton.index(name) for name in new))
    old_numbers = sorted(skeleton.index(name) for name in old)
    order = generator.permutation(old_numbers)[:count]
    picks = generator.integers(len(choices), size=len(order))
    triples = []
    for known, pick in zip(order, picks, strict=True):
        names = tuple(skeleton.names[k] for k in choices[pick])
        triples.append(Triple(skeleton.names[known], names))
    return tuple(triples)


def _check_both(old: Sequence[str], new: Sequence[str]) -> None:
    if not (len(old) and len(new)):
        raise InputError(
            "triple", f"{len(old)} old and {len(new)} new keypoints; give at least one of each"
        )


def _choices(numbers: Sequence[int]) -> list[tuple[int, ...]]:
    """Returns all pairs of new keypoints, or the only one."""
    if len(numbers) > 1:
        return list(combinations(numbers, 2))
    return [tuple(numbers)]


# Protocols


class ProtocolStep(NamedTuple):
    """The new keypoints and images of a step."""

    keypoints: tuple[str, ...]  # labelled in this step only
    images: tuple[int, ...]  # indices in the training source, of this step only
    triples: tuple[Triple, ...] = ()  # as stated by the protocol; see `step_triples`


class Protocol(NamedTuple):
    """The steps of incremental learning; step 0 is the base."""

    name: str
    dataset: str
    steps: tuple[ProtocolStep, ...]
    source: str  # digest of the training source that `images` index
    seed: int = 0  # seed of all draws
    triple: str = "given"  # or "automatic", "random": for steps without stated triples
    mirrored: bool = True  # whether steps may train on mirrored images

    @property
    def digest(self) -> str:
        """The sha256 of everything that affects a run: the training source, and every field but the
        name.
        """
        return digest_of(json.dumps(list(self[1:])))


def check(protocol: Protocol, skeleton: Skeleton, file: str | None = None) -> None:
    """Raises InputError if a protocol breaks a rule.

    Every step has keypoints of the skeleton and images, and shares none with another. Mirror pairs
    come in one step, unless `mirrored` is false. The old keypoint of a triple belongs to an earlier
    step, its one or two new ones to the step itself. file: its name, for messages.
    """
    file = file or f"protocol {protocol.name}"
    step_of: dict[str, int] = {}
    image_of: dict[int, int] = {}
    for number, step in enumerate(protocol.steps):
        where = f"{file} step {number}"
        if not step.keypoints:
            raise InputError(
                f"{where}: keypoints is empty; name at least one, or leave the step out"
            )
        for name in step.keypoints:
            if name not in skeleton.names:
                raise InputError(
                    f"{where}: keypoints: {protocol.dataset} has no keypoint {name!r}; it has "
                    f"{', '.join(skeleton.names)}"
                )
            if name in step_of:
                raise InputError(
                    f"{where}: keypoints: {name} is already in step {step_of[name]}; leave it out of one"
                )
            step_of[name] = number
        if not step.images:
            raise InputError(f"{where}: images is empty; give the step at least one image")
        for image in step.images:
            if image in image_of:
                raise InputError(
                    f"{where}: images: number {image} is already in step {image_of[image]}; leave it out "
                    "of one"
                )
            image_of[image] = number
        for triple in step.triples:
            _check_triple(triple, step.keypoints, step_of, number, f"{where}: triples")
    names = skeleton.names
    split = [
        (names[k], names[other])
        for k, other in enumerate(skeleton.flip)
        if step_of.get(names[k]) != step_of.get(names[other])
    ]
    if protocol.mirrored and split:
        a, b = split[0]
        raise InputError(
            f"{file} step {step_of.get(a, step_of.get(b))}: keypoints: {a} and {b} are mirror images and "
            "must come in one step; move one, or set mirrored to false and train without mirroring"
        )


def _check_triple(
    triple: Triple, keypoints: Sequence[str], step_of: Mapping[str, int], number: int, where: str
) -> None:
    if not 1 <= len(triple.new) <= 2 or len(set(triple.new)) < len(triple.new):
        raise InputError(
            f"{where}: new is {list(triple.new)}; name one or two keypoints of the step"
        )
    outside = [name for name in triple.new if name not in keypoints]
    if outside:
        raise InputError(
            f"{where}: {outside[0]!r} is not a new keypoint of step {number}; choose "
            f"{', '.join(keypoints)}"
        )
    if triple.old in keypoints:
        raise InputError(
            f"{where}: the old keypoint {triple.old!r} is new in this step; name one of an earlier step"
        )
    if triple.old not in step_of:
        raise InputError(
            f"{where}: the old keypoint {triple.old!r} is in no earlier step; name one that is"
        )


def introduced_in(protocol: Protocol, skeleton: Skeleton) -> np.ndarray:
    """Returns (K,) int32: the step in which each keypoint is new, -1 if in none."""
    introduced = np.full(len(skeleton.names), -1, np.int32)
    for number, step in enumerate(protocol.steps):
        introduced[[skeleton.index(name) for name in step.keypoints]] = number
    return introduced


def old_keypoints(protocol: Protocol, step: int) -> tuple[str, ...]:
    """Returns the keypoints of all earlier steps, in order."""
    return tuple(name for earlier in protocol.steps[:step] for name in earlier.keypoints)


def step_source(protocol: Protocol, step: int, source: Source, *, earlier: bool = False) -> Source:
    """Returns the images of a step with labels of its own keypoints, and of those of earlier steps if
    so asked.

    Raises InputError for another source.
    """
    if source.digest != protocol.source:
        raise InputError(
            f"protocol {protocol.name} was resolved for other images than those of {source.name}; resolve "
            "it again"
        )
    chosen = protocol.steps[step]
    name = f"{source.name}, {protocol.name} step {step}"
    keypoints = chosen.keypoints
    if earlier:
        keypoints = (*old_keypoints(protocol, step), *keypoints)
    return labelled_only(subset(source, chosen.images, name), keypoints, name)


def step_triples(
    protocol: Protocol,
    step: int,
    skeleton: Skeleton,
    *,
    count: int = 1,
    apart: np.ndarray | None = None,
) -> tuple[Triple, ...]:
    """Returns at most `count` triples of a step: those that the protocol states, else those of its
    rule.

    There are none for step 0, and for steps without stated ones under the rule "given". apart: (K,
    K), see `mean_distances`; needed for the rule "automatic".
    """
    if step == 0:
        return ()
    stated = protocol.steps[step].triples
    old = old_keypoints(protocol, step)
    new = protocol.steps[step].keypoints
    if stated or protocol.triple == "given":
        return stated[:count]
    if protocol.triple == "random":
        return random_triples(skeleton, old, new, seed=[protocol.seed, step], count=count)
    return automatic_triples(skeleton, old, new, count=count, apart=apart)


def low_shot(protocol: Protocol, count: int) -> Protocol:
    """Returns the protocol with `count` images in each step after the base, drawn by its seed.

    Images of smaller counts are among those of larger ones. Raises InputError if a step has fewer.
    """
    if count < 1:
        raise InputError(
            f"protocol {protocol.name}: {count} images a step are asked for; give at least 1"
        )
    steps = [protocol.steps[0]]
    for number, step in enumerate(protocol.steps[1:], start=1):
        if count > len(step.images):
            raise InputError(
                f"protocol {protocol.name} step {number}: {count} images a step are asked for, but there "
                f"are {len(step.images)}; give fewer"
            )
        generator = np.random.default_rng([protocol.seed, number])
        order = generator.permutation(len(step.images))[:count]
        images = tuple(step.images[position] for position in order)
        steps.append(step._replace(images=images))
    return protocol._replace(name=f"{protocol.name}_{count}_images", steps=tuple(steps))


# Files

_FIELDS = ("name", "dataset", "about", "images", "triple", "mirrored", "steps")
_STEP_FIELDS = ("keypoints", "images", "triples")
_RULES = ("given", "automatic", "random")


def resolve(file: Path | str, source: Source) -> Protocol:
    """Reads a protocol for a training source.

    Images are drawn from the source's names in sorted order (its indices without names), so its
    order does not matter. Raises InputError, one line with file, step and field, if the file cannot
    be read, has an unknown or missing field, or breaks a rule of `check`.
    """
    file = Path(file)
    content = _read(file)
    _check_fields(content, ("name", "dataset", "steps"), _FIELDS, str(file))
    rule = content.get("triple", "given")
    if rule not in _RULES:
        raise InputError(f"{file}: triple is {rule!r}; choose {', '.join(_RULES)}")
    mirrored = content.get("mirrored", True)
    if not isinstance(mirrored, bool):
        raise InputError(f"{file}: mirrored is {mirrored!r}; write true or false")
    described = content["steps"]
    if not (isinstance(described, list) and described):
        raise InputError(
            f"{file}: steps is {_excerpt(described)}; list at least one step, with its keypoints"
        )
    for number, step in enumerate(described):
        _check_fields(step, ("keypoints",), _STEP_FIELDS, f"{file} step {number}")
    images, seed = _images(content, described, source, str(file))
    steps = tuple(
        ProtocolStep(
            _names(step["keypoints"], f"{file} step {number}: keypoints"),
            images[number],
            tuple(
                _triple(one, f"{file} step {number}: triples")
                for one in _list_of(step.get("triples", []), f"{file} step {number}: triples")
            ),
        )
        for number, step in enumerate(described)
    )
    protocol = Protocol(
        str(content["name"]), str(content["dataset"]), steps, source.digest, seed, rule, mirrored
    )
    check(protocol, source.skeleton, str(file))
    return protocol


def _read(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(
            f"{file}: the protocol cannot be read: {error.strerror}; name another file"
        ) from error
    except ValueError as error:
        raise InputError(f"{file}: the protocol is invalid json ({error}); correct it") from error


def _check_fields(content: Any, needed: Sequence[str], known: Sequence[str], where: str) -> None:
    if not isinstance(content, dict):
        raise InputError(
            f"{where}: {_excerpt(content)} where an object with {', '.join(known)} belongs"
        )
    absent = [field for field in needed if field not in content]
    if absent:
        raise InputError(f"{where}: field {absent[0]} is missing; add it")
    unknown = [field for field in content if field not in known]
    if unknown:
        raise InputError(f"{where}: field {unknown[0]} is unknown; choose {', '.join(known)}")


def _list_of(value: Any, where: str) -> list:
    if not isinstance(value, list):
        raise InputError(f"{where} is {_excerpt(value)}; write a list")
    return value


def _names(value: Any, where: str) -> tuple[str, ...]:
    wrong = [name for name in _list_of(value, where) if not isinstance(name, str)]
    if wrong:
        raise InputError(f"{where}: {wrong[0]!r} is not a name; write keypoints by their names")
    return tuple(value)


def _triple(value: Any, where: str) -> Triple:
    _check_fields(value, ("old", "new"), ("old", "new"), where)
    return Triple(str(value["old"]), _names(value["new"], f"{where}: new"))


def _images(
    content: Mapping[str, Any], steps: Sequence[Mapping[str, Any]], source: Source, where: str
) -> tuple[list[tuple[int, ...]], int]:
    """Returns the indices of the images of each step, and the seed."""
    drawn = content.get("images")
    own = [number for number, step in enumerate(steps) if "images" in step]
    if drawn is None:
        if len(own) < len(steps):
            number = next(number for number in range(len(steps)) if number not in own)
            raise InputError(
                f"{where} step {number}: images is missing; list the images of every step, or give the "
                "protocol a field images with parts"
            )
        numbers = {name: number for number, name in enumerate(identities(source) or ())}
        return [
            _listed_images(step["images"], numbers, source, f"{where} step {number}: images")
            for number, step in enumerate(steps)
        ], 0
    if own:
        raise InputError(
            f"{where} step {own[0]}: images is present, but the protocol draws parts; remove one of them"
        )
    _check_fields(drawn, ("parts", "seed"), ("parts", "seed"), f"{where}: images")
    if not isinstance(drawn["seed"], int) or drawn["seed"] < 0:
        raise InputError(
            f"{where}: images: seed is {drawn['seed']!r}; write a whole number, 0 or more"
        )
    names = identities(source)
    total = len(source)
    in_order = (
        np.arange(total)
        if names is None
        else np.array(sorted(range(total), key=names.__getitem__), int)
    )
    generator = np.random.default_rng(drawn["seed"])
    order = in_order[generator.permutation(total)].tolist()
    ends = _ends(drawn["parts"], len(steps), total, source.name, f"{where}: images: parts")
    parts = [tuple(order[first:end]) for first, end in pairwise([0, *ends])]
    return parts, drawn["seed"]


def _ends(parts: Any, steps: int, total: int, name: str, where: str) -> list[int]:
    """Returns where the part of each step ends in the drawn order of all images."""
    if parts == "equal":
        return [rounded_share((step + 1) / steps, total) for step in range(steps)]
    if not (
        isinstance(parts, list)
        and len(parts) == steps
        and (
            all(type(part) is int and part >= 0 for part in parts)
            or all(type(part) is float and 0 < part < 1 for part in parts)
        )
    ):
        raise InputError(
            f'{where} is {_excerpt(parts)}; write "equal", or for each of the {steps} steps a count (200) '
            "or a share (0.25)"
        )
    if type(parts[0]) is int:
        ends = np.cumsum(parts).tolist()
        if ends[-1] > total:
            raise InputError(f"{where} add up to {ends[-1]} images, {name} has {total}; give fewer")
        return ends
    if sum(parts) > 1 + 1e-9:
        raise InputError(f"{where}: the shares add up to {sum(parts):g}; give at most 1 in all")
    return [min(rounded_share(share, total), total) for share in np.cumsum(parts)]


def _listed_images(
    value: Any, numbers: Mapping[str, int], source: Source, where: str
) -> tuple[int, ...]:
    images = _list_of(value, where)
    of_name = all(isinstance(image, str) for image in images)
    if not of_name and not all(type(image) is int for image in images):
        raise InputError(f"{where}: neither names nor numbers only; list one or the other")
    unknown = [
        str(image)
        for image in images
        if (image not in numbers if of_name else not 0 <= image < len(source))
    ]
    if unknown:
        raise InputError(
            f"{where}: {len(unknown)} of {len(images)} are not in {source.name}: {summarise(unknown)}; "
            "take them out, or prepare the set again"
        )
    if not of_name:
        return tuple(images)
    return tuple(numbers[image] for image in images)


def _excerpt(value: Any) -> str:
    text = json.dumps(value)
    if len(text) <= 60:
        return text
    return f"{text[:57]}..."
