"""Lightning Pose's folders: the column `visible`, boxes with their height first, several tables, what is refused."""
from PIL import Image

from kpjax.lab.formats.reading import format_of, read_project

TABLE = ["scorer,P,P,P,P,P,P", "bodyparts,paw,paw,paw,nose,nose,nose", "coords,x,y,visible,x,y,visible",
         "labeled-data/day1/a.png,1,2,2,3,4,2", r"labeled-data\day2\b.png,1,2,1,5,6,", "labeled-data/day2/c.png,,,0,,,"]


def folder(root, lines=TABLE, boxes=()):
    for image in ("day1/a.png", "day2/b.png", "day2/c.png"):
        (root / "labeled-data" / image).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (30, 20)).save(root / "labeled-data" / image)
    (root / "CollectedData.csv").write_text("\n".join(lines) + "\n")
    if boxes:
        (root / "bbox.csv").write_text("\n".join(boxes) + "\n")
    return root


def test_hidden_points_have_no_label(tmp_path):
    found = read_project(folder(tmp_path))
    assert found.format == "lightning_pose"
    assert found.skeleton.names == ("paw", "nose")
    assert [(frame.session, frame.size) for frame in found.frames] == [
        ("day1", (30, 20)), ("day2", (30, 20)), ("day2", (30, 20))]
    assert [(one.frame, one.visible.tolist()) for one in found.instances] == [(0, [1, 1]), (1, [0, 1])]
    assert "visible: 1 omitted and 1 hidden points have no label" in found.notes


def test_a_table_of_a_deeplabcut_project_is_none_of_its(tmp_path):
    place = tmp_path / "labeled-data" / "v"
    place.mkdir(parents=True)
    (place / "CollectedData_A.csv").write_text("\n".join(TABLE))
    assert format_of(tmp_path).name == format_of(place / "CollectedData_A.csv").name == "deeplabcut"
