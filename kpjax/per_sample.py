"""Gradients of single examples, on any number of devices.

A gradient for each example of a batch is `vmap` of a gradient. With the batch sharded over devices, XLA's partitioner
returns wrong gradients of convolution kernels for it, without a word. `shard_map` keeps the partitioner out: every
device computes the gradients of its own rows.
"""
from collections.abc import Callable
from typing import Any

import jax
from jax.sharding import AxisType, Mesh, PartitionSpec

SampleLoss = Callable[[Any, Any], jax.Array]  # (params, a batch of one example) -> scalar


def per_sample_gradients(loss: SampleLoss, params: Any, examples: Any, *, mesh: Mesh | None = None) -> Any:
    """The gradient of every example's loss: a tree of arrays (B, *shape of the parameter), in the parameters' dtypes.

    loss: of parameters and a batch of one example; no example may depend on another, so a network runs in evaluation
    mode. What else it reads it may close over. examples: a tree of arrays with a leading axis B, a multiple of the
    number of devices.
    mesh: the one that the surrounding program is compiled for; None means all devices of all processes along one axis.
    A program that runs on other devices is refused by JAX when it is called.

    Memory: B / devices copies of the parameters. Where only a sum over examples is wanted, `sum_over_samples` leaves
    nothing of that size behind.
    """

    mesh = mesh or _all_devices()
    whole, by_rows = PartitionSpec(), PartitionSpec(mesh.axis_names)

    def gradients(params, rows):
        return _gradients(loss, _own(params, mesh), rows)

    return jax.shard_map(gradients, mesh=mesh, in_specs=(whole, by_rows), out_specs=by_rows)(params, examples)


def sum_over_samples(
    function: Callable[[jax.Array], jax.Array], loss: SampleLoss, params: Any, examples: Any, weights: jax.Array, *,
    mesh: Mesh | None = None,
) -> Any:
    """The sum over examples of weight * function(gradient of that example's loss), a tree like the parameters.

    function: elementwise, for example `jnp.square`. weights: (B,) float32, 0 for padding. The rest is as in
    `per_sample_gradients`; an example of weight 0 still has to have a finite gradient.
    """

    mesh = mesh or _all_devices()
    whole, by_rows = PartitionSpec(), PartitionSpec(mesh.axis_names)

    def summed(params, rows, weights):
        def weighted(gradient):
            return (weights.reshape(-1, *[1] * (gradient.ndim - 1)) * function(gradient)).sum(0)

        return jax.lax.psum(jax.tree.map(weighted, _gradients(loss, _own(params, mesh), rows)), mesh.axis_names)

    return jax.shard_map(summed, mesh=mesh, in_specs=(whole, by_rows, by_rows), out_specs=whole)(
        params, examples, weights)


def _gradients(loss: SampleLoss, params, rows):
    def of_one(params, example):
        return loss(params, jax.tree.map(lambda leaf: leaf[None], example))

    return jax.vmap(jax.grad(of_one), (None, 0))(params, rows)


def _own(params, mesh: Mesh):
    """Each device's own copy. The gradient of a copy that all share would be summed over the devices."""
    return jax.tree.map(lambda leaf: jax.lax.pcast(leaf, mesh.axis_names, to="varying"), params)


def _all_devices() -> Mesh:
    return jax.make_mesh((jax.device_count(),), ("data",), axis_types=(AxisType.Auto,))
