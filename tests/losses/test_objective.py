"""Objectives: sums of named terms, and ablations as functions of them."""

import chex
import jax
import jax.numpy as jnp
import pytest

from kpjax.losses.objective import Term, replaced, reweighted, total, views, without

OUTPUTS = {"source": jnp.array([1.0, 3.0]), "warped": jnp.array([4.0], jnp.bfloat16)}


@pytest.fixture
def objective():
    return {
        "fit": Term(2.0, lambda outputs, streams: outputs["source"].mean(), reads=("source",)),
        "equivariance": Term(
            0.5, lambda outputs, streams: outputs["warped"].sum(), reads=("source", "warped")
        ),
    }


def test_total_weighs_the_sum_and_not_the_parts(objective):
    value, parts = jax.jit(lambda outputs: total(objective, outputs, {}))(OUTPUTS)
    assert value.dtype == jnp.float32
    assert value == 2.0 * 2 + 0.5 * 4
    assert {name: float(part) for name, part in parts.items()} == {
        "loss/fit": 2,
        "loss/equivariance": 4,
    }
    assert all(part.dtype == jnp.float32 for part in parts.values())


def test_scales_multiply_weights_without_a_new_compilation(objective):
    def of_scales(outputs, scales):
        return total(objective, outputs, {}, scales)

    chex.clear_trace_counter()
    scaled = jax.jit(chex.assert_max_traces(of_scales, n=1))
    for factor in (3.0, 0.0):
        scales = {"equivariance": jnp.float32(factor), "of another ablation": jnp.float32(7)}
        value, parts = scaled(OUTPUTS, scales)
        assert value == 2.0 * 2 + 0.5 * factor * 4
        assert parts["loss/equivariance"] == 4


def test_without_drops_a_term_and_its_pass(objective):
    assert views(objective) == {"source", "warped"}
    smaller = without(objective, "equivariance")
    assert views(smaller) == {"source"}
    value, parts = total(smaller, {"source": OUTPUTS["source"]}, {})
    assert value == 4
    assert set(parts) == {"loss/fit"}
    assert set(objective) == {"fit", "equivariance"}  # the original is as it was


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda objective: without(objective, "equivarience"), "equivarience.*fit, equivariance"),
        (
            lambda objective: reweighted(objective, equivarience=1.0),
            "equivarience.*fit, equivariance",
        ),
        (
            lambda objective: replaced(objective, equivarience=lambda outputs, streams: 0.0),
            "equivarience.*fit",
        ),
        (lambda objective: reweighted(objective, fit=0.0), "use without"),
    ],
)
def test_an_unknown_term_or_one_of_no_weight_is_refused(objective, change, words):
    with pytest.raises((KeyError, ValueError), match=words):
        change(objective)
