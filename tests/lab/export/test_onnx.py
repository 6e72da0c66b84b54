"""ONNX models of a run, beside the run itself."""
import json
import subprocess
import sys

import numpy as np
import pytest
import test_export

from kpjax.errors import InputError
from kpjax.lab.commands import Export
from kpjax.lab.commands.export import export
from kpjax.lab.out.export import standalone
from kpjax.lab.out.export.writing import OPSET
from kpjax.lab.predictors import open_predictor, open_run

pytestmark = pytest.mark.filterwarnings("ignore")  # those of the converter
run = test_export.run  # its fixture: a run that was never trained
REFUSE_JAX = ("import runpy, sys; sys.modules['jax'] = None; sys.argv = sys.argv[1:]; "
              "runpy.run_path(sys.argv[0], run_name='__main__')")


@pytest.fixture(scope="module")
def exported(run, tmp_path_factory):
    """Its folder with an ONNX model."""
    pytest.importorskip("jax2onnx", reason="jax2onnx, the converter, is not installed")
    pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")
    return export(Export(run=run, out=tmp_path_factory.mktemp("onnx") / "predictor", to="onnx"))


def test_twenty_images_without_jax(run, exported):
    assert {path.name for path in exported.iterdir()} == {"SHA256SUMS", "predict.onnx", "predictor.json", "run.py"}
    images = test_export.noise(20, test_export.SIDE, test_export.SIDE, 3)
    # Where two cells of a map are equally high, the order of sums decides which point is taken: scores are compared.
    np.testing.assert_allclose(open_predictor(exported).predict(images)[1], open_predictor(run).predict(images)[1],
                               atol=1e-4)
    done = subprocess.run([sys.executable, "-c", REFUSE_JAX, str(exported / "run.py"), "--self-test", "0.05"],
                          capture_output=True, text=True, check=False)
    assert done.stdout.startswith("self-test: at most"), done.stderr


def test_it_predicts_and_is_no_run(exported):
    predictor = open_predictor(exported)
    for size in (1, 3):
        keypoints, scores = predictor.predict(test_export.noise(size, test_export.SIDE, test_export.SIDE, 3))
        assert (keypoints.shape, scores.shape) == ((size, 3, 2), (size, 3))
    with pytest.raises(InputError, match="is an ONNX model"):
        open_run(exported)
    assert json.loads((exported / standalone.DESCRIPTION).read_text())["versions"]["opset"] == OPSET
