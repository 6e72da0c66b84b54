"""Stages that are shared, folders, and the small print."""

import json
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import METHOD, Batches, Images, tiny

from kpjax.errors import InputError
from kpjax.input.stream import read_ahead
from kpjax.training import identity, loggers, run_folder
from kpjax.training.evaluation import predict_source, reduce
from kpjax.training.fit import FitOptions, fit
from kpjax.training.loggers import TensorBoard, keep_rows, read_rows
from kpjax.training.mesh import DATA, mesh_of
from kpjax.training.profiling import device_memory
from kpjax.training.stages import stage
from kpjax.training.trees import leaf_digests

ONE_DEVICE = mesh_of(np.array(jax.devices()[:1]), DATA)


def trained_in(calls):
    """A stage's run that counts how often it is called."""

    def run(folder):
        calls.append(folder)
        return fit(
            METHOD,
            {"labelled": Batches()},
            steps=2,
            key=jax.random.key(0),
            stage="source",
            folder=folder,
            config={},
            options=FitOptions(quiet=True),
        )

    return run


def test_a_stage_trains_once(tmp_path, capsys):
    calls = []

    def train(rate=0.1, core="abc"):
        return stage(
            tmp_path, "source", 3, trained_in(calls), config={"rate": rate}, parents={"core": core}
        )

    first = train()
    place = tmp_path / "stages" / "source" / "seed-3"
    assert calls == [place]
    assert json.loads((place / "config.json").read_text())["config"] == {"rate": 0.1}
    record = json.loads((place / "stage.json").read_text())
    assert record["parents"] == {"core": "abc"}
    assert record["result"] == {"kind": "last", "step": 2, "steps": 2, "digest": first.digest}
    again = train()
    assert len(calls) == 1
    assert again.digest == first.digest
    assert again.step == 2
    assert leaf_digests(again.trained) == leaf_digests(first.trained)
    with pytest.raises(
        InputError,
        match=r"stage.json is of another configuration: config.rate is 0.1 there and 0.2",
    ):
        train(rate=0.2)
    with pytest.raises(InputError, match=r"parents.core is abc there and abd here"):
        train(core="abd")
    # A result that is damaged comes from the checkpoints again, without training.
    (place / "result" / "trained.safetensors").write_bytes(b"")
    assert train().digest == first.digest
    assert "taken from its checkpoints again" in capsys.readouterr().err


def test_a_stage_that_was_begun_goes_on_from_the_same_parents_alone(tmp_path):
    """Its checkpoints come from those that it began with, and its record would name others."""
    calls = []

    def refused(folder):
        raise InputError("batch_size", "12")

    def killed(folder):
        trained_in(calls)(folder)
        raise KeyboardInterrupt

    def train(run, core):
        return stage(tmp_path, "source", 3, run, config={}, parents={"core": core})

    with pytest.raises(InputError, match="batch_size"):
        train(refused, "abb")
    with pytest.raises(KeyboardInterrupt):  # nothing was saved before
        train(killed, "abc")
    with pytest.raises(
        InputError, match=r"config.json is of another .*: parents.core is abc there and abd here"
    ):
        train(trained_in(calls), "abd")
    assert len(calls) == 1
    assert train(trained_in(calls), "abc").step == 2


def test_results_are_strict_json(tmp_path):
    folder = tmp_path / "seed-1"
    run_folder.write_results(
        folder,
        experiment="regda",
        preset="demo",
        variant="source_only",
        seed=1,
        steps=3,
        images=0,
        wall_seconds=1.0,
        images_per_second=2.0,
        metrics={"target/pck": np.float32(0.5), "target/pck/hip": float("nan")},
        config={"folder": tmp_path, "sizes": (1, 2), "none": None},
    )

    def refuse(constant):
        raise AssertionError(constant)

    found = json.loads((folder / "results.json").read_text(), parse_constant=refuse)
    assert set(found) == {
        "experiment",
        "preset",
        "variant",
        "seed",
        "steps",
        "metrics",
        "images",
        "images_per_second",
        "wall_seconds",
        "devices",
        "arithmetic",
        "versions",
        "commit",
        "sources",
        "went_on_under",
        "settings",
        "config",
        "files",
        "digest",
    }
    assert found["metrics"] == {"target/pck": 0.5, "target/pck/hip": "nan"}
    assert found["config"] == {"folder": str(tmp_path), "sizes": [1, 2], "none": None}
    assert found["devices"] == {"backend": "cpu", "kind": "cpu", "count": 8}
    assert "jax" in found["versions"]


