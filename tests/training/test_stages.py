"""Stages that are shared, folders, and the small print."""
import json

import jax
import numpy as np
import pytest
from tiny import Batches, tiny

from kpjax.errors import InputError
from kpjax.input.stream import read_ahead
from kpjax.training import run_folder
from kpjax.training.fit import FitOptions, fit
from kpjax.training.loggers import keep_rows
from kpjax.training.stages import stage
from kpjax.training.trees import leaf_digests

METHOD = tiny()


def trained_in(calls):
    """A stage's run that counts how often it is called."""
    def run(folder):
        calls.append(folder)
        return fit(METHOD, {"labelled": Batches()}, steps=2, key=jax.random.key(0), stage="source", folder=folder,
                   config={}, options=FitOptions(quiet=True))

    return run


def test_a_stage_trains_once(tmp_path, capsys):
    calls = []

    def train(rate=0.1, core="abc"):
        return stage(tmp_path, "source", 3, trained_in(calls), config={"rate": rate}, parents={"core": core})

    first = train()
    place = tmp_path / "stages" / "source" / "seed-3"
    assert calls == [place]
    assert json.loads((place / "config.json").read_text()) == {"rate": 0.1}
    record = json.loads((place / "stage.json").read_text())
    assert record["parents"] == {"core": "abc"}
    assert record["result"] == {"kind": "last", "step": 2, "steps": 2, "digest": first.digest}
    again = train()
    assert len(calls) == 1
    assert again.digest == first.digest
    assert again.step == 2
    assert leaf_digests(again.trained) == leaf_digests(first.trained)
    with pytest.raises(InputError, match=r"stage.json is of another configuration: config.rate is 0.1 there and 0.2"):
        train(rate=0.2)
    with pytest.raises(InputError, match=r"parents.core is abc there and abd here"):
        train(core="abd")
    # A result that is damaged comes from the checkpoints again, without training.
    (place / "result" / "trained.safetensors").write_bytes(b"")
    assert train().digest == first.digest
    assert "taken from its checkpoints again" in capsys.readouterr().err


def test_results_are_strict_json(tmp_path):
    folder = tmp_path / "seed-1"
    run_folder.write_results(
        folder, experiment="regda", preset="demo", variant="source_only", seed=1, steps=3, images=0,
        images_per_second=2.0, wall_seconds=1.0,
        metrics={"target/pck": np.float32(0.5), "target/pck/hip": float("nan")},
        config={"folder": tmp_path, "sizes": (1, 2), "none": None})

    def refuse(constant):
        raise AssertionError(constant)

    found = json.loads((folder / "results.json").read_text(), parse_constant=refuse)
    assert set(found) == {"experiment", "preset", "variant", "seed", "steps", "metrics", "images", "images_per_second",
                          "wall_seconds", "devices", "versions", "commit", "settings", "config", "files", "digest"}
    assert found["metrics"] == {"target/pck": 0.5, "target/pck/hip": "nan"}
    assert found["config"] == {"folder": str(tmp_path), "sizes": [1, 2], "none": None}
    assert found["devices"] == {"backend": "cpu", "kind": "cpu", "count": 8}
    assert "jax" in found["versions"]


def test_rows_of_other_stages_stay(tmp_path):
    path = tmp_path / "metrics.jsonl"
    lines = ['{"step": 9, "stage": "a"}', '{"step": 2, "stage": "b"}', '{"step": 3, "stage": "b"}', '{"step"']
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
