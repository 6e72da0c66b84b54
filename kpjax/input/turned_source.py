"""A source whose pictures are turned, each by an angle of its own: what the consistency of landmarks is measured on."""
import numpy as np
from PIL import Image

from kpjax import boxes
from kpjax.errors import InputError
from kpjax.input.source import Source, changed
from kpjax.structures import Example


def turned(source: Source, maps: np.ndarray, *, name: str = "turned") -> Source:
    """A source with example n under the affine map maps[n] (3, 3), pixels to pixels of a picture of the same size.

    Outside the picture its border is repeated. Keypoints and the way back to the original picture move along; keypoints
    that leave are not visible. A source that is turned already is resampled twice, as the published measure has it.
    Raises InputError unless there is one map for each example.
    """
    maps = np.asarray(maps, np.float64)
    if maps.shape != (len(source), 3, 3):
        raise InputError(f"{source.name}: maps of shape {maps.shape} for {len(source)} examples; one map (3, 3) for "
                         "each is needed")

    def turn(example: Example, index: int) -> Example:
        map_, side = maps[index], example.image.shape[0]
        moved = boxes.move_points(map_, example.keypoints)
        inside = ((moved >= -0.5) & (moved < side - 0.5)).all(-1)
        visible = np.where(inside, example.visible, 0).astype(np.float32)
        growth = np.sqrt(abs(np.linalg.det(map_[:2, :2])))
        return example._replace(
            image=_moved(example.image, map_), keypoints=np.where(visible[:, None] > 0, moved, np.float32(0)),
            visible=visible, scale=np.float32(example.scale * growth),
            crop=(np.asarray(example.crop, np.float64) @ np.linalg.inv(map_)).astype(np.float32))

    return changed(source, turn, maps, name=f"{source.name}/{name}")


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
