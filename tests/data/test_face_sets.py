"""Sets of faces: AFLW, CelebA with MAFL, 300W-LP, LS3D-W, YouTube faces, and heads of cats."""

import struct

import numpy as np
import pytest
import scipy.io
from dataset_contract import (
    WHITE,
    Label,
    Sample,
    draw,
    ids,
    keeps_the_contract,
    placed,
    without,
    write_image,
)

from data import aflw, cats, celeba, ls3d, w300_lp, youtube_faces
from data.torch7 import read_tensor


def face(points, first=0, second=1, **more):
    """The scale is the distance of the eyes."""
    return Label(points, scale=np.linalg.norm(points[first] - points[second]), **more)


def write_aflw(folder):
    """Points are listed as row and column."""
    found = {}
    for part, count in (("train", 3), ("test", 2)):
        names = [f"image{number:05d}_{part}.jpg" for number in range(count)]
        for number, name in enumerate(names):
            write_image(folder / "output" / name, 60, 80 + number)
        points = draw(count, count, 5, 2)
        placed(f"aflw_{part}_images.txt", "\n".join(names))(folder)
        scipy.io.savemat(
            folder / f"aflw_{part}_keypoints.mat",
            {
                "gt": points[..., ::-1],
                "hw": np.array([[80 + number, 60] for number in range(count)]),
            },
        )
        found[part] = {name: face(of) for name, of in zip(names, points, strict=True)}
    return found


NAMES = [f"{number:06d}.jpg" for number in range(1, 9)]
MAFL = celeba.MAFL.values()


def landmarks(rows):
    lines = "".join(
        f"{name} {'  '.join(f'{number:4d}' for number in row)}\n" for name, row in rows.items()
    )
    return placed(celeba.LANDMARKS, f"{len(rows)}\nlefteye_x lefteye_y righteye_x\n{lines}")


def write_celeba(folder):
    rows = dict(zip(NAMES, np.random.default_rng(5).integers(40, 140, (8, 10)), strict=True))
    for name, row in rows.items():
        write_image(
            folder / "Img" / "img_align_celeba_hq" / name, 178, 218, {tuple(row[4:6]): WHITE}
        )
    landmarks(rows)(folder)
    placed(
        celeba.PARTITION,
        "".join(f"{name} {part}\n" for name, part in zip(NAMES, "00001122", strict=True)),
    )(folder)
    for path, listed in zip(MAFL, (f"{NAMES[1]}\n{NAMES[4]}", f"{NAMES[6]}\n"), strict=True):
        placed(path, listed)(folder)  # the last line has no line break
    parts = {
        "train": (1, 3, 4),
        "validation": (6,),
        "test": (8,),
        "mafl_train": (2, 5),
        "mafl_test": (7,),
    }
    return {
        part: {
            f"{number:06d}": face(rows[f"{number:06d}.jpg"].reshape(5, 2), dots={2: WHITE})
            for number in numbers
        }
        for part, numbers in parts.items()
    }


SIXTY_EIGHT = draw(3, 4, 68, 2, low=10, high=90)


def write_large_poses(folder):
    for points, name in zip(
        SIXTY_EIGHT, ("AFW/a_1", "AFW/a_2", "HELEN/h_1", "AFW_Flip/a_1"), strict=True
    ):
        write_image(folder / f"{name}.jpg", 100, 100)
        described = folder / "landmarks" / f"{name}_pts.mat"
        described.parent.mkdir(parents=True, exist_ok=True)
        scipy.io.savemat(described, {"pts_2d": points + 1, "pts_3d": points.astype(np.float32)})
    return {
        "train": {
            name: face(points, 36, 45)
            for name, points in zip(
                ("AFW/a_1", "AFW/a_2", "HELEN/h_1"), SIXTY_EIGHT[:3], strict=True
            )
        }
    }


