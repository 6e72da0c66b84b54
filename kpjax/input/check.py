"""One pass over a source before it is used, which reports everything that is wrong with it at once."""
import sys

import numpy as np

from kpjax.errors import InputError, summarise
from kpjax.input.source import Source, subset
from kpjax.structures import Example


def _faults(example: Example, side: tuple[int, int, int], keypoints: int) -> list[str]:
    """What keeps one example from being used, in words."""
    faults = []
    if example.image.shape != side or example.image.dtype != np.uint8:
        faults.append(f"image is {example.image.shape} {example.image.dtype}, expected {side} uint8")
    if example.keypoints.shape != (keypoints, 2) or example.visible.shape != (keypoints,):
        faults.append(f"{len(example.keypoints)} keypoints, the skeleton has {keypoints}")
    if not np.isfinite(example.keypoints).all():
        faults.append("a coordinate is not finite")
    if not np.isin(example.visible, (0, 1)).all():
        faults.append("a visibility is neither 0 nor 1")
    if not (np.isfinite(example.scale) and example.scale > 0):
        faults.append(f"scale is {example.scale}")
    return faults


def check_source(source: Source, *, on_bad_image: str = "stop", labelled: bool = True) -> Source:
    """Reads every example once and returns the source that can be used.

    on_bad_image: "stop" raises for images that do not decode, "skip" leaves them out and prints their number and the
    first names. labelled: False for a source without labels. Raises InputError that lists all faults at once: images
    that cannot be read, shapes, coordinates that are not finite, and a set with no visible keypoint at all.
    """
    if on_bad_image not in ("stop", "skip"):
        raise InputError(f"on_bad_image is {on_bad_image!r}; choose stop or skip")
    broken, wrong, good, visible, side = [], [], [], 0.0, None
    for index in range(len(source)):
        try:
            example = source[index]
        except InputError as error:
            broken.append(str(error))
            continue
        side = side or (example.image.shape[0], example.image.shape[0], 3)
        wrong += [f"number {index}: {fault}" for fault in _faults(example, side, len(source.skeleton.names))]
        good.append(index)
        visible += float(example.visible.sum())
    if wrong:
        raise InputError(f"{source.name}: {len(wrong)} faults: {summarise(wrong)}; mend the labels and prepare again")
    if broken and (on_bad_image == "stop" or not good):
        raise InputError(f"{source.name}: {len(broken)} of {len(source)} images cannot be read: {summarise(broken)}; "
                         "replace them, or leave them out with --on-bad-image skip")
    if labelled and not visible:
        raise InputError(f"{source.name}: no keypoint is visible in any of its {len(source)} images, so nothing can "
                         "be learned from it; check the visibility flags of the labels")
    if not broken:
        return source
    print(f"{source.name}: left out {len(broken)} of {len(source)} images that cannot be read: {summarise(broken)}",
          file=sys.stderr)
    return subset(source, good, source.name)


def visible_fraction(source: Source) -> float:
    """The fraction of labelled keypoints over all examples."""
    return float(np.mean([np.mean(source[index].visible) for index in range(len(source))]))
