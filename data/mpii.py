"""MPII Human Pose: people at everyday activities, 16 points, several people in some images.

The lists are those converted by the HRNet authors, `annot/train.json` and `annot/valid.json`. Head
boxes, for PCKh, come from `annot/gt_valid.mat` for the valid list and from the original release,
`mpii_human_pose_v1_u12_1.mat`, for the train list. The people of valid.json test. Of those of
train.json 10,000 train and 3,311 validate. This split is not published, so it is drawn here, whole
images at a time (see `draw`). All others are the split "rest": papers that train on all of
train.json read "train+validation+rest". The files count pixels from 1, the records from 0.

Each person is a record with the whole image, stored unchanged. `scale` is 0.6 times the diagonal of
the head box in pixels, the reference length of PCKh. `box` is the square around the person stated
by the lists. With `kpjax.images.transforms.PersonCrop` and its margin of 1.25 it gives the official
crop.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from data.annotations import Annotation
from data.bodies import BODY
from data.checking import downloaded_dataset, entries, first_of, numbers, read_json, read_matlab
from data.prepared import Card
from kpjax.errors import summarise

# PCKh averages over all points but pelvis and thorax.
PERSON = replace(
    BODY, groups={**BODY.groups, "all": tuple(k for k in range(16) if k not in (6, 7))}
)
TRAINING, VALIDATION, SEED = 10_000, 3_311, 2021
RELEASE = "mpii_human_pose_v1_u12_1.mat"
RELEASE_FOLDERS = ("annot", "", "mpii_human_pose_v1_u12_2")
NEAREST = 1.0  # px, largest distance between a person's centre in the lists and in the release
# px, largest distance between a joint of valid.json and the same one of gt_valid.mat
SAME_PLACE = 5.0
# largest fraction of people without a head (the median takes its place), and of joints that differ
MOST_ODD = 0.01


class Person(NamedTuple):
    """A person of one of the lists."""

    annotation: Annotation
    image: str  # the name of its file
    centre: np.ndarray  # (2,) as in the file
    where: str  # file and entry, for messages


def read(folder: Path, faults: list[str]) -> dict[str, list[Annotation]]:
    """Reads the people of the four splits, with the sizes of their heads.

    `folder` holds `images/` and `annot/`.
    """
    before = len(faults)
    people, test = _people(folder, "train.json", faults), _people(folder, "valid.json", faults)
    tested = {person.image for person in test}
    untested = [person for person in people if person.image not in tested]
    drawn = draw(untested, (TRAINING, VALIDATION))
    if len(faults) == before and sum(map(len, drawn)) < TRAINING + VALIDATION:
        faults.append(
            f"annot/train.json: expected {TRAINING:,} people to train and {VALIDATION:,} to validate, found "
            f"{len(people):,}; download it again"
        )
    taken = {person.where for part in drawn for person in part}
    drawn.append([person for person in untested if person.where not in taken])
    chosen = [person for part in drawn for person in part]
    heads = _released_heads(first_of(folder, RELEASE_FOLDERS, RELEASE), chosen, faults)
    found = iter(
        [person.annotation._replace(scale=head) for person, head in zip(chosen, heads, strict=True)]
    )
    training_splits = {
        split: [next(found) for _ in part]
        for split, part in zip(("train", "validation", "rest"), drawn, strict=True)
    }
    heads = _tested_heads(folder / "annot" / "gt_valid.mat", test, faults)
    return training_splits | {
        "test": [
            person.annotation._replace(scale=head) for person, head in zip(test, heads, strict=True)
        ]
    }


def draw(people: Sequence[Person], counts: Sequence[int]) -> list[list[Person]]:
    """Draws people for each split, no image in two of them.

    Images, sorted by name, are put in the order of `numpy.random.default_rng(2021).permutation`,
    with all their people. Each split takes its count of people; the next one begins with the next
    image.
    """
    of_image = defaultdict(list)
    for person in people:
        of_image[person.image].append(person)
    names = sorted(of_image)
    order = iter([names[number] for number in np.random.default_rng(SEED).permutation(len(names))])
    splits = []
    for count in counts:
        taken: list[Person] = []
        while len(taken) < count and (name := next(order, None)) is not None:
            taken += of_image[name]
        splits.append(taken[:count])
    return splits


def person_box(centre: np.ndarray, scale: float) -> np.ndarray:
    """Returns the square (4,) x, y, width, height of a person: 200 px times scale, 15 px times
    scale below the centre.

    centre: (2,), counted from 1. An x of -1 means no person box; the square is then empty, and the
    whole image takes its place.
    """
    if centre[0] == -1 or not scale > 0:
        return np.zeros(4)
    side = 200 * scale
    return np.array([*(centre - 1 + [0, 15 * scale] - side / 2), side, side])


def head_length(corners: np.ndarray) -> float:
    """Returns 0.6 times the diagonal of a head box, the reference length of PCKh.

    corners: (2, 2), two opposite.
    """
    return 0.6 * float(np.linalg.norm(corners[1] - corners[0]))


def _people(folder: Path, file: str, faults: list[str]) -> list[Person]:
    content = read_json(folder / "annot" / file, faults)
    seen: Counter = Counter()
    people = []
    fields = ("image", "center", "scale", "joints", "joints_vis")
    for number, entry in entries(content, fields, f"annot/{file}", faults):
        image, where = str(entry["image"]), f"annot/{file} entry {number} ({entry['image']})"
        shapes = {"center": (2,), "scale": (), "joints": (16, 2), "joints_vis": (16,)}
        values = [
            numbers(entry[field], shape, f"{where} {field}", faults)
            for field, shape in shapes.items()
        ]
        if any(value is None for value in values):
            continue
        centre, scale, joints, visible = values
        name = f"{Path(image).stem}_{seen[image]}"  # the number of the person in this image
        seen[image] += 1
        people.append(
            Person(
                Annotation(
                    name,
                    folder / "images" / image,
                    joints - 1,
                    visible > 0,
                    box=person_box(centre, float(scale)),
                ),
                image,
                centre,
                where,
            )
        )
    return people


def _released_heads(path: Path, people: Sequence[Person], faults: list[str]) -> list[float]:
    """Returns each person's head length, found in the release by image and centre; 0 for a person
    without one.
    """
    content = _head_boxes(
        path,
        "annot/train.json",
        ("RELEASE",),
        people,
        faults,
        struct_as_record=False,
        squeeze_me=True,
    )
    if content is None:
        return [0.0] * len(people)
    wanted = {person.image for person in people}
    rectangles = defaultdict(list)
    for entry in np.atleast_1d(getattr(content["RELEASE"], "annolist", ())):
        if (name := str(getattr(getattr(entry, "image", None), "name", ""))) in wanted:
            rectangles[name] += list(np.atleast_1d(getattr(entry, "annorect", ())))
    heads = [_nearest_head(person.centre, rectangles[person.image]) for person in people]
    headless = [
        f"{person.where} at ({person.centre[0]:g}, {person.centre[1]:g})"
        for person, head in zip(people, heads, strict=True)
        if not head
    ]
    if len(headless) > MOST_ODD * len(people):
        faults.append(
            f"{path.name}: no head box for {len(headless)} of {len(people)} people: "
            f"{summarise(headless, 2)}; download files of one release"
        )
    return heads


def _nearest_head(centre: np.ndarray, rectangles: Sequence[Any]) -> float:
    """Returns the head length of the person of an image with that centre, 0 if there is none or it
    has no head.
    """
    distances = [
        np.linalg.norm(_fields(getattr(one, "objpos", None), "xy") - centre) for one in rectangles
    ]
    if not np.min(np.nan_to_num(distances, nan=np.inf), initial=np.inf) <= NEAREST:
        return 0.0
    corners = _fields(rectangles[int(np.nanargmin(distances))], ("x1", "y1", "x2", "y2"))
    return float(np.nan_to_num(head_length(corners.reshape(2, 2))))


def _fields(struct: Any, names: Sequence[str]) -> np.ndarray:
    """Reads numbers of a MATLAB struct, NaN for a field that is missing or not a number."""
    values = [np.asarray(getattr(struct, name, np.nan)) for name in names]
    return np.array(
        [
            float(value.item()) if value.size == 1 and value.dtype.kind in "iuf" else np.nan
            for value in values
        ]
    )


def _head_boxes(
    path: Path,
    people_of: str,
    variables: Sequence[str],
    people: Sequence[Person],
    faults: list[str],
    **options,
) -> Mapping[str, Any] | None:
    """Reads a file of head boxes, None if nobody needs them, or (with a fault) if they cannot be
    read.
    """
    if not people:
        return None
    if not path.is_file():
        faults.append(
            f"{people_of} has no head boxes, which PCKh needs; put {path.name} into annot/"
        )
        return None
    return read_matlab(path, variables, faults, **options)


def _tested_heads(path: Path, people: Sequence[Person], faults: list[str]) -> list[float]:
    """Returns the head length of each person of valid.json, in its order; 0 (and a fault) where it
    is invalid.
    """
    none = [0.0] * len(people)
    content = _head_boxes(
        path, "annot/valid.json", ("headboxes_src", "pos_gt_src", "jnt_missing"), people, faults
    )
    if content is None:
        return none
    corners, joints, missing = (
        numbers(np.nan_to_num(content[name]), (*shape, len(people)), f"{path.name} {name}", faults)
        for name, shape in (
            ("headboxes_src", (2, 2)),
            ("pos_gt_src", (16, 2)),
            ("jnt_missing", (16,)),
        )
    )
    if corners is None or joints is None or missing is None:
        return none
    listed = np.stack([person.annotation.keypoints + 1 for person in people], -1)
    both = (missing == 0) & np.stack([person.annotation.visible for person in people], -1)
    if both.any() and (np.abs(listed - joints).max(1)[both] > SAME_PLACE).mean() > MOST_ODD:
        faults.append(
            f"{path.name}: the joints differ from those of valid.json in the same order; download both again"
        )
        return none
    heads = [head_length(corners[..., number]) for number in range(len(people))]
    faults += [
        f"{path.name}: the head box of {person.where} is empty; download it again"
        for person, head in zip(people, heads, strict=True)
        if not head > 0
    ]
    return heads


DATASET = downloaded_dataset(
    "mpii",
    read,
    PERSON,
    Card(
        __doc__,
        where=(
            "images/ and the .mat file from human-pose.mpi-inf.mpg.de, annot/ as linked in "
            "leoxiaobin/deep-high-resolution-net.pytorch (GitHub)"
        ),
        licence="research use",
        homepage="http://human-pose.mpi-inf.mpg.de",
        citation=(
            "Andriluka et al., 2D Human Pose Estimation: New Benchmark and State of the Art "
            "Analysis, CVPR 2014."
        ),
    ),
    boxed=True,
    tune="validation",
)
