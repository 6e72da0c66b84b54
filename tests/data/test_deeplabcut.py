"""DeepLabCut projects: keys, gaps, sizes, order of parts, splits, .h5 tables, damaged files, the open field mouse."""
import sys

import numpy as np
import pytest

from data.deeplabcut import DATASET, check, read, skeleton, video_of
from kpjax.errors import InputError

CONFIG = """\
Task: reach
scorer: Ann
multianimalproject: false
video_sets:
  C:\\videos\\a.mp4:
    crop: 0, 80, 0, 60
bodyparts: [snout, left ear, tail]
skeleton:
- [snout, left ear]
- - snout
  - tail
"""
HEADER = ["scorer,Ann,Ann,Ann,Ann,Ann,Ann", "bodyparts,tail,tail,snout,snout,left ear,left ear", "coords,x,y,x,y,x,y"]
FIRST = ["labeled-data/a/img0.png,,,,,,", "labeled-data/a/img1.png,10,11.5,20,21,,",
         r"labeled-data\a\img2.png,1,2,3,4,5,6", "/home/ann/reach-Ann/labeled-data/a/img3.png,70,50,79.4,3,90,4"]
SECOND = ["scorer,,,Ann,Ann", "bodyparts,,,snout,snout", "coords,,,x,y", "labeled-data,b,img0.png,7,8",
          "labeled-data,b,img1.png,9,8"]


@pytest.fixture
def folder(tmp_path, write_image):
    root = tmp_path / "reach-Ann"
    for video, lines, (width, height) in (("a", HEADER + FIRST, (80, 60)), ("b", SECOND, (32, 40))):
        for number in range(len(lines) - 3):
            write_image(root / "labeled-data" / video / f"img{number}.png", width + number, height)
        write(root, video, lines)
    (root / "config.yaml").write_text(CONFIG)
    return root


def write(root, video, lines):
    (root / "labeled-data" / video / "CollectedData_Ann.csv").write_text("\n".join(lines) + "\n")


def test_gaps_keys_sizes_and_the_order_of_the_config(folder, records):
    found = records(DATASET, folder)
    assert {split: list(of) for split, of in found.items()} == {
        "train": ["a/img0.png", "a/img1.png", "b/img0.png"], "tune": ["a/img2.png"],
        "test": ["a/img3.png", "b/img1.png"]}
    frames = found["train"] | found["tune"] | found["test"]
    assert set(frames) == {"a/img0.png", "a/img1.png", "a/img2.png", "a/img3.png", "b/img0.png", "b/img1.png"}
    for name, visible, keypoints, size in (
        ("a/img0.png", [0, 0, 0], [[0, 0], [0, 0], [0, 0]], (60, 80, 3)),  # no label at all: the frame stays
        ("a/img1.png", [1, 0, 1], [[20, 21], [0, 0], [10, 11.5]], (60, 81, 3)),
        ("a/img2.png", [1, 1, 1], [[3, 4], [5, 6], [1, 2]], (60, 82, 3)),  # a key with backslashes
        ("a/img3.png", [1, 1, 1], [[79.4, 3], [90, 4], [70, 50]], (60, 83, 3)),  # one point beyond the border
        ("b/img0.png", [1, 0, 0], [[7, 8], [0, 0], [0, 0]], (40, 32, 3)),  # a key in three cells
    ):
        assert frames[name]["visible"].tolist() == visible
        np.testing.assert_allclose(frames[name]["keypoints"], keypoints)
        assert frames[name]["image"].shape == size
        assert frames[name]["scale"] > 0
    np.testing.assert_allclose(frames["a/img2.png"]["scale"], np.hypot(4, 4), rtol=1e-6)


def test_skeleton_of_the_config_or_of_the_table(folder):
    assert skeleton(folder.parent).names == ("snout", "left ear", "tail")  # found one folder below, too
    assert skeleton(folder).edges == ((0, 1), (0, 2))
    (folder / "config.yaml").unlink()
    assert skeleton(folder).names == ("tail", "snout", "left ear")
    assert check(folder) == []
    with pytest.raises(InputError, match="--manual-dir"):
        skeleton(None)


def test_whole_videos_change_sides_if_there_are_three(folder, write_image):
    write_image(folder / "labeled-data" / "c" / "img0.png", 30, 30)
    write(folder, "c", [*SECOND[:3], "labeled-data,c,img0.png,7,8,,,,"])
    videos = [{video_of(frame) for frame in frames} for frames in read(folder, []).values()]
    assert [len(part) for part in videos] == [1, 1, 1]
    assert set.union(*videos) == {"a", "b", "c"}


def test_all_faults_come_at_once(folder):
    lines = [*HEADER, "labeled-data/a/img0.png,1,2,3", "labeled-data/a/img1.png,1,2,three,4,5,6",
             "labeled-data/a/img2.png,1,,3,4,inf,6", "labeled-data/a/img3.png,1,2,3,4,5,NaN",
             "labeled-data/a/img7.png,1,2,3,4,5,6", "labeled-data/b/img0.png,300,2,3,4,5,6"]
    write(folder, "a", lines)
    table, other = "a/CollectedData_Ann.csv", "b/CollectedData_Ann.csv"
    for fault, said in zip(check(folder), (
        f"{table} line 4: ", f"{table} line 5, snout: 'three'", f"{table} line 6, tail: one of",
        f"{table} line 6, left ear: ", f"{table} line 7, left ear: ",
        f"{other} line 4: b/img0.png is labelled in {table} line 9 already",
        "labeled-data/b/img0.png is 32x40, but keypoint 2 is at (300, 2)", "labeled-data/a/img7.png is missing",
    ), strict=True):
        assert fault.startswith(said)


