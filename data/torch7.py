"""A reader of tensors in Torch7 files, the Lua serialisation used by LS3D-W. Little-endian, 64-bit.

An object starts with its kind (int32). An instance of one of Torch's classes continues with its
number (int32) and the version and name of its class. Each of these strings is a length (int32) and
that many bytes. A tensor continues with its number of dimensions (int32), sizes, strides, and the
index of its first number in the storage, from 1 (all int64). The storage follows as an object of
its own: a length (int64) and numbers.
"""

import struct
from pathlib import Path

import numpy as np

TORCH = 4  # the kind of instances of Torch's classes
DTYPES = {
    "Double": "<f8",
    "Float": "<f4",
    "Long": "<i8",
    "Int": "<i4",
    "Short": "<i2",
    "Byte": "u1",
    "Char": "i1",
}


def read_tensor(path: Path) -> np.ndarray:
    """Reads the single tensor of a file, in its own dtype.

    Raises ValueError if there is none or it is truncated.
    """
    content, offset = Path(path).read_bytes(), 0

    def take(form: str) -> tuple:
        nonlocal offset
        form = "<" + form
        values = struct.unpack_from(form, content, offset)
        offset += struct.calcsize(form)
        return values

    def text() -> str:
        (length,) = take("i")
        if not 0 <= length <= len(content) - offset:
            raise ValueError("this is not a Torch7 tensor")
        return take(f"{length}s")[0].decode("ascii", "replace")

    def class_of() -> str:
        if take("i") != (TORCH,):
            raise ValueError("this is not a Torch7 tensor")
        take("i")
        version = text()
        return text() if version.startswith("V ") else version  # old files have no version

    try:
        kind = class_of().removeprefix("torch.").removesuffix("Tensor")
        if kind not in DTYPES:
            raise ValueError(f"expected a tensor of numbers, found {kind!r}")
        (dimensions,) = take("i")
        if not 0 <= dimensions <= 8:
            raise ValueError(f"expected at most 8 dimensions, found {dimensions}")
        sizes, strides = take(f"{dimensions}q"), take(f"{dimensions}q")
        (first,) = take("q")
        class_of()
        (length,) = take("q")
        numbers = np.frombuffer(content, DTYPES[kind], length, offset)
    except struct.error as error:
        raise ValueError("the file is truncated") from error
    indices = np.full(sizes, first - 1)
    for axis, (size, stride) in enumerate(zip(sizes, strides, strict=True)):
        indices += stride * np.arange(size).reshape(
            [-1 if other == axis else 1 for other in range(dimensions)]
        )
    if indices.size and not (indices.min() >= 0 and indices.max() < length):
        raise ValueError("the tensor reaches beyond its storage")
    return numbers[indices]
