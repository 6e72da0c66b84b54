"""Export of a run that was never trained, as an ONNX model; with a converter where one is there."""

import json
import sys

import chex
import numpy as np
import pytest
from own_runs import untrained_run

from kpjax.errors import InputError, RunError
from kpjax.images.transforms import AroundBox, Letterbox, PersonCrop, ScaledByBox, Stretch
from kpjax.lab.commands import Export, export as command
from kpjax.lab.commands.export import export, input_of
from kpjax.lab.onnx.model import COMMAND, _write_clamps, check_images
from kpjax.lab.predictors import open_predictor
from kpjax.structures import Skeleton

pytestmark = pytest.mark.usefixtures("symbolic_shapes_pass")
SIDE = 32
POINTS = Skeleton(("left", "middle", "right"), ((0, 1),), (2, 1, 0), {"ends": (0, 2)})


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The folder of a finished run."""
    return untrained_run(tmp_path_factory.mktemp("runs"), POINTS, transform="letterbox")


def test_what_a_model_is_given_is_said():
    whole, crop = input_of(Letterbox(37)), input_of(AroundBox(64, 1.5))
    assert (whole["shape"], crop["shape"]) == (["batch", 37, 37, 3], ["batch", 64, 64, 3])
    assert "letterboxed" in whole["made_by"]
    assert "1.5 times" in crop["made_by"]
    for transform in (Stretch(64), PersonCrop(64), ScaledByBox(AroundBox(64))):
        with pytest.raises(InputError, match="cannot be given images by"):
            input_of(transform)


@pytest.mark.parametrize("absent", ["jax2onnx", "onnxruntime"])
def test_without_the_converter_one_line_says_the_command(run, tmp_path, monkeypatch, absent):
    monkeypatch.setattr(command, "onnx_model", lambda *of: b"")
    if absent == "jax2onnx":
        monkeypatch.undo()
    monkeypatch.setitem(sys.modules, absent, None)
    with pytest.raises(InputError) as caught:
        export(Export(run=str(run), out=tmp_path / "model"))
    assert COMMAND in str(caught.value)
    assert not (tmp_path / "model").exists()


def with_difference(monkeypatch, difference):
    monkeypatch.setattr(command, "onnx_model", lambda *of: b"a model")
    monkeypatch.setattr(command, "difference_from", lambda *of: difference)
    monkeypatch.setattr(command, "version", lambda name: "0")


@pytest.mark.parametrize("difference", [0.02, float("inf"), float("nan")])
def test_a_model_that_finds_other_points_is_not_written(run, tmp_path, monkeypatch, difference):
    with_difference(monkeypatch, difference)
    with pytest.raises(RunError, match="px from the run's"):
        export(Export(run=str(run), out=tmp_path / "model"))
    assert not (tmp_path / "model").exists()


def test_the_folder_says_what_it_is(run, tmp_path, monkeypatch, capsys):
    with_difference(monkeypatch, 0.0005)
    out = export(Export(run=str(run), out=tmp_path / "model", licence="CC BY 4.0"))
    assert {path.name for path in out.iterdir()} == {
        "predict.onnx",
        "predictor.json",
        "README.md",
    }
    described = json.loads((out / "predictor.json").read_text())
    assert described["skeleton"]["names"] == list(POINTS.names)
    assert described["input"]["shape"] == ["batch", SIDE, SIDE, 3]
    assert described["largest_difference_px"] == 0.0005
    card = (out / "README.md").read_text()
    assert all(words in card for words in ("CC BY 4.0", "left, middle, right", "predict.onnx"))
    assert "no licence" not in capsys.readouterr().out


def test_clamps_of_an_onnx_model_are_one_operation_and_compute_the_same():
    pytest.importorskip("onnx")
    from onnx import TensorProto, helper
    from onnx.reference import ReferenceEvaluator

    def one(kind, *names):
        return helper.make_node(kind, names[:-1], names[-1:])

    floats = {"zero": 0.0, "six": 6.0, "least": 0.5}
    graph = helper.make_graph(
        [
            *(one("Max", "x", "zero", "a"), one("Min", "a", "six", "clipped")),
            *(one("Max", "x", "zero", "b"), one("Min", "b", "x", "with_x")),  # no clamp
            *(one("Max", "x", "zero", "relu"), one("Min", "relu", "six", "both")),
            one("Max", "x", "least", "other"),
        ],
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None])],
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, [None])
            for name in ("clipped", "with_x", "relu", "both", "other")
        ],
        [helper.make_tensor(name, TensorProto.FLOAT, [], [at]) for name, at in floats.items()],
    )
    model = helper.make_model(graph)
    x = {"x": np.array([-2.0, 0.25, 3.0, 9.0], np.float32)}
    before = ReferenceEvaluator(model).run(None, x)
    _write_clamps(model.graph)
    kinds = [node.op_type for node in model.graph.node]
    assert kinds == ["Clip", "Relu", "Min", "Relu", "Clip", "Max"]
    chex.assert_trees_all_equal(ReferenceEvaluator(model).run(None, x), before)


def test_an_onnx_model_predicts_as_its_run(run, tmp_path):
    pytest.importorskip("jax2onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    out = export(Export(run=str(run), out=tmp_path / "model"))
    session = onnxruntime.InferenceSession(out / "predict.onnx")
    images = check_images(SIDE)
    found = session.run(None, {"images": images})
    alone = session.run(None, {"images": images[1:]})
    wanted = open_predictor(run).predict(images)
    for result, single, right in zip(found, alone, wanted, strict=True):
        np.testing.assert_allclose(result[1:], single, atol=1e-5)  # a batch of any size
        np.testing.assert_allclose(result, right, atol=1e-2)
