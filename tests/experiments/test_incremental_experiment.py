"""The incremental experiment: its protocol, its rows, a few steps of some of them, the choice of weights."""
import csv
import functools
import json
from dataclasses import replace
from types import SimpleNamespace

import jax
import numpy as np
import pytest
from safetensors.numpy import load_file

import experiments.incremental as experiment
import kpjax.training.step
from experiments.command_line import Job, jobs_of, preset_folder, read_command, run, run_folder
from experiments.incremental import associations, material, measures, methods, steps, tuning
from experiments.incremental.config import AFTER_BASE, PRESETS, WEIGHTS, Config
from experiments.incremental.methods import rate_of
from experiments.incremental.steps import open_run
from experiments.incremental.variants import RECIPES, VARIANTS, steps_of, weights_of
from kpjax.errors import InputError
from kpjax.files import write_json
from kpjax.input.source import subset
from kpjax.structures import Example, Skeleton
from kpjax.training.mesh import data_mesh
from kpjax.training.step import compiled_update
from kpjax.training.trees import load_trained

SIDE = 32
TINY = replace(
    PRESETS["demo"], image_size=SIDE, heatmap_size=8, sigma=1.0, widths=(4, 4, 8, 8), head_width=4, batch_size=8,
    base_steps=2, steps=5, training_examples=32, test_examples=8, held_out=0.1, filter_kept=1.0, afec_images=8)
ROWS = ("kamp", "kamp_filtered", "afec", "rw", "joint")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """The experiment with a preset of three steps of a few pictures each."""
    content = json.loads(material.protocol_path("figures").read_text())
    content["images"]["parts"] = [8, 12, 12]
    path = tmp_path_factory.mktemp("protocols") / "three_steps.json"
    path.write_text(json.dumps(content))
    return experiment.EXPERIMENT._replace(presets={"tiny": replace(TINY, protocol=str(path))})


@pytest.fixture(scope="module")
def finished(tiny, rounded_alike, tmp_path_factory):
    """The folder of the preset after one run of ROWS; the updates of two of them are compared bit by bit."""
    of_updates = SimpleNamespace(**vars(jax) | {"jit": functools.partial(jax.jit, compiler_options=rounded_alike)})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kpjax.training.step, "jax", of_updates)
        return run(tiny, ["tiny", "--variants", *ROWS, "--workdir", str(tmp_path_factory.mktemp("runs"))]).parent


def results_of(folder, variant):
    return json.loads((folder / variant / "seed-0" / "results.json").read_text())["metrics"]


def matrix_of(folder, variant):
    return list(csv.DictReader((folder / variant / "seed-0" / "accuracy_matrix.csv").read_text().splitlines()))


def job_of(tiny, variant, workdir):
    return Job(tiny.presets["tiny"], "tiny", variant, 0, workdir, None)


# Runs


def test_results_are_complete(finished, tiny):
    names = material.open_material(tiny.presets["tiny"], 0, None).points.names
    for variant in ROWS:
        found, folder = results_of(finished, variant), finished / variant / "seed-0"
        assert {"aaa", "second/aaa", "group/aaa", "a_mre", *(f"aaa/{name}" for name in names)} <= set(found)
        assert ("at" in found) == ("best/mt" in found) == ("label_free" in found) == (variant != "joint")
        assert (folder / "images" / "accuracy_matrix_at_0.05.png").stat().st_size > 0
        rows = matrix_of(finished, variant)
        steps_seen = [int(row["step"]) for row in rows]
        assert [steps_seen.count(step) for step in range(3)] == ([0, 0, 10] if variant == "joint" else [6, 8, 10])
        assert found["aaa"] == pytest.approx(np.mean([float(row["pck_at_0.05"]) for row in rows[-10:]]), abs=1e-6)
        assert found["aaa"] == pytest.approx(np.mean([found[f"aaa/{name}"] for name in names]))
    assert json.loads((finished / "kamp" / "seed-0" / "results.json").read_text())["steps"] == 2 + 2 * 5
    assert "AAA at 5 % of the picture" in (finished / "report.html").read_text()


def test_ka_net_is_judged_beside_its_teacher_and_weights_are_told_in_both_units(finished):
    found = results_of(finished, "kamp")
    for step, old in ((1, "right_elbow"), (2, "right_knee")):
        said = {name: found[f"association/step_{step}/{old}/{name}"] for name in ("ka_net", "teacher", "reach", "used")}
        assert all(0 <= value <= 1 for value in said.values())
        assert said["used"] == 1
    base = {row["keypoint"]: float(row["pck_at_0.05"]) for row in matrix_of(finished, "kamp") if row["step"] == "0"}
    assert found["association/step_1/right_elbow/teacher"] == pytest.approx(base["right_elbow"], abs=1e-6)
    assert found["weight/alpha_element_mean"] == 8 * found["weight/alpha_line_sum"] == 8 * TINY.kamp


