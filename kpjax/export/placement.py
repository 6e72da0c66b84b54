"""What a predictor's folder has to say about how images become square ones."""
from collections.abc import Mapping
from typing import Any

import numpy as np

from kpjax.errors import InputError
from kpjax.export import standalone
from kpjax.images.transforms import Place, around_box, letterbox, place_local_contrast

BOX_MARGIN = 1.25  # of a crop around a box, where images are usually taken whole
BOX = np.array([11.0, 6.5, 20.0, 30.25])  # of the images that placements are tried on


def placement_told(place: Place, side: int) -> dict[str, Any]:
    """`whole_images`, `box_margin` and `contrast` of the placement, found out by trying it on images.

    Raises InputError for a placement that the program in an exported folder cannot do, pixel by pixel.
    """
    images = [standalone.check_images(80)[0, :, :61], standalone.check_images(160)[1, :47, 3:]]
    whole, margin = True, BOX_MARGIN
    try:
        placed = [_tried(place, image, None) for image in images]
    except InputError:  # it goes by a box
        whole = False
        placed = [_tried(place, image, BOX) for image in images]
        margin = round(float(placed[0][1][0, 0] * side / BOX[2:].max()), 4)
    for contrast in ("", "local"):
        told = {"whole_images": whole, "box_margin": margin, "contrast": contrast}
        given = {"shape": ["batch", side, side, 3], **told}
        wanted = [standalone.placed(image, given, None if whole else BOX) for image in images]
        if all(_same(*pair) for pair in zip(placed, wanted, strict=True)):
            return told
    raise InputError("RUN: its method is given images in a way of its own that an exported predictor does not know; "
                     "predict with the run itself")


def whole_or_box(place: Place, side: int) -> Place:
    """The same placement of whole images, and a crop around the box where one is given."""
    try:
        told = placement_told(place, side)
    except InputError:
        return place  # it alone knows what to do with a box
    return described_place({"shape": ["batch", side, side, 3], **told})


def described_place(given: Mapping[str, Any]) -> Place:
    """The placement that `input` of a predictor.json tells: of whole images, and of a box where one is given.

    Raises InputError for an image without a box where one is needed.
    """
    side = given["shape"][1]
    cropped = around_box(side, given["box_margin"])
    whole = letterbox(side) if given["whole_images"] else cropped
    if given["contrast"] == "local":
        whole, cropped = place_local_contrast(whole), place_local_contrast(cropped)

    def placed(image, keypoints, visible, scale, box=None):
        return (whole if box is None else cropped)(image, keypoints, visible, scale, box)

    return placed


def _tried(place: Place, given: np.ndarray, box: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    image, _, _, _, crop = place(given, np.zeros((0, 2), np.float32), np.zeros(0, np.float32), np.float32(1), box)
    return image, crop


def _same(one: tuple[np.ndarray, np.ndarray], other: tuple[np.ndarray, np.ndarray]) -> bool:
    return np.array_equal(one[0], other[0]) and np.allclose(one[1], other[1], rtol=1e-6, atol=1e-5)
