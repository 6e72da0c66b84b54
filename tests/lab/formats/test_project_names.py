"""Paths of other machines, and keypoints that mirror each other."""
import pytest

from kpjax.lab.formats.names import (
    common_folder,
    derived_flip,
    flip_note,
    forward,
    found_by_trailing_parts,
    mirrored_name,
)


@pytest.mark.parametrize(("stored", "plain"), [
    ("labeled-data\\vid\\img 1.png", "labeled-data/vid/img 1.png"), ("./a//b.png", "a/b.png"),
    ("C:\\Users\\Ann\\a.mp4", "/Users/Ann/a.mp4"), ("/data/a.mp4", "/data/a.mp4"), ("../a.png", "../a.png"),
    (" a.png ", "a.png")])
def test_paths_get_forward_slashes(stored, plain):
    assert forward(stored) == plain


def test_trailing_parts(tmp_path):
    (tmp_path / "here" / "monday").mkdir(parents=True)
    (tmp_path / "here" / "monday" / "a.mp4").touch()
    (tmp_path / "a.mp4").touch()
    folders = [tmp_path, tmp_path / "here"]
    # More of the path counts more than the order of the folders.
    assert found_by_trailing_parts("E:\\lab\\monday\\a.mp4", folders) == tmp_path / "here" / "monday" / "a.mp4"
    assert found_by_trailing_parts("lab/tuesday/a.mp4", folders) == tmp_path / "a.mp4"
    assert found_by_trailing_parts("lab/tuesday/a.mp4", folders, least=2) is None
    assert found_by_trailing_parts(str(tmp_path / "a.mp4"), []) == tmp_path / "a.mp4"


def test_images_lie_by_one_rule(tmp_path):
    for name in ("a/1.png", "b/1.png"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
    names = [("set", "a", "1.png"), ("set", "b", "1.png")]
    assert common_folder(names, [tmp_path / "none", tmp_path]) == (tmp_path, 1)
    # Without their folder the two would be one image.
    assert common_folder(names, [tmp_path / "a"]) == (tmp_path / "a", 0)


@pytest.mark.parametrize(("name", "mirrored"), [
    ("left_ear", "right_ear"), ("earleft", "earright"), ("LeftEar", "RightEar"), ("L_Eye", "R_Eye"), ("ear.r", "ear.l"),
    ("eyeL", "eyeR"), ("midlegR3", "midlegL3"), ("nose", "nose"), ("tail", "tail"), ("Elbow", "Elbow"), ("lip", "lip")])
def test_mirrored_names(name, mirrored):
    assert mirrored_name(name) == mirrored


def test_flips():
    assert derived_flip(("nose", "L_Eye", "R_Eye")) == (0, 2, 1)
    assert derived_flip(("nose", "tail")) is None
    assert derived_flip(("left_ear", "right_ear", "left_paw")) is None  # mirrored, the paw would be a right one
    assert derived_flip(("R1", "R2")) is None
    assert derived_flip(("LHip", "RHip", "Hips")) == (1, 0, 2)
    assert derived_flip(("paw1LH_top", "paw2LF_top", "paw3RF_top", "paw4RH_top")) == (3, 2, 1, 0)


def test_the_note_names_the_point_without_a_mirror_image():
    lone = ("left_ear", "right_ear", "left_paw")
    assert "no mirror image of left_paw is among the names" in flip_note(lone, derived_flip(lone))
    lone = ("eyeL", "eyeR", "pawL")
    assert flip_note(lone, derived_flip(lone)).endswith("eyeL = eyeR; without a mirror image: pawL")