def test_stages_are_shared_where_rows_begin_alike(finished):
    names = {path.name for path in (finished / "stages").iterdir()}
    assert names == {
        "base", "base_rw", "joint", "fisher_step_0", "association_step_1", "kamp_association_2", "kamp_step_1",
        "kamp_step_2", "kamp_filtered_association_1", "kamp_filtered_association_2", "kamp_filtered_step_1",
        "kamp_filtered_step_2", "afec_step_1", "afec_step_2", "afec_importance_1", "rw_step_1", "rw_step_2"}
    record = json.loads((finished / "stages" / "kamp_step_2" / "seed-0" / "stage.json").read_text())
    assert set(record["parents"]) == {"before", "association"}


def test_nothing_that_is_kept_holds_a_picture(finished, tiny):
    """What goes from step to step, and what a run leaves behind, are arrays of parameters."""
    pictures = material.open_material(tiny.presets["tiny"], 0, None).train
    counts = {8, 12, 11, 7, 32}  # of pictures, in all of them and in each step
    files = [*finished.glob("stages/*/seed-0/result/*.safetensors"), *finished.glob("*/seed-0/model/*.safetensors")]
    assert len(files) >= 17 + len(ROWS)
    for file in files:
        for name, array in load_file(file).items():
            assert array.dtype != np.uint8, (file, name)
            assert array.shape[-3:] != pictures[0].image.shape, (file, name)
            assert "index" not in name
            if not name.startswith(("variables/params", "variables/batch_stats", "variables/importance")) and (
                    "tracked" not in name):
                assert name.startswith("frozen/increment/"), (file, name)
                assert array.size <= max(3, len(pictures.skeleton.names)), (file, name)
            assert not (array.ndim > 1 and array.shape[0] in counts and array.shape[1] == len(pictures.skeleton.names))


def test_believing_all_pseudo_labels_is_plain_kamp_bit_for_bit(finished):
    plain, filtered = (load_trained(finished / name / "seed-0" / "model").variables for name in ("kamp",
                                                                                                "kamp_filtered"))
    jax.tree.map(np.testing.assert_array_equal, plain, filtered)


def test_one_program_serves_all_steps(finished, tiny):
    """Neither steps nor seeds nor weights compile an update again."""
    config = tiny.presets["tiny"]
    of_config = material.open_material(config, 0, None)
    first, other = (open_run(job_of(tiny, "kamp", None)._replace(config=changed), of_config)
                    for changed in (config, replace(config, kamp=77.0)))
    method = methods.build(first.setting, "kamp", "paper", 2)
    assert method is methods.build(other.setting, "kamp", "paper", 2)
    update, _ = compiled_update(method.update, data_mesh())
    assert update._cache_size() == 1


def test_a_run_goes_on_inside_a_stage(finished, tiny, tmp_path, monkeypatch):
    real = steps.fit

    def stopped(method, streams, **options):
        if options["stage"] == "step 2":
            real(method, streams, **(options | {"steps": 2, "quiet": True}))
            raise KeyboardInterrupt
        return real(method, streams, **options)

    job = job_of(tiny, "rw", tmp_path)
    monkeypatch.setattr(steps, "fit", stopped)
    with pytest.raises(KeyboardInterrupt):
        experiment.run(job)
    monkeypatch.undo()
    experiment.run(job)
    ours, theirs = (load_trained(folder / "rw" / "seed-0" / "model") for folder in (
        finished, preset_folder(tmp_path, "incremental", "tiny")))
    jax.tree.map(np.testing.assert_array_equal, ours, theirs)
    # What was finished is not trained again, and another protocol is another run.
    monkeypatch.setattr(steps, "fit", None)
    results = run_folder(job, "incremental") / "results.json"
    results.unlink()
    experiment.run(job)
    results.unlink()
    content = json.loads(material.protocol_path(job.config.protocol).read_text())
    content["images"]["seed"] = 1
    (tmp_path / "other.json").write_text(json.dumps(content))
    path = str(tmp_path / "other.json")
    with pytest.raises(InputError, match=r"protocol(_digest)? is .* there and .* here"):
        experiment.run(job._replace(config=replace(job.config, protocol=path)))
    monkeypatch.setattr(experiment, "open_material", lambda *arguments: material.open_material(
        replace(job.config, protocol=path), 0, None))
    with pytest.raises(InputError, match="protocol_digest is"):
        experiment.run(job)


# Parts


