"""The contract of systems: from a command line to runs, table and report; again, resumed,
planned."""

import json

import chex
import jax
import numpy as np
import pytest
from PIL import Image
from predict_folder import predict_folder
from tiny_systems import (
    STOPPED,
    SYSTEMS,
    VARIANTS,
    job_of,
    lengths_of,
    printed_of,
    results_of,
)

from experiments import experiment_of
from experiments.blank import without_data
from kpjax.errors import InputError
from kpjax.papers.command_line import chosen_variants, run
from kpjax.papers.configs import replace_fields
from kpjax.papers.engine import is_finished
from kpjax.papers.incremental.config import Config as IncrementalConfig
from kpjax.papers.plan import planned_stages
from kpjax.papers.regda.config import of_pretraining
from kpjax.training import fit as training
from kpjax.training.trees import load_trained

EVERY = pytest.mark.parametrize("name", SYSTEMS)


def by_default(chosen):
    """All systems, of which one is tested by default."""
    return pytest.mark.parametrize(
        "name",
        [
            name if name == chosen else pytest.param(name, marks=pytest.mark.slow)
            for name in SYSTEMS
        ],
    )


def files_below(folder):
    """Every file but the report, with its time and its bytes."""
    return {
        path.relative_to(folder).as_posix(): (path.stat().st_mtime_ns, path.read_bytes())
        for path in folder.rglob("*")
        if path.is_file() and path.name != "report.html"
    }


@EVERY
def test_what_runs_unless_variants_are_named_suits_the_preset(name):
    experiment = experiment_of(name)
    for preset, config in experiment.presets.items():
        suitable = set(experiment.paper.applicable(preset, config))
        assert (
            set()
            < set(chosen_variants(experiment, preset, config, ()))
            <= suitable
            <= set(experiment.paper.variants)
        )


@EVERY
def test_a_run_leaves_results_a_model_images_and_a_report(ran, name):
    folder, experiment, columns = ran(name), SYSTEMS[name], {}
    for variant in VARIANTS[name]:
        results, home = results_of(folder, variant), folder / variant / "seed-0"
        assert (results["experiment"], results["preset"], results["variant"], results["seed"]) == (
            name,
            folder.name,
            variant,
            0,
        )
        assert results["devices"]["count"] == jax.device_count()
        assert results["versions"]["jax"] == jax.__version__
        assert results["wall_seconds"] >= 0
        possible = experiment.paper.columns(experiment.presets[folder.name])
        assert np.isfinite(float(results["metrics"][possible[0].metric]))
        columns |= {
            column.metric: column for column in possible if column.metric in results["metrics"]
        }
        printed = printed_of(name, variant) & {column.metric for column in possible}
        assert printed <= set(results["metrics"])
        assert load_trained(home / "model").variables
        assert json.loads((home / "skeleton.json").read_text())["names"]
        with Image.open(next((home / "images").glob("*.png"))) as sheet:
            assert sheet.width > 32
    report = (folder / "report.html").read_text()
    assert columns
    for heading in [column.title for column in columns.values()][:3]:
        assert heading.partition(" of ")[0].partition("'")[0] in report


@by_default("adaptation")
def test_a_second_call_trains_nothing_and_changes_no_file(ran, monkeypatch, capsys, name):
    folder = ran(name)
    before = files_below(folder)
    monkeypatch.setattr("kpjax.papers.engine.fit", None)
    report = run(
        SYSTEMS[name],
        [folder.name, "--variants", *VARIANTS[name], "--workdir", str(folder.parents[1])],
    )
    said = capsys.readouterr().out
    assert said.count("finished before") == len(VARIANTS[name])
    assert files_below(folder) == before
    for variant in VARIANTS[name]:
        label = SYSTEMS[name].paper.variants[variant].label or variant
        assert label in said
        assert label in report.read_text()


@EVERY
def test_another_configuration_is_refused_by_its_field(ran, name):
    folder = ran(name)
    job = job_of(name, VARIANTS[name][0], folder.parents[1])
    assert is_finished(job)
    with pytest.raises(InputError, match=r"config\.\S*steps is"):
        is_finished(job._replace(config=job.config.shortened(job.config.steps + 1)))


