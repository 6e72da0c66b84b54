"""RegDA's experiment from the command line to the report, a few steps of everything."""

import json

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny_regda import TINY as TINY_REGDA
from tiny_systems import lengths_of, results_of

from experiments import experiment_of
from experiments.images import open_domain
from experiments.regda import PRESETS
from kpjax.errors import InputError
from kpjax.evaluation.pose_statistics import FILE
from kpjax.methods.regda_family.regda import Disparity
from kpjax.models.residual_steps import RSN
from kpjax.papers import engine, regda
from kpjax.papers.command_line import run
from kpjax.papers.configs import replace_fields
from kpjax.papers.engine import Job, StoredRun, is_finished
from kpjax.papers.regda.adversary import area_of
from kpjax.papers.regda.rivals import job_of as start_of
from kpjax.papers.regda.stages import setup_of
from kpjax.papers.regda.variants import VARIANTS
from kpjax.structures import Example, Skeleton
from kpjax.training.loggers import read_rows
from kpjax.training.trees import load_trained

# the first brings its start with it, which is the second
SLOW = ("adabn_augmented", "source_only_augmented")


def command(preset, workdir, *variants):
    return [preset, "--workdir", str(workdir), "--variants", *variants]


@pytest.mark.parametrize(
    "variants", [("regda",), pytest.param(SLOW, marks=pytest.mark.slow)], ids=["one", "others"]
)
def test_results_are_complete(ran, variants):
    people, config = ran("regda", variants[0]), TINY_REGDA.presets["people"]
    points = open_domain(
        "figures:source", side=32, seed=0, data_dir=None, train=1, test=1
    ).train.skeleton
    for variant in variants:
        results = results_of(people, variant)
        assert results["steps"] == config.pretraining_steps + config.steps
        found = results["metrics"]
        if variant != "adabn_augmented":  # its result is a count of passes
            # One evaluation, after the last step of the variant's own stage, leaves one choice.
            own = config.steps if variant == "regda" else config.steps_of_both_stages
            for choice in ("best_target", "best_validation"):
                assert found[f"{choice}/step"] == own
                assert found[f"{choice}/target/pck"] == pytest.approx(found["target/pck"])
        for domain in ("source", "target"):
            each = [found[f"{domain}/pck/{name}"] for name in points.names]
            assert found[f"{domain}/pck"] == pytest.approx(np.mean(each), abs=1e-6)
            assert 0 < found[f"{domain}/mae"] < 32
            assert any(name.startswith(f"{domain}/pck_batchwise/") for name in found)


@pytest.mark.slow
def test_adabn_moves_no_parameter_of_its_start(ran):
    """Which is another variant's result and not the stage's."""
    people = ran("regda", "adabn_augmented")
    stored = load_trained(people / "stages" / "pretraining" / "seed-0" / "result")
    adapted, plain = (load_trained(people / name / "seed-0" / "model").variables for name in SLOW)
    chex.assert_trees_all_equal(adapted["params"], plain["params"], strict=True)
    assert any(
        not np.array_equal(a, b)
        for a, b in zip(
            jax.tree.leaves(adapted["batch_stats"]),
            jax.tree.leaves(plain["batch_stats"]),
            strict=True,
        )
    )
    adabn, source = (results_of(people, name) for name in SLOW)
    assert adabn["steps"] == source["steps"]
    assert adabn["images"] > source["images"]  # it has read those of its start, too
    assert any(
        not np.array_equal(a, b)
        for a, b in zip(
            jax.tree.leaves(stored.variables["params"]),
            jax.tree.leaves(plain["params"]),
            strict=True,
        )
    )


ABLATIONS = {  # five steps each, 2 of the first stage and 3 of its own
    "people": ("unclipped_ground_false", "area_ground_false"),
    "sprites": (
        "uniform_target",
        "no_ground_false",
        "no_target_false",
        "clipped_ground_false",
        "gamma_1",
        "gamma_2",
        "gamma_8",
        "shallow_adversary",
    ),
}


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    """A folder of runs that share their first stages."""
    return tmp_path_factory.mktemp("ablations")


@pytest.mark.parametrize(
    ("preset", "variant"),
    [
        pytest.param(preset, variant, marks=[] if variant == "uniform_target" else pytest.mark.slow)
        for preset, names in ABLATIONS.items()
        for variant in names
    ],
)
def test_an_ablation_trains(workdir, preset, variant):
    """From the first stage that `regda` has; its numbers are finite and its adversary learns."""
    config = TINY_REGDA.presets[preset]
    folder = run(TINY_REGDA, command(preset, workdir, variant)).parent
    results = results_of(folder, variant)
    assert results["steps"] == config.pretraining_steps + config.steps == 5
    assert all(np.isfinite(value) for value in results["metrics"].values())
    assert [path.name for path in (folder / "stages").iterdir()] == ["pretraining"]
    assert lengths_of(TINY_REGDA, config, variant).keys() == {"pretraining", variant}
    log = folder / variant / "seed-0" / "metrics.jsonl"
    last = read_rows(log, ["gradient_norm/adversary"])[-1]
    assert last["gradient_norm/adversary"] > 0
    terms = {"source_disparity", "target_false", "target_truth"}
    if variant == "no_target_false":
        terms.remove("target_false")
    assert {name for name in terms if f"loss/{name}" in last} == terms


