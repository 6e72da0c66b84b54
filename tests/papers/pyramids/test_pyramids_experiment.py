"""The experiment of Keypoint Pyramids: its videos, its variants, a few steps of some of them, bad
input.
"""

import shutil

import chex
import jax
import numpy as np
import pytest
from PIL import Image
from tiny_systems import CONFIGS, SYSTEMS, job_of, lengths_of, printed_of, results_of

from data.figure_videos import figure_videos
from experiments.blank import without_data
from experiments.pyramids import EXPERIMENT, PRESETS
from experiments.pyramids.results import TABLES
from experiments.pyramids.videos import open_videos
from kpjax.errors import InputError, RunError
from kpjax.input.source import arrays
from kpjax.input.video_source import (
    NO_KEYPOINTS,
    actions_of,
    frames_of,
    group_into_videos,
    of_videos,
)
from kpjax.papers.configs import replace_fields
from kpjax.papers.engine import carry_out, method_of, run as run_job, train
from kpjax.papers.paper_numbers import lines_of
from kpjax.papers.plan import planned_stages
from kpjax.papers.pyramids import measures
from kpjax.papers.pyramids.measures import COARSE, ORACLE, regression, split_of, truth_of
from kpjax.papers.pyramids.rivals import (
    BASELINES,
    PERMAKEY,
    build_keynet,
    build_transporter,
)
from kpjax.papers.pyramids.stages import as_it_begins, still_start
from kpjax.papers.pyramids.variants import VARIANTS
from kpjax.structures import Example, Skeleton, Trained, named_key
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
    assert printed_of("pyramids", "pyramids") <= set(metrics)
    assert not {"direct/flat", "action/accuracy_of_true_joints"} & set(metrics)
    with Image.open(folder / "images" / "keypoints_moving.png") as moving:
        assert (moving.n_frames, moving.mode) == (6, "RGB")
    assert "keypoints moving" in (finished / "report.html").read_text()


def test_baselines_have_steps_of_their_own():
    config = replace_fields(
        TINY, steps=10, keynet_steps=2.1, transporter_steps=0.5, oracle_steps=3.0
    )
    names = ("pyramids", "no_spring", "keynet", "transporter", ORACLE, *COARSE)
    steps = [lengths_of(TINY_SYSTEM, config, name)[name] for name in names]
    assert steps == [10, 10, 21, 5, 30, 21, 5]


@pytest.mark.parametrize("network", ["small", "paper"])
def test_coarse_baselines_read_a_map_as_large_as_level_1(network):
    """And nothing else differs: the generator and what is transported have the parameters of the
    same keypoints on the finest map.
    """
    config = replace_fields(PRESETS["h36m"], network=network, image_size=128, level_sizes=(10, 20))
    example = Example(
        np.zeros((2, 128, 128, 3), np.uint8), None, None, None, None, np.zeros(2, np.int32)
    )
    key, streams = jax.random.key(0), {"frame": example, "reference": example}

    def parts_of(variant, size=0):
        of_one_level = {"keynet": build_keynet, "transporter": build_transporter}
        if size:
            method = of_one_level[variant](config, Skeleton(()), size)
        else:
            method = VARIANTS[variant].method(config, Skeleton(()))
        state = jax.eval_shape(method.init, key, streams, {})
        maps = jax.eval_shape(
            lambda variables: method.predict(Trained(variables, {}), example).heatmaps,
            state.variables,
        )
        return state.variables["params"], [heatmaps.shape for heatmaps in maps]

    _, levels = parts_of("pyramids")
    assert levels == [(2, 16, 16, 10), (2, 32, 32, 20)]
    for coarse, fine in zip(COARSE, BASELINES, strict=True):
        params, maps = parts_of(coarse)
        others, (map_of_others,) = parts_of(fine, 10)
        assert (maps, map_of_others) == ([(2, 16, 16, 10)], (2, 32, 32, 10))
        chex.assert_trees_all_equal_shapes(
            *(
                {name: tree for name, tree in one.items() if name != "keypoints"}
                for one in (params, others)
            )
        )
        assert params["keypoints"]["encoders_0"].keys() == others["keypoints"]["encoders_0"].keys()


def test_difficulty_clutters_the_same_videos():
    """The default is the domain of all rows so far; another has the same poses before stronger
    backgrounds.
    """
    plain, same, cluttered = (
        open_videos(replace_fields(TINY, **change).data, 0, None)[1]
        for change in ({}, {"difficulty": 0.0}, {"difficulty": 1.0})
    )
    by_hand = figure_videos(18, 6, 16, seed=0, first=8)
    for number in (0, 50):
        np.testing.assert_array_equal(plain[number].image, by_hand[number].image)
        np.testing.assert_array_equal(plain[number].image, same[number].image)
        np.testing.assert_array_equal(plain[number].keypoints, cluttered[number].keypoints)

    def strength(source):
        backgrounds = [np.median(images, 0) for images in frames_of(source)]
        return np.mean([np.std(background) for background in backgrounds])

    assert strength(cluttered) > strength(plain)


FIVE_STEPS = {
    "keynet_coarse": ("keynet_coarse", {"keynet_steps": 1.0, "image_steps": 5}),
    "transporter_coarse": ("transporter_coarse", {}),
    "permakey": ("permakey", {}),
    "permakey_before_a_still_camera": ("permakey", {"residual": True}),
    "videos_too_short_for_actions": ("pyramids", {"action_window": 1000}),
    "reference_gradient": (
        "pyramids",
        {
            "reference_gradient": True,
            "difficulty": 1.0,
            "image_steps": 5,
            "image_decoder": "blobs",
        },
    ),
}


