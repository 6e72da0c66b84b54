"""The queue behind every command of several runs."""

import errno
import os
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest
import yaml
from tiny_systems import SYSTEMS, job_of

from experiments import experiment_of
from kpjax.errors import InputError, RunError, WriteError
from kpjax.files import write_json
from kpjax.papers import command_line
from kpjax.papers.command_line import in_processes, over_devices, read_command, run
from kpjax.papers.configs import flat, read_settings, with_settings
from kpjax.papers.engine import queue_folder, result_of
from kpjax.papers.queue import in_turn, raise_for_failures
from kpjax.training.process import Interrupted
from kpjax.training.run_folder import InUse, hold_folder

LAUNCH = Path(__file__).parents[2] / "experiments" / "launch"


def jobs_in(workdir, *variants):
    return [job_of("regda", name, workdir) for name in variants]


def test_a_failed_run_stops_no_other_of_a_table_and_is_named(tmp_path, capsys):
    def work(job):
        done.append(job.variant)
        if job.variant == "broken":
            raise RunError("step 3: loss/total is nan")
        if job.variant == "defect":
            raise ZeroDivisionError("division by zero")

    done, failed, jobs = [], {}, jobs_in(tmp_path, "one", "broken", "defect", "one", "two")
    in_turn(jobs, work, failed=failed)
    assert done == ["one", "broken", "defect", "two"]  # the same job twice is run once
    assert {job.variant: error for job, error in failed.items()} == {
        "broken": "step 3: loss/total is nan",
        "defect": "ZeroDivisionError: division by zero",
    }
    with pytest.raises(
        RunError, match=r"2 runs failed: people broken, seed 0; people defect, seed 0"
    ):
        raise_for_failures(failed)
    said = capsys.readouterr()
    assert "people broken, seed 0 failed: step 3: loss/total is nan" in said.out
    assert "Traceback" in said.err  # of the defect, for whoever mends it
    raise_for_failures({})
    with pytest.raises(ZeroDivisionError):  # of a single command
        in_turn(jobs[2:], work)


PEOPLE = ("people", "--variants", "source_only", "regda")


@pytest.fixture
def shown(monkeypatch, tmp_path):
    """Notes the tables that commands would show, which have no runs here."""
    commands = []

    def show_table(command):
        commands.append(command)
        return tmp_path / "report.html"

    monkeypatch.setattr(command_line, "show_table", show_table)
    return commands


def test_a_failed_seed_stops_no_other_run_of_a_command_and_is_named_at_its_end(
    tmp_path, monkeypatch, capsys, shown
):
    def work(job):
        done.append((job.seed, job.variant))
        if done[-1] in failing:
            raise RunError("step 3: loss/total is nan; give a smaller `learning_rate`")

    done, failing = [], {(0, "regda"), (1, "source_only")}
    monkeypatch.setattr(command_line, "run_job", work)
    names = "people regda, seed 0; people source_only, seed 1"
    with pytest.raises(RunError, match=rf"^2 runs failed: {names}. The same command tries"):
        run(SYSTEMS["regda"], [*PEOPLE, "--seeds", "3", "--workdir", str(tmp_path)])
    assert done == [(seed, name) for seed in range(3) for name in ("source_only", "regda")]
    said = capsys.readouterr().out
    assert said.count("loss/total is nan; give a smaller --learning-rate") == 2
    assert len(shown) == 1  # of those that have not failed

    failing.update(done)
    with pytest.raises(RunError, match=r"^6 runs failed: "):
        run(SYSTEMS["regda"], [*PEOPLE, "--seeds", "3", "--workdir", str(tmp_path)])
    assert len(shown) == 1


