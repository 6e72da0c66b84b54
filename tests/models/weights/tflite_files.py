"""Made-up TensorFlow Lite files of convolutions, written table by table."""
from typing import NamedTuple

import numpy as np
from flatbuffers import Builder

CONVOLUTION, DEPTHWISE, ADD = 3, 4, 0
TYPES = {"float32": 0, "int32": 2, "uint8": 3, "float64": 10, "int8": 9}


class Stored(NamedTuple):
    """Whole numbers as they are stored, or floats without a scale."""

    values: np.ndarray
    scale: tuple = ()
    zero_point: tuple = ()
    axis: int = 0


class Operator(NamedTuple):
    """A convolution with kernel (out, kh, kw, in), or (1, kh, kw, out), and bias; or another with any tensors."""

    code: int
    kernel: Stored
    bias: Stored | None = None


def write(path, operators, *, identifier=b"TFL3", old_codes=True):
    """Writes a model with one graph. Tensor 0 is the input of every operator. old_codes: codes of one byte."""
    builder = Builder(0)
    buffers, tensors, nodes = [_table(builder, {})], [_tensor(builder, Stored(np.zeros((0,), np.float32)), 0)], []
    known = {}
    for operator in operators:
        inputs = [0]
        for stored in operator[1:]:
            if stored is None:
                continue
            if id(stored) in known:
                inputs.append(known[id(stored)])
                continue
            known[id(stored)] = len(tensors)
            data = builder.CreateNumpyVector(np.frombuffer(stored.values.tobytes(), np.uint8))
            inputs.append(len(tensors))
            tensors.append(_tensor(builder, stored, len(buffers)))
            buffers.append(_table(builder, {0: ("UOffsetTRelative", data)}))
        places = builder.CreateNumpyVector(np.array(inputs, np.int32))
        nodes.append(_table(builder, {0: ("Uint32", (CONVOLUTION, DEPTHWISE, ADD).index(operator.code)),
                                      1: ("UOffsetTRelative", places)}))
    graph = _table(builder, {0: ("UOffsetTRelative", _vector(builder, tensors)),
                             3: ("UOffsetTRelative", _vector(builder, nodes))})
    codes = [_table(builder, {0 if old_codes else 3: ("Int8" if old_codes else "Int32", code)})
             for code in (CONVOLUTION, DEPTHWISE, ADD)]
    builder.Finish(_table(builder, {
        0: ("Uint32", 3), 1: ("UOffsetTRelative", _vector(builder, codes)),
        2: ("UOffsetTRelative", _vector(builder, [graph])), 4: ("UOffsetTRelative", _vector(builder, buffers))}),
        file_identifier=identifier)
    path.write_bytes(builder.Output())
    return path


def _tensor(builder, stored, buffer):
    shape = builder.CreateNumpyVector(np.array(stored.values.shape, np.int32))
    fields = {0: ("UOffsetTRelative", shape), 1: ("Int8", TYPES[stored.values.dtype.name]), 2: ("Uint32", buffer)}
    if stored.scale:
        scale = builder.CreateNumpyVector(np.array(stored.scale, np.float32))
        quantisation = {2: ("UOffsetTRelative", scale), 6: ("Int32", stored.axis)}
        if stored.zero_point:
            quantisation[3] = ("UOffsetTRelative", builder.CreateNumpyVector(np.array(stored.zero_point, np.int64)))
        fields[4] = ("UOffsetTRelative", _table(builder, quantisation))
    return _table(builder, fields)


def _table(builder, fields):
    builder.StartObject(8)
    for slot, (kind, value) in fields.items():
        getattr(builder, f"Prepend{kind}Slot")(slot, value, 0)
    return builder.EndObject()


def _vector(builder, tables):
    builder.StartVector(4, len(tables), 4)
    for table in reversed(tables):
        builder.PrependUOffsetTRelative(table)
    return builder.EndVector()
