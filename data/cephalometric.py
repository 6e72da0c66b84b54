"""Lateral head X-rays with 19 landmarks: the ISBI 2015 challenge in cephalometric X-ray image
analysis.

Two doctors marked every image; the ground truth is their mean. The folder holds the published
archives, `RawImage/` and `AnnotationsByMD/`, or the layout of Zhu et al. (MICCAI 2021), `raw/`,
`400_senior/` and `400_junior/`. The first 19 lines of a doctor's file are landmarks, x,y in pixels;
the clinical classes that follow are not read. Images 001 to 150 train, all others test: those up to
300 were the first test set of the challenge, the rest its second.

Whole images are stored, as PNG. `scale` is the number of pixels per millimetre, 10 in the published
images. An error divided by it is in millimetres, exactly so after transforms that keep the aspect
ratio. A lateral view has no valid mirror image. The skeleton's edges are kpjax's own; distances
between landmarks are counted along them.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from data.annotations import Annotation
from data.checking import downloaded_dataset, first_of, row
from data.parts import with_tune
from data.prepared import Card
from kpjax.structures import Skeleton

HEAD = Skeleton(
    names=(
        "sella",
        "nasion",
        "orbitale",
        "porion",
        "subspinale",
        "supramentale",
        "pogonion",
        "menton",
        "gnathion",
        "gonion",
        "lower_incisor",
        "upper_incisor",
        "upper_lip",
        "lower_lip",
        "subnasale",
        "soft_tissue_pogonion",
        "posterior_nasal_spine",
        "anterior_nasal_spine",
        "articulare",
    ),
    edges=(
        (0, 1),
        (0, 3),
        (0, 18),
        (1, 2),
        (2, 3),
        (1, 4),
        (17, 4),
        (17, 16),
        (17, 14),
        (4, 11),
        (11, 10),
        (10, 5),
        (5, 6),
        (6, 8),
        (8, 7),
        (7, 9),
        (9, 18),
        (18, 3),
        (11, 12),
        (10, 13),
        (12, 13),
        (14, 12),
        (13, 15),
        (15, 6),
        (16, 0),
        (16, 9),
    ),
    groups={
        "skull": (0, 1, 2, 3, 18),
        "upper_jaw": (4, 11, 16, 17),
        "lower_jaw": (5, 6, 7, 8, 9, 10),
        "soft_tissue": (12, 13, 14, 15),
        "all": tuple(range(19)),
    },
)
# width and height of every published image; resized copies have another pixel spacing
SIZE = (1935, 2400)
PIXELS_PER_MILLIMETRE = 10.0
TRAINING, TESTING = range(1, 151), range(151, 401)
DOCTORS = ("400_senior", "400_junior")
MARK_FOLDERS = ("AnnotationsByMD", "")
IMAGE_FOLDERS = ("RawImage/TrainingData", "RawImage/Test1Data", "RawImage/Test2Data", "raw")


def read(folder: Path, faults: list[str]) -> dict[str, list[Annotation]]:
    """Reads the images of both splits with the mean of the doctors' marks."""
    doctors = [first_of(folder, MARK_FOLDERS, doctor) for doctor in DOCTORS]
    if absent := [doctor for doctor in doctors if not doctor.is_dir()]:
        faults.append(
            f"{absent[0].name} is missing, expected at {absent[0]}; unpack AnnotationsByMD"
        )
        return {"train": [], "test": []}
    found = {
        split: [_image(folder, doctors, f"{number:03d}", faults) for number in numbers]
        for split, numbers in (("train", TRAINING), ("test", TESTING))
    }
    return {split: [one for one in images if one] for split, images in found.items()}


def _image(
    folder: Path, doctors: Sequence[Path], name: str, faults: list[str]
) -> Annotation | None:
    marks = [_marks(doctor / f"{name}.txt", faults) for doctor in doctors]
    if any(one is None for one in marks):
        return None
    return Annotation(
        name,
        first_of(folder, IMAGE_FOLDERS, f"{name}.bmp"),
        np.mean(marks, axis=0),
        np.ones(len(HEAD.names), bool),
        SIZE,
        cut=_whole_image,
        scale=PIXELS_PER_MILLIMETRE,
    )


def _marks(path: Path, faults: list[str]) -> np.ndarray | None:
    """Reads the landmarks (19, 2) of one doctor, None (and a fault) if the file lacks them."""
    where = f"{path.parent.name}/{path.name}"
    if not path.is_file():
        faults.append(f"{where} is missing; every image needs the marks of both doctors")
        return None
    text = path.read_text(encoding="ascii", errors="replace")
    lines = [line for line in text.splitlines() if line.strip()][: len(HEAD.names)]
    if len(lines) < len(HEAD.names) or not all(line.count(",") == 1 for line in lines):
        faults.append(
            f"{where}: expected {len(HEAD.names)} lines of x,y, found "
            f"{sum(line.count(',') == 1 for line in lines)}; download it again"
        )
        return None
    points = [
        row(pair.split(","), f"{where} line {line}", faults)
        for line, pair in enumerate(lines, start=1)
    ]
    return None if any(point is None for point in points) else np.array(points)


def _whole_image(image: Image.Image, keypoints: np.ndarray) -> tuple[Image.Image, np.ndarray]:
    """Returns the whole image as its "crop".

    Crops are stored as PNG, a third of the size of the published BMP.
    """
    return image, keypoints


DATASET = downloaded_dataset(
    "cephalometric",
    read,
    HEAD,
    Card(
        __doc__,
        where=(
            "unpack RawImage and AnnotationsByMD of the ISBI 2015 cephalometric challenge "
            "(figshare.com/s/37ec464af8e81ae6ebbf)"
        ),
        licence="research use",
        homepage="https://figshare.com/s/37ec464af8e81ae6ebbf",
        citation=(
            "Wang et al., A Benchmark for Comparison of Dental Radiography Analysis Algorithms, "
            "Medical Image Analysis 31, 2016."
        ),
    ),
    parts=with_tune,
    encoding="png",
)
