"""Image files as a viewer shows them.

A file holds one image: stacks and animations are refused. Grey, palettes, black and white, and
other colours become RGB; transparency is ignored. Whole numbers of 9 to 16 bits become 8. Wider and
negative ones and floating point have no scale that all files agree on, and are refused.

Cameras of 10, 12 and 14 bits store their values in 16. Shown by its upper 8 bits, such an image is
nearly black. Here the highest value decides how many bits are in use, once for all images that
belong together (`common_depth`), so that their brightness does not flicker.
"""

import hashlib
import re
import struct
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from kpjax.errors import InputError
from kpjax.files import sha256_of

# Not those of raw streams (.h264), which have no times: FFmpeg makes some up.
VIDEO_SUFFIXES = (
    *(".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv", ".ogv"),
    *(".ts", ".mts", ".m2ts"),
)
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")
LOSSLESS = (".png", ".bmp", ".tif", ".tiff")
# Not those of Pillow's formats that start a program (EPS) or that no camera and no tool for labels
# writes.
PILLOW_FORMATS = ("BMP", "DIB", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TGA", "TIFF", "WEBP")
# Pillow raises SyntaxError for a broken PNG, ValueError or its own error for sizes that make no
# sense, and others for damage within a file.
BROKEN = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    OverflowError,
    EOFError,
    KeyError,
    IndexError,
    MemoryError,
    AttributeError,
    Image.DecompressionBombError,
    struct.error,
    zlib.error,
)
DEPTHS = (8, 10, 12, 14, 16)  # bits that cameras have
_LOOKED_AT = 48  # images of a set, to find its depth
# order of the two bytes of a 16-bit value; N is this machine's
_OTHER_ORDER = {"B": "L", "L": "B", "N": "B"}
_SUBFILE_TYPE = 254  # TIFF tag; its lowest bit marks a smaller copy of another page
_SIDES = (256, 257)  # TIFF tags: width and height as they are stored
# names of the parts of a PNG file in which Pillow finds EXIF tags
_EXIF_IN_PNG = b"eXIf", b"Raw profile type exif", b"XML:com.adobe.xmp"
# the tag, and its values that exchange width and height
_EXIF_ORIENTATION = 0x0112
_TURNED = (5, 6, 7, 8)


def image_size(path: Path) -> tuple[int, int]:
    """Returns width and height of an image as shown, from its header.

    Raises InputError if the file is not an image.
    """
    try:
        with Image.open(path, formats=PILLOW_FORMATS) as opened:
            _refuse_pages(opened, path)
            width, height = _stored_size(opened)
            if _exif_of(opened, path).get(_EXIF_ORIENTATION) in _TURNED:
                return (height, width)
            return (width, height)
    except BROKEN as error:
        raise InputError(f"{path}: {_reason(error)}") from None


def _stored_size(opened: Image.Image) -> tuple[int, int]:
    """Returns width and height of an image before its EXIF tag turns it; Pillow may have exchanged
    those of a TIFF file already.
    """
    if opened.format == "TIFF":
        width, height = (int(opened.tag_v2[side]) for side in _SIDES)
        return (width, height)
    return opened.size


def _exif_of(opened: Image.Image, path: Path) -> Mapping[int, object]:
    """Returns the EXIF tags of an image whose pixels are not needed: Pillow decodes a PNG file to look
    for them behind its pixels.
    """
    if opened.format == "PNG":
        content = path.read_bytes()
        if not any(word in content for word in _EXIF_IN_PNG):
            return {}
    return opened.getexif()


def is_turned(path: Path, stated: tuple[int, int] = (0, 0)) -> bool:
    """Returns whether viewers turn or mirror a readable image by its EXIF tag, and a stated size
    allows it.
    """
    with Image.open(path, formats=PILLOW_FORMATS) as opened:
        return _exif_of(opened, path).get(_EXIF_ORIENTATION, 1) in range(2, 9) and stated in (
            (0, 0),
            _stored_size(opened),
        )


