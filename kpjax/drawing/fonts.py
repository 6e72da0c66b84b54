"""The font of names on images: DejaVu, which matplotlib brings, or the one that KPJAX_FONT names.

DejaVu has the alphabets of Europe and several others, and none of Chinese, Japanese or Korean. A
letter that the font lacks becomes Python's escape, so that names which differ look different.
"""

import functools
import os
import unicodedata
from collections.abc import Iterable

from PIL import ImageFont

from kpjax.errors import InputError

VARIABLE = "KPJAX_FONT"  # names a font file
_ABSENT = "\uffff"  # a code that is no letter, and so drawn as a font draws what it lacks


def text_and_font(text: str, size: int) -> tuple[str, ImageFont.FreeTypeFont]:
    """Returns a text as it can be drawn, in one line, and its font, of so many pixels.

    Raises InputError if KPJAX_FONT names no font.
    """
    name = os.environ.get(VARIABLE, "")
    text = unicodedata.normalize("NFC", " ".join(text.split()))
    return "".join(
        letter if has_letter(name, letter) else letter.encode("unicode_escape").decode()
        for letter in text
    ), font(name, size)


def lacking(texts: Iterable[str]) -> str:
    """Returns the letters of some texts that the font does not have, sorted."""
    name = os.environ.get(VARIABLE, "")
    return "".join(
        sorted(
            {
                letter
                for text in texts
                for letter in unicodedata.normalize("NFC", text)
                if not has_letter(name, letter)
            }
        )
    )


@functools.cache
def font(name: str, size: int) -> ImageFont.FreeTypeFont:
    """Returns a font by its file; "" is DejaVu."""
    import matplotlib

    try:
        return ImageFont.truetype(
            name or f"{matplotlib.get_data_path()}/fonts/ttf/DejaVuSans.ttf", size
        )
    except OSError:
        raise InputError(
            f"{VARIABLE}: {name} is no font file; name one that ends in .ttf, .otf or .ttc"
        ) from None


@functools.cache
def has_letter(name: str, letter: str) -> bool:
    """Returns whether a font of `font` has a letter."""
    found = font(name, 20)
    if letter.isspace():
        return True
    return bytes(found.getmask(letter)) != bytes(found.getmask(_ABSENT))
