"""Choosing kernels and projecting them, for modules that know nothing of it."""

from math import prod

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_parts
from flax import linen as nn
from flax.traverse_util import flatten_dict, unflatten_dict

from kpjax.methods.adaptation_family.parameter_paths import (
    channel_kernels,
    convolutions,
    grouped_kernels,
    merge,
    split,
)
from kpjax.methods.adaptation_family.parametrisation import (
    adapted,
    constrains,
    identity_projections,
    project,
)
from kpjax.models.hourglass_network import hourglass
from kpjax.models.layers import Convolution, TransposedConvolution

IMAGES = jnp.zeros((1, 8, 8, 3))


class Mixed(nn.Module):
    """Convolutions of several kinds, Flax's and kpjax's, and a dense layer."""

    @nn.compact
    def __call__(self, x):
        x = Convolution(4, 7, name="stem")(x)
        x = nn.Conv(8, (3, 3), name="plain")(x)
        x = nn.Conv(8, (3, 3), feature_group_count=2, name="grouped")(x)
        x = nn.Conv(8, (3, 3), feature_group_count=8, use_bias=False, name="depthwise")(x)
        x = Convolution(5, 3, name="ours")(x)
        x = TransposedConvolution(6, 4, name="up")(x)
        x = nn.Conv(6, (3, 1), name="oblong")(x)
        return nn.Dense(2, name="dense")(x)


@pytest.fixture(scope="module")
def params():
    shapes = jax.eval_shape(Mixed().init, jax.random.key(0), IMAGES)["params"]
    random = np.random.default_rng(0)
    return jax.tree.map(
        lambda leaf: jnp.asarray(random.normal(size=leaf.shape), jnp.float32), shapes
    )


def names(tree):
    return {"/".join(path) for path in flatten_dict(tree)}


def test_convolutions_are_chosen_by_size_and_place(params):
    def chosen(rule):
        kernels, others = split(params, rule)
        assert names(kernels) | names(others) == names(params)
        assert names(merge(kernels, others)) == names(params)
        return {name.split("/")[0] for name in names(kernels)}

    assert chosen(convolutions(3)) == {"plain", "grouped", "depthwise", "ours"}
    assert chosen(convolutions(4, 7)) == {"stem", "up"}


def test_a_depthwise_kernel_is_scaled_and_stays_depthwise(params, close):
    grouped = grouped_kernels(Mixed(), IMAGES)
    assert grouped == {("grouped", "kernel"), ("depthwise", "kernel")}

    def rule(path, leaf):
        return path[0] in ("depthwise", "plain") and path[-1] == "kernel"

    projections = identity_projections(params, rule, grouped)
    assert {name: leaf["kernel"].shape for name, leaf in projections.items()} == {
        "plain": (8, 8),
        "depthwise": (8,),
    }
    scales = jnp.arange(8.0)
    kernel = project(params, {"depthwise": {"kernel": scales}})["depthwise"]["kernel"]
    close(kernel, params["depthwise"]["kernel"] * scales.reshape(1, 1, 1, 8), rtol=1e-6)


def test_kernels_that_mix_channels_are_chosen_in_any_network(params):
    def chosen(params, grouped=()):
        return names(split(params, channel_kernels(params, grouped))[0])

    plain = {
        name: tree for name, tree in params.items() if name in ("stem", "plain", "ours", "oblong")
    }
    plain["pointwise"] = {"kernel": jnp.zeros((1, 1, 4, 4))}
    assert chosen(plain) == {"plain/kernel", "ours/kernel"}
    depthwise = {"depthwise": params["depthwise"], "pointwise": plain["pointwise"]}
    assert chosen(depthwise, {("depthwise", "kernel")}) == {"depthwise/kernel", "pointwise/kernel"}
    assert chosen({"dense": params["dense"], "pointwise": plain["pointwise"]}) == {
        "dense/kernel",
        "pointwise/kernel",
    }


