"""Images of frozen-core adaptation: of the core's category, of the new one, and of its evaluation."""
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from kpjax.evaluation.probes.landmarks import draw_turns, second_turns, turn_in_place
from kpjax.input import source as sources
from kpjax.input.source import Source
from kpjax.systems.image_sets import decoded_once


class Data(NamedTuple):
    """Images that the variants of a seed learn from and are evaluated on."""

    target: Source  # without labels
    fit: Source  # with labels, for the regressors
    test: Source
    turned_once: Source  # the test images, each turned in place
    turned_twice: Source  # and turned again
    chosen: tuple[str, ...] = ()  # the names, or numbers, of `target_images`; () for all
    identity: Mapping[str, Any] = {}

    @property
    def summary(self) -> str:
        return f"{len(self.target)} images without labels, {len(self.test)} test images"


def with_turns(target: Source, fit: Source, test: Source, side: int, once: Source | None = None) -> Data:
    """Returns the images of a run with the test images, of `side` px, also turned once and twice.

    once: test images turned before they were cropped; None turns them in place.
    """
    if once is None:
        angles = draw_turns(len(test)).first
        once = sources.turned(test, np.array([turn_in_place(angle, side) for angle in angles]))
    once = decoded_once(once)
    return Data(target, fit, test, once, decoded_once(sources.turned(once, second_turns(len(test), side))))
