"""The files of protocols of incremental learning.

A protocol is a JSON file:

    {"name": "figures", "dataset": "figures:target",
     "images": {"parts": [200, 1500], "seed": 0},
     "steps": [{"keypoints": ["neck", "right_elbow", "left_elbow"]},
               {"keypoints": ["right_hand", "left_hand"],
                "triples": [{"old": "right_elbow", "new": ["right_hand", "left_hand"]}]}]}

images: `parts` of the training images, drawn by `seed`: "equal", a list of shares (0.5, 0.25, ...) or a list of counts.
Instead of it every step may have its own list `images`, of names as the dataset's author gives them, or of numbers in
the training source. triple: what chooses the triples of steps that state none: "given" (nothing: such a step has none),
"automatic" (the closest, see `kpjax.input.triples`, by `distance` "hops" or "euclid") or "random". mirrored: false
where the two keypoints of a mirror pair come in different steps; no step may then be trained on mirrored pictures.
about: a few words for people.
"""
import json
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from kpjax.errors import InputError, summarise
from kpjax.input.protocol import Protocol, ProtocolStep, check
from kpjax.input.source import Source, identities
from kpjax.input.subsets import rounded_share
from kpjax.input.triples import Triple

FIELDS = ("name", "dataset", "about", "images", "triple", "distance", "mirrored", "steps")
STEP_FIELDS = ("keypoints", "images", "triples")
RULES = ("given", "automatic", "random")
DISTANCES = ("hops", "euclid")


def resolve(file: Path | str, source: Source) -> Protocol:
    """The protocol of a file, for a training source.

    Images are drawn from the source's names in sorted order (its numbers if it has none): another order of the same
    images makes no difference. Raises InputError, one line with file, step and field, if the file cannot be read, has
    an unknown or missing field, or breaks a rule of `protocol.check`.
    """
    file = Path(file)
    content = _read(file)
    _check_fields(content, ("name", "dataset", "steps"), FIELDS, str(file))
    rule, distance = content.get("triple", "given"), content.get("distance", "hops")
    _check_choice(rule, RULES, f"{file}: triple")
    _check_choice(distance, DISTANCES, f"{file}: distance")
    mirrored = content.get("mirrored", True)
    if not isinstance(mirrored, bool):
        raise InputError(f"{file}: mirrored is {mirrored!r}; write true or false")
    described = content["steps"]
    if not (isinstance(described, list) and described):
        raise InputError(f"{file}: steps is {_shown(described)}; list at least one step, with its keypoints")
    for number, step in enumerate(described):
        _check_fields(step, ("keypoints",), STEP_FIELDS, f"{file} step {number}")
    images, seed = _images(content, described, source, str(file))
    steps = tuple(
        ProtocolStep(_names(step["keypoints"], f"{file} step {number}: keypoints"), images[number],
                     tuple(_triple(one, f"{file} step {number}: triples")
                           for one in _listed(step.get("triples", []), f"{file} step {number}: triples")))
        for number, step in enumerate(described))
    protocol = Protocol(str(content["name"]), str(content["dataset"]), steps, source.digest, seed, rule, distance,
                        mirrored)
    check(protocol, source.skeleton, str(file))
    return protocol


