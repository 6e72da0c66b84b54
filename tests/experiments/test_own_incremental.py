"""The preset `own` of incremental learning: a run of another experiment learns the new keypoints of a project."""
import json

import jaxtyping
import numpy as np
import pytest
from own_projects import drawn_project
from own_runs import untrained_run

import experiments.incremental as experiment
import experiments.semi_supervised as semi_supervised
from experiments import own_project
from experiments.adaptation.own import own_core
from experiments.command_line import Job, exit_code_of, read_command, run
from experiments.export import export_run
from experiments.incremental.associations import triples_of
from experiments.incremental.old_model import expanded, old_model
from experiments.incremental.own import joint_skeleton, open_own
from kpjax.structures import Skeleton
from kpjax.training.evaluation import predict_source

EXPERIMENT = experiment.EXPERIMENT
TINY = ("--batch-size", "8", "--steps", "2", "--augmentation", "none")


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """Six keypoints: head, neck and right_shoulder are the old run's, too."""
    made = drawn_project(tmp_path_factory.mktemp("project"), recordings=("day",), labelled=8, keypoints=6)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(own_project, "_read", lambda *arguments: made)
        yield made


@pytest.fixture(scope="module")
def old_run(project, tmp_path_factory):
    """A finished run of another experiment, which knows two keypoints of the project and one that it has not."""
    points = Skeleton((*project.skeleton.names[:2], "tail"), ((0, 1), (1, 2)))
    return untrained_run(tmp_path_factory.mktemp("runs"), points)


def command(old_run, *flags):
    return ["own", "--old", str(old_run), "--project", "P", *TINY, *flags]


def test_what_is_taken_over(project, old_run, capsys):
    config = read_command(EXPERIMENT, command(old_run)).config
    told = capsys.readouterr().out
    assert "new keypoints: " + ", ".join(project.skeleton.names[2:]) in told
    assert "in both, and taken for the same points: " + ", ".join(project.skeleton.names[:2]) in told
    assert (config.image_size, config.heatmap_size, config.widths, config.head_layers) == (32, 8, (4, 4, 8, 8), 2)
    assert config.steps == 2
    assert list(read_command(EXPERIMENT, command(old_run, "--no-control")).variants) == ["kamp"]
    assert {"ewc", "joint"}.isdisjoint(EXPERIMENT.applicable("own", config))
    old = old_model(str(old_run))
    skeleton = joint_skeleton(old.opened.method.skeleton, project)
    assert skeleton.names == (*project.skeleton.names[:2], "tail", *project.skeleton.names[2:])
    assert {(0, 1), (1, 2)} <= set(skeleton.edges)


def test_the_old_model_answers_as_before_and_judges_what_nobody_labelled(project, old_run):
    config = read_command(EXPERIMENT, command(old_run)).config
    old, material = old_model(str(old_run)), open_own(config)
    this = experiment.open_run(Job(config, "own", "kamp", 0, None, None), material)
    known = experiment.learn_base(this)
    before = predict_source(old.opened.method, old.opened.trained, material.labelled, batch_size=8)
    after = predict_source(this.judge, known.trained, material.judge, batch_size=8)
    np.testing.assert_allclose(after.keypoints[:, :3], before.keypoints, atol=1e-4)
    # The tail has no label: it lies where the old model finds it. The others lie where the person marked them.
    np.testing.assert_allclose(after.true_keypoints[:, 2], before.keypoints[:, 2], atol=1e-4)
    held = [project.instances[number] for number in own_project.hold_out(project).held_out]
    np.testing.assert_allclose(after.true_keypoints[:, 3], [one.keypoints[2] for one in held], atol=1e-4)
    assert not material.labelled[0].visible[2]
    assert material.train[0].scale > 0
    # Without a line between old and new points the nearest ones make the triple.
    (triple,) = triples_of(this, known, 1, material.train)
    assert triple[0] < 3 <= min(triple[1:])
    variables, _ = expanded(old, this.setting.parts.network, 7, 32)
    assert variables["params"]["head"]["output"]["kernel"].shape[-1] == 7


def test_from_a_run_and_a_project_to_a_result(project, old_run, tmp_path):
    folder = run(EXPERIMENT, command(old_run, "--workdir", str(tmp_path), "--variants", "mse_distillation")).parent
    results = json.loads((folder / "mse_distillation" / "seed-0" / "results.json").read_text())["metrics"]
    assert {"new/pck", "old/pck", "old/pck_before", "at"} <= set(results)
    assert (folder / "mse_distillation" / "seed-0" / "score_table.json").exists()
    method, side, _ = experiment.predictor(folder / "mse_distillation" / "seed-0")
    assert (len(method.skeleton.names), side) == (7, 32)
    assert not (folder / "stages" / "base").exists()
    # What came out is an old model in its turn.
    assert len(old_model(str(folder / "mse_distillation" / "seed-0")).names) == 7


REFUSED = [
    (["--project", "P"], "--old: name a finished run's folder"),
    (["--old", "nowhere", "--project", "P"], "nowhere does not exist"),
    (["--old", "RUN"], "--project: name an annotation project"),
]


@pytest.mark.parametrize(("flags", "line"), REFUSED)
def test_refused_in_one_line(project, old_run, flags, line, tmp_path, capsys):
    flags = [str(old_run) if flag == "RUN" else flag for flag in flags]
    code = exit_code_of(lambda: run(EXPERIMENT, ["own", *flags, "--workdir", str(tmp_path)]))
    error = capsys.readouterr().err.splitlines()
    assert (code, len(error)) == (2, 1), error
    assert line in error[0]


def test_nothing_new_and_logits_are_refused(project, old_run, monkeypatch, capsys):
    two = project._replace(skeleton=Skeleton(project.skeleton.names[:2]), instances=tuple(
        one._replace(keypoints=one.keypoints[:2], visible=one.visible[:2], occluded=one.occluded[:2])
        for one in project.instances))
    monkeypatch.setattr(own_project, "_read", lambda *arguments: two)
    assert exit_code_of(lambda: run(EXPERIMENT, command(old_run))) == 2
    assert "labels no keypoint that the old run does not know" in capsys.readouterr().err
    monkeypatch.setattr(semi_supervised, "score_kind", lambda folder: "logit_peak")
    old_model.cache_clear()
    assert exit_code_of(lambda: run(EXPERIMENT, command(old_run))) == 2
    assert "are no Gaussians of height 1" in capsys.readouterr().err
    old_model.cache_clear()


@pytest.fixture
def unchecked():
    """A batch of any size has no length that could be checked."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


def test_an_exported_folder_is_an_old_model_and_a_core(old_run, unchecked, tmp_path):
    folder = str(export_run(old_run, tmp_path / "exported", self_test=False, tell=lambda line: None))
    given, again = old_model(str(old_run)), old_model(folder)
    assert (again.names, again.taken_over) == (given.names, given.taken_over)
    for found in (again.opened.trained.variables, own_core(folder).variables):
        np.testing.assert_array_equal(found["params"]["head"]["output"]["kernel"],
                                      given.opened.trained.variables["params"]["head"]["output"]["kernel"])