def read_image(path: Path, depth: int = 0) -> np.ndarray:
    """Reads an image (H, W, 3) uint8 as viewers show it: turned by its EXIF, grey as RGB, more than
    8 bits as 8.

    depth: Bits in use where values have 16 (`common_depth`); 0 takes those that this image's own
    highest value needs. Raises InputError if it does not decode, or only in part.
    """
    try:
        with Image.open(path, formats=PILLOW_FORMATS) as image:
            _forbid_mapping(image)
            _refuse_pages(image, path)
            if image.mode == "F":
                raise InputError(
                    f"{path}: floating-point values have no common scale; save it with 8 or 16 bits"
                )
            # Pillow reads planes of 16 bits as bytes, and does not turn deep white-is-zero around.
            if (
                image.format == "TIFF"
                and max(image.tag_v2.get(258, (1,))) > 8
                and (
                    image.tag_v2.get(262) == 0
                    or (image.mode.startswith("RGB") and not is_deep(image))
                )
            ):
                raise InputError(
                    f"{path}: 16 bits in planes, or with white as 0, cannot be read; save it otherwise"
                )
            if is_deep(image):
                values = _deep_values(image, path)
                return eight_bits(values, depth or depth_of(int(values.max(initial=0))))
            ImageOps.exif_transpose(image, in_place=True)  # a copy only of an image that is turned
            return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))
    except BROKEN as error:
        raise InputError(f"{path}: {_reason(error)}") from None


def content_digest(path: Path) -> str:
    """Returns the sha256 of what a file says: of its pixels (H, W, 3) where it is an image that every
    program decodes alike, so that it may be saved again; of its bytes for all else.

    Images of more than 8 bits count by their bytes, and so do files that do not decode. Raises
    InputError if it is missing.
    """
    if path.suffix.lower() not in LOSSLESS:
        return sha256_of(path)
    try:
        with Image.open(path, formats=PILLOW_FORMATS) as image:
            if is_deep(image):
                return sha256_of(path)
        pixels = read_image(path)
    except (*BROKEN, InputError):
        return sha256_of(path)
    return hashlib.sha256(f"{pixels.shape}".encode() + pixels.tobytes()).hexdigest()


def _forbid_mapping(image: Image.Image) -> None:
    """Keeps Pillow from mapping a grey TIFF file into memory: turned ones have scrambled pixels then
    (Pillow 13.0). It does so where it knows the name of the file.
    """
    if image.format == "TIFF":
        image.filename = ""


# More than 8 bits


def depth_of(peak: int) -> int:
    """Returns the bits of the smallest camera depth that holds a value, at most 16."""
    return next((depth for depth in DEPTHS if peak < 1 << depth), DEPTHS[-1])


def common_depth(files: Sequence[Path]) -> int:
    """Returns the depth of images that belong together, from the highest value of up to 48 of them.

    Returns 0 if none of these has more than 8 bits. Files that cannot be read do not count.
    """
    peak = -1
    for file in spread(files, _LOOKED_AT):
        try:
            if not file.is_file():  # opening a pipe would wait for somebody to write
                continue
            with Image.open(file, formats=PILLOW_FORMATS) as image:
                if is_deep(image):
                    peak = max(peak, int(_deep_values(image, file).max(initial=0)))
        except (*BROKEN, InputError):
            continue
    return 0 if peak < 0 else depth_of(peak)


def depth_note(depth: int) -> str:
    """Returns a line about images whose values have 16 bits, and how many are in use."""
    return f"images of 16 bits, values up to {(1 << depth) - 1} in use: read as {depth} bits"


def eight_bits(values: np.ndarray, depth: int) -> np.ndarray:
    """Returns values (H, W) or (H, W, 3) of a depth as (H, W, 3) uint8: the upper 8 bits, higher
    values at 255.
    """
    largest = (1 << depth) - 1
    image = (np.clip(values, 0, largest) >> depth - 8).astype(np.uint8)
    if image.ndim == 3:
        return image
    return np.repeat(image[..., None], 3, axis=-1)


