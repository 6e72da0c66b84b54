"""Sets of people and of hands: SURREAL, Human3.6M as images and as videos, both Leeds Sports,
BBC-Pose, MPII; RHD, Hand-3D-Studio and FreiHAND."""

import json
import pickle
import random

import dataset_contract as contract
import numpy as np
import pytest
import scipy.io
from dataset_contract import (
    WHITE,
    Label,
    Sample,
    diagonal,
    draw,
    placed,
    struct_array,
    tight,
    without,
    write_image,
)

from data import bbc_pose, freihand, h3d, human36m, human36m_videos, lsp, lspet, mpii, rhd, surreal
from data.prepared import prepare
from kpjax.images.transforms import Letterbox, PersonCrop


def write_surreal(folder):
    """The held-out part of `train` is dropped, and of `test` only that part is kept.

    Sides are exchanged.
    """
    found = {}
    for split, count in (("train", 2), ("val", 1), ("test", 2)):
        found[split] = {}
        for run in range(3):
            entries = [
                {
                    "name": f"{split}/{number}.jpg",
                    "keypoint2d": draw([len(split), run, number], 24, 2).tolist(),
                }
                for number in range(count)
            ]
            placed(f"{split}/run{run}.json", json.dumps(entries))(folder)
            for entry in entries:
                write_image(folder / split / f"run{run}" / entry["name"], 48, 64)
                points = np.array(entry["keypoint2d"])[
                    [7, 4, 1, 2, 5, 8, 0, 9, 12, 15, 20, 18, 13, 14, 19, 21]
                ]
                found[split][f"run{run}/{entry['name']}"] = Label(points, scale=diagonal(points))
    return {
        "train": contract.held_out(found["train"])["train"],
        "validation": found["val"],
        "test": contract.held_out(found["test"])["test"],
    }


# the world's z is up, the camera looks along y
ROTATION = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
LENS = {
    "R": ROTATION.tolist(),
    "t": [10.0, -20.0, 4000.0],
    "f": [1100.0, 1120.0],
    "c": [250.0, 240.0],
}


def seen_by_camera(joints):
    """Computes the 16 points in pixels, one by one."""
    chosen = [joints[k] for k in (3, 2, 1, 4, 5, 6, 0, 11, 8, 10, 16, 15, 14, 11, 12, 13)]
    chosen[7] = (chosen[12] + chosen[13]) / 2
    seen = [ROTATION @ point + LENS["t"] for point in chosen]
    return np.array([[1100 * x / z + 250, 1120 * y / z + 240] for x, y, z in seen])


def write_human36m(folder):
    """Subjects 8 and 11 are already cropped by RegDA's code; of each subject the first of five
    frames is read.
    """
    found = {}
    for subject in (*human36m.TRAIN, *human36m.TEST):
        name, prefix = f"s_{subject:02d}/s_{subject:02d}_000001.jpg", f"Human36M_subject{subject}"
        if subject in (8, 11):
            write_image(folder / "crop_images" / name, 512, 512)
            points = draw(subject, 16, 2, low=80, high=430)
            files = {f"keypoints2d_{subject}": [{"name": name, "keypoint2d": points.tolist()}]}
        else:
            joints = draw(subject, 17, 3, low=-500, high=500)
            seen = seen_by_camera(joints)
            write_image(folder / "images" / name, 500, 480, {tuple(seen[10]): WHITE})
            corner, side = contract.crop_of(seen, 500, 480)
            points = (seen - corner + 0.5) * 512 / side - 0.5
            frames = [
                {
                    "file_name": name.replace("000001", f"{1 + number:06d}"),
                    "width": 500,
                    "height": 480,
                    "action_idx": 2,
                    "subaction_idx": 1,
                    "frame_idx": number,
                    "cam_idx": 1,
                }
                for number in range(5)
            ]
            files = {
                f"{prefix}_camera": {"1": LENS},
                f"{prefix}_data": {"images": frames, "annotations": []},
                f"{prefix}_joint_3d": {"2": {"1": {"0": joints.tolist()}}},
            }
        for file, content in files.items():
            placed(f"annotations/{file}.json", json.dumps(content))(folder)
        found[name] = Label(points, size=(512, 512), dots={} if subject in (8, 11) else {10: WHITE})
    names = list(found)
    random.seed(42)
    drawn = random.choices(names[-2:], k=4)
    return {
        "train": {name: found[name] for name in names[:-2]},
        "test": {f"{name}#{number}": found[name] for number, name in enumerate(drawn)},
    }


