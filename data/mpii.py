"""MPII Human Pose: people at everyday activities, 16 points, many people in some images.

Andriluka et al., 2D Human Pose Estimation: New Benchmark and State of the Art Analysis, CVPR 2014. Read are the lists
that the HRNet authors converted, `annot/train.json` and `annot/valid.json`, and the heads that PCKh is measured by:
of the valid list in `annot/gt_valid.mat`, of the train list in the original release, `mpii_human_pose_v1_u12_1.mat`.
The people of valid.json test. Of those of train.json 10,000 train and 3,311 validate; which is not published, so they
are drawn here, whole images at a time (see `draw`). All files count pixels from 1, and records from 0.

Each person is a record with the whole image, stored as it is. `scale` is 0.6 times the diagonal of the head's box in
pixels, the length of PCKh. `box` is the square about the person that the lists state: with
`kpjax.images.transforms.PersonCrop` and its margin of 1.25 it makes the official crop.
"""
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from data.annotations import Annotation, stored
from data.bodies import BODY
from data.checking import all_faults, entries, first_of, numbers, read_json, read_matlab, read_whole
from data.prepared import Dataset, KeypointBuilder
from kpjax.errors import summarise

PERSON = replace(BODY, groups={**BODY.groups, "all": tuple(k for k in range(16) if k not in (6, 7))})  # as PCKh counts
TRAINING, VALIDATION, SEED = 10_000, 3_311, 2021
RELEASE = "mpii_human_pose_v1_u12_1.mat"
HOMES_OF_RELEASE = ("annot", "", "mpii_human_pose_v1_u12_2")
NEAREST = 1.0  # px between the centre of a person in the lists and in the release; they are the same numbers
SAME_PLACE = 5.0  # px between a joint of valid.json and the same one of gt_valid.mat
MOST_ODD = 0.01  # of the people may lack a head (the median takes its place), of the joints be elsewhere


class Person(NamedTuple):
    """A person of one of the lists."""

    annotation: Annotation
    image: str  # the name of its file
    centre: np.ndarray  # (2,) as in the file
    where: str  # file and entry, for messages


def read(
    folder: Path, faults: list[str], *, training: int = TRAINING, validation: int = VALIDATION
) -> dict[str, list[Annotation]]:
    """The people of the three splits, with the sizes of their heads."""
    before = len(faults)
    people, test = _people(folder, "train.json", faults), _people(folder, "valid.json", faults)
    tested = {person.image for person in test}
    drawn = draw([person for person in people if person.image not in tested], (training, validation))
    if len(faults) == before and sum(map(len, drawn)) < training + validation:
        faults.append(f"annot/train.json has {len(people):,} people where {training:,} to train and {validation:,} to "
                      "validate are drawn; fetch it again")
    chosen = [person for part in drawn for person in part]
    heads = _released_heads(first_of(folder, HOMES_OF_RELEASE, RELEASE), chosen, faults)
    found = [person.annotation._replace(scale=head) for person, head in zip(chosen, heads, strict=True)]
    heads = _tested_heads(folder / "annot" / "gt_valid.mat", test, faults)
    return {"train": found[:len(drawn[0])], "validation": found[len(drawn[0]):],
            "test": [person.annotation._replace(scale=head) for person, head in zip(test, heads, strict=True)]}


def draw(people: Sequence[Person], counts: Sequence[int], seed: int = SEED) -> list[list[Person]]:
    """So many people for each split, no image in two of them.

    Images, sorted by name, are put in the order of `numpy.random.default_rng(seed).permutation`; their people follow
    each other. Each split takes its count and the next one begins with the next image.
    """
    of_image = defaultdict(list)
    for person in people:
        of_image[person.image].append(person)
    names = sorted(of_image)
    order = iter([names[number] for number in np.random.default_rng(seed).permutation(len(names))])
    splits = []
    for count in counts:
        taken: list[Person] = []
        while len(taken) < count and (name := next(order, None)) is not None:
            taken += of_image[name]
        splits.append(taken[:count])
    return splits


def person_box(centre: np.ndarray, scale: float) -> np.ndarray:
    """The square (4,) x, y, width, height that a list means: 200 px times its scale, 15 px times it below the centre.

    centre: (2,), counted from 1. The x of -1 stands for no person box; the square then has no extent, and the whole
    image takes its place.
    """
    if centre[0] == -1 or not scale > 0:
        return np.zeros(4)
    side = 200 * scale
    return np.array([*(centre - 1 + [0, 15 * scale] - side / 2), side, side])


def head_length(corners: np.ndarray) -> float:
    """0.6 times the diagonal of a head's box: the length that PCKh is measured in. corners: (2, 2), two opposite."""
    return 0.6 * float(np.linalg.norm(corners[1] - corners[0]))


