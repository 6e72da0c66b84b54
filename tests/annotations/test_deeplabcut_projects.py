"""DeepLabCut projects: keys, order, gaps, several animals, what is refused, tables for pandas, the open field mouse."""
import csv

import numpy as np
import pytest
import yaml
from PIL import Image

from kpjax.annotations import deeplabcut
from kpjax.annotations.reading import read_project

ONE_CELL = ["scorer,A,A,A,A", "bodyparts,snout,snout,ear,ear", "coords,x,y,x,y", "labeled-data/v/img0001.png,,,,",
            r"labeled-data\v\img0010.png,1.5,2,,", "labeled-data/v/img0002.png,5,6,7,8"]
THREE_CELLS = ["scorer,,,A,A,A,A", "bodyparts,,,snout,snout,ear,ear", "coords,,,x,y,x,y",
               "labeled-data,v,img0001.png,,,,", "labeled-data,v,img0010.png,1.5,2,,",
               "labeled-data,v,img0002.png,5,6,7,8"]
SEVERAL = """\
Task: cages
scorer: Zoë
multianimalproject: true
video_sets:
  C:\\films\\cage 1.avi:
    crop: 10, 90, 20, 80
bodyparts: MULTI!
multianimalbodyparts: [nose, tail]
uniquebodyparts: [corner]
individuals: [anna, bert]
skeleton:
- [nose, tail]
- [bodypart1, bodypart2]
pcutoff: 0.25
"""
ANIMALS = ["scorer,Z,Z,Z,Z,Z,Z,Z,Z,Z,Z", "individuals,anna,anna,anna,anna,bert,bert,bert,bert,single,single",
           "bodyparts,nose,nose,tail,tail,nose,nose,tail,tail,corner,corner", "coords,x,y,x,y,x,y,x,y,x,y",
           "labeled-data/cage 1/img1.png,1,2,3,4,,,5,6,9,8", "labeled-data/cage 1/img2.png,,,,,7,8,,,,"]


def project(root, config, tables, images=()):
    for video, lines in tables.items():
        folder = root / "labeled-data" / video
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "CollectedData_A.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    for number, image in enumerate(images):
        (root / "labeled-data" / image).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40 + number, 30)).save(root / "labeled-data" / image)
    if config:
        (root / "config.yaml").write_text(config, encoding="utf-8")
    return root


def read(root, **options):
    faults = []
    return deeplabcut.read(root, faults, **options), faults


@pytest.mark.parametrize("lines", [ONE_CELL, THREE_CELLS])
def test_empty_rows_backslashes_and_the_order_of_the_config(tmp_path, lines):
    found, faults = read(project(tmp_path, "bodyparts: [ear, snout]\n", {"v": lines}))
    assert faults == []
    assert found.skeleton.names == ("ear", "snout")
    assert [frame.name for frame in found.frames] == [f"labeled-data/v/img{n}.png" for n in ("0001", "0010", "0002")]
    visible = np.zeros((3, 2))
    for one in found.instances:
        visible[one.frame] = one.visible
    np.testing.assert_array_equal(visible, [[0, 0], [0, 1], [1, 1]])
    np.testing.assert_array_equal(found.instances[0].keypoints, [[np.nan, np.nan], [1.5, 2]])
    np.testing.assert_array_equal(found.instances[1].keypoints, [[7, 8], [5, 6]])
    assert any("snout, ear; matched by name" in note for note in found.notes)


def test_several_animals_and_images_without_labels(tmp_path):
    images = ["cage 1/img1.png", "cage 1/img2.png", "cage 1/img3.png", "cage 1_labeled/img1.png", "new/img7.png"]
    root = project(tmp_path / "cages", SEVERAL, {"cage 1": ANIMALS}, images)
    found = read_project(tmp_path)  # the project is the only folder of this one
    assert found.root == root
    assert found.skeleton.names == ("nose", "tail", "corner")
    assert found.skeleton.edges == ((0, 1),)  # the other line is one of DeepLabCut's example
    assert [(frame.name, frame.session, frame.size) for frame in found.frames] == [
        ("labeled-data/cage 1/img1.png", "cage 1", (40, 30)), ("labeled-data/cage 1/img2.png", "cage 1", (41, 30)),
        ("labeled-data/cage 1/img3.png", "cage 1", (42, 30)), ("labeled-data/new/img7.png", "new", (44, 30))]
    assert [(one.frame, one.track, one.visible.tolist()) for one in found.instances] == [
        (0, "anna", [1, 1, 0]), (0, "bert", [0, 1, 0]), (0, "single", [0, 0, 1]), (1, "bert", [1, 0, 0])]
    written = deeplabcut.write(found, tmp_path / "copy")
    again = read_project(tmp_path / "copy", check_files=False)
    for one, other in zip(found.instances, again.instances, strict=True):
        assert (one.frame, one.track) == (other.frame, other.track)
        np.testing.assert_array_equal(one.keypoints, other.keypoints)
    stored = yaml.safe_load(written[0].read_text(encoding="utf-8"))
    assert (stored["scorer"], stored["uniquebodyparts"], stored["pcutoff"]) == ("Zoë", ["corner"], 0.25)
    assert stored["video_sets"]["C:\\films\\cage 1.avi"] == {"crop": "10, 90, 20, 80"}


