"""Synthetic articulated people in several visual domains: the data of the demos, with nothing to
download.

Figure n of a domain depends on the seed and n alone, so any part of the endless set can be rendered
on its own.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from zlib import crc32

import numpy as np

from data.figure_looks import (
    DOMAINS,
    SOURCE,
    Domain,
    background,
    cover,
    finish,
    limb_colours,
    render_body,
    target,
)
from data.figure_poses import ALL_JOINTS, JOINTS, NUMBERS, TEN_POINTS, joints
from data.prepared import Counted, Dataset, rendered_dataset
from kpjax.input.source import ArraySource, arrays
from kpjax.structures import Example, Skeleton

__all__ = [
    "ALL_JOINTS",
    "DATASET",
    "DOMAINS",
    "SOURCE",
    "TEN_POINTS",
    "Domain",
    "figures",
    "target",
]


def generator_of(seed: int, domain: Domain, index: int, purpose: str) -> np.random.Generator:
    """Returns a counter-based generator, with an independent stream for every combination of
    arguments.

    domain: counts by its name. index: of the figure or video. purpose: what is drawn, such as
    "pose" or "look".
    """
    key = np.array([seed, crc32(domain.name.encode())], np.uint64)
    counter = np.array([0, 0, index, crc32(purpose.encode())], np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=counter))


def figures(
    count: int,
    domain: Domain,
    seed: int,
    side: int,
    *,
    first: int = 0,
    skeleton: Skeleton = TEN_POINTS,
) -> ArraySource:
    """Renders figures of a domain, numbers `first` to `first + count - 1`, into memory: 0.7 ms each
    at 64 px.

    `scale` is the image's side, px. seed: selects the endless set. skeleton: of the labelled
    joints, TEN_POINTS or ALL_JOINTS or `figure_poses.skeleton(names)`; it does not change the
    images.
    """
    numbers = range(first, first + count)
    pose = np.stack(
        [generator_of(seed, domain, number, "pose").random(NUMBERS) for number in numbers]
    )
    points = joints(pose, side)
    images = np.empty((count, side, side, 3), np.uint8)
    visible = np.ones((count, len(JOINTS)), np.float32)
    for index, number in enumerate(numbers):
        look = generator_of(seed, domain, number, "look")
        body = render_body(points[index], limb_colours(domain, look), domain.outline, side)
        behind = background(domain, look, side)
        if domain.hidden:
            visible[index] = look.random(len(JOINTS)) >= domain.hidden
            cover(body, points[index][visible[index] == 0], 0.05 * side)
        images[index] = finish(body, behind, domain.noise, look)
    keep = [ALL_JOINTS.index(name) for name in skeleton.names]
    shown = visible[:, keep]
    return arrays(
        images, points[:, keep] * shown[..., None], shown, skeleton, f"figures/{domain.name}/{seed}"
    )


def many_rendered(
    name: str, skeleton: Skeleton, about: str, kinds: Mapping[str, Callable[..., ArraySource]]
) -> Dataset:
    """Declares a dataset of 1,000 training and 200 test images of each kind.

    about: of its card. kinds: take a count and the `first`.
    """

    def named(kind: str, numbers: range) -> Iterator[tuple[str, Example]]:
        for number, example in zip(
            numbers, kinds[kind](len(numbers), first=numbers.start), strict=True
        ):
            yield f"{kind}_{number:05d}", example

    return rendered_dataset(
        name,
        skeleton,
        about,
        {
            f"{kind}_{part}": Counted(len(numbers), partial(named, kind, numbers))
            for kind in kinds
            for part, numbers in (("train", range(1000)), ("test", range(1000, 1200)))
        },
    )


DATASET = many_rendered(
    "figures",
    TEN_POINTS,
    __doc__,
    {name: partial(figures, domain=domain, seed=0, side=64) for name, domain in DOMAINS.items()},
)
