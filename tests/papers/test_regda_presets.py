"""RegDA's paper presets as they are resolved and built, element by element.

Each line of a table names the element, what it must be, and where that stands: "paper", "code" (the
authors' published code) or "inferred" (see differences.csv beside the system). No code of dSprites
is public: its settings are the paper's as descriptions of it have them.
"""

import dataclasses
import math
from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest
from etils import epath
from tiny_systems import lengths_of

from experiments import experiment_of
from experiments.regda import EXPERIMENT, PRESETS
from kpjax import Skeleton, losses
from kpjax.files import strict
from kpjax.heatmaps import gaussian_bumps
from kpjax.methods.regda_family import regda as method
from kpjax.optimization import descend
from kpjax.papers import engine, regda
from kpjax.papers.command_line import chosen_variants
from kpjax.papers.configs import Splits, replace_fields
from kpjax.papers.engine import Job
from kpjax.papers.regda import labels_alone, stages, variants
from kpjax.papers.regda.config import of_pretraining

HANDS = ("rhd_h3d", "rhd_freihand", "freihand_rhd")
BODIES = ("surreal_h36m", "surreal_lsp")
NAMES = ("colour", "noisy", "scream")
SPRITES = tuple(f"dsprites_{a}_{b}" for a in NAMES for b in NAMES if a != b)
POINTS = Skeleton(("a", "b", "c"), flip=(0, 1, 2))
ONE = Skeleton(("centre",), flip=(0,))

# element, its value, where from


def test_all_tasks_of_the_paper_have_a_preset():
    domains = {(config.data.source, config.data.target) for config in PRESETS.values()}
    sprites = {(f"sprites:{a}", f"sprites:{b}") for a in NAMES for b in NAMES if a != b}
    assert len(sprites) == 6
    assert domains >= sprites | {("rhd", "h3d"), ("surreal", "human36m"), ("surreal", "lsp")}


# What is built


def given_to_the_method(config, skeleton):
    """Returns what the builder of RegDA gives to its method."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(variants.methods, "regda", lambda setup, **more: {"setup": setup, **more})
        return variants.build_regda(config, stages.setup_of(config, skeleton))


@pytest.fixture(scope="module")
def given():
    """That of the presets of hands and of sprites."""
    return {
        preset: given_to_the_method(PRESETS[preset], skeleton)
        for preset, skeleton in (("rhd_h3d", POINTS), (SPRITES[0], ONE))
    }


def bump(cell, size, sigma):
    """A keypoint's map, (size, size), cut off at 3 sigma."""
    return gaussian_bumps(jnp.float32([cell]), (size, size), sigma)[..., 0]


def peaked(cells, size):
    """Logits (1, size, size, K) whose arg-max are the cells."""
    logits = np.zeros((1, size, size, len(cells)), np.float32)
    for number, (x, y) in enumerate(cells):
        logits[0, y, x, number] = 3.0
    return jnp.asarray(logits)


def test_the_objective_is_two_minimisations_of_divergences(given):
    """Equal weights of B and C, gamma 4 on the source; epsilon 0 for labels and 1e-7 for maps."""
    objective = given["rhd_h3d"]["objective"]
    weights = {name: (term.weight, term.reads) for name, term in objective.items()}
    assert weights == {
        "supervised": (1.0, (method.SOURCE,)),
        "source_disparity": (4.0, (method.SOURCE_DISPARITY,)),
        "target_false": (1.0, (method.TARGET_FALSE,)),
        "target_truth": (1.0, (method.TARGET_TRUTH,)),
    }
    size, ones = 8, jnp.ones((1, 1))
    logits = jnp.float32(np.random.default_rng(0).normal(size=(1, size, size, 1)))
    truth = (bump((2, 3), size, 1.0))[None, ..., None]
    false = (bump((6, 5), size, 1.0))[None, ..., None]
    reading = method.Disparity(logits, losses.PseudoMaps(truth, false), ones)
    outputs = dict.fromkeys(
        (method.SOURCE_DISPARITY, method.TARGET_FALSE, method.TARGET_TRUTH), reading
    ) | {method.SOURCE: method.Supervision(logits, truth, ones)}
    found = {name: float(term.function(outputs, {})) for name, term in objective.items()}
    expected = {
        "supervised": float(losses.heatmap_kl(logits, truth, ones, epsilon=0.0)),
        "source_disparity": float(losses.heatmap_kl(logits, truth, ones, epsilon=1e-7)),
        "target_false": float(
            losses.heatmap_kl(logits, false, ones, epsilon=1e-7)
        ),  # minimised, too
        "target_truth": float(losses.heatmap_kl(logits, truth, ones, epsilon=1e-7)),
    }
    assert found == pytest.approx(expected, rel=1e-5)
    assert found["supervised"] != pytest.approx(found["source_disparity"], rel=1e-7)