def is_deep(image: Image.Image) -> bool:
    """Returns whether an opened image has integers of more than 8 bits."""
    return image.mode.startswith("I") or bool(_raw_mode(image))


def spread(things: Sequence, count: int) -> list:
    """Returns at most `count` things, evenly spread over all, the first and the last among them."""
    return [
        things[number]
        for number in np.unique(
            np.linspace(0, len(things) - 1, min(count, len(things))).round().astype(int)
        ).tolist()
    ]


def _refuse_pages(image: Image.Image, path: Path) -> None:
    """Raises InputError for several images in a file, besides previews of the first."""
    if image.format == "MPO":  # a photo, and what its camera adds: previews, brightness or depth
        return
    pages = getattr(image, "n_frames", 1)
    if pages > 1 and image.format == "TIFF":
        subfile_types = []
        for page in range(pages):
            image.seek(page)
            subfile_types.append(image.tag_v2.get(_SUBFILE_TYPE, 0))
        image.seek(0)
        pages = sum(not kind & 1 for kind in subfile_types)
    if pages > 1:
        raise InputError(
            f"{path}: {pages} images in one file; save them as a video, or as a folder of one file each"
        )


def _raw_mode(image: Image.Image) -> str:
    """Returns Pillow's name of the stored bytes where they are 16-bit colours; "" for all else."""
    arguments = image.tile[0].args if image.tile else ""
    raw = arguments[0] if isinstance(arguments, tuple) and arguments else arguments
    if isinstance(raw, str) and re.fullmatch(r"(RGB|RGBA|RGBX|LA);16[BLN]", raw):
        return raw
    return ""


def _deep_values(image: Image.Image, path: Path) -> np.ndarray:
    """Returns (H, W) or (H, W, 3) uint16."""
    raw = _raw_mode(image)
    if not raw:
        ImageOps.exif_transpose(image, in_place=True)
        values = np.asarray(image)
        if values.min(initial=0) < 0 or int(values.max(initial=0)) >> DEPTHS[-1]:
            raise InputError(
                f"{path}: values from {values.min()} to {values.max()}, and 0 to 65535 are read; save it "
                "with 8 or 16 bits"
            )
        return values.astype(np.uint16)
    if raw.startswith("LA"):
        raise InputError(
            f"{path}: grey of 16 bits with transparency cannot be read; save it without transparency"
        )
    values = _halves(path, raw).astype(np.uint16)
    values <<= 8
    # Pillow keeps one byte of each 16-bit colour; read in the other byte order, it is the lower
    # one.
    other = raw[:-1] + _OTHER_ORDER[raw[-1]]
    values |= _halves(path, other)
    return values


def _halves(path: Path, raw: str) -> np.ndarray:
    """Returns (H, W, 3) uint8 of an image whose stored bytes have a name of Pillow's."""
    with Image.open(path, formats=PILLOW_FORMATS) as image:
        _forbid_mapping(image)
        image.tile = [
            tile._replace(args=(raw, *tile.args[1:]) if isinstance(tile.args, tuple) else raw)
            for tile in image.tile
        ]
        ImageOps.exif_transpose(image, in_place=True)
        return np.asarray(image)[..., :3]


def _reason(error: BaseException) -> str:
    if isinstance(error, Image.DecompressionBombError) and (
        pixels := re.search(r"\d+", str(error))
    ):
        # Pillow's own words speak of an attack, and its limit guards against one.
        return (
            f"{int(pixels[0]) / 1e6:.3g} megapixels, and at most {2 * Image.MAX_IMAGE_PIXELS / 1e6:.3g} are read; "
            "save a smaller copy"
        )
    return " ".join(str(error).split()) or type(error).__name__
