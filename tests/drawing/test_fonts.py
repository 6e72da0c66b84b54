"""Names in alphabets that the font has, and what becomes of letters that it lacks."""
import numpy as np
import pytest

from kpjax.drawing import fonts
from kpjax.drawing.overlays import contact_sheet


@pytest.fixture(autouse=True)
def no_other_font(monkeypatch):
    monkeypatch.delenv(fonts.VARIABLE, raising=False)


def test_europes_alphabets_are_drawn_and_other_letters_become_escapes():
    text, font = fonts.text_and_font("e\u0301  Жα\n1", 14)  # é, as macOS spells it
    assert (text, font.size) == ("é Жα 1", 14)
    assert fonts.text_and_font("鼠 1", 12)[0] == r"\u9f20 1"
    assert fonts.lacking(["nose é", "鼠左"]) == "左鼠"
    image = np.zeros((40, 200, 3), np.uint8)
    one, other = (contact_sheet([image], captions=[text]) for text in ("лапа", "клюв"))
    assert (one != other).any()
