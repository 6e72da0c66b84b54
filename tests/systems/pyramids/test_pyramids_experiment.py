"""The experiment of Keypoint Pyramids: its videos, its variants, a few steps of some of them, bad input."""
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from etils import epath
from PIL import Image
from tiny_systems import CONFIGS, SYSTEMS

from experiments import system_of
from experiments.pyramids import PRESETS, SYSTEM
from experiments.pyramids.videos import open_videos
from kpjax.errors import InputError, RunError
from kpjax.losses.pyramids import spring
from kpjax.losses.reconstruction import pixel_mse
from kpjax.structures import Example, Skeleton, Trained, named_key
from kpjax.systems.command_line import exit_code_of, run
from kpjax.systems.configs import changed
from kpjax.systems.pyramids import ORACLE
from kpjax.systems.pyramids.probes import actions_of, regression, split_of, truth_of
from kpjax.systems.pyramids.variants import BASELINES, BKIND, VARIANTS, WITHOUT_NETWORK, build, steps_of
from kpjax.systems.system import Job, no_training, run as run_job
from kpjax.training.fit import fit
from kpjax.training.trees import load_trained

TINY, TINY_SYSTEM = CONFIGS["pyramids"], SYSTEMS["pyramids"]
PYRAMIDS = tuple(name for name in VARIANTS if name not in (*BASELINES, BKIND, *WITHOUT_NETWORK, ORACLE))
SLOW = ("transporter", "bkind", "untrained", "mean_pose", "image_moments", "supervised_bound")


def job_of(workdir, variant="pyramids", config=TINY):
    return Job(system_of("pyramids"), config, "tiny", variant, 0, epath.Path(workdir), None)


@pytest.fixture
def finished(ran):
    """The folder of the preset after a run of `pyramids`."""
    return ran("pyramids")


@pytest.fixture
def all_finished(ran):
    """The same folder after runs of SLOW too."""
    return ran("pyramids", *SLOW)


def results_of(folder, variant):
    return json.loads((folder / variant / "seed-0" / "results.json").read_text())


# Runs


def check_results(finished, variants):
    joints = open_videos(TINY.data, 0, None)[1].skeleton
    for variant in variants:
        found, folder = results_of(finished, variant), finished / variant / "seed-0"
        metrics = found["metrics"]
        levels = {"flat", "level1", "level2"} if variant in PYRAMIDS else {"flat"}
        for level in levels:
            pixels = metrics[f"rmse/{level}"]
            assert {f"random_halves/{level}", *(f"rmse/{level}/{name}" for name in joints.names)} <= set(metrics)
            assert metrics[f"units/pixels_per_coordinate/{level}"] == pixels
            assert metrics[f"units/normalised_per_coordinate/{level}"] == pytest.approx(pixels * 2 / 16)
            assert metrics[f"units/original_per_image/{level}"] == pytest.approx(pixels * 34**0.5, rel=1e-5)
        assert {name.partition("/")[2] for name in metrics if name.startswith("rmse/") and name.count("/") == 1} == (
            levels)
        assert ("direct/flat" in metrics) == (variant == "supervised_bound")
        assert found["steps"] == (0 if variant in ("untrained", *WITHOUT_NETWORK) else 3)
        assert ("live_points" in metrics) == ("point_spread" in metrics) == (variant not in WITHOUT_NETWORK)
        assert ("points_on_motion" in metrics) == ("motion_coverage" in metrics) == (variant not in WITHOUT_NETWORK)
        assert ("action/accuracy" in metrics) == (variant != "mean_pose")
        assert ("action/level1" in metrics) == (variant in PYRAMIDS)
        assert ("action/accuracy_of_true_joints" in metrics) == (variant == "supervised_bound")
        images = sorted(path.name for path in (folder / "images").glob("*"))
        assert images == ([] if variant in WITHOUT_NETWORK else ["keypoints.png", "keypoints_moving.png"])
        for name in ("model", "skeleton.json"):
            assert (folder / name).exists() == (variant not in WITHOUT_NETWORK)


def test_results_are_complete(finished):
    check_results(finished, ["pyramids"])
    with Image.open(finished / "pyramids" / "seed-0" / "images" / "keypoints_moving.png") as moving:
        assert (moving.n_frames, moving.mode) == (6, "RGB")
    report = (finished / "report.html").read_text()
    assert "error from all keypoints" in report
    assert "keypoints moving" in report


