"""The experiment of frozen-core adaptation: its core, its variants, files of a run, bad input."""

import functools
import shutil

import chex
import jax
import numpy as np
import pytest
from flax.traverse_util import flatten_dict
from tiny_systems import CONFIGS, SYSTEMS, job_of, results_of

from experiments.adaptation import EXPERIMENT, PRESETS
from experiments.adaptation.images import open_core_images, open_images
from kpjax.errors import InputError
from kpjax.evaluation.probes.landmarks import Landmarks, second_turns
from kpjax.papers.adaptation import core as cores
from kpjax.papers.adaptation.config import of_core, of_training
from kpjax.papers.adaptation.measures import NEAR, Found, found_in, measures_of, share_on_object
from kpjax.papers.adaptation.stages import as_finetuned, plain_of
from kpjax.papers.adaptation.variants import VARIANTS
from kpjax.papers.configs import replace_fields
from kpjax.papers.engine import carry_out, run
from kpjax.papers.paper_numbers import lines_of
from kpjax.structures import Skeleton
from kpjax.training.evaluation import read_predictions
from kpjax.training.fit import fit
from kpjax.training.trees import load_trained

TINY, TINY_SYSTEM = CONFIGS["adaptation"], SYSTEMS["adaptation"]
SLOW = ("random_core", "finetuned")


def stored(folder, variant):
    return found_in(read_predictions(folder / variant / "seed-0"), TINY.data.image_size)


def images():
    return open_images(TINY.data, 0, None)


def core_of(job):
    return carry_out(job, cores.core_of(job, images()))


# Runs


@pytest.mark.parametrize(
    "variants", [("adapted",), pytest.param(SLOW, marks=pytest.mark.slow)], ids=["one", "others"]
)
def test_results_are_complete(ran, variants):
    finished = ran("adaptation", *variants)
    faces = images().test.skeleton.names
    points = {f"point_{number}" for number in range(4)}
    for variant in variants:
        found, folder = results_of(finished, variant), finished / variant / "seed-0"
        metrics = found["metrics"]
        for count in ("2", "5", "all"):
            assert {f"forward/{count}", f"backward/{count}"} <= set(metrics)
        assert {f"forward/all/{name}" for name in faces} | {
            f"backward/all/{name}" for name in points
        } <= set(metrics)
        assert metrics["forward/all"] == pytest.approx(
            np.mean([metrics[f"forward/all/{name}"] for name in faces])
        )
        ranked = [metrics[f"consistency/rank_{rank}"] for rank in range(1, 5)]
        assert ranked == sorted(ranked)
        assert metrics["consistency"] == pytest.approx(np.mean(ranked))
        assert {"varying_points", "point_spread", "annotated_spread", "deviation/forward/2"} <= set(
            metrics
        )
        assert ("core/pck" in metrics) == (variant != "random_core")
        assert found["steps"] == 3
        assert found["config"]["comparison"]["perceptual"] == "random"
        assert bool((folder / "collapsed.txt").read_text()) == bool(metrics["void"])
    assert "random features" in (finished / "report.html").read_text()


def test_the_mean_of_the_labels_stands_beside_the_errors(finished):
    """The same for all variants, whatever their points: the distance of test landmarks from the
    mean labelled ones.
    """
    found, metrics = stored(finished, "adapted"), results_of(finished, "adapted")["metrics"]
    annotated = found.test.annotated
    eyes = np.linalg.norm(annotated[:, 0] - annotated[:, 1], axis=-1)
    errors = np.linalg.norm(annotated - found.fit.annotated.mean(0), axis=-1).mean(1) / eyes
    assert metrics["mean_landmarks/all"] == pytest.approx(100 * errors.mean(), rel=1e-5)
    assert "mean_landmarks/2" in metrics


def test_the_core_is_one_stage_with_earlier_epochs(finished):
    """The model keeps the last one's kernels unchanged."""
    folder = finished / "stages" / "core_people_clutter" / "seed-0"
    assert [path.name for path in (finished / "stages").iterdir()] == ["core_people_clutter"]
    early, last = (
        load_trained(folder / "epoch-1").variables,
        load_trained(folder / "result").variables,
    )
    assert jax.tree.structure(early) == jax.tree.structure(last)
    assert not np.array_equal(
        early["params"]["backbone"]["stem_conv1"]["kernel"],
        last["params"]["backbone"]["stem_conv1"]["kernel"],
    )

    kernels = flatten_dict(last["params"])
    for place, leaf in flatten_dict(
        load_trained(finished / "adapted" / "seed-0" / "model").frozen["core"]
    ).items():
        np.testing.assert_array_equal(leaf, kernels[place])

    job = functools.partial(job_of, "adaptation", "adapted", finished.parents[1])
    found = core_of(job(core_epoch=1))
    chex.assert_trees_all_equal(dict(found.variables), early, strict=True)
    assert 0 <= found.accuracy <= 1
    assert core_of(job(core_epoch=2)).digest == core_of(job()).digest
    with pytest.raises(
        InputError, match=r"of another configuration: config\.core_learning_rate is"
    ):
        core_of(job(core_learning_rate=1.0))


