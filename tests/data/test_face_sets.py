"""Sets of faces: AFLW, CelebA with MAFL, 300W-LP, LS3D-W, YouTube faces, and heads of cats."""
import csv
import struct

import numpy as np
import pytest
import scipy.io
from dataset_contract import Sample, ids, of_sample, placed, write_image

from data import aflw, cats, celeba, ls3d, w300_lp, youtube_faces
from data.torch7 import read_tensor

# AFLW

SIZES = {"train": 3, "test": 2}


def points_of_aflw(count):
    return np.random.default_rng(count).uniform(5, 55, (count, 5, 2))


def write_aflw(folder):
    for part, count in SIZES.items():
        names = [f"image{number:05d}_{part}.jpg" for number in range(count)]
        for number, name in enumerate(names):
            write_image(folder / "output" / name, 60, 80 + number)
        (folder / f"aflw_{part}_images.txt").write_text("\n".join(names))
        scipy.io.savemat(folder / f"aflw_{part}_keypoints.mat", {
            "gt": points_of_aflw(count), "hw": np.array([[80 + number, 60] for number in range(count)])})


AFLW = Sample(
    aflw.DATASET, write_aflw, SIZES,
    damages=[(lambda folder: write_image(folder / "output" / "image00000_test.jpg", 80, 60),
              ["output/image00000_test.jpg is 80x60, but was annotated at 60x80; restore the original"])])


def test_points_of_aflw_are_turned_to_x_and_y(tmp_path, monkeypatch):
    found = of_sample(AFLW, tmp_path, monkeypatch)
    for part, count in SIZES.items():
        for number, listed in enumerate(points_of_aflw(count)):
            record = found[part][f"image{number:05d}_{part}.jpg"]
            np.testing.assert_allclose(record["keypoints"], listed[:, ::-1], rtol=1e-6)
            np.testing.assert_allclose(record["scale"], np.linalg.norm(listed[0] - listed[1]), rtol=1e-6)


# CelebA

NAMES = [f"{number:06d}.jpg" for number in range(1, 9)]
POINTS = np.random.default_rng(5).integers(40, 140, (8, 10))
ALIGNED = "Img/img_align_celeba_hq"


def landmarks(rows):
    lines = "".join(f"{name} {'  '.join(f'{number:4d}' for number in row)}\n" for name, row in rows)
    return placed(celeba.LANDMARKS, f"{len(rows)}\nlefteye_x lefteye_y righteye_x\n{lines}")


def write_celeba(folder):
    for name, row in zip(NAMES, POINTS.tolist(), strict=True):
        write_image(folder / ALIGNED / name, 178, 218, {tuple(row[4:6]): (255, 255, 255)})
    landmarks(list(zip(NAMES, POINTS, strict=True)))(folder)
    parts = "".join(f"{name} {part}\n" for name, part in zip(NAMES, "00001122", strict=True))
    placed(celeba.PARTITION, parts)(folder)
    placed(celeba.MAFL["mafl_train"], f"{NAMES[1]}\n{NAMES[4]}")(folder)  # the last line has no line break
    placed(celeba.MAFL["mafl_test"], f"{NAMES[6]}\n")(folder)


CELEBA = Sample(
    celeba.DATASET, write_celeba,
    {"train": ["000001", "000003", "000004"], "validation": ["000006"], "test": ["000008"],
     "mafl_train": ["000002", "000005"], "mafl_test": ["000007"]},
    damages=[
        (placed(celeba.MAFL["mafl_test"], "000002.jpg\n"),
         ["MAFL/testing.txt: 000002.jpg is already in MAFL/training.txt"]),
        (landmarks([(name, np.full(10, 60)) for name in NAMES[:7]]),
         [f"{celeba.LANDMARKS}: no row for 1 of the images in {ALIGNED} (000008.jpg)"])])


def test_points_of_celeba(tmp_path, monkeypatch):
    found = of_sample(CELEBA, tmp_path, monkeypatch)
    for name, row in zip(NAMES, POINTS.reshape(8, 5, 2), strict=True):
        record = next(of[name[:6]] for of in found.values() if name[:6] in of)
        np.testing.assert_array_equal(record["keypoints"], row)
        np.testing.assert_allclose(record["scale"], np.linalg.norm(row[0] - row[1]), rtol=1e-6)
        assert record["image"][row[2, 1], row[2, 0]].min() > 150  # the nose is on its dot