def test_the_adversary_without_a_map_maximises_and_a_shallow_one_has_one_layer(monkeypatch):
    """Read from what is built, without a step."""
    config = replace_fields(TINY_REGDA.presets["people"], head_layers=2)
    points = open_domain(
        "figures:source", side=32, seed=0, data_dir=None, train=1, test=1
    ).train.skeleton
    monkeypatch.setattr(
        "kpjax.papers.regda.variants.methods.regda", lambda setup, **more: (setup, more)
    )
    monkeypatch.setattr(engine, "built_on", engine.built_on.__wrapped__)  # keeps none of these
    given = {
        name: VARIANTS[name].method(config, points)
        for name in (
            "regda",
            "no_ground_false",
            "no_target_false",
            "no_adversary",
            "shallow_adversary",
        )
    }
    terms = {name: more["objective"] for name, (_, more) in given.items()}
    assert set(terms["regda"]) - set(terms["no_target_false"]) == {"target_false"}
    assert set(terms["no_adversary"]) == {"supervised"}
    logits = jax.random.normal(jax.random.key(0), (1, 8, 8, len(points.names)))
    maps = given["regda"][1]["pseudo_maps"](logits[:, ::-1])
    reading = {"target_false": Disparity(logits, maps, jnp.ones((1, len(points.names))))}
    truth = reading | {"target_truth": reading["target_false"]}
    literal = terms["no_ground_false"]["target_false"].function(reading, {})
    np.testing.assert_allclose(literal, -terms["regda"]["target_truth"].function(truth, {}))
    assert terms["regda"]["target_false"].function(reading, {}) > 0
    setup, shallow = given["shallow_adversary"]
    assert (setup.model.head.layers, shallow["adversary"].layers) == (2, 1)
    assert given["regda"][1]["adversary"] is None
    with pytest.raises(InputError, match="the head of rsn has no layers to leave out"):
        VARIANTS["shallow_adversary"].method(replace_fields(config, network=RSN()), points)


@pytest.mark.slow
def test_regda_in_random_colours_has_a_first_stage_of_its_own(ran):
    people = ran("regda", "regda_augmented")
    plain, coloured = (
        load_trained(people / "stages" / stage / "seed-0" / "result").variables["params"]
        for stage in ("pretraining", "pretraining_augmented")
    )
    assert any(
        not np.array_equal(a, b)
        for a, b in zip(jax.tree.leaves(plain), jax.tree.leaves(coloured), strict=True)
    )
    config = TINY_REGDA.presets["people"]
    assert results_of(people, "regda_augmented")["steps"] == config.steps_of_both_stages
    assert lengths_of(TINY_REGDA, config, "regda_augmented").keys() == {
        "pretraining_augmented",
        "regda_augmented",
    }
    for stage, augmentation in (("pretraining", "none"), ("pretraining_augmented", "colour")):
        stored = json.loads((people / "stages" / stage / "seed-0" / "stage.json").read_text())
        assert stored["config"]["augment"]["augmentation"] == augmentation
    assert stored["config"]["augment"]["colour_matrix"] == 1.0


