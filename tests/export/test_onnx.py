"""ONNX models of a run, beside the run itself; and which points are ties."""
import json
import subprocess
import sys

import numpy as np
import pytest
import test_export

from experiments.commands import Export
from experiments.commands.export import export
from experiments.engine.predictors import open_predictor, open_run
from kpjax.errors import InputError
from kpjax.export import onnx, standalone

pytestmark = pytest.mark.filterwarnings("ignore")  # those of the converter
run = test_export.run  # its fixture: a run that was never trained
REFUSE_JAX = ("import runpy, sys; sys.modules['jax'] = None; sys.argv = sys.argv[1:]; "
              "runpy.run_path(sys.argv[0], run_name='__main__')")


@pytest.fixture(scope="module")
def exported(run, tmp_path_factory):
    """Its folder with an ONNX model, and what the command said."""
    pytest.importorskip("jax2onnx", reason="jax2onnx, the converter, is not installed")
    pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")
    said = []
    return export(Export(run=run, out=tmp_path_factory.mktemp("onnx") / "predictor", to="onnx"), tell=said.append), said


def test_twenty_images_without_jax(run, exported):
    folder, said = exported
    assert sorted(path.name for path in folder.iterdir()) == ["predict.onnx", "predictor.json", "run.py"]
    assert any("20 images by ONNX Runtime: heatmaps within" in line for line in said)
    opened = open_run(run)
    images = np.random.default_rng(0).integers(0, 256, (20, test_export.SIDE, test_export.SIDE, 3), np.uint8)
    ours, theirs = onnx.outputs_of_run(opened.method, opened.trained, images), onnx.run_model(
        folder / "predict.onnx", images)
    found = onnx.difference(ours, theirs, opened.method.skeleton.names)
    assert found.small, found
    np.testing.assert_allclose(theirs.scores, ours.scores, atol=1e-4)
    done = subprocess.run([sys.executable, "-c", REFUSE_JAX, str(folder / "run.py"), "--self-test", "0.05"],
                          capture_output=True, text=True, check=False)
    assert done.stdout.startswith("self-test: at most"), done.stderr


def test_it_predicts_and_is_no_run(exported):
    folder, _ = exported
    predictor = open_predictor(folder)
    for size in (1, 3):
        keypoints, scores = predictor.predict(test_export.noise(size, test_export.SIDE, test_export.SIDE, 3))
        assert (keypoints.shape, scores.shape) == ((size, 3, 2), (size, 3))
    with pytest.raises(InputError, match="is an ONNX model"):
        open_run(folder)
    assert json.loads((folder / standalone.DESCRIPTION).read_text())["versions"]["opset"] == onnx.OPSET


def test_without_the_converter_one_line_says_what_to_install(run, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "jax2onnx", None)
    with pytest.raises(InputError, match="pip install 'jax2onnx"):
        export(Export(run=run, out=tmp_path / "out", to="onnx"), tell=test_export.quiet)
    assert not (tmp_path / "out").exists()


def test_a_tie_is_named_and_not_measured():
    maps = np.zeros((2, 8, 8, 2), np.float32)
    maps[:, 1, 1], maps[:, 6, 5] = 1.0, 0.5
    maps[1, 6, 5, 1] = 0.99995  # of image 1, keypoint "b": nearly as high, far away
    points = np.zeros((2, 2, 2), np.float32)
    moved = points.copy()
    moved[1, 1] = 20.0
    run = onnx.Outputs(points, points[..., 0], (maps,))
    found = onnx.difference(run, run._replace(keypoints=moved, heatmaps=(maps + 5e-5,)), ("a", "b"))
    assert found.ties == ("image 1, b",)
    assert found.points == 0
    assert found.small
    moved[0, 0] = 0.1
    assert not onnx.difference(run, run._replace(keypoints=moved), ("a", "b")).small