@pytest.mark.parametrize("case", FIVE_STEPS)
def test_variants_and_fields_run_five_steps(case, tmp_path):
    variant, changes = FIVE_STEPS[case]
    job = job_of("pyramids", variant, tmp_path, steps=5, action_steps=1, **changes)
    run_job(job)
    found = results_of(job.preset_folder, variant)
    assert found["steps"] == 5
    levels = {"flat", "level1", "level2"}
    if variant in COARSE:
        levels = {"level1"}
    elif variant == "permakey":
        levels = {"flat"}  # one level alone
    metrics = found["metrics"]
    for level in ("flat", "level1", "level2"):
        assert (f"rmse/{level}" in metrics) == (level in levels)
    if "action_window" in changes:  # what was trained is kept all the same
        assert not any(name.startswith("action/") for name in metrics)
    decoded = {name for name in metrics if name.startswith("image/")}
    if "image_steps" not in changes:
        assert not decoded
        return
    assert decoded == {f"image/{level}" for level in (*levels, "mean_image")}
    assert all(0 < metrics[name] < 1 for name in decoded)
    with Image.open(job.folder / "images" / "decoded.png") as sheet:
        assert sheet.width > sheet.height  # eight frames, each above one for each level


def test_each_level_of_a_baseline_is_probed_by_a_network_of_its_own(tmp_path, monkeypatch):
    """Tables 1 and 2 have KeyNet with as many keypoints as each level. The classifier of actions
    trains on what that network finds, too.
    """
    sizes, seen = {"level1": 2, "level2": 4}, {}

    def remembered(train, *others):
        seen.update(train)
        return actions(train, *others)

    actions = measures.actions
    monkeypatch.setattr(measures, "actions", remembered)
    job = job_of(
        "pyramids",
        "keynet",
        tmp_path,
        steps=2,
        keynet_steps=1.0,
        evaluations=0,
        level_sizes=tuple(sizes.values()),
        baselines_per_level=True,
    )
    run_job(job)
    metrics = results_of(job.preset_folder, "keynet")["metrics"]
    assert {"action/level1", "action/level2"} < printed_of("pyramids", "keynet") <= set(metrics)
    data = job.experiment.open(job)
    for level, size in sizes.items():
        method = build_keynet(job.config, data.test.skeleton, size)
        trained = load_trained(
            job.preset_folder / "stages" / f"keynet_{size}" / "seed-0" / "result"
        )
        found = measures.predict(job, method, trained, data.train).keypoints
        np.testing.assert_array_equal(seen[level], found)
    # A level's stage is of its videos, also where the run's own folder is gone.
    shutil.rmtree(job.folder)
    fewer = data._replace(train=of_videos(data.train, [0]))
    with pytest.raises(InputError, match=r"stage\.json is of .*train_digest"):
        train(job, fewer)


def test_the_bound_has_every_number_that_is_printed_of_it():
    """The accuracy of true joints is of no other variant; an untrained network will do."""
    job = job_of("pyramids", ORACLE, action_steps=1)
    data = job.experiment.open(job)
    outcome = carry_out(job, as_it_begins(job, data))._replace(method=method_of(job, data))
    found = measures.predict(job, outcome.method, outcome.trained, data.test)
    values = measures.measure(job, data, outcome, {"test": found})
    assert printed_of("pyramids", ORACLE) <= set(values)


@pytest.mark.parametrize("variant", ["pyramids", *BASELINES, PERMAKEY])
def test_networks_compute_in_the_dtype_that_was_asked_for(variant):
    """PermaKey's computed in float32 whatever was asked for. Parameters are always float32."""
    job = job_of("pyramids", variant, dtype="bfloat16")
    stage, *_ = planned_stages(job._replace(experiment=without_data(TINY_SYSTEM)))
    params = jax.tree.leaves(stage.state.variables["params"])
    assert {leaf.dtype for leaf in params} == {np.dtype("float32")}
    traced = jax.make_jaxpr(stage.method.update)(
        stage.state, dict(stage.streams), jax.random.key(1)
    )
    assert "bf16[" in str(traced)


def test_what_moves_is_known_before_a_still_camera_alone():
    with pytest.raises(InputError, match=r"motion.*: --motion 0, or --residual"):
        replace_fields(TINY, motion=0.1)
    assert replace_fields(TINY, motion=0.1, residual=True).weights.motion == 0.1


def test_frames_that_are_cropped_anew_have_no_still_background():
    crop = np.eye(3) * np.array([1, 1, 1, 2])[:, None, None]
    images, points = np.zeros((4, 8, 8, 3), np.uint8), np.zeros((4, 0, 2))
    frames = arrays(images, points, points[..., 0], NO_KEYPOINTS, "moving", crop=crop)
    moving = group_into_videos(frames, [4], ["moving"])
    with pytest.raises(InputError, match="no background stays in its place"):
        still_start(replace_fields(TINY, residual=True), moving)


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
        run_job(job_of("pyramids", "pyramids", tmp_path))
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
    for name in ("pyramids", *BASELINES, "supervised_bound"):  # the networks fit the images
        VARIANTS[name].method(paper, Skeleton(("a", "b")))


def test_the_table_of_the_paper_shows_every_printed_number():
    """What `python -m experiments study pyramids paper` runs and puts beside them."""
    preset, variants, metrics = TABLES["paper"]
    for line in lines_of("pyramids"):
        assert line.keys["preset"] == preset
        assert line.keys["variant"] in variants
        assert line.numbers.keys() <= set(metrics)


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