def test_input_that_the_first_run_of_a_command_cannot_use_ends_it(tmp_path, monkeypatch, shown):
    """All of its runs read the same. What a later one alone cannot use stops no other."""

    def work(job):
        done.append(job.seed)
        if job.seed == unusable:
            raise InputError("source", "no labels in it; see `target`")

    monkeypatch.setattr(command_line, "run_job", work)
    typed = [*PEOPLE[:-1], "--seeds", "3", "--workdir", str(tmp_path)]
    done, unusable = [], 0
    with pytest.raises(InputError, match=r"^--source: no labels in it; see --target$"):
        run(SYSTEMS["regda"], typed)
    assert done == [0]
    done, unusable = [], 1
    with pytest.raises(RunError, match=r"^1 run failed: people source_only, seed 1. "):
        run(SYSTEMS["regda"], typed)
    assert done == [0, 1, 2]


def test_a_finished_run_is_not_the_first_whose_input_is_that_of_all(tmp_path):
    def work(job):
        done.append(job.variant)
        raise InputError("source", "no labels in it")

    done, jobs = [], jobs_in(tmp_path, "one", "two", "three")
    jobs[0].folder.mkdir(parents=True)
    (jobs[0].folder / "results.json").write_text("{}")
    failed = {}
    with pytest.raises(InputError):
        in_turn(jobs, work, failed=failed, alike=True)
    assert done == ["one", "two"]


@pytest.mark.parametrize(
    "refusal", [WriteError("runs: cannot be written"), OSError(errno.ENOSPC, "No space left")]
)
def test_what_cannot_be_written_ends_all_runs(tmp_path, refusal):
    """Each of the others would train to its first checkpoint, and fail there."""

    def work(job):
        done.append(job.variant)
        if job.variant == "two":
            raise refusal

    done, failed = [], {}
    with pytest.raises(type(refusal)):
        in_turn(jobs_in(tmp_path, "one", "two", "three"), work, failed=failed)
    assert done == ["one", "two"]
    assert not failed


def test_a_folder_that_is_blocked_stops_no_other_run(tmp_path, capsys):
    jobs, done, failed = jobs_in(tmp_path, "one", "two", "three"), [], {}
    queue = queue_folder(jobs[1]).parent
    queue.parent.mkdir(parents=True)
    queue.write_text("a file where the folder belongs")
    in_turn(jobs, lambda job: done.append(job.variant), failed=failed, alike=True)
    assert done == ["one", "three"]
    assert list(failed) == [jobs[1]]
    assert "cannot be written" in failed[jobs[1]]


def test_of_several_processes_that_fail_what_is_done_is_reported(tmp_path, monkeypatch, shown):
    def fail(command):
        job = command.jobs()[0]
        write_json(job.folder / "results.json", {})
        raise RunError("1 of 2 processes failed")

    monkeypatch.setattr(command_line, "in_processes", fail)
    typed = [*PEOPLE, "--seeds", "2", "--jobs", "2", "--workdir", str(tmp_path)]
    with pytest.raises(RunError, match="1 of 2"):
        run(SYSTEMS["regda"], typed)
    assert len(shown) == 1


def test_a_single_run_raises_its_own_error(tmp_path, monkeypatch, shown):
    def work(job):
        raise RunError("step 3: loss/total is nan")

    monkeypatch.setattr(command_line, "run_job", work)
    with pytest.raises(RunError, match=r"^step 3: loss/total is nan$"):
        run(SYSTEMS["regda"], [*PEOPLE[:-1], "--workdir", str(tmp_path)])
    assert not shown