@pytest.mark.slow
def test_results_of_other_variants_are_complete(all_finished):
    check_results(all_finished, SLOW)


def test_baselines_have_steps_and_rates_of_their_own():
    config = changed(TINY, steps=10, keynet_steps=2.1, transporter_steps=0.5, oracle_steps=3.0, bkind_steps=1.2,
                     bkind_rate=0.5)
    names = ("pyramids", "no_spring", "keynet", "transporter", ORACLE, BKIND)
    assert [steps_of(config, name) for name in names] == [10, 10, 21, 5, 30, 12]
    assert config.optimizer.rate(21, config.bkind.bkind_rate)(0) == pytest.approx(0.5)
    assert config.optimizer.rate(10, 0.0)(0) == pytest.approx(config.optimizer.learning_rate)


@pytest.mark.slow
def test_the_untrained_variant_is_where_pyramids_starts(all_finished, monkeypatch, tmp_path):
    """Its network is the first state of the run of the same seed."""
    first = load_trained(all_finished / "untrained" / "seed-0" / "model")
    seen = []

    def remembered(method, streams, **options):
        state = jax.jit(method.init)(named_key(named_key(options["key"], options["stage"]), "init"),
                                     {name: one[0] for name, one in streams.items()}, {})
        seen.append(jax.tree.map(np.asarray, state.variables))
        raise RunError("enough")

    monkeypatch.setattr("kpjax.systems.system.fit", remembered)
    with pytest.raises(RunError, match="enough"):
        run_job(TINY_SYSTEM, job_of(tmp_path))
    jax.tree.map(np.testing.assert_array_equal, dict(first.variables)["params"], seen[0]["params"])


@pytest.mark.slow
def test_a_run_that_collapses_stops_with_one_line(tmp_path, monkeypatch, capsys):
    """No decoder of two steps is better than a copy of the reference."""
    def checked_often(method, streams, **options):
        return fit(method, streams, **options | {"between": (1, options["between"][1])})

    arguments = ["tiny", "--variants", "pyramids", "--collapse-steps", "2", "--workdir", str(tmp_path)]
    monkeypatch.setattr("kpjax.systems.system.fit", checked_often)
    assert exit_code_of(lambda: run(TINY_SYSTEM, arguments)) == 1
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error")]
    assert len(lines) == 1
    assert "nothing is being discovered" in lines[0]


@pytest.mark.slow
def test_baselines_have_a_run_for_each_level_if_asked(monkeypatch, tmp_path):
    """With the keypoints of a level each, under stages; the levels are networks of their own."""
    sizes = []

    def initial(method, streams, **options):
        sizes.append((options["stage"], len(method.skeleton.names)))
        state = jax.jit(method.init)(options["key"], {name: one[0] for name, one in streams.items()}, {})
        return no_training(Trained(state.variables, state.frozen))

    job = job_of(tmp_path, "keynet", changed(TINY, baselines_per_level=True, data="tabletop"))
    monkeypatch.setattr("kpjax.systems.system.fit", initial)
    run_job(TINY_SYSTEM, job)
    metrics = results_of(job.preset_folder, "keynet")["metrics"]
    assert {"rmse/level1", "rmse/level2", "rmse/flat"} <= set(metrics)
    assert len({metrics[f"rmse/{level}"] for level in ("level1", "level2", "flat")}) == 3
    assert sizes == [("keynet", 6), ("keynet_2", 2), ("keynet_4", 4)]
    assert {path.name for path in (tmp_path / "pyramids" / "tiny" / "stages").iterdir()} == {"keynet_2", "keynet_4"}


# Variants