WRIST = human36m_videos.SEVENTEEN.index("left_wrist")


def write_toolbox(folder):
    """Frames of 640 x 600 px shrink to 512; of eleven every fifth is read."""
    found = {"train": {}, "test": {}}
    for part, file, videos in (
        ("train", "h36m_train.pkl", [(1, 2), (5, 14)]),
        ("test", "h36m_validation.pkl", [(9, 2)]),
    ):
        frames = []
        for subject, action in videos:
            video = f"s_{subject:02d}_act_{action:02d}_subact_01_ca_03"
            for number in range(1, 12):
                joints = (
                    np.random.default_rng(100 * subject + number)
                    .integers(200, 400, (17, 2))
                    .astype(np.float64)
                )
                box = np.array([180.0, 190, 420, 430]) + number
                image = f"{video}/{video}_{number:06d}.jpg"
                frames.append(
                    {
                        "image": image,
                        "joints_2d": joints.astype(np.float32),
                        "box": box,
                        "subject": np.int64(subject),
                        "camera": {"R": np.eye(3), "fx": np.float64(1145)},
                    }
                )
                if number % 5 == 1:
                    x, y = joints[WRIST]
                    write_image(
                        folder / "images" / image,
                        640,
                        600,
                        {(x + i, y + j): WHITE for i in (-1, 0, 1) for j in (-1, 0, 1)},
                    )
                    found[part][f"{video}#{number:06d}"] = Label(
                        (joints + 0.5) * 0.8 - 0.5,
                        scale=192,
                        box=[*((box[:2] + 0.5) * 0.8 - 0.5), 192, 192],
                        size=(480, 512),
                        dots={WRIST: WHITE},
                    )
        placed(file, pickle.dumps(frames))(folder)
    return found


def write_simplified(folder):
    """Labels are rows and columns as fractions; the sorted numbers of a video's images are its
    frames.
    """
    found = {"train": {}, "test": {}}
    for subject, video in (
        (1, "Walking.54138969"),
        (8, "Directions 1.60457274"),
        (11, "Walking 1.55011271"),
    ):
        for number in (3, 8, 12, 21, 40, 41):
            joints = np.random.default_rng(number).integers(10, 118, (32, 2))
            points = joints[[0, 1, 2, 3, 6, 7, 8, 12, 16, 14, 15, 17, 18, 19, 25, 26, 27]]
            write_image(
                folder / f"S{subject}" / "WithBackground" / video / f"{number}.jpg",
                128,
                128,
                {tuple(points[WRIST]): WHITE},
            )
            labels = folder / f"S{subject}" / "Landmarks" / video
            labels.mkdir(parents=True, exist_ok=True)
            scipy.io.savemat(
                labels / f"{number}.mat", {"keypoints_2d": (joints[:, ::-1] + 0.5) / 128}
            )
            if number in (3, 41):
                found["test" if subject == 11 else "train"][f"S{subject}/{video}#{number:06d}"] = (
                    Label(points, scale=128, box=[0, 0, 128, 128], dots={WRIST: WHITE})
                )
    return found


# of the 14 joints of Leeds Sports; two slots have no label
SLOTS = [0, 1, 2, 3, 4, 5, 10, 11, 12, 13, 14, 15, 8, 9]


def in_slots(joints, seen, box):
    """Returns the label of the 16 slots. joints: (14, 2)."""
    points, visible = np.zeros((16, 2)), np.zeros(16)
    points[SLOTS], visible[SLOTS] = joints, seen
    return Label(points, visible, diagonal(joints[seen > 0]), box)


