"""The preset `own` of RegDA, with and without labels of the target, and what it refuses."""
import functools
import json
import re
from pathlib import Path

import chex
import jax
import numpy as np
import pytest
from own_projects import synthetic_project
from own_runs import tiny_finders
from PIL import Image

from kpjax.images.transforms import AroundBox
from kpjax.lab.own import project as own_project
from kpjax.lab.own.regda import SYSTEM, open_data
from kpjax.lab.predictors import open_predictor, open_run
from kpjax.structures import Skeleton
from kpjax.systems.command_line import read_command, run
from kpjax.systems.parsing import exit_code_of
from kpjax.systems.regda.variants import setup_of

TINY = ("--size", "32", "--widths", "4", "4", "4", "--head-layers", "1", "--pretraining-head-layers", "1",
        "--batch-size", "8", "--augmentation", "none", "--evaluations", "1", "--steps", "1", "--pretraining-steps", "1")


@pytest.fixture(scope="module")
def projects(tmp_path_factory):
    """Two projects, P and P2, whose keypoints are in another order; P2 is grey."""
    folder = tmp_path_factory.mktemp("projects")
    first, second = (synthetic_project(folder / name, recordings=("day",), labelled=8, first=100 * number)
                     for number, name in enumerate(("P", "P2")))
    for frame in second.frames:
        Image.open(frame.path).convert("L").save(frame.path)
    turned = second._replace(skeleton=Skeleton(second.skeleton.names[::-1]), instances=tuple(
        one._replace(keypoints=one.keypoints[::-1]) for one in second.instances))
    known = {"P": first, "P2": turned,
             "other": second._replace(skeleton=Skeleton((*second.skeleton.names[:-1], "tail"))),
             "two on a frame": first._replace(instances=(*first.instances, *(
                 one._replace(keypoints=one.keypoints * 0.5 + 2) for one in first.instances)))}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(own_project, "_read", lambda path, *rest: known[path])
        yield known


@pytest.mark.slow
def test_from_two_projects_to_a_result(projects, tmp_path, capsys):
    target = str(projects["P2"].root)
    folder = run(SYSTEM, ["own", "--source", "P", "--target", target, "--target-project", "P2", "--variants",
                              "regda_then_labels", "--workdir", str(tmp_path), *TINY]).parent
    said = capsys.readouterr().out
    assert "held out: 2 of 8 labelled frames, the last part of the only recording; target: 10 frames" in said
    assert "8 of the 8 test images are also among the target's 10" in said
    assert "the source is in colour and the target grey" in said
    results = json.loads((folder / "regda" / "seed-0" / "results.json").read_text())
    assert {"target/pck", "source/pck"} <= set(results["metrics"])
    assert f"target/pck/{projects['P'].skeleton.names[0]}" in results["metrics"]
    assert (folder / "regda" / "seed-0" / "score_table.json").exists()
    opened = open_run(Path(folder / "regda" / "seed-0"))
    assert (opened.method.skeleton.names, opened.transform.side) == (projects["P"].skeleton.names, 32)
    assert opened.score["kind"] == "softmax_peak"
    assert open_run(Path(folder / "regda_then_labels" / "seed-0")).score["kind"] == "mse_peak"
    again = read_command(SYSTEM, ["own", "--source", "P", "--target", target, "--start",
                                  str(folder / "regda" / "seed-0"), "--steps", "1"]).config
    assert (again.network.widths, again.data.image_size) == ((4, 4, 4), 32)
    network = setup_of(again, projects["P"].skeleton).model
    chex.assert_trees_all_equal_shapes(
        again.backbone.variables(network, image_size=32, seed=0)["variables"],
        jax.eval_shape(functools.partial(network.init, train=False), jax.random.key(0), np.zeros((1, 32, 32, 3))))
    data = open_data(read_command(SYSTEM, [
        "own", "--source", "P", "--target", target, "--target-project", "P2", *TINY]).jobs()[0])
    example = data.target.test[0]
    np.testing.assert_allclose(example.keypoints, projects["P2"].instances[0].keypoints[::-1], atol=1e-4)
    assert not data.target.train[0].visible.any()


@pytest.mark.slow
def test_without_labels_of_the_target(projects, tmp_path):
    target = str(projects["P2"].root)
    command = read_command(SYSTEM, ["own", "--source", "P", "--target", target, *TINY])
    assert list(command.variants) == ["source_only", "regda", "teacher_adaptation"]
    assert [column.metric for column in SYSTEM.columns(command.config)] == ["source/pck"]
    assert "oracle" not in SYSTEM.applicable("own", command.config)
    assert open_data(command.jobs()[0]).target.test is None
    assert command.config.coefficient_steps == 1  # scaled with --steps
    # As the report of such a run needs it, the target is shown without labels.
    folder = run(SYSTEM, ["own", "--source", "P", "--target", target, "--variants", "source_only", "--workdir",
                              str(tmp_path), *TINY]).parent
    results = json.loads((folder / "source_only" / "seed-0" / "results.json").read_text())
    assert not [name for name in results["metrics"] if name.startswith("target/")]
    assert (folder / "source_only" / "seed-0" / "images" / "target.png").exists()


@pytest.mark.slow
def test_several_animals_are_found_on_the_target(projects, tmp_path, capsys, monkeypatch, one_form):
    tiny_finders(monkeypatch)
    typed = ["own", "--source", "two on a frame", "--target", str(projects["P2"].root), "--target-project", "P2",
             "--variants", "regda", "--workdir", str(tmp_path), *TINY]
    folder = run(SYSTEM, typed).parent / "regda" / "seed-0"
    said = capsys.readouterr().out
    assert "2 animals on every labelled frame: each is cropped" in said
    assert "10 frames without labels: 20 animals found on 10 of them, each is cropped" in said
    assert (folder / "images" / "found_animals.png").exists()
    predictor = open_predictor(folder)
    assert predictor.transform == AroundBox(32)
    assert predictor.finder.most == 2
    opened = open_data(read_command(SYSTEM, typed).jobs()[0])
    assert (len(opened.target.train), len(opened.target.test), len(opened.source.train)) == (20, 8, 12)


REFUSED = [
    ([], "--source: name an annotation project"),
    (["--source", "P"], "--target: name images or videos"),
    (["--source", "P", "--target", "nowhere"], "nowhere: there is no such file or folder"),
    (["--source", "P", "--target", "TARGET", "--target-project", "other"],
     "has other keypoints than --source: right_hand only in --source, tail only in --target-project"),
    (["--source", "P", "--target", "TARGET", "--transform", "around_box"],
     "would be cropped by boxes, which target frames do not have, and no frame shows two animals"),
]


@pytest.mark.parametrize(("flags", "line"), REFUSED)
def test_refused_in_one_line(projects, flags, line, tmp_path, capsys):
    flags = [str(projects["P2"].root) if flag == "TARGET" else flag for flag in flags]
    code = exit_code_of(lambda: run(SYSTEM, ["own", *flags, "--workdir", str(tmp_path)]))
    error = capsys.readouterr().err.splitlines()
    assert (code, len(error)) == (2, 1), error
    assert re.search(line, error[0]), error[0]
