"""Image files as a viewer shows them."""
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from kpjax.errors import InputError

# Not those of Pillow's formats that start a program (EPS) or that no camera and no tool for labels writes.
PILLOW_FORMATS = ("BMP", "DIB", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TGA", "TIFF", "WEBP")
# Pillow raises SyntaxError for a broken PNG, ValueError or its own error for sizes that make no sense, and others for
# damage within a file.
BROKEN = (OSError, SyntaxError, ValueError, TypeError, OverflowError, EOFError, KeyError, IndexError, MemoryError,
          AttributeError, Image.DecompressionBombError, struct.error, zlib.error)
_EXIF_ORIENTATION, _TURNED = 0x0112, (5, 6, 7, 8)  # the tag, and its values that exchange width and height


def image_size(path: Path) -> tuple[int, int]:
    """Returns width and height of an image as shown, from its header. Raises InputError if the file is not an image."""
    try:
        with Image.open(path, formats=PILLOW_FORMATS) as opened:
            width, height = opened.size
            return (height, width) if opened.getexif().get(_EXIF_ORIENTATION) in _TURNED else (width, height)
    except BROKEN as error:
        raise InputError(f"{path}: {_reason(error)}") from None


def read_image(path: Path) -> np.ndarray:
    """Reads an image (H, W, 3) uint8 as viewers show it: turned by its EXIF, grey as RGB, 16 bits as the upper 8.

    Raises InputError if it does not decode, or only in part.
    """
    try:
        with Image.open(path, formats=PILLOW_FORMATS) as image:
            ImageOps.exif_transpose(image, in_place=True)  # a copy only of an image that is turned
            if image.mode.startswith("I"):
                grey = np.clip(np.asarray(image, np.int64) >> 8, 0, 255).astype(np.uint8)
                return np.repeat(grey[..., None], 3, axis=-1)
            return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))
    except BROKEN as error:
        raise InputError(f"{path}: {_reason(error)}") from None


def _reason(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
