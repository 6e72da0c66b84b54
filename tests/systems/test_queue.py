"""The queue behind every table of many runs."""
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import pytest

from kpjax.errors import InputError, RunError
from kpjax.files import write_json
from kpjax.systems import queue as job_queue, system
from kpjax.systems.queue import called, progress_lines, raise_for_failures, work_through
from kpjax.systems.reports.table import markdown
from kpjax.systems.system import Job
from kpjax.systems.tables import cost_text, difference_text, mean_text, measured, paired_differences, runs_in
from kpjax.training.process import Interrupted
from kpjax.training.run_folder import InUse, held


@dataclass(frozen=True)
class Config:
    summary: str = "nothing"
    steps: int = 1


class Made(NamedTuple):
    """What a queue knows of a system."""

    name: str = "made_up"


@pytest.fixture
def run_by(monkeypatch):
    """Works through jobs that a function of the job runs."""
    def work(run, jobs, **options):
        monkeypatch.setattr(job_queue, "run", lambda system, job: run(job))
        return work_through(None, jobs, **options)

    return work


def jobs_in(workdir, *variants, seeds=1):
    return [Job(Made(), Config(), "small", name, seed, workdir, workdir) for seed in range(seeds)
            for name in variants]


def runs_of(jobs):
    return runs_in([job.folder for job in jobs])


def finish(job, **metrics):
    write_json(job.folder / "results.json", {
        "experiment": "made_up", "preset": job.preset, "variant": job.variant, "seed": job.seed, "steps": 1,
        "metrics": metrics})


def test_a_run_makes_room_for_its_programs(monkeypatch, tmp_path):
    def open_data(job):
        assert made
        raise RunError("no data")

    made = []
    monkeypatch.setattr(system, "forget_programs", lambda: made.append(True))
    with pytest.raises(RunError, match="no data"):
        system.run(SimpleNamespace(open=open_data), jobs_in(tmp_path, "a")[0])


def test_a_failed_run_stops_no_other_and_is_named(run_by, tmp_path, capsys):
    def run(job):
        if job.variant == "broken":
            raise RunError("step 3: loss/total is nan")
        if job.variant == "defect":
            raise ZeroDivisionError("division by zero")
        finish(job, score=0.5)

    jobs = jobs_in(tmp_path, "one", "broken", "defect", "two")
    progress = run_by(run, jobs)
    assert [job.variant for job in progress.finished] == ["one", "two"]
    assert [(job.variant, error) for job, error in progress.failed] == [
        ("broken", "step 3: loss/total is nan"), ("defect", "ZeroDivisionError: division by zero")]
    assert "failed: small broken, seed 0: step 3: loss/total is nan" in progress_lines(progress)
    with pytest.raises(RunError, match=r"2 runs failed: small broken, seed 0, small defect, seed 0"):
        raise_for_failures(progress)
    assert "Traceback" in capsys.readouterr().err  # of the defect, for whoever mends it

    raise_for_failures(run_by(finish, jobs))


def test_a_job_in_work_elsewhere_is_left_to_it(run_by, tmp_path):
    """Another process holds one job; it is skipped, and the others are done."""
    jobs = jobs_in(tmp_path, "theirs", "ours")
    place = jobs[0].folder
    script = (f"import pathlib, sys\nfrom kpjax.training.run_folder import held\n"
              f"with held(pathlib.Path({str(place.parent / '.queue' / place.name)!r})):\n"
              f"    print('held', flush=True)\n    sys.stdin.read()")
    root = str(Path(__file__).parents[3])
    other = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                             cwd=root, env=os.environ | {"PYTHONPATH": root})
    try:
        assert other.stdout.readline() == "held\n"
        progress = run_by(finish, jobs)
    finally:
        other.kill()
        other.communicate()
    assert [job.variant for job in progress.finished] == ["ours"]
    assert [job.variant for job in progress.elsewhere] == ["theirs"]
    assert not progress.failed
    # A killed process leaves nothing that would have to be cleared away.
    assert len(run_by(finish, jobs).finished) == 2


