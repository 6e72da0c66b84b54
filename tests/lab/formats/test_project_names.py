"""Paths of other machines, and keypoints that mirror each other."""
import pytest

from kpjax.lab.formats.names import (
    derived_flip,
    flip_note,
    mirrored_name,
)


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
