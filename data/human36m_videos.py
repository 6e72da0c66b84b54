"""Human3.6M as videos: 17 joints of people in a studio, in either of the two common layouts of its
frames.

The layout of H36M-Toolbox has `h36m_train.pkl` and `h36m_validation.pkl` (lists of frames with
`image`, `joints_2d` and `box`) and `images/<video>/<video>_000001.jpg`. The simplified set of Zhang
et al. (2018) has, for every subject, `S1/WithBackground/<video>/<frame>.jpg` of 128 px and
`S1/Landmarks/<video>/<frame>.mat`. Its `keypoints_2d` (32, 2) are (y, x) as fractions of the image.
They are assumed to run from edge to edge, which the files do not state.

Every fifth frame is stored (10 per second) and keeps its number. Frames of the first layout are
shrunk to 512 px. `box` is the toolbox's square around the person, two metres wide, or the whole
simplified image. `scale` is its longer side.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from data.annotations import Annotation
from data.checking import all_faults, entries, numbers, read_matlab, read_pickle, read_whole
from data.parts import with_tune
from data.prepared import DEFAULT_DATA_DIR, Card, Dataset, Record, jpeg, open_source, record
from kpjax.images.reading import BROKEN
from kpjax.images.transforms import Transform
from kpjax.input.video_source import VideoSource, frame_name, in_videos
from kpjax.structures import Skeleton

SEVENTEEN = Skeleton(
    names=(
        "pelvis",
        "right_hip",
        "right_knee",
        "right_ankle",
        "left_hip",
        "left_knee",
        "left_ankle",
        "spine",
        "neck",
        "nose",
        "head_top",
        "left_shoulder",
        "left_elbow",
        "left_wrist",
        "right_shoulder",
        "right_elbow",
        "right_wrist",
    ),
    edges=(
        (0, 1),
        (1, 2),
        (2, 3),
        (0, 4),
        (4, 5),
        (5, 6),
        (0, 7),
        (7, 8),
        (8, 9),
        (9, 10),
        (8, 11),
        (11, 12),
        (12, 13),
        (8, 14),
        (14, 15),
        (15, 16),
    ),
    flip=(0, 4, 5, 6, 1, 2, 3, 7, 8, 9, 10, 14, 15, 16, 11, 12, 13),
    groups={
        "trunk": (0, 7, 8, 9, 10),
        "shoulder": (11, 14),
        "elbow": (12, 15),
        "wrist": (13, 16),
        "hip": (1, 4),
        "knee": (2, 5),
        "ankle": (3, 6),
    },
)
# the 17 joints among the 32 of the files
OF_32 = [0, 1, 2, 3, 6, 7, 8, 12, 16, 14, 15, 17, 18, 19, 25, 26, 27]
ACTIONS = (
    "Directions",
    "Discussion",
    "Eating",
    "Greeting",
    "Phoning",
    "Posing",
    "Purchases",
    "Sitting",
    "SittingDown",
    # numbers 2 to 16
    "Smoking",
    "TakingPhoto",
    "Waiting",
    "Walking",
    "WalkingDog",
    "WalkingTogether",
)
# Keypoint Pyramids drops five mainly seated actions of 16, unnamed. Here they are these four and
# Miscellaneous.
ELEVEN_ACTIONS = tuple(
    name for name in ACTIONS if name not in ("Eating", "Sitting", "SittingDown", "Smoking")
)
TRAIN, TEST = (1, 5, 6, 7, 8), (9, 11)
STRIDE, SIDE = 5, 512
PARTS = {"train": "h36m_train.pkl", "test": "h36m_validation.pkl"}
TOOLBOX_FIELDS = ("image", "joints_2d", "box")
IMAGE_NAME = re.compile(r"(s_\d\d_act_\d\d_subact_\d\d_ca_\d\d)_(\d{6})\.jpg")


def read(folder: Path, faults: list[str]) -> dict[str, list[Annotation]]:
    """Reads every fifth frame of both splits from either layout; subjects 9 and 11 are for
    testing."""
    if any((folder / file).exists() for file in PARTS.values()):
        return {part: _toolbox(folder, folder / file, faults) for part, file in PARTS.items()}
    splits = {
        part: [frame for subject in subjects for frame in _simplify(folder, subject, faults)]
        for part, subjects in (("train", TRAIN), ("test", TEST))
    }
    if not any(splits.values()) and not faults:
        faults.append(
            f"neither {PARTS['train']} (layout of H36M-Toolbox) nor S1/WithBackground (simplified set) "
            f"found in {folder}"
        )
    return splits


def _toolbox(folder: Path, file: Path, faults: list[str]) -> list[Annotation]:
    frames = []
    for number, entry in entries(read_pickle(file, faults), TOOLBOX_FIELDS, file.name, faults):
        image = str(entry["image"])
        named = IMAGE_NAME.fullmatch(Path(image).name)
        where = f"{file.name} entry {number} ({image})"
        if named is None:
            faults.append(
                f"{where}: expected an image name such as s_01_act_02_subact_01_ca_01_000001.jpg"
            )
            continue
        if (int(named[2]) - 1) % STRIDE:
            continue
        keypoints = numbers(entry["joints_2d"], (17, 2), f"{where} joints_2d", faults)
        box = numbers(entry["box"], (4,), f"{where} box", faults)
        if keypoints is not None and box is not None:
            left, upper, right, lower = box
            frames.append(
                Annotation(
                    frame_name(named[1], int(named[2])),
                    folder / "images" / image,
                    keypoints,
                    np.ones(17, bool),
                    box=np.array([left, upper, right - left, lower - upper]),
                )
            )
    return frames


def _simplify(folder: Path, subject: int, faults: list[str]) -> list[Annotation]:
    home = folder / f"S{subject}"
    images = home / "WithBackground"
    if not images.is_dir():
        if home.is_dir():
            faults.append(f"S{subject}/WithBackground is missing, expected at {images}")
        return []
    frames = []
    for video in sorted(folder for folder in images.iterdir() if folder.is_dir()):
        files = {int(file.stem): file for file in video.glob("*.jpg") if file.stem.isdecimal()}
        for position, number in enumerate(sorted(files)):
            if position % STRIDE:
                continue
            labels = home / "Landmarks" / video.name / f"{number}.mat"
            content = read_matlab(labels, ["keypoints_2d"], faults)
            where = f"S{subject}/Landmarks/{video.name}/{number}.mat keypoints_2d"
            keypoints = (
                None
                if content is None
                else numbers(content["keypoints_2d"], (32, 2), where, faults)
            )
            if keypoints is not None:
                keypoints = keypoints[OF_32, ::-1] * 128 - 0.5
                frames.append(
                    Annotation(
                        frame_name(f"S{subject}/{video.name}", number),
                        files[number],
                        keypoints,
                        np.ones(17, bool),
                        (128, 128),
                        box=np.array([0, 0, 128, 128]),
                    )
                )
    return frames


def _records(frames: Sequence[Annotation]) -> Iterator[Record]:
    """Returns the frames' records; images larger than SIDE are shrunk, with keypoints and box."""
    for one in frames:
        image, keypoints, box = one.image, one.keypoints, one.box
        try:
            with Image.open(one.image) as pil_image:
                size = np.array(pil_image.size)
                if size.max() > SIDE:
                    new = np.maximum(np.round(size * SIDE / size.max()), 1).astype(int)
                    small = pil_image.convert("RGB").resize(
                        tuple(new.tolist()), Image.Resampling.BILINEAR
                    )
                    image, growth = jpeg(small), new / size
                    keypoints = (keypoints + 0.5) * growth - 0.5
                    box = np.concatenate([(box[:2] + 0.5) * growth - 0.5, box[2:] * growth])
        except BROKEN:
            image = one.image  # the builder reports or skips it
        yield record(image, keypoints, one.visible, float(box[2:].max()), one.name, box)


