"""Files of menpo (.pts) and dlib (.xml) as projects."""
import numpy as np
import pytest
from PIL import Image

from kpjax.lab.formats.faces import FACE
from kpjax.lab.formats.reading import format_of, read_project

XML = """<?xml version='1.0' encoding='ISO-8859-1'?>
<?xml-stylesheet type='text/xsl' href='image_metadata_stylesheet.xsl'?>
<dataset><name>faces</name><images>
<image file='{image}'><box top='2' left='3' width='20' height='10'>
<label>face</label><part name='1' x='7' y='8'/><part name='0' x='5' y='6'/></box>
<box top='0' left='0' width='9' height='9' ignore='1'><part name='0' x='1' y='1'/></box></image>
<image file='images\\b.png'><box top='1' left='1' width='9' height='9'><part name='0' x='2' y='3'/></box></image>
<image file='images/c.png'/>
</images></dataset>"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "images").mkdir()
    for name in "abc":
        Image.new("RGB", (40, 30)).save(tmp_path / "images" / f"{name}.png")
    return tmp_path


def write_points(path, points):
    lines = "\n".join(f"{x} {y}" for x, y in points)
    path.write_text(f"version: 1\nn_points:  {len(points)}\n{{\n{lines}\n}}\n")


def test_boxes_and_parts_of_dlib(folder):
    (folder / "training.xml").write_text(XML.format(image="images/a.png"))
    project = read_project(folder)
    assert project.format == "dlib"
    assert project.skeleton.names == ("0", "1")
    assert [frame.name for frame in project.frames] == ["images/a.png", "images/b.png", "images/c.png"]
    first, second = project.instances
    np.testing.assert_array_equal(first.keypoints, [(5, 6), (7, 8)])
    np.testing.assert_array_equal(first.box, (3, 2, 20, 10))
    np.testing.assert_array_equal(second.visible, (1, 0))
    assert "1 boxes are marked to be ignored, and are" in project.notes


def test_points_beside_images(folder):
    write_points(folder / "images" / "a.pts", [(1, 1), (11.5, 21)])
    write_points(folder / "images" / "b.pts", [("nan", "nan"), (2, 3)])
    project = read_project(folder)
    assert format_of(folder).name == "pts"
    assert [frame.name for frame in project.frames] == ["images/a.png", "images/b.png"]
    np.testing.assert_array_equal(project.instances[0].keypoints, [(0, 0), (10.5, 20)])
    np.testing.assert_array_equal(project.instances[1].visible, (0, 1))
    assert "files .pts count pixels from 1; 1 is subtracted from x and y" in project.notes


def test_68_points_are_a_face_with_pairs_and_lines(folder):
    write_points(folder / "images" / "a.pts", [(k % 30 + 2, k // 3 + 2) for k in range(68)])
    project = read_project(folder / "images")
    assert project.skeleton == FACE
    assert any(note.startswith("68 points") for note in project.notes)