def write_lsp(folder, content=None):
    """The flag means hidden.

    Hidden joints have a place, too: boxes hold them, and halves count them.
    """
    joints = np.concatenate(
        [draw(3, 2, 14, 3, low=2, high=78), np.random.default_rng(3).integers(0, 2, (1, 14, 3))]
    )
    scipy.io.savemat(folder / "joints.mat", {"joints": joints if content is None else content})
    found, whole = {}, {}
    for number in range(3):
        name, points = f"im{number + 1:04d}", joints[:2, :, number].T
        write_image(folder / "images" / f"{name}.jpg", 80, 90)
        found[name] = in_slots(points, 1 - joints[2, :, number], tight(points))
        whole[name] = in_slots(points, np.ones(14), tight(points))
    first, second = (dict(list(whole.items())[part]) for part in (slice(2), slice(2, 3)))
    return {"train": found, "test": found, "first_half": first, "second_half": second}


def joints_of_lspet():
    joints = np.zeros((14, 3, 9))
    joints[:, 2] = draw(4, 14, 9, low=0, high=1) > 0.2
    joints[:, :2] = np.where(
        joints[:, 2:] == 1, draw(5, 14, 2, 9, low=1, high=60), [[[0.0], [-26.0]]]
    )
    joints[0, :, 0] = 79.6, 30, 1  # half a pixel and more beyond the border of the image
    return joints


def write_lspet(folder, joints=None):
    """The flag means visible, also outside. There are more columns than images."""
    joints = joints_of_lspet() if joints is None else joints
    scipy.io.savemat(folder / "joints.mat", {"joints": joints})
    found = {}
    for number in range(4):
        name, points, seen = f"im{number + 1:05d}", joints[:, :2, number], joints[:, 2, number]
        write_image(folder / "images" / f"{name}.jpg", 80, 61 + number)
        found[name] = in_slots(points, seen, tight(points[seen == 1]))
    parts = {"train": slice(2), "tune": slice(2, 3), "test": slice(3, 4)}
    return {part: dict(list(found.items())[of]) for part, of in parts.items()}


def write_bbc_pose(folder, count=22):
    """Two of 22 videos are of the extended set; from the eleventh on test frames are labelled by
    hand. From 1.
    """
    listed, found = [], {"train": {}, "validation": {}, "test": {}}
    for number in range(1, count + 1):
        joints = np.random.default_rng(number).integers(20, 70, (2, 7, 2)).astype(float)
        by_hand = (
            {"test_frames": np.array([[3.0]]), "test_joints": joints[..., :1] + 5}
            if number > 10
            else {}
        )
        listed.append(
            {
                "videoName": f"v{number}",
                "train_frames": np.array([[3.0, 12.0]]),
                "train_joints": joints,
            }
            | by_hand
        )
        labels = by_hand["test_joints"] if by_hand else joints
        for place, frame in enumerate((3,) if by_hand else (3, 12)):
            if number <= 20:
                write_image(folder / str(number) / f"{frame}.jpg", 90, 80)
                points = labels[..., place].T - 1
                found["train" if number <= 10 else "validation" if number <= 15 else "test"][
                    f"{number}/{frame}"
                ] = Label(points, scale=diagonal(points), box=tight(points))
    listed = [
        dict.fromkeys(("test_frames", "test_joints"), np.zeros((0, 0))) | video for video in listed
    ]
    (folder / "code").mkdir(exist_ok=True)
    scipy.io.savemat(folder / bbc_pose.METADATA, {"bbcpose": struct_array(listed)})
    return found


LISTED = {"train": "aabcccddv", "valid": "vww"}  # the images of MPII's people