def test_a_core_is_of_the_files_that_it_has_learnt_from(finished):
    """A finished one was taken whatever had become of its images."""
    job = job_of("adaptation", "adapted", finished.parents[1])

    def core_with(**inputs):
        experiment = job.experiment._replace(inputs=lambda *of: inputs)
        return core_of(job._replace(experiment=experiment))

    other_target = core_with(target={"mafl/1.0.0/skeleton.json": "a"})
    assert other_target.digest == core_of(job).digest
    for field in ("core", "core_test"):
        with pytest.raises(InputError, match=rf"config\.inputs\.{field} is absent there and "):
            core_with(**{field: {"mpii/1.0.0/skeleton.json": "a"}})


def test_an_epoch_that_the_core_never_reaches_is_refused():
    with pytest.raises(InputError, match="core_epoch: 5; those kept are 1 and the last, 3"):
        replace_fields(PRESETS["mpii_mafl"], core_epochs=3, core_epoch=5)


def test_published_weights_are_a_core_without_training(monkeypatch):
    """A core of no epoch: the backbone's weights, and all else drawn by the seed."""
    monkeypatch.setattr("kpjax.papers.engine.fit", None)
    no_epoch = {"core_epochs": 0, "core_kept": ()}
    with pytest.raises(InputError, match="name the published weights"):
        core_of(job_of("adaptation", "adapted", **no_epoch))

    untrained = cores.Core(cores.random_variables(job_of("adaptation", "random_core")).do())
    monkeypatch.setattr(
        "kpjax.papers.configs.Backbone.variables",
        lambda *of, **more: {"variables": untrained.variables},
    )
    core = core_of(job_of("adaptation", "adapted", **no_epoch, weights="published"))
    assert (core.digest, core.accuracy) == (untrained.digest, None)


