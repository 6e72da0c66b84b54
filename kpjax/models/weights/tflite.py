"""Convolutions of published TensorFlow Lite files as arrays of floats, and MoveNet Lightning's
under its names.

The tables of such a file (a FlatBuffer with the identifier TFL3) are read by their places in
TensorFlow's `schema.fbs`; no code of TensorFlow is needed, and nothing in the file is run.
"""

from collections.abc import Iterator
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from flatbuffers import encode, number_types
from flatbuffers.table import Table

from kpjax.errors import InputError
from kpjax.files import foreign, read_content
from kpjax.models.layers import EPSILON

IDENTIFIER = b"TFL3"
# Places of fields in their tables, by the order of schema.fbs.
MODEL_OPERATOR_CODES = 1
MODEL_SUBGRAPHS = 2
MODEL_BUFFERS = 4
CODE_OLD, CODE = 0, 3  # one byte, and since 2020 four: the larger is meant
GRAPH_TENSORS = 0
GRAPH_OPERATORS = 3
TENSOR_SHAPE = 0
TENSOR_TYPE = 1
TENSOR_BUFFER = 2
TENSOR_QUANTISATION = 4
QUANTISATION_SCALE = 2
QUANTISATION_ZERO_POINT = 3
QUANTISATION_AXIS = 6
OPERATOR_CODE = 0
OPERATOR_INPUTS = 1
BUFFER_DATA = 0
CONVOLUTION, DEPTHWISE = 3, 4  # codes of operators
DTYPES = MappingProxyType({0: "<f4", 2: "<i4", 3: "u1", 9: "i1"})  # by the code of a tensor's type

# MoveNet's layers in the order of its file: the pyramid's 1x1 convolutions follow the blocks that
# they read.
LATERALS = MappingProxyType({3: "lateral4", 6: "lateral8", 10: "lateral16"})
BLOCKS = 17
SMOOTH = ("smooth16", "smooth8", "smooth4")
HEADS = ("centre", "heatmaps", "offsets", "regression")


class FoldedConvolution(NamedTuple):
    """A convolution in PyTorch's layout; BatchNorm that followed it is part of its numbers."""

    kernel: np.ndarray  # (out, in, kh, kw) float32; (out, 1, kh, kw) of a depthwise one
    bias: np.ndarray  # (out,) float32, zero where the file has none
    depthwise: bool


def read_convolutions(path: str | Path) -> tuple[FoldedConvolution, ...]:
    """Returns all convolutions of a .tflite file in the order in which they run, as float32.

    A quantised number is scale (number - zero point), with one scale for a tensor or one for each
    channel; uint8, int8 and int32 are read so, and float32 as it is.

    Raises:
        InputError: if the file cannot be read, is damaged or not a model, or has numbers of another
            kind.
    """
    content = read_content(Path(path))
    if content[4:8] != IDENTIFIER:
        raise InputError(f"{path}: is not a TensorFlow Lite model; give a .tflite file")
    with foreign(path, "fetch the TensorFlow Lite model again"):
        found = tuple(_convolutions(content))
        if not all(
            np.isfinite(array).all() for kernel, bias, _ in found for array in (kernel, bias)
        ):
            raise ValueError("numbers that are not finite")
        return found


def read_movenet(path: str | Path) -> dict[str, np.ndarray]:
    """Reads MoveNet Lightning from `movenet_single_pose_lightning_ptq.tflite` as
    `kpjax.models.movenet` names it.

    The tensors have the names and layouts of the safetensors file of the same weights
    (torchvision's, kernels OIHW). Kernels and biases are equal up to rounding. BatchNorm was folded
    into the trunk when the .tflite was written: it has mean 0, variance 1 - 1e-5 and weight 1 here,
    and the folded bias as its bias, where the safetensors file has the mean m and variance v of
    natural images, weight sqrt(v + 1e-5) and bias (folded bias + m). In evaluation mode both are
    the same function. For training with statistics of batches the safetensors file is needed.

    Raises:
        InputError: as `read_convolutions`, and for a file with other layers than MoveNet's. Their
            widths are checked when a network is filled.
    """
    convolutions = read_convolutions(path)
    names, depthwise = _movenet_layers()
    if [convolution.depthwise for convolution in convolutions] != [
        name in depthwise for name in names
    ]:
        raise InputError(
            f"{path}: its {len(convolutions)} convolutions are not those of MoveNet Lightning; give "
            "movenet_single_pose_lightning_ptq.tflite of google-coral/test_data"
        )
    tensors: dict[str, np.ndarray] = {}
    for name, (kernel, bias, _) in zip(names, convolutions, strict=True):
        tensors[f"{name}.weight"] = kernel
        if name.endswith(".depthwise"):
            if bias.any():
                raise InputError(
                    f"{path}: {name} has a bias, and MoveNet Lightning's has none; give "
                    "movenet_single_pose_lightning_ptq.tflite of google-coral/test_data"
                )
        elif name.startswith("final_layer.") or name == "features.18.0":
            tensors[f"{name}.bias"] = bias
        else:
            tensors |= _batch_norm(name, bias)
    return tensors


