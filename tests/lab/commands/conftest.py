"""What tests of several commands share."""
import contextlib
import io

import pytest
from predict_folder import rows_of
from test_predict_videos import PREDICTOR

import kpjax.lab.commands.predict as command
from kpjax.lab.commands import Predict


@pytest.fixture
def predict(monkeypatch, tmp_path):
    """Predicts and returns (rows of the csv of the first input, what was printed, the folder)."""
    def run(*inputs, predictor=PREDICTOR, **options):
        monkeypatch.setattr(command, "open_predictor", lambda folder, **_: predictor)
        asked = Predict(run=tmp_path, inputs=inputs, out=tmp_path / "out", **options)
        with contextlib.redirect_stdout(io.StringIO()) as said:
            written = command.predict(asked)
        return rows_of(written[0]), said.getvalue().splitlines(), tmp_path / "out"
    return run
