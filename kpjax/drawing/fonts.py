"""Fonts for names in any alphabet: those of keypoints, files and animals are as their owners wrote them.

Pillow's own font has the letters of ASCII and few others, and draws a box for each that it lacks. So a text with such
letters is drawn in a font of this computer. Letters that no font has lose their accents, or become Python's escapes.
"""
import functools
import importlib.util
import os
import unicodedata
from collections.abc import Iterable
from pathlib import Path

from PIL import ImageFont

from kpjax.errors import InputError

VARIABLE = "KPJAX_FONT"  # names a font file, or several with the path separator between; they come first
# Fonts that systems usually have, those with many alphabets first. Pillow searches the folders of fonts for them.
USUAL = ("DejaVuSans.ttf", "NotoSans-Regular.ttf", "LiberationSans-Regular.ttf", "segoeui.ttf", "Arial Unicode.ttf",
         "arial.ttf", "NotoSansCJK-Regular.ttc", "NotoSansCJKsc-Regular.otf", "wqy-zenhei.ttc", "wqy-microhei.ttc",
         "ipag.ttf", "fonts-japanese-gothic.ttf", "NanumGothic.ttf", "msyh.ttc", "msgothic.ttc", "malgun.ttf",
         "Hiragino Sans GB.ttc", "AppleSDGothicNeo.ttc")
_ABSENT = "\uffff"  # a code that is no letter, and so drawn as a font draws what it lacks
_TRIED = 20  # px, at which letters are looked at


def text_and_font(text: str, size: int) -> tuple[str, ImageFont.FreeTypeFont]:
    """Returns a text as it can be drawn, in one line, and the font that has most of its letters.

    size: of the font in pixels. Raises InputError if KPJAX_FONT names no font.
    """
    text = unicodedata.normalize("NFC", " ".join(text.split()))
    name = _best(text)
    return "".join(letter if has_letter(name, letter) else _replaced(name, letter) for letter in text), font(name, size)


def lacking(texts: Iterable[str]) -> str:
    """Returns the letters of some texts that no font here has, sorted."""
    found: set[str] = set()
    for text in texts:
        text = unicodedata.normalize("NFC", text)
        name = _best(text)
        found |= {letter for letter in text if not has_letter(name, letter)}
    return "".join(sorted(found))


@functools.cache
def font(name: str, size: int) -> ImageFont.FreeTypeFont:
    """Returns a font of this computer, by its file; "" is Pillow's own."""
    return ImageFont.truetype(name, size) if name else ImageFont.load_default(size=size)


@functools.cache
def has_letter(name: str, letter: str) -> bool:
    """Returns whether a font of `font` has a letter."""
    if letter.isspace():
        return True
    found = font(name, _TRIED)
    return (bytes(found.getmask(letter)), found.getbbox(letter)) != (bytes(found.getmask(_ABSENT)),
                                                                      found.getbbox(_ABSENT))


def _best(text: str) -> str:
    """Returns the first font that has all letters of a text, else the first with most of them."""
    letters, best, most = set(text), "", -1
    for name in _given() + ("",):
        held = sum(has_letter(name, letter) for letter in letters)
        if held == len(letters):
            return name
        if held > most:
            best, most = name, held
    for name in _found():  # looked for only here: a text in ASCII needs none of them
        held = sum(has_letter(name, letter) for letter in letters)
        if held > most:
            best, most = name, held
    return best


def _given() -> tuple[str, ...]:
    names = tuple(filter(None, os.environ.get(VARIABLE, "").split(os.pathsep)))
    for name in names:
        try:
            font(name, _TRIED)
        except OSError:
            raise InputError(f"{VARIABLE}: {name} is no font file; name one that ends in .ttf, .otf or .ttc") from None
    return names


@functools.cache
def _found() -> tuple[str, ...]:
    """Returns the usual fonts that are here, and the one that matplotlib brings where it is installed."""
    names = list(USUAL)
    if (spec := importlib.util.find_spec("matplotlib")) and spec.origin:
        names.append(str(Path(spec.origin).parent / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf"))
    here = []
    for name in names:
        try:
            here.append(font(name, _TRIED).path)
        except OSError:
            continue
    return tuple(here)


def _replaced(name: str, letter: str) -> str:
    """Returns a letter without its accents if the font has that, else its escape."""
    plain = "".join(part for part in unicodedata.normalize("NFKD", letter) if not unicodedata.combining(part))
    if plain and plain != letter and all(has_letter(name, part) for part in plain):
        return plain
    return letter.encode("unicode_escape").decode()