def test_a_matrix_constrains_its_kernel():
    """Where a kernel has no more inputs than outputs, products with a matrix reach every kernel: it
    is frozen.
    """
    random, narrow, wide = np.random.default_rng(0), (1, 1, 4, 6), (1, 1, 6, 4)
    core = {
        name: {"kernel": random.normal(size=shape).astype(np.float32)}
        for name, shape in (("narrow", narrow), ("wide", wide))
    }
    for name, dimensions in (("narrow", prod(narrow)), ("wide", wide[-1] ** 2)):
        kernel = core[name]["kernel"]
        reached = np.asarray(
            jax.jit(
                jax.jacobian(
                    lambda matrix, kernel=kernel: jnp.einsum("...p,op->...o", kernel, matrix)
                )
            )(np.eye(kernel.shape[-1], dtype=np.float32))
        )
        assert np.linalg.matrix_rank(reached.reshape(kernel.size, -1)) == dimensions
        assert constrains(kernel.shape) == (dimensions < kernel.size)
    assert names(identity_projections(core, convolutions(1))) == {"wide/kernel"}


def test_a_projected_layer_is_the_layer_and_a_matrix(close):
    """Also a transposed convolution, whose kernel has the same last axis."""
    x = jax.random.normal(jax.random.key(1), (2, 6, 6, 3))
    matrix = jax.random.normal(jax.random.key(2), (4, 4))
    for layer in (
        Convolution(4, 3, 2),
        TransposedConvolution(4, 4),
        nn.Conv(4, (3, 3), use_bias=False),
    ):
        params = layer.init(jax.random.key(0), x)["params"]
        projected = project(params, {"kernel": matrix})
        close(
            layer.apply({"params": projected}, x),
            layer.apply({"params": params}, x) @ matrix.T,
            atol=1e-5,
        )


def test_projections_of_every_convolution_are_1x1_convolutions():
    """In a whole hourglass, its stem among them: the projected network is the core with a 1x1
    convolution after each convolution, before the bias, which is free.
    """
    model, x = hourglass(3, width=16, depth=1), np.random.default_rng(1).normal(size=(2, 8, 8, 3))
    x = x.astype(np.float32)
    variables = tiny_parts.drawn(
        jax.eval_shape(lambda: model.init(jax.random.key(0), x, train=False))
    )
    body = {name: tree for name, tree in variables["params"].items() if name != "head"}
    every = adapted(every=True)
    grouped = grouped_kernels(model, x, train=False)
    frozen, trained = jax.jit(lambda params: every.init(params, grouped))(body)
    kernels = flatten_dict(frozen)
    assert set(kernels) == {path for path in flatten_dict(body) if path[-1] == "kernel"}
    assert kernels[("backbone", "conv1", "kernel")].shape == (7, 7, 3, 4)
    for path, matrix in flatten_dict(trained["projections"]).items():
        assert np.array_equal(matrix, np.eye(kernels[path].shape[-1])), path

    random, matrices = np.random.default_rng(2), {}
    for path, kernel in kernels.items():
        width = kernel.shape[-1]
        matrix = np.eye(width) + 0.3 * random.normal(size=(width, width))
        matrices[path] = matrix.astype(np.float32)
    assemble = jax.jit(every.assemble)
    jax.tree.map(np.testing.assert_array_equal, assemble(frozen, trained), dict(body))
    projected = assemble(frozen, trained | {"projections": unflatten_dict(matrices)})

    composed = set()

    def then_1x1(call, arguments, keywords, context):
        result, path = call(*arguments, **keywords), (*context.module.path, "kernel")
        if context.method_name != "__call__" or path not in matrices:
            return result
        composed.add(path)
        bias = jnp.asarray(context.module.variables["params"].get("bias", jnp.zeros(1)))
        bias = bias.reshape(1, 1, 1, -1)
        return (result - bias) @ matrices[path].T + bias

    def heatmaps(params):
        params = params | {"head": variables["params"]["head"]}
        return model.apply(variables | {"params": params}, x, train=False)

    apply = jax.jit(heatmaps)
    found, core = apply(projected), apply(dict(body))
    with nn.intercept_methods(then_1x1):
        wanted = jax.jit(lambda params: heatmaps(params))(dict(body))
    assert composed == set(matrices)
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4 * np.abs(wanted).max())
    assert np.abs(found - core).max() > 0.1 * np.abs(core).max()
