"""Protocols of incremental learning: which keypoints are labelled on which images, step after step.

Every image is of one step, and labelled with the keypoints of that step only. `kpjax.input.protocol_file` reads
protocols from files.
"""
import json
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from kpjax.errors import InputError
from kpjax.input.labelled_keypoints import labelled_only
from kpjax.input.source import Source, digest_of, subset
from kpjax.input.triples import Triple, automatic_triples, random_triples
from kpjax.structures import Skeleton


class ProtocolStep(NamedTuple):
    """What is new in a step."""

    keypoints: tuple[str, ...]  # labelled in this step, and in no other
    images: tuple[int, ...]  # numbers in the training source, of this step and of no other
    triples: tuple[Triple, ...] = ()  # as the protocol states them; see `step_triples`


class Protocol(NamedTuple):
    """The steps, from step 0, the base."""

    name: str
    dataset: str
    steps: tuple[ProtocolStep, ...]
    source: str  # digest of the training source whose images the steps have
    seed: int = 0  # of every draw that the protocol leaves open
    triple: str = "given"  # or "automatic", "random": for steps that state no triple
    distance: str = "hops"  # or "euclid": what "automatic" goes by
    mirrored: bool = True  # whether a step may be trained on mirrored pictures

    @property
    def digest(self) -> str:
        """The sha256 of all that makes a difference to a run: the training source, and every field but the name."""
        return digest_of(json.dumps(list(self[1:])))


def check(protocol: Protocol, skeleton: Skeleton, where: str | None = None) -> None:
    """Raises InputError if a protocol breaks a rule.

    Every step has keypoints and images, and shares none of them with another; all keypoints are of the skeleton; mirror
    pairs come in one step (or `mirrored` is false); the old keypoint of a triple is of an earlier step and its one or
    two new ones are of the step itself. where: the file, for messages.
    """
    where = where or f"protocol {protocol.name}"
    step_of: dict[str, int] = {}
    image_of: dict[int, int] = {}
    for number, step in enumerate(protocol.steps):
        place = f"{where} step {number}"
        if not step.keypoints:
            raise InputError(f"{place}: keypoints is empty; name at least one, or leave the step out")
        for name in step.keypoints:
            if name not in skeleton.names:
                raise InputError(f"{place}: keypoints: {protocol.dataset} has no keypoint {name!r}; it has "
                                 f"{', '.join(skeleton.names)}")
            if name in step_of:
                raise InputError(f"{place}: keypoints: {name} is already of step {step_of[name]}; leave it out of one")
            step_of[name] = number
        if not step.images:
            raise InputError(f"{place}: images: there is none; give the step at least one image")
        for image in step.images:
            if image in image_of:
                raise InputError(f"{place}: images: number {image} is already of step {image_of[image]}; leave it out "
                                 "of one")
            image_of[image] = number
        for triple in step.triples:
            _check_triple(triple, step.keypoints, step_of, number, f"{place}: triples")
    if protocol.mirrored and (pair := _split_pair(protocol, skeleton)):
        a, b = pair
        raise InputError(f"{where} step {step_of.get(a, step_of.get(b))}: keypoints: {a} and {b} are mirror images and "
                         "must come in one step; move one, or set mirrored to false and train without mirroring")


def _check_triple(
    triple: Triple, keypoints: Sequence[str], step_of: Mapping[str, int], number: int, place: str
) -> None:
    if not 1 <= len(triple.new) <= 2 or len(set(triple.new)) < len(triple.new):
        raise InputError(f"{place}: new is {list(triple.new)}; name one or two keypoints of the step")
    if outside := [name for name in triple.new if name not in keypoints]:
        raise InputError(f"{place}: {outside[0]!r} is no new keypoint of step {number}; choose from "
                         f"{', '.join(keypoints)}")
    if triple.old in keypoints:
        raise InputError(f"{place}: the old keypoint {triple.old!r} is new in this very step; name one of an earlier "
                         "step")
    if triple.old not in step_of:
        raise InputError(f"{place}: the old keypoint {triple.old!r} is of no earlier step; name one that is")


def _split_pair(protocol: Protocol, skeleton: Skeleton) -> tuple[str, str] | None:
    """The first mirror pair that does not come in one step, None if there is none."""
    introduced = introduced_in(protocol, skeleton)
    return next(((skeleton.names[k], skeleton.names[other]) for k, other in enumerate(skeleton.flip)
                 if introduced[k] != introduced[other]), None)


