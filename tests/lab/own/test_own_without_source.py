"""RegDA's target without its source: a finished run is adapted to a person's own images."""
import json
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest
from own_projects import synthetic_project
from own_runs import untrained_run

from kpjax.evaluation.pose_statistics import FILE, pose_statistics, write_pose_statistics
from kpjax.lab.animals.calibration import ScoreTable, write_score_table
from kpjax.lab.own import project as own_project
from kpjax.lab.own.regda import SYSTEM
from kpjax.lab.predictors import open_run
from kpjax.systems import source_free
from kpjax.systems.command_line import read_command, run
from kpjax.training.trees import load_trained

TINY = ("--batch-size", "8", "--steps", "2", "--evaluations", "1")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A project whose frames are the target, and a run that keeps the statistics of its poses."""
    folder = tmp_path_factory.mktemp("made")
    project = synthetic_project(folder / "P", recordings=("day",), labelled=20, unlabelled=4)
    start = untrained_run(folder / "runs", project.skeleton)
    shapes = np.random.default_rng(0).normal(size=(40, 4, 2))
    write_pose_statistics(start, pose_statistics(shapes, np.ones((40, 4)), project.skeleton.names, share=0.5))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(own_project, "_read", lambda *arguments: project)
        yield project, start


def command(made, workdir, *flags):
    return ["own", "--start", str(made[1]), "--target", str(made[0].root), "--workdir", str(workdir), *TINY,
            *flags]


@pytest.mark.slow
def test_the_control_is_the_start_and_the_result_can_be_adapted_again(made, tmp_path, capsys):
    report = run(SYSTEM, command(made, tmp_path, "--target-project", "P", "--least-agreement", "1e-9"))
    said = capsys.readouterr().out
    assert "which keeps 40 poses of its labels; target: 24 frames" in said
    assert "of 100 sure points of the start stay, and" in said
    folder = report.parent / "adapted" / "seed-0"
    assert json.loads((folder / "results.json").read_text())["metrics"]["kept_start"] == 0
    assert json.loads((folder / FILE).read_text())["poses"] == 40
    before, after = load_trained(made[1] / "model"), load_trained(folder / "model")
    assert any(not np.array_equal(a, b) for a, b in zip(
        jax.tree.leaves(before.variables["params"]), jax.tree.leaves(after.variables["params"]), strict=True))
    kept = load_trained(report.parent / "start" / "seed-0" / "model")
    jax.tree.map(np.testing.assert_array_equal, kept.variables, before.variables)
    again = read_command(SYSTEM, ["own", "--start", str(folder), *command(made, tmp_path)[3:]])
    assert again.config.network.widths == (4, 4, 4)


@pytest.mark.slow
def test_the_start_stays_where_the_check_fails(made, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(source_free, "agreement", lambda *of: 0.5)
    folder = run(SYSTEM, command(made, tmp_path)).parent / "adapted" / "seed-0"
    said = capsys.readouterr().out
    assert "the adaptation stopped, and the start is kept: step 2: 50 of 100 sure points of the start stay" in said
    assert json.loads((folder / "results.json").read_text())["metrics"]["kept_start"] == 1
    jax.tree.map(np.testing.assert_array_equal, open_run(folder).trained.variables,
                 load_trained(made[1] / "model").variables)


def test_the_start_stays_where_it_is_as_sure_as_on_its_own_images(made, tmp_path, capsys):
    """A start that has held images out on which its scores were as low as they are here."""
    start = Path(shutil.copytree(made[1], tmp_path / "start"))
    write_score_table(start, ScoreTable(np.linspace(-1, -0.5, 11), np.full(10, 0.9), "mse_peak", 0.1))
    flags = ["own", "--start", str(start), *command(made, tmp_path / "runs")[3:]]
    folder = run(SYSTEM, flags).parent / "adapted" / "seed-0"
    assert "nothing is to be gained, and the start is kept: half of the points" in capsys.readouterr().out
    results = json.loads((folder / "results.json").read_text())
    assert (results["metrics"]["kept_start"], results["steps"]) == (1, 0)
    jax.tree.map(np.testing.assert_array_equal, open_run(folder).trained.variables,
                 load_trained(made[1] / "model").variables)
