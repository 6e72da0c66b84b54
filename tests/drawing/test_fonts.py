"""Texts in alphabets that the font has, and what becomes of letters that it lacks."""
import numpy as np
import pytest

from kpjax.drawing import fonts
from kpjax.drawing.overlays import contact_sheet
from kpjax.errors import InputError


@pytest.fixture
def only_pillows(monkeypatch):
    """A computer without any font."""
    monkeypatch.delenv(fonts.VARIABLE, raising=False)
    monkeypatch.setattr(fonts, "_found", tuple)


def test_pillows_font_has_boxes_for_accents():
    assert fonts.has_letter("", "a")
    assert fonts.has_letter("", " ")
    assert not any(fonts.has_letter("", letter) for letter in "éüäЖα鼠")


def test_without_fonts_accents_are_dropped_and_other_alphabets_escaped(only_pillows):
    assert fonts.text_and_font("Vidéo  übung\n", 12)[0] == "Video ubung"
    assert fonts.text_and_font("лапа", 12)[0] == r"\u043b\u0430\u043f\u0430"
    assert fonts.text_and_font("e\u0301", 12)[0] == "e"  # as macOS spells é
    assert fonts.lacking(["nose", "鼠é"]) == "é鼠"
    assert fonts.lacking(["nose"]) == ""


def test_a_font_of_this_computer_is_used(monkeypatch):
    monkeypatch.delenv(fonts.VARIABLE, raising=False)
    rich = next((name for name in fonts._found() if all(fonts.has_letter(name, letter) for letter in "éЖα")), None)
    if rich is None:
        pytest.skip("no font here has Greek and Cyrillic")
    text, font = fonts.text_and_font("é Жα 1", 14)
    assert (text, font.size) == ("é Жα 1", 14)
    assert fonts.text_and_font("plain", 14)[1].path != font.path  # ASCII looks alike on all computers
    monkeypatch.setenv(fonts.VARIABLE, rich)
    assert fonts.text_and_font("plain", 14)[1].path == rich


def test_a_file_that_is_no_font_is_named(monkeypatch, tmp_path):
    (tmp_path / "x.ttf").write_text("no font")
    monkeypatch.setenv(fonts.VARIABLE, str(tmp_path / "x.ttf"))
    with pytest.raises(InputError, match=r"KPJAX_FONT: .*x\.ttf is no font"):
        fonts.text_and_font("a", 12)


def test_captions_that_differ_look_different():
    """With Pillow's font alone, both were the same row of boxes."""
    image = np.zeros((40, 200, 3), np.uint8)
    one, other = (contact_sheet([image], captions=[text]) for text in ("лапа", "клюв"))
    assert (one != other).any()
