"""The preset `own` of RegDA, with and without labels of the target, and what it refuses."""
import functools
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
def test_of_several_rows_each_has_scores_of_its_kind_and_can_be_gone_on_from(projects, tmp_path, capsys):
    target = ["--source", "P", "--target", str(projects["P2"].root)]
    folder = run(SYSTEM, ["own", *target, "--target-project", "P2", "--variants", "regda", "source_only_mse",
                          "--workdir", str(tmp_path), *TINY]).parent
    said = capsys.readouterr().out
    assert "held out: 2 of 8 labelled frames, the last part of the only recording; target: 10 frames" in said
    assert "8 of the 8 test images are also among the target's 10" in said
    assert "the source is in colour and the target grey" in said
    assert [open_run(Path(folder / name / "seed-0")).score["kind"] for name in ("regda", "source_only_mse")] == [
        "softmax_peak", "mse_peak"]
    again = read_command(SYSTEM, ["own", *target, "--start", str(folder / "regda" / "seed-0"), "--steps", "1"]).config
    network = setup_of(again, projects["P"].skeleton).model
    chex.assert_trees_all_equal_shapes(
        again.backbone.variables(network, image_size=32, seed=0)["variables"],
        jax.eval_shape(functools.partial(network.init, train=False), jax.random.key(0), np.zeros((1, 32, 32, 3))))


def test_labels_of_the_target_test_and_teach_nothing(projects):
    target = ["own", "--source", "P", "--target", str(projects["P2"].root), *TINY]
    data = open_data(read_command(SYSTEM, [*target, "--target-project", "P2"]).jobs()[0])
    np.testing.assert_allclose(data.target.test[0].keypoints, projects["P2"].instances[0].keypoints[::-1], atol=1e-4)
    assert not data.target.train[0].visible.any()
    command = read_command(SYSTEM, target)
    assert list(command.variants) == ["source_only", "source_only_augmented_mse", "regda", "teacher_adaptation"]
    assert [column.metric for column in SYSTEM.columns(command.config)] == ["source/pck"]
    assert "oracle" not in SYSTEM.applicable("own", command.config)
    assert open_data(command.jobs()[0]).target.test is None
    assert command.config.coefficient_steps == 1  # scaled with --steps


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
