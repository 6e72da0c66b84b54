"""Files of menpo (.pts) as projects."""
import numpy as np
import pytest
from PIL import Image

from kpjax.lab.formats.faces import FACE
from kpjax.lab.formats.reading import format_of, read_project


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "images").mkdir()
    for name in "abc":
        Image.new("RGB", (40, 30)).save(tmp_path / "images" / f"{name}.png")
    return tmp_path


def write_points(path, points):
    lines = "\n".join(f"{x} {y}" for x, y in points)
    path.write_text(f"version: 1\nn_points:  {len(points)}\n{{\n{lines}\n}}\n")


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
