"""What `--fresh` removes of earlier runs, and what it says that runs use again."""

import pytest
from tiny_systems import CONFIGS, SYSTEMS

from kpjax.errors import InputError
from kpjax.papers.command_line import read_command
from kpjax.papers.configs import replace_fields
from kpjax.papers.engine import queue_folder
from kpjax.papers.fresh import start_over
from kpjax.training.run_folder import InUse, hold_folder


def jobs_of(system, workdir, *variants, preset="tiny"):
    typed = [preset, "--variants", *variants, "--fresh", "--workdir", str(workdir)]
    return read_command(system, typed).jobs()


def test_what_a_run_starts_from_is_removed_with_it(tmp_path):
    """Otherwise it would start from a run of other settings."""
    jobs = jobs_of(SYSTEMS["semi_supervised"], tmp_path, "pl_warped")
    teacher = jobs[0].preset_folder / "supervised_warped" / "seed-0"
    teacher.mkdir(parents=True)
    start_over(jobs)
    assert not teacher.exists()


def test_what_lies_in_a_runs_folder_goes_with_it_and_the_help_says_so(tmp_path, capsys):
    """`kpjax predict` without --out writes there."""
    (job,) = jobs_of(SYSTEMS["adaptation"], tmp_path, "adapted")
    predictions = job.folder / "predictions"
    predictions.mkdir(parents=True)
    start_over([job])
    assert not predictions.exists()
    with pytest.raises(SystemExit):
        read_command(SYSTEMS["adaptation"], ["tiny", "--help"])
    assert "--fresh" in (said := capsys.readouterr().out)
    assert "deletes these runs with all in their folders" in said


def test_stages_of_other_variants_stay_and_so_do_all_while_one_is_in_use(tmp_path):
    jobs = jobs_of(SYSTEMS["incremental"], tmp_path, "kamp")
    own, shared, other, longer = (
        jobs[0].preset_folder / "stages" / name / "seed-0"
        for name in ("kamp_step_1", "base", "finetune_step_1", "kamp_rerendered_step_1")
    )
    for folder in (own, shared, other, longer):
        folder.mkdir(parents=True)
    with hold_folder(shared), pytest.raises(InUse):
        start_over(jobs)
    assert shared.exists()
    start_over(jobs)
    assert [folder.exists() for folder in (own, shared, other, longer)] == [
        False,
        False,
        True,
        True,
    ]


def test_a_run_in_work_and_a_folder_in_which_another_preset_trains_stay(tmp_path):
    (job,) = jobs_of(SYSTEMS["adaptation"], tmp_path, "adapted")
    job.folder.mkdir(parents=True)
    for held in (queue_folder(job), job.folder):
        with hold_folder(held), pytest.raises(InUse):
            start_over([job])
        assert job.folder.exists()
    start_over([job])
    assert not job.folder.exists()


def test_the_run_that_a_job_starts_from_stays(tmp_path):
    """`--fresh` is what a line advises where an earlier run of that name learnt from other labels."""
    workdir = tmp_path / "runs"
    (start,) = jobs_of(SYSTEMS["adaptation"], workdir, "adapted")
    start.folder.mkdir(parents=True)
    for of_run in (start.folder, start.folder / "model"):
        backbone = replace_fields(start.config, weights=str(of_run))
        with pytest.raises(InputError, match=r"^weights: .*seed-0 is what `fresh` would remove"):
            start_over([start._replace(config=backbone)])
    assert start.folder.exists()
    address = replace_fields(start.config, weights="https://host/weights.pth")
    start_over([start._replace(config=address)])
    assert not start.folder.exists()


def test_what_another_preset_keeps_is_said_to_be_used_again(tmp_path, capsys):
    """A fresh run took its core, and all that it should learn, from there without a word."""
    tiny = CONFIGS["adaptation"]
    presets = {
        "keeps": tiny,
        "core_alone": replace_fields(tiny, core_kept_by="keeps"),
        "both": replace_fields(tiny, core_kept_by="keeps", training_kept_by="keeps"),
    }
    system = SYSTEMS["adaptation"]._replace(presets=presets)
    variants = ("adapted", "trunk_clusters")
    jobs = {name: jobs_of(system, tmp_path, *variants, preset=name) for name in presets}

    def said(preset):
        start_over(jobs[preset])
        return capsys.readouterr().out.splitlines()

    assert [said(name) for name in presets] == [[], [], []]  # there is nothing yet

    learnt, clusters = (job.folder for job in jobs["keeps"])
    core = jobs["keeps"][0].preset_folder / "stages" / "core_people_clutter" / "seed-0"
    for folder in (core, learnt, clusters):
        folder.mkdir(parents=True)
    mends = "; kept by the preset keeps, whose own --fresh removes what it keeps"
    assert said("core_alone") == [f"used again: {core}{mends}"]
    assert said("both") == [f"used again: {core}, {learnt}{mends}"]
    assert core.exists()
    assert learnt.exists()

    assert said("keeps") == []
    assert not core.exists()
    assert not learnt.exists()
    assert said("both") == []