def _people(folder: Path, file: str, faults: list[str]) -> list[Person]:
    content = read_json(folder / "annot" / file, faults)
    seen: Counter = Counter()
    people = []
    fields = ("image", "center", "scale", "joints", "joints_vis")
    for number, entry in entries(content, fields, f"annot/{file}", faults):
        image, where = str(entry["image"]), f"annot/{file} entry {number} ({entry['image']})"
        shapes = {"center": (2,), "scale": (), "joints": (16, 2), "joints_vis": (16,)}
        values = [numbers(entry[field], shape, f"{where} {field}", faults) for field, shape in shapes.items()]
        if any(value is None for value in values):
            continue
        centre, scale, joints, visible = values
        name = f"{Path(image).stem}_{seen[image]}"  # the number of the person in this image
        seen[image] += 1
        people.append(Person(Annotation(name, folder / "images" / image, joints - 1, visible > 0,
                                        box=person_box(centre, float(scale))), image, centre, where))
    return people


def _released_heads(path: Path, people: Sequence[Person], faults: list[str]) -> list[float]:
    """The head's length of each person, found in the release by image and centre; 0 if it has none for somebody."""
    content = _head_boxes(path, "annot/train.json", ("RELEASE",), people, faults, struct_as_record=False,
                          squeeze_me=True)
    if content is None:
        return [0.0] * len(people)
    wanted = {person.image for person in people}
    rectangles = defaultdict(list)
    for entry in np.atleast_1d(getattr(content["RELEASE"], "annolist", ())):
        if (name := str(getattr(getattr(entry, "image", None), "name", ""))) in wanted:
            rectangles[name] += list(np.atleast_1d(getattr(entry, "annorect", ())))
    heads = [_nearest_head(person.centre, rectangles[person.image]) for person in people]
    headless = [f"{person.where} about ({person.centre[0]:g}, {person.centre[1]:g})"
                for person, head in zip(people, heads, strict=True) if not head]
    if len(headless) > MOST_ODD * len(people):
        faults.append(f"{path.name}: no head box for {len(headless)} of {len(people)} people: "
                      f"{summarise(headless, 2)}; the files are not of one release")
    return heads


def _nearest_head(centre: np.ndarray, rectangles: Sequence[Any]) -> float:
    """The head's length of the person of an image with that centre, 0 if there is none or its head is not labelled."""
    distances = [np.linalg.norm(_fields(getattr(one, "objpos", None), "xy") - centre) for one in rectangles]
    if not np.min(np.nan_to_num(distances, nan=np.inf), initial=np.inf) <= NEAREST:
        return 0.0
    corners = _fields(rectangles[int(np.nanargmin(distances))], ("x1", "y1", "x2", "y2"))
    return float(np.nan_to_num(head_length(corners.reshape(2, 2))))


def _fields(struct: Any, names: Sequence[str]) -> np.ndarray:
    """Numbers of a MATLAB struct, NaN for a field that is no number or not there."""
    values = [np.asarray(getattr(struct, name, np.nan)) for name in names]
    return np.array([float(value.item()) if value.size == 1 and value.dtype.kind in "iuf" else np.nan
                     for value in values])


def _head_boxes(
    path: Path, people_of: str, variables: Sequence[str], people: Sequence[Person], faults: list[str], **options
) -> Mapping[str, Any] | None:
    """The variables of a file of head boxes, None if nobody needs them, or (and a fault) if they cannot be read."""
    if not people:
        return None
    if not path.is_file():
        faults.append(f"{people_of} has no head boxes, which PCKh is measured by: put {path.name} into annot/")
        return None
    return read_matlab(path, variables, faults, **options)


def _tested_heads(path: Path, people: Sequence[Person], faults: list[str]) -> list[float]:
    """The head's length of each person of valid.json, in its order; 0 (and a fault) where something is wrong."""
    none = [0.0] * len(people)
    content = _head_boxes(path, "annot/valid.json", ("headboxes_src", "pos_gt_src", "jnt_missing"), people, faults)
    if content is None:
        return none
    corners, joints, missing = (
        numbers(np.nan_to_num(content[name]), (*shape, len(people)), f"{path.name} {name}", faults)
        for name, shape in (("headboxes_src", (2, 2)), ("pos_gt_src", (16, 2)), ("jnt_missing", (16,))))
    if corners is None or joints is None or missing is None:
        return none
    listed = np.stack([person.annotation.keypoints + 1 for person in people], -1)
    both = (missing == 0) & np.stack([person.annotation.visible for person in people], -1)
    if both.any() and (np.abs(listed - joints).max(1)[both] > SAME_PLACE).mean() > MOST_ODD:
        faults.append(f"{path.name}: its joints are not those of valid.json in the same order; fetch both again")
        return none
    heads = [head_length(corners[..., number]) for number in range(len(people))]
    faults += [f"{path.name}: the head box of {person.where} has no extent; fetch it again"
               for person, head in zip(people, heads, strict=True) if not head > 0]
    return heads


class Mpii(KeypointBuilder):
    """One record for each person: 16 points, 10,000 train, 3,311 validation and 2,958 test."""

    name = "mpii"
    keypoints = len(PERSON.names)
    boxed = True
    training, validation = TRAINING, VALIDATION

    def splits(self, folder):
        return stored(read_whole(partial(read, training=self.training, validation=self.validation), folder, self.name))


DATASET = Dataset(
    name="mpii",
    builder=Mpii,
    skeleton=lambda folder: PERSON,
    where="images/ and the .mat file from human-pose.mpi-inf.mpg.de (research use), annot/ as linked in "
          "leoxiaobin/deep-high-resolution-net.pytorch (GitHub)",
    check=partial(all_faults, read),
)
