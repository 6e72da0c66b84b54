"""What is said of paths that are no project, and of files with a slip in their names."""
import json

import pytest
from PIL import Image

from kpjax.annotations.reading import read_project
from kpjax.errors import InputError

HEADER = "image,keypoint,x,y\n"


@pytest.mark.parametrize(("stored", "named"), [("frame.PNG", "frame.png"), ("Frame.png", "frame.png"),
                                               ("frame.jpg", "frame.png")])
def test_an_image_that_differs_in_case_or_ending_is_named(tmp_path, stored, named):
    Image.new("RGB", (40, 30)).save(tmp_path / stored)
    (tmp_path / "labels.csv").write_text(f"{HEADER}{named},nose,1,2\n")
    with pytest.raises(InputError, match=f"{named}: the image is missing at .*; there is {stored}, rename one"):
        read_project(tmp_path)


@pytest.mark.parametrize(("content", "words"), [
    ([[{"nose": [1, 2]}]], "a list where an object .* belongs; write the points as a csv table"),
    ([{"image_id": 1, "keypoints": [1, 2, 2]}], "a list, like results, where|name the file with the labels")])
def test_a_list_as_json_is_said_how_to_mend(tmp_path, content, words):
    (tmp_path / "bees.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=words):
        read_project(tmp_path / "bees.json")


def test_images_alone_are_said_what_they_are_good_for(tmp_path):
    (tmp_path / "day").mkdir()
    for name in ("a.png", "day/b.png"):
        Image.new("RGB", (4, 3)).save(tmp_path / name)
    (tmp_path / "c.mp4").touch()
    with pytest.raises(InputError) as told:
        read_project(tmp_path)
    line = str(told.value).removeprefix(f"{tmp_path}: ")
    assert line.startswith("2 images and 1 video and no labels; label some frames")
    assert len(line) < 110


def test_other_folders_are_told_the_formats_in_short(tmp_path):
    (tmp_path / "notes.md").touch()
    with pytest.raises(InputError) as told:
        read_project(tmp_path)
    assert "DeepLabCut, SLEAP, Lightning Pose, COCO, dlib's xml, .pts, or a csv table" in str(told.value)
    assert len(str(told.value).removeprefix(f"{tmp_path}: ")) < 160