@pytest.mark.slow
def test_every_variant_can_be_traced_and_drops_what_it_says(one_form):
    joints = open_videos(TINY.data, 0, None)[1].skeleton
    batch = Example(np.zeros((8, 16, 16, 3), np.uint8), np.zeros((8, 17, 2), np.float32), np.ones((8, 17), np.float32),
                    np.ones(8, np.float32), np.zeros((8, 3, 3), np.float32), np.arange(8, dtype=np.int32))
    terms = {}
    for name in (*PYRAMIDS, *BASELINES, BKIND):
        method = build(TINY, joints, name)
        streams = dict.fromkeys(method.streams, batch)
        state = jax.eval_shape(method.init, jax.random.key(0), streams, {})
        _, metrics = jax.eval_shape(method.update, state, streams, jax.random.key(1))
        terms[name] = {name.removeprefix("loss/") for name in metrics if name.startswith("loss/")} - {"total"}
        assert len(method.skeleton.names) == 6
    full = {"reconstruction", "transport_level1", "transport_level2", "spring"}
    assert terms == {
        "pyramids": full, "untrained": full, "unconditioned": full, "no_reconstruction": full - {"reconstruction"},
        "no_transport": {"reconstruction", "spring"}, "no_spring": full - {"spring"},
        "all_transport": full - {"reconstruction"} | {"transport_flat"},
        "all_reconstruction": {"reconstruction", "reconstruction_level1", "reconstruction_level2", "spring"},
        "keynet": {"reconstruction"}, "transporter": {"transport"},
        BKIND: {"reconstruction", "rotation", "separation"}}
    assert build(TINY, joints, "untrained") is build(TINY, joints, "pyramids")


@pytest.mark.parametrize("preset", PRESETS)
def test_springs_are_weak_beside_the_images(preset):
    """Children 0.15 of half a side from their parents cost less than a tenth of images that are wrong by a tenth.

    In pixels of an image of 128 the paper's spring costs four times as much as these, and no child leaves its parent.
    """
    weights, side = PRESETS[preset].weights, PRESETS[preset].data.image_size
    away, wrong = jnp.tile(jnp.array([0.15, 0.0]), (1, 20, 1)), jnp.full((1, side, side, 3), 0.1)
    of_spring = spring(jnp.zeros((1, 10, 2)), away, reduction=weights.reduction, unit=weights.unit, size=(side, side))
    of_images = pixel_mse(wrong, jnp.zeros_like(wrong), reduction=weights.reduction)
    assert weights.spring * of_spring < 0.1 * weights.reconstruction * of_images


def test_the_papers_preset_has_the_papers_numbers():
    paper, demo = PRESETS["h36m"], PRESETS["demo"]
    assert (paper.weights.transport, paper.weights.spring, paper.optimizer.learning_rate, paper.data.window) == (
        (0.1, 1.0), 1.0, 1e-4, 250)
    assert (paper.weights.reduction, paper.weights.unit) == ("sum", "normalised")
    assert (paper.pyramid.level_sizes, paper.pyramid.flat_size) == ((10, 20), 30)
    assert (demo.rendering.reconstruction_width, demo.rendering.transport_widths, demo.weights.spring) == (
        0.1, (0.2, 0.1), 0.01)
    assert SYSTEM.paper("h36m", paper, "pyramids")["units/pixels_per_image/flat"] == 43.30
    assert SYSTEM.paper("h36m", paper, "supervised_bound")["units/pixels_per_image/flat"] == 37.97
    assert SYSTEM.paper("demo", demo, "pyramids") == {}
    metrics = {column.metric for column in SYSTEM.columns(paper)}
    assert set(SYSTEM.paper("h36m", paper, "pyramids")) - metrics <= {"action/level1", "action/level2"}
    for name in ("pyramids", *BASELINES, "bkind", "supervised_bound"):  # the networks fit the images
        build(paper, Skeleton(("a", "b")), name)


def test_bkind_compares_by_the_features_of_vgg_19_only(monkeypatch):
    monkeypatch.setattr("kpjax.systems.pyramids.variants.perceptual_options",
                        lambda weights, vgg: {"perceptual": "ResNet-18"})
    with pytest.raises(InputError, match=r"bkind_perceptual: resnet18.tv_in1k are not of VGG-19"):
        build(changed(TINY, bkind_perceptual="resnet18.tv_in1k"), Skeleton(("a", "b")), "bkind")


# Probes


def test_a_linear_pose_is_found_and_the_oracle_is_not_fitted():
    source = open_videos(TINY.data, 0, None)[1]
    truth = truth_of(source)
    turned = truth.joints @ np.array([[0.0, 2.0], [-1.0, 0.5]]) + 3
    assert regression({"flat": turned}, truth, source, TINY, 0)["rmse/flat"] == pytest.approx(0, abs=1e-3)
    direct = regression({"flat": truth.joints + 2}, truth, source, TINY, 0, direct=True)
    assert direct["rmse/flat"] == pytest.approx(2)
    split, groups = split_of(source, np.arange(len(source)), 0)
    assert not set(groups[split.fit]) & set(groups[split.test])
    shows = actions_of(source)
    assert set(shows[split.fit]) == set(shows[split.test]) == set(shows)
