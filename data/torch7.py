"""A tensor from a file of Torch7, Lua's serialisation that LS3D-W is published in. Little-endian, 64-bit.

An object is its kind (int32), then, for Torch's classes, its number (int32), the version and the name of its class,
each a length (int32) and that many bytes. A tensor goes on with its number of dimensions (int32), sizes, strides, the
place of its first number in the storage counted from 1 (int64 all), and the storage as an object of its own: a length
(int64) and numbers.
"""
import struct
from pathlib import Path

import numpy as np

TORCH = 4  # the kind of object that is an instance of one of Torch's classes
DTYPES = {"Double": "<f8", "Float": "<f4", "Long": "<i8", "Int": "<i4", "Short": "<i2", "Byte": "u1", "Char": "i1"}


def read_tensor(path: Path) -> np.ndarray:
    """The one tensor that a file holds, in its own dtype. Raises ValueError for anything else, and what is cut off."""
    content, place = Path(path).read_bytes(), 0

    def take(form: str) -> tuple:
        nonlocal place
        form = "<" + form
        values = struct.unpack_from(form, content, place)
        place += struct.calcsize(form)
        return values

    def text() -> str:
        length, = take("i")
        if not 0 <= length <= len(content) - place:
            raise ValueError("it is no serialised tensor of Torch7")
        return take(f"{length}s")[0].decode("ascii", "replace")

    def class_of() -> str:
        if take("i") != (TORCH,):
            raise ValueError("it holds no tensor of Torch7")
        take("i")
        version = text()
        return text() if version.startswith("V ") else version  # old files have no version

    try:
        kind = class_of().removeprefix("torch.").removesuffix("Tensor")
        if kind not in DTYPES:
            raise ValueError(f"it holds {kind!r}, which is no tensor of numbers")
        dimensions, = take("i")
        if not 0 <= dimensions <= 8:
            raise ValueError(f"its tensor has {dimensions} dimensions")
        sizes, strides = take(f"{dimensions}q"), take(f"{dimensions}q")
        first, = take("q")
        class_of()
        length, = take("q")
        numbers = np.frombuffer(content, DTYPES[kind], length, place)
    except struct.error as error:
        raise ValueError("it is cut off") from error
    places = np.full(sizes, first - 1)
    for axis, (size, stride) in enumerate(zip(sizes, strides, strict=True)):
        places += stride * np.arange(size).reshape([-1 if other == axis else 1 for other in range(dimensions)])
    if places.size and not (places.min() >= 0 and places.max() < length):
        raise ValueError("its tensor reaches beyond its numbers")
    return numbers[places]