def test_the_real_lists_of_celeba(tmp_path, published):
    aligned = published("celeba_format/align_celeba")
    for path in ("Anno", "Eval", "Img"):
        (tmp_path / path).symlink_to(aligned / path)
    (tmp_path / "MAFL").symlink_to(published("mafl_lists/MAFL"))
    faults = []
    splits = celeba.read(tmp_path, faults)
    assert [len(faces) for faces in splits.values()] == [2, 0, 2, 1, 0]
    np.testing.assert_array_equal(splits["train"][0].keypoints[:2], [[69, 109], [106, 113]])
    assert len(faults) == 20000 - 1  # the names of MAFL whose rows are not here
    assert faults[0].startswith("MAFL/training.txt: ")


# 300W-LP and LS3D-W

SIXTY_EIGHT = np.random.default_rng(3).uniform(10, 90, (4, 68, 2))


def write_large_poses(folder):
    for points, name in zip(SIXTY_EIGHT, ("AFW/a_1", "AFW/a_2", "HELEN/h_1", "AFW_Flip/a_1"), strict=True):
        write_image(folder / f"{name}.jpg", 100, 100)
        described = folder / "landmarks" / f"{name}_pts.mat"
        described.parent.mkdir(parents=True, exist_ok=True)
        scipy.io.savemat(described, {"pts_2d": points + 1, "pts_3d": points.astype(np.float32)})


LARGE_POSES = Sample(
    w300_lp.DATASET, write_large_poses, {"train": ["AFW/a_1", "AFW/a_2", "HELEN/h_1"]},
    unit=lambda name: name.rpartition("_")[0],
    damages=[(lambda folder: (folder / "landmarks" / "AFW" / "a_1_pts.mat").unlink(),
              ["AFW/a_1.jpg has no landmarks/AFW/a_1_pts.mat; download the landmarks again"])])