@pytest.mark.slow
def test_a_job_in_work_elsewhere_is_left_to_the_end(tmp_path, monkeypatch):
    """Another process holds one job, until it is killed: that leaves nothing to be cleared away."""
    jobs, done = jobs_in(tmp_path, "theirs", "ours"), []
    script = (
        f"import pathlib, sys\nfrom kpjax.training.run_folder import hold_folder\n"
        f"with hold_folder(pathlib.Path({str(queue_folder(jobs[0]))!r})):\n"
        f"    print('held', flush=True)\n    sys.stdin.read()"
    )
    root = str(Path(__file__).parents[3])
    other = subprocess.Popen(
        [sys.executable, "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=root,
        env=os.environ | {"PYTHONPATH": root},
    )

    def end(seconds):
        assert done == ["ours"]
        other.kill()
        other.communicate()

    monkeypatch.setattr(time, "sleep", end)
    assert other.stdout.readline() == "held\n"
    in_turn(jobs, lambda job: done.append(job.variant))
    assert done == ["ours", "theirs"]


def test_a_run_whose_stage_another_process_trains_waits_for_it(tmp_path, monkeypatch):
    def work(job):
        calls.append(job.variant)
        if job.variant == "needs_stage" and calls.count("needs_stage") < 3:
            raise InUse("stages/warm_start/seed-0: another process is training here")

    calls, pauses = [], []
    monkeypatch.setattr(time, "sleep", pauses.append)
    in_turn(jobs_in(tmp_path, "needs_stage", "free"), work, pause=7.0)
    assert calls == ["needs_stage", "free", "needs_stage", "needs_stage"]
    assert pauses == [7.0]  # only once nothing else was left to do


def test_a_run_that_another_starts_from_is_claimed_too(tmp_path):
    """Else its half-written files were cleared away beside the process that trains it."""
    (job,) = jobs_in(tmp_path, "source_only")
    with hold_folder(queue_folder(job)), pytest.raises(InUse):
        result_of(job)


def test_processes_of_a_machine_see_an_accelerator_each(monkeypatch, tmp_path):
    started, ended = [], []

    class Child:
        def __init__(self, words, env, process_group):
            started.append((words, env["CUDA_VISIBLE_DEVICES"], env["TPU_VISIBLE_CHIPS"]))

        def wait(self):
            if "stopped" in str(started[-1]) and not ended:
                signal.raise_signal(signal.SIGTERM)
            return int("failing" in str(started[-1]))

        def terminate(self):
            ended.append(self)

    monkeypatch.setattr("kpjax.papers.command_line.subprocess.Popen", Child)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,6")
    command = read_command(SYSTEMS["pyramids"], ["tiny", "--jobs", "2", "--workdir", str(tmp_path)])
    in_processes(command)
    assert [seen[1:] for seen in started] == [("4", "0"), ("6", "1")]
    in_processes(
        read_command(SYSTEMS["pyramids"], ["tiny", "--jobs", "3", "--workdir", str(tmp_path)])
    )
    assert [seen[1] for seen in started[2:]] == ["4", "6", "4"]  # none that it was not given
    assert started[0][0][1:] == [
        "-m",
        "experiments.pyramids",
        "tiny",
        "--workdir",
        str(tmp_path),
        "--no-fresh",
        "--begin-at",
        "0",
    ]
    shared = read_command(SYSTEMS["pyramids"], started[0][0][3:]).shared
    assert (shared.jobs, shared.begin_at) == (1, 0)
    with pytest.raises(RunError, match=r"2 of 2 processes failed; .*Not finished: .*, seed 0"):
        in_processes(
            read_command(SYSTEMS["pyramids"], ["tiny", "--jobs", "2", "--workdir", "failing"])
        )
    with pytest.raises(Interrupted):
        in_processes(
            read_command(SYSTEMS["pyramids"], ["tiny", "--jobs", "2", "--workdir", "stopped"])
        )
    assert len(ended) == 2


def test_processes_of_several_hosts_begin_with_different_runs(tmp_path, monkeypatch):
    started = []

    def start(words, **options):
        started.append(read_command(SYSTEMS["regda"], words[3:]))
        return subprocess.CompletedProcess(words, 0)

    monkeypatch.setattr(subprocess.CompletedProcess, "wait", lambda self: 0, raising=False)
    monkeypatch.setattr(subprocess, "Popen", start)
    typed = ["people", "--seeds", "2", "--variants", "regda", "source_only", "--jobs", "2"]
    for host in ("0", "1", "2"):
        where = ["--begin-at", host, "--workdir", str(tmp_path)]
        in_processes(read_command(SYSTEMS["regda"], typed + where))
    runs = [[(job.variant, job.seed) for job in command.jobs()] for command in started]
    assert [order[0] for order in runs] == [
        (variant, seed) for seed in (0, 1, 0) for variant in ("regda", "source_only")
    ]
    assert all(sorted(order) == sorted(runs[0]) for order in runs)


@pytest.mark.parametrize("name", ["cuda.Dockerfile", "tpu.Dockerfile", "tpu_queued_resource.sh"])
def test_recipes_copy_all_that_building_the_package_reads(name):
    text = (LAUNCH / name).read_text()
    root = LAUNCH.parents[1]
    build = tomllib.loads((root / "pyproject.toml").read_text())
    assert "custom" in build["tool"]["hatch"]["metadata"]["hooks"]
    for needed in ("pyproject.toml", "hatch_build.py", "README.md", "docs"):
        assert f" {needed}" in text
    assert "docs/repository.txt" in (root / "hatch_build.py").read_text()


@pytest.mark.parametrize("name", ["gke_jobset", "gke_table"])
def test_recipes_of_clusters_name_flags_that_there_are(name):
    """And each end of a command is answered: mistakes are not repeated, lost hosts are."""
    recipe = yaml.safe_load((LAUNCH / f"{name}.yaml").read_text())
    job = recipe["spec"]
    if recipe["kind"] == "JobSet":
        job = job["replicatedJobs"][0]["template"]["spec"]
        assert recipe["spec"]["failurePolicy"]["rules"][0]["action"] == "FailJobSet"
    pod = job["template"]["spec"]
    (container,) = pod["containers"]
    assert container["command"][:2] == ["python", "-m"]
    module, preset, *flags = container["command"][2:]
    given = {one["name"]: one.get("value", "3") for one in container["env"]}
    for name, value in ({"JOB_COMPLETION_INDEX": "3"} | given).items():
        flags = [flag.replace(f"$({name})", value) for flag in flags]
    command = read_command(experiment_of(module.removeprefix("experiments.")), [preset, *flags])
    assert command.shared.workdir.startswith("gs://")
    codes = [rule["onExitCodes"] for rule in job["podFailurePolicy"]["rules"]]
    assert {code for rule in codes for code in rule["values"]} == {1, 2}
    assert all(rule["containerName"] == container["name"] for rule in codes)
    assert container["volumeMounts"][0]["mountPath"] == "/dev/shm"
    assert pod["volumes"][0]["emptyDir"]["medium"] == "Memory"


@pytest.mark.parametrize(
    ("system", "typed"),
    [
        ("regda", ["demo", "--pretraining-steps", "400", "--steps", "400"]),
        ("regda", ["demo", "--steps", "400", "--coefficient-steps", "7"]),
        ("semi_supervised", ["demo", "--steps", "400"]),
        ("semi_supervised", ["tongue", "--train", "lips/train", "--test", "lips/test"]),
        ("incremental", ["demo", "--steps", "60", "--protocol", "mine/figures.json"]),
        ("adaptation", ["demo", "--steps", "40", "--network", "pose_resnet"]),
        ("pyramids", ["demo", "--learning-rate", "0.0123456"]),
    ],
)
def test_settings_say_all_in_which_a_run_differs_from_its_preset(system, typed):
    """Among them lengths that `--steps` scales: a study of these settings then trains the same, and
    no other data pass for the preset's.
    """
    experiment = experiment_of(system)
    command = read_command(experiment, typed)
    settings = read_settings(command.job(command.variants[0], 0).settings)
    assert flat(with_settings(experiment.presets[typed[0]], settings)) == flat(command.config)


def test_batches_that_devices_change_are_settings(tmp_path):
    """Otherwise their numbers would stand for the preset's."""
    typed = ["tiny", "--variants", "pl_warped", "--workdir", str(tmp_path)]
    command = over_devices(read_command(SYSTEMS["semi_supervised"], typed), 3)
    assert command.settings == {"batch_size": 18}


def test_seeds_that_choose_settings_and_others_are_run_apart(tmp_path):
    typed = ["tiny", "--first-seed", "98", "--seeds", "4", "--workdir", str(tmp_path)]
    with pytest.raises(InputError, match="--seeds: 98 to 101; those from 100 on choose settings"):
        read_command(SYSTEMS["pyramids"], typed)
