"""What a run tells of itself: loggers, TensorBoard's events, traces, and the use of a device."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import Batches, tiny

from kpjax.training import loggers, logging, profiling
from kpjax.training.fit import FitOptions, fit
from kpjax.training.loggers import TensorBoard, read_rows
from kpjax.training.mesh import data_mesh
from kpjax.training.profiling import device_metrics, peak_teraflops, step_teraflops


def train(folder, steps=4, **options):
    return fit(tiny(), {"labelled": Batches()}, steps=steps, key=jax.random.key(0), stage="main", folder=folder,
               config={}, options=FitOptions(quiet=True, log_every=2, **options))


class Written:
    """A logger that remembers."""

    def __init__(self, folder, stage, start):
        self.opened, self.rows, self.calls = (folder.name, stage, start), [], []

    def write(self, step, metrics):
        self.rows.append((step, dict(metrics)))

    def keep(self):
        self.calls.append("keep")

    def close(self):
        self.calls.append("close")


def test_a_logger_of_ones_own_gets_every_row(tmp_path):
    opened = []
    train(tmp_path, loggers=(lambda *of: opened.append(Written(*of)) or opened[-1],))
    assert opened[0].opened == (tmp_path.name, "main", 0)
    assert opened[0].calls[0] == "keep"
    assert opened[0].calls[-1] == "close"
    rows = read_rows(tmp_path / "metrics.jsonl")
    assert [step for step, _ in opened[0].rows] == [row["step"] for row in rows] == [2, 4]
    assert opened[0].rows[1][1]["loss/total"] == rows[1]["loss/total"]


def test_a_record_is_that_of_another_writer_of_the_format(tmp_path, monkeypatch):
    monkeypatch.setattr(loggers.time, "time", lambda: 1.5)
    log = TensorBoard(tmp_path, "main", 299)
    log.write(300, {"loss/total": 0.25})
    log.write(301, {"huge": 1e300, "nan": float("nan")})
    log.close()
    (path,) = (tmp_path / "tensorboard" / "main").iterdir()
    assert bytes.fromhex("2100000000000000017becf609000000000000f83f10ac022a130a110a0a6c6f73732f746f74616c15"
                         "0000803e4342b85f") in path.read_bytes()


def test_the_use_of_a_known_device(tmp_path, monkeypatch):
    assert peak_teraflops("NVIDIA H100 80GB HBM3") == 989.0
    assert peak_teraflops("TPU v5 lite") == 197.0
    assert peak_teraflops("cpu") is None
    assert device_metrics(None, 2.0, data_mesh()).keys() <= {"device_memory_gib"}
    assert step_teraflops(None) is None  # an unknown device is not asked
    monkeypatch.setattr(profiling, "PEAK_TERAFLOPS", {"cpu": 1e-3})
    product = jax.jit(jnp.dot)
    counted = step_teraflops(product, np.zeros((100, 50), np.float32), np.zeros((50, 10), np.float32))
    assert counted == pytest.approx(2 * 100 * 50 * 10 / 1e12)
    used = device_metrics(counted, 1000.0, data_mesh())["flops_utilisation"]
    assert used == pytest.approx(1e5 * 1000 / (1e9 * jax.device_count()))
    train(tmp_path)
    assert 0 < read_rows(tmp_path / "metrics.jsonl")[1]["flops_utilisation"] < 1


def test_a_notebook_has_a_bar_and_no_terminal(monkeypatch, tmp_path):
    monkeypatch.setattr(logging, "notebook_tqdm", type("notebook_tqdm", (logging.std_tqdm,), {}))
    with logging.Log(tmp_path, "main", 0, 10, quiet=False) as log:
        assert not log.plain
        assert not log.bar.disable
