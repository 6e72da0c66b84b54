"""Sets of people: SURREAL, Human3.6M, both Leeds Sports and BBC-Pose. MPII has a file of its own."""
import json
import random
from collections import Counter

import numpy as np
import scipy.io
from dataset_contract import Sample, of_sample, shuffled, write_image

from data import bbc_pose, human36m, lsp, lspet, surreal

# SURREAL

COUNTS = {"train": 2, "val": 1, "test": 2}


def entries_of_surreal(split, run):
    rng = np.random.default_rng([len(split), run])
    return [{"name": f"clip/{number}.jpg", "keypoint2d": rng.uniform(0, 47, (24, 2)).tolist(), "keypoint3d": [],
             "intrinsic_matrix": []} for number in range(COUNTS[split])]


def write_surreal(folder):
    for split in COUNTS:
        for run in range(3):
            for entry in entries_of_surreal(split, run):
                write_image(folder / split / f"run{run}" / entry["name"], 48, 64)
            (folder / split / f"run{run}.json").write_text(json.dumps(entries_of_surreal(split, run)))


FRAMES = shuffled([f"run{run}/clip/{number}.jpg" for run in range(3) for number in range(2)])
SURREAL = Sample(
    surreal.DATASET, write_surreal,
    # The held-out part of `train` is dropped, and of `test` only that part is kept.
    {"train": FRAMES[1:], "validation": [f"run{run}/clip/0.jpg" for run in range(3)], "test": FRAMES[:1]},
    unit=lambda name: object(),  # folders number their frames alike
    damages=[(lambda folder: (folder / "train" / "run0.json").write_text('[{"name": "a.jpg"}]'),
              ["train/run0.json entry 0: field keypoint2d is missing"])])


def test_joints_of_surreal(tmp_path, monkeypatch):
    for name, record in of_sample(SURREAL, tmp_path, monkeypatch)["validation"].items():
        joints = np.array(entries_of_surreal("val", int(name[3]))[0]["keypoint2d"])
        np.testing.assert_allclose(record["keypoints"][0], joints[7], rtol=1e-6)  # the right ankle is SMPL's left one
        np.testing.assert_allclose(record["keypoints"][12:14], joints[13:15], rtol=1e-6)  # shoulders are collars
        assert record["visible"].all()


# Human3.6M

ROTATION = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])  # the world's z is up, the camera looks along y
CAMERA = {"R": ROTATION.tolist(), "t": [10.0, -20.0, 4000.0], "f": [1100.0, 1120.0], "c": [250.0, 240.0]}
SUBJECTS = (*human36m.TRAIN, *human36m.TEST)


def frame_of(subject):
    return f"s_{subject:02d}/s_{subject:02d}_000001.jpg"


def joints_of(subject):
    return np.random.default_rng(subject).uniform(-500, 500, (17, 3))


def seen_by_camera(joints):
    """Computes the 16 points in pixels, one by one."""
    chosen = [joints[k] for k in (3, 2, 1, 4, 5, 6, 0, 11, 8, 10, 16, 15, 14, 11, 12, 13)]
    chosen[7] = (chosen[12] + chosen[13]) / 2
    seen = [ROTATION @ point + CAMERA["t"] for point in chosen]
    return np.array([[1100 * x / z + 250, 1120 * y / z + 240] for x, y, z in seen])


def write_human36m(folder):
    (folder / "annotations").mkdir()
    for subject in SUBJECTS:
        if subject in (8, 11):  # already cropped by RegDA's code
            write_image(folder / "crop_images" / frame_of(subject), 512, 512)
            points = np.random.default_rng(subject).uniform(80, 430, (16, 2)).tolist()
            files = {f"keypoints2d_{subject}": [{"name": frame_of(subject), "keypoint2d": points}]}
        else:
            wrist = seen_by_camera(joints_of(subject))[10].round().astype(int).tolist()
            write_image(folder / "images" / frame_of(subject), 500, 480, {tuple(wrist): (255, 255, 255)})
            frames = [{"file_name": frame_of(subject).replace("000001", f"{1 + number:06d}"), "width": 500,
                       "height": 480, "action_idx": 2, "subaction_idx": 1, "frame_idx": number, "cam_idx": 1}
                      for number in range(5)]
            files = {f"Human36M_subject{subject}_{what}": file for what, file in {
                "camera": {"1": CAMERA}, "data": {"images": frames, "annotations": []},
                "joint_3d": {"2": {"1": {"0": joints_of(subject).tolist()}}}}.items()}
        for name, file in files.items():
            (folder / "annotations" / f"{name}.json").write_text(json.dumps(file))