def people(part, move=0.0):
    """Returns entries of the converted lists, and what is prepared of them.

    Each wrist is on the dot, from 1.
    """
    entries, labels, seen = [], {}, {}
    for number, image in enumerate(LISTED[part]):
        joints, visible = (
            draw([number, len(part)], 16, 2, low=30, high=80),
            draw([number, 9], 16, low=0, high=1) > 0.5,
        )
        joints[10], visible[10] = (71.0, 41.0), True
        entries.append(
            {
                "image": f"{image}.jpg",
                "center": [60.0 + number, 50.0 + move],
                "scale": 0.4,
                "joints": joints.tolist(),
                "joints_vis": visible.astype(int).tolist(),
            }
        )
        place = seen[image] = seen.get(image, -1) + 1
        labels[f"{image}_{place}"] = Label(
            joints - 1,
            visible,
            0.6 * 5 * (number + 1),
            [60 + number - 1 - 40, 50 + 6 - 1 - 40, 80, 80],
            dots={10: WHITE},
        )
    return entries, labels


def head(number):
    # the diagonal is 5 (number + 1)
    return [40.0, 30.0, 40.0 + 3 * (number + 1), 30.0 + 4 * (number + 1)]


def write_mpii(folder):
    (train, labels), (valid, tested) = people("train"), people("valid")
    for image in "abcdvw":
        write_image(folder / "images" / f"{image}.jpg", 120, 100, {(70, 40): WHITE})
    for part, entries in (("train", train), ("valid", valid)):
        placed(f"annot/{part}.json", json.dumps(entries))(folder)
    images = [{"image": {"name": "nobody.jpg"}}]
    for image in "abcdv":
        rectangles = [
            dict(zip(("x1", "y1", "x2", "y2"), head(number), strict=True))
            | {"scale": 0.4, "objpos": {"x": 60.0 + number, "y": 50.0}, "annopoints": {}}
            for number, name in enumerate(LISTED["train"])
            if name == image
        ]
        if image == "a":
            # a person without a head, in no list
            rectangles.append({"objpos": {"x": 9.0, "y": 9.0}})
        images.append(
            {"image": {"name": f"{image}.jpg"}, "annorect": struct_array(rectangles), "vididx": 1.0}
        )
    scipy.io.savemat(
        folder / "annot" / mpii.RELEASE,
        {"RELEASE": {"annolist": struct_array(images), "img_train": 1}},
    )
    joints = np.array([entry["joints"] for entry in valid]).transpose(1, 2, 0)
    missing = 1 - np.array([entry["joints_vis"] for entry in valid]).T
    corners = np.stack([np.reshape(head(number), (2, 2)) for number in range(len(valid))], -1)
    scipy.io.savemat(
        folder / "annot" / "gt_valid.mat",
        {
            "headboxes_src": corners,
            "pos_gt_src": np.where(missing[:, None], np.nan, joints),
            "jnt_missing": missing.astype(np.uint8),
            "dataset_joints": np.array([mpii.PERSON.names], object),
        },
    )
    return {"": labels, "test": tested}


def with_heads_of_others(folder):
    for part, entries in (("train", people("train", 20.0)[0]), ("valid", people("valid")[0][::-1])):
        placed(f"annot/{part}.json", json.dumps(entries))(folder)


# Hands

TINY = np.tile([5.0, 5.0, 1.0], (21, 1))
# RHD lists tips first
TIP_TO_BASE = [0, *(4 * finger + joint for finger in range(5) for joint in (4, 3, 2, 1))]


