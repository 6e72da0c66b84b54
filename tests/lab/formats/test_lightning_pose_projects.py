"""Lightning Pose's folders: the column `visible`."""
from PIL import Image

from kpjax.lab.formats.reading import read_project

TABLE = ["scorer,P,P,P,P,P,P", "bodyparts,paw,paw,paw,nose,nose,nose", "coords,x,y,visible,x,y,visible",
         "labeled-data/day1/a.png,1,2,2,3,4,2", r"labeled-data\day2\b.png,1,2,1,5,6,", "labeled-data/day2/c.png,,,0,,,"]


def test_hidden_points_have_no_label(tmp_path):
    for image in ("day1/a.png", "day2/b.png", "day2/c.png"):
        (tmp_path / "labeled-data" / image).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (30, 20)).save(tmp_path / "labeled-data" / image)
    (tmp_path / "CollectedData.csv").write_text("\n".join(TABLE) + "\n")
    found = read_project(tmp_path)
    assert found.skeleton.names == ("paw", "nose")
    assert [(frame.session, frame.size) for frame in found.frames] == [
        ("day1", (30, 20)), ("day2", (30, 20)), ("day2", (30, 20))]
    assert [(one.frame, one.visible.tolist()) for one in found.instances] == [(0, [1, 1]), (1, [0, 1])]
    assert "visible: 1 omitted and 1 hidden points have no label" in found.notes