random.seed(42)
DRAWN = random.choices([frame_of(9), frame_of(11)], k=4)
HUMAN36M = Sample(
    human36m.DATASET, write_human36m,
    {"train": [frame_of(subject) for subject in human36m.TRAIN],  # of each subject the first of five frames
     "test": [f"{name}#{number}" for number, name in enumerate(DRAWN)]},
    constants={"human36m.DRAWS": 4},
    damages=[(lambda folder: (folder / "annotations/Human36M_subject5_joint_3d.json").write_text('{"2": {"1": {}}}'),
              ["action 2, 1, frame 0 is missing in Human36M_subject5_joint_3d.json"])])


def test_frames_of_human36m_are_projected_cut_and_resized(tmp_path, monkeypatch):
    found = of_sample(HUMAN36M, tmp_path, monkeypatch)
    for subject in (1, 5, 6, 7):
        record = found["train"][frame_of(subject)]
        points = seen_by_camera(joints_of(subject))
        low, high = points.min(0), points.max(0)
        side = min(round(1.5 * (high - low).max()), 480)
        corner = np.clip(np.round((low + high) / 2 - side / 2), 0, np.array([500, 480]) - side)
        np.testing.assert_allclose(record["keypoints"], (points - corner + 0.5) * 512 / side - 0.5, atol=2e-3)
        assert record["image"].shape == (512, 512, 3)
        x, y = record["keypoints"][10].round().astype(int)
        assert record["image"][y, x].min() > 180  # the wrist is still on its dot
        np.testing.assert_allclose(record["scale"], np.linalg.norm(np.ptp(record["keypoints"], axis=0)), rtol=1e-5)


# Leeds Sports

def joints_of_lsp():
    rng = np.random.default_rng(3)
    return np.concatenate([rng.uniform(2, 78, (2, 14, 3)), rng.integers(0, 2, (1, 14, 3))])


def write_lsp(folder, content=None):
    scipy.io.savemat(folder / "joints.mat", {"joints": joints_of_lsp()} if content is None else content)
    for number in range(1, 4):
        write_image(folder / "images" / f"im{number:04d}.jpg", 80, 90)


ALL = ["im0001", "im0002", "im0003"]
LSP = Sample(
    lsp.DATASET, write_lsp, {"train": ALL, "test": ALL, "first_half": ALL[:2], "second_half": ALL[2:]},
    constants={"lsp.HALF": 2},
    damages=[
        (lambda folder: write_lsp(folder, {"joints": 2 * np.ones((3, 14, 1))}),
         ["joints.mat column of im0001.jpg: expected flag 0 or 1, found 2"]),
        (lambda folder: write_lsp(folder, {"joints": np.zeros((14, 3, 3))}), ["this is LSP Extended, use lspet"])])


def test_slots_and_flags_of_leeds_sports(tmp_path, monkeypatch):
    found, joints = of_sample(LSP, tmp_path, monkeypatch), joints_of_lsp()
    for number, name in enumerate(ALL):
        record = found["train"][name]
        for slot, joint in {0: 0, 5: 5, 8: 12, 9: 13, 10: 6, 12: 8, 15: 11}.items():
            assert record["visible"][slot] == 1 - joints[2, joint, number]  # the flag means hidden
            if record["visible"][slot]:
                np.testing.assert_allclose(record["keypoints"][slot], joints[:2, joint, number], rtol=1e-6)
        assert not record["visible"][6:8].any()  # pelvis and thorax have no label
        low, high = joints[:2, :, number].min(1), joints[:2, :, number].max(1)
        np.testing.assert_allclose(record["box"], [*low, *(high - low)], rtol=1e-6)  # hidden joints have a place, too
    assert all(record["visible"].sum() == 14 for record in found["first_half"].values())  # halves count hidden joints


def joints_of_lspet():
    rng = np.random.default_rng(4)
    joints = np.zeros((14, 3, 9))
    joints[:, 2] = rng.random((14, 9)) > 0.2
    joints[:, :2] = np.where(joints[:, 2:] == 1, rng.uniform(1, 60, (14, 2, 9)), [[[0.0], [-26.0]]])
    joints[0, :, 0] = 79.6, 30, 1  # half a pixel and more beyond the border of the image
    return joints


