"""DeepLabCut projects: keys, order, gaps, several animals, tables for pandas; hidden points of
Lightning Pose.
"""

import numpy as np
import pytest
from damaging import black

from kpjax.errors import InputError
from kpjax.formats import deeplabcut
from kpjax.formats.project import Report
from kpjax.formats.reading import read_project
from kpjax.formats.tables import read_table

ONE_CELL = [
    "scorer,A,A,A,A",
    "bodyparts,snout,snout,ear,ear",
    "coords,x,y,x,y",
    "labeled-data/v/img0001.png,,,,",
    r"labeled-data\v\img0010.png,1.5,2,,",
    "labeled-data/v/img0002.png,5,6,7,8",
]
THREE_CELLS = [
    "scorer,,,A,A,A,A",
    "bodyparts,,,snout,snout,ear,ear",
    "coords,,,x,y,x,y",
    "labeled-data,v,img0001.png,,,,",
    "labeled-data,v,img0010.png,1.5,2,,",
    "labeled-data,v,img0002.png,5,6,7,8",
]
SEVERAL = """\
Task: cages
scorer: Zoë
multianimalproject: true
bodyparts: MULTI!
multianimalbodyparts: [nose, tail]
uniquebodyparts: [corner]
individuals: [anna, bert]
skeleton:
- [nose, tail]
- [bodypart1, bodypart2]
"""
ANIMALS = [
    "scorer,Z,Z,Z,Z,Z,Z,Z,Z,Z,Z",
    "individuals,anna,anna,anna,anna,bert,bert,bert,bert,single,single",
    "bodyparts,nose,nose,tail,tail,nose,nose,tail,tail,corner,corner",
    "coords,x,y,x,y,x,y,x,y,x,y",
    "labeled-data/cage 1/img1.png,1,2,3,4,,,5,6,9,8",
    "labeled-data/cage 1/img2.png,,,,,7,8,,,,",
]


def project(root, config, tables, images=()):
    for place, lines in tables.items():
        table = (
            root
            / "labeled-data"
            / (place if place.endswith(".csv") else f"{place}/CollectedData_A.csv")
        )
        table.parent.mkdir(parents=True, exist_ok=True)
        table.write_text("\n".join(lines) + "\n", encoding="utf-8")
    for number, image in enumerate(images):
        black(root / "labeled-data" / image, (40 + number, 30))
    if config:
        (root / "config.yaml").write_text(config, encoding="utf-8")
    return root


def read(root):
    report = Report("", [], [])
    found = deeplabcut.read(root, report)
    assert report.faults == []
    return found._replace(notes=report.notes)


@pytest.mark.parametrize("lines", [ONE_CELL, THREE_CELLS])
def test_empty_rows_backslashes_and_the_order_of_the_config(tmp_path, lines):
    found = read(project(tmp_path, "bodyparts: [ear, snout]\n", {"v": lines}))
    assert found.skeleton.names == ("ear", "snout")
    assert [frame.name for frame in found.frames] == [
        f"labeled-data/v/img{n}.png" for n in ("0001", "0010", "0002")
    ]
    visible = np.zeros((3, 2))
    for one in found.instances:
        visible[one.frame] = one.visible
    np.testing.assert_array_equal(visible, [[0, 0], [0, 1], [1, 1]])
    np.testing.assert_array_equal(found.instances[0].keypoints, [[np.nan, np.nan], [1.5, 2]])
    np.testing.assert_array_equal(found.instances[1].keypoints, [[7, 8], [5, 6]])


@pytest.mark.parametrize("added", [False, True])
def test_machine_labels_that_a_person_refined_are_labels(tmp_path, added):
    """A part that was added after that has no likelihood."""
    lines = [
        "scorer,A,A,A" + ",A,A" * added,
        "bodyparts,snout,snout,snout" + ",ear,ear" * added,
        "coords,x,y,likelihood" + ",x,y" * added,
        "labeled-data/v/img1.png,1,2,0.5" + ",3,4" * added,
    ]
    parts = ["snout", "ear"][: 1 + added]
    found = read(project(tmp_path, f"bodyparts: [{', '.join(parts)}]\n", {"v": lines}))
    np.testing.assert_array_equal(found.instances[0].keypoints, [[1, 2], [3, 4]][: 1 + added])
    said = any("likelihood of refined machine labels" in note for note in found.notes)
    assert said == (not added)


def test_a_part_that_was_taken_out_of_the_config_is_left_out_and_a_renamed_one_is_a_fault(tmp_path):
    root = project(tmp_path, "bodyparts: [ear]\n", {"v": ONE_CELL})
    found = read(root)
    assert found.skeleton.names == ("ear",)
    np.testing.assert_array_equal(found.instances[-1].keypoints, [[7, 8]])
    assert "v/CollectedData_A.csv: snout: not in config.yaml, and left out" in found.notes
    (root / "config.yaml").write_text("bodyparts: [ear, nose]\n", encoding="utf-8")
    report = Report("", [], [])
    deeplabcut.read(root, report)
    assert "body part 'snout' is unknown" in report.faults[0]