def test_a_useless_triple_is_skipped(tiny):
    """On pictures held out from the step, KA-Net is compared with what the old model says of turned pictures."""
    config = replace(tiny.presets["tiny"], skip_useless_triples=True, held_out=0.25)
    this = open_run(job_of(tiny, "kamp", None)._replace(config=config), material.open_material(config, 0, None))
    method = associations.build_association(this.setting, "plain", "paper", 2)
    pictures = material.pictures_of(this.material, 1, 0.25)
    assert (len(pictures.training), len(pictures.held_out)) == (9, 3)
    network, images = this.setting.parts.network, np.zeros((1, SIDE, SIDE, 3), np.float32)
    variables = jax.jit(lambda: network.init(jax.random.key(0), images, train=False))()
    planned = steps.increment_at(this, 1, [(2, 3, 5)])
    batch = {"labelled": jax.tree.map(lambda leaf: np.stack([leaf] * 8), pictures.training[0])}
    state = jax.jit(method.init)(jax.random.key(0), batch, {"teacher": variables, "increment": planned})
    useful = associations.useful_triples(this.setting, "paper", 2, state, pictures.held_out)
    assert useful.shape == (1,)
    assert useful[0] in (0, 1)


def test_held_out_pictures_and_the_bound_see_the_right_labels(tiny):
    opened = material.open_material(tiny.presets["tiny"], 0, None)
    step = material.pictures_of(opened, 1, 0.0)
    assert step.held_out is None
    names = [name for name, seen in zip(opened.skeleton.names, step.training[0].visible, strict=True) if seen]
    assert set(names) <= {"right_hand", "left_hand"}
    everything = material.all_pictures(opened)
    assert len(everything) == 32
    assert everything[0].visible.sum() > 2
    with pytest.raises(InputError, match="leaves none to train on"):
        material.pictures_of(opened, 1, 0.99)
    assert len(subset(step.training, [0])) == 1


def test_rows_of_the_tables_are_complete():
    assert set(VARIANTS) == set(RECIPES)
    assert set(experiment.short_list("demo", TINY)) <= set(VARIANTS)
    assert set(WEIGHTS) | set(AFTER_BASE) <= set(Config.__dataclass_fields__)
    for name, config in PRESETS.items():
        assert name == "own" or material.protocol_path(config.protocol).exists()
    wanted = {"demo", "faces", "lspet", "mpii", "cephalometric", "chest", "atrw", "upper_lower", "low_shot"}
    assert wanted <= set(PRESETS)


def test_weights_are_those_of_the_row():
    config = replace(TINY, kamp=6.0, kamp_rerendered=8.0, self_training=10.0, lwf=3.0, ewc=5.0, cpr=7.0)
    assert weights_of(config, "finetune", 4) == {}
    assert weights_of(config, "kamp", 4) == {"distillation": 6.0, "association": 6.0}
    assert weights_of(config, "kamp_rerendered", 4) == {"distillation": 8.0, "association": 2.0}
    assert weights_of(config, "self_training", 4) == {"distillation": 10.0, "association": 2.5}
    assert weights_of(replace(config, ka_weight="alpha_over_old"), "random_triples", 4)["association"] == 1.5
    assert weights_of(replace(config, ka_target="rerendered"), "kamp_filtered", 4)["distillation"] == 8.0
    assert weights_of(config, "lwf", 4) == {"distillation": 3.0}
    assert weights_of(config, "ewc", 4) == {"penalty": 5.0}
    assert weights_of(config, "cpr", 4) == {"penalty": 7.0, "entropy": config.cpr_entropy}
    assert measures.both_units(6400.0, "element_mean", 64) == {"line_sum": 100.0, "element_mean": 6400.0}


def test_rows_without_ka_net_train_as_long():
    assert steps_of(replace(TINY, steps=400), "kamp") == (2, 80, 320)
    assert steps_of(replace(TINY, steps=400), "self_training") == (2, 0, 400)
    assert steps_of(replace(TINY, steps=400), "lwf").later == steps_of(replace(TINY, steps=400), "kamp").later


@pytest.mark.parametrize("schedule", ["steps", "cosine", "constant"])
def test_the_learning_rate_rises_and_falls(schedule):
    rate = rate_of(replace(TINY, schedule=schedule, warmup_steps=10), 1.0, 100)
    values = [float(rate(np.float32(step))) for step in (0, 10, 60, 80, 95)]
    assert values[0] == pytest.approx(0.1)
    assert values[1] == pytest.approx(1.0)
    expected = {"steps": [1, 0.1, 0.01], "constant": [1, 1, 1]}
    if schedule == "cosine":
        assert 1 > values[2] > values[3] > values[4] > 0
    else:
        assert values[2:] == pytest.approx(expected[schedule])


def test_the_summary_of_a_matrix():
    """Three keypoints: one of the base, one of step 1, and one that never comes."""
    accuracy = np.array([[0.5, np.nan, np.nan], [0.75, 0.25, np.nan]])
    found = measures.summary(measures.Matrices(np.stack([accuracy, accuracy]), 10 * accuracy), np.array([0, 1, 2]),
                             ("a", "b", "c"))
    assert found["aaa"] == found["second/aaa"] == 0.5
    assert found["at"] == found["mt"] == found["at/a"] == 0.25
    assert found["a_mre"] == 5.0
    assert found["a_mre_transfer"] == -2.5  # errors rose
    assert not {"aaa/c", "at/b"} & set(found)


