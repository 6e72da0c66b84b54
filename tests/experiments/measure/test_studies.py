"""Tables that are run by one command: what they need, what they show, and how they go on."""

import re

import pytest
import tiny_regda

from experiments import experiment_of, study
from experiments.measure import queue
from experiments.measure.queue import choose_lines, jobs_of
from experiments.measure.render import METRICS, Room, Table, rooms
from experiments.measure.rows import EXPERIMENTS
from kpjax import InputError, RunError
from kpjax.files import write_json
from kpjax.papers.command_line import Command, Shared, read_command
from kpjax.papers.configs import replace_fields

TABLE = Table(
    "people",
    ("regda", "people mcd_trade_off=3/regda", "adabn_augmented", "regda - adabn_augmented"),
    ("target/pck",),
)


def write_finished(job, pck):
    """Writes what a finished run leaves, of which nothing was trained."""
    write_json(
        job.folder / "results.json",
        {
            "experiment": job.paper.name,
            "preset": job.preset,
            "variant": job.variant,
            "seed": job.seed,
            "steps": 800,
            "metrics": {"target/pck": pck},
        },
    )


def tiny_room(experiment=tiny_regda.TINY, **tables):
    """A room of tables on small images."""
    return type("TinyRoom", (Room,), {"experiment": experiment})(
        EXPERIMENTS / "regda", tables, (), METRICS, {}, {}
    )


def test_a_study_goes_on_and_names_what_is_missing(monkeypatch, tmp_path):
    """None of its runs trains, and one fails."""
    ran = []

    def run(job):
        ran.append(job)
        if (job.variant, job.seed) == ("adabn_augmented", 1):
            raise InputError("made up")
        write_finished(job, 0.5 + 0.1 * job.seed)

    monkeypatch.setattr(queue, "run_job", run)
    odd = tiny_regda.TINY._replace(
        presets={"people": replace_fields(tiny_regda.TINY.presets["people"], batch_size=13)}
    )
    room = tiny_room(odd, headline=TABLE)
    for _ in range(2):
        with pytest.raises(RunError, match="1 run failed: people adabn_augmented, seed 1"):
            study.main(["regda", "--seeds", "2", "--workdir", str(tmp_path)], room=room)
    assert [job.config.batch_size for job in ran] == 12 * [16]  # rounded to the devices
    assert [job.seed for job in ran[:6]] == 3 * [0] + 3 * [1]
    text = (tmp_path / "regda" / "headline.md").read_text()
    assert "| **regda** | 55.0 ± 7.1 |" in text
    assert "| adabn_augmented (control) | 50.0 |" in text
    assert "| regda - adabn_augmented | +0.0 |" in text
    assert "Not finished: people adabn_augmented, seed 1." in text
    assert "| people | mcd_trade_off=3 | regda | 800 steps, 0 images, 0 s |" in text


def test_each_of_several_processes_begins_with_another_run(monkeypatch, tmp_path):
    """All of them go through the whole table."""
    ran = []
    monkeypatch.setattr(queue, "run_job", ran.append)
    table = TABLE._replace(lines=("regda", "dd"))
    typed = ["regda", "--seeds", "2", "--workdir", str(tmp_path)]
    for begins in ("0", "3", "5"):
        study.main([*typed, "--begin-at", begins], room=tiny_room(headline=table))
    runs = [(job.variant, job.seed) for job in ran]
    in_order = [("regda", 0), ("dd", 0), ("regda", 1), ("dd", 1)]
    assert runs[:4] == in_order
    assert runs[4:8] == [in_order[3], *in_order[:3]]
    assert runs[8:] == [*in_order[1:], in_order[0]]