@pytest.mark.slow
def test_controls_of_sprites(tmp_path):
    """AdaBN of both networks, its arg-max in the area, and the middle of the image."""
    folder = run(
        TINY_REGDA,
        command("sprites", tmp_path, "adabn", "adabn_in_area", "regda_adabn", "constant_centre"),
    ).parent
    config = TINY_REGDA.presets["sprites"]
    for name, start in (("adabn", "source_only"), ("regda_adabn", "regda")):
        adapted, plain = (
            load_trained(folder / one / "seed-0" / "model").variables for one in (name, start)
        )
        jax.tree.map(np.testing.assert_array_equal, adapted["params"], plain["params"])
        assert results_of(folder, name)["steps"] == config.steps_of_both_stages
    inside, whole = (
        load_trained(folder / name / "seed-0" / "model").variables
        for name in ("adabn_in_area", "adabn")
    )
    jax.tree.map(np.testing.assert_array_equal, inside, whole)
    point = Skeleton(("centre",), flip=(0,))
    low, beyond = area_of(config)
    maps = np.zeros((1, 8, 8, 1), np.float32)
    maps[0, 0, 0], maps[0, low, beyond - 1] = 9.0, 1.0
    maps = jnp.asarray(maps)
    example = Example(np.zeros((1, 32, 32, 3), np.uint8), *[None] * (len(Example._fields) - 1))
    found = []
    for name in ("adabn", "adabn_in_area"):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(
                "kpjax.papers.regda.rivals.methods.adabn", lambda setup: setup.codec.decode
            )
            patch.setattr(engine, "built_on", engine.built_on.__wrapped__)
            found.append(VARIANTS[name].method(config, point)(maps)[0][0, 0])
    cell = 4  # px
    assert found[0].tolist() == [1.5, 1.5]
    assert found[1].tolist() == [cell * (beyond - 1) + 1.5, cell * low + 1.5]
    centre = results_of(folder, "constant_centre")
    assert centre["steps"] == 0
    predict = VARIANTS["constant_centre"].method(config, point).predict
    example = example._replace(keypoints=np.zeros((2, 1, 2), np.float32))
    assert predict(None, example).keypoints.tolist() == [[[15.5, 15.5]], [[15.5, 15.5]]]


def test_rows_of_equal_cost_train_as_long_as_teacher_adaptation():
    config = replace_fields(PRESETS["demo"], pretraining_steps=400, steps=1000)
    assert config.steps_of_equal_cost == 3050
    lengths = {name: lengths_of(TINY_REGDA, config, name) for name in VARIANTS}
    assert lengths["regda"] == {"pretraining": 400, "regda": 2650}
    assert {name for name, steps in lengths.items() if steps == {name: 3050}} == {
        name for name in VARIANTS if name.endswith("_long")
    }


def test_a_variant_decodes_the_heatmaps_that_its_loss_learns():
    """DARK takes a logarithm: of the softmax of logits, and of heights as they are."""
    config = replace_fields(
        TINY_REGDA.presets["people"], decoder="dark", targets="sub_pixel", grid="half_pixel"
    )
    points = open_domain(
        "figures:source", side=32, seed=0, data_dir=None, train=1, test=1
    ).train.skeleton
    maps = jax.random.normal(jax.random.key(0), (2, 8, 8, len(points.names)))
    squared = ("_mse", "_long", "source_free", "teacher_adaptation")  # errors of heatmaps
    heights = {name for name in VARIANTS if any(part in name for part in squared)}
    for logits in (True, False):
        decode = jax.jit(setup_of(config, points, logits=logits).codec.decode)
        assert bool(np.any(decode(maps)[1] < 0.9)) == logits
    kinds = {
        name: regda.PAPER.predicting(StoredRun(config, name, points)).score_kind
        for name in regda.applicable("", config)
    }
    assert kinds == {name: "mse_peak" if name in heights else "softmax_peak" for name in kinds}


@pytest.mark.slow
def test_adaptation_without_the_source_goes_on_from_a_finished_control(tmp_path):
    folder = run(
        TINY_REGDA, [*command("people", tmp_path, "source_free"), "--least-agreement", "1e-9"]
    ).parent
    config, start, found = (
        TINY_REGDA.presets["people"],
        "source_only_augmented_mse",
        results_of(folder, "source_free"),
    )
    assert found["metrics"]["kept_start"] == 0
    assert {"agreement/start", "agreement/networks", "target/pck"} <= set(found["metrics"])
    assert found["steps"] == results_of(folder, start)["steps"] + config.steps_without_source
    # 16 poses are too few for 20 coordinates
    assert not (folder / start / "seed-0" / FILE).exists()
    # The teacher has moved from the start, and only a little.
    before, after = (
        load_trained(folder / name / "seed-0" / "model") for name in (start, "source_free")
    )
    assert "poses" not in after.frozen
    moved = jax.tree.map(
        lambda a, b: np.abs(a - b).max(), before.variables["params"], after.variables["params"]
    )
    assert 0 < max(jax.tree.leaves(moved)) < 0.01
    # Another rate of the adaptation begins from the same start, which does not read it; another
    # rate of the start not.
    job = Job(
        experiment_of("regda"),
        replace_fields(config, adapted_rate=1e-5, least_agreement=1e-9),
        "people",
        "source_free",
        0,
        tmp_path,
        tmp_path,
    )
    assert is_finished(start_of(job, start))
    with pytest.raises(InputError, match=r"config\.source_free\.adapted_rate is"):
        is_finished(job._replace(variant=start))
    with pytest.raises(InputError, match=r"config\.optimizer\.learning_rate is"):
        is_finished(
            start_of(job._replace(config=replace_fields(job.config, learning_rate=1e-5)), start)
        )
