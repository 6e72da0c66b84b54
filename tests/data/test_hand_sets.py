"""Sets of hands: RHD, Hand-3D-Studio and FreiHAND."""
import json
import pickle

import numpy as np
import pytest
from dataset_contract import (
    WHITE,
    Label,
    Sample,
    crop_of,
    diagonal,
    draw,
    held_out,
    ids,
    keeps_the_contract,
    placed,
    write_image,
)
from PIL import Image

from data import freihand, h3d, rhd

TINY = np.tile([5.0, 5.0, 1.0], (21, 1))
TIP_TO_BASE = [0, *(4 * finger + joint for finger in range(5) for joint in (4, 3, 2, 1))]  # RHD lists tips first


def hand(seed, left, upper, side, visible=21):
    """Returns (21, 3) u, v, visible in RHD's order; the tight box starts at (left, upper) and has the given side."""
    grid = np.random.default_rng(seed).permutation(19 * 19)[:21]
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
COLOURS = [(10 * k + 40, 255 - 10 * k, 200) for k in range(21)]


def cut(points, mirrored, width, height):
    """Points in the crop, one pixel short of 1.5 times the hand; and the side."""
    corner, side = crop_of(points, width, height)
    points = points - corner
    if mirrored:
        points[:, 0] = side - 2 - points[:, 0]
    return points, (side - 1, side - 1)


def write_rhd(folder):
    """Hands are cut, and right ones mirrored; every point still lies on the dot of its own colour."""
    for part, entries in (("training", HANDS), ("evaluation", {3: HANDS[0]})):
        root, content = folder / "RHD_published_v2" / part, {}
        for number, pair in entries.items():
            dots = {(x, y): COLOURS[k] for one in pair if one is not TINY for k, (x, y, _) in enumerate(one)}
            write_image(root / "color" / f"{number:05d}.png", 320, 320, dots)
            content[number] = {"uv_vis": np.concatenate(pair), "xyz": np.zeros((42, 3)), "K": np.eye(3)}
        (root / f"anno_{part}.pickle").write_bytes(pickle.dumps(content))

    def label(number, side):
        rows = HANDS[number][side == "right"][TIP_TO_BASE]
        points, size = cut(rows[:, :2], side == "right", 320, 320)
        seen = rows[:, 2] > 0
        return Label(points, seen, diagonal(points[seen]), size=size,
                     dots={k: COLOURS[TIP_TO_BASE[k]] for k in np.flatnonzero(seen)})

    train = {f"training/{number:05d}-{side}": label(number, side)
             for number, side in ((0, "left"), (7, "left"), (7, "right"), (13, "right"))}
    return {"train": train, "test": {"evaluation/00003-left": label(0, "left")}}


class Opened:
    def __reduce__(self):
        return Image.new, ("RGB", (1, 1))


def write_h3d(folder, stored=None):
    """Hands with an object, here the third, are left out."""
    entries = [{"name": f"part{1 + number % 5}/{number}.jpg", "keypoint2d": draw(number, 21, 2).tolist(),
                "keypoint3d": [], "without_object": int(number != 2)} for number in range(6)]
    for entry in entries:
        write_image(folder / "H3D_crop" / entry["name"], 60, 50)
    placed("H3D_crop/annotation.json", stored(entries) if stored else json.dumps(entries))(folder)
    return held_out({entry["name"]: Label(points, scale=diagonal(points)) for entry in entries
                     if entry["without_object"] for points in [np.array(entry["keypoint2d"])]})


CAMERA = [[480.0, 0, 112], [0, 470.0, 110], [0, 0, 1]]


def write_freihand(folder):
    """Four versions of each sample, in RegDA's order; all are right hands, which are mirrored."""
    world = np.concatenate([draw(1, 3, 21, 2, low=-0.07, high=0.07), draw(2, 3, 21, 1, low=0.6, high=0.8)], -1)
    placed("training_K.json", json.dumps([CAMERA] * 3))(folder)
    placed("training_xyz.json", json.dumps(world.tolist()))(folder)
    found = {}
    for version in (0, 3, 2, 1):
        for number, (x, y, z) in enumerate(world.transpose(0, 2, 1)):
            seen = np.stack([480 * x / z + 112, 470 * y / z + 110], 1)
            name = f"{number + 3 * version:08d}"
            write_image(folder / "training" / "rgb" / f"{name}.jpg", 224, 224, {tuple(seen[0]): WHITE})
            points, size = cut(seen, True, 224, 224)
            found[name] = Label(points, scale=diagonal(points), size=size, dots={0: WHITE})
    return held_out(found)


PICKLE = "RHD_published_v2/training/anno_training.pickle"
SAMPLES = [
    Sample(rhd.DATASET, write_rhd, unit=lambda name: name.partition("-")[0], damages=[
        *((placed(PICKLE, content), [said]) for content, said in (
            (b"", "anno_training.pickle cannot be read"),
            (pickle.dumps({0: Opened()}), "only numpy arrays are allowed"),
            (pickle.dumps({5: {"uv_vis": np.full((42, 3), np.nan)}}), "entry 5 uv_vis: expected a finite number"))),
        (lambda folder: write_image(folder / "RHD_published_v2/training/color/00013.png", 160, 160),
         ["00013.png is 160x160, but was annotated at 320x320"])]),
    Sample(h3d.DATASET, write_h3d, damages=[
        (lambda folder: write_h3d(folder, lambda entries: json.dumps(entries).replace("[[", '[["12,5"], [', 1)),
         ["entry 0 (part1/0.jpg) keypoint2d: expected a number, found '12,5'"]),
        (lambda folder: write_h3d(folder, lambda entries: json.dumps(entries + entries[:1] * 5)),
         ["part1/0.jpg is listed twice"]),
        (placed("H3D_crop/annotation.json", "[{"), ["annotation.json is not valid JSON"])]),
    Sample(freihand.DATASET, write_freihand, atol=1e-3, damages=[
        (placed("training_K.json", json.dumps([[[480.0, 0, 112], [0.0, 470.0]], CAMERA, CAMERA])),
         ["training_K.json entry 0: expected 3 x 3 numbers, found rows of unequal length"])])]


@pytest.mark.parametrize("sample", SAMPLES, ids=ids)
def test_hands_are_prepared_as_their_files_say(sample, tmp_path, monkeypatch):
    keeps_the_contract(sample, tmp_path, monkeypatch)
