"""TensorFlow Lite files: dequantised convolutions, MoveNet's names, what is refused; and files of
all its layers.
"""

import chex
import numpy as np
import pytest
from tflite_files import ADD, CONVOLUTION, DEPTHWISE, Operator, Stored, write
from untrained import drawn, shapes, zeros

from kpjax.errors import InputError
from kpjax.models import MoveNet, load_movenet, load_movenet_heatmaps, movenet_lightning, to_torch
from kpjax.models.weights.pretrained import load_backbone, write_safetensors
from kpjax.models.weights.tflite import _movenet_layers, read_convolutions, read_movenet


def whole_numbers(shape, kind="int8", seed=0):
    low, high = np.iinfo(kind).min, np.iinfo(kind).max
    return np.random.default_rng(seed).integers(low, high, shape, dtype=kind, endpoint=True)


@pytest.mark.parametrize("old_codes", [True, False], ids=["codes of one byte", "of four"])
def test_numbers_have_a_scale_for_each_channel(tmp_path, old_codes):
    full, depthwise = whole_numbers((2, 3, 3, 4)), whole_numbers((1, 3, 3, 2))
    bias = whole_numbers((2,), "int32")
    path = write(
        tmp_path / "m.tflite",
        [
            Operator(
                CONVOLUTION,
                Stored(full, (0.5, 0.25), (0, 0)),
                Stored(bias, (2**-20, 2**-22), (0, 0)),
            ),
            Operator(
                ADD, Stored(np.ones(3, np.float64))
            ),  # numbers of other operators are not read
            Operator(DEPTHWISE, Stored(depthwise, (0.1, 0.2), (0, 0), axis=3)),
        ],
        old_codes=old_codes,
    )
    first, second = read_convolutions(path)
    assert (first.depthwise, second.depthwise) == (False, True)
    np.testing.assert_array_equal(
        first.kernel, np.float32([0.5, 0.25]).reshape(2, 1, 1, 1) * full.transpose(0, 3, 1, 2)
    )
    np.testing.assert_array_equal(first.bias, np.float32(bias * np.array([2.0**-20, 2.0**-22])))
    np.testing.assert_allclose(
        second.kernel,
        np.array([0.1, 0.2]).reshape(2, 1, 1, 1) * depthwise.transpose(3, 0, 1, 2),
        rtol=1e-6,
    )
    np.testing.assert_array_equal(second.bias, np.zeros(2))
    assert {array.dtype for array in (*first[:2], *second[:2])} == {np.dtype(np.float32)}


def test_numbers_have_one_scale_and_zero_point_for_a_tensor(tmp_path):
    kernel = whole_numbers((2, 1, 1, 3), "uint8")
    path = write(tmp_path / "m.tflite", [Operator(CONVOLUTION, Stored(kernel, (0.5,), (130,)))])
    (read,) = read_convolutions(path)
    np.testing.assert_array_equal(
        read.kernel[..., 0, 0], 0.5 * (kernel[:, 0, 0].astype(float) - 130)
    )


def test_a_truncated_file_is_refused_where_it_lacks_anything(tmp_path):
    path = write(
        tmp_path / "m.tflite",
        [
            Operator(
                CONVOLUTION,
                Stored(whole_numbers((2, 1, 1, 3)), (0.5,), (0,)),
                Stored(whole_numbers((2,), "int32"), (0.5,)),
            )
        ],
    )
    content, ((kernel, bias, _),), messages = path.read_bytes(), read_convolutions(path), []
    for length in range(8, len(content)):
        path.write_bytes(content[:length])
        try:
            (read,) = read_convolutions(path)
        except InputError as error:
            messages.append(str(error))
        else:  # the end is the input tensor, which is not read
            np.testing.assert_array_equal(read.kernel, kernel)
            np.testing.assert_array_equal(read.bias, bias)
    assert len(messages) > 0.8 * len(content)
    assert all(
        f"{path}: cannot be read (" in message or "is not a TensorFlow Lite model" in message
        for message in messages
    )


# MoveNet


def made_movenet():
    """MoveNet's operators, one number in each bias and kernel of a 1x1 convolution: its place."""
    names, depthwise = _movenet_layers()
    return [
        Operator(
            DEPTHWISE if name in depthwise else CONVOLUTION,
            Stored(np.full((1, 3, 3, 1) if name in depthwise else (1, 1, 1, 1), place, np.float32)),
            Stored(np.full(1, 0 if name.endswith(".depthwise") else place, np.float32)),
        )
        for place, name in enumerate(names)
    ]


def test_the_layers_of_movenet_get_their_names(tmp_path):
    tensors = read_movenet(write(tmp_path / "m.tflite", made_movenet()))
    places = {name: int(tensor.flat[0]) for name, tensor in tensors.items() if tensor.ndim == 4}
    assert len(places) == 52 + 4 + 3 * 2 + 4 * 3
    assert [
        name
        for name, place in sorted(places.items(), key=lambda item: item[1])
        if place in (0, 1, 2, 3, 9)
    ] == [
        "features.0.0.weight",
        "features.1.conv.0.0.weight",
        "features.1.conv.1.weight",
        "features.2.conv.0.0.weight",
        "final_layer.lateral4.weight",
    ]
    for name in (
        "features.18.0",
        "final_layer.lateral32",
        "final_layer.smooth4.pointwise",
        "final_layer.regression.output",
    ):
        assert tensors[f"{name}.bias"] == places[f"{name}.weight"]
    assert "final_layer.centre.depthwise.bias" not in tensors


