"""Importances of parameters, measured in a pass over a step's images, and the per-sample gradients
behind them.

Elastic weight consolidation (Kirkpatrick et al. 2017) squares the gradient of every image's loss.
Memory aware synapses (Aljundi et al. 2018) take the magnitude of the gradient of every image's
prediction. Both were written for classifiers; here loss and prediction are those of heatmaps. The
network runs on its stored BatchNorm statistics, on images without augmentation.

`fisher` and `memory_aware_synapses` return a measure for `kpjax.training.evaluation.reduce`, whose
result `mean_importance` turns into importances. Build a measure once and keep it: each new function is
compiled anew.
"""

from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax.sharding import AbstractMesh, AxisType, Mesh, PartitionSpec

from kpjax.heatmaps import Codec
from kpjax.methods.forward import Normalise, unit_range
from kpjax.methods.incremental_family.step_spec import head_channels, increment_of
from kpjax.structures import Example, Trained, Variables

SampleLoss = Callable[[Any, Any], jax.Array]  # (params, a batch of one example) -> scalar


# Gradients of single examples, on any number of devices


def sum_over_samples(
    function: Callable[[jax.Array], jax.Array],
    loss: SampleLoss,
    params: Any,
    examples: Any,
    weights: jax.Array,
) -> Any:
    """Sums weight * function(gradient of the example's loss) over examples: a tree like the
    parameters.

    It runs on the mesh of `jax.set_mesh`, without one on all devices of all processes along one
    axis. JAX refuses a program that runs on other devices when it is called. Memory: B / devices
    copies of the parameters.

    Args:
        function: elementwise, for example `jnp.square`.
        loss: of parameters and a batch of one example. No example may depend on another, so a
            network runs in evaluation mode. It may close over whatever else it reads.
        params: a tree of arrays.
        examples: a tree of arrays with a leading axis B, a multiple of the number of devices.
        weights: (B,) float32, 0 for padding. Examples of weight 0 still need a finite gradient.
    """

    mesh = _surrounding()
    whole = PartitionSpec()
    by_example = PartitionSpec(mesh.axis_names)

    def summed(params, examples, weights):
        def weighted(gradient):
            other_axes = [1] * (gradient.ndim - 1)
            return (weights.reshape(-1, *other_axes) * function(gradient)).sum(0)

        gradients = _gradients(loss, params, examples)
        return jax.lax.psum(jax.tree.map(weighted, gradients), mesh.axis_names)

    # Unchecked: layers that state their own gradients, as depthwise and transposed convolutions do,
    # do not tell JAX what differs between devices. So a device sums nothing but here.
    return jax.shard_map(
        summed,
        mesh=mesh,
        in_specs=(whole, by_example, by_example),
        out_specs=whole,
        check_vma=False,
    )(params, examples, weights)


def _gradients(loss: SampleLoss, params, examples):
    def of_one(params, example):
        return loss(params, jax.tree.map(lambda leaf: leaf[None], example))

    return jax.vmap(jax.grad(of_one), (None, 0))(params, examples)


def _surrounding() -> Mesh | AbstractMesh:
    found = jax.sharding.get_abstract_mesh()
    if not found.empty:
        return found
    # in the order of JAX, slice by slice: `jax.make_mesh` refuses several slices
    return Mesh(np.array(jax.devices()), ("data",), axis_types=(AxisType.Auto,))


# Importances


class Sums(NamedTuple):
    """Sums of a measure over examples."""

    importance: Any  # a tree like the parameters
    count: jax.Array  # () float32, examples


# (state, batch, weights (B,)) -> sums over the batch
Measure = Callable[[Trained, Example, jax.Array], Sums]


def mean_importance(sums: Sums) -> Any:
    """Returns importances, a tree like the parameters: the mean over the measured examples."""

    def mean(leaf):
        return leaf / sums.count.astype(leaf.dtype)

    return jax.tree.map(mean, sums.importance)


