"""The experiment of frozen-core adaptation: its core, its rows, what they leave behind, its studies, bad input."""
import json
from dataclasses import replace

import jax
import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file

import experiments.adaptation as experiment
from experiments.adaptation import core, measures, parts, pictures, published, studies
from experiments.adaptation.config import OF_CORE, OF_EVALUATION, PRESETS, Config
from experiments.adaptation.variants import RECIPES, VARIANTS
from experiments.benchmark import adaptation as benchmark
from experiments.benchmark.row import Effort
from experiments.command_line import Job, read_command, run, run_folder
from experiments.predict import predict_folder
from kpjax.errors import InputError
from kpjax.evaluation.probes.landmarks import Landmarks
from kpjax.input.source import arrays, turned
from kpjax.models.vgg import DESCRIPTION
from kpjax.structures import Skeleton, Trained
from kpjax.training.fit import fit
from kpjax.training.trees import load_adapter, load_trained

TINY = replace(
    PRESETS["demo"], image_size=32, target_side=40, width=16, depth=1, landmarks=4, core_batch_size=8, core_epochs=2,
    core_epoch_steps=2, core_kept=(1,), core_pictures=8, core_test_pictures=4, training_pictures=12, test_pictures=6,
    batch_size=8, steps=3, generator_width=4, generator_blocks=1, stand_in_widths=(4,), images=(2, 5), repeats=2)
