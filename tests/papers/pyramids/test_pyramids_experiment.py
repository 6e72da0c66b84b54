"""The experiment of Keypoint Pyramids: its videos, its variants, a few steps of some of them, bad
input.
"""

import chex
import jax
import numpy as np
import pytest
from PIL import Image
from tiny_systems import CONFIGS, SYSTEMS, job_of, results_of

from experiments.pyramids import EXPERIMENT, PRESETS
from experiments.pyramids.videos import open_videos
from kpjax.errors import RunError
from kpjax.input.video_source import actions_of
from kpjax.papers.configs import changed
from kpjax.papers.engine import run as run_job
from kpjax.papers.pyramids import ORACLE, regression, split_of, truth_of
from kpjax.papers.pyramids.variants import BASELINES, build, steps_of
from kpjax.structures import Skeleton, named_key
from kpjax.training.trees import load_trained

TINY, TINY_SYSTEM = CONFIGS["pyramids"], SYSTEMS["pyramids"]


# Runs


def test_results_are_complete(finished):
    joints = open_videos(TINY.data, 0, None)[1].skeleton
    found, folder = results_of(finished, "pyramids"), finished / "pyramids" / "seed-0"
    metrics = found["metrics"]
    for level in ("flat", "level1", "level2"):
        pixels = metrics[f"rmse/{level}"]
        assert {
            f"random_halves/{level}",
            *(f"rmse/{level}/{name}" for name in joints.names),
        } <= set(metrics)
        assert metrics[f"units/pixels_per_coordinate/{level}"] == pixels
        assert metrics[f"units/normalised_per_coordinate/{level}"] == pytest.approx(pixels * 2 / 16)
        assert metrics[f"units/original_per_image/{level}"] == pytest.approx(
            pixels * 34**0.5, rel=1e-5
        )
    assert found["steps"] == 3
    assert {
        "live_points",
        "point_spread",
        "points_on_motion",
        "motion_coverage",
        "action/accuracy",
        "action/level1",
    } <= set(metrics)
    assert not {"direct/flat", "action/accuracy_of_true_joints"} & set(metrics)
    with Image.open(folder / "images" / "keypoints_moving.png") as moving:
        assert (moving.n_frames, moving.mode) == (6, "RGB")
    assert "keypoints moving" in (finished / "report.html").read_text()


def test_baselines_have_steps_of_their_own():
    config = changed(TINY, steps=10, keynet_steps=2.1, transporter_steps=0.5, oracle_steps=3.0)
    names = ("pyramids", "no_spring", "keynet", "transporter", ORACLE)
    assert [steps_of(config, name) for name in names] == [10, 10, 21, 5, 30]


@pytest.mark.slow
def test_the_untrained_variant_is_where_pyramids_starts(ran, monkeypatch, tmp_path):
    """Its network is the first state of the run of the same seed."""
    first = load_trained(ran("pyramids", "untrained") / "untrained" / "seed-0" / "model")
    seen = []

    def remembered(method, streams, **options):
        state = jax.jit(method.init)(
            named_key(named_key(options["key"], options["stage"]), "init"),
            {name: one[0] for name, one in streams.items()},
            {},
        )
        seen.append(jax.tree.map(np.asarray, state.variables))
        raise RunError("enough")

    monkeypatch.setattr("kpjax.papers.engine.fit", remembered)
    with pytest.raises(RunError, match="enough"):
        run_job(TINY_SYSTEM, job_of("pyramids", "pyramids", tmp_path))
    chex.assert_trees_all_equal(dict(first.variables)["params"], seen[0]["params"], strict=True)


# Variants


def test_the_papers_preset_has_the_papers_numbers():
    paper, demo = PRESETS["h36m"], PRESETS["demo"]
    assert (
        paper.weights.transport,
        paper.weights.spring,
        paper.optimizer.learning_rate,
        paper.data.window,
    ) == ((0.1, 1.0), 1.0, 1e-4, 250)
    assert (paper.weights.reduction, paper.weights.unit) == ("sum", "normalised")
    assert paper.pyramid.level_sizes == (10, 20)
    assert (
        EXPERIMENT.paper.numbers("h36m", paper, "pyramids")["units/pixels_per_image/flat"] == 43.30
    )
    assert (
        EXPERIMENT.paper.numbers("h36m", paper, "supervised_bound")["units/pixels_per_image/flat"]
        == 37.97
    )
    assert EXPERIMENT.paper.numbers("demo", demo, "pyramids") == {}
    metrics = {column.metric for column in EXPERIMENT.paper.columns(paper)}
    assert set(EXPERIMENT.paper.numbers("h36m", paper, "pyramids")) - metrics <= {
        "action/level1",
        "action/level2",
    }
    for name in ("pyramids", *BASELINES, "supervised_bound"):  # the networks fit the images
        build(paper, Skeleton(("a", "b")), name)


# Probes


def test_a_linear_pose_is_found_and_the_oracle_is_not_fitted():
    source = open_videos(TINY.data, 0, None)[1]
    truth = truth_of(source)
    turned = truth.joints @ np.array([[0.0, 2.0], [-1.0, 0.5]]) + 3
    assert regression({"flat": turned}, truth, source, TINY, 0)["rmse/flat"] == pytest.approx(
        0, abs=1e-3
    )
    direct = regression({"flat": truth.joints + 2}, truth, source, TINY, 0, direct=True)
    assert direct["rmse/flat"] == pytest.approx(2)
    split, groups = split_of(source, np.arange(len(source)), 0)
    assert not set(groups[split.fit]) & set(groups[split.test])
    shows = actions_of(source)
    assert set(shows[split.fit]) == set(shows[split.test]) == set(shows)