def introduced_in(protocol: Protocol, skeleton: Skeleton) -> np.ndarray:
    """(K,) int32: the step in which each keypoint is new, -1 if in none."""
    introduced = np.full(len(skeleton.names), -1, np.int32)
    for number, step in enumerate(protocol.steps):
        introduced[[skeleton.index(name) for name in step.keypoints]] = number
    return introduced


def old_keypoints(protocol: Protocol, step: int) -> tuple[str, ...]:
    """The keypoints of all steps before this one, in the order in which they came."""
    return tuple(name for earlier in protocol.steps[:step] for name in earlier.keypoints)


def step_source(protocol: Protocol, step: int, source: Source) -> Source:
    """The images of one step, with labels of its own keypoints and of no others.

    Raises InputError if the protocol was resolved for another source.
    """
    if source.digest != protocol.source:
        raise InputError(f"protocol {protocol.name} was resolved for other images than those of {source.name}; resolve "
                         "it for this source")
    chosen = protocol.steps[step]
    name = f"{source.name}, {protocol.name} step {step}"
    return labelled_only(subset(source, chosen.images, name), chosen.keypoints, name)


def step_triples(
    protocol: Protocol, step: int, skeleton: Skeleton, *, count: int = 1, apart: np.ndarray | None = None
) -> tuple[Triple, ...]:
    """At most `count` triples of a step: those that the protocol states, or else those that its rule chooses.

    None for step 0, and for steps without any where the rule is "given". apart: (K, K), see
    `kpjax.input.triples.mean_distances`; needed where the rule is "automatic" by "euclid".
    """
    if step == 0:
        return ()
    stated, old, new = protocol.steps[step].triples, old_keypoints(protocol, step), protocol.steps[step].keypoints
    if stated or protocol.triple == "given":
        return stated[:count]
    if protocol.triple == "random":
        return random_triples(skeleton, old, new, seed=[protocol.seed, step], count=count)
    return automatic_triples(skeleton, old, new, count=count, distance=protocol.distance, apart=apart)


def low_shot(protocol: Protocol, count: int) -> Protocol:
    """The same protocol with `count` images in each step after the base, drawn by its seed.

    Smaller counts give a part of the images of larger ones. Raises InputError if a step has fewer.
    """
    if count < 1:
        raise InputError(f"protocol {protocol.name}: {count} images a step are asked for; ask for at least 1")
    steps = [protocol.steps[0]]
    for number, step in enumerate(protocol.steps[1:], start=1):
        if count > len(step.images):
            raise InputError(f"protocol {protocol.name} step {number}: {count} images a step are asked for, but there "
                             f"are {len(step.images)}; ask for fewer")
        order = np.random.default_rng([protocol.seed, number]).permutation(len(step.images))[:count]
        steps.append(step._replace(images=tuple(step.images[place] for place in order)))
    return protocol._replace(name=f"{protocol.name}_{count}_images", steps=tuple(steps))


def single_new(protocol: Protocol, skeleton: Skeleton) -> Protocol:
    """The same keypoints in the same order, one by one after the base: each step becomes as many as it has keypoints.

    These have equal parts of its images, and of its triples those with their keypoint, as its only new one; where there
    is none the automatic rule chooses. Mirror pairs come apart, so that `mirrored` is false if there was one.
    Raises InputError if a step has fewer images than keypoints.
    """
    steps = [protocol.steps[0]]
    for number, step in enumerate(protocol.steps[1:], start=1):
        if len(step.images) < len(step.keypoints):
            raise InputError(f"protocol {protocol.name} step {number}: {len(step.images)} images for "
                             f"{len(step.keypoints)} keypoints one by one; every keypoint needs an image")
        parts = np.array_split(np.array(step.images), len(step.keypoints))
        steps += [ProtocolStep((name,), tuple(map(int, part)),
                               tuple(Triple(one.old, (name,)) for one in step.triples if name in one.new))
                  for name, part in zip(step.keypoints, parts, strict=True)]
    rule = "automatic" if protocol.triple == "given" else protocol.triple
    alone = protocol._replace(name=f"{protocol.name}_single", steps=tuple(steps), triple=rule)
    return alone._replace(mirrored=alone.mirrored and _split_pair(alone, skeleton) is None)