def recording(frame: Annotation) -> str:
    """Returns the recording of a frame, the same for all cameras, in either layout."""
    video = frame.name.rpartition("#")[0]
    return video.rpartition("_ca_")[0] or video.rpartition(".")[0]


def human36m_videos(
    split: str, transform: Transform, *, data_dir: Path = DEFAULT_DATA_DIR
) -> VideoSource:
    """Opens the prepared videos of "train", "tune", "train+tune" or "test", with "subject", "action"
    and "camera" of each in `facts`.

    transform: for example `PersonCrop(128, 1.0)`, whose box can be shared by both frames of a pair
    (see `kpjax.input.pairs`). Raises InputError if the set is not prepared.
    """
    return in_videos(open_source(DATASET, split, data_dir=data_dir, transform=transform), facts)


def facts(title: str) -> Mapping[str, str]:
    """Reads subject, action and camera from the name of a video in either layout, "" for a missing
    one.
    """
    if found := re.fullmatch(r"s_(\d\d)_act_(\d\d)_subact_\d\d_ca_(\d\d)", title):
        subject, action, camera = (int(number) for number in found.groups())
        named = ACTIONS[action - 2] if 2 <= action < 2 + len(ACTIONS) else ""
        return {"subject": f"S{subject}", "action": named, "camera": str(camera)}
    subject, _, video = title.partition("/")
    action, *rest = re.split(r"[ .]", video)
    return {"subject": subject, "action": action, "camera": rest[-1] if rest else ""}


def splits(folder: Path) -> dict[str, Iterator[Record]]:
    """Returns the stored frames; subjects 9 and 11 test, of the others some recordings tune."""
    found = with_tune(read_whole(read, folder, "human36m_videos"), recording)
    return {split: _records(frames) for split, frames in found.items() if frames}


DATASET = Dataset(
    "human36m_videos",
    SEVENTEEN,
    Card(
        __doc__,
        where=(
            "vision.imar.ro/human3.6m (an account is needed), laid out by H36M-Toolbox or as the "
            "simplified set of Zhang et al. 2018"
        ),
        licence="academic use only",
        homepage="http://vision.imar.ro/human3.6m",
        citation="Ionescu et al., Human3.6M, TPAMI 2014.",
    ),
    splits,
    partial(all_faults, read),
    boxed=True,
)