def test_a_table_stands_for_itself(tmp_path):
    root = project(tmp_path, "", {"v": ONE_CELL, "w": [line.replace("v", "w") for line in ONE_CELL]})
    assert len(read(root)[0].frames) == 6
    alone, _ = read(root / "labeled-data" / "w" / "CollectedData_A.csv")
    assert {frame.session for frame in alone.frames} == {"w"}
    assert alone.skeleton.names == ("snout", "ear")


@pytest.mark.parametrize(("config", "change", "said"), [
    ("bodyparts: [nose, tail, corner]", {}, "3 individuals (anna, bert, single) in a project of one animal"),
    (SEVERAL.replace("bert", "carl"), {}, "individual 'bert' is unknown; config.yaml has anna, carl"),
    (SEVERAL, dict(enumerate(["", "scorer,Z,Z", "bodyparts,nose,nose", "coords,x,y", "a.png,1,2", ""])),
     "header row individuals is missing in a multi-animal project"),
    (SEVERAL, {3: ""}, "header row coords is missing"),
    (SEVERAL, {3: "coords,x,y,likelihood,x,y,likelihood,x,y,likelihood,x"}, "must name x and y"),
    (SEVERAL, {5: ANIMALS[4]}, "line 6: cage 1/img1.png is labelled in cage 1/CollectedData_A.csv line 5 already"),
    (SEVERAL, {4: ANIMALS[4].replace(",5,6", ",5")}, "line 5: 10 columns where 11 belong; restore the row"),
    (SEVERAL, {4: ANIMALS[4].replace(",5,6", ",5,") + ","}, "tail of bert: one of x and y is empty"),
    (SEVERAL.replace("individuals: [anna, bert]", "individuals:"), {}, "individuals is None where a list"),
])
def test_what_does_not_fit_is_named(tmp_path, config, change, said):
    lines = [change.get(number, line) for number, line in enumerate(ANIMALS)]
    _, faults = read(project(tmp_path, config, {"cage 1": lines}))
    assert len(faults) == 1
    assert said in faults[0]


def test_predictions_other_separators_and_encodings_are_refused(tmp_path):
    root = project(tmp_path, "bodyparts: [snout]", {"v": ["scorer,D,D,D", "bodyparts,snout,snout,snout",
                                                         "coords,x,y,likelihood", "labeled-data/v/img1.png,1,2,0.9"]})
    assert "predictions train nothing" in read(root)[1][0]
    table = root / "labeled-data" / "v" / "CollectedData_A.csv"
    table.write_text("\n".join(ONE_CELL).replace(",", ";"))
    assert "separated by semicolons, save them with commas" in read(root)[1][0]
    table.write_bytes("\n".join(ONE_CELL).replace("img0010", "imgé").encode("latin-1"))
    assert "line 5: byte 0xe9 is no UTF-8" in read(root)[1][0]


def test_tables_for_pandas_hold_every_frame(tmp_path):
    pandas = pytest.importorskip("pandas", reason="pandas reads .h5 tables; install the extra kpjax[dlc]")
    pytest.importorskip("tables", reason="pytables reads .h5 tables; install the extra kpjax[dlc]")
    found, _ = read(project(tmp_path, SEVERAL, {"cage 1": ANIMALS}))
    _, table, h5 = deeplabcut.write(found, tmp_path / "copy")
    frame = pandas.read_hdf(h5, "df_with_missing")
    assert frame.columns.names == ["scorer", "individuals", "bodyparts", "coords"]
    assert list(frame.index) == [("labeled-data", "cage 1", "img1.png"), ("labeled-data", "cage 1", "img2.png")]
    as_csv = pandas.read_csv(table, header=[0, 1, 2, 3], index_col=[0, 1, 2])
    np.testing.assert_array_equal(as_csv.to_numpy(), frame.to_numpy())
    table.unlink()
    again, faults = read(tmp_path / "copy")
    assert faults == []
    assert [one.track for one in again.instances] == [one.track for one in found.instances]


def test_the_open_field_mouse(published):
    real = published("deeplabcut_openfield")
    found = read_project(real)
    assert found.skeleton.names == ("snout", "leftear", "rightear", "tailbase")
    assert found.skeleton.flip == (0, 2, 1, 3)
    with next(real.glob("*/labeled-data/m4s1/*.csv")).open(newline="") as file:
        rows = list(csv.reader(file))[3:]
    assert [frame.name for frame in found.frames] == [row[0] for row in rows]
    assert {frame.size for frame in found.frames} == {(640, 480)}
    np.testing.assert_array_equal([one.keypoints.ravel() for one in found.instances],
                                  [[float(cell) for cell in row[1:]] for row in rows])
