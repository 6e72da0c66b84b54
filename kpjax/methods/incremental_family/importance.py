"""Importances of parameters, measured in a pass over a step's images, and the per-sample gradients behind them.

Elastic weight consolidation (Kirkpatrick et al. 2017) squares the gradient of every image's loss. Memory aware synapses
(Aljundi et al. 2018) take the magnitude of the gradient of every image's prediction. Both were written for classifiers;
here loss and prediction are those of heatmaps. The network runs on its stored BatchNorm statistics, on images without
augmentation.

`fisher` and `memory_aware_synapses` return a measure for `kpjax.training.evaluation.reduce`, whose result `finished`
turns into importances. Build a measure once and keep it: each new function is compiled anew.
"""
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.sharding import AbstractMesh, AxisType, Mesh, PartitionSpec

from kpjax.heatmaps import Codec
from kpjax.methods.forward import Normalise, unit_range
from kpjax.methods.incremental_family.step_spec import head_channels, increment_of
from kpjax.structures import Example, Trained, Variables

SampleLoss = Callable[[Any, Any], jax.Array]  # (params, a batch of one example) -> scalar


# Gradients of single examples, on any number of devices


def per_sample_gradients(loss: SampleLoss, params: Any, examples: Any, *, mesh: Mesh | None = None) -> Any:
    """Computes the gradient of every example's loss: arrays (B, *shape of the parameter), in the parameters' dtypes.

    Memory: B / devices copies of the parameters. `sum_over_samples` avoids them where only a sum over examples is
    needed.

    Args:
        loss: of parameters and a batch of one example. No example may depend on another, so a network runs in
            evaluation mode. It may close over whatever else it reads.
        params: a tree of arrays.
        examples: a tree of arrays with a leading axis B, a multiple of the number of devices.
        mesh: of the surrounding program; None means that of `jax.set_mesh`, without one all devices of all processes
            along one axis. JAX refuses a program that runs on other devices when it is called.
    """

    mesh = mesh or _surrounding()
    whole, by_example = PartitionSpec(), PartitionSpec(mesh.axis_names)

    def gradients(params, examples):
        return _gradients(loss, _own(params, mesh), examples)

    return jax.shard_map(gradients, mesh=mesh, in_specs=(whole, by_example), out_specs=by_example)(params, examples)


def sum_over_samples(
    function: Callable[[jax.Array], jax.Array], loss: SampleLoss, params: Any, examples: Any, weights: jax.Array, *,
    mesh: Mesh | None = None
) -> Any:
    """Sums weight * function(gradient of the example's loss) over examples.

    Args:
        function: elementwise, for example `jnp.square`.
        weights: (B,) float32, 0 for padding. Examples of weight 0 still need a finite gradient.
        The others are as in `per_sample_gradients`.
    """

    mesh = mesh or _surrounding()
    whole, by_example = PartitionSpec(), PartitionSpec(mesh.axis_names)

    def summed(params, examples, weights):
        def weighted(gradient):
            return (weights.reshape(-1, *[1] * (gradient.ndim - 1)) * function(gradient)).sum(0)

        return jax.lax.psum(jax.tree.map(weighted, _gradients(loss, _own(params, mesh), examples)), mesh.axis_names)

    return jax.shard_map(summed, mesh=mesh, in_specs=(whole, by_example, by_example), out_specs=whole)(
        params, examples, weights)


def _gradients(loss: SampleLoss, params, examples):
    def of_one(params, example):
        return loss(params, jax.tree.map(lambda leaf: leaf[None], example))

    return jax.vmap(jax.grad(of_one), (None, 0))(params, examples)


def _own(params, mesh: Mesh | AbstractMesh):
    """Gives each device its own copy. The gradient of a copy that all share would be summed over the devices."""
    return jax.tree.map(lambda leaf: jax.lax.pcast(leaf, mesh.axis_names, to="varying"), params)


def _surrounding() -> Mesh | AbstractMesh:
    found = jax.sharding.get_abstract_mesh()
    if not found.empty:
        return found
    return jax.make_mesh((jax.device_count(),), ("data",), axis_types=(AxisType.Auto,))


# Importances


class Sums(NamedTuple):
    """Sums of a measure over examples."""

    importance: Any  # a tree like the parameters
    count: jax.Array  # () float32, examples


Measure = Callable[[Trained, Example, jax.Array], Sums]  # (state, batch, weights (B,)) -> sums over the batch


def finished(sums: Sums) -> Any:
    """Returns importances, a tree like the parameters: the mean over the measured examples."""
    return jax.tree.map(lambda leaf: leaf / sums.count.astype(leaf.dtype), sums.importance)