def write_tensor(path, array, *, first=1, strides=None, version=b"V 1"):
    """Writes a tensor as Lua's `torch.save` does.

    `first`: its start in its storage, counted from 1.
    """
    kind = {"f": b"Float", "d": b"Double"}[array.dtype.char]

    def text(value):
        return struct.pack("<i", len(value)) + value

    def head(number, name):
        return (
            struct.pack("<ii", 4, number)
            + (text(version) if version else b"")
            + text(b"torch." + name)
        )

    strides = strides or [step // array.itemsize for step in array.strides]
    sizes = struct.pack(f"<i{2 * array.ndim + 1}q", array.ndim, *array.shape, *strides, first)
    path.write_bytes(
        head(1, kind + b"Tensor")
        + sizes
        + head(2, kind + b"Storage")
        + struct.pack("<q", array.size + first - 1)
        + bytes(array.itemsize * (first - 1))
        + array.tobytes()
    )


def write_balanced(folder):
    found = dict(zip(("new/f_1", "new/f_2", "other/f_1"), SIXTY_EIGHT[:3], strict=True))
    for number, (name, points) in enumerate(found.items()):
        write_image(folder / f"{name}.jpg", 100, 100)
        write_tensor(folder / f"{name}.t7", points.astype(np.float32 if number else np.float64))
    return {"test": {name: face(points, 36, 45) for name, points in found.items()}}


def table(part, rows):
    lines = [["", *range(136)], *rows]
    return placed(
        f"data/{part}_frames_keypoints.csv",
        "".join(",".join(map(str, line)) + "\n" for line in lines),
    )


def write_youtube(folder):
    """Alpha is dropped."""
    found = {"train": {}, "tune": {}, "test": {}}
    for seed, (part, count) in enumerate({"training": 3, "test": 2}.items()):
        rows = []
        for number in range(count):
            points = np.random.default_rng(10 * seed + number).integers(4, 92, 136) / 2
            rows.append([f"face{number}_{seed}.jpg", *points])
            points = points.reshape(68, 2)
            write_image(
                folder / "data" / part / rows[-1][0],
                50,
                56 + number,
                {tuple(points[7]): (250, 10, 20)},
                "PNG",
                "RGBA",
            )
            found[("tune", "test", "train")[number]][f"{part}/{rows[-1][0]}"] = face(
                points, 36, 45, size=(56 + number, 50), dots={7: (250, 10, 20)}
            )
        table(part, rows)(folder)
    return found


CAT = np.array(
    [[30, 40], [60, 41], [44, 62], [10, 30], [12, 5], [25, 20], [64, 22], [80, -4], [82, 33]]
)
CAT_FILE = "CAT_DATASET_01/{}/00000001_000.jpg"


def write_cats(folder):
    """A point outside stays labelled."""
    for number, name in enumerate(("CAT_00", "CAT_03", "CAT_04")):
        write_image(folder / CAT_FILE.format(name), 90, 80 + number, {(44, 62): WHITE})
        placed(f"{CAT_FILE.format(name)}.cat", f"9 {' '.join(map(str, CAT.ravel()))} ")(folder)
    parts = {"train": ("CAT_00", "CAT_03"), "test": ("CAT_04",)}
    return {
        part: {f"{name}/00000001_000": face(CAT, dots={2: WHITE}) for name in names}
        for part, names in parts.items()
    }


SAMPLES = [
    Sample(
        aflw.DATASET,
        write_aflw,
        damages=[
            (
                lambda folder: write_image(folder / "output" / "image00000_test.jpg", 80, 60),
                ["annotated at 60x80"],
            )
        ],
    ),
    Sample(
        celeba.DATASET,
        write_celeba,
        damages=[
            (
                placed(celeba.MAFL["mafl_test"], "000002.jpg\n"),
                ["000002.jpg is already in MAFL/training.txt"],
            ),
            (
                landmarks({name: np.full(10, 60) for name in NAMES[:7]}),
                [
                    f"{celeba.LANDMARKS}: no row for 1 of the images in Img/img_align_celeba_hq (000008.jpg)"
                ],
            ),
        ],
    ),
    Sample(
        w300_lp.DATASET,
        write_large_poses,
        unit=lambda name: name.rpartition("_")[0],
        damages=[
            (without("landmarks/AFW/a_1_pts.mat"), ["AFW/a_1.jpg has no landmarks/AFW/a_1_pts.mat"])
        ],
    ),
    Sample(
        ls3d.DATASET,
        write_balanced,
        damages=[(placed("new/f_2.t7", "torch"), ["new/f_2.t7: this is not a Torch7 tensor"])],
    ),
    Sample(
        youtube_faces.DATASET,
        write_youtube,
        unit=lambda name: name.partition("/")[2].rpartition("_")[0],
        damages=[
            (
                table("test", [["face0_1.jpg", "left", *range(135)]]),
                ["line 2 (face0_1.jpg) column 0: expected a number, found 'left'"],
            )
        ],
    ),
    Sample(
        cats.DATASET,
        write_cats,
        damages=[
            (
                placed(
                    f"{CAT_FILE.format('CAT_03')}.cat",
                    f"9 {' '.join(map(str, CAT.ravel()[:-1]))} x",
                ),
                ["CAT_03/00000001_000.jpg.cat: expected a number, found 'x'"],
            )
        ],
    ),
]


@pytest.mark.parametrize("sample", SAMPLES, ids=ids)
def test_faces_are_prepared_as_their_files_say(sample, tmp_path, monkeypatch):
    keeps_the_contract(sample, tmp_path, monkeypatch)


def test_tensors_are_read_with_their_strides(tmp_path):
    array = np.arange(12, dtype=np.float32).reshape(3, 4)
    write_tensor(tmp_path / "plain.t7", array)
    np.testing.assert_array_equal(read_tensor(tmp_path / "plain.t7"), array)
    write_tensor(tmp_path / "turned.t7", array, first=3, strides=[1, 3], version=b"")
    np.testing.assert_array_equal(
        read_tensor(tmp_path / "turned.t7"), array.ravel().reshape(4, 3).T
    )
    (tmp_path / "cut.t7").write_bytes((tmp_path / "plain.t7").read_bytes()[:-1])
    (tmp_path / "number.t7").write_bytes(struct.pack("<id", 1, 3.0))
    write_tensor(tmp_path / "beyond.t7", array, strides=[40, 1])
    for name, said in (
        ("cut", "buffer is smaller|truncated"),
        ("number", "not a Torch7 tensor"),
        ("beyond", "beyond its storage"),
    ):
        with pytest.raises(ValueError, match=said):
            read_tensor(tmp_path / f"{name}.t7")
