"""Sets of hands: RHD, Hand-3D-Studio and FreiHAND."""
import json
import pickle

import numpy as np
from dataset_contract import Sample, of_sample, shuffled, write_image
from PIL import Image

from data import freihand, h3d, rhd

# Rendered Handpose

TINY = np.tile([5.0, 5.0, 1.0], (21, 1))


def hand(seed, left, upper, side, visible=21):
    """Returns (21, 3) u, v, visible in RHD's order; the tight box starts at (left, upper) and has the given side."""
    rng = np.random.default_rng(seed)
    grid = rng.permutation(19 * 19)[:21]
    points = np.stack([grid % 19, grid // 19], 1) * (side // 20) + side // 20
    points[3], points[17] = (0, 0), (side, side)
    return np.column_stack([points + [left, upper], np.arange(21) < visible]).astype(np.float64)


HANDS = {
    0: (hand(0, 60, 80, 100), TINY),  # left only: the right hand is too small
    7: (hand(1, 20, 20, 80), hand(2, 200, 190, 80)),  # both
    11: (hand(3, 80, 80, 120), hand(4, 90, 90, 100)),  # none: each covers the other
    12: (hand(5, 100, 100, 100, visible=16), TINY),  # none: 16 of 21 visible are too few
    13: (TINY, hand(6, 215, 120, 100, visible=17)),  # right only, its square shifted inside
}
RHD_TRAINING = "RHD_published_v2/training"


def write_rhd(folder):
    colours = {k: (10 * k + 40, 255 - 10 * k, 200) for k in range(21)}
    for part, entries in (("training", HANDS), ("evaluation", {3: HANDS[0]})):
        root, content = folder / "RHD_published_v2" / part, {}
        for number, (left, right) in entries.items():
            dots = {(int(x), int(y)): colours[k] for h in (left, right) for k, (x, y, _) in enumerate(h)
                    if h is not TINY}
            write_image(root / "color" / f"{number:05d}.png", 320, 320, dots)
            content[number] = {"uv_vis": np.concatenate([left, right]), "xyz": np.zeros((42, 3)), "K": np.eye(3)}
        (root / f"anno_{part}.pickle").write_bytes(pickle.dumps(content))


class Opened:
    def __reduce__(self):
        return Image.new, ("RGB", (1, 1))


def pickled(content):
    return lambda folder: (folder / RHD_TRAINING / "anno_training.pickle").write_bytes(content)


RHD = Sample(
    rhd.DATASET, write_rhd,
    {"train": ["training/00000-left", "training/00007-left", "training/00007-right", "training/00013-right"],
     "test": ["evaluation/00003-left"]},
    unit=lambda name: name.partition("-")[0],
    damages=[
        *((pickled(content), [said]) for content, said in (
            (b"", "anno_training.pickle cannot be read"),
            (pickle.dumps({0: Opened()}), "only numpy arrays are allowed"),
            (pickle.dumps({5: {"uv_vis": np.full((42, 3), np.nan)}}), "entry 5 uv_vis: expected a finite number"))),
        (lambda folder: write_image(folder / RHD_TRAINING / "color" / "00013.png", 160, 160),
         ["00013.png is 160x160, but was annotated at 320x320"])])


def test_hands_of_rhd_are_chosen_reordered_cut_and_mirrored(tmp_path, monkeypatch):
    found = of_sample(RHD, tmp_path, monkeypatch)
    for name, record in found["train"].items():
        image, hand_side = record["image"], name.rpartition("-")[2]
        height, width = image.shape[:2]
        labelled = HANDS[int(name[9:14])][hand_side == "right"]
        for k, source in enumerate(rhd.TIP_TO_BASE):  # each point still lies on the dot of its own colour
            if record["visible"][k]:
                x, y = record["keypoints"][k].astype(int)
                assert tuple(image[y, x]) == (10 * source + 40, 255 - 10 * source, 200)
        assert record["visible"].sum() == labelled[:, 2].sum()
        assert height == width == {100: 149, 80: 119}[int(np.ptp(labelled[:, 0]))]  # one short of 1.5 times the hand
        assert (image[1, 0, 0] > image[1, -1, 0]) == (hand_side == "right")  # right hands are mirrored
    whole = found["train"]["training/00000-left"]
    # The thumb's rows run from its tip, 1, to its base, 4: row 3 at (60, 80) is point 2, and the crop is at (35, 55).
    np.testing.assert_allclose(whole["keypoints"][2], [25, 25])
    np.testing.assert_allclose(whole["scale"], np.hypot(100, 100), rtol=1e-6)


# Hand-3D-Studio

def entries_of_h3d():
    rng = np.random.default_rng(0)
    return [{"name": f"part{1 + number % 5}/{number}.jpg", "keypoint2d": rng.uniform(5, 45, (21, 2)).tolist(),
             "keypoint3d": [], "intrinsic_matrix": [], "without_object": int(number != 2)} for number in range(6)]


def write_h3d(folder, stored=None):
    for entry in entries_of_h3d():
        write_image(folder / "H3D_crop" / entry["name"], 60, 50)
    (folder / "H3D_crop" / "annotation.json").write_text(stored or json.dumps(entries_of_h3d()))


FREE = shuffled(entry["name"] for entry in entries_of_h3d() if entry["without_object"])
H3D = Sample(
    h3d.DATASET, write_h3d, {"train": FREE[1:], "test": FREE[:1]},
    damages=[
        (lambda folder: write_h3d(folder, json.dumps(entries_of_h3d()).replace("[[", '[["12,5"], [', 1)),
         ["entry 0 (part1/0.jpg) keypoint2d: expected a number, found '12,5'"]),
        (lambda folder: write_h3d(folder, json.dumps(entries_of_h3d() + entries_of_h3d()[:1] * 5)),
         ["part1/0.jpg is listed twice"]),
        (lambda folder: write_h3d(folder, "[{"), ["annotation.json is not valid JSON"])])


def test_points_of_h3d(tmp_path, monkeypatch):
    found = of_sample(H3D, tmp_path, monkeypatch)
    for entry in entries_of_h3d():
        for record in (of[entry["name"]] for of in found.values() if entry["name"] in of):
            np.testing.assert_allclose(record["keypoints"], entry["keypoint2d"], rtol=1e-6)
            assert record["visible"].all()
            np.testing.assert_allclose(record["scale"], np.linalg.norm(np.ptp(entry["keypoint2d"], axis=0)), rtol=1e-6)


# FreiHAND

SAMPLES = 3
CAMERA = np.array([[480.0, 0, 112], [0, 470.0, 110], [0, 0, 1]])


def world():
    rng = np.random.default_rng(1)
    return np.concatenate([rng.uniform(-0.07, 0.07, (SAMPLES, 21, 2)), rng.uniform(0.6, 0.8, (SAMPLES, 21, 1))], -1)


def projected(points):
    return np.stack([480 * points[:, 0] / points[:, 2] + 112, 470 * points[:, 1] / points[:, 2] + 110], 1)


def write_freihand(folder, cameras=None):
    for number in range(4 * SAMPLES):
        u, v = projected(world()[number % SAMPLES])[0].round().astype(int).tolist()
        write_image(folder / "training" / "rgb" / f"{number:08d}.jpg", 224, 224, {(u, v): (255, 255, 255)})
    cameras = [CAMERA.tolist()] * SAMPLES if cameras is None else cameras
    (folder / "training_K.json").write_text(json.dumps(cameras))
    (folder / "training_xyz.json").write_text(json.dumps(world().tolist()))


VERSIONS = shuffled(number + SAMPLES * version for version in (0, 3, 2, 1) for number in range(SAMPLES))
FREIHAND = Sample(
    freihand.DATASET, write_freihand,
    {"train": [f"{number:08d}" for number in VERSIONS[2:]], "test": [f"{number:08d}" for number in VERSIONS[:2]]},
    damages=[(lambda folder: write_freihand(folder, [[[480.0, 0, 112], [0.0, 470.0]], *[CAMERA.tolist()] * 2]),
              ["training_K.json entry 0: expected 3 x 3 numbers, found rows of unequal length"])])


def test_hands_of_freihand_are_projected_cut_and_mirrored(tmp_path, monkeypatch):
    found = of_sample(FREIHAND, tmp_path, monkeypatch)
    for name, record in (found["train"] | found["test"]).items():
        points = projected(world()[int(name) % SAMPLES])
        low, high = points.min(0), points.max(0)
        side = min(round(1.5 * (high - low).max()), 224)
        corner = np.clip(np.round((low + high) / 2 - side / 2), 0, 224 - side)
        assert record["image"].shape == (side - 1, side - 1, 3)
        expected = points - corner
        expected[:, 0] = side - 2 - expected[:, 0]
        np.testing.assert_allclose(record["keypoints"], expected, atol=1e-3)
        x, y = record["keypoints"][0].round().astype(int)
        assert record["image"][y, x].min() > 200  # the wrist is still on its dot
