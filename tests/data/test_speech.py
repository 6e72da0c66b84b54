"""The two speech projects: parts by speaker, faults, points that a network placed, frames of
videos.
"""

import numpy as np
import pytest
from dataset_contract import write_image

from data import speech, tongue
from data.parts import PARTS
from kpjax.images.video import write_video


def write(folder, names, frames):
    """Writes a DeepLabCut project of frames {"<folder>/<image>": {name: (x, y)}}."""
    (folder / "config.yaml").parent.mkdir(parents=True, exist_ok=True)
    (folder / "config.yaml").write_text(f"scorer: AW\nbodyparts: [{', '.join(names)}]\n")
    for place in {name.partition("/")[0] for name in frames}:
        lines = [
            ",".join([head, *(what for name in names for what in pair(name))])
            for head, pair in (
                ("scorer", lambda name: ("AW", "AW")),
                ("bodyparts", lambda name: (name, name)),
                ("coords", lambda name: ("x", "y")),
            )
        ]
        for name, points in frames.items():
            if name.startswith(f"{place}/"):
                write_image(folder / "labeled-data" / name, 32, 24)
                cells = [str(value) for part in names for value in points.get(part, ("", ""))]
                lines.append(",".join([f"labeled-data\\{name.replace('/', chr(92))}", *cells]))
        (folder / "labeled-data" / place / "CollectedData_AW.csv").write_text(
            "\n".join(lines) + "\n"
        )
    return folder


ALL = {name: (5.1 + number, 7.3) for number, name in enumerate(tongue.TONGUE.names)}
FRAMES = {
    "TaL_1to8003/img001.png": ALL,
    "TaL_1to8010/img002.png": ALL,
    "TaL_1to8012/img003.png": ALL,
    "Ultrax_TD_001/img431.png": ALL,
    "UTI_test/UTI_test_set_014-img001.png": ALL | {"tongueTip1": (0.5, 3.25)},
    "UTI_test/UTI_test_set_021-img0263.png": ALL,
    "UTI_test/UTI_test_set_020-img0001.png": ALL,
}


@pytest.fixture
def project(tmp_path):
    return write(tmp_path / "tongue", tongue.TONGUE.names[::-1], FRAMES)


def test_speakers_of_the_parts_differ():
    for name in ("tongue", "lips"):
        known = speech.recordings(name).values()
        speakers = [{one.speaker for one in known if one.part == part} for part in PARTS]
        assert all(
            not one & other
            for one, other in zip(speakers, speakers[1:] + speakers[:1], strict=True)
        )
        assert {one.part for one in known} <= {*PARTS, "other", "unlabelled"}


def test_frames_enter_by_folder_or_by_name_without_what_is_known_to_be_wrong(project):
    faults = []
    found = tongue.read(project, faults)
    assert faults == []
    assert {part: [frame.name for frame in frames] for part, frames in found.items()} == {
        "train": ["TaL_1to8003/img001.png", "Ultrax_TD_001/img431.png"],
        "tune": ["TaL_1to8010/img002.png"],
        "test": [
            "UTI_test_set_014/UTI_test_set_014-img001.png",
            "UTI_test_set_020/UTI_test_set_020-img0001.png",
        ],
    }
    whole, slipped = found["train"]
    np.testing.assert_allclose(whole.keypoints, list(ALL.values()))
    assert whole.scale == pytest.approx(10 / 0.442)
    assert [tongue.TONGUE.names[k] for k in np.flatnonzero(~slipped.visible)] == [
        "tongueTip2",
        "hyoid",
        "mandible",
    ]
    assert list(speech.by_system(found, "tongue")) == [
        "train_micro",
        "train_ultrasonix",
        "tune_micro",
        "test_ultrasonix",
        "test_micro_wide",
    ]
    by_hand = speech.by_hand(found["test"][0])
    assert [tongue.TONGUE.names[k] for k in np.flatnonzero(~by_hand.visible)] == ["tongueTip1"]


def test_every_fifth_frame_of_a_training_speakers_video(project):
    (project / "videos").mkdir()
    images = np.random.default_rng(0).integers(0, 256, (11, 16, 16, 3), np.uint8)
    for name in (
        "ArticulateAnonymized_11",
        "video10",
        "Ultrax_TD_001",
        "Ultrax_TD_002",
        "05TD1M001",
    ):
        write_video(project / "videos" / f"{name}.mp4", images)
    found = [one["id"] for one in speech.frames_of_videos("tongue", 14, project)]
    assert found[:3] == [f"ArticulateAnonymized_11#{number}" for number in (0, 5, 10)]
    assert len(found) == 4 * 3  # the recordings for tuning have one, too, and are left out
    assert {one.partition("#")[0] for one in found}.isdisjoint({"05TD1M001", "Ultrax_TD_003"})
    some = list(speech.frames_of_videos("tongue", 14, project, ("ultrasonix",)))
    assert len(some) == 6
    assert not some[0]["visible"].any()
    assert {
        one["id"].partition("#")[0]
        for one in speech.frames_of_videos("tongue", 14, project, tested=True)
    } == {"05TD1M001"}
