"""The first lines of a run print the learning rates that were built: what each group of parameters
gets at the first and at the last step, with the backbone's share of it.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from experiments.adaptation import PRESETS as ADAPTATION
from experiments.incremental import PRESETS as INCREMENTAL
from experiments.pyramids import PRESETS as PYRAMIDS
from experiments.regda import PRESETS as REGDA
from experiments.semi_supervised import PRESETS as SEMI_SUPERVISED
from kpjax import Skeleton
from kpjax.optimization import descend, group_rates, scale_backbone
from kpjax.papers import adaptation, incremental, pyramids, regda, semi_supervised
from kpjax.papers.configs import replace_fields
from kpjax.training.logging import rates_text

HAND = Skeleton(("wrist", "thumb", "finger"))


def of_regda(variant, **changes):
    config = replace_fields(REGDA["rhd_h3d"], weights="resnet101.safetensors", **changes)
    return config, regda.VARIANTS[variant].method(config, HAND)


def lines(method, steps):
    return rates_text(method.rates, steps)


def test_a_pretrained_backbone_of_rhd_h3d_gets_a_tenth():
    """Not the 0.1 of the config: its schedule has a rate of its own for the backbone."""
    config, method = of_regda("source_only")
    steps = config.pretraining_steps + config.steps
    assert lines(method, steps) == (
        "learning rate 0.01 to 0.0001 of backbone; 0.1 to 0.001 of upsampling, head"
    )
    _, tenth = of_regda("source_only", backbone_rate=0.1)
    assert "0.001 to 1e-05 of backbone; 0.1 to 0.001 of upsampling, head" in lines(tenth, steps)


def test_groups_of_an_adaptation_fall_together_and_the_backbone_has_a_share_of_its_group():
    config, method = of_regda("regda")
    last = (1 + 1e-4 * (config.steps - 1)) ** -0.75
    assert method.rates(0) == pytest.approx({"features": 0.01, "head": 0.1, "adversary": 0.1})
    assert method.rates(config.steps - 1) == pytest.approx(
        {"features": 0.01 * last, "head": 0.1 * last, "adversary": 0.1 * last}, rel=1e-5
    )
    _, quarter = of_regda("regda", backbone_rate=0.25)
    assert quarter.rates(0) == pytest.approx(
        {"features": 0.01, "head": 0.1, "adversary": 0.1, "backbone": 0.0025}
    )


def test_what_is_printed_is_what_a_step_moves_by():
    """By a gradient of ones, whose direction is 1 in every optimizer without memory."""
    optimizer = scale_backbone(optax.identity(), 0.25, ["still"])
    rates = {"backbone": lambda step: 0.5 / (1 + step), "head": lambda step: 0.25}
    params = {
        "backbone": {"moving": jnp.zeros(2), "still": jnp.zeros(2)},
        "head": {"output": jnp.zeros(2)},
    }
    ones = jax.tree.map(jnp.ones_like, params)
    printed = group_rates(optimizer, rates)
    for step in (0, 3):
        moved, _ = descend(optimizer, ones, optimizer.init(params), params, rates, jnp.int32(step))
        np.testing.assert_allclose(moved["backbone"]["moving"], -printed(step)["backbone"])
        np.testing.assert_allclose(moved["head"]["output"], -printed(step)["head"])
        assert not moved["backbone"]["still"].any()


def semi_supervised_stage():
    config = replace_fields(SEMI_SUPERVISED["people"], weights="given", backbone_rate=0.1)
    method = semi_supervised.VARIANTS["supervised"].method(config, HAND)
    return method, config.steps, config.rate("method"), 0.1


def incremental_stage():
    config = replace_fields(INCREMENTAL["limbs"], weights="given", backbone_rate=0.1)
    setting = incremental.runs.setting_of(config, HAND)
    method = incremental.stages.build_base(setting, config.base_steps)
    optimizer = config.optimizer
    rate = optimizer.rate_of_stage(optimizer.base_learning_rate, config.base_steps)
    return method, config.base_steps, rate, 0.1


def core_stage():
    config = replace_fields(ADAPTATION["faces_cores"], weights="given", backbone_rate=0.1)
    return adaptation.core.build_core(config, HAND), config.core.steps, config.core.rates, 0.1


def adapted_stage():
    """The share is that of the core alone."""
    config = replace_fields(ADAPTATION["figures_faces"], backbone_rate=0.1)
    method = adaptation.VARIANTS["adapted"].method(config, HAND)
    return method, config.steps, config.optimizer.rates(config.steps), 1.0


def pyramids_stage():
    config = PYRAMIDS["demo"]
    method = pyramids.VARIANTS["pyramids"].method(config, HAND)
    return method, config.steps, config.optimizer.rate(config.steps), 1.0


@pytest.mark.parametrize(
    "stage",
    [semi_supervised_stage, incremental_stage, core_stage, adapted_stage, pyramids_stage],
)
def test_rates_of_other_systems_are_their_schedules_times_the_share_of_the_backbone(stage):
    method, steps, rate, share = stage()
    for step in (0, steps - 1):
        wanted = float(rate(jnp.float32(step)))
        shares = {"all parameters": 1.0} | ({} if share == 1 else {"backbone": share})
        assert method.rates(step) == pytest.approx(
            {name: part * wanted for name, part in shares.items()}
        )
    first = method.rates(0)["all parameters"]
    assert f"learning rate {first:.3g}" in lines(method, steps)