EXPERIMENT = experiment.EXPERIMENT._replace(presets={"tiny": TINY})
ROWS = ("adapted", "finetuned", "random_core", "untrained_head")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder of the preset after one run of ROWS."""
    workdir = tmp_path_factory.mktemp("runs")
    return run(EXPERIMENT, ["tiny", "--variants", *ROWS, "--workdir", str(workdir)]).parent


def results_of(folder, variant):
    return json.loads((folder / variant / "seed-0" / "results.json").read_text())


# Runs


def test_results_are_complete(finished):
    faces = pictures.open_pictures(TINY, 0, None).test.skeleton.names
    points = {f"point_{number}" for number in range(4)}
    for variant in ROWS:
        found, folder = results_of(finished, variant), finished / variant / "seed-0"
        metrics = found["metrics"]
        for count in ("2", "5", "all"):
            assert {f"forward/{count}", f"backward/{count}"} <= set(metrics)
        assert {f"forward/all/{name}" for name in faces} | {f"backward/all/{name}" for name in points} <= set(metrics)
        assert metrics["forward/all"] == pytest.approx(np.mean([metrics[f"forward/all/{name}"] for name in faces]))
        ranked = [metrics[f"consistency/rank_{rank}"] for rank in range(1, 5)]
        assert ranked == sorted(ranked)
        assert metrics["consistency"] == pytest.approx(np.mean(ranked))
        assert {"live_points", "point_spread", "annotated_spread", "deviation/forward/2"} <= set(metrics)
        assert ("core/pck" in metrics) == (variant != "random_core")
        assert found["steps"] == (0 if variant == "untrained_head" else 3)
        assert found["config"]["compared_by"] == f"pixels and {DESCRIPTION}"
        reason = (folder / "void.txt").read_text()
        assert bool(reason) == bool(metrics["void"])
        assert {path.name for path in (folder / "images").iterdir()} == {"points.png", "landmarks_from_points.png"}
    report = (finished / "report.html").read_text()
    assert DESCRIPTION in report
    assert "backward, all" in report
    assert report.count("landmarks from points") >= len(ROWS)


def test_what_the_mean_of_the_labels_gives_stands_beside_the_errors(finished):
    """The same for all rows, whatever their points: how far test landmarks are from the mean of the labelled ones."""
    found = measures.read_points(finished / "adapted" / "seed-0")
    annotated = found.test.annotated
    eyes = np.linalg.norm(annotated[:, 0] - annotated[:, 1], axis=-1)
    errors = np.linalg.norm(annotated - found.fit.annotated.mean(0), axis=-1).mean(1) / eyes
    for variant in ROWS:
        metrics = results_of(finished, variant)["metrics"]
        assert metrics["mean_landmarks/all"] == pytest.approx(100 * errors.mean(), rel=1e-5)
        assert "mean_landmarks/2" in metrics


def test_the_core_is_one_stage_with_earlier_epochs(finished):
    folder = finished / "stages" / "core_people_clutter" / "seed-0"
    assert [path.name for path in (finished / "stages").iterdir()] == ["core_people_clutter"]
    early, last = load_trained(folder / "epoch-1").variables, load_trained(folder / "result").variables
    assert jax.tree.structure(early) == jax.tree.structure(last)
    assert not np.array_equal(early["params"]["backbone"]["conv1"]["kernel"],
                              last["params"]["backbone"]["conv1"]["kernel"])
    job = Job(TINY, "tiny", "adapted", 0, finished.parents[1], None)
    found = core.trained_core(job._replace(config=replace(TINY, core_epoch=1)))
    jax.tree.map(np.testing.assert_array_equal, dict(found.variables), early)
    assert 0 <= found.accuracy <= 1
    assert core.trained_core(job._replace(config=replace(TINY, core_epoch=2))).digest == core.trained_core(job).digest
    with pytest.raises(InputError, match=r"of another configuration: config\.core_sigma is"):
        core.trained_core(job._replace(config=replace(TINY, core_sigma=2.0)))


def test_networks_are_written_three_ways(finished):
    """Kernels of the core come back unchanged, the adapter with its core is the model, and the plain network is both.
    """
    learnt = load_trained(finished / "stages" / "core_people_clutter" / "seed-0" / "result").variables
    example = jax.tree.map(lambda leaf: np.asarray(leaf)[None], pictures.open_pictures(TINY, 0, None).test[0])
    for variant in ROWS:
        folder = finished / variant / "seed-0"
        model, plain = load_trained(folder / "model"), load_trained(folder / "network")
        has_core = variant != "finetuned"
        assert set(model.frozen) == ({"core"} if has_core else set())
        assert (folder / "adapter.safetensors").exists() == has_core
        predicted = jax.jit(parts.build(TINY, variant).predict)(model, example)
        judged = jax.jit(parts.judge(TINY).predict)(parts.as_judged(model, variant), example)
        np.testing.assert_allclose(predicted.keypoints, judged.keypoints, atol=1e-3)
        heatmaps = jax.jit(lambda variables, images: parts.network(TINY, 4).apply(variables, images, train=False))(
            plain.variables, example.image.astype(np.float32) / 255)
        np.testing.assert_allclose(predicted.heatmaps[0], heatmaps, rtol=1e-4, atol=1e-5)
        if variant in ("adapted", "untrained_head"):
            loaded = load_adapter(folder / "adapter.safetensors", learnt)
            jax.tree.map(np.testing.assert_array_equal, loaded.variables, model.variables)
            jax.tree.map(np.testing.assert_array_equal, loaded.frozen, model.frozen)
    random = finished / "random_core" / "seed-0" / "adapter.safetensors"
    with pytest.raises(InputError, match="belongs to a core with fingerprint"):
        load_adapter(random, learnt)
    adapter, network = (sum(leaf.size for leaf in load_file(finished / "adapted" / "seed-0" / name).values())
                        for name in ("adapter.safetensors", "network/trained.safetensors"))
    assert adapter < network


def test_rows_start_where_they_say(finished):
    """The head of the untrained row is the first of the adapted row, on the core's own weights."""
    learnt = load_trained(finished / "stages" / "core_people_clutter" / "seed-0" / "result").variables
    plain = load_trained(finished / "untrained_head" / "seed-0" / "network").variables
    for part in ("backbone", "upsampling"):
        jax.tree.map(np.testing.assert_array_equal, plain["params"][part], learnt["params"][part])
    job = Job(TINY, "tiny", "adapted", 0, finished.parents[1], None)
    opened, method = pictures.open_pictures(TINY, 0, None), parts.build(TINY, "adapted")
    batch = jax.tree.map(lambda *leaves: np.stack(leaves), *(opened.target[number] for number in range(4)))
    start = {"core": learnt} | parts.perceptual_start(TINY)
    key = experiment.named_key(experiment.named_key(jax.random.key(0), "adapted"), "init")
    first = jax.jit(method.init)(key, {"target": batch}, start)
    jax.tree.map(np.testing.assert_array_equal, dict(first.variables["params"]["head"]), dict(plain["params"]["head"]))
    assert not opened.target[0].visible.any()
    assert core.untrained_core(job.config, 0).digest != core.untrained_core(job.config, 1).digest