def fisher(
    model: nn.Module, codec: Codec, normalise: Normalise, *, batch_approximation: bool = False
) -> Measure:
    """Builds a measure of the Fisher matrix's diagonal: the mean over images of (d loss / d
    parameter)².

    The loss of an image is that of its step: for each new keypoint, 1/2 the mean over pixels of the
    squared difference to its Gaussian, 0 where it is not labelled; then the mean over new
    keypoints. The measure reads `variables` and `frozen['increment']` of a State or a Trained;
    without an increment all keypoints are new. Its sums, divided by `mean_importance`, have the shapes and
    dtypes of the parameters; those of head channels are 0. Source: Kirkpatrick et al. 2017,
    equation 3 with the empirical Fisher matrix.

    Args:
        model: `apply(variables, images (B, H, W, 3), train=...)` -> heatmaps (B, h, w, K).
        codec: renders the targets.
        normalise: images in [0, 1] -> the model's input.
        batch_approximation: whether to take B times the square of the mean gradient of a batch of B
            images, as some published implementations do. It is another quantity, and needs no
            gradient per image.
    """

    def losses(params, variables: Variables, new: jax.Array, examples: Example) -> jax.Array:
        heatmaps = _heatmaps(model, params, variables, normalise, examples)
        targets, weights = codec.encode(examples)
        errors = weights[:, None, None] * (heatmaps - targets)
        per_keypoint = 0.5 * jnp.square(errors).mean((1, 2))
        of_new = (per_keypoint * new[None]).sum(1)
        return of_new / jnp.maximum(new.sum(), 1)

    def measure(state: Trained, batch: Example, weights: jax.Array) -> Sums:
        variables = state.variables
        _, new = _old_and_new(state, batch)
        count = weights.sum()
        if batch_approximation:

            def mean_loss(params):
                summed = (losses(params, variables, new, batch) * weights).sum()
                return summed / jnp.maximum(count, 1)

            gradient = jax.grad(mean_loss)(variables["params"])
            sums = jax.tree.map(lambda leaf: count * jnp.square(leaf), gradient)
        else:

            def loss(params, example):
                return losses(params, variables, new, example).sum()

            sums = sum_over_samples(jnp.square, loss, variables["params"], batch, weights)
        return Sums(of_shared_parameters(sums, new.shape[0]), count)

    return measure


def memory_aware_synapses(
    model: nn.Module, normalise: Normalise, *, norm: Literal["l2", "l2sq"] = "l2"
) -> Measure:
    """Builds a measure of the mean over images of |d norm / d parameter|, the norm of all known
    keypoints' heatmaps.

    The heatmaps count as one vector. Labels are not read. `norm` is Euclidean ("l2", which
    published implementations differentiate) or its square ("l2sq", as in the paper). The others are
    as in `fisher`. Source: Aljundi et al. 2018, equation 5.
    """
    if norm not in ("l2", "l2sq"):
        raise ValueError(f"memory_aware_synapses: norm is {norm!r}; choose l2 or l2sq")

    def measure(state: Trained, batch: Example, weights: jax.Array) -> Sums:
        variables = state.variables
        old, new = _old_and_new(state, batch)
        known = old + new

        def magnitude(params, example: Example):
            heatmaps = _heatmaps(model, params, variables, normalise, example)
            of_keypoints = jnp.square(heatmaps).sum((0, 1, 2))
            square = (of_keypoints * known).sum()
            if norm == "l2sq":
                return square
            # The norm has no gradient at zero; a prediction that is zero everywhere is sensitive to
            # nothing.
            return jnp.where(square > 0, jnp.sqrt(jnp.where(square > 0, square, 1)), 0)

        sums = sum_over_samples(jnp.abs, magnitude, variables["params"], batch, weights)
        return Sums(of_shared_parameters(sums, known.shape[0]), weights.sum())

    return measure


def _heatmaps(
    model: nn.Module, params, variables: Variables, normalise: Normalise, examples: Example
) -> jax.Array:
    """Computes (B, h, w, K) float32 in evaluation mode."""
    images = normalise(unit_range(examples).image)
    return model.apply({**variables, "params": params}, images, train=False).astype(jnp.float32)


def _old_and_new(state: Trained, batch: Example) -> tuple[jax.Array, jax.Array]:
    """Returns masks (K,) float32 of the increment that a state was trained on; without one, all
    keypoints are new.
    """
    keypoints = batch.keypoints.shape[1]
    if "increment" not in state.frozen:
        return jnp.zeros(keypoints, jnp.float32), jnp.ones(keypoints, jnp.float32)
    step = increment_of(state.frozen, keypoints)
    return step.old, step.new


def of_shared_parameters(importance: Mapping[str, Any], keypoints: int) -> Mapping[str, Any]:
    """Sets importances to 0 for parameters that no later step shares: the head channels of all K
    keypoints.
    """
    shared = head_channels(importance, jnp.zeros(keypoints))

    def only_shared(leaf, is_shared):
        return jnp.where(is_shared, leaf, jnp.zeros_like(leaf))

    return jax.tree.map(only_shared, importance, shared)