def write_lspet(folder, joints=None):
    """Writes more columns than images."""
    scipy.io.savemat(folder / "joints.mat", {"joints": joints_of_lspet() if joints is None else joints})
    for number in range(1, 5):
        write_image(folder / "images" / f"im{number:05d}.jpg", 80, 60 + number)


LSPET = Sample(
    lspet.DATASET, write_lspet, {"train": ["im00001", "im00002"], "tune": ["im00003"], "test": ["im00004"]},
    constants={"lspet.TRAINING": 2, "lspet.TUNING": 1},
    damages=[
        (lambda folder: (folder / "images" / "im00002.jpg").unlink(),
         ["images/im00002.jpg is missing, but it has annotations; restore it"]),
        (lambda folder: write_lspet(folder, joints_of_lspet() * [[[1], [1], [-1]]] + [[[0], [0], [1]]]),
         ["download the LSP Extended release"])])


def test_flags_and_filler_of_lsp_extended(tmp_path, monkeypatch):
    found, joints = of_sample(LSPET, tmp_path, monkeypatch), joints_of_lspet()
    every = {name: record for of in found.values() for name, record in of.items()}
    for number in range(4):
        record = every[f"im{number + 1:05d}"]
        assert record["visible"][1] == joints[1, 2, number]  # the flag means visible
        seen = np.flatnonzero(record["visible"][:6])
        np.testing.assert_allclose(record["keypoints"][seen], joints[seen, :2, number], rtol=1e-6)
        labelled = joints[joints[:, 2, number] == 1, :2, number]
        np.testing.assert_allclose(record["box"], [*labelled.min(0), *np.ptp(labelled, axis=0)], rtol=1e-6)
    assert every["im00001"]["visible"][0] == 1  # also outside


# BBC-Pose

LABELLED = (3, 12)  # frames of a video that trains; of the others the first


def videos():
    """Returns 22 videos, two of the extended set; from the eleventh on with hand-labelled test frames."""
    rng, nothing = np.random.default_rng(6), np.zeros((0, 0))
    listed = []
    for number in range(1, 23):
        by_hand, joints = number > 10, rng.integers(20, 70, (2, 7, 2)).astype(float)
        listed.append({"videoName": f"v{number}", "type": "test" if by_hand else "train", "source": "buehler11",
                       "train_frames": np.array([LABELLED], float), "train_joints": joints,
                       "test_frames": np.array([LABELLED[:1]], float) if by_hand else nothing,
                       "test_joints": joints[..., :1] + 5 if by_hand else nothing})
    return listed


def write_bbc_pose(folder, listed=None):
    listed = listed or videos()
    array = np.empty((1, len(listed)), [(field, object) for field in listed[0]])
    for number, video in enumerate(listed):
        array[0, number] = tuple(video.values())
    (folder / "code").mkdir(exist_ok=True)
    scipy.io.savemat(folder / bbc_pose.METADATA, {"bbcpose": array})
    for number in range(1, 21):
        for frame in LABELLED[:1] if number > 10 else LABELLED:
            write_image(folder / str(number) / f"{frame}.jpg", 90, 80)


BBC_POSE = Sample(
    bbc_pose.DATASET, write_bbc_pose, {"train": 20, "validation": 5, "test": 5},
    unit=lambda name: name.partition("/")[0],
    damages=[(lambda folder: write_bbc_pose(folder, videos()[:7]),
              [f"{bbc_pose.METADATA}: expected 20 videos, found 7; download it again"])])


def test_joints_and_boxes_of_bbc_pose(tmp_path, monkeypatch):
    found, listed = of_sample(BBC_POSE, tmp_path, monkeypatch), videos()
    for split, name, joints in (("train", "2/12", listed[1]["train_joints"][..., 1]),
                                ("validation", "13/3", listed[12]["test_joints"][..., 0])):
        np.testing.assert_array_equal(found[split][name]["keypoints"], joints.T - 1)  # counted from 1
        np.testing.assert_allclose(found[split][name]["box"], [*(joints.min(1) - 1), *np.ptp(joints, axis=1)])
    assert Counter(name.partition("/")[0] for name in found["train"]) == {str(number): 2 for number in range(1, 11)}
