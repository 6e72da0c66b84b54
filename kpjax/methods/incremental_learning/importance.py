"""How much each parameter matters for what a network has learnt, measured in a pass over a step's images.

Elastic weight consolidation (Kirkpatrick et al. 2017) squares the gradient of every image's loss; memory aware synapses
(Aljundi et al. 2018) take the magnitude of the gradient of every image's answer. Both are written for classifiers; here
the loss and the answer are those of heatmaps. The network runs on its stored BatchNorm statistics, on images that are
not augmented.

Each function below returns a measure for `kpjax.training.evaluation.reduce`, whose result `finished` turns into
importances. Build a measure once and keep it: it is compiled once for each function that it is.
"""
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.sharding import AxisType, Mesh, PartitionSpec

from kpjax.heatmaps import Codec
from kpjax.methods.forward import Normalise, unit_range
from kpjax.methods.incremental_learning.step_spec import head_channels, increment_of
from kpjax.structures import Example, Trained, Variables

# Gradients of single examples, on any number of devices


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


Measure = Callable[[Trained, Example, jax.Array], "Sums"]  # (state, batch, weights (B,)) -> sums over the batch


class Sums(NamedTuple):
    """What a measure adds up."""

    importance: Any  # a tree like the parameters
    count: jax.Array  # () float32, examples


def finished(sums: Sums) -> Any:
    """Importances, a tree like the parameters: the mean over the examples that were measured."""
    return jax.tree.map(lambda leaf: leaf / sums.count.astype(leaf.dtype), sums.importance)


def fisher(
    model: nn.Module,
    codec: Codec,
    normalise: Normalise,
    *,
    half: bool = True,
    true_fisher: bool = False,
    batch_approximation: bool = False,
    shared_heads: bool = False,
    mesh: Mesh | None = None,
) -> Measure:
    """The diagonal of the Fisher matrix: mean over images of (d loss / d parameter)².

    The loss of an image is the one that its step is trained with: per new keypoint the mean over pixels of the squared
    difference to its Gaussian, 0 where it is not labelled, times 1/2, then the mean over new keypoints. half: with that
    factor. true_fisher: the difference is replaced by standard normal noise, as for answers that are Gaussian with unit
    variance; the noise is a function of the image's number.
    batch_approximation: B times the square of the mean gradient of a batch of B images, as some published
    implementations have it. It is another quantity, and costs no gradient per image.
    shared_heads: head channels count; if not, as where old heads are frozen, their importances are 0.
    mesh: as in `kpjax.methods.incremental_learning.importance`.

    The measure reads `variables` and `frozen['increment']` of a State or a Trained; without an increment all keypoints
    are new. Its sums, divided by `finished`, have the shapes and dtypes of the parameters.
    Source: Kirkpatrick et al. 2017, equation 3 with the empirical Fisher matrix.
    """

    def losses(params, variables: Variables, new: jax.Array, examples: Example) -> jax.Array:
        heatmaps = _heatmaps(model, params, variables, normalise, examples)
        targets, weights = codec.encode(examples)
        factor = 0.5 if half else 1.0
        if true_fisher:
            noise = jax.vmap(_noise_of, (0, None))(examples.index, heatmaps.shape[1:])
            per_keypoint = 2 * factor * weights * (noise * heatmaps).mean((1, 2))
        else:
            per_keypoint = factor * jnp.square(weights[:, None, None] * (heatmaps - targets)).mean((1, 2))
        return (per_keypoint * new[None]).sum(1) / jnp.maximum(new.sum(), 1)

    def measure(state: Trained, batch: Example, weights: jax.Array) -> Sums:
        variables, (old, new) = state.variables, _old_and_new(state, batch)
        count = weights.sum()
        if batch_approximation:
            def mean_loss(params):
                return (losses(params, variables, new, batch) * weights).sum() / jnp.maximum(count, 1)

            sums = jax.tree.map(lambda leaf: count * jnp.square(leaf), jax.grad(mean_loss)(variables["params"]))
        else:
            sums = sum_over_samples(
                jnp.square, lambda params, example: losses(params, variables, new, example).sum(),
                variables["params"], batch, weights, mesh=mesh)
        return Sums(of_shared_parameters(sums, old + new, heads=shared_heads), count)

    return measure


def memory_aware_synapses(
    model: nn.Module,
    normalise: Normalise,
    *,
    norm: Literal["l2", "l2sq"] = "l2",
    shared_heads: bool = False,
    mesh: Mesh | None = None,
) -> Measure:
    """Mean over images of |d norm / d parameter|, with the norm of all heatmaps of known keypoints as one vector.

    norm: of Euclid ("l2", which published implementations differentiate) or its square ("l2sq", as in the paper).
    Labels are not read. The rest is as in `fisher`.
    Source: Aljundi et al. 2018, equation 5.
    """
    if norm not in ("l2", "l2sq"):
        raise ValueError(f"memory_aware_synapses: norm is 'l2' or 'l2sq', got {norm!r}")

    def measure(state: Trained, batch: Example, weights: jax.Array) -> Sums:
        variables, (old, new) = state.variables, _old_and_new(state, batch)
        known = old + new

        def magnitude(params, example: Example):
            heatmaps = _heatmaps(model, params, variables, normalise, example)
            square = (jnp.square(heatmaps).sum((0, 1, 2)) * known).sum()
            if norm == "l2sq":
                return square
            # The norm has no gradient at zero: an answer that is zero everywhere is sensitive to nothing.
            return jnp.where(square > 0, jnp.sqrt(jnp.where(square > 0, square, 1)), 0)

        sums = sum_over_samples(jnp.abs, magnitude, variables["params"], batch, weights, mesh=mesh)
        return Sums(of_shared_parameters(sums, known, heads=shared_heads), weights.sum())

    return measure


def _heatmaps(model: nn.Module, params, variables: Variables, normalise: Normalise, examples: Example) -> jax.Array:
    """(B, h, w, K) float32 in evaluation mode."""
    images = normalise(unit_range(examples).image)
    return model.apply({**variables, "params": params}, images, train=False).astype(jnp.float32)


def _noise_of(number: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Standard normal noise that belongs to an image, whatever batch and device it is on."""
    return jax.random.normal(jax.random.fold_in(jax.random.key(0), number.astype(jnp.uint32)), shape)


def _old_and_new(state: Trained, batch: Example) -> tuple[jax.Array, jax.Array]:
    """Masks (K,) float32 of the increment that a state was trained on; without one, all keypoints are new."""
    keypoints = batch.keypoints.shape[1]
    if "increment" not in state.frozen:
        return jnp.zeros(keypoints, jnp.float32), jnp.ones(keypoints, jnp.float32)
    step = increment_of(state.frozen, keypoints)
    return step.old, step.new


def of_shared_parameters(importance: Mapping[str, Any], known: jax.Array, *, heads: bool) -> Mapping[str, Any]:
    """Importances with 0 for parameters that no later step shares.

    known: (K,), above 0 for keypoints learnt so far. Channels of the head that belong to other keypoints are not
    shared; without `heads`, as where old heads are frozen, no channel is.
    """
    shared = head_channels(importance, known if heads else jnp.zeros_like(known))
    return jax.tree.map(lambda leaf, kept: jnp.where(kept, leaf, jnp.zeros_like(leaf)), importance, shared)
