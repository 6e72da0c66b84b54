"""300W-LP and LS3D-W: 68 points from MATLAB files and from Torch7 tensors."""
import struct

import numpy as np
import pytest
import scipy.io

from data import ls3d, w300_lp
from data.torch7 import read_tensor

POINTS = np.random.default_rng(3).uniform(10, 90, (4, 68, 2))


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


@pytest.fixture
def large_poses(tmp_path, write_image):
    for number, name in enumerate(("AFW/a_1", "AFW/a_2", "HELEN/h_1", "AFW_Flip/a_1")):
        write_image(tmp_path / f"{name}.jpg", 100, 100)
        described = tmp_path / "landmarks" / f"{name}_pts.mat"
        described.parent.mkdir(parents=True, exist_ok=True)
        scipy.io.savemat(described, {"pts_2d": POINTS[number] + 1, "pts_3d": POINTS[number].astype(np.float32)})
    return tmp_path


@pytest.fixture
def balanced(tmp_path, write_image):
    for number, name in enumerate(("new/f_1", "new/f_2", "other/f_1")):
        write_image(tmp_path / f"{name}.jpg", 100, 100)
        write_tensor(tmp_path / f"{name}.t7", POINTS[number].astype(np.float32 if number else np.float64))
    return tmp_path


def test_points_of_300w_lp_are_those_on_the_hidden_side_too(large_poses, records):
    found = records(w300_lp.DATASET, large_poses)
    assert {split: sorted(of) for split, of in found.items()} == {"train": ["AFW/a_1", "AFW/a_2", "HELEN/h_1"]}
    record = found["train"]["AFW/a_2"]
    np.testing.assert_allclose(record["keypoints"], POINTS[1], rtol=1e-6)
    np.testing.assert_allclose(record["scale"], np.linalg.norm(POINTS[1, 36] - POINTS[1, 45]), rtol=1e-6)


def test_faults_of_300w_lp(large_poses):
    (large_poses / "landmarks" / "AFW" / "a_1_pts.mat").unlink()
    few = large_poses / "landmarks" / "HELEN" / "h_1_pts.mat"
    scipy.io.savemat(few, {"pts_2d": POINTS[0], "pts_3d": POINTS[0, :5]})
    (large_poses / "AFW" / "a_2.jpg").unlink()
    assert w300_lp.DATASET.check(large_poses) == [
        "AFW/a_1.jpg has no landmarks/AFW/a_1_pts.mat; download the landmarks again",
        "landmarks/HELEN/h_1_pts.mat pts_3d: expected 68 x 2 numbers, found 5 x 2",
        "AFW/a_2.jpg is missing, but it has annotations; restore it"]


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


def test_ls3d_is_read_from_tensors(balanced, records):
    found = records(ls3d.DATASET, balanced)
    assert {split: sorted(of) for split, of in found.items()} == {"test": ["new/f_1", "new/f_2", "other/f_1"]}
    for number, name in enumerate(("new/f_1", "new/f_2", "other/f_1")):
        np.testing.assert_allclose(found["test"][name]["keypoints"], POINTS[number], rtol=1e-6)


def test_faults_of_ls3d(balanced):
    (balanced / "new" / "f_1.t7").unlink()
    (balanced / "new" / "f_2.t7").write_bytes(b"torch")
    (balanced / "other" / "f_1.jpg").unlink()
    assert ls3d.DATASET.check(balanced) == [
        "new/f_1.t7 is missing, but its image exists; download it again",
        "new/f_2.t7: this is not a Torch7 tensor; download it again",
        "other/f_1.t7 has no image of the same name; download the images again"]
