"""Seeds that train at once: every file of a seed says what it says of a run by itself, and the command resumes."""
import functools
import json
import os
import re
import signal

import pytest
import tiny_regda
from stops import asked_once

from experiments.engine.command_line import run
from experiments.engine.parsing import exit_code_of
from experiments.engine.queue import seeds_at_once, told, work_through
from experiments.engine.system import Job, read_predictions
from kpjax.errors import InputError
from kpjax.training.fit import Beside, fit
from kpjax.training.loggers import read_rows
from kpjax.training.mesh import on_devices
from kpjax.training.together import shares

FLAGS = ["people", "--variants", "source_only", "--seeds", "2", "--seeds-together", "2"]
VARYING = ("steps_per_second", "images_per_second")


def command(folder, *more, fit=None):
    return run(tiny_regda.TINY, [*FLAGS, "--workdir", str(folder), *more], fit=fit)


def seed_folder(folder, seed):
    return folder / "regda" / "people" / "source_only" / f"seed-{seed}"


def stored(folder, seed):
    """All numbers of a seed: results, rows and predictions."""
    run_folder = seed_folder(folder, seed)
    rows = [{name: value for name, value in row.items() if name not in VARYING}
            for row in read_rows(run_folder / "metrics.jsonl")]
    results = json.loads((run_folder / "results.json").read_text())
    predictions = {f"{name}/{field}": array.tobytes() for name, found in read_predictions(run_folder).items()
                   for field, array in found._asdict().items()}
    return results["metrics"], results["config"], results["devices"], rows, predictions


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Two seeds at once that nothing disturbs."""
    folder = tmp_path_factory.mktemp("whole")
    report = command(folder)
    assert "2" in report.read_text()
    return folder


def test_a_seed_is_what_it_is_alone(whole, tmp_path):
    with on_devices(shares(2)[1]):
        run(tiny_regda.TINY, [*FLAGS[:3], "--first-seed", "1", "--workdir", str(tmp_path)])
    assert stored(whole, 1) == stored(tmp_path, 1)
    assert stored(whole, 1)[2]["count"] == 1
    assert stored(whole, 0)[4] != stored(whole, 1)[4]


def test_sigterm_saves_every_seed_and_the_command_resumes_bit_for_bit(whole, tmp_path, capsys):
    ask_and_wait = asked_once(functools.partial(os.kill, os.getpid(), signal.SIGTERM))

    def stopped(method, streams, **options):
        def between(state, step):
            if step == 2:
                ask_and_wait(options["beside"].stop)
            return state

        return fit(method, streams, **options, between=(1, between))

    assert exit_code_of(lambda: command(tmp_path, fit=stopped)) == 143
    assert re.search(r"stopped by SIGTERM: step \d of 5 is saved", capsys.readouterr().err)
    assert not list(tmp_path.rglob("results.json"))
    command(tmp_path)
    for seed in range(2):
        assert stored(tmp_path, seed) == stored(whole, seed)

    def refuse(*arguments, **options):
        raise AssertionError("it trained again")

    command(tmp_path, fit=refuse)


@pytest.mark.parametrize(("flags", "message"), [
    (["--seeds-together", "0"], "--seeds-together: 0 of 2 seeds; give 1 to 2"),
    (["--seeds-together", "3"], "--seeds-together: 3 of 2 seeds; give 1 to 2"),
    (["--seeds", "9", "--seeds-together", "9"], "--seeds-together: 9 seeds on 8 CPU devices; divide the CPU by"),
    (["--seeds-together", "some"], "--seeds-together"),
])
def test_refused_in_one_line(tmp_path, capsys, flags, message):
    assert exit_code_of(lambda: command(tmp_path, *flags)) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert message in lines[0]
    assert not list(tmp_path.iterdir())


def jobs(seeds, *variants):
    return [Job("made_up", None, "small", name, seed, None, None) for seed in seeds for name in variants]


def test_lines_of_seeds():
    def names(jobs, beside):
        return [(job.variant, job.seed) for job in jobs]

    lines = seeds_at_once(jobs(range(3, 6), "a", "b"), 2, names)
    assert lines == [[("a", 3), ("b", 3), ("a", 5), ("b", 5)], [("a", 4), ("b", 4)]]
    assert seeds_at_once(jobs([1]), 1, lambda jobs, beside: beside) == [Beside()]


def test_a_table_of_many_jobs_goes_on_where_some_fail(tmp_path, monkeypatch, capsys):
    from experiments.engine import queue as job_queue

    def work(system, job):
        if job.seed == 1:
            raise InputError("seed 1 is broken")
        assert job.fit.keywords["beside"].title == f"seed {job.seed}"

    monkeypatch.setattr(job_queue, "run", work)
    asked = [job._replace(workdir=tmp_path) for job in jobs(range(4), "a", "b")]
    outcome = work_through(None, asked, together=4)
    assert sorted((job.variant, job.seed) for job in outcome.finished) == [
        (name, seed) for name in "ab" for seed in (0, 2, 3)]
    assert {job.seed for job, _ in outcome.failed} == {1}
    assert told(asked[0], Beside()) is asked[0]