def test_batch_norm_adds_the_folded_bias_and_nothing_else(tmp_path):
    tensors = read_movenet(write(tmp_path / "m.tflite", made_movenet()))
    norm = {
        leaf: tensors[f"features.5.conv.1.1.{leaf}"]
        for leaf in ("weight", "bias", "running_mean", "running_var")
    }
    x = np.float32([-3, 0, 5])
    y = (x - norm["running_mean"]) / np.sqrt(norm["running_var"] + 1e-5) * norm["weight"] + norm[
        "bias"
    ]
    np.testing.assert_allclose(y, x + tensors["features.5.conv.1.0.weight"].flat[0], rtol=1e-6)


def changed(place, operator):
    """MoveNet's operators with another one at a place."""
    whole = made_movenet()
    whole[place] = operator(whole[place])
    return whole


SMOOTH8 = _movenet_layers()[0].index("final_layer.smooth8.depthwise")


@pytest.mark.parametrize(
    ("read", "written", "said"),
    [
        (read_convolutions, b"", "is not a TensorFlow Lite"),
        (read_convolutions, b"TFL3", "is not a TensorFlow Lite"),
        (read_convolutions, b"no model at all", "is not a TensorFlow Lite model"),
        (
            read_convolutions,
            [Operator(CONVOLUTION, Stored(np.zeros((1, 1, 1, 1), np.float64)))],
            "numbers of type 10",
        ),
        (
            read_convolutions,
            [Operator(CONVOLUTION, Stored(np.zeros((1, 1, 1, 1), np.int8)))],
            "numbers without a scale",
        ),
        (
            read_convolutions,
            [Operator(CONVOLUTION, Stored(np.full((1, 1, 1, 1), np.nan, np.float32)))],
            "not finite",
        ),
        (
            read_convolutions,
            [Operator(CONVOLUTION, Stored(np.zeros((1, 1, 1, 1), np.int8), (1.0,) * 3, (0,) * 3))],
            "scales that do not fit",
        ),
        (read_movenet, made_movenet()[:-1], "its 73 convolutions are not those of MoveNet"),
        (
            read_movenet,
            [*made_movenet()[1::-1], *made_movenet()[2:]],
            "its 74 convolutions are not those of MoveNet",
        ),
        (
            read_movenet,
            changed(SMOOTH8, lambda one: one._replace(bias=Stored(np.ones(1, np.float32)))),
            r"final_layer\.smooth8\.depthwise has a bias",
        ),
        (
            lambda path: load_backbone({"params": {}, "batch_stats": {}}, path),
            [],
            "BatchNorm is folded",
        ),
        (
            lambda path: load_movenet_heatmaps(zeros(MoveNet().build(1)), path),
            [],
            "BatchNorm is folded.*--backbone-statistics frozen",
        ),
    ],
)
def test_what_cannot_be_read_is_refused(read, written, said, tmp_path):
    path = tmp_path / "m.tflite"
    if isinstance(written, bytes):
        path.write_bytes(written)
    else:
        write(path, written)
    with pytest.raises(InputError, match=rf"m\.tflite: .*{said}"):
        read(path)


# All layers of MoveNet


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Made-up weights of all layers, and a file of them."""
    variables = drawn(shapes(movenet_lightning()))
    path = tmp_path_factory.mktemp("weights") / "whole.safetensors"
    write_safetensors(
        path, {name: array for name, array in to_torch(variables).items() if array.ndim}
    )
    return variables, path


def test_a_file_fills_every_layer(whole):
    variables, path = whole
    read, report = load_movenet(zeros(movenet_lightning()), path)
    chex.assert_trees_all_equal(read, variables, strict=True)
    assert (len(report.matched), report.missing) == (294, ())
    assert {
        "features.0.0.weight",
        "features.18.0.bias",
        "final_layer.smooth16.depthwise.weight",
        "final_layer.centre.output.bias",
    } <= set(report.matched)


def test_as_a_heatmap_network_it_starts_with_the_published_heatmaps_of_what_it_knows(whole):
    variables, path = whole
    network = MoveNet(sigmoid=True).build(3)
    fresh = drawn(shapes(network), seed=1)
    read, report = load_movenet_heatmaps(fresh, path, channels=(5, -1, 0))
    for part in ("backbone", "upsampling"):
        chex.assert_trees_all_equal(read["params"][part], variables["params"][part], strict=True)
    theirs, ours = variables["params"]["head"]["heatmaps"], read["params"]["head"]["heatmaps"]
    chex.assert_trees_all_equal(ours["pointwise"], theirs["pointwise"], strict=True)
    for name, leaf in ours["output"].items():
        np.testing.assert_array_equal(leaf[..., [0, 2]], theirs["output"][name][..., [5, 0]])
        np.testing.assert_array_equal(
            leaf[..., 1], fresh["params"]["head"]["heatmaps"]["output"][name][..., 1]
        )
    assert report.missing
    _, report = load_movenet_heatmaps(fresh, path, channels=(5, 6, 0))
    assert not report.missing
