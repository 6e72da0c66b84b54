"""Speech: the tongue's surface in ultrasound, and the inner border of the lips, as two DeepLabCut
projects.

`speech_recordings.csv` has what the files do not tell
of each recording: who speaks, on which machine, and in which part. The published set names its
training and test images, but shares a speaker between them (TaL_1to8012 and UTI_test_set_003);
recordings of test speakers among the training ones ("other") are left out here, and some training
speakers are for tuning. So train, tune and test have other speakers. A frame belongs to the
recording that its folder names, or the beginning of its file's name where one folder holds several.

The scale of ultrasound is estimated from the published depth of each machine, to about 1 %. Two of
28 test points of a frame, on average, are a network's output that nobody moved: their coordinates
are exact float32 numbers. The split `test_by_hand` leaves them unlabelled. Labels known to be wrong
are left out (`FAULTS`).
"""

import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from data.annotations import Annotation
from data.parts import PARTS
from data.prepared import Record, record
from kpjax.errors import InputError
from kpjax.formats import deeplabcut
from kpjax.formats.project import Report
from kpjax.images.video import open_video

CITATION = (
    "Wrench and Balch-Tomes, Beyond the Edge: Markerless Pose Estimation of Speech Articulators "
    "from Ultrasound and Camera Images, Sensors 2022."
)
TABLE = Path(__file__).with_name("speech_recordings.csv")
EVERY = 5  # one of so many frames of a video is taken
ALL = ("",)
# Every name on the next point's place; a network's output; two points exchanged. By recording and
# number of the image.
FAULTS: Mapping[tuple[str, int], tuple[str, ...]] = {
    ("Ultrax_TD_001", 431): ("tongueTip2", "hyoid", "mandible"),
    ("Ultrax_TD_002", 1156): ("hyoid", "mandible"),
    ("Ultrax_TD_004", 625): ("tongueTip2", "hyoid", "mandible"),
    ("ArticulateAnonymized_10", 419): ("hyoid", "mandible"),
    ("UTI_test_set_021", 143): ("tongueTip1", "tongueTip2"),
    ("UTI_test_set_021", 263): ALL,
    ("UTI_test_set_021", 897): ALL,
    ("LipTest_18fo", 137): ("leftLip", "rightLip"),
}


class Recording(NamedTuple):
    """A recording of one speaker."""

    name: str
    speaker: str
    system: str  # the machine; for lips, the studio
    part: str  # train, tune, test; "other": of a test or tune speaker; "unlabelled": a video alone
    mm_per_px: float  # nan where nobody knows
    video: str  # its file's name without the suffix, "" where there is none


def recordings(project: str) -> dict[str, Recording]:
    """Returns the recordings of "tongue" or "lips" by name."""
    with TABLE.open(newline="", encoding="utf-8") as file:
        return {
            row["recording"]: Recording(
                row["recording"],
                row["speaker"],
                row["system"],
                row["part"],
                float(row["mm_per_px"] or "nan"),
                row["video"],
            )
            for row in csv.DictReader(file)
            if row["project"] == project
        }


def recording_of(image: Path, known: Mapping[str, Recording]) -> Recording | None:
    """Returns the recording of an image by its folder, or by its own name before "-img"; None if
    neither is known.
    """
    beginning = image.name.partition("-img")[0]
    return next(
        (
            known[name]
            for name in (image.parent.name, beginning, f"LipTest_{beginning}")
            if name in known
        ),
        None,
    )


def read(
    project: str, names: Sequence[str], folder: Path, faults: list[str]
) -> dict[str, list[Annotation]]:
    """Reads the labelled frames of "tongue" or "lips" by part, without the labels that are known to
    be wrong.

    names: the keypoints in the order of the records. folder: of the project, with config.yaml and
    labeled-data.
    """
    known, found = recordings(project), {part: [] for part in PARTS}
    try:
        read_project = deeplabcut.read(folder, Report("", faults, []))
    except InputError as error:
        faults.append(str(error))
        return found
    if missing := [name for name in names if name not in read_project.skeleton.names]:
        faults.append(
            f"config.yaml: no bodypart is called {', '.join(missing)}; give the project of the {project}"
        )
        return found
    order = [read_project.skeleton.names.index(name) for name in names]
    for instance in read_project.instances:
        path = read_project.frames[instance.frame].path
        recording = recording_of(path, known)
        if recording is None:
            faults.append(
                f"{path.parent.name}/{path.name}: is of no published recording; expected one of "
                f"{', '.join(sorted(known)[:3])} and others in speech_recordings.csv"
            )
        elif recording.part in found:
            wrong = FAULTS.get((recording.name, number_of(path)), ())
            visible = (instance.visible[order] > 0) & np.array(
                [name not in wrong for name in names]
            )
            if wrong != ALL and visible.any():
                points = np.where(visible[:, None], instance.keypoints[order], 0.0)
                found[recording.part].append(
                    Annotation(
                        f"{recording.name}/{path.name}",
                        path,
                        points,
                        visible,
                        scale=pixels_of_a_centimetre(recording),
                    )
                )
    return found


def number_of(image: Path) -> int:
    """Returns the number at the end of an image's name, -1 without one."""
    digits = image.stem.rpartition("img")[2]
    return int(digits) if digits.isdecimal() else -1


def pixels_of_a_centimetre(recording: Recording) -> float | None:
    """Returns the reference length of ultrasound, None where the scale is unknown."""
    return 10.0 / recording.mm_per_px if recording.mm_per_px > 0 else None


def by_system(
    parts: Mapping[str, Sequence[Annotation]], project: str
) -> dict[str, list[Annotation]]:
    """Returns the frames of each part and machine as "<part>_<system>", such as
    "test_micro_wide"."""
    known, found = recordings(project), {}
    for part, frames in parts.items():
        for frame in frames:
            system = known[frame.name.partition("/")[0]].system.replace("-", "_")
            found.setdefault(f"{part}_{system}", []).append(frame)
    return found


def by_hand(frame: Annotation) -> Annotation:
    """Returns a frame without the points that a network placed and nobody moved: exact float32
    coordinates.
    """
    by_network = (frame.keypoints == frame.keypoints.astype(np.float32)).all(1)
    return frame._replace(visible=frame.visible & ~by_network)


def frames_of_videos(
    project: str, count: int, folder: Path, systems: Sequence[str] = (), *, tested: bool = False
) -> Iterator[Record]:
    """Yields every fifth frame of a project's videos as a record without labels. Raises InputError
    for a missing video.

    count: of keypoints. folder: of the project, with its `videos`. systems: whose videos are taken;
    () takes all.
    tested: whether the videos are of test speakers, other recordings than those that test, or of
    speakers in neither test nor tuning.
    """
    known = recordings(project).values()
    speakers = {
        part: {one.speaker for one in known if one.part == part} for part in ("tune", "test")
    }
    for recording in known:
        of_part = (
            recording.speaker in speakers["test"]
            if tested
            else recording.speaker not in set().union(*speakers.values())
        )
        if recording.video and of_part and (not systems or recording.system in systems):
            paths = sorted((folder / "videos").glob(f"{recording.video}.*"))
            if not paths:
                raise InputError(
                    f"{project}: videos/{recording.video} is missing; unpack the videos beside "
                    "config.yaml"
                )
            for number, image in open_video(paths[0]):
                if number % EVERY == 0 and image is not None:
                    yield record(
                        image,
                        np.zeros((count, 2)),
                        np.zeros(count, bool),
                        pixels_of_a_centimetre(recording) or float(image.shape[1]) / 2,
                        f"{recording.name}#{number}",
                    )