def test_a_run_whose_stage_another_process_trains_waits_for_it(run_by, tmp_path, monkeypatch):
    calls, pauses = [], []
    monkeypatch.setattr(time, "sleep", pauses.append)

    def run(job):
        calls.append(job.variant)
        if job.variant == "needs_stage" and calls.count("needs_stage") < 3:
            raise InUse("stages/warm_start/seed-0: another process is training here")

    progress = run_by(run, jobs_in(tmp_path, "needs_stage", "free"), pause=7.0)
    assert calls == ["needs_stage", "free", "needs_stage", "needs_stage"]
    assert pauses == [7.0]  # only once nothing else was left to do
    assert len(progress.finished) == 2


def test_a_stop_is_a_stop(run_by, tmp_path):
    def run(job):
        raise Interrupted("stopped by SIGTERM")

    with pytest.raises(Interrupted):
        run_by(run, jobs_in(tmp_path, "one", "two"))


def test_bad_input_of_one_job_is_its_failure(run_by, tmp_path):
    def run(job):
        raise InputError("mpii: nothing prepared")

    progress = run_by(run, jobs_in(tmp_path, "one"))
    assert progress.failed[0][1] == "mpii: nothing prepared"


def test_the_same_job_twice_is_run_once(run_by, tmp_path):
    calls = []
    run_by(calls.append, jobs_in(tmp_path, "one") * 2)
    assert len(calls) == 1


def test_a_folder_in_use_says_so(tmp_path):
    with held(tmp_path / "run"), pytest.raises(InUse, match="another process"), held(tmp_path / "run"):
        pass


def test_cells_say_how_many_runs_they_are_of(tmp_path):
    jobs = jobs_in(tmp_path, "one", seeds=3)
    assert mean_text(measured(runs_of(jobs), "score"), 3) == "not run"
    for job, score in zip(jobs, (0.660, 0.675), strict=False):
        finish(job, score=score)
    assert mean_text(measured(runs_of(jobs), "score"), 3, factor=100) == "66.8 ± 1.1 (2 of 3)"
    finish(jobs[2], score=0.681)
    values = measured(runs_of(jobs), "score")
    assert mean_text(values, 3, factor=100, decimals=2) == "67.20 ± 1.08"  # n - 1
    assert mean_text(values[:1], 1, factor=100) == "66.0"
    assert measured(runs_of(jobs), "other") == []


def test_a_difference_is_paired_and_has_an_interval(tmp_path):
    """Differences of 1, 2 and 3: 2, and t = 4.303 times a standard error of 1 / sqrt(3). A pair needs both."""
    ours, theirs = (jobs_in(tmp_path, name, seeds=3) for name in ("one", "other"))
    assert difference_text(paired_differences(runs_of(ours), runs_of(theirs), "score"), 3) == "not run"
    for seed, (one, other) in enumerate(zip(ours, theirs, strict=True)):
        finish(one, score=10.0 * seed + seed + 1)
        if seed:
            finish(other, score=10.0 * seed)
    assert difference_text(paired_differences(runs_of(ours[:2]), runs_of(theirs[:2]), "score"), 2) == "+2.0 (1 of 2)"
    finish(theirs[0], score=0.0)
    values = paired_differences(runs_of(ours), runs_of(theirs), "score")
    assert values == [1, 2, 3]
    assert difference_text(values, 3, decimals=2) == "+2.00 [-0.48, +4.48]"
    assert cost_text(runs_of(ours)) == "1 steps, 0 images, 0 s"


def test_markdown():
    assert markdown(["a", "b"], [["1", "2"]]) == "| a | b |\n| --- | --- |\n| 1 | 2 |"
    assert called(Job(Made(), Config(), "lsp", "ours", 2, Path(), Path())) == "lsp ours, seed 2"
