"""LS3D-W balanced: faces in all poses with 68 points, projections of 3D points. For testing only.

Each image has a file of the same name with its points as a Torch7 tensor. Images and coordinates
are stored unchanged. `scale` is the distance between the outer corners of the eyes in pixels; it is
very small for faces in profile.
"""

from pathlib import Path

import numpy as np

from data.annotations import Annotation
from data.checking import downloaded_dataset, numbers
from data.faces import between_outer_corners
from data.prepared import Card
from data.torch7 import read_tensor
from kpjax.formats.faces import FACE


def read(folder: Path, faults: list[str]) -> dict[str, list[Annotation]]:
    """Reads all faces below `folder`, at any depth, for testing."""
    images = sorted(folder.rglob("*.jpg"))
    tensors = sorted(folder.rglob("*.t7"))
    if not images:
        faults.append("no .jpg found; unpack the images with the .t7 files beside them")
    faces = []
    for image in images:
        name = image.relative_to(folder).with_suffix("").as_posix()
        points = _points(image.with_suffix(".t7"), f"{name}.t7", faults)
        if points is not None:
            faces.append(Annotation(name, image, points, np.ones(68, bool)))
    known = {image.with_suffix(".t7") for image in images}
    faults += [
        f"{tensor.relative_to(folder)} has no image of the same name; download the images again"
        for tensor in tensors
        if tensor not in known
    ]
    return {"test": faces}


def _points(path: Path, where: str, faults: list[str]) -> np.ndarray | None:
    if not path.is_file():
        faults.append(f"{where} is missing, but its image exists; download it again")
        return None
    try:
        tensor = read_tensor(path)
    except ValueError as error:
        faults.append(f"{where}: {error}; download it again")
        return None
    return numbers(tensor, (68, 2), where, faults)


DATASET = downloaded_dataset(
    "ls3d",
    read,
    FACE,
    Card(
        __doc__,
        where="LS3D-W balanced, on request from adrianbulat.com/face-alignment",
        licence="research use",
        homepage="https://www.adrianbulat.com/face-alignment",
        citation=(
            "Bulat and Tzimiropoulos, How Far Are We from Solving the 2D & 3D Face Alignment "
            "Problem?, ICCV 2017."
        ),
    ),
    reference=between_outer_corners,
)
