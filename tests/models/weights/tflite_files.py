"""Made-up TensorFlow Lite files of convolutions, written table by table."""

from typing import NamedTuple

import numpy as np
from flatbuffers import Builder

CONVOLUTION, DEPTHWISE, ADD = CODES = 3, 4, 0
TYPES = {"float32": 0, "int32": 2, "uint8": 3, "float64": 10, "int8": 9}


class Stored(NamedTuple):
    """Whole numbers as they are stored, or floats without a scale."""

    values: np.ndarray
    scale: tuple = ()
    zero_point: tuple = ()
    axis: int = 0


class Operator(NamedTuple):
    """A convolution with kernel (out, kh, kw, in), or (1, kh, kw, out), and bias; or another with
    any tensors.
    """

    code: int
    kernel: Stored
    bias: Stored | None = None


def write(path, operators, *, old_codes=True):
    """Writes a model with one graph.

    Tensor 0 is the input of every operator. old_codes: codes of one byte.
    """
    buffers, tensors, nodes, known = [{}], [tensor(Stored(np.zeros((0,), np.float32)), 0)], [], {}
    for operator in operators:
        inputs = [0]
        for stored in filter(None, operator[1:]):
            if id(stored) not in known:
                known[id(stored)] = len(tensors)
                tensors.append(tensor(stored, len(buffers)))
                buffers.append({0: np.frombuffer(stored.values.tobytes(), np.uint8)})
            inputs.append(known[id(stored)])
        nodes.append({0: ("Uint32", CODES.index(operator.code)), 1: np.array(inputs, np.int32)})
    codes = [{0: ("Int8", code)} if old_codes else {3: ("Int32", code)} for code in CODES]
    builder = Builder(0)
    builder.Finish(
        placed(builder, {0: ("Uint32", 3), 1: codes, 2: [{0: tensors, 3: nodes}], 4: buffers}),
        file_identifier=b"TFL3",
    )
    path.write_bytes(builder.Output())
    return path


def tensor(stored, buffer):
    """The table of a tensor whose numbers are in a buffer."""
    quantised = (
        {2: np.array(stored.scale, np.float32), 6: ("Int32", stored.axis)} if stored.scale else {}
    )
    if stored.zero_point:
        quantised[3] = np.array(stored.zero_point, np.int64)
    return {
        0: np.array(stored.values.shape, np.int32),
        1: ("Int8", TYPES[stored.values.dtype.name]),
        2: ("Uint32", buffer),
        **({4: quantised} if quantised else {}),
    }


def placed(builder, value):
    """Writes an array, a list of tables, or a table of slots: ("Kind", number) or what has a place
    of its own.
    """
    if isinstance(value, np.ndarray):
        return builder.CreateNumpyVector(value)
    if isinstance(value, list):
        places = [placed(builder, each) for each in value]
        builder.StartVector(4, len(places), 4)
        for place in reversed(places):
            builder.PrependUOffsetTRelative(place)
        return builder.EndVector()
    slots = {
        slot: each if isinstance(each, tuple) else ("UOffsetTRelative", placed(builder, each))
        for slot, each in value.items()
    }
    builder.StartObject(8)
    for slot, (kind, number) in slots.items():
        getattr(builder, f"Prepend{kind}Slot")(slot, number, 0)
    return builder.EndObject()
