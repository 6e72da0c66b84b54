"""A source whose pictures are turned, each by an angle of its own: what the consistency of landmarks is measured on."""
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from PIL import Image

from kpjax import boxes
from kpjax.errors import InputError
from kpjax.input.source import Source, digest_of
from kpjax.structures import Example, Skeleton


@dataclass(frozen=True, eq=False)
class TurnedSource:
    """The examples of another source under maps (N, 3, 3) from its pixels to those of pictures of the same size.

    Outside the picture its border is repeated. Keypoints and the way back to the original picture move along; keypoints
    that leave are not visible. Made by `turned`.
    """

    source: Source
    maps: np.ndarray
    name: str

    @property
    def skeleton(self) -> Skeleton:
        return self.source.skeleton

    @cached_property
    def digest(self) -> str:
        return digest_of(self.source.digest, self.maps)

    def __len__(self) -> int:
        return len(self.source)

    def identity(self, index: int) -> str | None:
        """The name of an example in the source that is turned."""
        known = getattr(self.source, "identity", None)
        return None if known is None else known(index)

    def __getitem__(self, index: int) -> Example:
        example, map_ = self.source[index], self.maps[index]
        side = example.image.shape[0]
        moved = boxes.move_points(map_, example.keypoints)
        inside = ((moved >= -0.5) & (moved < side - 0.5)).all(-1)
        visible = np.where(inside, example.visible, 0).astype(np.float32)
        growth = np.sqrt(abs(np.linalg.det(map_[:2, :2])))
        return example._replace(
            image=_moved(example.image, map_), keypoints=np.where(visible[:, None] > 0, moved, np.float32(0)),
            visible=visible, scale=np.float32(example.scale * growth),
            crop=(np.asarray(example.crop, np.float64) @ np.linalg.inv(map_)).astype(np.float32))


def turned(source: Source, maps: np.ndarray, *, name: str = "turned") -> TurnedSource:
    """A source with example n under the affine map maps[n], pixels to pixels of a picture of the same size.

    Raises InputError unless there is one map (3, 3) for each example. A source that is turned already is resampled
    twice, as the published measure has it.
    """
    maps = np.asarray(maps, np.float64)
    if maps.shape != (len(source), 3, 3):
        raise InputError(f"{source.name}: maps of shape {maps.shape} for {len(source)} examples; one map (3, 3) for "
                         "each is needed")
    return TurnedSource(source, maps, f"{source.name}/{name}")


def _moved(image: np.ndarray, map_: np.ndarray) -> np.ndarray:
    """A picture (S, S, 3) uint8 under a map, bilinear, its border repeated."""
    side = image.shape[0]
    border = side  # room for every pixel that the canvas of a turned square asks for
    back = np.linalg.inv(map_)
    # Pillow counts from the corner of the first pixel, maps of centres from its middle.
    shift = back[:2, 2] + border + 0.5 - back[:2, :2] @ [0.5, 0.5]
    rows = np.column_stack([back[:2, :2], shift])
    padded = Image.fromarray(np.pad(image, ((border, border), (border, border), (0, 0)), "edge"))
    return np.asarray(padded.transform((side, side), Image.Transform.AFFINE, tuple(rows.ravel().tolist()),
                                       Image.Resampling.BILINEAR))
