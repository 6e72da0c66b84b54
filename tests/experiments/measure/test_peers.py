"""Folders for DeepLabCut and Lightning Pose, and the table of their predictions."""

import json

import numpy as np
import pytest
from predict_folder import rows_of

from experiments import semi_supervised
from experiments.measure.peers import __main__ as program
from experiments.measure.peers.__main__ import main
from kpjax.formats.reading import read_project
from kpjax.papers.configs import replace_fields


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Five labelled images of synthetic people, and three that test."""
    small = replace_fields(semi_supervised.PRESETS["demo"], training_examples=20, test_examples=3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(program, "PRESETS", {"demo": small})
        out = tmp_path_factory.mktemp("peers") / "five"
        main(
            [
                "prepare",
                "demo",
                "--labelled",
                "5",
                "--subset",
                "3",
                "--side",
                "64",
                "--out",
                str(out),
            ]
        )
        yield out


def test_both_peers_are_given_the_same_labels(folder, capsys):
    split = json.loads((folder / "split.json").read_text())
    assert (len(split["train"]), len(split["test"]), split["side"]) == (5, 3, 64)
    for form in ("deeplabcut", "lightning_pose"):
        project = read_project(folder / form)
        assert (project.format, project.skeleton.names) == (form, tuple(split["keypoints"]))
        assert {frame.path.name for frame in project.frames} == {*split["train"], *split["test"]}
        assert {frame.size for frame in project.frames} == {(64, 64)}


def test_predictions_are_measured_as_the_peer_made_them(folder, tmp_path, capsys):
    """Labels as predictions are right; moved by a tenth of the side along x they have that
    error."""
    split = json.loads((folder / "split.json").read_text())
    with np.load(folder / "truth.npz") as truth:
        keypoints, scale = truth["keypoints"], truth["scale"]
    assert (scale == 64).all()
    for name, peer, moved in (("right", "deeplabcut", 0.0), ("moved", "lightning_pose", 6.4)):
        (folder / f"predictions_{peer}_given.json").write_text(
            json.dumps(
                {
                    "name": name,
                    "seconds": 60.0,
                    "keypoints": dict(
                        zip(split["test"], (keypoints + [moved, 0]).tolist(), strict=True)
                    ),
                }
            )
        )
    main(["score", str(folder), "--room", str(tmp_path)])
    rows = {(row["variant"], row["metric"]): row for row in rows_of(tmp_path / "results.csv")}
    row = rows["lightning_pose", "test/nme"]
    np.testing.assert_allclose(float(row["value"]), 0.1, rtol=1e-5)
    assert (row["preset"], row["settings"], row["seed"], row["seconds"]) == (
        "demo",
        "labelled=5 side=64",
        "3",
        "60",
    )
    assert float(rows["deeplabcut", "test/points"]["value"]) == 3 * len(split["keypoints"])
    assert capsys.readouterr().out.splitlines()[-1].split()[2:4] == ["10.0", "6.4"]
    main(["score", str(folder), "--room", str(tmp_path), "--schedule", "full"])
    settings = {row["settings"] for row in rows_of(tmp_path / "results.csv")}
    assert settings == {"labelled=5 schedule=full side=64", "labelled=5 side=64"}
