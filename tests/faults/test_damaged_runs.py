"""Files of runs and streams that are damaged, edited or never end: refused in a line."""

import io
import json
import os
import re
import sys
from dataclasses import asdict

import jax
import pytest
from damaging import PROJECTS
from own_runs import untrained_run

from experiments import experiment_of
from experiments.semi_supervised import PRESETS
from kpjax.errors import InputError, say_once
from kpjax.files import read_content, read_json
from kpjax.formats.reading import read_project
from kpjax.input.source import TfdsSource
from kpjax.lab.predictors import open_run
from kpjax.papers.configs import config_as_json, config_from_json
from kpjax.papers.engine import Job, is_finished
from kpjax.papers.parsing import exit_code_of
from kpjax.structures import Skeleton, skeleton_from_json
from kpjax.training import hosts
from kpjax.training.evaluation import read_predictions
from kpjax.training.finished_runs import read_run

TABLE = "labeled-data/vid 1/CollectedData_Ann.csv"
POINTS = Skeleton(("nose", "left_ear", "right_ear"), ((0, 1),), (0, 2, 1), {"ears": (1, 2)})


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run."""
    return untrained_run(tmp_path_factory.mktemp("runs"), POINTS)


@pytest.mark.parametrize(
    ("kind", "file"),
    [
        ("coco", "labels.json"),
        ("table", "labels.csv"),
        ("deeplabcut", TABLE),
        ("lightning pose", "CollectedData.csv"),
    ],
)
def test_a_pipe_is_not_waited_for(tmp_path, kind, file):
    PROJECTS[kind](tmp_path / "p")
    (tmp_path / "p" / file).unlink()
    os.mkfifo(tmp_path / "p" / file)
    with pytest.raises(InputError):
        read_project(tmp_path / "p")
    with pytest.raises(InputError, match="is not a file"):
        read_content(tmp_path / "p" / file)


def test_small_files_of_a_run_are_what_was_written(run, capsys):
    for name, old, new in (
        ("skeleton.json", "nose", "nase"),
        ("config.json", '"seed"', '"sead"'),
        ("results.json", "0.5", "0.99"),
    ):
        path = run / name
        whole = path.read_bytes()
        assert old.encode() in whole
        path.write_bytes(whole.replace(old.encode(), new.encode(), 1))
        try:
            if name == "results.json":
                say_once.cache_clear()
                assert read_run(run).metrics == {"test/pck": 0.99}
                assert "edited" in capsys.readouterr().err
            else:
                with pytest.raises(InputError, match=name):
                    open_run(run)
        finally:
            path.write_bytes(whole)


def test_a_finished_run_without_its_model_is_not_finished(run, tmp_path):
    config, _ = config_from_json(PRESETS["demo"], read_json(run / "config.json")["config"])
    job = Job(
        experiment_of("semi_supervised"), config, "demo", "supervised", 0, run.parents[3], tmp_path
    )
    assert is_finished(job)
    (run / "model").rename(tmp_path / "model")
    try:
        with pytest.raises(InputError, match="model"):
            is_finished(job)
    finally:
        (tmp_path / "model").rename(run / "model")


RESULTS = {
    "experiment": "regda",
    "preset": "demo",
    "variant": "a",
    "seed": 0,
    "steps": 1,
    "metrics": {},
    "config": {},
}
STORED = {  # what is written, and what reads it
    "config.json": (
        config_as_json(PRESETS["demo"]),
        lambda _, stored: config_from_json(PRESETS["demo"], stored),
    ),
    "skeleton.json": (
        json.loads(json.dumps(asdict(POINTS))),
        lambda _, stored: skeleton_from_json(stored),
    ),
    "results.json": (
        RESULTS,
        lambda folder, stored: (
            (folder / "results.json").write_text(json.dumps(stored)) and read_run(folder)
        ),
    ),
}
BAD = {  # by the field; ... leaves it out
    "config.json": [
        ("widths", [4, "x"]),
        ("steps", "3"),
        ("network", {"name": "unett"}),
        ("sigma", float("nan")),
    ],
    "skeleton.json": [
        ("edges", [["a"]]),
        ("edges", ...),
        ("flip", ["x", 1, 2]),
        ("groups", {"ears": [None]}),
        ("names", "abc"),
        ("names", ...),
        ("names", ["a\x1bb", "b", "c"]),
    ],
    "results.json": [
        ("variant", "a\nb"),
        ("seed", [0]),
        ("steps", 10**400),
        ("metrics", {"a": 10**400}),
        ("config", [1]),
    ],
}


@pytest.mark.parametrize(
    ("file", "field", "value"), [(file, *bad) for file in BAD for bad in BAD[file]]
)
def test_what_is_stored_has_values_of_its_fields(tmp_path, file, field, value):
    stored, read = STORED[file]

    def put_into(part):
        return {
            name: value if name == field else put_into(inner) if isinstance(inner, dict) else inner
            for name, inner in part.items()
            if (name, value) != (field, ...)
        }

    read(tmp_path, stored)
    with pytest.raises(InputError, match=field if value is ... else file.replace(".", r"\.")):
        read(tmp_path, put_into(stored))


@pytest.mark.parametrize(
    ("name", "content", "read", "words"),
    [
        (
            "predictions.npz",
            b"PK\3\4 and no more",
            lambda path: read_predictions(path.parent),
            r"predictions\.npz",
        ),
        (
            "a",
            b"",
            lambda path: TfdsSource({"other": b""}, POINTS, None, "a set")[0],
            "record 0 cannot be read",
        ),
    ],
)
def test_files_that_are_damaged_are_named(tmp_path, name, content, read, words):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=words):
        read(tmp_path / name)


@pytest.mark.parametrize("step", [None, "1", "x"])
def test_one_process_of_slurms_four_is_told_at_once(monkeypatch, step):
    for name, value in {
        "SLURM_JOB_ID": "1",
        "SLURM_NTASKS": "4",
        "SLURM_PROCID": "0",
        "SLURM_LOCALID": "0",
        "SLURM_STEP_NODELIST": "localhost",
        **({"SLURM_STEP_NUM_TASKS": step} if step else {}),
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(jax.distributed, "initialize", lambda *of, **options: pytest.fail("waits"))
    with pytest.raises(InputError, match=r"4 processes.*srun.*num_processes"):
        hosts.join()
    hosts.join(num_processes=1)


def test_control_characters_are_shown_and_not_sent_and_output_that_cannot_be_written_is_one_line(
    monkeypatch, capsys
):
    def main(error):
        print("a\x1b[31m\r\x00\N{RIGHT-TO-LEFT OVERRIDE}\ud800 ± b")
        raise error

    assert exit_code_of(lambda: main(InputError("c\x1b[2J\nd"))) == 2
    told = capsys.readouterr()
    assert told.out == "a\\x1b[31m\\r\\x00\\u202e\\ud800 ± b\n"
    assert told.err == "error: c\\x1b[2J\\nd\n"
    assert (
        exit_code_of(lambda: main(InputError(f"two columns are called {'9' * 9000!r}; rename one")))
        == 2
    )
    cut = r"error: two columns are called '9{,1000} \.\.\. 9{,1000}'; rename one\n"
    assert re.fullmatch(cut, capsys.readouterr().err)
    assert exit_code_of(lambda: main(OSError(28, "No space left on device"))) == 1
    assert "cannot be written: No space left" in capsys.readouterr().err
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), "ascii", write_through=True))
    assert exit_code_of(lambda: print("±")) == 0