def test_a_config_in_the_letters_of_windows_is_read(tmp_path):
    root = project(tmp_path, "bodyparts: [ear, snout]\n", {"v": ONE_CELL})
    with (root / "config.yaml").open("ab") as file:
        file.write("project_path: C:\\Users\\Jürgen\n".encode("cp1252"))
    found = read(root)
    assert found.skeleton.names == ("ear", "snout")
    assert "config.yaml: not UTF-8, and read as Windows-1252" in found.notes


def test_a_config_of_nested_aliases_is_refused_at_once(tmp_path):
    lines = ["a0: &a0 [x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    root = project(tmp_path, "\n".join([*lines, "bodyparts: *a11", ""]), {"v": ONE_CELL})
    with pytest.raises(InputError, match=r"config.yaml.*YAML aliases"):
        read(root)


def test_several_animals_and_images_without_labels(tmp_path):
    images = [
        "cage 1/img1.png",
        "cage 1/img2.png",
        "cage 1/img3.png",
        "cage 1_labeled/img1.png",
        "new/img7.png",
    ]
    root = project(tmp_path / "cages", SEVERAL, {"cage 1": ANIMALS}, images)
    found = read_project(tmp_path)  # the project is the only folder of this one
    assert found.root == root
    assert found.skeleton.names == ("nose", "tail")
    assert found.skeleton.edges == ((0, 1),)  # the other line is one of DeepLabCut's example
    assert [(frame.name, frame.session, frame.size) for frame in found.frames] == [
        ("labeled-data/cage 1/img1.png", "cage 1", (40, 30)),
        ("labeled-data/cage 1/img2.png", "cage 1", (41, 30)),
        ("labeled-data/cage 1/img3.png", "cage 1", (42, 30)),
        ("labeled-data/new/img7.png", "new", (44, 30)),
    ]
    assert [(one.frame, one.track, one.visible.tolist()) for one in found.instances] == [
        (0, "anna", [1, 1]),
        (0, "bert", [0, 1]),
        (1, "bert", [1, 0]),
    ]
    assert any("1 unique body parts (corner)" in note for note in found.notes)


def test_tables_for_pandas_hold_every_frame(tmp_path):
    pandas = pytest.importorskip(
        "pandas", reason="pandas reads .h5 tables; install the extra kpjax[dlc]"
    )
    pytest.importorskip("tables", reason="pytables reads .h5 tables; install the extra kpjax[dlc]")
    root = project(tmp_path, SEVERAL, {"cage 1": ANIMALS})
    (path,) = root.glob("labeled-data/*/CollectedData_*.csv")
    made = read_table(path, Report("", [], []))
    table, h5 = deeplabcut.write_table(made, path.with_name("CollectedData_new.csv"))
    frame = pandas.read_hdf(h5, "df_with_missing")
    assert frame.columns.names == ["scorer", "individuals", "bodyparts", "coords"]
    assert list(frame.index) == [
        ("labeled-data", "cage 1", "img1.png"),
        ("labeled-data", "cage 1", "img2.png"),
    ]
    as_csv = pandas.read_csv(table, header=[0, 1, 2, 3], index_col=[0, 1, 2])
    np.testing.assert_array_equal(as_csv.to_numpy(), frame.to_numpy())
    np.testing.assert_array_equal(read_table(h5, Report("", [], [])).values, made.values)


def test_of_two_scorers_that_of_the_config_is_read(tmp_path):
    project(
        tmp_path,
        "scorer: Ann\nbodyparts: [nose]\n",
        {
            f"v/CollectedData_{scorer}.csv": [
                f"scorer,{scorer},{scorer}",
                "bodyparts,nose,nose",
                "coords,x,y",
                f"labeled-data/v/0.png,{x},2",
            ]
            for scorer, x in (("Ann", 1), ("Bob", 9))
        },
        ["v/0.png"],
    )
    found = read_project(tmp_path)
    assert found.instances[0].keypoints[0, 0] == 1
    (tmp_path / "labeled-data" / "v" / "CollectedData_Ann.csv").unlink()
    found = read_project(tmp_path)
    assert found.instances[0].keypoints[0, 0] == 9
    assert any(
        "Bob.csv: by another scorer than Ann of config.yaml, and read" in note
        for note in found.notes
    )


# The same layout as Lightning Pose keeps it, with a column that grades points

GRADED = [
    "scorer,P,P,P,P,P,P",
    "bodyparts,paw,paw,paw,nose,nose,nose",
    "coords,x,y,visible,x,y,visible",
    "labeled-data/day1/a.png,1,2,2,3,4,2",
    r"labeled-data\day2\b.png,1,2,1,5,6,",
    "labeled-data/day2/c.png,,,0,,,",
]


def test_hidden_points_have_no_label(tmp_path):
    project(tmp_path, "", {}, ["day1/a.png", "day2/b.png", "day2/c.png"])
    (tmp_path / "CollectedData.csv").write_text("\n".join(GRADED) + "\n")
    found = read_project(tmp_path)
    assert found.skeleton.names == ("paw", "nose")
    assert [(frame.session, frame.size) for frame in found.frames] == [
        ("day1", (40, 30)),
        ("day2", (41, 30)),
        ("day2", (42, 30)),
    ]
    assert [(one.frame, one.visible.tolist()) for one in found.instances] == [
        (0, [1, 1]),
        (1, [0, 1]),
    ]
