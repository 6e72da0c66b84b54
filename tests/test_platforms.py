"""The platform that a program is compiled for decides the form, and no other form leaves a
trace."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kpjax import geometry
from kpjax.models.layers import Convolution, DepthwiseConvolution, TransposedConvolution
from kpjax.models.resnet import max_pool
from kpjax.platforms import by_platform, form_of, known_platform
from kpjax.training.fit import compiled_update
from kpjax.training.mesh import data_mesh

X = jnp.linspace(0.1, 0.9, 6).reshape(2, 3)


def chosen(x):
    """A form for each platform, with an operation that the others lack; that of GPUs returns x."""
    return by_platform(
        x, cpu=lambda x: jnp.sin(x) / jnp.cos(x), tpu=jnp.tan, default=lambda x: jnp.exp(jnp.log(x))
    )


def lowered(function, platform, *arguments):
    return jax.jit(function).trace(*arguments).lower(lowering_platforms=(platform,)).as_text()


@pytest.mark.parametrize(
    ("platform", "there", "absent"),
    [
        ("cpu", "stablehlo.sine", ("stablehlo.tan ", "stablehlo.exponential")),
        ("tpu", "stablehlo.tan ", ("stablehlo.sine", "stablehlo.exponential")),
        ("cuda", "stablehlo.exponential", ("stablehlo.sine", "stablehlo.tan ")),
    ],
)
def test_the_platform_of_a_program_decides(platform, there, absent):
    text = lowered(chosen, platform, X)
    assert there in text
    assert not any(word in text for word in absent)


def summed(x):
    return chosen(x).sum()


def in_a_loop(function):
    return lambda x: jax.lax.scan(
        lambda total, row: (total + function(row), None), jnp.float32(0), x
    )[0]


@pytest.mark.parametrize(
    "transformed",
    [
        jax.grad(summed),
        jax.grad(jax.checkpoint(summed)),
        jax.grad(in_a_loop(summed)),
        jax.vmap(jax.grad(summed)),
        jax.grad(in_a_loop(jax.checkpoint(summed))),
        jax.jacfwd(summed),
    ],
)
def test_transformed_programs_hold_one_form_too(transformed):
    expected = 1 / np.cos(X) ** 2
    np.testing.assert_allclose(jax.jit(transformed)(X), expected, rtol=1e-5)
    np.testing.assert_allclose(transformed(X), expected, rtol=1e-5)
    text = lowered(transformed, "cpu", X)
    assert not any(word in text for word in ("stablehlo.exponential", "stablehlo.tan "))
    assert "conditional" not in jax.jit(transformed).lower(X).compile().as_text()


# Kept by jax.jit, jax.checkpoint and jax.lax.scan, each with traces of its own.
KEPT = jax.jit(in_a_loop(jax.checkpoint(summed)))


@pytest.mark.parametrize(
    ("platform", "there"), [("cpu", {"sin", "cos"}), ("tpu", {"tan"}), ("gpu", {"exp", "log"})]
)
def test_a_program_of_known_devices_is_traced_in_one_form(platform, there):
    """Also of a function that was traced for another platform before, and for none."""

    def names_in(function):
        text = str(jax.make_jaxpr(function)(X))
        return {
            word
            for word in ("sin", "cos", "tan", "exp", "log", "platform_index")
            if f"= {word}" in text
        }

    assert names_in(KEPT) == {"sin", "cos", "tan", "exp", "log", "platform_index"}
    with known_platform(platform):
        assert names_in(KEPT) == there
        assert there <= names_in(jax.grad(KEPT))
        assert "platform_index" not in names_in(jax.grad(KEPT))
    assert "platform_index" in names_in(jax.grad(KEPT))


def test_a_step_is_traced_for_the_devices_of_its_mesh():
    class State(NamedTuple):
        step: jax.Array
        x: jax.Array

    update, _ = compiled_update(
        lambda state, streams, key: (state, {"sum": summed(state.x)}), data_mesh()
    )
    names = str(update.trace(State(jnp.int32(0), X), {}, jax.random.key(0)).jaxpr)
    assert "sin" in names
    assert not any(word in names for word in ("tan", "exp", "platform_index"))


def test_one_form_for_all_platforms_stays_as_it_is():
    """Most convolutions have one; a choice between equal forms would be traced and derived several
    times.
    """
    images = jnp.zeros((1, 8, 8, 3))
    assert "platform_index" not in str(jax.make_jaxpr(applied(Convolution(4)))(images))
    assert "platform_index" in str(jax.make_jaxpr(applied(Convolution(4, 1)))(images))


def applied(layer):
    def run(x):
        return layer.init_with_output(jax.random.key(0), x)[0]

    return run


@pytest.mark.parametrize(
    ("function", "shape", "plain", "others"),
    [
        (applied(Convolution(4, 1)), (1, 4, 4, 3), "convolution", "dot_general"),
        (applied(TransposedConvolution(4)), (1, 4, 4, 3), "lhs_dilate = [2, 2]", "dot_general"),
        (applied(DepthwiseConvolution()), (1, 4, 4, 3), "feature_group_count = 3", "dot_general"),
        (max_pool, (1, 4, 4, 3), "reduce_window", "concatenate"),
        (
            lambda x: geometry.warp(x, geometry.translation(0.5, 1.5)),
            (1, 4, 4, 3),
            "dot_general",
            '"stablehlo.gather"',
        ),
    ],
)
def test_a_tpu_gets_its_own_form_from_a_cpu_that_compiles_for_it(function, shape, plain, others):
    x = jax.ShapeDtypeStruct(shape, jnp.float32)
    tpu, cpu = (lowered(function, platform, x) for platform in ("tpu", "cpu"))
    assert plain in tpu
    assert others not in tpu
    assert plain not in cpu


@pytest.mark.parametrize(
    ("platform", "primitive", "expected"),
    [("cpu", "sin", np.tan(X)), ("tpu", "tan", np.tan(X)), ("cuda", "exp", X)],
)
def test_a_trace_in_the_form_of_a_platform(platform, primitive, expected):
    traced = jax.make_jaxpr(jax.jit(jax.checkpoint(lambda x: (x, chosen(x)))))(X)
    function = form_of(platform, traced)
    np.testing.assert_allclose(function(X)[1], expected, rtol=1e-5)
    names = {equation.primitive.name for equation in jax.make_jaxpr(function)(X).eqns}
    assert primitive in names
    assert not names & ({"cond", "platform_index", "sin", "tan", "exp"} - {primitive})
