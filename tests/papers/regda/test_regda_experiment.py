"""RegDA's experiment from the command line to the report, a few steps of everything."""

import chex
import jax
import numpy as np
import pytest
from tiny_regda import TINY as TINY_REGDA
from tiny_systems import results_of

from experiments import experiment_of
from experiments.images import open_domain
from experiments.regda import PRESETS
from kpjax.errors import InputError
from kpjax.evaluation.pose_statistics import FILE
from kpjax.papers import regda
from kpjax.papers.command_line import AllOfIt, read_command, run
from kpjax.papers.configs import changed
from kpjax.papers.engine import Job, StoredRun, finished
from kpjax.papers.regda.stages import setup_of
from kpjax.papers.regda.variants import VARIANTS
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


def test_rows_of_equal_cost_train_as_long_as_teacher_adaptation():
    config = changed(PRESETS["demo"], pretraining_steps=400, steps=1000)
    assert config.steps_of_equal_cost == 3050
    assert VARIANTS["regda"].lengths(config, "regda") == {"pretraining": 400, "regda": 2650}
    assert {
        name for name, variant in VARIANTS.items() if variant.lengths(config, name) == {name: 3050}
    } == {name for name in VARIANTS if name.endswith("_long")}


def test_a_command_says_once_how_long_all_of_its_runs_take(monkeypatch, capsys, tmp_path):
    """A tenth of a second for each of 120 and 300 steps; ten seconds before the first stage, and
    five to compile.
    """
    jobs = read_command(
        experiment_of("regda"),
        [
            "demo",
            "--variants",
            "pretrained",
            "oracle",
            "--workdir",
            str(tmp_path),
            "--pretraining-steps",
            "120",
            "--steps",
            "180",
        ],
    ).jobs()
    clock = iter((100.0, 110.0, 120.0))
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    log = AllOfIt(jobs)("folder", "pretraining", 0)
    for step in (50, 100):
        log.write(step, {"steps_per_second": 10.0})
    assert capsys.readouterr().err == "all of it: about 1 minute for 2 runs\n"


def test_a_variant_decodes_the_heatmaps_that_its_loss_learns():
    """DARK takes a logarithm: of the softmax of logits, and of heights as they are."""
    config = changed(
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
        changed(config, adapted_rate=1e-5, least_agreement=1e-9),
        "people",
        "source_free",
        0,
        tmp_path,
        None,
    )
    assert finished(regda._start_of(job, start))
    with pytest.raises(InputError, match=r"config\.source_free\.adapted_rate is"):
        finished(job._replace(variant=start))
    with pytest.raises(InputError, match=r"config\.optimizer\.learning_rate is"):
        finished(
            regda._start_of(job._replace(config=changed(job.config, learning_rate=1e-5)), start)
        )