def fisher(
    model: nn.Module, codec: Codec, normalise: Normalise, *, half: bool = True, true_fisher: bool = False,
    batch_approximation: bool = False, shared_heads: bool = False, mesh: Mesh | None = None
) -> Measure:
    """Builds a measure of the Fisher matrix's diagonal: the mean over images of (d loss / d parameter)².

    The loss of an image is that of its step: for each new keypoint, 1/2 the mean over pixels of the squared difference
    to its Gaussian, 0 where it is not labelled; then the mean over new keypoints. The measure reads `variables` and
    `frozen['increment']` of a State or a Trained; without an increment all keypoints are new. Its sums, divided by
    `finished`, have the shapes and dtypes of the parameters. Source: Kirkpatrick et al. 2017, equation 3 with the
    empirical Fisher matrix.

    Args:
        model: `apply(variables, images (B, H, W, 3), train=...)` -> heatmaps (B, h, w, K).
        codec: renders the targets.
        normalise: images in [0, 1] -> the model's input.
        half: whether the loss has the factor 1/2.
        true_fisher: whether standard normal noise, a function of the image's number, replaces the difference, as for
            predictions that are Gaussian with unit variance.
        batch_approximation: whether to take B times the square of the mean gradient of a batch of B images, as some
            published implementations do. It is another quantity, and needs no gradient per image.
        shared_heads: whether head channels count; if not, as where old heads are frozen, their importances are 0.
        mesh: see `per_sample_gradients`.
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
    model: nn.Module, normalise: Normalise, *,
    norm: Literal["l2", "l2sq"] = "l2", shared_heads: bool = False, mesh: Mesh | None = None
) -> Measure:
    """Builds a measure of the mean over images of |d norm / d parameter|, the norm of all known keypoints' heatmaps.

    The heatmaps count as one vector. Labels are not read. `norm` is Euclidean ("l2", which published implementations
    differentiate) or its square ("l2sq", as in the paper). The others are as in `fisher`. Source: Aljundi et al. 2018,
    equation 5.
    """
    if norm not in ("l2", "l2sq"):
        raise ValueError(f"memory_aware_synapses: norm is {norm!r}; choose l2 or l2sq")

    def measure(state: Trained, batch: Example, weights: jax.Array) -> Sums:
        variables, (old, new) = state.variables, _old_and_new(state, batch)
        known = old + new

        def magnitude(params, example: Example):
            heatmaps = _heatmaps(model, params, variables, normalise, example)
            square = (jnp.square(heatmaps).sum((0, 1, 2)) * known).sum()
            if norm == "l2sq":
                return square
            # The norm has no gradient at zero; a prediction that is zero everywhere is sensitive to nothing.
            return jnp.where(square > 0, jnp.sqrt(jnp.where(square > 0, square, 1)), 0)

        sums = sum_over_samples(jnp.abs, magnitude, variables["params"], batch, weights, mesh=mesh)
        return Sums(of_shared_parameters(sums, known, heads=shared_heads), weights.sum())

    return measure


def _heatmaps(model: nn.Module, params, variables: Variables, normalise: Normalise, examples: Example) -> jax.Array:
    """Computes (B, h, w, K) float32 in evaluation mode."""
    images = normalise(unit_range(examples).image)
    return model.apply({**variables, "params": params}, images, train=False).astype(jnp.float32)


def _noise_of(number: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Draws standard normal noise that belongs to an image, whatever its batch and device."""
    return jax.random.normal(jax.random.fold_in(jax.random.key(0), number.astype(jnp.uint32)), shape)


def _old_and_new(state: Trained, batch: Example) -> tuple[jax.Array, jax.Array]:
    """Returns masks (K,) float32 of the increment that a state was trained on; without one, all keypoints are new."""
    keypoints = batch.keypoints.shape[1]
    if "increment" not in state.frozen:
        return jnp.zeros(keypoints, jnp.float32), jnp.ones(keypoints, jnp.float32)
    step = increment_of(state.frozen, keypoints)
    return step.old, step.new


def of_shared_parameters(importance: Mapping[str, Any], known: jax.Array, *, heads: bool) -> Mapping[str, Any]:
    """Sets importances to 0 for parameters that no later step shares.

    known: (K,), above 0 for keypoints learnt so far. Head channels of other keypoints are not shared. `heads` says
    whether any head channel is shared; none is where old heads are frozen.
    """
    shared = head_channels(importance, known if heads else jnp.zeros_like(known))
    return jax.tree.map(lambda leaf, kept: jnp.where(kept, leaf, jnp.zeros_like(leaf)), importance, shared)
