"""A source in which some keypoints only are labelled: what a step of incremental learning may see."""
from collections.abc import Sequence

import numpy as np

from kpjax.input.source import Source, changed
from kpjax.structures import Example


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