@pytest.mark.parametrize(("changes", "message"), [
    ({"protocol": "nowhere"}, "--protocol: 'nowhere' is not found; there are atrw"),
    ({"skip_useless_triples": True, "held_out": 0.0}, "--skip-useless-triples: .* add --held-out 0.1"),
    ({"held_out": 1.0}, "--held-out: 1; it is a share"),
    ({"gamma": 0.0}, "--gamma: 0; it is a share"),
    ({"kamp": -1.0}, "--kamp: -1.0; give a finite number above 0"),
    ({"pck_thresholds": (0.1, 0.0)}, "--pck-thresholds"),
    ({"low_shot": 100}, "100 images a step are asked for, but there are 12"),
])
def test_what_no_run_can_be_made_of(tiny, changes, message):
    with pytest.raises(InputError, match=message):
        material.open_material(replace(tiny.presets["tiny"], **changes), 0, None)


# Tuning


def test_weights_are_chosen_by_two_measures(tiny, tmp_path):
    preset = replace(tiny.presets["tiny"], judged_by="validation")
    command = read_command(tiny._replace(presets={"tiny": preset}), ["tiny", "--workdir", str(tmp_path)])
    points = tuning.points_of(command, ["ksd_only", "ewc"], grid=(1.0, 10.0))
    for point, aaa, label_free in zip(points["ksd_only"], (0.4, 0.6), (0.9, 0.5), strict=True):
        job = point.jobs[0]
        assert job.config.ksd_only == point.weight
        assert job.preset == f"tiny-ksd_only-{point.weight:g}"
        write_json(run_folder(job, "incremental") / "results.json", {
            "experiment": "incremental", "preset": job.preset, "variant": "ksd_only", "seed": 0, "steps": 1,
            "metrics": {"aaa": aaa, "at": 0.01, "label_free": label_free}})
    assert tuning.chosen(points["ksd_only"], "aaa").weight == 10.0
    assert tuning.chosen(points["ksd_only"], "label_free").weight == 1.0
    page = tuning.page(command, points)
    assert "| ksd_only | 10 line_sum = 80 element_mean (at an end of its grid) | 60.0 | 1.0 | 50.0 |" in page
    assert "| ewc | not run |" in page
    assert len(jobs_of(command)) == 7


def test_tuning_refuses_test_pictures_and_rows_without_a_weight(tiny):
    command = read_command(tiny, ["tiny"])
    with pytest.raises(InputError, match="would choose by test pictures"):
        tuning.points_of(command, ["lwf"])
    with pytest.raises(InputError, match="'finetune' has no weight of its own"):
        tuning.points_of(command, ["finetune"])
    assert tuning.grid_of(command._replace(config=replace(TINY, reduction="element_mean")), "kamp")[0] == 8.0


def test_every_row_can_be_traced(tiny):
    config = tiny.presets["tiny"]
    this = open_run(job_of(tiny, "kamp", None), material.open_material(config, 0, None))
    points: Skeleton = this.material.skeleton
    keypoints = len(points.names)
    batch = Example(np.zeros((8, SIDE, SIDE, 3), np.uint8), np.zeros((8, keypoints, 2), np.float32),
                    np.ones((8, keypoints), np.float32), np.ones(8, np.float32), np.zeros((8, 3, 3), np.float32),
                    np.arange(8, dtype=np.int32))
    network, images = this.setting.parts.network, np.zeros((1, SIDE, SIDE, 3), np.float32)
    variables = jax.eval_shape(lambda: network.init(jax.random.key(0), images, train=False))
    for name, recipe in RECIPES.items():
        if name in ROWS:
            continue  # run for real above
        method = methods.build(this.setting, name, "distant" if recipe.association == "distant" else "paper", 2)
        start = {"teacher": variables, "anchor": variables["params"], "importance": variables["params"],
                 "increment": steps.increment_at(this._replace(job=job_of(tiny, name, None)), 1, [(2, 3, 5)])}
        if recipe.association:
            first = methods.build_association(
                this.setting, recipe.association, "distant" if recipe.association == "distant" else "paper", 2)
            state = jax.eval_shape(first.init, jax.random.key(0), {"labelled": batch}, start)
            start["association"] = state.variables
        state = jax.eval_shape(method.init, jax.random.key(0), {"labelled": batch}, start)
        after, metrics = jax.eval_shape(method.update, state, {"labelled": batch}, jax.random.key(1))
        assert jax.tree.structure(after) == jax.tree.structure(state), name
        assert "loss/new_keypoints" in metrics, name