@pytest.mark.parametrize(
    ("identity", "name", "alike", "others"),
    [
        (
            of_pretraining,
            "regda",
            {"mcd_trade_off": 0.3, "margin": 2.0, "coefficient": 1.0, "ground_false": "area"},
            {
                "learning_rate": 0.01,
                "pretraining_steps": 9,
                "batch_size": 3,
                "teacher_learning_rate": 0.01,
            },
        ),
        (
            IncrementalConfig.of_base,
            "incremental",
            {
                "kamp": 7.0,
                "ka_variant": "wide",
                "reduction": "element_mean",
                "steps": 9,
                "learning_rate": 1.0,
                "evaluated_on": "validation",
                "input_sigma": 1.0,
            },
            {"base_steps": 3, "base_learning_rate": 1.0, "sigma": 2.0},
        ),
        (
            IncrementalConfig.of_association,
            "incremental",
            {"kamp": 7.0, "self_training": 2.0, "pck_threshold": 0.1, "old_label_gate": True},
            {"input_sigma": 2.0, "ka_variant": "wide", "base_steps": 3},
        ),
    ],
    ids=["pretraining", "base", "association"],
)
def test_a_shared_stage_depends_on_nothing_that_it_does_not_read(identity, name, alike, others):
    config = job_of(name, "").config
    assert identity(replace_fields(config, **alike)) == identity(config)
    assert all(
        identity(replace_fields(config, **{field: value})) != identity(config)
        for field, value in others.items()
    )


@by_default("pyramids")
def test_a_run_finds_keypoints_on_other_images(ran, name, tmp_path):
    folder = ran(name) / VARIANTS[name][0] / "seed-0"
    (tmp_path / "images").mkdir()
    Image.fromarray(np.zeros((40, 60, 3), np.uint8)).save(tmp_path / "images" / "one.png")
    table = predict_folder(folder, tmp_path / "images", tmp_path / "out")
    names = json.loads((folder / "skeleton.json").read_text())["names"]
    assert len(table.read_text().splitlines()) == 1 + len(names)


@pytest.mark.slow
@EVERY
def test_a_resumed_run_is_the_same(ran, monkeypatch, tmp_path, name):
    """Stopped one step before the end of a stage and called again; what is finished is not trained
    again.
    """
    variant, stage = STOPPED[name]
    whole, job = ran(name, variant), job_of(name, variant, tmp_path)

    def stopped(method, streams, **options):
        if options["stage"] != stage:
            return training.fit(method, streams, **options)
        shorter = {"steps": options["steps"] - 1, "options": training.FitOptions(save_every=1)}
        # no evaluation at another step than those of the whole run
        if (options.get("evaluate") or (0,))[0]:
            shorter |= {"evaluate": None, "select": None}
        training.fit(method, streams, **options | shorter)
        raise KeyboardInterrupt

    arguments = [whole.name, "--variants", variant, "--workdir", str(tmp_path)]
    with monkeypatch.context() as patch:
        patch.setattr("kpjax.papers.engine.fit", stopped)
        with pytest.raises(KeyboardInterrupt):
            run(SYSTEMS[name], arguments)
    assert not (job.folder / "results.json").exists()
    run(SYSTEMS[name], arguments)
    ours, theirs = (
        load_trained(folder / "model") for folder in (whole / variant / "seed-0", job.folder)
    )
    chex.assert_trees_all_equal(ours, theirs, strict=True)
    assert (
        results_of(job.preset_folder, variant)["metrics"] == results_of(whole, variant)["metrics"]
    )


@pytest.mark.slow
@EVERY
def test_every_stage_of_every_variant_can_be_traced(name):
    """As `kpjax plan` finds the stages. A step leaves a state like the one before."""
    experiment = SYSTEMS[name]
    preset, config = next(iter(experiment.presets.items()))
    traced = []
    for variant in experiment.paper.applicable(preset, config):
        stages = planned_stages(job_of(name, variant)._replace(experiment=without_data(experiment)))
        if name != "regda":  # whose steps are not equally dear
            assert sum(lengths_of(experiment, config, variant).values()) == sum(
                {(stage.folder, stage.name): stage.steps for stage in stages}.values()
            ), variant
        for stage in stages:
            if any(stage.alike(other) for other in traced):
                continue
            traced.append(stage)
            after, metrics = jax.eval_shape(
                stage.method.update, stage.state, dict(stage.streams), jax.random.key(1)
            )
            assert jax.tree.structure(after) == jax.tree.structure(stage.state), (
                variant,
                stage.name,
            )
            assert "loss/total" in metrics or stage.name == "statistics", (variant, stage.name)


@by_default("regda")
def test_a_rehearsal_goes_on_from_a_checkpoint_in_every_stage_and_keeps_nothing(
    name, tmp_path, capsys
):
    """In the folder of a finished run, which stays as it is."""
    kept = tmp_path / name / "results.json"
    kept.parent.mkdir()
    kept.write_text("{}")
    command = [next(iter(SYSTEMS[name].presets)), "--workdir", str(tmp_path), "--variants"]
    run(SYSTEMS[name], [*command, *VARIANTS[name], "--rehearse"])
    said = capsys.readouterr()
    assert "rehearsed in" in said.out
    assert said.err.count("compiling, once") == 2 * said.err.count("going on from step 1 of 2") > 0
    assert list(tmp_path.rglob("*")) == [kept.parent, kept]
