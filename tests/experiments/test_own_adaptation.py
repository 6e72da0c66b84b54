"""The preset `own` of adaptation: the network of any run as the core, a person's pictures, and labels as a probe."""
import json
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from own_projects import drawn_project
from own_runs import untrained_run

import experiments.adaptation as experiment
from experiments import own_project
from experiments.adaptation.config import OF_CORE, PRESETS, fields_of
from experiments.adaptation.own import own_core
from experiments.adaptation.parts import network
from experiments.adaptation.pictures import open_pictures
from experiments.command_line import exit_code_of, read_command, run
from kpjax.files import write_json
from kpjax.structures import Skeleton, Trained
from kpjax.training.trees import save_trained

EXPERIMENT = experiment.EXPERIMENT
TINY = ("--batch-size", "8", "--steps", "1", "--landmarks", "3", "--generator-width", "4", "--compare", "pixels",
        "--repeats", "1")


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """Sixty pictures, of which twenty have labels."""
    made = drawn_project(tmp_path_factory.mktemp("project"), recordings=("a", "b"), labelled=10, unlabelled=20)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(own_project, "_read", lambda *arguments: made)
        yield made


@pytest.fixture(scope="module")
def old_run(tmp_path_factory):
    return untrained_run(tmp_path_factory.mktemp("runs"), Skeleton(("x", "y")))


def command(old_run, project, *flags):
    return ["own", "--core", str(old_run), "--images", str(project.root), *TINY, *flags]


def test_from_a_run_and_pictures_to_a_result(project, old_run, tmp_path, capsys):
    folder = run(EXPERIMENT, command(old_run, project, "--project", "P", "--labelled-images", "5", "--variants",
                                     "adapted", "--workdir", str(tmp_path))).parent
    told = capsys.readouterr().out
    assert "56 pictures without labels; held out: 4 of 20 labelled frames, the last part of each recording" in told
    results = json.loads((folder / "adapted" / "seed-0" / "results.json").read_text())
    assert {"forward/5", "backward/all", "consistency", "live_points"} <= set(results["metrics"])
    assert json.loads(results["config"]["core_network"])["network"] == "small_unet"
    core = own_core(str(old_run))
    kept = json.loads((folder / "adapted" / "seed-0" / "model" / "trained.json").read_text())
    assert kept["digest"]
    method, side, _ = experiment.predictor(folder / "adapted" / "seed-0")
    assert (len(method.skeleton.names), side) == (3, 32)
    # What came out is a core in its turn, of the same layers.
    again = own_core(str(folder / "adapted" / "seed-0"))
    assert again.fields["core_network"] == core.fields["core_network"]
    assert jax.tree.structure(again.variables["params"]["backbone"]) == jax.tree.structure(
        core.variables["params"]["backbone"])


def test_pictures_and_rows(project, old_run):
    read = read_command(EXPERIMENT, command(old_run, project))
    assert list(read.variants) == ["random_core", "adapted"]
    assert not read.config.annotated
    pictures = open_pictures(read.config, 0, None)
    assert (len(pictures.target), len(pictures.test)) == (48, 12)
    labelled = read_command(EXPERIMENT, command(old_run, project, "--project", "P", "--no-control"))
    assert list(labelled.variants) == ["adapted"]
    assert labelled.config.images == (10,)
    pictures = open_pictures(labelled.config, 0, None)
    assert (len(pictures.target), len(pictures.fit), len(pictures.test)) == (56, 16, 4)
    assert not pictures.target[0].visible.any()


def test_the_core_of_a_stage(tmp_path):
    config = replace(PRESETS["demo"], image_size=32, width=16, depth=1, core="drawn:people")
    fresh = jax.jit(lambda: network(config, 2).init(jax.random.key(0), jnp.zeros((1, 32, 32, 3)), train=False))()
    write_json(tmp_path / "stage.json", {"config": fields_of(config, OF_CORE)})
    save_trained(tmp_path / "result", Trained(dict(fresh), {}))
    core = own_core(str(tmp_path))
    assert core.fields == {"image_size": 32, "width": 16, "depth": 1, "dtype": "float32", "pictures": "colour"}
    stored = core.variables["params"]["backbone"]["conv1"]["kernel"]
    np.testing.assert_array_equal(stored, fresh["params"]["backbone"]["conv1"]["kernel"])


REFUSED = [
    ([], "--core: name a finished run's folder"),
    (["--core", "RUN"], "--images: name pictures, videos"),
    (["--core", "nowhere", "--images", "ALL"], "nowhere does not exist"),
    (["--core", "RUN", "--images", "ONE"], "--images: 30 pictures; points are found on at least 50"),
]


@pytest.mark.parametrize(("flags", "line"), REFUSED)
def test_refused_in_one_line(project, old_run, flags, line, tmp_path, capsys):
    known = {"RUN": old_run, "ALL": project.root, "ONE": project.root / "a"}
    code = exit_code_of(lambda: run(EXPERIMENT, ["own", *(str(known.get(flag, flag)) for flag in flags), "--workdir",
                                                 str(tmp_path)]))
    error = capsys.readouterr().err.splitlines()
    assert (code, len(error)) == (2, 1), error
    assert line in error[0]
