"""A source with some of its keypoints only."""
from collections.abc import Sequence

import numpy as np

from kpjax.errors import InputError
from kpjax.input.source import Source, changed
from kpjax.structures import Example, Skeleton


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
    place = {old: new for new, old in enumerate(kept)}
    if alone := [skeleton.names[k] for k in kept if skeleton.flip and skeleton.flip[k] not in place]:
        raise InputError(f"keypoint {alone[0]} would lose its mirror image; leave both out or neither")
    return Skeleton(
        tuple(skeleton.names[k] for k in kept),
        tuple((place[a], place[b]) for a, b in skeleton.edges if a in place and b in place),
        tuple(place[skeleton.flip[k]] for k in kept) if skeleton.flip else (),
        {name: left for name, members in skeleton.groups.items()
         if (left := tuple(place[k] for k in members if k in place))})
