"""How long all runs of a command take."""

from experiments import experiment_of
from kpjax.papers.command_line import read_command
from kpjax.papers.duration import AllOfIt


def test_a_command_says_once_how_long_all_of_its_runs_take(monkeypatch, capsys, tmp_path):
    """A tenth of a second for each of 120 and 300 steps; ten seconds before the first stage, and
    five to compile.
    """
    jobs = read_command(
        experiment_of("regda"),
        [
            "demo",
            "--variants",
            "pretrained",
            "oracle",
            "--workdir",
            str(tmp_path),
            "--pretraining-steps",
            "120",
            "--steps",
            "180",
        ],
    ).jobs()
    clock = iter((100.0, 110.0, 120.0))
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    log = AllOfIt(jobs)("folder", "pretraining", 0)
    for step in (50, 100):
        log.write(step, {"steps_per_second": 10.0})
    assert capsys.readouterr().err == "all of it: about 1 minute for 2 runs\n"
    minutes = []
    for start in (0, 60):  # steps that an earlier command has trained take no more time
        clock = iter((100.0, 110.0, 210.0))
        AllOfIt(jobs)("folder", "pretraining", start).write(start + 10, {"steps_per_second": 0.1})
        minutes.append(int(capsys.readouterr().err.split()[4]))
    assert minutes[0] - minutes[1] == 10
