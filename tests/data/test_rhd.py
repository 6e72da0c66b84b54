"""Rendered Handpose: which hands are kept, their order of points, their crop and mirror, and damaged files."""
import pickle

import numpy as np
import pytest
from PIL import Image

from data.prepared import check
from data.rhd import DATASET, TIP_TO_BASE, read
from kpjax.errors import InputError

TINY = np.tile([5.0, 5.0, 1.0], (21, 1))


def hand(seed, left, upper, side, visible=21):
    """Returns (21, 3) u, v, visible in RHD's order; the tight box starts at (left, upper) and has the given side."""
    rng = np.random.default_rng(seed)
    grid = rng.permutation(19 * 19)[:21]
    points = np.stack([grid % 19, grid // 19], 1) * (side // 20) + side // 20
    points[3], points[17] = (0, 0), (side, side)
    return np.column_stack([points + [left, upper], np.arange(21) < visible]).astype(np.float64)


ENTRIES = {
    0: (hand(0, 60, 80, 100), TINY),  # left only: the right hand is too small
    7: (hand(1, 20, 20, 80), hand(2, 200, 190, 80)),  # both
    11: (hand(3, 80, 80, 120), hand(4, 90, 90, 100)),  # none: each covers the other
    12: (hand(5, 100, 100, 100, visible=16), TINY),  # none: 16 of 21 visible are too few
    13: (TINY, hand(6, 215, 120, 100, visible=17)),  # right only, its square shifted inside
}


def write(folder, write_image, entries=ENTRIES, part="training"):
    colours = {k: (10 * k + 40, 255 - 10 * k, 200) for k in range(21)}
    content = {}
    for number, (left, right) in entries.items():
        dots = {(int(x), int(y)): colours[k] for h in (left, right) for k, (x, y, _) in enumerate(h) if h is not TINY}
        write_image(folder / part / "color" / f"{number:05d}.png", 320, 320, dots)
        content[number] = {"uv_vis": np.concatenate([left, right]), "xyz": np.zeros((42, 3)), "K": np.eye(3)}
    (folder / part / f"anno_{part}.pickle").write_bytes(pickle.dumps(content))


@pytest.fixture
def folder(tmp_path, write_image):
    root = tmp_path / "manual" / "RHD_published_v2"
    write(root, write_image)
    write(root, write_image, {3: ENTRIES[0]}, "evaluation")
    return root.parent


def test_hands_are_chosen_reordered_cut_and_mirrored(folder, records):
    found = records(DATASET, folder)
    assert set(found["train"]) == {"training/00000-left", "training/00007-left", "training/00007-right",
                                   "training/00013-right"}
    assert set(found["test"]) == {"evaluation/00003-left"}
    for name, record in found["train"].items():
        image, hand_side = record["image"], name.rpartition("-")[2]
        height, width = image.shape[:2]
        labelled = ENTRIES[int(name[9:14])][hand_side == "right"]
        for k, source in enumerate(TIP_TO_BASE):  # each point still lies on the dot of its own colour
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
    hidden = found["train"]["training/00013-right"]
    assert (hidden["keypoints"][hidden["visible"] == 0] == 0).all()


def test_all_faults_come_at_once(folder, write_image):
    root = folder / "RHD_published_v2" / "training"
    content = pickle.loads((root / "anno_training.pickle").read_bytes())
    content[0]["uv_vis"][5, 0] = np.nan
    content[7]["uv_vis"] = content[7]["uv_vis"][:, :2]
    del content[11]["uv_vis"]
    (root / "anno_training.pickle").write_bytes(pickle.dumps(content))
    write_image(root / "color" / "00013.png", 160, 160)
    (folder / "RHD_published_v2" / "evaluation" / "color" / "00003.png").unlink()
    with pytest.raises(InputError) as error:
        check(DATASET, folder)
    message = str(error.value)
    assert "5 faults" in message
    assert "\n" not in message
    for part in ("entry 0 uv_vis: expected a finite number, found nan", "expected 42 x 3 numbers, found 42 x 2",
                 "entry 11: field uv_vis is missing", "00013.png is 160x160, but was annotated at 320x320",
                 "00003.png is missing"):
        assert part in message


def test_a_truncated_image_is_named_or_left_out(folder, records):
    path = folder / "RHD_published_v2" / "training" / "color" / "00007.png"
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(InputError, match=r"2 of 4 images cannot be read: training/00007-left.*--on-bad-image skip"):
        records(DATASET, folder)
    assert len(records(DATASET, folder, on_bad_image="skip")["train"]) == 2


class Opened:
    def __reduce__(self):
        return Image.new, ("RGB", (1, 1))


@pytest.mark.parametrize("damaged", [b"", b"no pickle", pickle.dumps({0: Opened()}), pickle.dumps([1])])
def test_a_pickle_of_anything_but_arrays_is_refused(folder, damaged):
    (folder / "RHD_published_v2" / "training" / "anno_training.pickle").write_bytes(damaged)
    faults = []
    read(folder, faults)
    assert len(faults) == 1
    assert faults[0].startswith("anno_training.pickle")
