"""A source in which some keypoints only are labelled: what a step of incremental learning may see."""
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from kpjax.input.source import Source, digest_of
from kpjax.structures import Example, Skeleton


def labelled_only(source: Source, keypoints: Sequence[str], name: str | None = None) -> Source:
    """The same images and the same K keypoints, of which all but those named are zero and not visible.

    A method that reads it cannot peek at the others. Raises InputError for a name that the skeleton lacks.
    """
    mask = np.zeros(len(source.skeleton.names), np.float32)
    mask[[source.skeleton.index(keypoint) for keypoint in keypoints]] = 1
    return _LabelledOnly(source, mask, name or f"{source.name}, {len(keypoints)} keypoints labelled")


@dataclass(frozen=True, eq=False)
class _LabelledOnly:
    source: Source
    mask: np.ndarray
    name: str

    @property
    def skeleton(self) -> Skeleton:
        return self.source.skeleton

    @cached_property
    def digest(self) -> str:
        return digest_of(self.source.digest, self.mask)

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> Example:
        example = self.source[index]
        visible = (example.visible * self.mask).astype(np.float32)
        return example._replace(keypoints=np.where(visible[:, None] > 0, example.keypoints, np.float32(0)),
                                visible=visible)

    def identity(self, index: int) -> str | None:
        """The name of an example in the source."""
        find = getattr(self.source, "identity", None)
        return None if find is None else find(index)
