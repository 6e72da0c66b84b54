"""Files of all layers of MoveNet: what they fill, what they start, and which are refused."""
import jax
import numpy as np
import pytest
from untrained import drawn, shapes, zeros

from kpjax.errors import InputError
from kpjax.models import (
    MoveNet,
    load_movenet,
    load_movenet_heatmaps,
    movenet_lightning,
    to_torch,
)
from kpjax.models.weights.pretrained import write_safetensors


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Made-up weights of all layers, and a file of them."""
    variables = drawn(shapes(movenet_lightning()))
    path = tmp_path_factory.mktemp("weights") / "whole.safetensors"
    write_safetensors(path, {name: array for name, array in to_torch(variables).items() if array.ndim})
    return variables, path


def test_a_file_fills_every_layer(whole):
    variables, path = whole
    read, report = load_movenet(zeros(movenet_lightning()), path)
    jax.tree.map(np.testing.assert_array_equal, read, variables)
    assert (len(report.matched), report.missing) == (294, ())
    assert {"features.0.0.weight", "features.18.0.bias", "final_layer.smooth16.depthwise.weight",
            "final_layer.centre.output.bias"} <= set(report.matched)


def test_as_a_heatmap_network_it_starts_with_the_published_heatmaps_of_what_it_knows(whole):
    variables, path = whole
    network = MoveNet(sigmoid=True).build(3)
    fresh = drawn(shapes(network), seed=1)
    read, report = load_movenet_heatmaps(fresh, path, channels=(5, -1, 0))
    for part in ("backbone", "upsampling"):
        jax.tree.map(np.testing.assert_array_equal, read["params"][part], variables["params"][part])
    theirs, ours = variables["params"]["head"]["heatmaps"], read["params"]["head"]["heatmaps"]
    jax.tree.map(np.testing.assert_array_equal, ours["pointwise"], theirs["pointwise"])
    for name, leaf in ours["output"].items():
        np.testing.assert_array_equal(leaf[..., [0, 2]], theirs["output"][name][..., [5, 0]])
        np.testing.assert_array_equal(leaf[..., 1], fresh["params"]["head"]["heatmaps"]["output"][name][..., 1])
    assert report.missing
    _, report = load_movenet_heatmaps(fresh, path, channels=(5, 6, 0))
    assert not report.missing


def test_the_published_file_trains_on_its_own_statistics_alone(tmp_path):
    with pytest.raises(InputError, match=r"m\.tflite: its BatchNorm is folded.*--backbone-statistics frozen"):
        load_movenet_heatmaps(zeros(MoveNet().build(1)), tmp_path / "m.tflite")
