"""Normalisation layers that compute in float32 whatever the compute dtype.

Flax's own layers raise for bfloat16 under strict dtype promotion; these do not. Batch statistics follow PyTorch's rule,
with which published keypoint networks were trained.
"""
import jax
import jax.numpy as jnp
from flax import linen as nn

MOMENTUM = 0.9  # new statistics = MOMENTUM * old + (1 - MOMENTUM) * those of the batch
EPSILON = 1e-5


class BatchNorm(nn.Module):
    """Batch normalisation over all axes but the last (Ioffe and Szegedy 2015).

    A batch is normalised by its own biased variance; the running variance moves towards the unbiased one, as in
    PyTorch. Parameters `scale`, `bias` and statistics `mean`, `var`, all (C,) float32. The result has the dtype of the
    input. Under `jax.jit` with a batch that is sharded over devices the statistics are those of the global batch.
    """

    momentum: float = MOMENTUM
    epsilon: float = EPSILON
    scale_init: nn.initializers.Initializer = nn.initializers.ones

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """Normalises x (..., C).

        train: normalise by the batch and move the statistics; otherwise by the running statistics.
        """
        width = x.shape[-1]
        mean = self.variable("batch_stats", "mean", jnp.zeros, (width,), jnp.float32)
        var = self.variable("batch_stats", "var", jnp.ones, (width,), jnp.float32)
        scale = self.param("scale", self.scale_init, (width,), jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, (width,), jnp.float32)
        values = x.astype(jnp.float32)
        if train:
            axes = tuple(range(x.ndim - 1))
            count = x.size // width
            # One pass over the data; both moments are then reduced together across devices.
            batch_mean = values.mean(axes)
            batch_var = jnp.maximum(jnp.square(values).mean(axes) - jnp.square(batch_mean), 0)
            if not self.is_initializing():
                unbiased = batch_var * (count / max(count - 1, 1))
                mean.value = self.momentum * mean.value + (1 - self.momentum) * batch_mean
                var.value = self.momentum * var.value + (1 - self.momentum) * unbiased
        else:
            batch_mean, batch_var = mean.value, var.value
        factor = scale * jax.lax.rsqrt(batch_var + self.epsilon)
        return _affine(values, factor, bias - batch_mean * factor).astype(x.dtype)


class GroupNorm(nn.Module):
    """Group normalisation (Wu and He 2018): per image, over space and the channels of a group, without statistics.

    Parameters `scale`, `bias`, (C,) float32. The result has the dtype of the input. C must be a multiple of `groups`.
    `train` changes nothing; it lets the layer replace BatchNorm.
    """

    groups: int = 8
    epsilon: float = EPSILON
    scale_init: nn.initializers.Initializer = nn.initializers.ones

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        width = x.shape[-1]
        if width % self.groups:
            raise ValueError(f"GroupNorm: {width} channels do not divide into {self.groups} groups")
        scale = self.param("scale", self.scale_init, (width,), jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, (width,), jnp.float32)
        values = x.astype(jnp.float32).reshape(x.shape[0], -1, self.groups, width // self.groups)
        mean = values.mean((1, 3), keepdims=True)
        centred = values - mean
        var = jnp.square(centred).mean((1, 3), keepdims=True)
        normalised = (centred * jax.lax.rsqrt(var + self.epsilon)).reshape(x.shape)
        return _affine(normalised, scale, bias).astype(x.dtype)


def _affine(x: jax.Array, scale: jax.Array, bias: jax.Array) -> jax.Array:
    channels = (1,) * (x.ndim - 1) + (-1,)
    return x * scale.reshape(channels) + bias.reshape(channels)