def test_names_that_do_not_fit(folder):
    write(folder, "b", [line.replace("snout", "nose") for line in SECOND])
    assert check(folder) == [
        "b/CollectedData_Ann.csv: body part 'nose' is unknown; config.yaml has snout, left ear, tail"]
    write(folder, "b", ["scorer,A,A,A,A", "bodyparts,tail,tail,tail,tail", "coords,x,y,x,y"])
    assert "body part 'tail' occurs twice" in check(folder)[0]
    write(folder, "b", ["scorer,A,A", "bodyparts,tail,tail", "coords,y,x"])
    assert "must name x and y" in check(folder)[0]
    write(folder, "b", ["labeled-data/b/img0.png,7,8"])
    assert "header row bodyparts is missing" in check(folder)[0]
    (folder / "config.yaml").write_text("bodyparts: [snout, snout]\n")
    assert "list of different names" in check(folder)[0]
    (folder / "config.yaml").write_text("bodyparts: MULTI!\n")
    assert "multi-animal" in check(folder)[0]
    (folder / "config.yaml").write_text("bodyparts: [snout\n")
    assert check(folder)[0].startswith("config.yaml cannot be read")
    assert "0 folders with labeled-data" in check(folder / "labeled-data")[0]


def test_the_same_image_on_both_sides_is_a_fault(folder):
    splits = read(folder, [])
    train, test = splits["train"][0], splits["test"][0]
    test.image.write_bytes(train.image.read_bytes())
    assert len(check(folder)) == 1
    assert "is the same image as" in check(folder)[0]


def test_nothing_labelled_is_refused(folder):
    write(folder, "a", [*HEADER, FIRST[0]])
    write(folder, "b", [*SECOND[:3], "labeled-data,b,img0.png,,"])
    assert "no keypoint is visible in the whole set" in check(folder)[0]


def test_a_truncated_image_is_named_or_left_out(folder, records):
    image = folder / "labeled-data" / "a" / "img1.png"
    image.write_bytes(image.read_bytes()[:90])
    with pytest.raises(InputError, match=r"1 of \d images cannot be read: a/img1.png.*--on-bad-image skip"):
        records(DATASET, folder)
    assert sum(len(split) for split in records(DATASET, folder, on_bad_image="skip").values()) == 5


def test_a_table_of_h5_needs_pandas(folder, monkeypatch):
    table = folder / "labeled-data" / "b" / "CollectedData_Ann.csv"
    table.rename(table.with_suffix(".h5"))
    monkeypatch.setitem(sys.modules, "pandas", None)
    faults = check(folder)
    assert len(faults) == 1
    assert "install the extra kpjax[dlc], or save the labels as csv" in faults[0]


def test_a_table_of_h5_equals_its_csv(folder):
    pandas = pytest.importorskip("pandas", reason="pandas reads .h5 tables; install the extra kpjax[dlc]")
    pytest.importorskip("tables", reason="pytables reads .h5 tables; install the extra kpjax[dlc]")
    before = read(folder, [])
    path = folder / "labeled-data" / "a" / "CollectedData_Ann.csv"
    cells = [line.split(",") for line in path.read_text().splitlines()]
    columns = pandas.MultiIndex.from_arrays([row[1:] for row in cells[:3]], names=["scorer", "bodyparts", "coords"])
    values = [[float(cell or "nan") for cell in row[1:]] for row in cells[3:]]
    table = pandas.DataFrame(values, index=[row[0] for row in cells[3:]], columns=columns)
    table.to_hdf(path.with_suffix(".h5"), key="df_with_missing", format="fixed")
    path.unlink()
    faults = []
    after = read(folder, faults)
    assert faults == []
    for split, frames in before.items():
        for one, other in zip(frames, after[split], strict=True):
            assert (one.name, one.image) == (other.name, other.image)
            np.testing.assert_array_equal(one.keypoints, other.keypoints)
            np.testing.assert_array_equal(one.visible, other.visible)


def test_the_open_field_mouse(published):
    real = published("deeplabcut_openfield")
    assert check(real) == []
    assert skeleton(real).names == ("snout", "leftear", "rightear", "tailbase")
    splits = read(real, [])
    numbers = [[int(frame.name[-8:-4]) for frame in frames] for frames in splits.values()]
    assert numbers == [list(range(57)), list(range(63, 79)), list(range(85, 116))]
    assert all(frame.visible.all() for frames in splits.values() for frame in frames)
    first = next(frame for frames in splits.values() for frame in frames if frame.name == "m4s1/img0000.png")
    np.testing.assert_allclose(first.keypoints[[0, 3]], [[21.521, 265.428], [87.11, 152.698]])