def test_the_ground_false_map_of_several_keypoints_is_a_clipped_union(given):
    cells = ((20, 30), (22, 30), (50, 10))
    maps = given["rhd_h3d"]["pseudo_maps"](peaked(cells, 64))
    bumps = [bump(cell, 64, 2.0) for cell in cells]
    np.testing.assert_allclose(maps.truth[0, ..., 2], bumps[2], atol=1e-6)
    for number in range(3):
        others = np.minimum(sum(b for k, b in enumerate(bumps) if k != number), 1.0)
        np.testing.assert_allclose(maps.false[0, ..., number], others, atol=1e-6)
    assert sum(bumps[:2]).max() > 1  # so that clipping shows


def test_the_ground_false_map_of_a_sprite_is_the_area_but_the_predicted_cell(given):
    maps = given[SPRITES[0]]["pseudo_maps"](peaked(((30, 20),), 64))
    area = sum(bump((x, y), 64, 2.0) for x in range(16, 48) for y in range(16, 48))
    np.testing.assert_allclose(maps.false[0, ..., 0], area - bump((30, 20), 64, 2.0), atol=1e-4)
    assert maps.false.max() > 1  # not clipped


def test_lambda_rises_from_0_to_a_tenth_over_a_thousand_steps(given):
    for found in given.values():
        for step in (0, 1, 500, 1000, 15_000):
            expected = 0.2 / (1 + math.exp(-step / 1000)) - 0.1
            assert float(found["coefficient"](jnp.float32(step))) == pytest.approx(
                expected, abs=1e-6
            )


def test_rates_fall_with_a_power_of_three_quarters_and_features_have_a_tenth(given):
    for found in given.values():
        rates = found["setup"].learning_rate
        assert set(rates) == {"features", "head", "adversary"}
        for step in (0, 500, 14_999):
            head = 0.1 * (1 + 1e-4 * step) ** -0.75
            for name, expected in (("features", head / 10), ("head", head), ("adversary", head)):
                assert float(rates[name](jnp.float32(step))) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("preset", [*HANDS, *BODIES])
@pytest.mark.parametrize(
    ("variant", "stream"), [("source_only_mse", "source"), ("oracle_mse", "labelled")]
)
def test_rows_beside_the_printed_source_only_and_oracle_have_the_recipe_of_the_code(
    preset, variant, stream
):
    """Half the squared errors, Adam at 1e-3 for all layers, x0.1 at epochs 44 and 59 of 70."""
    config, row = PRESETS[preset], variants.VARIANTS[variant]
    given = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "built_on", engine.built_on.__wrapped__)
        patch.setattr(
            labels_alone.methods,
            "supervised",
            lambda setup, **more: given.update(more, setup=setup),
        )
        row.method(config, POINTS)
    assert lengths_of(EXPERIMENT, config, variant) == {variant: 35_000}
    assert given["loss"] is losses.heatmap_mse
    assert given["stream"] == stream
    rate = given["setup"].learning_rate
    for step, expected in (
        (0, 1e-3),
        (21_999, 1e-3),
        (22_001, 1e-4),
        (29_499, 1e-4),
        (29_501, 1e-5),
    ):
        assert float(rate(step)) == pytest.approx(expected, rel=1e-5), step
    # a first step of Adam is the rate, whatever the gradient; there is no decay
    optimizer, start = given["setup"].optimizer, {"w": jnp.float32(1.0)}
    for gradient in (0.5, 50.0):
        moved, _ = descend(
            optimizer,
            {"w": jnp.float32(gradient)},
            optimizer.init(start),
            start,
            rate,
            jnp.int32(0),
        )
        assert float(moved["w"]) == pytest.approx(1 - 1e-3, abs=1e-6)