@pytest.mark.slow
def test_networks_are_written_in_two_ways(ran):
    """The plain network computes what the model does."""
    example = jax.tree.map(lambda leaf: np.asarray(leaf)[None], images().test[0])
    evaluate = jax.jit(VARIANTS["finetuned"].method(TINY, None).predict)
    apply = jax.jit(
        lambda variables, images: cores.network(TINY, 4).apply(variables, images, train=False)
    )
    for variant in ("adapted", *SLOW):
        folder = ran("adaptation", *SLOW) / variant / "seed-0"
        model = load_trained(folder / "model")
        has_core = variant != "finetuned"
        assert set(model.frozen) == ({"core"} if has_core else set())
        predicted = jax.jit(VARIANTS[variant].method(TINY, None).predict)(model, example)
        evaluated = evaluate(as_finetuned(model), example)
        np.testing.assert_allclose(predicted.keypoints, evaluated.keypoints, atol=1e-3)
        heatmaps = apply(plain_of(model), example.image.astype(np.float32) / 255)
        np.testing.assert_allclose(predicted.heatmaps[0], heatmaps, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_checkpoints_on_another_core_are_refused(finished, tmp_path, monkeypatch):
    job = job_of("adaptation", "adapted", tmp_path)
    shutil.copytree(finished, job.preset_folder)
    (job.folder / "results.json").unlink()
    learnt = core_of(job)
    other = learnt._replace(variables=jax.tree.map(lambda leaf: leaf + 1, learnt.variables))

    def core_of_another(job, data):
        yield from ()
        return other

    monkeypatch.setattr("kpjax.papers.adaptation.variants.core_of", core_of_another)
    words = rf"of another configuration: config\.core digest is .* there and {other.digest[:8]}"
    with pytest.raises(InputError, match=words):
        run(job)


@pytest.mark.slow
def test_presets_that_evaluate_differently_share_their_training(finished, monkeypatch):
    """The variant of another preset is taken from the folder of the one that keeps the training."""

    def no_core(method, streams, **options):
        assert options["stage"] != "core"
        return fit(method, streams, **options)

    before = sorted(path.name for path in finished.iterdir())
    job = job_of(
        "adaptation",
        "adapted",
        finished.parents[1],
        "elsewhere",
        summary="other",
        labelled_images=(3,),
        core_kept_by="tiny",
        training_kept_by="tiny",
    )
    monkeypatch.setattr("kpjax.papers.engine.fit", no_core)
    run(job)
    assert sorted(path.name for path in finished.iterdir()) == before
    same, here = (
        load_trained(folder / "model") for folder in (finished / "adapted" / "seed-0", job.folder)
    )
    chex.assert_trees_all_equal(same.variables, here.variables, strict=True)
    assert not (job.folder / "checkpoints").exists()


# Variants


def test_presets_have_the_papers_settings_and_numbers():
    paper = PRESETS["mpii_mafl"]
    assert (paper.data.image_size, paper.batch_size, paper.steps, paper.core.steps) == (
        128,
        48,
        200_000,
        110 * 695,
    )
    assert (paper.network.width, paper.network.depth) == (256, 4)
    assert paper.landmarks == 10
    assert len({preset.summary for preset in PRESETS.values()}) == len(PRESETS)
    for name in ("mpii_aflw", "mpii_ls3d"):
        assert of_training(PRESETS[name]) == of_training(paper)
    for name, preset in PRESETS.items():
        if name.startswith("mpii"):
            assert of_core(preset) == of_core(paper)
    printed = EXPERIMENT.paper.numbers("mpii_aflw", PRESETS["mpii_aflw"], "adapted")
    assert (printed["forward/10"], printed["backward/all"], printed["consistency"]) == (
        11.09,
        9.19,
        2.52,
    )
    assert {column.metric for column in EXPERIMENT.paper.columns(paper)} >= {
        "forward/all",
        "backward/10",
        "consistency",
    }
    consistencies = [line for line in lines_of("adaptation") if line.table == "table3"]
    assert len(consistencies) == 15
    for line in consistencies:
        *ascending, mean = line.numbers.values()
        assert ascending == sorted(ascending), line.keys
        assert np.mean(ascending) == pytest.approx(mean, abs=0.016)
    for name, variant in (("mpii_cats", "random_core"), ("demo", "adapted")):
        assert EXPERIMENT.paper.numbers(name, PRESETS[name], variant) == {}


# Images and measures


def test_cores_of_two_backgrounds():
    patched = replace_fields(TINY, core_background="patches")
    clutter, patches = (open_core_images(config, 0, None)[0] for config in (TINY, patched))
    np.testing.assert_array_equal(clutter[3].keypoints, patches[3].keypoints)
    assert not np.array_equal(clutter[3].image, patches[3].image)
    assert cores.core_name(patched) == "core_people_patches"
    opened = images()
    assert (opened.target[0].image.shape, opened.fit[0].image.shape) == ((40, 40, 3), (32, 32, 3))
    assert not opened.target[0].visible.any()
    few = open_images(replace_fields(TINY, target_images=5).data, 1, None)
    assert len(few.target) == len(set(few.chosen)) == 5


def test_points_on_the_object_are_counted():
    """On it, within NEAR px of its outline, beyond it, and outside the image."""
    objects = np.zeros((2, 32, 32), bool)
    objects[:, 10:20, 10:20] = True
    points = np.array([[[12, 12], [19 + NEAR, 15]], [[20 + NEAR, 15], [-4, 40]]], np.float64)
    assert share_on_object(points, objects) == 0.5
    assert share_on_object(points[:, :1] % 10, objects) == 0


def test_the_renderer_tells_where_the_face_is():
    """Its annotated points lie on the mask, and the corners of an image do not."""
    opened = images()
    assert opened.objects.shape == (len(opened.test), 32, 32)
    annotated = np.stack([opened.test[number].keypoints for number in range(len(opened.test))])
    assert share_on_object(annotated, opened.objects) == 1
    assert share_on_object(np.zeros_like(annotated), opened.objects) < 0.1


def test_points_that_follow_the_face_are_consistent_and_a_collapse_is_reported():
    """The annotated points themselves: no error in either direction, and none under turns but that
    of lost corners.
    """
    opened, skeleton = images(), Skeleton(tuple("abcdefghijklmn"))

    def truth(source):
        examples = [source[number] for number in range(len(source))]
        return Landmarks(
            *(
                np.stack([getattr(example, name) for example in examples])
                for name in ("keypoints", "keypoints", "visible")
            )
        )

    once, twice = truth(opened.turned_once), truth(opened.turned_twice)
    shown, turns = (once.visible * twice.visible)[..., None] > 0, second_turns(6, 32)
    found = Found(
        truth(opened.fit),
        truth(opened.test),
        *(np.where(shown, part.discovered, 0) for part in (once, twice)),
        turns,
    )
    moved = np.einsum("nij,nkj->nki", turns[:, :2, :2], found.once) + turns[:, None, :2, 2]
    assert np.abs(moved - found.twice)[np.broadcast_to(shown, moved.shape)].max() < 1e-3
    config = replace_fields(TINY, landmarks=14, penalty=1e-9)
    values, reason = measures_of(found, config, opened.test.skeleton, skeleton)
    assert reason == ""
    assert values["void"] == 0
    assert values["point_spread"] == pytest.approx(values["annotated_spread"])
    heap = found._replace(
        test=found.test._replace(discovered=np.full_like(found.test.discovered, 16))
    )
    values, reason = measures_of(heap, config, opened.test.skeleton, skeleton)
    assert values["void"] == 1
    assert reason.startswith("0 of 14 landmarks are alive; landmarks lie 0.0 px apart")
    unannotated, _ = measures_of(
        found, replace_fields(config, lengths="none"), Skeleton(()), skeleton
    )
    assert set(unannotated) == {
        "consistency",
        "varying_points",
        "point_spread",
        "median_spread",
        "void",
    } | {f"consistency/rank_{rank}" for rank in range(1, 15)}