def test_a_second_call_trains_nothing_and_other_pictures_are_predicted(finished, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(experiment, "fit", None)
    monkeypatch.setattr(core, "fit", None)
    run(EXPERIMENT, ["tiny", "--variants", *ROWS, "--workdir", str(finished.parents[1])])
    assert capsys.readouterr().out.count("finished before") == len(ROWS)
    (tmp_path / "pictures").mkdir()
    Image.fromarray(np.zeros((40, 60, 3), np.uint8)).save(tmp_path / "pictures" / "one.png")
    table = predict_folder(finished / "adapted" / "seed-0", tmp_path / "pictures", tmp_path / "out",
                           tell=lambda line: None)
    assert len(table.read_text().splitlines()) == 1 + 4


@pytest.fixture
def interrupted(finished, tmp_path, monkeypatch):
    """The job of the adapted row, stopped after two of three steps in a folder of its own."""
    class Stopped(Exception):
        pass

    def first_two(method, streams, **options):
        fit(method, streams, **options | {"steps": 2, "save_every": 1})
        raise Stopped

    job = Job(TINY, "tiny", "adapted", 0, tmp_path, None)
    with monkeypatch.context() as patch:
        patch.setattr(experiment, "fit", first_two)
        with pytest.raises(Stopped):
            experiment.run(job)
    assert not (run_folder(job, "adaptation") / "results.json").exists()
    return job


def test_a_resumed_run_is_the_same_and_another_core_is_refused(finished, interrupted, monkeypatch):
    job = interrupted
    learnt = core.trained_core(job)
    other = learnt._replace(variables=jax.tree.map(lambda leaf: leaf + 1, learnt.variables), digest="other")
    with monkeypatch.context() as patch:
        patch.setattr(experiment, "trained_core", lambda job: other)
        with pytest.raises(InputError, match=r"of another configuration: config\.core digest is .* there and other"):
            experiment.run(job)
    experiment.run(job)
    whole, resumed = (load_trained(folder / "model") for folder in
                      (finished / "adapted" / "seed-0", run_folder(job, "adaptation")))
    jax.tree.map(np.testing.assert_array_equal, (whole.variables, whole.frozen), (resumed.variables, resumed.frozen))
    again = json.loads((run_folder(job, "adaptation") / "results.json").read_text())["metrics"]
    assert again == results_of(finished, "adapted")["metrics"]


def test_presets_that_evaluate_differently_share_their_training(finished, tmp_path, monkeypatch, capsys):
    """The row of another preset is taken from the folder of the one that keeps the training."""
    monkeypatch.setattr(core, "fit", None)
    before = sorted(path.name for path in finished.iterdir())
    config = replace(TINY, summary="other", images=(3,), core_kept_by="tiny", training_kept_by="tiny")
    job = Job(config, "elsewhere", "adapted", 0, finished.parents[1], None)
    experiment.run(job)
    assert sorted(path.name for path in finished.iterdir()) == before
    same, here = (load_trained(folder / "model") for folder in
                  (finished / "adapted" / "seed-0", run_folder(job, "adaptation")))
    jax.tree.map(np.testing.assert_array_equal, same.variables, here.variables)
    assert not (run_folder(job, "adaptation") / "checkpoints").exists()


def test_finetuning_goes_on_from_the_adapted_network(finished, monkeypatch):
    """From all of its weights but the head's, for as many steps more."""
    seen = []

    def remembered(method, streams, **options):
        seen.append(options["start"]["core"]["params"])
        return fit(method, streams, **options)

    monkeypatch.setattr(experiment, "fit", remembered)
    job = Job(TINY, "tiny", "finetuned_from_adapted", 0, finished.parents[1], None)
    experiment.run(job)
    plain = load_trained(finished / "adapted" / "seed-0" / "network").variables["params"]
    jax.tree.map(lambda one, two: np.testing.assert_allclose(one, two, atol=1e-6), dict(seen[0]), plain)
    assert results_of(finished, "finetuned_from_adapted")["steps"] == 6


def test_pictures_without_annotation_have_consistency_only(finished, monkeypatch):
    """As shoes have it: no landmark in any record."""
    opened = pictures.open_pictures(TINY, 0, None)

    def bare(source):
        images = np.stack([source[number].image for number in range(len(source))])
        return arrays(images, np.zeros((len(images), 0, 2)), np.zeros((len(images), 0)), Skeleton(()), source.name)

    parts_of_it = {name: bare(getattr(opened, name)) for name in ("target", "fit", "test")}
    turned_ones = {"turned_once": turned(parts_of_it["test"], np.tile(np.eye(3), (6, 1, 1)))}
    turned_ones["turned_twice"] = turned(turned_ones["turned_once"], opened.turns)
    monkeypatch.setattr(experiment, "open_pictures", lambda *arguments: opened._replace(**parts_of_it, **turned_ones))
    config = replace(TINY, lengths="none", core_kept_by="tiny")
    job = Job(config, "shoes", "untrained_head", 0, finished.parents[1], None)
    experiment.run(job)
    metrics = results_of(finished.parent / "shoes", "untrained_head")["metrics"]
    assert {name.partition("/")[0] for name in metrics} == {
        "consistency", "live_points", "point_spread", "median_spread", "void", "core"}
    assert [path.name for path in (run_folder(job, "adaptation") / "images").iterdir()] == ["points.png"]
    assert EXPERIMENT.columns(config)[0].metric == "consistency"


# Rows


def test_every_row_trains_what_it_says():
    assert set(VARIANTS) == set(RECIPES)
    example = pictures.open_pictures(TINY, 0, None).target[0]
    batch = jax.tree.map(lambda leaf: np.repeat(np.asarray(leaf)[None], 4, 0), example)
    variables = jax.eval_shape(lambda: parts.random_core(TINY, 0))
    features = jax.eval_shape(lambda: parts.random_features(jax.random.key(0), TINY.stand_in_widths)[1])
    built = {name: parts.build(TINY, name) for name in VARIANTS}
    assert built["adapted"] is built["random_core"] is built["untrained_head"]
    assert built["finetuned"] is built["finetuned_from_adapted"]
    trained = {}
    for name in ("adapted", "finetuned", "scratch", "lora", "adapted_w_and_head_only", "finetuned_last"):
        start = {"perceptual": features} | ({} if RECIPES[name].core == "none" else {"core": variables})
        state = jax.eval_shape(built[name].init, jax.random.key(0), {"target": batch}, start)
        trained[name] = set(state.variables["params"]), set(state.frozen)
    _, metrics = jax.eval_shape(built["finetuned_last"].update, state, {"target": batch}, jax.random.key(1))
    assert {"loss/pixels", "loss/features", "live_points", "point_spread"} <= set(metrics)
    assert trained == {
        "adapted": ({"projections", "free", "head"}, {"core", "perceptual"}),
        "finetuned": ({"free", "head"}, {"perceptual"}),
        "scratch": ({"free", "head"}, {"perceptual"}),
        "lora": ({"low_rank", "free", "head"}, {"core", "perceptual"}),
        "adapted_w_and_head_only": ({"projections", "head"}, {"core", "perceptual"}),
        "finetuned_last": ({"free", "head"}, {"core", "perceptual"})}
    assert parts.build(replace(TINY, images=(3,), core_epoch=1), "adapted") is parts.build(TINY, "adapted")


def test_presets_have_the_papers_settings_and_numbers():
    paper = PRESETS["mpii_mafl"]
    assert (paper.image_size, paper.batch_size, paper.steps, paper.core_steps) == (128, 48, 200_000, 110 * 695)
    assert (paper.width, paper.depth, paper.landmarks, paper.temperature, paper.sigma) == (256, 4, 10, 0.1, 0.5)
    assert len({preset.summary for preset in PRESETS.values()}) == len(PRESETS)
    for name in ("mpii_aflw", "mpii_ls3d"):
        assert all(getattr(PRESETS[name], field) == getattr(paper, field) for field in Config.__dataclass_fields__
                   if field not in OF_EVALUATION)
    for name, preset in PRESETS.items():
        if name.startswith("mpii"):
            assert all(getattr(preset, field) == getattr(paper, field) for field in OF_CORE)
    printed = published.paper_numbers("mpii_aflw", "adapted")
    assert (printed["forward/10"], printed["backward/all"], printed["consistency"]) == (11.09, 9.19, 2.52)
    assert {column.metric for column in EXPERIMENT.columns(paper)} >= {"forward/all", "backward/10", "consistency"}
    for preset, rows in published.CONSISTENCY.items():
        for variant, (ascending, mean) in rows.items():
            assert list(ascending) == sorted(ascending), (preset, variant)
            assert np.mean(ascending) == pytest.approx(mean, abs=0.016)
    assert published.paper_numbers("mpii_cats", "lora") == published.paper_numbers("demo", "adapted") == {}


# Pictures and measures


def test_both_cores_and_both_kinds_of_pictures(tmp_path):
    clutter, patches, contrast = (pictures.open_core_pictures(config, 0, tmp_path)[0] for config in (
        TINY, replace(TINY, core_background="patches"), replace(TINY, pictures="local_contrast")))
    np.testing.assert_array_equal(clutter[3].keypoints, patches[3].keypoints)
    assert not np.array_equal(clutter[3].image, patches[3].image)
    assert np.ptp(contrast[3].image.astype(int), axis=-1).max() == 0
    assert {core.core_name(config) for config in (TINY, replace(TINY, core_background="patches"), replace(
        TINY, pictures="local_contrast"), PRESETS["lspet_faces"])} == {
        "core_people_clutter", "core_people_patches", "core_people_clutter_local_contrast", "core_lspet"}
    opened = pictures.open_pictures(TINY, 0, tmp_path)
    assert (opened.target[0].image.shape, opened.fit[0].image.shape) == ((40, 40, 3), (32, 32, 3))
    few = pictures.open_pictures(replace(TINY, target_images=5), 1, tmp_path)
    assert len(few.target) == len(set(few.chosen)) == 5


def test_points_that_follow_the_face_are_consistent_and_void_rows_are_told():
    """The annotated points themselves: no error in either direction, and none under turns but that of lost corners."""
    opened, skeleton = pictures.open_pictures(TINY, 0, None), Skeleton(tuple("abcdefghij"))

    def truth(source):
        examples = [source[number] for number in range(len(source))]
        return Landmarks(*(np.stack([getattr(example, name) for example in examples])
                           for name in ("keypoints", "keypoints", "visible")))

    once, twice = truth(opened.turned_once), truth(opened.turned_twice)
    shown = (once.visible * twice.visible)[..., None] > 0
    found = measures.Found(truth(opened.fit), truth(opened.test), *(
        np.where(shown, part.discovered, 0) for part in (once, twice)), opened.turns)
    moved = np.einsum("nij,nkj->nki", opened.turns[:, :2, :2], found.once) + opened.turns[:, None, :2, 2]
    assert np.abs(moved - found.twice)[np.broadcast_to(shown, moved.shape)].max() < 1e-3
    config = replace(TINY, landmarks=10, penalty=1e-9)
    row, reason = measures.row_of(found, config, opened.test.skeleton, skeleton)
    assert reason == ""
    assert row["void"] == 0
    assert row["point_spread"] == pytest.approx(row["annotated_spread"])
    heap = found._replace(test=found.test._replace(discovered=np.full_like(found.test.discovered, 16)))
    row, reason = measures.row_of(heap, config, opened.test.skeleton, skeleton)
    assert row["void"] == 1
    assert reason.startswith("0 of 10 landmarks are alive; landmarks lie 0.0 px apart")
    unannotated, _ = measures.row_of(found, replace(config, lengths="none"), Skeleton(()), skeleton)
    assert set(unannotated) == {"consistency", "live_points", "point_spread", "median_spread", "void"} | {
        f"consistency/rank_{rank}" for rank in range(1, 11)}


def test_errors_of_pictures_are_those_of_the_row(finished):
    found = measures.read_points(finished / "finetuned" / "seed-0")
    annotation = pictures.open_pictures(TINY, 0, None).test.skeleton
    metrics = results_of(finished, "finetuned")["metrics"]
    for direction, forward in (("forward", True), ("backward", False)):
        for name, images in (("5", 5), ("all", None)):
            single = measures.errors_of_pictures(found, TINY, annotation, images, forward=forward)
            assert single.errors.mean() == pytest.approx(metrics[f"{direction}/{name}"], rel=1e-5)
    assert measures.consistency_of_pictures(found).mean() == pytest.approx(metrics["consistency"])


# Studies


def test_studies_of_kept_points_train_nothing(finished, monkeypatch, capsys):
    monkeypatch.setattr(studies, "EXPERIMENT", EXPERIMENT)
    monkeypatch.setattr(experiment, "fit", None)
    workdir = ["--workdir", str(finished.parents[1])]
    path = studies.main(["labels", "--preset", "tiny", "--columns", "1", "2", "--variants", *ROWS, *workdir])
    lines = path.read_text().splitlines()
    assert sum(line.startswith(("| adapted", "| random_core")) for line in lines) == 4
    assert f"{results_of(finished, 'adapted')['metrics']['forward/2']:.2f}" in path.read_text()
    path = studies.main(["order", "--preset", "tiny", "--variants", "finetuned", "random_core", *workdir])
    row = next(line for line in path.read_text().splitlines() if "backward/all" in line)
    ours, theirs = (results_of(finished, name)["metrics"]["backward/all"] for name in ("finetuned", "random_core"))
    assert f"| {ours / theirs:.2f} |" in row
    with pytest.raises(InputError, match="name two rows or more"):
        studies.main(["order", "--preset", "tiny", "--variants", "adapted", *workdir])


def test_a_study_trains_what_is_missing_on_the_same_core(finished, monkeypatch):
    monkeypatch.setattr(studies, "EXPERIMENT", EXPERIMENT)
    monkeypatch.setattr(core, "fit", None)
    path = studies.main(["core_epochs", "--preset", "tiny", "--workdir", str(finished.parents[1])])
    early = finished.parent / "tiny-core_epoch-1" / "adapted" / "seed-0"
    assert (early / "results.json").exists()
    assert "|  | epoch 1 | epoch 2 |" in path.read_text()
    path = studies.main(["images", "--preset", "tiny", "--columns", "2", "0", "--workdir", str(finished.parents[1])])
    listed = finished.parent / "tiny-target_images-2" / "adapted" / "seed-0" / "target_images.txt"
    assert len(listed.read_text().split()) == 2
    assert not list((finished.parent / "tiny-target_images-2").glob("stages"))
    command = read_command(EXPERIMENT, ["tiny", "--core-background", "patches"])
    assert [studies.job_of(command, "adapted", 0, setting).preset for setting in (
        None, studies.Setting("core_epoch", 1, ""), studies.Setting("core_background", "clutter", ""))] == [
        "tiny-core_background-patches", "tiny-core_epoch-1-core_background-patches", "tiny"]


def test_settings_of_studies_have_the_papers_numbers(finished):
    command = read_command(experiment.EXPERIMENT, ["mpii_aflw"])
    early, *_, last = studies.settings_of("core_epochs", command, ())
    assert (early.field, early.value, early.paper["backward/all"], early.paper["core/pck"]) == (
        "core_epoch", 1, 33.72, 22.95)
    assert (last.value, last.paper["consistency"]) == (0, 2.52)
    assert [one.paper["forward/10"] for one in studies.settings_of("images", command, ())] == [
        16.55, 11.31, 11.25, 11.09]
    with pytest.raises(InputError, match="what stands behind the people of a core"):
        studies.settings_of("cores", command, ())
    same = [np.linspace(1, 3, 50), np.linspace(2, 3, 50)]
    found = studies.ratio([2 * part for part in same], same, draws=20)
    assert (found.value, found.low, found.high) == pytest.approx((2, 2, 2))
    assert studies.ratio_over_seeds(same[:1], same[:1]) is None
    found = studies.ratio_over_seeds([np.ones(4), 4 * np.ones(4)], [np.ones(4), np.ones(4)])
    half = 12.7062 * np.log(2)  # Student's t with one degree of freedom
    assert (found.value, found.low, found.high) == pytest.approx((2, 2 * np.exp(-half), 2 * np.exp(half)), rel=1e-4)


# Benchmark


def test_benchmark_rows_are_measured():
    """The paper's setting: 514,698 + 2,424,424 weights of 6,234,762 + 2,424,424, in gradients and optimizer states."""
    shares = list(benchmark.size_rows("paper", benchmark.PAPER, variants=("adapted",)))
    assert [row.verdict for row in shares] == ["pass"]
    assert shares[0].figure.median == pytest.approx((514_698 + 2_424_424) / (6_234_762 + 2_424_424), rel=1e-5)
    rows = list(benchmark.step_rows(Effort(rounds=1, seconds=0.01), "tiny", TINY, variants=("adapted",)))
    assert [row.bar for row in rows] == [1.1]
    assert rows[0].figure.median > 0


# Bad input


@pytest.mark.parametrize(("flags", "words"), [
    (["--image-size", "36"], "--image-size: 36; an hourglass of depth 1 needs a multiple of 8"),
    (["--width", "20"], "--width: 20; the width of an hourglass is a multiple of 16"),
    (["--core-epoch", "7"], "--core-epoch: 7; kept are 1 and the last, 2"),
    (["--shown", "1.5"], "--shown: 1.5"),
    (["--views", "spline"], "--target-side: 40; views by splines"),
    (["--images", "0"], "--images: 0"),
    (["--test", "youtube_faces/test"], "leave --fit and --test empty"),
    (["--landmarks", "0"], "--landmarks: 0"),
])
def test_bad_flags_are_named(flags, words):
    with pytest.raises(InputError, match=words.replace("(", r"\(")):
        read_command(EXPERIMENT, ["tiny", *flags])


@pytest.mark.parametrize(("changes", "words"), [
    ({"images": (2, 13)}, "13 labelled images are asked for, there are 12"),
    ({"target": "drawn:four_legged"}, "distances between eyes, and the landmarks are nose; eye; ear"),
    ({"target": "drawn:shoes"}, "drawn:shoes: there are drawn:people"),
    ({"target": "youtube_faces", "test": "youtube_faces/test"}, "youtube_faces: name a prepared set and its split"),
    ({"target_images": 13}, "13 labelled images are asked for, but there are 12"),
    ({"perceptual": "nowhere.safetensors"}, "nowhere.safetensors"),
])
def test_bad_input_is_one_line_before_anything_is_trained(changes, words, finished, monkeypatch):
    monkeypatch.setattr(experiment, "fit", None)
    job = Job(replace(TINY, **changes), "tiny-bad", "adapted", 0, finished.parents[1], finished)
    monkeypatch.setattr(experiment, "trained_core", lambda job: core.untrained_core(job.config, 0))
    with pytest.raises(InputError, match=words) as caught:
        experiment.run(job)
    assert "\n" not in str(caught.value)


def test_trees_without_a_frozen_core_have_no_adapter(tmp_path):
    leaf = np.ones((1, 1, 2, 2), np.float32)
    trained = Trained({"params": {"free": {"backbone": {"conv": {"kernel": leaf}}}, "head": {}}, "batch_stats": {}}, {})
    experiment.write_networks(tmp_path, trained, "finetuned")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "network"]