def hand(seed, left, upper, side, visible=21):
    """Returns (21, 3) u, v, visible in RHD's order; the tight box starts at (left, upper) and has
    the given side.
    """
    grid = np.random.default_rng(seed).permutation(19 * 19)[:21]
    points = np.stack([grid % 19, grid // 19], 1) * (side // 20) + side // 20
    points[3], points[17] = (0, 0), (side, side)
    return np.column_stack([points + [left, upper], np.arange(21) < visible]).astype(np.float64)


HANDS = {
    0: (hand(0, 60, 80, 100), TINY),  # left only: the right hand is too small
    7: (hand(1, 20, 20, 80), hand(2, 200, 190, 80)),  # both
    11: (hand(3, 80, 80, 120), hand(4, 90, 90, 100)),  # none: each covers the other
    12: (hand(5, 100, 100, 100, visible=16), TINY),  # none: 16 of 21 visible are too few
    13: (TINY, hand(6, 215, 120, 100, visible=17)),
}  # right only, its square shifted inside
COLOURS = [(10 * k + 40, 255 - 10 * k, 200) for k in range(21)]


def cut(points, mirrored, width, height):
    """Points in the crop, one pixel short of 1.5 times the hand; and the side."""
    corner, side = contract.crop_of(points, width, height)
    points = points - corner
    if mirrored:
        points[:, 0] = side - 2 - points[:, 0]
    return points, (side - 1, side - 1)


def write_rhd(folder):
    """Hands are cut, and right ones mirrored; every point still lies on the dot of its own
    colour."""
    for part, entries in (("training", HANDS), ("evaluation", {3: HANDS[0]})):
        root, content = folder / "RHD_published_v2" / part, {}
        for number, pair in entries.items():
            dots = {
                (x, y): COLOURS[k]
                for one in pair
                if one is not TINY
                for k, (x, y, _) in enumerate(one)
            }
            write_image(root / "color" / f"{number:05d}.png", 320, 320, dots)
            content[number] = {
                "uv_vis": np.concatenate(pair),
                "xyz": np.zeros((42, 3)),
                "K": np.eye(3),
            }
        (root / f"anno_{part}.pickle").write_bytes(pickle.dumps(content))

    def label(number, side):
        rows = HANDS[number][side == "right"][TIP_TO_BASE]
        points, size = cut(rows[:, :2], side == "right", 320, 320)
        seen = rows[:, 2] > 0
        return Label(
            points,
            seen,
            diagonal(points[seen]),
            size=size,
            dots={k: COLOURS[TIP_TO_BASE[k]] for k in np.flatnonzero(seen)},
        )

    train = {
        f"training/{number:05d}-{side}": label(number, side)
        for number, side in ((0, "left"), (7, "left"), (7, "right"), (13, "right"))
    }
    return {"train": train, "test": {"evaluation/00003-left": label(0, "left")}}


def write_h3d(folder, stored=None):
    """Hands with an object, here the third, are left out."""
    entries = [
        {
            "name": f"part{1 + number % 5}/{number}.jpg",
            "keypoint2d": draw(number, 21, 2).tolist(),
            "keypoint3d": [],
            "without_object": int(number != 2),
        }
        for number in range(6)
    ]
    for entry in entries:
        write_image(folder / "H3D_crop" / entry["name"], 60, 50)
    placed("H3D_crop/annotation.json", stored(entries) if stored else json.dumps(entries))(folder)
    return contract.held_out(
        {
            entry["name"]: Label(points, scale=diagonal(points))
            for entry in entries
            if entry["without_object"]
            for points in [np.array(entry["keypoint2d"])]
        }
    )


CAMERA = [[480.0, 0, 112], [0, 470.0, 110], [0, 0, 1]]


def write_freihand(folder):
    """Four versions of each sample, in RegDA's order; all are right hands, which are mirrored."""
    world = np.concatenate(
        [draw(1, 3, 21, 2, low=-0.07, high=0.07), draw(2, 3, 21, 1, low=0.6, high=0.8)], -1
    )
    placed("training_K.json", json.dumps([CAMERA] * 3))(folder)
    placed("training_xyz.json", json.dumps(world.tolist()))(folder)
    found = {}
    for version in (0, 3, 2, 1):
        for number, (x, y, z) in enumerate(world.transpose(0, 2, 1)):
            seen = np.stack([480 * x / z + 112, 470 * y / z + 110], 1)
            name = f"{number + 3 * version:08d}"
            write_image(
                folder / "training" / "rgb" / f"{name}.jpg", 224, 224, {tuple(seen[0]): WHITE}
            )
            points, size = cut(seen, True, 224, 224)
            found[name] = Label(points, scale=diagonal(points), size=size, dots={0: WHITE})
    return contract.held_out(found)


PICKLE = "RHD_published_v2/training/anno_training.pickle"
SAMPLES = [
    Sample(
        rhd.DATASET,
        write_rhd,
        unit=lambda name: name.partition("-")[0],
        damages=[
            *(
                (placed(PICKLE, content), [said])
                for content, said in (
                    (pickle.dumps({0: print}), "only numpy arrays are allowed"),
                    (
                        pickle.dumps({5: {"uv_vis": np.full((42, 3), np.nan)}}),
                        "entry 5 uv_vis: expected a finite number",
                    ),
                )
            ),
            (
                lambda folder: write_image(
                    folder / "RHD_published_v2/training/color/00013.png", 160, 160
                ),
                ["is 160x160"],
            ),
        ],
    ),
    Sample(
        h3d.DATASET,
        write_h3d,
        damages=[
            (
                lambda folder: write_h3d(
                    folder, lambda entries: json.dumps(entries).replace("[[", '[["12,5"], [', 1)
                ),
                ["entry 0 (part1/0.jpg) keypoint2d: expected a number, found '12,5'"],
            ),
            (placed("H3D_crop/annotation.json", "[{"), ["annotation.json is not valid JSON"]),
        ],
    ),
    Sample(
        freihand.DATASET,
        write_freihand,
        atol=1e-3,
        damages=[
            (
                placed(
                    "training_K.json", json.dumps([[[480.0, 0, 112], [0.0, 470.0]], CAMERA, CAMERA])
                ),
                ["training_K.json entry 0: expected 3 x 3 numbers, found rows of unequal length"],
            )
        ],
    ),
    Sample(
        surreal.DATASET,
        write_surreal,
        damages=[
            (
                placed("train/run0.json", '[{"name": "a.jpg"}]'),
                ["train/run0.json entry 0: field keypoint2d is missing"],
            )
        ],
    ),
    Sample(
        human36m.DATASET,
        write_human36m,
        constants={"human36m.DRAWS": 4},
        atol=2e-3,
        damages=[
            (
                placed("annotations/Human36M_subject5_joint_3d.json", '{"2": {"1": {}}}'),
                ["action 2, 1, frame 0 is"],
            )
        ],
    ),
    Sample(
        human36m_videos.DATASET,
        write_toolbox,
        atol=1e-3,
        damages=[
            (
                placed("h36m_train.pkl", pickle.dumps([{"image": "s_09/frame.jpg"}])),
                ["field joints_2d is missing"],
            )
        ],
    ),
    Sample(
        human36m_videos.DATASET,
        write_simplified,
        atol=1e-3,
        damages=[
            (
                lambda folder: [
                    (folder / subject).rename(folder / f"of {subject}")
                    for subject in ("S1", "S8", "S11")
                ],
                ["neither h36m_train.pkl (layout of H36M-Toolbox) nor"],
            )
        ],
    ),
    Sample(
        lsp.DATASET,
        write_lsp,
        constants={"lsp.HALF": 2},
        damages=[
            (
                lambda folder: write_lsp(folder, 2 * np.ones((3, 14, 1))),
                ["joints.mat column of im0001.jpg: expected flag 0 or 1, found 2"],
            ),
            (
                lambda folder: write_lsp(folder, np.zeros((14, 3, 3))),
                ["this is LSP Extended, use lspet"],
            ),
        ],
    ),
    Sample(
        lspet.DATASET,
        write_lspet,
        constants={"lspet.TRAINING": 2, "lspet.TUNING": 1},
        damages=[
            (without("images/im00002.jpg"), ["images/im00002.jpg is missing"]),
            (
                lambda folder: scipy.io.savemat(
                    folder / "joints.mat",
                    {  # flags the other way round
                        "joints": joints_of_lspet() * [[[1], [1], [-1]]] + [[[0], [0], [1]]]
                    },
                ),
                ["LSP Extended release"],
            ),
        ],
    ),
    Sample(
        bbc_pose.DATASET,
        write_bbc_pose,
        unit=lambda name: name.partition("/")[0],
        damages=[
            (
                lambda folder: write_bbc_pose(folder, 7),
                [f"{bbc_pose.METADATA}: expected 20 videos, found 7"],
            )
        ],
    ),
    Sample(
        mpii.DATASET,
        write_mpii,
        constants={"mpii.TRAINING": 4, "mpii.VALIDATION": 2},
        sizes={"train": 4, "validation": 2, "rest": 2, "test": 3},
        damages=[
            (
                with_heads_of_others,
                [
                    f"{mpii.RELEASE}: no head box for 8 of 8 people",
                    "gt_valid.mat: the joints differ",
                ],
            )
        ],
    ),
]


@pytest.mark.parametrize("sample", SAMPLES, ids=contract.ids)
def test_people_and_hands_are_prepared_as_their_files_say(sample, tmp_path, monkeypatch):
    found = contract.keeps_the_contract(sample, tmp_path, monkeypatch)
    if sample.dataset is mpii.DATASET:
        images = {split: {name[0] for name in of} for split, of in found.items()}
        assert not images["train"] & images["validation"]
        assert "v" not in images["train"] | images["validation"]  # it tests


def test_videos_of_human36m_tell_who_does_what(tmp_path):
    facts = {
        "s_05_act_14_subact_01_ca_03": ("S5", "Walking", "3"),
        "S1/Walking.54138969": ("S1", "Walking", "54138969"),
        "S8/Directions 1.60457274": ("S8", "Directions", "60457274"),
    }
    for title, (subject, action, camera) in facts.items():
        assert human36m_videos.facts(title) == {
            "subject": subject,
            "action": action,
            "camera": camera,
        }
    write_simplified(tmp_path)
    prepare(human36m_videos.DATASET, tmp_path, tmp_path / "prepared")
    source, cut = (
        human36m_videos.human36m_videos("train", transform, data_dir=tmp_path / "prepared")
        for transform in (Letterbox(128), PersonCrop(128, 1.0))
    )
    assert source.titles == tuple(facts)[1:]
    assert source.facts["camera"] == ("54138969", "60457274")
    np.testing.assert_array_equal(source.frame, [3, 41] * 2)
    np.testing.assert_allclose(cut[1].crop, np.eye(3), atol=1e-6)


def test_boxes_of_mpii_make_the_official_crop():
    box = mpii.person_box(np.array([594.0, 257.0]), 3.021)
    np.testing.assert_allclose(box[:2] + box[2:] / 2, [593, 301.315])
    np.testing.assert_allclose(1.25 * box[2] / 200, 3.776250)
    *_, crop = PersonCrop(256)(
        np.zeros((8, 8, 3), np.uint8), np.zeros((1, 2)), np.zeros(1), np.float32(1), box
    )
    np.testing.assert_allclose(crop @ [128, 128, 1], [593, 301.315, 1], rtol=1e-5)
    np.testing.assert_allclose(crop[0, 0], 200 * 3.776250 / 256, rtol=1e-5)
    assert not mpii.person_box(np.array([-1.0, -1.0]), 1.0).any()


def test_the_draw_of_mpii_takes_whole_images_in_the_order_of_the_seed():
    everybody = [
        mpii.Person(number, f"{image:02d}", None, "")
        for number, image in enumerate(np.repeat(range(20), 2))
    ]
    first, second = mpii.draw(everybody, (5, 6))
    order = np.random.default_rng(2021).permutation(20)
    assert [person.image for person in first] == [f"{order[k]:02d}" for k in (0, 0, 1, 1, 2)]
    assert [person.image for person in second] == [f"{order[k]:02d}" for k in (3, 3, 4, 4, 5, 5)]
    assert [person.annotation % 2 for person in first] == [0, 1, 0, 1, 0]
