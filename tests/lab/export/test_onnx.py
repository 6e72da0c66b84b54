"""ONNX models of a run, beside the run itself."""
import json
import subprocess
import sys

import jax
import numpy as np
import pytest
import test_export

from kpjax.errors import InputError
from kpjax.lab.commands import Export
from kpjax.lab.commands.export import export
from kpjax.lab.out.export import onnx, standalone
from kpjax.lab.predictors import open_predictor, open_run

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
    assert sorted(path.name for path in folder.iterdir()) == ["SHA256SUMS", "predict.onnx", "predictor.json", "run.py"]
    assert any("20 images by ONNX Runtime: heatmaps within" in line for line in said)
    opened, images = open_run(run), test_export.noise(20, test_export.SIDE, test_export.SIDE, 3)
    assert onnx.largest_difference(opened.method, opened.trained, folder / "predict.onnx", images) < onnx.BOUND
    np.testing.assert_allclose(open_predictor(folder).predict(images)[1], open_predictor(run).predict(images)[1],
                               atol=1e-4)
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


def test_a_model_that_differs_from_its_run_is_told_by_how_much(run, monkeypatch):
    opened, images = open_run(run), test_export.noise(3, test_export.SIDE, test_export.SIDE, 3)
    found = jax.jit(lambda given: onnx.outputs_of(opened.method, opened.trained, given))

    class Session:
        """A model whose heatmaps are off by a share of their peak."""

        share = 0.0

        def run(self, names, given):
            points, scores, *maps = map(np.asarray, found(given["images"]))
            return [points + 5, scores, *(one + self.share * np.abs(one).max((1, 2), keepdims=True) for one in maps)]

    monkeypatch.setattr(standalone, "onnx_session", lambda path: Session())
    assert onnx.largest_difference(opened.method, opened.trained, run, images) < 1e-6
    Session.share = 0.01
    assert onnx.largest_difference(opened.method, opened.trained, run, images) == pytest.approx(0.01, rel=1e-2)