def test_a_table_of_tries_runs_and_shows_tuning_seeds_alone(monkeypatch, tmp_path):
    """Seed 0 is a test seed: settings are not tried on it, nor does it stand there as a try."""
    monkeypatch.setattr(queue, "run_job", lambda job: write_finished(job, job.seed / 200))
    room = tiny_room(tries=TABLE._replace(lines=("regda",), tuning=True))
    typed = ["regda", "tries", "--workdir", str(tmp_path)]
    with pytest.raises(InputError, match=r"--first-seed 0: regda, tries .*--first-seed 100"):
        study.main(typed, room=room)
    assert not list(tmp_path.rglob("results.json"))
    study.main([*typed, "--first-seed", "100"], room=room)
    assert "| **regda** | 50.0 |" in (tmp_path / "regda" / "tries.md").read_text()


def test_variants_and_a_preset_choose_lines():
    assert choose_lines(TABLE, ["regda"]).lines == ["regda", "people mcd_trade_off=3/regda"]
    assert choose_lines(TABLE, (), "people").lines == [
        "regda",
        "adabn_augmented",
        "regda - adabn_augmented",
    ]
    assert choose_lines(TABLE, (), "people mcd_trade_off=3").lines == [
        "people mcd_trade_off=3/regda"
    ]
    apart = choose_lines(TABLE._replace(lines=TABLE.lines[-1:]), ["regda"])
    assert apart.lines == ["people/regda"]  # it stands in differences only
    with pytest.raises(InputError, match="dd: none stands in the table with 'people'"):
        choose_lines(Table("", ["people/regda", "sprites/dd"], ("target/pck",)), ["dd"], "people")
    several = Table(("people", "sprites"), ("regda", "dd"), ("target/pck",))
    assert choose_lines(several, ["dd"], "sprites") == Table("sprites", ["dd"], ("target/pck",))


@pytest.mark.parametrize(
    "name", ["regda", "semi_supervised", "incremental", "pyramids", "adaptation"]
)
def test_every_table_names_runs_that_exist_and_a_folder_holds_one_config(name):
    found = rooms()[name]
    for table in found.tables.values():
        commands = {
            run.preset: Command(
                found.experiment, run.preset, found.experiment.presets[run.preset], (), Shared(), ()
            )
            for run in table.runs()
        }
        jobs = [job for of_seeds in jobs_of(table, commands).values() for job in of_seeds]
        assert len({job.folder for job in jobs}) == len(set(jobs)) > 1
        # so that they are gathered
        assert {job.settings for job in jobs} <= {run[1] for run in found.shown()}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nothing"], "SYSTEM: 'nothing' .*semi_supervised"),
        (["benchmark"], "SYSTEM: 'benchmark'"),
        (["regda", "table9"], "TABLE: 'table9' .*headline"),
        (["regda", "real", "--no-such", "1"], "no-such"),
        (["regda", "paper", "--preset", "nowhere"], "--preset: .*nowhere"),
        (["regda", "real", "--variants", "mcd"], "--variants: .*'mcd'"),
        (["regda", "--fresh"], "--fresh, "),
        (["regda", "--jobs", "2"], "--fresh, --jobs"),
        (["regda", "--rehearse"], "--rehearse: "),
        (["regda", "tries"], "--first-seed 0: .* give --first-seed 100"),
        (["regda", "--first-seed", "100"], "--first-seed 100: .* give --first-seed 0"),
    ],
)
def test_bad_arguments_are_refused_before_anything_runs(arguments, words, monkeypatch, tmp_path):
    monkeypatch.setattr(queue, "run_job", None)
    with pytest.raises(InputError, match=words):
        study.main([*arguments, "--workdir", str(tmp_path)])


def test_what_half_an_hour_on_a_gpu_runs_stands_in_tables():
    """Else its numbers would be gathered into none."""
    text = (EXPERIMENTS / "launch" / "half_hour.sh").read_text().replace("\\\n", " ")
    found = re.findall(r"run (\w+) (\w+) \"([^\"]+)\"(.*)\$\(steps(.*?)\)", text)
    assert len(found) == 5
    for system, preset, variants, flags, lengths in found:
        command = read_command(
            experiment_of(system),
            [preset, "--variants", *variants.split(), *flags.split(), *lengths.split()],
        )
        runs = {job[:3] for job in rooms()[system].shown()}
        for job in command.jobs():
            assert (preset, job.settings, job.variant) in runs