def _read(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{file}: the protocol cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise InputError(f"{file}: the protocol is no JSON: {error}") from error


def _check_fields(content: Any, needed: Sequence[str], known: Sequence[str], where: str) -> None:
    if not isinstance(content, dict):
        raise InputError(f"{where}: {_shown(content)} where an object with {', '.join(known)} belongs")
    if absent := [field for field in needed if field not in content]:
        raise InputError(f"{where}: field {absent[0]} is missing")
    if unknown := [field for field in content if field not in known]:
        raise InputError(f"{where}: field {unknown[0]} is unknown; there are {', '.join(known)}")


def _check_choice(value: Any, choices: Sequence[str], where: str) -> None:
    if value not in choices:
        raise InputError(f"{where} is {value!r}; choose {', '.join(choices)}")


def _listed(value: Any, where: str) -> list:
    if not isinstance(value, list):
        raise InputError(f"{where} is {_shown(value)}; write a list")
    return value


def _names(value: Any, where: str) -> tuple[str, ...]:
    if wrong := [name for name in _listed(value, where) if not isinstance(name, str)]:
        raise InputError(f"{where}: {wrong[0]!r} is no name; write keypoints by their names")
    return tuple(value)


def _triple(value: Any, where: str) -> Triple:
    _check_fields(value, ("old", "new"), ("old", "new"), where)
    return Triple(str(value["old"]), _names(value["new"], f"{where}: new"))


def _images(
    content: Mapping[str, Any], steps: Sequence[Mapping[str, Any]], source: Source, where: str
) -> tuple[list[tuple[int, ...]], int]:
    """The images of each step, as numbers in the source, and the seed."""
    drawn = content.get("images")
    own = [number for number, step in enumerate(steps) if "images" in step]
    if drawn is None:
        if len(own) < len(steps):
            number = next(number for number in range(len(steps)) if number not in own)
            raise InputError(f"{where} step {number}: images is missing; list the images of every step, or give the "
                             "protocol a field images with parts")
        numbers = {name: number for number, name in enumerate(identities(source) or ())}
        return [_listed_images(step["images"], numbers, source, f"{where} step {number}: images")
                for number, step in enumerate(steps)], 0
    if own:
        raise InputError(f"{where} step {own[0]}: images is there, though the protocol draws parts; remove one of them")
    _check_fields(drawn, ("parts", "seed"), ("parts", "seed"), f"{where}: images")
    if not isinstance(drawn["seed"], int) or drawn["seed"] < 0:
        raise InputError(f"{where}: images: seed is {drawn['seed']!r}; write a whole number, 0 or more")
    names = identities(source)
    total = len(source)
    in_order = np.arange(total) if names is None else np.array(sorted(range(total), key=names.__getitem__), int)
    order = in_order[np.random.default_rng(drawn["seed"]).permutation(total)].tolist()
    ends = [0, *_ends(drawn["parts"], len(steps), total, source.name, f"{where}: images: parts")]
    return [tuple(order[first:end]) for first, end in pairwise(ends)], drawn["seed"]


def _ends(parts: Any, steps: int, total: int, name: str, where: str) -> list[int]:
    """Where the part of each step ends in the drawn order of all images."""
    if parts == "equal":
        return [rounded_share((step + 1) / steps, total) for step in range(steps)]
    if not (isinstance(parts, list) and len(parts) == steps
            and (all(type(part) is int and part >= 0 for part in parts)
                 or all(type(part) is float and 0 < part < 1 for part in parts))):
        raise InputError(f"{where} is {_shown(parts)}; write \"equal\", or for each of the {steps} steps a count (200) "
                         "or a share (0.25)")
    if type(parts[0]) is int:
        ends = np.cumsum(parts).tolist()
        if ends[-1] > total:
            raise InputError(f"{where} ask for {ends[-1]} images, {name} has {total}; ask for at most as many")
        return ends
    if sum(parts) > 1 + 1e-9:
        raise InputError(f"{where}: the shares add up to {sum(parts):g}; ask for at most 1 in all")
    return [min(rounded_share(share, total), total) for share in np.cumsum(parts)]


def _listed_images(value: Any, numbers: Mapping[str, int], source: Source, where: str) -> tuple[int, ...]:
    images = _listed(value, where)
    of_name = all(isinstance(image, str) for image in images)
    if not of_name and not all(type(image) is int for image in images):
        raise InputError(f"{where}: names and numbers are mixed, or there is neither; list names or numbers")
    unknown = [str(image) for image in images
               if (image not in numbers if of_name else not 0 <= image < len(source))]
    if unknown:
        raise InputError(f"{where}: {len(unknown)} of {len(images)} are not in {source.name}: {summarise(unknown)}; "
                         "take them out, or prepare the set again")
    return tuple(numbers[image] for image in images) if of_name else tuple(images)


def _shown(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