def test_rows_of_other_stages_stay(tmp_path):
    path = tmp_path / "metrics.jsonl"
    lines = [
        '{"step": 9, "stage": "a"}',
        '{"step": 2, "stage": "b"}',
        '{"step": 3, "stage": "b"}',
        '{"step"',
    ]
    path.write_text("\n".join(lines))
    keep_rows(path, "b", 2)
    assert path.read_text().splitlines() == lines[:2]


def test_read_ahead_keeps_the_order_and_raises_where_it_is_due():
    def read(number):
        if number == 5:
            raise InputError("image 5 is truncated")
        return number * 10

    results = read_ahead(read, range(8))
    assert [next(results) for _ in range(5)] == [0, 10, 20, 30, 40]
    with pytest.raises(InputError, match="image 5"):
        next(results)


@pytest.fixture(scope="module")
def state():
    return jax.jit(METHOD.init)(jax.random.key(0), {}, {})


@pytest.mark.parametrize("count", [1, 8, 11, 16])
def test_every_example_once_in_order(state, count):
    source = Images(count)
    found = predict_source(METHOD, state, source, batch_size=5)
    np.testing.assert_array_equal(found.index, np.arange(count))
    np.testing.assert_array_equal(found.true_keypoints, source.keypoints)
    assert found.keypoints.shape == (count, 2, 2)
    assert found.visible.shape == (count, 2)
    assert found.crop.shape == (count, 3, 3)
    alone = predict_source(METHOD, state, source, batch_size=3, mesh=ONE_DEVICE)
    np.testing.assert_allclose(found.keypoints, alone.keypoints, atol=1e-6)


def test_labels_are_hidden_unless_asked_for(state):
    """The tiny method adds the keypoints that it sees to its answer."""
    hidden = predict_source(METHOD, state, Images(8), batch_size=8)
    seen = predict_source(METHOD, state, Images(8), batch_size=8, labelled=True)
    np.testing.assert_allclose(seen.keypoints - hidden.keypoints, hidden.true_keypoints, atol=1e-5)


def sums(state, batch, weights):
    pixels = batch.image.astype(jnp.float32).mean((1, 2, 3))
    total = (weights * pixels).sum()
    return {"count": weights.sum(), "pixels": total, "scaled": total * state["by"]}


def test_reduce_equals_a_mean_over_all():
    source, factor = Images(11), {"by": jnp.float32(2)}
    total = reduce(sums, factor, source, batch_size=5)
    assert total["count"] == 11
    np.testing.assert_allclose(total["pixels"] / 11, source.image.mean(), rtol=1e-6)
    np.testing.assert_allclose(total["scaled"], 2 * total["pixels"], rtol=1e-6)
    np.testing.assert_allclose(
        reduce(sums, factor, source, batch_size=4, mesh=ONE_DEVICE)["pixels"],
        total["pixels"],
        rtol=1e-6,
    )


# What a run tells of itself


def train(folder, steps=4, **options):
    return fit(
        tiny(),
        {"labelled": Batches()},
        steps=steps,
        key=jax.random.key(0),
        stage="main",
        folder=folder,
        config={},
        options=FitOptions(quiet=True, log_every=2, **options),
    )


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
    assert (
        bytes.fromhex(
            "2100000000000000017becf609000000000000f83f10ac022a130a110a0a6c6f73732f746f74616c15"
            "0000803e4342b85f"
        )
        in path.read_bytes()
    )


def test_rows_have_the_memory_of_a_device_that_knows_it():
    mesh = types.SimpleNamespace(
        local_devices=[types.SimpleNamespace(memory_stats=lambda: {"peak_bytes_in_use": 2**31})]
    )
    assert device_memory(mesh) == {"device_memory_gib": 2.0}
    mesh.local_devices[0].memory_stats = lambda: None  # as a CPU
    assert device_memory(mesh) == {}


@pytest.mark.parametrize(
    ("version", "commit"),
    [
        ("0.1.0.dev1734+gab12cd34", "ab12cd34"),
        ("0.1.0.dev1734+gab12cd34.d20261128", "ab12cd34+"),
        ("0.1.0", "v0.1.0"),
        ("0.1.0.dev0", ""),  # built where no repository was
        ("0.1.0+cluster", ""),
        ("", ""),
    ],
)
def test_a_version_says_the_commit_where_no_repository_is(version, commit):
    assert identity.commit_of_version(version) == commit
