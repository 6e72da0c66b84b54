"""Human3.6M: people in a studio with four cameras, every fifth frame, cropped to 1.5 times the
person.

Selection and crop are RegDA's. Each subject comes in one of two forms: the JSON files of cameras,
frames and world joints beside `images/`, or, if `annotations/keypoints2d_<subject>.json` exists,
the crops that RegDA's code wrote to `crop_images/`. From the first form, crops 512 pixels wide are
made here and stored as JPEG of quality 95. Every point counts as visible. `scale` is the diagonal
of the points' box in pixels of the crop.
"""

import random
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from data.annotations import Annotation
from data.bodies import BODY
from data.checking import downloaded_dataset, entries, numbers, read_json
from data.parts import with_tune
from data.prepared import Card
from kpjax.images.boxes import square_box, tight_box

TRAIN, TEST = (1, 5, 6, 7, 8), (9, 11)
STRIDE, SIDE, DRAWS = 5, 512, 3200
JOINTS = np.array([3, 2, 1, 4, 5, 6, 0, 11, 8, 10, 16, 15, 14, 11, 12, 13])
THORAX, SHOULDERS = 7, [12, 13]
FRAME_FIELDS = ("file_name", "action_idx", "subaction_idx", "frame_idx", "cam_idx")


def read(folder: Path, faults: list[str]) -> dict[str, list[Annotation]]:
    """Reads all frames of five training subjects, and draws test frames of two others as in RegDA.

    Test frames are drawn with replacement; their names end in the number of the draw.
    """
    train = [frame for subject in TRAIN for frame in _subject(folder, subject, faults)]
    others = [frame for subject in TEST for frame in _subject(folder, subject, faults)]
    drawn = random.Random(42).choices(others, k=DRAWS) if others else []
    return {
        "train": train,
        "test": [frame._replace(name=f"{frame.name}#{draw}") for draw, frame in enumerate(drawn)],
    }


def _subject(folder: Path, subject: int, faults: list[str]) -> list[Annotation]:
    cropped = folder / "annotations" / f"keypoints2d_{subject}.json"
    if not cropped.exists():
        return _frames(folder, subject, faults)
    frames = []
    for number, entry in entries(
        read_json(cropped, faults), ("name", "keypoint2d"), cropped.name, faults
    ):
        keypoints = numbers(
            entry["keypoint2d"], (16, 2), f"{cropped.name} entry {number} keypoint2d", faults
        )
        if keypoints is not None:
            frames.append(
                Annotation(
                    str(entry["name"]),
                    folder / "crop_images" / str(entry["name"]),
                    keypoints,
                    np.ones(16, bool),
                    (SIDE, SIDE),
                )
            )
    return frames


def _frames(folder: Path, subject: int, faults: list[str]) -> list[Annotation]:
    prefix = f"Human36M_subject{subject}"
    cameras, content, world = (
        read_json(folder / "annotations" / f"{prefix}_{what}.json", faults)
        for what in ("camera", "data", "joint_3d")
    )
    if (
        not isinstance(cameras, dict)
        or not isinstance(content, dict)
        or not isinstance(world, dict)
    ):
        return []
    lenses = {
        key: _camera(camera, f"{prefix}_camera.json camera {key}", faults)
        for key, camera in cameras.items()
    }
    frames = []
    for number, frame in entries(
        content.get("images", []), FRAME_FIELDS, f"{prefix}_data.json", faults
    ):
        if number % STRIDE:
            continue
        where = f"{prefix}_data.json entry {number} ({frame['file_name']})"
        action, part, moment, eye = (str(frame[field]) for field in FRAME_FIELDS[1:])
        try:
            joints = world[action][part][moment]
        except (KeyError, TypeError):
            faults.append(
                f"{where}: action {action}, {part}, frame {moment} is missing in {prefix}_joint_3d.json"
                "; download it again"
            )
            continue
        if eye not in lenses:
            faults.append(
                f"{where}: camera {eye} is missing in {prefix}_camera.json; download it again"
            )
            continue
        joints = numbers(
            joints, (17, 3), f"{prefix}_joint_3d.json {action}/{part}/{moment}", faults
        )
        if joints is None or lenses[eye] is None:
            continue
        size = (frame["width"], frame["height"]) if "width" in frame and "height" in frame else None
        frames.append(
            Annotation(
                str(frame["file_name"]),
                folder / "images" / str(frame["file_name"]),
                project(body_of(joints), *lenses[eye]),
                np.ones(16, bool),
                size,
                cut_person,
            )
        )
    return frames


def _camera(camera, where: str, faults: list[str]):
    """Reads rotation, translation, focal lengths and centre, None (and a fault) if one of them is
    invalid.
    """
    fields = {"R": (3, 3), "t": (3,), "f": (2,), "c": (2,)}
    if absent := [field for field in fields if not isinstance(camera, dict) or field not in camera]:
        faults.append(f"{where}: field {absent[0]} is missing")
        return None
    read = [
        numbers(camera[field], shape, f"{where} {field}", faults) for field, shape in fields.items()
    ]
    return None if any(value is None for value in read) else read


def body_of(joints: np.ndarray) -> np.ndarray:
    """Converts the 17 joints (17, 3) of Human3.6M to the 16 points, the thorax halfway between the
    shoulders.
    """
    body = joints[JOINTS]
    body[THORAX] = body[SHOULDERS].mean(0)
    return body


def project(points: np.ndarray, rotation, translation, focal, centre) -> np.ndarray:
    """Projects points (K, 3) of the world, mm, with a camera without distortion: (K, 2) px.

    rotation: (3, 3), world to camera. translation: (3,) mm. focal, centre: (2,) px, focal lengths
    and principal point.
    """
    seen = points @ rotation.T + translation
    return focal * seen[:, :2] / seen[:, 2:] + centre


def cut_person(image: Image.Image, keypoints: np.ndarray) -> tuple[Image.Image, np.ndarray]:
    """Crops the square of 1.5 times the person to 512 pixels; returns it and the points (16, 2) in
    its pixels.

    Points move as Pillow resamples, edge to edge; RegDA's code leaves out the half-pixel offset (at
    most 0.5 px).
    """
    left, upper, right, lower = square_box(tight_box(keypoints), *image.size)
    width = right - left + 1
    cut = image.crop((int(left), int(upper), int(right) + 1, int(lower) + 1))
    moved = (keypoints - np.array([left, upper]) + 0.5) * (SIDE / width) - 0.5
    return cut.resize((SIDE, SIDE), Image.Resampling.BILINEAR), moved


def recording(frame: Annotation) -> str:
    """Returns the recording of a frame, the same for all cameras: "s_01_act_02_subact_01", or its
    folder.
    """
    video, camera, _ = frame.name.partition("_ca_")
    return video if camera else frame.name.rpartition("/")[0]


DATASET = downloaded_dataset(
    "human36m",
    read,
    BODY,
    Card(
        __doc__,
        where=(
            "vision.imar.ro/human3.6m (an account is needed); annotations/ as in the 3DMPPE release"
        ),
        licence="academic use only",
        homepage="http://vision.imar.ro/human3.6m",
        citation="Ionescu et al., Human3.6M, TPAMI 2014.",
    ),
    parts=partial(with_tune, unit=recording),
)
