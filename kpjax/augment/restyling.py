"""Images in the style of others: the moments of channels are exchanged (AdaIN, Huang and Belongie
2017).
"""

import jax
import jax.numpy as jnp


def exchanged_moments(
    content: jax.Array, style: jax.Array, alpha: jax.Array | float = 1.0, *, epsilon: float = 1e-5
) -> jax.Array:
    """Computes alpha (s_style (x - m_content) / s_content + m_style) + (1 - alpha) x for every
    image and channel x.

    m is the mean over space, and s the root of the unbiased variance plus `epsilon`. content,
    style: (B, H, W, C), images or features, whose sizes may differ. alpha: (), 0 keeps the content.
    Float32.
    """
    content = content.astype(jnp.float32)
    style = style.astype(jnp.float32)

    def moments(x):
        return x.mean((1, 2), keepdims=True), jnp.sqrt(
            x.var((1, 2), keepdims=True, ddof=1) + epsilon
        )

    mean, deviation = moments(content)
    style_mean, style_deviation = moments(style)
    changed = style_deviation * (content - mean) / deviation + style_mean
    return alpha * changed + (1 - alpha) * content