def test_measured_rows_of_squared_errors_keep_their_rates_and_lengths():
    """Those of teacher_adaptation, for the steps of both stages, or of equal cost."""
    for preset in ("demo_full", "tongue_machines"):
        config = PRESETS[preset]
        for variant, steps in (
            ("source_only_augmented_mse", config.pretraining_steps + config.steps),
            ("source_only_augmented_mse_long", config.steps_of_equal_cost),
        ):
            row = variants.VARIANTS[variant]
            assert lengths_of(EXPERIMENT, config, variant) == {variant: steps}
            for step in (0, steps // 2, steps - 1):
                (found,) = row.method(config, POINTS).rates(step).values()
                assert found == pytest.approx(float(config.teacher.adaptation_rate(steps)(step)))


def test_the_optimizer_is_sgd_with_nesterov_momentum_and_decay(given):
    """Of weight 1 with gradients of 0.5: v = 0.9 v + g and the step g + 0.9 v, g with 1e-4."""
    for found in given.values():
        optimizer, weight = found["setup"].optimizer, {"w": jnp.float32(1.0)}
        state, velocity = optimizer.init(weight), 0.0
        for _ in range(2):
            update, state = optimizer.update({"w": jnp.float32(0.5)}, state, weight)
            velocity = 0.9 * velocity + 0.5001
            assert float(update["w"]) == pytest.approx(0.5001 + 0.9 * velocity, rel=1e-6)


def test_only_features_are_carried_and_target_keypoints_weigh_one_without_a_label(given):
    assert all(found["carried"] == ("backbone", "upsampling") for found in given.values())
    example = type("Example", (), {"visible": jnp.zeros((2, 3))})
    assert (given["rhd_h3d"]["target_weights"](example) == 1).all()
    ten = Skeleton(tuple("abcdefghij"), flip=tuple(range(10)))
    lsp = given_to_the_method(PRESETS["surreal_lsp"], ten)["target_weights"]
    weights = lsp(type("Example", (), {"visible": jnp.zeros((1, 10))}))
    assert weights[0].tolist() == [1, 1, 1, 1, 1, 1, 0, 0, 1, 1]


def test_networks_have_a_fresh_head_of_two_layers_beside_one_of_the_first_stage(given):
    for preset, depth in (("rhd_h3d", 101), (SPRITES[0], 18)):
        assert given[preset]["setup"].model.head.layers == 2
        assert given[preset]["adversary"] is None  # like the model's
        one_head = stages.setup_of(PRESETS[preset], POINTS).model
        assert one_head.head.layers == 1
        assert one_head.backbone.depth == depth


# Both arms of a comparison


def config_of(name, config):
    """Returns the config by which a variant builds its method."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "built_on", lambda setup, build, config, skeleton: config)
        return variants.VARIANTS[name].method(config, POINTS)


@pytest.mark.parametrize("preset", [*HANDS, *BODIES, *SPRITES])
def test_both_arms_of_the_paper_have_the_same_augmentation(preset):
    config, suited = PRESETS[preset], regda.applicable(preset, PRESETS[preset])
    arms = {"regda", "source_only", "source_only_mse", "dd", "dan", "dann", "mcd"}
    assert arms <= set(suited)
    for name in arms:
        assert config_of(name, config).augment == config.augment


@pytest.mark.parametrize("preset", ["demo", "dsprites_small_colour_noisy", "rhd_h3d"])
def test_the_control_in_random_colours_has_a_regda_in_the_same_in_both_stages(preset):
    config = PRESETS[preset]
    assert {"regda_augmented", "source_only_augmented"} <= set(regda.applicable(preset, config))
    ours, control = (
        config_of(name, config) for name in ("regda_augmented", "source_only_augmented")
    )
    assert ours.augment == control.augment != config.augment
    # the first stage is another one, under a name of its own
    assert of_pretraining(ours) != of_pretraining(config_of("regda", config))
    assert of_pretraining(ours)["augment"] == strict(dataclasses.asdict(control.augment))
    job = Job(EXPERIMENT, config, preset, "regda_augmented", 0, epath.Path(), epath.Path())
    data = stages.Data(*[Splits(*3 * [SimpleNamespace(digest="d")])] * 2)
    shared = next(variants.adapted_in_colours(job, data)).shared
    assert shared.name == "pretraining_augmented"
    assert shared.config() == of_pretraining(ours) | {"source": "d"}


# Ablations

ABLATIONS = (
    "no_ground_false",
    "no_target_false",
    "uniform_target",
    "gamma_1",
    "gamma_2",
    "gamma_8",
)


def test_ablations_suit_one_sprites_preset_and_those_of_several_keypoints_people():
    sprites, people = (
        regda.applicable(preset, PRESETS[preset])
        for preset in ("dsprites_small_colour_noisy", "demo")
    )
    everywhere = {*ABLATIONS, "shallow_adversary", "adabn", "regda_adabn"}
    areas = {"clipped_ground_false", "constant_centre", "adabn_in_area"}
    several = {"unclipped_ground_false", "area_ground_false"}
    assert everywhere | areas <= set(sprites)
    assert not several & set(sprites)
    assert everywhere | several <= set(people)
    system, name = experiment_of("regda"), "dsprites_small_colour_noisy"
    listed = chosen_variants(system, name, PRESETS[name], ["all"])
    assert everywhere | areas | {"regda_augmented"} <= set(listed)
    assert not areas & set(people)


@pytest.mark.parametrize(
    ("variant", "changed_fields"),
    [
        ("gamma_1", {"margin": 1.0}),
        ("gamma_2", {"margin": 2.0}),
        ("gamma_8", {"margin": 8.0}),
        ("uniform_target", {"ground_false": "uniform"}),
        ("area_ground_false", {"ground_false": "area"}),
        ("unclipped_ground_false", {"ground_false": "sum"}),
        ("clipped_ground_false", {"ground_false": "area_union"}),
    ],
)
def test_an_ablation_changes_one_thing_and_shares_the_first_stage(variant, changed_fields):
    config = PRESETS["demo"]
    assert config_of(variant, config) == replace_fields(config, **changed_fields)
    assert of_pretraining(config_of(variant, config)) == of_pretraining(config)
    assert lengths_of(EXPERIMENT, config, variant).keys() == {"pretraining", variant}
