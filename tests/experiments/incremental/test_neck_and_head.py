"""Neck and head top for a network that does not know them: the project, and what is measured of its runs."""
import csv

import numpy as np
import pytest

from experiments import semi_supervised
from experiments.engine.configs import changed
from experiments.engine.published import HEAD
from experiments.engine.system import write_predictions
from experiments.incremental import neck_and_head
from experiments.incremental.neck_and_head import main
from kpjax.annotations.reading import read_project
from kpjax.errors import InputError
from kpjax.files import write_json
from kpjax.models.movenet import KEYPOINTS
from kpjax.training.evaluation import Gathered

NEW = ("neck", "head")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Five labelled synthetic people, and three that test."""
    small = changed(semi_supervised.PRESETS["demo"], training_examples=20, test_examples=3)
    monkeypatch.setattr(semi_supervised, "PRESETS", {"lspet": small})
    monkeypatch.setattr(neck_and_head, "NECK", NEW[0])
    monkeypatch.setattr(neck_and_head, "HEAD_TOP", NEW[1])
    main(["write", str(tmp_path / "out"), "--labelled", "5", "--side", "64", "--seed", "3"])
    return tmp_path / "out"


def test_only_new_keypoints_of_people_that_train_have_labels(folder):
    project = read_project(folder)
    assert {frame.split for frame in project.frames} == {"train", "test"}
    for one in project.instances:
        seen = {name for name, visible in zip(project.skeleton.names, one.visible, strict=True) if visible}
        assert seen <= {*NEW} or project.frames[one.frame].split == "test"
    assert len(project.instances) == 5 + 3
    with pytest.raises(InputError, match="exists already"):
        main(["write", str(folder)])


def test_runs_are_measured_on_the_box(folder, tmp_path, capsys):
    """The network knows one keypoint more, in another order, and sees images of half the size; one joint is wrong."""
    with pytest.raises(InputError, match="no finished run"):
        main(["score", str(folder)])
    with np.load(folder / "truth.npz") as stored:
        truth, names = Gathered(*(stored[field] for field in Gathered._fields)), [str(one) for one in stored["names"]]
    order = ["tail", *names[::-1]]
    points = np.concatenate([np.zeros((3, 1, 2)), truth.keypoints[:, ::-1] / 2], 1)
    points[0, order.index(NEW[1])] += 0.051 * truth.scale[0]  # in both directions, of half the size: beyond a tenth
    found = truth._replace(keypoints=points.astype(np.float32), crop=np.tile(np.diag([2.0, 2, 1]), (3, 1, 1)))
    run = folder / "runs" / "own" / "combination" / "seed-0"
    run.mkdir(parents=True)
    write_predictions(run, {"step_0": found, "step_1": found})
    write_json(run / "skeleton.json", {"names": order})
    write_json(run / "results.json", {
        "variant": "combination", "steps": 0, "wall_seconds": 1.0, "commit": "c0ffee0",
        "settings": "old=movenet project=/somewhere steps=2", "devices": {"count": 1, "backend": "cpu"}})
    main(["score", str(folder), "--room", str(tmp_path)])
    with (tmp_path / "results.csv").open() as file:
        rows = {row["metric"]: row for row in csv.DictReader(file)}
    seen = truth.visible[:, names.index(NEW[1])]
    expected = {"neck": 1.0, "head_top": 1 - seen[0] / seen.sum(), "old": 1.0, "all": 1 - seen[0] / truth.visible.sum()}
    for which, share in expected.items():
        named = {"neck": NEW[0], "head_top": NEW[1]}.get(which, which)
        np.testing.assert_allclose(float(rows[f"after/{named}"]["value"]), share, rtol=1e-5)
    assert {name for name in rows if name.startswith("before/")} == {"before/old"}
    assert rows["after/old"]["settings"] == "labelled=5 steps=2"
    assert (rows["after/old"]["seed"], rows["after/old"]["commit"]) == ("3", "c0ffee0")


def test_rules_by_hand_replace_only_neck_and_head_top():
    known, rng = ["head_top", *KEYPOINTS[::-1], "neck"], np.random.default_rng(0)
    points, zeros = rng.uniform(0, 99, (2, 19, 2)).astype(np.float32), np.zeros((2, 19), np.float32)
    found = Gathered(points, zeros + 0.5, np.arange(2), points, zeros, zeros[:, 0], np.tile(np.eye(3), (2, 1, 1)))
    after = neck_and_head.by_hand(found, known)
    at = {name: points[:, k] for k, name in enumerate(known)}
    neck = (at["left_shoulder"] + at["right_shoulder"]) / 2
    np.testing.assert_allclose(after.keypoints[:, -1], neck, rtol=1e-5)
    ears = (at["left_ear"] + at["right_ear"]) / 2
    np.testing.assert_allclose(after.keypoints[:, 0], neck + HEAD * (ears - neck), rtol=1e-4)
    np.testing.assert_array_equal(after.keypoints[:, 1:-1], points[:, 1:-1])
    np.testing.assert_array_equal(found.keypoints, points)


def test_commands_are_named():
    with pytest.raises(InputError, match="there are write, score"):
        main(["judge"])
