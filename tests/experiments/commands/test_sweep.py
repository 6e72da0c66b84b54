"""A sweep: its points, its runs, one report, and several processes at one command."""
import pytest
import tiny_regda

from experiments.commands import sweep
from experiments.commands.sweep import Sweep, main, points_of
from experiments.engine import queue as job_queue
from experiments.engine.command_line import read_command
from experiments.engine.configs import changed
from experiments.engine.system import Job
from kpjax.errors import InputError, RunError
from kpjax.files import write_json


@pytest.fixture
def ran(monkeypatch):
    """Returns a list of the jobs that a sweep of the tiny RegDA runs; none of them trains."""
    jobs: list[Job] = []

    def run(system, job):
        jobs.append(job)
        if job.config.trade_off == 9:
            raise RunError("step 3: loss/total is nan")
        write_json(job.folder / "results.json", {
            "experiment": "regda", "preset": job.preset, "variant": job.variant, "seed": job.seed, "steps": 3,
            "metrics": {"target/pck": job.config.trade_off / 10}})

    monkeypatch.setattr(sweep, "system_of", lambda name, preset: tiny_regda.TINY)
    monkeypatch.setattr(job_queue, "run", run)
    return jobs


def test_every_combination_is_run_and_joined(ran, tmp_path, capsys):
    command = ["regda", "people", "--grid", "trade-off=1,2", "steps=3,5", "--variants", "regda", "--seeds", "2",
               "--workdir", str(tmp_path)]
    report = main(command)
    assert [(job.config.trade_off, job.config.steps, job.seed) for job in ran] == [
        (trade_off, steps, seed) for trade_off in (1, 2) for steps in (3, 5) for seed in (0, 1)]
    assert len({job.folder for job in ran}) == 8
    page, said = report.read_text(), capsys.readouterr().out
    for point in ("trade-off-1-steps-3", "trade-off-2-steps-5"):
        assert point in page
        assert point in said
    assert "20.0 ± 0.0 *" in said  # the best of all points
    assert "experiments sweep regda people --grid trade-off=1,2" in page


def test_a_failed_point_stops_no_other_and_is_named(ran, tmp_path, capsys):
    listed = tmp_path / "points.txt"
    listed.write_text("--trade-off 9\n\n--trade-off 3\n")
    with pytest.raises(RunError, match="1 runs failed: people-trade-off-9 regda"):
        main(["regda", "people", "--points", str(listed), "--variants", "regda", "--workdir", str(tmp_path)])
    assert "failed: step 3: loss/total is nan" in capsys.readouterr().out
    assert len(ran) == 2


def test_batches_are_rounded_to_the_devices_as_by_single_commands(ran, tmp_path, monkeypatch):
    odd = tiny_regda.TINY._replace(presets={"people": changed(tiny_regda.TINY.presets["people"], batch_size=13)})
    monkeypatch.setattr(sweep, "system_of", lambda name, preset: odd)
    main(["regda", "people", "--grid", "steps=3,5", "--variants", "regda", "--workdir", str(tmp_path)])
    assert [job.config.batch_size for job in ran] == [16, 16]


@pytest.mark.parametrize(("asked", "message"), [
    (Sweep(), "grid: give it"), (Sweep(grid=("steps",)), "'steps' is no FLAG=VALUE"),
    (Sweep(grid=("steps=1,",)), "is no FLAG=VALUE"), (Sweep(grid=("=1",)), "is no FLAG=VALUE")])
def test_bad_points_are_refused(asked, message):
    with pytest.raises(InputError, match=message):
        points_of(asked)


def test_an_unknown_flag_is_refused_before_anything_runs(ran, tmp_path):
    with pytest.raises(InputError, match="no-such"):
        main(["regda", "people", "--grid", "steps=3", "no-such=1", "--workdir", str(tmp_path)])
    assert not ran


def test_flags_of_every_preset_reach_the_training_of_each_point(ran, tmp_path):
    main(["regda", "people", "--grid", "steps=3,5", "--variants", "regda", "--workdir", str(tmp_path),
          "--profile", "1", "2", "--workers", "0"])
    assert [(job.options.profile, job.options.workers) for job in ran] == 2 * [(range(1, 3), 0)]


def test_equal_commands_have_equal_jobs(tmp_path):
    """So that what two studies share, or one names twice, is run once."""
    one, other = (read_command(tiny_regda.TINY, ["people", "--workers", "0", "--workdir", str(tmp_path)]).jobs()
                  for _ in range(2))
    assert one == other
    assert len(set(one) | set(other)) == len(one)
