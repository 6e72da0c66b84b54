"""BBC-Pose: a struct array of videos, joints counted from 1, and damaged metadata."""
import numpy as np
import pytest
import scipy.io

from data.bbc_pose import DATASET, METADATA, read

FIELDS = ("videoName", "type", "source", "train_frames", "train_joints", "test_frames", "test_joints")
FRAMES = (3, 12)


def write(folder, videos):
    array = np.empty((1, len(videos)), [(field, object) for field in FIELDS])
    for number, video in enumerate(videos):
        array[0, number] = tuple(video[field] for field in FIELDS)
    (folder / "code").mkdir(exist_ok=True)
    scipy.io.savemat(folder / METADATA, {"bbcpose": array})


def videos():
    """Returns 22 videos, two of the extended set; from the eleventh on with hand-labelled test frames."""
    rng, nothing = np.random.default_rng(6), np.zeros((0, 0))
    listed = []
    for number in range(1, 23):
        by_hand = number > 10
        joints = rng.integers(20, 70, (2, 7, 2)).astype(float)
        listed.append({"videoName": f"v{number}", "type": "train" if not by_hand else "test", "source": "buehler11",
                       "train_frames": np.array([FRAMES], float), "train_joints": joints,
                       "test_frames": np.array([FRAMES[:1]], float) if by_hand else nothing,
                       "test_joints": joints[..., :1] + 5 if by_hand else nothing})
    return listed


@pytest.fixture
def folder(tmp_path, write_image):
    write(tmp_path, videos())
    for number in range(1, 21):
        for frame in FRAMES[:1] if number > 10 else FRAMES:
            write_image(tmp_path / str(number) / f"{frame}.jpg", 90, 80)
    return tmp_path


def test_frames_joints_and_boxes(folder, records):
    found = records(DATASET, folder)
    assert {split: len(of) for split, of in found.items()} == {"train": 20, "validation": 5, "test": 5}
    listed = videos()
    for name, joints in (("2/12", listed[1]["train_joints"][..., 1]), ("13/3", listed[12]["test_joints"][..., 0])):
        record = found["train" if name == "2/12" else "validation"][name]
        np.testing.assert_array_equal(record["keypoints"], joints.T - 1)
        np.testing.assert_allclose(record["box"], [*(joints.min(1) - 1), *np.ptp(joints, axis=1)])
        assert record["image"].shape == (80, 90, 3)


def test_faults(folder):
    listed = videos()
    listed[3]["train_joints"] = listed[3]["train_joints"][..., :1]
    listed[17]["test_frames"] = np.zeros((0, 0))
    write(folder, listed)
    (folder / "5" / "12.jpg").unlink()
    assert DATASET.check(folder) == [
        f"{METADATA} joints of video 4 (2 frames): expected 2 x 7 x 2 numbers, found 2 x 7 x 1",
        f"{METADATA}: video 18 has no labelled frame; download it again",
        "5/12.jpg is missing, but it has annotations; restore it"]
    write(folder, listed[:7])
    faults = []
    read(folder, faults)
    assert faults == [f"{METADATA}: expected 20 videos, found 7; download it again"]
