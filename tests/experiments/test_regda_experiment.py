"""RegDA's experiment from the command line to the report, a few steps of everything."""
import json
import sys

import jax
import numpy as np
import pytest
from PIL import Image

import experiments.regda
from experiments.__main__ import all_experiments, main
from experiments.command_line import run
from experiments.domains import open_domain
from experiments.predict import predict_folder
from experiments.regda.config import PRESETS
from experiments.regda.variants import RECIPES, VARIANTS, parts_of
from kpjax.training.evaluation import predict_source
from kpjax.training.trees import load_trained

VARIANTS_RUN = ("regda", "adabn", "dd", "mcd", "dann", "dan", "oracle")  # adabn brings source_only with it


def command(preset, workdir, *variants):
    return [preset, "--workdir", str(workdir), "--variants", *variants]


def results_of(folder, variant):
    return json.loads((folder / variant / "seed-0" / "results.json").read_text())


def files_below(folder):
    """Every file but the report, with its time and its bytes."""
    return {path.relative_to(folder).as_posix(): (path.stat().st_mtime_ns, path.read_bytes())
            for path in folder.rglob("*") if path.is_file() and path.name != "report.html"}


@pytest.fixture(scope="module")
def people(tiny_regda, tmp_path_factory):
    """The folder of the preset after one run of all those variants."""
    workdir = tmp_path_factory.mktemp("work folder")
    report = run(tiny_regda, command("people", workdir, *VARIANTS_RUN))
    assert report.parent == workdir / "regda" / "people"
    return report.parent


@pytest.fixture(scope="module")
def sprites(tiny_regda, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("work")
    return run(tiny_regda, command("sprites", workdir, "constant_centre", "adabn_in_area")).parent


def test_results_are_complete(people, tiny_regda):
    config = tiny_regda.presets["people"]
    points = open_domain("figures:source", side=32, seed=0, data_dir=None, train=1, test=1).train.skeleton
    for variant in (*VARIANTS_RUN, "source_only"):
        results = results_of(people, variant)
        assert (results["experiment"], results["preset"], results["variant"], results["seed"]) == (
            "regda", "people", variant, 0)
        assert results["steps"] == config.pretraining_steps + config.steps
        assert results["config"]["image_size"] == 32
        assert results["devices"]["count"] == jax.device_count()
        assert results["versions"]["jax"] == jax.__version__
        assert results["wall_seconds"] > 0
        found = results["metrics"]
        assert "chosen_by/source_validation/pck" in found
        for domain in ("source", "target"):
            each = [found[f"{domain}/pck/{name}"] for name in points.names]
            assert found[f"{domain}/pck"] == pytest.approx(np.mean(each), abs=1e-6)
            assert 0 < found[f"{domain}/mae"] < 32
            assert any(name.startswith(f"{domain}/pck_batchwise/") for name in found)
        assert (people / variant / "seed-0" / "images" / "target.png").stat().st_size > 0


def test_the_first_stage_is_shared(people):
    assert [path.name for path in (people / "stages").iterdir()] == ["pretraining"]
    stored = load_trained(people / "stages" / "pretraining" / "seed-0" / "result")
    rows = [json.loads(line) for line in (people / "regda" / "seed-0" / "metrics.jsonl").read_text().splitlines()]
    assert {row["stage"] for row in rows} == {"regda"}
    # AdaBN moves no parameter of its start, which is source_only's result and not the stage's.
    adapted, plain = (load_trained(people / name / "seed-0" / "model").variables for name in ("adabn", "source_only"))
    jax.tree.map(np.testing.assert_array_equal, adapted["params"], plain["params"])
    assert any(not np.array_equal(a, b) for a, b in zip(
        jax.tree.leaves(adapted["batch_stats"]), jax.tree.leaves(plain["batch_stats"]), strict=True))
    assert any(not np.array_equal(a, b) for a, b in zip(
        jax.tree.leaves(stored.variables["params"]), jax.tree.leaves(plain["params"]), strict=True))


def test_a_second_call_trains_nothing_and_changes_no_file(people, tiny_regda, monkeypatch, capsys):
    def refuse(*arguments, **options):
        raise AssertionError("trained again")

    monkeypatch.setattr(experiments.regda, "fit", refuse)
    before = files_below(people)
    report = run(tiny_regda, command("people", people.parents[1], *VARIANTS_RUN))
    assert files_below(people) == before
    said = capsys.readouterr().out
    assert said.count("finished before") == len(VARIANTS_RUN)
    for variant in (*VARIANTS_RUN, "source_only"):
        assert VARIANTS[variant].label in said
        assert VARIANTS[variant].label in report.read_text()


def test_a_finished_run_predicts_pictures_of_any_size(people, tmp_path):
    (tmp_path / "pictures").mkdir()
    Image.fromarray(np.zeros((40, 60, 3), np.uint8)).save(tmp_path / "pictures" / "wide.png")
    Image.fromarray(np.full((50, 20, 3), 200, np.uint8)).save(tmp_path / "pictures" / "tall.png")
    table = predict_folder(people / "regda" / "seed-0", tmp_path / "pictures", tmp_path / "out", tell=lambda line: None)
    rows = table.read_text().splitlines()[1:]
    names = json.loads((people / "regda" / "seed-0" / "skeleton.json").read_text())["names"]
    assert [row.split(",")[:3:2] for row in rows] == [[image, name] for image in ("tall.png", "wide.png")
                                                      for name in names]


def test_the_constant_centre_is_the_middle(sprites, tiny_regda):
    """Its error is the mean distance of the true points from the middle, x and y together, in the preset's unit."""
    config = tiny_regda.presets["sprites"]
    test = open_domain(config.target, side=32, seed=0, data_dir=None, train=16, test=8).test
    true = np.stack([test[number].keypoints[0] for number in range(len(test))])
    found = results_of(sprites, "constant_centre")
    assert found["metrics"]["target/mae"] == pytest.approx(abs(true - 15.5).mean(0).sum() / config.mae_unit, rel=1e-5)
    assert found["steps"] == 0
    assert not (sprites / "constant_centre" / "seed-0" / "checkpoints").exists()


def test_adabn_in_area_is_adabn_that_looks_where_points_can_be(sprites, tiny_regda):
    plain, inside = (load_trained(sprites / name / "seed-0" / "model") for name in ("adabn", "adabn_in_area"))
    jax.tree.map(np.testing.assert_array_equal, plain.variables, inside.variables)
    config = tiny_regda.presets["sprites"]
    test = open_domain(config.target, side=32, seed=0, data_dir=None, train=16, test=8).test
    method = RECIPES["adabn_in_area"].build(parts_of(config, test.skeleton))
    found = predict_source(method, inside, test, batch_size=8).keypoints
    # Cells 16 to 47 of 64 are cells 2 to 5 of 8, four pixels each.
    assert found.min() >= 8
    assert found.max() <= 20


def test_the_list_names_every_experiment_and_preset_in_a_line_each(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["experiments"])
    main()
    lines = capsys.readouterr().out.splitlines()
    for name, experiment in all_experiments().items():
        for preset, config in experiment.presets.items():
            (line,) = [line for line in lines if f"experiments.{name} {preset} " in line]
            assert line.endswith(config.summary)
    assert {"demo", "figures_lspet", "rhd_h3d", "rhd_freihand", "freihand_rhd", "surreal_h36m", "surreal_lsp"} < set(
        PRESETS)
    assert len([name for name in PRESETS if name.startswith("dsprites")]) == 12
    assert any("predict RUN IMAGES --out FOLDER" in line for line in lines)