def write_tensor(path, array, *, first=1, strides=None, version=b"V 1"):
    """Writes a tensor as Lua's `torch.save` does. `first`: its start in its storage, counted from 1."""
    kind = {"f": b"Float", "d": b"Double"}[array.dtype.char]

    def text(value):
        return struct.pack("<i", len(value)) + value

    def head(number, name):
        return struct.pack("<ii", 4, number) + (text(version) if version else b"") + text(b"torch." + name)

    strides = strides or [step // array.itemsize for step in array.strides]
    path.write_bytes(head(1, kind + b"Tensor") + struct.pack("<i", array.ndim)
                     + struct.pack(f"<{array.ndim}q", *array.shape) + struct.pack(f"<{array.ndim}q", *strides)
                     + struct.pack("<q", first) + head(2, kind + b"Storage")
                     + struct.pack("<q", array.size + first - 1) + bytes(array.itemsize * (first - 1))
                     + array.tobytes())


BALANCED_NAMES = ["new/f_1", "new/f_2", "other/f_1"]


def write_balanced(folder):
    for number, name in enumerate(BALANCED_NAMES):
        write_image(folder / f"{name}.jpg", 100, 100)
        write_tensor(folder / f"{name}.t7", SIXTY_EIGHT[number].astype(np.float32 if number else np.float64))


BALANCED = Sample(
    ls3d.DATASET, write_balanced, {"test": BALANCED_NAMES},
    damages=[(lambda folder: (folder / "new" / "f_2.t7").write_bytes(b"torch"),
              ["new/f_2.t7: this is not a Torch7 tensor; download it again"])])


@pytest.mark.parametrize("sample", [LARGE_POSES, BALANCED], ids=ids)
def test_sixty_eight_points(sample, tmp_path, monkeypatch):
    for of in of_sample(sample, tmp_path, monkeypatch).values():
        for points, name in zip(SIXTY_EIGHT, sorted(of), strict=False):
            np.testing.assert_allclose(of[name]["keypoints"], points, rtol=1e-6)
            np.testing.assert_allclose(of[name]["scale"], np.linalg.norm(points[36] - points[45]), rtol=1e-6)


def test_tensors_are_read_with_their_strides(tmp_path):
    array = np.arange(12, dtype=np.float32).reshape(3, 4)
    write_tensor(tmp_path / "plain.t7", array)
    np.testing.assert_array_equal(read_tensor(tmp_path / "plain.t7"), array)
    write_tensor(tmp_path / "turned.t7", array, first=3, strides=[1, 3], version=b"")
    np.testing.assert_array_equal(read_tensor(tmp_path / "turned.t7"), array.ravel().reshape(4, 3).T)
    (tmp_path / "cut.t7").write_bytes((tmp_path / "plain.t7").read_bytes()[:-1])
    (tmp_path / "number.t7").write_bytes(struct.pack("<id", 1, 3.0))
    write_tensor(tmp_path / "beyond.t7", array, strides=[40, 1])
    for name, said in (("cut", "buffer is smaller|truncated"), ("number", "not a Torch7 tensor"),
                       ("beyond", "beyond its storage")):
        with pytest.raises(ValueError, match=said):
            read_tensor(tmp_path / f"{name}.t7")


# YouTube faces

def points_of_youtube(seed):
    return np.random.default_rng(seed).integers(4, 92, 136) / 2


def rows_of_youtube(seed, count):
    return [["", *range(136)], *([f"face{number}_{seed}.jpg", *points_of_youtube(10 * seed + number)]
                                 for number in range(count))]


def write_table(folder, part, rows):
    with (folder / "data" / f"{part}_frames_keypoints.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)


def write_youtube(folder):
    for seed, (part, count) in enumerate({"training": 3, "test": 2}.items()):
        for number in range(count):
            write_image(folder / "data" / part / f"face{number}_{seed}.jpg", 50, 56 + number, {(9, 9): (250, 10, 20)},
                        "PNG", "RGBA")
        write_table(folder, part, rows_of_youtube(seed, count))


YOUTUBE = Sample(
    youtube_faces.DATASET, write_youtube,
    {"train": ["training/face2_0.jpg"], "tune": ["training/face0_0.jpg", "test/face0_1.jpg"],
     "test": ["training/face1_0.jpg", "test/face1_1.jpg"]},
    unit=lambda name: name.partition("/")[2].rpartition("_")[0],
    damages=[(lambda folder: write_table(folder, "test", [["", *range(136)], ["face0_1.jpg", "left", *range(135)]]),
              ["line 2 (face0_1.jpg) column 0: expected a number, found 'left'"])])


def test_alpha_is_dropped_and_the_eyes_give_the_scale(tmp_path, monkeypatch):
    found = of_sample(YOUTUBE, tmp_path, monkeypatch)
    for number, split in enumerate(("tune", "test", "train")):
        record = found[split][f"training/face{number}_0.jpg"]
        keypoints = points_of_youtube(number).reshape(68, 2)
        assert record["image"].shape == (56 + number, 50, 3)
        assert record["image"][9, 9].tolist() == [250, 10, 20]
        np.testing.assert_array_equal(record["keypoints"], keypoints.astype(np.float32))
        np.testing.assert_allclose(record["scale"], np.linalg.norm(keypoints[36] - keypoints[45]), rtol=1e-6)


# Cats

CAT_POINTS = np.array([[30, 40], [60, 41], [44, 62], [10, 30], [12, 5], [25, 20], [64, 22], [80, -4], [82, 33]])
CELLS = [str(cell) for cell in CAT_POINTS.ravel()]
CAT_FILE = "CAT_DATASET_01/{}/00000001_000.jpg"


def write_cats(folder):
    for number, name in enumerate(("CAT_00", "CAT_03", "CAT_04")):
        write_image(folder / CAT_FILE.format(name), 90, 80 + number, {(44, 62): (255, 255, 255)})
        placed(f"{CAT_FILE.format(name)}.cat", f"9 {' '.join(CELLS)} ")(folder)


CATS = Sample(
    cats.DATASET, write_cats,
    {"train": ["CAT_00/00000001_000", "CAT_03/00000001_000"], "test": ["CAT_04/00000001_000"]},
    damages=[(placed(f"{CAT_FILE.format('CAT_03')}.cat", f"9 {' '.join(CELLS[:-1])} x"),
              ["CAT_03/00000001_000.jpg.cat: expected a number, found 'x'"])])


def test_points_of_cats_outside_stay_labelled(tmp_path, monkeypatch):
    record = of_sample(CATS, tmp_path, monkeypatch)["train"]["CAT_00/00000001_000"]
    assert record["visible"].all()
    np.testing.assert_array_equal(record["keypoints"], CAT_POINTS)
    assert record["image"][62, 44].min() > 150  # the mouth is on its dot
    np.testing.assert_allclose(record["scale"], np.hypot(30, 1), rtol=1e-6)
