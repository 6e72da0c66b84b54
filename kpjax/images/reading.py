"""Image files as a viewer shows them."""
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from kpjax.errors import InputError


def read_image(path: Path) -> np.ndarray:
    """Reads an image (H, W, 3) uint8 as viewers show it: turned by its EXIF, grey as RGB, 16 bits as the upper 8.

    Raises InputError if it does not decode, or only in part.
    """
    try:
        with Image.open(path) as opened:
            image = ImageOps.exif_transpose(opened)
            if image.mode.startswith("I"):
                grey = np.clip(np.asarray(image, np.int64) >> 8, 0, 255).astype(np.uint8)
                return np.repeat(grey[..., None], 3, axis=-1)
            return np.asarray(image.convert("RGB"))
    # Pillow raises SyntaxError for a broken PNG and ValueError or its own error for sizes that make no sense.
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise InputError(f"{path}: {error}") from None
