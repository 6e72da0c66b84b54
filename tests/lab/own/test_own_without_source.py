"""RegDA's target without its source: a finished run is adapted to a person's own images, or kept."""
import json
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest

from kpjax.files import write_json
from kpjax.lab.animals.calibration import ScoreTable, score_table_as_json
from kpjax.lab.own.regda import SYSTEM
from kpjax.lab.predictors import open_run
from kpjax.systems import source_free
from kpjax.systems.command_line import read_command, run
from kpjax.training.trees import load_trained


def command(start, given, workdir, *flags):
    return ["own", "--start", str(start), "--target", given["ONE"], "--workdir", str(workdir), "--batch-size", "8",
            "--steps", "2", "--evaluations", "1", *flags]


def adapted(*asked):
    """The folder of the adapted run, its metrics, and what it has learnt."""
    folder = run(SYSTEM, command(*asked)).parent / "adapted" / "seed-0"
    return folder, json.loads((folder / "results.json").read_text())["metrics"], open_run(folder).trained.variables


def variables_of(start):
    return load_trained(Path(start) / "model").variables


@pytest.mark.slow
def test_the_control_is_the_start_and_the_result_can_be_adapted_again(given, tmp_path, capsys):
    before = variables_of(given["SAME"])
    folder, metrics, after = adapted(given["SAME"], given, tmp_path, "--target-project", "P", "--least-agreement",
                                     "1e-9")
    assert "of 100 sure points of the start stay, and" in capsys.readouterr().out
    assert metrics["kept_start"] == 0
    assert json.loads((folder / "pose_statistics.json").read_text())["poses"] == 40
    assert any(not np.array_equal(a, b) for a, b in zip(
        jax.tree.leaves(before["params"]), jax.tree.leaves(after["params"]), strict=True))
    jax.tree.map(np.testing.assert_array_equal, variables_of(folder.parents[1] / "start" / "seed-0"), before)
    again = read_command(SYSTEM, command(folder, given, tmp_path))
    assert again.config.network.widths == (4, 4, 4)


@pytest.mark.slow
def test_the_start_stays_where_the_check_fails(given, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(source_free, "agreement", lambda *of: 0.5)
    _, metrics, after = adapted(given["SAME"], given, tmp_path)
    said = capsys.readouterr().out
    assert "the adaptation stopped, and the start is kept: step 2: 50 of 100 sure points of the start stay" in said
    assert metrics["kept_start"] == 1
    jax.tree.map(np.testing.assert_array_equal, after, variables_of(given["SAME"]))


def test_the_start_stays_where_it_is_as_sure_as_on_its_own_images(given, tmp_path, capsys):
    """A start that has held images out on which its scores were as low as they are here."""
    start = Path(shutil.copytree(given["SAME"], tmp_path / "start"))
    table = ScoreTable(np.linspace(-1, -0.5, 11), np.full(10, 0.9), "mse_peak", 0.1)
    write_json(start / "score_table.json", score_table_as_json(table))
    _, metrics, after = adapted(start, given, tmp_path / "runs")
    assert "nothing is to be gained, and the start is kept: half of the points" in capsys.readouterr().out
    assert metrics["kept_start"] == 1
    jax.tree.map(np.testing.assert_array_equal, after, variables_of(start))