def _movenet_layers() -> tuple[list[str], set[str]]:
    """Returns the names of all convolutions in order, and of those that are depthwise."""
    names = ["features.0.0"]
    depthwise = set()
    for number in range(1, BLOCKS + 1):
        # The first block does not widen its input.
        layers = ("0.0", "1") if number == 1 else ("0.0", "1.0", "2")
        names += [f"features.{number}.conv.{layer}" for layer in layers]
        depthwise.add(names[-2])
        if number in LATERALS:
            names.append(f"final_layer.{LATERALS[number]}")
    names += ["features.18.0", "final_layer.lateral32"]
    for part in (*SMOOTH, *HEADS):
        names += [f"final_layer.{part}.{layer}" for layer in ("depthwise", "pointwise")]
        depthwise.add(names[-2])
        if part in HEADS:
            names.append(f"final_layer.{part}.output")
    return names, depthwise


def _batch_norm(convolution: str, bias: np.ndarray) -> dict[str, np.ndarray]:
    """Returns a BatchNorm that adds a bias and changes nothing else, under torchvision's name
    behind a convolution.
    """
    parent, _, place = convolution.rpartition(".")
    name = f"{parent}.{int(place) + 1}"
    ones = np.ones_like(bias)
    return {
        f"{name}.weight": ones,
        f"{name}.bias": bias,
        f"{name}.running_mean": 0 * ones,
        f"{name}.running_var": ones - np.float32(EPSILON),
    }


# The file's tables


def _convolutions(content: bytes) -> Iterator[FoldedConvolution]:
    model = Table(content, encode.Get(number_types.UOffsetTFlags.packer_type, content, 0))
    codes = [
        max(
            _number(code, CODE_OLD, number_types.Int8Flags),
            _number(code, CODE, number_types.Int32Flags),
        )
        for code in _tables(model, MODEL_OPERATOR_CODES)
    ]
    graph = _tables(model, MODEL_SUBGRAPHS)[0]
    buffers = _tables(model, MODEL_BUFFERS)
    tensors = _tables(graph, GRAPH_TENSORS)
    room = len(content)
    for operator in _tables(graph, GRAPH_OPERATORS):
        code = codes[_number(operator, OPERATOR_CODE, number_types.Uint32Flags)]
        if code not in (CONVOLUTION, DEPTHWISE):
            continue
        _, kernel, *bias = (
            int(place) for place in _numbers(operator, OPERATOR_INPUTS, number_types.Int32Flags)
        )
        values = _floats(tensors[kernel], buffers)
        # Many operators may name one tensor: each of a whole file adds to it.
        room -= values.size
        if room < 0:
            raise ValueError("more numbers in its kernels than the file has bytes")
        # (out, kh, kw, in), or (1, kh, kw, out) of a depthwise convolution
        axes = (3, 0, 1, 2) if code == DEPTHWISE else (0, 3, 1, 2)
        values = values.transpose(*axes)
        given = bias and bias[0] >= 0
        yield FoldedConvolution(
            np.ascontiguousarray(values),
            _floats(tensors[bias[0]], buffers) if given else np.zeros(len(values), np.float32),
            code == DEPTHWISE,
        )


def _floats(tensor: Table, buffers: list[Table]) -> np.ndarray:
    """Returns the values of a constant tensor as float32."""
    shape = _numbers(tensor, TENSOR_SHAPE, number_types.Int32Flags)
    kind = _number(tensor, TENSOR_TYPE, number_types.Int8Flags)
    if kind not in DTYPES:
        raise ValueError(
            f"numbers of type {kind} of TensorFlow Lite; a model of float32, int8 or uint8 is read"
        )
    data = _numbers(
        buffers[_number(tensor, TENSOR_BUFFER, number_types.Uint32Flags)],
        BUFFER_DATA,
        number_types.Uint8Flags,
    )
    values = data.view(DTYPES[kind]).reshape(shape)
    place = tensor.Offset(_entry(TENSOR_QUANTISATION))
    quantisation = Table(tensor.Bytes, tensor.Indirect(tensor.Pos + place)) if place else None
    scale = (
        _numbers(quantisation, QUANTISATION_SCALE, number_types.Float32Flags)
        if place
        else np.zeros(0)
    )
    if not scale.size:
        if values.dtype.kind != "f":
            raise ValueError("whole numbers without a scale among its weights")
        return values.astype(np.float32)
    zero_point = _numbers(quantisation, QUANTISATION_ZERO_POINT, number_types.Int64Flags)
    along = [1] * values.ndim
    axis = _number(quantisation, QUANTISATION_AXIS, number_types.Int32Flags)
    along[axis] = -1
    if scale.size not in (1, values.shape[axis]):
        raise ValueError("scales that do not fit its weights")
    zero_point = zero_point if zero_point.size else np.zeros_like(scale, np.int64)
    return (
        scale.astype(np.float64).reshape(along)
        * (values.astype(np.int64) - zero_point.reshape(along))
    ).astype(np.float32)


def _entry(field: int) -> int:
    """Returns the place in a table's list of fields, which follow two numbers of two bytes."""
    return 4 + 2 * field


def _number(table: Table, field: int, kind: Any) -> int:
    place = table.Offset(_entry(field))
    if not place:
        return 0
    return table.Get(kind, table.Pos + place)


def _numbers(table: Table, field: int, kind: Any) -> np.ndarray:
    place = table.Offset(_entry(field))
    if place:
        return table.GetVectorAsNumpy(kind, place)
    return np.zeros(0, np.int64)


def _tables(table: Table, field: int) -> list[Table]:
    place = table.Offset(_entry(field))
    if not place:
        return []
    start = table.Vector(place)
    return [
        Table(table.Bytes, table.Indirect(start + 4 * number))
        for number in range(table.VectorLen(place))
    ]
